//! The second look of a watch: while the head is followed, what is final goes once more through
//! another node, slowly and after everything else. Looks by the same means as `replay`.

use super::gaps::{FillSetup, Unseen};
use crate::{
    OwnerHandle, Pace, ReplayError, ReplayNode, SecondLook, SecondLookRequest, Timer,
    second_look::Looking,
};
use event::{BlockRange, Filter};
use futures_util::{FutureExt, future::BoxFuture};
use std::{num::NonZeroU32, sync::Arc};

/// Blocks that are looked at before it is noted, at most, and before other nodes are heard of.
const WINDOW_BLOCKS_MAX: u64 = 2_000;
/// The same in seconds, where a block takes one call: about so long is read once more after a kill.
const WINDOW_SECONDS: u64 = 30;
/// Widest range that is asked for: what the ledger takes in one go while the head waits.
const WIDTH_MAX: u64 = 500;
/// Longest wait before blocks that stayed open are looked at again, in milliseconds: ten minutes.
const RETRY_MS_MAX: u64 = 600_000;

/// What the second look of a watch came to. Blocks are counted once per filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookedAgain {
    /// Blocks read through another node than those that saw them first.
    pub blocks: u64,
    /// Those of them of which that node said the same.
    pub agreed: u64,
    /// Events that the nodes before had missed.
    pub recovered: u64,
    /// Final blocks of which nothing shows who is right, or that no other node could give.
    pub open: u64,
    /// Final blocks rest on one node's word, and there is no other one to ask.
    pub lacks_other_node: bool,
}

/// What a look at one window came to.
pub(super) struct Looked {
    /// Where the next blocks of the filter may be.
    next: Option<u64>,
    outcome: SecondLook,
    /// Whether every node was there.
    had_all_nodes: bool,
}

pub(super) type Look<'a> = BoxFuture<'a, Result<Looked, ReplayError>>;

/// Where the second look stands: it goes through the filters, and begins anew when it is through.
pub(super) struct Looks {
    at_ms: u64,
    pub(super) pace: Option<Arc<Pace>>,
    rest_ms: u64,
    wait_ms: u64,
    filter: usize,
    first: u64,
    /// Of this time through.
    open: u64,
    lacks_other_node: bool,
}

impl Looks {
    /// Looks with so many calls a second; `None` never looks. It rests so long when it is through.
    pub(super) fn new(calls_per_second: Option<NonZeroU32>, rest_ms: u64) -> Self {
        Self {
            at_ms: 0,
            pace: calls_per_second.map(|calls| Arc::new(Pace::new(calls))),
            rest_ms,
            wait_ms: rest_ms,
            filter: 0,
            first: 0,
            open: 0,
            lacks_other_node: false,
        }
    }

    /// Begins anew, with another budget: nodes or filters are others.
    pub(super) fn restart(&mut self, calls_per_second: Option<NonZeroU32>, now_ms: u64) {
        *self = Self::new(calls_per_second, self.rest_ms);
        self.at_ms = now_ms;
    }

    /// Returns when the next look is due; `None` where nothing is ever looked at.
    pub(super) fn due_ms(&self) -> Option<u64> {
        self.pace.is_some().then_some(self.at_ms)
    }

    /// Returns the look at the next window of what is final up to `through`.
    pub(super) fn next<'a>(
        &self,
        setup: FillSetup,
        filters: &[Filter],
        through: Option<u64>,
        (nodes, had_all_nodes): (Vec<ReplayNode>, bool),
        owner: &'a OwnerHandle,
        timer: &'a dyn Timer,
    ) -> Look<'a> {
        let filter = filters.get(self.filter).cloned();
        let (Some(filter), Some(through), Some(pace)) = (filter, through, self.pace.clone()) else {
            return async { Ok(Looked::nothing()) }.boxed();
        };
        let first = self.first;
        async move {
            let FillSetup { profile, verify, reporter, prover, .. } = setup;
            let request = SecondLookRequest {
                profile,
                filters: Vec::new(),
                through,
                verify,
                nodes,
                // One after the other: what can wait takes no room of what cannot.
                concurrency: 1,
                window_blocks: window_blocks(&pace),
                width_max: Some(WIDTH_MAX),
                pace: Some(pace),
                reporter,
            };
            let mut looking = Looking::new(&request, owner, prover, timer, &Unseen);
            let mut never = std::pin::pin!(std::future::pending::<()>().fuse());
            let next = looking.next_window(&filter, first, never.as_mut()).await?;
            Ok(Looked { next, outcome: looking.outcome, had_all_nodes })
        }
        .boxed()
    }

    /// Takes what a look came to into the sum.
    pub(super) fn take(
        &mut self,
        looked: &Looked,
        sum: &mut LookedAgain,
        filters: usize,
        now_ms: u64,
    ) {
        let Looked { next, outcome, had_all_nodes } = looked;
        sum.blocks += outcome.nodes.values().map(|through| through.blocks).sum::<u64>();
        sum.agreed += outcome.agreed;
        sum.recovered += outcome.recovered;
        self.open += outcome.open.iter().map(|(range, _)| range.count()).sum::<u64>();
        self.lacks_other_node |= *had_all_nodes && !outcome.without_other.is_empty();
        self.first = next.unwrap_or(0);
        self.filter += usize::from(next.is_none());
        self.at_ms = now_ms;
        if self.filter >= filters {
            self.end(sum);
            self.at_ms = now_ms.saturating_add(self.wait_ms);
        }
    }

    /// It is through: says what stays open, and waits the longer the more often it did.
    fn end(&mut self, sum: &mut LookedAgain) {
        if self.lacks_other_node && !sum.lacks_other_node {
            tracing::warn!(
                "final blocks rest on one node's word, and no other node is there to ask"
            );
        }
        sum.open = self.open;
        sum.lacks_other_node = self.lacks_other_node;
        self.wait_ms = match self.open {
            0 => self.rest_ms,
            _ => self.wait_ms.saturating_mul(2).clamp(self.rest_ms, RETRY_MS_MAX.max(self.rest_ms)),
        };
        (self.filter, self.open, self.lacks_other_node) = (0, 0, false);
    }
}

fn window_blocks(pace: &Pace) -> u64 {
    u64::from(pace.calls_per_second().get()).saturating_mul(WINDOW_SECONDS).min(WINDOW_BLOCKS_MAX)
}

impl Looked {
    fn nothing() -> Self {
        Self { next: None, outcome: SecondLook::default(), had_all_nodes: false }
    }

    pub(super) const fn new_events(&self) -> u64 {
        self.outcome.recovered
    }

    /// Whether something was read.
    pub(super) const fn range(&self) -> Option<BlockRange> {
        self.outcome.range
    }
}
