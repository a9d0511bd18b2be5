//! One atomic write to the ledger, as the aggregator cuts it.

use crate::{
    BlockRange, BlockRanges, ChainId, Demand, EventId, Filter, FilterId, Incident, Interval, Logs,
    NodeId, TypedRows, Via,
};
use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A block as the ledger keeps it: every unfinalized block, and every block with events.
/// The canonical state lives here; events are never updated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRow {
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Parent, where known.
    pub parent: Option<B256>,
    /// Unix seconds, where known.
    pub timestamp: Option<u64>,
    /// Whether the block is on the canonical chain after this commit.
    pub canonical: bool,
}

/// New events of one report; never one that the ledger holds already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventBatch {
    /// Number and hash of each block that `logs.block` indexes.
    pub blocks: Vec<(u64, B256)>,
    /// The rows.
    pub logs: Logs,
    /// Occurrence of each row among identical logs of its transaction.
    pub occurrence: Vec<u32>,
    /// Journal row that brought them.
    pub journal_seq: u64,
    /// Decoded rows, one entry per schema with at least one row; filled after the commit is cut.
    pub typed: Vec<TypedRows>,
}

/// What a journal row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// A range became covered for a filter, with its events.
    Extend,
    /// A block left the canonical chain. Newest first.
    Revert,
    /// A block came (back) onto the canonical chain.
    Reinstate,
    /// Events were found in a range that was covered already.
    Late,
    /// An event was shown never to have been in its block.
    Refute,
}

/// One transition. Append-only; `seq` counts the ledger's rows from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalRow {
    /// Position in the journal.
    pub seq: u64,
    /// Chain.
    pub chain: ChainId,
    /// What happened.
    pub op: Op,
    /// Filter, for `Extend` and `Late`.
    pub filter: Option<FilterId>,
    /// Blocks concerned.
    pub range: BlockRange,
    /// Block hash, for `Revert`, `Reinstate` and `Refute`.
    pub block_hash: Option<B256>,
    /// Number of events concerned.
    pub events: u64,
}

/// Replaces what the ledger says about the coverage of one filter over `range`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageChange {
    /// Filter.
    pub filter: Arc<Filter>,
    /// Intervals that touch this range are replaced ...
    pub range: BlockRange,
    /// ... by these, all of which lie in it.
    pub intervals: Vec<Interval>,
}

/// Who reported a block and by which way: kept for unfinalized blocks and for blocks in doubt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Filter asked.
    pub filter: FilterId,
    /// Who.
    pub node: NodeId,
    /// How.
    pub via: Via,
    /// Logs it gave.
    pub logs: u64,
    /// Digest over the sorted event ids it gave, for comparing nodes.
    pub digest: B256,
}

/// A log that is not admitted yet: one node of several said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Identity.
    pub id: EventId,
    /// The log, as one row; `block` is 0.
    pub log: Logs,
    /// Height.
    pub number: u64,
    /// Nodes that reported it, sorted.
    pub nodes: Vec<NodeId>,
}

/// One atomic write. Applying the same commit twice must not be asked for: the owner keeps order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Chain.
    pub chain: ChainId,
    /// Blocks to insert, or whose canonical state changes (matched by chain, number and hash).
    pub blocks: Vec<BlockRow>,
    /// New events.
    pub events: Vec<EventBatch>,
    /// Events shown to be forged.
    pub refuted: Vec<EventId>,
    /// Transitions, in order.
    pub journal: Vec<JournalRow>,
    /// Coverage.
    pub coverage: Vec<CoverageChange>,
    /// Provenance.
    pub sightings: Vec<Sighting>,
    /// New or changed candidates (matched by id).
    pub candidates: Vec<Candidate>,
    /// Candidates that were admitted or dropped.
    pub candidates_closed: Vec<EventId>,
    /// Flaws.
    pub incidents: Vec<Incident>,
    /// Highest finalized block known, if it rose.
    pub finalized: Option<u64>,
    /// All blocks of a filter that were read through a second node: they take the place of those that
    /// are stored.
    pub looked: Vec<(FilterId, BlockRanges)>,
    /// What is owed: each takes the place of what is stored of the same filter and level, and one
    /// without blocks is gone.
    pub demands: Vec<Demand>,
}

impl Commit {
    /// Returns a commit that changes nothing.
    pub const fn empty(chain: ChainId) -> Self {
        Self {
            chain,
            blocks: Vec::new(),
            events: Vec::new(),
            refuted: Vec::new(),
            journal: Vec::new(),
            coverage: Vec::new(),
            sightings: Vec::new(),
            candidates: Vec::new(),
            candidates_closed: Vec::new(),
            incidents: Vec::new(),
            finalized: None,
            looked: Vec::new(),
            demands: Vec::new(),
        }
    }

    /// Number of new events.
    pub fn event_count(&self) -> usize {
        self.events.iter().map(|batch| batch.logs.len()).sum()
    }
}
