//! The ledger in memory against the real one: the same random commits give the same answers.

use crate::backfill::followed;
use alloy_primitives::{Address, B256, Bytes};
use event::*;
use sim::{Balances, Crash, MemoryStore, chain::token, rng::Rng};
use std::sync::Arc;
use store::{DuckLedger, OpenMode};

const CHAIN: ChainId = ChainId(1);
const BLOCKS: u64 = 30;

/// Makes commits that fit together, as the aggregator's do.
struct Maker {
    rng: Rng,
    journal_seq: u64,
    logs: u64,
    stored: Vec<EventId>,
    candidates: Vec<EventId>,
}

impl Maker {
    fn filter(&mut self) -> Arc<Filter> {
        let mut filter = followed(1 + self.rng.below(2));
        if self.rng.chance(300) {
            filter.addresses = AnyOf::Any;
        }
        Arc::new(filter)
    }

    fn range(&mut self) -> BlockRange {
        let first = self.rng.below(BLOCKS);
        BlockRange::new(first, self.rng.between(first, BLOCKS)).unwrap()
    }

    /// Two branches of every height.
    fn block(&mut self, number: u64) -> (u64, B256) {
        (number, B256::with_last_byte((number * 2 + self.rng.below(2)) as u8))
    }

    fn event(&mut self, logs: &mut Logs, occurrence: &mut Vec<u32>, block: (u32, B256)) -> EventId {
        self.logs += 1;
        let data = Bytes::from(self.logs.to_be_bytes().to_vec());
        let topics: Vec<B256> = (0..self.rng.below(5)).map(|_| self.rng.b256()).collect();
        let address = if self.rng.chance(700) { token(self.rng.below(3)) } else { Address::ZERO };
        let (tx_hash, tx_index) = (self.rng.b256(), self.rng.below(5) as u32);
        // No two of a block are alike, or their order would be nobody's.
        let log_index = self.logs as u32;
        let row = LogRef {
            block: block.0,
            tx_hash: &tx_hash,
            tx_index,
            log_index,
            address: &address,
            topics: &topics,
            data: &data,
        };
        logs.push(row);
        occurrence.push(self.rng.below(3) as u32);
        let (digest, occurrence) = (content_digest(row), *occurrence.last().unwrap());
        EventId { chain: CHAIN, block_hash: block.1, tx_hash, digest, occurrence }
    }

    fn batch(&mut self) -> EventBatch {
        let range = self.range();
        let blocks: Vec<(u64, B256)> =
            (range.first()..=range.last()).map(|number| self.block(number)).collect();
        let (mut logs, mut occurrence) = (Logs::default(), Vec::new());
        for (index, (_, hash)) in blocks.iter().enumerate() {
            for _ in 0..self.rng.below(3) {
                let id = self.event(&mut logs, &mut occurrence, (index as u32, *hash));
                self.stored.push(id);
            }
        }
        EventBatch { blocks, logs, occurrence, journal_seq: self.journal_seq, typed: vec![] }
    }

    fn journal(&mut self) -> JournalRow {
        self.journal_seq += 1;
        let ops = [Op::Extend, Op::Revert, Op::Reinstate, Op::Late, Op::Refute];
        let named = self.rng.chance(500);
        JournalRow {
            seq: self.journal_seq,
            chain: CHAIN,
            op: *self.rng.pick(&ops).unwrap(),
            filter: named.then(|| self.filter().id()),
            range: self.range(),
            block_hash: (!named).then(|| self.rng.b256()),
            events: self.rng.below(9),
        }
    }

    fn coverage(&mut self) -> CoverageChange {
        let range = self.range();
        let (mut intervals, mut first) = (Vec::new(), range.first());
        while let Some(rest) = BlockRange::new(first, range.last()) {
            let cut = self.rng.between(rest.first(), rest.last());
            let links = Links { first_parent: self.rng.b256(), last_hash: self.rng.b256() };
            let content = [Content::Claimed, Content::Bloom, Content::Agreed(2), Content::Receipts];
            let interval = Interval {
                range: BlockRange::new(first, cut).unwrap(),
                evidence: Evidence {
                    content: *self.rng.pick(&content).unwrap(),
                    anchor: Anchor::OneNode,
                },
                nodes: (0..self.rng.between(1, 3)).map(|n| NodeId::new(format!("n{n}"))).collect(),
                links: self.rng.chance(500).then_some(links),
            };
            if self.rng.chance(800) {
                intervals.push(interval);
            }
            first = cut + 1;
        }
        CoverageChange { filter: self.filter(), range, intervals }
    }

