//! A ledger in a file with its owner and two lanes, stepped one report at a time.

use crate::{
    balances::{Balances, balance},
    chain::{token, transfer},
    script::Step,
};
use aggregator::{Admission, Policy};
use alloy_primitives::{Address, B256};
use dispatcher::{Action, Lane, LanePolicy, subscription_filters};
use event::{
    AnchorPolicy, AnyOf, BlockRange, ChainId, ChainProfile, Content, DecodeStats, Decoder, EventId,
    EventQuery, EventSchema, Filter, JournalRow, LaneId, Ledger, LogRef, Logs, Plugin, Reader,
    TypedRows, Verify, content_digest,
};
use pipeline::{ChainSetup, LaneHandle, News, OutboxHandle, Owner, OwnerHandle};
use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::PathBuf,
    sync::{Arc, mpsc},
};
use store::{Column, DuckLedger, OpenMode, Value};

/// A row as text.
pub(crate) type Row = Vec<String>;

pub(crate) const CHAINS: [ChainId; 2] = [ChainId(1), ChainId(10)];

/// Decodes nothing.
pub(crate) struct Raw;

impl Decoder for Raw {
    fn schemas(&self) -> &[EventSchema] {
        &[]
    }

    fn decode(&self, _: ChainId, _: &Logs) -> (Vec<TypedRows>, DecodeStats) {
        (vec![], DecodeStats::default())
    }

    fn json(&self, _: ChainId, _: LogRef<'_>) -> Option<(&str, String)> {
        None
    }
}

struct Stepped {
    lane: Lane,
    plugin: Balances,
    news: mpsc::Receiver<News>,
}

/// The running ledger.
struct Running {
    owner: OwnerHandle,
    lane: LaneHandle,
    reader: Box<dyn Reader>,
    lanes: Vec<Stepped>,
}

