//! Events, their pages, and what the aggregator is told of them.

use crate::given::{self, CHAIN, Place, closed, commit, filter, hash};
use event::{BlockRange, BlockRow, Commit, EventQuery, Filter, Reader, Store};
use std::sync::Arc;
use store::OpenMode;

fn query(first: u64, last: u64, limit: usize) -> EventQuery {
    let range = BlockRange::new(first, last).unwrap();
    EventQuery { chain: CHAIN, filters: vec![filter()], range, limit }
}

#[test]
fn what_was_applied_is_there_after_a_drop_without_close() {
    let place = Place::new();
    let written = commit(100..110, 3, 1);
    let mut ledger = place.open(OpenMode::Create);
    ledger.prepare_schemas(&given::Transfers::default().0).unwrap();
    ledger.apply(std::slice::from_ref(&written)).unwrap();
    drop(ledger);

    let mut ledger = place.open(OpenMode::Existing);
    let state = ledger.load(CHAIN).unwrap();
    assert_eq!(state.journal_seq, 1);
    assert_eq!(state.blocks, written.blocks);
    let range = BlockRange::new(100, 109).unwrap();
    assert_eq!(state.coverage, vec![(filter(), vec![given::interval(range)])]);
    let mut known = ledger.known_events(CHAIN, range).unwrap();
    let mut expected = given::ids(&written);
    known.sort();
    expected.sort();
    assert_eq!(known, expected);
    assert_eq!(ledger.journal(CHAIN, 0, 10).unwrap(), written.journal);
    let page = ledger.events(&query(0, 1000, 1000)).unwrap();
    assert_eq!(page.logs, written.events[0].logs);
    assert_eq!(page.blocks[0].timestamp, Some(1_700_000_100));
    assert_eq!(page.through, 1000);
}

#[test]
fn pages_are_whole_blocks_in_order_and_reach_every_event_once() {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    ledger.prepare_schemas(&given::Transfers::default().0).unwrap();
    // Far apart and out of order, as a backfill brings them.
    let commits = [commit(900_000..900_050, 7, 1), commit(10..60, 7, 2), commit(60..61, 500, 3)];
    ledger.apply(&commits).unwrap();
    let mut reader = ledger.reader().unwrap();
    let (mut next, mut seen, mut last) = (0, 0, (0, 0));
    while next <= 1_000_000 {
        let page = reader.events(&query(next, 1_000_000, 20)).unwrap();
        for log in page.logs.rows() {
            let place = (page.blocks[log.block as usize].number, log.log_index);
            assert!(seen == 0 || last < place, "{last:?} before {place:?}");
            last = place;
            seen += 1;
        }
        let full = page.logs.len() >= 20;
        assert_eq!(full, page.through < 1_000_000, "only a full page ends early");
        next = page.through + 1;
    }
    assert_eq!(seen, 50 * 7 * 2 + 500);
}

#[test]
fn an_orphaned_block_hides_its_events_until_it_is_reinstated() {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    ledger.prepare_schemas(&given::Transfers::default().0).unwrap();
    ledger.apply(&[commit(5..8, 2, 1)]).unwrap();
    let digest = ledger.digest().unwrap();
    let flip = |canonical| {
        let mut flip = Commit::empty(CHAIN);
        let (parent, timestamp) = (None, None);
        flip.blocks.push(BlockRow { number: 6, hash: hash(6, 0), parent, timestamp, canonical });
        flip
    };
    ledger.apply(&[flip(false)]).unwrap();
    let page = ledger.events(&query(0, 100, 100)).unwrap();
    assert_eq!(page.blocks.iter().map(|block| block.number).collect::<Vec<_>>(), [5, 7]);
    assert_ne!(ledger.digest().unwrap(), digest);
    ledger.apply(&[flip(true)]).unwrap();
    let page = ledger.events(&query(0, 100, 100)).unwrap();
    assert_eq!(page.logs.len(), 6);
    assert_eq!(page.blocks[1].parent, Some(hash(5, 0)), "what was known stays known");
    assert_eq!(ledger.digest().unwrap(), digest);
}

