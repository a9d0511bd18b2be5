//! A second look: a report of final blocks that other nodes covered before is compared with what is
//! stored. Identities are compared, never what differs honestly, such as log indexes.
//!
//! What such a report adds waits until receipts show it or a second node says so; who kept back what
//! is named. Does not say who reads what, and asks nobody.

use crate::{
    admission::Decided,
    aggregator::Aggregator,
    coverage::{adjacent, merge_nodes},
    cut::{Cut, flawed, spoils_receipts},
    extend::hash_at,
    rows::{Rows, event_id},
    standing::Standing,
    votes::BallotKey,
};
use event::{
    BlockRange, ChainId, Content, EventId, EventPage, Evidence, Flaw, Incident, Interval,
    Judgement, NodeId, Report, Sighting, Via,
};
use std::collections::{BTreeMap, BTreeSet};

/// Blocks remembered that receipts have shown, at most; of others a node that differs is not named.
const PROVED_REMEMBERED_MAX: usize = 16_384;

const DIFFER: &str = "nodes differ, and no receipts show who is right";

/// What is stored of the blocks of a report.
#[derive(Debug, Default)]
pub struct Stored {
    ids: BTreeMap<u64, BTreeSet<EventId>>,
    vias: BTreeMap<(u64, NodeId), Via>,
}

impl Stored {
    /// Returns it from the canonical events of the report's filter and range, and from what is known
    /// of who reported them by which way.
    pub fn new(chain: ChainId, page: &EventPage, sightings: &[Sighting]) -> Self {
        let mut stored = Self::default();
        for (log, occurrence) in page.logs.rows().zip(&page.occurrence) {
            let Some(block) = page.blocks.get(log.block as usize) else { continue };
            let id = event_id(chain, block.hash, log, *occurrence);
            stored.ids.entry(block.number).or_default().insert(id);
        }
        for sighting in sightings {
            stored.vias.insert((sighting.number, sighting.node.clone()), sighting.via);
        }
        stored
    }

    #[cfg(test)]
    pub(crate) fn of_ids(ids: impl Iterator<Item = (EventId, u64)>) -> Self {
        let mut stored = Self::default();
        ids.for_each(|(id, number)| {
            stored.ids.entry(number).or_default().insert(id);
        });
        stored
    }
}

/// What one node and the ledger differ in over one block.
#[derive(Debug, Default)]
struct Difference {
    /// The node has them, the ledger has not.
    adds: BTreeSet<EventId>,
    /// The ledger has them, the node has not.
    lacks: u64,
}

/// A report held against the ledger.
#[derive(Debug)]
pub(crate) struct SecondLook {
    /// Coverage by others before this report, as far as it is final.
    others: Vec<Interval>,
    vias: BTreeMap<(u64, NodeId), Via>,
    differences: BTreeMap<u64, Difference>,
}

impl SecondLook {
    /// Whether others covered the block.
    pub(crate) fn compares(&self, number: u64) -> bool {
        self.others.iter().any(|interval| interval.range.contains(number))
    }

    fn covering(&self, number: u64) -> (Vec<NodeId>, Content) {
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
        let Stored { ids, vias } = self.stored.take()?;
        let others = self.others(report);
        let mut look = SecondLook { others, vias, differences: BTreeMap::new() };
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
        let none = BTreeSet::new();
        let numbers: BTreeSet<u64> = ids.keys().chain(given.keys()).copied().collect();
        let compared: Vec<u64> =
            numbers.difference(&refused).copied().filter(|n| look.compares(*n)).collect();
        for number in compared {
            let (stored, given) =
                (ids.get(&number).unwrap_or(&none), given.get(&number).unwrap_or(&none));
            let adds: BTreeSet<EventId> = given.difference(stored).copied().collect();
            let lacks = stored.difference(given).count() as u64;
            if !adds.is_empty() || lacks > 0 {
                look.differences.insert(number, Difference { adds, lacks });
            }
        }
        Some(look)
    }

