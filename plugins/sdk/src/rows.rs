//! Rows in both directions: events as rows over the columns of a batch, columns out of rows.

use crate::{Batch, bindings::headcount::plugin::output};

/// One event of a batch, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Its place in the batch's columns.
    pub row: usize,
    /// Delivery number.
    pub seq: u64,
    /// Emitting contract, 20 bytes.
    pub address: &'a [u8],
    /// Topics of 32 bytes each, packed.
    pub topics: &'a [u8],
    /// Unindexed arguments.
    pub data: &'a [u8],
}

impl<'a> Event<'a> {
    /// Returns topic `i`.
    pub fn topic(&self, i: usize) -> Option<&'a [u8]> {
        self.topics.get(32 * i..32 * (i + 1))
    }

    /// Number of topics.
    pub const fn topic_count(&self) -> usize {
        self.topics.len() / 32
    }
}

/// Iterates over the events of a batch.
pub fn events(batch: &Batch) -> impl Iterator<Item = Event<'_>> {
    (0..batch.len as usize).map(|i| Event {
        row: i,
        seq: batch.seq[i],
        address: &batch.address[20 * i..20 * (i + 1)],
        topics: &batch.topics
            [32 * batch.topic_off[i] as usize..32 * batch.topic_off[i + 1] as usize],
        data: &batch.data[batch.data_off[i] as usize..batch.data_off[i + 1] as usize],
    })
}

/// Rows for one table, column by column.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Table.
    pub table: &'static str,
    /// The event each row derives from.
    pub seqs: Vec<u64>,
    /// Columns.
    pub columns: Vec<output::Column>,
}

impl Rows {
    /// Returns rows that derive from these events, without columns yet.
    pub const fn new(table: &'static str, seqs: Vec<u64>) -> Self {
        Self { table, seqs, columns: Vec::new() }
    }

    /// Adds values of 20 bytes each, packed.
    #[must_use]
    pub fn addresses(self, name: &str, packed: Vec<u8>) -> Self {
        self.column(name, output::ColumnData::Fixed((20, packed)))
    }

    /// Adds values of 32 bytes each, packed: hashes, or unsigned integers as the ABI has them.
    #[must_use]
    pub fn words(self, name: &str, packed: Vec<u8>) -> Self {
        self.column(name, output::ColumnData::Fixed((32, packed)))
    }

    /// Adds text, or integers of any size in decimal.
    #[must_use]
    pub fn text(self, name: &str, values: Vec<String>) -> Self {
        self.column(name, output::ColumnData::Text(values))
    }

    /// Adds unsigned integers.
    #[must_use]
    pub fn unsigned(self, name: &str, values: Vec<u64>) -> Self {
        self.column(name, output::ColumnData::Unsigned(values))
    }

    /// Adds a column without NULLs.
    #[must_use]
    pub fn column(mut self, name: &str, data: output::ColumnData) -> Self {
        self.columns.push(output::Column { name: name.to_owned(), data, nulls: Vec::new() });
        self
    }
}
