//! The blocks that one node showed as its chain: height by height, newest at the top.
//!
//! Seeded with what the ledger holds. May have holes where a gap was left to the backfill. Says
//! nothing of other nodes, and nothing of which branch is the right one.

use alloy_primitives::B256;
use event::BlockNumHash;
use std::collections::BTreeMap;

/// Blocks remembered, at most: over three hours of mainnet. Deeper reorgs are walked all the same.
const WINDOW_BLOCKS_MAX: usize = 1_024;

#[derive(Debug)]
pub(crate) struct Window(BTreeMap<u64, B256>);

impl Window {
    pub(crate) fn new(blocks: Vec<BlockNumHash>) -> Self {
        let mut window = Self(blocks.into_iter().map(|b| (b.number, b.hash)).collect());
        window.bound();
        window
    }

    /// Number of blocks remembered.
    pub(crate) fn held(&self) -> usize {
        self.0.len()
    }

    /// Lowest height.
    pub(crate) fn first(&self) -> Option<u64> {
        self.0.first_key_value().map(|(number, _)| *number)
    }

    /// Highest height.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.0.last_key_value().map(|(number, _)| *number)
    }

    pub(crate) fn contains(&self, block: BlockNumHash) -> bool {
        self.0.get(&block.number) == Some(&block.hash)
    }

    /// Whether another block is known at this one's height.
    pub(crate) fn contradicts(&self, block: BlockNumHash) -> bool {
        self.0.get(&block.number).is_some_and(|hash| *hash != block.hash)
    }

    /// Returns the blocks from a height on, oldest first.
    pub(crate) fn from(&self, number: u64) -> impl Iterator<Item = BlockNumHash> + '_ {
        self.0.range(number..).map(|(number, hash)| BlockNumHash { number: *number, hash: *hash })
    }

    /// Takes a branch in place of everything from its first block up.
    pub(crate) fn adopt(&mut self, parent: Option<BlockNumHash>, branch: &[BlockNumHash]) {
        let Some(first) = branch.first() else { return };
        self.0.split_off(&first.number);
        let all = parent.iter().chain(branch);
        self.0.extend(all.map(|block| (block.number, block.hash)));
        self.bound();
    }

    /// Forgets everything below a height: it was shown to be of another branch.
    pub(crate) fn forget_below(&mut self, number: u64) {
        self.0 = self.0.split_off(&number);
    }

    fn bound(&mut self) {
        while self.0.len() > WINDOW_BLOCKS_MAX {
            self.0.pop_first();
        }
    }
}
