//! Chains, blocks and ranges of blocks: the coordinates of everything else.

use crate::{Check, Checking, Flaw};
use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Identifies a chain as `eth_chainId` does (EIP-155). Part of every key in the ledger.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ChainId(pub u64);

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A block named so that a reorg cannot change what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BlockNumHash {
    /// Height.
    pub number: u64,
    /// Header hash.
    pub hash: B256,
}

impl fmt::Display for BlockNumHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number, self.hash)
    }
}

/// A run of block numbers that includes both ends, like `fromBlock`/`toBlock`. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "(u64, u64)", into = "(u64, u64)")]
pub struct BlockRange {
    first: u64,
    last: u64,
}

impl BlockRange {
    /// Returns the range from `first` to `last`, or `None` when it would be empty.
    pub const fn new(first: u64, last: u64) -> Option<Self> {
        if first <= last { Some(Self { first, last }) } else { None }
    }

    /// Returns the range of one block.
    pub const fn one(number: u64) -> Self {
        Self { first: number, last: number }
    }

    /// Returns the range of `width` blocks from `first` (at least one, cut at `u64::MAX`).
    pub const fn of_width(first: u64, width: u64) -> Self {
        let width = if width == 0 { 1 } else { width };
        Self { first, last: first.saturating_add(width - 1) }
    }

    /// First block of the range.
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// Last block of the range.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Number of blocks, at least one; saturates at `u64::MAX`.
    pub const fn count(&self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// Whether `number` lies in the range.
    pub const fn contains(&self, number: u64) -> bool {
        self.first <= number && number <= self.last
    }

    /// Whether all of `other` lies in the range.
    pub const fn covers(&self, other: &Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// Returns what both ranges have in common.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        Self::new(self.first.max(other.first), self.last.min(other.last))
    }

    /// Returns the blocks from the first to the last of both ranges, with those between them.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

impl TryFrom<(u64, u64)> for BlockRange {
    type Error = String;

    fn try_from((first, last): (u64, u64)) -> Result<Self, String> {
        Self::new(first, last).ok_or_else(|| format!("range {first}:{last} holds no block"))
    }
}

impl From<BlockRange> for (u64, u64) {
    fn from(range: BlockRange) -> Self {
        (range.first, range.last)
    }
}

impl fmt::Display for BlockRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.first, self.last)
    }
}

/// When a block of a chain counts as final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finality {
    /// The node's `finalized` tag.
    Tag,
    /// So many blocks below the head: for chains and nodes without the tag; labelled in output.
    Depth(u64),
}

/// What holds on a chain and what cannot, so that a check is off where it would cry wolf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainProfile {
    /// Which chain.
    pub chain: ChainId,
    /// A name for people, for example `mainnet`.
    pub name: String,
    /// Usual time between blocks, in milliseconds.
    pub block_time_ms: u64,
    /// How finality is known.
    pub finality: Finality,
    /// Whether the header hash recomputes from the header's fields.
    pub check_header_hash: Checking,
    /// Whether the header's bloom covers all logs that nodes return. Where that does not decide, a
    /// zero bloom is unknown, not empty.
    pub check_bloom: Checking,
    /// Whether the receipts root recomputes from the receipts that nodes return.
    pub check_receipts_root: Checking,
}

impl ChainProfile {
    /// Returns the profile of a plain Ethereum chain: every check on.
    pub fn ethereum(chain: ChainId) -> Self {
        Self {
            chain,
            name: chain.to_string(),
            block_time_ms: 12_000,
            finality: Finality::Tag,
            check_header_hash: Checking::On,
            check_bloom: Checking::On,
            check_receipts_root: Checking::On,
        }
    }

    /// Has a check observed only; one that is not made at all stays as it is.
    pub fn observe(&mut self, check: Check) {
        let checking = match check {
            Check::HeaderHash => &mut self.check_header_hash,
            Check::Bloom => &mut self.check_bloom,
            Check::ReceiptsRoot => &mut self.check_receipts_root,
        };
        if checking.is_made() {
            *checking = Checking::Observed;
        }
    }

    /// Whether the flaw is one of a check that is observed only: no mark against a node.
    pub const fn observes(&self, flaw: Flaw) -> bool {
        let checking = match Check::of(flaw) {
            Some(Check::HeaderHash) => self.check_header_hash,
            Some(Check::Bloom) => self.check_bloom,
            Some(Check::ReceiptsRoot) => self.check_receipts_root,
            None => return false,
        };
        matches!(checking, Checking::Observed)
    }
}
