//! Who reported which block with which logs: kept where it may still matter, said once.
//!
//! Does not compare nodes; it leaves digests by which they can be compared.

use crate::{occurrence::occurrences, rows::event_id};
use alloy_primitives::{B256, Keccak256};
use event::{ChainId, EventId, FilterId, NodeId, Report, Sighting, Via};
use std::collections::BTreeMap;

/// Sightings cut per report: the unfinalized window of a chain, twice over.
const SIGHTINGS_PER_REPORT_MAX: usize = 256;
/// Sightings remembered so that they are said once; a forgotten one is said again.
const SIGHTINGS_REMEMBERED_MAX: usize = 65_536;

type Key = (u64, B256, FilterId, NodeId, Via);

/// What was said already.
#[derive(Debug, Default)]
pub(crate) struct Sightings {
    said: BTreeMap<Key, B256>,
}

impl Sightings {
    /// Returns sightings of the blocks marked in `due` that were not said before. Must be asked
    /// before rows are taken out of the report.
    pub(crate) fn cut(&mut self, chain: ChainId, report: &Report, due: &[bool]) -> Vec<Sighting> {
        // The newest blocks matter most.
        let marked: Vec<usize> = (0..report.blocks.len())
            .rev()
            .filter(|i| due.get(*i).copied().unwrap_or(false))
            .take(SIGHTINGS_PER_REPORT_MAX)
            .collect();
        if marked.is_empty() {
            return Vec::new();
        }
        let filter = report.filter.id();
        let mut given: BTreeMap<usize, Vec<EventId>> =
            marked.iter().map(|i| (*i, Vec::new())).collect();
        let occurrence = occurrences(&report.logs);
        for (row, occurrence) in occurrence.into_iter().enumerate() {
            let block = report.logs.block[row] as usize;
            if let Some(ids) = given.get_mut(&block) {
                let hash = report.blocks[block].hash;
                ids.push(event_id(chain, hash, report.logs.row(row), occurrence));
            }
        }
        let mut sightings = Vec::new();
        for (block, mut ids) in given {
            ids.sort_unstable();
            let block = &report.blocks[block];
            let digest = digest(&ids);
            let key = (block.number, block.hash, filter, report.node.clone(), block.via);
            if self.said.insert(key, digest) == Some(digest) {
                continue;
            }
            sightings.push(Sighting {
                number: block.number,
                hash: block.hash,
                filter,
                node: report.node.clone(),
                via: block.via,
                logs: ids.len() as u64,
                digest,
            });
        }
        while self.said.len() > SIGHTINGS_REMEMBERED_MAX {
            self.said.pop_first();
        }
        sightings
    }
}

fn digest(ids: &[EventId]) -> B256 {
    let mut hasher = Keccak256::new();
    for id in ids {
        hasher.update(id.tx_hash);
        hasher.update(id.digest);
        hasher.update(id.occurrence.to_be_bytes());
    }
    hasher.finalize()
}
