//! A log as somebody told it, as small as comparing needs: its content is a digest.

use alloy_primitives::{Address, B256};
use event::{AnyOf, BlockNumHash, LogRef, content_digest};

/// One log of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Block, as it was told.
    pub block: BlockNumHash,
    /// Transaction.
    pub tx_hash: B256,
    /// Position in the block: an attribute, never compared.
    pub log_index: u32,
    /// Emitting contract.
    pub address: Address,
    /// First topic.
    pub topic0: Option<B256>,
    /// Number of topics.
    pub topics: u8,
    /// [`content_digest`].
    pub digest: B256,
}

impl Told {
    /// Returns a log of this block.
    pub fn new(block: BlockNumHash, log: LogRef<'_>) -> Self {
        Self {
            block,
            tx_hash: *log.tx_hash,
            log_index: log.log_index,
            address: *log.address,
            topic0: log.topics.first().copied(),
            topics: u8::try_from(log.topics.len()).unwrap_or(u8::MAX),
            digest: content_digest(log),
        }
    }

    /// What makes two logs the same event; identical ones of a transaction are counted.
    pub(crate) const fn identity(&self) -> (B256, B256, B256) {
        (self.block.hash, self.tx_hash, self.digest)
    }
}

/// An event that is counted by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventKey {
    /// Contracts.
    pub addresses: AnyOf<Address>,
    /// Hash of its signature; `None` for an anonymous event.
    pub topic0: Option<B256>,
    /// Number of topics that a log of it has.
    pub topics: u8,
}

impl EventKey {
    pub(crate) fn fits(&self, log: &Told) -> bool {
        self.topics == log.topics
            && self.addresses.allows(&log.address)
            && (self.topic0.is_none() || self.topic0 == log.topic0)
    }
}
