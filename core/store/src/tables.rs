//! The tables of a ledger, their version, and how an older file is brought forward.
//!
//! No primary key or index on `events`: it doubles file size and insert time (measured).
//! Uniqueness is the aggregator's work; `ledger check` looks for duplicates.
//!
//! Transaction hashes are not compressed: they are as good as random, and trying costs a sixth of
//! the time that events take to write, for 2 % of the file (measured).

use crate::{
    error::{Result, statement_failed},
    sql::{atomically, run},
};
use duckdb::Connection;

/// Version of the tables that this program writes.
pub const SCHEMA_VERSION: u32 = 4;

/// Schema that holds the typed tables behind their views.
pub(crate) const TYPED_SCHEMA: &str = "headcount_typed";

/// Schema that holds the plugins' tables behind their views.
pub(crate) const PLUGIN_SCHEMA: &str = "headcount_plugin";

/// Names that neither a contract nor a plugin may take as its SQL schema.
pub(crate) const RESERVED_SCHEMAS: [&str; 8] = [
    "main",
    "temp",
    "system",
    "memory",
    "information_schema",
    "pg_catalog",
    TYPED_SCHEMA,
    PLUGIN_SCHEMA,
];

/// Whether a contract or plugin of this name would have an SQL schema that is taken. Plugins have theirs
/// with `_` for `-`.
pub fn is_reserved_schema(name: &str) -> bool {
    let name = name.replace('-', "_");
    RESERVED_SCHEMAS.iter().any(|reserved| reserved.eq_ignore_ascii_case(&name))
}

/// What brings a file from version `i` to `i + 1`, each in its own transaction with the version,
/// so that a killed migration goes on where it stopped. Version 0 is an empty file.
const MIGRATIONS: [&str; SCHEMA_VERSION as usize] = [VERSION_1, VERSION_2, VERSION_3, VERSION_4];

const VERSION_1: &str = r#"
CREATE TABLE meta (key VARCHAR NOT NULL, value VARCHAR NOT NULL);
CREATE TABLE chains (chain UBIGINT NOT NULL, finalized UBIGINT NOT NULL);
CREATE TABLE events (
    id UBIGINT NOT NULL, chain UBIGINT NOT NULL,
    block_number UBIGINT NOT NULL, block_hash BLOB NOT NULL,
    tx_hash BLOB USING COMPRESSION uncompressed NOT NULL,
    tx_index UINTEGER NOT NULL, log_index UINTEGER NOT NULL,
    address BLOB NOT NULL, topic0 BLOB, topic1 BLOB, topic2 BLOB, topic3 BLOB,
    data BLOB NOT NULL, occurrence UINTEGER NOT NULL, journal_seq UBIGINT NOT NULL);
CREATE TABLE blocks (
    chain UBIGINT NOT NULL, number UBIGINT NOT NULL, hash BLOB NOT NULL,
    parent BLOB, timestamp UBIGINT, canonical BOOLEAN NOT NULL);
CREATE TABLE journal (
    seq UBIGINT NOT NULL, chain UBIGINT NOT NULL, op VARCHAR NOT NULL, filter BLOB,
    first_block UBIGINT NOT NULL, last_block UBIGINT NOT NULL, block_hash BLOB,
    events UBIGINT NOT NULL);
CREATE TABLE filters (filter BLOB NOT NULL, spec VARCHAR NOT NULL);
CREATE TABLE coverage (
    chain UBIGINT NOT NULL, filter BLOB NOT NULL,
    first_block UBIGINT NOT NULL, last_block UBIGINT NOT NULL,
    content VARCHAR NOT NULL, anchor VARCHAR NOT NULL, nodes VARCHAR[] NOT NULL,
    first_parent BLOB, last_hash BLOB);
CREATE TABLE sightings (
    chain UBIGINT NOT NULL, number UBIGINT NOT NULL, hash BLOB NOT NULL, filter BLOB NOT NULL,
    node VARCHAR NOT NULL, via VARCHAR NOT NULL, logs UBIGINT NOT NULL, digest BLOB NOT NULL);
CREATE TABLE candidates (
    chain UBIGINT NOT NULL, block_hash BLOB NOT NULL, tx_hash BLOB NOT NULL,
    digest BLOB NOT NULL, occurrence UINTEGER NOT NULL, number UBIGINT NOT NULL,
    tx_index UINTEGER NOT NULL, log_index UINTEGER NOT NULL, address BLOB NOT NULL,
    topic0 BLOB, topic1 BLOB, topic2 BLOB, topic3 BLOB, data BLOB NOT NULL,
    nodes VARCHAR[] NOT NULL);
