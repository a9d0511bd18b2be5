//! `replay`: reads what is missing of a range, node after node, until it is covered or no node
//! is left. What cannot be had stays open and is named.

use crate::{
    OwnerHandle, Pace, SecondLook, Timer, given_up, given_up::GivenUp, handed::Handed,
    owner::Claiming, spread, spread::Spread,
};
use event::{
    BlockRange, BlockRanges, ChainProfile, Check, Claimed, DecodeStats, Fault, FaultClass, Filter,
    Incident, LedgerError, Node, NodeId, Prover, Verify,
};
use futures_util::{
    FutureExt, StreamExt, future::FusedFuture, select_biased, stream::FuturesUnordered,
};
use std::{collections::BTreeMap, future::Future, sync::Arc};
use tracker::{Action, Backfill, BackfillConfig, NodeStatus, Surrender};

/// Incidents that an outcome tells, at most; the ledger has all of them.
pub(crate) const INCIDENTS_TOLD_MAX: usize = 100;

/// Passes through one node while it turns out to be on another branch, at most: the deepest reorg
/// that one run follows, in blocks. Beyond it the rest stays open for the next run.
const REORG_PASSES_MAX: usize = 256;

/// What is read through all nodes before what follows it, where so many of them must agree, in blocks:
/// bounds the candidates and the votes that wait meanwhile.
pub(crate) const AGREE_WINDOW_BLOCKS: u64 = 2_000;

/// A node to replay through, in order of preference.
#[derive(Clone)]
pub struct ReplayNode {
    /// The node.
    pub node: Arc<dyn Node>,
    /// What it said of itself.
    pub status: NodeStatus,
}

impl std::fmt::Debug for ReplayNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplayNode").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Holes of a filter that are read one by one, at most.
const HOLES_MAX: usize = 8;

/// What to replay.
#[derive(Clone, Debug)]
pub struct ReplayRequest {
    /// Chain and what holds there.
    pub profile: ChainProfile,
    /// What is wanted.
    pub filters: Vec<Filter>,
    /// Where.
    pub range: BlockRange,
    /// How it is read.
    pub verify: Verify,
    /// What must be shown: blocks that are covered as this, or that another process reads as this, are not
    /// read. Mostly the same as `verify`.
    pub needed: Verify,
    /// Read also what is covered.
    pub refetch: bool,
    /// What is read is compared with what other nodes said before: see [`crate::second_look`].
    pub is_second_look: bool,
    /// Nodes.
    pub nodes: Vec<ReplayNode>,
    /// Chunks under way at once.
    pub concurrency: usize,
    /// Widest range to ask for, where the operator knows it.
    pub width_max: Option<u64>,
    /// How fast nodes may be asked, where that is bounded.
    pub pace: Option<Arc<Pace>>,
    /// This process in reports.
    pub reporter: Arc<str>,
}

/// How far it has come; plain data for a progress bar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Blocks read and committed.
    pub blocks_done: u64,
    /// Blocks to read.
    pub blocks_total: u64,
    /// Events new to the ledger.
    pub events: u64,
    /// Node in use, and what it does.
    pub node: Option<(NodeId, String)>,
}

impl ReplayRequest {
    /// Returns how it is read through one of its nodes.
    pub(crate) fn through(&self, node: &ReplayNode) -> BackfillConfig {
        BackfillConfig {
            status: node.status.clone(),
            verify: self.verify,
            profile: self.profile.clone(),
            concurrency: self.concurrency,
            width_max: self.width_max,
            keeps_chain: node.node.keeps_chain(),
            reporter: self.reporter.clone(),
        }
    }
}

