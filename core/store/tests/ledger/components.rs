//! Another component under a plugin's name: held, let in by a word, or handed everything again.

use crate::{
    given::{Place, closed},
    lanes::{commit, descriptor, lane},
};
use alloy_primitives::B256;
use event::{ColumnKind, LaneState, OnChange, PluginTable, Remedy, Store, Writer};
use store::{DuckLedger, OpenMode, Value};

const SHOWN: &str = "SELECT holder, balance FROM erc20_balances.balances ORDER BY ALL";

fn writer(component: u8, on_change: OnChange) -> Writer {
    let component = Some(B256::repeat_byte(component));
    Writer { descriptor: descriptor(), component, on_change }
}

/// A lane whose first component, 1, has handled block 1.
fn written(place: &Place) -> DuckLedger {
    let mut ledger = place.open(OpenMode::Create);
    ledger.open_lane_for(&lane(), &writer(1, OnChange::Hold)).unwrap();
    ledger.apply_lanes(&[commit(None, 1, "alice", "10")]).unwrap();
    ledger
}

fn open(ledger: &mut DuckLedger, writer: &Writer) -> LaneState {
    ledger.open_lane_for(&lane(), writer).unwrap()
}

fn of_lane(place: &Place, columns: &str) -> Vec<Vec<Value>> {
    place.rows(&format!("SELECT {columns} FROM lanes ORDER BY generation"))
}

#[test]
fn a_lane_that_has_handled_something_begins_anew_also_where_only_its_batch_says_so() {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    ledger.open_lane_for(&lane(), &writer(1, OnChange::Hold)).unwrap();
    // Nothing handled yet, and then block 1.
    let mut none = commit(None, 0, "alice", "10");
    (none.batches, none.rows, none.state) = Default::default();
    let first = commit(Some(none.after), 1, "alice", "10");
    ledger.apply_lanes(&[none, first]).unwrap();
    ledger.remedy(&Remedy::Rebuild(lane().plugin)).unwrap();
    closed(ledger);
    assert_eq!(of_lane(&place, "next_block, retry_from"), [[Value::Int(2), Value::Int(1)]]);
    let record = "SELECT next_block FROM lane_records";
    assert_eq!(place.rows(record), [[Value::Int(1)]]);
}

#[test]
fn another_component_is_held_until_it_is_decided_and_the_old_one_may_come_back() {
    let place = Place::new();
    let mut ledger = written(&place);
    let mut newer = writer(2, OnChange::Hold);
    newer.descriptor.version = "2".into();
    let held = open(&mut ledger, &newer);
    let why = held.held.clone().unwrap();
    assert!(why.contains("2 (020202020202)") && why.contains("1 (010101010101)"), "{why}");
    assert_eq!(held.cursor.unwrap().next_block, 2);
    closed(ledger);
    assert_eq!(of_lane(&place, "held"), [[Value::Text(why)]]);

    // The old one goes on as if nothing had been, whatever is decided of others.
    let mut ledger = place.open(OpenMode::Create);
    let decide = |component: u8| {
        Remedy::Decide(lane().plugin, B256::repeat_byte(component), OnChange::Continue)
    };
    assert_eq!(ledger.remedy(&decide(3)).unwrap(), 1);
    assert_eq!(open(&mut ledger, &writer(1, OnChange::Hold)).held, None);
    assert!(open(&mut ledger, &newer).held.is_some());
    // What was decided is of that component alone.
    assert_eq!(ledger.remedy(&decide(2)).unwrap(), 1);
    let goes_on = open(&mut ledger, &newer);
    assert_eq!((goes_on.held, goes_on.retry_from, goes_on.cursor), (None, None, held.cursor));
    ledger.apply_lanes(&[commit(held.cursor, 2, "bob", "5")]).unwrap();
    closed(ledger);
    assert_eq!(of_lane(&place, "version, held"), [[Value::Text("2".into()), Value::Null]]);
    assert_eq!(place.rows(SHOWN).len(), 2);
}

#[test]
fn a_plugin_that_is_resumed_or_rebuilt_takes_the_component_that_comes_next() {
    let place = Place::new();
    let mut ledger = written(&place);
    let newer = writer(2, OnChange::Hold);
    assert!(open(&mut ledger, &newer).held.is_some());
    assert_eq!(ledger.remedy(&Remedy::Resume(lane().plugin)).unwrap(), 1);
    let goes_on = open(&mut ledger, &newer);
    assert_eq!((goes_on.held, goes_on.retry_from), (None, None));

    // Nobody has met it yet, and what is to become of it is said beforehand.
    assert_eq!(ledger.remedy(&Remedy::Rebuild(lane().plugin)).unwrap(), 1);
    let anew = open(&mut ledger, &writer(3, OnChange::Hold));
    assert_eq!((&anew.held, anew.retry_from), (&None, Some(anew.start_block)));
    assert!(anew.undo_floor > anew.start_block, "a generation of its own: {anew:?}");
}

#[test]
fn a_component_with_other_tables_begins_anew_or_is_held_whatever_was_decided() {
    let place = Place::new();
    let mut ledger = written(&place);
    let mut newer = writer(2, OnChange::Continue);
    newer.descriptor.tables[0].columns[1].kind = ColumnKind::Text;
    // This one has no table of moves any more, and another one instead.
    let other = PluginTable { name: "seen".into(), ..newer.descriptor.tables[1].clone() };
    newer.descriptor.tables[1] = other;
    let why = open(&mut ledger, &newer).held.unwrap();
    assert!(why.contains("BIGNUM") && why.contains("begin anew"), "{why}");

    newer.on_change = OnChange::Rebuild;
    let anew = open(&mut ledger, &newer);
    assert_eq!((anew.held, anew.retry_from), (None, Some(anew.start_block)));
    let before = anew.cursor;
    let mut begins = commit(before, 1, "carol", "3");
    (begins.generation, begins.after.next_seq) = (2, before.unwrap().next_seq);
    begins.rows.clear();
    ledger.apply_lanes(std::slice::from_ref(&begins)).unwrap();
    let mut last = commit(Some(begins.after), 2, "carol", "4");
    (last.generation, last.drop_older) = (2, true);
    ledger.apply_lanes(&[last]).unwrap();
    closed(ledger);
    let text = |text: &str| Value::Text(text.into());
    assert_eq!(place.rows(SHOWN), [[text("carol"), text("4")]]);
    let tables =
        "SELECT view_name FROM duckdb_views() WHERE schema_name = 'erc20_balances' ORDER BY ALL";
    assert_eq!(place.rows(tables), [[text("balances")], [text("seen")]]);
    assert_eq!(of_lane(&place, "generation, first_seq > 1"), [[Value::Int(2), Value::Bool(true)]]);
}

#[test]
fn a_plugin_that_is_removed_leaves_nothing_behind() {
    let place = Place::new();
    let mut ledger = written(&place);
    assert_eq!(ledger.remedy(&Remedy::Remove("other".into())).unwrap(), 0);
    assert_eq!(ledger.remedy(&Remedy::Remove(lane().plugin)).unwrap(), 1);
    assert_eq!(
        open(&mut ledger, &writer(2, OnChange::Hold)),
        LaneState { generation: 1, ..LaneState::default() }
    );
    ledger.remedy(&Remedy::Remove(lane().plugin)).unwrap();
    closed(ledger);
    let left =
        "SELECT count(*)::INTEGER FROM duckdb_tables() WHERE schema_name = 'headcount_plugin'";
    assert_eq!(place.rows(left), [[Value::Int(0)]]);
    assert_eq!(of_lane(&place, "plugin"), Vec::<Vec<Value>>::new());
}
