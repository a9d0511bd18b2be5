//! Stops a plugin that fails on nearly everything, before it fills the ledger with dead letters.

use crate::LanePolicy;
use std::collections::VecDeque;

/// Counts what faults set aside; what a plugin rejects by itself does not count.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    letters: VecDeque<u64>,
    bad_batches: u32,
}

impl Breaker {
    /// Takes note that event `seq` became a dead letter; true when that is one too many.
    pub(crate) fn letter(&mut self, seq: u64, policy: &LanePolicy) -> bool {
        self.letters.push_back(seq);
        while self.letters.front().is_some_and(|old| seq - old >= policy.breaker_window) {
            self.letters.pop_front();
        }
        self.letters.len() >= policy.breaker_letters
    }

    /// Takes note of a finished batch; true when too many in a row had no good event.
    pub(crate) const fn batch(&mut self, all_bad: bool, policy: &LanePolicy) -> bool {
        self.bad_batches = if all_bad { self.bad_batches + 1 } else { 0 };
        self.bad_batches >= policy.breaker_batches
    }

    /// Number of letters remembered.
    pub(crate) fn held(&self) -> usize {
        self.letters.len()
    }

    /// Forgets letters that were rolled back: their numbers will be given again.
    pub(crate) fn forget_from(&mut self, seq: u64) {
        self.letters.retain(|old| *old < seq);
        self.bad_batches = 0;
    }
}
