//! What a ledger holds of the blocks of a report that is a second look: their events, who reported
//! them, and who was told to have kept something back. Compares nothing.

use crate::{rows::event_id, sightings::digest};
use event::{
    Candidate, ChainId, EventId, EventPage, Flaw, Incident, LogRef, Logs, NodeId, Sighting, Via,
};
use std::collections::{BTreeMap, BTreeSet};

/// What is stored of the blocks of a report.
#[derive(Debug, Default)]
pub struct Stored {
    page: EventPage,
    /// Where each event is in the page, by block.
    events: BTreeMap<u64, BTreeMap<EventId, usize>>,
    sightings: BTreeMap<u64, Vec<Sighting>>,
    losses: BTreeMap<u64, Vec<Incident>>,
}

impl Stored {
    /// Returns it from the canonical events of the report's filter and range, from what is known of who
    /// reported them by which way, and from the losses that were told.
    pub fn new(
        chain: ChainId,
        page: EventPage,
        sightings: Vec<Sighting>,
        losses: Vec<Incident>,
    ) -> Self {
        let mut stored = Self::default();
        for (row, (log, occurrence)) in page.logs.rows().zip(&page.occurrence).enumerate() {
            let Some(block) = page.blocks.get(log.block as usize) else { continue };
            let id = event_id(chain, block.hash, log, *occurrence);
            stored.events.entry(block.number).or_default().insert(id, row);
        }
        stored.page = page;
        for sighting in sightings {
            stored.sightings.entry(sighting.number).or_default().push(sighting);
        }
        for loss in losses {
            stored.losses.entry(loss.range.first()).or_default().push(loss);
        }
        stored
    }

    /// Returns the blocks with events, lowest first.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.events.keys().copied()
    }

    /// Returns the blocks that nodes were heard on while they were in doubt, lowest first.
    pub(crate) fn heard(&self) -> impl Iterator<Item = u64> {
        self.sightings.keys().copied()
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

    /// Returns by which way a node was asked for a block, where that was noted.
    pub(crate) fn via(&self, number: u64, node: &NodeId) -> Option<Via> {
        self.sightings_of(number, node).last().map(|sighting| sighting.via)
    }

    /// Whether a node was heard on a block that was in doubt.
    pub(crate) fn has_heard(&self, number: u64, node: &NodeId) -> bool {
        self.sightings_of(number, node).next().is_some()
    }

    fn sightings_of(&self, number: u64, node: &NodeId) -> impl Iterator<Item = &Sighting> {
        let sightings = self.sightings.get(&number).into_iter().flatten();
        sightings.filter(move |sighting| sighting.node == *node)
    }

    /// Returns who gave fewer logs of a block than there are, by any way, with how many it lacked and
    /// by which way it was asked.
    pub(crate) fn lacking(
        &self,
        number: u64,
        there: &BTreeSet<EventId>,
    ) -> Vec<(NodeId, u64, Via)> {
        let Some(hash) = there.first().map(|id| id.block_hash) else { return Vec::new() };
        let sightings = self.sightings.get(&number).into_iter().flatten();
        let lacking = sightings.filter(|sighting| {
            sighting.hash == hash && !self.gave_all(number, &sighting.node, there)
        });
        let mut nodes: BTreeMap<&NodeId, (u64, Via)> = BTreeMap::new();
        for Sighting { node, via, logs, .. } in lacking {
            let lacked = (there.len() as u64).saturating_sub(*logs);
            let most = nodes.entry(node).or_insert((lacked, *via));
            if lacked > most.0 {
                *most = (lacked, *via);
            }
        }
        let nodes = nodes.into_iter().filter(|(_, (lacked, _))| *lacked > 0);
        nodes.map(|(node, (lacked, via))| (node.clone(), lacked, via)).collect()
    }

    /// Whether a node gave just these logs of a block, by any way.
    fn gave_all(&self, number: u64, node: &NodeId, there: &BTreeSet<EventId>) -> bool {
        let ids: Vec<EventId> = there.iter().copied().collect();
        self.sightings_of(number, node).any(|sighting| sighting.digest == digest(&ids))
    }

    /// Whether a node was told to have kept back logs of a block, and that was not withdrawn.
    pub(crate) fn has_standing_loss(&self, number: u64, node: &NodeId) -> bool {
        let mut told = self.losses.get(&number).into_iter().flatten();
        told.rfind(|told| told.node == *node).is_some_and(|last| last.flaw == Flaw::Missing)
    }
}