#[test]
fn a_refuted_event_is_kept_but_not_shown() {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    ledger.prepare_schemas(&given::Transfers::default().0).unwrap();
    let written = commit(5..8, 2, 1);
    ledger.apply(std::slice::from_ref(&written)).unwrap();
    let mut refute = Commit::empty(CHAIN);
    refute.refuted.push(given::ids(&written)[0]);
    ledger.apply(&[refute]).unwrap();
    assert_eq!(ledger.events(&query(0, 100, 100)).unwrap().logs.len(), 5);
    let range = BlockRange::new(0, 100).unwrap();
    assert_eq!(ledger.known_events(CHAIN, range).unwrap().len(), 6);
    closed(ledger);
    assert_eq!(place.ask("SELECT count(*) FROM usdc.Transfer"), store::Value::Int(5));
}

#[test]
fn a_filter_of_many_addresses_finds_what_a_short_one_finds() {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    ledger.prepare_schemas(&given::Transfers::default().0).unwrap();
    ledger.apply(&[commit(5..8, 2, 1)]).unwrap();
    let many = (0..=200_u8).map(alloy_primitives::Address::repeat_byte);
    let topics = event::AnyOf::one(given::topic0());
    let wide = Arc::new(Filter::new(event::AnyOf::of(many).unwrap(), topics));
    let mut wanted = query(0, 100, 100);
    wanted.filters = vec![wide, filter()];
    assert_eq!(ledger.events(&wanted).unwrap().logs.len(), 6);
    let none = event::AnyOf::one(alloy_primitives::Address::ZERO);
    wanted.filters = vec![Arc::new(Filter::new(none, event::AnyOf::Any))];
    assert_eq!(ledger.events(&wanted).unwrap().logs.len(), 0);
}

#[test]
fn staged_events_are_seen_by_nobody_before_their_commit_and_are_then_as_any_other() {
    let all = |place: &Place, is_staged: bool| {
        let mut ledger = place.open(OpenMode::Create);
        ledger.prepare_schemas(&given::Transfers::default().0).unwrap();
        let mut reader = ledger.reader().unwrap();
        // What is staged comes in two parts, and a third with the end of the transaction.
        let mut commits = vec![commit(0..40, 5, 1)];
        if is_staged {
            ledger.stage(&mut commits).unwrap();
            assert_eq!(commits[0].event_count(), 0, "they are out of memory");
            commits.push(commit(40..60, 5, 2));
            ledger.stage(&mut commits).unwrap();
            assert!(reader.events(&query(0, 100, 1000)).unwrap().logs.is_empty());
        } else {
            commits.push(commit(40..60, 5, 2));
        }
        commits.push(commit(60..100, 5, 3));
        ledger.apply(&commits).unwrap();
        assert_eq!(reader.events(&query(0, 100, 1000)).unwrap().logs.len(), 500);
        assert_eq!(ledger.check().unwrap(), Vec::<String>::new());
        ledger.digest().unwrap()
    };
    assert_eq!(all(&Place::new(), true), all(&Place::new(), false));
}

#[test]
fn staged_events_that_were_never_committed_leave_no_trace() {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    ledger.prepare_schemas(&given::Transfers::default().0).unwrap();
    ledger.stage(&mut [commit(0..40, 5, 1)]).unwrap();
    drop(ledger);
    let mut ledger = place.open(OpenMode::Existing);
    ledger.prepare_schemas(&given::Transfers::default().0).unwrap();
    assert_eq!(ledger.load(CHAIN).unwrap().journal_seq, 0);
    assert_eq!(ledger.known_events(CHAIN, BlockRange::new(0, 100).unwrap()).unwrap(), []);
    ledger.apply(&[commit(0..40, 5, 1)]).unwrap();
    assert_eq!(ledger.check().unwrap(), Vec::<String>::new());
}
