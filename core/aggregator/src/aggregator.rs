//! One report becomes one commit: the order in which everything is decided.
//!
//! Shape, then the chain the report is on, then its rows, then what it covers, then the journal.
//! A report that fails before its rows changes nothing but the list of incidents.

use crate::{
    admission::Before,
    candidates::Candidates,
    canonical::{Canonical, Conflict, Switch},
    coverage::{Coverage, adjacent},
    cut::{Cut, flawed},
    differences::Found,
    extend::{block_row, hash_at},
    finality::Claims,
    heard::Heard,
    known::Known,
    pieces::{Stands, parent, pieces, reported},
    rows::{Rows, misshapen},
    sightings::{Sightings, given_ids, newest},
    standing::Ruling,
    stored::Stored,
    votes::Votes,
    withdrawn::Refuted,
};
use alloy_primitives::B256;
use event::{
    Ack, AnchorPolicy, BlockNumHash, BlockRange, BlockRanges, BlockRow, ChainProfile, ChainState,
    Commit, Content, Demand, EventId, Evidence, Filter, FilterId, Flaw, Incident, JournalRow,
    Judgement, NodeId, Op, Report, Verify,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Incidents remembered, at most, so that a second look does not tell them once more.
const TOLD_AGAIN_MAX: usize = 4_096;

/// When a log becomes an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// On one node's word.
    OneNode,
    /// On one node's word where that shows its block as it is demanded. Of a block of which less is shown
    /// other nodes are asked, too: when two reported it, or receipts show it.
    OneOfSeveral,
    /// When so many nodes reported it, or receipts show it.
    Agree(u8),
}

/// What is demanded before something counts.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Content that closes a range. Coverage is recorded up to this level, not beyond.
    pub verify: Verify,
    /// Whose headers are believed. `Agreed` is a label on coverage and a demand on what is final;
    /// it never keeps a range open.
    pub anchor: AnchorPolicy,
    /// When a log becomes an event.
    pub admission: Admission,
}

/// Counts journal rows of a whole ledger. Chains of one ledger share one, so that none of their
/// rows can have the same number.
#[derive(Debug, Default)]
pub struct JournalCounter(u64);

impl JournalCounter {
    /// Returns a counter that goes on after row `last` (0 when there is none).
    pub const fn after(last: u64) -> Self {
        Self(last)
    }

    /// Returns the last number given out.
    pub const fn last(&self) -> u64 {
        self.0
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// What a report led to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// To be applied before the next report's, whole.
    pub commit: Commit,
    /// To be sent once the commit is applied.
    pub ack: Ack,
    /// Blocks of which stored logs were made up: somebody may have been named who did not have them.
    pub refuted: Vec<Refuted>,
}

/// Merges the reports of one chain.
#[derive(Debug)]
pub struct Aggregator {
    pub(crate) profile: ChainProfile,
    pub(crate) policy: Policy,
    pub(crate) canonical: Canonical,
    pub(crate) coverage: Coverage,
    pub(crate) candidates: Candidates,
    pub(crate) sightings: Sightings,
    pub(crate) refuted: BTreeSet<EventId>,
    pub(crate) finalized_rose: bool,
    pub(crate) votes: Votes,
    pub(crate) claims: Claims,
    /// Told with the next commit.
    pub(crate) incidents: Vec<Incident>,
    /// What is stored of the next report's blocks, where it is a second look at them.
    pub(crate) stored: Option<Stored>,
    /// What nodes were heard to say of the next report's blocks.
    pub(crate) heard: Heard,
    /// Final blocks that receipts have shown lately, by filter.
    pub(crate) proved: BTreeMap<(u64, FilterId), B256>,
    /// Blocks of each filter that were read through a second node.
    pub(crate) looked: BTreeMap<FilterId, BlockRanges>,
    /// Candidates that were dropped, told with the next commit.
    pub(crate) dropped: Vec<EventId>,
    /// What runs demanded and did not get.
    pub(crate) demands: Vec<Demand>,
    /// Incidents that were told lately, by node, first block, flaw and detail.
    pub(crate) told_again: BTreeSet<(NodeId, u64, String, String)>,
}

impl Aggregator {
    /// Goes on where the ledger stands.
    pub fn new(profile: ChainProfile, policy: Policy, state: ChainState) -> Self {
        let held = state.blocks.iter().filter(|block| block.canonical);
        let held: Vec<_> = held.map(|block| (block.number, block.hash)).collect();
        let mut aggregator = Self {
            profile,
            policy,
            canonical: Canonical::new(state.finalized, state.blocks),
            coverage: Coverage::new(state.coverage),
            candidates: Candidates::new(state.candidates),
            sightings: Sightings::default(),
            refuted: BTreeSet::new(),
            finalized_rose: false,
            votes: Votes::default(),
            claims: Claims::default(),
            incidents: Vec::new(),
            stored: None,
            heard: Heard::default(),
            proved: BTreeMap::new(),
            looked: state.looked.into_iter().collect(),
            dropped: Vec::new(),
            demands: state.demands,
            told_again: BTreeSet::new(),
        };
        // A process before may have ended while what a fork left void was not read again.
        let covered = aggregator.coverage.all().filter_map(|covered| covered.intervals.last());
        if let Some(last) = covered.map(|interval| interval.range.last()).max() {
            aggregator.canonical.note_stored(last);
        }
        aggregator.see_covered(&held);
        aggregator.recall(state.sightings);
        aggregator
    }

