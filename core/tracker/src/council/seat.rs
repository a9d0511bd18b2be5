//! One node at the council: the blocks it showed, and whether its word counts at a height.

use crate::Branch;
use alloy_primitives::B256;
use event::BlockNumHash;
use std::collections::BTreeMap;

/// Blocks remembered of each node, and of the chosen branch, at most: about three hours of
/// mainnet. Older ones are forgotten first.
pub(crate) const BLOCKS_MAX: usize = 1_024;

/// Hash of each height, and when it was seen first.
pub(crate) type Blocks = BTreeMap<u64, (B256, u64)>;

#[derive(Debug, Default)]
pub(crate) struct Seat {
    pub(crate) blocks: Blocks,
    pub(crate) head: u64,
    /// Highest head so far.
    highest: u64,
    progress_ms: u64,
    /// Its branch is not read.
    pub(crate) is_held: bool,
    /// It answers nothing, or has not shown yet where it stands since it did not.
    pub(crate) is_away: bool,
    /// What it calls final.
    pub(crate) finalized: Option<u64>,
    /// Final height at which it showed another block, until it shows one of the chain.
    pub(crate) left_at: Option<u64>,
    /// Block for which it was named last, and whether it was back since then.
    pub(crate) named: Option<(BlockNumHash, bool)>,
}

impl Seat {
    /// Takes a branch in place of everything from its first block up; below a parent that the
    /// node has not shown, nothing is known to be of the branch.
    pub(crate) fn take(&mut self, branch: &Branch, now_ms: u64) {
        let Some(first) = branch.blocks.first() else { return };
        self.blocks.split_off(&first.number);
        let parent = first.number.checked_sub(1).zip(branch.parent);
        let is_linked = parent.is_some_and(|(number, hash)| {
            branch.is_whole && self.blocks.get(&number).is_none_or(|known| known.0 == hash)
        });
        if !is_linked {
            self.blocks.clear();
        }
        if let Some((number, hash)) = parent {
            self.blocks.entry(number).or_insert((hash, now_ms));
        }
        self.blocks.extend(branch.blocks.iter().map(|block| (block.number, (block.hash, now_ms))));
        bound(&mut self.blocks);
        self.head = branch.blocks.last().map_or(self.head, |head| head.number);
        self.highest = self.highest.max(self.head);
        self.progress_ms = now_ms;
        self.is_away = false;
    }

    /// Takes where the head is; only a new height is progress. A head that is chosen shows where a
    /// node stands that has nothing new to show.
    pub(crate) fn on_head(&mut self, head: BlockNumHash, is_chosen: bool, now_ms: u64) {
        self.head = head.number;
        if head.number > self.highest {
            self.highest = head.number;
            self.progress_ms = now_ms;
        }
        if self.blocks.is_empty() && is_chosen {
            self.blocks.insert(head.number, (head.hash, now_ms));
        }
        // Behind a head that is new may be another branch than the one remembered.
        self.is_away &= self.blocks.get(&head.number).is_none_or(|own| own.0 != head.hash);
    }

    /// Whether the node's word counts at a height: it has come so far, and it still moves.
    pub(crate) const fn counts(&self, height: u64, now_ms: u64, stale_ms: u64) -> bool {
        !self.is_away && self.head >= height && now_ms.saturating_sub(self.progress_ms) < stale_ms
    }

    /// Whether it was named for the branch that it is on: it never came back from there, or came back to it.
    pub(crate) fn is_named(&self) -> bool {
        self.named.is_some_and(|(block, was_back)| {
            let own = self.blocks.get(&block.number);
            !was_back || own.is_some_and(|own| own.0 == block.hash)
        })
    }

    /// Whether the node is on a branch at a height: it has that block, or, where its own blocks
    /// begin higher, a descendant.
    pub(crate) fn stands_on(&self, height: u64, branch: &Blocks) -> bool {
        let own = self.blocks.range(height..).next();
        own.is_some_and(|(number, (hash, _))| {
            branch.get(number).is_some_and(|known| known.0 == *hash)
        })
    }
}

/// Forgets the oldest blocks beyond the bound.
pub(crate) fn bound(blocks: &mut Blocks) {
    while blocks.len() > BLOCKS_MAX {
        blocks.pop_first();
    }
}
