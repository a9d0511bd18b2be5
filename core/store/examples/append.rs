//! Appends a million transfers, ten a block, and prints how long it took:
//! `cargo run --release -p headcount-store --example append [ROWS_PER_TRANSACTION] [raw|typed]`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement")]

use alloy_primitives::{Address, B256, U256, keccak256};
use event::{
    AnyOf, BlockRange, BlockRow, ChainId, ColumnData, ColumnType, Commit, CoverageChange,
    EventBatch, EventQuery, EventSchema, Filter, Interval, JournalRow, LogRef, Logs, NodeId, Op,
    Packed, Reader, SchemaColumn, Store, TypedRows,
};
use std::{sync::Arc, time::Instant};
use store::{DuckLedger, OpenMode};

const ROWS: u64 = 1_000_000;
const PER_BLOCK: u64 = 10;
const CHAIN: ChainId = ChainId(1);
/// Blocks of one report.
const REPORT: u64 = 1_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let per_transaction = arguments.next().map_or(100_000, |n| n.parse().unwrap());
    let typed = arguments.next().is_none_or(|word| word == "typed");
    let reports: Vec<Commit> = (0..ROWS / PER_BLOCK / REPORT).map(|i| report(i, typed)).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.duckdb");
    let mut ledger = DuckLedger::open(&path, OpenMode::Create).unwrap();
    ledger.prepare_schemas(&[schema()]).unwrap();
    let start = Instant::now();
    let width = (per_transaction / (REPORT * PER_BLOCK)).max(1) as usize;
    for commits in reports.chunks(width) {
        ledger.apply(commits).unwrap();
    }
    let applied = start.elapsed().as_secs_f64();
    ledger.close().unwrap();
    drop(ledger);
    let closed = start.elapsed().as_secs_f64();
    let size = std::fs::metadata(&path).unwrap().len() / (1 << 20);
    let rate = ROWS as f64 / closed;
    println!(
        "typed {typed}, {per_transaction} rows a transaction: applied {applied:.2} s, \
         closed {closed:.2} s, {rate:.0} rows/s, {size} MiB"
    );
    let mut ledger = DuckLedger::open(&path, OpenMode::Existing).unwrap();
    let start = Instant::now();
    let (mut next, mut seen) = (0, 0);
    while next < ROWS / PER_BLOCK {
        let range = BlockRange::new(next, ROWS / PER_BLOCK - 1).unwrap();
        let query = EventQuery { chain: CHAIN, filters: vec![filter()], range, limit: 20_000 };
        let page = ledger.events(&query).unwrap();
        seen += page.logs.len();
        next = page.through + 1;
    }
    println!("paged {seen} events in {:.2} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let digest = ledger.digest().unwrap();
    println!("digest {digest} in {:.2} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    println!("problems {:?} in {:.2} s", ledger.check().unwrap(), start.elapsed().as_secs_f64());
}

fn token() -> Address {
    Address::repeat_byte(0xaa)
}

fn filter() -> Arc<Filter> {
    let topic0 = keccak256("Transfer(address,address,uint256)");
    Arc::new(Filter::new(AnyOf::one(token()), AnyOf::one(topic0)))
}

fn schema() -> EventSchema {
    let column = |name: &str, ty, indexed| SchemaColumn {
        name: name.into(),
        argument: name.into(),
        solidity: if indexed { "address" } else { "uint256" }.into(),
        indexed,
        ty,
    };
    EventSchema {
        contract: "usdc".into(),
        table: "Transfer".into(),
        signature: "Transfer(address,address,uint256)".into(),
        topic0: Some(keccak256("Transfer(address,address,uint256)")),
        addresses: AnyOf::one(token()),
        chains: Default::default(),
        columns: vec![
            column("from", ColumnType::Blob, true),
            column("to", ColumnType::Blob, true),
            column("value", ColumnType::Bignum, false),
        ],
    }
}

fn report(i: u64, typed: bool) -> Commit {
    let range = BlockRange::of_width(i * REPORT, REPORT);
    let topic0 = keccak256("Transfer(address,address,uint256)");
    let mut commit = Commit::empty(CHAIN);
    let mut logs = Logs::default();
    let mut blocks = Vec::new();
    let (mut from, mut to, mut values) = <(Packed, Packed, Packed)>::default();
    for number in range.first()..=range.last() {
        let hash = keccak256(number.to_be_bytes());
        blocks.push((number, hash));
        let (parent, timestamp) = (None, None);
        commit.blocks.push(BlockRow { number, hash, parent, timestamp, canonical: true });
        for n in 0..PER_BLOCK {
            let id = number * PER_BLOCK + n;
            let word = keccak256(id.to_le_bytes());
            let holder = |n: u64| keccak256((n % 50_000).to_le_bytes());
            let (a, b) = (holder(id), holder(id * 7));
            let topics =
                [topic0, Address::from_word(a).into_word(), Address::from_word(b).into_word()];
            let value = U256::from_be_slice(&word[..9]);
            logs.push(LogRef {
                block: (blocks.len() - 1) as u32,
                tx_hash: &B256::from(*word),
                tx_index: n as u32,
                log_index: n as u32,
                address: &token(),
                topics: &topics,
                data: &value.to_be_bytes::<32>(),
            });
            from.push(&a[12..]);
            to.push(&b[12..]);
            values.push(value.to_string().as_bytes());
        }
    }
    let len = logs.len();
    let columns = vec![ColumnData::Blob(from), ColumnData::Blob(to), ColumnData::Text(values)];
    let rows = TypedRows { schema: 0, row: (0..len as u32).collect(), columns };
    let journal_seq = i + 1;
    let typed = if typed { vec![rows] } else { Vec::new() };
    commit.events.push(EventBatch { blocks, occurrence: vec![0; len], logs, journal_seq, typed });
    commit.journal.push(JournalRow {
        seq: i + 1,
        chain: CHAIN,
        op: Op::Extend,
        filter: Some(filter().id()),
        range,
        block_hash: None,
        events: len as u64,
    });
    let evidence =
        event::Evidence { content: event::Content::Claimed, anchor: event::Anchor::OneNode };
    let so_far = BlockRange::new(0, range.last()).unwrap();
    let nodes = vec![NodeId::new("a")];
    let interval = Interval { range: so_far, evidence, nodes, links: None };
    let (filter, intervals) = (filter(), vec![interval]);
    commit.coverage.push(CoverageChange { filter, range: so_far, intervals });
    commit
}