    fn candidate(&mut self) -> Candidate {
        let number = self.rng.below(BLOCKS);
        let (_, hash) = self.block(number);
        let (mut log, mut occurrence) = (Logs::default(), Vec::new());
        let id = self.event(&mut log, &mut occurrence, (0, hash));
        self.candidates.push(id);
        Candidate { id, log, number, nodes: vec![NodeId::new("a"), NodeId::new("b")] }
    }

    fn commit(&mut self) -> Commit {
        let mut commit = Commit::empty(CHAIN);
        commit.journal = (0..self.rng.below(4)).map(|_| self.journal()).collect();
        commit.events = (0..self.rng.below(3)).map(|_| self.batch()).collect();
        for _ in 0..self.rng.below(6) {
            let number = self.rng.below(BLOCKS);
            let (number, hash) = self.block(number);
            commit.blocks.push(BlockRow {
                number,
                hash,
                parent: self.rng.chance(600).then(|| self.rng.b256()),
                timestamp: self.rng.chance(600).then(|| self.rng.below(1_000)),
                canonical: self.rng.chance(600),
            });
        }
        commit.coverage = (0..self.rng.below(3)).map(|_| self.coverage()).collect();
        commit.candidates = (0..self.rng.below(3)).map(|_| self.candidate()).collect();
        if self.rng.chance(300) {
            commit.candidates_closed.extend(self.rng.pick(&self.candidates).copied());
        }
        if self.rng.chance(300) {
            commit.refuted.extend(self.rng.pick(&self.stored).copied());
        }
        commit.finalized = self.rng.chance(200).then(|| self.rng.below(BLOCKS));
        commit
    }
}

fn sorted(mut ids: Vec<EventId>) -> Vec<EventId> {
    ids.sort_unstable();
    ids
}

fn is_same(memory: &mut dyn Store, real: &mut dyn Store, maker: &mut Maker) {
    assert_eq!(memory.load(CHAIN).unwrap(), real.load(CHAIN).unwrap());
    let (after, limit) = (maker.rng.below(30), maker.rng.between(1, 20) as usize);
    let journal = |store: &mut dyn Store| store.journal(CHAIN, after, limit).unwrap();
    assert_eq!(journal(memory), journal(real));
    let range = maker.range();
    let known = |store: &mut dyn Store| sorted(store.known_events(CHAIN, range).unwrap());
    assert_eq!(known(memory), known(real));
    let filters = (0..maker.rng.below(3)).map(|_| maker.filter()).collect();
    let limit = maker.rng.between(1, 12) as usize;
    let query = EventQuery { chain: CHAIN, filters, range, limit };
    assert_eq!(memory.events(&query).unwrap(), real.events(&query).unwrap(), "{query:?}");
    let id = maker.filter().id();
    assert_eq!(memory.filter(id).unwrap(), real.filter(id).unwrap());
}

#[test]
fn the_same_random_commits_give_the_answers_of_the_real_ledger() {
    for seed in 1..=2 {
        let folder = tempfile::tempdir().unwrap();
        let mut real = DuckLedger::open(folder.path().join("l.duckdb"), OpenMode::Create).unwrap();
        let mut memory = MemoryStore::new();
        let rng = Rng::keyed(seed, &[0x1ed9e4]);
        let mut maker = Maker { rng, journal_seq: 0, logs: 0, stored: vec![], candidates: vec![] };
        for _ in 0..25 {
            let commits: Vec<Commit> =
                (0..maker.rng.between(1, 3)).map(|_| maker.commit()).collect();
            memory.apply(&commits).unwrap();
            real.apply(&commits).unwrap();
            is_same(&mut memory, &mut real, &mut maker);
        }
    }
}

