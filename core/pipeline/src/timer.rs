//! Time as a parameter: real in the program, virtual in a simulation.

use std::{future::Future, pin::Pin};

/// The future of a moment.
pub type SleepFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A monotonic clock in milliseconds, from any start.
pub trait Timer: Send + Sync {
    /// Returns the time.
    fn now_ms(&self) -> u64;

    /// Returns a future that is ready at the given time.
    fn sleep_until(&self, at_ms: u64) -> SleepFuture;
}
