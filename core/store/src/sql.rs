//! Small words of SQL: quoting, byte literals, and the transaction around a closure.

use crate::error::{Result, statement_failed};
use alloy_primitives::B256;
use duckdb::{Connection, Params, Row, types::Type};
use event::ChainId;
use std::fmt::Write;

/// Returns the identifier in double quotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns the text in single quotes.
pub(crate) fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// Returns a BLOB literal.
pub(crate) fn blob(bytes: &[u8]) -> String {
    let mut literal = String::with_capacity(bytes.len() * 4 + 8);
    literal.push('\'');
    for byte in bytes {
        let _ = write!(literal, "\\x{byte:02X}");
    }
    literal.push_str("'::BLOB");
    literal
}

/// Runs statements without parameters.
pub(crate) fn run(conn: &Connection, sql: &str) -> Result<()> {
    conn.execute_batch(sql).map_err(statement_failed)
}

/// Runs a statement that is kept prepared: one of those that every block at the head runs.
/// Returns the number of rows changed.
pub(crate) fn execute_cached(conn: &Connection, sql: &str, params: impl Params) -> Result<usize> {
    let mut statement = conn.prepare_cached(sql).map_err(statement_failed)?;
    statement.execute(params).map_err(statement_failed)
}

/// Returns one number.
pub(crate) fn number(conn: &Connection, sql: &str) -> Result<u64> {
    conn.query_row(sql, [], |row| row.get(0)).map_err(statement_failed)
}

/// Returns a height above which a table that counts blocks has nothing of the chain.
pub(crate) fn top(conn: &Connection, table: &str, chain: ChainId) -> Result<u64> {
    number(conn, &format!("SELECT coalesce(max(number), 0) FROM {table} WHERE chain = {chain}"))
}

/// Reads a hash; a value of another width is an error, never a panic.
pub(crate) fn hash_at(row: &Row<'_>, column: usize) -> duckdb::Result<B256> {
    let bytes: Vec<u8> = row.get(column)?;
    B256::try_from(bytes.as_slice()).map_err(|error| {
        duckdb::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
    })
}

/// Reads a hash that may be NULL.
pub(crate) fn hash_or_null_at(row: &Row<'_>, column: usize) -> duckdb::Result<Option<B256>> {
    match row.get::<_, Option<Vec<u8>>>(column)? {
        None => Ok(None),
        Some(_) => hash_at(row, column).map(Some),
    }
}

/// Reads text that one of our types parses.
pub(crate) fn parsed_at<T: std::str::FromStr<Err: std::fmt::Display>>(
    row: &Row<'_>,
    column: usize,
) -> duckdb::Result<T> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error| wrong_text(column, error))
}

/// Says that the text of a column is none that this program writes.
pub(crate) fn wrong_text(column: usize, error: impl std::fmt::Display) -> duckdb::Error {
    duckdb::Error::FromSqlConversionFailure(column, Type::Text, error.to_string().into())
}

/// Runs `body` in one transaction: all of it takes effect or nothing does.
pub(crate) fn atomically<T>(conn: &Connection, body: impl FnOnce() -> Result<T>) -> Result<T> {
    begin(conn)?;
    committed(conn, body)
}

/// Begins a transaction.
pub(crate) fn begin(conn: &Connection) -> Result<()> {
    execute_cached(conn, "BEGIN TRANSACTION", []).map(|_| ())
}

/// Runs the last part of the open transaction.
pub(crate) fn committed<T>(conn: &Connection, body: impl FnOnce() -> Result<T>) -> Result<T> {
    or_rolled_back(conn, body().and_then(|value| execute_cached(conn, "COMMIT", []).map(|_| value)))
}

/// Ends the open transaction without effect where a part of it failed.
pub(crate) fn or_rolled_back<T>(conn: &Connection, result: Result<T>) -> Result<T> {
    result.inspect_err(|_| {
        // After a failed COMMIT there is nothing left to roll back, which is an error too.
        let _ = conn.execute_batch("ROLLBACK");
    })
}
