//! The daisy chain: what is covered and final is read again through other nodes than those that saw
//! it first. Which blocks these are says the owner, which node reads what says `tracker`, what differs
//! the aggregator; this drives, and asks for receipts where nodes differ.

mod chain;
mod differing;
mod window;

pub(crate) use window::Looking;

use crate::{
    OwnerHandle, Pace, ReplayError, ReplayNode, ReplayOutcome, Timer, Watcher,
    replay::INCIDENTS_TOLD_MAX,
};
use event::{BlockRange, ChainProfile, DecodeStats, Filter, Incident, NodeId, Prover, Verify};
use futures_util::FutureExt;
use std::{collections::BTreeMap, future::Future, sync::Arc};

/// What to look at again.
#[derive(Clone, Debug)]
pub struct SecondLookRequest {
    /// Chain and what holds there.
    pub profile: ChainProfile,
    /// What is followed.
    pub filters: Vec<Filter>,
    /// The newest final block.
    pub through: u64,
    /// What must be shown.
    pub verify: Verify,
    /// Nodes, in order of preference.
    pub nodes: Vec<ReplayNode>,
    /// Chunks under way at once.
    pub concurrency: usize,
    /// Blocks that are looked at before it is noted, at most.
    pub window_blocks: u64,
    /// Widest range to ask for, where it is bounded.
    pub width_max: Option<u64>,
    /// How fast nodes may be asked, where that is bounded.
    pub pace: Option<Arc<Pace>>,
    /// This process in reports.
    pub reporter: Arc<str>,
}

impl SecondLookRequest {
    /// Blocks that a run of its own looks at before it notes that they were: what is read once more
    /// after a kill, at most.
    pub const WINDOW_BLOCKS: u64 = 50_000;
}

/// What a node read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookedThrough {
    /// Blocks, each counted once per filter.
    pub blocks: u64,
    /// Those that only nodes of other clients had covered.
    pub of_other_client: u64,
}

/// What a second look came to. Blocks are counted once per filter.
#[derive(Clone, Debug, Default)]
pub struct SecondLook {
    /// From the first to the last block that was looked at, over all filters; `None`: there was none.
    pub range: Option<BlockRange>,
    /// What each node read.
    pub nodes: BTreeMap<NodeId, LookedThrough>,
    /// Blocks of which another node said the same.
    pub agreed: u64,
    /// Events that the nodes before had missed.
    pub recovered: u64,
    /// Blocks on the word of one node that no other one could be asked for. They are looked at when
    /// there is one.
    pub without_other: Vec<BlockRange>,
    /// Blocks that another process looks at just now, with which: they are left to it.
    pub held: Vec<(BlockRange, u32)>,
    /// What was not decided, with why: the next run looks at it again.
    pub open: Vec<(BlockRange, String)>,
    /// Flaws recorded.
    pub incidents: u64,
    /// The first of them.
    pub told: Vec<Incident>,
    /// What decoding left raw.
    pub decoded: DecodeStats,
    /// Stopped before the end.
    pub stopped: bool,
}

impl SecondLook {
    fn take(&mut self, outcome: &ReplayOutcome) {
        self.agreed += outcome.agreed;
        self.recovered += outcome.new_events;
        self.incidents += outcome.incidents;
        let room = INCIDENTS_TOLD_MAX.saturating_sub(self.told.len());
        self.told.extend(outcome.told.iter().take(room).cloned());
        self.decoded += outcome.decoded;
        self.stopped |= outcome.stopped;
    }
}

/// Reads again what is covered, final, and was not looked at before.
pub async fn second_look(
    request: SecondLookRequest,
    owner: &OwnerHandle,
    prover: Arc<dyn Prover>,
    timer: &dyn Timer,
    stop: impl Future<Output = ()> + Send,
    watcher: &dyn Watcher,
) -> Result<SecondLook, ReplayError> {
    let mut stop = std::pin::pin!(stop.fuse());
    let mut looking = Looking::new(&request, owner, prover, timer, watcher);
    for filter in &request.filters {
        let mut next = Some(0);
        while let Some(first) = next.filter(|_| !looking.outcome.stopped) {
            next = looking.next_window(filter, first, stop.as_mut()).await?;
        }
    }
    Ok(looking.outcome)
}
