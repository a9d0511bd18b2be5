//! stub
use crate::error::Result;
pub(crate) fn of(_: &duckdb::Connection) -> Result<alloy_primitives::B256> {
    Ok(Default::default())
}
