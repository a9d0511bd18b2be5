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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn hash(number: u64) -> B256 {
        B256::repeat_byte(number as u8)
    }

    fn headers(numbers: impl IntoIterator<Item = u64>) -> Headers {
        numbers.into_iter().map(|n| (n, (hash(n), hash(n - 1)))).collect()
    }

    #[test]
    fn headers_hang_together_over_several_windows() {
        let mut links = Links::new(Some(BlockNumHash { number: 9, hash: hash(9) }));
        links.take(1, 5, &headers(1..=5));
        links.take(6, 9, &headers(6..=9));
        assert_eq!(links.broken, None);
        assert_eq!((links.first.unwrap().number, links.last().unwrap().number), (1, 9));
    }

    #[test]
    fn the_highest_break_counts_and_another_hash_at_the_anchor_is_one() {
        let mut links = Links::new(Some(BlockNumHash { number: 9, hash: hash(77) }));
        links.take(1, 9, &headers([1, 2, 3, 5, 6, 7, 8, 9]));
        assert_eq!(links.broken.as_ref().unwrap().below, 9, "not the block believed");
        let mut links = Links::new(None);
        links.take(1, 9, &headers([1, 2, 3, 5, 6, 7, 8, 9]));
        assert_eq!(links.broken.as_ref().unwrap().below, 4, "no header of block 4");
        let mut other = headers(6..=9);
        other.insert(6, (hash(6), hash(99)));
        let mut links = Links::new(None);
        links.take(1, 5, &headers(1..=5));
        links.take(6, 9, &other);
        assert_eq!(links.broken.unwrap().below, 5, "the parent of block 6 is another one");
    }
}
