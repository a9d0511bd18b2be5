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

/// When a part of the chain is looked at next, and from where on.
#[derive(Debug)]
pub(super) struct Rhythm {
    pub(super) at_ms: u64,
    /// The next look begins above this block: what nobody gives below it keeps nothing above it waiting.
    pub(super) past: Option<u64>,
    has_left: bool,
    first_wait_ms: u64,
    retry_ms: u64,
}

impl Rhythm {
    pub(super) const fn new(first_wait_ms: u64) -> Self {
        Self { at_ms: 0, past: None, has_left: false, first_wait_ms, retry_ms: first_wait_ms }
    }

    /// Goes on at once as long as there is something above, to `end`; what stayed open is looked at again after
    /// that, ever later.
    pub(super) fn after(&mut self, filled: &Filled, end: Option<u64>, now_ms: u64) {
        let is_open = !filled.open.is_empty();
        let window = filled.window.map(|window| window.last());
        let has_more = window.zip(end).is_some_and(|(last, end)| last < end);
        self.has_left |= is_open;
        let wait_ms = match window {
            Some(last) if has_more => {
                self.past = if is_open { Some(last) } else { self.past };
                0
            }
            _ if self.has_left => {
                (self.past, self.has_left) = (None, false);
                self.retry_ms = (self.retry_ms.max(self.first_wait_ms) * 2).min(RETRY_MS_MAX);
                self.retry_ms
            }
            Some(_) => 0,
            None => {
                (self.past, self.retry_ms) = (None, self.first_wait_ms);
                self.first_wait_ms
            }
        };
        self.at_ms = now_ms + wait_ms;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_nobody_gives_keeps_nothing_above_it_waiting_and_is_tried_again_ever_later() {
        let mut rhythm = Rhythm::new(10);
        let filled = |first, last, is_open: bool| {
            let window = BlockRange::new(first, last);
            let open = window.filter(|_| is_open).map(|window| (window, "gone".to_owned()));
            Filled { window, open: open.into_iter().collect(), new_events: 0 }
        };
        let mut after = |filled: &Filled, end| {
            rhythm.after(filled, end, 0);
            (rhythm.past, rhythm.at_ms)
        };
        for wait_ms in [20, 40, 80] {
            assert_eq!(after(&filled(1, 2_000, true), Some(5_000)), (Some(2_000), 0));
            assert_eq!(after(&filled(2_001, 4_000, false), Some(5_000)), (Some(2_000), 0));
            assert_eq!(after(&filled(4_001, 5_000, false), Some(5_000)), (None, wait_ms));
        }
        // It is given at last, and everything is.
        assert_eq!(after(&filled(1, 2_000, false), Some(5_000)), (None, 0));
        assert_eq!(after(&Filled::default(), Some(5_000)), (None, 10));
        // Near the head, or at the end, it is tried again later.
        assert_eq!(after(&filled(7, 9, true), None), (None, 20));
        assert_eq!(after(&filled(7, 9, false), None), (None, 0));
    }
}
