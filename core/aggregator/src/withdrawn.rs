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
    /// Over what was stored of the block and filter: whoever gave just that made up what of it is refuted.
    stored: B256,
    /// Nodes by whose word they are stored.
    told_by: Vec<NodeId>,
}

impl Refuted {
    /// `gone` are the ids that are refuted, and `there` those of the report's filter that receipts show in the
    /// block, sorted; of these `is_stored` tells which were known before.
    pub(crate) fn new(
        report: &Report,
        block: &ReportedBlock,
        (gone, there): (&[EventId], &[EventId]),
        is_stored: impl Fn(&EventId) -> bool,
        told_by: Vec<NodeId>,
    ) -> Self {
        let mut stored: Vec<EventId> =
            there.iter().filter(|id| is_stored(id)).chain(gone).copied().collect();
        stored.sort_unstable();
        Self {
            chain: report.chain,
            number: block.number,
            filter: report.filter.id(),
            count: gone.len() as u64,
            digest: digest(there),
            stored: digest(&stored),
            told_by,
        }
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
    /// losses that were told of it: who made up what is refuted, unless `already` tells of it, and, of those that
    /// said just what receipts show by every way, that their loss is none.
    pub fn told(
        &self,
        sightings: &[Sighting],
        losses: &[Incident],
        already: &[Incident],
    ) -> Vec<Incident> {
        let is_right = |node: &NodeId| {
            let mut said = sightings.iter().filter(|sighting| sighting.node == *node).peekable();
            said.peek().is_some() && said.all(|sighting| sighting.digest == self.digest)
        };
        let gave = sightings.iter().filter(|sighting| sighting.digest == self.stored);
        let told_by: BTreeSet<&NodeId> =
            gave.map(|sighting| &sighting.node).chain(&self.told_by).collect();
        let is_told = |node: &NodeId| {
            let mut of_block = already.iter().filter(|told| told.range == self.block());
            of_block.any(|told| told.node == *node && told.flaw == Flaw::Forged)
        };
        let liars = told_by.into_iter().filter(|node| !is_right(node) && !is_told(node));
        let named = liars.map(|node| Incident {
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
        named.chain(withdrawn).collect()
    }
}
