//! A lane over a naive ledger: whatever happens on the way, plugin rows and state end as a fresh
//! run over the final events gives them.

#![allow(clippy::unwrap_used, reason = "tests")]

use alloy_primitives::{Address, B256};
use event::{
    Batch, BatchBlock, BlockRange, ChainId, ColumnData, ColumnKind, Cursor, Descriptor, Effects,
    EventPage, EventQuery, Filter, JournalRow, LaneCommit, LaneId, LaneState, LogRef, Op, Packed,
    PluginColumn, PluginFault, PluginState, PluginTable, TableRows, Visibility,
};
use headcount_dispatcher::{Action, Lane, LanePolicy, Poison, Ready};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

const CHAIN: ChainId = ChainId(1);
const START: u64 = 10;

/// Block number to (branch, values of its events).
type Chain = BTreeMap<u64, (u8, Vec<u8>)>;
type Balances = BTreeMap<u8, u64>;

#[derive(Clone, Debug)]
struct Version {
    generation: u32,
    batch: BlockRange,
    key: u8,
    total: u64,
    block: u64,
    is_append: bool,
}

/// The ledger, as simply as it can be said: versions of rows and state, deleted to undo.
#[derive(Clone, Default)]
struct Store {
    chain: Chain,
    through: Option<u64>,
    finalized: u64,
    safe: u64,
    journal: Vec<JournalRow>,
    cursor: Option<Cursor>,
    generation: u32,
    start_block: u64,
    undo_floor: u64,
    batches: Vec<BlockRange>,
    rows: Vec<Version>,
    state: Vec<(BlockRange, Vec<u8>, Option<Vec<u8>>)>,
    dead: Vec<(u64, u64, String)>,
    halted: Option<String>,
    commits: usize,
}

impl Store {
    fn note(&mut self, op: Op, range: BlockRange, events: u64) {
        let seq = self.journal.len() as u64 + 1;
        let (filter, block_hash) = (None, None);
        self.journal.push(JournalRow { seq, chain: CHAIN, op, filter, range, block_hash, events });
    }

    fn ready(&self) -> Ready {
        Ready {
            through: self.through,
            finalized: self.finalized,
            safe: self.safe,
            journal_seq: self.journal.len() as u64,
        }
    }

    fn lane_state(&self) -> LaneState {
        let mut state = PluginState::default();
        for (_, key, value) in &self.state {
            state.write(key, value.clone());
        }
        LaneState {
            cursor: self.cursor,
            generation: self.generation,
            start_block: self.start_block,
            undo_floor: self.undo_floor,
            batches: self.batches.clone(),
            state,
            halted: self.halted.clone(),
            retry_from: None,
            held: None,
            failing: None,
        }
    }

    fn events(&self, query: &EventQuery) -> EventPage {
        let mut page = EventPage { through: query.range.last(), ..EventPage::default() };
        for (number, (branch, values)) in self.chain.range(query.range.first()..=query.range.last())
        {
            if values.is_empty() {
                continue;
            }
            if page.logs.len() >= query.limit {
                page.through = number - 1;
                break;
            }
            let mut hash = B256::with_last_byte(*branch);
            hash[..8].copy_from_slice(&number.to_be_bytes());
            let block = page.blocks.len() as u32;
            page.blocks.push(BatchBlock { number: *number, hash, parent: None, timestamp: None });
            for (index, value) in values.iter().enumerate() {
                page.logs.push(LogRef {
                    block,
                    tx_hash: &B256::ZERO,
                    tx_index: 0,
                    log_index: index as u32,
                    address: &Address::ZERO,
                    topics: &[B256::ZERO],
                    data: &[*value],
                });
                page.occurrence.push(0);
            }
        }
        page
    }

