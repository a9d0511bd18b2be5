//! The seam to plugins: whole blocks of events in, rows and state out.

use crate::{ChainId, ColumnData, Logs, Message, PluginState};
use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Entry of [`Batch::signature`] for an event whose ABI is unknown.
pub const UNKNOWN_SIGNATURE: u32 = u32::MAX;

/// Whether a batch comes from stored history or from the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// First run, `replay`, or catching up.
    Backfill,
    /// Following the head.
    Live,
}

/// A block with at least one event in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchBlock {
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Parent, where known.
    pub parent: Option<B256>,
    /// Unix seconds, where known.
    pub timestamp: Option<u64>,
}

/// A run of whole blocks of one chain in canonical order. A block is never split over batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Same value on every redelivery of the same rows.
    pub id: u64,
    /// 1 on first delivery.
    pub attempt: u32,
    /// Stored history or head.
    pub phase: Phase,
    /// Chain.
    pub chain: ChainId,
    /// Highest final block when the batch was cut.
    pub finalized: u64,
    /// Blocks that `logs.block` indexes.
    pub blocks: Vec<BatchBlock>,
    /// Delivery number of each event: dense, rising, never used again.
    pub seq: Vec<u64>,
    /// The events.
    pub logs: Logs,
    /// Index into `signatures`, or [`UNKNOWN_SIGNATURE`].
    pub signature: Vec<u32>,
    /// `Transfer(address,address,uint256)`.
    pub signatures: Vec<String>,
    /// JSON of the arguments, or empty when the subscription did not ask for it.
    pub decoded: Vec<String>,
}

impl Batch {
    /// Says which it is: `blocks 5:9 (120 events)`.
    pub fn words(&self) -> String {
        let number = |block: Option<&BatchBlock>| block.map_or(0, |block| block.number);
        let (first, last) = (number(self.blocks.first()), number(self.blocks.last()));
        let events = self.seq.len();
        format!("blocks {first}:{last} ({events} event{})", if events == 1 { "" } else { "s" })
    }
}

/// Type of a column that a plugin declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnKind {
    /// `BOOLEAN`.
    Boolean,
    /// `BIGINT`.
    Int64,
    /// `UBIGINT`.
    Uint64,
    /// `BIGNUM`, given as 32 big-endian bytes or as decimal text.
    Uint256,
    /// `DOUBLE`.
    Double,
    /// `VARCHAR`.
    Text,
    /// `BLOB`.
    Bytes,
    /// `BLOB` of 20 bytes.
    Address,
    /// `BLOB` of 32 bytes.
    Hash,
    /// `TIMESTAMP`, given as Unix seconds.
    Timestamp,
    /// `VARCHAR` with JSON.
    Json,
}

impl ColumnKind {
    /// Returns the word of the interface for it, as a plugin declares it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Int64 => "int64",
            Self::Uint64 => "uint64",
            Self::Uint256 => "bignum",
            Self::Double => "double",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Address => "address",
            Self::Hash => "hash",
            Self::Timestamp => "timestamp",
            Self::Json => "json",
        }
    }
}

/// A column of a plugin's table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginColumn {
    /// Name.
    pub name: String,
    /// Type.
    pub kind: ColumnKind,
    /// Whether NULL is allowed.
    pub nullable: bool,
}

/// A table that a plugin declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginTable {
    /// Name.
    pub name: String,
    /// Columns in order.
    pub columns: Vec<PluginColumn>,
    /// Columns of the key: a row with the same key replaces the older one. Empty: append only.
    pub key: Vec<String>,
}

/// Which events a plugin wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Chains; empty = any.
    pub chains: Vec<u64>,
    /// `0x` addresses; empty = any.
    pub addresses: Vec<String>,
    /// Signatures or `0x` topic 0; empty = any.
    pub events: Vec<String>,
    /// Allowed values of topics 1 to 3; empty = any.
    pub topics: Vec<Vec<String>>,
    /// First block wanted; `None` = where coverage starts.
    pub start_block: Option<u64>,
    /// Whether decoded JSON is wanted.
    pub decode: bool,
}

