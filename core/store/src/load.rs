//! What the aggregator and the dispatcher ask for when they start: a chain's state, its journal.

use crate::{
    blocks,
    coverage::{Highest, NODE_SEPARATOR},
    demands,
    error::{Result, statement_failed},
    looked,
    sql::{hash_at, hash_or_null_at, number, parsed_at, wrong_text},
};
use alloy_primitives::{Address, B256};
use duckdb::{Connection, OptionalExt, Row, params};
use event::{
    BlockRange, Candidate, ChainId, ChainState, EventId, Evidence, Filter, FilterId, Flaw,
    Incident, Interval, JournalRow, Links, LogRef, Logs, NodeId, Op, Sighting,
};
use std::sync::Arc;

/// Returns what the aggregator needs to know of a chain.
pub(crate) fn chain_state(conn: &Connection, chain: ChainId) -> Result<ChainState> {
    let finalized: Option<u64> = conn
        .query_row("SELECT finalized FROM chains WHERE chain = ?", [chain.0], |row| row.get(0))
        .optional()
        .map_err(statement_failed)?;
    let condition = "chain = ? AND (NOT canonical OR number >= (SELECT coalesce(max(number), 0)
        FROM blocks WHERE chain = ? AND canonical AND number <= ?)
        OR number IN (SELECT first_block FROM journal WHERE chain = ? AND op = 'reinstate'))";
    let floor = finalized.unwrap_or(0);
    Ok(ChainState {
        coverage: coverage(conn, chain)?,
        blocks: blocks::read(conn, condition, params![chain.0, chain.0, floor, chain.0])?,
        candidates: candidates(conn, chain)?,
        sightings: sightings(conn, chain, finalized)?,
        finalized,
        journal_seq: number(conn, "SELECT coalesce(max(seq), 0)::UBIGINT FROM journal")?,
        looked: looked::read(conn, chain)?,
        demands: demands::read(conn, chain)?,
    })
}

/// Returns the chains that something is covered of, or was demanded, in order.
pub(crate) fn chains(conn: &Connection) -> Result<Vec<ChainId>> {
    let sql = format!(
        "SELECT chain FROM coverage UNION SELECT TRY_CAST(split_part(key, ':', 2) AS UBIGINT) AS chain
            FROM meta WHERE starts_with(key, '{}:') ORDER BY chain",
        demands::KEY
    );
    let mut statement = conn.prepare(&sql).map_err(statement_failed)?;
    let rows = statement.query_map([], |row| row.get(0).map(ChainId)).map_err(statement_failed)?;
    rows.collect::<duckdb::Result<_>>().map_err(statement_failed)
}

fn coverage(conn: &Connection, chain: ChainId) -> Result<Vec<(Arc<Filter>, Vec<Interval>)>> {
    let mut statement = conn
        .prepare(
            "SELECT c.filter, f.spec, c.first_block, c.last_block, c.content, c.anchor,
                array_to_string(c.nodes, chr(31)), c.first_parent, c.last_hash
            FROM coverage c JOIN filters f USING (filter)
            WHERE c.chain = ? ORDER BY c.filter, c.first_block",
        )
        .map_err(statement_failed)?;
    let mut rows = statement.query([chain.0]).map_err(statement_failed)?;
    let mut coverage: Vec<(B256, Arc<Filter>, Vec<Interval>)> = Vec::new();
    while let Some(row) = rows.next().map_err(statement_failed)? {
        let id = hash_at(row, 0).map_err(statement_failed)?;
        if coverage.last().is_none_or(|(last, _, _)| *last != id) {
            let filter = filter_at(row, 1).map_err(statement_failed)?;
            coverage.push((id, Arc::new(filter), Vec::new()));
        }
        let interval = interval_at(row).map_err(statement_failed)?;
        if let Some((_, _, intervals)) = coverage.last_mut() {
            intervals.push(interval);
        }
    }
    Ok(coverage.into_iter().map(|(_, filter, intervals)| (filter, intervals)).collect())
}