    /// Demands something else from the next report on: there are more nodes now, or fewer. What
    /// entered stays.
    pub const fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Returns which parts of `range` still need which filters asked, so that `filter` is covered
    /// as `verify` demands. May ask for more than is missing where the rest cannot be asked for
    /// (everything but a finite set), never for less.
    pub fn missing(
        &self,
        filter: &Filter,
        range: BlockRange,
        verify: Verify,
    ) -> Vec<(BlockRange, Vec<Filter>)> {
        let Verify::ProveSample(sample) = verify else {
            return self.coverage.missing(filter, range, verify.required());
        };
        let mut missing: Vec<(BlockRange, Vec<Filter>)> = Vec::new();
        for (part, is_proved) in sample.parts(range) {
            let content = if is_proved { Content::Receipts } else { Content::Bloom };
            for (range, boxes) in self.coverage.missing(filter, part, content) {
                match missing.last_mut() {
                    Some((last, same)) if *same == boxes && adjacent(last, &range) => {
                        *last = last.hull(range);
                    }
                    _ => missing.push((range, boxes)),
                }
            }
        }
        missing
    }

    /// Whether events of this filter and range may be stored already.
    pub fn overlaps_covered(&self, filter: &Filter, range: BlockRange) -> bool {
        self.canonical.may_hold_events(range.first())
            || self.coverage.overlapping(filter, range).next().is_some()
    }

    /// Whether [`Self::on_report`] must be given the ids stored in the report's range.
    pub fn needs_known(&self, report: &Report) -> bool {
        self.overlaps_covered(&report.filter, report.range)
    }

    /// Returns the blocks whose stored ids [`Self::on_report`] is to be given, if any: those of the
    /// report where some may be stored, and those that it takes off the chain or back onto it.
    pub fn known_range(&self, report: &Report) -> Option<BlockRange> {
        let needed = self.needs_known(report).then_some(report.range);
        if self.canonical.is_settled(report.range.last()) {
            return needed;
        }
        let blocks: Vec<BlockRow> = report.blocks.iter().map(block_row).collect();
        let switch = self.canonical.plan(&blocks, |n| self.coverage.holds(n)).unwrap_or_default();
        let moved = switch.reverted.iter().chain(&switch.reinstated);
        moved.map(|block| BlockRange::one(block.number)).chain(needed).reduce(BlockRange::hull)
    }

