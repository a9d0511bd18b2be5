//! The one writer of a ledger: reports in, commits out, acknowledged after COMMIT.
//!
//! [`Owner`] is plain and synchronous, so that a simulation can step it; [`Owner::spawn`] puts it
//! on a thread of its own, because DuckDB blocks.

mod away;
mod claims;
mod decoding;
mod elsewhere;
mod handle;
mod joined;
mod looks;
mod outbox;
mod sharing;

pub use away::AwayOwner;
pub use claims::{Claim, Holder};
pub use decoding::Undecoded;
pub(crate) use handle::Committing;
pub use handle::{LaneHandle, OwnerHandle};
pub use joined::News;
pub use looks::LookClaim;
pub use outbox::OutboxHandle;
pub(crate) use sharing::Claiming;

use crate::recent::Recent;
use aggregator::{Aggregator, Heard, JournalCounter, Policy, Refuted, Stored};
use claims::Claims;
use decoding::Decoding;
use event::{
    Ack, BlockRange, ChainId, ChainProfile, ChainState, Commit, DecodeStats, Decoder, EventQuery,
    Filter, FilterId, Flaw, Held, Incident, LaneId, LedgerError, NodeId, Prover, Remedy, Report,
    Sighting, Store, Verify,
};
use futures_channel::oneshot;
use handle::{Inline, Line, Message};
use joined::{Inbox, JOIN_WAIT, LaneWatch, LaneWrite};
use outbox::Outbox;
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};
use tracker::Conflict;

/// Events gathered before they are staged: memory holds so many, and what comes meanwhile.
const STAGE_EVENTS: usize = 10_000;
/// Events staged before a transaction is written: with the report that goes over it a little less
/// than two DuckDB row groups of 122,880 rows. Full groups go into the file while they are staged,
/// the last one at the commit. A transaction of less than one group is copied once more before that
/// (measured: a tenth of the time); one that leaves a small group behind has the next checkpoint
/// write all of them again (half as much again in time and in file size).
const FLUSH_EVENTS: usize = 225_000;
/// Longest time a report waits for others before its transaction is written.
const FLUSH_AFTER: Duration = Duration::from_millis(500);

/// Incidents told at the end of a run, at most; the ledger has all of them.
const INCIDENTS_TOLD_MAX: usize = 100;

/// What is told of nodes that kept something back, and taken back.
const LOSSES: [Flaw; 2] = [Flaw::Missing, Flaw::Withdrawn];

/// What an owner has to tell when it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerReport {
    /// What decoding left raw.
    pub decoded: DecodeStats,
    /// The first incidents of the run, in order.
    pub incidents: Vec<Incident>,
    /// Events that were found and never decoded.
    pub undecoded: Vec<Undecoded>,
    /// Why the ledger's log could not be folded into its file, where it could not: all is committed
    /// even so.
    pub not_folded: Option<String>,
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

/// Called with the commits of each transaction that took effect, and what decoded them.
pub type OnCommit = Box<dyn FnMut(&[Commit], &dyn Decoder) + Send>;

/// Called once the report's transaction took effect, or could not.
pub type OnAck = Box<dyn FnOnce(Result<Ack, Arc<LedgerError>>) + Send>;

/// What is told of a report to whoever handed it over.
struct Receipt {
    on_ack: OnAck,
    /// Dropped when the report's events are no longer in memory.
    held: Option<oneshot::Sender<Infallible>>,
}

struct Pending {
    ack: Ack,
    receipt: Receipt,
}

