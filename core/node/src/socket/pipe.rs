//! A connection that carries whole JSON messages both ways, whatever it is made of.

use event::FaultClass;
use std::task::{Context, Poll};

/// Why a connection cannot be made or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Break {
    /// `Size` when a message was over the byte cap.
    pub(super) class: FaultClass,
    /// Not yet redacted.
    pub(super) text: String,
}

impl Break {
    pub(super) fn new(class: FaultClass, text: impl Into<String>) -> Self {
        Self { class, text: text.into() }
    }

    pub(super) fn too_large(max_body_bytes: u64) -> Self {
        Self::new(FaultClass::Size, format!("the answer is larger than {max_body_bytes} bytes"))
    }
}

/// One open connection.
pub(super) trait Pipe: Send {
    /// Takes a message; it goes out while messages are waited for.
    fn send(&mut self, message: String) -> Result<(), Break>;

    /// Sends what is to be sent and returns the next message. Loses nothing when its caller stops
    /// to poll; after a break it is not polled again.
    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<u8>, Break>>;
}
