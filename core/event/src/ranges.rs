//! A set of blocks, as ranges. Does not know what the blocks are in it for.

use crate::BlockRange;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Blocks as ranges that are sorted, disjoint, and joined where they touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<BlockRange>")]
pub struct BlockRanges(Vec<BlockRange>);

impl BlockRanges {
    /// Adds the blocks of `range`.
    pub fn add(&mut self, range: BlockRange) {
        let before = range.first().saturating_sub(1);
        let after = range.last().saturating_add(1);
        let start = self.0.partition_point(|held| held.last() < before);
        let end = self.0.partition_point(|held| held.first() <= after).max(start);
        let joined = self.0[start..end].iter().fold(range, |joined, held| joined.hull(*held));
        self.0.splice(start..end, [joined]);
    }

    /// Returns the parts of `range` that are not in the set, in order.
    pub fn outside(&self, range: BlockRange) -> Vec<BlockRange> {
        let mut parts = Vec::new();
        let mut first = Some(range.first());
        let start = self.0.partition_point(|held| held.last() < range.first());
        for held in self.0[start..].iter().take_while(|held| held.first() <= range.last()) {
            let before = held.first().checked_sub(1);
            parts.extend(first.zip(before).and_then(|(first, last)| BlockRange::new(first, last)));
            first = held.last().checked_add(1);
        }
        parts.extend(first.and_then(|first| BlockRange::new(first, range.last())));
        parts
    }

    /// Returns the parts of `range` that are in the set, in order.
    pub fn within(&self, range: BlockRange) -> impl Iterator<Item = BlockRange> {
        let start = self.0.partition_point(|held| held.last() < range.first());
        self.0[start..].iter().map_while(move |held| held.intersection(&range))
    }

    /// Whether the block is in the set.
    pub fn contains(&self, number: u64) -> bool {
        let at = self.0.partition_point(|held| held.last() < number);
        self.0.get(at).is_some_and(|held| held.contains(number))
    }

    /// Returns the ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = BlockRange> {
        self.0.iter().copied()
    }

    /// Number of blocks.
    pub fn count(&self) -> u64 {
        self.0.iter().map(BlockRange::count).sum()
    }

    /// Number of ranges.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no block in it.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets the narrowest ranges until there are at most so many.
    pub fn keep_widest(&mut self, ranges_max: usize) {
        while self.0.len() > ranges_max {
            let narrowest = self.0.iter().enumerate().min_by_key(|(_, range)| range.count());
            let Some((at, _)) = narrowest else { return };
            self.0.remove(at);
        }
    }
}

impl FromIterator<BlockRange> for BlockRanges {
    fn from_iter<I: IntoIterator<Item = BlockRange>>(ranges: I) -> Self {
        // In order, so that each one is added at the end: some are many.
        let mut ranges: Vec<BlockRange> = ranges.into_iter().collect();
        ranges.sort_unstable();
        let mut set = Self::default();
        ranges.into_iter().for_each(|range| set.add(range));
        set
    }
}

impl From<Vec<BlockRange>> for BlockRanges {
    fn from(ranges: Vec<BlockRange>) -> Self {
        ranges.into_iter().collect()
    }
}

/// As `FIRST:LAST`, with commas between; empty for no blocks.
impl fmt::Display for BlockRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{range}")?;
        }
        Ok(())
    }
}

impl FromStr for BlockRanges {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = |part: &str| {
            let (first, last) = part.split_once(':')?;
            BlockRange::new(first.parse().ok()?, last.parse().ok()?)
        };
        let parts = text.split(',').filter(|part| !part.is_empty());
        parts.map(|part| range(part).ok_or_else(|| format!("`{part}` is no range"))).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::collections::BTreeSet;

    fn range(first: u64, last: u64) -> BlockRange {
        BlockRange::new(first, last).unwrap()
    }

    /// Every pair of additions over a few blocks, against a plain set.
    #[test]
    fn a_set_of_ranges_has_the_blocks_that_were_added_and_no_other() {
        let all: Vec<BlockRange> =
            (0..8).flat_map(|first| (first..8).map(move |last| range(first, last))).collect();
        for one in &all {
            for two in &all {
                let mut set = BlockRanges::default();
                [*one, range(10, 11), *two].into_iter().for_each(|range| set.add(range));
                let at_once: BlockRanges = [*one, range(10, 11), *two].into_iter().collect();
                assert_eq!(at_once, set);
                let plain: BTreeSet<u64> =
                    (0..12).filter(|n| one.contains(*n) || two.contains(*n) || *n > 9).collect();
                let held: Vec<u64> = set.iter().flat_map(|r| r.first()..=r.last()).collect();
                assert_eq!(held, plain.iter().copied().collect::<Vec<_>>());
                assert_eq!(set.count(), plain.len() as u64);
                let outside = set.outside(range(2, 13));
                let outside: Vec<u64> = outside.iter().flat_map(|r| r.first()..=r.last()).collect();
                assert_eq!(outside, (2..14).filter(|n| !plain.contains(n)).collect::<Vec<_>>());
                assert!(set.iter().zip(set.iter().skip(1)).all(|(a, b)| a.last() + 1 < b.first()));
            }
        }
    }

    #[test]
    fn parts_of_a_range_outside_of_another() {
        let parts = |hole| BlockRanges::from(vec![hole]).outside(range(5, 9));
        assert_eq!(parts(range(0, 4)), [range(5, 9)]);
        assert_eq!(parts(range(10, 20)), [range(5, 9)]);
        assert_eq!(parts(range(0, 20)), []);
        assert_eq!(parts(range(6, 7)), [range(5, 5), range(8, 9)]);
        assert_eq!(parts(range(0, 5)), [range(6, 9)]);
        assert_eq!(parts(range(9, u64::MAX)), [range(5, 8)]);
    }

    #[test]
    fn a_set_of_ranges_reads_what_it_writes_and_nothing_else() {
        let set: BlockRanges = [range(0, u64::MAX)].into_iter().collect();
        assert_eq!(set.outside(range(0, u64::MAX)), []);
        assert_eq!(set.to_string().parse(), Ok(set));
        let set: BlockRanges = [range(7, 9), range(3, 3)].into_iter().collect();
        assert_eq!(set.to_string(), "3:3,7:9");
        assert_eq!("3:3,7:9".parse(), Ok(set.clone()));
        assert_eq!("".parse(), Ok(BlockRanges::default()));
        assert!("9:7".parse::<BlockRanges>().is_err() && "x".parse::<BlockRanges>().is_err());
        let mut kept = set;
        kept.keep_widest(1);
        assert_eq!(kept.to_string(), "7:9");
    }
}
