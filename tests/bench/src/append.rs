//! Yardstick (e): the same rows that `headcount replay` writes, appended to the same tables, with
//! nothing else to do. Record batches are made before the clock starts; commits and the last
//! checkpoint are in the time.

use crate::{
    chain::{CHAIN_ID, FIRST_BLOCK},
    error::BenchError,
    measure::own_cpu_s,
    transfer::{Dice, Economy, TOKEN, TRANSFER, TRANSFERS_PER_BLOCK},
};
use alloy_primitives::{Address, U256};
use duckdb::{
    Connection,
    arrow::{
        array::{
            ArrayRef, BinaryArray, FixedSizeBinaryArray, StringArray, UInt32Array, UInt64Array,
        },
        buffer::{Buffer, NullBuffer},
        datatypes::{Field, Schema},
        record_batch::RecordBatch,
    },
};
use serde::{Deserialize, Serialize};
use std::{path::Path, sync::Arc, time::Instant};

/// Blocks in a record batch: one request of a replay.
const BLOCKS_PER_BATCH: u64 = 1_000;

/// Batches in a transaction: 200,000 rows in each table.
const BATCHES_PER_TRANSACTION: usize = 20;

/// The tables as the ledger has them; the runner compares the columns with those of a real ledger.
pub const TABLES: &str = r#"
CREATE TABLE events (
    id UBIGINT NOT NULL, chain UBIGINT NOT NULL,
    block_number UBIGINT NOT NULL, block_hash BLOB NOT NULL,
    tx_hash BLOB USING COMPRESSION uncompressed NOT NULL, tx_index UINTEGER NOT NULL, log_index UINTEGER NOT NULL,
    address BLOB NOT NULL, topic0 BLOB, topic1 BLOB, topic2 BLOB, topic3 BLOB,
    data BLOB NOT NULL, occurrence UINTEGER NOT NULL, journal_seq UBIGINT NOT NULL);
CREATE SCHEMA headcount_typed;
CREATE TABLE headcount_typed."bench.Transfer" (
    "_event" UBIGINT NOT NULL, "_chain" UBIGINT NOT NULL, "_block" UBIGINT NOT NULL,
    "_block_hash" BLOB NOT NULL, "_tx_hash" BLOB USING COMPRESSION uncompressed NOT NULL,
    "_tx_index" UINTEGER NOT NULL, "_log_index" UINTEGER NOT NULL,
    "_address" BLOB NOT NULL, "_occurrence" UINTEGER NOT NULL,
    "from" BLOB, "to" BLOB, "value" BIGNUM);
"#;

/// Positions in `events` of what a typed row carries of its event.
const CARRIED: [usize; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 13];

/// What the rows came to, and what appending them took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Appended {
    /// Seconds from the first append to the end of the checkpoint.
    pub wall_s: f64,
    /// CPU seconds in that time.
    pub cpu_s: f64,
    /// Rows in `events`, counted in the file.
    pub events: u64,
    /// Exact sum of `value`, summed in the file.
    pub value_sum: String,
}

/// Appends the rows of `block_count` blocks to a fresh file at `path`.
pub fn append(path: &Path, block_count: u64) -> Result<Appended, BenchError> {
    let batches = batches(block_count)?;
    let connection = Connection::open(path)?;
    connection.execute_batch(&format!("SET threads = {}", owner_threads()))?;
    connection.execute_batch(TABLES)?;
    let cpu_before_s = own_cpu_s()?;
    let start = Instant::now();
    for transaction in batches.chunks(BATCHES_PER_TRANSACTION) {
        connection.execute_batch("BEGIN TRANSACTION")?;
        let mut events = connection.appender("events")?;
        let mut transfers = connection.appender_to_db("bench.Transfer", "headcount_typed")?;
        for (event_rows, transfer_rows) in transaction {
            events.append_record_batch(event_rows.clone())?;
            transfers.append_record_batch(transfer_rows.clone())?;
        }
        events.flush()?;
        transfers.flush()?;
        drop((events, transfers));
        connection.execute_batch("COMMIT")?;
    }
    connection.execute_batch("CHECKPOINT")?;
    let wall_s = start.elapsed().as_secs_f64();
    let cpu_s = own_cpu_s()? - cpu_before_s;
    let events = connection.query_row("SELECT count(*) FROM events", [], |row| row.get(0))?;
    let sum = r#"SELECT sum("value")::VARCHAR FROM headcount_typed."bench.Transfer""#;
    let value_sum = connection.query_row(sum, [], |row| row.get(0))?;
    Ok(Appended { wall_s, cpu_s, events, value_sum })
}

/// DuckDB's threads as the ledger's owner has them: on a busy machine its own default only spins.
pub(crate) fn owner_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() / 2).max(1)
}

