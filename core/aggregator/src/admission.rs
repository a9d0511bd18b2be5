//! Row by row: what is known, what enters, what waits, what never was there.
//!
//! Does not write coverage or the chain; works on rows whose shape was checked.

use crate::{
    aggregator::{Admission, Aggregator, JournalCounter},
    coverage::merge_nodes,
    cut::{Cut, flawed, shown, spoils_receipts},
    heard::Heard,
    known::Known,
    poll::Polled,
    rows::{Rows, receipt_ids},
    second_look::SecondLook,
    votes::BallotKey,
    withdrawn::Refuted,
};
use event::{
    BlockRange, Candidate, Content, EventId, Flaw, JournalRow, Judgement, LogRef, Logs, NodeId, Op,
    Report, ReportedBlock,
};
use std::collections::{BTreeMap, BTreeSet};

/// Refuted events remembered so that they are refuted once; a forgotten one is refuted again,
/// which changes nothing but the journal.
const REFUTED_REMEMBERED_MAX: usize = 65_536;

/// What was known of the blocks of a report before it.
pub(crate) struct Before<'a> {
    pub(crate) known: &'a Known,
    pub(crate) heard: &'a Heard,
    /// What it is compared with, where it is a second look.
    pub(crate) look: Option<&'a SecondLook>,
}

/// What was decided about the rows of a report.
pub(crate) struct Decided {
    /// Per row.
    pub(crate) enter: Vec<bool>,
    /// Per block.
    pub(crate) blocks: Vec<BlockDecision>,
    /// Nodes whose candidates entered, by block.
    pub(crate) nodes: BTreeMap<u32, Vec<NodeId>>,
    /// Ids of all rows, sorted, for the blocks where they were needed.
    pub(crate) ids: BTreeMap<u32, Vec<EventId>>,
    /// Ids of rows that wait.
    pub(crate) waiting: BTreeSet<EventId>,
}

#[derive(Clone, Default)]
pub(crate) struct BlockDecision {
    pub(crate) entered: u64,
    pub(crate) known: u64,
    pub(crate) waiting: bool,
    /// Whether it has logs that earlier receipts refute.
    pub(crate) is_refuted: bool,
    /// Whether that is proved for good, with all that is there.
    pub(crate) is_proved: bool,
}