    /// Names who kept back what, and leaves open what nothing decides.
    pub(crate) fn settle_differences(
        &mut self,
        report: &Report,
        judgement: &Judgement,
        look: &SecondLook,
        decided: &Decided,
        standings: &mut [Standing],
        cut: &mut Cut,
    ) {
        let spoiled = flawed(report, judgement, spoils_receipts);
        for (number, difference) in &look.differences {
            let at = report.blocks.binary_search_by_key(number, |block| block.number).ok();
            let is_proved = at.is_some_and(|i| {
                let has_receipts = report.blocks[i].receipts.is_some();
                has_receipts && judgement.blocks[i].content == Content::Receipts && !spoiled[i]
            });
            let (nodes, content) = look.covering(*number);
            let waiting = difference.adds.iter().filter(|id| decided.waiting.contains(id)).count();
            let found = (difference.adds.len() - waiting) as u64;
            let mut gave = vec![report.node.clone()];
            let said = at.and_then(|i| decided.nodes.get(&(i as u32)));
            merge_nodes(&mut gave, said.map_or(&[][..], |nodes| nodes));
            let is_shown = at.is_some_and(|i| !decided.blocks[i].is_refuted);
            if found > 0 && is_shown {
                for node in nodes.iter().filter(|node| !gave.contains(node)) {
                    let via = look.vias.get(&(*number, node.clone())).copied();
                    let by = if is_proved { "receipts show".into() } else { by(&gave) };
                    self.tell_kept_back(report, *number, node, (found, via), &by, cut);
                }
            }
            let mut differs = waiting > 0;
            if difference.lacks > 0 && is_proved {
                for node in nodes.iter().filter(|node| **node != report.node) {
                    let detail =
                        format!("{} logs of block {number} that no receipt has", difference.lacks);
                    let incident = Incident {
                        chain: report.chain,
                        node: node.clone(),
                        range: BlockRange::one(*number),
                        flaw: Flaw::Forged,
                        count: difference.lacks,
                        detail,
                    };
                    cut.commit.incidents.push(incident);
                }
            } else if difference.lacks > 0 {
                let is_shown = self.proved.contains(&(*number, report.filter.id()));
                let is_sure = content >= Content::Agreed(2) || is_shown;
                if is_sure {
                    let via = at.map(|i| report.blocks[i].via);
                    let had: Vec<NodeId> =
                        nodes.iter().filter(|node| **node != report.node).cloned().collect();
                    let about = (difference.lacks, via);
                    self.tell_kept_back(report, *number, &report.node, about, &by(&had), cut);
                }
                differs |= !is_sure;
                // Its word is not one by which the block is covered.
                if let Some(standing) = at.and_then(|i| standings.get_mut(i)) {
                    standing.content = None;
                    standing.open = (!is_sure).then(|| DIFFER.into());
                }
            }
            if differs {
                let block = BlockRange::one(*number);
                match cut.ack.differs.last_mut() {
                    Some(last) if adjacent(last, &block) => *last = last.hull(block),
                    _ => cut.ack.differs.push(block),
                }
            }
        }
    }

    fn tell_kept_back(
        &self,
        report: &Report,
        number: u64,
        node: &NodeId,
        (count, via): (u64, Option<Via>),
        by: &str,
        cut: &mut Cut,
    ) {
        let at = report.blocks.binary_search_by_key(&number, |block| block.number);
        let filter = report.filter.id();
        let key = at.ok().map(|i| BallotKey { number, hash: report.blocks[i].hash, filter });
        let ballot = key.and_then(|key| self.votes.get(&key));
        // Where votes are kept, who voted is named by them.
        if ballot.is_some_and(|ballot| ballot.votes.iter().any(|vote| vote.node == *node)) {
            return;
        }
        // A way is noted where a block was read by hash, or was in doubt.
        let how = match via.unwrap_or(Via::Range) {
            Via::Range => "over a range",
            Via::BlockHash => "by block hash",
            Via::Receipts => "in receipts",
        };
        let logs = if count == 1 { "log" } else { "logs" };
        cut.commit.incidents.push(Incident {
            chain: report.chain,
            node: node.clone(),
            range: BlockRange::one(number),
            flaw: Flaw::Missing,
            count,
            detail: format!("{count} {logs} of block {number} kept back {how} that {by}"),
        });
    }

    /// Remembers which final blocks receipts have shown, for whoever says otherwise later.
    pub(crate) fn note_proved(&mut self, report: &Report, judgement: &Judgement) {
        let spoiled = flawed(report, judgement, spoils_receipts);
        let filter = report.filter.id();
        for (i, block) in report.blocks.iter().enumerate() {
            let is_shown = block.receipts.is_some()
                && judgement.blocks[i].content == Content::Receipts
                && !spoiled[i];
            if is_shown && self.canonical.is_final(block.number) {
                self.proved.insert((block.number, filter));
            }
        }
        while self.proved.len() > PROVED_REMEMBERED_MAX {
            self.proved.pop_first();
        }
    }

    /// Records of whatever does not differ that one more node says so.
    pub(crate) fn agree(&mut self, report: &Report, look: &SecondLook, cut: &mut Cut) {
        let mut apart: Vec<BlockRange> =
            look.differences.keys().copied().map(BlockRange::one).collect();
        apart.extend(cut.ack.open.iter().map(|(range, _)| *range));
        apart.sort_unstable();
        let mut agreed: Vec<BlockRange> = Vec::new();
        for other in look.others.iter().filter(|other| !other.nodes.contains(&report.node)) {
            let all = u8::try_from(other.nodes.len() + 1).unwrap_or(u8::MAX);
            let content = match (other.evidence.content, other.nodes.len()) {
                // A block that one header's bloom excludes may be called agreed by fewer nodes.
                (Content::Agreed(n), _) => Content::Agreed(n.saturating_add(1).min(all).max(n)),
                (content, 1) => content.max(Content::Agreed(2)),
                // Which of them said what is not known any more.
                (content, _) => content,
            };
            let mut nodes = other.nodes.clone();
            merge_nodes(&mut nodes, std::slice::from_ref(&report.node));
            let evidence = Evidence { content, ..other.evidence };
            for range in outside(other.range, &apart) {
                agreed.push(range);
                let said = Interval { range, evidence, nodes: nodes.clone(), links: None };
                let hash_at = hash_at(report, &self.canonical);
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

fn by(gave: &[NodeId]) -> String {
    let names: Vec<&str> = gave.iter().map(|node| &*node.0).collect();
    format!("{} gave", names.join(" and "))
}
