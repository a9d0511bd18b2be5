//! What is written out of an open ledger: whole, of one moment, and nowhere else.

use crate::{
    digest::full,
    given::{self, Place, closed, commit},
};
use event::{Commit, FileForm, LedgerError, Store};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};
use store::{DuckLedger, LedgerReader, OpenMode, OpenOptions};

/// Opens the ledger for a reader that may write `output`.
fn beside(place: &Place, output: &Path) -> DuckLedger {
    let options = OpenOptions { output: Some(output.to_owned()), ..OpenOptions::default() };
    DuckLedger::open_with(place.path(), OpenMode::ReadOnly, &options).unwrap()
}

fn out(place: &Place, name: &str) -> PathBuf {
    place.path().with_file_name(name)
}

fn names(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.path().parent().unwrap()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_snapshot_of_a_ledger_with_a_row_in_every_table_says_the_same() {
    let place = Place::new();
    full(&place);
    let (unowned, owned) = (out(&place, "unowned.duckdb"), out(&place, "owned.duckdb"));
    let ledger = beside(&place, &unowned);
    let expected = ledger.digest().unwrap();
    let told = ledger.reader().unwrap().snapshot(&unowned, true).unwrap();
    assert_eq!(told, Some(expected));
    drop(ledger);
    let owner = place.open(OpenMode::Existing);
    assert_eq!(owner.reader().unwrap().snapshot(&owned, false).unwrap(), None);
    drop(owner);
    let others = ["owned.duckdb", "unowned.duckdb", "l.duckdb", "l.duckdb.lock"];
    let mut others = others.map(str::to_owned);
    others.sort();
    assert_eq!(names(&place), others);
    for copy in [unowned, owned] {
        let mut copy = DuckLedger::open(copy, OpenMode::Existing).unwrap();
        assert_eq!(copy.digest().unwrap(), expected);
        // Somebody refuted an event there, which is told of as of any other row.
        assert_eq!(copy.check().unwrap(), Vec::<String>::new());
        // It is a ledger like any other: it can be gone on with.
        copy.prepare_schemas(&given::Transfers::default().0).unwrap();
        copy.apply(&[commit(200..203, 1, 2)]).unwrap();
        assert_ne!(copy.digest().unwrap(), expected);
        closed(copy);
    }
}

#[test]
fn a_snapshot_is_of_one_moment_while_the_owner_writes() {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    ledger.prepare_schemas(&given::Transfers::default().0).unwrap();
    let reader = ledger.reader().unwrap();
    let copies: Vec<PathBuf> = (0..6).map(|i| out(&place, &format!("{i}.duckdb"))).collect();
    let written = AtomicU64::new(0);
    let told = std::thread::scope(|scope| {
        let (copies, written) = (&copies, &written);
        let copying = scope.spawn(move || {
            let copy = |to: &PathBuf| {
                let told = reader.snapshot(to, true).unwrap().unwrap();
                // The first of two may have been in the copy already.
                let before = written.load(Ordering::Acquire);
                while written.load(Ordering::Acquire) < before + 2 {
                    std::thread::yield_now();
                }
                told
            };
            copies.iter().map(copy).collect::<Vec<_>>()
        });
        let mut seq = 0;
        while !copying.is_finished() {
            seq += 1;
            ledger.apply(&[commit(seq * 10..seq * 10 + 10, 20, seq)]).unwrap();
            written.store(seq, Ordering::Release);
        }
        copying.join().unwrap()
    });
    assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "nothing was written meanwhile");
    for (copy, told) in copies.iter().zip(told) {
        let copy = DuckLedger::open(copy, OpenMode::ReadOnly).unwrap();
        assert_eq!(copy.digest().unwrap(), told);
        assert_eq!(copy.check().unwrap(), Vec::<String>::new());
    }
}

fn exported(reader: &LedgerReader, select: &str, form: FileForm, to: &Path) -> u64 {
    reader.export(select, form, to).unwrap()
}

#[test]
fn rows_are_exported_in_every_form_with_every_digit() {
    let place = Place::new();
    full(&place);
    let owner = place.open(OpenMode::Existing);
    let reader = owner.reader().unwrap();
    let select = "SELECT _block, hex0x(_address) AS a, (value::VARCHAR || repeat('0', 70)) AS v
        FROM usdc.Transfer ORDER BY _block, _log_index";
    let csv = out(&place, "t.csv");
    assert_eq!(exported(&reader, select, FileForm::Csv, &csv), 5);
    let text = fs::read_to_string(&csv).unwrap();
    let wide = format!("2{}", "0".repeat(70));
    let first = format!("100,0x{},{wide}", "aa".repeat(20));
    assert_eq!(text.lines().take(2).collect::<Vec<_>>(), ["_block,a,v", first.as_str()]);
    let json = out(&place, "t.ndjson");
    exported(&reader, select, FileForm::Ndjson, &json);
    let text = fs::read_to_string(&json).unwrap();
    assert_eq!(text.lines().count(), 5);
    assert!(text.contains(&format!("\"v\":\"{wide}\"")), "{text}");
    let parquet = out(&place, "t.parquet");
    exported(&reader, select, FileForm::Parquet, &parquet);
    let raw = duckdb::Connection::open_in_memory().unwrap();
    let sql = format!("SELECT v FROM read_parquet('{}') LIMIT 1", parquet.display());
    assert_eq!(raw.query_row(&sql, [], |row| row.get::<_, String>(0)).unwrap(), wide);
}

#[test]
fn what_fails_leaves_nothing_and_nothing_else_can_be_written() {
    let place = Place::new();
    full(&place);
    let owner = place.open(OpenMode::Existing);
    let reader = owner.reader().unwrap();
    let before = names(&place);
    let to = out(&place, "t.csv");
    let form = FileForm::Csv;
    for wrong in ["SELECT nothing", "SELECT 1; SELECT 2", "SELECT error('x') FROM range(9)"] {
        assert!(matches!(reader.export(wrong, form, &to), Err(LedgerError::Sql(_))), "{wrong}");
    }
    let nowhere = out(&place, "gone/t.csv");
    assert!(matches!(reader.export("SELECT 1", form, &nowhere), Err(LedgerError::Io(_))));
    assert!(reader.snapshot(&nowhere, false).is_err());
    assert_eq!(names(&place), before);
    // Not by this door either.
    let other = out(&place, "other.csv");
    let around = format!("SELECT 1) TO '{}' (FORMAT csv) --", other.display());
    assert!(reader.export(&around, form, &to).is_err());
    assert_eq!(names(&place), before);
    // What a killed process left is gone when the next one owns the ledger.
    drop(reader);
    drop(owner);
    fs::write(out(&place, "l.duckdb.copy"), "half").unwrap();
    fs::write(out(&place, "l.duckdb.copy.wal"), "half").unwrap();
    let mut owner = place.open(OpenMode::Existing);
    assert_eq!(names(&place), before);
    owner.apply(&[Commit::empty(given::CHAIN)]).unwrap();
    let reader = place_reader(owner, &place);
    assert!(reader.reader().unwrap().export("SELECT 1", form, &to).is_err());
}

/// The ledger, opened by a reader that was not told where to write.
fn place_reader(owner: DuckLedger, place: &Place) -> DuckLedger {
    closed(owner);
    place.open(OpenMode::ReadOnly)
}