    fn apply(&mut self, commit: &LaneCommit) {
        assert_eq!(commit.before, self.cursor, "the fence");
        if commit.generation != self.generation.max(1) {
            assert_eq!(commit.generation, self.generation.max(1) + 1);
            self.state.clear();
            self.batches.clear();
        }
        if let Some(cursor) = self.cursor {
            assert!(commit.after.next_seq >= cursor.next_seq, "numbers are never given again");
            assert!(commit.after.next_batch >= cursor.next_batch);
        }
        if let Some(from) = commit.undo_from {
            assert!(from >= self.undo_floor, "undone below the floor");
            assert!(self.batches.iter().any(|b| b.first() == from), "an undo splits a batch");
            let generation = commit.generation;
            self.rows.retain(|row| row.generation != generation || row.batch.first() < from);
            self.state.retain(|(batch, ..)| batch.first() < from);
            self.batches.retain(|batch| batch.first() < from);
            self.dead.retain(|(_, block, _)| *block < from);
        }
        for rows in &commit.rows {
            let ColumnData::U64(keys) = &rows.rows.columns[0] else { panic!() };
            let ColumnData::U64(totals) = &rows.rows.columns[1] else { panic!() };
            for (i, key) in keys.iter().enumerate() {
                self.rows.push(Version {
                    generation: commit.generation,
                    batch: commit.batches[rows.batch as usize],
                    key: *key as u8,
                    total: totals[i],
                    block: rows.block_number[i],
                    is_append: rows.rows.table == 1,
                });
            }
        }
        for (batch, writes) in &commit.state {
            for (key, value) in writes {
                self.state.push((commit.batches[*batch as usize], key.clone(), value.clone()));
            }
        }
        for letter in &commit.dead_letters {
            self.dead.push((letter.seq, letter.block, letter.class.clone()));
        }
        if commit.drop_older {
            self.rows.retain(|row| row.generation == commit.generation);
        }
        self.batches.extend(&commit.batches);
        self.batches.retain(|batch| batch.first() >= commit.undo_floor);
        assert!(self.batches.is_sorted_by_key(BlockRange::first));
        self.cursor = Some(commit.after);
        self.generation = commit.generation;
        self.start_block = commit.start_block;
        self.undo_floor = commit.undo_floor;
        self.halted.clone_from(&commit.halted);
        self.commits += 1;
    }

    fn balances(&self) -> Balances {
        let own = self.rows.iter().filter(|r| r.generation == self.generation && !r.is_append);
        own.map(|row| (row.key, row.total)).collect()
    }

    fn appended(&self) -> Vec<(u64, u8)> {
        let own = self.rows.iter().filter(|r| r.generation == self.generation && r.is_append);
        own.map(|row| (row.block, row.key)).collect()
    }
}

fn descriptor(visibility: Visibility) -> Descriptor {
    let column = |name: &str| PluginColumn {
        name: name.to_owned(),
        kind: ColumnKind::Uint64,
        nullable: false,
    };
    let columns = vec![column("key"), column("total")];
    Descriptor {
        name: "totals".to_owned(),
        version: "1".to_owned(),
        logic_version: 1,
        visibility,
        subscriptions: vec![],
        tables: vec![
            PluginTable {
                name: "totals".to_owned(),
                columns: columns.clone(),
                key: vec!["key".to_owned()],
            },
            PluginTable { name: "seen".to_owned(), columns, key: vec![] },
        ],
    }
}

/// Adds each event's value to a total per value modulo 4, in state and in a keyed table.
fn totals(batch: &Batch, state: &PluginState) -> Effects {
    let mut effects = Effects::default();
    let mut totals: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    let (mut keys, mut sums) = (Vec::new(), Vec::new());
    for row in 0..batch.logs.len() {
        let value = batch.logs.data_of(row)[0];
        let key = vec![value % 4];
        let stored =
            || state.get(&key).map_or(0, |v| u64::from_be_bytes(v[..].try_into().unwrap()));
        let total = totals.get(&key).copied().unwrap_or_else(stored) + u64::from(value);
        keys.push(u64::from(key[0]));
        sums.push(total);
        totals.insert(key.clone(), total);
        effects.state.push((key, Some(total.to_be_bytes().to_vec())));
    }
    for table in [0, 1] {
        effects.rows.push(TableRows {
            table,
            seq: batch.seq.clone(),
            columns: vec![ColumnData::U64(keys.clone()), ColumnData::U64(sums.clone())],
            nulls: vec![vec![], vec![]],
        });
    }
    effects
}

fn expected(chain: &Chain, through: Option<u64>) -> (Balances, Vec<(u64, u8)>) {
    let (mut balances, mut seen) = (Balances::new(), Vec::new());
    let Some(through) = through.filter(|through| *through >= START) else {
        return (balances, seen);
    };
    for (number, (_, values)) in chain.range(START..=through) {
        for value in values {
            *balances.entry(value % 4).or_default() += u64::from(*value);
            seen.push((*number, value % 4));
        }
    }
    (balances, seen)
}

