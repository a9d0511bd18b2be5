//! One statement of a user, read-only, with exact values.
//!
//! What DuckDB's Arrow side cannot carry exactly (BIGNUM, HUGEINT, times, nested values) is cast
//! to text by a query around the user's, so that the order of rows and names of columns stay.

use crate::{
    arrow_columns::column,
    error::{Result, statement_failed, user_statement_failed},
    sql::quoted,
};
use duckdb::{
    Connection,
    arrow::array::{
        Array, BinaryArray, BooleanArray, Float32Array, Float64Array, Int8Array, Int16Array,
        Int32Array, Int64Array, StringArray, StructArray, UInt8Array, UInt16Array, UInt32Array,
        UInt64Array,
    },
};
use event::LedgerError;
use std::ops::ControlFlow;

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// DuckDB's name of the type.
    pub sql_type: String,
}

/// A value of a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// BOOLEAN.
    Bool(bool),
    /// Integers up to 64 bit, and HUGEINT.
    Int(i128),
    /// BIGNUM, UHUGEINT and DECIMAL: exact decimal text.
    Number(String),
    /// FLOAT and DOUBLE.
    Float(f64),
    /// VARCHAR.
    Text(String),
    /// BLOB.
    Blob(Vec<u8>),
    /// TIMESTAMP, DATE and TIME, as DuckDB writes them.
    Time(String),
    /// Lists, structs and the rest, as DuckDB writes them.
    Other(String),
}

/// Is handed each row of a result with its columns; may stop it.
pub type EachRow<'a> = dyn FnMut(&[Column], Vec<Value>) -> ControlFlow<()> + 'a;

/// Runs one statement that returns rows; `each` may stop it.
pub(crate) fn run(
    conn: &Connection,
    statement: &str,
    each: &mut EachRow<'_>,
) -> Result<Vec<Column>> {
    let statement = statement.trim().trim_end_matches([';', ' ', '\n', '\t']);
    let columns = describe(conn, statement)?;
    let names: Vec<String> = (0..columns.len()).map(|i| quoted(&format!("c{i}"))).collect();
    let values: Vec<String> = columns
        .iter()
        .zip(&names)
        .map(|(column, name)| match travels_as_is(&column.sql_type) {
            true => name.clone(),
            false => format!("CAST({name} AS VARCHAR)"),
        })
        .collect();
    // The line breaks keep a comment at the statement's end from swallowing what follows.
    let sql =
        format!("SELECT {} FROM (\n{statement}\n) AS q({})", values.join(", "), names.join(", "));
    let mut prepared = conn.prepare(&sql).map_err(user_statement_failed)?;
    drop(prepared.stream_arrow([]).map_err(user_statement_failed)?);
    while let Some(chunk) = prepared.step().map_err(user_statement_failed)? {
        for row in 0..chunk.len() {
            let mut values = Vec::with_capacity(columns.len());
            for (position, column) in columns.iter().enumerate() {
                values.push(value(&chunk, position, row, &column.sql_type)?);
            }
            if each(&columns, values).is_break() {
                return Ok(columns);
            }
        }
    }
    Ok(columns)
}

/// Returns the columns of a statement without running it.
fn describe(conn: &Connection, statement: &str) -> Result<Vec<Column>> {
    let sql = format!(
        "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM (\n{statement}\n) AS q)"
    );
    let Ok(mut described) = conn.prepare(&sql) else { return Err(refusal(conn, statement)) };
    let rows =
        described.query_map([], |row| Ok(Column { name: row.get(0)?, sql_type: row.get(1)? }));
    rows.and_then(Iterator::collect).map_err(statement_failed)
}

/// Says what is wrong with a statement in DuckDB's words about the statement alone.
fn refusal(conn: &Connection, statement: &str) -> LedgerError {
    match conn.prepare(&format!("EXPLAIN {statement}")) {
        Err(error) => user_statement_failed(error),
        Ok(_) => LedgerError::Sql("only one statement that returns rows can be run".into()),
    }
}

fn travels_as_is(sql_type: &str) -> bool {
    matches!(
        sql_type,
        "BOOLEAN"
            | "TINYINT"
            | "SMALLINT"
            | "INTEGER"
            | "BIGINT"
            | "UTINYINT"
            | "USMALLINT"
            | "UINTEGER"
            | "UBIGINT"
            | "FLOAT"
            | "DOUBLE"
            | "VARCHAR"
            | "BLOB"
    )
}

fn value(chunk: &StructArray, position: usize, row: usize, sql_type: &str) -> Result<Value> {
    if chunk.columns().get(position).is_none_or(|values| values.is_null(row)) {
        return Ok(Value::Null);
    }
    Ok(match sql_type {
        "BOOLEAN" => Value::Bool(column::<BooleanArray>(chunk, position)?.value(row)),
        "TINYINT" => Value::Int(column::<Int8Array>(chunk, position)?.value(row).into()),
        "SMALLINT" => Value::Int(column::<Int16Array>(chunk, position)?.value(row).into()),
        "INTEGER" => Value::Int(column::<Int32Array>(chunk, position)?.value(row).into()),
        "BIGINT" => Value::Int(column::<Int64Array>(chunk, position)?.value(row).into()),
        "UTINYINT" => Value::Int(column::<UInt8Array>(chunk, position)?.value(row).into()),
        "USMALLINT" => Value::Int(column::<UInt16Array>(chunk, position)?.value(row).into()),
        "UINTEGER" => Value::Int(column::<UInt32Array>(chunk, position)?.value(row).into()),
        "UBIGINT" => Value::Int(column::<UInt64Array>(chunk, position)?.value(row).into()),
        "FLOAT" => Value::Float(column::<Float32Array>(chunk, position)?.value(row).into()),
        "DOUBLE" => Value::Float(column::<Float64Array>(chunk, position)?.value(row)),
        "BLOB" => Value::Blob(column::<BinaryArray>(chunk, position)?.value(row).to_vec()),
        _ => worded(sql_type, column::<StringArray>(chunk, position)?.value(row)),
    })
}

/// A value that came as text.
fn worded(sql_type: &str, text: &str) -> Value {
    let text = text.to_owned();
    match sql_type {
        "VARCHAR" => Value::Text(text),
        "HUGEINT" => text.parse().map(Value::Int).unwrap_or(Value::Number(text)),
        "BIGNUM" | "UHUGEINT" => Value::Number(text),
        _ if sql_type.ends_with(']') => Value::Other(text),
        _ if sql_type.starts_with("DECIMAL") => Value::Number(text),
        "DATE" | "TIME" | "TIME WITH TIME ZONE" => Value::Time(text),
        _ if sql_type.starts_with("TIMESTAMP") => Value::Time(text),
        _ => Value::Other(text),
    }
}
