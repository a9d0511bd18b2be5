//! What an audit finds, and the words for it.

use crate::Told;
use event::{BlockNumHash, NodeId};
use std::fmt;

/// Who said it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A node.
    Node(NodeId),
    /// The ledger.
    Ledger,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => node.fmt(f),
            Self::Ledger => f.write_str("ledger"),
        }
    }
}

/// What is wrong with what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The chain has the log, and it was not told.
    Missing,
    /// The log was told with other content, or of another transaction.
    Altered,
    /// The log was told of another block.
    Moved,
    /// A log was told that the chain does not have, or once too often.
    Forged,
    /// Logs of blocks or contracts that were not asked for.
    Foreign,
    /// Headers or receipts that are not those of the block.
    Evidence,
    /// The node is on another chain of blocks than the one that is believed.
    Branch,
}

impl Kind {
    /// Whether something that is on the chain was not told.
    pub const fn is_loss(self) -> bool {
        matches!(self, Self::Missing | Self::Altered | Self::Moved)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Altered => "altered",
            Self::Moved => "moved",
            Self::Forged => "forged",
            Self::Foreign => "foreign",
            Self::Evidence => "evidence",
            Self::Branch => "branch",
        })
    }
}

/// One thing that somebody said wrong or left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Index of the filter.
    pub filter: usize,
    /// What.
    pub kind: Kind,
    /// Who.
    pub who: Who,
    /// Where: of a log that is on the chain, its block there.
    pub block: BlockNumHash,
    /// Which log: as the chain has it, or where the chain has none, as it was told.
    pub log: Option<Told>,
    /// How many logs.
    pub count: u64,
    /// What was told instead, or a sentence; empty where the rest says it all.
    pub detail: String,
}

/// What is known of a block for a filter. Ordered: what comes first counts for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Somebody left out a log that is there.
    Missing,
    /// Somebody told a log that is not there, and nobody left one out.
    Forged,
    /// It was not shown what is there.
    Undecided,
    /// Everybody who said anything of it said what is there.
    Complete,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Forged => "forged",
            Self::Undecided => "undecided",
            Self::Complete => "complete",
        })
    }
}