CREATE TABLE incidents (
    chain UBIGINT NOT NULL, node VARCHAR NOT NULL,
    first_block UBIGINT NOT NULL, last_block UBIGINT NOT NULL,
    flaw VARCHAR NOT NULL, count UBIGINT NOT NULL, detail VARCHAR NOT NULL);
CREATE TABLE refuted (
    chain UBIGINT NOT NULL, block_hash BLOB NOT NULL, tx_hash BLOB NOT NULL,
    digest BLOB NOT NULL, occurrence UINTEGER NOT NULL, event UBIGINT);
CREATE TABLE schemas (
    contract VARCHAR NOT NULL, event VARCHAR NOT NULL, signature VARCHAR NOT NULL,
    spec VARCHAR NOT NULL, missing_through UBIGINT NOT NULL);
CREATE TABLE plugins (
    plugin VARCHAR NOT NULL, version VARCHAR NOT NULL, logic_version UINTEGER NOT NULL,
    tables VARCHAR NOT NULL);
CREATE TABLE lanes (
    plugin VARCHAR NOT NULL, chain UBIGINT NOT NULL, generation UINTEGER NOT NULL,
    start_block UBIGINT NOT NULL, undo_floor UBIGINT NOT NULL, next_block UBIGINT NOT NULL,
    next_seq UBIGINT NOT NULL, next_batch UBIGINT NOT NULL, journal_seq UBIGINT NOT NULL,
    last_batch UBIGINT NOT NULL, halted VARCHAR);
CREATE TABLE lane_batches (
    plugin VARCHAR NOT NULL, chain UBIGINT NOT NULL, generation UINTEGER NOT NULL,
    batch UBIGINT NOT NULL, first_block UBIGINT NOT NULL, last_block UBIGINT NOT NULL);
CREATE TABLE plugin_state (
    plugin VARCHAR NOT NULL, chain UBIGINT NOT NULL, generation UINTEGER NOT NULL,
    batch UBIGINT NOT NULL, key BLOB NOT NULL, value BLOB);
CREATE TABLE dead_letters (
    plugin VARCHAR NOT NULL, chain UBIGINT NOT NULL, generation UINTEGER NOT NULL,
    seq UBIGINT NOT NULL, block_number UBIGINT NOT NULL, block_hash BLOB NOT NULL,
    tx_hash BLOB NOT NULL, digest BLOB NOT NULL, occurrence UINTEGER NOT NULL,
    class VARCHAR NOT NULL, reason VARCHAR NOT NULL, attempts UINTEGER NOT NULL);
CREATE SCHEMA headcount_typed;
CREATE SCHEMA headcount_plugin;
CREATE MACRO hex0x(bytes) AS '0x' || lower(hex(bytes));
CREATE VIEW events_canonical AS
    SELECT e.* FROM main.events e
    WHERE NOT EXISTS (SELECT 1 FROM main.blocks b WHERE NOT b.canonical
            AND b.chain = e.chain AND b.number = e.block_number AND b.hash = e.block_hash)
        AND NOT EXISTS (SELECT 1 FROM main.refuted r WHERE r.event = e.id);
INSERT INTO meta VALUES ('schema_version', '0');
"#;

/// Messages of plugins to the outside; and from where a lane is to handle events again.
const VERSION_2: &str = "
CREATE TABLE outbox (
    id UBIGINT NOT NULL, plugin VARCHAR NOT NULL, chain UBIGINT NOT NULL,
    generation UINTEGER NOT NULL, batch UBIGINT NOT NULL, sink VARCHAR NOT NULL,
    key VARCHAR NOT NULL, idempotency_key VARCHAR NOT NULL, content_type VARCHAR NOT NULL,
    body BLOB NOT NULL, status VARCHAR NOT NULL, is_reverted BOOLEAN NOT NULL,
    attempts UINTEGER NOT NULL, reason VARCHAR);
ALTER TABLE lanes ADD COLUMN retry_from UBIGINT;
";

/// Which component wrote a lane, and what was decided of another one; where its generation began to count.
const VERSION_3: &str = "
ALTER TABLE lanes ADD COLUMN component VARCHAR;
ALTER TABLE lanes ADD COLUMN version VARCHAR;
ALTER TABLE lanes ADD COLUMN logic_version UINTEGER;
ALTER TABLE lanes ADD COLUMN held VARCHAR;
ALTER TABLE lanes ADD COLUMN decided VARCHAR;
ALTER TABLE lanes ADD COLUMN first_seq UBIGINT;
";

