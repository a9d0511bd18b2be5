//! What is shown of a follower: plain data for a terminal, a metric, a health check.

use event::{BlockNumHash, Fault, Head, NodeId};
use std::sync::Arc;

/// How it is with a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// It has not said where its head is yet.
    Connecting,
    /// It answers.
    Following,
    /// It answers nothing; it is tried again with growing waits, without end.
    Lost {
        /// The last fault.
        fault: Fault,
    },
    /// It is on another chain. Its follower asks nothing of it any more.
    WrongChain,
}

/// A node as its follower sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Name.
    pub node: NodeId,
    /// `web3_clientVersion`, where it answered.
    pub client: Option<Arc<str>>,
    /// Its head as last said.
    pub head: Option<Head>,
    /// What it calls final, or what lies so deep.
    pub finalized: Option<u64>,
    /// What it calls safe, where it was asked.
    pub safe: Option<BlockNumHash>,
    /// How it is.
    pub state: NodeState,
    /// Blocks reported for all filters; one that was reported on two branches, or anew after it
    /// was released, counts each time.
    pub blocks_reported: u64,
    /// Logs in those reports, over all filters.
    pub logs_reported: u64,
    /// Blocks whose logs this node would not give for some filter: no report speaks of them.
    pub blocks_unread: u64,
    /// When its head was last higher than ever before, by the clock of the caller.
    pub last_progress_ms: u64,
}

impl NodeView {
    /// Returns the view of a node that has said nothing yet.
    pub const fn connecting(node: NodeId) -> Self {
        Self {
            node,
            client: None,
            head: None,
            finalized: None,
            safe: None,
            state: NodeState::Connecting,
            blocks_reported: 0,
            logs_reported: 0,
            blocks_unread: 0,
            last_progress_ms: 0,
        }
    }
}
