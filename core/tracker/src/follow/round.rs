//! One round of reading near the head: a run of consecutive blocks, every filter, one report each.
//!
//! Each step waits for all its answers, has the prover judge, and asks what is still due. A filter
//! with nothing left to ask is reported at once. A block whose logs the node would not give in any
//! way is in no report: a report of it would say that the node saw nothing there.

use crate::{
    chunk::{Context, with_header},
    follow::live_block::{Demand, Finding, LiveBlock, Want, Way},
};
use event::{
    Answer, Ask, BlockAnswer, BlockNumHash, BlockRange, ChainProfile, Content, Fault, Filter, Flaw,
    Judgement, LogRef, Logs, LogsAnswer, REPORT_VERSION, Receipt, Report, ReportedBlock, Via,
};
use std::{collections::BTreeMap, sync::Arc};

/// Blocks of one round, at most: what one report holds in memory, with their receipts.
pub(crate) const ROUND_BLOCKS_MAX: usize = 32;
/// Faults kept for one report.
const FAULTS_MAX: usize = 16;

/// What an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Logs { run: u32, block: u32 },
    Receipts { block: u32 },
}

/// What a round wants after a step.
#[derive(Debug, Default)]
pub(crate) struct RoundStep {
    /// Questions, with when they are due.
    pub(crate) asks: Vec<(u64, Part, Ask)>,
    /// Reports that are whole.
    pub(crate) reports: Vec<Report>,
}

#[derive(Debug)]
pub(crate) struct Round {
    blocks: Vec<BlockAnswer>,
    receipts: Vec<Way<Vec<Receipt>>>,
    runs: Vec<Run>,
    waiting: usize,
    demand: Demand,
    head_before: u64,
    /// Why the node's receipts are not asked for, if so.
    off: Option<Fault>,
}

/// One filter over the round's blocks.
#[derive(Debug)]
struct Run {
    filter: Arc<Filter>,
    blocks: Vec<LiveBlock>,
    faults: Vec<Fault>,
    flaws: BTreeMap<(u32, Flaw), (u64, String)>,
    is_over: bool,
}

impl Round {
    /// Begins a round over consecutive blocks, oldest first. `deadline_ms` is when the node should
    /// have been able to serve them.
    pub(crate) fn new(
        blocks: Vec<BlockAnswer>,
        filters: &[Arc<Filter>],
        off: Option<Fault>,
        deadline_ms: u64,
        context: &Context,
    ) -> Self {
        let verify = context.verify;
        let proves = |block: &BlockAnswer| {
            context.profile.check_receipts_root.is_made()
                && verify.required_at(block.header.number) == Content::Receipts
        };
        let run = |filter: &Arc<Filter>| Run {
            filter: filter.clone(),
            blocks: blocks.iter().map(|block| LiveBlock::new(proves(block))).collect(),
            faults: Vec::new(),
            flaws: BTreeMap::new(),
            is_over: false,
        };
        let way = || if off.is_some() { Way::Refused } else { Way::Unasked };
        Self {
            receipts: blocks.iter().map(|_| way()).collect(),
            runs: filters.iter().map(run).collect(),
            blocks,
            waiting: 0,
            demand: Demand { verify, deadline_ms },
            head_before: context.status.head.number,
            off,
        }
    }

    pub(crate) fn blocks(&self) -> &[BlockAnswer] {
        &self.blocks
    }

    /// Number of blocks held.
    pub(crate) const fn held(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) fn into_blocks(self) -> Vec<BlockAnswer> {
        self.blocks
    }

    pub(crate) fn is_over(&self) -> bool {
        self.runs.iter().all(|run| run.is_over)
    }

    /// Number of blocks whose logs were not given for some filter.
    pub(crate) fn unread(&self) -> usize {
        let is_unread = |i: &usize| self.runs.iter().any(|run| !run.shows(*i, &self.receipts[*i]));
        (0..self.blocks.len()).filter(is_unread).count()
    }

    /// Takes an answer. Returns whether the node called logs `removed`.
    pub(crate) fn on_answer(&mut self, part: Part, answer: Answer) -> bool {
        self.waiting = self.waiting.saturating_sub(1);
        match (part, answer) {
            (Part::Logs { run, block }, Answer::Logs(logs)) => {
                let removed = logs.removed > 0;
                let named = self.blocks.get(block as usize).map(name);
                if let (Some(run), Some(named)) = (self.runs.get_mut(run as usize), named) {
                    run.take(block, named, logs);
                }
                removed
            }
            (Part::Receipts { block }, Answer::Receipts(receipts)) => {
                if let Some(way) = self.receipts.get_mut(block as usize) {
                    *way = Way::Given(receipts);
                }
                false
            }
            // Caught by the transport; here it is no answer.
            (Part::Logs { .. } | Part::Receipts { .. }, _) => false,
        }
    }