/// A head adds rows and changes none: DuckDB plans an `UPDATE` or `DELETE` with parameters anew each time
/// that it runs, and two of them took a fifth of the time to commit a head (measured). Coverage goes on in a row
/// of its own, and a lane's cursor comes with its batch; views show both as they were shown before.
///
/// A row that goes on from nothing, which nobody writes, is an interval of its own: no more is claimed.
const VERSION_4: &str = "
ALTER TABLE coverage RENAME TO coverage_parts;
ALTER TABLE coverage_parts ADD COLUMN goes_on BOOLEAN DEFAULT false;
CREATE VIEW coverage AS
    SELECT chain, filter, min(first_block) AS first_block, max(last_block) AS last_block,
        arg_min(content, first_block) AS content, arg_min(anchor, first_block) AS anchor,
        arg_min(nodes, first_block) AS nodes, arg_min(first_parent, first_block) AS first_parent,
        arg_max(last_hash, first_block) AS last_hash
    FROM (SELECT *, count(*) FILTER (NOT is_joined) OVER interval_of AS interval_number
        FROM (SELECT *, goes_on
                AND coalesce(lag(last_block) OVER interval_of + 1 = first_block, false) AS is_joined
            FROM main.coverage_parts
            WINDOW interval_of AS (PARTITION BY chain, filter ORDER BY first_block))
        WINDOW interval_of AS (PARTITION BY chain, filter ORDER BY first_block))
    GROUP BY chain, filter, interval_number;
ALTER TABLE lanes RENAME TO lane_records;
ALTER TABLE lane_batches ADD COLUMN next_block UBIGINT;
ALTER TABLE lane_batches ADD COLUMN next_seq UBIGINT;
ALTER TABLE lane_batches ADD COLUMN next_batch UBIGINT;
ALTER TABLE lane_batches ADD COLUMN journal_seq UBIGINT;
CREATE VIEW lanes AS
    SELECT r.plugin, r.chain, r.generation, r.start_block, r.undo_floor,
        coalesce(b.next_block, r.next_block) AS next_block,
        coalesce(b.next_seq, r.next_seq) AS next_seq,
        coalesce(b.next_batch, r.next_batch) AS next_batch,
        coalesce(b.journal_seq, r.journal_seq) AS journal_seq,
        coalesce(b.batch, r.last_batch) AS last_batch,
        r.halted, r.retry_from, r.component, r.version, r.logic_version, r.held, r.decided, r.first_seq
    FROM main.lane_records r LEFT JOIN (
        SELECT * FROM main.lane_batches WHERE next_block IS NOT NULL
            QUALIFY row_number() OVER (PARTITION BY plugin, chain, generation ORDER BY batch DESC) = 1) b
        ON b.plugin = r.plugin AND b.chain = r.chain AND b.generation = r.generation
            AND b.batch > r.last_batch;
";

/// Returns the version of the tables in the file; 0 for a file without any table.
pub(crate) fn version(conn: &Connection) -> Result<Option<u32>> {
    let tables: u64 = crate::sql::number(
        conn,
        "SELECT count(*) FROM duckdb_tables() WHERE NOT internal AND NOT temporary",
    )?;
    if tables == 0 {
        return Ok(Some(0));
    }
    let sql = "SELECT count(*) FROM duckdb_columns() WHERE schema_name = 'main'
        AND table_name = 'meta' AND column_name IN ('key', 'value')";
    if crate::sql::number(conn, sql)? != 2 {
        return Ok(None);
    }
    let sql = "SELECT coalesce(max(value), '') FROM meta WHERE key = 'schema_version'";
    let text: String = conn.query_row(sql, [], |row| row.get(0)).map_err(statement_failed)?;
    Ok(text.parse().ok())
}

/// Brings the tables from `found` to [`SCHEMA_VERSION`].
pub(crate) fn migrate(conn: &Connection, found: u32) -> Result<()> {
    migrate_by(conn, found, &MIGRATIONS)
}

