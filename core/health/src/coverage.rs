//! Is what is final covered, and if not, for how long has it been open?

use crate::{
    chain::ChainView,
    limits::{FINALITY_USUAL_MS, OPEN_RANGES_MAX},
    sample::{ChainSample, FilterCoverage, LedgerSample, LedgerState},
    words,
};
use event::{BlockRange, BlockRanges};
use std::fmt;

/// A range that is final and not covered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRange {
    /// Of which filter.
    pub filter: String,
    /// Blocks.
    pub range: BlockRange,
    /// How long it has been open, in milliseconds: since its first block was final, by the chain's own
    /// time up to the newest block and by the clock from there; or by the clock since it was demanded.
    pub open_ms: u64,
    /// Whether that is longer than the deadline.
    pub is_late: bool,
}

/// The verdict on the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerVerdict {
    /// There is none: only nodes are judged.
    Absent,
    /// It could not be read now, with why: only nodes are judged.
    Unread(String),
    /// Everything final is covered, or will be in time.
    Ok {
        /// Filters.
        filters: u64,
        /// Every filter is covered from its start through this block; `None` where one is not.
        through: Option<u64>,
        /// Open, but not for long.
        open: Vec<OpenRange>,
    },
    /// Something has been open past the deadline.
    Late {
        /// The longest open ones, longest first, at most [`crate::OPEN_RANGES_MAX`].
        open: Vec<OpenRange>,
        /// How many there are.
        count: u64,
    },
    /// No node answers, and the newest covered block is older than it may be.
    Old {
        /// Age of it, in milliseconds.
        age_ms: u64,
    },
    /// It cannot be said, with why.
    Undecided(String),
}

impl LedgerVerdict {
    /// Returns the code for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Unread(_) => "unread",
            Self::Ok { .. } => "ok",
            Self::Late { .. } => "coverage-late",
            Self::Old { .. } => "coverage-old",
            Self::Undecided(_) => "undecided",
        }
    }
}

/// A sentence without a full stop.
impl fmt::Display for LedgerVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("there is none"),
            Self::Unread(why) => write!(f, "not judged: {why}"),
            Self::Ok { filters: 0, .. } => f.write_str("it covers nothing of this chain yet"),
            Self::Ok { filters, through, open } => {
                let filters = words::count(*filters, "filter", "filters");
                match through {
                    Some(through) => write!(f, "{filters} covered through block {through}")?,
                    None => write!(f, "{filters} covered in parts")?,
                }
                let blocks: u64 = open.iter().map(|open| open.range.count()).sum();
                match open.iter().map(|open| open.open_ms).max() {
                    None => Ok(()),
                    Some(ms) => {
                        let (blocks, time) = (words::blocks(blocks), words::time(ms));
                        write!(f, ", {blocks} open for up to {time}")
                    }
                }
            }
            Self::Late { open, count } => {
                let Some(first) = open.first() else { return f.write_str("open for too long") };
                let (range, time) = (first.range, words::time(first.open_ms));
                write!(f, "blocks {range} have been open for {time} ({})", first.filter)?;
                match count.saturating_sub(1) {
                    0 => Ok(()),
                    1 => f.write_str(", and another range"),
                    more => write!(f, ", and {more} more ranges"),
                }
            }
            Self::Old { age_ms } => {
                let time = words::time(*age_ms);
                write!(f, "no node answers, and the newest block it covers is {time} old")
            }
            Self::Undecided(why) => f.write_str(why),
        }
    }
}

/// Judges coverage against what the nodes call final.
pub(crate) fn judge(sample: &ChainSample, view: &ChainView) -> LedgerVerdict {
    let ledger = match &sample.ledger {
        LedgerState::Absent => return LedgerVerdict::Absent,
        LedgerState::Unread(why) => return LedgerVerdict::Unread(why.clone()),
        LedgerState::Read(ledger) => ledger,
    };
    let is_judged = |filter: &&FilterCoverage| {
        filter.start.is_some() || !filter.covered.is_empty() || !filter.owed.is_empty()
    };
    let filters = ledger.coverage.iter().filter(is_judged);
    let count = filters.clone().count() as u64;
    if count == 0 {
        return LedgerVerdict::Ok { filters: 0, through: None, open: Vec::new() };
    }
    let deadline_ms = sample.deadline_ms;
    let mut open: Vec<OpenRange> =
        filters.clone().flat_map(|filter| demanded(filter, sample)).collect();
    // Without the nodes' word, holes below the highest covered block are holes all the same.
    let highest = filters.clone().flat_map(|filter| &filter.covered).map(BlockRange::last).max();
    let owed = view.finalized.or(highest);
    if let Some(owed) = owed {
        // A chain that stands still does not stop the clock.
        let since_ms = idle_ms(sample, ledger, view, owed);
        let holes = filters.clone().flat_map(|filter| {
            let most_ms = wanted_ms(filter, sample);
            open_ranges(filter, owed, (since_ms, most_ms), view)
        });
        open.extend(holes);
    }
    for open in &mut open {
        open.is_late = open.open_ms > deadline_ms;
    }
    open.sort_by(|a, b| b.open_ms.cmp(&a.open_ms).then_with(|| a.filter.cmp(&b.filter)));
    let late = open.iter().filter(|open| open.is_late).count();
    if late > 0 {
        open.truncate(late.min(OPEN_RANGES_MAX));
        return LedgerVerdict::Late { open, count: late as u64 };
    }
    if owed.is_none() {
        return LedgerVerdict::Ok { filters: count, through: None, open };
    }
    if view.finalized.is_none() {
        return without_finalized(sample, ledger, view, filters);
    }
    let through = filters.map(covered_through).min().flatten();
    open.truncate(OPEN_RANGES_MAX);
    LedgerVerdict::Ok { filters: count, through, open }
}