/// Told of progress, after each ack.
pub trait Watcher: Send + Sync {
    /// Takes the latest figures.
    fn on_progress(&self, progress: &Progress);
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct ReplayOutcome {
    /// Blocks times filters that were read, in blocks of the widest filter.
    pub blocks_read: u64,
    /// Blocks that were covered before.
    pub blocks_covered_before: u64,
    /// Events new to the ledger.
    pub new_events: u64,
    /// Logs known before.
    pub known_events: u64,
    /// Flaws recorded.
    pub incidents: u64,
    /// The first of them.
    pub told: Vec<Incident>,
    /// What decoding left raw.
    pub decoded: DecodeStats,
    /// What stays open, with why.
    pub open: Vec<(BlockRange, String)>,
    /// What another process reads just now, with which; 0 is the owner of the ledger.
    pub held: Vec<(BlockRange, u32)>,
    /// Stopped before the end by the operator or the clock.
    pub stopped: bool,
    /// Blocks that other nodes covered before and of which a node said the same.
    pub agreed: u64,
    /// Blocks of which nodes said something else than those before, undecided.
    pub differs: Vec<BlockRange>,
    /// What could not be read as it was asked for, covered or not, with why.
    pub doubts: Vec<(BlockRange, String)>,
    /// What a node has no history of.
    pub pruned: BlockRanges,
    /// What nodes answered about, sound or not; what is spread over several of them is not counted.
    pub heard: BlockRanges,
    /// What the second look came to, where there was one.
    pub second_look: Option<SecondLook>,
}

impl ReplayOutcome {
    pub(crate) fn on_given_up(&mut self, range: BlockRange, fault: &Fault) {
        if matches!(fault.class, FaultClass::Pruned { .. }) {
            self.pruned.add(range);
        }
    }

    /// Adds what the next part of the range came to.
    fn absorb(&mut self, next: Self) {
        self.blocks_covered_before += next.blocks_covered_before;
        self.new_events += next.new_events;
        self.known_events += next.known_events;
        self.incidents += next.incidents;
        self.told.extend(next.told);
        self.told.truncate(INCIDENTS_TOLD_MAX);
        self.decoded += next.decoded;
        self.open.extend(next.open);
        self.held.extend(next.held);
        self.stopped |= next.stopped;
        self.agreed += next.agreed;
        self.differs.extend(next.differs);
        self.doubts.extend(next.doubts);
        next.heard.iter().for_each(|range| self.heard.add(range));
        next.pruned.iter().for_each(|range| self.pruned.add(range));
    }

    /// Adds what reading some of the blocks once more came to.
    pub fn add_part(&mut self, part: &Self) {
        self.new_events += part.new_events;
        self.incidents += part.incidents;
        self.told.extend(part.told.iter().cloned());
        self.told.truncate(INCIDENTS_TOLD_MAX);
        self.decoded += part.decoded;
        self.stopped |= part.stopped;
    }

