//! Reads again what is missing: the gap of a downtime, oldest first, and blocks near the head that
//! the nodes did not settle among themselves in time.
//!
//! Both go through `replay`, one window at a time and node after node, so that what one node
//! leaves out another gives; what stays open then is asked to be proved from receipts.

use crate::{
    OwnerHandle, Progress, ReplayError, ReplayNode, ReplayOutcome, ReplayRequest, Timer, Watcher,
    replay, replay::AGREE_WINDOW_BLOCKS,
};
use event::{BlockRange, ChainProfile, Filter, Prover, Verify};
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// Longest wait before blocks that stayed open are tried again, in milliseconds.
const RETRY_MS_MAX: u64 = 60_000;

/// What is the same for every fill of a chain.
#[derive(Clone)]
pub(super) struct FillSetup {
    pub(super) profile: ChainProfile,
    pub(super) verify: Verify,
    pub(super) concurrency: usize,
    pub(super) reporter: Arc<str>,
    pub(super) prover: Arc<dyn Prover>,
}

impl FillSetup {
    fn request(
        &self,
        filters: &[Filter],
        range: BlockRange,
        verify: Verify,
        nodes: Vec<ReplayNode>,
    ) -> ReplayRequest {
        ReplayRequest {
            profile: self.profile.clone(),
            filters: filters.to_vec(),
            range,
            verify,
            needed: self.verify,
            refetch: false,
            is_second_look: false,
            nodes,
            concurrency: self.concurrency,
            width_max: None,
            pace: None,
            reporter: self.reporter.clone(),
        }
    }
}

/// What a fill came to.
#[derive(Debug, Default)]
pub(super) struct Filled {
    /// Where it looked; `None` when nothing was missing.
    pub(super) window: Option<BlockRange>,
    /// What is open in it now.
    pub(super) open: Vec<(BlockRange, String)>,
    pub(super) new_events: u64,
}

pub(super) type Fill<'a> = BoxFuture<'a, Result<Filled, ReplayError>>;

/// When a part of the chain is looked at next.
#[derive(Debug)]
pub(super) struct Rhythm {
    pub(super) at_ms: u64,
    first_wait_ms: u64,
    wait_ms: u64,
}

impl Rhythm {
    pub(super) const fn new(first_wait_ms: u64) -> Self {
        Self { at_ms: 0, first_wait_ms, wait_ms: first_wait_ms }
    }

    /// Goes on at once after progress, and ever later while blocks stay open.
    pub(super) fn after(&mut self, filled: &Filled, now_ms: u64) {
        let is_done = filled.window.is_none();
        let progressed = filled.window.is_some() && filled.open.is_empty();
        self.wait_ms = match (is_done, progressed) {
            (true, _) => self.first_wait_ms,
            (_, true) => 0,
            _ => (self.wait_ms.max(self.first_wait_ms) * 2).min(RETRY_MS_MAX),
        };
        self.at_ms = now_ms + self.wait_ms;
    }
}

/// Reads what is missing of the first window of `range`.
pub(super) async fn fill(
    setup: FillSetup,
    filters: Vec<Filter>,
    range: BlockRange,
    nodes: Vec<ReplayNode>,
    levels: Vec<Verify>,
    owner: &OwnerHandle,
    timer: &dyn Timer,
) -> Result<Filled, ReplayError> {
    let Some(first) = first_missing(&setup, &filters, range, owner).await? else {
        return Ok(Filled::default());
    };
    let width = if nodes.len() > 1 { AGREE_WINDOW_BLOCKS } else { u64::MAX };
    let window = BlockRange::of_width(first, width).intersection(&range).unwrap_or(range);
    let mut filled = Filled { window: Some(window), ..Filled::default() };
    for verify in levels {
        filled.open.clear();
        let request = setup.request(&filters, window, verify, nodes.clone());
        let (prover, never) = (setup.prover.clone(), std::future::pending());
        let outcome = replay(request, owner, prover, timer, never, &Unseen).await?;
        let ReplayOutcome { new_events, open, held, .. } = outcome;
        filled.new_events += new_events;
        filled.open.extend(open);
        // Looked at again later, as what stays open is.
        let held = held.into_iter();
        filled.open.extend(
            held.map(|(range, process)| (range, format!("process {process} reads it just now"))),
        );
        // The policy is met when nothing is missing for it, however it was read.
        if first_missing(&setup, &filters, window, owner).await?.is_none() {
            filled.open.clear();
            break;
        }
    }
    Ok(filled)
}

/// Most blocks whose waiting logs are decided by receipts in one go.
const DECIDED_AT_ONCE_MAX: usize = 64;

/// Asks for the receipts of blocks with logs that only some nodes gave: they decide who is right,
/// also where the others have agreed by now.
pub(super) async fn decide_waiting(
    setup: FillSetup,
    filters: Vec<Filter>,
    through: u64,
    nodes: Vec<ReplayNode>,
    owner: &OwnerHandle,
    timer: &dyn Timer,
) -> Result<Filled, ReplayError> {
    let mut filled = Filled::default();
    let waiting = owner.waiting(setup.profile.chain).await.map_err(|_| ReplayError::OwnerGone)?;
    let due = waiting.iter().map(|block| block.number).filter(|number| *number <= through);
    for number in due.take(DECIDED_AT_ONCE_MAX) {
        let range = BlockRange::one(number);
        for node in &nodes {
            let request = setup.request(&filters, range, Verify::Prove, vec![node.clone()]);
            let request = ReplayRequest { refetch: true, needed: Verify::Prove, ..request };
            let never = std::future::pending();
            let prover = setup.prover.clone();
            let outcome = replay(request, owner, prover, timer, never, &Unseen).await?;
            filled.new_events += outcome.new_events;
            let reply = owner.waiting(setup.profile.chain);
            let waiting = reply.await.map_err(|_| ReplayError::OwnerGone)?;
            if !waiting.iter().any(|block| block.number == number) {
                break;
            }
        }
    }
    Ok(filled)
}

/// Returns the lowest block that is missing for any of the filters.
pub(super) async fn first_missing(
    setup: &FillSetup,
    filters: &[Filter],
    range: BlockRange,
    owner: &OwnerHandle,
) -> Result<Option<u64>, ReplayError> {
    let mut first: Option<u64> = None;
    for filter in filters {
        let reply = owner.missing(setup.profile.chain, filter.clone(), range, setup.verify);
        let missing = reply.await.map_err(|_| ReplayError::OwnerGone)?;
        let lowest = missing.iter().map(|(range, _)| range.first()).min();
        first = first.into_iter().chain(lowest).min();
    }
    Ok(first)
}

/// Levels to try: the policy's, then receipts, which settle what nodes disagree on.
pub(super) fn levels(verify: Verify, profile: &ChainProfile, is_recent: bool) -> Vec<Verify> {
    let can_prove = profile.check_receipts_root.is_made() && verify != Verify::Prove;
    match (can_prove, is_recent) {
        // All nodes have said what they had to say near the head.
        (true, true) => vec![Verify::Prove],
        (true, false) => vec![verify, Verify::Prove],
        (false, _) => vec![verify],
    }
}

/// Nobody hears of it.
pub(super) struct Unseen;

impl Watcher for Unseen {
    fn on_progress(&self, _: &Progress) {}
}
