//! A ledger in memory that means what the real one means, and that can be crashed.
//!
//! It keeps what was applied and nothing else, so that after a crash the next process finds exactly
//! the last whole transaction. It writes no typed tables: they say what events say already.

mod apply;
mod forget;
mod image;
mod lanes;
mod outbox;
mod read;

pub use image::{Image, StoredEvent};
pub use lanes::{Cell, LaneImage, Lanes, Version};
pub use outbox::{Enqueued, Outbox, Posted};

use event::{
    BlockRange, ChainId, ChainState, Commit, Descriptor, EventId, EventPage, EventQuery,
    EventSchema, Filter, FilterId, Flaw, Incident, JournalRow, LaneCommit, LaneId, LaneState,
    LedgerError, Reader, Sighting, Store,
};
use image::SightingKey;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// When a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Before the transaction took effect.
    Before,
    /// After it took effect, before anybody was told.
    After,
}

/// Shown every transaction of events once it took effect: its commits, and what the ledger became.
pub type OnApply = Box<dyn FnMut(&[Commit], &Image) + Send>;

/// A ledger in memory. A clone is another handle to the same one.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Disk>>);

#[derive(Default)]
struct Disk {
    image: Image,
    /// Transactions so far, of events and of lanes.
    applied: u64,
    crash: Option<(u64, Crash)>,
    is_down: bool,
    on_apply: Option<OnApply>,
    begun: Vec<Commit>,
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").field("applied", &self.disk().applied).finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// Returns an empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has the process die at transaction `number`, counted from 1 over the ledger's whole life.
    pub fn crash_at(&self, number: u64, crash: Crash) {
        self.disk().crash = Some((number, crash));
    }

    /// Returns how many transactions took effect.
    pub fn applied(&self) -> u64 {
        self.disk().applied
    }

    /// Whether the process is dead: every call fails until [`Self::reopen`].
    pub fn is_down(&self) -> bool {
        self.disk().is_down
    }

    /// Starts the next process: what was applied is there, and nothing else. Handles of the process
    /// before must be gone by then.
    pub fn reopen(&self) {
        let mut disk = self.disk();
        disk.is_down = false;
        disk.crash = None;
    }

    /// Shows every transaction of events to `on_apply`.
    pub fn on_apply(&self, on_apply: OnApply) {
        self.disk().on_apply = Some(on_apply);
    }

    /// Hands the oldest messages of a lane to their sinks, `count` at most.
    pub fn send(&self, lane: &LaneId, count: usize) {
        self.disk().image.lanes.send(lane, count);
    }

    /// Drops what lies below a height, but for coverage: for runs so long that the ledger itself
    /// would be most of the memory. Only what is final and was handled by every plugin may go.
    pub fn forget_below(&self, chain: ChainId, number: u64) {
        self.disk().image.forget_below(chain, number);
    }

    /// Looks at what is stored.
    pub fn look<T>(&self, look: impl FnOnce(&Image) -> T) -> T {
        look(&self.disk().image)
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn up(&self) -> Result<MutexGuard<'_, Disk>, LedgerError> {
        let disk = self.disk();
        if disk.is_down { Err(dead()) } else { Ok(disk) }
    }
}

fn dead() -> LedgerError {
    LedgerError::Io("the process has died".into())
}

impl Disk {
    /// Runs one transaction: all of it or nothing, and perhaps the last one of this process.
    fn transact(
        &mut self,
        change: impl FnOnce(&mut Image) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let number = self.applied + 1;
        let crash = self.crash.filter(|(at, _)| *at == number).map(|(_, crash)| crash);
        if crash == Some(Crash::Before) {
            self.is_down = true;
            return Err(dead());
        }
        change(&mut self.image)?;
        self.applied = number;
        if crash == Some(Crash::After) {
            self.is_down = true;
            return Err(dead());
        }
        Ok(())
    }
}