    /// Adds what a second look came to.
    pub fn add(&mut self, look: SecondLook) {
        self.new_events += look.recovered;
        self.incidents += look.incidents;
        self.told.extend(look.told.iter().cloned());
        self.told.truncate(INCIDENTS_TOLD_MAX);
        self.decoded += look.decoded;
        self.open.extend(look.open.iter().cloned());
        self.stopped |= look.stopped;
        self.second_look = Some(look);
    }
}

/// Why a replay ended early.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReplayError {
    /// The ledger could not be written; its own error is returned by [`OwnerHandle::close`].
    #[error("the ledger could not be written")]
    Ledger(#[source] Arc<LedgerError>),
    /// The owner's thread is gone.
    #[error("the ledger's owner has ended")]
    OwnerGone,
}

/// Replays a range. Ends early, with everything committed that was read, when `stop` is ready.
pub async fn replay(
    request: ReplayRequest,
    owner: &OwnerHandle,
    prover: Arc<dyn Prover>,
    timer: &dyn Timer,
    stop: impl Future<Output = ()> + Send,
    watcher: &dyn Watcher,
) -> Result<ReplayOutcome, ReplayError> {
    let mut stop = std::pin::pin!(stop.fuse());
    let mut outcome = ReplayOutcome::default();
    let mut progress = Progress { blocks_total: request.range.count(), ..Progress::default() };
    let mut rest = Some(request.range);
    while let Some(left) = rest.filter(|_| !outcome.stopped) {
        let window = window(&request, left);
        rest = window.last().checked_add(1).and_then(|first| BlockRange::new(first, left.last()));
        let mut reading = Reading {
            request: &ReplayRequest { range: window, ..request.clone() },
            owner,
            prover: &prover,
            timer,
            watcher,
            claiming: owner.claiming(),
            progress: &mut progress,
            outcome: ReplayOutcome::default(),
            reasons: BTreeMap::new(),
            heard: BTreeMap::new(),
            shared: BlockRanges::default(),
            work: Work::new(),
        };
        reading.run(stop.as_mut()).await?;
        let read = reading.outcome;
        outcome.absorb(read);
    }
    // What was not come to is as open as what was not finished.
    if let Some(range) = rest {
        let claiming = owner.claiming();
        let claimed = claim(&ReplayRequest { range, ..request }, &claiming).await?;
        outcome.open.extend(with_reasons(touched(&shared(claimed.work)), Vec::new()));
    }
    outcome.blocks_read = progress.blocks_done;
    Ok(outcome)
}

/// Returns how much is read before the next: where nodes must agree, what one of them said waits for
/// the others.
fn window(request: &ReplayRequest, left: BlockRange) -> BlockRange {
    match request.verify {
        Verify::Agree(_) => {
            BlockRange::of_width(left.first(), AGREE_WINDOW_BLOCKS).intersection(&left)
        }
        _ => None,
    }
    .unwrap_or(left)
}

/// A range that is being read.
struct Reading<'a> {
    request: &'a ReplayRequest,
    owner: &'a OwnerHandle,
    prover: &'a Arc<dyn Prover>,
    timer: &'a dyn Timer,
    watcher: &'a dyn Watcher,
    claiming: Claiming,
    progress: &'a mut Progress,
    outcome: ReplayOutcome,
    reasons: BTreeMap<u64, (BlockRange, String)>,
    /// What each node reported of it.
    heard: BTreeMap<NodeId, BlockRanges>,
    /// What as many nodes have as must agree.
    shared: BlockRanges,
    /// What is missing.
    work: Work,
}

