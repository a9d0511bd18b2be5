//! Everything that a ledger holds, as plain data.

use crate::memory_store::lanes::Lanes;
use alloy_primitives::{Address, B256, Bytes};
use event::{
    BlockRanges, BlockRow, Candidate, ChainId, Demand, EventId, Filter, FilterId, Incident,
    Interval, JournalRow, LogRef, NodeId, Sighting, Via,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Identity.
    pub id: EventId,
    /// Height.
    pub number: u64,
    /// Position of the transaction.
    pub tx_index: u32,
    /// Position of the log, as the node that brought it counts.
    pub log_index: u32,
    /// Contract.
    pub address: Address,
    /// Topics.
    pub topics: Vec<B256>,
    /// Data.
    pub data: Bytes,
    /// Journal row that brought it.
    pub journal_seq: u64,
}

impl StoredEvent {
    /// Returns it as a row; the block index is 0.
    pub fn row(&self) -> LogRef<'_> {
        LogRef {
            block: 0,
            tx_hash: &self.id.tx_hash,
            tx_index: self.tx_index,
            log_index: self.log_index,
            address: &self.address,
            topics: &self.topics,
            data: &self.data,
        }
    }
}

/// Chain, height, hash, filter, node and way of a sighting.
pub(crate) type SightingKey = (ChainId, u64, B256, FilterId, NodeId, ViaKey);

/// A way that sorts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ViaKey(u8);

impl From<Via> for ViaKey {
    fn from(via: Via) -> Self {
        Self(match via {
            Via::Range => 0,
            Via::BlockHash => 1,
            Via::Receipts => 2,
        })
    }
}

/// What is stored after the last transaction.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// In the order in which they came.
    pub events: Vec<StoredEvent>,
    /// Positions in `events`, by chain and height.
    pub(crate) by_block: BTreeMap<(ChainId, u64), Vec<usize>>,
    /// Blocks, on every branch.
    pub blocks: BTreeMap<(ChainId, u64, B256), BlockRow>,
    /// The journal.
    pub journal: Vec<JournalRow>,
    /// Filters that something is covered for, or was.
    pub filters: BTreeMap<FilterId, Arc<Filter>>,
    /// Intervals by their first block.
    pub coverage: BTreeMap<(ChainId, FilterId), BTreeMap<u64, Interval>>,
    pub(crate) sightings: BTreeMap<SightingKey, Sighting>,
    /// Logs that wait.
    pub candidates: BTreeMap<EventId, Candidate>,
    /// Flaws, in order.
    pub incidents: Vec<Incident>,
    /// Events shown never to have been.
    pub refuted: BTreeSet<EventId>,
    /// Highest final block.
    pub finalized: BTreeMap<ChainId, u64>,
    /// Blocks of each filter that were read through a second node.
    pub looked: BTreeMap<(ChainId, FilterId), BlockRanges>,
    /// What is owed, by filter and level.
    pub demands: BTreeMap<(ChainId, FilterId, String), Demand>,
    /// What plugins wrote.
    pub lanes: Lanes,
}

impl Image {
    /// Whether the event counts: its block did not leave the chain and nothing refutes it.
    pub fn is_canonical(&self, event: &StoredEvent) -> bool {
        let block = self.blocks.get(&(event.id.chain, event.number, event.id.block_hash));
        block.is_none_or(|block| block.canonical) && !self.refuted.contains(&event.id)
    }

    /// Returns the events of one height, on every branch.
    pub fn events_at(&self, chain: ChainId, number: u64) -> impl Iterator<Item = &StoredEvent> {
        let positions = self.by_block.get(&(chain, number));
        positions.into_iter().flatten().filter_map(|position| self.events.get(*position))
    }

    /// Returns the sightings, by height, hash, filter, node and way.
    pub fn sightings(&self) -> impl Iterator<Item = &Sighting> {
        self.sightings.values()
    }
}
