//! Lanes at the head: what they write goes into the transaction of the events that it is made of.
//!
//! A lane that stands idle is told of events when their transaction begins, reads them from memory
//! ([`crate::recent`]), and hands in what the plugin makes of them before it ends: then there is one
//! commit instead of two, one after the other. Nothing is ever written before its events: what comes
//! too late, or is refused, is written alone afterwards.

use super::{Message, Owner};
use crate::recent::Ahead;
use dispatcher::Ready;
use event::{ChainId, Content, Filter, LaneCommit, LaneId, LedgerError};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

/// Longest time, from the begin of a transaction, that it waits for what idle lanes make of its events.
pub(super) const JOIN_WAIT: Duration = Duration::from_millis(10);
/// Events of a transaction that lanes are told of ahead, at most: those of some blocks at the head.
const JOIN_EVENTS_MAX: usize = 1_000;
/// Transactions that do not wait for a lane which came too late for one: twice as many each time, and
/// at most so many.
const SKIPS_MAX: u32 = 128;

pub(super) type LaneReply = mpsc::Sender<Result<(), LedgerError>>;

/// What a lane wants written.
pub(super) type LaneWrite = (LaneCommit, LaneReply);

/// How far a lane can go.
#[derive(Clone, Copy, Debug)]
pub struct News {
    /// Counts the news of a lane, from 1.
    pub number: u64,
    /// What is there to be handled.
    pub ready: Ready,
}

/// A lane that wants to be told.
pub(crate) struct LaneWatch {
    pub(super) lane: LaneId,
    filters: Vec<Arc<Filter>>,
    start_block: u64,
    content: Content,
    ready: mpsc::Sender<News>,
    /// Number of the newest news, and whether the lane has handled them.
    told: u64,
    is_idle: bool,
    /// Transactions that do not wait for it, and how many were not to when it was last late.
    skips: u32,
    last_skips: u32,
}

impl LaneWatch {
    pub(super) fn new(
        lane: LaneId,
        filters: Vec<Arc<Filter>>,
        start_block: u64,
        content: Content,
        ready: mpsc::Sender<News>,
    ) -> Self {
        let (told, is_idle, skips, last_skips) = (0, false, 0, 0);
        Self { lane, filters, start_block, content, ready, told, is_idle, skips, last_skips }
    }

    /// Whether a transaction waits for it.
    fn is_awaited(&mut self) -> bool {
        let is_skipped = self.skips > 0;
        self.skips = self.skips.saturating_sub(1);
        self.is_idle && !is_skipped
    }

    /// Notes whether it came in time to join.
    fn on_awaited(&mut self, is_late: bool) {
        self.last_skips = if is_late { (self.last_skips * 2).clamp(1, SKIPS_MAX) } else { 0 };
        self.skips = self.last_skips;
    }
}

impl Owner {
    /// Tells every lane how far it can go now.
    pub(super) fn tell_lanes(&mut self) {
        let (chains, safe, journal_seq) = (&self.chains, &self.safe, self.journal.last());
        self.lanes.retain_mut(|lane| {
            let Some((_, aggregator)) = chains.get(&lane.lane.chain) else { return false };
            let through = aggregator.covered_through(&lane.filters, lane.start_block, lane.content);
            let finalized = aggregator.finalized().unwrap_or(0);
            (lane.told, lane.is_idle) = (lane.told + 1, false);
            let safe = safe.get(&lane.lane.chain).copied().unwrap_or(0);
            let ready = Ready { through, finalized, safe, journal_seq };
            lane.ready.send(News { number: lane.told, ready }).is_ok()
        });
    }

    /// Returns the plugins that have not handled everything that they were told of.
    pub(super) fn busy_lanes(&self, chain: ChainId) -> Vec<String> {
        let busy = self.lanes.iter().filter(|watch| watch.lane.chain == chain && !watch.is_idle);
        busy.map(|watch| watch.lane.plugin.clone()).collect()
    }

    /// Notes how much of what it was told a lane has handled; returns whether that is everything.
    pub(super) fn on_idle(&mut self, lane: &LaneId, news: u64) -> bool {
        let mut is_idle = false;
        for watch in self.lanes.iter_mut().filter(|watch| watch.lane == *lane) {
            watch.is_idle = watch.told == news;
            is_idle |= watch.is_idle;
        }
        is_idle
    }

