//! Which blocks: the range as the user types it, and the blocks it means.
//!
//! Both ends are included, like `fromBlock` and `toBlock`. Parsing knows no chain; resolving is
//! given what the ledger and a node know. Neither asks anybody.

use event::BlockRange;
use std::{fmt, ops::Range, str::FromStr};

/// A range as typed: where it starts and where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RangeSpec {
    /// Where it starts.
    pub(crate) start: Start,
    /// Where it ends.
    pub(crate) end: End,
}

/// The first block of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// This block.
    At(u64),
    /// So many blocks, the last of which is the end.
    Last(u64),
    /// Where the ledger's coverage stops, else where the contract starts.
    Continue,
}

/// The last block of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// This block.
    At(u64),
    /// So many blocks from the start.
    Count(u64),
    /// The newest finalized block.
    Finalized,
    /// The head.
    Latest,
}

/// What open ends resolve to, as far as known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// First block not covered yet, else the first block of the contract.
    pub(crate) start: Option<u64>,
    /// The newest finalized block.
    pub(crate) finalized: Option<u64>,
    /// The head.
    pub(crate) latest: Option<u64>,
}

/// Why a range means no blocks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RangeError {
    /// It does not parse.
    #[error("{reason}\n    {input}\n    {:width$}{}", "", "^".repeat(at.len().max(1)), width = at.start)]
    Grammar {
        /// What was typed.
        input: String,
        /// Which characters are wrong.
        at: Range<usize>,
        /// Why.
        reason: String,
    },
    /// The first block lies behind the last.
    #[error("the range starts at block {first} and ends before it, at block {last}")]
    Inverted {
        /// First block.
        first: u64,
        /// Last block.
        last: u64,
    },
    /// The range starts beyond what there is.
    #[error("the range starts at block {first}, but the {end} block is {last}")]
    BeyondEnd {
        /// First block.
        first: u64,
        /// Which end was meant.
        end: &'static str,
        /// Its number.
        last: u64,
    },
    /// It ends beyond what numbers can say.
    #[error("{count} blocks from block {first} on end beyond any block number")]
    TooHigh {
        /// First block.
        first: u64,
        /// Number of blocks.
        count: u64,
    },
    /// An empty ledger gives no place to continue from.
    #[error("nothing tells where to start: the ledger covers no block yet")]
    NoStart,
    /// No node could tell the end.
    #[error("no node tells its {0} block")]
    NoEnd(&'static str),
}

impl RangeError {
    /// Returns what to type instead.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Grammar { input, .. } if spelt_with_a_colon(input).is_some() => {
                let range = spelt_with_a_colon(input).unwrap_or_default();
                format!("both ends are included, with a colon between them: -b {range}")
            }
            Self::Grammar { .. } => "ranges are FIRST:LAST (both included), FIRST:+COUNT, BLOCK, \
                 -COUNT: (the last ones), FIRST:, :LAST, :finalized or FIRST:latest; \
                 numbers may be 18_000_000, 18M or 18.1M"
                .to_owned(),
            Self::Inverted { first, last } => format!("swap the ends: -b {last}:{first}"),
            Self::BeyondEnd { end: "finalized", first, .. } => {
                format!("wait, or read up to the head: -b {first}:latest")
            }
            Self::BeyondEnd { .. } | Self::TooHigh { .. } => {
                "check the number and the chain".to_owned()
            }
            Self::NoStart => {
                "name the first block, for example -b 18M:+10k, or the block in which \
                 the contract was deployed: -b BLOCK:finalized"
                    .to_owned()
            }
            Self::NoEnd("finalized") => "name the last block, as in -b 100:200, read up to the \
                 head with -b 100:latest, or set finality = \"depth:64\" in headcount.toml"
                .to_owned(),
            Self::NoEnd(_) => "name the last block, as in -b 100:200".to_owned(),
        }
    }
}

impl RangeSpec {
    /// What is read where nothing is said: what is new, up to the newest finalized block.
    pub(crate) const NEW: Self = Self { start: Start::Continue, end: End::Finalized };

    /// Whether the ledger has to be asked where its coverage stops.
    pub(crate) const fn needs_start(&self) -> bool {
        matches!(self.start, Start::Continue)
    }

