//! Events and what lanes make of them, in one transaction: who waits for whom, and what stays apart.

use crate::{
    balances::Balances,
    chain::Chain,
    ledger::{Raw, policy},
    script::Step,
};
use dispatcher::{Action, Lane, LanePolicy, subscription_filters};
use event::{
    BlockRange, ChainId, ChainProfile, ChainState, Commit, Content, Cursor, Descriptor, EventId,
    EventPage, EventQuery, EventSchema, Filter, FilterId, JournalRow, LaneCommit, LaneId,
    LaneState, LedgerError, Plugin, Reader, Store,
};
use pipeline::{ChainSetup, LaneHandle, News, Owner, OwnerHandle};
use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};
use store::{DuckLedger, OpenMode};

const ONE: ChainId = ChainId(1);

/// Longer than any test takes: whoever is waited for must come.
const FOREVER: Duration = Duration::from_secs(600);

type Calls = Arc<Mutex<Vec<&'static str>>>;

/// A ledger that notes what is written together.
struct Noting {
    ledger: DuckLedger,
    calls: Calls,
}

impl Noting {
    fn note(&self, call: &'static str) {
        self.calls.lock().unwrap().push(call);
    }
}

impl Reader for Noting {
    fn filter(&mut self, id: FilterId) -> Result<Option<Filter>, LedgerError> {
        self.ledger.filter(id)
    }

    fn events(&mut self, query: &EventQuery) -> Result<EventPage, LedgerError> {
        self.ledger.events(query)
    }

    fn journal(
        &mut self,
        chain: ChainId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<JournalRow>, LedgerError> {
        self.ledger.journal(chain, after, limit)
    }
}

impl Store for Noting {
    fn load(&mut self, chain: ChainId) -> Result<ChainState, LedgerError> {
        self.ledger.load(chain)
    }

    fn prepare_schemas(&mut self, schemas: &[EventSchema]) -> Result<(), LedgerError> {
        self.ledger.prepare_schemas(schemas)
    }

    fn open_lane(&mut self, id: &LaneId, asks: &Descriptor) -> Result<LaneState, LedgerError> {
        self.ledger.open_lane(id, asks)
    }

    fn apply(&mut self, commits: &[Commit]) -> Result<(), LedgerError> {
        self.note("events");
        self.ledger.apply(commits)
    }

    fn apply_lanes(&mut self, commits: &[LaneCommit]) -> Result<(), LedgerError> {
        self.note("lane");
        self.ledger.apply_lanes(commits)
    }

    fn begin(&mut self, commits: &[Commit]) -> Result<(), LedgerError> {
        self.note("begun");
        self.ledger.begin(commits)
    }

    fn finish(&mut self, lanes: &[LaneCommit]) -> Result<(), LedgerError> {
        self.note(if lanes.is_empty() { "alone" } else { "both" });
        self.ledger.finish(lanes)
    }

    fn known_events(
        &mut self,
        chain: ChainId,
        range: BlockRange,
    ) -> Result<Vec<EventId>, LedgerError> {
        self.ledger.known_events(chain, range)
    }

    fn close(&mut self) -> Result<(), LedgerError> {
        self.ledger.close()
    }
}

/// A chain, an owner, and a lane that was told how far it can go: nowhere yet.
struct Stage {
    chain: Chain,
    owner: OwnerHandle,
    handle: LaneHandle,
    lane: Lane,
    plugin: Balances,
    news: mpsc::Receiver<News>,
    /// Asks the owner's memory first, as lanes do.
    reader: Box<dyn Reader>,
    /// Sees only what is in the file.
    file: Box<dyn Reader>,
    calls: Calls,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new(join_wait: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = DuckLedger::open(folder.path().join("l.duckdb"), OpenMode::Create).unwrap();
        let (reader, file) = (ledger.reader().unwrap(), Box::new(ledger.reader().unwrap()));
        let calls = Calls::default();
        let store = Box::new(Noting { ledger, calls: calls.clone() });
        let setup = ChainSetup { profile: ChainProfile::ethereum(ONE), policy: policy() };
        let owner = Owner::new(store, Arc::new(proof::Proof), Arc::new(Raw), vec![setup]).unwrap();
        let owner = owner.waiting_for_lanes(join_wait).spawn().unwrap();
        let handle = owner.lane();
        let plugin = Balances::new();
        let descriptor = plugin.descriptor().clone();
        let filters = subscription_filters(&descriptor, ONE).unwrap();
        let id = LaneId { plugin: descriptor.name.clone(), chain: ONE };
        let stored = handle.open(&id, &(&descriptor).into()).unwrap();
        let lane = Lane::new(id.clone(), descriptor, stored, LanePolicy::default(), filters, 1);
        let news = handle.watch(id, lane.filters().to_vec(), 1, Content::Bloom);
        let reader = handle.reader(Box::new(reader));
        let chain = Chain::grow(ONE, b'A', 4);
        let mut stage =
            Self { chain, owner, handle, lane, plugin, news, reader, file, calls, _folder: folder };
        let first = stage.hear();
        stage.handle.idle(stage.lane.id(), first);
        stage
    }

