//! Yardstick (ii): the events of a ledger, read in order and dropped. Also the one way in which the bench
//! opens a ledger.

use crate::{append::owner_threads, chain::CHAIN_ID, error::BenchError};
use duckdb::{
    AccessMode, Config, Connection,
    arrow::array::{Array, StructArray},
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// The columns that the program hands on, in the order in which it does.
const EVENTS: &str = "SELECT block_number, block_hash, tx_hash, tx_index, log_index, address, \
                      topic0, topic1, topic2, topic3, data, occurrence FROM events_canonical";
const ORDER: &str = "ORDER BY block_number, block_hash, tx_index, log_index, occurrence";

/// Opens a ledger that nobody owns to read it, or a fresh file, with as many threads as an owner has.
pub(super) fn open(path: &Path, mode: AccessMode) -> Result<Connection, BenchError> {
    let threads = i64::try_from(owner_threads()).unwrap_or(1);
    let config = Config::default().access_mode(mode)?.threads(threads)?;
    Ok(Connection::open_with_flags(path, config)?)
}

/// Reads all events and returns how long that took, with their number.
pub(super) fn scan(ledger: &Path) -> Result<(Duration, usize), BenchError> {
    let connection = open(ledger, AccessMode::ReadOnly)?;
    let begun = Instant::now();
    let mut count = 0;
    read(&connection, |chunk| {
        count += chunk.len();
        Ok(())
    })?;
    Ok((begun.elapsed(), count))
}

/// Reads all events, chunk by chunk.
pub(super) fn read(
    connection: &Connection,
    mut take: impl FnMut(&StructArray) -> Result<(), BenchError>,
) -> Result<(), BenchError> {
    let mut statement =
        connection.prepare(&format!("{EVENTS} WHERE chain = {CHAIN_ID} {ORDER}"))?;
    drop(statement.stream_arrow([])?);
    while let Some(chunk) = statement.step()? {
        take(&chunk)?;
    }
    Ok(())
}
