//! A second look: a report of final blocks that other nodes covered before is compared with what is
//! stored. Identities are compared, never what differs honestly, such as log indexes.
//!
//! What such a report adds waits until receipts show it or a second node says so. Does not say who reads
//! what, asks nobody, and blames nobody: what differs is settled in `differences`.

use crate::{
    aggregator::Aggregator, coverage::merge_nodes, cut::Cut, extend::hash_at, heard::Heard,
    rows::Rows, stored::Stored,
};
use event::{BlockRange, Content, EventId, Evidence, Interval, NodeId, Report, ReportedBlock};
use std::collections::{BTreeMap, BTreeSet};

/// What one node and the ledger differ in over one block.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// The node has them, the ledger has not.
    pub(crate) adds: BTreeSet<EventId>,
    /// The ledger has them, the node has not.
    pub(crate) lacks: BTreeSet<EventId>,
    /// What the node has.
    pub(crate) given: BTreeSet<EventId>,
}

/// A report held against the ledger.
#[derive(Debug)]
pub(crate) struct SecondLook {
    /// Coverage by others before this report, as far as it is final.
    others: Vec<Interval>,
    pub(crate) stored: Stored,
    pub(crate) differences: BTreeMap<u64, Difference>,
}

impl SecondLook {
    /// Whether others covered the block.
    pub(crate) fn compares(&self, number: u64) -> bool {
        self.others.iter().any(|interval| interval.range.contains(number))
    }

    /// Returns who covered the block before, and how well.
    pub(crate) fn covering(&self, number: u64) -> (Vec<NodeId>, Content) {
        let (mut nodes, mut content) = (Vec::new(), Content::Claimed);
        for interval in self.others.iter().filter(|other| other.range.contains(number)) {
            merge_nodes(&mut nodes, &interval.nodes);
            content = content.max(interval.evidence.content);
        }
        (nodes, content)
    }
}

impl Aggregator {
    /// Whether the report is a second look at final blocks that other nodes covered: it is compared
    /// with what is stored of them, which is to be given with [`Self::compare_with`].
    pub fn is_second_look(&self, report: &Report) -> bool {
        report.is_second_look && !self.others(report).is_empty()
    }

    /// Takes what is stored for the next report.
    pub fn compare_with(&mut self, stored: Stored) {
        self.stored = Some(stored);
    }

    /// Whether what nodes were heard to say of the report's blocks matters to it, which is to be given with
    /// [`Self::hear`]: it is a second look, or has receipts of final blocks, which may show who was right.
    pub fn wants_heard(&self, report: &Report) -> bool {
        let last = self.canonical.finalized().max(report.finalized);
        let shows = |block: &ReportedBlock| block.receipts.is_some() && Some(block.number) <= last;
        self.is_second_look(report) || report.blocks.iter().any(shows)
    }

    /// Takes what was heard of the blocks of the next report.
    pub fn hear(&mut self, heard: Heard) {
        self.heard = heard;
    }

    fn others(&self, report: &Report) -> Vec<Interval> {
        let Some(last) = self.canonical.finalized().max(report.finalized) else {
            return Vec::new();
        };
        let last = last.min(report.range.last());
        let Some(range) = BlockRange::new(report.range.first(), last) else { return Vec::new() };
        let required = self.policy.verify.required();
        let covering = self.coverage.overlapping(&report.filter, range).filter(|covered| {
            covered.filter.intersection(&report.filter).as_ref() == Some(&*report.filter)
        });
        let intervals = covering.flat_map(|covered| covered.touching(range));
        intervals
            .filter(|interval| interval.evidence.content >= required)
            .filter(|interval| interval.nodes.iter().any(|node| *node != report.node))
            .filter_map(|interval| {
                let range = interval.range.intersection(&range)?;
                Some(Interval { range, links: None, ..interval.clone() })
            })
            .collect()
    }

