//! stub
use crate::error::Result;
use std::ops::ControlFlow;
/// c
#[derive(Debug)]
pub struct Column;
/// v
#[derive(Debug)]
pub enum Value {
    /// n
    Null,
}
pub(crate) fn run(
    _: &duckdb::Connection,
    _: &str,
    _: &mut dyn FnMut(&[Column], Vec<Value>) -> ControlFlow<()>,
) -> Result<Vec<Column>> {
    Ok(vec![])
}
