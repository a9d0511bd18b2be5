//! Which files are opened, and what is left of those that are not.

use crate::given::{self, CHAIN, Place, closed, commit};
use event::{LedgerError, Store};
use std::fs;
use store::{DuckLedger, OpenMode, SCHEMA_VERSION};

fn refusal(place: &Place, mode: OpenMode) -> LedgerError {
    DuckLedger::open(place.path(), mode).unwrap_err()
}

#[test]
fn a_second_owner_is_told_who_holds_the_ledger() {
    let place = Place::new();
    let ledger = place.open(OpenMode::Create);
    for mode in [OpenMode::Create, OpenMode::Existing, OpenMode::ReadOnly] {
        match refusal(&place, mode) {
            LedgerError::Busy { pid, .. } => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other}"),
        }
    }
    drop(ledger);
    let readers = [place.open(OpenMode::ReadOnly), place.open(OpenMode::ReadOnly)];
    assert!(matches!(refusal(&place, OpenMode::Existing), LedgerError::Busy { pid: None, .. }));
    drop(readers);
    place.open(OpenMode::Existing);
}

#[test]
fn what_is_no_ledger_is_refused_and_left_as_it_was() {
    for bytes in [&b""[..], b"hello", &[0; 20_000], b"SQLite format 3\0"] {
        for mode in [OpenMode::Create, OpenMode::Existing, OpenMode::ReadOnly] {
            let place = Place::new();
            fs::write(place.path(), bytes).unwrap();
            assert!(matches!(refusal(&place, mode), LedgerError::Unreadable { .. }));
            assert_eq!(fs::read(place.path()).unwrap(), bytes);
            let beside = fs::read_dir(place.path().parent().unwrap()).unwrap().count();
            assert_eq!(beside, 1, "nothing is left beside it");
        }
    }
    let missing = Place::new();
    assert!(matches!(refusal(&missing, OpenMode::Existing), LedgerError::Unreadable { .. }));
    assert!(!missing.path().exists());
}

#[test]
fn a_ledger_of_a_newer_version_is_refused_unchanged() {
    let place = Place::new();
    drop(place.open(OpenMode::Create));
    let newer = SCHEMA_VERSION + 1;
    let foreign = duckdb::Connection::open(place.path()).unwrap();
    let sql = format!("UPDATE meta SET value = '{newer}' WHERE key = 'schema_version'");
    foreign.execute_batch(&sql).unwrap();
    drop(foreign);
    let before = fs::read(place.path()).unwrap();
    for mode in [OpenMode::Create, OpenMode::Existing, OpenMode::ReadOnly] {
        match refusal(&place, mode) {
            LedgerError::Newer { found, known, .. } => {
                assert_eq!((found, known), (newer, SCHEMA_VERSION));
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(fs::read(place.path()).unwrap(), before);
}

/// Copies a ledger as kill -9 would leave it: file and log, with `count` commits in the log.
fn killed(count: u64) -> Place {
    let alive = Place::new();
    let mut ledger = alive.open(OpenMode::Create);
    ledger.prepare_schemas(&given::Transfers::default().0).unwrap();
    for i in 0..count {
        ledger.apply(&[commit(i * 10..i * 10 + 10, 5, i + 1)]).unwrap();
    }
    let dead = Place::new();
    fs::copy(alive.path(), dead.path()).unwrap();
    fs::copy(log(&alive), log(&dead)).unwrap();
    dead
}

fn log(place: &Place) -> std::path::PathBuf {
    place.path().with_extension("duckdb.wal")
}

#[test]
fn f77_a_torn_wal_is_read_up_to_the_last_whole_commit() {
    let whole = fs::read(log(&killed(3))).unwrap();
    for cut in [1, 7, 100] {
        let place = killed(3);
        fs::write(log(&place), &whole[..whole.len() - cut]).unwrap();
        let mut ledger = place.open(OpenMode::Existing);
        let seq = ledger.load(CHAIN).unwrap().journal_seq;
        assert!(seq == 2 || seq == 3, "cut {cut}: {seq}");
        assert_eq!(ledger.check().unwrap(), Vec::<String>::new());
        assert_eq!(ledger.load(CHAIN).unwrap().blocks.len() as u64, seq * 10);
    }
}

#[test]
fn f77_a_corrupt_wal_is_refused_and_left_as_it_was() {
    let place = killed(3);
    let mut bytes = fs::read(log(&place)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(log(&place), &bytes).unwrap();
    let file = fs::read(place.path()).unwrap();
    let error = refusal(&place, OpenMode::Create);
    assert!(matches!(error, LedgerError::Unreadable { .. }), "{error}");
    assert_eq!(fs::read(place.path()).unwrap(), file);
    assert_eq!(fs::read(log(&place)).unwrap(), bytes);
}

#[test]
fn f77_a_truncated_ledger_is_refused_and_left_as_it_was() {
    let place = killed(3);
    closed(place.open(OpenMode::Existing));
    let whole = fs::read(place.path()).unwrap();
    for keep in [100, 4096, whole.len() / 2] {
        fs::write(place.path(), &whole[..keep]).unwrap();
        let error = refusal(&place, OpenMode::Create);
        assert!(matches!(error, LedgerError::Unreadable { .. }), "{keep}: {error}");
        assert_eq!(fs::read(place.path()).unwrap(), &whole[..keep]);
    }
}

#[test]
fn f77_a_read_only_ledger_can_be_queried_but_not_owned() {
    let place = killed(1);
    closed(place.open(OpenMode::Existing));
    let before = fs::read(place.path()).unwrap();
    assert_eq!(place.ask("SELECT count(*) FROM usdc.Transfer"), store::Value::Int(50));
    let ledger = place.open(OpenMode::ReadOnly);
    for statement in ["DELETE FROM events", "SELECT 1; DROP TABLE events", "SET threads = 1"] {
        let each = &mut |_: &[store::Column], _| std::ops::ControlFlow::Continue(());
        let error = ledger.query(statement, each).unwrap_err();
        assert!(matches!(error, LedgerError::Sql(_)), "{statement}: {error}");
    }
    drop(ledger);
    assert_eq!(fs::read(place.path()).unwrap(), before);
}

#[test]
fn a_new_ledger_is_not_made_beside_the_log_of_a_lost_one() {
    let place = killed(1);
    fs::remove_file(place.path()).unwrap();
    assert!(matches!(refusal(&place, OpenMode::Create), LedgerError::Unreadable { .. }));
    assert!(!place.path().exists());
}
