//! A backfill: many chunks through one node, a few at a time, retried, split and given up.

use crate::{
    backoff::{ATTEMPTS_MAX, backoff_ms, is_of_one_block, is_of_the_range, is_tried_again},
    chunk::{Chunk, Context, Part, Step, receipts_of},
    confirm::Confirm,
    history::History,
    segment::{REFUSALS_MIN, SEGMENT_MAX, Segment},
    width::{FIRST_PROVED, FIRST_WIDTH, WIDTH_MAX, Width},
    window::{Kind, Sent, Window},
};
use event::{
    Answer, Ask, BlockAnswer, BlockNumHash, BlockRange, BlockRanges, ChainProfile, Fault,
    FaultClass, Filter, NodeId, Prover, Receipt, Report, Verify,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Ranges in a row that were given up for a reason that is not theirs; with so many, and none read
/// in between, the rest of the work is not tried one by one.
const LOST_RANGES_MAX: u32 = 3;
/// Questions by hash or for receipts in a row that stayed without an answer; from then on each is
/// tried once, until one is answered.
const LOST_PARTS_MAX: u32 = 12;
/// Tries of a header that a node does not give although it gives others, before its block is left to another
/// node: what stands still is not another thing a moment later.
const SPOILED_TRIES_MAX: u32 = 3;
/// Answers in a row without a refusal after which several chunks are read at once again.
const STRAIN: u32 = 16;
/// Tries of a range that the node is too busy for, before fewer blocks are asked for: many say so
/// of what takes them too long.
const BUSY_TRIES_MAX: u32 = 2;
/// Calls under way at once, for each chunk under way.
const ASKS_PER_CHUNK: usize = 4;

/// What a node said of itself before the backfill started.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// Name.
    pub node: NodeId,
    /// `web3_clientVersion`, where it answers.
    pub client: Option<Arc<str>>,
    /// Head.
    pub head: BlockNumHash,
    /// Finalized block: by tag, or by configured depth below the head. `None`: nothing is.
    pub finalized: Option<u64>,
}

/// Settings of a backfill.
#[derive(Clone)]
pub struct BackfillConfig {
    /// The node.
    pub status: NodeStatus,
    /// What must be shown of each block.
    pub verify: Verify,
    /// What holds on the chain.
    pub profile: ChainProfile,
    /// Chunks under way at once, at least 1.
    pub concurrency: usize,
    /// Widest range to ask for, in blocks, where the operator knows it.
    pub width_max: Option<u64>,
    /// Whether the node sees to it itself that all answers are of one chain. Of any other no report
    /// leaves before the chain was asked for after the last answer of it.
    pub keeps_chain: bool,
    /// Name of this process in reports.
    pub reporter: Arc<str>,
}

impl std::fmt::Debug for BackfillConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackfillConfig").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Names a call under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub(crate) u64);

/// A range that this node could not give.
#[derive(Clone, Debug)]
pub struct Surrender {
    /// What was asked.
    pub filter: Arc<Filter>,
    /// Where.
    pub range: BlockRange,
    /// The last fault.
    pub fault: Fault,
}

/// What to do next.
#[derive(Debug)]
pub enum Action {
    /// Ask the node; hand the answer back with the ticket.
    Ask(Ticket, Ask),
    /// Hand the report to the ledger.
    Submit(Box<Report>),
    /// Leave the range to another node.
    Surrender(Surrender),
    /// Step again at this time, or when an answer arrives.
    WaitUntil(u64),
    /// Step again when an answer arrives.
    WaitForAnswer,
    /// Every range was reported or given up.
    Done,
}

struct Call {
    chunk: u64,
    part: Part,
    ask: Ask,
    attempts: u32,
    /// When it was sent last.
    sent: Sent,
}

impl Call {
    fn new(chunk: u64, part: Part, ask: Ask) -> Self {
        Self { chunk, part, ask, attempts: 0, sent: Sent::default() }
    }

    /// What it asks for, where it takes longer for more blocks.
    const fn kind(&self) -> Option<Kind> {
        match &self.part {
            Part::Headers(_) => Some(Kind::Headers),
            Part::Receipts(_) => Some(Kind::Receipts),
            _ => None,
        }
    }

    /// Blocks that it asks for, one after the other.
    const fn blocks(&self) -> u64 {
        match &self.part {
            Part::Headers(range) => range.count(),
            Part::Receipts(places) => places.len() as u64,
            _ => 1,
        }
    }
}

