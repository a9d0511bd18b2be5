//! Which blocks were read through a second node, and which still are to be. Does not say by whom.

use crate::{aggregator::Aggregator, coverage::adjacent};
use event::{BlockNumHash, BlockRange, Commit, Filter, FilterId, Interval, Seen, Verify};

/// Ranges remembered per filter, at most. What is forgotten of them is read once more, where there is
/// a node that has not.
const LOOKED_RANGES_MAX: usize = 1_024;

impl Aggregator {
    /// Returns which blocks of `range` are covered as `verify` demands and were not read through a
    /// second node yet, in order, each with those by whose word it is covered.
    pub fn to_look(&self, filter: &Filter, range: BlockRange, verify: Verify) -> Vec<Seen> {
        let required = verify.required();
        let covering = self.coverage.overlapping(filter, range);
        let whole = covering.filter(|c| c.filter.intersection(filter).as_ref() == Some(filter));
        let mut covered: Vec<Seen> = whole
            .flat_map(|covered| covered.touching(range))
            .filter(|interval| interval.evidence.content >= required)
            .filter_map(|interval| {
                let leads_to = self.leads_to(interval);
                let range = interval.range.intersection(&range)?;
                Some(Seen { range, nodes: interval.nodes.clone(), leads_to })
            })
            .collect();
        covered.sort_by_key(|seen| (seen.range.first(), seen.range.last()));
        let mut due: Vec<Seen> = Vec::new();
        // What several filters cover is told once.
        let mut next = Some(range.first());
        for Seen { range, nodes, leads_to } in covered {
            let first = next.map(|next| range.first().max(next));
            let Some(range) = first.and_then(|first| BlockRange::new(first, range.last())) else {
                continue;
            };
            next = range.last().checked_add(1);
            for range in self.not_looked(filter.id(), range) {
                match due.last_mut() {
                    Some(last) if last.nodes == nodes && adjacent(&last.range, &range) => {
                        last.range = last.range.hull(range);
                        last.leads_to = leads_to;
                    }
                    _ => due.push(Seen { range, nodes: nodes.clone(), leads_to }),
                }
            }
        }
        due
    }

    /// Returns the last block of an interval, where it is final and its headers are known to link.
    fn leads_to(&self, interval: &Interval) -> Option<BlockNumHash> {
        let number = interval.range.last();
        let hash = interval.links?.last_hash;
        self.canonical.is_final(number).then_some(BlockNumHash { number, hash })
    }

    fn not_looked(&self, filter: FilterId, range: BlockRange) -> Vec<BlockRange> {
        self.looked.get(&filter).map_or_else(|| vec![range], |looked| looked.outside(range))
    }

    /// Notes that blocks of a filter were read through a second node.
    pub fn note_looked(&mut self, filter: FilterId, range: BlockRange) -> Commit {
        let looked = self.looked.entry(filter).or_default();
        looked.add(range);
        looked.keep_widest(LOOKED_RANGES_MAX);
        Commit { looked: vec![(filter, looked.clone())], ..Commit::empty(self.profile.chain) }
    }
}
