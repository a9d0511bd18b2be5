//! `watch`: follows one chain through every node at once, and fills what is missing meanwhile.
//!
//! Each node has a tracker of its own; the council says which branch is the chain where they
//! differ; whatever they report goes to the owner, which takes the union. Blocks that stay open
//! longer than `agree_wait_ms`, and the gap left by a downtime, are read again through all nodes. What
//! is final is read once more through a node that has not seen it, slowly.
//! Decides nothing about events, and holds nothing that the ledger does not have.

mod chain;
mod gaps;
mod looks;
mod nodes;
mod route;
mod standing;
mod view;

pub use looks::LookedAgain;
pub use view::{ChainView, NodeLine, WatchWatcher};

use crate::{OwnerHandle, ReplayError, Timer};
use chain::ChainRun;
use event::{BlockNumHash, BlockRange, ChainProfile, Filter, Node, Prover, Verify};
use futures_channel::mpsc;
use futures_util::FutureExt;
use std::{future::Future, num::NonZeroU32, sync::Arc};

/// What to watch.
pub struct WatchRequest {
    /// Chain and what holds there.
    pub profile: ChainProfile,
    /// What is wanted.
    pub filters: Vec<Filter>,
    /// What must be shown of a block.
    pub verify: Verify,
    /// Nodes, in order of preference.
    pub nodes: Vec<Arc<dyn Node>>,
    /// First block to have; `None` is the first head seen.
    pub start_block: Option<u64>,
    /// Canonical blocks above the finalized one that the ledger holds, oldest first.
    pub window: Vec<BlockNumHash>,
    /// Highest final block that the ledger knows.
    pub finalized: Option<u64>,
    /// Nodes that must agree on what is final.
    pub final_nodes: usize,
    /// How long the other nodes are waited for before an open block is read again, in milliseconds.
    pub agree_wait_ms: u64,
    /// How often a node is asked for its head, in milliseconds; hints wake it earlier.
    pub poll_interval_ms: u64,
    /// Ends when everything up to this block is covered.
    pub until_block: Option<u64>,
    /// Chunks under way at once while a gap is filled.
    pub concurrency: usize,
    /// Calls a second with which what is final is read again through another node, over all nodes;
    /// `None` does not.
    pub second_look: Option<NonZeroU32>,
    /// Seed of jitter.
    pub seed: u64,
    /// This process in reports.
    pub reporter: Arc<str>,
    /// What is changed while it runs; `None` where nothing ever is.
    pub changes: Option<mpsc::Receiver<Change>>,
}

/// Other nodes and filters for a chain that is watched.
#[derive(Clone)]
pub struct Change {
    /// All nodes from now on, in order of preference. The very ones that were there before go on
    /// undisturbed.
    pub nodes: Vec<Arc<dyn Node>>,
    /// Nodes that must agree on what is final from now on.
    pub final_nodes: usize,
    /// All filters from now on. What is new of them is open from the first block on, and filled.
    pub filters: Vec<Filter>,
    /// The budget of the second look from now on.
    pub second_look: Option<NonZeroU32>,
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nodes: Vec<_> = self.nodes.iter().map(|node| node.id()).collect();
        f.debug_struct("Change").field("nodes", &nodes).field("filters", &self.filters).finish()
    }
}

impl std::fmt::Debug for WatchRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchRequest").field("chain", &self.profile.chain).finish_non_exhaustive()
    }
}

/// How a watch ended.
#[derive(Clone, Debug, Default)]
pub struct WatchOutcome {
    /// Highest block of the chain as the nodes told it.
    pub head: Option<BlockNumHash>,
    /// What is open between the first and the last block, with why.
    pub open: Vec<(BlockRange, String)>,
    /// Why promotion is halted, if it is: half of the nodes or more have left the finalized chain.
    pub halted: Option<String>,
    /// Why what is final stands still, if it does because too few nodes are there to agree on it.
    pub standing: Option<String>,
    /// What the second look came to.
    pub second_look: LookedAgain,
    /// Stopped by the operator or the clock, not by `until_block`.
    pub stopped: bool,
}

/// Watches until `stop` is ready or `until_block` is reached. What was reported is committed then.
pub async fn watch(
    request: WatchRequest,
    owner: &OwnerHandle,
    prover: Arc<dyn Prover>,
    timer: &dyn Timer,
    stop: impl Future<Output = ()> + Send,
    watcher: &dyn WatchWatcher,
) -> Result<WatchOutcome, ReplayError> {
    let mut stop = std::pin::pin!(stop.fuse());
    let mut run = ChainRun::new(request, owner, prover, timer, watcher);
    let stopped = run.run(stop.as_mut()).await?;
    run.finish(stopped).await
}
