//! Follows the head of one node and reports it, block hash by block hash.
//!
//! A new head is walked down to a block that the node showed before; the branch is put to whoever
//! knows the other nodes, and read when it is to be followed. What is announced only wakes it: a
//! hint that is lost, late, doubled or out of order changes nothing. Does not know which branch is
//! the right one, and reads no range: a gap is the backfill's.

mod calls;
mod live_block;
mod round;
mod schedule;
mod unread;
mod view;
mod walk;
mod window;

pub use view::{NodeState, NodeView};

use crate::{
    NodeStatus, Ticket,
    backoff::{ATTEMPTS_MAX, backoff_ms, is_absent, is_tried_again},
    chunk::Context,
};
use alloy_primitives::B256;
use calls::{Call, Calls, Purpose};
use event::{
    Answer, Ask, BlockAnswer, BlockNumHash, ChainProfile, Fault, FaultClass, Filter, Finality,
    Head, Hint, NodeId, Prover, Report, Tag, Verify,
};
use live_block::is_not_ready;
use round::{Part, Round};
use schedule::Schedule;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use unread::Unread;
use walk::{Walk, WalkStep, Walked};
use window::Window;

/// Block times that a node may take to serve what it announced.
const UNREADY_BLOCKS: u64 = 2;
/// Announced headers that are kept until the head is known.
const ANNOUNCED_MAX: usize = 4;

/// Settings of a follower.
#[derive(Clone)]
pub struct FollowConfig {
    /// What the node said of itself.
    pub status: NodeStatus,
    /// What must be shown of each block.
    pub verify: Verify,
    /// What holds on the chain.
    pub profile: ChainProfile,
    /// What is wanted.
    pub filters: Vec<Arc<Filter>>,
    /// Canonical blocks above the finalized one that the ledger holds, oldest first.
    pub window: Vec<BlockNumHash>,
    /// Time between two looks at the head, in milliseconds, at least 1.
    pub poll_interval_ms: u64,
    /// Seed of the jitter: the same seed gives the same waits.
    pub seed: u64,
    /// Name of this process in reports.
    pub reporter: Arc<str>,
}

impl std::fmt::Debug for FollowConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FollowConfig").field("status", &self.status).finish_non_exhaustive()
    }
}

/// What to do next.
#[derive(Debug)]
pub enum FollowAction {
    /// Ask the node; hand the answer back with the ticket.
    Ask(Ticket, Ask),
    /// The node's chain goes on here. Answer with [`Follow::on_ruling`].
    Branch(Branch),
    /// Hand the report to the ledger.
    Submit(Box<Report>),
    /// What is shown of the node has changed.
    View(NodeView),
    /// Step again at this time, or when an answer or a hint arrives.
    WaitUntil(u64),
    /// Step again when an answer or a hint arrives.
    WaitForAnswer,
}

/// New blocks of one node, up to its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Whose.
    pub node: NodeId,
    /// From the block after the newest one that the node showed before, oldest first, never empty.
    pub blocks: Vec<BlockNumHash>,
    /// Parent of the first block; `None` for the first block of the chain.
    pub parent: Option<B256>,
    /// Whether that parent was known. False when the walk stopped at its bound, at the finalized
    /// block, or above a gap that is the backfill's.
    pub is_whole: bool,
}

/// Whether a branch is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Read and report it.
    Follow,
    /// Remember it and read nothing of it until it is released.
    Hold,
}

/// Whether the node is known to be on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// To be asked; nothing else is until then, and nothing that was read leaves.
    Due,
    /// Asked.
    Asked,
    /// It is.
    Good,
    /// It is not.
    Ended,
}

/// The node answers nothing.
#[derive(Clone, Debug)]
struct Lost {
    fault: Fault,
    tries: u32,
    until_ms: u64,
}