/// Rows and state of a batch for one key, as a lane of the balances plugin writes them.
fn lane_commit(rng: &mut Rng, stored: &LaneState, lane: &LaneId) -> LaneCommit {
    let before = stored.cursor;
    let undo = stored.batches.iter().filter(|batch| batch.first() >= stored.undo_floor);
    let undo: Vec<BlockRange> = undo.copied().collect();
    let undo_from = rng.chance(300).then(|| rng.pick(&undo).map(|batch| batch.first())).flatten();
    let mut cursor = before.unwrap_or(Cursor { next_block: 1, ..Cursor::default() });
    cursor.next_block = undo_from.unwrap_or(cursor.next_block);
    let (mut batches, mut rows, mut state) = (Vec::new(), Vec::new(), Vec::new());
    for batch in 0..rng.below(3) as u32 {
        let blocks = BlockRange::of_width(cursor.next_block, rng.between(1, 3));
        batches.push(blocks);
        cursor.next_block = blocks.last() + 1;
        let (mut seq, mut holder, mut amounts) = (vec![], Packed::default(), vec![]);
        let mut tokens = Packed::default();
        for _ in 0..rng.between(1, 4) {
            cursor.next_seq += 1;
            seq.push(cursor.next_seq);
            tokens.push(token(0).as_slice());
            holder.push(Address::with_last_byte(rng.below(3) as u8).as_slice());
            amounts.push(rng.below(100) as i64);
        }
        let len = seq.len();
        let columns =
            vec![ColumnData::Blob(tokens), ColumnData::Blob(holder), ColumnData::I64(amounts)];
        let table = TableRows { table: sim::HELD, seq, columns, nulls: vec![vec![]; 3] };
        let (block_number, block_hash) = (vec![blocks.first(); len], vec![B256::ZERO; len]);
        rows.push(LaneRows { batch, rows: table, block_number, block_hash });
        let value = rng.chance(800).then(|| vec![rng.below(9) as u8]);
        state.push((batch, vec![(vec![rng.below(4) as u8], value)]));
    }
    cursor.next_batch += batches.len() as u64;
    let generation = stored.generation + u32::from(before.is_some() && rng.chance(100));
    LaneCommit {
        lane: lane.clone(),
        generation,
        before,
        after: cursor,
        start_block: 1,
        undo_from: undo_from.filter(|_| generation == stored.generation),
        batches,
        undo_floor: cursor.next_block.saturating_sub(6),
        rows,
        state,
        messages: vec![],
        dead_letters: vec![],
        halted: rng.chance(100).then(|| "told to".to_owned()),
        drop_older: rng.chance(500),
    }
}

#[test]
fn the_same_lane_commits_leave_the_lane_of_the_real_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let mut real = DuckLedger::open(folder.path().join("l.duckdb"), OpenMode::Create).unwrap();
    let mut memory = MemoryStore::new();
    let plugin = Balances::of(&[token(0)], Visibility::Latest);
    let lane = LaneId { plugin: sim::BALANCES.into(), chain: CHAIN };
    let mut rng = Rng::new(5);
    let (mut applied, mut refused) = (0, 0);
    for _ in 0..60 {
        let stored = memory.open_lane(&lane, plugin.descriptor()).unwrap();
        assert_eq!(stored, real.open_lane(&lane, plugin.descriptor()).unwrap());
        let mut commit = lane_commit(&mut rng, &stored, &lane);
        if rng.chance(100) {
            commit.before = Some(Cursor { next_block: 77, ..Cursor::default() });
        }
        let commit = [commit];
        let results = (memory.apply_lanes(&commit), real.apply_lanes(&commit));
        assert_eq!(results.0.is_ok(), results.1.is_ok(), "{results:?} {commit:?}");
        *if results.0.is_ok() { &mut applied } else { &mut refused } += 1;
    }
    assert!(applied > 20 && refused > 0, "{applied} {refused}");
}

#[test]
fn a_crash_leaves_the_last_whole_transaction() {
    let mut maker =
        Maker { rng: Rng::new(9), journal_seq: 0, logs: 0, stored: vec![], candidates: vec![] };
    let commits: Vec<Commit> = (0..3).map(|_| maker.commit()).collect();
    for (crash, survives) in [(Crash::Before, 1), (Crash::After, 2)] {
        let store = MemoryStore::new();
        let mut handle = store.clone();
        store.crash_at(2, crash);
        handle.apply(&commits[..1]).unwrap();
        handle.apply(&commits[1..2]).unwrap_err();
        assert!(store.is_down());
        handle.apply(&commits[2..]).unwrap_err();
        handle.load(CHAIN).unwrap_err();
        store.reopen();
        let mut expected = MemoryStore::new();
        for commit in &commits[..survives] {
            expected.apply(std::slice::from_ref(commit)).unwrap();
        }
        assert_eq!(handle.load(CHAIN).unwrap(), expected.load(CHAIN).unwrap());
        handle.apply(&commits[2..]).unwrap();
    }
}

#[test]
fn a_ledger_in_memory_takes_thousands_of_transactions_a_second() {
    let mut maker =
        Maker { rng: Rng::new(1), journal_seq: 0, logs: 0, stored: vec![], candidates: vec![] };
    let commits: Vec<Commit> = (0..3_000).map(|_| maker.commit()).collect();
    let mut store = MemoryStore::new();
    for commit in &commits {
        store.apply(std::slice::from_ref(commit)).unwrap();
    }
    assert_eq!(store.applied(), 3_000);
}
