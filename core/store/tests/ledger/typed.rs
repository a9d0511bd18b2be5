//! Typed tables: exact integers, clear refusals, rows for events that were there before.

use crate::given::{self, Place, Transfers, closed, commit, schema};
use event::{
    ColumnData, ColumnType, DecodeStats, Decoder, EventSchema, LogRef, Logs, Packed, Store,
    TypedRows,
};
use std::sync::Mutex;
use store::{LedgerReader, OpenMode, Value};

/// Stores two rows with these values and returns their sum.
fn sum_of(values: &[&str]) -> String {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    ledger.prepare_schemas(&Transfers::default().0).unwrap();
    let mut commit = commit(1..2, values.len() as u32, 1);
    let mut packed = Packed::default();
    values.iter().for_each(|value| packed.push(value.as_bytes()));
    commit.events[0].typed[0].columns = vec![ColumnData::Text(packed)];
    ledger.apply(&[commit]).unwrap();
    closed(ledger);
    match place.ask("SELECT sum(value) FROM usdc.Transfer") {
        Value::Number(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn sums_of_wide_integers_are_exact() {
    let max = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
    let twice = "231584178474632390847141970017375815706539969331281128078915168015826259279870";
    let min = "-57896044618658097711785492504343953926634992332820282019728792003956564819968";
    let below = "-57896044618658097711785492504343953926634992332820282019728792003956564819967";
    assert_eq!(sum_of(&[max, max]), twice);
    assert_eq!(sum_of(&[min]), min);
    assert_eq!(sum_of(&[min, "1"]), below);
    assert_eq!(sum_of(&["-1", max, "1", "0"]), max);
}

#[test]
fn a_changed_schema_of_the_same_name_is_refused_with_both() {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    ledger.prepare_schemas(&[schema("usdc", ColumnType::Bignum)]).unwrap();
    ledger.prepare_schemas(&[schema("usdc", ColumnType::Bignum)]).unwrap();
    ledger.apply(&[commit(1..2, 1, 1)]).unwrap();
    let mut other = schema("USDC", ColumnType::Blob);
    other.columns[0].solidity = "bytes32".into();
    let error = ledger.prepare_schemas(&[other]).unwrap_err().to_string();
    assert!(error.contains("Transfer(uint256 value)"), "{error}");
    assert!(error.contains("Transfer(bytes32 value)"), "{error}");
    let reserved = schema("main", ColumnType::Bignum);
    assert!(ledger.prepare_schemas(&[reserved]).is_err());
}

#[test]
fn a_declaration_that_never_decoded_anything_can_be_corrected() {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    let mut wrong = schema("USDC", ColumnType::Blob);
    wrong.columns[0].solidity = "bytes32".into();
    ledger.prepare_schemas(&[wrong]).unwrap();
    let mut raw = commit(1..11, 4, 1);
    raw.events[0].typed.clear();
    ledger.apply(&[raw]).unwrap();
    let decoder = Transfers::default();
    assert_eq!(ledger.prepare_decoder(&decoder).unwrap(), 40, "what was kept raw is decoded");
    assert_eq!(ledger.check().unwrap(), Vec::<String>::new());
    closed(ledger);
    assert_eq!(place.ask("SELECT count(value) FROM usdc.Transfer"), Value::Int(40));
}

#[test]
fn quotes_in_names_are_names() {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    let mut odd = schema("a\"b", ColumnType::Bignum);
    odd.columns[0].name = "select \"x\"".into();
    ledger.prepare_schemas(&[odd]).unwrap();
    closed(ledger);
    assert_eq!(
        place.ask("SELECT count(\"select \"\"x\"\"\") FROM \"a\"\"b\".Transfer"),
        Value::Int(0)
    );
}

/// Looks at the ledger from beside while stored events are decoded.
struct Watched(Transfers, Mutex<LedgerReader>);

impl Decoder for Watched {
    fn schemas(&self) -> &[EventSchema] {
        self.0.schemas()
    }

    fn decode(&self, logs: &Logs) -> (Vec<TypedRows>, DecodeStats) {
        assert_eq!(self.1.lock().unwrap().check().unwrap(), Vec::<String>::new());
        self.0.decode(logs)
    }

    fn json(&self, log: LogRef<'_>) -> Option<(&str, String)> {
        self.0.json(log)
    }
}

#[test]
fn nobody_sees_a_typed_table_that_lacks_rows() {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    let mut early = commit(1..11, 4, 1);
    early.events[0].typed.clear();
    ledger.apply(&[early]).unwrap();
    let decoder = Watched(Transfers::default(), Mutex::new(ledger.reader().unwrap()));
    assert_eq!(ledger.prepare_decoder(&decoder).unwrap(), 40);
    assert_eq!(ledger.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_typed_table_that_comes_later_gets_the_rows_of_stored_events_once() {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    let mut early = commit(1..11, 4, 1);
    early.events[0].typed.clear();
    ledger.apply(&[early]).unwrap();
    let decoder = Transfers::default();
    ledger.prepare_schemas(&decoder.0).unwrap();
    ledger.apply(&[commit(11..12, 4, 2)]).unwrap();
    assert_eq!(ledger.prepare_decoder(&decoder).unwrap(), 40);
    assert_eq!(ledger.prepare_decoder(&decoder).unwrap(), 0);
    closed(ledger);
    let sums = place.rows("SELECT count(*), sum(value) FROM usdc.Transfer");
    assert_eq!(sums, [[Value::Int(44), Value::Number("110".into())]]);
    assert_eq!(
        place.ask("SELECT hex0x(_address) FROM usdc.Transfer LIMIT 1"),
        Value::Text(format!("{:#x}", given::token()))
    );
}
