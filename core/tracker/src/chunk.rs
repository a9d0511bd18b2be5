//! One chunk of a backfill: a filter over a few hundred blocks, from first call to finished report.
//!
//! The verification ladder as a state machine. What is asked depends on the policy and on what
//! the prover doubts; an empty answer is never the end of it where a bloom says otherwise.

use crate::{NodeStatus, backoff::is_of_one_block, segment::SEGMENT_MAX};
use alloy_primitives::B256;
use event::{
    Answer, Ask, BlockAnswer, BlockNumHash, BlockRange, ChainProfile, Content, Fault, FaultClass,
    Filter, Flaw, Judgement, LogRef, Logs, LogsAnswer, Prover, REPORT_VERSION, Receipt, Report,
    ReportedBlock, Verify, Via,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Blocks whose receipts are asked for in one go: a batch or two, and bounds what one question holds.
const RECEIPT_BLOCKS_MAX: usize = 50;
/// Questions for receipts that a few blocks are shared between, so that they overlap.
const RECEIPT_ASKS_MIN: usize = 4;
/// Blocks of a chunk that is not made narrower for a node that lets few calls through.
const NARROW_BLOCKS: u64 = 16;
/// Headers that a node does not give of one chunk, at most, before it is the node and not the blocks.
const LOST_HEADERS_MAX: usize = 16;
/// Round numbers at which providers silently cut answers off (faults.md F21).
const RESULT_CAPS: [u64; 4] = [1_000, 5_000, 10_000, 20_000];

/// Where a chunk stands.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// The end of an unfinalized range is read first, so that a reorg in between shows.
    Before,
    /// Logs and headers are on their way.
    Reading,
    /// Blocks in doubt are asked for again by hash: in most clients another code path.
    ByHash,
    /// Blocks still in doubt are recomputed from their receipts.
    Receipts,
    /// The end of an unfinalized range is read once more.
    After,
}

/// Which part of a chunk an answer is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Before,
    Logs,
    Headers(BlockRange),
    ByHash(u32),
    /// Of these blocks, by their places in the report.
    Receipts(Vec<u32>),
    After,
}

/// What a chunk wants after an answer.
#[derive(Debug)]
pub(crate) enum Step {
    /// Ask these; none when other answers are still on their way.
    Ask(Vec<(Part, Ask)>),
    /// The report is whole.
    Report(Box<Report>),
    /// Read the chunk again from the start: the chain moved, or the answer contradicts itself.
    Restart(String),
    /// This node has no way left to give the chunk.
    GiveUp(String),
    /// The answer is exactly as long as a known cap: read the range in halves.
    Suspicious,
}

/// What all chunks of a backfill share.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) status: NodeStatus,
    pub(crate) verify: Verify,
    pub(crate) profile: ChainProfile,
    pub(crate) prover: Arc<dyn Prover>,
    pub(crate) reporter: Arc<str>,
}

pub(crate) struct Chunk {
    pub(crate) filter: Arc<Filter>,
    pub(crate) range: BlockRange,
    /// What its logs were asked for over; more than `range` where it was halved since.
    asked: BlockRange,
    pub(crate) attempts: u32,
    state: State,
    is_tail: bool,
    /// The node will not answer `eth_getLogs` over even this one block.
    is_refused: bool,
    end_before: Option<BlockAnswer>,
    logs: Option<LogsAnswer>,
    headers: BTreeMap<u64, Vec<BlockAnswer>>,
    /// Blocks whose headers the node does not give, with what it gave in their place.
    lost_headers: BTreeMap<u64, Fault>,
    report: Option<Report>,
    waiting: usize,
    /// The range answer had logs marked `removed`, which of its blocks they were of is not known.
    has_removed: bool,
    /// Blocks for which the answer by hash had some.
    removed_in: BTreeSet<u32>,
    flaws: Vec<(Option<u32>, Flaw, u64, String)>,
}

impl Chunk {
    pub(crate) fn new(filter: Arc<Filter>, range: BlockRange, context: &Context) -> Self {
        let is_tail = context.status.finalized.is_none_or(|finalized| range.last() > finalized);
        Self {
            filter,
            range,
            asked: range,
            attempts: 0,
            state: if is_tail { State::Before } else { State::Reading },
            is_tail,
            is_refused: false,
            end_before: None,
            logs: None,
            headers: BTreeMap::new(),
            lost_headers: BTreeMap::new(),
            report: None,
            waiting: 0,
            has_removed: false,
            removed_in: BTreeSet::new(),
            flaws: Vec::new(),
        }
    }

