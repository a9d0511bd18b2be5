//! stub
use crate::{error::Result, failpoint::Failpoints};
use duckdb::Connection;
use event::{Descriptor, LaneCommit, LaneId, LaneState};
#[derive(Debug, Default)]
pub(crate) struct Lanes;
pub(crate) fn open(_: &Connection, _: &mut Lanes, _: &LaneId, _: &Descriptor) -> Result<LaneState> {
    Ok(LaneState::default())
}
pub(crate) fn apply(_: &Connection, _: &mut Lanes, _: &Failpoints, _: &[LaneCommit]) -> Result<()> {
    Ok(())
}
pub(crate) fn compact(_: &Connection, _: &mut Lanes) -> Result<()> {
    Ok(())
}
