//! Yardstick (iii): the rows that a plugin left in its tables, appended to the same tables in a fresh file
//! with nothing else to do. Of what it emitted these are the rows that the program writes: of one key the
//! last of each commit. They are read before the clock starts.

use super::events::open;
use crate::error::BenchError;
use duckdb::{
    AccessMode, Connection,
    arrow::{array::RecordBatch, datatypes::Schema},
};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Where the program keeps the rows of plugins.
const SCHEMA: &str = "headcount_plugin";

/// The rows of one table.
struct Table {
    name: String,
    /// The statement that makes it.
    made_by: String,
    rows: Vec<RecordBatch>,
}

/// Appends what is in the plugins' tables of `ledger` to a fresh file, each table in `commits`
/// transactions; returns how long that took, and the number of rows.
pub(super) fn append(
    ledger: &Path,
    fresh: &Path,
    commits: usize,
) -> Result<(Duration, usize), BenchError> {
    let tables = tables(&open(ledger, AccessMode::ReadOnly)?)?;
    let connection = open(fresh, AccessMode::ReadWrite)?;
    connection.execute_batch(&format!("CREATE SCHEMA {SCHEMA}"))?;
    for table in &tables {
        connection.execute_batch(&table.made_by)?;
    }
    let begun = Instant::now();
    for commit in 0..commits {
        connection.execute_batch("BEGIN TRANSACTION")?;
        for table in &tables {
            let part = |number: usize| table.rows.len() * number / commits;
            let mut appender = connection.appender_to_db(&table.name, SCHEMA)?;
            for rows in &table.rows[part(commit)..part(commit + 1)] {
                appender.append_record_batch(rows.clone())?;
            }
            appender.flush()?;
        }
        connection.execute_batch("COMMIT")?;
    }
    let taken = begun.elapsed();
    let count = tables.iter().flat_map(|table| &table.rows).map(RecordBatch::num_rows).sum();
    Ok((taken, count))
}

fn tables(connection: &Connection) -> Result<Vec<Table>, BenchError> {
    let sql = "SELECT table_name, sql FROM duckdb_tables() WHERE schema_name = ? ORDER BY 1";
    let mut statement = connection.prepare(sql)?;
    let found = statement.query_map([SCHEMA], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found: Vec<(String, String)> = found.collect::<Result<_, _>>()?;
    let table = |(name, made_by): (String, String)| {
        let rows = rows(connection, &name)?;
        Ok(Table { name, made_by, rows })
    };
    found.into_iter().map(table).collect()
}

fn rows(connection: &Connection, table: &str) -> Result<Vec<RecordBatch>, BenchError> {
    // Wide integers are appended as text, as the program does.
    let sql = "SELECT string_agg(CASE data_type WHEN 'BIGNUM' THEN '\"' || column_name || '\"::VARCHAR' \
               ELSE '\"' || column_name || '\"' END, ', ' ORDER BY column_index) \
               FROM duckdb_columns() WHERE schema_name = ? AND table_name = ?";
    let columns: String = connection.query_row(sql, [SCHEMA, table], |row| row.get(0))?;
    let sql = format!("SELECT {columns} FROM {SCHEMA}.\"{table}\"");
    let mut statement = connection.prepare(&sql)?;
    let read: Vec<RecordBatch> = statement.query_arrow([])?.collect();
    // Chunks are of 2,048 rows; joined, there is nothing left to save.
    let Some(schema) = read.first().map(RecordBatch::schema) else { return Ok(read) };
    let schema: Arc<Schema> = schema;
    let joined = read.chunks(JOINED).map(|few| concat(&schema, few));
    joined.collect()
}

/// Chunks that are joined before they are appended.
const JOINED: usize = 4;

fn concat(schema: &Arc<Schema>, few: &[RecordBatch]) -> Result<RecordBatch, BenchError> {
    Ok(duckdb::arrow::compute::concat_batches(schema, few)?)
}