    /// Returns the first questions; also after a restart, which forgets all answers.
    pub(crate) fn start(&mut self, context: &Context) -> Vec<(Part, Ask)> {
        self.end_before = None;
        self.logs = None;
        self.asked = self.range;
        self.headers.clear();
        self.lost_headers.clear();
        self.report = None;
        self.flaws.clear();
        self.has_removed = false;
        self.removed_in.clear();
        self.is_refused = false;
        if self.is_tail {
            self.state = State::Before;
            let end = BlockRange::one(self.range.last());
            return self.wait_for(vec![(Part::Before, Ask::Headers { range: end })]);
        }
        self.read(context)
    }

    fn read(&mut self, context: &Context) -> Vec<(Part, Ask)> {
        self.state = State::Reading;
        let logs = Ask::Logs { filter: self.filter.clone(), range: self.range };
        let mut asks = vec![(Part::Logs, logs)];
        if self.reads_headers(context) {
            let mut first = self.range.first();
            loop {
                let segment = BlockRange::of_width(first, SEGMENT_MAX);
                let Some(segment) = segment.intersection(&self.range) else { break };
                asks.push((Part::Headers(segment), Ask::Headers { range: segment }));
                if segment.last() == self.range.last() {
                    break;
                }
                first = segment.last() + 1;
            }
        }
        self.wait_for(asks)
    }

    /// Goes on without `eth_getLogs` over a range, which the node refuses for even one block:
    /// by hash, then from the receipts (faults.md F20). `None` when the chunk is wider than that.
    pub(crate) fn after_refusal(&mut self, context: &Context) -> Option<Step> {
        if self.range.count() != 1 || self.is_refused {
            return None;
        }
        self.waiting = self.waiting.saturating_sub(1);
        self.is_refused = true;
        self.logs = Some(LogsAnswer::default());
        if !self.reads_headers(context) && self.end_before.is_none() {
            let asks = vec![(Part::Headers(self.range), Ask::Headers { range: self.range })];
            return Some(Step::Ask(self.wait_for(asks)));
        }
        Some(self.advance(context))
    }

    /// Above the finalized block every header is read, whatever the policy: a reorg that takes a
    /// log away leaves a trace in the headers only. Where nothing is ever final, the policy rules.
    fn reads_headers(&self, context: &Context) -> bool {
        let has_final = context.status.finalized.is_some();
        context.verify != Verify::Off || (self.is_tail && has_final)
    }

    fn wait_for(&mut self, asks: Vec<(Part, Ask)>) -> Vec<(Part, Ask)> {
        self.waiting = asks.len();
        asks
    }

    /// Takes an answer and returns the next step.
    pub(crate) fn on_answer(
        &mut self,
        part: Part,
        answer: Answer,
        caps_refuted: u64,
        context: &Context,
    ) -> Step {
        self.waiting = self.waiting.saturating_sub(1);
        match (part, answer) {
            (Part::Before, Answer::Headers(mut headers)) => {
                self.end_before = headers.pop();
                return Step::Ask(self.read(context));
            }
            (Part::After, Answer::Headers(mut headers)) => {
                let end = headers.pop().map(|block| block.hash);
                if end != self.end_before.as_ref().map(|block| block.hash) {
                    return Step::Restart("the chain moved while the range was read".into());
                }
                return self.finish();
            }
            (Part::Logs, Answer::Logs(logs)) => {
                let count = logs.logs.len() as u64 + logs.removed;
                if self.range.count() > 1 && count > caps_refuted && RESULT_CAPS.contains(&count) {
                    return Step::Suspicious;
                }
                self.logs = Some(logs);
            }
            (Part::Headers(segment), Answer::Headers(headers)) => {
                self.headers.insert(segment.first(), headers);
            }
            (Part::ByHash(index), Answer::Logs(logs)) => self.add_by_hash(index, logs),
            (Part::Receipts(places), Answer::Receipts(receipts)) if places.len() == 1 => {
                self.add_receipts(places[0], receipts);
            }
            // A node that answers another question is caught by its transport; a fake that does
            // is read again.
            _ => return Step::Restart("the answer is for another question".into()),
        }
        self.advance(context)
    }

