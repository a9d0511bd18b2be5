//! Coverage as it is stored, change by change: what the aggregator says, however the store writes it.

use crate::given::{CHAIN, Place, filter, hash, interval};
use event::{BlockRange, Commit, CoverageChange, Interval, Links, NodeId, Store};
use std::collections::BTreeMap;
use store::{OpenMode, Value};

/// Blocks that are ever covered.
const BLOCKS: u64 = 40;

/// Splitmix64.
fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut x = *random;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Who covers each block; what a naive aggregator would keep.
type Covered = BTreeMap<u64, &'static str>;

/// Neighbours that say the same are one interval.
fn intervals(covered: &Covered) -> Vec<Interval> {
    let mut intervals: Vec<(u64, u64, &str)> = Vec::new();
    for (number, node) in covered {
        match intervals.last_mut() {
            Some((_, last, of)) if *last + 1 == *number && of == node => *last = *number,
            _ => intervals.push((*number, *number, node)),
        }
    }
    let as_stored = |(first, last, node): (u64, u64, &str)| Interval {
        nodes: vec![NodeId::new(node)],
        links: (node != "without links")
            .then(|| Links { first_parent: hash(first - 1, 1), last_hash: hash(last, 1) }),
        ..interval(BlockRange::new(first, last).unwrap())
    };
    intervals.into_iter().map(as_stored).collect()
}

/// What changes where `blocks` change: all intervals that touch them, before or after.
fn change(before: &Covered, after: &Covered, blocks: BlockRange) -> CoverageChange {
    let touching = |covered: &Covered| {
        let near = BlockRange::new(blocks.first() - 1, blocks.last() + 1).unwrap();
        let all = intervals(covered).into_iter();
        all.filter(move |interval| interval.range.intersection(&near).is_some())
    };
    let ranges = touching(before).chain(touching(after)).map(|interval| interval.range);
    let range = ranges.fold(blocks, BlockRange::hull);
    let within = intervals(after).into_iter();
    let within = within.filter(|interval| interval.range.intersection(&range).is_some());
    CoverageChange { filter: filter(), range, intervals: within.collect() }
}

/// Heads that follow one another, from this one on.
const FIRST: u64 = 100;

/// What says that everything is covered from [`FIRST`] on up to `last`, where it was up to `before`.
fn heads(last: u64, before: u64) -> CoverageChange {
    let range = |last| BlockRange::new(FIRST, last).unwrap();
    let links = Some(Links { first_parent: hash(FIRST - 1, 0), last_hash: hash(last, 0) });
    CoverageChange {
        filter: filter(),
        range: range(last.max(before)),
        intervals: vec![Interval { links, ..interval(range(last)) }],
    }
}

#[test]
fn a_head_adds_a_row_and_many_of_them_become_one() {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    let covered = |ledger: &mut store::DuckLedger| ledger.load(CHAIN).unwrap().coverage;
    let mut before = FIRST;
    // A reorg takes some away, and a process ends, wherever.
    for last in (FIRST..FIRST + 90).chain(FIRST + 80..FIRST + 150) {
        let change = heads(last, before);
        let expected = change.intervals.clone();
        before = last;
        ledger.apply(&[Commit { coverage: vec![change], ..Commit::empty(CHAIN) }]).unwrap();
        assert_eq!(covered(&mut ledger), [(filter(), expected)], "{last}");
        if last.is_multiple_of(40) {
            assert_eq!(ledger.check().unwrap(), Vec::<String>::new());
            crate::given::closed(ledger);
            let rows = place.rows("SELECT count(*), count(*) FILTER (goes_on) FROM coverage_parts");
            let (Value::Int(rows), Value::Int(going_on)) = (&rows[0][0], &rows[0][1]) else {
                panic!("{rows:?}")
            };
            assert!(*rows <= 65 && *rows == going_on + 1 && *rows > 5, "{rows} rows at {last}");
            let shown = place.rows("SELECT first_block, last_block FROM coverage");
            assert_eq!(shown, [[FIRST, last].map(|number| Value::Int(number.into()))]);
            ledger = place.open(OpenMode::Existing);
        }
    }
}