/// Reads ranges through one node. Step with [`Self::next`], feed with [`Self::on_answer`].
pub struct Backfill {
    context: Context,
    concurrency: usize,
    width_max: u64,
    widths: BTreeMap<Arc<Filter>, Width>,
    segment: Segment,
    window: Window,
    work: VecDeque<(Arc<Filter>, BlockRange)>,
    history: History,
    /// The chunk of one block that is to tell where the node's history begins.
    probe: Option<u64>,
    chunks: BTreeMap<u64, Chunk>,
    next_chunk: u64,
    ready: VecDeque<Call>,
    waiting: BTreeMap<Ticket, Call>,
    next_ticket: u64,
    retries: BTreeMap<(u64, u64), Call>,
    paused_until: u64,
    /// Answers that it takes until the node counts as one that refuses none.
    strain: u32,
    /// Pauses without an answer in between that the node has not said the length of.
    rated: u32,
    /// The node has returned more logs than this in one answer, so smaller round numbers are
    /// no cap of its.
    caps_refuted: u64,
    /// Ranges given up since the last report, for a reason that is not theirs.
    lost_ranges: u32,
    /// Questions by hash or for receipts lost since the last answer to one.
    lost_parts: u32,
    out: VecDeque<Action>,
    seq: u64,
    confirm: Confirm,
    /// Reports of which it is not known yet that they are of the chain.
    unconfirmed: VecDeque<(u64, Box<Report>)>,
    /// The question for the chain that is on its way.
    chain_asked: Option<Ticket>,
    /// Tries of it in a row, and when the next is due.
    chain_tries: (u32, u64),
    /// Why the node is asked nothing more: it is on another chain.
    ended: Option<Fault>,
}

impl std::fmt::Debug for Backfill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backfill")
            .field("node", &self.context.status.node)
            .field("work", &self.work.len())
            .field("chunks", &self.chunks.len())
            .finish_non_exhaustive()
    }
}

impl Backfill {
    /// Returns a backfill of `work`, in order.
    pub fn new(
        config: BackfillConfig,
        prover: Arc<dyn Prover>,
        work: impl IntoIterator<Item = (Arc<Filter>, BlockRange)>,
    ) -> Self {
        let BackfillConfig { status, verify, profile, reporter, .. } = config;
        let BackfillConfig { concurrency, width_max, keeps_chain, .. } = config;
        Self {
            context: Context { status, verify, profile, prover, reporter },
            concurrency: concurrency.max(1),
            width_max: width_max.unwrap_or(WIDTH_MAX),
            widths: BTreeMap::new(),
            segment: Segment::new(),
            window: Window::new(asks_max(concurrency.max(1)) as u64 * SEGMENT_MAX),
            work: work.into_iter().collect(),
            history: History::default(),
            probe: None,
            chunks: BTreeMap::new(),
            next_chunk: 0,
            ready: VecDeque::new(),
            waiting: BTreeMap::new(),
            next_ticket: 0,
            retries: BTreeMap::new(),
            paused_until: 0,
            strain: 0,
            rated: 0,
            caps_refuted: 0,
            lost_ranges: 0,
            lost_parts: 0,
            out: VecDeque::new(),
            seq: 0,
            confirm: Confirm::new(keeps_chain),
            unconfirmed: VecDeque::new(),
            chain_asked: None,
            chain_tries: (0, 0),
            ended: None,
        }
    }

    /// Returns the next thing to do. Call until it says to wait, or is done.
    pub fn next(&mut self, now_ms: u64) -> Action {
        if let Some(action) = self.out.pop_front() {
            return action;
        }
        if now_ms < self.paused_until {
            return Action::WaitUntil(self.paused_until);
        }
        let chain_due_ms = self.confirm.is_due().then_some(self.chain_tries.1);
        if chain_due_ms.is_some_and(|due_ms| due_ms <= now_ms) {
            return self.ask_chain();
        }
        let asks_max = asks_max(self.concurrency);
        let has_room = self.waiting.len() < asks_max && self.window.has_room(self.under_way());
        if has_room {
            if let Some(call) = self.due_retry(now_ms) {
                return self.send(call, now_ms);
            }
            // While so many wait for another try, the node is in trouble: no more is asked.
            let is_in_trouble = self.retries.len() >= asks_max;
            if !is_in_trouble && let Some(call) = self.ready.pop_front() {
                return self.send(call, now_ms);
            }
            if !is_in_trouble
                && self.chunks.len() < self.chunks_max()
                && self.unconfirmed.len() < self.concurrency
                && self.open_chunk()
                && let Some(call) = self.ready.pop_front()
            {
                return self.send(call, now_ms);
            }
        }
        // What was given up while looking for work.
        if let Some(action) = self.out.pop_front() {
            return action;
        }
        // Without room only an answer helps: a moment that has passed would be waited for again and
        // again.
        let retry_due_ms = self.retries.first_key_value().map(|((due_ms, _), _)| *due_ms);
        let due_ms = retry_due_ms.filter(|_| has_room).into_iter().chain(chain_due_ms).min();
        if let Some(due_ms) = due_ms {
            return Action::WaitUntil(due_ms);
        }
        if !self.unconfirmed.is_empty() {
            return Action::WaitForAnswer;
        }
        if self.waiting.is_empty() && self.chunks.is_empty() && self.work.is_empty() {
            return Action::Done;
        }
        Action::WaitForAnswer
    }

