//! What receipts that refute stored logs say of nodes: by whose word those were stored is named, and what was
//! told of whoever lacked them is withdrawn. Nothing is deleted: that it is withdrawn is told as well.

use crate::{admission::made_up, sightings::digest};
use alloy_primitives::B256;
use event::{
    BlockRange, ChainId, EventId, FilterId, Flaw, Incident, NodeId, Report, ReportedBlock, Sighting,
};
use std::collections::BTreeSet;

/// A block of which made-up logs were stored, and what receipts show of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refuted {
    chain: ChainId,
    number: u64,
    filter: FilterId,
    /// Logs that were made up.
    count: u64,
    digest: B256,
    /// Nodes by whose word they are stored.
    told_by: Vec<NodeId>,
}

impl Refuted {
    /// `there` are the ids of the report's filter that receipts show in the block, sorted.
    pub(crate) fn new(
        report: &Report,
        block: &ReportedBlock,
        count: u64,
        (there, told_by): (&[EventId], Vec<NodeId>),
    ) -> Self {
        let (chain, filter, digest) = (report.chain, report.filter.id(), digest(there));
        Self { chain, number: block.number, filter, count, digest, told_by }
    }

    /// Returns of which filter it is.
    pub const fn filter(&self) -> FilterId {
        self.filter
    }

    /// Returns which block it is.
    pub fn block(&self) -> BlockRange {
        BlockRange::one(self.number)
    }

    /// Returns what is to be told of nodes, given what they said of the block while it was in doubt and the
    /// losses that were told of it: who made up what is refuted, and, of those that said just what receipts
    /// show by every way, that their loss is none.
    pub fn told(&self, sightings: &[Sighting], losses: &[Incident]) -> Vec<Incident> {
        let is_right = |node: &NodeId| {
            let mut said = sightings.iter().filter(|sighting| sighting.node == *node).peekable();
            said.peek().is_some() && said.all(|sighting| sighting.digest == self.digest)
        };
        let made_up = self.told_by.iter().filter(|node| !is_right(node)).map(|node| Incident {
            chain: self.chain,
            node: node.clone(),
            range: self.block(),
            flaw: Flaw::Forged,
            count: self.count,
            detail: made_up(self.count, self.number),
        });
        let nodes: BTreeSet<&NodeId> = losses.iter().map(|told| &told.node).collect();
        let last = |node: &NodeId| losses.iter().rfind(|told| told.node == *node);
        let standing = nodes.into_iter().filter_map(last).filter(|told| {
            told.flaw == Flaw::Missing && told.count <= self.count && is_right(&told.node)
        });
        let withdrawn = standing.map(|told| Incident {
            flaw: Flaw::Withdrawn,
            detail: format!(
                "it kept nothing back of block {}: receipts show what it gave",
                self.number
            ),
            ..told.clone()
        });
        made_up.chain(withdrawn).collect()
    }
}
