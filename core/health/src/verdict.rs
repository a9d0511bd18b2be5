//! What comes out: states, axes, reasons with a code and a sentence.

use crate::{ChainVerdict, ChainView, LedgerVerdict, Outcome};
use event::{BlockNumHash, NodeId};
use std::{fmt, sync::Arc};

/// What a node is good for, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeState {
    /// For everything.
    Ok,
    /// It asks to wait. Nothing is wrong, and nothing was learnt.
    Throttled,
    /// Another one first.
    Degraded,
    /// Not used while another one is there.
    Out,
    /// Caught; used for nothing but a look at its head until it has shown itself right again.
    Quarantined,
    /// On another chain: used for nothing until the operator has mended it.
    WrongChain,
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Throttled => "throttled",
            Self::Degraded => "degraded",
            Self::Out => "out",
            Self::Quarantined => "quarantined",
            Self::WrongChain => "wrong-chain",
        })
    }
}

/// In which respect. They are independent: there is no sum of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Axis {
    /// Does it answer?
    Reachability,
    /// Is it where the chain is?
    Freshness,
    /// Can it do what is asked?
    Capability,
    /// Is it right?
    Integrity,
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reachability => "reachability",
            Self::Freshness => "freshness",
            Self::Capability => "capability",
            Self::Integrity => "integrity",
        })
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $code:literal,)*) => {
        /// Why, as a code for programs: part of the interface.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Returns the code, in kebab case.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

reasons! {
    /// Nothing to say.
    Ok "ok",
    /// It asked to wait.
    Throttled "throttled",
    /// No connection.
    Unreachable "unreachable",
    /// A connection, but no answer in time.
    TimedOut "timed-out",
    /// The connection ended in the middle of an answer.
    Dropped "dropped",
    /// Something that is no answer, for example HTML.
    Malformed "malformed",
    /// The node's own error.
    Failing "failing",
    /// The plan is used up.
    Quota "quota",
    /// The key is refused.
    Auth "auth",
    /// It failed too often, and has to answer well for a while.
    Held "held",
    /// It does not offer what every node has to.
    MethodOff "method-off",
    /// It was not asked, or does not know its newest block.
    NoHead "no-head",
    /// It does not say which block is final and nobody else does, or does not give that block.
    NoFinalized "no-finalized",
    /// Its newest block is block 0.
    HeadAtZero "head-at-zero",
    /// It did not say which chain it is on.
    ChainUnknown "chain-unknown",
    /// Another chain.
    WrongChain "wrong-chain",
    /// A few blocks behind.
    Lagging "lagging",
    /// Too many blocks behind.
    FarBehind "far-behind",
    /// Blocks that no other node has.
    HeadAhead "head-ahead",
    /// A block from the future.
    HeadInFuture "head-in-future",
    /// It says that it is catching up.
    Syncing "syncing",
    /// It says that it has no peer.
    NoPeers "no-peers",
    /// Slower than the others, or too slow for anything.
    Slow "slow",
    /// The connection that stays open is not there.
    SocketLost "socket-lost",
    /// It announces blocks that it does not have when asked.
    SocketAhead "socket-ahead",
    /// Alone on a branch that is longer than usual.
    AloneOnBranch "alone-on-branch",
    /// On a longer branch with less than half of the nodes.
    MinorityBranch "minority-branch",
    /// On one of several longer branches, none of which has the majority.
    TwoBranches "two-branches",
    /// Another final block than others at the same height.
    FinalizedConflict "finalized-conflict",
    /// What was final is not any more.
    FinalizedWentBack "finalized-went-back",
    /// Its head went far back.
    HeadWentBack "head-went-back",
    /// An answer that contradicts its own headers.
    ProvenLie "proven-lie",
    /// Answers that lacked something or held something else.
    WrongAnswers "wrong-answers",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// One thing found about a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it makes of the node.
    pub state: NodeState,
    /// In which respect.
    pub axis: Axis,
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people: a part of a sentence, without a full stop.
    pub sentence: String,
}

/// A node, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeVerdict {
    /// Who.
    pub node: NodeId,
    /// `web3_clientVersion`.
    pub client: Option<Arc<str>>,
    /// The worst of what was found.
    pub state: NodeState,
    /// In which respect; `None` where nothing was found.
    pub axis: Option<Axis>,
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people.
    pub sentence: String,
    /// What else was found, in order.
    pub also: Vec<Finding>,
    /// What is worth knowing and no fault.
    pub notes: Vec<String>,
    /// Newest block; `None` is unknown.
    pub head: Option<BlockNumHash>,
    /// Age of it, in milliseconds.
    pub head_age_ms: Option<u64>,
    /// Blocks behind the best node.
    pub lag_blocks: Option<u64>,
    /// Newest final block.
    pub finalized: Option<u64>,
    /// Whether it says that it is catching up.
    pub syncing: Option<bool>,
    /// Number of peers; never 0, which is not to be believed.
    pub peers: Option<u64>,
    /// Wait for the answer to the first question, in milliseconds.
    pub latency_ms: Option<u64>,
    /// Recent wrong answers.
    pub incidents: u64,
}

/// What somebody should know although nothing is wrong now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// `one-client`, `clock-behind`, `finality-stands`, `lacks-other-node`, `plugin-stopped`, `check-suspect`.
    pub code: &'static str,
    /// A sentence without a full stop.
    pub sentence: String,
}

/// The whole of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The chain.
    pub chain: ChainVerdict,
    /// Where the chain is, as the nodes together say.
    pub view: ChainView,
    /// Nodes, in the order given.
    pub nodes: Vec<NodeVerdict>,
    /// The ledger.
    pub ledger: LedgerVerdict,
    /// Warnings.
    pub warnings: Vec<Warning>,
    /// What it comes to.
    pub outcome: Outcome,
}
