//! Follows the head of one node and reports it, block hash by block hash.
//!
//! A new head is walked down to a block that the node showed before; the branch is put to whoever
//! knows the other nodes, and read when it is to be followed. What is announced only wakes it: a
//! hint that is lost, late, doubled or out of order changes nothing. Does not know which branch is
//! the right one, and reads no range: a gap is the backfill's.

mod answers;
mod calls;
mod early;
mod finalized;
mod heads;
mod live_block;
mod reading;
mod round;
mod schedule;
mod telling;
mod unread;
mod view;
mod walk;
mod window;

pub use view::{NodeState, NodeView};

use crate::{NodeStatus, Ticket, chunk::Context, confirm::Confirm};
use alloy_primitives::B256;
use calls::{Call, Calls, Purpose};
use early::Early;
use event::{
    Ask, BlockAnswer, BlockNumHash, ChainProfile, Fault, Filter, Finality, Head, Held, NodeId,
    Prover, Report, Tag, Verify,
};
use finalized::Finalized;
use round::Round;
use schedule::Schedule;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use telling::Telling;
use unread::Unread;
use walk::{Walk, Walked};
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
    /// Whether the node sees to it itself that all answers are of one chain. Of any other nothing
    /// leaves before the chain was asked for after it, but what links to known blocks.
    pub keeps_chain: bool,
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
    wrong_chain: Option<Fault>,
    lost: Option<Lost>,
    paused_until_ms: u64,
    head: Option<Head>,
    finalized: Finalized,
    /// Whether it is asked what it calls safe, and what it said.
    asks_safe: bool,
    safe: Option<BlockNumHash>,
    highest: u64,
    announced: BTreeMap<B256, BlockAnswer>,
    early: Early,
    /// Head that the node has no header for; not walked again before the next poll.
    abandoned: Option<B256>,
    walk: Option<Walk>,
    /// Branch that was put to the council.
    unruled: Option<Walked>,
    unread: Unread,
    round: Option<(u64, Round)>,
    rounds: u64,
    receipts_off: Option<Fault>,
    /// What is finished, each with its number among what the node said.
    out: VecDeque<(u64, FollowAction)>,
    confirm: Confirm,
    telling: Telling,
    /// Number of the branch that the window's newest blocks are of.
    window_said: u64,
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
            safe: None,
            state: NodeState::Connecting,
            blocks_reported: 0,
            logs_reported: 0,
            blocks_unread: 0,
            last_progress_ms: 0,
        };
        let status_finalized = status.finalized;
        let finalized = Finalized::new(profile.finality, status.finalized);
        Self {
            context: Context { status, verify, profile, prover, reporter },
            filters: config.filters,
            window: Window::new(config.window),
            schedule: Schedule::new(config.poll_interval_ms, config.seed),
            calls: Calls::default(),
            trust: Trust::Due,
            wrong_chain: None,
            lost: None,
            paused_until_ms: 0,
            head: None,
            finalized,
            asks_safe: false,
            safe: None,
            highest: 0,
            announced: BTreeMap::new(),
            early: Early::default(),
            abandoned: None,
            walk: None,
            unruled: None,
            unread: Unread::default(),
            round: None,
            rounds: 0,
            receipts_off: None,
            out: VecDeque::new(),
            confirm: Confirm::new(config.keeps_chain),
            telling: Telling::new(status_finalized),
            window_said: 0,
            seq: 0,
            view,
            shown: None,
        }
    }

    /// Returns the node's head as it last said.
    pub const fn head(&self) -> Option<Head> {
        self.head
    }

    /// Returns the node's finalized block, or what lies as deep as the profile says: as it was before
    /// the head whose blocks were walked last, so that these are known to descend from it.
    pub const fn finalized(&self) -> Option<u64> {
        self.context.status.finalized
    }

    /// Returns what shows that the node is on another chain, where it is; nothing more comes of it then.
    pub const fn wrong_chain(&self) -> Option<&Fault> {
        self.wrong_chain.as_ref()
    }

    /// Returns the number of entries of everything that is held.
    pub fn held(&self) -> Held {
        let walked = self.unruled.as_ref().map_or(0, |walked| walked.blocks.len());
        vec![
            ("blocks of a follower", self.window.held()),
            ("calls of a follower", self.calls.count(|_| true)),
            ("announced headers", self.announced.len()),
            ("logs that came early", self.early.held()),
            ("walked headers", walked + self.walk.as_ref().map_or(0, Walk::held)),
            ("unread blocks", self.unread.held()),
            ("blocks being read", self.round.as_ref().map_or(0, |(_, round)| round.held())),
            ("reports to submit", self.out.len()),
        ]
    }

    /// Reads other filters from the next round of blocks on. What lies below is the backfill's.
    pub fn set_filters(&mut self, filters: Vec<Arc<Filter>>) {
        self.filters = filters;
        self.early = Early::default();
    }

    /// Asks the node from now on what it calls safe, where it knows tags.
    pub fn ask_safe(&mut self) {
        self.asks_safe = self.context.profile.finality == Finality::Tag;
    }

    /// Returns the next thing to do. Call until it says to wait.
    pub fn next(&mut self, now_ms: u64) -> FollowAction {
        if let Some(view) = self.changed_view() {
            return FollowAction::View(view);
        }
        let is_checked = self.calls.is_polling(Purpose::ChainId);
        if self.trust == Trust::Good && now_ms >= self.schedule.check_due_ms && !is_checked {
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
        if self.confirm.is_due() {
            return self.ask_chain(now_ms);
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
        let mut due_ms = if is_checked { u64::MAX } else { self.schedule.check_due_ms };
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
        self.ask_chain(now_ms)
    }

    /// Confirms with the answer what the node has said so far.
    fn ask_chain(&mut self, now_ms: u64) -> FollowAction {
        self.confirm.on_ask();
        self.telling.on_ask();
        self.ask_poll(Purpose::ChainId, Ask::ChainId, now_ms)
    }

    fn poll(&mut self, now_ms: u64) -> Option<FollowAction> {
        let is_asked = |purpose| self.calls.is_polling(purpose);
        if now_ms >= self.schedule.poll_due_ms && !is_asked(Purpose::Latest) {
            self.schedule.on_poll(now_ms);
            self.finalized.on_ask_head();
            return Some(self.ask_poll(Purpose::Latest, Ask::Head(Tag::Latest), now_ms));
        }
        let has_tag = self.context.profile.finality == Finality::Tag;
        if has_tag && self.schedule.is_finalized_due && !is_asked(Purpose::Finalized) {
            self.schedule.is_finalized_due = false;
            return Some(self.ask_poll(Purpose::Finalized, Ask::Head(Tag::Finalized), now_ms));
        }
        if self.asks_safe && self.schedule.is_safe_due && !is_asked(Purpose::Safe) {
            self.schedule.is_safe_due = false;
            return Some(self.ask_poll(Purpose::Safe, Ask::Head(Tag::Safe), now_ms));
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
        let (said, action) = self.out.front()?;
        if (is_fork && matches!(action, FollowAction::Submit(_)))
            || !self.confirm.is_confirmed(*said)
        {
            return None;
        }
        let (_, action) = self.out.pop_front()?;
        if let FollowAction::Submit(report) = &action {
            self.view.logs_reported += report.logs.len() as u64;
        }
        Some(action)
    }

    /// Notes where the node says that it stands.
    fn note_standing(&mut self) {
        if self.telling.say((self.head, self.context.status.finalized, self.safe)) {
            self.confirm.note();
        }
        if self.confirm.is_kept() {
            self.telling.confirm();
        }
    }

    fn changed_view(&mut self) -> Option<NodeView> {
        self.note_standing();
        (self.view.head, self.view.finalized, self.view.safe) = self.telling.told();
        self.view.state = match (&self.trust, &self.lost) {
            (Trust::Ended, _) => NodeState::WrongChain,
            (_, Some(lost)) => NodeState::Lost { fault: lost.fault.clone() },
            (_, None) if self.view.head.is_none() => NodeState::Connecting,
            (_, None) => NodeState::Following,
        };
        if self.shown.as_ref() == Some(&self.view) {
            return None;
        }
        self.shown = Some(self.view.clone());
        self.shown.clone()
    }

    /// How long the node may take to serve what it announced, in milliseconds.
    const fn patience_ms(&self) -> u64 {
        self.context.profile.block_time_ms.saturating_mul(UNREADY_BLOCKS)
    }
}
