//! Writes the logs that wait for another node: what all commits of a transaction leave of them, in a
//! few statements. While a gap is filled through several nodes every event of it waits for a moment.

use crate::{
    arrow_columns::{addresses, data, fixed, record_batch, texts, topics, u32s, u64s},
    coverage::joined,
    error::{Result, statement_failed},
    sql::run,
};
use alloy_primitives::B256;
use duckdb::{Connection, arrow::array::ArrayRef};
use event::{Candidate, Commit, EventId, LedgerError, LogRef, Logs};
use std::collections::BTreeMap;

/// Tables beside the real ones, to be emptied: ids that go, and rows that come.
const STAGING: &str = "
    CREATE TEMP TABLE IF NOT EXISTS gone_candidates (
        chain UBIGINT, block_hash BLOB, tx_hash BLOB, digest BLOB, occurrence UINTEGER);
    CREATE TEMP TABLE IF NOT EXISTS new_candidates AS
        SELECT * REPLACE ('' AS nodes) FROM main.candidates LIMIT 0;
    DELETE FROM temp.gone_candidates;
    DELETE FROM temp.new_candidates";

/// Takes out what is closed or said anew, and puts in what waits now.
const APPLY: &str = "
    DELETE FROM main.candidates USING temp.gone_candidates AS gone
        WHERE candidates.chain = gone.chain AND candidates.block_hash = gone.block_hash
        AND candidates.tx_hash = gone.tx_hash AND candidates.digest = gone.digest
        AND candidates.occurrence = gone.occurrence;
    INSERT INTO main.candidates SELECT * REPLACE (
        list_filter(string_split(nodes, chr(31)), x -> x <> '') AS nodes)
        FROM temp.new_candidates";

pub(crate) fn write(conn: &Connection, commits: &[Commit]) -> Result<()> {
    let last = last_words(commits);
    if last.is_empty() {
        return Ok(());
    }
    let waiting: Vec<&Candidate> = last.values().copied().flatten().collect();
    if waiting.iter().any(|candidate| candidate.log.len() != 1) {
        return Err(LedgerError::Internal("a candidate that is not one log".into()));
    }
    run(conn, STAGING)?;
    let gone: Vec<&EventId> = last.keys().copied().collect();
    stage(conn, "gone_candidates", identities(&gone))?;
    if !waiting.is_empty() {
        stage(conn, "new_candidates", rows(&waiting))?;
    }
    run(conn, APPLY)
}

/// What becomes of each log that the commits name: it waits, or it does not any more.
fn last_words(commits: &[Commit]) -> BTreeMap<&EventId, Option<&Candidate>> {
    let mut last = BTreeMap::new();
    for commit in commits {
        last.extend(commit.candidates_closed.iter().map(|id| (id, None)));
        last.extend(commit.candidates.iter().map(|candidate| (&candidate.id, Some(candidate))));
    }
    last
}

fn identities(ids: &[&EventId]) -> Vec<ArrayRef> {
    let hashes = |of: fn(&EventId) -> &B256| fixed(ids.len(), ids.iter().map(|id| &of(id).0));
    vec![
        u64s(ids.iter().map(|id| id.chain.0).collect()),
        hashes(|id| &id.block_hash),
        hashes(|id| &id.tx_hash),
        hashes(|id| &id.digest),
        u32s(ids.iter().map(|id| id.occurrence).collect()),
    ]
}

fn rows(candidates: &[&Candidate]) -> Vec<ArrayRef> {
    let mut logs = Logs::default();
    for candidate in candidates {
        logs.push(LogRef { block: 0, ..candidate.log.row(0) });
    }
    let ids: Vec<&EventId> = candidates.iter().map(|candidate| &candidate.id).collect();
    let nodes: Vec<String> = candidates.iter().map(|candidate| joined(&candidate.nodes)).collect();
    let mut columns = identities(&ids);
    columns.extend([
        u64s(candidates.iter().map(|candidate| candidate.number).collect()),
        u32s(logs.tx_index.clone()),
        u32s(logs.log_index.clone()),
        addresses(&logs.address),
    ]);
    columns.extend((0..4).map(|position| topics(&logs, position)));
    columns.extend([data(&logs), texts(nodes.iter().map(String::as_str))]);
    columns
}

fn stage(conn: &Connection, table: &str, columns: Vec<ArrayRef>) -> Result<()> {
    let mut staged =
        conn.appender_to_catalog_and_db(table, "temp", "main").map_err(statement_failed)?;
    staged
        .append_record_batch(record_batch(columns)?)
        .and_then(|()| staged.flush())
        .map_err(statement_failed)
}
