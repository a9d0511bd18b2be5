//! What a node has of the chain at some moment: everything up to its head. It makes no answers.

use crate::chain::Chain;
use alloy_primitives::B256;
use std::borrow::Cow;

/// The chain up to a head.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    chain: &'a Chain,
    head: u64,
    finalized: u64,
}

impl<'a> View<'a> {
    /// Returns the whole chain, final up to its end.
    pub fn whole(chain: &'a Chain) -> Self {
        Self { chain, head: chain.last(), finalized: chain.last() }
    }

    /// Returns the chain up to `head`, final `depth` blocks below that. Both stay within the chain.
    pub fn up_to(chain: &'a Chain, head: u64, depth: u64) -> Self {
        let head = head.clamp(chain.first(), chain.last());
        Self { chain, head, finalized: head.saturating_sub(depth).max(chain.first()) }
    }

    /// First block.
    pub const fn first(&self) -> u64 {
        self.chain.first()
    }

    /// Head.
    pub const fn last(&self) -> u64 {
        self.head
    }

    /// Highest final block.
    pub const fn finalized(&self) -> u64 {
        self.finalized
    }

    /// Returns the height of the block with this hash.
    pub fn number_of_hash(&self, hash: &B256) -> Option<u64> {
        self.chain.number_of_hash(hash).filter(|number| *number <= self.head)
    }

    /// Returns the text of the header, or `None` above the head or below the chain.
    pub fn header(&self, number: u64) -> Option<&'a [u8]> {
        self.chain.header(number).filter(|_| number <= self.head)
    }

    /// Returns the text of all logs from `first` to `last`, or `None` where the range leaves what
    /// is there or is inverted.
    pub fn logs(&self, first: u64, last: u64) -> Option<Vec<&'a [u8]>> {
        (last <= self.head).then(|| self.chain.logs(first, last)).flatten()
    }

    /// Returns the text of a block's receipts, or `None` above the head or below the chain.
    pub fn receipts(&self, number: u64) -> Option<Cow<'a, [u8]>> {
        (number <= self.head).then(|| self.chain.receipts(number)).flatten()
    }
}
