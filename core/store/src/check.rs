//! Care of the file: what cannot be, found by looking. Nothing is repaired here.

use crate::{
    error::{Result, statement_failed},
    sql::{number, quoted},
    tables::TYPED_SCHEMA,
    typed,
};
use duckdb::Connection;
use event::{EventSchema, LedgerError};

/// A sentence and the statement that counts what it is about.
const COUNTS: [(&str, &str); 13] = [
    (
        "events are stored more than once",
        "SELECT coalesce(sum(n - 1), 0)::UBIGINT FROM (SELECT count(*) AS n FROM events
            GROUP BY chain, block_number, block_hash, tx_hash, address, topic0, topic1, topic2,
                topic3, data, occurrence HAVING n > 1)",
    ),
    (
        "events share a number with another event",
        "SELECT (count(*) - count(DISTINCT id))::UBIGINT FROM events",
    ),
    (
        "events lie in a block that is not stored",
        "SELECT count(*)::UBIGINT FROM events e WHERE NOT EXISTS (FROM blocks b
            WHERE b.chain = e.chain AND b.number = e.block_number AND b.hash = e.block_hash)",
    ),
    (
        "blocks are stored more than once",
        "SELECT coalesce(sum(n - 1), 0)::UBIGINT FROM (SELECT count(*) AS n FROM blocks
            GROUP BY chain, number, hash HAVING n > 1)",
    ),
    (
        "heights have more than one canonical block",
        "SELECT count(*)::UBIGINT FROM (SELECT count(*) AS n FROM blocks WHERE canonical
            GROUP BY chain, number HAVING n > 1)",
    ),
    (
        "canonical blocks do not follow the canonical block before them",
        "SELECT count(*)::UBIGINT FROM blocks b JOIN blocks p
            ON p.chain = b.chain AND p.number = b.number - 1
            WHERE b.canonical AND p.canonical AND b.parent IS NOT NULL AND b.parent <> p.hash
                AND b.number > 0",
    ),
    (
        "coverage intervals overlap or are upside down",
        "SELECT count(*)::UBIGINT FROM (SELECT first_block, last_block, lag(last_block) OVER
                (PARTITION BY chain, filter ORDER BY first_block) AS before FROM coverage_parts)
            WHERE first_block > last_block OR before >= first_block",
    ),
    (
        "coverage intervals go on from nothing",
        "SELECT count(*)::UBIGINT FROM coverage_parts p WHERE goes_on AND NOT EXISTS (
            FROM coverage_parts b WHERE b.chain = p.chain AND b.filter = p.filter
                AND b.last_block + 1 = p.first_block AND b.last_hash = p.first_parent
                AND (b.content, b.anchor, b.nodes) = (p.content, p.anchor, p.nodes))",
    ),
    (
        "coverage intervals name a filter that is not stored",
        "SELECT count(*)::UBIGINT FROM coverage c
            WHERE NOT EXISTS (FROM filters f WHERE f.filter = c.filter)",
    ),
    ("refuted events are not stored", "SELECT count(*)::UBIGINT FROM refuted WHERE event IS NULL"),
    (
        "journal rows are missing or repeated",
        "SELECT abs(coalesce(max(seq), 0)::HUGEINT - count(DISTINCT seq))::UBIGINT
            + (count(*) - count(DISTINCT seq))::UBIGINT FROM journal",
    ),
    (
        "lanes have read journal rows that are not there",
        "SELECT count(*)::UBIGINT FROM lanes
            WHERE journal_seq > (SELECT coalesce(max(seq), 0) FROM journal)",
    ),
    (
        "messages are in the outbox more than once",
        "SELECT (count(*) - count(DISTINCT idempotency_key))::UBIGINT FROM outbox",
    ),
];

/// Returns a sentence for each kind of problem.
pub(crate) fn problems(conn: &Connection) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for (sentence, statement) in COUNTS {
        let count = number(conn, statement)?;
        if count > 0 {
            problems.push(format!("{count} {sentence}"));
        }
    }
    for schema in schemas(conn)? {
        let name = format!("{}.{}", schema.contract, schema.table);
        let table = format!("{TYPED_SCHEMA}.{}", quoted(&typed::physical(&schema)));
        let orphans = format!(
            "SELECT count(*)::UBIGINT FROM {table} t
                WHERE NOT EXISTS (FROM events e WHERE e.id = t._event)"
        );
        let doubles = format!("SELECT (count(*) - count(DISTINCT _event))::UBIGINT FROM {table}");
        for (sentence, statement) in [("without an event", orphans), ("more than once", doubles)] {
            let count = number(conn, &statement)?;
            if count > 0 {
                problems.push(format!("{count} rows of {name} are there {sentence}"));
            }
        }
    }
    let missing = "SELECT count(*)::UBIGINT FROM schemas WHERE missing_through > 0";
    let missing = number(conn, missing)?;
    if missing > 0 {
        problems.push(format!("{missing} typed tables still lack rows of older events"));
    }
    Ok(problems)
}

/// Returns the schemas of all typed tables.
pub(crate) fn schemas(conn: &Connection) -> Result<Vec<EventSchema>> {
    let mut statement =
        conn.prepare("SELECT spec FROM schemas ORDER BY ALL").map_err(statement_failed)?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0));
    let specs: Vec<String> = rows.and_then(Iterator::collect).map_err(statement_failed)?;
    let parsed = specs.iter().map(|spec| serde_json::from_str(spec));
    parsed
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| LedgerError::Internal(format!("stored schema: {error}")))
}