    /// Whether its logs are still to come.
    pub(crate) const fn waits_for_logs(&self) -> bool {
        self.logs.is_none() && !self.is_refused
    }

    /// Leaves the second half to another chunk, and returns it: where a node lets few calls through, a narrow
    /// chunk is whole sooner. What was read of that half is read again.
    pub(crate) fn halve(&mut self) -> Option<BlockRange> {
        if self.is_tail || self.range.count() < 2 * NARROW_BLOCKS {
            return None;
        }
        let first = BlockRange::of_width(self.range.first(), self.range.count() / 2);
        let rest = BlockRange::new(first.last() + 1, self.range.last())?;
        self.cut_to(first);
        Some(rest)
    }

    /// Forgets what is above the range, which begins where the chunk does.
    fn cut_to(&mut self, range: BlockRange) {
        self.range = range;
        self.lost_headers.retain(|number, _| range.contains(*number));
        if let Some(report) = &mut self.report {
            report.range = range;
            report.blocks.retain(|block| block.number <= range.last());
            let blocks = report.blocks.len() as u32;
            let keep: Vec<bool> = report.logs.block.iter().map(|block| *block < blocks).collect();
            report.logs = report.logs.filtered(&keep);
            report.judged = None;
            self.flaws.retain(|(index, ..)| index.is_none_or(|index| index < blocks));
        }
    }

    /// Returns what was read so far, where the run ends here: as many blocks from the first one on as are shown
    /// as it is demanded. Nothing of what is not final: its end was not read once more.
    pub(crate) fn so_far(mut self, context: &Context) -> Option<Box<Report>> {
        if self.is_tail || self.is_refused {
            return None;
        }
        if self.report.is_none() {
            self.logs.as_ref()?;
            let mut next = self.range.first();
            for (first, blocks) in &self.headers {
                if *first > next {
                    break;
                }
                next = next.max(first + blocks.len() as u64);
            }
            let given = BlockRange::new(self.range.first(), next.checked_sub(1)?)?;
            self.cut_to(given.intersection(&self.range)?);
            self.report = Some(self.assemble(context).ok()?);
        }
        let mut judgement = self.judge(self.report.as_ref()?, context);
        if let Some(index) = self.due(&judgement, context).first() {
            let due = self.report.as_ref()?.blocks[*index].number;
            self.cut_to(BlockRange::new(self.range.first(), due.checked_sub(1)?)?);
            judgement = self.judge(self.report.as_ref()?, context);
        }
        self.report.as_mut()?.judged = Some(judgement);
        match self.finish() {
            Step::Report(report) => Some(report),
            _ => None,
        }
    }

    fn judge(&self, report: &Report, context: &Context) -> Judgement {
        let mut judgement = context.prover.judge(report, &context.profile);
        if context.profile.check_bloom.decides() {
            self.doubt_removed(&mut judgement);
        }
        judgement
    }

    /// Returns what is still wanted of a part, after the chunk was halved.
    pub(crate) fn wanted(&self, part: &Part) -> Option<Part> {
        let blocks = self.report.as_ref().map_or(u32::MAX, |report| report.blocks.len() as u32);
        match part {
            Part::Headers(range) => range.intersection(&self.range).map(Part::Headers),
            Part::ByHash(index) => (*index < blocks).then_some(Part::ByHash(*index)),
            Part::Receipts(places) => {
                let places: Vec<u32> = places.iter().copied().filter(|p| *p < blocks).collect();
                (!places.is_empty()).then_some(Part::Receipts(places))
            }
            other => Some(other.clone()),
        }
    }

    /// Waits for so many answers less: their blocks are another chunk's now.
    pub(crate) const fn wait_for_fewer(&mut self, calls: usize) {
        self.waiting = self.waiting.saturating_sub(calls);
    }

    /// Waits for one answer more: a question was cut in two.
    pub(crate) fn wait_for_one_more(&mut self) {
        self.waiting += 1;
    }