pub(crate) struct Bench {
    folder: tempfile::TempDir,
    running: Option<Running>,
    reports: u64,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let running = Some(start(folder.path().join("l.duckdb")));
        Self { folder, running, reports: 0 }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("l.duckdb")
    }

    /// Hands over a report, starts a lane before it is written, and returns how far that lane is
    /// told to go and how many events it can read up to there.
    pub(crate) fn lane_among(&mut self, step: &Step) -> (Option<u64>, usize) {
        self.reports += 1;
        let running = self.running.as_mut().unwrap();
        let report = step.report(self.reports);
        let (chain, filter) = (report.chain, report.filter.clone());
        // Not waited for: the ack comes with the transaction.
        drop(OwnerHandle::submit(&running.owner, Box::new(report)));
        let lane = LaneId { plugin: "late".to_owned(), chain };
        let news = running.lane.watch(lane, vec![filter.clone()], 1, Content::Claimed);
        let through = news.recv().unwrap().ready.through;
        let range = BlockRange::new(1, through.unwrap_or(1)).unwrap();
        let query = EventQuery { chain, filters: vec![filter], range, limit: usize::MAX };
        (through, running.reader.events(&query).unwrap().logs.len())
    }

    /// Hands over what the steps' nodes say, and waits for nothing.
    pub(crate) fn hand_over(&mut self, steps: &[Step]) {
        for step in steps {
            self.reports += 1;
            let owner = &self.running.as_ref().unwrap().owner;
            drop(OwnerHandle::submit(owner, Box::new(step.report(self.reports))));
        }
    }

    /// Hands over what the step's node says, and returns what stays open.
    pub(crate) fn take(&mut self, step: &Step) -> Vec<(BlockRange, String)> {
        self.reports += 1;
        let report = step.report(self.reports);
        let owner = &self.running.as_ref().unwrap().owner;
        Ledger::submit(owner, report).unwrap().open
    }

    /// Leads both lanes as far as they go.
    pub(crate) fn run_lanes(&mut self) {
        let Running { lane: handle, reader, lanes, .. } = self.running.as_mut().unwrap();
        for stepped in lanes {
            step(stepped, handle, &mut **reader);
        }
    }

    /// Returns the way to what plugins enqueued.
    pub(crate) fn outbox(&self) -> OutboxHandle {
        self.running.as_ref().unwrap().owner.outbox()
    }

    /// Ends the process, as far as a test can, and starts another.
    pub(crate) fn restarted(mut self) -> Self {
        self.stop();
        self.running = Some(start(self.path()));
        self
    }

    fn stop(&mut self) {
        let Running { owner, lane, reader, lanes } = self.running.take().unwrap();
        owner.end_lanes();
        drop((lane, reader, lanes));
        owner.close().unwrap();
    }

    pub(crate) fn journal(&self, chain: ChainId) -> Vec<JournalRow> {
        self.reading(|reader| reader.journal(chain, 0, 10_000).unwrap())
    }

    /// Returns every canonical event as the ledger hands it on, in order.
    pub(crate) fn events(&self, chain: ChainId) -> Vec<(u64, u32, EventId)> {
        let range = BlockRange::new(0, 1_000).unwrap();
        let filters = vec![Arc::new(Filter::any())];
        let query = EventQuery { chain, filters, range, limit: usize::MAX };
        let page = self.reading(|reader| reader.events(&query).unwrap());
        let rows = page.logs.rows().zip(&page.occurrence);
        rows.map(|(log, occurrence)| {
            let block = &page.blocks[log.block as usize];
            let id = EventId {
                chain,
                block_hash: block.hash,
                tx_hash: *log.tx_hash,
                digest: content_digest(log),
                occurrence: *occurrence,
            };
            (block.number, log.tx_index, id)
        })
        .collect()
    }

    fn reading<T>(&self, read: impl FnOnce(&mut dyn Reader) -> T) -> T {
        let ledger = self.copy();
        let mut reader = ledger.ledger.reader().unwrap();
        read(&mut reader)
    }

    pub(crate) fn state(&self, chain: ChainId) -> BTreeMap<Address, i64> {
        let running = self.running.as_ref().unwrap();
        let id = LaneId { plugin: "guard".into(), chain };
        let state = running.lane.open(&id, &Balances::new().descriptor().into()).unwrap().state;
        let of =
            |(key, value): (&Vec<u8>, &Vec<u8>)| (Address::from_slice(key), balance(Some(value)));
        state.iter().map(of).collect()
    }

    pub(crate) fn balances(&self, chain: ChainId) -> BTreeMap<Address, i64> {
        let sql = "SELECT holder, balance FROM guard.balances WHERE _chain_id = ";
        let rows = self.values(&format!("{sql}{chain}"));
        let count = rows.len();
        let held: BTreeMap<_, _> =
            rows.into_iter().map(|row| (address(&row[0]), number(&row[1]))).collect();
        assert_eq!(held.len(), count, "one row per holder");
        held
    }

    pub(crate) fn moves(&self, chain: ChainId) -> Vec<(Address, Address, i64)> {
        let rows = self.values(&format!(
            "SELECT giver, taker, value FROM guard.moves WHERE _chain_id = {chain} ORDER BY _seq"
        ));
        let moved = |row: &Vec<Value>| (address(&row[0]), address(&row[1]), number(&row[2]));
        rows.iter().map(moved).collect()
    }

    pub(crate) fn coverage(&self, chain: ChainId) -> Vec<Row> {
        self.rows(&format!(
            "SELECT first_block, last_block, content, anchor, array_to_string(nodes, ',')
                FROM coverage WHERE chain = {chain} ORDER BY first_block"
        ))
    }

    /// Returns the rows of each part that the digest covers, but for delivery numbers and what
    /// only counts writes.
    pub(crate) fn digested(&self) -> BTreeMap<&'static str, Vec<String>> {
        let parts = [
            ("events", "SELECT * EXCLUDE (id, journal_seq) FROM events_canonical ORDER BY ALL"),
            (
                "blocks",
                "SELECT * FROM blocks b WHERE canonical AND EXISTS (FROM events e
                    WHERE e.chain = b.chain AND e.block_hash = b.hash) ORDER BY ALL",
            ),
            ("coverage", "SELECT * FROM coverage ORDER BY ALL"),
            (
                "sightings",
                "SELECT * REPLACE (lower(hex(hash)) AS hash) FROM sightings ORDER BY ALL",
            ),
            ("candidates", "SELECT * FROM candidates ORDER BY ALL"),
            ("refuted", "SELECT * FROM refuted ORDER BY ALL"),
            ("balances", "SELECT * EXCLUDE (_seq) FROM guard.balances ORDER BY ALL"),
            ("moves", "SELECT * EXCLUDE (_seq) FROM guard.moves ORDER BY ALL"),
        ];
        parts
            .into_iter()
            .map(|(name, sql)| {
                (name, self.rows(sql).into_iter().map(|row| row.join("|")).collect())
            })
            .collect()
    }

    fn rows(&self, sql: &str) -> Vec<Row> {
        let text = |value: &Value| match value {
            Value::Int(value) => value.to_string(),
            Value::Text(text) => text.clone(),
            other => format!("{other:?}"),
        };
        self.values(sql).iter().map(|row| row.iter().map(text).collect()).collect()
    }

    fn values(&self, sql: &str) -> Vec<Vec<Value>> {
        let mut rows = Vec::new();
        let each = &mut |_: &[Column], row| {
            rows.push(row);
            ControlFlow::Continue(())
        };
        self.copy().ledger.query(sql, each).unwrap();
        rows
    }

    pub(crate) fn digest(&self) -> B256 {
        self.copy().ledger.digest().unwrap()
    }

    /// Nothing is stored twice, nothing hangs in the air.
    pub(crate) fn is_sound(&self) {
        assert_eq!(self.copy().ledger.check().unwrap(), Vec::<String>::new());
    }

    /// Returns a copy of the files, to look at beside the owner: one process may use a file once.
    fn copy(&self) -> Copied {
        let folder = tempfile::tempdir().unwrap();
        for file in ["l.duckdb", "l.duckdb.wal"] {
            let from = self.folder.path().join(file);
            if from.exists() {
                std::fs::copy(from, folder.path().join(file)).unwrap();
            }
        }
        // As an owner first, which takes the log in.
        drop(DuckLedger::open(folder.path().join("l.duckdb"), OpenMode::Existing).unwrap());
        let ledger = DuckLedger::open(folder.path().join("l.duckdb"), OpenMode::ReadOnly).unwrap();
        Copied { ledger, _folder: folder }
    }
}