impl Disk {
    fn write(&mut self, commits: &[Commit], lanes: &[LaneCommit]) -> Result<(), LedgerError> {
        let before = self.applied;
        let written = self.transact(|image| {
            let mut moved = (!lanes.is_empty()).then(|| image.lanes.clone());
            moved.as_mut().map_or(Ok(()), |moved| moved.apply(lanes))?;
            image.apply(commits)?;
            image.lanes = moved.unwrap_or_else(|| std::mem::take(&mut image.lanes));
            Ok(())
        });
        // Also where the process died right after: what took effect is looked at.
        if let Some(on_apply) = &mut self.on_apply
            && self.applied > before
        {
            on_apply(commits, &self.image);
        }
        written
    }
}

impl Store for MemoryStore {
    fn load(&mut self, chain: ChainId) -> Result<ChainState, LedgerError> {
        Ok(self.up()?.image.chain_state(chain))
    }

    fn prepare_schemas(&mut self, _: &[EventSchema]) -> Result<(), LedgerError> {
        self.up().map(drop)
    }

    fn open_lane(
        &mut self,
        lane: &LaneId,
        descriptor: &Descriptor,
    ) -> Result<LaneState, LedgerError> {
        self.up()?.image.lanes.open(lane, descriptor)
    }

    fn apply(&mut self, commits: &[Commit]) -> Result<(), LedgerError> {
        let mut disk = self.up()?;
        if commits.is_empty() { Ok(()) } else { disk.write(commits, &[]) }
    }

    fn begin(&mut self, commits: &[Commit]) -> Result<(), LedgerError> {
        self.up()?.begun = commits.to_vec();
        Ok(())
    }

    fn finish(&mut self, lanes: &[LaneCommit]) -> Result<(), LedgerError> {
        let mut disk = self.up()?;
        let commits = std::mem::take(&mut disk.begun);
        disk.write(&commits, lanes)
    }

    fn apply_lanes(&mut self, commits: &[LaneCommit]) -> Result<(), LedgerError> {
        let mut disk = self.up()?;
        if commits.is_empty() {
            return Ok(());
        }
        disk.transact(|image| image.lanes.apply(commits))
    }

    fn known_events(
        &mut self,
        chain: ChainId,
        range: BlockRange,
    ) -> Result<Vec<EventId>, LedgerError> {
        Ok(self.up()?.image.known_events(chain, range))
    }

    fn sightings_in(
        &mut self,
        chain: ChainId,
        filter: FilterId,
        range: BlockRange,
    ) -> Result<Vec<Sighting>, LedgerError> {
        let is_in = |(of, number, _, about, ..): &SightingKey| {
            *of == chain && *about == filter && range.contains(*number)
        };
        let disk = self.up()?;
        let found = disk.image.sightings.iter().filter(|(key, _)| is_in(key));
        Ok(found.map(|(_, sighting)| sighting.clone()).collect())
    }

    fn told(
        &mut self,
        chain: ChainId,
        range: BlockRange,
        flaws: &[Flaw],
    ) -> Result<Vec<Incident>, LedgerError> {
        let is_in = |told: &&Incident| {
            told.chain == chain && range.contains(told.range.first()) && flaws.contains(&told.flaw)
        };
        Ok(self.up()?.image.incidents.iter().filter(is_in).cloned().collect())
    }

    fn close(&mut self) -> Result<(), LedgerError> {
        self.up().map(drop)
    }
}

impl Reader for MemoryStore {
    fn filter(&mut self, id: FilterId) -> Result<Option<Filter>, LedgerError> {
        Ok(self.up()?.image.filters.get(&id).map(|filter| (**filter).clone()))
    }

    fn events(&mut self, query: &EventQuery) -> Result<EventPage, LedgerError> {
        Ok(self.up()?.image.page(query))
    }

    fn journal(
        &mut self,
        chain: ChainId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<JournalRow>, LedgerError> {
        Ok(self.up()?.image.journal_after(chain, after, limit))
    }
}