impl Aggregator {
    /// Decides row by row what is known, what enters and what waits.
    pub(crate) fn decide(
        &mut self,
        report: &Report,
        judgement: &Judgement,
        polled: &Polled,
        rows: &Rows,
        before: &Before<'_>,
        cut: &mut Cut,
    ) -> Decided {
        let Before { known, heard, look } = *before;
        let blocks = report.blocks.len();
        let mut decided = Decided {
            enter: vec![true; rows.logs.len()],
            blocks: vec![BlockDecision::default(); blocks],
            nodes: BTreeMap::new(),
            ids: BTreeMap::new(),
            waiting: BTreeSet::new(),
        };
        let shown = self.shown_before(polled);
        let mut forged: BTreeMap<u32, u64> = BTreeMap::new();
        let agree = matches!(self.policy.admission, Admission::Agree(_));
        let is_compared = |number| look.is_some_and(|look| look.compares(number));
        // One that the nodes before this one did not have, whose node contradicts itself, or of whose block
        // others are asked as well, needs a second word.
        let contradicted = self.contradicted(report, judgement);
        let doubted: Vec<bool> = (report.blocks.iter().enumerate())
            .map(|(i, b)| {
                contradicted[i]
                    || is_compared(b.number)
                    || self.is_for_others(b.number, judgement.blocks[i].content)
            })
            .collect();
        let looked_up: Vec<bool> = (report.blocks.iter().enumerate())
            .map(|(i, b)| {
                agree
                    || doubted[i]
                    || heard.has_block(b.number)
                    || known.has_block(&b.hash)
                    || self.candidates.has_block(&b.hash)
                    || shown.contains_key(&(i as u32))
            })
            .collect();
        if !looked_up.contains(&true) {
            for block in &rows.logs.block {
                decided.blocks[*block as usize].entered += 1;
            }
            return decided;
        }
        for row in 0..rows.logs.len() {
            let block = rows.logs.block[row];
            let decision = &mut decided.blocks[block as usize];
            if !looked_up[block as usize] {
                decision.entered += 1;
                continue;
            }
            let id = rows.id(report.chain, report.blocks[block as usize].hash, row);
            decided.ids.entry(block).or_default().push(id);
            let content = judgement.blocks[block as usize].content;
            if known.has(&id) {
                decision.known += 1;
                decided.enter[row] = false;
                // One that others lack waits for more than words.
                if content == Content::Receipts && self.candidates.close(&id).is_some() {
                    cut.commit.candidates_closed.push(id);
                }
            } else if content != Content::Receipts
                && self.is_disproved(report, block as usize, rows.logs.row(row), known)
            {
                // All that is there is proved already.
                *forged.entry(block).or_default() += 1;
                (decision.is_refuted, decision.is_proved) = (true, true);
                decided.enter[row] = false;
            } else if shown.get(&block).is_some_and(|shown| shown.binary_search(&id).is_err()) {
                // Receipts came first: it needs no more words to be refuted.
                *forged.entry(block).or_default() += 1;
                decision.is_refuted = true;
                decided.enter[row] = false;
            } else if self.is_admitted(&id, &report.node, content, doubted[block as usize]) {
                decision.entered += 1;
                let said = self.candidates.get(&id).map(|candidate| candidate.nodes.clone());
                let Some(mut said) = said else { continue };
                merge_nodes(decided.nodes.entry(block).or_default(), &said);
                merge_nodes(&mut said, std::slice::from_ref(&report.node));
                let key = polled.key(block as usize);
                if content != Content::Receipts && self.is_disputed(&id, key, look, &said) {
                    // It is there as two say so, and somebody says otherwise.
                    let number = report.blocks[block as usize].number;
                    let new = || candidate(id, rows.logs.row(row), number, &report.node);
                    cut.commit.candidates.extend(self.candidates.say(id, &report.node, new));
                } else if self.candidates.close(&id).is_some() {
                    cut.commit.candidates_closed.push(id);
                }
            } else {
                decision.waiting = true;
                decided.waiting.insert(id);
                decided.enter[row] = false;
                let number = report.blocks[block as usize].number;
                let new = || candidate(id, rows.logs.row(row), number, &report.node);
                cut.commit.candidates.extend(self.candidates.say(id, &report.node, new));
            }
        }
        decided.ids.values_mut().for_each(|ids| ids.sort_unstable());
        for (block, count) in forged {
            self.tell_forged(report, polled, block, count, cut);
        }
        decided
    }

    fn tell_forged(
        &mut self,
        report: &Report,
        polled: &Polled,
        block: u32,
        count: u64,
        cut: &mut Cut,
    ) {
        let range = BlockRange::one(report.blocks[block as usize].number);
        let ballot = polled.key(block as usize).and_then(|key| self.votes.get_mut(&key));
        let is_new = ballot.is_none_or(|ballot| ballot.told_forged.insert(report.node.clone()));
        if is_new && !cut.has_told(&report.node, Flaw::Forged, range) {
            cut.incident(range, Flaw::Forged, count, made_up(count, range.first()));
        }
    }

    /// Whether other nodes are asked for a block of which a report shows this: its logs wait for them.
    pub(crate) fn is_for_others(&self, number: u64, content: Content) -> bool {
        self.policy.admission == Admission::OneOfSeveral
            && content < self.policy.verify.required_at(number)
    }

    /// Whether receipts have shown all of a final block, and not this log.
    fn is_disproved(&self, report: &Report, block: usize, log: LogRef<'_>, known: &Known) -> bool {
        let ReportedBlock { number, hash, .. } = &report.blocks[block];
        if self.proved.get(&(*number, report.filter.id())) == Some(hash) {
            return true;
        }
        let is_that_block = self.canonical.is_settled(*number)
            && known.has_block(hash)
            && !self.canonical.is_orphan(*number, hash);
        is_that_block && self.coverage.is_proved(*number, log)
    }

