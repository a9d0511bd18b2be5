//! `audit`: reads a range through every node and holds what they and the ledger say against what is
//! shown. Nothing is written. The judgement is `audit`'s; this asks, in windows of blocks, so that
//! memory does not grow with the range.

mod anchor;
mod reading;

pub use anchor::{AnchorFound, Seat};

use crate::{OwnerHandle, Progress, ReplayNode, Timer, Watcher};
use ::audit::{Audit, EventKey, Kind, Settings, Verdict};
use event::{
    AnchorPolicy, Answer, Ask, BlockAnswer, BlockNumHash, BlockRange, ChainProfile, EventPage,
    Filter, LedgerError, Node, NodeId, Prover, Verify,
};
use futures_util::FutureExt;
use reading::Reading;
use std::{future::Future, sync::Arc};

/// First window, in blocks: small enough for a contract that logs in every transaction.
const WINDOW_FIRST: u64 = 2_000;
/// Widest window, in blocks: about a week of mainnet.
const WINDOW_MAX: u64 = 50_000;
/// A window with fewer logs than this makes the next one wider, one with ten times as many narrower.
const WINDOW_LOGS: usize = 20_000;

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
        Some(known) => anchor::find(&request, known, &*prover, timer).await,
        None => AnchorFound::default(),
    };
    let is_demanded = outcome.anchor.is_demanded && request.require != Verify::Off;
    let count = request.filters.len();
    let mut audit = Audit::new(count, request.events.clone(), outcome.anchor.block, is_demanded);
    for (seat, block) in outcome.anchor.wrong() {
        audit.of_node(Kind::Evidence, &seat.node, block, seat.reason.clone());
    }
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
            audit.of_node(Kind::Branch, &seat.node, anchor, detail);
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

/// Returns the block that a node says it has at this height, or why it does not say.
pub async fn block_at(
    node: &dyn Node,
    number: u64,
    timer: &dyn Timer,
) -> Result<BlockNumHash, String> {
    let block = header_at(node, number, timer).await?;
    Ok(BlockNumHash { number, hash: block.hash })
}

/// Returns the header that a node gives of this height, or why it gives none.
async fn header_at(node: &dyn Node, number: u64, timer: &dyn Timer) -> Result<BlockAnswer, String> {
    let ask = Ask::Headers { range: BlockRange::one(number) };
    match crate::greet::ask(node, ask, timer).await {
        Ok(Answer::Headers(headers)) => match headers.into_iter().next() {
            Some(block) if block.header.number == number => Ok(block),
            Some(block) => Err(format!("it gave the header of block {}", block.header.number)),
            None => Err("it gave no header".to_owned()),
        },
        Ok(_) => Err("it answered another question".to_owned()),
        Err(fault) => Err(format!("{}: {}", fault.method, fault.text)),
    }
}
