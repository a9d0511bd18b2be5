//! The seams to the ledger: reports in and answers out for commands, commits for the owner.

use crate::{
    BatchBlock, BlockNumHash, BlockRange, BlockRanges, BlockRow, Candidate, ChainId, Commit,
    DecodeStats, Decoder, Demand, Descriptor, EventId, EventSchema, Filter, FilterId, Flaw,
    Incident, Interval, JournalRow, Logs, Message, NodeId, OnChange, OutboxLine, OutboxStep,
    Outgoing, PluginState, Report, Sighting, StateWrite, TableRows, Writer,
};
use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Why the ledger could not be used. Travels to the clients of an owner as it is.
#[derive(Clone, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum LedgerError {
    /// Another process holds it.
    #[error("ledger {path} is in use{}", pid.map(|p| format!(" by process {p}")).unwrap_or_default())]
    Busy {
        /// File.
        path: String,
        /// Holder, where known.
        pid: Option<u32>,
    },
    /// Written by a newer version; left unchanged.
    #[error("ledger {path} has schema {found}, this program knows up to {known}")]
    Newer {
        /// File.
        path: String,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Not a ledger, or torn.
    #[error("ledger {path} cannot be read: {reason}")]
    Unreadable {
        /// File.
        path: String,
        /// Why.
        reason: String,
    },
    /// Disk full, read-only, or a failing device. Nothing of the commit took effect.
    #[error("writing the ledger: {0}")]
    Io(String),
    /// Closing could not fold the log into the file, for a reason as above. Everything is
    /// committed and stays in the log, from which the next start takes it.
    #[error("everything is committed, but the ledger's log was not folded into its file: {0}")]
    NotFolded(String),
    /// What is to be removed runs.
    #[error("plugin `{0}` runs in the process that owns the ledger")]
    Running(String),
    /// Wrong SQL.
    #[error("{0}")]
    Sql(String),
    /// A statement of ours failed: a bug.
    #[error("ledger: {0}")]
    Internal(String),
    /// Written by an older version, and not to be written to: left unchanged.
    #[error("ledger {path} has schema {found}, this program reads {known}")]
    Older {
        /// File.
        path: String,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
}

/// Answer to a report, after its commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The report's `seq`.
    pub seq: u64,
    /// Events that were new.
    pub new_events: u64,
    /// Logs that were known already.
    pub known_events: u64,
    /// Blocks of the range that are not covered as the policy demands, with why.
    pub open: Vec<(BlockRange, String)>,
    /// Blocks that other nodes covered before and of which this one said the same.
    pub agreed: u64,
    /// Blocks of which it said something else while nothing shows who is right, in order.
    pub differs: Vec<BlockRange>,
    /// Blocks that fewer nodes have than must agree, in order: receipts of one of them decide nothing.
    pub unshared: Vec<BlockRange>,
    /// Flaws recorded.
    pub incidents: u64,
    /// The first of them, in words; the ledger has all.
    pub told: Vec<Incident>,
    /// What decoding left raw of the new events.
    pub decoded: DecodeStats,
    /// Highest block that the ledger holds for final after it.
    pub finalized: Option<u64>,
    /// Newest block at or below that height which the ledger knows.
    pub final_block: Option<BlockNumHash>,
}

/// What a process may read of a range, given what others are reading just now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// What is missing and nobody else reads: it is the asker's now, until it is released.
    pub work: Vec<(Filter, BlockRange)>,
    /// What is missing and others read, each with the process; 0 is the owner of the ledger.
    pub held: Vec<(BlockRange, u32)>,
}

/// Blocks that are covered, and by whose word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Blocks.
    pub range: BlockRange,
    /// Nodes that reported them, and in a second look those that could not give them this time.
    pub nodes: Vec<NodeId>,
    /// The last of them, or a block above it whose headers lead down to them, as the ledger knows it:
    /// who has another block there is on another chain. `None` where no header was read.
    pub leads_to: Option<BlockNumHash>,
}

