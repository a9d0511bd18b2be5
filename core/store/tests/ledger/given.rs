//! A small chain of transfers, as commits.

use alloy_primitives::{Address, B256, U256, keccak256};
use event::{
    Anchor, AnyOf, BlockRange, BlockRow, ChainId, ColumnData, ColumnType, Commit, Content,
    CoverageChange, DecodeStats, Decoder, EventBatch, EventId, EventSchema, Evidence, Filter,
    Interval, JournalRow, LogRef, Logs, NodeId, Op, Packed, SchemaColumn, TypedRows,
    content_digest,
};
use std::sync::Arc;
use store::{Column, DuckLedger, OpenMode, Value};

pub(crate) const CHAIN: ChainId = ChainId(1);

pub(crate) fn token() -> Address {
    Address::repeat_byte(0xaa)
}

pub(crate) fn topic0() -> B256 {
    keccak256("Transfer(address,address,uint256)")
}

pub(crate) fn filter() -> Arc<Filter> {
    Arc::new(Filter::new(AnyOf::one(token()), AnyOf::one(topic0())))
}

pub(crate) fn hash(number: u64, branch: u8) -> B256 {
    keccak256([&number.to_be_bytes()[..], &[branch]].concat())
}

/// One commit for `blocks`, with `per_block` transfers of 1, 2, 3... in each.
pub(crate) fn commit(blocks: std::ops::Range<u64>, per_block: u32, seq: u64) -> Commit {
    let mut logs = Logs::default();
    let mut commit = Commit::empty(CHAIN);
    let mut numbers = Vec::new();
    for number in blocks.clone() {
        let block = numbers.len() as u32;
        numbers.push((number, hash(number, 0)));
        commit.blocks.push(BlockRow {
            number,
            hash: hash(number, 0),
            parent: Some(hash(number.wrapping_sub(1), 0)),
            timestamp: Some(1_700_000_000 + number),
            canonical: true,
        });
        for i in 0..per_block {
            let topics = [topic0(), B256::with_last_byte(1), B256::with_last_byte(2)];
            logs.push(LogRef {
                block,
                tx_hash: &keccak256([&number.to_be_bytes()[..], &i.to_be_bytes()].concat()),
                tx_index: i,
                log_index: i,
                address: &token(),
                topics: &topics,
                data: &U256::from(u64::from(i) + 1).to_be_bytes::<32>(),
            });
        }
    }
    let events = logs.len();
    let typed = Transfers::default().decode(CHAIN, &logs).0;
    let range = BlockRange::new(blocks.start, blocks.end - 1).unwrap();
    commit.events.push(EventBatch {
        blocks: numbers,
        occurrence: vec![0; events],
        logs,
        journal_seq: seq,
        typed,
    });
    commit.journal.push(JournalRow {
        seq,
        chain: CHAIN,
        op: Op::Extend,
        filter: Some(filter().id()),
        range,
        block_hash: None,
        events: events as u64,
    });
    commit.coverage.push(CoverageChange {
        filter: filter(),
        range,
        intervals: vec![interval(range)],
    });
    commit
}

pub(crate) fn interval(range: BlockRange) -> Interval {
    Interval {
        range,
        evidence: Evidence { content: Content::Bloom, anchor: Anchor::OneNode },
        nodes: vec![NodeId::new("a"), NodeId::new("b")],
        links: None,
    }
}

pub(crate) fn ids(commit: &Commit) -> Vec<EventId> {
    let mut ids = Vec::new();
    for batch in &commit.events {
        for (i, log) in batch.logs.rows().enumerate() {
            ids.push(EventId {
                chain: commit.chain,
                block_hash: batch.blocks[log.block as usize].1,
                tx_hash: *log.tx_hash,
                digest: content_digest(log),
                occurrence: batch.occurrence[i],
            });
        }
    }
    ids
}

/// Decodes the value of every transfer.
pub(crate) struct Transfers(pub(crate) Vec<EventSchema>);

impl Default for Transfers {
    fn default() -> Self {
        Self(vec![schema("usdc", ColumnType::Bignum)])
    }
}

pub(crate) fn schema(contract: &str, ty: ColumnType) -> EventSchema {
    EventSchema {
        contract: contract.into(),
        table: "Transfer".into(),
        signature: "Transfer(address,address,uint256)".into(),
        topic0: Some(topic0()),
        addresses: AnyOf::one(token()),
        chains: Default::default(),
        columns: vec![SchemaColumn {
            name: "value".into(),
            argument: "value".into(),
            solidity: "uint256".into(),
            indexed: false,
            ty,
        }],
    }
}

impl Decoder for Transfers {
    fn schemas(&self) -> &[EventSchema] {
        &self.0
    }

    fn decode(&self, chain: ChainId, logs: &Logs) -> (Vec<TypedRows>, DecodeStats) {
        let Some(schema) = self.0.iter().position(|schema| schema.is_for(chain, &token())) else {
            return (Vec::new(), DecodeStats { unknown: logs.len() as u64, undecodable: 0 });
        };
        let mut values = Packed::default();
        for log in logs.rows() {
            values.push(U256::from_be_slice(log.data).to_string().as_bytes());
        }
        let row = (0..logs.len() as u32).collect();
        let rows =
            TypedRows { schema: schema as u32, row, columns: vec![ColumnData::Text(values)] };
        (vec![rows], DecodeStats::default())
    }

    fn json(&self, _: ChainId, _: LogRef<'_>) -> Option<(&str, String)> {
        None
    }
}

/// Closes as an owner does, and lets go of the lock.
pub(crate) fn closed(mut ledger: DuckLedger) {
    event::Store::close(&mut ledger).unwrap();
}

/// A folder that goes away, and the path of a ledger in it.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("l.duckdb")
    }

    pub(crate) fn open(&self, mode: OpenMode) -> DuckLedger {
        DuckLedger::open(self.path(), mode).unwrap()
    }

    /// Returns the only value of the only row.
    pub(crate) fn ask(&self, statement: &str) -> Value {
        let mut rows = self.rows(statement);
        assert_eq!(rows.len(), 1, "{statement}");
        rows.remove(0).remove(0)
    }

    pub(crate) fn rows(&self, statement: &str) -> Vec<Vec<Value>> {
        let mut rows = Vec::new();
        let each = &mut |_: &[Column], row| {
            rows.push(row);
            std::ops::ControlFlow::Continue(())
        };
        self.open(OpenMode::ReadOnly).query(statement, each).unwrap();
        rows
    }
}