    /// Takes the loss of a part that the ladder can do without.
    pub(crate) fn on_loss(&mut self, part: &Part, fault: Fault, context: &Context) -> Step {
        self.waiting = self.waiting.saturating_sub(1);
        match part {
            Part::Headers(range) => drop(self.lost_headers.insert(range.first(), fault)),
            _ => self.lose(fault),
        }
        self.advance(context)
    }

    fn lose(&mut self, fault: Fault) {
        if let Some(report) = &mut self.report {
            report.faults.push(fault);
        }
    }

    /// Takes the receipts of several blocks of one question. `again` are the questions in which what is
    /// missing of it is asked for once more; what was not given and is not asked for again is lost.
    pub(crate) fn on_receipts(
        &mut self,
        given: Vec<(u32, Vec<Receipt>)>,
        lost: Vec<Fault>,
        again: usize,
        context: &Context,
    ) -> Step {
        for (place, receipts) in given {
            self.add_receipts(place, receipts);
        }
        lost.into_iter().for_each(|fault| self.lose(fault));
        self.waiting = (self.waiting + again).saturating_sub(1);
        self.advance(context)
    }

    /// Takes headers of some blocks of one question, by the heights they were asked for. `again` are the
    /// questions in which the others are asked for once more.
    pub(crate) fn on_some_headers(
        &mut self,
        given: Vec<(u64, BlockAnswer)>,
        again: usize,
        context: &Context,
    ) -> Step {
        self.headers.extend(given.into_iter().map(|(number, block)| (number, vec![block])));
        self.waiting = (self.waiting + again).saturating_sub(1);
        self.advance(context)
    }

    fn advance(&mut self, context: &Context) -> Step {
        if self.waiting > 0 {
            return Step::Ask(Vec::new());
        }
        if self.state == State::Reading {
            match self.assemble(context) {
                Ok(report) => self.report = Some(report),
                Err(reason) => return Step::Restart(reason),
            }
        }
        let Some(report) = &self.report else {
            return Step::Restart("nothing was read".into());
        };
        let judgement = self.judge(report, context);
        if self.is_tail && self.reads_headers(context) && !judgement.complete_headers {
            return Step::Restart("the headers of the range do not link".into());
        }
        let asks = self.deepen(&judgement, context);
        if let Some(report) = &mut self.report {
            report.judged = Some(judgement);
        }
        if !asks.is_empty() {
            return Step::Ask(self.wait_for(asks));
        }
        if self.unread_block().is_some() {
            return Step::GiveUp("the block is refused by range, by hash and as receipts".into());
        }
        if self.is_tail {
            self.state = State::After;
            let end = BlockRange::one(self.range.last());
            return Step::Ask(self.wait_for(vec![(Part::After, Ask::Headers { range: end })]));
        }
        self.finish()
    }

    fn finish(&mut self) -> Step {
        let Some(mut report) = self.report.take() else {
            return Step::Restart("nothing was read".into());
        };
        if self.is_tail {
            report.head_after = report.head_after.max(self.range.last());
        }
        if let Some(judged) = &mut report.judged {
            judged.flaws.append(&mut self.flaws);
        }
        Step::Report(Box::new(report))
    }

    /// A node that calls logs `removed` is not sure of its chain (faults.md F48): only what a bloom
    /// or receipts prove is free of doubt.
    fn doubt_removed(&self, judgement: &mut Judgement) {
        for (index, verdict) in (0..).zip(&mut judgement.blocks) {
            let is_removed = self.has_removed || self.removed_in.contains(&index);
            verdict.doubt |= is_removed && verdict.content < Content::Receipts;
        }
    }

    /// The block that a refusing node has not given in any other way yet.
    fn unread_block(&self) -> Option<usize> {
        let report = self.report.as_ref()?;
        let index = report.blocks.iter().position(|block| block.via == Via::Range)?;
        self.is_refused.then_some(index)
    }

