//! What a ledger holds of nodes on the blocks of a report: what they said of blocks that were in doubt, and who
//! was told to have kept something back. Says nothing of the events.

use crate::sightings::digest;
use event::{EventId, Flaw, Incident, NodeId, Sighting, Via};
use std::collections::{BTreeMap, BTreeSet};

/// What nodes were heard to say of the blocks of a report, by block.
#[derive(Debug, Default)]
pub struct Heard {
    sightings: BTreeMap<u64, Vec<Sighting>>,
    losses: BTreeMap<u64, Vec<Incident>>,
}

impl Heard {
    /// Returns it from what is known of who reported blocks by which way, and from the losses that were told
    /// and taken back, in order.
    pub fn new(sightings: Vec<Sighting>, losses: Vec<Incident>) -> Self {
        let mut heard = Self::default();
        for sighting in sightings {
            heard.sightings.entry(sighting.number).or_default().push(sighting);
        }
        for loss in losses {
            heard.losses.entry(loss.range.first()).or_default().push(loss);
        }
        heard
    }

    /// Returns the blocks that nodes were heard on, lowest first.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.sightings.keys().copied()
    }

    /// Whether any node was heard on the block.
    pub(crate) fn has_block(&self, number: u64) -> bool {
        self.sightings.contains_key(&number)
    }

    /// Returns by which way a node was asked for a block, where that was noted.
    pub(crate) fn via(&self, number: u64, node: &NodeId) -> Option<Via> {
        self.of(number, node).last().map(|sighting| sighting.via)
    }

    fn of(&self, number: u64, node: &NodeId) -> impl Iterator<Item = &Sighting> {
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
        self.of(number, node).any(|sighting| sighting.digest == digest(&ids))
    }

    /// Whether a node was told to have kept back logs of a block, and that was not withdrawn.
    pub(crate) fn has_standing_loss(&self, number: u64, node: &NodeId) -> bool {
        let mut told = self.losses.get(&number).into_iter().flatten();
        told.rfind(|told| told.node == *node).is_some_and(|last| last.flaw == Flaw::Missing)
    }
}