fn batches(block_count: u64) -> Result<Vec<(RecordBatch, RecordBatch)>, BenchError> {
    let economy = Economy::default();
    let end = FIRST_BLOCK + block_count;
    (FIRST_BLOCK..end)
        .step_by(BLOCKS_PER_BATCH as usize)
        .map(|first| {
            let rows = Rows::of(&economy, first, end.min(first + BLOCKS_PER_BATCH));
            let events = rows.events();
            let transfers = rows.transfers(&events);
            Ok((record_batch(events)?, record_batch(transfers)?))
        })
        .collect()
}

/// The rows of one batch, as columns.
#[derive(Default)]
struct Rows {
    id: Vec<u64>,
    block_number: Vec<u64>,
    block_hash: Vec<u8>,
    tx_hash: Vec<u8>,
    index: Vec<u32>,
    from_topic: Vec<u8>,
    to_topic: Vec<u8>,
    from: Vec<u8>,
    to: Vec<u8>,
    value: Vec<U256>,
}

impl Rows {
    fn of(economy: &Economy, first: u64, end: u64) -> Self {
        let mut rows = Self::default();
        for number in first..end {
            // Any hash is as long as the real one and packs as badly.
            let block_hash = Dice::new(5, number).hash();
            for (index, transfer) in economy.transfers(number).iter().enumerate() {
                let before = (number - FIRST_BLOCK) as usize * TRANSFERS_PER_BLOCK;
                rows.id.push((before + index) as u64 + 1);
                rows.block_number.push(number);
                rows.block_hash.extend_from_slice(block_hash.as_slice());
                rows.tx_hash.extend_from_slice(transfer.tx_hash.as_slice());
                rows.index.push(index as u32);
                rows.from_topic.extend_from_slice(transfer.from.topic.as_slice());
                rows.to_topic.extend_from_slice(transfer.to.topic.as_slice());
                rows.from.extend_from_slice(transfer.from.address.as_slice());
                rows.to.extend_from_slice(transfer.to.address.as_slice());
                rows.value.push(transfer.value);
            }
        }
        rows
    }

    /// Columns of `events`.
    fn events(&self) -> Vec<ArrayRef> {
        let len = self.id.len();
        let data: Vec<_> = self.value.iter().map(U256::to_be_bytes::<32>).collect();
        let no_topic = FixedSizeBinaryArray::new(
            32,
            Buffer::from_vec(vec![0_u8; 32 * len]),
            Some(NullBuffer::new_null(len)),
        );
        vec![
            u64s(self.id.clone()),
            u64s(vec![CHAIN_ID; len]),
            u64s(self.block_number.clone()),
            fixed(32, &self.block_hash),
            fixed(32, &self.tx_hash),
            u32s(self.index.clone()),
            u32s(self.index.clone()),
            fixed(20, &TOKEN.as_slice().repeat(len)),
            fixed(32, &TRANSFER.as_slice().repeat(len)),
            fixed(32, &self.from_topic),
            fixed(32, &self.to_topic),
            Arc::new(no_topic),
            Arc::new(BinaryArray::from_iter_values(data)),
            u32s(vec![0; len]),
            u64s(vec![1; len]),
        ]
    }

    /// Columns of the typed table: what it carries of each event, and the arguments.
    fn transfers(&self, events: &[ArrayRef]) -> Vec<ArrayRef> {
        let blobs = |bytes: &[u8]| -> ArrayRef {
            Arc::new(BinaryArray::from_iter_values(bytes.chunks(Address::len_bytes())))
        };
        let mut columns: Vec<_> =
            CARRIED.iter().map(|column| Arc::clone(&events[*column])).collect();
        columns.push(blobs(&self.from));
        columns.push(blobs(&self.to));
        let values = self.value.iter().map(U256::to_string);
        columns.push(Arc::new(StringArray::from_iter_values(values)));
        columns
    }
}

pub(crate) fn record_batch(columns: Vec<ArrayRef>) -> Result<RecordBatch, BenchError> {
    let fields: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| Field::new(index.to_string(), column.data_type().clone(), true))
        .collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

pub(crate) fn u64s(values: Vec<u64>) -> ArrayRef {
    Arc::new(UInt64Array::from(values))
}

pub(crate) fn u32s(values: Vec<u32>) -> ArrayRef {
    Arc::new(UInt32Array::from(values))
}

pub(crate) fn fixed(width: i32, bytes: &[u8]) -> ArrayRef {
    Arc::new(FixedSizeBinaryArray::new(width, Buffer::from(bytes), None))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn appended_rows_are_those_of_the_chain() {
        let folder = tempfile::tempdir().unwrap();
        let block_count = BLOCKS_PER_BATCH + 7;
        let appended = append(&folder.path().join("fresh.duckdb"), block_count).unwrap();
        let economy = Economy::default();
        let value_sum: U256 = (FIRST_BLOCK..FIRST_BLOCK + block_count)
            .flat_map(|number| economy.transfers(number))
            .map(|transfer| transfer.value)
            .sum();
        assert_eq!(appended.events, block_count * TRANSFERS_PER_BLOCK as u64);
        assert_eq!(appended.value_sum, value_sum.to_string());
    }
}