struct Driver {
    lane: Lane,
    store: Store,
    now_ms: u64,
    policy: LanePolicy,
    visibility: Visibility,
    handled: Vec<usize>,
}

impl Driver {
    fn new(store: Store, policy: LanePolicy, visibility: Visibility) -> Self {
        let lane = open(&store, &policy, visibility, START);
        Self { lane, store, now_ms: 0, policy, visibility, handled: vec![] }
    }

    /// Starts anew from the ledger, as after a kill.
    fn restart(&mut self) {
        self.lane = open(&self.store, &self.policy, self.visibility, START);
    }

    /// Does one thing; false when there is nothing to do.
    fn step(
        &mut self,
        plugin: &mut dyn FnMut(&Batch, &PluginState) -> Result<Effects, PluginFault>,
        commit_fails: bool,
    ) -> bool {
        match self.lane.next(self.now_ms) {
            Action::ReadJournal { after, limit } => {
                let rows: Vec<JournalRow> = self
                    .store
                    .journal
                    .iter()
                    .filter(|r| r.seq > after)
                    .take(limit)
                    .cloned()
                    .collect();
                self.lane.on_journal(&rows);
            }
            Action::ReadEvents(query) => self.lane.on_events(self.store.events(&query)),
            Action::Handle(batch) => {
                assert!(batch.seq.windows(2).all(|pair| pair[1] == pair[0] + 1));
                self.handled.push(batch.logs.len());
                let state = Arc::clone(self.lane.state());
                let result = plugin(&batch, &state);
                drop(state);
                self.lane.on_handled(result, self.now_ms);
            }
            Action::Commit(_) if commit_fails => self.lane.on_commit_failed(),
            Action::Commit(commit) => {
                self.store.apply(&commit);
                self.lane.on_committed();
            }
            Action::Reload => self.lane.on_reloaded(self.store.lane_state()),
            Action::Wait { until_ms } => self.now_ms = until_ms,
            Action::Idle | Action::Halted(_) => return false,
        }
        true
    }

    fn run(
        &mut self,
        plugin: &mut dyn FnMut(&Batch, &PluginState) -> Result<Effects, PluginFault>,
    ) {
        self.lane.on_ready(self.store.ready());
        for _ in 0..100_000 {
            if !self.step(plugin, false) {
                return;
            }
        }
        panic!("the lane never comes to rest");
    }
}

fn open(store: &Store, policy: &LanePolicy, visibility: Visibility, start: u64) -> Lane {
    let id = LaneId { plugin: "totals".to_owned(), chain: CHAIN };
    let filters = vec![Filter::any()];
    Lane::new(id, descriptor(visibility), store.lane_state(), policy.clone(), filters, start)
}

fn good(batch: &Batch, state: &PluginState) -> Result<Effects, PluginFault> {
    Ok(totals(batch, state))
}

/// A ledger with one event per value, in blocks from [`START`].
fn ledger(blocks: &[&[u8]], finalized: u64) -> Store {
    let mut store = Store { finalized, ..Store::default() };
    for (number, values) in (START..).zip(blocks) {
        store.chain.insert(number, (0, values.to_vec()));
        store.note(Op::Extend, BlockRange::one(number), values.len() as u64);
    }
    store.through = Some(START + blocks.len() as u64 - 1);
    store
}

fn small() -> LanePolicy {
    LanePolicy { batch_events: 3, page_events: 7, group_events: 8, ..LanePolicy::default() }
}

#[test]
fn many_final_batches_share_one_commit_with_one_row_per_key() {
    let blocks: Vec<&[u8]> = vec![&[4, 8]; 40];
    let mut driver = Driver::new(ledger(&blocks, 1_000), LanePolicy::default(), Visibility::Latest);
    driver.run(&mut good);
    assert_eq!(driver.store.commits, 1);
    assert_eq!(driver.store.rows.iter().filter(|row| !row.is_append).count(), 1);
    assert_eq!(driver.store.appended().len(), 80);
    assert_eq!(driver.store.balances(), BTreeMap::from([(0, 480)]));
}

