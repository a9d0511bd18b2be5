//! `audit`: reads a range through every node and holds what they and the ledger say against what is
//! shown. Nothing is written. The judgement is `audit`'s; this asks, in windows of blocks, so that
//! memory does not grow with the range.

mod anchor;

pub use anchor::{AnchorFound, Seat};

use crate::{OwnerHandle, Progress, ReplayNode, Timer, Watcher};
use ::audit::{Audit, EventKey, Settings, Verdict, Window};
use event::{
    AnchorPolicy, BlockNumHash, BlockRange, ChainProfile, EventPage, Filter, LedgerError, NodeId,
    Prover, Report, Verify,
};
use futures_util::{
    FutureExt, StreamExt,
    future::{FusedFuture, join_all},
    select_biased,
    stream::FuturesUnordered,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};
use tracker::{Action, Backfill, BackfillConfig};

/// First window, in blocks: small enough for a contract that logs in every transaction.
const WINDOW_FIRST: u64 = 2_000;
/// Widest window, in blocks: about a week of mainnet.
const WINDOW_MAX: u64 = 50_000;
/// A window with fewer logs than this makes the next one wider, one with ten times as many narrower.
const WINDOW_LOGS: usize = 20_000;
/// Times that all nodes are gone through for blocks that are not shown, at most: what one of them
/// adds can contradict another once, and receipts end it.
const ROUNDS_MAX: usize = 3;

/// What to audit.
#[derive(Clone, Debug)]
pub struct AuditRequest {
    /// Chain and what holds there.
    pub profile: ChainProfile,
    /// What is looked for.
    pub filters: Vec<Filter>,
    /// Where.
    pub range: BlockRange,
    /// What must be shown.
    pub require: Verify,
    /// Whose headers are believed; `None` is two nodes where there are two, else one.
    pub anchor: Option<AnchorPolicy>,
    /// Nodes; those that come first are asked for more.
    pub nodes: Vec<ReplayNode>,
    /// Chunks under way at once at one node.
    pub concurrency: usize,
    /// Events that are counted by themselves.
    pub events: Vec<EventKey>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct AuditOutcome {
    /// What is known.
    pub verdict: Verdict,
    /// Whose headers are believed, and why.
    pub anchor: AnchorFound,
    /// Last block that any node has, where the range goes beyond it.
    pub head: Option<u64>,
    /// Stopped before the end.
    pub stopped: bool,
}

/// Returns what the ledger has for a filter in some blocks.
pub type LedgerPages<'a> =
    dyn FnMut(&Arc<Filter>, BlockRange) -> Result<EventPage, LedgerError> + Send + 'a;

/// Where reports go that were read as demanded, so that assertions can be made on their events.
pub type Sink<'a> = Option<&'a OwnerHandle>;

/// Audits a range. Ends early, with the rest undecided, when `stop` is ready.
pub async fn audit(
    request: AuditRequest,
    prover: Arc<dyn Prover>,
    mut ledger: Option<&mut LedgerPages<'_>>,
    sink: Sink<'_>,
    timer: &dyn Timer,
    stop: impl Future<Output = ()> + Send,
    watcher: &dyn Watcher,
) -> Result<AuditOutcome, LedgerError> {
    let mut stop = std::pin::pin!(stop.fuse());
    let mut outcome = AuditOutcome::default();
    let head = request.nodes.iter().map(|node| node.status.head.number).max().unwrap_or(0);
    let range = request.range;
    let known = BlockRange::new(range.first(), range.last().min(head));
    outcome.head = (range.last() > head).then_some(head);
    outcome.anchor = match known {
        Some(known) => anchor::find(&request, known, timer).await,
        None => AnchorFound::default(),
    };
    let is_demanded = outcome.anchor.is_demanded && request.require != Verify::Off;
    let count = request.filters.len();
    let mut audit = Audit::new(count, request.events.clone(), outcome.anchor.block, is_demanded);
    let Some(known) = known.filter(|_| outcome.anchor.is_met) else {
        let reason = match known {
            Some(_) => outcome.anchor.reason(),
            None => format!("no node has it yet: the head is {head}"),
        };
        audit.undecided(range, &reason);
        outcome.verdict = audit.verdict();
        return Ok(outcome);
    };
    for seat in &outcome.anchor.seats {
        if let (Some(block), Some(anchor)) = (seat.block, outcome.anchor.block)
            && block != anchor
        {
            let detail = format!("it is {} there, not {}", block.hash, anchor.hash);
            audit.other_branch(&seat.node, anchor, detail);
        }
    }
    let trusted = outcome.anchor.trusted();
    let reading = Reading {
        nodes: request.nodes.iter().filter(|n| trusted.contains(&n.status.node)).collect(),
        request: &request,
        prover,
        timer,
        sink,
        settings: Settings { require: request.require, trusted: trusted.clone() },
    };
    let mut progress = Progress {
        blocks_total: known.count().saturating_mul(count.max(1) as u64),
        ..Progress::default()
    };
    let mut width = WINDOW_FIRST;
    let mut next = Some(known.first());
    while let Some(first) = next {
        let Some(blocks) = BlockRange::of_width(first, width).intersection(&known) else { break };
        let mut windows = Vec::with_capacity(count);
        let mut logs = 0;
        for (index, filter) in request.filters.iter().enumerate() {
            let filter = Arc::new(filter.clone());
            let page = ledger.as_mut().map(|pages| pages(&filter, blocks)).transpose()?;
            let window = reading.window(index, filter, blocks, page, stop.as_mut()).await;
            outcome.stopped |= window.is_none();
            let Some(window) = window else { break };
            logs = logs.max(window.logs());
            progress.blocks_done += blocks.count();
            progress.node = Some((NodeId::new("audit"), format!("block {}", blocks.last())));
            watcher.on_progress(&progress);
            windows.push(window);
        }
        if outcome.stopped {
            let rest = BlockRange::new(blocks.first(), known.last()).unwrap_or(known);
            audit.undecided(rest, "stopped before it was read");
            break;
        }
        audit.close(windows);
        width = match logs {
            logs if logs < WINDOW_LOGS => (width * 2).min(WINDOW_MAX),
            logs if logs > WINDOW_LOGS * 10 => (width / 4).max(1),
            _ => width,
        };
        next = blocks.last().checked_add(1).filter(|first| *first <= known.last());
    }
    if let Some(beyond) = BlockRange::new(known.last().saturating_add(1), range.last()) {
        audit.undecided(beyond, &format!("no node has it yet: the head is {head}"));
    }
    outcome.verdict = audit.verdict();
    Ok(outcome)
}

/// What all windows share.
struct Reading<'a> {
    request: &'a AuditRequest,
    /// Those that are trusted, in order.
    nodes: Vec<&'a ReplayNode>,
    prover: Arc<dyn Prover>,
    timer: &'a dyn Timer,
    sink: Sink<'a>,
    settings: Settings,
}

