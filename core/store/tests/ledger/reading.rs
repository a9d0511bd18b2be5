//! Reading for other processes beside the writer: answers of one moment that cannot write.

use event::{LedgerError, Store};
use std::ops::ControlFlow;
use store::{DuckLedger, OpenMode, OpenOptions, Ownership, announced_socket};

#[test]
fn a_reader_for_others_sees_what_is_committed_and_can_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.duckdb");
    let ledger = DuckLedger::open(&path, OpenMode::Create).unwrap();
    let reader = ledger.reader().unwrap();
    assert_eq!(reader.digest().unwrap(), ledger.digest().unwrap());
    assert_eq!(reader.check().unwrap(), Vec::<String>::new());
    assert!(reader.chains().unwrap().is_empty());
    let mut rows = 0;
    let mut count = |sql: &str| {
        reader.query(sql, &mut |_, _| {
            rows += 1;
            ControlFlow::Continue(())
        })
    };
    count("select * from main.filters union all select null, null").unwrap();
    for statement in [
        "drop table main.events",
        "select 1) as q; drop table main.events; select * from (select 1",
        "select 1; rollback; drop table main.events; select 1",
        "insert into main.filters values (null, null)",
        "commit",
    ] {
        let refused = count(statement);
        assert!(matches!(refused, Err(LedgerError::Sql(_))), "{statement}: {refused:?}");
    }
    count("from main.events").unwrap();
    assert_eq!(rows, 1);
}

#[test]
fn a_ledger_is_given_up_when_its_last_reader_is_gone_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.duckdb");
    let ownership = Ownership::take(&path).unwrap();
    ownership.announce(std::path::Path::new("/run/x.sock")).unwrap();
    assert_eq!(announced_socket(&path).unwrap().to_str(), Some("/run/x.sock"));
    let mut ledger = DuckLedger::open_owned(&ownership, &OpenOptions::default()).unwrap();
    let reader = ledger.reader().unwrap();
    ledger.close().unwrap();
    drop((ledger, ownership));
    match Ownership::take(&path) {
        Err(LedgerError::Busy { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("taken although it is read: {other:?}"),
    }
    drop(reader);
    Ownership::take(&path).unwrap();
    assert_eq!(announced_socket(&path), None);
}
