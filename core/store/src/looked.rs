//! How far each filter was read through a second node: a row of `meta` each, so that programs of before
//! can still use the file. Does not decide how far that is.

use crate::{
    error::{Result, statement_failed},
    sql::{execute_cached, wrong_text},
};
use alloy_primitives::B256;
use duckdb::{Connection, params};
use event::{ChainId, Commit, FilterId};

fn prefix(chain: ChainId) -> String {
    format!("looked_again:{}:", chain.0)
}

/// Raises what the commit raises.
pub(crate) fn write(conn: &Connection, commit: &Commit) -> Result<()> {
    for (filter, next_block) in &commit.looked {
        let key = format!("{}{}", prefix(commit.chain), filter.0);
        let sql = "DELETE FROM meta WHERE key = ? AND TRY_CAST(value AS UBIGINT) < ?";
        execute_cached(conn, sql, params![key, next_block])?;
        let sql = "INSERT INTO meta SELECT ?, ? WHERE NOT EXISTS (FROM meta WHERE key = ?)";
        execute_cached(conn, sql, params![key, next_block.to_string(), key])?;
    }
    Ok(())
}

/// Returns how far each filter of the chain was read again, in order of the filters.
pub(crate) fn read(conn: &Connection, chain: ChainId) -> Result<Vec<(FilterId, u64)>> {
    let prefix = prefix(chain);
    let sql = "SELECT key, value FROM meta WHERE starts_with(key, ?) ORDER BY key";
    let mut statement = conn.prepare(sql).map_err(statement_failed)?;
    let rows = statement.query_map([&prefix], |row| {
        let (key, value): (String, String) = (row.get(0)?, row.get(1)?);
        let filter = key[prefix.len()..].parse::<B256>().map_err(|error| wrong_text(0, error))?;
        Ok((FilterId(filter), value.parse().map_err(|error| wrong_text(1, error))?))
    });
    rows.and_then(Iterator::collect).map_err(statement_failed)
}
