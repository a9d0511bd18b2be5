//! The ledger of a drill, read again from its file, to be held against the chain.

use crate::command_error::CommandError;
use alloy_primitives::{Address, B256, Bytes};
use event::{ChainId, EventId, Log, LogRef, content_digest};
use std::{collections::BTreeMap, ops::ControlFlow, path::Path};
use store::{DuckLedger, OpenMode, Value};

/// What the file holds.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// Canonical events, with how many rows each has.
    pub(super) events: BTreeMap<EventId, u64>,
    /// Rows of the typed table.
    pub(super) decoded: u64,
    /// Incidents by node.
    pub(super) incidents: BTreeMap<String, u64>,
    /// What the ledger says of its own soundness.
    pub(super) problems: Vec<String>,
}

impl Audit {
    /// Reads the ledger; `table` is the typed table of the events.
    pub(super) fn read(path: &Path, chain: ChainId, table: &str) -> Result<Self, CommandError> {
        let ledger = DuckLedger::open(path, OpenMode::ReadOnly)?;
        let mut audit = Self { problems: ledger.check()?, ..Self::default() };
        let events = "SELECT block_hash, tx_hash, occurrence, address, data, topic0, topic1, topic2, \
                      topic3 FROM events_canonical";
        rows(&ledger, events, |row| {
            if let Some(id) = event_id(chain, &row) {
                *audit.events.entry(id).or_default() += 1;
            }
        })?;
        rows(&ledger, &format!("SELECT count(*) FROM {table}"), |row| {
            audit.decoded = row.first().map_or(0, number);
        })?;
        rows(&ledger, "SELECT node, count(*) FROM incidents GROUP BY node", |row| {
            if let [Value::Text(node), count] = &row[..] {
                audit.incidents.insert(node.clone(), number(count));
            }
        })?;
        Ok(audit)
    }
}

fn rows(
    ledger: &DuckLedger,
    sql: &str,
    mut each: impl FnMut(Vec<Value>),
) -> Result<(), CommandError> {
    ledger.query(sql, &mut |_, row| {
        each(row);
        ControlFlow::Continue(())
    })?;
    Ok(())
}

fn number(value: &Value) -> u64 {
    match value {
        Value::Int(number) => u64::try_from(*number).unwrap_or(0),
        _ => 0,
    }
}

fn event_id(chain: ChainId, row: &[Value]) -> Option<EventId> {
    let [block_hash, tx_hash, occurrence, address, data, topics @ ..] = row else { return None };
    let log = Log {
        address: Address::try_from(bytes(address)?).ok()?,
        topics: topics.iter().map_while(hash).collect(),
        data: Bytes::copy_from_slice(bytes(data)?),
        log_index: 0,
        tx_index: 0,
        tx_hash: hash(tx_hash)?,
        block_number: 0,
        block_hash: hash(block_hash)?,
        removed: false,
    };
    Some(EventId {
        chain,
        block_hash: log.block_hash,
        tx_hash: log.tx_hash,
        digest: content_digest(LogRef::from(&log)),
        occurrence: u32::try_from(number(occurrence)).ok()?,
    })
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Blob(bytes) => Some(bytes),
        _ => None,
    }
}

fn hash(value: &Value) -> Option<B256> {
    B256::try_from(bytes(value)?).ok()
}