#[test]
fn a_row_that_goes_on_from_nothing_claims_no_more_than_itself() {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    for last in FIRST..FIRST + 4 {
        let coverage = vec![heads(last, FIRST)];
        ledger.apply(&[Commit { coverage, ..Commit::empty(CHAIN) }]).unwrap();
    }
    crate::given::closed(ledger);
    let raw = duckdb::Connection::open(place.path()).unwrap();
    raw.execute("DELETE FROM coverage_parts WHERE first_block = ?", [FIRST + 1]).unwrap();
    drop(raw);
    let shown = place.rows("SELECT first_block, last_block FROM coverage ORDER BY ALL");
    let expected = [[FIRST, FIRST], [FIRST + 2, FIRST + 3]];
    assert_eq!(shown, expected.map(|row| row.map(|number| Value::Int(number.into())).to_vec()));
    let found = place.open(OpenMode::Existing).check().unwrap();
    assert_eq!(found, ["1 coverage intervals go on from nothing"]);
}

#[test]
fn what_is_stored_of_coverage_is_what_the_changes_say() {
    let place = Place::new();
    for seed in 0..3 {
        let mut ledger = place.open(OpenMode::Create);
        let (mut random, mut covered) = (seed, Covered::new());
        // A ledger that has some of it already.
        let stored = ledger.load(CHAIN).unwrap().coverage;
        for interval in stored.iter().flat_map(|(_, intervals)| intervals) {
            let node = ["a", "b", "without links"].into_iter();
            let node = node.clone().find(|node| *interval.nodes[0].0 == **node).unwrap();
            let range = interval.range;
            covered.extend((range.first()..=range.last()).map(|number| (number, node)));
        }
        for step in 0..50 {
            let before = covered.clone();
            let top = covered.last_key_value().map(|(number, node)| (*number, *node));
            let blocks = match (next(&mut random) % 8, top) {
                // Mostly the head moves on.
                (0..4, Some((top, node))) if top < BLOCKS => {
                    let node = if next(&mut random).is_multiple_of(6) { "b" } else { node };
                    covered.insert(top + 1, node);
                    BlockRange::one(top + 1)
                }
                // Blocks leave it, or it ends.
                (4, Some((top, _))) => {
                    let from = top.saturating_sub(next(&mut random) % 4).max(1);
                    covered.retain(|number, _| *number < from);
                    BlockRange::new(from, top).unwrap()
                }
                // All of the highest interval is said by others now, and it is longer.
                (5 | 6, Some((top, _))) => {
                    let first = intervals(&covered).last().unwrap().range.first();
                    let last = (top + next(&mut random) % 3).min(BLOCKS);
                    let node = ["a", "b"][next(&mut random) as usize % 2];
                    covered.extend((first..=last).map(|number| (number, node)));
                    BlockRange::new(first, last).unwrap()
                }
                _ => {
                    let first = 1 + next(&mut random) % BLOCKS;
                    let last = (first + next(&mut random) % 9).min(BLOCKS);
                    let node = ["a", "b", "without links"][next(&mut random) as usize % 3];
                    covered.extend((first..=last).map(|number| (number, node)));
                    BlockRange::new(first, last).unwrap()
                }
            };
            let change = change(&before, &covered, blocks);
            ledger.apply(&[Commit { coverage: vec![change], ..Commit::empty(CHAIN) }]).unwrap();
            let stored = ledger.load(CHAIN).unwrap().coverage;
            let mut stored: Vec<Interval> =
                stored.into_iter().flat_map(|(_, intervals)| intervals).collect();
            stored.sort_by_key(|interval| interval.range.first());
            assert_eq!(stored, intervals(&covered), "seed {seed}, step {step}");
        }
    }
}
