//! Columns of logs and decoded values as Arrow arrays and back: one copy per column, no row work.

use crate::{error::Result, few_rows::append_batch};
use alloy_primitives::{Address, B256};
use duckdb::{
    Connection,
    arrow::{
        array::{
            Array, ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, Float64Array,
            Int64Array, StringArray, StructArray, UInt32Array, UInt64Array,
        },
        buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer},
        datatypes::{Field, Schema},
        record_batch::RecordBatch,
    },
};
use event::{ColumnData, LedgerError, LogRef, Logs, Packed};
use std::sync::Arc;

/// Appends columns, in the table's order, to a table. Nothing is written before `COMMIT`.
pub(crate) fn append(
    conn: &Connection,
    schema: &str,
    table: &str,
    columns: Vec<ArrayRef>,
) -> Result<()> {
    if columns.first().is_none_or(|column| column.is_empty()) {
        return Ok(());
    }
    append_batch(conn, schema, table, record_batch(columns)?)
}

/// Joins columns; names play no part in appending.
pub(crate) fn record_batch(columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(i, column)| Field::new(i.to_string(), column.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|error| LedgerError::Internal(format!("columns do not fit: {error}")))
}

pub(crate) fn u64s(values: Vec<u64>) -> ArrayRef {
    Arc::new(UInt64Array::from(values))
}

pub(crate) fn constant(value: u64, len: usize) -> ArrayRef {
    u64s(vec![value; len])
}

pub(crate) fn u32s(values: Vec<u32>) -> ArrayRef {
    Arc::new(UInt32Array::from(values))
}

pub(crate) fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// Fixed-width byte values, one after the other.
pub(crate) fn fixed<'a, const N: usize>(
    len: usize,
    values: impl Iterator<Item = &'a [u8; N]>,
) -> ArrayRef {
    let mut bytes = Vec::with_capacity(len * N);
    for value in values {
        bytes.extend_from_slice(value);
    }
    Arc::new(FixedSizeBinaryArray::new(N as i32, Buffer::from_vec(bytes), None))
}

/// Fixed-width byte values, some missing.
pub(crate) fn fixed_or_null<'a, const N: usize>(
    len: usize,
    values: impl Iterator<Item = Option<&'a [u8; N]>>,
) -> ArrayRef {
    let mut bytes = Vec::with_capacity(len * N);
    let mut valid = Vec::with_capacity(len);
    for value in values {
        bytes.extend_from_slice(value.unwrap_or(&[0; N]));
        valid.push(value.is_some());
    }
    let nulls = NullBuffer::from(valid);
    Arc::new(FixedSizeBinaryArray::new(N as i32, Buffer::from_vec(bytes), Some(nulls)))
}

pub(crate) fn hashes(values: &[B256]) -> ArrayRef {
    fixed(values.len(), values.iter().map(|value| &value.0))
}

pub(crate) fn addresses(values: &[Address]) -> ArrayRef {
    fixed(values.len(), values.iter().map(|value| &value.0.0))
}

/// Topic `position` of each log, NULL where it has fewer.
pub(crate) fn topics(logs: &Logs, position: usize) -> ArrayRef {
    let values = (0..logs.len()).map(|i| logs.topics_of(i).get(position).map(|topic| &topic.0));
    fixed_or_null(logs.len(), values)
}

/// Data of each log.
pub(crate) fn data(logs: &Logs) -> ArrayRef {
    let offsets = logs.data_offsets.iter().map(|offset| *offset as i32).collect();
    binary(offsets, &logs.data, None)
}

fn binary(offsets: Vec<i32>, bytes: &[u8], nulls: Option<NullBuffer>) -> ArrayRef {
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Arc::new(BinaryArray::new(offsets, Buffer::from(bytes), nulls))
}

fn utf8(values: &Packed, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let offsets = OffsetBuffer::new(ScalarBuffer::from(values.offsets.clone()));
    StringArray::try_new(offsets, Buffer::from(values.bytes.as_slice()), nulls)
        .map(|array| Arc::new(array) as ArrayRef)
        .map_err(|error| LedgerError::Internal(format!("text column: {error}")))
}