    /// Whether it could begin another range now and has none left: one to be given from work that
    /// several nodes share.
    pub fn is_hungry(&self, now_ms: u64) -> bool {
        self.ended.is_none()
            && self.work.is_empty()
            && self.unconfirmed.len() < self.concurrency
            && self.ready.is_empty()
            && self.chunks.len() < self.chunks_max()
            && self.retries.len() < asks_max(self.concurrency)
            && now_ms >= self.paused_until
    }

    fn ask_chain(&mut self) -> Action {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.chain_asked = Some(ticket);
        self.confirm.on_ask();
        Action::Ask(ticket, Ask::ChainId)
    }

    /// Takes which chain the node is on: what came before it was asked is of that one.
    fn on_chain(&mut self, answer: Result<Answer, Fault>, now_ms: u64) {
        let expected = self.context.profile.chain;
        let fault = match answer {
            Ok(Answer::ChainId(found)) if found == expected => {
                self.confirm.on_right();
                self.chain_tries = (0, 0);
                while let Some((said, report)) = self.unconfirmed.pop_front() {
                    if !self.confirm.is_confirmed(said) {
                        return self.unconfirmed.push_front((said, report));
                    }
                    self.out.push_back(Action::Submit(report));
                }
                return;
            }
            Ok(Answer::ChainId(found)) => {
                let node = self.context.status.node.clone();
                return self.end(Fault::wrong_chain(node, expected, found));
            }
            Ok(_) => self.fault(
                "eth_chainId",
                FaultClass::Malformed,
                "the answer is for another question",
            ),
            Err(fault) if matches!(fault.class, FaultClass::WrongChain { .. }) => {
                return self.end(fault);
            }
            Err(fault) => fault,
        };
        self.confirm.on_loss();
        self.pause(&fault.class, now_ms);
        let tries = self.chain_tries.0 + 1;
        if tries < ATTEMPTS_MAX {
            self.chain_tries = (tries, now_ms + backoff_ms(tries));
            return;
        }
        // It says nothing more: what it said before is nobody's word.
        self.drop_unconfirmed(&fault);
        self.surrender_all(&fault);
        self.ended = Some(fault);
    }

    /// The node is on another chain: nothing that is not confirmed leaves, and nothing more is asked.
    fn end(&mut self, fault: Fault) {
        self.drop_unconfirmed(&fault);
        self.surrender_all(&fault);
        self.ended = Some(fault);
    }

    fn drop_unconfirmed(&mut self, fault: &Fault) {
        for (_, report) in std::mem::take(&mut self.unconfirmed) {
            let (filter, range) = (report.filter, report.range);
            let surrender = Surrender { filter, range, fault: fault.clone() };
            self.out.push_back(Action::Surrender(surrender));
        }
        self.confirm = Confirm::new(true);
    }

    /// A node that refuses calls gives one chunk sooner than several.
    const fn chunks_max(&self) -> usize {
        if self.strain > 0 { 1 } else { self.concurrency }
    }

    /// Returns how many blocks it would ask for at once just now.
    pub fn width_of(&mut self, filter: &Arc<Filter>) -> u64 {
        self.width(filter).blocks()
    }

    /// Adds a range to what is to be read.
    pub fn add(&mut self, filter: Arc<Filter>, range: BlockRange) {
        self.work.push_back((filter, range));
    }

    /// Takes up nothing more and asks for nothing more of a range: what was read of each so far, from its first
    /// block on and as it is demanded, is still reported. No question that is under way is waited for.
    pub fn stop(&mut self) {
        self.work.clear();
        if self.chain_asked.take().is_some() {
            self.confirm.on_loss();
        }
        let ids: Vec<u64> = self.chunks.keys().copied().collect();
        for chunk in ids.into_iter().filter_map(|id| self.forget(id)).collect::<Vec<_>>() {
            if let Some(report) = chunk.so_far(&self.context) {
                self.report(report);
            }
        }
    }

    /// Blocks that are asked for.
    fn under_way(&self) -> u64 {
        self.waiting.values().map(Call::blocks).sum()
    }

    /// Returns up to which block the node has no history, where it said so.
    pub fn pruned_through(&self) -> Option<u64> {
        self.history.gone_through()
    }

    fn due_retry(&mut self, now_ms: u64) -> Option<Call> {
        let entry = self.retries.first_entry()?;
        (entry.key().0 <= now_ms).then(|| entry.remove())
    }