    /// Returns the blocks with logs that wait for another node, lowest first: their receipts would
    /// decide. A block may be among them and be covered, where the other nodes agree. Blocks that
    /// left the chain are not: nobody asks for them by their height.
    pub fn waiting(&self) -> Vec<BlockNumHash> {
        let mut blocks = self.candidates.blocks();
        blocks.retain(|block| !self.canonical.is_orphan(block.number, &block.hash));
        blocks
    }

    /// Returns the highest block such that every block from `from` to it is covered for all
    /// filters with at least `content`.
    pub fn covered_through(
        &self,
        filters: &[Arc<Filter>],
        from: u64,
        content: Content,
    ) -> Option<u64> {
        self.coverage.covered_through(filters, from, content)
    }

    /// Returns the first block that is not covered for all filters, counted from where coverage of
    /// any of them begins, or from where the first is that was demanded and not got, where that is lower.
    pub fn first_uncovered(&self, filters: &[Arc<Filter>], verify: Verify) -> Option<u64> {
        let everything = BlockRange::new(0, u64::MAX)?;
        let begin = filters
            .iter()
            .flat_map(|filter| self.coverage.overlapping(filter, everything))
            .flat_map(|covered| covered.intervals.first())
            .map(|interval| interval.range.first())
            .min();
        let owed = self.first_owed(filters, verify);
        let Some(begin) = begin.filter(|begin| owed.is_none_or(|owed| owed > *begin)) else {
            return owed;
        };
        let Some(through) = self.covered_through(filters, begin, verify.required()) else {
            return Some(begin);
        };
        // Of a sample more may be demanded in between.
        let covered = BlockRange::new(begin, through)?;
        let missing = filters.iter().flat_map(|filter| self.missing(filter, covered, verify));
        let lowest = missing.map(|(range, _)| range.first()).min();
        Some(lowest.unwrap_or(through.saturating_add(1)))
    }

    /// Returns what is shown of the whole range for all filters: the strongest content that covers
    /// it, with the weakest anchor below that. `None` when a part is not covered.
    pub fn evidence(&self, filters: &[Arc<Filter>], range: BlockRange) -> Option<Evidence> {
        let mut evidence: Option<Evidence> = None;
        for filter in filters {
            let intervals = || {
                let covered = self.coverage.overlapping(filter, range);
                covered.flat_map(move |covered| covered.touching(range))
            };
            let mut levels: Vec<Content> = intervals().map(|i| i.evidence.content).collect();
            levels.sort_unstable();
            levels.dedup();
            let content = levels
                .into_iter()
                .rev()
                .find(|level| self.coverage.missing(filter, range, *level).is_empty())?;
            let anchor = intervals()
                .filter(|interval| interval.evidence.content >= content)
                .map(|interval| interval.evidence.anchor)
                .min()?;
            evidence = Some(match evidence {
                None => Evidence { content, anchor },
                Some(weakest) => Evidence {
                    content: weakest.content.min(content),
                    anchor: weakest.anchor.min(anchor),
                },
            });
        }
        evidence
    }

    /// Returns a commit for what changed without a report, if anything did.
    pub fn flush(&mut self) -> Option<Commit> {
        let has_news =
            self.finalized_rose || !self.incidents.is_empty() || !self.dropped.is_empty();
        has_news.then(|| self.commit())
    }