impl Reading<'_> {
    async fn run<F: Future<Output = ()> + FusedFuture>(
        &mut self,
        mut stop: std::pin::Pin<&mut F>,
    ) -> Result<(), ReplayError> {
        let request = self.request;
        let claimed = claim(request, &self.claiming).await?;
        self.work = first_work(request, &claimed);
        self.outcome.held = claimed.held;
        let (done_before, planned) = (self.progress.blocks_done, blocks_of(&self.work));
        let spared = request.range.count().saturating_sub(planned);
        self.progress.blocks_total = self.progress.blocks_total.saturating_sub(spared);
        self.outcome.blocks_covered_before =
            covered_before(request, &self.work, &self.outcome.held);
        let shared_work = spread::share(request, &self.work);
        if !shared_work.is_empty() {
            let mut spread = Spread {
                owner: self.owner,
                timer: self.timer,
                watcher: self.watcher,
                progress: &mut *self.progress,
                outcome: &mut self.outcome,
                reasons: &mut self.reasons,
            };
            spread.run(request, self.prover, shared_work, stop.as_mut()).await?;
            self.claim_again().await?;
        }
        self.pass_through_nodes(request, stop.as_mut()).await?;
        if let (Verify::Agree(needed), true) =
            (request.verify, request.profile.check_receipts_root.is_made())
        {
            self.settle(needed, stop.as_mut()).await?;
        }
        self.outcome.doubts = std::mem::take(&mut self.reasons).into_values().collect();
        self.outcome.heard = self.heard.values().flat_map(BlockRanges::iter).collect();
        self.outcome.open = with_reasons(touched(&self.work), self.outcome.doubts.clone());
        for (range, reason) in &mut self.outcome.open {
            let failed = check_that_all_fail(&request.nodes, &self.outcome.told, *range);
            if let Some(check) = failed {
                *reason = format!(
                    "every node fails the check `{check}` here, which is itself suspect: {reason}"
                );
            }
        }
        // Where every node reads everything, a block is still one block.
        self.progress.blocks_done = self.progress.blocks_done.min(done_before + planned);
        Ok(())
    }

    /// Reads what is missing through one node after the other, as `request` has it.
    async fn pass_through_nodes<F: Future<Output = ()> + FusedFuture>(
        &mut self,
        request: &ReplayRequest,
        mut stop: std::pin::Pin<&mut F>,
    ) -> Result<(), ReplayError> {
        for node in &request.nodes {
            if self.work.is_empty() || self.outcome.stopped {
                break;
            }
            let head = node.status.head.number;
            let (within, beyond) = split_at_head(std::mem::take(&mut self.work), head);
            for (_, range) in beyond {
                let text = format!("{} is at block {head} only", node.status.node);
                self.reasons.insert(range.first(), (range, text));
            }
            let mut given_up = GivenUp::default();
            let mut pass = within;
            for _ in 0..REORG_PASSES_MAX {
                let mut drive = Drive {
                    owner: self.owner,
                    timer: self.timer,
                    watcher: self.watcher,
                    node,
                    progress: &mut *self.progress,
                    outcome: &mut self.outcome,
                    reasons: &mut self.reasons,
                    heard: self.heard.entry(node.status.node.clone()).or_default(),
                    shared: &mut self.shared,
                    given_up: &mut given_up,
                };
                drive.run(request, self.prover.clone(), pass.clone(), stop.as_mut()).await?;
                self.claim_again().await?;
                // Blocks that were covered are open now: the node is on another branch, and what was
                // read took them off. They are read on that branch, down to where the two meet.
                let (within, _) = split_at_head(self.work.clone(), head);
                if self.outcome.stopped || is_within(&within, &pass) {
                    break;
                }
                pass = within;
            }
            given_up.tell();
        }
        Ok(())
    }

    /// Asks for the receipts of blocks of which enough nodes spoke, and not alike. What too few of them
    /// spoke of stays open, and what too few of them have: receipts are of one node's block.
    async fn settle<F: Future<Output = ()> + FusedFuture>(
        &mut self,
        needed: u8,
        stop: std::pin::Pin<&mut F>,
    ) -> Result<(), ReplayError> {
        let unlike = self.spoken_of_by(usize::from(needed));
        if unlike.is_empty() {
            return Ok(());
        }
        self.work = unlike;
        let proving = ReplayRequest { verify: Verify::Prove, ..self.request.clone() };
        self.pass_through_nodes(&proving, stop).await?;
        self.claim_again().await
    }

    /// Returns what of the work so many nodes reported.
    fn spoken_of_by(&self, needed: usize) -> Work {
        let mut spoken = Work::new();
        for (filter, range) in &self.work {
            let is_spoken_of = |number: &u64| {
                let block = BlockRange::one(*number);
                let heard = self.heard.values().filter(|heard| heard.outside(block).is_empty());
                self.shared.contains(*number) && heard.count() >= needed
            };
            let numbers = (range.first()..=range.last()).filter(is_spoken_of);
            let ranges: BlockRanges = numbers.map(BlockRange::one).collect();
            spoken.extend(ranges.iter().map(|range| (filter.clone(), range)));
        }
        spoken
    }

    async fn claim_again(&mut self) -> Result<(), ReplayError> {
        let claimed = claim(self.request, &self.claiming).await?;
        (self.work, self.outcome.held) = (shared(claimed.work), claimed.held);
        Ok(())
    }
}

pub(crate) type Work = Vec<(Arc<Filter>, BlockRange)>;

/// Claims what is missing, in place of what was claimed before.
async fn claim(request: &ReplayRequest, claiming: &Claiming) -> Result<Claimed, ReplayError> {
    let ReplayRequest { profile: ChainProfile { chain, .. }, range, needed, .. } = request;
    let reply = claiming.claim(*chain, request.filters.clone(), *range, *needed);
    reply.await.map_err(|_| ReplayError::OwnerGone)
}

