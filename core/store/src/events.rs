//! Stored events on their way out: pages for lanes, identities for the aggregator.
//!
//! A page is whole blocks. Its end is found first, over a bounded window of blocks and without
//! touching wide columns; only then are its rows read and sorted. So paging forward through a
//! long history reads every row group about once, thanks to the zone maps on `block_number`.

use crate::{
    arrow_columns::RawLogs,
    error::{Result, statement_failed},
    sql::{self, blob},
};
use alloy_primitives::B256;
use duckdb::{Connection, params};
use event::{
    AnyOf, BatchBlock, BlockRange, ChainId, EventId, EventPage, EventQuery, Filter, content_digest,
};
use std::collections::{BTreeMap, BTreeSet};

/// Values of one side of a filter that are written into the statement; more go to a table.
const INLINE_VALUES_MAX: usize = 100;

/// Width in blocks of the first window looked at.
const FIRST_WINDOW: u64 = 4096;

/// How much wider the next window may be than the last one.
const WINDOW_GROWTH_MAX: u64 = 64;

/// Columns that [`RawLogs`] reads, in its order.
const COLUMNS: &str = "block_number, block_hash, tx_hash, tx_index, log_index, address, \
                       topic0, topic1, topic2, topic3, data, occurrence";

/// Reads pages; remembers how dense events were and which value tables it made.
#[derive(Debug)]
pub(crate) struct Pager {
    window: u64,
    tables: BTreeSet<String>,
}

impl Default for Pager {
    fn default() -> Self {
        Self { window: FIRST_WINDOW, tables: BTreeSet::new() }
    }
}

impl Pager {
    /// Returns whole blocks of canonical, unrefuted events, up to the one that fills the limit.
    pub(crate) fn page(&mut self, conn: &Connection, query: &EventQuery) -> Result<EventPage> {
        let (first, last) = (query.range.first(), query.range.last());
        let Some(wanted) = self.wanted(conn, &query.filters)? else {
            return Ok(EventPage { through: last, ..EventPage::default() });
        };
        let limit = query.limit.max(1) as u64;
        let mut end = first;
        let through = loop {
            end = end.max(first.saturating_add(self.window - 1)).min(last);
            let (found, cut) = find_cut(conn, query.chain, first, end, &wanted, limit)?;
            if let Some(cut) = cut {
                // Aim a little above the limit next time.
                self.window = (cut - first + 1).saturating_mul(5).div_ceil(4).max(1);
                break cut;
            }
            if end == last {
                break last;
            }
            let growth = (limit / found.max(1)).clamp(2, WINDOW_GROWTH_MAX);
            self.window = (end - first + 1).saturating_mul(growth);
        };
        // By transaction first: some nodes count log indexes in each transaction anew.
        let condition = format!(
            "({wanted}) ORDER BY block_number, block_hash, tx_index, log_index, occurrence"
        );
        let rows = read(conn, "events_canonical", query.chain, first, through, &condition)?;
        page_of(conn, query.chain, rows, through)
    }

    /// Returns the predicate that any of the filters matches; `None` when there is no filter.
    fn wanted(
        &mut self,
        conn: &Connection,
        filters: &[std::sync::Arc<Filter>],
    ) -> Result<Option<String>> {
        let mut boxes = Vec::with_capacity(filters.len());
        for filter in filters {
            let mut sides = Vec::new();
            sides.extend(self.side(conn, "address", &filter.addresses)?);
            for (position, topics) in filter.topics.iter().enumerate() {
                sides.extend(self.side(conn, &format!("topic{position}"), topics)?);
            }
            boxes.push(if sides.is_empty() { "true".to_owned() } else { sides.join(" AND ") });
        }
        boxes.sort_unstable();
        boxes.dedup();
        Ok((!boxes.is_empty()).then(|| format!("({})", boxes.join(") OR ("))))
    }

    fn side<T: AsRef<[u8]>>(
        &mut self,
        conn: &Connection,
        column: &str,
        side: &AnyOf<T>,
    ) -> Result<Option<String>> {
        let AnyOf::Of(values) = side else { return Ok(None) };
        if values.len() <= INLINE_VALUES_MAX {
            let values: Vec<String> = values.iter().map(|value| blob(value.as_ref())).collect();
            return Ok(Some(format!("{column} IN ({})", values.join(", "))));
        }
        let mut hasher = alloy_primitives::Keccak256::new();
        values.iter().for_each(|value| hasher.update(value));
        let table = format!("wanted_{:x}", hasher.finalize());
        if !self.tables.contains(&table) {
            sql::run(conn, &format!("CREATE OR REPLACE TEMP TABLE {table} (value BLOB)"))?;
            let mut appender = conn
                .appender_to_catalog_and_db(&table, "temp", "main")
                .map_err(statement_failed)?;
            for value in values {
                appender.append_row([value.as_ref()]).map_err(statement_failed)?;
            }
            appender.flush().map_err(statement_failed)?;
            self.tables.insert(table.clone());
        }
        Ok(Some(format!("{column} IN (SELECT value FROM temp.{table})")))
    }
}

