//! The walk from a new head down its parents, to a block that this node showed before.
//!
//! What is announced may be lost, late or twice, and a node may announce only the top of a new
//! branch: parents cannot be left out. Only headers are read, each by its hash.

use crate::follow::window::Window;
use alloy_primitives::B256;
use event::{BlockAnswer, BlockNumHash};

/// Headers of one walk, at most: twice as deep as finality on mainnet ever was behind in ordinary
/// times.
pub(crate) const WALK_BLOCKS_MAX: usize = 256;
/// A head further above the newest known block than this is not walked down to it: the gap is the
/// backfill's, which reads ranges instead of single blocks.
pub(crate) const WALK_GAP_MAX: u64 = 64;

/// A walk under way.
#[derive(Debug)]
pub(crate) struct Walk {
    head: BlockNumHash,
    /// Newest first.
    headers: Vec<BlockAnswer>,
    limit: usize,
    /// The head cannot descend from all of the window: what is read of it may be off the chain.
    pub(crate) is_fork: bool,
    /// What the node called final before it told the head: the head descends from it.
    pub(crate) finalized: Option<u64>,
}

/// What a walk wants after a header.
#[derive(Debug)]
pub(crate) enum WalkStep {
    /// Ask for the next header.
    Ask,
    /// The branch, whole as far as the node showed anything before.
    Done(Walked),
    /// The node contradicts itself.
    Astray,
}

/// A branch of one node.
#[derive(Debug)]
pub(crate) struct Walked {
    /// Oldest first, never empty.
    pub(crate) blocks: Vec<BlockAnswer>,
    /// Whether the first block's parent is known (or the first block is the chain's first).
    pub(crate) is_whole: bool,
    /// The gap below was left out.
    pub(crate) has_gap: bool,
}

impl Walk {
    /// Begins at a head that the window does not hold.
    pub(crate) fn new(head: BlockNumHash, window: &Window, finalized: Option<u64>) -> Self {
        let reach = window.newest().map(|newest| newest.saturating_add(WALK_GAP_MAX));
        let has_gap = reach.is_none_or(|reach| head.number > reach);
        let limit = if has_gap { 1 } else { WALK_BLOCKS_MAX };
        Self { head, headers: Vec::new(), limit, is_fork: window.contradicts(head), finalized }
    }

    pub(crate) const fn head(&self) -> BlockNumHash {
        self.head
    }

    /// Number of headers held.
    pub(crate) const fn held(&self) -> usize {
        self.headers.len()
    }

    /// Whether nothing was read yet.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.headers.is_empty()
    }

    /// Returns the hash of the header that is due.
    pub(crate) fn next(&self) -> B256 {
        self.headers.last().map_or(self.head.hash, |block| block.header.parent_hash)
    }

    /// Takes the header that was due.
    pub(crate) fn on_header(&mut self, block: BlockAnswer, window: &Window) -> WalkStep {
        let number = self.head.number.checked_sub(self.headers.len() as u64);
        if block.hash != self.next() || Some(block.header.number) != number {
            return WalkStep::Astray;
        }
        let parent_hash = block.header.parent_hash;
        self.headers.push(block);
        let Some(parent) = number.and_then(|number| number.checked_sub(1)) else {
            return self.done(true);
        };
        let parent = BlockNumHash { number: parent, hash: parent_hash };
        if window.contains(parent) {
            return self.done(true);
        }
        let is_below = window.first().is_none_or(|first| parent.number < first)
            && self.finalized.is_some_and(|finalized| parent.number <= finalized);
        if is_below || self.headers.len() >= self.limit {
            return self.done(false);
        }
        self.is_fork |= window.contradicts(parent);
        WalkStep::Ask
    }

    fn done(&mut self, is_whole: bool) -> WalkStep {
        let mut blocks = std::mem::take(&mut self.headers);
        blocks.reverse();
        WalkStep::Done(Walked { blocks, is_whole, has_gap: self.limit == 1 })
    }
}
