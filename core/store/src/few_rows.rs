//! Rows on their way into a table: many by an appender. A handful, as the head of a chain brings
//! them, by a cached statement: an appender plans anew at each flush, which costs several times as
//! much.

use crate::{
    error::{Result, statement_failed},
    sql::quoted,
};
use duckdb::{
    Appender, Connection, ToSql,
    arrow::{
        array::{
            Array, AsArray, RecordBatch,
            types::{Float64Type, Int64Type, TimestampMicrosecondType, UInt32Type, UInt64Type},
        },
        datatypes::DataType,
    },
    params_from_iter,
    types::{TimeUnit, ToSqlOutput, ValueRef},
};
use event::LedgerError;
use std::{fmt::Write, ops::Range};

/// Rows up to which a statement is quicker than an appender (measured).
pub(crate) const FEW_ROWS_MAX: usize = 32;

/// Writes batches of rows to one table. Nothing is written before `COMMIT`.
pub(crate) enum Rows<'a> {
    Few { conn: &'a Connection, schema: &'a str, table: &'a str },
    Many(Box<Appender<'a>>),
}

impl<'a> Rows<'a> {
    /// Begins with `table`, to which so many rows are to go.
    pub(crate) fn to(
        conn: &'a Connection,
        schema: &'a str,
        table: &'a str,
        count: usize,
    ) -> Result<Self> {
        if count <= FEW_ROWS_MAX {
            return Ok(Self::Few { conn, schema, table });
        }
        let appender = conn.appender_to_db(table, schema).map_err(statement_failed)?;
        Ok(Self::Many(Box::new(appender)))
    }

    pub(crate) fn append(&mut self, batch: RecordBatch) -> Result<()> {
        match self {
            Self::Few { conn, schema, table } => insert(conn, schema, table, &batch),
            Self::Many(appender) => appender.append_record_batch(batch).map_err(statement_failed),
        }
    }

    pub(crate) fn finish(self) -> Result<()> {
        match self {
            Self::Few { .. } => Ok(()),
            Self::Many(mut appender) => appender.flush().map_err(statement_failed),
        }
    }
}

/// Writes one batch of rows to a table.
pub(crate) fn append_batch(
    conn: &Connection,
    schema: &str,
    table: &str,
    batch: RecordBatch,
) -> Result<()> {
    let mut rows = Rows::to(conn, schema, table, batch.num_rows())?;
    rows.append(batch)?;
    rows.finish()
}

/// Rows that one statement inserts. A statement costs as much as ten rows (measured), and to prepare it twenty
/// times that: so few do for all numbers of rows, two at most for one, that they stay prepared.
const AT_ONCE: [usize; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, FEW_ROWS_MAX];

/// Inserts the rows of a batch.
fn insert(conn: &Connection, schema: &str, table: &str, batch: &RecordBatch) -> Result<()> {
    let mut first = 0;
    while let Some(count) = AT_ONCE.into_iter().rfind(|count| first + count <= batch.num_rows()) {
        let end = first + count;
        insert_rows(conn, schema, table, batch, first..end)?;
        first = end;
    }
    Ok(())
}

fn insert_rows(
    conn: &Connection,
    schema: &str,
    table: &str,
    batch: &RecordBatch,
    rows: Range<usize>,
) -> Result<()> {
    let mut sql = format!("INSERT INTO {}.{} VALUES ", quoted(schema), quoted(table));
    let mut values = Vec::with_capacity(rows.len() * batch.num_columns());
    for row in rows.clone() {
        sql.push_str(if row == rows.start { "(" } else { ", (" });
        for (position, column) in batch.columns().iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            // Where a parameter is of another type than its value DuckDB plans anew each time.
            let Some((value, sql_type)) = cell(column, row)? else {
                let _ = write!(sql, "{comma}NULL");
                continue;
            };
            let _ = match sql_type {
                // On its way into a BIGNUM a bare text parameter would take that type.
                "VARCHAR" => write!(sql, "{comma}?::VARCHAR || ''"),
                _ => write!(sql, "{comma}?::{sql_type}"),
            };
            values.push(ToSqlOutput::Borrowed(value));
        }
        sql.push(')');
    }
    let values = values.iter().map(|value| value as &dyn ToSql);
    let mut statement = conn.prepare_cached(&sql).map_err(statement_failed)?;
    statement.execute(params_from_iter(values)).map(|_| ()).map_err(statement_failed)
}

/// Returns one value and its SQL type; `None` where it is NULL.
fn cell(column: &dyn Array, row: usize) -> Result<Option<(ValueRef<'_>, &'static str)>> {
    if column.is_null(row) {
        return Ok(None);
    }
    Ok(Some(match column.data_type() {
        DataType::Boolean => (ValueRef::Boolean(column.as_boolean().value(row)), "BOOLEAN"),
        DataType::UInt32 => {
            (ValueRef::UInt(column.as_primitive::<UInt32Type>().value(row)), "UINTEGER")
        }
        DataType::UInt64 => {
            (ValueRef::UBigInt(column.as_primitive::<UInt64Type>().value(row)), "UBIGINT")
        }
        DataType::Int64 => {
            (ValueRef::BigInt(column.as_primitive::<Int64Type>().value(row)), "BIGINT")
        }
        DataType::Float64 => {
            (ValueRef::Double(column.as_primitive::<Float64Type>().value(row)), "DOUBLE")
        }
        DataType::Timestamp(..) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            (ValueRef::Timestamp(TimeUnit::Microsecond, micros), "TIMESTAMP")
        }
        DataType::Utf8 => {
            (ValueRef::Text(column.as_string::<i32>().value(row).as_bytes()), "VARCHAR")
        }
        DataType::Binary => (ValueRef::Blob(column.as_binary::<i32>().value(row)), "BLOB"),
        DataType::FixedSizeBinary(_) => {
            (ValueRef::Blob(column.as_fixed_size_binary().value(row)), "BLOB")
        }
        other => return Err(LedgerError::Internal(format!("no value of {other} is written"))),
    }))
}