#[test]
fn above_finality_every_block_is_a_batch_of_its_own() {
    let mut driver = Driver::new(
        ledger(&[&[1], &[2], &[], &[3]], 10),
        LanePolicy::default(),
        Visibility::Latest,
    );
    driver.run(&mut good);
    assert_eq!(driver.handled, [1, 1, 1]);
    assert_eq!(driver.store.batches, [BlockRange::one(11), BlockRange::one(13)]);
    assert_eq!(driver.store.undo_floor, 11);
}

#[test]
fn a_plugin_for_final_blocks_sees_nothing_above_them() {
    let mut driver =
        Driver::new(ledger(&[&[1], &[2], &[3]], 11), LanePolicy::default(), Visibility::Finalized);
    driver.run(&mut good);
    assert_eq!(driver.store.cursor.unwrap().next_block, 12);
}

#[test]
fn a_plugin_for_safe_blocks_sees_them_and_final_ones() {
    let see = |safe, finalized| {
        let store = Store { safe, ..ledger(&[&[1], &[2], &[3], &[4]], finalized) };
        let mut driver = Driver::new(store, LanePolicy::default(), Visibility::Safe);
        driver.run(&mut good);
        driver.store.cursor.map(|cursor| cursor.next_block)
    };
    assert_eq!(see(0, 0), None);
    assert_eq!(see(START + 1, 0), Some(START + 2));
    assert_eq!(see(START + 1, START + 2), Some(START + 3));
    assert_eq!(see(1_000, 0), Some(START + 4), "what is not covered is not seen");
}

#[test]
fn a_plugin_for_deep_blocks_sees_those_with_enough_above_them_and_final_ones() {
    let see = |depth, finalized| {
        let store = ledger(&[&[1], &[2], &[3], &[4]], finalized);
        let mut driver = Driver::new(store, LanePolicy::default(), Visibility::Depth(depth));
        driver.run(&mut good);
        driver.store.cursor.map(|cursor| cursor.next_block)
    };
    assert_eq!(see(0, 0), Some(START + 4));
    assert_eq!(see(2, 0), Some(START + 2));
    assert_eq!(see(2, START + 2), Some(START + 3));
    assert_eq!(see(1_000, 0), None);
}

#[test]
fn nothing_is_delivered_across_a_gap() {
    let mut store = ledger(&[&[1], &[2], &[3]], 0);
    store.through = Some(10);
    let mut driver = Driver::new(store, LanePolicy::default(), Visibility::Latest);
    driver.run(&mut good);
    assert_eq!(driver.handled, [1]);
    driver.store.through = None;
    driver.run(&mut good);
    assert_eq!(driver.store.cursor.unwrap().next_block, 11);
}

#[test]
fn a_late_event_above_the_floor_rewinds_and_redelivers_in_order() {
    let mut driver = Driver::new(ledger(&[&[1], &[2], &[3]], 9), small(), Visibility::Latest);
    driver.run(&mut good);
    driver.store.chain.get_mut(&11).unwrap().1.push(9);
    driver.store.note(Op::Late, BlockRange::one(11), 1);
    driver.run(&mut good);
    assert_eq!(driver.store.generation, 1);
    assert_eq!(driver.store.appended(), [(10, 1), (11, 2), (11, 1), (12, 3)]);
    assert_eq!(driver.store.cursor.unwrap().next_seq, 7, "3 and 3 again, with new numbers");
}

#[test]
fn a_late_event_below_the_floor_rebuilds_into_a_new_generation() {
    let mut driver = Driver::new(ledger(&[&[1], &[2], &[3]], 12), small(), Visibility::Latest);
    driver.run(&mut good);
    driver.store.chain.get_mut(&11).unwrap().1.push(9);
    driver.store.note(Op::Late, BlockRange::one(11), 1);
    driver.run(&mut good);
    assert_eq!(driver.store.generation, 2);
    assert_eq!(driver.store.balances(), BTreeMap::from([(1, 10), (2, 2), (3, 3)]));
    assert!(driver.store.rows.iter().all(|row| row.generation == 2), "the older one is dropped");
}

#[test]
fn covering_more_empty_blocks_behind_the_lane_rewinds_nothing() {
    let mut driver = Driver::new(ledger(&[&[1], &[2]], 12), small(), Visibility::Latest);
    driver.run(&mut good);
    driver.store.note(Op::Extend, BlockRange::one(10), 0);
    driver.run(&mut good);
    assert_eq!((driver.store.generation, driver.handled.len()), (1, 1));
}

