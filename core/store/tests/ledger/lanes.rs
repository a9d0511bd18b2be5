//! Lanes: versions, undo, fences, generations.

use crate::given::{CHAIN, Place, closed};
use alloy_primitives::B256;
use event::{
    BlockRange, ColumnData, ColumnKind, Cursor, Descriptor, LaneCommit, LaneId, LaneRows,
    LaneState, Packed, PluginColumn, PluginTable, Store, TableRows, Visibility,
};
use store::{DuckLedger, OpenMode, Value};

pub(crate) fn lane() -> LaneId {
    LaneId { plugin: "erc20-balances".into(), chain: CHAIN }
}

fn column(name: &str, kind: ColumnKind, nullable: bool) -> PluginColumn {
    PluginColumn { name: name.into(), kind, nullable }
}

pub(crate) fn descriptor() -> Descriptor {
    Descriptor {
        name: lane().plugin,
        version: "1".into(),
        logic_version: 1,
        visibility: Visibility::Latest,
        subscriptions: Vec::new(),
        tables: vec![
            PluginTable {
                name: "balances".into(),
                columns: vec![
                    column("holder", ColumnKind::Text, false),
                    column("balance", ColumnKind::Uint256, true),
                ],
                key: vec!["holder".into()],
            },
            PluginTable {
                name: "moves".into(),
                columns: vec![column("at", ColumnKind::Timestamp, true)],
                key: Vec::new(),
            },
        ],
    }
}

fn packed(values: &[&str]) -> Packed {
    let mut packed = Packed::default();
    values.iter().for_each(|value| packed.push(value.as_bytes()));
    packed
}

/// A commit of one batch: the holder's balance is written twice, the last one counts.
pub(crate) fn commit(
    before: Option<Cursor>,
    block: u64,
    holder: &str,
    balance: &str,
) -> LaneCommit {
    let next = before.map_or(1, |cursor| cursor.next_batch);
    let hash = B256::with_last_byte(block as u8);
    let balances = TableRows {
        table: 0,
        seq: vec![next, next],
        columns: vec![
            ColumnData::Text(packed(&[holder, holder])),
            ColumnData::Text(packed(&["7", balance])),
        ],
        nulls: vec![Vec::new(), Vec::new()],
    };
    let moves = TableRows {
        table: 1,
        seq: vec![next, next],
        columns: vec![ColumnData::I64(vec![1_700_000_000, 0])],
        nulls: vec![vec![1]],
    };
    let rows =
        |rows| LaneRows { batch: 0, rows, block_number: vec![block; 2], block_hash: vec![hash; 2] };
    LaneCommit {
        lane: lane(),
        generation: 1,
        before,
        after: Cursor {
            next_block: block + 1,
            next_seq: next + 1,
            next_batch: next + 1,
            journal_seq: 0,
        },
        start_block: 1,
        undo_from: None,
        batches: vec![BlockRange::one(block)],
        undo_floor: 0,
        rows: vec![rows(balances), rows(moves)],
        state: vec![(0, vec![(b"h".to_vec(), Some(balance.into())), (b"gone".to_vec(), None)])],
        messages: Vec::new(),
        dead_letters: Vec::new(),
        halted: None,
        drop_older: false,
    }
}

fn opened(place: &Place) -> (DuckLedger, LaneState) {
    let mut ledger = place.open(OpenMode::Create);
    let state = ledger.open_lane(&lane(), &descriptor()).unwrap();
    (ledger, state)
}

const BALANCES: &str =
    "SELECT holder, balance, _block_number FROM erc20_balances.balances ORDER BY 1";

fn balance(holder: &str, balance: &str, block: i128) -> Vec<Value> {
    vec![Value::Text(holder.into()), Value::Number(balance.into()), Value::Int(block)]
}