struct Copied {
    ledger: DuckLedger,
    _folder: tempfile::TempDir,
}

impl Drop for Bench {
    fn drop(&mut self) {
        if self.running.is_some() && !std::thread::panicking() {
            self.stop();
        }
    }
}

fn address(value: &Value) -> Address {
    let Value::Blob(bytes) = value else { panic!("{value:?} is no address") };
    Address::from_slice(bytes)
}

fn number(value: &Value) -> i64 {
    let Value::Int(number) = value else { panic!("{value:?} is no number") };
    i64::try_from(*number).unwrap()
}

fn start(path: PathBuf) -> Running {
    let ledger = DuckLedger::open(path, OpenMode::Create).unwrap();
    let reader = Box::new(ledger.reader().unwrap());
    let setup = |chain| ChainSetup { profile: ChainProfile::ethereum(chain), policy: policy() };
    let setups = CHAINS.map(setup);
    let owner =
        Owner::new(Box::new(ledger), Arc::new(proof::Proof), Arc::new(Raw), setups.into()).unwrap();
    let owner = owner.spawn().unwrap();
    let handle = owner.lane();
    let lanes = CHAINS.map(|chain| {
        let plugin = Balances::new();
        let descriptor = plugin.descriptor().clone();
        let filters = subscription_filters(&descriptor, chain).unwrap();
        assert_eq!(filters, [Filter::new(AnyOf::one(token()), AnyOf::one(transfer()))]);
        let id = LaneId { plugin: descriptor.name.clone(), chain };
        let stored = handle.open(&id, &(&descriptor).into()).unwrap();
        let lane = Lane::new(id.clone(), descriptor, stored, LanePolicy::default(), filters, 1);
        let (filters, from) = (lane.filters().to_vec(), lane.start_block());
        let news = handle.watch(id, filters, from, Content::Bloom);
        Stepped { lane, plugin, news }
    });
    let reader = handle.reader(reader);
    Running { owner, lane: handle, reader, lanes: lanes.into() }
}

/// What `pipeline::LaneRun` does on its thread, until there is nothing more to do.
fn step(stepped: &mut Stepped, handle: &LaneHandle, reader: &mut dyn Reader) {
    let Stepped { lane, plugin, news } = stepped;
    // The owner answers in order: after this answer its last word is there.
    handle.open(lane.id(), &plugin.descriptor().into()).unwrap();
    if let Some(news) = news.try_iter().last() {
        lane.on_ready(news.ready);
    }
    loop {
        match lane.next(0) {
            Action::ReadJournal { after, limit } => {
                let rows = reader.journal(lane.id().chain, after, limit).unwrap();
                lane.on_journal(&rows);
            }
            Action::ReadEvents(query) => lane.on_events(reader.events(&query).unwrap()),
            Action::Handle(batch) => {
                let handled = plugin.handle(&batch, lane.state());
                lane.on_handled(handled, 0);
            }
            Action::Commit(commit) => {
                handle.commit(*commit).unwrap();
                lane.on_committed();
            }
            Action::Reload => {
                let stored = handle.open(lane.id(), &plugin.descriptor().into()).unwrap();
                lane.on_reloaded(stored);
            }
            Action::Idle => return,
            Action::Wait { .. } | Action::Halted(_) => panic!("this plugin never fails"),
        }
    }
}

/// What is demanded of reports.
pub(crate) fn policy() -> Policy {
    Policy { verify: Verify::Bloom, anchor: AnchorPolicy::OneNode, admission: Admission::OneNode }
}