#[test]
fn rows_about_a_filter_that_cannot_match_rewind_nothing() {
    let mut driver = Driver::new(ledger(&[&[1], &[2]], 12), small(), Visibility::Latest);
    let other = Filter::new(event::AnyOf::one(Address::with_last_byte(7)), event::AnyOf::Any);
    let own = Filter::new(event::AnyOf::one(Address::ZERO), event::AnyOf::Any);
    let id = LaneId { plugin: "totals".to_owned(), chain: CHAIN };
    let stored = driver.store.lane_state();
    driver.lane = Lane::new(id, descriptor(Visibility::Latest), stored, small(), vec![own], START);
    driver.lane.learn_filter(&other);
    driver.run(&mut good);
    driver.store.note(Op::Extend, BlockRange::one(10), 5);
    driver.store.journal.last_mut().unwrap().filter = Some(other.id());
    driver.run(&mut good);
    assert_eq!(driver.store.generation, 1);
}

#[test]
fn an_earlier_start_rebuilds_from_there() {
    let mut driver = Driver::new(ledger(&[&[1], &[2]], 12), small(), Visibility::Latest);
    driver.run(&mut good);
    driver.store.chain.insert(8, (0, vec![5]));
    driver.lane = open(&driver.store, &small(), Visibility::Latest, 8);
    driver.run(&mut good);
    assert_eq!((driver.store.generation, driver.store.start_block), (2, 8));
    assert_eq!(driver.store.appended(), [(8, 1), (10, 1), (11, 2)]);
}

#[test]
fn one_bad_event_is_found_by_halving_and_the_rest_goes_on() {
    let blocks: Vec<&[u8]> = vec![&[1, 2, 3, 4], &[5, 99, 7], &[8]];
    let mut driver = Driver::new(ledger(&blocks, 12), LanePolicy::default(), Visibility::Latest);
    let mut fussy = |batch: &Batch, state: &PluginState| {
        if batch.logs.data.contains(&99) {
            return Err(PluginFault::Trap("99".to_owned()));
        }
        good(batch, state)
    };
    driver.run(&mut fussy);
    assert_eq!(driver.store.dead, [(6, 11, "trap".to_owned())]);
    assert_eq!(driver.store.appended().len(), 7);
    assert_eq!(driver.store.cursor.unwrap().next_seq, 9);
    assert_eq!(driver.store.balances(), BTreeMap::from([(0, 12), (1, 6), (2, 2), (3, 10)]));
}

#[test]
fn where_the_operator_says_so_a_bad_event_halts_the_plugin() {
    let policy = LanePolicy { poison: Poison::Halt, ..LanePolicy::default() };
    let mut driver = Driver::new(ledger(&[&[1], &[99]], 9), policy, Visibility::Latest);
    let mut fussy = |batch: &Batch, state: &PluginState| {
        if batch.logs.data.contains(&99) {
            return Err(PluginFault::Reject("no".to_owned()));
        }
        good(batch, state)
    };
    driver.run(&mut fussy);
    let why = "event 2 of block 11: rejected the batch: no";
    assert_eq!(driver.store.halted.as_deref(), Some(why));
    assert_eq!(driver.lane.halted(), Some(why));
    assert!(driver.store.dead.is_empty());
}

#[test]
fn a_plugin_that_fails_on_everything_halts_before_it_floods_the_ledger() {
    let blocks: Vec<&[u8]> = vec![&[1, 1, 1]; 50];
    let mut driver = Driver::new(ledger(&blocks, 100), small(), Visibility::Latest);
    driver.run(&mut |_: &Batch, _: &PluginState| Err(PluginFault::Trap("always".to_owned())));
    assert!(driver.store.halted.as_deref().unwrap().contains("always"));
    assert_eq!(driver.store.cursor.unwrap().next_block, START);
}

