//! Blocks as they are written: inserted once, afterwards only their canonical state changes.

use crate::{
    append::Known,
    arrow_columns::{append, constant, fixed, fixed_or_null},
    error::{Result, statement_failed},
    sql::{hash_at, hash_or_null_at, top},
};
use alloy_primitives::B256;
use duckdb::{
    Connection,
    arrow::array::{ArrayRef, BooleanArray, UInt64Array},
    params,
};
use event::{BlockRow, ChainId, Commit};
use std::{collections::BTreeMap, sync::Arc};

type Rows = BTreeMap<(u64, B256), BlockRow>;

/// Writes the blocks of all commits; the last word on a block wins.
pub(crate) fn write(conn: &Connection, known: &mut Known, commits: &[Commit]) -> Result<()> {
    let mut chains: BTreeMap<ChainId, Rows> = BTreeMap::new();
    for commit in commits {
        let rows = chains.entry(commit.chain).or_default();
        for block in &commit.blocks {
            let key = (block.number, block.hash);
            match rows.get_mut(&key) {
                Some(row) => update(row, block),
                None => {
                    rows.insert(key, block.clone());
                }
            }
        }
    }
    for (chain, rows) in chains {
        let top = match known.tops.get(&chain) {
            Some(top) => *top,
            None => top(conn, "blocks", chain)?,
        };
        let new_top = rows.last_key_value().map_or(top, |(&(last, _), _)| last.max(top));
        write_chain(conn, chain, top, rows)?;
        known.tops.insert(chain, new_top);
    }
    Ok(())
}

/// What was known of a block stays known.
fn update(row: &mut BlockRow, news: &BlockRow) {
    row.parent = news.parent.or(row.parent);
    row.timestamp = news.timestamp.or(row.timestamp);
    row.canonical = news.canonical;
}

fn write_chain(conn: &Connection, chain: ChainId, top: u64, mut rows: Rows) -> Result<()> {
    let (Some((&(first, _), _)), Some((&(last, _), _))) =
        (rows.first_key_value(), rows.last_key_value())
    else {
        return Ok(());
    };
    let sql = "chain = ? AND number BETWEEN ? AND ?";
    let stored = match first > top {
        // A new head, which nothing is known of.
        true => Vec::new(),
        false => read(conn, sql, params![chain.0, first, last])?,
    };
    for known in stored {
        let Some(news) = rows.remove(&(known.number, known.hash)) else { continue };
        let mut row = known.clone();
        update(&mut row, &news);
        if row != known {
            conn.execute(
                "UPDATE blocks SET parent = ?, timestamp = ?, canonical = ?
                    WHERE chain = ? AND number = ? AND hash = ?",
                params![
                    row.parent.as_ref().map(|parent| parent.to_vec()),
                    row.timestamp,
                    row.canonical,
                    chain.0,
                    row.number,
                    row.hash.as_slice()
                ],
            )
            .map_err(statement_failed)?;
        }
    }
    let rows: Vec<BlockRow> = rows.into_values().collect();
    append(conn, "main", "blocks", columns(chain, &rows))
}

fn columns(chain: ChainId, rows: &[BlockRow]) -> Vec<ArrayRef> {
    let len = rows.len();
    vec![
        constant(chain.0, len),
        Arc::new(rows.iter().map(|row| Some(row.number)).collect::<UInt64Array>()),
        fixed(len, rows.iter().map(|row| &row.hash.0)),
        fixed_or_null(len, rows.iter().map(|row| row.parent.as_ref().map(|hash| &hash.0))),
        Arc::new(rows.iter().map(|row| row.timestamp).collect::<UInt64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.canonical)).collect::<BooleanArray>()),
    ]
}

/// Returns the blocks that `condition` selects, sorted by number and hash.
pub(crate) fn read(
    conn: &Connection,
    condition: &str,
    params: impl duckdb::Params,
) -> Result<Vec<BlockRow>> {
    let sql = format!(
        "SELECT number, hash, parent, timestamp, canonical FROM blocks
            WHERE {condition} ORDER BY number, hash"
    );
    let mut statement = conn.prepare_cached(&sql).map_err(statement_failed)?;
    let rows = statement.query_map(params, |row| {
        Ok(BlockRow {
            number: row.get(0)?,
            hash: hash_at(row, 1)?,
            parent: hash_or_null_at(row, 2)?,
            timestamp: row.get(3)?,
            canonical: row.get(4)?,
        })
    });
    rows.and_then(Iterator::collect).map_err(statement_failed)
}