    /// Compares what the report has with what is stored.
    pub(crate) fn second_look(
        &mut self,
        report: &Report,
        rows: &Rows,
        refused: &[bool],
    ) -> Option<SecondLook> {
        let stored = self.stored.take()?;
        let others = self.others(report);
        let mut look = SecondLook { others, stored, differences: BTreeMap::new() };
        let mut given: BTreeMap<u64, BTreeSet<EventId>> = BTreeMap::new();
        for (row, block) in rows.logs.block.iter().enumerate() {
            let block = &report.blocks[*block as usize];
            let id = rows.id(report.chain, block.hash, row);
            given.entry(block.number).or_default().insert(id);
        }
        let refused: BTreeSet<u64> = (report.blocks.iter().zip(refused))
            .filter(|(_, refused)| **refused)
            .map(|(block, _)| block.number)
            .collect();
        let mut numbers: BTreeSet<u64> =
            look.stored.numbers().chain(given.keys().copied()).collect();
        numbers.retain(|number| !refused.contains(number) && look.compares(*number));
        for number in numbers {
            let stored = look.stored.ids(number);
            let given = given.remove(&number).unwrap_or_default();
            if stored != given {
                let adds = given.difference(&stored).copied().collect();
                let lacks = stored.difference(&given).copied().collect();
                look.differences.insert(number, Difference { adds, lacks, given });
            }
        }
        Some(look)
    }

    /// Records of whatever does not differ that one more node says so.
    pub(crate) fn agree(&mut self, report: &Report, look: &SecondLook, cut: &mut Cut) {
        let mut apart: Vec<BlockRange> =
            look.differences.keys().copied().map(BlockRange::one).collect();
        apart.extend(cut.ack.open.iter().map(|(range, _)| *range));
        apart.sort_unstable();
        let mut agreed: Vec<BlockRange> = Vec::new();
        let refused = cut.refused_headers.clone();
        for other in look.others.iter().filter(|other| !other.nodes.contains(&report.node)) {
            let all = u8::try_from(other.nodes.len() + 1).unwrap_or(u8::MAX);
            let content = match other.evidence.content {
                // A block that one header's bloom excludes may be called agreed by fewer nodes.
                Content::Agreed(n) => Content::Agreed(n.saturating_add(1).min(all).max(n)),
                // Which of several nodes said what is not known any more, but one of them said each log, and
                // none of them any that this one does not.
                content => content.max(Content::Agreed(2)),
            };
            let mut nodes = other.nodes.clone();
            merge_nodes(&mut nodes, std::slice::from_ref(&report.node));
            let evidence = Evidence { content, ..other.evidence };
            for range in outside(other.range, &apart) {
                agreed.push(range);
                let said = Interval { range, evidence, nodes: nodes.clone(), links: None };
                let hash_at = hash_at(report, &refused, &self.canonical);
                let added = self.coverage.add(&report.filter, &[said], &hash_at);
                let changed = added.changed.map(|range| (report.filter.clone(), range));
                cut.changed.extend(changed);
            }
        }
        agreed.sort_unstable();
        let mut next = 0;
        for range in agreed {
            let first = range.first().max(next);
            cut.ack.agreed += BlockRange::new(first, range.last()).map_or(0, |new| new.count());
            next = next.max(range.last().saturating_add(1));
        }
    }
}

/// Returns the parts of `range` outside of `apart`, which is sorted.
fn outside(range: BlockRange, apart: &[BlockRange]) -> Vec<BlockRange> {
    let mut parts = Vec::new();
    let mut first = Some(range.first());
    for hole in apart.iter().filter(|hole| hole.intersection(&range).is_some()) {
        let before = hole.first().checked_sub(1);
        parts.extend(first.zip(before).and_then(|(first, last)| BlockRange::new(first, last)));
        first = hole.last().checked_add(1).max(first);
    }
    parts.extend(first.and_then(|first| BlockRange::new(first, range.last())));
    parts
}
