//! How many calls go into one JSON-RPC batch: learned from what a node answers and refuses, and remembered
//! as long as the node is.
//!
//! Two kinds of refusal differ. Who says that a batch is too large is never asked for so many again. Who
//! refuses a batch for another reason may do so because of one member (a proxy that lets some calls through
//! and refuses the whole batch for the others): fewer are asked for, and slowly more again.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Answers of full size in a row before a batch grows after a setback, at first; twice as many after each.
const PATIENCE_MIN: u32 = 4;
/// The same, at most: how long it takes to notice that a node has recovered.
const PATIENCE_MAX: u32 = 64;

/// The size of the batches of one kind.
#[derive(Debug)]
pub(super) struct BatchSize(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Next batch, in calls, at least 1.
    now: usize,
    /// Largest that the node is known not to refuse as too large, in calls, at least 1.
    largest: usize,
    /// Batches of full size answered in a row.
    answered: u32,
    /// How many of these it takes to grow; 0 before the first setback.
    patience: u32,
    /// Setbacks without an answer in between.
    setbacks: u32,
    /// Batches in a row in which the connection was dropped.
    drops: usize,
}

impl BatchSize {
    /// Begins with `first` calls and never asks for more than `largest`.
    pub(super) const fn new(first: usize, largest: usize) -> Self {
        let state = State { now: first, largest, answered: 0, patience: 0, setbacks: 0, drops: 0 };
        Self(Mutex::new(state))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many calls the next batch has, at least 1.
    pub(super) fn size(&self) -> usize {
        self.state().size()
    }

    /// Learns from an answered batch of so many calls. `fitting` would have weighed enough.
    pub(super) fn on_answer(&self, calls: usize, fitting: usize) {
        let mut state = self.state();
        (state.drops, state.setbacks) = (0, 0);
        let fitting = fitting.max(1);
        if calls < state.size() {
            state.now = state.now.min(fitting);
            return;
        }
        state.answered = state.answered.saturating_add(1);
        let grown = match (state.answered > state.patience, state.patience) {
            (true, 0) => calls.saturating_mul(2),
            (true, _) => calls.saturating_add(calls / 8 + 1),
            (false, _) => calls,
        };
        if grown > calls {
            state.answered = 0;
        }
        state.now = grown.min(fitting);
    }

    /// Never asks for so many at once again: they are too many.
    pub(super) fn on_refusal(&self, calls: usize) {
        let mut state = self.state();
        state.largest = state.largest.min((calls / 2).max(1));
        state.drops = 0;
    }

    /// Asks for fewer for a while. What was asked for when more went into a batch tells nothing new.
    pub(super) fn on_setback(&self, calls: usize) {
        let mut state = self.state();
        state.drops = 0;
        if calls > state.size() {
            return;
        }
        state.setbacks = state.setbacks.saturating_add(1);
        let fewer = if state.setbacks > 1 { calls / 4 } else { calls / 2 };
        state.now = fewer.max(1);
        state.answered = 0;
        state.patience = (state.patience * 2).clamp(PATIENCE_MIN, PATIENCE_MAX);
    }

    /// Whether the connection was dropped so many times in a row that it must be for the size.
    pub(super) fn is_dropped(&self, drops_before_smaller: usize) -> bool {
        let mut state = self.state();
        state.drops += 1;
        state.drops >= drops_before_smaller
    }
}

impl State {
    fn size(&self) -> usize {
        self.now.clamp(1, self.largest.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_until_something_is_refused_and_then_grows_slowly() {
        let size = BatchSize::new(8, 64);
        for more in [16, 32, 64, 64] {
            size.on_answer(size.size(), 1_000);
            assert_eq!(size.size(), more);
        }
        for fewer in [32, 8, 2, 1, 1] {
            size.on_setback(size.size());
            assert_eq!(size.size(), fewer);
        }
        // Asked before it was known.
        size.on_setback(64);
        let mut answers = 0;
        while size.size() < 3 {
            size.on_answer(size.size(), 1_000);
            answers += 1;
        }
        assert_eq!(answers, 2 * (PATIENCE_MAX + 1));
        assert!((0..4_000).any(|_| {
            size.on_answer(size.size(), 1_000);
            size.size() == 64
        }));
    }

    #[test]
    fn what_is_too_large_or_too_heavy_is_not_asked_for_again() {
        let size = BatchSize::new(8, 64);
        size.on_refusal(40);
        (0..9).for_each(|_| size.on_answer(size.size(), 1_000));
        assert_eq!(size.size(), 20);
        size.on_answer(20, 3);
        assert_eq!(size.size(), 3);
        size.on_refusal(1);
        assert_eq!(size.size(), 1);
    }
}