/// The aggregators of all chains over one store.
pub struct Owner {
    store: Box<dyn Store>,
    prover: Arc<dyn Prover>,
    decoder: Arc<dyn Decoder>,
    chains: BTreeMap<ChainId, (ChainProfile, Aggregator)>,
    journal: JournalCounter,
    commits: Vec<Commit>,
    /// Events of the commits, and how many of them are no longer in memory.
    commit_events: usize,
    staged_events: usize,
    /// What lanes want written with the transaction that is being gathered, or after it.
    lane_writes: Vec<LaneWrite>,
    /// There on a thread of its own.
    inbox: Option<Inbox>,
    join_wait: Duration,
    outbox: Outbox,
    /// Marks of lanes that run.
    heeding: Vec<(LaneId, Weak<AtomicBool>)>,
    pending: Vec<Pending>,
    lanes: Vec<LaneWatch>,
    claims: Claims,
    /// Nodes that are on another chain, as was told of each.
    elsewhere: BTreeSet<(ChainId, NodeId)>,
    /// What nodes call safe. It may leave, so the ledger says nothing of it.
    safe: BTreeMap<ChainId, u64>,
    /// Nothing more comes: a lane is told once how far it can go, and then nothing.
    is_ending: bool,
    on_commit: Option<OnCommit>,
    decoding: Decoding,
    recent: Recent,
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
        store.reopen_outbox()?;
        let (mut chains, recent) = (BTreeMap::new(), Recent::default());
        let mut journal_seq = 0;
        for ChainSetup { profile, policy } in setups {
            let state: ChainState = store.load(profile.chain)?;
            journal_seq = journal_seq.max(state.journal_seq);
            recent.open(profile.chain, &state);
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
            staged_events: 0,
            lane_writes: Vec::new(),
            inbox: None,
            join_wait: JOIN_WAIT,
            outbox: Outbox::default(),
            heeding: Vec::new(),
            pending: Vec::new(),
            lanes: Vec::new(),
            claims: Claims::default(),
            elsewhere: BTreeSet::new(),
            safe: BTreeMap::new(),
            is_ending: false,
            on_commit: None,
            decoding: Decoding::default(),
            recent,
            report: OwnerReport::default(),
        })
    }

    /// Shows every transaction to `on_commit` once it is in the file, in order: what a live view
    /// is made of. It must not wait: recording waits for it.
    #[must_use]
    pub fn showing(mut self, on_commit: OnCommit) -> Self {
        self.on_commit = Some(on_commit);
        self
    }

    /// Lets a transaction at the head wait so long for what idle lanes make of it, and not 10 ms.
    #[must_use]
    pub fn waiting_for_lanes(mut self, join_wait: Duration) -> Self {
        self.join_wait = join_wait;
        self
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
        let (stored, heard) = (self.stored(&report)?, self.heard(&report)?);
        let Some((profile, aggregator)) = self.chains.get_mut(&chain) else {
            return Err(LedgerError::Internal(format!("chain {chain} is gone")));
        };
        if let Some(stored) = stored {
            aggregator.compare_with(stored);
        }
        if let Some(heard) = heard {
            aggregator.hear(heard);
        }
        let judgement = report.judged.take().unwrap_or_else(|| self.prover.judge(&report, profile));
        if let Some(finalized) = report.finalized {
            let Report { node, reporter, head_after, .. } = &report;
            aggregator.claim_finalized_by(node, reporter, finalized, *head_after);
        }
        let outcome = aggregator.on_report(report, judgement, known, &mut self.journal);
        let (finalized, final_block) = (aggregator.finalized(), aggregator.final_block());
        let mut commit = outcome.commit;
        let mut ack = outcome.ack;
        for refuted in &outcome.refuted {
            let told = self.told_of_refuted(chain, refuted, &commit.incidents)?;
            ack.incidents += told.len() as u64;
            commit.incidents.extend(told);
        }
        let repeated = self.forget_told(chain, &mut commit.incidents)?;
        ack.incidents -= repeated.len() as u64;
        let mut decoded = DecodeStats::default();
        for batch in &mut commit.events {
            let (typed, stats) = self.decoder.decode(chain, &batch.logs);
            self.decoding.count(self.decoder.schemas(), (chain, &batch.logs), &typed);
            batch.typed = typed;
            decoded += stats;
        }
        self.report.decoded += decoded;
        // Whoever reads hears of all of it: it may be why a block stays open.
        let told = commit.incidents.iter().chain(&repeated);
        let told = told.take(INCIDENTS_TOLD_MAX).cloned().collect();
        let room = INCIDENTS_TOLD_MAX.saturating_sub(self.report.incidents.len());
        self.report.incidents.extend(commit.incidents.iter().take(room).cloned());
        self.commit_events += commit.event_count();
        self.commits.push(commit);
        Ok(Ack { finalized, final_block, told, decoded, ..ack })
    }

    /// Returns what is stored of the report's range, where it is a second look at it.
    fn stored(&mut self, report: &Report) -> Result<Option<Stored>, LedgerError> {
        let (chain, range) = (report.chain, report.range);
        if !self.chains[&chain].1.is_second_look(report) {
            return Ok(None);
        }
        self.write()?;
        let filters = vec![report.filter.clone()];
        // A range is as wide as one answer of a node.
        let query = EventQuery { chain, filters, range, limit: u32::MAX as usize };
        let page = self.store.events(&query)?;
        Ok(Some(Stored::new(chain, page)))
    }

    /// Returns what nodes were heard to say of the report's blocks, where that matters to it.
    fn heard(&mut self, report: &Report) -> Result<Option<Heard>, LedgerError> {
        let (chain, range, filter) = (report.chain, report.range, report.filter.id());
        if !self.chains[&chain].1.wants_heard(report) {
            return Ok(None);
        }
        let sightings = self.sightings_in(chain, filter, range)?;
        Ok(Some(Heard::new(sightings, self.told(chain, range, &LOSSES)?)))
    }

    /// Returns who reported which block of the range by which way, with what is not written yet.
    fn sightings_in(
        &mut self,
        chain: ChainId,
        filter: FilterId,
        range: BlockRange,
    ) -> Result<Vec<Sighting>, LedgerError> {
        let mut sightings = self.store.sightings_in(chain, filter, range)?;
        let gathered = self.commits.iter().filter(|commit| commit.chain == chain);
        for new in gathered.flat_map(|commit| &commit.sightings) {
            if new.filter == filter && range.contains(new.number) {
                let key = |s: &Sighting| (s.number, s.hash, s.node.clone(), s.via);
                sightings.retain(|known| key(known) != key(new));
                sightings.push(new.clone());
            }
        }
        Ok(sightings)
    }

    /// Returns the incidents with these flaws that begin in the range, in order, with what is not written yet.
    fn told(
        &mut self,
        chain: ChainId,
        range: BlockRange,
        flaws: &[Flaw],
    ) -> Result<Vec<Incident>, LedgerError> {
        let mut told = self.store.told(chain, range, flaws)?;
        let gathered = self.commits.iter().filter(|commit| commit.chain == chain);
        let is_in =
            |told: &&Incident| range.contains(told.range.first()) && flaws.contains(&told.flaw);
        told.extend(gathered.flat_map(|commit| &commit.incidents).filter(is_in).cloned());
        Ok(told)
    }

    /// Returns what is to be told of nodes once it is known that logs of a block were made up.
    fn told_of_refuted(
        &mut self,
        chain: ChainId,
        refuted: &Refuted,
        already: &[Incident],
    ) -> Result<Vec<Incident>, LedgerError> {
        let sightings = self.sightings_in(chain, refuted.filter(), refuted.block())?;
        let losses = self.told(chain, refuted.block(), &LOSSES)?;
        Ok(refuted.told(&sightings, &losses, already))
    }

    /// Drops what the ledger has told already of the same node, blocks and flaw, and no less of it, and returns
    /// that: what is still open is read in every run, and a node says the same of it each time.
    fn forget_told(
        &mut self,
        chain: ChainId,
        incidents: &mut Vec<Incident>,
    ) -> Result<Vec<Incident>, LedgerError> {
        let about = incidents.iter().map(|incident| incident.range).reduce(BlockRange::hull);
        let Some(about) = about else { return Ok(Vec::new()) };
        let mut flaws: Vec<Flaw> = incidents.iter().map(|incident| incident.flaw).collect();
        flaws.extend(LOSSES);
        flaws.sort_unstable();
        flaws.dedup();
        let told = self.told(chain, about, &flaws)?;
        let (repeated, new) = std::mem::take(incidents).into_iter().partition(|incident| {
            let is_loss = LOSSES.contains(&incident.flaw);
            let mut of_same = told.iter().filter(|told| {
                (&told.node, told.range) == (&incident.node, incident.range)
                    && (told.flaw == incident.flaw || (is_loss && LOSSES.contains(&told.flaw)))
            });
            // What was withdrawn may be told anew.
            let standing =
                if is_loss { of_same.next_back() } else { of_same.max_by_key(|t| t.count) };
            standing.is_some_and(|told| told.flaw == incident.flaw && told.count >= incident.count)
        });
        *incidents = new;
        Ok(repeated)
    }

    /// Writes what was gathered in one transaction, answers the acks, and tells the lanes.
    pub fn flush(&mut self) -> Result<(), LedgerError> {
        let lanes_know = self.write()?;
        for Pending { ack, receipt } in self.pending.drain(..) {
            (receipt.on_ack)(Ok(ack));
        }
        if !lanes_know {
            self.tell_lanes();
        }
        Ok(())
    }

    /// Writes what was gathered, and what lanes have handed in. Returns whether lanes know of it.
    fn write(&mut self) -> Result<bool, LedgerError> {
        let mut lanes_know = false;
        if !self.commits.is_empty() {
            lanes_know = self.write_commits()?;
            if !lanes_know {
                self.recent.on_commits(&self.commits, self.staged_events == 0);
            }
            if let Some(on_commit) = &mut self.on_commit {
                on_commit(&self.commits, &*self.decoder);
            }
            self.commits.clear();
            (self.commit_events, self.staged_events) = (0, 0);
        }
        for (commit, reply) in std::mem::take(&mut self.lane_writes) {
            self.write_lane(commit, &reply);
        }
        for (step, reply) in std::mem::take(&mut self.outbox.steps) {
            self.step_outbox(&step, reply);
        }
        Ok(lanes_know)
    }

    /// Hands the store what was gathered of a large transaction, out of memory. Whoever wants to see
    /// the commits wants to see their events.
    fn stage(&mut self) -> Result<(), LedgerError> {
        if self.on_commit.is_some() || self.commit_events - self.staged_events < STAGE_EVENTS {
            return Ok(());
        }
        self.store.stage(&mut self.commits)?;
        self.staged_events = self.commit_events;
        self.pending.iter_mut().for_each(|pending| pending.receipt.held = None);
        Ok(())
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
        let recent = self.recent.clone();
        let thread =
            std::thread::Builder::new().name("ledger".into()).spawn(move || self.run(receiver))?;
        Ok(OwnerHandle { thread: Some(thread), recent, ..OwnerHandle::over(Line::Thread(sender)) })
    }

    /// Leaves the owner where it is called: every message is handled, and a report written, before
    /// the call returns. For a simulation, where nothing may happen at a time of its own.
    pub fn inline(self) -> OwnerHandle {
        let recent = self.recent.clone();
        let inline = Arc::new(Mutex::new(Inline { owner: Some(self), ended: None }));
        OwnerHandle { recent, ..OwnerHandle::over(Line::Inline(inline)) }
    }

    fn run(mut self, messages: mpsc::Receiver<Message>) -> Result<OwnerReport, LedgerError> {
        self.inbox = Some(Inbox::new(messages));
        while let Some(inbox) = &mut self.inbox {
            let message = match inbox.next((!self.pending.is_empty()).then_some(FLUSH_AFTER)) {
                Ok(message) => message,
                Err(mpsc::RecvTimeoutError::Timeout) => Message::Flush,
                Err(mpsc::RecvTimeoutError::Disconnected) => Message::Close,
            };
            match self.on(message) {
                Ok(false) => {}
                Ok(true) => break,
                // What was taken in memory is ahead of the file now: go no further.
                Err(error) => return Err(self.fail(error)),
            }
        }
        Ok(self.report)
    }

    /// Handles a message; returns whether it was the last one.
    fn on(&mut self, message: Message) -> Result<bool, LedgerError> {
        match message {
            Message::Submit(report, receipt) => self.on_submit(*report, receipt)?,
            Message::Flush => self.flush()?,
            Message::Missing { chain, filter, range, verify, reply } => {
                let _ = reply.send(self.missing(chain, &filter, range, verify));
            }
            // Dropped: whoever asks sees that this owner is ending.
            Message::Claim(..) | Message::ClaimLook(..) if self.claims.is_closed() => {}
            Message::CloseClaims { at_once, reply } => {
                let _ = reply.send(self.claims.close(at_once));
            }
            Message::Claim(claim, reply) => {
                let claimed = self.claim(&claim);
                self.give(claim.holder, claimed, reply);
            }
            Message::ClaimLook(claim, reply) => {
                let to_look = self.claim_look(&claim);
                self.give(claim.holder, to_look, reply);
            }
            Message::Release(holder) => self.claims.release(holder),
            Message::ReleaseAll(process) => self.claims.release_all(process),
            Message::AddChain(setup, reply) => {
                let _ = reply.send(self.add_chain(*setup));
            }
            Message::Evidence { chain, filters, range, reply } => {
                let filters: Vec<_> = filters.into_iter().map(Arc::new).collect();
                let aggregator = self.chains.get(&chain).map(|(_, aggregator)| aggregator);
                let _ = reply.send(aggregator.and_then(|a| a.evidence(&filters, range)));
            }
            Message::Waiting { chain, reply } => {
                let aggregator = self.chains.get(&chain).map(|(_, aggregator)| aggregator);
                let _ = reply.send(aggregator.map(Aggregator::waiting).unwrap_or_default());
            }
            Message::Undecided { chain, filters, range, reply } => {
                let aggregator = self.chains.get(&chain).map(|(_, aggregator)| aggregator);
                let of = |filter: Filter| {
                    let blocks = aggregator.map(|a| a.undecided(&filter, range));
                    let blocks: Vec<BlockRange> = blocks.iter().flat_map(|b| b.iter()).collect();
                    blocks.into_iter().map(move |range| (range, vec![filter.clone()]))
                };
                let _ = reply.send(filters.into_iter().flat_map(of).collect());
            }
            Message::Demand { chain, filters, range, verify, now_s } => {
                let chain = self.chains.get_mut(&chain);
                let commit = chain.and_then(|(_, a)| a.demand(&filters, range, verify, now_s));
                if let Some(commit) = commit {
                    self.commits.push(commit);
                    // Nobody waits for an ack that would have it written.
                    self.flush()?;
                }
            }
            Message::Held { chain, reply } => {
                let mut held = self.chains.get(&chain).map_or_else(Held::new, |(_, a)| a.held());
                held.push(("commits to write", self.commits.len()));
                held.push(("acks to send", self.pending.len()));
                held.push(("incidents to tell at the end", self.report.incidents.len()));
                let _ = reply.send(held);
            }
            Message::Conflict { chain, conflict } => {
                let Conflict { at, found, nodes, kept } = &conflict;
                if let Some((_, aggregator)) = self.chains.get_mut(&chain) {
                    self.commits.push(aggregator.name_conflict(*at, *found, nodes, kept));
                }
                self.flush()?;
            }
            Message::Halt { chain, branch } => {
                if let Some((_, aggregator)) = self.chains.get_mut(&chain) {
                    aggregator.halt(true);
                    self.commits.push(aggregator.note_branch(&branch));
                }
                self.flush()?;
            }
            Message::GoOn { chain } => {
                if let Some((_, aggregator)) = self.chains.get_mut(&chain) {
                    aggregator.halt(false);
                }
            }
            Message::Elsewhere(chain, at, fault) => {
                self.on_elsewhere(chain, at, fault);
                self.flush()?;
            }
            Message::Looked { chain, filter, range } => {
                if let Some((_, aggregator)) = self.chains.get_mut(&chain) {
                    self.commits.push(aggregator.note_looked(filter, range));
                }
            }
            // Recording goes first: what a lane handled is already in the ledger.
            Message::Lane(commit, reply) if self.staged_events > 0 => {
                self.lane_writes.push((*commit, reply));
            }
            Message::Lane(commit, reply) => self.write_lane(*commit, &reply),
            Message::LaneIdle(lane, news) => {
                self.on_idle(&lane, news);
            }
            Message::StepOutbox(step, reply) if self.staged_events > 0 => {
                self.outbox.steps.push((step, reply));
            }
            Message::StepOutbox(step, reply) => self.step_outbox(&step, reply),
            Message::WatchOutbox(news) => self.outbox.watchers.push(news),
            Message::Outbox(reply) => {
                self.flush()?;
                let _ = reply.send(self.store.outbox());
            }
            Message::OpenLane { lane, writer, reply } => {
                self.flush()?;
                let _ = reply.send(self.store.open_lane_for(&lane, &writer));
            }
            Message::Remedy(remedy, reply) => {
                self.flush()?;
                let _ = reply.send(self.remedy(&remedy));
            }
            Message::NoteFailing(lane, failing) => {
                self.flush()?;
                self.store.note_failing(&lane, failing.as_ref())?;
            }
            Message::Safe(chain, block) => {
                self.safe.insert(chain, block);
                self.flush()?;
                self.tell_lanes();
            }
            Message::BusyLanes(chain, reply) => {
                self.flush()?;
                let _ = reply.send(self.busy_lanes(chain));
            }
            Message::HeedLane(lane, mark) => self.heeding.push((lane, Arc::downgrade(&mark))),
            Message::WatchLane(watch) => self.watch(watch)?,
            Message::Change { decoder, policies, reply } => {
                // What was gathered is written as it was decoded.
                self.flush()?;
                let _ = reply.send(self.change(decoder, &policies));
            }
            Message::EndLanesOf(chain) => {
                self.flush()?;
                self.lanes.retain(|watch| watch.lane.chain != chain);
            }
            Message::EndLanes => {
                self.flush()?;
                self.is_ending = true;
                self.lanes.clear();
            }
            Message::Close => {
                self.flush()?;
                self.report.undecoded = self.decoding.undecoded(self.decoder.schemas());
                match self.store.close() {
                    Err(LedgerError::NotFolded(text)) => self.report.not_folded = Some(text),
                    closed => closed?,
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Does what an operator decided; lanes and senders look anew.
    fn remedy(&mut self, remedy: &Remedy) -> Result<u64, LedgerError> {
        if let Remedy::Remove(plugin) = remedy
            && self.lanes.iter().any(|watch| watch.lane.plugin == *plugin)
        {
            return Err(LedgerError::Running(plugin.clone()));
        }
        let count = self.store.remedy(remedy)?;
        let concerns = |lane: &LaneId| match remedy {
            Remedy::RetryEvents(own, _) => own == lane,
            Remedy::Resume(plugin) | Remedy::Rebuild(plugin) | Remedy::Decide(plugin, ..) => {
                *plugin == lane.plugin
            }
            Remedy::DropEvents(..)
            | Remedy::RetryMessages(_)
            | Remedy::DropMessages(_)
            | Remedy::Remove(_) => false,
        };
        self.heeding.retain(|(lane, mark)| {
            let Some(mark) = mark.upgrade() else { return false };
            if concerns(lane) {
                mark.store(true, Ordering::Release);
            }
            true
        });
        self.outbox.tell();
        self.tell_lanes();
        Ok(count)
    }

    /// Answers a claim. Whoever asked may be gone, and its release, too.
    fn give<T>(&mut self, holder: Holder, claimed: T, reply: oneshot::Sender<T>) {
        if reply.send(claimed).is_err() {
            self.claims.release(holder);
        }
    }

    /// Goes on with another decoder and other demands: all of it, or nothing and why.
    fn change(
        &mut self,
        decoder: Arc<dyn Decoder>,
        policies: &[(ChainId, Policy)],
    ) -> Result<(), LedgerError> {
        self.store.prepare_decoder(&*decoder)?;
        self.decoder = decoder;
        for (chain, policy) in policies {
            if let Some((_, aggregator)) = self.chains.get_mut(chain) {
                aggregator.set_policy(*policy);
            }
        }
        Ok(())
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

    fn on_submit(&mut self, report: Report, receipt: Receipt) -> Result<(), LedgerError> {
        // Nothing comes of a node before it is known to be on the chain.
        self.elsewhere.remove(&(report.chain, report.node.clone()));
        match self.take(report) {
            Ok(ack) => self.pending.push(Pending { ack, receipt }),
            Err(error) => {
                self.pending.push(Pending { ack: Ack::default(), receipt });
                return Err(error);
            }
        }
        if self.commit_events >= FLUSH_EVENTS { self.flush() } else { self.stage() }
    }

    fn fail(&mut self, error: LedgerError) -> LedgerError {
        let shown = Arc::new(LedgerError::Io(error.to_string()));
        for Pending { receipt, .. } in self.pending.drain(..) {
            (receipt.on_ack)(Err(shown.clone()));
        }
        error
    }
}
