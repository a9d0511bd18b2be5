//! What is read back: a chain's state, pages of events, the journal, identities.

use crate::memory_store::image::{Image, StoredEvent};
use alloy_primitives::B256;
use event::{
    BatchBlock, BlockRange, BlockRow, Candidate, ChainId, ChainState, EventId, EventPage,
    EventQuery, Filter, Interval, JournalRow, LogRef, Op,
};
use std::{collections::BTreeSet, sync::Arc};

impl Image {
    /// Returns what the aggregator needs to go on.
    pub(crate) fn chain_state(&self, chain: ChainId) -> ChainState {
        let finalized = self.finalized.get(&chain).copied();
        let rows = || self.blocks.range(of_chain(chain)).map(|(_, row)| row);
        let floor = rows()
            .filter(|row| row.canonical && row.number <= finalized.unwrap_or(0))
            .map(|row| row.number)
            .max()
            .unwrap_or(0);
        let came_back: BTreeSet<u64> = (self.journal.iter())
            .filter(|row| row.chain == chain && row.op == Op::Reinstate)
            .map(|row| row.range.first())
            .collect();
        let is_kept = |row: &&BlockRow| {
            !row.canonical || row.number >= floor || came_back.contains(&row.number)
        };
        let mut candidates: Vec<Candidate> =
            self.candidates.values().filter(|c| c.id.chain == chain).cloned().collect();
        candidates.sort_by_key(|candidate| (candidate.number, candidate.id));
        ChainState {
            coverage: self.coverage_of(chain),
            blocks: rows().filter(is_kept).cloned().collect(),
            candidates,
            sightings: self
                .sightings
                .iter()
                .filter(|(_, sighting)| finalized.is_none_or(|final_| sighting.number > final_))
                .map(|(_, sighting)| sighting.clone())
                .collect(),
            finalized,
            journal_seq: self.journal.iter().map(|row| row.seq).max().unwrap_or(0),
            looked: (self.looked.iter().filter(|((of, _), _)| *of == chain))
                .map(|((_, filter), looked)| (*filter, looked.clone()))
                .collect(),
            demands: (self.demands.iter().filter(|((of, ..), _)| *of == chain))
                .map(|(_, demand)| demand.clone())
                .collect(),
        }
    }

    /// Returns the coverage of each filter that has any, intervals sorted.
    pub fn coverage_of(&self, chain: ChainId) -> Vec<(Arc<Filter>, Vec<Interval>)> {
        let of_chain =
            self.coverage.iter().filter(|((of, _), all)| *of == chain && !all.is_empty());
        of_chain
            .filter_map(|((_, id), intervals)| {
                let filter = self.filters.get(id)?;
                Some((filter.clone(), intervals.values().cloned().collect()))
            })
            .collect()
    }

    /// Returns whole blocks of canonical, unrefuted events.
    pub(crate) fn page(&self, query: &EventQuery) -> EventPage {
        let (chain, range) = (query.chain, query.range);
        let mut page = EventPage { through: range.last(), ..EventPage::default() };
        if query.filters.is_empty() {
            return page;
        }
        let heights = self.by_block.range((chain, range.first())..=(chain, range.last()));
        for ((_, number), positions) in heights {
            let mut rows: Vec<&StoredEvent> = positions
                .iter()
                .filter_map(|position| self.events.get(*position))
                .filter(|event| query.filters.iter().any(|filter| filter.matches(event.row())))
                .filter(|event| self.is_canonical(event))
                .collect();
            // By transaction first: some nodes count log indexes in each transaction anew.
            rows.sort_by_key(|e| (e.id.block_hash, e.tx_index, e.log_index, e.id.occurrence));
            rows.iter().for_each(|event| self.push(&mut page, chain, event));
            if page.logs.len() >= query.limit.max(1) {
                page.through = *number;
                break;
            }
        }
        page
    }

    fn push(&self, page: &mut EventPage, chain: ChainId, event: &StoredEvent) {
        let (number, hash) = (event.number, event.id.block_hash);
        if page.blocks.last().is_none_or(|last| (last.number, last.hash) != (number, hash)) {
            let row = self.blocks.get(&(chain, number, hash)).filter(|row| row.canonical);
            page.blocks.push(BatchBlock {
                number,
                hash,
                parent: row.and_then(|row| row.parent),
                timestamp: row.and_then(|row| row.timestamp),
            });
        }
        page.logs.push(LogRef { block: page.blocks.len() as u32 - 1, ..event.row() });
        page.occurrence.push(event.id.occurrence);
    }

    /// Returns the chain's journal after row `after`.
    pub fn journal_after(&self, chain: ChainId, after: u64, limit: usize) -> Vec<JournalRow> {
        // Rows come in the order of their numbers.
        let first = self.journal.partition_point(|row| row.seq <= after);
        let rows = self.journal[first..].iter().filter(|row| row.chain == chain);
        rows.take(limit).cloned().collect()
    }

    /// Returns the ids of stored events of the range, on every branch.
    pub(crate) fn known_events(&self, chain: ChainId, range: BlockRange) -> Vec<EventId> {
        let heights = self.by_block.range((chain, range.first())..=(chain, range.last()));
        let positions = heights.flat_map(|(_, positions)| positions);
        positions.filter_map(|position| self.events.get(*position)).map(|event| event.id).collect()
    }
}

fn of_chain(chain: ChainId) -> std::ops::RangeInclusive<(ChainId, u64, B256)> {
    (chain, 0, B256::ZERO)..=(chain, u64::MAX, B256::repeat_byte(0xff))
}
