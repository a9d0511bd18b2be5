//! Typed tables: exact integers, clear refusals, rows for events that were there before.

use crate::given::{self, Place, Transfers, closed, commit, schema};
use event::{
    AnyOf, ChainId, ColumnData, ColumnType, DecodeStats, Decoder, EventSchema, LogRef, Logs,
    Packed, Store, TypedRows,
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

    fn decode(&self, chain: ChainId, logs: &Logs) -> (Vec<TypedRows>, DecodeStats) {
        assert_eq!(self.1.lock().unwrap().check().unwrap(), Vec::<String>::new());
        self.0.decode(chain, logs)
    }

    fn json(&self, chain: ChainId, log: LogRef<'_>) -> Option<(&str, String)> {
        self.0.json(chain, log)
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

/// A contract of these chains, all at one address.
fn bound(contract: &str, chains: &[u64]) -> Transfers {
    let chains = chains.iter().map(|chain| (ChainId(*chain), AnyOf::one(given::token())));
    let schema = schema(contract, ColumnType::Bignum);
    Transfers(vec![EventSchema { chains: chains.collect(), ..schema }])
}

#[test]
fn one_address_on_two_chains_is_two_contracts_with_a_table_each() {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    // As an older program wrote it, or one without a configuration: one table for every chain.
    let any = bound("a", &[]);
    ledger.prepare_decoder(&any).unwrap();
    for (chain, last, seq) in [(31_337, 4, 1), (7, 6, 2)] {
        let mut commit = commit(1..last, 1, seq);
        commit.chain = ChainId(chain);
        commit.journal[0].chain = ChainId(chain);
        ledger.apply(&[commit]).unwrap();
    }
    let spec = "SELECT spec LIKE '%chains%' FROM schemas";
    closed(ledger);
    assert_eq!(place.ask(spec), Value::Bool(false), "a spec without a chain is as it was");
    let counts = |contract: &str| {
        let sql = format!("SELECT _chain, count(*) FROM {contract}.Transfer GROUP BY 1 ORDER BY 1");
        let rows = place.rows(&sql).into_iter();
        rows.map(|row| match row[..] {
            [Value::Int(chain), Value::Int(count)] => (chain, count),
            _ => panic!("{row:?}"),
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(counts("a"), [(7, 5), (31_337, 3)]);

    let run = |decoder: &Transfers, added: u64| {
        let mut ledger = place.open(OpenMode::Existing);
        assert_eq!(ledger.prepare_decoder(decoder).unwrap(), added);
        assert_eq!(ledger.check().unwrap(), Vec::<String>::new());
        closed(ledger);
    };
    run(&bound("a", &[31_337]), 0);
    assert_eq!(counts("a"), [(31_337, 3)]);
    run(&bound("b", &[7]), 5);
    assert_eq!(counts("b"), [(7, 5)]);
    run(&bound("b", &[7]), 0);

    // A run over another chain adds that one, and takes nothing away.
    run(&bound("a", &[7]), 5);
    run(&bound("a", &[31_337]), 0);
    assert_eq!(counts("a"), [(7, 5), (31_337, 3)]);
    assert_eq!(counts("b"), [(7, 5)]);
    // Whoever names no chain means any.
    run(&any, 0);
    assert_eq!(counts("a"), [(7, 5), (31_337, 3)]);
}