    /// Takes the loss of an answer.
    pub(crate) fn on_loss(&mut self, part: Part, fault: &Fault, is_ready_later: bool) {
        self.waiting = self.waiting.saturating_sub(1);
        match part {
            Part::Logs { run, block } => {
                let Some(run) = self.runs.get_mut(run as usize) else { return };
                run.note(fault);
                if let Some(block) = run.blocks.get_mut(block as usize) {
                    block.logs.lose(is_ready_later);
                }
            }
            Part::Receipts { block } => {
                if let Some(way) = self.receipts.get_mut(block as usize) {
                    way.lose(is_ready_later);
                }
                let takes = |run: &&mut Run| {
                    run.blocks.get(block as usize).is_some_and(|block| block.takes_receipts)
                };
                self.runs.iter_mut().filter(takes).for_each(|run| run.note(fault));
            }
        }
    }

    /// Returns what is due once all answers of the step before are there.
    pub(crate) fn step(&mut self, context: &Context, now_ms: u64) -> RoundStep {
        let mut step = RoundStep::default();
        if self.waiting > 0 {
            return step;
        }
        let mut due: BTreeMap<Part, u64> = BTreeMap::new();
        for index in 0..self.runs.len() {
            if self.runs[index].is_over {
                continue;
            }
            let (report, wants) = self.judged(index, context, now_ms);
            for (block, want) in wants.iter().enumerate() {
                let Want::Ask { due_ms, logs, receipts } = *want else { continue };
                let (run, block) = (index as u32, block as u32);
                let logs = logs.then_some(Part::Logs { run, block });
                let receipts = receipts.then_some(Part::Receipts { block });
                for part in logs.into_iter().chain(receipts) {
                    let earliest = due.entry(part).or_insert(due_ms);
                    *earliest = due_ms.min(*earliest);
                }
            }
            if wants.iter().all(|want| *want == Want::Nothing) {
                self.runs[index].is_over = true;
                step.reports.extend(self.finished(index, report, context));
            }
        }
        self.waiting = due.len();
        step.asks = due.into_iter().map(|(part, due_ms)| (due_ms, part, self.ask(part))).collect();
        step
    }

    /// Has the run judged as it is, until no block can take anything that is there already.
    fn judged(&mut self, index: usize, context: &Context, now_ms: u64) -> (Report, Vec<Want>) {
        let mut wants = vec![Want::Judgement; self.blocks.len()];
        loop {
            let report = self.report(index, 0..self.blocks.len(), context);
            let judgement = context.prover.judge(&report, &context.profile);
            let run = &mut self.runs[index];
            let findings = findings(&judgement, wants.len(), &context.profile);
            // A block wants to be judged again only once: when it takes its receipts.
            for (i, want) in wants.iter_mut().enumerate() {
                if *want == Want::Judgement {
                    let block = &mut run.blocks[i];
                    *want = block.next(&self.receipts[i], findings[i], &self.demand, now_ms);
                }
            }
            if !wants.contains(&Want::Judgement) {
                let lacks = |block: &LiveBlock| block.takes_receipts && !block.is_excluded;
                if let Some(off) = self.off.as_ref().filter(|_| run.blocks.iter().any(lacks)) {
                    run.note(off);
                }
                return (Report { judged: Some(judgement), ..report }, wants);
            }
        }
    }

    fn ask(&self, part: Part) -> Ask {
        match part {
            Part::Logs { run, block } => Ask::LogsByHash {
                filter: self.runs[run as usize].filter.clone(),
                block: name(&self.blocks[block as usize]),
            },
            Part::Receipts { block } => Ask::Receipts { block: name(&self.blocks[block as usize]) },
        }
    }

    /// Cuts the reports of a run: one, or several around blocks that were not given.
    fn finished(&mut self, index: usize, whole: Report, context: &Context) -> Vec<Report> {
        let mut reports = Vec::new();
        let mut first = 0;
        let shows = |run: &Run, i: usize| run.shows(i, &self.receipts[i]);
        let run = &self.runs[index];
        if (0..self.blocks.len()).all(|i| shows(run, i)) {
            reports.push((0, whole));
        } else {
            for i in 0..=self.blocks.len() {
                if i < self.blocks.len() && shows(run, i) {
                    continue;
                }
                if first < i {
                    let mut report = self.report(index, first..i, context);
                    report.judged = Some(context.prover.judge(&report, &context.profile));
                    reports.push((first, report));
                }
                first = i + 1;
            }
        }
        let run = &mut self.runs[index];
        for (first, report) in &mut reports {
            report.faults.clone_from(&run.faults);
            let Some(judged) = &mut report.judged else { continue };
            for ((block, flaw), (count, told)) in &run.flaws {
                let at = (*block as usize).checked_sub(*first);
                if let Some(at) = at.filter(|at| *at < report.blocks.len()) {
                    judged.flaws.push((Some(at as u32), *flaw, *count, told.clone()));
                }
            }
        }
        reports.into_iter().map(|(_, report)| report).collect()
    }

