//! Rows of a statement, exact: the seam between the store that reads them and whoever shows them.

use serde::{Deserialize, Serialize};

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name.
    pub name: String,
    /// DuckDB's name of the type.
    pub sql_type: String,
}

/// A value of a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

/// Form of a file that rows are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileForm {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated, with a header.
    Csv,
    /// One JSON object a line.
    Ndjson,
}
