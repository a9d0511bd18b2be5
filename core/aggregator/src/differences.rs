//! What a second look differs in from the ledger, settled as far as it can be: who kept back or made up
//! what is named once receipts show it, and what they do not decide waits and leaves its block open.
//!
//! A log in the ledger that another node lacks waits as one that it adds does: as a candidate, until
//! receipts say whether it is there. How many say so decides nothing: two may have lost or made up the same.
//! Does not compare, and asks nobody.

use crate::{
    admission::Decided,
    aggregator::Aggregator,
    coverage::{adjacent, merge_nodes},
    cut::{Cut, shown, shown_by_receipts},
    heard::Heard,
    pieces::reported,
    second_look::{Difference, SecondLook},
    sightings::digest,
    standing::Standing,
    votes::BallotKey,
};
use event::{
    BlockRange, Content, EventId, Filter, Flaw, Judgement, NodeId, Report, ReportedBlock, Sighting,
    Via,
};
use std::collections::{BTreeMap, BTreeSet};

/// Blocks remembered that receipts have shown, at most; of others a node that differs is not named.
const PROVED_REMEMBERED_MAX: usize = 16_384;

const DIFFER: &str = "nodes differ, and no receipts show who is right";

/// What a second look found, while it is settled.
pub(crate) struct Found<'a> {
    pub(crate) report: &'a Report,
    pub(crate) look: &'a SecondLook,
    pub(crate) heard: &'a Heard,
    pub(crate) decided: &'a Decided,
    /// Per block of the report: whether its receipts show all of it, or its bloom that nothing is there.
    pub(crate) shown: Vec<bool>,
}

impl<'a> Found<'a> {
    pub(crate) fn new(
        report: &'a Report,
        judgement: &Judgement,
        (look, heard): (&'a SecondLook, &'a Heard),
        decided: &'a Decided,
    ) -> Self {
        Self { report, look, heard, decided, shown: shown(report, judgement) }
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
        let (mut apart, mut differing) = (BTreeMap::new(), BTreeSet::new());
        for (number, difference) in &found.look.differences {
            let mut differs = difference.adds.iter().any(|id| self.candidates.get(id).is_some());
            self.tell_found(found, *number, difference, cut);
            // What receipts do not have is refuted, and whoever told it is named with that.
            if !difference.lacks.is_empty() && !found.is_proved(*number) {
                let is_sure = !differs && self.is_sure(found, *number);
                if is_sure {
                    let about = (difference.lacks.len() as u64, found.via(*number));
                    let (report, heard) = (found.report, found.heard);
                    self.tell_kept_back((report, heard), *number, &report.node, about, SHOWN, cut);
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
            }
            differing.extend(differs.then_some(*number));
        }
        // One that says what is stored ends no dispute of others.
        let blocks = found.report.blocks.iter();
        let is_disputed = |block: &&ReportedBlock| {
            found.look.compares(block.number) && self.is_disputed_block(block, &found.report.filter)
        };
        differing.extend(blocks.filter(is_disputed).map(|block| block.number));
        for block in differing.into_iter().map(BlockRange::one) {
            match cut.ack.differs.last_mut() {
                Some(last) if adjacent(last, &block) => *last = last.hull(block),
                _ => cut.ack.differs.push(block),
            }
        }
        self.tell_heard(found, standings, cut);
        apart
    }

    /// Whether a final block has logs of the filter that wait for receipts.
    fn is_disputed_block(&self, block: &ReportedBlock, filter: &Filter) -> bool {
        let mut waiting = self.candidates.in_block(&block.hash);
        self.canonical.is_settled(block.number)
            && waiting.any(|candidate| filter.matches(candidate.log.row(0)))
    }

    /// Whether receipts have shown that what the report lacks of a block is there.
    fn is_sure(&self, found: &Found<'_>, number: u64) -> bool {
        let (_, content) = found.look.covering(number);
        content == Content::Receipts
            || self.proved.contains_key(&(number, found.report.filter.id()))
    }

    /// Names those that lacked what receipts show.
    fn tell_found(&self, found: &Found<'_>, number: u64, difference: &Difference, cut: &mut Cut) {
        let Some(at) = found.at(number).filter(|at| found.shown[*at]) else { return };
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
            let via = found.heard.via(number, node).unwrap_or(Via::Range);
            let about = (found.report, found.heard);
            self.tell_kept_back(about, number, node, (entered, via), SHOWN, cut);
        }
    }

