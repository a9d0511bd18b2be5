//! Whether there is a connection, and why not: what a caller whose time is up is told.

use crate::origin::Origin;
use event::{Fault, FaultClass};
use std::sync::{Mutex, PoisonError};

/// State of a node's connection.
#[derive(Clone, Debug, Default)]
enum State {
    /// The first attempt is under way, or nobody has asked yet.
    #[default]
    New,
    Up,
    /// Lost, or never made, for this reason.
    Down(Fault),
}

/// The state, shared between a connection's task and the callers.
#[derive(Debug, Default)]
pub(super) struct Standing(Mutex<State>);

impl Standing {
    pub(super) fn up(&self) {
        self.set(State::Up);
    }

    pub(super) fn down(&self, fault: Fault) {
        self.set(State::Down(fault));
    }

    fn set(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Returns the fault of a call that waited for `timeout_ms` in vain.
    pub(super) fn timed_out(&self, origin: &Origin, method: &str, timeout_ms: u64) -> Fault {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (method, what) = match state {
            State::Down(fault) => return unreachable(fault),
            State::Up => (method, "answer"),
            State::New => ("connect", "connection"),
        };
        origin.fault(method, FaultClass::TimedOut, &format!("no {what} within {timeout_ms} ms"))
    }
}

/// Returns what a lost connection means to a call that could not be sent. Refusals keep their
/// class; how the connection ended is not how the call did.
pub(super) fn unreachable(mut fault: Fault) -> Fault {
    "connect".clone_into(&mut fault.method);
    if matches!(fault.class, FaultClass::Dropped | FaultClass::TimedOut | FaultClass::Malformed) {
        fault.class = FaultClass::Unreachable;
    }
    fault
}