    fn send(&mut self, call: Call, now_ms: u64) -> Action {
        let sent = Sent { at_ms: now_ms, is_alone: self.waiting.is_empty() };
        let call = Call { sent, ..self.cut(call) };
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let ask = call.ask.clone();
        self.waiting.insert(ticket, call);
        Action::Ask(ticket, ask)
    }

    /// Cuts a question for more blocks than the node gives at once just now; the rest is asked after it.
    fn cut(&mut self, call: Call) -> Call {
        let blocks = self.segment.blocks().min(self.window.question(asks_max(self.concurrency)));
        let Some([(part, ask), rest]) = cut_in_two(&call, blocks) else { return call };
        let Some(chunk) = self.chunks.get_mut(&call.chunk) else { return call };
        chunk.wait_for_one_more();
        // Before those that were to come after it: what is read of a range is read from its beginning on.
        let next = self.ready.iter().position(|other| other.chunk >= call.chunk);
        let rest = Call::new(call.chunk, rest.0, rest.1);
        self.ready.insert(next.unwrap_or(self.ready.len()), rest);
        Call::new(call.chunk, part, ask)
    }

    fn open_chunk(&mut self) -> bool {
        let Some((filter, taken)) = self.next_work() else { return false };
        let chunk = Chunk::new(filter, taken, &self.context);
        self.start(self.next_chunk, chunk);
        self.next_chunk += 1;
        true
    }

    /// Returns the next range to read through, no wider than the node gives it. What it has no history of is
    /// given up unasked; while it is not known where that begins, one block after the other is asked for.
    fn next_work(&mut self) -> Option<(Arc<Filter>, BlockRange)> {
        for (filter, range, fault) in self.history.take_gone(&mut self.work) {
            self.out.push_back(Action::Surrender(Surrender { filter, range, fault }));
        }
        let is_probing = |chunk: &u64| self.chunks.get(chunk).is_some_and(Chunk::waits_for_logs);
        if self.probe.as_ref().is_some_and(is_probing) {
            return None;
        }
        self.probe = None;
        if let Some(probe) = self.history.take_probe(&mut self.work) {
            self.probe = Some(self.next_chunk);
            return Some(probe);
        }
        let (filter, range) = self.work.pop_front()?;
        let width = self.width(&filter).blocks();
        let taken =
            BlockRange::of_width(range.first(), width).intersection(&range).unwrap_or(range);
        if let Some(rest) = BlockRange::new(taken.last().saturating_add(1), range.last()) {
            self.work.push_front((filter.clone(), rest));
        }
        Some((filter, taken))
    }

    fn width(&mut self, filter: &Arc<Filter>) -> &mut Width {
        let width_max = self.width_max;
        // With receipts so many blocks take long, and a run may have seconds only.
        let first = if self.context.verify == Verify::Prove { FIRST_PROVED } else { FIRST_WIDTH };
        self.widths.entry(filter.clone()).or_insert_with(|| Width::new(first, width_max))
    }

    fn start(&mut self, id: u64, mut chunk: Chunk) {
        let asks = chunk.start(&self.context);
        self.chunks.insert(id, chunk);
        self.enqueue(id, asks);
    }

    /// Has questions asked before those of later chunks, so that one after the other is whole: the run may be
    /// stopped.
    fn enqueue(&mut self, chunk: u64, asks: Vec<(Part, Ask)>) {
        let later = self.ready.iter().position(|other| other.chunk > chunk);
        let first = later.unwrap_or(self.ready.len());
        for (place, (part, ask)) in (first..).zip(asks) {
            self.ready.insert(place, Call::new(chunk, part, ask));
        }
    }

    /// Takes the answer to a ticket. One that is no longer waited for is dropped.
    pub fn on_answer(&mut self, ticket: Ticket, answer: Result<Answer, Fault>, now_ms: u64) {
        if self.chain_asked == Some(ticket) {
            self.chain_asked = None;
            return self.on_chain(answer, now_ms);
        }
        let under_way = self.under_way();
        let Some(call) = self.waiting.remove(&ticket) else { return };
        match (&answer, call.kind()) {
            (Ok(_), Some(kind)) => {
                self.window.on_answer((kind, call.blocks()), under_way, call.sent, now_ms);
            }
            (Err(fault), _) if fault.class == FaultClass::TimedOut => {
                self.window.shrink(call.sent, now_ms);
            }
            _ => {}
        }
        if !self.chunks.contains_key(&call.chunk) {
            return;
        }
        let is_given = match &answer {
            Ok(Answer::ReceiptsOf(items)) => items.iter().any(Result::is_ok),
            answer => answer.is_ok(),
        };
        if is_given {
            self.rated = 0;
            self.strain = self.strain.saturating_sub(1);
        }
        match answer {
            Ok(Answer::ReceiptsOf(items)) => self.on_receipts(call, items, now_ms),
            Ok(Answer::SomeHeaders(items)) => self.on_some_headers(call, items, now_ms),
            Ok(answer) => self.on_success(call, answer, now_ms),
            Err(fault) => self.on_fault(call, fault, now_ms),
        }
    }

