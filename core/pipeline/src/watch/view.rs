//! How it stands, as plain data for whoever shows it.

use super::LookedAgain;
use event::{BlockNumHash, BlockRange, ChainId, Head, Held, NodeId, Report};
use std::sync::Arc;
use tracker::NodeState;

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLine {
    /// Name.
    pub node: NodeId,
    /// `web3_clientVersion`, where it answers.
    pub client: Option<Arc<str>>,
    /// What it does.
    pub state: NodeState,
    /// Final height at which it has another block than the chain, while it stands there: nothing of it is
    /// read.
    pub left_at: Option<u64>,
    /// Its head.
    pub head: Option<Head>,
    /// Blocks behind the chain's head; unknown without a head.
    pub lag_blocks: Option<u64>,
    /// Its finalized block.
    pub finalized: Option<u64>,
    /// Blocks that it reported in this run.
    pub blocks: u64,
    /// Logs that it reported in this run.
    pub logs: u64,
}

/// One chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainView {
    /// Which.
    pub chain: ChainId,
    /// Highest block of the branch that is followed.
    pub head: Option<BlockNumHash>,
    /// Highest block that counts as final.
    pub finalized: Option<u64>,
    /// Events new to the ledger in this run.
    pub events: u64,
    /// What is being read again or was found missing, newest knowledge, with why.
    pub open: Vec<(BlockRange, String)>,
    /// Blocks that a gap still has.
    pub gap_blocks: u64,
    /// What the second look came to in this run.
    pub second_look: LookedAgain,
    /// Why promotion is halted, if it is.
    pub halted: Option<String>,
    /// Why what is final stands still, if it does because too few nodes are there to agree on it.
    pub standing: Option<String>,
    /// Nodes, in the operator's order.
    pub nodes: Vec<NodeLine>,
}

/// Told how it stands whenever that changed, and what the nodes report. Must not wait.
pub trait WatchWatcher: Send + Sync {
    /// Takes the latest state.
    fn on_view(&self, view: &ChainView);

    /// Takes a report on its way to the ledger.
    fn on_report(&self, _report: &Report) {}

    /// Takes how much the watch holds in memory, about once in a block time.
    fn on_held(&self, _held: &Held) {}
}
