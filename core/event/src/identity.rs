//! What makes two logs the same event.

use crate::{ChainId, LogRef};
use alloy_primitives::{B256, Keccak256};
use serde::{Deserialize, Serialize};

/// Identity of an event: the same for every node, filter and replay.
///
/// It needs no receipts and does not depend on a node's log index, which real nodes have counted
/// per transaction or off by some (faults F37, F63). Identical logs of one transaction are told
/// apart by `occurrence`, so identity is that of a multiset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventId {
    /// Chain.
    pub chain: ChainId,
    /// Block: the same log on another branch is another event.
    pub block_hash: B256,
    /// Transaction.
    pub tx_hash: B256,
    /// [`content_digest`] of address, topics and data.
    pub digest: B256,
    /// Counts identical logs of the transaction, from 0.
    pub occurrence: u32,
}

/// Returns keccak256 over address, number of topics (one byte), topics and data.
pub fn content_digest(log: LogRef<'_>) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(log.address);
    hasher.update([log.topics.len() as u8]);
    for topic in log.topics {
        hasher.update(topic);
    }
    hasher.update(log.data);
    hasher.finalize()
}
