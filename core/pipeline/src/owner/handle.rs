//! Speaks to an owner, on its thread or where it stands. Decides nothing.

use super::{
    AwayOwner, ChainSetup, Claim, Holder, LookClaim, Owner, OwnerReport, Receipt, Reply, away,
    joined::{LaneReply, LaneWatch, News},
};
use crate::recent::Recent;
use aggregator::Policy;
use event::{
    Ack, BlockNumHash, BlockRange, BlockRow, ChainId, Claimed, Content, Decoder, Evidence, Failing,
    Fault, Filter, FilterId, Held, LaneCommit, LaneId, LaneState, Ledger, LedgerError, OutboxLine,
    OutboxStep, Outgoing, Reader, Remedy, Report, ToLook, Verify, Writer,
};
use futures_channel::oneshot;
use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread::JoinHandle,
};
use tracker::Conflict;

pub(super) enum Message {
    Submit(Box<Report>, Receipt),
    Flush,
    Missing {
        chain: ChainId,
        filter: Filter,
        range: BlockRange,
        verify: Verify,
        reply: oneshot::Sender<Vec<(BlockRange, Vec<Filter>)>>,
    },
    Claim(Claim, oneshot::Sender<Claimed>),
    ClaimLook(LookClaim, oneshot::Sender<ToLook>),
    Release(Holder),
    ReleaseAll(u32),
    CloseClaims {
        at_once: bool,
        reply: oneshot::Sender<bool>,
    },
    AddChain(Box<ChainSetup>, oneshot::Sender<Result<(), LedgerError>>),
    Evidence {
        chain: ChainId,
        filters: Vec<Filter>,
        range: BlockRange,
        reply: oneshot::Sender<Option<Evidence>>,
    },
    Waiting {
        chain: ChainId,
        reply: oneshot::Sender<Vec<BlockNumHash>>,
    },
    Undecided {
        chain: ChainId,
        filters: Vec<Filter>,
        range: BlockRange,
        reply: oneshot::Sender<Vec<(BlockRange, Vec<Filter>)>>,
    },
    Demand {
        chain: ChainId,
        filters: Vec<Filter>,
        range: BlockRange,
        verify: Verify,
        now_s: u64,
    },
    Held {
        chain: ChainId,
        reply: oneshot::Sender<Held>,
    },
    Conflict {
        chain: ChainId,
        conflict: Conflict,
    },
    Halt {
        chain: ChainId,
        branch: Vec<BlockRow>,
    },
    GoOn {
        chain: ChainId,
    },
    Looked {
        chain: ChainId,
        filter: FilterId,
        range: BlockRange,
    },
    Lane(Box<LaneCommit>, LaneReply),
    LaneIdle(LaneId, u64),
    StepOutbox(OutboxStep, oneshot::Sender<Result<Vec<Outgoing>, LedgerError>>),
    WatchOutbox(futures_channel::mpsc::Sender<()>),
    Outbox(oneshot::Sender<Result<Vec<OutboxLine>, LedgerError>>),
    Remedy(Remedy, oneshot::Sender<Result<u64, LedgerError>>),
    NoteFailing(LaneId, Option<Failing>),
    Safe(ChainId, u64),
    BusyLanes(ChainId, oneshot::Sender<Vec<String>>),
    HeedLane(LaneId, Arc<AtomicBool>),
    OpenLane {
        lane: LaneId,
        writer: Box<Writer>,
        reply: mpsc::Sender<Result<LaneState, LedgerError>>,
    },
    WatchLane(LaneWatch),
    Change {
        decoder: Arc<dyn Decoder>,
        policies: Vec<(ChainId, Policy)>,
        reply: oneshot::Sender<Result<(), LedgerError>>,
    },
    Elsewhere(ChainId, BlockRange, Fault),
    EndLanesOf(ChainId),
    EndLanes,
    Close,
}

/// An owner that is stepped by whoever speaks to it.
pub(super) struct Inline {
    pub(super) owner: Option<Owner>,
    pub(super) ended: Option<Result<OwnerReport, LedgerError>>,
}

/// The way to an owner.
#[derive(Clone)]
pub(super) enum Line {
    Thread(mpsc::Sender<Message>),
    Inline(Arc<Mutex<Inline>>),
    Away(Arc<dyn AwayOwner>),
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Thread(_) => "Thread",
            Self::Inline(_) => "Inline",
            Self::Away(_) => "Away",
        })
    }
}