    fn report(&self, index: usize, blocks: std::ops::Range<usize>, context: &Context) -> Report {
        let run = &self.runs[index];
        let mut logs = Logs::default();
        let mut reported = Vec::with_capacity(blocks.len());
        for i in blocks {
            let block = &run.blocks[i];
            let receipts = self.receipts[i].given().filter(|_| block.takes_receipts);
            let at = reported.len() as u32;
            let via = match (block.logs.given(), receipts) {
                (Some(answer), _) => {
                    answer.logs.rows().for_each(|row| logs.push(LogRef { block: at, ..row }));
                    Via::BlockHash
                }
                (None, Some(receipts)) => {
                    let given = receipts.iter().flat_map(|receipt| &receipt.logs);
                    for log in given.filter(|log| run.filter.matches((*log).into())) {
                        logs.push_log(at, log);
                    }
                    Via::Receipts
                }
                (None, None) => Via::BlockHash,
            };
            let block = with_header(self.blocks[i].clone(), via);
            reported.push(ReportedBlock { receipts: receipts.cloned(), ..block });
        }
        let first = reported.first().map_or(0, |block| block.number);
        Report {
            version: REPORT_VERSION,
            reporter: context.reporter.clone(),
            seq: 0,
            chain: context.profile.chain,
            node: context.status.node.clone(),
            client: context.status.client.clone(),
            filter: run.filter.clone(),
            range: BlockRange::of_width(first, reported.len() as u64),
            // The node showed the head that these blocks lead to.
            head_before: self.head_before.max(first + (reported.len() as u64).saturating_sub(1)),
            head_after: self.head_before.max(first + (reported.len() as u64).saturating_sub(1)),
            finalized: context.status.finalized,
            blocks: reported,
            logs,
            faults: Vec::new(),
            is_second_look: false,
            judged: None,
        }
    }
}

impl Run {
    /// Whether a report may speak of the block.
    fn shows(&self, i: usize, receipts: &Way<Vec<Receipt>>) -> bool {
        self.blocks[i].is_excluded || self.blocks[i].is_read(receipts)
    }

    fn note(&mut self, fault: &Fault) {
        let is_known =
            |known: &Fault| (&known.method, &known.class) == (&fault.method, &fault.class);
        if self.faults.len() < FAULTS_MAX && !self.faults.iter().any(is_known) {
            self.faults.push(fault.clone());
        }
    }

    /// Takes an answer by hash. One that has less than an earlier one changes nothing: the node's
    /// machines are not equally far.
    fn take(&mut self, at: u32, named: BlockNumHash, answer: LogsAnswer) {
        let is_own = |row: LogRef<'_>| {
            let of = answer.blocks.get(row.block as usize);
            of.is_some_and(|(number, hash, _)| (*number, *hash) == (named.number, named.hash))
        };
        let keep: Vec<bool> = answer.logs.rows().map(is_own).collect();
        let strange = keep.iter().filter(|keep| !**keep).count() as u64;
        let logs = answer.logs.filtered(&keep);
        if strange > 0 {
            let told = format!("asked for block {} by hash, got logs of another", named.hash);
            self.flaws.insert((at, Flaw::WrongBlock), (strange, told));
        }
        if answer.removed > 0 {
            let told = "marked `removed`: the node calls their block not canonical".to_owned();
            self.flaws.insert((at, Flaw::Removed), (answer.removed, told));
        }
        let Some(block) = self.blocks.get_mut(at as usize) else { return };
        if block.logs.given().is_none_or(|had| had.logs.len() <= logs.len()) {
            block.logs = Way::Given(LogsAnswer { logs, ..answer });
        }
    }
}

fn findings(judgement: &Judgement, count: usize, profile: &ChainProfile) -> Vec<Finding> {
    let verdict = |i: usize| {
        let (content, doubt) = (judgement.blocks.get(i))
            .map_or((Content::Claimed, false), |verdict| (verdict.content, verdict.doubt));
        Finding { content, doubt, is_missing: false, is_bad: false }
    };
    let mut findings: Vec<Finding> = (0..count).map(verdict).collect();
    for (at, flaw, ..) in &judgement.flaws {
        let Some(finding) = at.and_then(|at| findings.get_mut(at as usize)) else { continue };
        finding.is_missing |= *flaw == Flaw::Missing;
        finding.is_bad |= *flaw == Flaw::HeaderHash && !profile.observes(*flaw);
    }
    findings
}

fn name(block: &BlockAnswer) -> BlockNumHash {
    BlockNumHash { number: block.header.number, hash: block.hash }
}