/// What is read first: what is missing, or all of it where that is asked for, whoever reads it.
fn first_work(request: &ReplayRequest, missing: &Claimed) -> Work {
    if request.refetch {
        return request.filters.iter().map(|f| (Arc::new(f.clone()), request.range)).collect();
    }
    let mut parts: BTreeMap<&Filter, Vec<BlockRange>> = BTreeMap::new();
    for (filter, range) in &missing.work {
        parts.entry(filter).or_default().push(*range);
    }
    let parts = parts.into_iter().flat_map(|(filter, ranges)| {
        // Holes that another way of reading left: one by one they would take as many times as long as one
        // range with what is covered between them. What another process reads is not read for that.
        let is_one =
            request.verify != request.needed && missing.held.is_empty() && ranges.len() > HOLES_MAX;
        let ranges = match is_one {
            true => ranges.into_iter().reduce(BlockRange::hull).into_iter().collect(),
            false => ranges,
        };
        let filter = Arc::new(filter.clone());
        ranges.into_iter().map(move |range| (filter.clone(), range))
    });
    parts.collect()
}

fn shared(work: Vec<(Filter, BlockRange)>) -> Work {
    work.into_iter().map(|(filter, range)| (Arc::new(filter), range)).collect()
}

/// Blocks of the range that nobody has to read.
fn covered_before(request: &ReplayRequest, work: &Work, held: &[(BlockRange, u32)]) -> u64 {
    let read = work.iter().map(|(_, range)| *range);
    let read: BlockRanges = read.chain(held.iter().map(|(range, _)| *range)).collect();
    request.range.count() - read.count()
}

/// Says of each open range why it is: the lowest of the reasons (by their first blocks) that are
/// about a block of it. Both are sorted, and one may be many: each is passed over once.
fn with_reasons(
    open: BlockRanges,
    reasons: Vec<(BlockRange, String)>,
) -> Vec<(BlockRange, String)> {
    let mut left = reasons.as_slice();
    let reason = |range: BlockRange| {
        while left.first().is_some_and(|(about, _)| about.last() < range.first()) {
            left = &left[1..];
        }
        let near = left.iter().take_while(|(about, _)| about.first() <= range.last());
        let mut about = near.filter(|(about, _)| about.intersection(&range).is_some());
        let reason = about.next().map_or("not read yet", |(_, reason)| reason);
        (range, reason.to_owned())
    };
    open.iter().map(reason).collect()
}

/// Returns the check that every one of several nodes fails in a range: a chain that it does not fit looks
/// like that, and nodes that lie alike seldom do.
fn check_that_all_fail(
    nodes: &[ReplayNode],
    told: &[Incident],
    range: BlockRange,
) -> Option<Check> {
    let failed = |node: &ReplayNode, check: Check| {
        told.iter().any(|told| {
            told.node == node.status.node
                && told.range.intersection(&range).is_some()
                && Check::of(told.flaw) == Some(check)
        })
    };
    Check::ALL
        .into_iter()
        .find(|check| nodes.len() > 1 && nodes.iter().all(|node| failed(node, *check)))
}

/// Blocks that the work touches, each counted once.
pub(crate) fn blocks_of(work: &Work) -> u64 {
    touched(work).count()
}

/// Whether all blocks of `work` are among those of `pass`.
fn is_within(work: &Work, pass: &Work) -> bool {
    let pass = touched(pass);
    touched(work).iter().all(|range| pass.outside(range).is_empty())
}

/// The blocks that the work touches.
fn touched(work: &Work) -> BlockRanges {
    work.iter().map(|(_, range)| *range).collect()
}

pub(crate) fn split_at_head(work: Work, head: u64) -> (Work, Work) {
    let (mut within, mut beyond) = (Work::new(), Work::new());
    for (filter, range) in work {
        if let Some(range) = BlockRange::new(range.first(), range.last().min(head)) {
            within.push((filter.clone(), range));
        }
        // A node may say any number: the highest one has nothing beyond it.
        let beyond_head = head.checked_add(1).map(|next| range.first().max(next));
        if let Some(range) = beyond_head.and_then(|first| BlockRange::new(first, range.last())) {
            beyond.push((filter, range));
        }
    }
    (within, beyond)
}

