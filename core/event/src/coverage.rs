//! Which ranges are known for a filter, through whom, with what evidence.

use crate::{BlockRange, Evidence, NodeId};
use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

/// Hashes at the ends of a run of linked headers, by which runs are joined and anchored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    /// Parent hash of the first block.
    pub first_parent: B256,
    /// Hash of the last block.
    pub last_hash: B256,
}

/// A covered range of one (chain, filter). Those of a filter are disjoint, sorted, and joined
/// where they touch and say the same, so that the order of arrival leaves no trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// Blocks.
    pub range: BlockRange,
    /// What was shown.
    pub evidence: Evidence,
    /// Nodes that reported it, sorted, without repeats.
    pub nodes: Vec<NodeId>,
    /// Ends of the header chain, where headers were read.
    pub links: Option<Links>,
}