    /// Returns the blocks of which less is shown than is demanded, by their places in the report.
    fn due(&self, judgement: &Judgement, context: &Context) -> Vec<usize> {
        let Some(report) = &self.report else { return Vec::new() };
        let unread = self.unread_block();
        // Of a block whose header is not its own nothing can be shown, by whatever hash it is asked for.
        let refuses = context.profile.check_header_hash.decides();
        let bad: BTreeSet<usize> = (judgement.flaws.iter())
            .filter(|(_, flaw, ..)| refuses && *flaw == Flaw::HeaderHash)
            .filter_map(|(index, ..)| index.map(|index| index as usize))
            .collect();
        let is_due = |index: usize| match context.verify {
            _ if bad.contains(&index) => false,
            _ if unread == Some(index) => true,
            _ if report.blocks[index].receipts.is_some() => false,
            Verify::Off => false,
            _ if proves(report.blocks[index].number, context) => {
                judgement.blocks[index].content < Content::Receipts
            }
            _ => judgement.blocks[index].doubt,
        };
        (0..report.blocks.len()).filter(|index| is_due(*index)).collect()
    }

    /// Returns the ladder's next questions: by hash first, then receipts.
    fn deepen(&mut self, judgement: &Judgement, context: &Context) -> Vec<(Part, Ask)> {
        let Some(report) = &self.report else { return Vec::new() };
        let unread = self.unread_block();
        // Where receipts are demanded, nothing is asked by hash first.
        let by_hash =
            |index: usize| unread == Some(index) || !proves(report.blocks[index].number, context);
        let mut due = self.due(judgement, context);
        let next = match self.state {
            State::Reading if due.iter().any(|index| by_hash(*index)) => State::ByHash,
            State::Reading | State::ByHash => State::Receipts,
            State::Before | State::Receipts | State::After => return Vec::new(),
        };
        if next == State::ByHash {
            due.retain(|index| by_hash(*index));
        }
        if due.is_empty() {
            return Vec::new();
        }
        let due = due.into_iter().map(|index| {
            let block = &report.blocks[index];
            (index as u32, BlockNumHash { number: block.number, hash: block.hash })
        });
        let due: Vec<(u32, BlockNumHash)> = due.collect();
        let by_hash = next == State::ByHash;
        self.state = next;
        if by_hash {
            let ask = |(index, block): (u32, BlockNumHash)| {
                let filter = self.filter.clone();
                (Part::ByHash(index), Ask::LogsByHash { filter, block })
            };
            return due.into_iter().map(ask).collect();
        }
        let at_once = due.len().div_ceil(RECEIPT_ASKS_MIN).clamp(1, RECEIPT_BLOCKS_MAX);
        due.chunks(at_once).map(receipts_of).collect()
    }

    /// Attaches receipts. A block that was refused takes its logs from them.
    fn add_receipts(&mut self, index: u32, receipts: Vec<Receipt>) {
        let is_unread = self.unread_block() == Some(index as usize);
        let Some(report) = &mut self.report else { return };
        let Some(block) = report.blocks.get_mut(index as usize) else { return };
        if is_unread {
            block.via = Via::Receipts;
            for log in receipts.iter().flat_map(|receipt| &receipt.logs) {
                if self.filter.matches(log.into()) {
                    report.logs.push_log(index, log);
                }
            }
            report.logs = sorted_by_block(&report.logs);
        }
        block.receipts = Some(receipts);
    }

    /// Adds the logs a node gives by hash to a block for which its range answer had none.
    fn add_by_hash(&mut self, index: u32, answer: LogsAnswer) {
        let was_asked = !self.is_refused;
        let Some(report) = &mut self.report else { return };
        let Some(block) = report.blocks.get_mut(index as usize) else { return };
        block.via = Via::BlockHash;
        // The union of both ways: a log that both give is one log.
        let mut had: Vec<usize> =
            (0..report.logs.len()).filter(|row| report.logs.block[*row] == index).collect();
        let (mut found, mut same) = (0, 0);
        for row in answer.logs.rows() {
            let (number, hash, _) = answer.blocks[row.block as usize];
            if (number, hash) != (block.number, block.hash) {
                continue;
            }
            let is_same = |had: &usize| is_same_log(report.logs.row(*had), row);
            if let Some(at) = had.iter().position(is_same) {
                had.swap_remove(at);
                same += 1;
            } else {
                report.logs.push(LogRef { block: index, ..row });
                found += 1;
            }
        }
        let strange = answer.logs.len() as u64 - found - same;
        if answer.removed > 0 {
            let text = format!("block {} by hash: logs marked `removed`", block.number);
            self.flaws.push((Some(index), Flaw::Removed, answer.removed, text));
            self.removed_in.insert(index);
        }
        if strange > 0 {
            let text = format!("asked for block {} by hash, got logs of another", block.hash);
            self.flaws.push((Some(index), Flaw::WrongBlock, strange, text));
        }
        if found > 0 {
            if was_asked {
                let text = "given by block hash, left out of the range".to_owned();
                self.flaws.push((Some(index), Flaw::Missing, found, text));
            }
            report.logs = sorted_by_block(&report.logs);
        }
    }