#[test]
fn a_key_shows_its_newest_row_and_an_undo_brings_back_the_one_before() {
    let place = Place::new();
    let (mut ledger, state) = opened(&place);
    assert_eq!((state.cursor, state.generation), (None, 1));
    let first = commit(None, 1, "alice", "10");
    let second = commit(Some(first.after), 2, "alice", "20");
    ledger.apply_lanes(&[first.clone(), second.clone()]).unwrap();
    closed(ledger);
    assert_eq!(place.rows(BALANCES), [balance("alice", "20", 2)]);
    let moves = "SELECT count(*), count(\"at\") FROM erc20_balances.moves";
    assert_eq!(place.rows(moves), [[Value::Int(4), Value::Int(2)]]);

    let (mut ledger, state) = opened(&place);
    assert_eq!(state.cursor, Some(second.after));
    assert_eq!(state.batches, [BlockRange::one(1), BlockRange::one(2)]);
    assert_eq!(state.state.get(b"h").map(Vec::as_slice), Some(&b"20"[..]));
    assert_eq!(state.state.len(), 1);
    let mut undo = commit(Some(second.after), 2, "bob", "5");
    undo.undo_from = Some(2);
    ledger.apply_lanes(&[undo]).unwrap();
    closed(ledger);
    assert_eq!(place.rows(BALANCES), [balance("alice", "10", 1), balance("bob", "5", 2)]);
}

const LANES: &str = "SELECT next_block, next_seq, next_batch, last_batch, halted FROM lanes";

#[test]
fn how_far_a_lane_is_comes_with_its_newest_batch_and_is_shown_and_goes_on_from_there() {
    let place = Place::new();
    let (mut ledger, _) = opened(&place);
    let mut before = None;
    for block in 1..=3 {
        let commit = commit(before, block, "alice", &block.to_string());
        before = Some(commit.after);
        ledger.apply_lanes(&[commit]).unwrap();
    }
    closed(ledger);
    let record = "SELECT next_block, last_batch FROM lane_records";
    assert_eq!(place.rows(record), [[Value::Int(2), Value::Int(1)]], "a head changes no row");
    let far = |next: i128, last: i128, halted: Value| {
        vec![Value::Int(next), Value::Int(next), Value::Int(next), Value::Int(last), halted]
    };
    assert_eq!(place.rows(LANES), [far(4, 3, Value::Null)]);

    let (mut ledger, state) = opened(&place);
    assert_eq!(state.cursor, before);
    // What else changes goes into the record, with the cursor: also without a batch.
    let mut halt = commit(before, 3, "alice", "3");
    (halt.batches, halt.rows, halt.state) = Default::default();
    (halt.after, halt.halted) = (before.unwrap(), Some("broken".into()));
    ledger.apply_lanes(std::slice::from_ref(&halt)).unwrap();
    closed(ledger);
    assert_eq!(place.rows(record), [[Value::Int(4), Value::Int(3)]]);
    assert_eq!(place.rows(LANES), [far(4, 3, Value::Text("broken".into()))]);

    // A batch that is undone takes no cursor with it.
    let (mut ledger, _) = opened(&place);
    let mut undo = commit(before, 2, "bob", "5");
    undo.undo_from = Some(2);
    ledger.apply_lanes(std::slice::from_ref(&undo)).unwrap();
    let last = commit(Some(undo.after), 3, "bob", "6");
    ledger.apply_lanes(std::slice::from_ref(&last)).unwrap();
    closed(ledger);
    assert_eq!(place.rows(LANES)[0][0], Value::Int(4));
    let (_, state) = opened(&place);
    assert_eq!((state.cursor, state.halted), (Some(last.after), None));
    assert_eq!(state.batches, [1, 2, 3].map(BlockRange::one));
}

#[test]
fn a_batch_that_is_final_takes_no_cursor_with_it() {
    let place = Place::new();
    let (mut ledger, _) = opened(&place);
    let mut before = None;
    for (block, undo_floor) in [(1, 0), (2, 0), (3, 3), (4, 3), (5, 6)] {
        let mut commit = commit(before, block, "alice", &block.to_string());
        commit.undo_floor = undo_floor;
        before = Some(commit.after);
        ledger.apply_lanes(&[commit]).unwrap();
        let state = ledger.open_lane(&lane(), &descriptor()).unwrap();
        assert_eq!(state.cursor, before, "after block {block}");
    }
}

