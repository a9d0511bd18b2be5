//! Nodes: where logs, headers and receipts come from. The first stage of an event's life.
//!
//! A [`HttpNode`] asks a real endpoint call by call, a [`SocketNode`] over one connection that
//! stays open; a [`Recording`] answers the same questions from a file that a [`Recorder`] wrote.
//! All implement [`event::Node`]: one question, one answer, or a
//! [`event::Fault`] that says what can be done about it. Nothing here retries, waits, narrows a
//! range or believes an answer; that is for the tracker and the proof.

mod address;
mod classify;
mod date;
mod disguise;
mod endpoint;
mod hex;
mod http;
mod normal_url;
mod open;
mod origin;
mod recording;
mod secret;
mod shown_host;
mod socket;
mod wire;

pub use address::ConfigError;
pub use classify::{ErrorReply, classify, known};
pub use endpoint::{DEFAULT_HEADER_BATCH, DEFAULT_MAX_BODY_BYTES, DEFAULT_TIMEOUT_MS};
pub use http::{HttpConfig, HttpNode};
pub use normal_url::normal_url;
pub use open::{OpenError, OpenOptions, open};
pub use recording::{Recorder, Recording, RecordingError, RecordingSummary};
pub use shown_host::shown_host;
pub use socket::{
    DEFAULT_BLOCK_TIME_MS, FIRST_RECONNECT_WAIT_MS, HEARTBEAT_MS, LONGEST_RECONNECT_WAIT_MS,
    ROTATE_MS, SocketConfig, SocketNode,
};