    /// Puts the answers of `Reading` together.
    fn assemble(&mut self, context: &Context) -> Result<Report, String> {
        let mut answer = self.logs.take().ok_or("no logs were read")?;
        if self.range != self.asked {
            let is_of_rest = |block: &u32| {
                let number = answer.blocks[*block as usize].0;
                self.asked.contains(number) && !self.range.contains(number)
            };
            let keep: Vec<bool> =
                answer.logs.block.iter().map(|block| !is_of_rest(block)).collect();
            answer.logs = answer.logs.filtered(&keep);
        }
        // A chunk that was halved may have been given more than it is for.
        let range = self.range;
        let headers = std::mem::take(&mut self.headers).into_iter().flat_map(|(first, blocks)| {
            let numbered = (first..).zip(blocks);
            numbered.filter(move |(number, _)| range.contains(*number)).map(|(_, block)| block)
        });
        let headers: Vec<BlockAnswer> = headers.collect();
        let mut blocks: Vec<ReportedBlock> =
            headers.into_iter().map(|block| with_header(block, Via::Range)).collect();
        if blocks.is_empty() {
            blocks = self.blocks_of(&answer)?;
        } else if !self.lost_headers.is_empty() {
            // Of these the logs alone tell: that is less than what is demanded, and not nothing.
            let mut told = self.blocks_of(&answer)?;
            told.retain(|block| self.lost_headers.contains_key(&block.number));
            blocks.extend(told);
            blocks.sort_by_key(|block| block.number);
        }
        let faults = std::mem::take(&mut self.lost_headers).into_iter().map(|(number, fault)| {
            Fault { text: format!("the header of block {number}: {}", fault.text), ..fault }
        });
        let faults = faults.collect();
        let (logs, removed) = (answer.logs, answer.removed);
        let logs = self.place(logs, &answer.blocks, &blocks)?;
        if removed > 0 {
            let text = "marked `removed`: the node calls their block not canonical".to_owned();
            self.flaws.push((None, Flaw::Removed, removed, text));
            self.has_removed = context.verify != Verify::Off;
        }
        Ok(Report {
            version: REPORT_VERSION,
            reporter: context.reporter.clone(),
            seq: 0,
            chain: context.profile.chain,
            node: context.status.node.clone(),
            client: context.status.client.clone(),
            filter: self.filter.clone(),
            range: self.range,
            head_before: context.status.head.number,
            head_after: context.status.head.number,
            finalized: context.status.finalized,
            blocks,
            logs,
            faults,
            is_second_look: false,
            judged: None,
        })
    }

    /// Returns the blocks that the logs name; the end of an unfinalized range too.
    fn blocks_of(&self, answer: &LogsAnswer) -> Result<Vec<ReportedBlock>, String> {
        let mut blocks: Vec<ReportedBlock> = answer
            .blocks
            .iter()
            .filter(|(number, ..)| self.range.contains(*number))
            .map(|(number, hash, timestamp)| ReportedBlock {
                number: *number,
                hash: *hash,
                parent: None,
                timestamp: *timestamp,
                header: None,
                transactions: None,
                receipts: None,
                via: Via::Range,
            })
            .collect();
        if let Some(end) = &self.end_before {
            blocks.push(with_header(end.clone(), Via::Range));
        }
        // The header, where there is one, sorts before the bare mention of the same block.
        blocks.sort_by_key(|block| (block.number, block.hash, block.header.is_none()));
        blocks.dedup_by_key(|block| (block.number, block.hash));
        if blocks.windows(2).any(|pair| pair[0].number == pair[1].number) {
            return Err("one height with two block hashes in one answer".into());
        }
        Ok(blocks)
    }

