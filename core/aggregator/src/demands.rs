//! What is owed: blocks of which a run demanded more than it got, and blocks that nodes differ in and
//! nothing decides. Says nothing of who reads them.

use crate::aggregator::Aggregator;
use event::{BlockRange, BlockRanges, Commit, Demand, Filter, Verify};
use std::sync::Arc;

/// Demands remembered, at most: an operator has a handful of filters and levels. The oldest are
/// forgotten first.
const DEMANDS_MAX: usize = 256;
/// Ranges remembered of each, at most.
const RANGES_MAX: usize = 1_024;

impl Aggregator {
    /// Remembers what is missing of what was demanded of these blocks, and forgets what is not missing
    /// any more; returns a commit where something changed. `now_s` is the time in Unix seconds.
    pub fn demand(
        &mut self,
        filters: &[Filter],
        range: BlockRange,
        verify: Verify,
        now_s: u64,
    ) -> Option<Commit> {
        let mut demands = Vec::new();
        for filter in filters {
            let missing = self.missing(filter, range, verify);
            let is_known = |d: &Demand| d.filter == *filter && d.verify == verify;
            if !missing.is_empty() && !self.demands.iter().any(is_known) {
                let (filter, blocks) = (filter.clone(), BlockRanges::default());
                self.demands.push(Demand { filter, verify, since_s: now_s, blocks });
            }
            for at in 0..self.demands.len() {
                let demand = &self.demands[at];
                if demand.filter != *filter {
                    continue;
                }
                let mut blocks = self.still_missing(demand);
                let since_s = if blocks.is_empty() { now_s } else { demand.since_s };
                if demand.verify == verify {
                    missing.iter().for_each(|(range, _)| blocks.add(*range));
                }
                blocks.keep_widest(RANGES_MAX);
                if blocks != demand.blocks {
                    let changed = Demand { since_s, blocks, ..demand.clone() };
                    self.demands[at] = changed.clone();
                    demands.push(changed);
                }
            }
        }
        self.demands.retain(|demand| !demand.blocks.is_empty());
        while self.demands.len() > DEMANDS_MAX {
            let oldest = self.demands.remove(0);
            demands.push(Demand { blocks: BlockRanges::default(), ..oldest });
        }
        let commit = Commit { demands, ..Commit::empty(self.profile.chain) };
        (!commit.demands.is_empty()).then_some(commit)
    }

    /// Returns what was demanded and is missing still, each with what is.
    pub fn owed(&self) -> Vec<Demand> {
        let owed = self
            .demands
            .iter()
            .map(|demand| Demand { blocks: self.still_missing(demand), ..demand.clone() });
        owed.filter(|demand| !demand.blocks.is_empty()).collect()
    }

    /// Returns the first block that was demanded of any of these filters and is missing for `verify`.
    pub(crate) fn first_owed(&self, filters: &[Arc<Filter>], verify: Verify) -> Option<u64> {
        let owed =
            self.demands.iter().filter(|demand| filters.iter().any(|f| **f == demand.filter));
        let missing = owed.flat_map(|demand| {
            demand.blocks.iter().flat_map(|range| self.missing(&demand.filter, range, verify))
        });
        missing.map(|(range, _)| range.first()).min()
    }

    fn still_missing(&self, demand: &Demand) -> BlockRanges {
        let missing = |range| self.missing(&demand.filter, range, demand.verify);
        demand.blocks.iter().flat_map(missing).map(|(range, _)| range).collect()
    }

    /// Returns final blocks of which some node told logs of the filter that others did not, and nothing
    /// shows who is right: covered or not, they are not known.
    pub fn undecided(&self, filter: &Filter, range: BlockRange) -> BlockRanges {
        let candidates = self.candidates.all().filter(|candidate| {
            range.contains(candidate.number)
                && self.canonical.is_final(candidate.number)
                && !self.canonical.is_orphan(candidate.number, &candidate.id.block_hash)
                && filter.matches(candidate.log.row(0))
        });
        candidates.map(|candidate| BlockRange::one(candidate.number)).collect()
    }
}
