//! How fast nodes are asked by work that can wait: so many calls a second, and after those that
//! cannot wait. Asks nobody itself.

use crate::Timer;
use event::Ask;
use std::{
    num::NonZeroU32,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// How long a call lets those go first that cannot wait, in milliseconds: a node that hangs must not
/// hold up everything else.
const YIELD_MS_MAX: u64 = 500;
/// Time between two looks at whether they are done, in milliseconds.
const YIELD_LOOK_MS: u64 = 20;

/// A budget of JSON-RPC calls, over all nodes that are asked with it.
#[derive(Debug)]
pub struct Pace {
    calls_per_second: NonZeroU32,
    /// When the next call may be sent, in microseconds.
    next_us: Mutex<u64>,
    urgent: AtomicUsize,
}

impl Pace {
    /// Returns a budget of so many calls a second.
    pub const fn new(calls_per_second: NonZeroU32) -> Self {
        Self { calls_per_second, next_us: Mutex::new(0), urgent: AtomicUsize::new(0) }
    }

    /// Calls a second.
    pub const fn calls_per_second(&self) -> NonZeroU32 {
        self.calls_per_second
    }

    /// Notes how many calls that cannot wait are under way.
    pub fn note_urgent(&self, calls: usize) {
        self.urgent.store(calls, Ordering::Relaxed);
    }

    /// Waits until it is this question's turn. The calls of a batch count each.
    pub async fn turn(&self, ask: &Ask, timer: &dyn Timer) {
        let at_us = self.reserve(calls_of(ask), timer.now_ms());
        if at_us > timer.now_ms().saturating_mul(1_000) {
            timer.sleep_until(at_us.div_ceil(1_000)).await;
        }
        let patience_ms = timer.now_ms().saturating_add(YIELD_MS_MAX);
        while self.urgent.load(Ordering::Relaxed) > 0 && timer.now_ms() < patience_ms {
            timer.sleep_until(timer.now_ms() + YIELD_LOOK_MS).await;
        }
    }

    /// Takes the next free time for so many calls; returns when that is, in microseconds.
    fn reserve(&self, calls: u64, now_ms: u64) -> u64 {
        let takes_us = calls.saturating_mul(1_000_000) / u64::from(self.calls_per_second.get());
        let mut next_us = self.next_us.lock().unwrap_or_else(PoisonError::into_inner);
        let at_us = (*next_us).max(now_ms.saturating_mul(1_000));
        *next_us = at_us.saturating_add(takes_us);
        at_us
    }
}

fn calls_of(ask: &Ask) -> u64 {
    match ask {
        Ask::Headers { range } => range.count(),
        Ask::ReceiptsOf { blocks } => blocks.len() as u64,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn each_call_has_its_time_and_time_that_was_not_used_is_not_saved_up() {
        let pace = Pace::new(NonZeroU32::new(4).unwrap());
        let taken: Vec<u64> = [1, 2, 1].map(|calls| pace.reserve(calls, 1_000) / 1_000).to_vec();
        assert_eq!(taken, [1_000, 1_250, 1_750]);
        assert_eq!(pace.reserve(1, 60_000), 60_000_000);
        assert_eq!(pace.reserve(1, 60_000), 60_250_000);
    }
}