    fn on_success(&mut self, call: Call, answer: Answer, now_ms: u64) {
        if matches!(call.part, Part::ByHash(_) | Part::Receipts(_)) {
            self.lost_parts = 0;
        }
        if let Part::Headers(range) = &call.part {
            self.segment.on_answer(range.count());
        }
        if let (Part::Logs, Answer::Logs(logs)) = (&call.part, &answer) {
            let (count, bytes) = (logs.logs.len() as u64, logs.bytes);
            if let Ask::Logs { filter, range } = &call.ask {
                self.width(filter).on_answer(range.count(), bytes);
                self.history.on_given(*range);
            }
            // Remembered before this answer is judged only when it is not round itself.
            self.caps_refuted = self.caps_refuted.max(count.saturating_sub(1));
        }
        let Some(chunk) = self.chunks.get_mut(&call.chunk) else { return };
        let step = chunk.on_answer(call.part, answer, self.caps_refuted, &self.context);
        self.take(call.chunk, step, now_ms);
    }

    /// Takes the receipts of several blocks, each with its own fault.
    fn on_receipts(&mut self, call: Call, items: Vec<Result<Vec<Receipt>, Fault>>, now_ms: u64) {
        let (Part::Receipts(places), Ask::ReceiptsOf { blocks }) = (&call.part, &call.ask) else {
            return self.on_success(call, Answer::ReceiptsOf(items), now_ms);
        };
        if items.len() != places.len() {
            return self.on_success(call, Answer::ReceiptsOf(items), now_ms);
        }
        // What gives something is not in vain: where a node lets some through, the rest is not given up for
        // the tries of those.
        let attempts = if items.iter().any(Result::is_ok) { 1 } else { call.attempts + 1 };
        let is_hopeless = self.lost_parts >= LOST_PARTS_MAX;
        let (mut given, mut lost, mut paced, mut alone) = (vec![], vec![], vec![], vec![]);
        let mut is_refused = false;
        for ((place, block), item) in places.iter().zip(blocks).zip(items) {
            match item {
                Ok(receipts) => given.push((*place, receipts)),
                Err(fault) if !is_hopeless && is_for_the_batch(&fault.class) => {
                    alone.push((*place, *block));
                }
                Err(fault) => {
                    is_refused |= is_refusal(&fault.class);
                    self.pause(&fault.class, now_ms);
                    match !is_hopeless && is_tried_again(&fault, attempts) {
                        true => paced.push((*place, *block)),
                        false => lost.push(fault),
                    }
                }
            }
        }
        match given.is_empty() {
            true => self.lost_parts = self.lost_parts.saturating_add(lost.len() as u32),
            false => self.lost_parts = 0,
        }
        let id = call.chunk;
        if is_refused {
            self.on_partly_refused(id, given.len(), places.len());
        }
        let Some(chunk) = self.chunks.get_mut(&id) else { return };
        let is_wanted = |(place, _): &(u32, BlockNumHash)| {
            chunk.wanted(&Part::Receipts(vec![*place])).is_some()
        };
        alone.retain(is_wanted);
        paced.retain(is_wanted);
        let again = alone.len() + usize::from(!paced.is_empty());
        let step = chunk.on_receipts(given, lost, again, &self.context);
        // What may have failed because others were asked with it is asked alone, and counts anew.
        let alone = alone.chunks(1).map(receipts_of).collect();
        self.enqueue(id, alone);
        if !paced.is_empty() {
            let (part, ask) = receipts_of(&paced);
            let at_ms = now_ms + backoff_ms(attempts - 1);
            self.retry_at(at_ms, Call { part, ask, attempts, ..call });
        }
        self.take(id, step, now_ms);
    }

