//! What a second look differs in from the ledger, settled as far as it can be: who kept back or made up
//! what is named once two nodes or receipts say so, and what nothing decides waits and leaves its block open.
//!
//! A log in the ledger that another node lacks waits as one that it adds does: as a candidate, until a
//! node besides those that told it, or receipts, say that it is there. Does not compare, and asks nobody.

use crate::{
    admission::Decided,
    aggregator::Aggregator,
    coverage::{adjacent, merge_nodes},
    cut::{Cut, shown, shown_by_receipts},
    second_look::{Difference, SecondLook},
    sightings::digest,
    standing::Standing,
    votes::BallotKey,
};
use event::{BlockRange, Content, EventId, Flaw, Judgement, NodeId, Report, Sighting, Via};
use std::collections::BTreeMap;

/// Blocks remembered that receipts have shown, at most; of others a node that differs is not named.
const PROVED_REMEMBERED_MAX: usize = 16_384;

const DIFFER: &str = "nodes differ, and no receipts show who is right";

/// What a second look found, while it is settled.
pub(crate) struct Found<'a> {
    pub(crate) report: &'a Report,
    pub(crate) look: &'a SecondLook,
    pub(crate) decided: &'a Decided,
    /// Per block of the report: whether its receipts show all of it, or its bloom that nothing is there.
    pub(crate) shown: Vec<bool>,
}

impl<'a> Found<'a> {
    pub(crate) fn new(
        report: &'a Report,
        judgement: &Judgement,
        look: &'a SecondLook,
        decided: &'a Decided,
    ) -> Self {
        Self { report, look, decided, shown: shown(report, judgement) }
    }

    /// Returns the place of a block in the report.
    fn at(&self, number: u64) -> Option<usize> {
        self.report.blocks.binary_search_by_key(&number, |block| block.number).ok()
    }

    fn is_proved(&self, number: u64) -> bool {
        self.at(number).is_some_and(|i| self.shown[i])
    }

    /// Returns by which way the report's node was asked for a block.
    fn via(&self, number: u64) -> Via {
        self.at(number).map_or(Via::Range, |i| self.report.blocks[i].via)
    }

    /// Returns those that covered the block before, without the report's node.
    fn others(&self, number: u64) -> Vec<NodeId> {
        let (nodes, _) = self.look.covering(number);
        nodes.into_iter().filter(|node| *node != self.report.node).collect()
    }
}

impl Aggregator {
    /// Names who kept back or made up what, and leaves open what nothing decides; returns how blocks
    /// stand that the report lacks altogether.
    pub(crate) fn settle_differences(
        &mut self,
        found: &Found<'_>,
        standings: &mut [Standing],
        cut: &mut Cut,
    ) -> BTreeMap<u64, Standing> {
        let mut apart = BTreeMap::new();
        for (number, difference) in &found.look.differences {
            let waiting = difference.adds.iter().filter(|id| found.decided.waiting.contains(id));
            let mut differs = waiting.count() > 0;
            self.tell_found(found, *number, difference, cut);
            // What receipts do not have is refuted, and whoever told it is named with that.
            if !difference.lacks.is_empty() && !found.is_proved(*number) {
                let is_sure = !differs && self.is_sure(found, *number);
                if is_sure {
                    let about = (difference.lacks.len() as u64, found.via(*number));
                    let by = by(&found.others(*number));
                    self.tell_kept_back(found, *number, &found.report.node, about, &by, cut);
                } else {
                    self.hold_again(found, *number, difference, cut);
                }
                differs |= !is_sure;
                // Its word is not one by which the block is covered.
                let open = (!is_sure).then(|| DIFFER.into());
                match found.at(*number).and_then(|i| standings.get_mut(i)) {
                    Some(standing) => (standing.content, standing.open) = (None, open),
                    None => drop(apart.insert(*number, Standing::left_out(open))),
                }
            }
            if differs {
                note_heard(found, *number, difference, cut);
                let block = BlockRange::one(*number);
                match cut.ack.differs.last_mut() {
                    Some(last) if adjacent(last, &block) => *last = last.hull(block),
                    _ => cut.ack.differs.push(block),
                }
            }
        }
        self.tell_heard(found, standings, cut);
        apart
    }

    /// Whether it is known that what the report lacks of a block is there. Two nodes may have made it up
    /// alike: whoever says otherwise is asked for receipts before it is named.
    fn is_sure(&self, found: &Found<'_>, number: u64) -> bool {
        let (_, content) = found.look.covering(number);
        let was_asked = || found.look.stored.has_heard(number, &found.report.node);
        content == Content::Receipts
            || self.proved.contains(&(number, found.report.filter.id()))
            || (content >= Content::Agreed(2) && was_asked())
    }