impl Line {
    /// Sends a message. That of an owner which has ended is dropped, and its reply with it: the
    /// receiver sees that.
    pub(super) fn send(&self, message: Message) {
        match self {
            Self::Thread(sender) => {
                let _ = sender.send(message);
            }
            Self::Inline(inline) => {
                inline.lock().unwrap_or_else(PoisonError::into_inner).on(message);
            }
            Self::Away(owner) => away::send(&**owner, message),
        }
    }
}

impl Inline {
    fn on(&mut self, message: Message) {
        let Some(owner) = &mut self.owner else { return };
        let is_report = matches!(message, Message::Submit(..));
        let result = owner.on(message).and_then(|is_last| {
            if is_report { owner.flush().map(|()| false) } else { Ok(is_last) }
        });
        let ended = match result {
            Ok(false) => return,
            Ok(true) => Ok(std::mem::take(&mut owner.report)),
            Err(error) => Err(owner.fail(error)),
        };
        (self.owner, self.ended) = (None, Some(ended));
    }
}

/// Speaks to an owner. The queue is bounded by its users: [`crate::replay`] waits for acks before
/// it reads on, a lane waits for each of its commits.
#[derive(Debug)]
pub struct OwnerHandle {
    pub(super) line: Line,
    pub(super) recent: Recent,
    pub(super) thread: Option<JoinHandle<Result<OwnerReport, LedgerError>>>,
    /// Counts runs that claim.
    pub(super) next_run: Arc<AtomicU64>,
    /// Whether a lane waits for what nodes call safe.
    pub(super) wants_safe: Arc<AtomicBool>,
}

impl OwnerHandle {
    pub(super) fn over(line: Line) -> Self {
        Self {
            line,
            recent: Recent::default(),
            thread: None,
            next_run: Arc::default(),
            wants_safe: Arc::default(),
        }
    }

    /// Hands over a report; the reply comes after its transaction.
    pub fn submit(&self, report: Box<Report>) -> Reply<Result<Ack, Arc<LedgerError>>> {
        self.hand_over(report).1
    }

    /// Hands over a report. The first reply is dropped when its events are no longer in this process'
    /// memory, or it is acknowledged; the second comes after its transaction.
    pub(crate) fn hand_over(
        &self,
        report: Box<Report>,
    ) -> (Reply<Infallible>, Reply<Result<Ack, Arc<LedgerError>>>) {
        let (reply, ack) = oneshot::channel();
        let on_ack = Box::new(move |ack| {
            // A reporter that is gone needs no ack.
            let _ = reply.send(ack);
        });
        let (held, freed) = oneshot::channel();
        self.line.send(Message::Submit(report, Receipt { on_ack, held: Some(held) }));
        (freed, ack)
    }