    /// Takes headers of some blocks of a question, and what the others got in their place.
    fn on_some_headers(&mut self, call: Call, items: Vec<Result<BlockAnswer, Fault>>, now_ms: u64) {
        let range = match call.part {
            Part::Headers(range) if items.len() as u64 == range.count() => range,
            _ => return self.on_success(call, Answer::SomeHeaders(items), now_ms),
        };
        let (mut given, mut alone, mut paced) = (vec![], vec![], BlockRanges::default());
        let (mut lost, mut is_refused) = (None, false);
        for (number, item) in (range.first()..=range.last()).zip(items) {
            let fault = match item {
                Ok(block) => {
                    given.push((number, block));
                    continue;
                }
                Err(fault) => fault,
            };
            is_refused |= is_refusal(&fault.class);
            self.pause(&fault.class, now_ms);
            match fault.class {
                // One answer more may be wrong of a block, and that is no other's fault.
                ref class if is_of_one_block(class) => alone.push(BlockRange::one(number)),
                _ if is_tried_again(&fault, 1) => paced.add(BlockRange::one(number)),
                _ => lost = Some(fault),
            }
        }
        if let Some(fault) = lost {
            if let Some(chunk) = self.forget(call.chunk) {
                self.lose(chunk, fault);
            }
            return;
        }
        let id = call.chunk;
        if is_refused {
            self.on_partly_refused(id, given.len(), range.count() as usize);
        }
        let Some(chunk) = self.chunks.get_mut(&id) else { return };
        let again = alone.into_iter().chain(paced.iter());
        let again: Vec<BlockRange> =
            again.filter_map(|range| range.intersection(&chunk.range)).collect();
        let step = chunk.on_some_headers(given, again.len(), &self.context);
        for range in again {
            let (part, ask) = (Part::Headers(range), Ask::Headers { range });
            let call = Call { attempts: 1, ..Call::new(id, part, ask) };
            self.retry_at(now_ms + backoff_ms(0), call);
        }
        self.take(id, step, now_ms);
    }

    /// Some of what was asked for was refused for its number. Where most was given, the rest of the range is
    /// no further away than another chunk would be.
    fn on_partly_refused(&mut self, id: u64, given: usize, asked: usize) {
        self.strain = STRAIN;
        if given < asked - given {
            self.narrow(id);
        }
    }

    /// Leaves the second half of a chunk to another one: the node lets few calls through.
    fn narrow(&mut self, id: u64) {
        self.strain = STRAIN;
        let Some(chunk) = self.chunks.get_mut(&id) else { return };
        let asked = chunk.range.count();
        let Some(rest) = chunk.halve() else { return };
        let chunk = &*chunk;
        let mut dropped = 0;
        let mut is_kept = |call: &mut Call, is_sent: bool| {
            if call.chunk != id {
                return true;
            }
            match chunk.wanted(&call.part) {
                // What was sent is answered as it was asked.
                Some(part) if is_sent || part == call.part => true,
                Some(part) => {
                    call.ask = cut_to(&call.ask, &call.part, &part);
                    call.part = part;
                    true
                }
                None => {
                    dropped += 1;
                    false
                }
            }
        };
        self.ready.retain_mut(|call| is_kept(call, false));
        self.retries.retain(|_, call| is_kept(call, false));
        self.waiting.retain(|_, call| is_kept(call, true));
        let filter = chunk.filter.clone();
        if let Some(chunk) = self.chunks.get_mut(&id) {
            chunk.wait_for_fewer(dropped);
        }
        self.width(&filter).on_refusal(asked, &FaultClass::Size);
        self.work.push_front((filter, rest));
    }

    fn take(&mut self, id: u64, step: Step, now_ms: u64) {
        match step {
            Step::Ask(asks) => self.enqueue(id, asks),
            Step::Report(report) => {
                self.chunks.remove(&id);
                self.lost_ranges = 0;
                self.report(report);
            }
            Step::Suspicious => self.split(id),
            Step::Restart(reason) => self.restart(id, &reason, now_ms),
            Step::GiveUp(reason) => {
                if let Some(chunk) = self.forget(id) {
                    let fault = self.fault_of_logs(FaultClass::Size, &reason);
                    self.surrender(chunk, fault);
                }
            }
        }
    }

    /// Lets a report leave, once it is confirmed that the node is on the right chain.
    fn report(&mut self, mut report: Box<Report>) {
        self.seq += 1;
        report.seq = self.seq;
        let said = self.confirm.note();
        match self.confirm.is_confirmed(said) {
            true => self.out.push_back(Action::Submit(report)),
            false => self.unconfirmed.push_back((said, report)),
        }
    }

    /// Reads a chunk in halves.
    fn split(&mut self, id: u64) {
        let Some(chunk) = self.forget(id) else { return };
        let half = chunk.range.count() / 2;
        let left = BlockRange::of_width(chunk.range.first(), half);
        self.width(&chunk.filter).on_refusal(chunk.range.count(), &FaultClass::Size);
        if let Some(right) = BlockRange::new(left.last() + 1, chunk.range.last()) {
            self.work.push_front((chunk.filter.clone(), right));
        }
        self.work.push_front((chunk.filter, left));
    }

    fn restart(&mut self, id: u64, reason: &str, now_ms: u64) {
        let Some(mut chunk) = self.forget(id) else { return };
        chunk.attempts += 1;
        if chunk.attempts < ATTEMPTS_MAX {
            // Give a moving chain, or a load balancer, time to settle.
            let due_ms = now_ms + backoff_ms(chunk.attempts);
            let asks = chunk.start(&self.context);
            self.chunks.insert(id, chunk);
            for (part, ask) in asks {
                self.retry_at(due_ms, Call::new(id, part, ask));
            }
            return;
        }
        let fault = self.fault_of_logs(FaultClass::Malformed, reason);
        self.lose(chunk, fault);
    }