    /// Tells lanes of what is about to be written, where some stand idle and it is not much.
    fn tell_ahead(&mut self) -> Option<Joining> {
        let is_head =
            (1..=JOIN_EVENTS_MAX).contains(&self.commit_events) && self.staged_events == 0;
        if self.inbox.is_none() || !is_head {
            return None;
        }
        let awaited = |lane: &mut LaneWatch| lane.is_awaited().then(|| lane.lane.clone());
        let awaited: BTreeSet<LaneId> = self.lanes.iter_mut().filter_map(awaited).collect();
        if awaited.is_empty() {
            return None;
        }
        let ahead = self.recent.show_ahead(&self.commits);
        self.tell_lanes();
        Some(Joining { awaited, until: Instant::now() + self.join_wait, _ahead: ahead })
    }

    /// Takes in what the idle lanes make of events. Other messages are put off.
    fn collect(&mut self, joining: &Joining) {
        let mut missing = joining.awaited.clone();
        while !missing.is_empty() {
            let left = joining.until.saturating_duration_since(Instant::now());
            let Some(inbox) = &mut self.inbox else { break };
            match inbox.messages.recv_timeout(left) {
                Ok(Message::Lane(commit, reply)) => {
                    missing.remove(&commit.lane);
                    self.lane_writes.push((*commit, reply));
                }
                Ok(Message::LaneIdle(lane, news)) => {
                    if self.on_idle(&lane, news) {
                        missing.remove(&lane);
                    }
                }
                Ok(message) => inbox.put_off.push_back(message),
                Err(_) => break,
            }
        }
        for lane in self.lanes.iter_mut().filter(|lane| joining.awaited.contains(&lane.lane)) {
            lane.on_awaited(missing.contains(&lane.lane));
        }
    }

    /// Writes the commits, with what lanes make of them where that is there in time. Returns whether
    /// lanes know of them.
    pub(super) fn write_commits(&mut self) -> Result<bool, LedgerError> {
        let Some(joining) = self.tell_ahead() else {
            self.store.apply(&self.commits)?;
            return Ok(false);
        };
        self.store.begin(&self.commits)?;
        self.collect(&joining);
        let (lanes, replies): (Vec<_>, Vec<_>) = self.lane_writes.drain(..).unzip();
        match self.store.finish(&lanes) {
            Ok(()) => {
                self.tell_of_messages(&lanes);
                replies.into_iter().for_each(|reply| drop(reply.send(Ok(()))));
            }
            Err(error) if lanes.is_empty() => return Err(error),
            // The lanes are to blame, or it fails once more: each is heard alone, after its events.
            Err(_) => {
                self.store.apply(&self.commits)?;
                self.lane_writes = lanes.into_iter().zip(replies).collect();
            }
        }
        Ok(true)
    }

    /// Writes what a lane made, alone.
    pub(super) fn write_lane(&mut self, commit: LaneCommit, reply: &LaneReply) {
        let commits = [commit];
        let applied = self.store.apply_lanes(&commits);
        if applied.is_ok() {
            self.tell_of_messages(&commits);
        }
        let _ = reply.send(applied);
    }

    fn tell_of_messages(&mut self, lanes: &[LaneCommit]) {
        if lanes.iter().any(|commit| !commit.messages.is_empty()) {
            self.outbox.tell();
        }
    }
}

/// A transaction that waits for lanes.
struct Joining {
    awaited: BTreeSet<LaneId>,
    until: Instant,
    /// Until it is dropped, what is not in memory is not read.
    _ahead: Ahead,
}

/// What was sent to the owner's thread.
pub(super) struct Inbox {
    messages: mpsc::Receiver<Message>,
    /// Came while a transaction waited for lanes, and goes first now.
    put_off: VecDeque<Message>,
}

impl Inbox {
    pub(super) fn new(messages: mpsc::Receiver<Message>) -> Self {
        Self { messages, put_off: VecDeque::new() }
    }

    /// Returns the next message; waits for it as long as it takes, or for so long.
    pub(super) fn next(&mut self, wait: Option<Duration>) -> Result<Message, RecvTimeoutError> {
        match (self.put_off.pop_front(), wait) {
            (Some(message), _) => Ok(message),
            (None, Some(wait)) => self.messages.recv_timeout(wait),
            (None, None) => self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }
}
