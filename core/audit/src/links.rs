//! Whether the headers of the range hang together, block by block upwards, and lead to the block
//! that is believed.

use alloy_primitives::B256;
use event::BlockNumHash;
use std::collections::BTreeMap;

/// Where the chain of headers is interrupted: nothing at or below this block leads to the anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// Highest block that is cut off.
    pub below: u64,
    /// Why.
    pub reason: String,
}

/// Hash and parent of blocks, by height, as trusted nodes gave their headers.
pub(crate) type Headers = BTreeMap<u64, (B256, B256)>;

/// Follows headers upwards.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    last: Option<BlockNumHash>,
    pub(crate) first: Option<BlockNumHash>,
    pub(crate) broken: Option<Break>,
    anchor: Option<BlockNumHash>,
}

impl Links {
    pub(crate) fn new(anchor: Option<BlockNumHash>) -> Self {
        Self { anchor, ..Self::default() }
    }

    pub(crate) const fn last(&self) -> Option<BlockNumHash> {
        self.last
    }

    /// Takes the blocks from `first` to `last`, which follow those taken before.
    pub(crate) fn take(&mut self, first: u64, last: u64, headers: &Headers) {
        for number in first..=last {
            let Some((hash, parent)) = headers.get(&number).copied() else {
                self.last = None;
                self.cut(number, format!("no header of block {number} was had"));
                continue;
            };
            if self.last.is_some_and(|before| before.hash != parent) {
                let before = number.saturating_sub(1);
                self.cut(before, format!("the parent of block {number} is not block {before}"));
            }
            let block = BlockNumHash { number, hash };
            if self.anchor.is_some_and(|a| a.number == number && a.hash != hash) {
                self.cut(number, format!("block {number} is {hash}, not the one believed"));
            }
            self.first = self.first.or(Some(block));
            self.last = Some(block);
        }
    }

    fn cut(&mut self, below: u64, reason: String) {
        self.broken = Some(Break { below, reason });
    }
}
