//! The digest of a ledger: equal where two ledgers say the same, however they came to it.
//!
//! It covers canonical events with every attribute and as they were decoded, their blocks,
//! coverage, provenance, candidates, what was refuted, how far each plugin is, and what it wrote:
//! rows, state and events set aside, as they are shown.
//!
//! It leaves out what a killed and repeated run may number otherwise: journal, event numbers,
//! batches, delivery numbers, attempts, incidents. How far `finalized` was is left out because it
//! is the hour of the run: the same blocks read a day later, or after a kill, say the same. And the
//! versions of plugin rows and state that newer ones have superseded are left out: they are there to
//! be gone back to, nothing shows them, and when they are compacted is a matter of time. The outbox is
//! left out, because what was sent before a reorg came, and what was not, is a matter of time, too.
//!
//! Rows are streamed in the order of their own values.

use crate::{
    check,
    error::{Result, statement_failed},
    lane_rows, query,
    sql::quoted,
};
use alloy_primitives::B256;
use duckdb::Connection;
use event::Value;
use sha2::{Digest, Sha256};
use std::ops::ControlFlow;

/// Name and statement of each part. A new part or column is another digest for the same ledger:
/// compare only what one version printed.
const PARTS: [(&str, &str); 10] = [
    (
        "events",
        "SELECT chain, block_number, block_hash, tx_hash, tx_index, log_index, address, topic0,
            topic1, topic2, topic3, data, occurrence FROM events_canonical ORDER BY ALL",
    ),
    (
        // Blocks without events are kept only while they are not final: that is a matter of time.
        "blocks",
        "SELECT chain, number, hash, parent, timestamp FROM blocks b
            WHERE canonical AND EXISTS (FROM events e WHERE e.chain = b.chain
                AND e.block_number = b.number AND e.block_hash = b.hash) ORDER BY ALL",
    ),
    (
        "coverage",
        "SELECT chain, filter, first_block, last_block, content, anchor,
            array_to_string(list_sort(nodes), chr(31)), first_parent, last_hash
            FROM coverage ORDER BY ALL",
    ),
    ("filters", "SELECT filter, spec FROM filters ORDER BY ALL"),
    ("sightings", "SELECT * FROM sightings ORDER BY ALL"),
    (
        "candidates",
        "SELECT * REPLACE (array_to_string(list_sort(nodes), chr(31)) AS nodes)
            FROM candidates ORDER BY ALL",
    ),
    ("refuted", "SELECT chain, block_hash, tx_hash, digest, occurrence FROM refuted ORDER BY ALL"),
    (
        // How far a plugin is, by the generation whose rows are shown.
        "lanes",
        "SELECT plugin, chain, next_block, halted IS NOT NULL FROM lanes l
            WHERE generation = (SELECT min(generation) FROM lanes o
                WHERE o.plugin = l.plugin AND o.chain = l.chain) ORDER BY ALL",
    ),
    (
        // Of the generation whose rows are shown.
        "state",
        "SELECT plugin, chain, key, value FROM (FROM plugin_state s
            WHERE generation = (SELECT min(generation) FROM lanes l
                WHERE l.plugin = s.plugin AND l.chain = s.chain)
            QUALIFY row_number() OVER (PARTITION BY plugin, chain, key ORDER BY batch DESC) = 1)
        WHERE value IS NOT NULL ORDER BY ALL",
    ),
    (
        "dead letters",
        "SELECT plugin, chain, block_number, block_hash, tx_hash, digest, occurrence, class
            FROM dead_letters d WHERE generation = (SELECT min(generation) FROM lanes l
                WHERE l.plugin = d.plugin AND l.chain = d.chain) ORDER BY ALL",
    ),
];

/// Returns the digest.
pub(crate) fn of(conn: &Connection) -> Result<B256> {
    let mut hasher = Sha256::new();
    for (name, statement) in PARTS {
        add(conn, &mut hasher, name, statement)?;
    }
    for schema in check::schemas(conn)? {
        let view = format!("{}.{}", quoted(&schema.contract), quoted(&schema.table));
        add(conn, &mut hasher, &view, &format!("FROM {view} ORDER BY ALL"))?;
    }
    for plugin in plugins(conn)? {
        let mut tables = lane_rows::stored_tables(conn, &plugin)?;
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        for table in tables {
            let mut names: Vec<String> =
                table.columns.iter().map(|column| quoted(&column.name)).collect();
            names.extend(["_chain_id", "_block_number", "_block_hash"].map(str::to_owned));
            let view =
                format!("{}.{}", quoted(&lane_rows::schema_of(&plugin)), quoted(&table.name));
            let statement = format!("SELECT {} FROM {view} ORDER BY ALL", names.join(", "));
            add(conn, &mut hasher, &view, &statement)?;
        }
    }
    Ok(B256::from_slice(&hasher.finalize()))
}

fn plugins(conn: &Connection) -> Result<Vec<String>> {
    let mut statement =
        conn.prepare("SELECT plugin FROM plugins ORDER BY plugin").map_err(statement_failed)?;
    let rows = statement.query_map([], |row| row.get(0));
    rows.and_then(Iterator::collect).map_err(statement_failed)
}

/// Adds one part. Every value says its kind and length, so that no two parts read alike.
fn add(conn: &Connection, hasher: &mut Sha256, name: &str, statement: &str) -> Result<()> {
    add_bytes(hasher, b'#', name.as_bytes());
    let mut rows: u64 = 0;
    query::run(conn, statement, &mut |_, values| {
        rows += 1;
        for value in values {
            add_value(hasher, &value);
        }
        ControlFlow::Continue(())
    })?;
    add_bytes(hasher, b'.', &rows.to_be_bytes());
    Ok(())
}

fn add_value(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Null => add_bytes(hasher, b'0', &[]),
        Value::Bool(value) => add_bytes(hasher, b'b', &[u8::from(*value)]),
        Value::Int(value) => add_bytes(hasher, b'i', &value.to_be_bytes()),
        Value::Float(value) => add_bytes(hasher, b'f', &value.to_be_bytes()),
        Value::Blob(value) => add_bytes(hasher, b'x', value),
        Value::Number(value) => add_bytes(hasher, b'n', value.as_bytes()),
        Value::Text(value) | Value::Time(value) | Value::Other(value) => {
            add_bytes(hasher, b't', value.as_bytes());
        }
    }
}

fn add_bytes(hasher: &mut Sha256, kind: u8, bytes: &[u8]) {
    hasher.update([kind]);
    hasher.update((bytes.len() as u64).to_be_bytes());
    hasher.update(bytes);
}