/// Follows one node. Step with [`Self::next`], feed with the `on_` methods.
pub struct Follow {
    context: Context,
    filters: Vec<Arc<Filter>>,
    window: Window,
    schedule: Schedule,
    calls: Calls,
    trust: Trust,
    lost: Option<Lost>,
    paused_until_ms: u64,
    head: Option<Head>,
    highest: u64,
    announced: BTreeMap<B256, BlockAnswer>,
    /// Head that the node has no header for; not walked again before the next poll.
    abandoned: Option<B256>,
    walk: Option<Walk>,
    /// Branch that was put to the council.
    unruled: Option<Walked>,
    unread: Unread,
    round: Option<(u64, Round)>,
    rounds: u64,
    receipts_off: Option<Fault>,
    out: VecDeque<FollowAction>,
    seq: u64,
    view: NodeView,
    shown: Option<NodeView>,
}

impl std::fmt::Debug for Follow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follow")
            .field("node", &self.context.status.node)
            .field("head", &self.head)
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

impl Follow {
    /// Returns a follower that goes on from what the ledger holds.
    pub fn new(config: FollowConfig, prover: Arc<dyn Prover>) -> Self {
        let FollowConfig { status, verify, profile, reporter, .. } = config;
        let view = NodeView {
            node: status.node.clone(),
            client: status.client.clone(),
            head: None,
            finalized: status.finalized,
            state: NodeState::Connecting,
            blocks_reported: 0,
            logs_reported: 0,
            blocks_unread: 0,
            last_progress_ms: 0,
        };
        Self {
            context: Context { status, verify, profile, prover, reporter },
            filters: config.filters,
            window: Window::new(config.window),
            schedule: Schedule::new(config.poll_interval_ms, config.seed),
            calls: Calls::default(),
            trust: Trust::Due,
            lost: None,
            paused_until_ms: 0,
            head: None,
            highest: 0,
            announced: BTreeMap::new(),
            abandoned: None,
            walk: None,
            unruled: None,
            unread: Unread::default(),
            round: None,
            rounds: 0,
            receipts_off: None,
            out: VecDeque::new(),
            seq: 0,
            view,
            shown: None,
        }
    }

    /// Returns the node's head as it last said.
    pub const fn head(&self) -> Option<Head> {
        self.head
    }

    /// Returns the node's finalized block as it last said, or as deep as the profile says.
    pub const fn finalized(&self) -> Option<u64> {
        self.context.status.finalized
    }

    /// Reads other filters from the next round of blocks on. What lies below is the backfill's.
    pub fn set_filters(&mut self, filters: Vec<Arc<Filter>>) {
        self.filters = filters;
    }

    /// Returns the next thing to do. Call until it says to wait.
    pub fn next(&mut self, now_ms: u64) -> FollowAction {
        if let Some(view) = self.changed_view() {
            return FollowAction::View(view);
        }
        if self.trust == Trust::Good && now_ms >= self.schedule.check_due_ms {
            self.trust = Trust::Due;
        }
        match self.trust {
            Trust::Ended | Trust::Asked => return FollowAction::WaitForAnswer,
            Trust::Due => return self.check(now_ms),
            Trust::Good => {}
        }
        if let Some(action) = self.pop_out() {
            return action;
        }
        if now_ms < self.paused_until_ms {
            return FollowAction::WaitUntil(self.paused_until_ms);
        }
        if let Some(action) = self.poll(now_ms) {
            return action;
        }
        if self.lost.is_none()
            && let Some(call) = self.calls.take(now_ms)
        {
            let (ticket, ask) = self.calls.send(call);
            return FollowAction::Ask(ticket, ask);
        }
        let mut due_ms = self.schedule.check_due_ms;
        if !self.calls.is_polling(Purpose::Latest) {
            due_ms = due_ms.min(self.schedule.poll_due_ms);
        }
        let call_due_ms = self.calls.due_ms().filter(|_| self.lost.is_none());
        FollowAction::WaitUntil(call_due_ms.map_or(due_ms, |call_due_ms| call_due_ms.min(due_ms)))
    }

