//! Proof that a run reached what it is meant to test: named counters, summed over seeds. A
//! simulation in which a branch never happens is blind there, however green it is.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Counts by name. A clone counts into the same.
#[derive(Clone, Debug, Default)]
pub struct Sometimes(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Sometimes {
    /// Counts that this happened.
    pub fn happened(&self, what: &'static str) {
        self.happened_times(what, 1);
    }

    /// Counts that this happened so many times; 0 makes it known as something that may.
    pub fn happened_times(&self, what: &'static str, times: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += times;
    }

    /// Adds the counts of another run.
    pub fn add(&self, other: &Self) {
        if Arc::ptr_eq(&self.0, &other.0) {
            return;
        }
        for (what, times) in other.counts() {
            self.happened_times(what, times);
        }
    }

    /// Returns how often this happened.
    pub fn times(&self, what: &str) -> u64 {
        self.counts().get(what).copied().unwrap_or(0)
    }

    /// Returns all counts, by name.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns which of the names never happened.
    pub fn never<'a>(&self, wanted: &[&'a str]) -> Vec<&'a str> {
        wanted.iter().copied().filter(|what| self.times(what) == 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_happened_is_named() {
        let (all, one) = (Sometimes::default(), Sometimes::default());
        one.happened("reorg");
        one.happened_times("flood", 0);
        all.add(&one);
        all.add(&one);
        assert_eq!(all.times("reorg"), 2);
        assert_eq!(all.never(&["reorg", "flood", "drought"]), ["flood", "drought"]);
    }
}