    /// Has stored logs wait again that one more node lacks.
    fn hold_again(
        &mut self,
        found: &Found<'_>,
        number: u64,
        difference: &Difference,
        cut: &mut Cut,
    ) {
        for id in &difference.lacks {
            let candidate = found.look.stored.told_by(number, id, found.others(number));
            let held = candidate.and_then(|candidate| self.candidates.hold(candidate));
            cut.commit.candidates.extend(held);
        }
    }

    /// Names those that were heard on a block while it was in doubt and lacked what nobody disputes now.
    fn tell_heard(&self, found: &Found<'_>, standings: &[Standing], cut: &mut Cut) {
        let Found { report, look, heard, .. } = found;
        for number in heard.numbers().filter(|number| look.compares(*number)) {
            let Some(at) = found.at(number).filter(|at| !found.shown[*at]) else { continue };
            let is_covered = standings[at].open.is_none() && standings[at].content.is_some();
            let is_same = !look.differences.contains_key(&number)
                && !self.is_disputed_block(&report.blocks[at], &report.filter);
            if is_covered && is_same {
                let (mut nodes, _) = look.covering(number);
                merge_nodes(&mut nodes, std::slice::from_ref(&report.node));
                self.tell_lacking(
                    (report, heard),
                    number,
                    &look.stored.ids(number),
                    &by(&nodes),
                    cut,
                );
            }
        }
    }

    /// Names those that were heard on final blocks and lacked what the receipts of a report show, whoever gave
    /// them and for whatever reason.
    pub(crate) fn tell_shown(
        &self,
        report: &Report,
        judgement: &Judgement,
        (decided, heard): (&Decided, &Heard),
        cut: &mut Cut,
    ) {
        for (i, _) in shown(report, judgement).iter().enumerate().filter(|(_, shown)| **shown) {
            let number = report.blocks[i].number;
            if heard.has_block(number) && self.canonical.is_final(number) {
                let there = decided.ids.get(&(i as u32)).into_iter().flatten().copied().collect();
                self.tell_lacking((report, heard), number, &there, SHOWN, cut);
            }
        }
    }

    fn tell_lacking(
        &self,
        (report, heard): (&Report, &Heard),
        number: u64,
        there: &BTreeSet<EventId>,
        by: &str,
        cut: &mut Cut,
    ) {
        for (node, count, via) in heard.lacking(number, there) {
            self.tell_kept_back((report, heard), number, &node, (count, via), by, cut);
        }
    }

    fn tell_kept_back(
        &self,
        (report, heard): (&Report, &Heard),
        number: u64,
        node: &NodeId,
        (count, via): (u64, Via),
        by: &str,
        cut: &mut Cut,
    ) {
        let (filter, block) = (report.filter.id(), BlockRange::one(number));
        let hash = reported(report, number).map(|block| block.hash);
        let ballot = hash.and_then(|hash| self.votes.get(&BallotKey { number, hash, filter }));
        // Where votes are kept, who voted is named by them.
        let has_voted =
            ballot.is_some_and(|ballot| ballot.votes.iter().any(|vote| vote.node == *node));
        if has_voted
            || heard.has_standing_loss(number, node)
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
                self.proved.insert((block.number, filter), block.hash);
            }
        }
        while self.proved.len() > PROVED_REMEMBERED_MAX {
            self.proved.pop_first();
        }
    }
}

/// Keeps what the report says of a block that nodes differ in, and what the one before it said: it is held
/// against them once it is known who is right.
fn note_heard(found: &Found<'_>, number: u64, difference: &Difference, cut: &mut Cut) {
    let Difference { adds, lacks, given } = difference;
    let Some(hash) = adds.iter().chain(lacks).next().map(|id| id.block_hash) else { return };
    let sighting = |node: &NodeId, via: Via, ids: &BTreeSet<EventId>| {
        let ids: Vec<EventId> = ids.iter().copied().collect();
        let (filter, logs, digest) = (found.report.filter.id(), ids.len() as u64, digest(&ids));
        Sighting { number, hash, filter, node: node.clone(), via, logs, digest }
    };
    let said = sighting(&found.report.node, found.via(number), given);
    cut.commit.sightings.push(said);
    // What several covered one of them may have said alone.
    if let (nodes, Content::Claimed | Content::Bloom) = found.look.covering(number)
        && let [one] = &nodes[..]
        && *one != found.report.node
        && found.heard.via(number, one).is_none()
    {
        let stored = found.look.stored.ids(number);
        cut.commit.sightings.push(sighting(one, Via::Range, &stored));
    }
}

const SHOWN: &str = "receipts show";

fn by(gave: &[NodeId]) -> String {
    let names: Vec<&str> = gave.iter().map(|node| &*node.0).collect();
    format!("{} gave", names.join(" and "))
}