/// What is to be read through a second node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToLook {
    /// What was not looked at yet and nobody else looks at, in order: it is the asker's now, until it
    /// is released.
    pub seen: Vec<Seen>,
    /// Blocks on the word of one node, where the asker has no other one.
    pub without_other: Vec<BlockRange>,
    /// Blocks that another process looks at just now, with which.
    pub held: Vec<(BlockRange, u32)>,
    /// This holds of blocks up to this one; after it there may be more.
    pub through: u64,
}

/// How every command reaches the ledger, whether its owner is this process or another one.
pub trait Ledger {
    /// Takes a report and returns after its commit.
    fn submit(&self, report: Report) -> Result<Ack, LedgerError>;
}

/// What the aggregator needs to know of a chain when a process starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainState {
    /// Coverage by filter, intervals sorted.
    pub coverage: Vec<(Arc<Filter>, Vec<Interval>)>,
    /// Canonical blocks above the finalized one, the newest one at or below it, and every block
    /// that left the chain, with those of heights where one came back: their events are stored, also where
    /// the new branch is not known yet or nothing is covered.
    pub blocks: Vec<BlockRow>,
    /// Candidates not admitted yet.
    pub candidates: Vec<Candidate>,
    /// Who reported which block above the finalized one, by height.
    pub sightings: Vec<Sighting>,
    /// Highest finalized block.
    pub finalized: Option<u64>,
    /// Last journal row of the whole ledger (0 when empty).
    pub journal_seq: u64,
    /// Blocks of each filter that were read through a second node, by filter.
    pub looked: Vec<(FilterId, BlockRanges)>,
    /// What runs demanded and did not get, by filter and level.
    pub demands: Vec<Demand>,
}

/// A lane: one plugin on one chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LaneId {
    /// Plugin name.
    pub plugin: String,
    /// Chain.
    pub chain: ChainId,
}

/// How far a lane has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Every block below this one was handled.
    pub next_block: u64,
    /// Delivery number of the next event, from 1.
    pub next_seq: u64,
    /// Id of the next batch, from 1.
    pub next_batch: u64,
    /// Journal rows up to this one were taken into account.
    pub journal_seq: u64,
}

/// A lane as the ledger keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneState {
    /// `None` on a lane that never ran.
    pub cursor: Option<Cursor>,
    /// Counts rebuilds, from 1.
    pub generation: u32,
    /// First block the lane handles.
    pub start_block: u64,
    /// Blocks below this one cannot be rewound to: their undo images are gone.
    pub undo_floor: u64,
    /// Blocks of each committed batch at or above `undo_floor`, in order. An undo never splits a
    /// batch: it goes back to the first block of one.
    pub batches: Vec<BlockRange>,
    /// Key-value state.
    pub state: PluginState,
    /// Why the plugin is halted, if it is.
    pub halted: Option<String>,
    /// An operator wants everything from this block on to be handled again.
    pub retry_from: Option<u64>,
    /// Why it is handed nothing, where its component is another one than wrote it.
    pub held: Option<String>,
    /// Why it did not get on when that was last noted.
    pub failing: Option<Failing>,
}

/// Why a lane does not get on although nobody halted it: its plugin is called again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// Every block below this one was handled.
    pub next_block: u64,
    /// What it failed with last.
    pub reason: String,
}

/// What an operator decides about what was set aside, or about a plugin that is halted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Remedy {
    /// Hand these events that were set aside to the plugin again, by delivery number. Everything from
    /// the block of the first one on is undone and handled again, so that it ends as if they had never
    /// been set aside.
    RetryEvents(LaneId, Vec<u64>),
    /// Forget that these events were set aside.
    DropEvents(LaneId, Vec<u64>),
    /// Send these dead messages after all, by their number.
    RetryMessages(Vec<u64>),
    /// Never send these dead messages, and show them no more.
    DropMessages(Vec<u64>),
    /// Let a halted plugin go on where it is, on every chain; one that is held for another component, with
    /// that one.
    Resume(String),
    /// Hand a plugin everything again, on every chain, whatever component it has.
    Rebuild(String),
    /// What becomes of a plugin's lanes when they meet this component, on every chain.
    Decide(String, B256, OnChange),
    /// Drop everything of a plugin that does not run: rows, state, what it set aside, how far it is, and
    /// messages that were not sent.
    Remove(String),
}

