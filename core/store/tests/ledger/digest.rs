//! The digest and the checks: what must change it, what must not, what is found.

use crate::given::{self, Place, commit};
use alloy_primitives::B256;
use event::{BlockRange, Commit, Store};
use store::OpenMode;

fn digest_of(commits: &[Commit]) -> B256 {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    ledger.prepare_schemas(&given::Transfers::default().0).unwrap();
    ledger.apply(commits).unwrap();
    assert_eq!(ledger.check().unwrap(), Vec::<String>::new());
    ledger.digest().unwrap()
}

#[test]
fn the_digest_changes_with_one_byte_of_a_row_or_one_bound_and_not_with_the_way_there() {
    let base = || commit(100..110, 3, 1);
    let digest = digest_of(&[base()]);
    assert_eq!(digest, digest_of(&[base()]));

    let mut byte = base();
    byte.events[0].logs.data[40] ^= 1;
    assert_ne!(digest, digest_of(&[byte]));
    let mut index = base();
    index.events[0].logs.log_index[4] += 10;
    assert_ne!(digest, digest_of(&[index]));
    let mut bound = base();
    bound.coverage[0].intervals[0].range = BlockRange::new(100, 108).unwrap();
    assert_ne!(digest, digest_of(&[bound]));
    let mut node = base();
    node.coverage[0].intervals[0].nodes.pop();
    assert_ne!(digest, digest_of(&[node]));

    // The same in two chunks, the later one first, joined by the aggregator.
    let (mut late, mut early) = (commit(105..110, 3, 1), commit(100..105, 3, 2));
    late.coverage[0].intervals[0].range = BlockRange::new(105, 109).unwrap();
    early.coverage[0] = base().coverage[0].clone();
    assert_eq!(digest, digest_of(&[late, early]));
}

#[test]
fn coverage_changes_of_one_transaction_count_in_their_order() {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    let change = |range: (u64, u64), intervals: &[(u64, u64)]| {
        let mut commit = Commit::empty(given::CHAIN);
        commit.coverage.push(event::CoverageChange {
            filter: given::filter(),
            range: range.try_into().unwrap(),
            intervals: intervals
                .iter()
                .map(|r| given::interval((*r).try_into().unwrap()))
                .collect(),
        });
        commit
    };
    ledger.apply(&[change((0, 9), &[(0, 9)]), change((20, 29), &[(20, 29)])]).unwrap();
    ledger
        .apply(&[change((0, 12), &[(0, 12)]), change((5, 25), &[]), change((6, 7), &[(6, 7)])])
        .unwrap();
    let state = ledger.load(given::CHAIN).unwrap();
    let ranges: Vec<(u64, u64)> =
        state.coverage[0].1.iter().map(|interval| interval.range.into()).collect();
    assert_eq!(ranges, [(6, 7)]);
}

#[test]
fn a_second_row_of_one_event_and_an_event_without_its_block_are_found() {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    ledger.prepare_schemas(&given::Transfers::default().0).unwrap();
    let first = commit(1..3, 2, 1);
    let mut again = commit(1..3, 2, 2);
    ledger.apply(std::slice::from_ref(&first)).unwrap();
    again.events[0].blocks[0].1 = B256::ZERO;
    ledger.apply(&[again]).unwrap();
    let problems = ledger.check().unwrap();
    assert!(
        problems.iter().any(|problem| problem == "2 events are stored more than once"),
        "{problems:?}"
    );
    assert!(
        problems.iter().any(|problem| problem.starts_with("2 events lie in a block")),
        "{problems:?}"
    );
}

#[test]
fn an_applied_commit_that_cannot_be_written_leaves_nothing() {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    ledger.prepare_schemas(&given::Transfers::default().0).unwrap();
    ledger.apply(&[commit(1..3, 2, 1)]).unwrap();
    let digest = ledger.digest().unwrap();
    let mut broken = commit(3..5, 2, 2);
    let mut packed = event::Packed::default();
    (0..4).for_each(|_| packed.push(b"not a number"));
    broken.events[0].typed[0].columns = vec![event::ColumnData::Text(packed)];
    ledger.apply(&[commit(5..6, 2, 3), broken]).unwrap_err();
    assert_eq!(ledger.digest().unwrap(), digest);
    ledger.apply(&[commit(3..5, 2, 2)]).unwrap();
    assert_eq!(ledger.check().unwrap(), Vec::<String>::new());
}
