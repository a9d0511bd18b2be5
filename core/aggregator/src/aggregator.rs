//! One report becomes one commit: the order in which everything is decided.
//!
//! Shape, then the chain the report is on, then its rows, then what it covers, then the journal.
//! A report that fails before its rows changes nothing but the list of incidents.

use crate::{
    candidates::Candidates,
    canonical::{Canonical, Conflict, Switch},
    coverage::{Coverage, adjacent, hull, merge_nodes},
    pieces::{Pieces, Standing, parent, pieces, reported},
    rows::{Rows, misshapen, receipt_ids},
    sightings::Sightings,
};
use alloy_primitives::{
    B256,
    map::{B256Map, HashSet},
};
use event::{
    Ack, AnchorPolicy, BlockNumHash, BlockRange, BlockRow, Candidate, ChainProfile, ChainState,
    Commit, Content, EventId, Filter, FilterId, Flaw, Incident, JournalRow, Judgement, LogRef,
    Logs, NodeId, Op, Report, ReportedBlock, Verify,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Refuted events remembered so that they are refuted once; a forgotten one is refuted again,
/// which changes nothing but the journal.
const REFUTED_REMEMBERED_MAX: usize = 65_536;

/// When a log becomes an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// On one node's word.
    OneNode,
    /// When so many nodes reported it, or receipts show it.
    Agree(u8),
}

/// What is demanded before something counts.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Content that closes a range. Coverage is recorded up to this level, not beyond.
    pub verify: Verify,
    /// Whose headers are believed.
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

    const fn next(&mut self) -> u64 {
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
}

/// Merges the reports of one chain.
#[derive(Debug)]
pub struct Aggregator {
    profile: ChainProfile,
    policy: Policy,
    canonical: Canonical,
    coverage: Coverage,
    candidates: Candidates,
    sightings: Sightings,
    refuted: BTreeSet<EventId>,
    finalized_rose: bool,
}

impl Aggregator {
    /// Goes on where the ledger stands.
    pub fn new(profile: ChainProfile, policy: Policy, state: ChainState) -> Self {
        Self {
            profile,
            policy,
            canonical: Canonical::new(state.finalized, state.blocks),
            coverage: Coverage::new(state.coverage),
            candidates: Candidates::new(state.candidates),
            sightings: Sightings::default(),
            refuted: BTreeSet::new(),
            finalized_rose: false,
        }
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
        self.coverage.missing(filter, range, verify.required())
    }

    /// Whether events of this filter and range may be stored already.
    pub fn overlaps_covered(&self, filter: &Filter, range: BlockRange) -> bool {
        self.canonical.has_orphan(range.first(), range.last())
            || self.coverage.overlapping(filter, range).next().is_some()
    }

    /// Whether [`Self::on_report`] must be given the ids stored in the report's range.
    pub fn needs_known(&self, report: &Report) -> bool {
        self.overlaps_covered(&report.filter, report.range)
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

    /// Returns the highest final block.
    pub const fn finalized(&self) -> Option<u64> {
        self.canonical.finalized()
    }

    /// Raises the highest final block; a lower one is ignored. The next commit carries it.
    pub fn set_finalized(&mut self, number: u64) {
        self.finalized_rose |= self.canonical.finalize(number);
    }

    /// Returns a commit for what changed without a report, if anything did.
    pub fn flush(&mut self) -> Option<Commit> {
        self.finalized_rose.then(|| self.commit())
    }

    /// Takes a report. `known` holds the ids stored in its range on any branch; without it nothing
    /// is taken when [`Self::needs_known`] holds.
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
        };
        if report.chain != self.profile.chain {
            return cut.refused(&report, "the report is of another chain");
        }
        if let Some(reason) = misshapen(&report, &judgement) {
            return cut.refused(&report, reason);
        }
        cut.flaws(&report, &judgement);
        if let Some(reason) = self.refusal(&report, &judgement, &mut cut) {
            return cut.refused(&report, reason);
        }
        if known.is_none() && self.needs_known(&report) {
            return cut.refused(&report, "stored events of the range were not looked up");
        }
        let refused = flawed(&report, &judgement, |flaw| flaw == Flaw::HeaderHash);
        let Ok(switch) = self.plan(&report, &judgement, &refused, &mut cut) else {
            return cut.refused(&report, "the report is on another chain than the final one");
        };

