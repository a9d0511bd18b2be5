//! The one writer of a ledger: reports in, commits out, acknowledged after COMMIT.
//!
//! [`Owner`] is plain and synchronous, so that a simulation can step it; [`Owner::spawn`] puts it
//! on a thread of its own, because DuckDB blocks.

use aggregator::{Aggregator, JournalCounter, Policy};
use dispatcher::Ready;
use event::{
    Ack, BlockRange, ChainId, ChainProfile, ChainState, Commit, Content, DecodeStats, Decoder,
    Descriptor, Evidence, Filter, Incident, LaneCommit, LaneId, LaneState, Ledger, LedgerError,
    Prover, Report, Store, Verify,
};
use futures_channel::oneshot;
use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

/// Events gathered before a transaction is written: with the report that goes over it a little less
/// than a DuckDB row group of 122,880 rows. A transaction a little over one leaves a small row group
/// behind each time, and the next checkpoint writes all of them again (measured: half as much
/// again in time and in file size).
const FLUSH_EVENTS: usize = 100_000;
/// Longest time a report waits for others before its transaction is written.
const FLUSH_AFTER: Duration = Duration::from_millis(500);

/// Incidents told at the end of a run, at most; the ledger has all of them.
const INCIDENTS_TOLD_MAX: usize = 100;

/// What an owner has to tell when it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerReport {
    /// What decoding left raw.
    pub decoded: DecodeStats,
    /// The first incidents of the run, in order.
    pub incidents: Vec<Incident>,
}

/// The answer to a message; errs only when the owner is gone.
pub type Reply<T> = oneshot::Receiver<T>;

/// Everything an owner must know of a chain before its first report.
#[derive(Clone, Debug)]
pub struct ChainSetup {
    /// What holds there.
    pub profile: ChainProfile,
    /// What is demanded there.
    pub policy: Policy,
}

struct LaneWatch {
    chain: ChainId,
    filters: Vec<Arc<Filter>>,
    start_block: u64,
    content: Content,
    ready: mpsc::Sender<Ready>,
}

/// Called once the report's transaction took effect, or could not.
type OnAck = Box<dyn FnOnce(Result<Ack, Arc<LedgerError>>) + Send>;

struct Pending {
    ack: Ack,
    reply: OnAck,
}

/// The aggregators of all chains over one store.
pub struct Owner {
    store: Box<dyn Store>,
    prover: Arc<dyn Prover>,
    decoder: Arc<dyn Decoder>,
    chains: BTreeMap<ChainId, (ChainProfile, Aggregator)>,
    journal: JournalCounter,
    commits: Vec<Commit>,
    commit_events: usize,
    pending: Vec<Pending>,
    lanes: Vec<LaneWatch>,
    /// Nothing more comes: a lane is told once how far it can go, and then nothing.
    is_ending: bool,
    report: OwnerReport,
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owner").field("chains", &self.chains.keys()).finish_non_exhaustive()
    }
}

impl Owner {
    /// Returns the owner of `store`, with what the ledger knows of the given chains.
    pub fn new(
        mut store: Box<dyn Store>,
        prover: Arc<dyn Prover>,
        decoder: Arc<dyn Decoder>,
        setups: Vec<ChainSetup>,
    ) -> Result<Self, LedgerError> {
        store.prepare_schemas(decoder.schemas())?;
        let mut chains = BTreeMap::new();
        let mut journal_seq = 0;
        for ChainSetup { profile, policy } in setups {
            let state: ChainState = store.load(profile.chain)?;
            journal_seq = journal_seq.max(state.journal_seq);
            let aggregator = Aggregator::new(profile.clone(), policy, state);
            chains.insert(profile.chain, (profile, aggregator));
        }
        Ok(Self {
            store,
            prover,
            decoder,
            chains,
            journal: JournalCounter::after(journal_seq),
            commits: Vec::new(),
            commit_events: 0,
            pending: Vec::new(),
            lanes: Vec::new(),
            is_ending: false,
            report: OwnerReport::default(),
        })
    }

    /// Takes a report into the transaction being gathered. Its ack holds after [`Self::flush`].
    pub fn take(&mut self, mut report: Report) -> Result<Ack, LedgerError> {
        let chain = report.chain;
        if !self.chains.contains_key(&chain) {
            return Err(LedgerError::Internal(format!("a report for unknown chain {chain}")));
        }
        let known = match self.chains[&chain].1.known_range(&report) {
            Some(range) => {
                // The store must be asked with everything before this report in it.
                self.write()?;
                Some(self.store.known_events(chain, range)?)
            }
            None => None,
        };
        let Some((profile, aggregator)) = self.chains.get_mut(&chain) else {
            return Err(LedgerError::Internal(format!("chain {chain} is gone")));
        };
        let judgement = report.judged.take().unwrap_or_else(|| self.prover.judge(&report, profile));
        // One node's word for now, as the policy of a replay is.
        if let Some(finalized) = report.finalized {
            aggregator.claim_finalized(finalized);
        }
        let outcome = aggregator.on_report(report, judgement, known, &mut self.journal);
        let mut commit = outcome.commit;
        for batch in &mut commit.events {
            let (typed, stats) = self.decoder.decode(&batch.logs);
            batch.typed = typed;
            self.report.decoded.undecodable += stats.undecodable;
            self.report.decoded.unknown += stats.unknown;
        }
        let room = INCIDENTS_TOLD_MAX.saturating_sub(self.report.incidents.len());
        self.report.incidents.extend(commit.incidents.iter().take(room).cloned());
        self.commit_events += commit.event_count();
        self.commits.push(commit);
        Ok(outcome.ack)
    }