#[test]
fn a_missed_deadline_is_tried_again_with_half_and_three_times_with_one() {
    let mut driver =
        Driver::new(ledger(&[&[1, 99]], 100), LanePolicy::default(), Visibility::Latest);
    let mut slow = |batch: &Batch, state: &PluginState| {
        if batch.logs.data.contains(&99) {
            return Err(PluginFault::Deadline { limit_ms: 5, said: String::new() });
        }
        good(batch, state)
    };
    driver.run(&mut slow);
    assert_eq!(driver.handled, [2, 1, 1, 1, 1]);
    assert_eq!(driver.store.dead, [(2, 10, "deadline".to_owned())]);
}

#[test]
fn a_retry_waits_longer_each_time_and_what_is_done_is_written_meanwhile() {
    let mut driver = Driver::new(ledger(&[&[1], &[2]], 9), small(), Visibility::Latest);
    let mut failures = 0;
    let mut shy = |batch: &Batch, state: &PluginState| {
        if batch.logs.data == [2] && failures < 12 {
            failures += 1;
            assert_eq!(batch.attempt, failures);
            return Err(PluginFault::Retry { after_ms: 0, reason: String::new() });
        }
        good(batch, state)
    };
    driver.lane.on_ready(driver.store.ready());
    while driver.now_ms == 0 {
        assert!(driver.step(&mut shy, false));
    }
    assert_eq!(driver.store.cursor.unwrap().next_block, 11);
    driver.run(&mut shy);
    // 1 + 2 + 4 .. 256 s, then 300 s at most.
    assert_eq!(driver.now_ms, 511_000 + 3 * 300_000);
    assert_eq!(driver.store.appended(), [(10, 1), (11, 2)]);
}

#[test]
fn a_row_for_an_event_outside_the_batch_is_a_fault_of_the_plugin() {
    let mut driver = Driver::new(ledger(&[&[1]], 9), small(), Visibility::Latest);
    driver.run(&mut |batch: &Batch, state: &PluginState| {
        let mut effects = totals(batch, state);
        effects.rows[0].seq[0] = 77;
        Ok(effects)
    });
    assert_eq!(driver.store.dead, [(1, 10, "reject".to_owned())]);
    assert!(driver.store.rows.is_empty());
}

#[test]
fn after_a_failed_commit_the_same_batch_comes_again_with_its_number() {
    let mut driver = Driver::new(ledger(&[&[1], &[2]], 9), small(), Visibility::Latest);
    let mut ids = Vec::new();
    let mut noting = |batch: &Batch, state: &PluginState| {
        ids.push((batch.id, batch.seq.clone()));
        good(batch, state)
    };
    driver.lane.on_ready(driver.store.ready());
    let mut fails = true;
    for _ in 0..20 {
        let is_commit = driver.handled.len() == 2 && fails;
        driver.step(&mut noting, is_commit);
        fails &= driver.handled.len() < 3;
    }
    assert_eq!(ids, [(1, vec![1]), (2, vec![2]), (1, vec![1]), (2, vec![2])]);
    assert_eq!(driver.store.balances(), BTreeMap::from([(1, 1), (2, 2)]));
}

#[test]
fn f87_a_newer_version_of_a_plugin_goes_on_where_the_older_one_stopped() {
    let mut driver = Driver::new(ledger(&[&[1], &[2]], 9), small(), Visibility::Latest);
    driver.run(&mut good);
    extend(&mut driver.store, 0, vec![vec![3]]);
    let id = LaneId { plugin: "totals".to_owned(), chain: CHAIN };
    let newer =
        Descriptor { version: "2".to_owned(), logic_version: 2, ..descriptor(Visibility::Latest) };
    let (state, filters) = (driver.store.lane_state(), vec![Filter::any()]);
    driver.lane = Lane::new(id, newer, state, small(), filters, START);
    driver.handled.clear();
    driver.run(&mut good);
    assert_eq!(driver.handled, [1], "only what the older one had not handled");
    assert_eq!(driver.store.appended(), [(10, 1), (11, 2), (12, 3)]);
    assert_eq!(driver.store.cursor.unwrap().next_seq, 4);
}

