//! The only way into the aggregator: what one node said about one filter and range.

use crate::{BlockRange, ChainId, Fault, Filter, Header, Judgement, Logs, Receipt};
use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// Version of [`Report`] on the wire and in files.
pub const REPORT_VERSION: u16 = 2;

/// A node's name in output and ledger: given by the operator, else the host. Never a full URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub Arc<str>);

impl NodeId {
    /// Returns the id with this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// By which way the logs of a report were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// `eth_getLogs` over a range.
    Range,
    /// `eth_getLogs` by block hash: in most clients another code path.
    BlockHash,
    /// `eth_getBlockReceipts`.
    Receipts,
}

impl std::str::FromStr for Via {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "range" => Ok(Self::Range),
            "block-hash" => Ok(Self::BlockHash),
            "receipts" => Ok(Self::Receipts),
            _ => Err(format!("`{text}` is not a way to ask")),
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Range => "range",
            Self::BlockHash => "block-hash",
            Self::Receipts => "receipts",
        })
    }
}

/// A block that a report speaks of. Those of a report are sorted by number, without repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedBlock {
    /// Height.
    pub number: u64,
    /// Hash as the node gives it; checked where the header is there.
    pub hash: B256,
    /// Parent, where known without the header.
    pub parent: Option<B256>,
    /// Unix seconds, where known without the header (`blockTimestamp` of logs; 0 is unknown).
    pub timestamp: Option<u64>,
    /// The header, for recomputing.
    pub header: Option<Box<Header>>,
    /// Hashes of the block's transactions, where the block was read.
    pub transactions: Option<Vec<B256>>,
    /// All receipts of the block, where they were read.
    pub receipts: Option<Vec<Receipt>>,
    /// How this block's logs were asked for last.
    pub via: Via,
}

/// What one node said about one filter and range, with raw evidence and no verdict.
///
/// The receiver recomputes the verdict. In the same process the tracker's own [`Judgement`] rides
/// along in `judged`, which is never serialised, so that nothing is hashed twice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u16,
    /// The process that reports: host name or operator's choice.
    pub reporter: Arc<str>,
    /// Counts the reporter's reports, from 1.
    pub seq: u64,
    /// Chain.
    pub chain: ChainId,
    /// Node.
    pub node: NodeId,
    /// `web3_clientVersion`, where it answers.
    pub client: Option<Arc<str>>,
    /// What was asked.
    pub filter: Arc<Filter>,
    /// Over which blocks.
    pub range: BlockRange,
    /// The node's head before the first call for this range.
    pub head_before: u64,
    /// The node's head after the last call; `range.last()` must not lie beyond either.
    pub head_after: u64,
    /// The node's finalized block, where it has the tag (or the configured depth gives one).
    pub finalized: Option<u64>,
    /// Blocks with logs, and every block of the range where headers were read.
    pub blocks: Vec<ReportedBlock>,
    /// Logs as returned by `eth_getLogs`; `Logs::block` indexes `blocks`.
    pub logs: Logs,
    /// What went wrong on the way.
    pub faults: Vec<Fault>,
    /// Whether it was asked for to be compared with what other nodes said before: what it adds then
    /// waits for a second word or receipts.
    pub is_second_look: bool,
    /// The tracker's judgement, in this process only.
    #[serde(skip)]
    pub judged: Option<Judgement>,
}
