//! Applies commits of the aggregator: checked first, so that a misfit changes nothing.

use crate::memory_store::image::{Image, StoredEvent};
use alloy_primitives::Bytes;
use event::{
    BlockRow, ChainId, Commit, CoverageChange, EventBatch, EventId, LedgerError, content_digest,
};

impl Image {
    /// Applies all commits or none.
    pub(crate) fn apply(&mut self, commits: &[Commit]) -> Result<(), LedgerError> {
        commits.iter().try_for_each(check)?;
        for commit in commits {
            let chain = commit.chain;
            for batch in &commit.events {
                self.write_events(chain, batch);
            }
            for block in &commit.blocks {
                self.write_block(chain, block);
            }
            self.journal.extend(commit.journal.iter().cloned());
            for change in &commit.coverage {
                self.write_coverage(chain, change);
            }
            for sighting in &commit.sightings {
                let node = sighting.node.clone();
                let (number, hash, filter) = (sighting.number, sighting.hash, sighting.filter);
                let key = (chain, number, hash, filter, node, sighting.via.into());
                self.sightings.insert(key, sighting.clone());
            }
            for id in &commit.candidates_closed {
                self.candidates.remove(id);
            }
            for candidate in &commit.candidates {
                self.candidates.insert(candidate.id, candidate.clone());
            }
            for (filter, looked) in &commit.looked {
                self.looked.insert((chain, *filter), looked.clone());
            }
            for demand in &commit.demands {
                let key = (chain, demand.filter.id(), demand.verify.to_string());
                match demand.blocks.is_empty() {
                    true => drop(self.demands.remove(&key)),
                    false => drop(self.demands.insert(key, demand.clone())),
                }
            }
            self.refuted.extend(&commit.refuted);
            self.incidents.extend(commit.incidents.iter().cloned());
            if let Some(finalized) = commit.finalized {
                let highest = self.finalized.entry(chain).or_insert(finalized);
                *highest = finalized.max(*highest);
            }
        }
        Ok(())
    }

    fn write_events(&mut self, chain: ChainId, batch: &EventBatch) {
        for (log, occurrence) in batch.logs.rows().zip(&batch.occurrence) {
            let (number, block_hash) = batch.blocks[log.block as usize];
            let id = EventId {
                chain,
                block_hash,
                tx_hash: *log.tx_hash,
                digest: content_digest(log),
                occurrence: *occurrence,
            };
            self.by_block.entry((chain, number)).or_default().push(self.events.len());
            self.events.push(StoredEvent {
                id,
                number,
                tx_index: log.tx_index,
                log_index: log.log_index,
                address: *log.address,
                topics: log.topics.to_vec(),
                data: Bytes::copy_from_slice(log.data),
                journal_seq: batch.journal_seq,
            });
        }
    }

    /// What was known of a block stays known; only its canonical state changes.
    fn write_block(&mut self, chain: ChainId, block: &BlockRow) {
        let row =
            self.blocks.entry((chain, block.number, block.hash)).or_insert_with(|| block.clone());
        row.parent = block.parent.or(row.parent);
        row.timestamp = block.timestamp.or(row.timestamp);
        row.canonical = block.canonical;
    }

    fn write_coverage(&mut self, chain: ChainId, change: &CoverageChange) {
        let id = change.filter.id();
        self.filters.entry(id).or_insert_with(|| change.filter.clone());
        let intervals = self.coverage.entry((chain, id)).or_default();
        intervals.retain(|_, interval| interval.range.intersection(&change.range).is_none());
        for interval in &change.intervals {
            intervals.insert(interval.range.first(), interval.clone());
        }
    }
}

fn check(commit: &Commit) -> Result<(), LedgerError> {
    for batch in &commit.events {
        let (len, known) = (batch.logs.len(), batch.blocks.len());
        if batch.occurrence.len() != len || batch.logs.block.iter().any(|b| *b as usize >= known) {
            return Err(LedgerError::Internal(
                "an event batch with columns that do not fit".into(),
            ));
        }
    }
    if commit.candidates.iter().any(|candidate| candidate.log.len() != 1) {
        return Err(LedgerError::Internal("a candidate that is not one log".into()));
    }
    Ok(())
}