fn migrate_by(conn: &Connection, found: u32, migrations: &[&str]) -> Result<()> {
    for (from, statements) in migrations.iter().enumerate().skip(found as usize) {
        atomically(conn, || {
            run(conn, statements)?;
            let to = from + 1;
            run(conn, &format!("UPDATE meta SET value = '{to}' WHERE key = 'schema_version'"))
        })?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_older_file_is_brought_forward_and_a_failed_step_leaves_the_version_it_had() {
        let conn = Connection::open_in_memory().unwrap();
        assert_eq!(version(&conn).unwrap(), Some(0));
        migrate(&conn, 0).unwrap();
        assert_eq!(version(&conn).unwrap(), Some(SCHEMA_VERSION));

        let later = "CREATE TABLE later (x INTEGER)";
        let with = |more: [&'static str; 2]| [MIGRATIONS.as_slice(), &more].concat();
        migrate_by(&conn, SCHEMA_VERSION, &with([later, later])).unwrap_err();
        assert_eq!(version(&conn).unwrap(), Some(SCHEMA_VERSION + 1));
        let steps = with(["SELECT 1", "CREATE TABLE latest (x INTEGER)"]);
        migrate_by(&conn, SCHEMA_VERSION + 1, &steps).unwrap();
        assert_eq!(version(&conn).unwrap(), Some(SCHEMA_VERSION + 2));
    }

    #[test]
    fn a_ledger_of_version_3_says_the_same_of_coverage_and_lanes_afterwards() {
        let conn = Connection::open_in_memory().unwrap();
        migrate_by(&conn, 0, &MIGRATIONS[..3]).unwrap();
        conn.execute_batch(
            "INSERT INTO coverage VALUES
                (1, '\x01', 0, 9, 'bloom', 'one-node', ['a'], '\x02', '\x03'),
                (1, '\x01', 10, 12, 'claimed', 'one-node', ['a', 'b'], NULL, NULL);
            INSERT INTO lanes VALUES ('p', 1, 2, 5, 8, 13, 40, 4, 7, 3, 'why', 6, 'c', '1', 1, 'held',
                'decided', 20);
            INSERT INTO lane_batches VALUES ('p', 1, 2, 3, 9, 12)",
        )
        .unwrap();
        let said = |table: &str| -> Vec<String> {
            let sql = format!("SELECT t::VARCHAR FROM (FROM {table} ORDER BY ALL) t");
            let mut statement = conn.prepare(&sql).unwrap();
            let rows = statement.query_map([], |row| row.get(0)).unwrap();
            rows.map(|row| row.unwrap()).collect()
        };
        let before = [said("coverage"), said("lanes")];
        migrate(&conn, 3).unwrap();
        assert_eq!([said("coverage"), said("lanes")], before);
        assert_eq!(before.map(|rows| rows.len()), [2, 1]);
    }

    #[test]
    fn a_file_of_an_older_version_is_refused_unchanged_to_readers_until_an_owner_was_there() {
        use crate::{DuckLedger, OpenMode};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.duckdb");
        let conn = Connection::open(&path).unwrap();
        migrate_by(&conn, 0, &MIGRATIONS[..3]).unwrap();
        conn.close().unwrap();
        let before = std::fs::read(&path).unwrap();
        match DuckLedger::open(&path, OpenMode::ReadOnly).unwrap_err() {
            event::LedgerError::Older { found, known, .. } => {
                assert_eq!((found, known), (3, SCHEMA_VERSION));
            }
            other => panic!("{other}"),
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
        drop(DuckLedger::open(&path, OpenMode::Existing).unwrap());
        DuckLedger::open(&path, OpenMode::ReadOnly).unwrap();
    }

    /// Table, column and type of every row of the page's tables of columns.
    fn documented() -> Vec<(String, String, String)> {
        let page = include_str!("../../../docs/ledger.md");
        let (mut table, mut found) = (String::new(), Vec::new());
        for line in page.lines() {
            if let Some(heading) = line.strip_prefix("#") {
                let name = heading.trim_start_matches(['#', ' ']);
                table =
                    name.strip_prefix('`').and_then(|n| n.strip_suffix('`')).unwrap_or("").into();
            }
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            if let (false, ["", name, ty, _, ""]) = (table.is_empty(), cells.as_slice())
                && let Some(name) = name.strip_prefix('`').and_then(|n| n.strip_suffix('`'))
            {
                found.push((table.clone(), name.to_owned(), (*ty).to_owned()));
            }
        }
        found
    }

    #[test]
    fn the_page_about_the_ledger_names_every_table_and_column_and_no_other() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn, 0).unwrap();
        let mut statement = conn
            .prepare(
                "SELECT table_name, column_name, data_type FROM duckdb_columns()
                WHERE NOT internal AND table_name <> 'events_canonical'
                ORDER BY table_name, column_index",
            )
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let mut stored: Vec<(String, String, String)> =
            rows.unwrap().map(|row| row.unwrap()).collect();
        let typed = "headcount_typed.\"CONTRACT.EVENT\"";
        stored.extend(crate::typed::OWN_COLUMNS.iter().map(|(name, ty)| {
            let ty = ty.split(' ').next().unwrap_or_default();
            (typed.to_owned(), (*name).to_owned(), ty.to_owned())
        }));
        let mut documented = documented();
        // In each table in its own order, the tables in any.
        documented.sort_by(|a, b| a.0.cmp(&b.0));
        stored.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(documented, stored);
        let page = include_str!("../../../docs/ledger.md");
        assert!(page.contains("### `events_canonical`"));
    }

    #[test]
    fn a_duckdb_file_of_someone_else_has_no_version() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE people (name VARCHAR)").unwrap();
        assert_eq!(version(&conn).unwrap(), None);
    }
}