    /// Takes a report. `known` holds the ids stored in [`Self::known_range`] on any branch; without
    /// it nothing is taken when [`Self::needs_known`] holds.
    pub fn on_report(
        &mut self,
        mut report: Report,
        judgement: Judgement,
        known: Option<Vec<EventId>>,
        journal: &mut JournalCounter,
    ) -> Outcome {
        let mut cut = Cut {
            commit: self.commit(),
            ack: Ack { seq: report.seq, ..Ack::default() },
            node: report.node.clone(),
            changed: Vec::new(),
            refuted: Vec::new(),
            refused_headers: BTreeSet::new(),
        };
        if report.chain != self.profile.chain {
            return cut.refused(&report, "the report is of another chain");
        }
        if let Some(reason) = misshapen(&report, &judgement) {
            return cut.refused(&report, reason);
        }
        cut.flaws(&report, &judgement, |block| self.told_missing(&report, block));
        if let Some(reason) = self.refusal(&report, &judgement, &mut cut) {
            return cut.refused(&report, reason);
        }
        if known.is_none() && self.needs_known(&report) {
            return cut.refused(&report, "stored events of the range were not looked up");
        }
        let is_refused = |flaw| flaw == Flaw::HeaderHash && !self.profile.observes(flaw);
        let refused = flawed(&report, &judgement, is_refused);
        let bad = report.blocks.iter().zip(&refused).filter(|(_, refused)| **refused);
        cut.refused_headers = bad.map(|(block, _)| block.number).collect();
        cut.headers_not_given(&report);
        let Ok(switch) = self.plan(&report, &judgement, &refused, &mut cut) else {
            return cut.refused(&report, "the report is on another chain than the final one");
        };

        let due = self.sightings_due(&report, &judgement);
        let polled = self.polled(&report, &refused);
        let given = given_ids(&report, None, |i| due[i] || polled.key(i).is_some());
        cut.commit.sightings = self.sightings.cut(&report, &due, &given);
        self.vote(&report, &judgement, &polled, given);
        let mut admit = judgement.admit.clone();
        let logs = std::mem::take(&mut report.logs);
        let given = logs.len();
        let rows = Rows::take(logs, &mut admit, &judgement.recovered.0, &refused);
        let nothing_admitted = given > 0 && rows.logs.is_empty();
        let known = Known::new(known.unwrap_or_default());
        let heard = std::mem::take(&mut self.heard);

        self.switch(&report, &switch, &known, journal, &mut cut);
        let look = self.second_look(&report, &rows, &refused);
        let look = look.as_ref();
        let before = Before { known: &known, heard: &heard, look };
        let decided = self.decide(&report, &judgement, &polled, &rows, &before, &mut cut);
        self.settle_candidates(&report, &judgement, &polled, &decided, &mut cut);
        self.refute(&report, &judgement, (&before, &decided), journal, &mut cut);

        self.show(&report, &judgement, &polled, &rows);
        let tallies = self.tallies(&polled, &decided, &known);
        let unagreed = self.open_for_agreement(&report);
        let ruling = Ruling {
            refused: &refused,
            decided: &decided,
            tallies: &tallies,
            unagreed: &unagreed,
            nothing_admitted,
        };
        let mut standings = self.standings(&report, &judgement, &ruling);
        let found = look.map(|look| Found::new(&report, &judgement, (look, &heard), &decided));
        let apart = found
            .map(|found| self.settle_differences(&found, &mut standings, &mut cut))
            .unwrap_or_default();
        self.tell_shown(&report, &judgement, (&decided, &heard), &mut cut);
        self.note_shared(&report, &ruling, &standings, &mut cut);
        let closed: Vec<bool> = standings.iter().map(|standing| standing.open.is_none()).collect();
        let unreported = self.unreported(&report, nothing_admitted);
        let stands = Stands { reported: &standings, apart: &apart, unreported: &unreported };
        let pieces = pieces(&report, &judgement, &stands, self.checkpoint());
        self.extend(&report, rows, decided, &pieces, journal, &mut cut);
        self.cover(&report, pieces, &mut cut);
        if let Some(look) = look {
            self.agree(&report, look, &mut cut);
        }
        self.raise_anchors(&report, &mut cut);
        self.note_proved(&report, &judgement);
        self.settle_votes(&polled, &closed, &mut cut);
        if let Some(finalized) = report.finalized {
            let sound = report.blocks.iter().zip(&refused).filter(|(_, refused)| !**refused);
            let blocks: Vec<BlockRow> = sound.map(|(block, _)| block_row(block)).collect();
            let rose = self.canonical.confirm(&blocks, finalized, &report.node);
            self.note_rise(rose);
        }
        cut.commit.finalized = self.rose().or(cut.commit.finalized);
        cut.commit.incidents.append(&mut self.incidents);
        cut.commit.candidates_closed.append(&mut self.dropped);
        self.tell_once(report.is_second_look, &mut cut.commit.incidents);
        cut.outcome(&self.coverage)
    }