    /// Asks for the chain before anything else. This is also how a node is tried that answered
    /// nothing: at the other end of a new connection there may be another one.
    fn check(&mut self, now_ms: u64) -> FollowAction {
        let lost_until_ms = self.lost.as_ref().map_or(0, |lost| lost.until_ms);
        let wait_ms = lost_until_ms.max(self.paused_until_ms);
        if now_ms < wait_ms {
            return FollowAction::WaitUntil(wait_ms);
        }
        self.trust = Trust::Asked;
        self.ask_poll(Purpose::ChainId, Ask::ChainId, now_ms)
    }

    fn poll(&mut self, now_ms: u64) -> Option<FollowAction> {
        let is_asked = |purpose| self.calls.is_polling(purpose);
        if now_ms >= self.schedule.poll_due_ms && !is_asked(Purpose::Latest) {
            self.schedule.on_poll(now_ms);
            return Some(self.ask_poll(Purpose::Latest, Ask::Head(Tag::Latest), now_ms));
        }
        let has_tag = self.context.profile.finality == Finality::Tag;
        if has_tag && self.schedule.is_finalized_due && !is_asked(Purpose::Finalized) {
            self.schedule.is_finalized_due = false;
            return Some(self.ask_poll(Purpose::Finalized, Ask::Head(Tag::Finalized), now_ms));
        }
        None
    }

    fn ask_poll(&mut self, purpose: Purpose, ask: Ask, now_ms: u64) -> FollowAction {
        let call = Call { purpose, ask, attempts: 0, since_ms: now_ms };
        let (ticket, ask) = self.calls.send_poll(call);
        FollowAction::Ask(ticket, ask)
    }

    /// Returns the next finished thing. Reports wait while a walk can take their blocks away.
    fn pop_out(&mut self) -> Option<FollowAction> {
        let is_fork = self.walk.as_ref().is_some_and(|walk| walk.is_fork);
        if is_fork && matches!(self.out.front(), Some(FollowAction::Submit(_))) {
            return None;
        }
        let action = self.out.pop_front()?;
        if let FollowAction::Submit(report) = &action {
            self.view.logs_reported += report.logs.len() as u64;
        }
        Some(action)
    }

    fn changed_view(&mut self) -> Option<NodeView> {
        self.view.head = self.head;
        self.view.finalized = self.context.status.finalized;
        self.view.state = match (&self.trust, &self.lost) {
            (Trust::Ended, _) => NodeState::WrongChain,
            (_, Some(lost)) => NodeState::Lost { fault: lost.fault.clone() },
            (_, None) if self.head.is_none() => NodeState::Connecting,
            (_, None) => NodeState::Following,
        };
        if self.shown.as_ref() == Some(&self.view) {
            return None;
        }
        self.shown = Some(self.view.clone());
        self.shown.clone()
    }

    /// Takes a hint: a reason to look now.
    pub fn on_hint(&mut self, hint: Hint, now_ms: u64) {
        if self.trust == Trust::Ended {
            return;
        }
        match hint {
            Hint::Head(block) => {
                if self.head.is_some_and(|head| head.block == block) {
                    return;
                }
                self.schedule.poll_due_ms = now_ms;
                self.read_announced(block, now_ms);
            }
            Hint::Connected => {
                self.distrust();
                self.receipts_off = None;
                self.schedule.poll_due_ms = now_ms;
                if let Some(lost) = &mut self.lost {
                    lost.until_ms = now_ms;
                }
            }
            Hint::Lost(fault) => self.on_lost(fault, now_ms),
        }
    }