    /// Writes what was gathered in one transaction, answers the acks, and tells the lanes.
    pub fn flush(&mut self) -> Result<(), LedgerError> {
        self.write()?;
        for Pending { ack, reply } in self.pending.drain(..) {
            reply(Ok(ack));
        }
        self.tell_lanes();
        Ok(())
    }

    fn write(&mut self) -> Result<(), LedgerError> {
        if !self.commits.is_empty() {
            self.store.apply(&self.commits)?;
            self.commits.clear();
            self.commit_events = 0;
        }
        Ok(())
    }

    fn tell_lanes(&mut self) {
        let (chains, journal_seq) = (&self.chains, self.journal.last());
        self.lanes.retain(|lane| {
            let Some((_, aggregator)) = chains.get(&lane.chain) else { return false };
            let through = aggregator.covered_through(&lane.filters, lane.start_block, lane.content);
            let finalized = aggregator.finalized().unwrap_or(0);
            lane.ready.send(Ready { through, finalized, journal_seq }).is_ok()
        });
    }

    /// Returns what is still to be fetched so that `filter` is covered over `range`.
    pub fn missing(
        &self,
        chain: ChainId,
        filter: &Filter,
        range: BlockRange,
        verify: Verify,
    ) -> Vec<(BlockRange, Vec<Filter>)> {
        let aggregator = self.chains.get(&chain).map(|(_, aggregator)| aggregator);
        aggregator.map_or_else(
            || vec![(range, vec![filter.clone()])],
            |aggregator| aggregator.missing(filter, range, verify),
        )
    }

    /// Puts the owner on a thread of its own.
    pub fn spawn(self) -> std::io::Result<OwnerHandle> {
        let (sender, receiver) = mpsc::channel();
        let thread =
            std::thread::Builder::new().name("ledger".into()).spawn(move || self.run(&receiver))?;
        Ok(OwnerHandle { sender, thread: Some(thread) })
    }

    fn run(mut self, receiver: &mpsc::Receiver<Message>) -> Result<OwnerReport, LedgerError> {
        loop {
            let message = if self.pending.is_empty() {
                receiver.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected)
            } else {
                receiver.recv_timeout(FLUSH_AFTER)
            };
            let result = match message {
                Ok(Message::Submit(report, reply)) => self.on_submit(*report, reply),
                Ok(Message::Flush) => self.flush(),
                Ok(Message::Missing { chain, filter, range, verify, reply }) => {
                    let _ = reply.send(self.missing(chain, &filter, range, verify));
                    Ok(())
                }
                Ok(Message::Evidence { chain, filters, range, reply }) => {
                    let filters: Vec<_> = filters.into_iter().map(Arc::new).collect();
                    let aggregator = self.chains.get(&chain).map(|(_, aggregator)| aggregator);
                    let _ = reply.send(aggregator.and_then(|a| a.evidence(&filters, range)));
                    Ok(())
                }
                Ok(Message::Lanes(commits, reply)) => {
                    // Recording goes first: what a lane handled is already in the ledger.
                    let result = self.store.apply_lanes(&commits);
                    let _ = reply.send(result);
                    Ok(())
                }
                Ok(Message::OpenLane { lane, descriptor, reply }) => {
                    let _ = reply.send(self.store.open_lane(&lane, &descriptor));
                    Ok(())
                }
                Ok(Message::WatchLane(watch)) => self.watch(watch),
                Ok(Message::EndLanes) => {
                    let result = self.flush();
                    self.is_ending = true;
                    self.lanes.clear();
                    result
                }
                Err(mpsc::RecvTimeoutError::Timeout) => self.flush(),
                Ok(Message::Close) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                    self.flush()?;
                    self.store.close()?;
                    return Ok(self.report);
                }
            };
            if let Err(error) = result {
                // What was taken in memory is ahead of the file now: go no further.
                return Err(self.fail(error));
            }
        }
    }

    /// Takes up a lane. It is told only of what is in the file: what is gathered goes there first.
    fn watch(&mut self, watch: LaneWatch) -> Result<(), LedgerError> {
        self.lanes.push(watch);
        self.flush()?;
        // A run with nothing to read may end before its lanes have started.
        if self.is_ending {
            self.lanes.clear();
        }
        Ok(())
    }

    fn on_submit(&mut self, report: Report, reply: OnAck) -> Result<(), LedgerError> {
        match self.take(report) {
            Ok(ack) => self.pending.push(Pending { ack, reply }),
            Err(error) => {
                self.pending.push(Pending { ack: Ack::default(), reply });
                return Err(error);
            }
        }
        if self.commit_events >= FLUSH_EVENTS { self.flush() } else { Ok(()) }
    }

    fn fail(&mut self, error: LedgerError) -> LedgerError {
        let shown = Arc::new(LedgerError::Io(error.to_string()));
        for Pending { reply, .. } in self.pending.drain(..) {
            reply(Err(shown.clone()));
        }
        error
    }
}