    /// Parses what the user typed.
    pub(crate) fn parse(input: &str) -> Result<Self, RangeError> {
        let wrong = |at: Range<usize>, reason: &str| RangeError::Grammar {
            input: input.to_owned(),
            at,
            reason: reason.to_owned(),
        };
        let number =
            |at: Range<usize>| parse_count(&input[at.clone()]).map_err(|reason| wrong(at, &reason));
        let end_of_input = input.len();
        if input.trim() != input || input.is_empty() {
            return Err(wrong(0..end_of_input, "a block range is one word"));
        }
        let Some(colon) = input.find(':') else {
            if input.starts_with('-') {
                return Err(wrong(
                    0..end_of_input,
                    "the last blocks are written with a colon, as in `-1000:`",
                ));
            }
            let block = number(0..end_of_input)?;
            return Ok(Self { start: Start::At(block), end: End::At(block) });
        };
        if let Some(second) = input[colon + 1..].find(':') {
            let at = colon + 1 + second;
            return Err(wrong(at..end_of_input, "a range has one colon"));
        }
        let start = match &input[..colon] {
            "" => Start::Continue,
            text if text.starts_with('-') => Start::Last(number(1..colon)?),
            _ => Start::At(number(0..colon)?),
        };
        let end = match &input[colon + 1..] {
            "" | "finalized" => End::Finalized,
            "latest" => End::Latest,
            text if text.starts_with('+') => End::Count(number(colon + 2..end_of_input)?),
            text if text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                return Err(wrong(
                    colon + 1..end_of_input,
                    "the end is a number, `finalized` or `latest`",
                ));
            }
            _ => End::At(number(colon + 1..end_of_input)?),
        };
        match (start, end) {
            (Start::Last(0), _) => Err(wrong(0..colon, "no block is no range")),
            (_, End::Count(0)) => Err(wrong(colon + 1..end_of_input, "no block is no range")),
            (Start::Last(_), End::Count(_)) => Err(wrong(
                colon + 1..end_of_input,
                "the last blocks end at a block, not after a count",
            )),
            (Start::At(first), End::Count(count)) if first.checked_add(count - 1).is_none() => {
                Err(wrong(colon + 1..end_of_input, "there are no block numbers as high as that"))
            }
            (Start::At(first), End::At(last)) if first > last => {
                Err(RangeError::Inverted { first, last })
            }
            _ => Ok(Self { start, end }),
        }
    }

    /// Says where fewer blocks are meant than were asked for, for there are no more before that end.
    pub(crate) fn shortened(&self, range: BlockRange) -> Option<String> {
        let Start::Last(count) = self.start else { return None };
        let end = match self.end {
            End::Finalized => "finalized ",
            End::Latest => "newest ",
            End::At(_) | End::Count(_) => "",
        };
        let more = match self.end {
            End::Finalized => format!("; -b -{count}:latest goes up to the head"),
            _ => String::new(),
        };
        (range.count() < count).then(|| {
            let blocks = crate::summary::blocks(range.count());
            let are = if range.count() == 1 { "is" } else { "are" };
            format!(
                "there {are} only {blocks} up to the {end}block {}, not {count}{more}",
                range.last()
            )
        })
    }

    /// Returns the blocks meant, or `None` where everything up to the end is covered already.
    pub(crate) fn resolve(&self, bounds: &Bounds) -> Result<Option<BlockRange>, RangeError> {
        let last = match self.end {
            End::At(last) => Some((last, "last")),
            End::Finalized => {
                Some((bounds.finalized.ok_or(RangeError::NoEnd("finalized"))?, "finalized"))
            }
            End::Latest => Some((bounds.latest.ok_or(RangeError::NoEnd("latest"))?, "latest")),
            End::Count(_) => None,
        };
        let first = match (self.start, last) {
            (Start::At(first), _) => first,
            (Start::Continue, _) => bounds.start.ok_or(RangeError::NoStart)?,
            (Start::Last(count), Some((last, _))) => last.saturating_sub(count.saturating_sub(1)),
            (Start::Last(_), None) => return Err(RangeError::NoStart),
        };
        let Some((last, end)) = last else {
            let End::Count(count) = self.end else { return Err(RangeError::NoStart) };
            let last = count.checked_sub(1).and_then(|more| first.checked_add(more));
            let range = last.and_then(|last| BlockRange::new(first, last));
            return range.map(Some).ok_or(RangeError::TooHigh { first, count });
        };
        match (BlockRange::new(first, last), self.start) {
            (Some(range), _) => Ok(Some(range)),
            (None, Start::Continue) => Ok(None),
            (None, _) => Err(RangeError::BeyondEnd { first, end, last }),
        }
    }
}

