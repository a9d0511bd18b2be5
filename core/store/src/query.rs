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
use event::{Column, LedgerError, Value};
use std::ops::ControlFlow;

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
    match conn.prepare(&format!("{EXPLAIN}{statement}")) {
        Err(error) => match user_statement_failed(error) {
            LedgerError::Sql(text) => LedgerError::Sql(about_statement(&text)),
            other => other,
        },
        Ok(_) => LedgerError::Sql("only one statement that returns rows can be run".into()),
    }
}

/// Put before a statement so that it is looked at and not run.
const EXPLAIN: &str = "EXPLAIN ";

/// Takes what was put before the statement out of DuckDB's words, and out of the line under them that
/// points at a place.
fn about_statement(text: &str) -> String {
    const FIRST_LINE: &str = "LINE 1: ";
    let added = format!("{FIRST_LINE}{EXPLAIN}");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if let Some(at) = lines.iter().position(|line| line.starts_with(&added)) {
        lines[at] = lines[at].replacen(&added, FIRST_LINE, 1);
        if let Some(caret) = lines.get_mut(at + 1).filter(|line| line.trim() == "^") {
            *caret = caret.replacen(&" ".repeat(EXPLAIN.len()), "", 1);
        }
    }
    lines.join("\n")
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

/// Refuses what could be more than one statement.
pub(crate) fn check_is_one(statement: &str) -> Result<()> {
    match ends_before(statement.trim_end_matches([';', ' ', '\n', '\r', '\t'])) {
        false => Ok(()),
        true => Err(LedgerError::Sql("only one statement that returns rows can be run".into())),
    }
}

/// Whether a semicolon stands outside of text, names and comments. Where it is not sure it says so.
fn ends_before(statement: &str) -> bool {
    let mut rest = statement;
    while let Some(at) = rest.find(['\'', '"', '-', '/', '$', ';']) {
        let (before, from) = rest.split_at(at);
        let after = &from[1..];
        rest = match from.as_bytes()[0] {
            b';' => return true,
            b'"' => behind(after, "\""),
            b'\'' => {
                let is_escaped = before.ends_with(['e', 'E', 'x', 'X', 'b', 'B', 'u', 'U', '&']);
                // In `e'...'` a backslash may hide the end: with one in it nothing is sure.
                let text = after.split('\'').next().unwrap_or_default();
                if is_escaped && text.contains('\\') && after.contains(';') {
                    return true;
                }
                behind(after, "'")
            }
            b'-' if after.starts_with('-') => {
                after.find(['\n', '\r']).map_or("", |end| &after[end + 1..])
            }
            b'/' if after.starts_with('*') => {
                // Comments nest: with one in another nothing is sure.
                let comment = after.split("*/").next().unwrap_or_default();
                if comment[1..].contains("/*") && after.contains(';') {
                    return true;
                }
                behind(&after[1..], "*/")
            }
            b'$' => {
                let tag = after.split('$').next().unwrap_or_default();
                let is_tag = tag.chars().all(|c| c == '_' || c.is_alphanumeric())
                    && !tag.starts_with(|c: char| c.is_numeric());
                let follows_name = before.ends_with(|c: char| c == '_' || c.is_alphanumeric());
                match after.contains('$') && is_tag && !follows_name {
                    true => {
                        let quote = format!("${tag}$");
                        behind(&after[tag.len() + 1..], &quote)
                    }
                    false => after,
                }
            }
            _ => after,
        };
    }
    false
}

/// What comes behind the next `end`; nothing where there is none.
fn behind<'a>(text: &'a str, end: &str) -> &'a str {
    text.split_once(end).map_or("", |(_, behind)| behind)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_error_is_about_the_statement_alone() {
        let said = "Parser Error: syntax error at or near \"selct\"\n\n\
                    LINE 1: EXPLAIN selct 1\n                ^";
        let told = "Parser Error: syntax error at or near \"selct\"\n\n\
                    LINE 1: selct 1\n        ^";
        assert_eq!(about_statement(said), told);
        let conn = Connection::open_in_memory().unwrap();
        let told = refusal(&conn, "selct 1").to_string();
        assert!(told.contains("LINE 1: selct 1\n        ^"), "{told}");
        let told = refusal(&conn, "selct EXPLAIN 1").to_string();
        assert!(told.contains("LINE 1: selct EXPLAIN 1"), "{told}");
    }

    #[test]
    fn a_second_statement_is_seen_wherever_it_hides() {
        for one in [
            "select 1",
            "select 1 ; ",
            "select ';' as \"a;b\" -- ;\n, 2 /* ; */ -- ;",
            "select $$;$$, $x$ ; $x$, a$b",
            "select 5 - 3 / 2, 'it''s; fine'",
            "from (values (1))",
        ] {
            assert!(check_is_one(one).is_ok(), "{one}");
        }
        for two in [
            "select 1; select 2",
            "select 1) as q; drop table events; select * from (select 1",
            "select e'\\'; drop table events; select ''",
            "select /* /* */ */ 1; drop table events",
            "select /* /* */ ; drop table events */ 1; select 1",
            "select 'a' -- b\n; commit",
            "select a$b$ ; commit; select $b$",
            "select $1$ ; commit; select $1$",
            "select 1 -- b\r; commit",
        ] {
            assert!(check_is_one(two).is_err(), "{two}");
        }
    }
}