/// From when on a plugin sees a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Visibility {
    /// At once; reorgs are undone by the core.
    Latest,
    /// When safe.
    Safe,
    /// When final: never sees a reorg.
    Finalized,
    /// When so many covered blocks are above it, or when final: sees deeper reorgs only. A plugin
    /// cannot ask for it; the operator can.
    Depth(u64),
}

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Name: letters, digits, `-` and `_`.
    pub name: String,
    /// Version, for people.
    pub version: String,
    /// Rises when the same input gives other output.
    pub logic_version: u32,
    /// Visibility asked for.
    pub visibility: Visibility,
    /// Events wanted; a log that any of them matches is delivered once.
    pub subscriptions: Vec<Subscription>,
    /// Tables written.
    pub tables: Vec<PluginTable>,
}

/// A write to the private key-value space; `None` deletes.
pub type StateWrite = (Vec<u8>, Option<Vec<u8>>);

/// Rows for one table, as columns in the order the table declares them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRows {
    /// Index into [`Descriptor::tables`].
    pub table: usize,
    /// The event each row derives from.
    pub seq: Vec<u64>,
    /// One per declared column. `Uint256` arrives as decimal text, `Timestamp` as `I64`.
    pub columns: Vec<ColumnData>,
    /// For each column, the row numbers that are NULL.
    pub nulls: Vec<Vec<u32>>,
}

/// One event set aside while the rest of the batch succeeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Which.
    pub seq: u64,
    /// Why.
    pub reason: String,
}

/// Levels of a plugin's log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the usual five")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// A line a plugin logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Level.
    pub level: LogLevel,
    /// Text.
    pub message: String,
    /// Fields.
    pub fields: Vec<(String, String)>,
}

/// What one call did: staged, to be committed with the cursor or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Rows, in the order emitted.
    pub rows: Vec<TableRows>,
    /// State, in the order written; the last write of a key wins.
    pub state: Vec<StateWrite>,
    /// Messages, in the order enqueued.
    pub messages: Vec<Message>,
    /// Events set aside.
    pub rejected: Vec<Rejection>,
    /// Log lines.
    pub log: Vec<LogLine>,
    /// Metrics counted.
    pub counts: Vec<(String, u64)>,
}

/// Why a whole batch failed. Nothing of it is committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginFault {
    /// The plugin asks to be called again.
    #[error("asked to be called again: {reason}")]
    Retry {
        /// After at least so many milliseconds; 0 is the dispatcher's own backoff.
        after_ms: u32,
        /// Why.
        reason: String,
    },
    /// The same input will fail again.
    #[error("rejected the batch: {0}")]
    Reject(String),
    /// Stop until an operator resumes.
    #[error("halted itself: {0}")]
    Halt(String),
    /// Trapped; the guest's own message where it left one.
    #[error("trapped: {0}")]
    Trap(String),
    /// Ran past its deadline. Never permanent at first: the machine may have been slow.
    #[error("ran longer than `deadline_ms` of {limit_ms}{}", spoken(.said))]
    Deadline {
        /// The limit.
        limit_ms: u64,
        /// What the guest printed before, if anything.
        said: String,
    },
    /// Wanted more than a limit allows.
    #[error("limit `{limit}` of {allowed} exceeded{}", spoken(.said))]
    Limit {
        /// Configuration key of the limit.
        limit: &'static str,
        /// Its value.
        allowed: u64,
        /// What the guest printed before, if anything.
        said: String,
    },
}

fn spoken(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("; it said: {said}") }
}

/// A loaded plugin. Every call gets a fresh guest; a trapped one is thrown away whole.
pub trait Plugin: Send {
    /// Returns what it says of itself.
    fn descriptor(&self) -> &Descriptor;

    /// Returns the SHA-256 of its component; `None` for a plugin that is none.
    fn component(&self) -> Option<B256> {
        None
    }

    /// Handles one batch against the given state.
    fn handle(&mut self, batch: &Batch, state: &Arc<PluginState>) -> Result<Effects, PluginFault>;
}
