//! What a ledger holds of the blocks of a report that is a second look: their events. Compares nothing.

use crate::rows::event_id;
use event::{Candidate, ChainId, EventId, EventPage, LogRef, Logs, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// What is stored of the blocks of a report.
#[derive(Debug, Default)]
pub struct Stored {
    page: EventPage,
    /// Where each event is in the page, by block.
    events: BTreeMap<u64, BTreeMap<EventId, usize>>,
}

impl Stored {
    /// Returns it from the canonical events of the report's filter and range.
    pub fn new(chain: ChainId, page: EventPage) -> Self {
        let mut stored = Self::default();
        for (row, (log, occurrence)) in page.logs.rows().zip(&page.occurrence).enumerate() {
            let Some(block) = page.blocks.get(log.block as usize) else { continue };
            let id = event_id(chain, block.hash, log, *occurrence);
            stored.events.entry(block.number).or_default().insert(id, row);
        }
        stored.page = page;
        stored
    }

    /// Returns the blocks with events, lowest first.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.events.keys().copied()
    }

    /// Returns the events of a block.
    pub(crate) fn ids(&self, number: u64) -> BTreeSet<EventId> {
        self.events.get(&number).into_iter().flat_map(BTreeMap::keys).copied().collect()
    }

    /// Returns an event as a log that these nodes told.
    pub(crate) fn told_by(
        &self,
        number: u64,
        id: &EventId,
        nodes: Vec<NodeId>,
    ) -> Option<Candidate> {
        let row = *self.events.get(&number)?.get(id)?;
        let mut log = Logs::default();
        log.push(LogRef { block: 0, ..self.page.logs.row(row) });
        Some(Candidate { id: *id, log, number, nodes })
    }
}
