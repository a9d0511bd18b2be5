//! Which blocks are proved where only a share of them is: the same in every run, through every node
//! and on every branch. Does not prove anything.

use crate::BlockRange;

/// Blocks that are chosen together, so that what is proved of a long range is a few intervals and
/// not one for each block.
const STRETCH_BLOCKS: u64 = 64;

/// Stretches of a range that are told apart, at most: 64 million blocks. All of what lies beyond
/// counts as chosen until a run has come near.
const STRETCHES_MAX: u64 = 1_000_000;

/// Parts of a whole.
const WHOLE: u16 = 10_000;

/// A share of the blocks: more than nothing and less than all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sample(u16);

impl Sample {
    /// Returns so many ten-thousandths; `None` unless from 1 to 9,999.
    pub const fn new(ten_thousandths: u16) -> Option<Self> {
        if ten_thousandths > 0 && ten_thousandths < WHOLE {
            Some(Self(ten_thousandths))
        } else {
            None
        }
    }

    /// Whether the block is among them. What is chosen for a small share is chosen for a larger one.
    pub const fn holds(self, number: u64) -> bool {
        mixed(number / STRETCH_BLOCKS) % (WHOLE as u64) < self.0 as u64
    }

    /// Cuts a range into what is among them and what is not, in order.
    pub fn parts(self, range: BlockRange) -> Vec<(BlockRange, bool)> {
        let mut parts: Vec<(BlockRange, bool)> = Vec::new();
        let mut next = Some(range.first());
        for _ in 0..STRETCHES_MAX {
            let Some(first) = next.filter(|first| *first <= range.last()) else { return parts };
            let last = (first / STRETCH_BLOCKS * STRETCH_BLOCKS).saturating_add(STRETCH_BLOCKS - 1);
            let Some(part) = BlockRange::new(first, last.min(range.last())) else { return parts };
            push(&mut parts, part, self.holds(first));
            next = part.last().checked_add(1);
        }
        if let Some(rest) = next.and_then(|first| BlockRange::new(first, range.last())) {
            push(&mut parts, rest, true);
        }
        parts
    }

    /// Returns the number of blocks of the range that are among them.
    pub fn count_in(self, range: BlockRange) -> u64 {
        let chosen = self.parts(range).into_iter().filter(|(_, is_chosen)| *is_chosen);
        chosen.fold(0, |sum: u64, (part, _)| sum.saturating_add(part.count()))
    }
}

fn push(parts: &mut Vec<(BlockRange, bool)>, part: BlockRange, is_chosen: bool) {
    match parts.last_mut() {
        Some((last, same)) if *same == is_chosen => *last = last.hull(part),
        _ => parts.push((part, is_chosen)),
    }
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

impl std::str::FromStr for Sample {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no share from 0.01% to 99.99%");
        let digits = text.strip_suffix('%').ok_or_else(wrong)?;
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(part) || !(1..=2).contains(&part.len()) {
            return Err(wrong());
        }
        let whole: u16 = whole.parse().map_err(|_| wrong())?;
        let part: u16 = format!("{part:0<2}").parse().map_err(|_| wrong())?;
        let share = whole.checked_mul(100).and_then(|whole| whole.checked_add(part));
        share.and_then(Self::new).ok_or_else(wrong)
    }
}

/// SplitMix64: neighbours come out far from each other.
const fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_share_is_read_as_it_is_written() {
        for text in ["5%", "0.01%", "0.5%", "12.34%", "99.99%"] {
            assert_eq!(text.parse::<Sample>().unwrap().to_string(), text);
        }
        assert_eq!("5.0%".parse::<Sample>().unwrap().to_string(), "5%");
        for text in ["5", "0%", "100%", "0.001%", "-1%", "5.%", ".5.5%", "%", "99999%", "655.36%"] {
            assert!(text.parse::<Sample>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_sample_is_about_as_large_as_it_says_and_smaller_ones_lie_within_it() {
        let range = BlockRange::new(18_000_000, 18_999_999).unwrap();
        let [small, large] = ["1%", "20%"].map(|text| text.parse::<Sample>().unwrap());
        assert!((8_000..12_000).contains(&small.count_in(range)), "{}", small.count_in(range));
        assert!((190_000..210_000).contains(&large.count_in(range)), "{}", large.count_in(range));
        assert!((0..100_000).all(|number| !small.holds(number) || large.holds(number)));
    }

    #[test]
    fn parts_are_the_range_block_by_block() {
        let sample: Sample = "30%".parse().unwrap();
        let range = BlockRange::new(1_001, 9_999).unwrap();
        let parts = sample.parts(range);
        let mut number = range.first();
        for (part, is_chosen) in &parts {
            assert_eq!(part.first(), number);
            assert!((part.first()..=part.last()).all(|n| sample.holds(n) == *is_chosen));
            number = part.last() + 1;
        }
        assert_eq!(number, range.last() + 1);
        assert!(parts.windows(2).all(|pair| pair[0].1 != pair[1].1));
        let everything = BlockRange::new(0, u64::MAX).unwrap();
        assert_eq!(sample.parts(everything).last().unwrap().0.last(), u64::MAX);
    }
}
