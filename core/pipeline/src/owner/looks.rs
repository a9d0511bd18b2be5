//! Who reads what through a second node just now, so that no two processes look at the same blocks.
//! Does not say through which node.

use super::{Holder, Owner, claims::Claims};
use event::{BlockRange, BlockRanges, ChainId, Filter, NodeId, Seen, ToLook, Verify};

/// What is claimed for a second look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookClaim {
    /// By whom. A second claim of the same run takes the place of the first.
    pub holder: Holder,
    /// Chain.
    pub chain: ChainId,
    /// Of which filter.
    pub filter: Filter,
    /// Where.
    pub range: BlockRange,
    /// As what the blocks have to be covered.
    pub verify: Verify,
    /// Nodes that the asker has.
    pub nodes: Vec<NodeId>,
    /// So many blocks, at most; at least one.
    pub blocks_max: u64,
}

impl Owner {
    /// Gives to the claim what is covered and was not looked at, by nobody just now either, and what
    /// a node of the asker's can look at.
    pub(super) fn claim_look(&mut self, claim: &LookClaim) -> ToLook {
        let LookClaim { holder, chain, filter, range, verify, nodes, blocks_max } = claim;
        let aggregator = self.chains.get(chain).map(|(_, aggregator)| aggregator);
        let due = aggregator.map(|a| a.to_look(filter, *range, *verify)).unwrap_or_default();
        let taken = self.claims.looks_of_others(*holder, *chain, filter);
        let mut to_look = ToLook {
            seen: Vec::new(),
            without_other: Vec::new(),
            held: Vec::new(),
            through: range.last(),
        };
        let mut room = (*blocks_max).max(1);
        'due: for Seen { range, nodes: before, leads_to } in due {
            if nodes.iter().all(|node| before.contains(node)) {
                // What two nodes gave has been looked at as well as it can be.
                to_look.without_other.extend((before.len() < 2).then_some(range));
                continue;
            }
            let taken_here = taken.iter().filter_map(|(theirs, process)| {
                theirs.intersection(&range).map(|theirs| (theirs, *process))
            });
            to_look.held.extend(taken_here);
            let others: BlockRanges = taken.iter().map(|(range, _)| *range).collect();
            for free in others.outside(range) {
                let part = BlockRange::of_width(free.first(), room).intersection(&free);
                let part = part.unwrap_or(free);
                to_look.seen.push(Seen { range: part, nodes: before.clone(), leads_to });
                room -= part.count().min(room);
                if room == 0 {
                    to_look.through = part.last();
                    break 'due;
                }
            }
        }
        let looks = to_look.seen.iter().map(|seen| seen.range).collect();
        self.claims.take_look(*holder, *chain, filter, looks);
        to_look
    }
}

/// What a run looks at.
pub(super) struct HeldLook {
    chain: ChainId,
    filter: Filter,
    blocks: BlockRanges,
}

impl Claims {
    fn take_look(&mut self, holder: Holder, chain: ChainId, filter: &Filter, blocks: BlockRanges) {
        self.release(holder);
        if self.has_room() && !blocks.is_empty() {
            self.looks.insert(holder, HeldLook { chain, filter: filter.clone(), blocks });
        }
    }

    /// What other processes look at of this filter, and which.
    fn looks_of_others(
        &self,
        holder: Holder,
        chain: ChainId,
        filter: &Filter,
    ) -> Vec<(BlockRange, u32)> {
        let others = self.looks.iter().filter(|(other, look)| {
            other.process != holder.process && look.chain == chain && look.filter == *filter
        });
        others
            .flat_map(|(other, look)| look.blocks.iter().map(|range| (range, other.process)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_one_process_looks_at_no_other_one_does_until_it_lets_go() {
        let (mut claims, chain) = (Claims::default(), ChainId(1));
        let holder = |process, run| Holder { process, run };
        let blocks: BlockRanges = [BlockRange::new(3, 9).unwrap()].into_iter().collect();
        claims.take_look(holder(7, 1), chain, &Filter::any(), blocks.clone());
        let of_others = |claims: &Claims, process| {
            claims.looks_of_others(holder(process, 2), chain, &Filter::any())
        };
        assert_eq!(of_others(&claims, 8), [(BlockRange::new(3, 9).unwrap(), 7)]);
        assert!(of_others(&claims, 7).is_empty(), "its own runs are its own business");
        assert!(claims.looks_of_others(holder(8, 2), ChainId(2), &Filter::any()).is_empty());
        assert!(!claims.close(false), "a process that looks again reads");
        claims.release(holder(7, 1));
        assert!(of_others(&claims, 8).is_empty());
        claims.take_look(holder(7, 1), chain, &Filter::any(), blocks);
        claims.release_all(7);
        assert!(of_others(&claims, 8).is_empty());
    }
}