    /// Whether the owner is another process.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self.line, Line::Away(_))
    }

    /// Writes what was gathered now; the acks tell when it is done.
    pub fn flush(&self) {
        self.line.send(Message::Flush);
    }

    /// Asks what is still to be fetched.
    pub fn missing(
        &self,
        chain: ChainId,
        filter: Filter,
        range: BlockRange,
        verify: Verify,
    ) -> Reply<Vec<(BlockRange, Vec<Filter>)>> {
        let (reply, receiver) = oneshot::channel();
        self.line.send(Message::Missing { chain, filter, range, verify, reply });
        receiver
    }

    /// Asks what is shown of the whole range for all filters; `None` when a part is open.
    pub fn evidence(
        &self,
        chain: ChainId,
        filters: Vec<Filter>,
        range: BlockRange,
    ) -> Reply<Option<Evidence>> {
        let (reply, receiver) = oneshot::channel();
        self.line.send(Message::Evidence { chain, filters, range, reply });
        receiver
    }

    /// Notes that blocks of a filter were read through a second node. Written with the next
    /// transaction, and so never before what was found in them.
    pub fn looked(&self, chain: ChainId, filter: FilterId, range: BlockRange) {
        self.line.send(Message::Looked { chain, filter, range });
    }

    /// Asks which blocks have logs that wait for another node: their receipts would decide.
    pub fn waiting(&self, chain: ChainId) -> Reply<Vec<BlockNumHash>> {
        let (reply, receiver) = oneshot::channel();
        self.line.send(Message::Waiting { chain, reply });
        receiver
    }

    /// Asks which final blocks have logs that only some nodes told, of which of these filters.
    pub fn undecided(
        &self,
        chain: ChainId,
        filters: Vec<Filter>,
        range: BlockRange,
    ) -> Reply<Vec<(BlockRange, Vec<Filter>)>> {
        let (reply, receiver) = oneshot::channel();
        self.line.send(Message::Undecided { chain, filters, range, reply });
        receiver
    }

    /// Notes what was demanded of blocks: what is missing of it is owed from `now_s` on, in Unix
    /// seconds. Written at once.
    pub fn demand(
        &self,
        chain: ChainId,
        filters: Vec<Filter>,
        range: BlockRange,
        verify: Verify,
        now_s: u64,
    ) {
        self.line.send(Message::Demand { chain, filters, range, verify, now_s });
    }

    /// Asks how much is held in memory for a chain.
    pub fn held(&self, chain: ChainId) -> Reply<Held> {
        let (reply, receiver) = oneshot::channel();
        self.line.send(Message::Held { chain, reply });
        receiver
    }

    /// Names nodes that have another block where one is final.
    pub fn name_conflict(&self, chain: ChainId, conflict: Conflict) {
        self.line.send(Message::Conflict { chain, conflict });
    }

    /// Stops what is final from rising, and keeps the branch that contradicts it.
    pub fn halt(&self, chain: ChainId, branch: Vec<BlockRow>) {
        self.line.send(Message::Halt { chain, branch });
    }

    /// Lets what is final rise again.
    pub fn go_on(&self, chain: ChainId) {
        self.line.send(Message::GoOn { chain });
    }

    /// Whether a lane of this process waits for what nodes call safe: only then they are asked.
    pub(crate) fn wants_safe(&self) -> bool {
        self.wants_safe.load(Relaxed)
    }

    /// Tells lanes up to which block nodes call the chain safe.
    pub(crate) fn note_safe(&self, chain: ChainId, block: u64) {
        self.line.send(Message::Safe(chain, block));
    }

    /// Notes that a node is on another chain, as the fault says: an incident, until a report of that
    /// node comes again. Where the owner is another process it is not noted.
    pub fn elsewhere(&self, chain: ChainId, at: BlockRange, fault: Fault) {
        self.line.send(Message::Elsewhere(chain, at, fault));
    }

    /// Goes on with another decoder, whose tables are made first, and other demands on chains. On an
    /// error everything stays as it was.
    pub fn change(
        &self,
        decoder: Arc<dyn Decoder>,
        policies: Vec<(ChainId, Policy)>,
    ) -> Reply<Result<(), LedgerError>> {
        let (reply, receiver) = oneshot::channel();
        self.line.send(Message::Change { decoder, policies, reply });
        receiver
    }

    /// Does what an operator decided, and has the lanes concerned open again. Returns how many events,
    /// messages or lanes it concerned.
    pub fn remedy(&self, remedy: Remedy) -> Reply<Result<u64, LedgerError>> {
        let (reply, receiver) = oneshot::channel();
        self.line.send(Message::Remedy(remedy, reply));
        receiver
    }

    /// Asks which plugins have not handled yet what is written for them.
    pub fn busy_lanes(&self, chain: ChainId) -> Reply<Vec<String>> {
        let (reply, receiver) = oneshot::channel();
        self.line.send(Message::BusyLanes(chain, reply));
        receiver
    }

    /// Lets the lanes of one chain end once they have handled what is written; others can be
    /// started for them.
    pub fn end_lanes_of(&self, chain: ChainId) {
        self.line.send(Message::EndLanesOf(chain));
    }

    /// Writes what was gathered and lets every lane end once it has handled it. Lanes can still
    /// commit; close the owner when they have ended.
    pub fn end_lanes(&self) {
        self.line.send(Message::EndLanes);
    }

    /// Returns a handle for a lane's thread.
    pub fn lane(&self) -> LaneHandle {
        let (line, recent) = (self.line.clone(), self.recent.clone());
        LaneHandle { line, recent, wants_safe: self.wants_safe.clone() }
    }

    /// Writes what was gathered, ends the thread, and returns what decoding left raw, or the
    /// error that ended the owner early.
    pub fn close(mut self) -> Result<OwnerReport, LedgerError> {
        self.line.send(Message::Close);
        if let Line::Inline(inline) = &self.line {
            let ended = inline.lock().unwrap_or_else(PoisonError::into_inner).ended.take();
            return ended.unwrap_or_else(|| Ok(OwnerReport::default()));
        }
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(LedgerError::Internal("the ledger's thread panicked".into())),
            None => Ok(OwnerReport::default()),
        }
    }
}

