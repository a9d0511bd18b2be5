//! Time as a parameter: real in the program, virtual in a simulation.

use std::{future::Future, pin::Pin};

/// The future of a moment.
pub type SleepFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A monotonic clock in milliseconds, from any start, and the time of day.
pub trait Timer: Send + Sync {
    /// Returns the time.
    fn now_ms(&self) -> u64;

    /// Returns the time of day, in Unix seconds; where time is made up, its own.
    fn unix_s(&self) -> u64 {
        self.now_ms() / 1_000
    }

    /// Returns a future that is ready at the given time.
    fn sleep_until(&self, at_ms: u64) -> SleepFuture;
}