        let due = self.sightings_due(&report, &judgement);
        cut.commit.sightings = self.sightings.cut(self.profile.chain, &report, &due);
        let mut admit = judgement.admit.clone();
        let logs = std::mem::take(&mut report.logs);
        let given = logs.len();
        let rows = Rows::take(logs, &mut admit, &judgement.recovered.0, &refused);
        let nothing_admitted = given > 0 && rows.logs.is_empty();
        let known = Known::new(known.unwrap_or_default());

        self.switch(&report, &switch, &known, journal, &mut cut);
        let decided = self.decide(&report, &judgement, &rows, &known, &mut cut);
        self.settle_candidates(&report, &judgement, &decided, &mut cut);
        self.refute(&report, &judgement, &known, journal, &mut cut);

        let pieces = self.pieces(&report, &judgement, &refused, &decided, nothing_admitted);
        self.extend(&report, rows, decided, &pieces, journal, &mut cut);
        self.cover(&report, pieces, &mut cut);
        cut.outcome(&self.coverage)
    }

    #[cfg(test)]
    pub(crate) fn coverage_for_tests(&self) -> Vec<(Filter, Vec<event::Interval>)> {
        self.coverage.all().map(|c| ((*c.filter).clone(), c.intervals.clone())).collect()
    }

    fn commit(&mut self) -> Commit {
        let mut commit = Commit::empty(self.profile.chain);
        if std::mem::take(&mut self.finalized_rose) {
            commit.finalized = self.canonical.finalized();
        }
        commit
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
        let switch = self
            .canonical
            .plan(&blocks)
            .and_then(|switch| self.contradicts_covered(report, &switch).map(|()| switch));
        switch.map_err(|conflict| {
            let Conflict { number, expected, found } = conflict;
            let detail = format!("block {number} is {found}, but {expected} is final or covered");
            cut.incident(BlockRange::one(number), Flaw::AnchorMismatch, 1, detail);
        })
    }

    /// Fails when the report has another hash where covered header chains that stay begin or end.
    fn contradicts_covered(&self, report: &Report, switch: &Switch) -> Result<(), Conflict> {
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
                let block = stays(number).then(|| reported(report, number)).flatten();
                let found = block.and_then(|b| if is_parent { parent(b) } else { Some(b.hash) });
                if let Some(found) = found
                    && found != expected
                {
                    let number = if is_parent { number.saturating_sub(1) } else { number };
                    return Err(Conflict { number, expected, found });
                }
            }
        }
        Ok(())
    }

    fn sightings_due(&self, report: &Report, judgement: &Judgement) -> Vec<bool> {
        let mut due = flawed(report, judgement, |_| true);
        for (i, due) in due.iter_mut().enumerate() {
            *due |= judgement.blocks[i].doubt || !self.canonical.is_final(report.blocks[i].number);
        }
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
                // Of the report's range; blocks outside of it were not looked up.
                events: known.in_block(&block.hash),
            });
        }
        let changed = switch.reverted.iter().chain(&switch.reinstated).chain(&switch.added);
        cut.commit.blocks.extend(changed.cloned());
        self.canonical.apply(switch);
        let Some(void) = switch.void else { return };
        for (filter, range) in self.coverage.cut(void, &hash_at(report, &self.canonical)) {
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

    /// Decides row by row what is known, what enters and what waits.
    fn decide(
        &mut self,
        report: &Report,
        judgement: &Judgement,
        rows: &Rows,
        known: &Known,
        cut: &mut Cut,
    ) -> Decided {
        let blocks = report.blocks.len();
        let mut decided = Decided {
            enter: vec![true; rows.logs.len()],
            blocks: vec![BlockDecision::default(); blocks],
            nodes: BTreeMap::new(),
            ids: BTreeMap::new(),
        };
        let agree = matches!(self.policy.admission, Admission::Agree(_));
        let looked_up: Vec<bool> = (report.blocks.iter())
            .map(|b| agree || known.has_block(&b.hash) || self.candidates.has_block(&b.hash))
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
            if known.has(&id) {
                decision.known += 1;
                decided.enter[row] = false;
                if self.candidates.close(&id).is_some() {
                    cut.commit.candidates_closed.push(id);
                }
            } else if self.is_admitted(&id, report, judgement.blocks[block as usize].content) {
                decision.entered += 1;
                if let Some(closed) = self.candidates.close(&id) {
                    merge_nodes(decided.nodes.entry(block).or_default(), &closed.nodes);
                    cut.commit.candidates_closed.push(id);
                }
            } else {
                decision.waiting = true;
                decided.enter[row] = false;
                let number = report.blocks[block as usize].number;
                let new = || candidate(id, rows.logs.row(row), number, &report.node);
                cut.commit.candidates.extend(self.candidates.say(id, &report.node, new));
            }
        }
        decided.ids.values_mut().for_each(|ids| ids.sort_unstable());
        decided
    }

    fn is_admitted(&self, id: &EventId, report: &Report, content: Content) -> bool {
        let Admission::Agree(needed) = self.policy.admission else { return true };
        let said = self.candidates.get(id).map_or(&[][..], |candidate| &candidate.nodes);
        let nodes = said.len() + usize::from(said.binary_search(&report.node).is_err());
        content == Content::Receipts || nodes >= usize::from(needed)
    }

    /// Drops candidates of blocks whose whole content is shown and does not have them.
    fn settle_candidates(
        &mut self,
        report: &Report,
        judgement: &Judgement,
        decided: &Decided,
        cut: &mut Cut,
    ) {
        if self.candidates.is_empty() {
            return;
        }
        let flawed = flawed(report, judgement, spoils_receipts);
        for (i, block) in report.blocks.iter().enumerate() {
            if judgement.blocks[i].content != Content::Receipts || flawed[i] {
                continue;
            }
            let there = decided.ids.get(&(i as u32)).map_or(&[][..], |ids| ids);
            let forged: Vec<EventId> = (self.candidates.in_block(&block.hash))
                .filter(|c| {
                    report.filter.matches(c.log.row(0)) && there.binary_search(&c.id).is_err()
                })
                .map(|candidate| candidate.id)
                .collect();
            for id in forged {
                let Some(candidate) = self.candidates.close(&id) else { continue };
                cut.commit.candidates_closed.push(id);
                for node in candidate.nodes {
                    cut.commit.incidents.push(Incident {
                        chain: report.chain,
                        node,
                        range: BlockRange::one(block.number),
                        flaw: Flaw::Forged,
                        count: 1,
                        detail: format!("a log of transaction {} is not in its block", id.tx_hash),
                    });
                }
            }
        }
    }

    /// Marks stored events that a block's receipts do not have. Only receipts can do that: an id
    /// does not tell whether its event matches the filter that a bloom excludes.
    fn refute(
        &mut self,
        report: &Report,
        judgement: &Judgement,
        known: &Known,
        journal: &mut JournalCounter,
        cut: &mut Cut,
    ) {
        if known.is_empty() || !self.profile.check_receipts_root {
            return;
        }
        let flawed = flawed(report, judgement, spoils_receipts);
        for (i, block) in report.blocks.iter().enumerate() {
            let is_shown = judgement.blocks[i].content == Content::Receipts && !flawed[i];
            if !is_shown || !known.has_block(&block.hash) {
                continue;
            }
            let Some(there) = receipt_ids(report.chain, block) else { continue };
            let before = cut.commit.refuted.len();
            for id in known.of_block(&block.hash) {
                if there.binary_search(id).is_err() && self.refuted.insert(*id) {
                    cut.commit.refuted.push(*id);
                }
            }
            let events = (cut.commit.refuted.len() - before) as u64;
            if events > 0 {
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

    fn pieces(
        &self,
        report: &Report,
        judgement: &Judgement,
        refused: &[bool],
        decided: &Decided,
        nothing_admitted: bool,
    ) -> Pieces {
        let required = self.policy.verify.required();
        let nothing = "no log of the answer could be admitted";
        let standing = |i: usize| {
            let verdict = judgement.blocks[i];
            let decision = &decided.blocks[i];
            let content = Some(verdict.content.min(required));
            // What is stored must leave a trace in coverage: by it a later report of the block,
            // also after a restart, is compared with what is stored.
            let traced = content.filter(|_| decision.known + decision.entered > 0);
            let is_short = verdict.content < required;
            let (content, open) = if refused[i] {
                (None, Some("the header does not hash to its hash"))
            } else if decision.waiting {
                (traced.map(|_| Content::Claimed), Some("logs wait for another node or receipts"))
            } else if nothing_admitted && verdict.content < Content::Receipts {
                (None, Some(nothing))
            } else if is_short && verdict.doubt {
                (traced, Some("the bloom admits the filter and nothing shows that all is there"))
            } else if is_short {
                (content, Some("less is shown than the policy demands"))
            } else {
                (content, None)
            };
            let nodes = decided.nodes.get(&(i as u32)).cloned().unwrap_or_default();
            Standing { content, open, nodes }
        };
        let standings: Vec<Standing> = (0..report.blocks.len()).map(standing).collect();
        let unreported = Standing {
            content: (!nothing_admitted).then_some(Content::Claimed),
            open: if nothing_admitted {
                Some(nothing)
            } else {
                (Content::Claimed < required).then_some("no header was read")
            },
            nodes: Vec::new(),
        };
        pieces(report, judgement, &standings, &unreported, self.checkpoint())
    }

    /// Journals what becomes covered with its events, and events found where it was covered.
    fn extend(
        &mut self,
        report: &Report,
        rows: Rows,
        decided: Decided,
        pieces: &Pieces,
        journal: &mut JournalCounter,
        cut: &mut Cut,
    ) {
        let filter = report.filter.id();
        for (i, decision) in decided.blocks.iter().enumerate() {
            cut.ack.new_events += decision.entered;
            cut.ack.known_events += decision.known;
            let block = &report.blocks[i];
            if decision.entered > 0 && decision.known == 0 && self.canonical.is_final(block.number)
            {
                let row = block_row(block);
                self.canonical.note_final(&row);
                cut.commit.blocks.push(row);
            }
        }
        let new = self.newly_covered(report, pieces);
        let row_of = |seq, op, range, events| JournalRow {
            seq,
            chain: report.chain,
            op,
            filter: Some(filter),
            range,
            block_hash: None,
            events,
        };
        let covered: Vec<_> = self.coverage.overlapping(&report.filter, report.range).collect();
        let entered = cut.ack.new_events;
        if covered.is_empty() && new.len() == 1 && entered == rows.logs.len() as u64 {
            let seq = journal.next();
            cut.commit.journal.push(row_of(seq, Op::Extend, new[0], entered));
            if entered > 0 {
                cut.commit.events.push(rows.into_batch(&report.blocks, seq));
            }
            return;
        }
        let mut extends: Vec<Vec<u32>> = vec![Vec::new(); new.len()];
        let mut late: Vec<u32> = Vec::new();
        for row in (0..rows.logs.len()).filter(|row| decided.enter[*row]) {
            let log = rows.logs.row(row);
            let number = report.blocks[log.block as usize].number;
            let is_late = covered.iter().any(|c| c.holds(number) && c.filter.matches(log));
            let at = new.partition_point(|range| range.last() < number);
            match new.get(at).filter(|range| !is_late && range.contains(number)) {
                Some(_) => extends[at].push(row as u32),
                None => late.push(row as u32),
            }
        }
        for (range, events) in new.iter().zip(&extends) {
            let seq = journal.next();
            cut.commit.journal.push(row_of(seq, Op::Extend, *range, events.len() as u64));
            if !events.is_empty() {
                cut.commit.events.push(rows.batch(events, &report.blocks, seq));
            }
        }
        let number = |row: &u32| report.blocks[rows.logs.block[*row as usize] as usize].number;
        let found = late.iter().map(|row| BlockRange::one(number(row))).reduce(hull);
        if let Some(range) = found {
            let seq = journal.next();
            cut.commit.journal.push(row_of(seq, Op::Late, range, late.len() as u64));
            cut.commit.events.push(rows.batch(&late, &report.blocks, seq));
        }
    }

    /// Returns the runs that this report covers and that its filter was not covered for.
    fn newly_covered(&self, report: &Report, pieces: &Pieces) -> Vec<BlockRange> {
        let covered = self.coverage.of(report.filter.id());
        let mut new: Vec<BlockRange> = Vec::new();
        let mut push = |range: BlockRange| match new.last_mut() {
            Some(last) if adjacent(last, &range) => *last = hull(*last, range),
            _ => new.push(range),
        };
        for piece in &pieces.intervals {
            let mut first = Some(piece.range.first());
            for old in covered.map_or(&[][..], |covered| covered.touching(piece.range)) {
                if let (Some(from), Some(last)) = (first, old.range.first().checked_sub(1))
                    && let Some(range) = BlockRange::new(from, last)
                {
                    push(range);
                }
                first = old.range.last().checked_add(1);
            }
            if let Some(range) = first.and_then(|from| BlockRange::new(from, piece.range.last())) {
                push(range);
            }
        }
        new
    }

    /// Writes what the report covers.
    fn cover(&mut self, report: &Report, pieces: Pieces, cut: &mut Cut) {
        let hash_at = hash_at(report, &self.canonical);
        let added = self.coverage.add(&report.filter, &pieces.intervals, &hash_at);
        cut.ack.open.extend(pieces.open);
        let Some(range) = added.changed else { return };
        cut.changed.push((Arc::clone(&report.filter), range));
        for number in added.unlinked {
            // Both sides stay as they are, unjoined: the seam is what has to be looked at.
            let Some(seam) = BlockRange::new(number.saturating_sub(1), number) else { continue };
            let detail = format!("the parent of block {number} is not the covered block below");
            cut.incident(seam, Flaw::ParentLink, 1, detail);
            cut.ack.open.push((seam, "headers do not link here".to_owned()));
        }
    }
}

/// A commit in the making.
struct Cut {
    commit: Commit,
    ack: Ack,
    node: NodeId,
    changed: Vec<(Arc<Filter>, BlockRange)>,
}

impl Cut {
    fn incident(&mut self, range: BlockRange, flaw: Flaw, count: u64, detail: String) {
        let (chain, node) = (self.commit.chain, self.node.clone());
        self.commit.incidents.push(Incident { chain, node, range, flaw, count, detail });
    }

    fn flaws(&mut self, report: &Report, judgement: &Judgement) {
        for (block, flaw, count, detail) in &judgement.flaws {
            let block = block.and_then(|i| report.blocks.get(i as usize));
            let range = block.map_or(report.range, |block| BlockRange::one(block.number));
            self.incident(range, *flaw, *count, detail.clone());
        }
    }

    /// Nothing of the report is taken, and its range stays open.
    fn refused(mut self, report: &Report, reason: &str) -> Outcome {
        self.ack.open = vec![(report.range, reason.to_owned())];
        self.outcome(&Coverage::default())
    }

    fn outcome(mut self, coverage: &Coverage) -> Outcome {
        let mut changed: BTreeMap<FilterId, (Arc<Filter>, BlockRange)> = BTreeMap::new();
        for (filter, range) in self.changed {
            changed
                .entry(filter.id())
                .and_modify(|(_, all)| *all = hull(*all, range))
                .or_insert((filter, range));
        }
        let changes = changed.values().map(|(filter, range)| coverage.change(filter, *range));
        self.commit.coverage = changes.collect();
        self.ack.incidents = self.commit.incidents.len() as u64;
        self.ack.open.sort();
        Outcome { commit: self.commit, ack: self.ack }
    }
}

/// Ids stored in the report's range, on any branch.
struct Known {
    ids: Vec<EventId>,
    set: HashSet<EventId>,
    blocks: B256Map<u64>,
}

impl Known {
    /// All ids are of one chain, so sorting brings those of a block together.
    fn new(mut ids: Vec<EventId>) -> Self {
        ids.sort_unstable();
        let set = ids.iter().copied().collect();
        let mut blocks = B256Map::default();
        for id in &ids {
            *blocks.entry(id.block_hash).or_default() += 1;
        }
        Self { ids, set, blocks }
    }

    fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    fn has(&self, id: &EventId) -> bool {
        self.set.contains(id)
    }

    fn has_block(&self, hash: &B256) -> bool {
        self.blocks.contains_key(hash)
    }

    fn of_block(&self, hash: &B256) -> &[EventId] {
        let first = self.ids.partition_point(|id| id.block_hash < *hash);
        let end = self.ids.partition_point(|id| id.block_hash <= *hash);
        &self.ids[first..end.max(first)]
    }

    fn in_block(&self, hash: &B256) -> u64 {
        self.blocks.get(hash).copied().unwrap_or(0)
    }
}

/// What was decided about the rows of a report.
struct Decided {
    /// Per row.
    enter: Vec<bool>,
    /// Per block.
    blocks: Vec<BlockDecision>,
    /// Nodes whose candidates entered, by block.
    nodes: BTreeMap<u32, Vec<NodeId>>,
    /// Ids of all rows, sorted, for the blocks where they were needed.
    ids: BTreeMap<u32, Vec<EventId>>,
}

#[derive(Clone, Default)]
struct BlockDecision {
    entered: u64,
    known: u64,
    waiting: bool,
}

/// Returns per block whether one of its flaws is meant.
fn flawed(report: &Report, judgement: &Judgement, meant: impl Fn(Flaw) -> bool) -> Vec<bool> {
    let mut flawed = vec![false; report.blocks.len()];
    for (block, flaw, ..) in &judgement.flaws {
        if let Some(flawed) = block.and_then(|i| flawed.get_mut(i as usize)) {
            *flawed |= meant(*flaw);
        }
    }
    flawed
}

/// Whether the receipts of a block with this flaw show nothing.
const fn spoils_receipts(flaw: Flaw) -> bool {
    matches!(flaw, Flaw::HeaderHash | Flaw::ReceiptCount | Flaw::ReceiptBlock | Flaw::ReceiptsRoot)
}

fn candidate(id: EventId, log: LogRef<'_>, number: u64, node: &NodeId) -> Candidate {
    let mut logs = Logs::default();
    logs.push(LogRef { block: 0, ..log });
    Candidate { id, log: logs, number, nodes: vec![node.clone()] }
}

fn block_row(block: &ReportedBlock) -> BlockRow {
    BlockRow {
        number: block.number,
        hash: block.hash,
        parent: parent(block),
        timestamp: (block.header.as_ref().map(|header| header.timestamp)).or(block.timestamp),
        canonical: true,
    }
}

fn hash_at<'a>(report: &'a Report, canonical: &'a Canonical) -> impl Fn(u64) -> Option<B256> + 'a {
    |number| {
        let above = || number.checked_add(1).and_then(|above| reported(report, above));
        (reported(report, number).map(|block| block.hash))
            .or_else(|| above().and_then(parent))
            .or_else(|| canonical.hash_at(number))
    }
}
