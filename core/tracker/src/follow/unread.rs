//! Blocks that are to be read, oldest first, with their headers where those are at hand.

use crate::follow::round::ROUND_BLOCKS_MAX;
use alloy_primitives::B256;
use event::{BlockAnswer, BlockNumHash};
use std::collections::{BTreeMap, BTreeSet};

/// Never more than one block a height, so no more than the window holds.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    blocks: BTreeMap<u64, (B256, Option<BlockAnswer>)>,
    /// Headers on their way.
    asked: BTreeSet<B256>,
}

impl Unread {
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Number of blocks and of headers on their way.
    pub(crate) fn held(&self) -> usize {
        self.blocks.len() + self.asked.len()
    }

    pub(crate) fn add(&mut self, blocks: Vec<BlockAnswer>) {
        let keyed = blocks.into_iter().map(|b| (b.header.number, (b.hash, Some(b))));
        self.blocks.extend(keyed);
    }

    /// Puts back what a round did not come to.
    pub(crate) fn put_back(&mut self, blocks: Vec<BlockAnswer>) {
        self.add(blocks);
    }

    /// Adds blocks whose headers are to be read; those that are here already stay as they are.
    pub(crate) fn add_names(&mut self, blocks: impl Iterator<Item = BlockNumHash>) {
        for BlockNumHash { number, hash } in blocks {
            if self.blocks.get(&number).is_none_or(|(known, _)| *known != hash) {
                self.blocks.insert(number, (hash, None));
            }
        }
    }

    pub(crate) fn drop_from(&mut self, number: u64) {
        let dropped = self.blocks.split_off(&number);
        dropped.values().for_each(|(hash, _)| {
            self.asked.remove(hash);
        });
    }

    /// Drops a block whose header cannot be had; returns how many that were.
    pub(crate) fn drop_block(&mut self, hash: B256) -> u64 {
        let before = self.blocks.len();
        self.asked.remove(&hash);
        self.blocks.retain(|_, (known, header)| *known != hash || header.is_some());
        (before - self.blocks.len()) as u64
    }

    /// Returns the headers to ask for before the next round can begin.
    pub(crate) fn headers_due(&mut self) -> Vec<B256> {
        let run = self.run().into_iter().filter_map(|number| self.blocks.get(&number));
        let due: Vec<B256> = run
            .filter(|(hash, header)| header.is_none() && !self.asked.contains(hash))
            .map(|(hash, _)| *hash)
            .collect();
        self.asked.extend(due.iter().copied());
        due
    }

    /// Takes a header that was asked for. One of another block drops the block it was for.
    pub(crate) fn on_header(&mut self, hash: B256, block: Option<BlockAnswer>) {
        self.asked.remove(&hash);
        let Some(block) = block else {
            self.drop_block(hash);
            return;
        };
        match self.blocks.get_mut(&block.header.number) {
            Some((known, header)) if *known == hash && block.hash == hash => *header = Some(block),
            _ => {
                self.drop_block(hash);
            }
        }
    }

    /// Takes the next run of consecutive blocks; none while one of them lacks its header.
    pub(crate) fn take_run(&mut self) -> Vec<BlockAnswer> {
        let run = self.run();
        let is_ready =
            run.iter().all(|n| self.blocks.get(n).is_some_and(|(_, header)| header.is_some()));
        if !is_ready {
            return Vec::new();
        }
        run.iter().filter_map(|number| self.blocks.remove(number)?.1).collect()
    }

    /// Heights of the next run.
    fn run(&self) -> Vec<u64> {
        let heights = self.blocks.keys().copied();
        let first = self.blocks.first_key_value().map_or(0, |(first, _)| *first);
        heights
            .zip(first..)
            .take_while(|(number, expected)| number == expected)
            .map(|(number, _)| number)
            .take(ROUND_BLOCKS_MAX)
            .collect()
    }
}
