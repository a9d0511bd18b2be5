//! What goes wrong: a node that does not answer (fault), and one that answers wrongly (flaw).

use crate::{BlockRange, ChainId, NodeId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a node gave no usable answer. An answer is never made of one: it stays unknown.
///
/// Classes follow what the tracker can do about it; the texts behind them are in
/// `fixtures/rpc-errors.tsv`. Codes alone decide nothing: -32005 means a rate limit, a range too
/// wide, a batch too large or a method switched off, depending on who says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultClass {
    /// Range too wide; this width was suggested. Only the width is used, never the ends.
    Hint {
        /// Blocks, at least 1.
        width: u64,
    },
    /// Range too wide; the limit is known.
    MaxWidth {
        /// Blocks, at least 1, both ends counted.
        width: u64,
    },
    /// Range too wide, limit unknown.
    Split,
    /// Too many results or bytes, at the node or over our own byte cap.
    Size,
    /// Too many addresses or topics, or too few.
    Filter,
    /// Too many requests just now; no mark against the node.
    Rate {
        /// Wait that the node asked for, clamped to five minutes.
        retry_after_ms: Option<u64>,
    },
    /// Used up for the day, month or plan.
    Quota,
    /// Method missing or switched off.
    Off,
    /// Beyond the node's head.
    NotYet {
        /// The node's head, where it said so.
        head: Option<u64>,
    },
    /// Block, header or receipts unknown to this node.
    Unknown,
    /// History no longer held.
    Pruned {
        /// First block still held, where it said so.
        earliest: Option<u64>,
    },
    /// Index not ready yet.
    Indexing,
    /// `finalized`, `safe` or `pending` not supported.
    Tag,
    /// Filter or subscription gone.
    Gone,
    /// Timeout or overload at the node.
    Busy,
    /// Too many calls in one batch.
    Batch,
    /// No connection: refused, DNS, TLS.
    Unreachable,
    /// Connection ended in the middle of an answer.
    Dropped,
    /// The deadline passed without an answer.
    TimedOut,
    /// The answer is not what was asked: HTML, broken JSON, another id, a missing member.
    Malformed,
    /// Credentials refused.
    Auth,
    /// The node is on another chain.
    WrongChain {
        /// Chain wanted.
        expected: ChainId,
        /// Chain found.
        found: ChainId,
    },
    /// A recording does not hold the answer.
    NotRecorded,
}

impl FaultClass {
    /// Whether asking the same node the same again may help, perhaps after a wait.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Rate { .. }
                | Self::Busy
                | Self::Unreachable
                | Self::Dropped
                | Self::TimedOut
                | Self::Malformed
                | Self::Indexing
                | Self::NotYet { .. }
                | Self::Unknown
        )
    }

    /// Whether a narrower range may help.
    pub const fn is_splittable(&self) -> bool {
        matches!(self, Self::Hint { .. } | Self::MaxWidth { .. } | Self::Split | Self::Size)
    }
}

/// A node did not give a usable answer. The text carries no secret: host only, no path or query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{node}: {method}: {text}")]
pub struct Fault {
    /// Which node.
    pub node: NodeId,
    /// JSON-RPC method, or `connect`.
    pub method: String,
    /// What can be done about it.
    pub class: FaultClass,
    /// The node's own words, redacted and cut to a kilobyte.
    pub text: String,
}

impl Fault {
    /// Returns the fault of a node that is on another chain.
    pub fn wrong_chain(node: NodeId, expected: ChainId, found: ChainId) -> Self {
        Self {
            node,
            method: "eth_chainId".into(),
            class: FaultClass::WrongChain { expected, found },
            text: format!("this node is on chain {found}, not {expected}"),
        }
    }
}

/// A check that an answer did not pass. Ordered by nothing; named in `incidents`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flaw {
    /// A log outside the asked range, or with a block hash that is not that block's.
    WrongBlock,
    /// A log that the filter does not match.
    WrongFilter,
    /// A log marked `removed` in an answer: the node calls its block not canonical.
    Removed,
    /// Log indexes repeat or do not increase in a block.
    LogIndex,
    /// A log that no receipt has.
    Forged,
    /// A log that receipts have and the answer lacked.
    Missing,
    /// A bloom that excludes a log that was returned.
    BloomExcludes,
    /// The header is not that of its block: it does not hash to its hash, has another number, or is `null`
    /// where the block is final.
    HeaderHash,
    /// A header whose parent is not the block before.
    ParentLink,
    /// Fewer or more receipts than transactions, or other transactions.
    ReceiptCount,
    /// Receipts of another block.
    ReceiptBlock,
    /// Receipts that do not recompute to the header's root.
    ReceiptsRoot,
    /// The block at the end of the range changed while it was read.
    HeadMoved,
    /// The answer reaches beyond the node's own head.
    BeyondHead,
    /// The headers do not lead to the accepted anchor.
    AnchorMismatch,
    /// Two nodes give one event different attributes.
    Attributes,
    /// What a node calls final went back, or is not what is final here.
    FinalityConflict,
    /// It answers from another chain: nothing of it is used until it is back.
    WrongChain,
    /// No flaw: what was told of the node before (`Missing`, in the same block) is not so, as receipts
    /// show. Nothing is deleted, so this is a row of its own.
    Withdrawn,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongBlock => "wrong-block",
            Self::WrongFilter => "wrong-filter",
            Self::Removed => "removed",
            Self::LogIndex => "log-index",
            Self::Forged => "forged",
            Self::Missing => "missing",
            Self::BloomExcludes => "bloom-excludes",
            Self::HeaderHash => "header-hash",
            Self::ParentLink => "parent-link",
            Self::ReceiptCount => "receipt-count",
            Self::ReceiptBlock => "receipt-block",
            Self::ReceiptsRoot => "receipts-root",
            Self::HeadMoved => "head-moved",
            Self::BeyondHead => "beyond-head",
            Self::AnchorMismatch => "anchor-mismatch",
            Self::Attributes => "attributes",
            Self::FinalityConflict => "finality-conflict",
            Self::WrongChain => "wrong-chain",
            Self::Withdrawn => "withdrawn",
        })
    }
}

/// One flaw of one node, kept in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Chain.
    pub chain: ChainId,
    /// Who.
    pub node: NodeId,
    /// Where.
    pub range: BlockRange,
    /// What.
    pub flaw: Flaw,
    /// How many logs, receipts or headers.
    pub count: u64,
    /// A sentence for people.
    pub detail: String,
}
