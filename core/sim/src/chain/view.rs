//! A branch as one node sees it: up to its own head, with what it calls final.

use crate::chain::{Block, Tree};
use alloy_primitives::B256;
use event::NodeId;
use std::sync::Arc;

/// What a node knows at one moment. Lying is not its business.
#[derive(Clone, Debug)]
pub struct View<'a> {
    tree: &'a Tree,
    node: &'a NodeId,
    /// Height of the newest block that the node has.
    pub head: u64,
    /// Height that it calls final, where it knows one.
    pub finalized: Option<u64>,
    /// Blocks above the canonical branch, lowest first.
    side: Vec<B256>,
    /// Height of the first of them.
    side_from: u64,
}

impl<'a> View<'a> {
    /// Returns the view of a node whose branch ends in `tip`; an unknown tip is the chain's head.
    pub fn of(tree: &'a Tree, node: &'a NodeId, tip: B256) -> Self {
        let number = tree.block(&tip).map_or(tree.head().number, |block| block.number);
        let path = tree.path(tip);
        let side_from = path.first().map_or(u64::MAX, |block| block.number);
        let side = path.iter().map(|block| block.hash).collect();
        let finalized = Some(tree.finalized().min(number));
        Self { tree, node, head: number, finalized, side, side_from }
    }

    /// Moves the head down by so many blocks, at most to the first one.
    pub fn lag(&mut self, blocks: u64) {
        self.head = self.head.saturating_sub(blocks);
        self.finalized = self.finalized.map(|finalized| finalized.min(self.head));
    }

    /// Returns the first height at which the branch leaves the canonical one, if it does.
    pub const fn leaves_at(&self) -> Option<u64> {
        if self.side.is_empty() { None } else { Some(self.side_from) }
    }

    /// Returns the block of this height, up to the head.
    pub fn at(&self, number: u64) -> Option<&'a Arc<Block>> {
        if number > self.head {
            return None;
        }
        match number.checked_sub(self.side_from) {
            Some(above) => self.tree.block(self.side.get(above as usize)?),
            None => self.tree.at(number),
        }
    }

    /// Returns the block of this hash, on any branch, up to the head.
    pub fn by_hash(&self, hash: &B256) -> Option<&'a Arc<Block>> {
        let is_mine = self.tree.owner(hash).is_none_or(|owner| owner == self.node);
        self.tree.block(hash).filter(|block| is_mine && block.number <= self.head)
    }

    /// Returns the whole tree.
    pub const fn tree(&self) -> &'a Tree {
        self.tree
    }
}
