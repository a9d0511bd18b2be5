//! What the ledger holds of the blocks that a report concerns, for looking up.

use alloy_primitives::{
    B256,
    map::{B256Map, HashSet},
};
use event::EventId;

/// Ids stored in a range of blocks, on any branch.
pub(crate) struct Known {
    ids: Vec<EventId>,
    set: HashSet<EventId>,
    blocks: B256Map<u64>,
}

impl Known {
    /// All ids are of one chain, so sorting brings those of a block together.
    pub(crate) fn new(mut ids: Vec<EventId>) -> Self {
        ids.sort_unstable();
        let set = ids.iter().copied().collect();
        let mut blocks = B256Map::default();
        for id in &ids {
            *blocks.entry(id.block_hash).or_default() += 1;
        }
        Self { ids, set, blocks }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(crate) fn has(&self, id: &EventId) -> bool {
        self.set.contains(id)
    }

    pub(crate) fn has_block(&self, hash: &B256) -> bool {
        self.blocks.contains_key(hash)
    }

    pub(crate) fn of_block(&self, hash: &B256) -> &[EventId] {
        let first = self.ids.partition_point(|id| id.block_hash < *hash);
        let end = self.ids.partition_point(|id| id.block_hash <= *hash);
        &self.ids[first..end.max(first)]
    }

    pub(crate) fn in_block(&self, hash: &B256) -> u64 {
        self.blocks.get(hash).copied().unwrap_or(0)
    }
}
