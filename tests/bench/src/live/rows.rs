//! Where the bare loops put what they read: headers and logs in a DuckDB file, one transaction a
//! block. They decode nothing and check nothing.

use crate::{
    append::{TABLES, fixed, owner_threads, record_batch, u32s, u64s},
    chain::CHAIN_ID,
    error::BenchError,
};
use alloy_primitives::B256;
use alloy_rpc_types_eth::{Header, Log};
use duckdb::{
    Connection,
    arrow::array::{ArrayRef, BinaryArray, FixedSizeBinaryBuilder},
};
use std::{path::Path, sync::Arc};

const BLOCKS: &str = "CREATE TABLE blocks (chain UBIGINT NOT NULL, number UBIGINT NOT NULL, \
                      hash BLOB NOT NULL, parent BLOB NOT NULL, timestamp UBIGINT NOT NULL)";

/// The file of a bare loop.
pub(super) struct Rows {
    connection: Connection,
    next_id: u64,
}

impl Rows {
    pub(super) fn create(path: &Path) -> Result<Self, BenchError> {
        let connection = Connection::open(path)?;
        connection.execute_batch(&format!("SET threads = {}", owner_threads()))?;
        connection.execute_batch(TABLES)?;
        connection.execute_batch(BLOCKS)?;
        Ok(Self { connection, next_id: 1 })
    }

    /// Appends a block's rows and commits them.
    pub(super) fn commit(
        &mut self,
        header: Option<&Header>,
        logs: &[Log],
    ) -> Result<(), BenchError> {
        self.connection.execute_batch("BEGIN TRANSACTION")?;
        if let Some(header) = header {
            let mut blocks = self.connection.appender("blocks")?;
            blocks.append_record_batch(record_batch(vec![
                u64s(vec![CHAIN_ID]),
                u64s(vec![header.number]),
                fixed(32, header.hash.as_slice()),
                fixed(32, header.parent_hash.as_slice()),
                u64s(vec![header.timestamp]),
            ])?)?;
            blocks.flush()?;
        }
        let mut events = self.connection.appender("events")?;
        events.append_record_batch(record_batch(self.columns(logs)?)?)?;
        events.flush()?;
        drop(events);
        self.connection.execute_batch("COMMIT")?;
        self.next_id += logs.len() as u64;
        Ok(())
    }

    /// Columns of `events`, in the table's order.
    fn columns(&self, logs: &[Log]) -> Result<Vec<ArrayRef>, BenchError> {
        let len = logs.len();
        let hashes = |of: fn(&Log) -> Option<B256>| {
            fixed(
                32,
                &logs.iter().flat_map(|log| of(log).unwrap_or_default().0).collect::<Vec<_>>(),
            )
        };
        let indices = |of: fn(&Log) -> Option<u64>| {
            u32s(logs.iter().map(|log| of(log).unwrap_or_default() as u32).collect())
        };
        let addresses: Vec<u8> = logs.iter().flat_map(|log| log.address().0.0).collect();
        let topic = |at: usize| -> Result<ArrayRef, BenchError> {
            let mut topics = FixedSizeBinaryBuilder::with_capacity(len, 32);
            for log in logs {
                match log.topics().get(at) {
                    Some(topic) => topics.append_value(topic)?,
                    None => topics.append_null(),
                }
            }
            Ok(Arc::new(topics.finish()))
        };
        Ok(vec![
            u64s((self.next_id..).take(len).collect()),
            u64s(vec![CHAIN_ID; len]),
            u64s(logs.iter().map(|log| log.block_number.unwrap_or_default()).collect()),
            hashes(|log| log.block_hash),
            hashes(|log| log.transaction_hash),
            indices(|log| log.transaction_index),
            indices(|log| log.log_index),
            fixed(20, &addresses),
            topic(0)?,
            topic(1)?,
            topic(2)?,
            topic(3)?,
            Arc::new(BinaryArray::from_iter_values(logs.iter().map(|log| &log.data().data))),
            u32s(vec![0; len]),
            u64s(vec![1; len]),
        ])
    }
}