    /// Reads an announced header while the head is asked for: most often it is the head.
    fn read_announced(&mut self, block: BlockNumHash, now_ms: u64) {
        let hash = block.hash;
        let coming = self.calls.count(|purpose| matches!(purpose, Purpose::Announced(_)));
        let is_asked = |p| matches!(p, Purpose::Announced(h) if h == hash) || p == Purpose::Walk;
        if self.announced.len() + coming < ANNOUNCED_MAX
            && !self.window.contains(block)
            && !self.announced.contains_key(&hash)
            && self.calls.count(is_asked) == 0
        {
            self.calls.enqueue(Purpose::Announced(hash), Ask::HeaderByHash { hash }, now_ms);
        }
    }

    /// Takes the answer to a ticket. One that is no longer waited for is dropped.
    pub fn on_answer(&mut self, ticket: Ticket, answer: Result<Answer, Fault>, now_ms: u64) {
        let Some(call) = self.calls.answered(ticket) else { return };
        if self.trust == Trust::Ended {
            return;
        }
        match answer {
            Ok(answer) => self.on_success(call, answer, now_ms),
            Err(fault) => self.on_fault(call, fault, now_ms),
        }
    }

    fn on_success(&mut self, call: Call, answer: Answer, now_ms: u64) {
        match (call.purpose, answer) {
            (Purpose::ChainId, Answer::ChainId(chain)) => {
                if chain != self.context.profile.chain {
                    return self.end();
                }
                self.trust = Trust::Good;
                self.schedule.on_check(now_ms);
                if self.lost.is_some() {
                    self.schedule.poll_due_ms = now_ms;
                }
            }
            (Purpose::Latest, Answer::Head(head)) => {
                self.lost = None;
                self.on_head(head, now_ms);
            }
            (Purpose::Finalized, Answer::Head(finalized)) => {
                let head = self.context.status.head.number;
                self.context.status.finalized = Some(finalized.block.number.min(head));
            }
            (Purpose::Announced(hash), Answer::Headers(mut blocks)) => {
                let block = blocks.pop().filter(|block| block.hash == hash);
                self.announced.extend(block.map(|block| (hash, block)));
                self.go_on_walking(now_ms);
            }
            (Purpose::Walk, Answer::Headers(mut blocks)) => {
                if let Some(block) = blocks.pop() {
                    return self.on_header(block, now_ms);
                }
                self.give_walk_up(now_ms);
            }
            (Purpose::Header(hash), Answer::Headers(mut blocks)) => {
                self.unread.on_header(hash, blocks.pop());
                self.read(now_ms);
            }
            (Purpose::Round(id, part), answer) => {
                if let Some((_, round)) = self.round.as_mut().filter(|(own, _)| *own == id)
                    && round.on_answer(part, answer)
                {
                    // What the node calls removed is no longer on its chain (faults.md F48).
                    self.schedule.poll_due_ms = now_ms;
                }
                self.step_round(now_ms);
            }
            // A node that answers another question is caught by its transport; a fake that does
            // has not answered.
            (_, _) => {
                let fault = Fault {
                    node: self.context.status.node.clone(),
                    method: method(&call.ask).into(),
                    class: FaultClass::Malformed,
                    text: "the answer is for another question".into(),
                };
                self.on_fault(call, fault, now_ms);
            }
        }
    }