/// One pass over the work through one node.
struct Drive<'a> {
    owner: &'a OwnerHandle,
    timer: &'a dyn Timer,
    watcher: &'a dyn Watcher,
    node: &'a ReplayNode,
    progress: &'a mut Progress,
    outcome: &'a mut ReplayOutcome,
    reasons: &'a mut BTreeMap<u64, (BlockRange, String)>,
    /// What the node reported.
    heard: &'a mut BlockRanges,
    /// What as many nodes have as must agree.
    shared: &'a mut BlockRanges,
    given_up: &'a mut GivenUp,
}

impl Drive<'_> {
    async fn run(
        &mut self,
        request: &ReplayRequest,
        prover: Arc<dyn Prover>,
        work: Work,
        mut stop: std::pin::Pin<&mut impl FusedFuture<Output = ()>>,
    ) -> Result<(), ReplayError> {
        let mut backfill = Backfill::new(request.through(self.node), prover, work);
        let mut answers = FuturesUnordered::new();
        let mut handed = Handed::new(self.owner);
        let mut is_flushed = false;
        let mut grace = std::pin::pin!(futures_util::future::Fuse::terminated());
        self.tell("reading");
        loop {
            let mut wake = std::pin::pin!(futures_util::future::Fuse::terminated());
            if handed.has_room() {
                match backfill.next(self.timer.now_ms()) {
                    Action::Ask(ticket, ask) => {
                        let (node, timer, pace) = (&self.node.node, self.timer, &request.pace);
                        answers.push(async move {
                            if let Some(pace) = pace {
                                pace.turn(&ask, timer).await;
                            }
                            (ticket, node.ask(ask).await)
                        });
                        continue;
                    }
                    Action::Submit(mut report) => {
                        report.is_second_look = request.is_second_look;
                        handed.submit((), report);
                        continue;
                    }
                    Action::Surrender(Surrender { range, fault, .. }) => {
                        tracing::debug!(%fault, %range, "range given up");
                        tell_elsewhere(request, range, &fault, self.owner);
                        self.outcome.on_given_up(range, &fault);
                        self.given_up.add(range, &fault);
                        self.reasons.insert(range.first(), (range, given_up::reason(&fault)));
                        continue;
                    }
                    Action::WaitUntil(at_ms) => {
                        wake.set(self.timer.sleep_until(at_ms).fuse());
                    }
                    Action::WaitForAnswer => {}
                    Action::Done if handed.is_empty() => return Ok(()),
                    Action::Done if !is_flushed => {
                        is_flushed = true;
                        handed.flush();
                    }
                    Action::Done => {}
                }
            }
            select_biased! {
                () = stop => {
                    self.outcome.stopped = true;
                    backfill.stop();
                    answers.clear();
                    grace.set(self.timer.sleep_until(self.timer.now_ms() + STOP_GRACE_MS).fuse());
                }
                () = grace => break,
                told = handed.told.select_next_some() => {
                    if let Some(((), about, ack)) = handed.hear(told) {
                        self.on_ack(about, ack)?;
                    }
                }
                (ticket, answer) = answers.select_next_some() => {
                    if let Err(fault) = &answer {
                        self.tell(&fault.text);
                        tracing::debug!(%fault, "no answer");
                    }
                    backfill.on_answer(ticket, answer, self.timer.now_ms());
                }
                () = wake => {}
                complete => return Ok(()),
            }
        }
        // What was read is committed; what is on its way is let go.
        handed.flush();
        while let Some(((), about, ack)) = handed.rest().await {
            self.on_ack(about, ack)?;
        }
        Ok(())
    }

    fn tell(&mut self, doing: &str) {
        self.progress.node = Some((self.node.status.node.clone(), doing.to_owned()));
        self.watcher.on_progress(self.progress);
    }

    fn on_ack(&mut self, about: About, ack: Acked) -> Result<(), ReplayError> {
        self.heard.add(about.0);
        if let Ok(Ok(ack)) = &ack {
            let unshared: BlockRanges = ack.unshared.iter().copied().collect();
            unshared.outside(about.0).into_iter().for_each(|shared| self.shared.add(shared));
        }
        take_ack(about, ack, self.progress, self.outcome, self.reasons)?;
        self.tell("reading");
        Ok(())
    }
}