    /// A block that nodes differ in is read through some of them more than once: what is wrong with
    /// their answers is told once.
    fn tell_once(&mut self, is_second_look: bool, incidents: &mut Vec<Incident>) {
        incidents.retain(|told| {
            let (flaw, detail) = (told.flaw.to_string(), told.detail.clone());
            let key = (told.node.clone(), told.range.first(), flaw, detail);
            self.told_again.insert(key) || !is_second_look
        });
        while self.told_again.len() > TOLD_AGAIN_MAX {
            self.told_again.pop_first();
        }
    }

    #[cfg(test)]
    pub(crate) fn coverage_for_tests(&self) -> Vec<(Filter, Vec<event::Interval>)> {
        self.coverage.all().map(|c| ((*c.filter).clone(), c.intervals.clone())).collect()
    }

    pub(crate) fn commit(&mut self) -> Commit {
        let mut commit = Commit::empty(self.profile.chain);
        commit.finalized = self.rose();
        commit.incidents.append(&mut self.incidents);
        commit.candidates_closed.append(&mut self.dropped);
        commit
    }

    /// Returns the finalized block if it rose since it was last told.
    fn rose(&mut self) -> Option<u64> {
        let rose = std::mem::take(&mut self.finalized_rose);
        self.canonical.finalized().filter(|_| rose)
    }

    /// Returns why nothing of the report can be taken, if so.
    fn refusal(
        &self,
        report: &Report,
        judgement: &Judgement,
        cut: &mut Cut,
    ) -> Option<&'static str> {
        let has = |flaw| judgement.flaws.iter().any(|(_, found, ..)| *found == flaw);
        if report.range.last() > report.head_before.min(report.head_after) {
            if !has(Flaw::BeyondHead) {
                let detail = "the range ends beyond the node's own head".to_owned();
                cut.incident(report.range, Flaw::BeyondHead, 1, detail);
            }
            return Some("the range ends beyond the node's own head");
        }
        if has(Flaw::BeyondHead) {
            return Some("the range ends beyond the node's own head");
        }
        if has(Flaw::HeadMoved) {
            return Some("the chain changed while the range was read");
        }
        if has(Flaw::AnchorMismatch) {
            return Some("the headers do not lead to the accepted anchor");
        }
        let checkpoint = self.checkpoint()?;
        let found = reported(report, checkpoint.number)?.hash;
        if found == checkpoint.hash {
            return None;
        }
        let detail = format!("block {} is {found}, not {}", checkpoint.number, checkpoint.hash);
        cut.incident(BlockRange::one(checkpoint.number), Flaw::AnchorMismatch, 1, detail);
        Some("the headers do not lead to the accepted anchor")
    }

    const fn checkpoint(&self) -> Option<BlockNumHash> {
        match self.policy.anchor {
            AnchorPolicy::Checkpoint(checkpoint) => Some(checkpoint),
            AnchorPolicy::OneNode | AnchorPolicy::Agreed(_) => None,
        }
    }

    /// Returns what the report changes in the chain. An error is recorded as an incident.
    fn plan(
        &self,
        report: &Report,
        judgement: &Judgement,
        refused: &[bool],
        cut: &mut Cut,
    ) -> Result<Switch, ()> {
        let mut has_rows = vec![false; report.blocks.len()];
        for (block, admit) in report.logs.block.iter().zip(&judgement.admit) {
            has_rows[*block as usize] |= *admit;
        }
        for block in &judgement.recovered.0.block {
            has_rows[*block as usize] = true;
        }
        let blocks: Vec<BlockRow> = (report.blocks.iter().enumerate())
            .filter(|(i, block)| !refused[*i] && (block.header.is_some() || has_rows[*i]))
            .map(|(_, block)| block_row(block))
            .collect();
        let switch = self.canonical.plan(&blocks, |number| self.coverage.holds(number));
        let switch = switch.and_then(|switch| {
            self.contradicts_covered(report, &cut.refused_headers, &switch).map(|()| switch)
        });
        switch.map_err(|conflict| {
            let Conflict { number, expected, found } = conflict;
            // Whoever has not heard yet that the chain left a branch tells of it in good faith.
            if self.canonical.is_orphan(number, &found) && !self.canonical.is_final(number) {
                return;
            }
            let expected = expected.map_or_else(|| "another".to_owned(), |hash| hash.to_string());
            let detail = format!("block {number} is {found}, but {expected} is final or covered");
            cut.incident(BlockRange::one(number), Flaw::AnchorMismatch, 1, detail);
        })
    }