/// An event that a plugin could not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Delivery number.
    pub seq: u64,
    /// Which event.
    pub event: EventId,
    /// Height of its block.
    pub block: u64,
    /// Class of the fault: `reject`, `trap`, `deadline`, `limit`.
    pub class: String,
    /// The plugin's or host's words.
    pub reason: String,
    /// Deliveries so far.
    pub attempts: u32,
}

/// What a lane writes, in one transaction with its cursor.
///
/// Rows and state are kept as versions tagged with their batch: undoing is deleting the newer
/// versions, so an undo image costs nothing to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneCommit {
    /// Which lane.
    pub lane: LaneId,
    /// Its generation.
    pub generation: u32,
    /// Expected cursor in the ledger: a fence against a second process. `None` on first commit.
    pub before: Option<Cursor>,
    /// Cursor afterwards.
    pub after: Cursor,
    /// First block of the lane, written with the first commit.
    pub start_block: u64,
    /// First undo everything that derives from blocks at or above this one, which is the first
    /// block of a batch.
    pub undo_from: Option<u64>,
    /// Blocks of each batch (or of each group of final batches, merged) in this commit.
    pub batches: Vec<BlockRange>,
    /// Versions superseded at or below this block may be dropped; the new undo floor.
    pub undo_floor: u64,
    /// Rows, with the block and batch they derive from.
    pub rows: Vec<LaneRows>,
    /// State writes, each list with the index into `batches` that it belongs to.
    pub state: Vec<(u32, Vec<StateWrite>)>,
    /// Messages, each list with the index into `batches` that it belongs to. One with a key that is
    /// pending, being sent, sent or dead already is the same message, and dropped.
    pub messages: Vec<(u32, Vec<Message>)>,
    /// Events set aside.
    pub dead_letters: Vec<DeadLetter>,
    /// Set when the plugin was halted.
    pub halted: Option<String>,
    /// The generation before this one is dropped: a rebuild is complete.
    pub drop_older: bool,
}

/// Rows of one batch for one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneRows {
    /// Index into [`LaneCommit::batches`].
    pub batch: u32,
    /// Rows; `rows.table` indexes the descriptor's tables.
    pub rows: TableRows,
    /// Block number of each row.
    pub block_number: Vec<u64>,
    /// Block hash of each row.
    pub block_hash: Vec<B256>,
}

/// Which canonical events a lane wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventQuery {
    /// Chain.
    pub chain: ChainId,
    /// An event that any of these matches is wanted, once.
    pub filters: Vec<Arc<Filter>>,
    /// Blocks.
    pub range: BlockRange,
    /// Stop after the block in which this many events are reached.
    pub limit: usize,
}

/// Canonical events in order of block and position, whole blocks only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPage {
    /// Blocks that `logs.block` indexes.
    pub blocks: Vec<BatchBlock>,
    /// The events.
    pub logs: Logs,
    /// Occurrence of each event.
    pub occurrence: Vec<u32>,
    /// Every block up to this one was looked at.
    pub through: u64,
}

/// Reads the ledger beside the writer, so that a lane can look while the owner commits.
pub trait Reader: Send {
    /// Returns the filter that a journal row or an interval names.
    fn filter(&mut self, id: FilterId) -> Result<Option<Filter>, LedgerError>;

    /// Returns canonical, unrefuted events.
    fn events(&mut self, query: &EventQuery) -> Result<EventPage, LedgerError>;

    /// Returns the chain's journal after row `after`, at most `limit` rows.
    fn journal(
        &mut self,
        chain: ChainId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<JournalRow>, LedgerError>;
}

/// The ledger as its owner sees it. One writer; implemented by `store`, crashed by `sim`.
pub trait Store: Reader {
    /// Returns what the aggregator needs to go on with a chain.
    fn load(&mut self, chain: ChainId) -> Result<ChainState, LedgerError>;

    /// Makes typed tables and views for these schemas; a changed schema of the same name is an
    /// error that names both.
    fn prepare_schemas(&mut self, schemas: &[EventSchema]) -> Result<(), LedgerError>;

    /// As [`Self::prepare_schemas`] for the schemas of a decoder, and decodes stored events into tables that
    /// came later than they: all of it or nothing. Returns the number of rows added.
    fn prepare_decoder(&mut self, decoder: &dyn Decoder) -> Result<u64, LedgerError> {
        self.prepare_schemas(decoder.schemas()).map(|()| 0)
    }

