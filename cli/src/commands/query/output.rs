//! Rows as a table for people, and as JSON or CSV for programs.

use crate::terminal::cut;
use serde_json::Value as Json;
use std::io::{self, Write};
use store::{Column, Value};

/// Rows that a table shows at most; the other forms stream all.
const TABLE_MAX_ROWS: usize = 1_000;

/// Characters of a cell that a table shows at most.
const CELL_MAX_CHARS: usize = 66;

/// Form of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum QueryFormat {
    /// Columns for people, at most 1000 rows
    Table,
    /// One JSON array
    Json,
    /// One JSON object per line
    Ndjson,
    /// Comma-separated, with a header (RFC 4180)
    Csv,
}

/// Writes rows as they come; only the table is held until its widths are known.
#[derive(Debug)]
pub(crate) struct Writer<W: Write> {
    format: QueryFormat,
    out: W,
    rows: usize,
    table: Vec<Vec<String>>,
}

impl<W: Write> Writer<W> {
    /// Returns a writer of this form.
    pub(crate) fn new(format: QueryFormat, out: W) -> Self {
        Self { format, out, rows: 0, table: Vec::new() }
    }

    /// Takes a row.
    pub(crate) fn row(&mut self, columns: &[Column], row: &[Value]) -> io::Result<()> {
        match self.format {
            QueryFormat::Table if self.rows < TABLE_MAX_ROWS => {
                self.table.push(
                    row.iter().map(|value| cut(&text(value, "NULL"), CELL_MAX_CHARS)).collect(),
                );
            }
            QueryFormat::Table => {}
            QueryFormat::Json => {
                self.out.write_all(if self.rows == 0 { b"[\n  " } else { b",\n  " })?;
                serde_json::to_writer(&mut self.out, &object(columns, row))?;
            }
            QueryFormat::Ndjson => {
                serde_json::to_writer(&mut self.out, &object(columns, row))?;
                self.out.write_all(b"\n")?;
            }
            QueryFormat::Csv => {
                if self.rows == 0 {
                    self.csv_line(columns.iter().map(|column| column.name.clone()))?;
                }
                self.csv_line(row.iter().map(|value| text(value, "")))?;
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// Writes what belongs after the last row, also when there was none.
    pub(crate) fn finish(mut self, columns: &[Column]) -> io::Result<()> {
        match self.format {
            QueryFormat::Table => self.write_table(columns)?,
            QueryFormat::Json if self.rows == 0 => self.out.write_all(b"[]\n")?,
            QueryFormat::Json => self.out.write_all(b"\n]\n")?,
            QueryFormat::Ndjson => {}
            QueryFormat::Csv if self.rows == 0 => {
                self.csv_line(columns.iter().map(|column| column.name.clone()))?;
            }
            QueryFormat::Csv => {}
        }
        self.out.flush()
    }

    fn csv_line(&mut self, cells: impl Iterator<Item = String>) -> io::Result<()> {
        for (i, cell) in cells.enumerate() {
            if i > 0 {
                self.out.write_all(b",")?;
            }
            match cell.contains([',', '"', '\n', '\r']) {
                true => write!(self.out, "\"{}\"", cell.replace('"', "\"\""))?,
                false => self.out.write_all(cell.as_bytes())?,
            }
        }
        self.out.write_all(b"\r\n")
    }

    fn write_table(&mut self, columns: &[Column]) -> io::Result<()> {
        let header: Vec<String> =
            columns.iter().map(|column| cut(&column.name, CELL_MAX_CHARS)).collect();
        let is_number: Vec<bool> = columns.iter().map(is_number).collect();
        let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
        for row in &self.table {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        for row in [&header, &rule].into_iter().chain(&self.table) {
            let cells = row.iter().zip(&widths).zip(&is_number);
            let cells = cells.map(|((cell, &width), is_number)| match is_number {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            });
            writeln!(self.out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        let hidden = self.rows - self.table.len();
        let shown = if hidden == 0 { "" } else { "; --format csv or ndjson gives the rest" };
        let plural = if self.rows == 1 { "row" } else { "rows" };
        match hidden {
            0 => writeln!(self.out, "({} {plural})", self.rows),
            _ => writeln!(self.out, "({} of {} {plural}{shown})", self.table.len(), self.rows),
        }
    }
}

fn is_number(column: &Column) -> bool {
    const NUMBERS: [&str; 6] = ["INT", "DECIMAL", "BIGNUM", "FLOAT", "DOUBLE", "REAL"];
    let is_list = column.sql_type.contains(['[', '(']) && !column.sql_type.starts_with("DECIMAL");
    !is_list && NUMBERS.iter().any(|number| column.sql_type.contains(number))
}

/// Returns a value as a program reads it: binary as 0x and hex.
fn text(value: &Value, null: &str) -> String {
    match value {
        Value::Null => null.to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Blob(bytes) => format!("0x{}", alloy_primitives::hex::encode(bytes)),
        Value::Number(text) | Value::Text(text) | Value::Time(text) | Value::Other(text) => {
            text.clone()
        }
    }
}

/// Integers that a JSON reader would round (beyond 2^53 - 1) are strings, as are exact decimals.
fn json(value: &Value) -> Json {
    const EXACT_MAX: i128 = (1 << 53) - 1;
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => match i64::try_from(*value) {
            Ok(small) if (-EXACT_MAX..=EXACT_MAX).contains(value) => Json::from(small),
            _ => Json::String(value.to_string()),
        },
        Value::Float(value) => serde_json::Number::from_f64(*value)
            .map_or_else(|| Json::String(value.to_string()), Json::Number),
        other => Json::String(text(other, "")),
    }
}

/// Keeps the order of the columns; of two of the same name the second gets a suffix.
fn object(columns: &[Column], row: &[Value]) -> Ordered {
    let mut entries: Vec<(String, Json)> = Vec::with_capacity(columns.len());
    for (column, value) in columns.iter().zip(row) {
        let mut name = column.name.clone();
        let mut count = 1;
        while entries.iter().any(|(taken, _)| *taken == name) {
            count += 1;
            name = format!("{}_{count}", column.name);
        }
        entries.push((name, json(value)));
    }
    Ordered(entries)
}

struct Ordered(Vec<(String, Json)>);

impl serde::Serialize for Ordered {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn written(format: QueryFormat, rows: &[Vec<Value>]) -> String {
        let column =
            |name: &str, sql_type: &str| Column { name: name.into(), sql_type: sql_type.into() };
        let columns = [column("who", "BLOB"), column("n", "BIGNUM"), column("n", "BIGINT")];
        let mut out = Vec::new();
        let mut writer = Writer::new(format, &mut out);
        for row in rows {
            writer.row(&columns, row).unwrap();
        }
        writer.finish(&columns).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn rows() -> Vec<Vec<Value>> {
        let big = "231584178474632390847141970017375815706539969331281128078915168015826259279870";
        vec![
            vec![Value::Blob(vec![0xab, 1]), Value::Number(big.into()), Value::Int(1 << 60)],
            vec![Value::Null, Value::Text("a,\"b\"".into()), Value::Int(-7)],
        ]
    }

    #[test]
    fn wide_integers_stay_exact_and_binary_is_hex() {
        let text = written(QueryFormat::Ndjson, &rows());
        let mut lines = text.lines();
        assert_eq!(
            lines.next().unwrap(),
            "{\"who\":\"0xab01\",\"n\":\"231584178474632390847141970017375815706539969331281128078915168015826259279870\",\"n_2\":\"1152921504606846976\"}"
        );
        assert_eq!(lines.next().unwrap(), "{\"who\":null,\"n\":\"a,\\\"b\\\"\",\"n_2\":-7}");
        let json: Json = serde_json::from_str(&written(QueryFormat::Json, &rows())).unwrap();
        assert_eq!(json.as_array().unwrap().len(), 2);
    }

    #[test]
    fn csv_quotes_what_it_must() {
        let text = written(QueryFormat::Csv, &rows()[1..]);
        assert_eq!(text, "who,n,n\r\n,\"a,\"\"b\"\"\",-7\r\n");
    }

    #[test]
    fn a_table_is_aligned_and_counts_its_rows() {
        let rows = [vec![Value::Blob(vec![1]), Value::Number("5".into()), Value::Int(10)]];
        assert_eq!(
            written(QueryFormat::Table, &rows),
            "who   n   n\n----  -  --\n0x01  5  10\n(1 row)\n"
        );
    }

    #[test]
    fn no_row_is_still_an_answer_of_the_form_asked_for() {
        assert_eq!(written(QueryFormat::Json, &[]), "[]\n");
        assert_eq!(written(QueryFormat::Ndjson, &[]), "");
        assert_eq!(written(QueryFormat::Csv, &[]), "who,n,n\r\n");
    }
}