/// Has it noted that a node turned out to be on another chain.
pub(crate) fn tell_elsewhere(
    request: &ReplayRequest,
    range: BlockRange,
    fault: &Fault,
    owner: &OwnerHandle,
) {
    if matches!(fault.class, FaultClass::WrongChain { .. }) {
        owner.elsewhere(request.profile.chain, range, fault.clone());
    }
}

/// How long what was read before a run was stopped may take to be confirmed and handed over.
pub(crate) const STOP_GRACE_MS: u64 = 4_000;

/// Blocks of a report, and the last fault on the way to it.
pub(crate) type About = (BlockRange, Option<String>);
pub(crate) type Acked =
    Result<Result<event::Ack, Arc<LedgerError>>, futures_channel::oneshot::Canceled>;

/// Counts what a report came to.
pub(crate) fn take_ack(
    (range, fault): About,
    ack: Acked,
    progress: &mut Progress,
    outcome: &mut ReplayOutcome,
    reasons: &mut BTreeMap<u64, (BlockRange, String)>,
) -> Result<(), ReplayError> {
    let ack = ack.map_err(|_| ReplayError::OwnerGone)?.map_err(ReplayError::Ledger)?;
    outcome.new_events += ack.new_events;
    outcome.known_events += ack.known_events;
    outcome.incidents += ack.incidents;
    outcome.agreed += ack.agreed;
    outcome.differs.extend(ack.differs);
    let room = INCIDENTS_TOLD_MAX.saturating_sub(outcome.told.len());
    outcome.told.extend(ack.told.into_iter().take(room));
    outcome.decoded += ack.decoded;
    for (range, reason) in ack.open {
        // What the node refused says more than what is missing for it.
        let reason = match &fault {
            Some(fault) => format!("{reason} ({fault})"),
            None => reason,
        };
        reasons.insert(range.first(), (range, reason));
    }
    progress.events = outcome.new_events;
    progress.blocks_done = (progress.blocks_done + range.count()).min(progress.blocks_total);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_open_range_is_told_the_lowest_reason_that_is_about_it() {
        let range = |first, last| BlockRange::new(first, last).expect("first is not above last");
        let reasons = [(range(1, 4), "a"), (range(2, 30), "b"), (range(9, 9), "c")];
        let reasons = reasons.map(|(about, reason)| (about, reason.to_owned()));
        let open = vec![range(3, 3), range(7, 7), range(9, 12), range(31, 40)];
        let told = with_reasons(open.into(), reasons.to_vec());
        let told: Vec<&str> = told.iter().map(|(_, reason)| reason.as_str()).collect();
        assert_eq!(told, ["a", "b", "b", "not read yet"]);
    }

    #[test]
    fn a_head_as_high_as_numbers_go_has_nothing_beyond_it() {
        let range = BlockRange::new(5, 9).expect("5 is not above 9");
        let work = vec![(Arc::new(Filter::any()), range)];
        let parts = |head| {
            let (within, beyond) = split_at_head(work.clone(), head);
            let ranges = |work| touched(work).iter().collect::<Vec<_>>();
            (ranges(&within), ranges(&beyond))
        };
        assert_eq!(parts(u64::MAX), (vec![range], vec![]));
        assert_eq!(parts(6).0, BlockRange::new(5, 6).into_iter().collect::<Vec<_>>());
        assert_eq!(parts(6).1, BlockRange::new(7, 9).into_iter().collect::<Vec<_>>());
        assert_eq!(parts(0), (vec![], vec![range]));
    }
}
