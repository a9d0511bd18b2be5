//! What a journal row means for a lane that has gone past its blocks.

use event::{Filter, FilterId, JournalRow, Op};
use std::{collections::BTreeMap, sync::Arc};

/// Filters of the lane, and those of others that journal rows may name.
#[derive(Debug)]
pub(crate) struct Interest {
    pub(crate) filters: Vec<Arc<Filter>>,
    known: BTreeMap<FilterId, bool>,
}

impl Interest {
    pub(crate) fn new(filters: Vec<Arc<Filter>>) -> Self {
        Self { filters, known: BTreeMap::new() }
    }

    /// Number of filters known.
    pub(crate) fn held(&self) -> usize {
        self.filters.len() + self.known.len()
    }

    /// Learns whether rows about `filter` can concern the lane.
    pub(crate) fn learn(&mut self, filter: &Filter) {
        let concerns = self.filters.iter().any(|own| own.meets(filter));
        self.known.insert(filter.id(), concerns);
    }

    /// Returns the first block at which the row changes events that the lane may want. Rows
    /// about a filter never learnt count: a needless rewind is only slow.
    pub(crate) fn touched(&self, row: &JournalRow) -> Option<u64> {
        let changes = match row.op {
            Op::Extend | Op::Late => row.events > 0,
            Op::Revert | Op::Reinstate | Op::Refute => true,
        };
        let concerns =
            row.filter.as_ref().and_then(|id| self.known.get(id)).copied().unwrap_or(true);
        (changes && concerns).then(|| row.range.first())
    }
}