#[test]
fn a_lane_that_someone_else_moved_is_not_written() {
    let place = Place::new();
    let (mut ledger, _) = opened(&place);
    let first = commit(None, 1, "alice", "10");
    ledger.apply_lanes(std::slice::from_ref(&first)).unwrap();
    ledger.apply_lanes(std::slice::from_ref(&first)).unwrap_err();
    let good = commit(Some(first.after), 2, "alice", "20");
    ledger.apply_lanes(&[good, first]).unwrap_err();
    closed(ledger);
    assert_eq!(place.rows(BALANCES), [balance("alice", "10", 1)]);
}

#[test]
fn compaction_drops_only_what_no_undo_can_bring_back() {
    let place = Place::new();
    let (mut ledger, _) = opened(&place);
    let mut before = None;
    for block in 1..=4 {
        let mut commit = commit(before, block, "alice", &block.to_string());
        commit.undo_floor = 3.min(block);
        before = Some(commit.after);
        ledger.apply_lanes(&[commit]).unwrap();
    }
    let digest = ledger.digest().unwrap();
    ledger.compact_lanes().unwrap();
    assert_eq!(ledger.digest().unwrap(), digest);
    closed(ledger);
    let stored = "SELECT count(*) FROM headcount_plugin.\"erc20-balances.balances\"";
    // The newest final version, and those of blocks 3 and 4.
    assert_eq!(place.ask(stored), Value::Int(3));

    let (mut ledger, state) = opened(&place);
    assert_eq!(state.batches, [BlockRange::one(3), BlockRange::one(4)]);
    let mut undo = commit(before, 3, "bob", "1");
    undo.undo_from = Some(2);
    assert!(ledger.apply_lanes(std::slice::from_ref(&undo)).is_err(), "below the floor");
    undo.undo_from = Some(3);
    ledger.apply_lanes(&[undo]).unwrap();
    closed(ledger);
    assert_eq!(place.rows(BALANCES), [balance("alice", "2", 2), balance("bob", "1", 3)]);
}

#[test]
fn a_rebuild_is_shown_only_when_it_is_complete() {
    let place = Place::new();
    let (mut ledger, _) = opened(&place);
    let first = commit(None, 1, "alice", "10");
    ledger.apply_lanes(std::slice::from_ref(&first)).unwrap();
    // The fence is the lane's cursor, whichever generation is written.
    let mut rebuilt = commit(Some(first.after), 1, "carol", "3");
    rebuilt.generation = 2;
    ledger.apply_lanes(std::slice::from_ref(&rebuilt)).unwrap();
    closed(ledger);
    assert_eq!(place.rows(BALANCES), [balance("alice", "10", 1)]);
    let (mut ledger, state) = opened(&place);
    assert_eq!(state.generation, 2);
    let mut last = commit(Some(rebuilt.after), 2, "carol", "4");
    (last.generation, last.drop_older) = (2, true);
    ledger.apply_lanes(&[last]).unwrap();
    closed(ledger);
    assert_eq!(place.rows(BALANCES), [balance("carol", "4", 2)]);
}

#[test]
fn a_plugin_and_a_contract_cannot_have_the_same_name() {
    let place = Place::new();
    let (mut ledger, _) = opened(&place);
    let contract = crate::given::schema("ERC20_balances", event::ColumnType::Bignum);
    let error = ledger.prepare_schemas(&[contract]).unwrap_err().to_string();
    assert!(error.contains("ERC20_balances"), "{error}");
    let mut other = descriptor();
    other.tables[0].columns[1].kind = ColumnKind::Text;
    let error = ledger.open_lane(&lane(), &other).unwrap_err().to_string();
    assert!(error.contains("BIGNUM") && error.contains("VARCHAR"), "{error}");
}