/// Returns how a range is written that other tools write as `0-60` or `0..60`; `..` leaves the end out
/// there, `..=` does not.
fn spelt_with_a_colon(input: &str) -> Option<String> {
    let between = ["..=", "...", "..", "-", "\u{2013}", ","];
    let (first, last) = between.iter().find_map(|sign| {
        let (first, last) = input.split_once(sign)?;
        (parse_count(first).is_ok() && parse_count(last).is_ok()).then_some((first, last))
    })?;
    Some(format!("{first}:{last}"))
}

/// Parses a number of blocks: digits, `_` between them, and `k` or `M` behind.
pub(crate) fn parse_count(text: &str) -> Result<u64, String> {
    let (digits, scale) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 3),
        Some(b'M') => (&text[..text.len() - 1], 6),
        Some(b'm') => return Err("a million is written with a capital `M`".to_owned()),
        _ => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_run = |run: &str| {
        run.split('_').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    };
    if text.is_empty() {
        return Err("a block number is missing".to_owned());
    }
    if !is_run(whole) || !is_run(fraction) {
        return Err(format!("`{text}` is not a block number"));
    }
    let fraction = fraction.replace('_', "");
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > scale {
        return Err(format!("`{text}` is not a whole number of blocks"));
    }
    let too_large = || format!("`{text}` is larger than any block number");
    let digits = format!("{}{fraction:0<scale$}", whole.replace('_', ""));
    digits.parse().map_err(|_| too_large())
}

/// Prints what [`RangeSpec::parse`] reads back as the same range.
impl fmt::Display for RangeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.start {
            Start::At(first) => write!(f, "{first}:")?,
            Start::Last(count) => write!(f, "-{count}:")?,
            Start::Continue => f.write_str(":")?,
        }
        match self.end {
            End::At(last) => write!(f, "{last}"),
            End::Count(count) => write!(f, "+{count}"),
            End::Finalized => f.write_str("finalized"),
            End::Latest => f.write_str("latest"),
        }
    }
}

impl FromStr for RangeSpec {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use proptest::prelude::*;

    const BOUNDS: Bounds =
        Bounds { start: Some(500), finalized: Some(10_000), latest: Some(10_064) };

    fn resolved(text: &str) -> Option<(u64, u64)> {
        let range = RangeSpec::parse(text).unwrap().resolve(&BOUNDS).unwrap();
        range.map(|range| (range.first(), range.last()))
    }

    #[test]
    fn every_form_means_these_blocks() {
        for (text, first, last) in [
            ("7", 7, 7),
            ("7:9", 7, 9),
            ("7:+3", 7, 9),
            ("18M:+10k", 18_000_000, 18_009_999),
            ("18.1M", 18_100_000, 18_100_000),
            ("18_000_000:18.000_1M", 18_000_000, 18_000_100),
            ("1.5k:2K", 1_500, 2_000),
            ("-1000:", 9_001, 10_000),
            ("-1:latest", 10_064, 10_064),
            ("-10:100", 91, 100),
            ("-1000:3", 0, 3),
            ("7:", 7, 10_000),
            ("7:finalized", 7, 10_000),
            ("7:latest", 7, 10_064),
            (":600", 500, 600),
            (":+5", 500, 504),
            (":finalized", 500, 10_000),
            (":", 500, 10_000),
            ("0", 0, 0),
        ] {
            assert_eq!(resolved(text), Some((first, last)), "{text}");
        }
    }

    #[test]
    fn what_is_covered_already_is_nothing_to_do_rather_than_an_error() {
        assert_eq!(resolved(":499"), None);
    }