    /// Fails when the report has another hash where covered header chains that stay begin or end. A hash
    /// that is not its header's says nothing of the chain.
    fn contradicts_covered(
        &self,
        report: &Report,
        refused: &BTreeSet<u64>,
        switch: &Switch,
    ) -> Result<(), Conflict> {
        let stays = |number: u64| {
            report.range.contains(number) && switch.void.is_none_or(|void| !void.contains(number))
        };
        for interval in self.coverage.all().flat_map(|covered| covered.touching(report.range)) {
            let Some(links) = interval.links else { continue };
            let ends = [
                (interval.range.first(), links.first_parent, true),
                (interval.range.last(), links.last_hash, false),
            ];
            for (number, expected, is_parent) in ends {
                let is_told = stays(number) && !refused.contains(&number);
                let block = is_told.then(|| reported(report, number)).flatten();
                let found = block.and_then(|b| if is_parent { parent(b) } else { Some(b.hash) });
                if let Some(found) = found
                    && found != expected
                {
                    let number = if is_parent { number.saturating_sub(1) } else { number };
                    return Err(Conflict { number, expected: Some(expected), found });
                }
            }
        }
        Ok(())
    }

    fn sightings_due(&self, report: &Report, judgement: &Judgement) -> Vec<bool> {
        let mut due = flawed(report, judgement, |_| true);
        for (i, due) in due.iter_mut().enumerate() {
            let (verdict, number) = (judgement.blocks[i], report.blocks[i].number);
            *due |= verdict.doubt || !self.canonical.is_final(number);
            *due |= self.is_for_others(number, verdict.content);
        }
        newest(&mut due);
        due
    }

    /// Takes the blocks of the report: reverts come first, newest first.
    fn switch(
        &mut self,
        report: &Report,
        switch: &Switch,
        known: &Known,
        journal: &mut JournalCounter,
        cut: &mut Cut,
    ) {
        let reverted = switch.reverted.iter().map(|block| (Op::Revert, block));
        let reinstated = switch.reinstated.iter().map(|block| (Op::Reinstate, block));
        for (op, block) in reverted.chain(reinstated) {
            cut.commit.journal.push(JournalRow {
                seq: journal.next(),
                chain: report.chain,
                op,
                filter: None,
                range: BlockRange::one(block.number),
                block_hash: Some(block.hash),
                events: known.in_block(&block.hash),
            });
        }
        let changed = switch.reverted.iter().chain(&switch.reinstated).chain(&switch.added);
        cut.commit.blocks.extend(changed.cloned());
        self.canonical.apply(switch);
        let Some(void) = switch.void else { return };
        let refused = cut.refused_headers.clone();
        let hash_at = hash_at(report, &refused, &self.canonical);
        for (filter, range) in self.coverage.cut(void, &hash_at) {
            // What is void outside of this report has to be read again.
            let void = void.intersection(&range);
            let below = report.range.first().checked_sub(1).and_then(|n| BlockRange::new(0, n));
            let above = report.range.last().checked_add(1);
            let above = above.and_then(|n| BlockRange::new(n, u64::MAX));
            for side in below.into_iter().chain(above) {
                let Some(open) = void.and_then(|void| void.intersection(&side)) else { continue };
                let open = (open, "void by a reorg".to_owned());
                if !cut.ack.open.contains(&open) {
                    cut.ack.open.push(open);
                }
            }
            cut.changed.push((filter, range));
        }
    }
}
