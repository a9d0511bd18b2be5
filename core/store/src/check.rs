//! stub
use crate::error::Result;
pub(crate) fn problems(_: &duckdb::Connection) -> Result<Vec<String>> {
    Ok(Vec::new())
}