/// Returns the highest interval of a filter, if it has any.
pub(crate) fn highest_interval(
    conn: &Connection,
    chain: ChainId,
    filter: B256,
) -> Result<Option<Highest>> {
    let sql = "SELECT filter, NULL, first_block, last_block, content, anchor,
            array_to_string(nodes, chr(31)), first_parent, last_hash
        FROM coverage WHERE chain = ? AND filter = ? ORDER BY first_block DESC LIMIT 1";
    let of = params![chain.0, filter.as_slice()];
    let interval = conn.query_row(sql, of, interval_at).optional().map_err(statement_failed)?;
    let Some(interval) = interval else { return Ok(None) };
    let sql = "SELECT count(*)::UBIGINT FROM coverage_parts
        WHERE chain = ? AND filter = ? AND first_block > ?";
    let above = params![chain.0, filter.as_slice(), interval.range.first()];
    let parts = conn.query_row(sql, above, |row| row.get(0)).map_err(statement_failed)?;
    Ok(Some(Highest { interval, parts }))
}

/// Returns the filter of this id, if any row ever named it.
pub(crate) fn filter(conn: &Connection, id: FilterId) -> Result<Option<Filter>> {
    let mut statement =
        conn.prepare("SELECT spec FROM filters WHERE filter = ?").map_err(statement_failed)?;
    let mut rows = statement.query([id.0.as_slice()]).map_err(statement_failed)?;
    let row = rows.next().map_err(statement_failed)?;
    row.map(|row| filter_at(row, 0)).transpose().map_err(statement_failed)
}

fn filter_at(row: &Row<'_>, column: usize) -> duckdb::Result<Filter> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| wrong_text(column, error))
}

fn interval_at(row: &Row<'_>) -> duckdb::Result<Interval> {
    let links = match (hash_or_null_at(row, 7)?, hash_or_null_at(row, 8)?) {
        (Some(first_parent), Some(last_hash)) => Some(Links { first_parent, last_hash }),
        _ => None,
    };
    Ok(Interval {
        range: range_at(row, 2)?,
        evidence: Evidence { content: parsed_at(row, 4)?, anchor: parsed_at(row, 5)? },
        nodes: nodes_at(row, 6)?,
        links,
    })
}

/// Reads a range from two columns.
fn range_at(row: &Row<'_>, column: usize) -> duckdb::Result<BlockRange> {
    BlockRange::try_from((row.get(column)?, row.get(column + 1)?))
        .map_err(|error| wrong_text(column, error))
}

fn nodes_at(row: &Row<'_>, column: usize) -> duckdb::Result<Vec<NodeId>> {
    let text: String = row.get(column)?;
    Ok(text.split(NODE_SEPARATOR).filter(|name| !name.is_empty()).map(NodeId::new).collect())
}

fn sightings(conn: &Connection, chain: ChainId, finalized: Option<u64>) -> Result<Vec<Sighting>> {
    let mut statement = conn
        .prepare(
            "SELECT number, hash, filter, node, via, logs, digest FROM sightings
            WHERE chain = ? AND (? IS NULL OR number > ?) ORDER BY ALL",
        )
        .map_err(statement_failed)?;
    let rows = statement.query_map(params![chain.0, finalized, finalized], sighting_at);
    rows.and_then(Iterator::collect).map_err(statement_failed)
}

/// Returns the sightings of one filter in a range.
pub(crate) fn sightings_in(
    conn: &Connection,
    chain: ChainId,
    filter: FilterId,
    range: BlockRange,
) -> Result<Vec<Sighting>> {
    let mut statement = conn
        .prepare(
            "SELECT number, hash, filter, node, via, logs, digest FROM sightings
            WHERE chain = ? AND filter = ? AND number BETWEEN ? AND ? ORDER BY ALL",
        )
        .map_err(statement_failed)?;
    let asked = params![chain.0, filter.0.as_slice(), range.first(), range.last()];
    let rows = statement.query_map(asked, sighting_at);
    rows.and_then(Iterator::collect).map_err(statement_failed)
}