    fn fault_of_logs(&self, class: FaultClass, text: &str) -> Fault {
        self.fault("eth_getLogs", class, text)
    }

    fn fault(&self, method: &str, class: FaultClass, text: &str) -> Fault {
        let node = self.context.status.node.clone();
        Fault { node, method: method.into(), class, text: text.to_owned() }
    }

    /// Leaves a node alone that refuses a call for its rate: as long as it says, else the longer the more
    /// often in a row it does.
    fn pause(&mut self, class: &FaultClass, now_ms: u64) {
        let FaultClass::Rate { retry_after_ms } = class else { return };
        let wait_ms = match retry_after_ms {
            Some(wait_ms) => *wait_ms,
            // Sent before the pause: it says nothing more.
            None if now_ms < self.paused_until => return,
            None => {
                self.rated += 1;
                backoff_ms(self.rated - 1)
            }
        };
        self.paused_until = self.paused_until.max(now_ms + wait_ms);
    }

    fn retry_at(&mut self, due_ms: u64, call: Call) {
        self.next_ticket += 1;
        self.retries.insert((due_ms, self.next_ticket), call);
    }

    /// Removes a chunk and all its calls that were not sent.
    fn forget(&mut self, id: u64) -> Option<Chunk> {
        self.ready.retain(|call| call.chunk != id);
        self.retries.retain(|_, call| call.chunk != id);
        self.waiting.retain(|_, call| call.chunk != id);
        self.chunks.remove(&id)
    }

    fn surrender(&mut self, chunk: Chunk, fault: Fault) {
        let Chunk { filter, range, .. } = chunk;
        self.out.push_back(Action::Surrender(Surrender { filter, range, fault }));
    }

    fn on_fault(&mut self, mut call: Call, fault: Fault, now_ms: u64) {
        let is_logs = matches!(call.part, Part::Logs);
        if is_logs && (fault.class.is_splittable() || fault.class == FaultClass::Filter) {
            return self.on_refusal(call.chunk, fault, now_ms);
        }
        if is_logs && matches!(fault.class, FaultClass::Pruned { .. }) {
            if call.attempts == 0 {
                // Behind one address there may be several backends, of which one has less.
                call.attempts = 1;
                return self.ready.push_front(call);
            }
            let range = self.chunks.get(&call.chunk).map(|chunk| chunk.range);
            if range.is_some_and(|range| range.count() > 1 && !self.history.may_begin_above(range))
            {
                return self.on_refusal(call.chunk, fault, now_ms);
            }
        }
        self.pause(&fault.class, now_ms);
        call.attempts += 1;
        if call.attempts >= REFUSALS_MIN && is_refusal(&fault.class) {
            if let Part::Headers(range) = &call.part {
                self.segment.on_refusal(range.count());
                self.narrow(call.chunk);
            }
            let chunk = self.chunks.get(&call.chunk);
            match chunk.and_then(|chunk| chunk.wanted(&call.part)) {
                Some(part) if part != call.part => {
                    call.ask = cut_to(&call.ask, &call.part, &part);
                    call.part = part;
                }
                // It is another chunk's now.
                None => {
                    let Some(chunk) = self.chunks.get_mut(&call.chunk) else { return };
                    let step = chunk.on_some_headers(Vec::new(), 0, &self.context);
                    return self.take(call.chunk, step, now_ms);
                }
                _ => {}
            }
        }
        let Some(chunk) = self.chunks.get_mut(&call.chunk) else { return };
        let is_wide = is_logs && chunk.range.count() > 1;
        if is_wide && fault.class == FaultClass::Busy && call.attempts >= BUSY_TRIES_MAX {
            return self.on_refusal(call.chunk, fault, now_ms);
        }
        let can_do_without = chunk.can_do_without(&call.part, &fault.class);
        let is_hopeless = can_do_without && self.lost_parts >= LOST_PARTS_MAX;
        let is_spoiled = can_do_without
            && matches!(call.part, Part::Headers(_))
            && call.attempts >= SPOILED_TRIES_MAX;
        if !is_hopeless && !is_spoiled && is_tried_again(&fault, call.attempts) {
            // For its rate the whole node is left alone, so that the call itself waits less.
            let is_rated = matches!(fault.class, FaultClass::Rate { .. });
            return self.retry_at(now_ms + backoff_ms(call.attempts - u32::from(is_rated)), call);
        }
        if can_do_without {
            let parts = match &call.part {
                Part::Receipts(places) => places.len() as u32,
                _ => 1,
            };
            self.lost_parts = self.lost_parts.saturating_add(parts);
            let step = chunk.on_loss(&call.part, fault, &self.context);
            return self.take(call.chunk, step, now_ms);
        }
        if let Some(chunk) = self.forget(call.chunk) {
            self.lose(chunk, fault);
        }
    }

