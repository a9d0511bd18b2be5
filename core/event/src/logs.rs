//! What nodes return: logs, as rows where there are few and as columns where there are many.

use alloy_primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

/// One log as a receipt carries it. It is an event only once the ledger holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// Emitting contract.
    pub address: Address,
    /// Up to four topics.
    pub topics: Vec<B256>,
    /// Unindexed arguments.
    pub data: Bytes,
    /// Position in the block as this node counts it: an attribute, never an identity.
    pub log_index: u32,
    /// Position of the transaction in the block.
    pub tx_index: u32,
    /// Transaction.
    pub tx_hash: B256,
    /// Block height.
    pub block_number: u64,
    /// Block hash.
    pub block_hash: B256,
    /// Whether the node regards the block as not canonical.
    pub removed: bool,
}

/// Many logs as columns; row `i` of every column is log `i`, in the order the node gave.
///
/// `block[i]` indexes a list of blocks that travels beside it ([`crate::Report::blocks`] or
/// [`crate::LogsAnswer::blocks`]). Topics and data are packed, with `len + 1` offsets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// Index into the list of blocks.
    pub block: Vec<u32>,
    /// Transaction of each log.
    pub tx_hash: Vec<B256>,
    /// Position of that transaction in its block.
    pub tx_index: Vec<u32>,
    /// Position of the log in its block, as this node counts it.
    pub log_index: Vec<u32>,
    /// Emitting contract.
    pub address: Vec<Address>,
    /// Offsets into `topics`, in topics; `len + 1` entries.
    pub topic_offsets: Vec<u32>,
    /// All topics, one after the other.
    pub topics: Vec<B256>,
    /// Offsets into `data`, in bytes; `len + 1` entries.
    pub data_offsets: Vec<u32>,
    /// All data, one after the other.
    pub data: Vec<u8>,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            block: Vec::new(),
            tx_hash: Vec::new(),
            tx_index: Vec::new(),
            log_index: Vec::new(),
            address: Vec::new(),
            topic_offsets: vec![0],
            topics: Vec::new(),
            data_offsets: vec![0],
            data: Vec::new(),
        }
    }
}

/// One row of [`Logs`], borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRef<'a> {
    /// Index into the list of blocks.
    pub block: u32,
    /// Transaction.
    pub tx_hash: &'a B256,
    /// Position of the transaction in the block.
    pub tx_index: u32,
    /// Position of the log in the block.
    pub log_index: u32,
    /// Emitting contract.
    pub address: &'a Address,
    /// Up to four topics.
    pub topics: &'a [B256],
    /// Unindexed arguments.
    pub data: &'a [u8],
}

impl Logs {
    /// Number of logs.
    pub fn len(&self) -> usize {
        self.block.len()
    }

    /// Whether there is no log.
    pub fn is_empty(&self) -> bool {
        self.block.is_empty()
    }

    /// Returns row `i`. Panics when `i` is not below [`Self::len`], like a slice.
    pub fn row(&self, i: usize) -> LogRef<'_> {
        LogRef {
            block: self.block[i],
            tx_hash: &self.tx_hash[i],
            tx_index: self.tx_index[i],
            log_index: self.log_index[i],
            address: &self.address[i],
            topics: self.topics_of(i),
            data: self.data_of(i),
        }
    }

    /// Returns the topics of row `i`.
    pub fn topics_of(&self, i: usize) -> &[B256] {
        &self.topics[self.topic_offsets[i] as usize..self.topic_offsets[i + 1] as usize]
    }

    /// Returns the data of row `i`.
    pub fn data_of(&self, i: usize) -> &[u8] {
        &self.data[self.data_offsets[i] as usize..self.data_offsets[i + 1] as usize]
    }

    /// Iterates over the rows in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = LogRef<'_>> {
        (0..self.len()).map(|i| self.row(i))
    }

    /// Appends one row.
    pub fn push(&mut self, log: LogRef<'_>) {
        self.block.push(log.block);
        self.tx_hash.push(*log.tx_hash);
        self.tx_index.push(log.tx_index);
        self.log_index.push(log.log_index);
        self.address.push(*log.address);
        self.topics.extend_from_slice(log.topics);
        self.topic_offsets.push(self.topics.len() as u32);
        self.data.extend_from_slice(log.data);
        self.data_offsets.push(self.data.len() as u32);
    }

    /// Appends a receipt's log as a row of block `block`.
    pub fn push_log(&mut self, block: u32, log: &Log) {
        self.push(LogRef {
            block,
            tx_hash: &log.tx_hash,
            tx_index: log.tx_index,
            log_index: log.log_index,
            address: &log.address,
            topics: &log.topics,
            data: &log.data,
        });
    }

    /// Returns the rows for which `keep` holds, in order. Without a false it returns a plain copy.
    pub fn filtered(&self, keep: &[bool]) -> Self {
        if keep.iter().all(|k| *k) {
            return self.clone();
        }
        let mut kept = Self::default();
        for (row, keep) in self.rows().zip(keep) {
            if *keep {
                kept.push(row);
            }
        }
        kept
    }
}

impl<'a> From<&'a Log> for LogRef<'a> {
    /// The block index is 0: for matching and digests only.
    fn from(log: &'a Log) -> Self {
        Self {
            block: 0,
            tx_hash: &log.tx_hash,
            tx_index: log.tx_index,
            log_index: log.log_index,
            address: &log.address,
            topics: &log.topics,
            data: &log.data,
        }
    }
}
