//! What was told of a node and is not so: it lacked logs that others had made up alike. Only receipts that
//! refute what is stored show that. Nothing is deleted: that it is withdrawn is told as well.

use crate::sightings::digest;
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
}

impl Refuted {
    /// `there` are the ids of the report's filter that receipts show in the block, sorted.
    pub(crate) fn new(
        report: &Report,
        block: &ReportedBlock,
        count: u64,
        there: &[EventId],
    ) -> Self {
        let (chain, filter) = (report.chain, report.filter.id());
        Self { chain, number: block.number, filter, count, digest: digest(there) }
    }

    /// Returns of which filter it is.
    pub const fn filter(&self) -> FilterId {
        self.filter
    }

    /// Returns which block it is.
    pub fn block(&self) -> BlockRange {
        BlockRange::one(self.number)
    }

    /// Returns what is withdrawn, given what nodes said of the block while it was in doubt and the losses
    /// that were told of it: those of nodes that said just what receipts show, by every way.
    pub fn withdrawn(&self, sightings: &[Sighting], losses: &[Incident]) -> Vec<Incident> {
        let is_right = |node: &NodeId| {
            let mut said = sightings.iter().filter(|sighting| sighting.node == *node).peekable();
            said.peek().is_some() && said.all(|sighting| sighting.digest == self.digest)
        };
        let nodes: BTreeSet<&NodeId> = losses.iter().map(|told| &told.node).collect();
        let last = |node: &NodeId| losses.iter().rfind(|told| told.node == *node);
        let standing = nodes.into_iter().filter_map(last).filter(|told| {
            told.flaw == Flaw::Missing && told.count <= self.count && is_right(&told.node)
        });
        standing
            .map(|told| Incident {
                flaw: Flaw::Withdrawn,
                detail: format!(
                    "it kept nothing back of block {}: receipts show what it gave",
                    self.number
                ),
                ..told.clone()
            })
            .collect()
    }
}