#[test]
fn f88_a_block_that_left_before_the_plugin_saw_it_is_never_told_of() {
    let mut driver = Driver::new(ledger(&[&[1], &[2]], 0), small(), Visibility::Latest);
    // The plugin asks to be called later, and meanwhile block 11 is replaced by another.
    let mut later =
        |_: &Batch, _: &PluginState| Err(PluginFault::Retry { after_ms: 7, reason: String::new() });
    driver.lane.on_ready(driver.store.ready());
    for _ in 0..8 {
        driver.step(&mut later, false);
    }
    driver.store.chain.remove(&11).unwrap();
    driver.store.note(Op::Revert, BlockRange::one(11), 1);
    driver.store.through = Some(10);
    extend(&mut driver.store, 1, vec![vec![3]]);
    let mut seen = Vec::new();
    driver.run(&mut |batch: &Batch, state: &PluginState| {
        seen.extend(batch.logs.data.clone());
        good(batch, state)
    });
    assert_eq!(seen, [1, 3], "the block that left is not among it");
    assert_eq!(driver.store.appended(), [(10, 1), (11, 3)]);
}

#[test]
fn f88_a_block_that_left_before_what_the_plugin_made_of_it_was_written_is_never_told_of() {
    let mut driver = Driver::new(ledger(&[&[1], &[2]], 0), small(), Visibility::Latest);
    let mut seen = Vec::new();
    let mut noting = |batch: &Batch, state: &PluginState| {
        seen.extend(batch.logs.data.clone());
        good(batch, state)
    };
    driver.lane.on_ready(driver.store.ready());
    // Both blocks are handled, the ledger takes neither, and then the second one leaves.
    while driver.handled.len() < 3 {
        let is_handled = driver.handled.len() == 2;
        assert!(driver.step(&mut noting, is_handled));
    }
    driver.store.chain.remove(&11).unwrap();
    driver.store.note(Op::Revert, BlockRange::one(11), 1);
    driver.store.through = Some(10);
    extend(&mut driver.store, 1, vec![vec![3]]);
    driver.run(&mut noting);
    assert_eq!(seen, [1, 2, 1, 3], "what was never written is not taken back, but begun anew");
    assert_eq!(driver.store.appended(), [(10, 1), (11, 3)]);
    assert_eq!(driver.store.balances(), BTreeMap::from([(1, 1), (3, 3)]));
}

#[derive(Clone, Debug)]
enum Move {
    Extend(Vec<Vec<u8>>),
    Finalize(u64),
    Late(u64, u8),
    Refute(u64),
    Reorg(u64, Vec<Vec<u8>>),
    Steps(u8),
    FailedCommit,
    Fault(u8),
    Restart,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let values = || prop::collection::vec(any::<u8>(), 0..5);
    let blocks = move || prop::collection::vec(values(), 1..6);
    let one = prop_oneof![
        4 => blocks().prop_map(Move::Extend),
        2 => (0..6_u64).prop_map(Move::Finalize),
        2 => (0..8_u64, any::<u8>()).prop_map(|(back, value)| Move::Late(back, value)),
        1 => (0..8_u64).prop_map(Move::Refute),
        2 => (1..5_u64, blocks()).prop_map(|(depth, new)| Move::Reorg(depth, new)),
        6 => (1..12_u8).prop_map(Move::Steps),
        1 => Just(Move::FailedCommit),
        1 => (0..3_u8).prop_map(Move::Fault),
        1 => Just(Move::Restart),
    ];
    prop::collection::vec(one, 1..40)
}