    /// Whether a log of a final block that enters now is one that somebody else who was asked lacks. `said`
    /// are the nodes that told it, sorted.
    fn is_disputed(
        &self,
        id: &EventId,
        key: Option<BallotKey>,
        look: Option<&SecondLook>,
        said: &[NodeId],
    ) -> bool {
        let is_other = |node: &NodeId| said.binary_search(node).is_err();
        let number = self.candidates.get(id).map_or(0, |candidate| candidate.number);
        let covering = look.map(|look| look.covering(number).0).unwrap_or_default();
        let ballot = key.and_then(|key| self.votes.get(&key));
        self.canonical.is_settled(number)
            && (covering.iter().any(is_other)
                || ballot.is_some_and(|ballot| ballot.lacked_by(id).any(is_other)))
    }

    /// Returns per block whether its receipts contradict its header: whoever gave them for logs that
    /// they have may have made up both.
    fn contradicted(&self, report: &Report, judgement: &Judgement) -> Vec<bool> {
        let mut contradicted =
            flawed(report, judgement, |flaw| flaw != Flaw::HeaderHash && spoils_receipts(flaw));
        for (contradicted, block) in contradicted.iter_mut().zip(&judgement.blocks) {
            *contradicted &=
                self.profile.check_receipts_root.decides() && block.content != Content::Receipts;
        }
        contradicted
    }

    /// Whether a log enters. One that is doubted needs a second word, whatever the policy.
    fn is_admitted(&self, id: &EventId, node: &NodeId, content: Content, doubted: bool) -> bool {
        let needed = match (self.policy.admission, doubted) {
            (Admission::Agree(needed), _) => needed,
            (Admission::OneNode | Admission::OneOfSeveral, true) => 2,
            (Admission::OneNode | Admission::OneOfSeveral, false) => return true,
        };
        let said = self.candidates.get(id).map_or(&[][..], |candidate| &candidate.nodes);
        let nodes = said.len() + usize::from(said.binary_search(node).is_err());
        content == Content::Receipts || nodes >= usize::from(needed)
    }

    /// Drops candidates of blocks whose whole content is shown and does not have them.
    pub(crate) fn settle_candidates(
        &mut self,
        report: &Report,
        judgement: &Judgement,
        polled: &Polled,
        decided: &Decided,
        cut: &mut Cut,
    ) {
        if self.candidates.is_empty() {
            return;
        }
        let shown = shown(report, judgement);
        for (i, block) in report.blocks.iter().enumerate().filter(|(i, _)| shown[*i]) {
            let there = decided.ids.get(&(i as u32)).map_or(&[][..], |ids| ids);
            let forged: Vec<EventId> = (self.candidates.in_block(&block.hash))
                .filter(|c| {
                    report.filter.matches(c.log.row(0)) && there.binary_search(&c.id).is_err()
                })
                .map(|candidate| candidate.id)
                .collect();
            let mut told: BTreeMap<NodeId, u64> = BTreeMap::new();
            for id in forged {
                let Some(candidate) = self.candidates.close(&id) else { continue };
                cut.commit.candidates_closed.push(id);
                candidate.nodes.into_iter().for_each(|node| *told.entry(node).or_default() += 1);
            }
            let ballot = polled.key(i).and_then(|key| self.votes.get_mut(&key));
            ballot.into_iter().for_each(|b| b.told_forged.extend(told.keys().cloned()));
            let range = BlockRange::one(block.number);
            for (node, count) in told {
                if !cut.has_told(&node, Flaw::Forged, range) {
                    cut.incident_of(node, range, Flaw::Forged, count, made_up(count, block.number));
                }
            }
        }
    }

