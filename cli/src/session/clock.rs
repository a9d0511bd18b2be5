//! Time as the program has it: the monotonic clock, and when to stop.

use crate::interrupt::Interrupt;
use pipeline::{SleepFuture, Timer};
use std::time::{Duration, Instant};

/// The monotonic clock, and the time of day.
pub(super) struct WallTimer(pub(super) Instant);

impl Timer for WallTimer {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn unix_s(&self) -> u64 {
        unix_now_s()
    }

    fn sleep_until(&self, at_ms: u64) -> SleepFuture {
        let at = self.0 + Duration::from_millis(at_ms);
        Box::pin(tokio::time::sleep_until(at.into()))
    }
}

/// Returns the time of day in Unix seconds, to compare with the times of blocks.
pub(super) fn unix_now_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

pub(super) async fn stop(interrupt: Interrupt, max_time: Option<Duration>) {
    let timed_out = async {
        match max_time {
            Some(max_time) => tokio::time::sleep(max_time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = interrupt.stopped() => {}
        () = timed_out => {}
    }
}