fn extend(store: &mut Store, branch: u8, blocks: Vec<Vec<u8>>) {
    for values in blocks {
        let number = store.through.map_or(START, |through| through + 1);
        store.note(Op::Extend, BlockRange::one(number), values.len() as u64);
        store.chain.insert(number, (branch, values));
        store.through = Some(number);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_rows_and_state_end_as_in_a_fresh_run(
        moves in moves(),
        sees in 0..4_u64,
        group_events in 1..20_usize,
    ) {
        let visibility =
            [Visibility::Latest, Visibility::Finalized, Visibility::Depth(2), Visibility::Safe]
                [sees as usize];
        let policy = LanePolicy { group_events, journal_rows: 4, ..small() };
        let mut driver = Driver::new(Store::default(), policy, visibility);
        let mut branch = 0;
        for next in moves {
            let through = driver.store.through.unwrap_or(START);
            match next {
                Move::Extend(blocks) => extend(&mut driver.store, branch, blocks),
                Move::Finalize(more) => {
                    driver.store.finalized = (driver.store.finalized.max(START) + more).min(through);
                    driver.store.safe = driver.store.finalized + 2;
                }
                Move::Late(back, value) => {
                    let number = through.saturating_sub(back);
                    if let Some((_, values)) = driver.store.chain.get_mut(&number) {
                        values.push(value);
                        driver.store.note(Op::Late, BlockRange::one(number), 1);
                    }
                }
                Move::Refute(back) => {
                    let number = through.saturating_sub(back);
                    let block = driver.store.chain.get_mut(&number);
                    if block.is_some_and(|(_, values)| values.pop().is_some()) {
                        driver.store.note(Op::Refute, BlockRange::one(number), 1);
                    }
                }
                Move::Reorg(depth, blocks) => {
                    branch += 1;
                    for _ in 0..depth {
                        let Some(tip) = driver.store.through else { break };
                        if tip <= driver.store.finalized.max(START) { break }
                        let (_, values) = driver.store.chain.remove(&tip).unwrap();
                        driver.store.note(Op::Revert, BlockRange::one(tip), values.len() as u64);
                        driver.store.through = Some(tip - 1);
                    }
                    extend(&mut driver.store, branch, blocks);
                }
                Move::Steps(steps) => {
                    driver.lane.on_ready(driver.store.ready());
                    for _ in 0..steps {
                        driver.step(&mut good, false);
                    }
                }
                Move::FailedCommit => { driver.step(&mut good, true); }
                Move::Fault(kind) => {
                    let mut fails = |batch: &Batch, state: &PluginState| match kind {
                        0 => Err(PluginFault::Retry { after_ms: 7, reason: String::new() }),
                        1 => Err(PluginFault::Deadline { limit_ms: 1, said: String::new() }),
                        _ if batch.logs.len() > 1 => Err(PluginFault::Trap(String::new())),
                        _ => good(batch, state),
                    };
                    driver.step(&mut fails, false);
                }
                Move::Restart => driver.restart(),
            }
        }
        driver.run(&mut good);
        let seen = match visibility {
            Visibility::Latest => driver.store.through,
            // A shorter branch takes nothing back from a plugin that is not on the one that left.
            Visibility::Depth(_) | Visibility::Safe => driver.lane.cursor().next_block.checked_sub(1),
            _ => driver.store.through.map(|t| t.min(driver.store.finalized)),
        };
        let (balances, appended) = expected(&driver.store.chain, seen);
        prop_assert_eq!(driver.store.appended(), appended);
        // Totals that a refutation brought to zero stay as rows in neither.
        prop_assert_eq!(driver.store.balances(), balances.clone());
        let state: Balances = driver.lane.state().iter()
            .map(|(k, v)| (k[0], u64::from_be_bytes(v[..].try_into().unwrap())))
            .collect();
        prop_assert_eq!(state, balances);
        prop_assert!(driver.store.dead.is_empty());
    }
}

#[test]
fn text_keys_collapse_by_value() {
    // A lane with a text key: the last row of each key is written.
    let mut packed = Packed::default();
    for value in ["a", "b", "a"] {
        packed.push(value.as_bytes());
    }
    let mut declared = descriptor(Visibility::Latest);
    declared.tables.truncate(1);
    declared.tables[0].columns[0].kind = ColumnKind::Text;
    let id = LaneId { plugin: "totals".to_owned(), chain: CHAIN };
    let filters = vec![Filter::any()];
    let mut lane =
        Lane::new(id, declared, LaneState::default(), LanePolicy::default(), filters, START);
    let store = ledger(&[&[1, 2, 3]], 100);
    lane.on_ready(store.ready());
    let Action::ReadEvents(query) = lane.next(0) else { panic!() };
    lane.on_events(store.events(&query));
    let Action::Handle(batch) = lane.next(0) else { panic!() };
    let rows = TableRows {
        table: 0,
        seq: batch.seq,
        columns: vec![ColumnData::Text(packed), ColumnData::U64(vec![1, 2, 3])],
        nulls: vec![vec![], vec![0, 2]],
    };
    lane.on_handled(Ok(Effects { rows: vec![rows], ..Effects::default() }), 0);
    let Action::Commit(commit) = lane.next(0) else { panic!() };
    assert_eq!(commit.rows[0].rows.columns[1], ColumnData::U64(vec![2, 3]));
    assert_eq!(commit.rows[0].rows.nulls, [vec![], vec![1]]);
    assert_eq!(commit.rows[0].block_number, [10, 10]);
}