    fn on_fault(&mut self, mut call: Call, fault: Fault, now_ms: u64) {
        if matches!(fault.class, FaultClass::WrongChain { .. }) {
            return self.end();
        }
        if let FaultClass::Rate { retry_after_ms } = fault.class {
            let wait_ms = retry_after_ms.unwrap_or_else(|| backoff_ms(call.attempts));
            self.paused_until_ms = self.paused_until_ms.max(now_ms.saturating_add(wait_ms));
        }
        // A rate limit is no absence: the same is asked again after the pause.
        let is_rated = match fault.class {
            FaultClass::Rate { retry_after_ms } => {
                retry_after_ms.is_some() || call.purpose == Purpose::Latest
            }
            _ => false,
        };
        let is_poll = matches!(call.purpose, Purpose::ChainId | Purpose::Latest);
        if is_absent(&fault.class) || (is_poll && !is_rated) {
            self.on_lost(fault.clone(), now_ms);
        }
        call.attempts += 1;
        let patience_ms = self.patience_ms();
        match call.purpose {
            Purpose::ChainId => self.distrust(),
            Purpose::Latest | Purpose::Finalized => {}
            Purpose::Announced(_) => self.go_on_walking(now_ms),
            Purpose::Walk | Purpose::Header(_) if is_not_ready(&fault) => {
                let until_ms = call.since_ms.saturating_add(patience_ms);
                if now_ms >= until_ms {
                    return self.give_up(call.purpose, &fault, now_ms);
                }
                let due_ms = now_ms.saturating_add(backoff_ms(call.attempts)).min(until_ms);
                self.calls.enqueue_at(due_ms, call);
            }
            Purpose::Round(..) if is_not_ready(&fault) => {
                self.give_up(call.purpose, &fault, now_ms);
            }
            // A node that went away may be back before the question is worth less.
            purpose @ (Purpose::Walk | Purpose::Header(_) | Purpose::Round(..)) => {
                let is_away = is_absent(&fault.class) && call.attempts < ATTEMPTS_MAX;
                if is_tried_again(&fault, call.attempts) || is_away {
                    let due_ms = now_ms.saturating_add(backoff_ms(call.attempts));
                    return self.calls.enqueue_at(due_ms, call);
                }
                self.give_up(purpose, &fault, now_ms);
            }
        }
    }

    fn give_up(&mut self, purpose: Purpose, fault: &Fault, now_ms: u64) {
        match purpose {
            Purpose::Walk => self.give_walk_up(now_ms),
            Purpose::Header(hash) => {
                self.view.blocks_unread += self.unread.drop_block(hash);
                self.read(now_ms);
            }
            Purpose::Round(id, part) => {
                if matches!(part, Part::Receipts { .. }) && fault.class == FaultClass::Off {
                    self.receipts_off = Some(fault.clone());
                }
                let Some((_, round)) = self.round.as_mut().filter(|(own, _)| *own == id) else {
                    return;
                };
                round.on_loss(part, fault, is_not_ready(fault));
                self.step_round(now_ms);
            }
            Purpose::ChainId | Purpose::Latest | Purpose::Finalized | Purpose::Announced(_) => {}
        }
    }

    fn on_lost(&mut self, fault: Fault, now_ms: u64) {
        self.distrust();
        let tries = self.lost.as_ref().map_or(0, |lost| lost.tries.saturating_add(1));
        let until_ms = match &self.lost {
            // Several calls under way fail at once: that is one try.
            Some(lost) if now_ms < lost.until_ms => return,
            _ => self.schedule.lost_until_ms(tries, now_ms),
        };
        self.lost = Some(Lost { fault, tries, until_ms });
    }

    /// The node's chain has to be looked at again before anything is believed.
    fn distrust(&mut self) {
        if self.trust != Trust::Ended {
            self.trust = Trust::Due;
            self.calls.forget(|purpose| purpose == Purpose::ChainId);
        }
    }

    /// Another chain: nothing of what was asked since the last good check is reported.
    fn end(&mut self) {
        self.trust = Trust::Ended;
        self.lost = None;
        self.out.clear();
        self.calls.forget(|_| true);
        self.unread = Unread::default();
        (self.round, self.walk, self.unruled) = (None, None, None);
        self.announced.clear();
    }

