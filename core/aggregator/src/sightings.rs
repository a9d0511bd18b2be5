//! Who reported which block with which logs: kept where it may still matter, said once.
//!
//! Does not compare nodes; it leaves digests by which they can be compared.

use crate::{
    occurrence::occurrences,
    rows::event_id,
    votes::{Answer, Ballot, BallotKey},
};
use alloy_primitives::{B256, Keccak256};
use event::{EventId, FilterId, NodeId, Report, Sighting, Via};
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
    /// Forgets what was said of blocks up to this height: they are reported no more, or by a backfill
    /// that says again what it has to say.
    pub(crate) fn forget_through(&mut self, number: u64) {
        self.said.retain(|(said, ..), _| *said > number);
    }

    /// Returns how many are remembered.
    pub(crate) fn held(&self) -> usize {
        self.said.len()
    }

    /// Returns who said what of a block that nodes differ in, without what was said before.
    pub(crate) fn of_ballot(&mut self, key: &BallotKey, ballot: &Ballot) -> Vec<Sighting> {
        let BallotKey { number, hash, filter } = *key;
        if ballot.answers.len() < 2 {
            return Vec::new();
        }
        let all = ballot.votes.iter().map(|vote| {
            let Answer { count, digest, .. } = ballot.answers[vote.answer];
            Sighting {
                number,
                hash,
                filter,
                node: vote.node.clone(),
                via: vote.via,
                logs: count,
                digest,
            }
        });
        all.filter(|sighting| self.is_new(sighting)).collect()
    }

    fn is_new(&mut self, sighting: &Sighting) -> bool {
        let Sighting { number, hash, filter, node, via, digest, .. } = sighting;
        let key = (*number, *hash, *filter, node.clone(), *via);
        self.said.insert(key, *digest) != Some(*digest)
    }

    /// Returns sightings of the blocks marked in `due` that were not said before, with the ids
    /// `given` in each.
    pub(crate) fn cut(
        &mut self,
        report: &Report,
        due: &[bool],
        given: &BTreeMap<usize, Vec<EventId>>,
    ) -> Vec<Sighting> {
        let filter = report.filter.id();
        let mut sightings = Vec::new();
        for (block, ids) in given.iter().filter(|(block, _)| due[**block]) {
            let block = &report.blocks[*block];
            let sighting = Sighting {
                number: block.number,
                hash: block.hash,
                filter,
                node: report.node.clone(),
                via: block.via,
                logs: ids.len() as u64,
                digest: digest(ids),
            };
            if self.is_new(&sighting) {
                sightings.push(sighting);
            }
        }
        while self.said.len() > SIGHTINGS_REMEMBERED_MAX {
            self.said.pop_first();
        }
        sightings
    }
}

/// Leaves only the newest marks, as many as are said of one report.
pub(crate) fn newest(due: &mut [bool]) {
    let marked = due.iter_mut().rev().filter(|due| **due);
    marked.skip(SIGHTINGS_PER_REPORT_MAX).for_each(|due| *due = false);
}

/// Returns the ids of the logs that a report gives in the marked blocks, sorted, by block. Must be
/// asked before rows are taken out of the report. With `admit` only admitted rows count.
pub(crate) fn given_ids(
    report: &Report,
    admit: Option<&[bool]>,
    marked: impl Fn(usize) -> bool,
) -> BTreeMap<usize, Vec<EventId>> {
    let mut given: BTreeMap<usize, Vec<EventId>> =
        (0..report.blocks.len()).filter(|i| marked(*i)).map(|i| (i, Vec::new())).collect();
    if given.is_empty() {
        return given;
    }
    let admitted = admit.map(|admit| report.logs.filtered(admit));
    let logs = admitted.as_ref().unwrap_or(&report.logs);
    for (row, occurrence) in occurrences(logs).into_iter().enumerate() {
        let block = logs.block[row] as usize;
        if let Some(ids) = given.get_mut(&block) {
            let hash = report.blocks[block].hash;
            ids.push(event_id(report.chain, hash, logs.row(row), occurrence));
        }
    }
    given.values_mut().for_each(|ids| ids.sort_unstable());
    given
}

/// Returns a digest over sorted ids.
pub(crate) fn digest(ids: &[EventId]) -> B256 {
    let mut hasher = Keccak256::new();
    for id in ids {
        hasher.update(id.tx_hash);
        hasher.update(id.digest);
        hasher.update(id.occurrence.to_be_bytes());
    }
    hasher.finalize()
}