/// A decoded column; `null_rows` are NULL.
pub(crate) fn decoded(column: &ColumnData, null_rows: &[u32]) -> Result<ArrayRef> {
    let nulls = (!null_rows.is_empty()).then(|| {
        let mut valid = vec![true; column.len()];
        for row in null_rows {
            if let Some(slot) = valid.get_mut(*row as usize) {
                *slot = false;
            }
        }
        NullBuffer::from(valid)
    });
    Ok(match column {
        ColumnData::Bool(values) => {
            Arc::new(BooleanArray::new(values.as_slice().into(), nulls)) as ArrayRef
        }
        ColumnData::U64(values) => Arc::new(UInt64Array::new(values.clone().into(), nulls)),
        ColumnData::I64(values) => Arc::new(Int64Array::new(values.clone().into(), nulls)),
        ColumnData::F64(values) => Arc::new(Float64Array::new(values.clone().into(), nulls)),
        ColumnData::Text(values) => utf8(values, nulls)?,
        ColumnData::Blob(values) => binary(values.offsets.clone(), &values.bytes, nulls),
    })
}

/// Rows of `events` as they come back, block by block in the order they were asked for.
#[derive(Debug, Default)]
pub(crate) struct RawLogs {
    /// Number and hash of each run of rows with the same block; `logs.block` indexes it.
    pub(crate) blocks: Vec<(u64, B256)>,
    pub(crate) logs: Logs,
    pub(crate) occurrence: Vec<u32>,
    /// Event numbers, where they were asked for.
    pub(crate) ids: Vec<u64>,
    /// Chains, where they were asked for.
    pub(crate) chains: Vec<u64>,
}

impl RawLogs {
    /// Appends a chunk: block number and hash, transaction and its position, log index, address,
    /// four topics, data, occurrence; then perhaps event number and chain.
    pub(crate) fn take(&mut self, chunk: &StructArray) -> Result<()> {
        let number: &UInt64Array = column(chunk, 0)?;
        let hash: &BinaryArray = column(chunk, 1)?;
        let tx_hash: &BinaryArray = column(chunk, 2)?;
        let tx_index: &UInt32Array = column(chunk, 3)?;
        let log_index: &UInt32Array = column(chunk, 4)?;
        let address: &BinaryArray = column(chunk, 5)?;
        let mut topics: Vec<&BinaryArray> = Vec::with_capacity(4);
        for position in 6..10 {
            topics.push(column(chunk, position)?);
        }
        let data: &BinaryArray = column(chunk, 10)?;
        let occurrence: &UInt32Array = column(chunk, 11)?;
        for row in 0..chunk.len() {
            let block = (number.value(row), hash_of(hash.value(row))?);
            if self.blocks.last() != Some(&block) {
                self.blocks.push(block);
            }
            let mut own = [B256::ZERO; 4];
            let mut count = 0;
            for topic in topics.iter().take_while(|topic| topic.is_valid(row)) {
                own[count] = hash_of(topic.value(row))?;
                count += 1;
            }
            self.logs.push(LogRef {
                block: (self.blocks.len() - 1) as u32,
                tx_hash: &hash_of(tx_hash.value(row))?,
                tx_index: tx_index.value(row),
                log_index: log_index.value(row),
                address: &Address::try_from(address.value(row)).map_err(|_| damaged("address"))?,
                topics: &own[..count],
                data: data.value(row),
            });
        }
        self.occurrence.extend_from_slice(occurrence.values());
        if chunk.num_columns() > 12 {
            self.ids.extend_from_slice(column::<UInt64Array>(chunk, 12)?.values());
        }
        if chunk.num_columns() > 13 {
            self.chains.extend_from_slice(column::<UInt64Array>(chunk, 13)?.values());
        }
        Ok(())
    }
}

/// Returns a column of a chunk as the type that it was asked for as.
pub(crate) fn column<T: Array + 'static>(chunk: &StructArray, position: usize) -> Result<&T> {
    chunk
        .columns()
        .get(position)
        .and_then(|column| column.as_any().downcast_ref())
        .ok_or_else(|| damaged(&position.to_string()))
}

fn hash_of(bytes: &[u8]) -> Result<B256> {
    B256::try_from(bytes).map_err(|_| damaged("hash"))
}

fn damaged(what: &str) -> LedgerError {
    LedgerError::Internal(format!("a stored value is none of ours: column {what}"))
}