enum Message {
    Submit(Box<Report>, OnAck),
    Flush,
    Missing {
        chain: ChainId,
        filter: Filter,
        range: BlockRange,
        verify: Verify,
        reply: oneshot::Sender<Vec<(BlockRange, Vec<Filter>)>>,
    },
    Evidence {
        chain: ChainId,
        filters: Vec<Filter>,
        range: BlockRange,
        reply: oneshot::Sender<Option<Evidence>>,
    },
    Lanes(Vec<LaneCommit>, mpsc::Sender<Result<(), LedgerError>>),
    OpenLane {
        lane: LaneId,
        descriptor: Box<Descriptor>,
        reply: mpsc::Sender<Result<LaneState, LedgerError>>,
    },
    WatchLane(LaneWatch),
    EndLanes,
    Close,
}

/// Speaks to an owner on its thread. The queue is bounded by its users: [`crate::replay`] waits
/// for acks before it reads on, a lane waits for each of its commits.
#[derive(Debug)]
pub struct OwnerHandle {
    sender: mpsc::Sender<Message>,
    thread: Option<JoinHandle<Result<OwnerReport, LedgerError>>>,
}

impl OwnerHandle {
    /// Hands over a report; the reply comes after its transaction.
    pub fn submit(&self, report: Box<Report>) -> Reply<Result<Ack, Arc<LedgerError>>> {
        let (reply, receiver) = oneshot::channel();
        let on_ack = Box::new(move |ack| {
            // A reporter that is gone needs no ack.
            let _ = reply.send(ack);
        });
        // A closed channel drops the reply, which the receiver sees.
        let _ = self.sender.send(Message::Submit(report, on_ack));
        receiver
    }

    /// Writes what was gathered now; the acks tell when it is done.
    pub fn flush(&self) {
        let _ = self.sender.send(Message::Flush);
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
        let _ = self.sender.send(Message::Missing { chain, filter, range, verify, reply });
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
        let _ = self.sender.send(Message::Evidence { chain, filters, range, reply });
        receiver
    }

    /// Writes what was gathered and lets every lane end once it has handled it. Lanes can still
    /// commit; close the owner when they have ended.
    pub fn end_lanes(&self) {
        let _ = self.sender.send(Message::EndLanes);
    }

    /// Returns a handle for a lane's thread.
    pub fn lane(&self) -> LaneHandle {
        LaneHandle { sender: self.sender.clone() }
    }

    /// Writes what was gathered, ends the thread, and returns what decoding left raw, or the
    /// error that ended the owner early.
    pub fn close(mut self) -> Result<OwnerReport, LedgerError> {
        let _ = self.sender.send(Message::Close);
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
        let _ = self.sender.send(Message::Submit(Box::new(report), on_ack));
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
    sender: mpsc::Sender<Message>,
}

impl LaneHandle {
    /// Commits what a lane wrote, in one transaction, and returns when it is done.
    pub fn commit(&self, commit: LaneCommit) -> Result<(), LedgerError> {
        let (reply, receiver) = mpsc::channel();
        let _ = self.sender.send(Message::Lanes(vec![commit], reply));
        receiver.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Returns a lane as it stands in the ledger; makes its tables first.
    pub fn open(&self, lane: &LaneId, descriptor: &Descriptor) -> Result<LaneState, LedgerError> {
        let (reply, receiver) = mpsc::channel();
        let descriptor = Box::new(descriptor.clone());
        let _ = self.sender.send(Message::OpenLane { lane: lane.clone(), descriptor, reply });
        receiver.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Asks to be told after each transaction how far the filters are covered.
    pub fn watch(
        &self,
        chain: ChainId,
        filters: Vec<Arc<Filter>>,
        start_block: u64,
        content: Content,
    ) -> mpsc::Receiver<Ready> {
        let (ready, receiver) = mpsc::channel();
        let watch = LaneWatch { chain, filters, start_block, content, ready };
        let _ = self.sender.send(Message::WatchLane(watch));
        receiver
    }
}

fn gone() -> LedgerError {
    LedgerError::Internal("the ledger's owner has ended".into())
}
