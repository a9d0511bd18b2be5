//! The two handles to an open ledger: its one writer, and readers of the same process.

mod copying;
mod reading;

pub use reading::Interrupter;

use crate::{
    append, check, digest,
    error::{Result, statement_failed},
    events::{self, Pager},
    failing,
    failpoint::Failpoints,
    lanes, load,
    lock::LedgerLock,
    open::{self, OpenMode, OpenOptions},
    outbox,
    ownership::Ownership,
    query::{self, EachRow},
    remedy, sql, typed,
};
use alloy_primitives::B256;
use duckdb::Connection;
use event::{
    BlockRange, ChainId, ChainState, Column, Commit, Decoder, Descriptor, EventId, EventPage,
    EventQuery, EventSchema, Failing, Filter, FilterId, Flaw, Incident, JournalRow, LaneCommit,
    LaneId, LaneState, LedgerError, OutboxLine, OutboxStep, Outgoing, Reader, Remedy, Sighting,
    Store, Writer,
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

/// An open ledger. Dropping it without [`Store::close`] loses nothing that was applied.
#[derive(Debug)]
pub struct DuckLedger {
    // In this order: the connection must be gone before the lock is.
    pub(crate) conn: Connection,
    pub(crate) schemas: Vec<EventSchema>,
    pub(crate) next_event: u64,
    /// The next free number where events are staged: a transaction is open.
    pub(crate) staged: Option<u64>,
    pub(crate) known: append::Known,
    /// What holds once the open transaction is in the file.
    pub(crate) begun: Option<append::Begun>,
    pub(crate) lanes: lanes::Lanes,
    pub(crate) failpoints: Failpoints,
    pager: Pager,
    writes: bool,
    output: Option<Output>,
    lock: Arc<LedgerLock>,
}

/// A second handle to the same open ledger, for another thread. It sees what was committed.
/// The ledger is given to another process when it and the writer are dropped.
#[derive(Debug)]
pub struct LedgerReader {
    // In this order, as above.
    conn: Connection,
    pager: Pager,
    output: Option<Output>,
    lock: Arc<LedgerLock>,
}

/// The file that exports and copies are written to first: one after the other.
type Output = Arc<Mutex<PathBuf>>;

impl LedgerReader {
    /// Returns one more handle, for one more thread.
    pub fn another(&self) -> std::result::Result<Self, LedgerError> {
        let conn = self.conn.try_clone().map_err(statement_failed)?;
        let (output, lock) = (self.output.clone(), self.lock.clone());
        Ok(Self { conn, pager: Pager::default(), output, lock })
    }
}

impl DuckLedger {
    /// Opens the ledger at `path` with the defaults.
    pub fn open(path: impl AsRef<Path>, mode: OpenMode) -> std::result::Result<Self, LedgerError> {
        Self::open_with(path, mode, &OpenOptions::default())
    }

    /// Opens the ledger at `path`: takes the lock, refuses what is not a ledger of a known
    /// version without touching it, and brings an older one forward.
    pub fn open_with(
        path: impl AsRef<Path>,
        mode: OpenMode,
        options: &OpenOptions,
    ) -> std::result::Result<Self, LedgerError> {
        let (lock, conn) = open::open(path.as_ref(), mode, options)?;
        Self::over(path.as_ref(), conn, Arc::new(lock), mode, options)
    }

    /// Opens a ledger that this process owns already, as owner; made when it is not there.
    pub fn open_owned(
        ownership: &Ownership,
        options: &OpenOptions,
    ) -> std::result::Result<Self, LedgerError> {
        let conn = open::open_locked(&ownership.path, OpenMode::Create, options)?;
        let lock = ownership.lock.clone();
        Self::over(&ownership.path, conn, lock, OpenMode::Create, options)
    }

    fn over(
        path: &Path,
        conn: Connection,
        lock: Arc<LedgerLock>,
        mode: OpenMode,
        options: &OpenOptions,
    ) -> std::result::Result<Self, LedgerError> {
        let next_event =
            sql::number(&conn, "SELECT coalesce(max(id) + 1, 1)::UBIGINT FROM events")?;
        Ok(Self {
            conn,
            schemas: Vec::new(),
            next_event,
            staged: None,
            known: append::Known::default(),
            begun: None,
            lanes: lanes::Lanes::default(),
            failpoints: options.failpoints.clone(),
            pager: Pager::default(),
            writes: mode != OpenMode::ReadOnly,
            output: open::output(path, mode, options).map(|output| Arc::new(Mutex::new(output))),
            lock,
        })
    }

    /// Returns a handle for another thread.
    pub fn reader(&self) -> std::result::Result<LedgerReader, LedgerError> {
        let conn = self.conn.try_clone().map_err(statement_failed)?;
        let (output, lock) = (self.output.clone(), self.lock.clone());
        Ok(LedgerReader { conn, pager: Pager::default(), output, lock })
    }

    /// Forgets prepared statements. After tables were made DuckDB plans each older one anew, every
    /// time that it runs.
    fn plan_anew(&self) {
        self.conn.flush_prepared_statement_cache();
    }

    /// Drops versions of plugin rows and state that nothing can go back to.
    pub fn compact_lanes(&mut self) -> std::result::Result<(), LedgerError> {
        lanes::compact(&self.conn, &mut self.lanes)
    }

    /// Returns the chains that something is covered of, in order.
    pub fn chains(&self) -> std::result::Result<Vec<ChainId>, LedgerError> {
        load::chains(&self.conn)
    }

    /// Returns a SHA-256 over canonical events, coverage, provenance and plugin rows: equal for
    /// two ledgers that say the same, however they came to it.
    pub fn digest(&self) -> std::result::Result<B256, LedgerError> {
        digest::of(&self.conn)
    }

    /// Returns what is inconsistent, in sentences; nothing in a sound ledger.
    pub fn check(&self) -> std::result::Result<Vec<String>, LedgerError> {
        check::problems(&self.conn)
    }

    /// Runs one statement that returns rows and hands each row to `each` until it breaks.
    /// Returns the columns. The ledger must have been opened [`OpenMode::ReadOnly`].
    pub fn query(
        &self,
        statement: &str,
        each: &mut EachRow<'_>,
    ) -> std::result::Result<Vec<Column>, LedgerError> {
        if self.writes {
            return Err(LedgerError::Internal("queries need a ledger opened read-only".into()));
        }
        query::run(&self.conn, statement, each)
    }
}

impl Store for DuckLedger {
    fn load(&mut self, chain: ChainId) -> Result<ChainState> {
        load::chain_state(&self.conn, chain)
    }

    fn prepare_schemas(&mut self, schemas: &[EventSchema]) -> Result<()> {
        typed::prepare(&self.conn, schemas)?;
        self.plan_anew();
        self.schemas = schemas.to_vec();
        Ok(())
    }

    fn prepare_decoder(&mut self, decoder: &dyn Decoder) -> Result<u64> {
        let added = typed::prepare_and_decode(&self.conn, decoder)?;
        self.plan_anew();
        self.schemas = decoder.schemas().to_vec();
        Ok(added)
    }

    fn open_lane(&mut self, lane: &LaneId, descriptor: &Descriptor) -> Result<LaneState> {
        let opened = lanes::open(&self.conn, &mut self.lanes, lane, descriptor);
        self.plan_anew();
        opened
    }

    fn open_lane_for(&mut self, lane: &LaneId, writer: &Writer) -> Result<LaneState> {
        let opened = lanes::open_for(&self.conn, &mut self.lanes, lane, writer);
        self.plan_anew();
        opened
    }

    fn stage(&mut self, commits: &mut [Commit]) -> Result<()> {
        append::stage(self, commits)
    }

    fn apply(&mut self, commits: &[Commit]) -> Result<()> {
        if commits.is_empty() {
            return Ok(());
        }
        append::begin(self, commits)?;
        append::finish(self, &[])
    }

    fn note_failing(&mut self, lane: &LaneId, failing: Option<&Failing>) -> Result<()> {
        sql::atomically(&self.conn, || failing::note(&self.conn, lane, failing))
    }

    fn apply_lanes(&mut self, commits: &[LaneCommit]) -> Result<()> {
        lanes::apply(&self.conn, &mut self.lanes, &self.failpoints, commits)
    }

    fn begin(&mut self, commits: &[Commit]) -> Result<()> {
        append::begin(self, commits)
    }

    fn finish(&mut self, lanes: &[LaneCommit]) -> Result<()> {
        append::finish(self, lanes)
    }

    fn reopen_outbox(&mut self) -> Result<()> {
        outbox::reopen(&self.conn)
    }

    fn step_outbox(&mut self, step: &OutboxStep) -> Result<Vec<Outgoing>> {
        outbox::step(&self.conn, &self.failpoints, step)
    }

    fn remedy(&mut self, remedy: &Remedy) -> Result<u64> {
        remedy::apply(&self.conn, &mut self.lanes, remedy)
    }

    fn outbox(&mut self) -> Result<Vec<OutboxLine>> {
        outbox::lines(&self.conn)
    }

    fn known_events(&mut self, chain: ChainId, range: BlockRange) -> Result<Vec<EventId>> {
        events::known(&self.conn, chain, range)
    }

    fn sightings_in(
        &mut self,
        chain: ChainId,
        filter: FilterId,
        range: BlockRange,
    ) -> Result<Vec<Sighting>> {
        load::sightings_in(&self.conn, chain, filter, range)
    }

    fn told(&mut self, chain: ChainId, range: BlockRange, flaws: &[Flaw]) -> Result<Vec<Incident>> {
        load::told(&self.conn, chain, range, flaws)
    }

    /// Compacts lanes and folds the log into the file.
    fn close(&mut self) -> Result<()> {
        if !self.writes {
            return Ok(());
        }
        let folded = self.compact_lanes().and_then(|()| sql::run(&self.conn, "CHECKPOINT"));
        folded.map_err(|error| match error {
            LedgerError::Io(text) => LedgerError::NotFolded(text),
            other => other,
        })
    }
}

impl Reader for DuckLedger {
    fn filter(&mut self, id: FilterId) -> Result<Option<Filter>> {
        load::filter(&self.conn, id)
    }

    fn events(&mut self, query: &EventQuery) -> Result<EventPage> {
        self.pager.page(&self.conn, query)
    }

    fn journal(&mut self, chain: ChainId, after: u64, limit: usize) -> Result<Vec<JournalRow>> {
        load::journal(&self.conn, chain, after, limit)
    }
}

impl Reader for LedgerReader {
    fn filter(&mut self, id: FilterId) -> Result<Option<Filter>> {
        load::filter(&self.conn, id)
    }

    fn events(&mut self, query: &EventQuery) -> Result<EventPage> {
        self.pager.page(&self.conn, query)
    }

    fn journal(&mut self, chain: ChainId, after: u64, limit: usize) -> Result<Vec<JournalRow>> {
        load::journal(&self.conn, chain, after, limit)
    }
}