    /// Makes the tables of a plugin and returns its lane as it stands.
    fn open_lane(
        &mut self,
        lane: &LaneId,
        descriptor: &Descriptor,
    ) -> Result<LaneState, LedgerError>;

    /// Opens a lane as above, unless another component than this writer's wrote it and nobody has decided
    /// what becomes of it: then nothing is changed but that this is noted, and the lane says why it is held.
    /// A store that keeps no components holds nothing.
    fn open_lane_for(&mut self, lane: &LaneId, writer: &Writer) -> Result<LaneState, LedgerError> {
        self.open_lane(lane, &writer.descriptor)
    }

    /// Takes the events of commits into the transaction that the next [`Self::apply`] of these commits
    /// ends, and out of the commits, which keep their blocks: a large transaction need not be held in
    /// memory. Nothing is to be seen before that `apply`, and nothing else may be asked of the store
    /// until then. After an error none of it takes effect. A store may leave them where they are.
    fn stage(&mut self, _commits: &mut [Commit]) -> Result<(), LedgerError> {
        Ok(())
    }

    /// Applies commits in one transaction: all of them or none.
    fn apply(&mut self, commits: &[Commit]) -> Result<(), LedgerError>;

    /// Notes why a lane does not get on, or that it does again: for whoever looks, nothing depends on it. A
    /// store that nobody looks into keeps none of it.
    fn note_failing(
        &mut self,
        _lane: &LaneId,
        _failing: Option<&Failing>,
    ) -> Result<(), LedgerError> {
        Ok(())
    }

    /// Applies what lanes wrote in one transaction: all of it or nothing.
    fn apply_lanes(&mut self, commits: &[LaneCommit]) -> Result<(), LedgerError>;

    /// Writes commits into a transaction that the next [`Self::finish`] ends. Nothing else may be asked
    /// of the store until then. After an error none of it takes effect.
    fn begin(&mut self, commits: &[Commit]) -> Result<(), LedgerError>;

    /// Ends what [`Self::begin`] began, together with what lanes wrote of it: all of it takes effect or
    /// nothing.
    fn finish(&mut self, lanes: &[LaneCommit]) -> Result<(), LedgerError>;

    /// Takes back what a process that is gone was sending: it is pending again. For a new owner, before
    /// anything is sent.
    fn reopen_outbox(&mut self) -> Result<(), LedgerError> {
        Ok(())
    }

    /// Writes what became of messages and takes the next ones, in one transaction. A store without an
    /// outbox has none.
    fn step_outbox(&mut self, _step: &OutboxStep) -> Result<Vec<Outgoing>, LedgerError> {
        Ok(Vec::new())
    }

    /// Does what an operator decided, and returns how many events, messages or lanes it concerned. Lanes
    /// that run have to be opened again after it.
    fn remedy(&mut self, _remedy: &Remedy) -> Result<u64, LedgerError> {
        Ok(0)
    }

    /// Returns what is left in the outbox, by sink.
    fn outbox(&mut self) -> Result<Vec<OutboxLine>, LedgerError> {
        Ok(Vec::new())
    }

    /// Returns the ids of stored events of the range, on every branch, in no order.
    fn known_events(
        &mut self,
        chain: ChainId,
        range: BlockRange,
    ) -> Result<Vec<EventId>, LedgerError>;

    /// Returns who reported which block of the range by which way, where that was kept.
    fn sightings_in(
        &mut self,
        _chain: ChainId,
        _filter: FilterId,
        _range: BlockRange,
    ) -> Result<Vec<Sighting>, LedgerError> {
        Ok(Vec::new())
    }

    /// Returns the incidents with these flaws whose first block is in the range, in order.
    fn told(
        &mut self,
        _chain: ChainId,
        _range: BlockRange,
        _flaws: &[Flaw],
    ) -> Result<Vec<Incident>, LedgerError> {
        Ok(Vec::new())
    }

    /// Tidies up at the end of an owner's run. Without it the next start does the work.
    fn close(&mut self) -> Result<(), LedgerError>;
}
