//! The digest and the checks: what must change it, what must not, what is found.

use crate::{
    given::{self, CHAIN, Place, closed, commit},
    lanes,
};
use alloy_primitives::B256;
use event::{
    BlockRange, Candidate, Commit, DeadLetter, Incident, LogRef, Logs, NodeId, Sighting, Store, Via,
};
use store::{DuckLedger, OpenMode};

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

/// A ledger with a row in every table.
pub(crate) fn full(place: &Place) {
    let mut ledger = place.open(OpenMode::Create);
    ledger.prepare_schemas(&given::Transfers::default().0).unwrap();
    let mut commit = commit(100..103, 2, 1);
    let ids = given::ids(&commit);
    commit.finalized = Some(100);
    commit.sightings.push(Sighting {
        number: 102,
        hash: ids[4].block_hash,
        filter: given::filter().id(),
        node: NodeId::new("a"),
        via: Via::Range,
        logs: 2,
        digest: B256::repeat_byte(7),
    });
    let mut log = Logs::default();
    let row = commit.events[0].logs.row(0);
    log.push(LogRef { block: 0, data: &[9], ..row });
    commit.candidates.push(Candidate {
        id: ids[0],
        log,
        number: 100,
        nodes: vec![NodeId::new("a")],
    });
    commit.incidents.push(Incident {
        chain: CHAIN,
        node: NodeId::new("a"),
        range: BlockRange::one(100),
        flaw: event::Flaw::Forged,
        count: 1,
        detail: "said".into(),
    });
    ledger.apply(&[commit]).unwrap();
    let mut refuting = Commit::empty(CHAIN);
    refuting.refuted.push(ids[0]);
    ledger.apply(&[refuting]).unwrap();
    ledger.open_lane(&lanes::lane(), &lanes::descriptor()).unwrap();
    let mut written = lanes::commit(None, 101, "alice", "10");
    written.dead_letters.push(DeadLetter {
        seq: 1,
        event: ids[2],
        block: 101,
        class: "trap".into(),
        reason: "said".into(),
        attempts: 1,
    });
    ledger.apply_lanes(&[written]).unwrap();
    closed(ledger);
}

/// Tables whose rows are left out, and columns that number what a repeated run numbers otherwise.
const LEFT_OUT: [&str; 8] =
    ["meta", "chains", "journal", "incidents", "lane_batches", "schemas", "plugins", "outbox"];
const NUMBERS: [&str; 29] = [
    "lane_records.generation",
    "lane_records.start_block",
    "lane_records.undo_floor",
    "lane_records.next_seq",
    "lane_records.next_batch",
    "lane_records.journal_seq",
    "lane_records.last_batch",
    "lane_records.retry_from",
    "lane_records.component",
    "lane_records.version",
    "lane_records.logic_version",
    "lane_records.held",
    "lane_records.decided",
    "lane_records.first_seq",
    "coverage_parts.goes_on",
    "events.id",
    "events.journal_seq",
    "blocks.canonical",
    "refuted.event",
    "plugin_state.generation",
    "plugin_state.batch",
    "dead_letters.generation",
    "dead_letters.seq",
    "dead_letters.reason",
    "dead_letters.attempts",
    "_event",
    "_generation",
    "_batch",
    "_seq",
];

#[test]
fn the_digest_changes_with_every_column_of_every_table_that_it_covers() {
    let place = Place::new();
    full(&place);
    let original = std::fs::read(place.path()).unwrap();
    let digest = DuckLedger::open(place.path(), OpenMode::ReadOnly).unwrap().digest().unwrap();
    let raw = duckdb::Connection::open(place.path()).unwrap();
    let mut statement = raw
        .prepare(
            "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns()
            WHERE NOT internal AND table_oid IN (SELECT table_oid FROM duckdb_tables())
            ORDER BY ALL",
        )
        .unwrap();
    let columns: Vec<(String, String, String, String)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    drop(statement);
    drop(raw);
    // One of six, and every table's last; all of them in the long tier.
    let is_long = std::env::var_os("HEADCOUNT_LONG").is_some_and(|value| !value.is_empty());
    let mut changed = 0;
    for (i, (schema, table, column, ty)) in columns.iter().enumerate() {
        let is_last = columns.get(i + 1).is_none_or(|next| next.1 != *table);
        if !is_long && !is_last && table != "lane_records" && i % 6 != 0 {
            continue;
        }
        let is_number = NUMBERS.contains(&format!("{table}.{column}").as_str())
            || NUMBERS.contains(&column.as_str());
        if is_number || LEFT_OUT.contains(&table.as_str()) {
            continue;
        }
        let name = format!("\"{column}\"");
        let other = match ty.as_str() {
            "BLOB" => format!("coalesce({name}, ''::BLOB) || '\\x01'::BLOB"),
            "VARCHAR" => format!("coalesce({name}, '') || 'x'"),
            "VARCHAR[]" => format!("list_append({name}, 'x')"),
            "BIGNUM" => format!("({name}::VARCHAR || '1')::BIGNUM"),
            "TIMESTAMP" => format!("coalesce({name}, TIMESTAMP '2000-01-01') + INTERVAL 1 DAY"),
            _ => format!("coalesce({name}, 0) + 1"),
        };
        std::fs::write(place.path(), &original).unwrap();
        let raw = duckdb::Connection::open(place.path()).unwrap();
        let table = format!("\"{schema}\".\"{table}\"");
        let update = format!(
            "UPDATE {table} SET {name} = {other} WHERE rowid = (SELECT max(rowid) FROM {table})"
        );
        assert_eq!(raw.execute(&update, []).unwrap(), 1, "{update}");
        raw.execute_batch("CHECKPOINT").unwrap();
        drop(raw);
        let now = DuckLedger::open(place.path(), OpenMode::ReadOnly).unwrap().digest().unwrap();
        assert_ne!(now, digest, "{update}");
        changed += 1;
    }
    assert!(changed > if is_long { 70 } else { 15 }, "only {changed} columns were looked at");
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