impl Ledger for OwnerHandle {
    fn submit(&self, report: Report) -> Result<Ack, LedgerError> {
        let (reply, receiver) = mpsc::channel();
        let on_ack = Box::new(move |ack| {
            let _ = reply.send(ack);
        });
        self.line.send(Message::Submit(Box::new(report), Receipt { on_ack, held: None }));
        self.flush();
        match receiver.recv() {
            Ok(Ok(ack)) => Ok(ack),
            Ok(Err(error)) => Err(LedgerError::Io(error.to_string())),
            Err(_) => Err(gone()),
        }
    }
}

/// What a lane's thread needs of the owner.
#[derive(Clone, Debug)]
pub struct LaneHandle {
    line: Line,
    recent: Recent,
    wants_safe: Arc<AtomicBool>,
}

/// A commit that is under way.
pub(crate) struct Committing(mpsc::Receiver<Result<(), LedgerError>>);

impl Committing {
    /// Returns when it is done.
    pub(crate) fn wait(self) -> Result<(), LedgerError> {
        self.0.recv().unwrap_or_else(|_| Err(gone()))
    }
}

impl LaneHandle {
    /// Commits what a lane wrote, all of it or nothing, and returns when it is done.
    pub fn commit(&self, commit: LaneCommit) -> Result<(), LedgerError> {
        self.begin_commit(commit).wait()
    }

    /// The same, and returns at once: the next one may begin only when this one is done.
    pub(crate) fn begin_commit(&self, commit: LaneCommit) -> Committing {
        let (reply, receiver) = mpsc::channel();
        self.line.send(Message::Lane(Box::new(commit), reply));
        Committing(receiver)
    }

    /// Returns a lane as it stands in the ledger; makes its tables first. One that is held says so, and is
    /// not to be written.
    pub fn open(&self, lane: &LaneId, writer: &Writer) -> Result<LaneState, LedgerError> {
        let (reply, receiver) = mpsc::channel();
        let writer = Box::new(writer.clone());
        self.line.send(Message::OpenLane { lane: lane.clone(), writer, reply });
        receiver.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Returns a mark that is set when the lane was changed in the ledger and has to be opened again.
    pub(crate) fn heed(&self, lane: &LaneId) -> Arc<AtomicBool> {
        let mark = Arc::<AtomicBool>::default();
        self.line.send(Message::HeedLane(lane.clone(), mark.clone()));
        mark
    }

    /// Returns a reader for the lane over one of the same ledger: what the owner has just written
    /// is answered from memory.
    pub fn reader(&self, ledger: Box<dyn Reader>) -> Box<dyn Reader> {
        self.recent.reader(ledger)
    }

    /// Has the ledger say why the lane does not get on, or that it does.
    pub(crate) fn note_failing(&self, lane: &LaneId, failing: Option<Failing>) {
        self.line.send(Message::NoteFailing(lane.clone(), failing));
    }

    /// Says that the lane has handled everything up to the news of this number.
    pub fn idle(&self, lane: &LaneId, news: u64) {
        self.line.send(Message::LaneIdle(lane.clone(), news));
    }

    /// Has nodes asked what they call safe, from now on.
    pub(crate) fn want_safe(&self) {
        self.wants_safe.store(true, Relaxed);
    }

    /// Asks to be told with each transaction how far the filters are covered.
    pub fn watch(
        &self,
        lane: LaneId,
        filters: Vec<Arc<Filter>>,
        start_block: u64,
        content: Content,
    ) -> mpsc::Receiver<News> {
        let (ready, receiver) = mpsc::channel();
        let watch = LaneWatch::new(lane, filters, start_block, content, ready);
        self.line.send(Message::WatchLane(watch));
        receiver
    }
}

fn gone() -> LedgerError {
    LedgerError::Internal("the ledger's owner has ended".into())
}