    /// Renumbers the logs' blocks to the report's; logs of foreign blocks are left out and named.
    fn place(
        &mut self,
        mut logs: Logs,
        given: &[(u64, B256, Option<u64>)],
        blocks: &[ReportedBlock],
    ) -> Result<Logs, String> {
        const FOREIGN: u32 = u32::MAX;
        let index_of = |number: u64, hash: &B256| {
            blocks
                .binary_search_by_key(&number, |block| block.number)
                .ok()
                .filter(|index| blocks[*index].hash == *hash)
                .map_or(FOREIGN, |index| index as u32)
        };
        let placed: Vec<u32> =
            given.iter().map(|(number, hash, _)| index_of(*number, hash)).collect();
        let mut foreign = 0u64;
        let mut is_sorted = true;
        let mut last = 0;
        for block in &mut logs.block {
            *block = placed[*block as usize];
            if *block == FOREIGN {
                foreign += 1;
            } else {
                is_sorted &= last <= *block;
                last = *block;
            }
        }
        if foreign > 0 {
            if self.is_tail && self.attempts == 0 {
                return Err("logs and headers are of different branches".into());
            }
            if blocks.is_empty() || blocks.iter().any(|block| block.header.is_none()) {
                // Nothing else could tell what this answer left out in their place.
                return Err("logs of other blocks than those asked for".into());
            }
            let text = "outside the range, or of a block that is not the one in the headers";
            self.flaws.push((None, Flaw::WrongBlock, foreign, text.into()));
            let keep: Vec<bool> = logs.block.iter().map(|block| *block != FOREIGN).collect();
            logs = logs.filtered(&keep);
        }
        Ok(if is_sorted { logs } else { sorted_by_block(&logs) })
    }

    /// Whether losing this part to such a fault leaves the report worth sending: its blocks stay in doubt.
    pub(crate) fn can_do_without(&self, part: &Part, class: &FaultClass) -> bool {
        match part {
            Part::ByHash(_) | Part::Receipts(_) => true,
            // What is not final has to link; and a node that gives no header at all is of no use.
            Part::Headers(range) => {
                let is_given = !self.headers.is_empty() || self.range.count() == 1;
                range.count() == 1
                    && !self.is_tail
                    && is_of_one_block(class)
                    && is_given
                    && self.lost_headers.len() < LOST_HEADERS_MAX
            }
            Part::Before | Part::Logs | Part::After => false,
        }
    }
}

/// Whether receipts are demanded of the block.
fn proves(number: u64, context: &Context) -> bool {
    context.profile.check_receipts_root.is_made()
        && context.verify.required_at(number) == Content::Receipts
}

/// Returns the question for the receipts of these blocks; their places in the report go with it.
pub(crate) fn receipts_of(blocks: &[(u32, BlockNumHash)]) -> (Part, Ask) {
    let places = blocks.iter().map(|(place, _)| *place).collect();
    let ask = match blocks {
        [(_, block)] => Ask::Receipts { block: *block },
        _ => Ask::ReceiptsOf { blocks: blocks.iter().map(|(_, block)| *block).collect() },
    };
    (Part::Receipts(places), ask)
}

pub(crate) fn with_header(block: BlockAnswer, via: Via) -> ReportedBlock {
    ReportedBlock {
        number: block.header.number,
        hash: block.hash,
        parent: Some(block.header.parent_hash),
        timestamp: Some(block.header.timestamp),
        header: Some(block.header),
        transactions: Some(block.transactions),
        receipts: None,
        via,
    }
}

/// Whether two rows say the same but for positions, in which one node's ways can differ.
fn is_same_log(a: LogRef<'_>, b: LogRef<'_>) -> bool {
    (a.tx_hash, a.address, a.topics, a.data) == (b.tx_hash, b.address, b.topics, b.data)
}

/// Sorts by block and leaves the node's order inside a block: its log indexes may be wrong.
fn sorted_by_block(logs: &Logs) -> Logs {
    let mut order: Vec<usize> = (0..logs.len()).collect();
    order.sort_by_key(|row| logs.block[*row]);
    let mut sorted = Logs::default();
    for row in order {
        sorted.push(logs.row(row));
    }
    sorted
}