    /// Marks stored events that a block's receipts do not have, and in a second look those of the filter
    /// that its bloom excludes. Without one only receipts can do that: an id does not tell whether its event
    /// matches the filter.
    pub(crate) fn refute(
        &mut self,
        report: &Report,
        judgement: &Judgement,
        (before, decided): (&Before<'_>, &Decided),
        journal: &mut JournalCounter,
        cut: &mut Cut,
    ) {
        let Before { known, look, .. } = *before;
        if known.is_empty() {
            return;
        }
        let by_receipts = self.profile.check_receipts_root.is_made();
        let by_bloom = self.profile.check_bloom.decides();
        let shown = shown(report, judgement);
        for (i, block) in report.blocks.iter().enumerate() {
            if !shown[i] || !known.has_block(&block.hash) {
                continue;
            }
            let gone: Vec<EventId> = match (receipt_ids(report.chain, block), look) {
                (Some(there), _) if by_receipts => {
                    let ids = known.of_block(&block.hash).iter();
                    ids.filter(|id| there.binary_search(id).is_err()).copied().collect()
                }
                (None, Some(look)) if by_bloom => {
                    let ids = look.stored.ids(block.number).into_iter();
                    ids.filter(|id| id.block_hash == block.hash).collect()
                }
                _ => continue,
            };
            let gone: Vec<EventId> =
                gone.into_iter().filter(|id| self.refuted.insert(*id)).collect();
            let events = gone.len() as u64;
            if events > 0 {
                let there = decided.ids.get(&(i as u32)).cloned().unwrap_or_default();
                let told_by = self.told_by(report, block, &gone, cut);
                let is_stored = |id: &EventId| known.has(id);
                let ids = (gone.as_slice(), there.as_slice());
                cut.refuted.push(Refuted::new(report, block, ids, is_stored, told_by));
                cut.commit.refuted.extend(gone);
                cut.commit.journal.push(JournalRow {
                    seq: journal.next(),
                    chain: report.chain,
                    op: Op::Refute,
                    filter: None,
                    range: BlockRange::one(block.number),
                    block_hash: Some(block.hash),
                    events,
                });
            }
        }
        while self.refuted.len() > REFUTED_REMEMBERED_MAX {
            self.refuted.pop_first();
        }
    }

    /// Returns by whose word these events are stored, as far as it was not told of them: by the votes where
    /// they are kept, else by those that cover it and said the same.
    fn told_by(
        &mut self,
        report: &Report,
        block: &ReportedBlock,
        gone: &[EventId],
        cut: &Cut,
    ) -> Vec<NodeId> {
        let (number, filter) = (block.number, report.filter.id());
        let range = BlockRange::one(number);
        let (mut gave, mut voted) = (BTreeSet::new(), BTreeSet::new());
        if let Some(ballot) = self.votes.get_mut(&BallotKey { number, hash: block.hash, filter }) {
            for vote in &ballot.votes {
                voted.insert(vote.node.clone());
                let ids = ballot.answers[vote.answer].ids.as_deref().unwrap_or_default();
                if gone.iter().any(|id| ids.binary_search(id).is_ok()) {
                    gave.insert(vote.node.clone());
                }
            }
            gave.retain(|node| ballot.told_forged.insert(node.clone()));
        }
        let covering = self.coverage.overlapping(&report.filter, range);
        let covering = covering.flat_map(|covered| covered.touching(range));
        // Of several that cover it only those that were compared are known to have said the same: nobody is
        // named for another's word.
        let alike = covering.filter(|interval| match interval.evidence.content {
            Content::Agreed(nodes) => usize::from(nodes) >= interval.nodes.len(),
            _ => interval.nodes.len() == 1,
        });
        let nodes = alike.flat_map(|interval| &interval.nodes);
        gave.extend(nodes.filter(|node| !voted.contains(*node)).cloned());
        gave.retain(|node| !cut.has_told(node, Flaw::Forged, range));
        gave.into_iter().collect()
    }
}

/// Says how many logs of a block were made up.
pub(crate) fn made_up(count: u64, number: u64) -> String {
    format!("{count} logs of block {number} that no receipt has")
}

fn candidate(id: EventId, log: LogRef<'_>, number: u64, node: &NodeId) -> Candidate {
    let mut logs = Logs::default();
    logs.push(LogRef { block: 0, ..log });
    Candidate { id, log: logs, number, nodes: vec![node.clone()] }
}