type Stop<'a, F> = Pin<&'a mut F>;

/// Blocks that a node was asked to show, by node and level.
type Tried = BTreeMap<(usize, bool), BTreeSet<u64>>;

impl Reading<'_> {
    /// Reads one filter over some blocks; `None` when it was stopped.
    async fn window(
        &self,
        index: usize,
        filter: Arc<Filter>,
        blocks: BlockRange,
        page: Option<EventPage>,
        mut stop: Stop<'_, impl FusedFuture<Output = ()>>,
    ) -> Option<Window> {
        let mut window = Window::new(index, filter, blocks, self.settings.clone());
        if let Some(page) = page {
            let ids = page.blocks.iter().map(|b| BlockNumHash { number: b.number, hash: b.hash });
            window.hear_ledger(&ids.collect::<Vec<_>>(), &page.logs);
        }
        let window = Mutex::new(window);
        let mut tried = Tried::new();
        let require = self.request.require;
        tried.insert((0, require == Verify::Prove), (blocks.first()..=blocks.last()).collect());
        // The first shows what is there, the others say what they have: comparing costs them one
        // question a range.
        let whole = [blocks];
        let all = self.nodes.iter().enumerate().map(|(i, node)| {
            let verify = if i == 0 { require } else { Verify::Off };
            self.drive(node, verify, &whole, &window)
        });
        stopped_or(join_all(all), stop.as_mut()).await?;
        for _ in 0..ROUNDS_MAX {
            let mut has_read = false;
            for (i, node) in self.nodes.iter().enumerate() {
                for verify in [require, Verify::Prove] {
                    let due = locked(&window).due();
                    // Where proof is demanded, what is not proved is not shown.
                    let due = if verify == require { due.unshown } else { due.unproven };
                    let done = tried.entry((i, verify == Verify::Prove)).or_default();
                    let work = untried(&due, done);
                    if work.is_empty() {
                        continue;
                    }
                    has_read = true;
                    let read = self.drive(node, verify, &work, &window);
                    stopped_or(read, stop.as_mut()).await?;
                }
            }
            if !has_read {
                break;
            }
        }
        Some(window.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads ranges through one node, as far as it has them, and lets the window hear it.
    async fn drive(
        &self,
        node: &ReplayNode,
        verify: Verify,
        ranges: &[BlockRange],
        window: &Mutex<Window>,
    ) {
        let head = node.status.head.number;
        let filter = locked(window).filter().clone();
        let mut work = Vec::new();
        for range in ranges {
            if range.last() > head {
                let reason = format!("it is at block {head} only");
                locked(window).refuse(&node.status.node, *range, &reason);
            }
            let within = BlockRange::new(range.first(), range.last().min(head));
            work.extend(within.map(|range| (filter.clone(), range)));
        }
        let config = BackfillConfig {
            status: node.status.clone(),
            verify,
            profile: self.request.profile.clone(),
            concurrency: self.request.concurrency,
            width_max: None,
            reporter: Arc::from("audit"),
        };
        let is_shown = verify == self.request.require || verify == Verify::Prove;
        let mut backfill = Backfill::new(config, self.prover.clone(), work);
        let mut answers = FuturesUnordered::new();
        let mut acks = FuturesUnordered::new();
        loop {
            let mut wake = std::pin::pin!(futures_util::future::Fuse::terminated());
            match backfill.next(self.timer.now_ms()) {
                Action::Ask(ticket, ask) => {
                    let answer = node.node.ask(ask);
                    answers.push(answer.map(move |answer| (ticket, answer)));
                    continue;
                }
                Action::Submit(report) => {
                    self.hear(&report, window);
                    if let Some(owner) = self.sink.filter(|_| is_shown) {
                        acks.push(owner.submit(report));
                        owner.flush();
                    }
                    continue;
                }
                Action::Surrender(given_up) => {
                    let fault = &given_up.fault;
                    let reason = format!("{}: {}", fault.method, fault.text);
                    locked(window).refuse(&node.status.node, given_up.range, &reason);
                    continue;
                }
                Action::WaitUntil(at_ms) => wake.set(self.timer.sleep_until(at_ms).fuse()),
                Action::WaitForAnswer => {}
                Action::Done => break,
            }
            select_biased! {
                (ticket, answer) = answers.select_next_some() => {
                    backfill.on_answer(ticket, answer, self.timer.now_ms());
                }
                // Read no faster than is written.
                _ = acks.select_next_some() => {}
                () = wake => {}
                complete => break,
            }
        }
        while acks.next().await.is_some() {}
    }

    fn hear(&self, report: &Report, window: &Mutex<Window>) {
        match &report.judged {
            Some(judged) => locked(window).hear(report, judged),
            None => {
                let judged = self.prover.judge(report, &self.request.profile);
                locked(window).hear(report, &judged);
            }
        }
    }
}

fn locked(window: &Mutex<Window>) -> std::sync::MutexGuard<'_, Window> {
    window.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs to the end unless it is stopped.
async fn stopped_or<T>(
    work: impl Future<Output = T>,
    mut stop: Stop<'_, impl FusedFuture<Output = ()>>,
) -> Option<T> {
    let mut work = std::pin::pin!(work.fuse());
    select_biased! {
        () = stop => None,
        done = work => Some(done),
    }
}

/// Returns what of these ranges was not tried, and notes it.
fn untried(due: &[BlockRange], tried: &mut BTreeSet<u64>) -> Vec<BlockRange> {
    let mut ranges: Vec<BlockRange> = Vec::new();
    for number in due.iter().flat_map(|range| range.first()..=range.last()) {
        if !tried.insert(number) {
            continue;
        }
        match ranges.last_mut() {
            Some(last) if last.last().checked_add(1) == Some(number) => {
                *last = BlockRange::new(last.first(), number).unwrap_or(*last);
            }
            _ => ranges.push(BlockRange::one(number)),
        }
    }
    ranges
}

/// Returns the block that a node has at this height, where it says so.
async fn block_at(
    node: &ReplayNode,
    number: u64,
    timer: &dyn Timer,
) -> Result<BlockNumHash, String> {
    if node.status.head.number < number {
        return Err(format!("it is at block {} only", node.status.head.number));
    }
    let ask = event::Ask::Headers { range: BlockRange::one(number) };
    match crate::greet::ask(&*node.node, ask, timer).await {
        Ok(event::Answer::Headers(headers)) => match headers.first() {
            Some(block) => Ok(BlockNumHash { number, hash: block.hash }),
            None => Err("it gave no header".to_owned()),
        },
        Ok(_) => Err("it answered another question".to_owned()),
        Err(fault) => Err(format!("{}: {}", fault.method, fault.text)),
    }
}