    /// Gives a range up, and all that is left with it when no range fares better.
    fn lose(&mut self, chunk: Chunk, fault: Fault) {
        let is_pruned = matches!(fault.class, FaultClass::Pruned { .. });
        if is_pruned && self.history.may_begin_above(chunk.range) {
            self.history.on_pruned(chunk.range, fault);
            return self.work.push_front((chunk.filter, chunk.range));
        }
        if is_of_the_range(&fault.class) {
            return self.surrender(chunk, fault);
        }
        self.surrender(chunk, fault.clone());
        self.lost_ranges += 1;
        if self.lost_ranges >= LOST_RANGES_MAX {
            self.surrender_all(&fault);
        }
    }

    /// The node is of no use: whatever is left is for another one.
    fn surrender_all(&mut self, fault: &Fault) {
        let ids: Vec<u64> = self.chunks.keys().copied().collect();
        for chunk in ids.into_iter().filter_map(|id| self.forget(id)).collect::<Vec<_>>() {
            self.surrender(chunk, fault.clone());
        }
        for (filter, range) in std::mem::take(&mut self.work) {
            let surrender = Surrender { filter, range, fault: fault.clone() };
            self.out.push_back(Action::Surrender(surrender));
        }
    }

    /// The node will not answer this much: ask for less, in the order that helps most.
    fn on_refusal(&mut self, id: u64, fault: Fault, now_ms: u64) {
        let Some(chunk) = self.chunks.get_mut(&id) else { return };
        let (filter, range) = (chunk.filter.clone(), chunk.range);
        if fault.class == FaultClass::Filter {
            if let Some(halves) = filter.halves() {
                self.forget(id);
                for half in halves {
                    self.work.push_front((Arc::new(half), range));
                }
                return;
            }
        } else if range.count() > 1 {
            self.width(&filter).on_refusal(range.count(), &fault.class);
            self.forget(id);
            self.work.push_front((filter, range));
            return;
        }
        let step = chunk.after_refusal(&self.context);
        match step {
            Some(step) => self.take(id, step, now_ms),
            None => {
                if let Some(chunk) = self.forget(id) {
                    self.lose(chunk, fault);
                }
            }
        }
    }
}

/// Whether the node refuses calls just now that it would answer at another time.
const fn is_refusal(class: &FaultClass) -> bool {
    matches!(class, FaultClass::Rate { .. } | FaultClass::Busy)
}

/// Returns a question with only those blocks of it that are in `part`.
fn cut_to(ask: &Ask, whole: &Part, part: &Part) -> Ask {
    match (ask, whole, part) {
        (Ask::ReceiptsOf { blocks }, Part::Receipts(whole), Part::Receipts(part)) => {
            let kept = whole.iter().zip(blocks).filter(|(place, _)| part.contains(place));
            let kept: Vec<(u32, BlockNumHash)> = kept.map(|(p, block)| (*p, *block)).collect();
            receipts_of(&kept).1
        }
        (_, _, Part::Headers(range)) => Ask::Headers { range: *range },
        _ => ask.clone(),
    }
}

/// Returns a question for more than so many blocks as one for so many, and one for the rest. `None` for any other.
fn cut_in_two(call: &Call, blocks: u64) -> Option<[(Part, Ask); 2]> {
    match (&call.part, &call.ask) {
        (Part::Headers(range), _) => {
            let first = BlockRange::of_width(range.first(), blocks);
            let rest = BlockRange::new(first.last().checked_add(1)?, range.last())?;
            Some([first, rest].map(|range| (Part::Headers(range), Ask::Headers { range })))
        }
        (Part::Receipts(places), Ask::ReceiptsOf { blocks: asked }) => {
            let at = usize::try_from(blocks).ok().filter(|at| *at < places.len())?;
            let all: Vec<(u32, BlockNumHash)> =
                places.iter().copied().zip(asked.iter().copied()).collect();
            let (first, rest) = all.split_at_checked(at)?;
            Some([receipts_of(first), receipts_of(rest)])
        }
        _ => None,
    }
}

/// Calls under way at once, of so many chunks.
const fn asks_max(concurrency: usize) -> usize {
    concurrency.saturating_mul(ASKS_PER_CHUNK)
}

/// Whether a block may not have got its receipts only because others were asked for with it.
const fn is_for_the_batch(class: &FaultClass) -> bool {
    matches!(
        class,
        FaultClass::Batch
            | FaultClass::Size
            | FaultClass::Malformed
            | FaultClass::Dropped
            | FaultClass::TimedOut
    )
}