/// Counts the wanted events of the window, and returns the block in which the limit is reached.
fn find_cut(
    conn: &Connection,
    chain: ChainId,
    first: u64,
    last: u64,
    wanted: &str,
    limit: u64,
) -> Result<(u64, Option<u64>)> {
    let sql = format!(
        "SELECT coalesce(max(running), 0)::UBIGINT,
                min(block_number) FILTER (WHERE running >= {limit})
            FROM (SELECT block_number, sum(n) OVER (ORDER BY block_number) AS running
                FROM (SELECT block_number, count(*) AS n FROM events_canonical
                    WHERE chain = {chain} AND block_number BETWEEN {first} AND {last}
                        AND ({wanted})
                    GROUP BY block_number))"
    );
    conn.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).map_err(statement_failed)
}

/// Reads rows of a range of blocks from `events` or a view of it.
fn read(
    conn: &Connection,
    relation: &str,
    chain: ChainId,
    first: u64,
    last: u64,
    condition: &str,
) -> Result<RawLogs> {
    let sql = format!(
        "SELECT {COLUMNS} FROM {relation}
            WHERE chain = {chain} AND block_number BETWEEN {first} AND {last} AND {condition}"
    );
    let mut rows = RawLogs::default();
    stream(conn, &sql, &mut rows)?;
    Ok(rows)
}

fn stream(conn: &Connection, sql: &str, rows: &mut RawLogs) -> Result<()> {
    let mut statement = conn.prepare(sql).map_err(statement_failed)?;
    // The iterator of the crate panics on a failed fetch; stepping returns it.
    drop(statement.stream_arrow([]).map_err(statement_failed)?);
    while let Some(chunk) = statement.step().map_err(statement_failed)? {
        rows.take(&chunk)?;
    }
    Ok(())
}

fn page_of(conn: &Connection, chain: ChainId, rows: RawLogs, through: u64) -> Result<EventPage> {
    let mut page =
        EventPage { through, occurrence: rows.occurrence, logs: rows.logs, ..EventPage::default() };
    let mut headers = BTreeMap::new();
    if let (Some(first), Some(last)) = (rows.blocks.first(), rows.blocks.last()) {
        headers = block_headers(conn, chain, first.0, last.0)?;
    }
    for (number, hash) in rows.blocks {
        let (parent, timestamp) = headers.get(&(number, hash)).copied().unwrap_or_default();
        page.blocks.push(BatchBlock { number, hash, parent, timestamp });
    }
    Ok(page)
}

type Headers = BTreeMap<(u64, B256), (Option<B256>, Option<u64>)>;

fn block_headers(conn: &Connection, chain: ChainId, first: u64, last: u64) -> Result<Headers> {
    let condition = "chain = ? AND number BETWEEN ? AND ? AND canonical";
    let rows = crate::blocks::read(conn, condition, params![chain.0, first, last])?;
    Ok(rows.into_iter().map(|row| ((row.number, row.hash), (row.parent, row.timestamp))).collect())
}

/// Returns the ids of stored events of the range, on every branch.
pub(crate) fn known(conn: &Connection, chain: ChainId, range: BlockRange) -> Result<Vec<EventId>> {
    let rows = read(conn, "events", chain, range.first(), range.last(), "true")?;
    let ids = rows.logs.rows().zip(&rows.occurrence).map(|(log, occurrence)| EventId {
        chain,
        block_hash: rows.blocks[log.block as usize].1,
        tx_hash: *log.tx_hash,
        digest: content_digest(log),
        occurrence: *occurrence,
    });
    Ok(ids.collect())
}

/// Returns the number of a stored event.
pub(crate) fn number_of(conn: &Connection, id: &EventId) -> Result<Option<u64>> {
    let sql = format!(
        "SELECT {COLUMNS}, id FROM events WHERE chain = {} AND block_hash = {} AND tx_hash = {}
            AND occurrence = {} ORDER BY id",
        id.chain,
        blob(id.block_hash.as_slice()),
        blob(id.tx_hash.as_slice()),
        id.occurrence
    );
    let mut rows = RawLogs::default();
    stream(conn, &sql, &mut rows)?;
    let position = rows.logs.rows().position(|log| content_digest(log) == id.digest);
    Ok(position.and_then(|position| rows.ids.get(position).copied()))
}

/// Returns the chains that events are stored of, in order.
pub(crate) fn chains(conn: &Connection) -> Result<Vec<ChainId>> {
    let sql = "SELECT DISTINCT chain FROM events ORDER BY chain";
    let mut statement = conn.prepare(sql).map_err(statement_failed)?;
    let rows = statement.query_map([], |row| row.get(0).map(ChainId));
    rows.and_then(Iterator::collect).map_err(statement_failed)
}

/// Reads a chain's stored events by number, `limit` numbers at most, to decode them later than they came.
pub(crate) fn numbered(
    conn: &Connection,
    chain: ChainId,
    after: u64,
    limit: u64,
) -> Result<RawLogs> {
    let sql = format!(
        "SELECT {COLUMNS}, id, chain FROM events
            WHERE chain = {chain} AND id > {after} AND id <= {after} + {limit} ORDER BY id"
    );
    let mut rows = RawLogs::default();
    stream(conn, &sql, &mut rows)?;
    Ok(rows)
}