    fn on_head(&mut self, head: Head, now_ms: u64) {
        let number = head.block.number;
        if number == 0 && self.window.newest().is_some_and(|newest| newest > 0) {
            // No value but a node that does not know better yet (faults.md F47).
            return;
        }
        if number > self.highest || self.head.is_none() {
            self.highest = self.highest.max(number);
            self.view.last_progress_ms = now_ms;
        }
        self.head = Some(head);
        self.context.status.head = head.block;
        if let Finality::Depth(depth) = self.context.profile.finality {
            self.context.status.finalized = number.checked_sub(depth);
        }
        self.abandoned = None;
        let is_outdated = |walk: &Walk| walk.is_fresh() && walk.head() != head.block;
        if self.walk.as_ref().is_some_and(is_outdated) {
            self.walk = None;
            self.calls.forget(|purpose| purpose == Purpose::Walk);
        }
        self.begin_walk(now_ms);
    }

    /// Walks to a head that is new, once what was found before is read. A head that contradicts
    /// what is being read does not wait.
    fn begin_walk(&mut self, now_ms: u64) {
        let Some(Head { block: head, .. }) = self.head else { return };
        let is_known = self.window.contains(head) || self.abandoned == Some(head.hash);
        let is_behind = self.window.first().is_some_and(|first| head.number < first);
        let is_reading = self.round.is_some() || !self.unread.is_empty();
        let is_busy = self.walk.is_some() || self.unruled.is_some();
        if is_known || is_behind || is_busy || (is_reading && !self.window.contradicts(head)) {
            return;
        }
        self.walk = Some(Walk::new(head, &self.window));
        self.go_on_walking(now_ms);
    }

    /// Asks for the next header of the walk, or takes it from those that were announced.
    fn go_on_walking(&mut self, now_ms: u64) {
        let Some(hash) = self.walk.as_ref().map(Walk::next) else { return };
        if let Some(block) = self.announced.remove(&hash) {
            self.calls.forget(|purpose| purpose == Purpose::Walk);
            return self.on_header(block, now_ms);
        }
        let is_coming = |p| p == Purpose::Walk || p == Purpose::Announced(hash);
        if self.calls.count(is_coming) == 0 {
            self.calls.enqueue(Purpose::Walk, Ask::HeaderByHash { hash }, now_ms);
        }
    }

    fn on_header(&mut self, block: BlockAnswer, now_ms: u64) {
        let finalized = self.context.status.finalized;
        let Some(walk) = &mut self.walk else { return };
        match walk.on_header(block, &self.window, finalized) {
            WalkStep::Ask => self.go_on_walking(now_ms),
            WalkStep::Astray => self.give_walk_up(now_ms),
            WalkStep::Done(walked) => {
                self.walk = None;
                self.on_walked(walked);
            }
        }
    }

    fn give_walk_up(&mut self, now_ms: u64) {
        self.abandoned = self.walk.take().map(|walk| walk.head().hash);
        self.begin_walk(now_ms);
    }

    fn on_walked(&mut self, walked: Walked) {
        self.announced.clear();
        let named =
            |block: &BlockAnswer| BlockNumHash { number: block.header.number, hash: block.hash };
        let blocks: Vec<BlockNumHash> = walked.blocks.iter().map(named).collect();
        let Some(first) = walked.blocks.first() else { return };
        let number = first.header.number;
        let below = number.checked_sub(1);
        let parent = below.map(|number| BlockNumHash { number, hash: first.header.parent_hash });
        self.drop_from(number);
        if !walked.is_whole && !walked.has_gap {
            self.window.forget_below(number);
        }
        self.window.adopt(parent, &blocks);
        let branch = Branch {
            node: self.context.status.node.clone(),
            blocks,
            parent: parent.map(|parent| parent.hash),
            is_whole: walked.is_whole,
        };
        self.unruled = Some(walked);
        self.out.push_back(FollowAction::Branch(branch));
    }

    /// Stops reading from a height on, and takes back reports that were not handed out yet.
    fn drop_from(&mut self, number: u64) {
        self.unread.drop_from(number);
        let holds = |round: &Round| {
            round.blocks().last().is_some_and(|block| block.header.number >= number)
        };
        if self.round.as_ref().is_some_and(|(_, round)| holds(round))
            && let Some((_, round)) = self.round.take()
        {
            self.calls.forget(|purpose| matches!(purpose, Purpose::Round(..)));
            let mut blocks = round.into_blocks();
            blocks.retain(|block| block.header.number < number);
            self.unread.put_back(blocks);
        }
        self.out.retain(|action| match action {
            FollowAction::Submit(report) => report.range.last() < number,
            _ => true,
        });
    }