    /// Names those that lacked what entered now.
    fn tell_found(&self, found: &Found<'_>, number: u64, difference: &Difference, cut: &mut Cut) {
        let Some(at) = found.at(number) else { return };
        let entered = difference.adds.iter().filter(|id| !found.decided.waiting.contains(id));
        let entered = entered.count() as u64;
        if entered == 0 || found.decided.blocks[at].is_refuted {
            return;
        }
        let mut gave = vec![found.report.node.clone()];
        let said = found.decided.nodes.get(&(at as u32));
        merge_nodes(&mut gave, said.map_or(&[][..], |nodes| nodes));
        let (nodes, _) = found.look.covering(number);
        for node in nodes.iter().filter(|node| !gave.contains(node)) {
            let via = found.look.stored.via(number, node).unwrap_or(Via::Range);
            let by = if found.shown[at] { SHOWN.into() } else { by(&gave) };
            self.tell_kept_back(found, number, node, (entered, via), &by, cut);
        }
    }

    /// Has stored logs wait again that a second node lacks, where only one said that they are there.
    fn hold_again(
        &mut self,
        found: &Found<'_>,
        number: u64,
        difference: &Difference,
        cut: &mut Cut,
    ) {
        if found.look.covering(number).1 >= Content::Agreed(2) {
            return;
        }
        for id in &difference.lacks {
            let candidate = found.look.stored.told_by(number, id, found.others(number));
            let held = candidate.and_then(|candidate| self.candidates.hold(candidate));
            cut.commit.candidates.extend(held);
        }
    }

    /// Names those that were heard on a block while it was in doubt and lacked what is sure now, whoever
    /// it was that made it sure.
    fn tell_heard(&self, found: &Found<'_>, standings: &[Standing], cut: &mut Cut) {
        let Found { report, look, .. } = found;
        for number in look.stored.heard().filter(|number| look.compares(*number)) {
            let Some(at) = found.at(number) else { continue };
            let difference = look.differences.get(&number);
            let is_covered = standings[at].open.is_none() && standings[at].content.is_some();
            let (there, by) = match difference {
                Some(difference) if found.shown[at] => (difference.given.clone(), SHOWN.into()),
                None if found.shown[at] => (look.stored.ids(number), SHOWN.into()),
                None if is_covered => {
                    let (mut nodes, _) = look.covering(number);
                    merge_nodes(&mut nodes, std::slice::from_ref(&report.node));
                    (look.stored.ids(number), by(&nodes))
                }
                Some(difference) if difference.adds.is_empty() && self.is_sure(found, number) => {
                    (look.stored.ids(number), by(&found.others(number)))
                }
                _ => continue,
            };
            for (node, count, via) in look.stored.lacking(number, &there) {
                self.tell_kept_back(found, number, &node, (count, via), &by, cut);
            }
        }
    }

    fn tell_kept_back(
        &self,
        found: &Found<'_>,
        number: u64,
        node: &NodeId,
        (count, via): (u64, Via),
        by: &str,
        cut: &mut Cut,
    ) {
        let (filter, block) = (found.report.filter.id(), BlockRange::one(number));
        let hash = found.at(number).map(|i| found.report.blocks[i].hash);
        let ballot = hash.and_then(|hash| self.votes.get(&BallotKey { number, hash, filter }));
        // Where votes are kept, who voted is named by them.
        let has_voted =
            ballot.is_some_and(|ballot| ballot.votes.iter().any(|vote| vote.node == *node));
        if has_voted
            || found.look.stored.has_standing_loss(number, node)
            || cut.has_told(node, Flaw::Missing, block)
        {
            return;
        }
        // A way is noted where a block was read by hash, or was in doubt.
        let how = match via {
            Via::Range => "over a range",
            Via::BlockHash => "by block hash",
            Via::Receipts => "in receipts",
        };
        let logs = if count == 1 { "log" } else { "logs" };
        let detail = format!("{count} {logs} of block {number} kept back {how} that {by}");
        cut.incident_of(node.clone(), block, Flaw::Missing, count, detail);
    }

    /// Remembers which final blocks receipts have shown, for whoever says otherwise later.
    pub(crate) fn note_proved(&mut self, report: &Report, judgement: &Judgement) {
        let filter = report.filter.id();
        let shown = shown_by_receipts(report, judgement);
        for (block, _) in report.blocks.iter().zip(shown).filter(|(_, is_shown)| *is_shown) {
            if self.canonical.is_final(block.number) {
                self.proved.insert((block.number, filter));
            }
        }
        while self.proved.len() > PROVED_REMEMBERED_MAX {
            self.proved.pop_first();
        }
    }
}

/// Keeps what the report says of a block that nodes differ in: it is held against its node, or against
/// others, once it is known who is right.
fn note_heard(found: &Found<'_>, number: u64, difference: &Difference, cut: &mut Cut) {
    let Difference { adds, lacks, given } = difference;
    let Some(hash) = adds.iter().chain(lacks).next().map(|id| id.block_hash) else { return };
    let ids: Vec<EventId> = given.iter().copied().collect();
    let sighting = Sighting {
        number,
        hash,
        filter: found.report.filter.id(),
        node: found.report.node.clone(),
        via: found.via(number),
        logs: ids.len() as u64,
        digest: digest(&ids),
    };
    cut.commit.sightings.push(sighting);
}

const SHOWN: &str = "receipts show";

fn by(gave: &[NodeId]) -> String {
    let names: Vec<&str> = gave.iter().map(|node| &*node.0).collect();
    format!("{} gave", names.join(" and "))
}
