//! The events of a ledger as the batches that a guest is handed: made beforehand, so that making them is
//! in nobody's time.

use super::{
    events,
    guest::types::{Batch, Block, Phase},
};
use crate::{chain::CHAIN_ID, error::BenchError};
use duckdb::{
    AccessMode,
    arrow::array::{Array, BinaryArray, StructArray, UInt32Array, UInt64Array},
};
use std::{collections::HashMap, path::Path};

/// The event that all of them are.
const SIGNATURE: &str = "Transfer(address,address,uint256)";

type Headers = HashMap<u64, (Vec<u8>, Option<u64>)>;

/// Returns the events of a ledger in batches of whole blocks, of at most `batch_events` events where a
/// block has no more.
pub(super) fn batches(ledger: &Path, batch_events: usize) -> Result<Vec<Batch>, BenchError> {
    let connection = events::open(ledger, AccessMode::ReadOnly)?;
    let finalized = connection.query_row("SELECT max(finalized) FROM chains", [], |r| r.get(0))?;
    let mut headers = Headers::new();
    let mut statement = connection.prepare("SELECT number, parent, timestamp FROM blocks")?;
    for row in statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))? {
        let (number, header): (u64, (Option<Vec<u8>>, Option<u64>)) = row?;
        headers.insert(number, (header.0.unwrap_or_default(), header.1));
    }
    let mut cutting = Cutting { headers, finalized, batch_events, batches: Vec::new(), seq: 0 };
    events::read(&connection, |chunk| cutting.take(chunk))?;
    Ok(cutting.batches)
}

struct Cutting {
    headers: Headers,
    finalized: u64,
    batch_events: usize,
    batches: Vec<Batch>,
    seq: u64,
}

impl Cutting {
    fn take(&mut self, chunk: &StructArray) -> Result<(), BenchError> {
        let number: &UInt64Array = column(chunk, 0)?;
        let (hash, tx_hash): (&BinaryArray, &BinaryArray) = (column(chunk, 1)?, column(chunk, 2)?);
        let tx_index: &UInt32Array = column(chunk, 3)?;
        let log_index: &UInt32Array = column(chunk, 4)?;
        let address: &BinaryArray = column(chunk, 5)?;
        let data: &BinaryArray = column(chunk, 10)?;
        for row in 0..chunk.len() {
            let seq = self.seq;
            self.seq += 1;
            let batch = self.batch_of(number.value(row), hash.value(row));
            batch.len += 1;
            batch.seq.push(seq);
            batch.block.push(batch.blocks.len() as u32 - 1);
            batch.tx_index.push(tx_index.value(row));
            batch.log_index.push(log_index.value(row));
            batch.tx_hash.extend_from_slice(tx_hash.value(row));
            batch.address.extend_from_slice(address.value(row));
            for position in 6..10 {
                let topics: &BinaryArray = column(chunk, position)?;
                if topics.is_valid(row) {
                    batch.topics.extend_from_slice(topics.value(row));
                }
            }
            batch.topic_off.push(batch.topics.len() as u32 / 32);
            batch.data.extend_from_slice(data.value(row));
            batch.data_off.push(batch.data.len() as u32);
            batch.signature.push(0);
        }
        Ok(())
    }

    /// Returns the batch that the next event of a block goes to.
    fn batch_of(&mut self, number: u64, hash: &[u8]) -> &mut Batch {
        let last = self.batches.last().and_then(|batch| Some((batch, batch.blocks.last()?)));
        let is_same_block = last.is_some_and(|(_, block)| block.number == number);
        let has_room = last.is_some_and(|(batch, block)| {
            // All blocks of the chain have as many events.
            let block_events = batch.len as usize / batch.blocks.len();
            block.number == number || batch.len as usize + block_events <= self.batch_events
        });
        if !has_room {
            self.batches.push(empty(self.batches.len() as u64, self.finalized));
        }
        let at = self.batches.len() - 1;
        let batch = &mut self.batches[at];
        if !is_same_block {
            let (parent_hash, time) = self.headers.get(&number).cloned().unwrap_or_default();
            batch.blocks.push(Block { number, time, hash: hash.to_vec(), parent_hash });
        }
        batch
    }
}

fn empty(id: u64, finalized: u64) -> Batch {
    Batch {
        id,
        attempt: 1,
        phase: Phase::Backfill,
        chain_id: CHAIN_ID,
        finalized,
        blocks: Vec::new(),
        len: 0,
        seq: Vec::new(),
        block: Vec::new(),
        tx_index: Vec::new(),
        log_index: Vec::new(),
        tx_hash: Vec::new(),
        address: Vec::new(),
        topic_off: vec![0],
        topics: Vec::new(),
        data_off: vec![0],
        data: Vec::new(),
        signature: Vec::new(),
        signatures: vec![SIGNATURE.to_owned()],
        decoded: Vec::new(),
    }
}

fn column<T: Array + 'static>(chunk: &StructArray, position: usize) -> Result<&T, BenchError> {
    let column = chunk.columns().get(position);
    column.and_then(|column| column.as_any().downcast_ref()).ok_or_else(|| BenchError::Unreadable {
        what: "a column of the ledger",
        text: position.to_string(),
    })
}