    /// Takes the ruling on the branch last given out. `Hold` at any other time stops reading: the
    /// chain is another one now.
    pub fn on_ruling(&mut self, ruling: Ruling, now_ms: u64) {
        match (ruling, self.unruled.take()) {
            (Ruling::Follow, Some(walked)) => {
                self.unread.add(walked.blocks);
                self.read(now_ms);
            }
            (Ruling::Hold, None) => self.drop_from(0),
            (Ruling::Follow, None) | (Ruling::Hold, Some(_)) => {}
        }
        self.begin_walk(now_ms);
    }

    /// This node's branch is the chain now: reads its blocks from a height on, also those that
    /// were reported before, because the ledger has left them since.
    pub fn release(&mut self, from: u64, now_ms: u64) {
        if self.trust == Trust::Ended {
            return;
        }
        let under_way = |block: &BlockNumHash| {
            let round = self.round.iter().flat_map(|(_, round)| round.blocks());
            let unruled = self.unruled.iter().flat_map(|walked| &walked.blocks);
            round.chain(unruled).any(|known| known.hash == block.hash)
        };
        let blocks = self.window.from(from).filter(|block| !under_way(block));
        self.unread.add_names(blocks);
        self.read(now_ms);
    }

    /// Goes on reading: headers that are not at hand first, then a round over them.
    fn read(&mut self, now_ms: u64) {
        if self.round.is_some() {
            return;
        }
        for hash in self.unread.headers_due() {
            self.calls.enqueue(Purpose::Header(hash), Ask::HeaderByHash { hash }, now_ms);
        }
        let blocks = self.unread.take_run();
        if blocks.is_empty() {
            return self.begin_walk(now_ms);
        }
        let deadline_ms = now_ms.saturating_add(self.patience_ms());
        let off = self.receipts_off.clone();
        let round = Round::new(blocks, &self.filters, off, deadline_ms, &self.context);
        self.rounds += 1;
        self.round = Some((self.rounds, round));
        self.step_round(now_ms);
    }

    fn step_round(&mut self, now_ms: u64) {
        let Some((id, round)) = &mut self.round else { return };
        let step = round.step(&self.context, now_ms);
        for (due_ms, part, ask) in step.asks {
            let call =
                Call { purpose: Purpose::Round(*id, part), ask, attempts: 0, since_ms: now_ms };
            self.calls.enqueue_at(due_ms, call);
        }
        for mut report in step.reports {
            self.seq += 1;
            report.seq = self.seq;
            report.head_after = report.head_after.max(self.context.status.head.number);
            self.out.push_back(FollowAction::Submit(Box::new(report)));
        }
        if round.is_over() {
            let (all, unread) = (round.blocks().len() as u64, round.unread() as u64);
            self.view.blocks_reported += all - unread;
            self.view.blocks_unread += unread;
            self.round = None;
            self.read(now_ms);
        }
    }

    /// How long the node may take to serve what it announced, in milliseconds.
    const fn patience_ms(&self) -> u64 {
        self.context.profile.block_time_ms.saturating_mul(UNREADY_BLOCKS)
    }
}

/// Returns the JSON-RPC method of the questions that a follower asks.
const fn method(ask: &Ask) -> &'static str {
    match ask {
        Ask::ChainId => "eth_chainId",
        Ask::LogsByHash { .. } => "eth_getLogs",
        Ask::Receipts { .. } => "eth_getBlockReceipts",
        Ask::HeaderByHash { .. } => "eth_getBlockByHash",
        _ => "eth_getBlockByNumber",
    }
}