/// What can be said by the clock alone.
fn without_finalized<'a>(
    sample: &ChainSample,
    ledger: &LedgerSample,
    view: &ChainView,
    filters: impl Iterator<Item = &'a FilterCoverage>,
) -> LedgerVerdict {
    if view.head.is_some() {
        return LedgerVerdict::Undecided(
            "no node says which block is final, so nobody knows how far it should be covered"
                .to_owned(),
        );
    }
    let ends = filters.map(|filter| filter.covered.iter().map(BlockRange::last).max());
    let through = ends.min().flatten();
    let age_ms = through.zip(ledger.dated).map(|(through, (number, at_s))| {
        let later_ms = view.blocks_ms(through.saturating_sub(number));
        sample.now_s.saturating_sub(at_s).saturating_mul(1_000).saturating_sub(later_ms)
    });
    match age_ms {
        Some(age_ms) if age_ms > sample.deadline_ms.saturating_add(FINALITY_USUAL_MS) => {
            LedgerVerdict::Old { age_ms }
        }
        _ => LedgerVerdict::Undecided(
            "no node answers, so nobody knows how far it should be covered".to_owned(),
        ),
    }
}

/// Returns how long ago the newest block that is known was made, by the clock; from there on no block
/// tells the time.
fn idle_ms(sample: &ChainSample, ledger: &LedgerSample, view: &ChainView, owed: u64) -> u64 {
    let of_ledger = || {
        let (number, at_s) = ledger.dated?;
        let age_ms = sample.now_s.saturating_sub(at_s).saturating_mul(1_000);
        Some(age_ms.saturating_sub(view.blocks_ms(owed.saturating_sub(number))))
    };
    let age_ms = view.head_age_ms.or_else(of_ledger).unwrap_or(0);
    // The next block is due only then.
    age_ms.saturating_sub(view.block_time_ms)
}

/// Returns how long a filter can have been wanted.
fn wanted_ms(filter: &FilterCoverage, sample: &ChainSample) -> u64 {
    filter
        .wanted_since_s
        .map_or(u64::MAX, |since_s| sample.now_s.saturating_sub(since_s).saturating_mul(1_000))
}

/// Returns what runs demanded and did not get: open since then.
fn demanded(filter: &FilterCoverage, sample: &ChainSample) -> Vec<OpenRange> {
    let open = |(range, since_s): &(BlockRange, u64)| OpenRange {
        filter: filter.filter.clone(),
        range: *range,
        open_ms: sample.now_s.saturating_sub(*since_s).saturating_mul(1_000),
        is_late: false,
    };
    filter.owed.iter().map(open).collect()
}

fn sorted(filter: &FilterCoverage) -> Vec<BlockRange> {
    let mut covered = filter.covered.clone();
    covered.sort_unstable();
    covered
}

/// Returns what is not covered from the block that the filter starts with through `owed`. What was never read, or is
/// demanded and was not shown since, is open for no longer than the filter can have been wanted, however old its
/// blocks are. Asking for it once more is no new beginning.
fn open_ranges(
    filter: &FilterCoverage,
    owed: u64,
    (since_ms, most_ms): (u64, u64),
    view: &ChainView,
) -> Vec<OpenRange> {
    let covered = sorted(filter);
    let is_new = covered.is_empty() && filter.owed.is_empty();
    let demanded: BlockRanges = filter.owed.iter().map(|(range, _)| *range).collect();
    let first = covered.first().map(BlockRange::first);
    let mut next = filter.start.or(first).unwrap_or(owed);
    let end = BlockRange::new(owed.saturating_add(1), u64::MAX);
    let mut open = Vec::new();
    for range in covered.into_iter().chain(end) {
        if let Some(last) = range.first().min(owed.saturating_add(1)).checked_sub(1)
            && let Some(hole) = BlockRange::new(next, last)
        {
            let known = demanded.outside(hole).into_iter().map(|range| (range, is_new));
            let parts = demanded.within(hole).map(|range| (range, true)).chain(known);
            for (range, is_young) in parts {
                let final_ms = view.blocks_ms(owed.saturating_sub(range.first()));
                let open_ms = final_ms.saturating_add(since_ms);
                let open_ms = if is_young { open_ms.min(most_ms) } else { open_ms };
                let filter = filter.filter.clone();
                open.push(OpenRange { filter, range, open_ms, is_late: false });
            }
        }
        next = next.max(range.last().saturating_add(1));
    }
    open
}

/// Returns the last covered block, where every block from the first covered one to it is covered.
fn covered_through(filter: &FilterCoverage) -> Option<u64> {
    let mut through: Option<u64> = None;
    for range in sorted(filter) {
        if through.is_some_and(|through| range.first() > through.saturating_add(1)) {
            return None;
        }
        through = through.max(Some(range.last()));
    }
    through
}