/// Returns the incidents with these flaws whose first block is in the range, in order.
pub(crate) fn told(
    conn: &Connection,
    chain: ChainId,
    range: BlockRange,
    flaws: &[Flaw],
) -> Result<Vec<Incident>> {
    let mut statement = conn
        .prepare(
            "SELECT node, first_block, flaw, count, detail, last_block FROM incidents
            WHERE chain = ? AND first_block BETWEEN ? AND ?
            AND list_contains(string_split(?, ' '), flaw) ORDER BY rowid",
        )
        .map_err(statement_failed)?;
    let names: Vec<String> = flaws.iter().map(ToString::to_string).collect();
    let asked = params![chain.0, range.first(), range.last(), names.join(" ")];
    let told = statement.query_map(asked, |row| {
        let (node, flaw): (String, String) = (row.get(0)?, row.get(2)?);
        let flaw = flaws.iter().zip(&names).find(|(_, name)| **name == flaw);
        let Some((flaw, _)) = flaw else { return Ok(None) };
        Ok(Some(Incident {
            chain,
            node: NodeId::new(node),
            range: BlockRange::try_from((row.get(1)?, row.get(5)?))
                .map_err(|error| wrong_text(1, error))?,
            flaw: *flaw,
            count: row.get(3)?,
            detail: row.get(4)?,
        }))
    });
    let told = told.and_then(Iterator::collect::<duckdb::Result<Vec<Option<Incident>>>>);
    Ok(told.map_err(statement_failed)?.into_iter().flatten().collect())
}

fn sighting_at(row: &Row<'_>) -> duckdb::Result<Sighting> {
    let node: String = row.get(3)?;
    Ok(Sighting {
        number: row.get(0)?,
        hash: hash_at(row, 1)?,
        filter: FilterId(hash_at(row, 2)?),
        node: NodeId::new(node),
        via: parsed_at(row, 4)?,
        logs: row.get(5)?,
        digest: hash_at(row, 6)?,
    })
}

fn candidates(conn: &Connection, chain: ChainId) -> Result<Vec<Candidate>> {
    let mut statement = conn
        .prepare(
            "SELECT block_hash, tx_hash, digest, occurrence, number, tx_index, log_index, address,
                topic0, topic1, topic2, topic3, data, array_to_string(nodes, chr(31))
            FROM candidates WHERE chain = ?
            ORDER BY number, block_hash, tx_hash, digest, occurrence",
        )
        .map_err(statement_failed)?;
    let rows = statement.query_map([chain.0], |row| candidate_at(chain, row));
    rows.and_then(Iterator::collect).map_err(statement_failed)
}

fn candidate_at(chain: ChainId, row: &Row<'_>) -> duckdb::Result<Candidate> {
    let tx_hash = hash_at(row, 1)?;
    let address: Vec<u8> = row.get(7)?;
    let address = Address::try_from(address.as_slice()).map_err(|error| wrong_text(7, error))?;
    let mut topics = Vec::new();
    for column in 8..12 {
        topics.extend(hash_or_null_at(row, column)?);
    }
    let data: Vec<u8> = row.get(12)?;
    let mut log = Logs::default();
    log.push(LogRef {
        block: 0,
        tx_hash: &tx_hash,
        tx_index: row.get(5)?,
        log_index: row.get(6)?,
        address: &address,
        topics: &topics,
        data: &data,
    });
    let id = EventId {
        chain,
        block_hash: hash_at(row, 0)?,
        tx_hash,
        digest: hash_at(row, 2)?,
        occurrence: row.get(3)?,
    };
    Ok(Candidate { id, log, number: row.get(4)?, nodes: nodes_at(row, 13)? })
}

/// Returns the chain's journal after row `after`.
pub(crate) fn journal(
    conn: &Connection,
    chain: ChainId,
    after: u64,
    limit: usize,
) -> Result<Vec<JournalRow>> {
    let mut statement = conn
        .prepare(
            "SELECT seq, op, filter, first_block, last_block, block_hash, events FROM journal
            WHERE chain = ? AND seq > ? ORDER BY seq LIMIT ?",
        )
        .map_err(statement_failed)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![chain.0, after, limit], |row| {
        Ok(JournalRow {
            seq: row.get(0)?,
            chain,
            op: op_at(row, 1)?,
            filter: hash_or_null_at(row, 2)?.map(FilterId),
            range: range_at(row, 3)?,
            block_hash: hash_or_null_at(row, 5)?,
            events: row.get(6)?,
        })
    });
    rows.and_then(Iterator::collect).map_err(statement_failed)
}

fn op_at(row: &Row<'_>, column: usize) -> duckdb::Result<Op> {
    let text: String = row.get(column)?;
    [Op::Extend, Op::Revert, Op::Reinstate, Op::Late, Op::Refute]
        .into_iter()
        .find(|op| crate::append::op_name(*op) == text)
        .ok_or_else(|| wrong_text(column, format!("`{text}` is no transition")))
}
