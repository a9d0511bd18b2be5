//! Ids of calls, and how many were sent of each method.

use crate::wire::request::{METHODS, method_index};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Counts calls; each id is given out once.
#[derive(Debug)]
pub(crate) struct Counters {
    next_id: AtomicU64,
    calls: [AtomicU64; METHODS.len()],
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self { next_id: AtomicU64::new(1), calls: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Counts `calls` calls and returns the first of as many ids in a row.
    pub(crate) fn next(&self, method: &str, calls: u64) -> u64 {
        if let Some(index) = method_index(method) {
            self.calls[index].fetch_add(calls, Relaxed);
        }
        self.next_id.fetch_add(calls, Relaxed)
    }

    /// Returns the calls so far, by method; those never called are left out.
    pub(crate) fn by_method(&self) -> BTreeMap<String, u64> {
        METHODS
            .iter()
            .zip(&self.calls)
            .map(|(method, count)| ((*method).to_owned(), count.load(Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}