    /// Hands over some blocks, to be written at once.
    fn report(&self, first: u64, last: u64) {
        let report = Step::said("alpha", &self.chain, first, last).report(first);
        drop(OwnerHandle::submit(&self.owner, Box::new(report)));
        self.owner.flush();
    }

    fn hear(&mut self) -> u64 {
        let News { number, ready } = self.news.recv().unwrap();
        self.lane.on_ready(ready);
        number
    }

    /// Leads the lane to what it would write next; `None` if there is nothing.
    fn next_write(&mut self) -> Option<LaneCommit> {
        loop {
            match self.lane.next(0) {
                Action::ReadJournal { after, limit } => {
                    self.lane.on_journal(&self.reader.journal(ONE, after, limit).unwrap());
                }
                Action::ReadEvents(query) => {
                    self.lane.on_events(self.reader.events(&query).unwrap());
                }
                Action::Handle(batch) => {
                    let handled = self.plugin.handle(&batch, self.lane.state());
                    self.lane.on_handled(handled, 0);
                }
                Action::Commit(commit) => return Some(*commit),
                Action::Idle => return None,
                other => panic!("{other:?}"),
            }
        }
    }

    fn events_in_file(&mut self) -> usize {
        let range = BlockRange::new(1, 4).unwrap();
        let filters = vec![Arc::new(Filter::any())];
        let query = EventQuery { chain: ONE, filters, range, limit: usize::MAX };
        self.file.events(&query).unwrap().logs.len()
    }

    fn wanted(&self, first: u64, last: u64) -> usize {
        self.chain.blocks(first, last).iter().map(|block| block.wanted().len()).sum()
    }

    /// Where the lane stands in the file.
    fn stored(&self) -> Option<Cursor> {
        self.handle.open(self.lane.id(), &self.plugin.descriptor().into()).unwrap().cursor
    }

    fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().clone()
    }

    fn end(self) {
        let Self { owner, handle, reader, file, news, .. } = self;
        owner.end_lanes();
        drop((handle, reader, file, news));
        owner.close().unwrap();
    }
}

#[test]
fn what_an_idle_lane_makes_of_events_is_written_with_them() {
    let mut stage = Stage::new(FOREVER);
    stage.report(1, 2);
    stage.hear();
    assert_eq!(stage.events_in_file(), 0, "told ahead");
    let commit = stage.next_write().unwrap();
    let after = commit.after;
    stage.handle.commit(commit).unwrap();
    assert_eq!(stage.calls(), ["begun", "both"]);
    assert_eq!(stage.events_in_file(), stage.wanted(1, 2));
    assert_eq!(stage.stored(), Some(after));
    stage.end();
}

#[test]
fn a_lane_that_makes_nothing_of_events_says_so_and_is_not_waited_for() {
    let mut stage = Stage::new(FOREVER);
    stage.report(1, 2);
    let heard = stage.hear();
    stage.handle.idle(stage.lane.id(), heard);
    // The owner answers in order: after this the events are written.
    assert_eq!(stage.stored(), None);
    assert_eq!(stage.calls(), ["begun", "alone"]);
    // It was told once more since, and did not answer: the next events do not wait for it.
    stage.report(3, 4);
    stage.stored();
    assert_eq!(stage.calls(), ["begun", "alone", "events"]);
    stage.end();
}

#[test]
fn a_lane_that_did_not_say_that_it_is_idle_is_not_waited_for() {
    let mut stage = Stage::new(FOREVER);
    stage.report(1, 2);
    let heard = stage.hear();
    let commit = stage.next_write().unwrap();
    stage.handle.commit(commit).unwrap();
    // An answer to older news than the last is none.
    stage.handle.idle(stage.lane.id(), heard - 1);
    stage.report(3, 4);
    stage.stored();
    assert_eq!(stage.calls(), ["begun", "both", "events"]);
    stage.end();
}

#[test]
fn what_a_lane_may_not_write_takes_no_event_with_it() {
    let mut stage = Stage::new(FOREVER);
    stage.report(1, 2);
    stage.hear();
    let mut commit = stage.next_write().unwrap();
    commit.before = Some(commit.after);
    stage.handle.commit(commit).unwrap_err();
    assert_eq!(stage.calls(), ["begun", "both", "events", "lane"]);
    assert_eq!(stage.events_in_file(), stage.wanted(1, 2));
    assert_eq!(stage.stored(), None);
    stage.end();
}

#[test]
fn events_do_not_wait_longer_than_they_may_for_a_slow_lane() {
    let mut stage = Stage::new(Duration::ZERO);
    stage.report(1, 2);
    stage.hear();
    assert_eq!(stage.stored(), None);
    let commit = stage.next_write().unwrap();
    stage.handle.commit(commit).unwrap();
    assert_eq!(stage.calls(), ["begun", "alone", "lane"]);
    stage.end();
}
