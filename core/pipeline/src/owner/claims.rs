//! Who reads what just now, so that no two processes fetch the same blocks.
//!
//! A claim is a word about the moment: it is in no file, ends with the run that made it, and what it
//! kept free is missing again if the run did not cover it. What one process claims twice, in two runs
//! of its own, is its own business.

use super::looks::HeldLook;
use event::{BlockRange, BlockRanges, ChainId, Claimed, Filter, Verify};
use std::collections::BTreeMap;

/// Runs whose claims are kept, at most. Those of one more are not kept free for it.
const RUNS_MAX: usize = 256;

/// Who claims: a run of a process, which is 0 for the owner itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Process.
    pub process: u32,
    /// Its run.
    pub run: u64,
}

/// What is claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// By whom. A second claim of the same run takes the place of the first.
    pub holder: Holder,
    /// Chain.
    pub chain: ChainId,
    /// What is wanted.
    pub filters: Vec<Filter>,
    /// Where.
    pub range: BlockRange,
    /// As what.
    pub verify: Verify,
}

struct Held {
    chain: ChainId,
    verify: Verify,
    work: Vec<(Filter, BlockRange)>,
}

/// All claims.
#[derive(Default)]
pub(super) struct Claims {
    held: BTreeMap<Holder, Held>,
    pub(super) looks: BTreeMap<Holder, HeldLook>,
    is_closed: bool,
}

impl Claims {
    /// Gives to the claim what is missing and nobody else reads.
    pub(super) fn take(
        &mut self,
        claim: &Claim,
        missing: impl Iterator<Item = (BlockRange, Vec<Filter>)>,
    ) -> Claimed {
        self.held.remove(&claim.holder);
        let mut claimed = Claimed::default();
        for (range, filters) in missing {
            for filter in filters {
                let mut taken = BlockRanges::default();
                for (process, read) in self.of_others(claim, &filter) {
                    taken.add(read);
                    claimed.held.extend(range.intersection(&read).map(|held| (held, process)));
                }
                let free = taken.outside(range).into_iter();
                claimed.work.extend(free.map(|range| (filter.clone(), range)));
            }
        }
        claimed.held.sort_unstable();
        claimed.held.dedup();
        if self.has_room() && !claimed.work.is_empty() {
            let work = claimed.work.clone();
            let held = Held { chain: claim.chain, verify: claim.verify, work };
            self.held.insert(claim.holder, held);
        }
        claimed
    }

    /// Whether no other process reads anything; then, or where that is demanded, nothing can be claimed
    /// any more: whoever asks goes to the next owner.
    pub(super) fn close(&mut self, at_once: bool) -> bool {
        let mut holders = self.held.keys().chain(self.looks.keys());
        self.is_closed |= at_once || holders.all(|holder| holder.process == 0);
        self.is_closed
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether one more run can claim.
    pub(super) fn has_room(&self) -> bool {
        self.held.len() + self.looks.len() < RUNS_MAX
    }

    /// Forgets what a run claimed.
    pub(super) fn release(&mut self, holder: Holder) {
        self.held.remove(&holder);
        self.looks.remove(&holder);
    }

    /// Forgets what a process claimed.
    pub(super) fn release_all(&mut self, process: u32) {
        self.held.retain(|holder, _| holder.process != process);
        self.looks.retain(|holder, _| holder.process != process);
    }

    /// What others read that makes reading `filter` here useless.
    fn of_others(&self, claim: &Claim, filter: &Filter) -> Vec<(u32, BlockRange)> {
        let others = self.held.iter().filter(|(holder, held)| {
            holder.process != claim.holder.process
                && held.chain == claim.chain
                && held.verify.is_as_strict_as(&claim.verify)
        });
        let work = others.flat_map(|(holder, held)| {
            held.work.iter().map(|(other, range)| (holder.process, other, *range))
        });
        work.filter(|(_, other, _)| other.intersection(filter).as_ref() == Some(filter))
            .map(|(process, _, range)| (process, range))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use event::AnyOf;

    fn range(first: u64, last: u64) -> BlockRange {
        BlockRange::new(first, last).unwrap()
    }

    fn filter(byte: u8) -> Filter {
        Filter::new(AnyOf::one(alloy_primitives::Address::repeat_byte(byte)), AnyOf::Any)
    }

    /// Claims the whole range for one filter, of which nothing is covered.
    fn claim(claims: &mut Claims, process: u32, run: u64, of: Filter, at: BlockRange) -> Claimed {
        let claim = Claim {
            holder: Holder { process, run },
            chain: ChainId(1),
            filters: vec![of.clone()],
            range: at,
            verify: Verify::Bloom,
        };
        claims.take(&claim, std::iter::once((at, vec![of])))
    }

    #[test]
    fn what_one_process_reads_no_other_one_is_given() {
        let mut claims = Claims::default();
        let one = claim(&mut claims, 7, 1, filter(1), range(10, 19));
        assert_eq!(one, Claimed { work: vec![(filter(1), range(10, 19))], held: vec![] });
        let two = claim(&mut claims, 8, 1, filter(1), range(0, 29));
        let free = [(filter(1), range(0, 9)), (filter(1), range(20, 29))];
        assert_eq!(two, Claimed { work: free.to_vec(), held: vec![(range(10, 19), 7)] });
        // The same process may, and so may one that reads something else.
        assert_eq!(claim(&mut claims, 7, 2, filter(1), range(10, 19)).held, []);
        assert_eq!(claim(&mut claims, 9, 1, filter(2), range(10, 19)).held, []);
        // A wider filter reads it, too; a narrower one does not read what is wider.
        claim(&mut claims, 10, 1, Filter::any(), range(40, 49));
        assert_eq!(claim(&mut claims, 11, 1, filter(3), range(40, 49)).work, []);
        claim(&mut claims, 12, 1, filter(4), range(50, 59));
        assert_eq!(claim(&mut claims, 11, 2, Filter::any(), range(50, 59)).held, []);
    }

    #[test]
    fn what_is_released_is_given_to_the_next() {
        let mut claims = Claims::default();
        let at = range(0, 9);
        claim(&mut claims, 7, 1, filter(1), at);
        claim(&mut claims, 7, 2, filter(2), at);
        assert_eq!(claim(&mut claims, 8, 1, filter(1), at).work, []);
        claims.release(Holder { process: 7, run: 1 });
        assert_eq!(claim(&mut claims, 8, 1, filter(1), at).held, []);
        assert_eq!(claim(&mut claims, 8, 2, filter(2), at).work, []);
        claims.release_all(7);
        assert_eq!(claim(&mut claims, 8, 2, filter(2), at).held, []);
    }

    #[test]
    fn nothing_is_closed_while_another_process_reads_unless_that_is_demanded() {
        let mut claims = Claims::default();
        claim(&mut claims, 0, 1, filter(1), range(0, 9));
        claim(&mut claims, 7, 1, filter(2), range(0, 9));
        assert!(!claims.close(false) && !claims.is_closed());
        claims.release_all(7);
        assert!(claims.close(false) && claims.is_closed());
        let mut claims = Claims::default();
        claim(&mut claims, 7, 1, filter(2), range(0, 9));
        assert!(claims.close(true));
    }
}