    #[test]
    fn wrong_ranges_say_what_is_wrong() {
        for (text, reason) in [
            ("", "one word"),
            (" 7", "one word"),
            ("x", "not a block number"),
            ("7:x", "the end is a number"),
            ("7:8:9", "one colon"),
            ("7:+0", "no block"),
            ("-0:", "no block"),
            ("-5:+5", "not after a count"),
            ("-5", "with a colon"),
            ("18.1234567M", "not a whole number"),
            ("1.5", "not a whole number"),
            ("18m", "capital `M`"),
            ("1__0", "not a block number"),
            ("_1", "not a block number"),
            ("0x10", "not a block number"),
            ("99999999999999999999", "larger than"),
            ("9:7", "ends before it"),
            ("7:+", "missing"),
            ("18446744073709551615:+2", "as high as that"),
        ] {
            let error = RangeSpec::parse(text).unwrap_err();
            assert!(error.to_string().contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_range_as_other_tools_write_it_is_told_in_our_words() {
        for (text, hint) in [
            ("0-60", "-b 0:60"),
            ("0..60", "-b 0:60"),
            ("18M..=18.1M", "-b 18M:18.1M"),
            ("1_000-2_000", "-b 1_000:2_000"),
        ] {
            let error = RangeSpec::parse(text).unwrap_err();
            assert!(error.hint().ends_with(hint), "{text}: {}", error.hint());
        }
        for other in ["x-60", "-5", "7:x", "a..b"] {
            let hint = RangeSpec::parse(other).unwrap_err().hint();
            assert!(hint.starts_with("ranges are"), "{other}: {hint}");
        }
    }

    #[test]
    fn fewer_blocks_than_were_asked_for_are_told() {
        let said = |text: &str, bounds: &Bounds| {
            let spec = RangeSpec::parse(text).unwrap();
            spec.shortened(spec.resolve(bounds).unwrap().unwrap())
        };
        let young = Bounds { start: None, finalized: Some(0), latest: Some(41) };
        assert_eq!(
            said("-10:", &young).unwrap(),
            "there is only 1 block up to the finalized block 0, not 10; -b -10:latest goes up to \
             the head"
        );
        assert_eq!(
            said("-100:latest", &young).unwrap(),
            "there are only 42 blocks up to the newest block 41, not 100"
        );
        assert_eq!(said("-10:latest", &young), None);
        assert_eq!(said("-10:", &BOUNDS), None);
        assert_eq!(said("0:5", &young), None);
    }

    #[test]
    fn carets_point_at_the_wrong_part() {
        let error = RangeSpec::parse("18M:18.1234567M").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`18.1234567M` is not a whole number of blocks\n    18M:18.1234567M\n        ^^^^^^^^^^^"
        );
    }

    #[test]
    fn an_empty_ledger_never_starts_at_genesis() {
        let bounds = Bounds { start: None, ..BOUNDS };
        assert_eq!(RangeSpec::NEW.resolve(&bounds), Err(RangeError::NoStart));
    }

    #[test]
    fn an_end_that_no_node_tells_is_an_error() {
        let bounds = Bounds { finalized: None, ..BOUNDS };
        let spec = RangeSpec::parse("7:").unwrap();
        assert_eq!(spec.resolve(&bounds), Err(RangeError::NoEnd("finalized")));
        let spec = RangeSpec::parse("20k:").unwrap();
        assert!(matches!(spec.resolve(&BOUNDS), Err(RangeError::BeyondEnd { .. })));
    }

    #[test]
    fn a_range_ends_at_the_highest_number_and_not_beyond() {
        assert_eq!(resolved("18446744073709551615:+1"), Some((u64::MAX, u64::MAX)));
        let spec = RangeSpec::parse(":+18446744073709551615").unwrap();
        let bounds = Bounds { start: Some(2), ..BOUNDS };
        let beyond = RangeError::TooHigh { first: 2, count: u64::MAX };
        assert_eq!(spec.resolve(&bounds), Err(beyond));
    }

    proptest! {
        #[test]
        fn printed_and_read_back_is_the_same(first: u64, second: u64, kind in 0..9) {
            let (low, high) = (first.min(second), first.max(second));
            let (start, end) = match kind {
                0 => (Start::At(low), End::At(high)),
                1 => (Start::At(low), End::Count((high - low).max(1))),
                2 => (Start::At(low), End::Finalized),
                3 => (Start::At(low), End::Latest),
                4 => (Start::Last(low.max(1)), End::Finalized),
                5 => (Start::Last(low.max(1)), End::At(high)),
                6 => (Start::Continue, End::At(high)),
                7 => (Start::Continue, End::Count(high.max(1))),
                _ => (Start::Continue, End::Latest),
            };
            let spec = RangeSpec { start, end };
            prop_assert_eq!(RangeSpec::parse(&spec.to_string()), Ok(spec));
        }

        #[test]
        fn no_text_panics(text in "[-+:._kKmM0-9a-zé ]{0,24}") {
            if let Ok(spec) = RangeSpec::parse(&text) {
                let _ = spec.resolve(&BOUNDS);
            }
        }
    }
}
