//! One canonical chain: the unfinalized window, what a report changes in it, and what left it.
//!
//! The newest report wins above the finalized block; nothing changes at or below it. Blocks of old
//! branches are remembered, because they may come back. Does not know of events or coverage.

use crate::coverage::merge_nodes;
use alloy_primitives::B256;
use event::{BlockNumHash, BlockRange, BlockRow, NodeId};
use std::collections::BTreeMap;

/// Blocks of left branches that are remembered: weeks of ordinary one-block reorgs.
const ORPHANS_MAX: usize = 16_384;
/// Final blocks below the window whose hashes are remembered: several epochs, deeper than nodes are seen to leave.
const SETTLED_MAX: usize = 1_024;

/// The window above the finalized block, with the newest known block at or below it.
///
/// A block that was read before it was final may have left the chain unseen, so it is final only
/// when a node that calls its height final shows a block that descends from it.
#[derive(Debug, Default)]
pub(crate) struct Canonical {
    finalized: Option<u64>,
    /// Highest block that a node calls final; above `finalized` while the window does not link.
    claimed: Option<u64>,
    /// Heights of the window that were shown to be final, with the nodes that showed it, sorted.
    confirmed: BTreeMap<u64, Vec<NodeId>>,
    /// Nodes that must show a height to be final; 0 counts as 1.
    confirmations: usize,
    /// Two chains are called final: nothing becomes final.
    is_halted: bool,
    chain: BTreeMap<u64, BlockRow>,
    /// Hashes of blocks that were shown to be final and that the window has left behind, the newest of them.
    settled: BTreeMap<u64, B256>,
    orphans: BTreeMap<(u64, B256), BlockRow>,
    /// Highest height at or below which events may be stored that no coverage tells of: of blocks that left
    /// and may come back, and of those that stayed while their coverage became void.
    stored: Option<u64>,
}

/// What a report changes.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    /// Heights that leave the chain or may have left it: their coverage is void.
    pub(crate) void: Option<BlockRange>,
    /// Blocks that leave, newest first.
    pub(crate) reverted: Vec<BlockRow>,
    /// Blocks of an old branch that come back, oldest first.
    pub(crate) reinstated: Vec<BlockRow>,
    /// Blocks that are new or of which more is known, oldest first.
    pub(crate) added: Vec<BlockRow>,
}

/// A report speaks of another chain than the final one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// Height.
    pub(crate) number: u64,
    /// What is final there, where known.
    pub(crate) expected: Option<B256>,
    /// What the report says.
    pub(crate) found: B256,
}

impl Canonical {
    pub(crate) fn new(finalized: Option<u64>, blocks: Vec<BlockRow>) -> Self {
        let stored = blocks.iter().map(|block| block.number).max();
        let mut canonical = Self { finalized, stored, ..Self::default() };
        for block in blocks {
            if block.canonical {
                canonical.chain.insert(block.number, block);
            } else {
                canonical.orphans.insert((block.number, block.hash), block);
            }
        }
        canonical.prune();
        canonical
    }

    pub(crate) const fn finalized(&self) -> Option<u64> {
        self.finalized
    }

    /// Returns how many blocks are held: of the window, shown to be final, of left branches, final
    /// below the window.
    pub(crate) fn held(&self) -> (usize, usize, usize, usize) {
        (self.chain.len(), self.confirmed.len(), self.orphans.len(), self.settled.len())
    }

    pub(crate) const fn is_halted(&self) -> bool {
        self.is_halted
    }

    /// Nothing becomes final while this holds.
    pub(crate) const fn halt(&mut self, is_halted: bool) {
        self.is_halted = is_halted;
    }

    /// Sets how many nodes must show a height to be final.
    pub(crate) const fn set_confirmations(&mut self, nodes: usize) {
        self.confirmations = nodes;
    }

    /// Whether the canonical block of the height is known to be this one.
    pub(crate) fn is_canonical(&self, number: u64, hash: &B256) -> bool {
        self.chain.get(&number).is_some_and(|block| block.hash == *hash)
    }

    /// Whether the block is known to be on a branch that was left.
    pub(crate) fn is_orphan(&self, number: u64, hash: &B256) -> bool {
        self.orphans.contains_key(&(number, *hash))
    }

    /// Keeps a block of a branch that never was canonical; returns its row if it is new.
    pub(crate) fn note_branch(&mut self, block: &BlockRow) -> Option<BlockRow> {
        let (number, hash) = (block.number, block.hash);
        if self.is_canonical(number, &hash) || self.is_orphan(number, &hash) {
            return None;
        }
        let row = left(block);
        self.orphans.insert((number, hash), row.clone());
        self.prune();
        Some(row)
    }

    /// Returns the newest known block at or below the finalized height.
    pub(crate) fn final_block(&self) -> Option<BlockNumHash> {
        let (number, block) = self.chain.range(..=self.finalized?).next_back()?;
        Some(BlockNumHash { number: *number, hash: block.hash })
    }

    /// Whether a node calls the height final.
    pub(crate) fn is_final(&self, number: u64) -> bool {
        self.finalized.max(self.claimed).is_some_and(|finalized| number <= finalized)
    }

    /// Whether nothing can change at the height any more.
    pub(crate) fn is_settled(&self, number: u64) -> bool {
        self.finalized.is_some_and(|finalized| number <= finalized)
    }

    /// Raises the finalized block; returns whether it rose.
    pub(crate) fn finalize(&mut self, number: u64) -> bool {
        if self.is_halted || self.is_settled(number) {
            return false;
        }
        self.finalized = Some(number);
        self.prune();
        true
    }

    /// Takes a node's word for what is final; returns whether the finalized block rose.
    pub(crate) fn claim(&mut self, number: u64) -> bool {
        if !self.is_halted {
            self.claimed = self.claimed.max(Some(number));
        }
        self.settle()
    }

    /// Takes blocks of a node that calls `finalized` final: what they descend from is final up to
    /// there. Returns whether the finalized block rose.
    pub(crate) fn confirm(&mut self, blocks: &[BlockRow], finalized: u64, node: &NodeId) -> bool {
        for block in blocks {
            let mut at = Some((block.number, block.hash));
            let is_known = self.chain.get(&block.number).is_some_and(|b| b.hash == block.hash);
            if !is_known {
                at = block.number.checked_sub(1).zip(block.parent);
            }
            while let Some((number, hash)) = at
                && let Some(known) = self.chain.get(&number).filter(|known| known.hash == hash)
                && !self.is_settled(number)
            {
                if number <= finalized {
                    let nodes = self.confirmed.entry(number).or_default();
                    let Err(at) = nodes.binary_search(node) else { break };
                    nodes.insert(at, node.clone());
                }
                at = number.checked_sub(1).zip(known.parent);
            }
        }
        if !self.confirmed.is_empty() {
            blocks.iter().rev().for_each(|block| self.inherit(block));
        }
        self.settle()
    }

    /// Hands down who showed the block above to be final, to a block that was read after it: what
    /// they showed then ended in a gap.
    fn inherit(&mut self, block: &BlockRow) {
        let mut number = block.number;
        loop {
            let above = number.checked_add(1).and_then(|above| self.chain.get(&above));
            let (Some(above), Some(known)) = (above, self.chain.get(&number)) else { return };
            let is_linked = above.parent == Some(known.hash);
            if !is_linked || self.is_settled(number) {
                return;
            }
            let Some(heritage) = self.confirmed.get(&above.number).cloned() else { return };
            let nodes = self.confirmed.entry(number).or_default();
            let before = nodes.len();
            merge_nodes(nodes, &heritage);
            let has_grown = nodes.len() > before;
            match number.checked_sub(1) {
                Some(below) if has_grown => number = below,
                _ => return,
            }
        }
    }

    /// Raises the finalized block as far as the window was shown to be final.
    fn settle(&mut self) -> bool {
        let Some(claimed) = self.claimed.filter(|claimed| !self.is_settled(*claimed)) else {
            return false;
        };
        let first = self.finalized.map_or(0, |finalized| finalized.saturating_add(1));
        let unsure = self.chain.range(first..=claimed).map(|(number, _)| *number);
        let nodes = |number: &u64| self.confirmed.get(number).map_or(0, Vec::len);
        let unsure = unsure.into_iter().find(|number| nodes(number) < self.confirmations.max(1));
        let last = unsure.map_or(Some(claimed), |unsure| unsure.checked_sub(1));
        last.is_some_and(|last| self.finalize(last))
    }

    /// Events may be stored up to here that no coverage tells of.
    pub(crate) fn note_stored(&mut self, last: u64) {
        self.stored = self.stored.max(Some(last));
    }

    /// Returns the canonical hash at a height, where known.
    pub(crate) fn hash_at(&self, number: u64) -> Option<B256> {
        let parent_of_next =
            || number.checked_add(1).and_then(|next| self.chain.get(&next)).and_then(|b| b.parent);
        self.chain.get(&number).map(|block| block.hash).or_else(parent_of_next)
    }

    /// Whether events may be stored from this height on that no coverage tells of.
    pub(crate) fn may_hold_events(&self, first: u64) -> bool {
        self.stored.is_some_and(|stored| first <= stored)
    }

    /// Returns what the blocks (sorted, canonical as reported) change; changes nothing yet.
    /// `is_covered` tells whether a filter is read at a height.
    pub(crate) fn plan(
        &self,
        blocks: &[BlockRow],
        is_covered: impl Fn(u64) -> bool,
    ) -> Result<Switch, Conflict> {
        let mut fork: Option<u64> = None;
        for (i, block) in blocks.iter().enumerate() {
            let below = i.checked_sub(1).map(|i| &blocks[i]);
            if let Some(lower) = self.contradiction(block, below, &is_covered)? {
                fork = Some(fork.map_or(lower, |fork| fork.min(lower)));
            }
        }
        let mut switch = Switch::default();
        if let Some(fork) = fork {
            let last = self.last_left(fork, blocks);
            let first = self.ancestor_of(fork).map_or(0, |number| number + 1);
            switch.void = BlockRange::new(first, last.max(first));
            let leaving = self.chain.range(fork..).rev().filter(|(number, _)| **number <= last);
            switch.reverted = leaving.map(|(_, block)| left(block)).collect();
        }
        // A block that left comes back also where its height was called final meanwhile: its events
        // would stay left for good.
        let is_kept = |block: &&BlockRow| {
            self.is_of_window(block.number) || self.is_orphan(block.number, &block.hash)
        };
        for block in blocks.iter().filter(is_kept) {
            let known = self.chain.get(&block.number).filter(|known| known.hash == block.hash);
            let stays = fork.is_none_or(|fork| block.number < fork);
            match known {
                Some(known) if stays => {
                    if let Some(fuller) = fuller(known, block) {
                        switch.added.push(fuller);
                    }
                }
                // Above the fork, and on both branches as far as the report knows: it never left.
                Some(known) => {
                    switch.reverted.retain(|b| b.number != known.number);
                    if let Some(fuller) = fuller(known, block) {
                        switch.added.push(fuller);
                    }
                }
                None => match self.orphans.get(&(block.number, block.hash)) {
                    Some(orphan) => {
                        let back = fuller(orphan, block).unwrap_or_else(|| orphan.clone());
                        switch.reinstated.push(BlockRow { canonical: true, ..back });
                    }
                    None => switch.added.push(block.clone()),
                },
            }
        }
        Ok(switch)
    }

    /// Takes what [`Self::plan`] returned.
    pub(crate) fn apply(&mut self, switch: &Switch) {
        if let (Some(void), Some((top, _))) = (switch.void, self.chain.last_key_value()) {
            // Of what is void more may be stored than the window knows of.
            self.note_stored(void.last().min(*top));
        }
        for block in &switch.reverted {
            self.chain.remove(&block.number);
            self.confirmed.remove(&block.number);
            self.orphans.insert((block.number, block.hash), block.clone());
        }
        for block in switch.reinstated.iter().chain(&switch.added) {
            self.orphans.remove(&(block.number, block.hash));
            self.chain.insert(block.number, block.clone());
        }
        self.prune();
    }

    /// Takes a row of a final block: it serves as the lower end of the window if it is the newest.
    pub(crate) fn note_final(&mut self, block: &BlockRow) {
        if !self.is_settled(block.number) {
            return;
        }
        let newest = self.finalized.and_then(|f| self.chain.range(..=f).next_back());
        if newest.is_none_or(|(number, _)| *number < block.number) {
            self.chain.insert(block.number, block.clone());
            self.prune();
        }
    }

    /// Returns the lowest canonical height that this block contradicts.
    fn contradiction(
        &self,
        block: &BlockRow,
        below: Option<&BlockRow>,
        is_covered: &impl Fn(u64) -> bool,
    ) -> Result<Option<u64>, Conflict> {
        let mut fork = None;
        let known = |number: u64| {
            (self.chain.get(&number).map(|block| block.hash)).or_else(|| self.settled_at(number))
        };
        let differs = |number: u64, hash: B256| known(number).filter(|known| *known != hash);
        if let Some(expected) = differs(block.number, block.hash) {
            if self.is_settled(block.number) {
                let expected = Some(expected);
                return Err(Conflict { number: block.number, expected, found: block.hash });
            }
            fork = Some(block.number);
        }
        let orphan = self.orphans.get(&(block.number, block.hash));
        let is_back = || self.goes_on(block, below) && !is_covered(block.number);
        if orphan.is_some() && self.is_settled(block.number) && !is_back() {
            // It left the chain, and what took its place is final.
            let expected = self.hash_at(block.number).filter(|hash| *hash != block.hash);
            return Err(Conflict { number: block.number, expected, found: block.hash });
        }
        // Canonical above, but not a child of this block.
        if !self.is_settled(block.number)
            && let Some(above) = block.number.checked_add(1).and_then(|n| self.chain.get(&n))
            && above.parent.is_some_and(|parent| parent != block.hash)
        {
            fork = fork.or(Some(above.number));
        }
        // Parents that are not canonical: the fork starts lower than the report.
        let mut parent = block.parent;
        let mut number = block.number;
        while let (Some(hash), Some(lower)) = (parent, number.checked_sub(1)) {
            if below.is_some_and(|below| below.number == lower) {
                break;
            }
            let Some(expected) = differs(lower, hash) else { break };
            if self.is_settled(lower) {
                return Err(Conflict { number: lower, expected: Some(expected), found: hash });
            }
            fork = Some(lower);
            parent = self.orphans.get(&(lower, hash)).and_then(|orphan| orphan.parent);
            number = lower;
        }
        Ok(fork)
    }

    /// Returns the hash of a final block below the window, where it is known.
    fn settled_at(&self, number: u64) -> Option<B256> {
        let is_below = number.checked_add(1).is_some_and(|above| self.is_settled(above));
        let known = || self.settled.get(&number).copied().or_else(|| self.hash_at(number));
        is_below.then(known).flatten()
    }

    /// Whether the block is the child of the newest known final block, or of the block below it in the
    /// report: where a branch left that was read before it was final, nothing took its place yet.
    fn goes_on(&self, block: &BlockRow, below: Option<&BlockRow>) -> bool {
        let below = below.map(|below| BlockNumHash { number: below.number, hash: below.hash });
        let mut lower = self.final_block().into_iter().chain(below);
        block
            .number
            .checked_sub(1)
            .zip(block.parent)
            .is_some_and(|(number, hash)| lower.any(|lower| lower == BlockNumHash { number, hash }))
    }

    /// Returns the highest height below the fork that still holds: a known block or one that is final. What is
    /// called final and not of the window was read when it was final already: no fork reaches it.
    fn ancestor_of(&self, fork: u64) -> Option<u64> {
        let known = self.chain.range(..fork).next_back().map(|(number, _)| *number);
        let highest = self.finalized.max(self.claimed);
        known.max(highest.and_then(|highest| Some(highest.min(fork.checked_sub(1)?))))
    }

    /// Returns the highest height that leaves when there is a fork. A tracker that walks down a
    /// new branch reports the lower end of what is canonical already: what links to it stays.
    fn last_left(&self, fork: u64, blocks: &[BlockRow]) -> u64 {
        let Some(top) = blocks.last() else { return u64::MAX };
        let above = top.number.checked_add(1).and_then(|number| self.chain.get(&number));
        if above.is_some_and(|above| above.parent == Some(top.hash)) {
            return top.number;
        }
        if !self.is_final(fork) {
            return u64::MAX;
        }
        // Beyond the run of blocks that were read before they were final everything was read
        // later, and on the new branch.
        let heights = self.chain.range(fork..).map(|(number, _)| *number);
        heights.zip(fork..).take_while(|(number, next)| number == next).last().map_or(fork, |l| l.0)
    }

    /// Whether a reported block belongs in the window: it is not final, or takes the place of one
    /// that was read before it was. Where several nodes have to show what is final, it does also
    /// above a block that they have not shown yet: what they show later must lead down to that one.
    fn is_of_window(&self, number: u64) -> bool {
        if !self.is_final(number) {
            return true;
        }
        let first = self.finalized.map_or(0, |finalized| finalized.saturating_add(1));
        let is_above_unsure = || {
            self.confirmations > 1
                && first < number
                && self.chain.range(first..number).next().is_some()
        };
        !self.is_settled(number) && (self.chain.contains_key(&number) || is_above_unsure())
    }

    fn prune(&mut self) {
        if let Some(finalized) = self.finalized
            && let Some(newest) = self.chain.range(..=finalized).next_back().map(|(n, _)| *n)
        {
            let window = self.chain.split_off(&newest);
            let left = std::mem::replace(&mut self.chain, window).into_iter();
            let shown = left.filter(|(number, _)| self.confirmed.contains_key(number));
            self.settled.extend(shown.map(|(number, block)| (number, block.hash)));
            self.confirmed = self.confirmed.split_off(&newest);
        }
        while self.settled.len() > SETTLED_MAX {
            self.settled.pop_first();
        }
        while self.orphans.len() > ORPHANS_MAX {
            self.orphans.pop_first();
        }
    }
}

fn left(block: &BlockRow) -> BlockRow {
    BlockRow { canonical: false, ..block.clone() }
}

/// Returns the known row with what the new one adds, or `None` when it adds nothing.
fn fuller(known: &BlockRow, new: &BlockRow) -> Option<BlockRow> {
    let parent = known.parent.or(new.parent);
    let timestamp = known.timestamp.or(new.timestamp);
    let adds = parent != known.parent || timestamp != known.timestamp;
    adds.then(|| BlockRow { parent, timestamp, ..known.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u64, name: u8, parent: u8, canonical: bool) -> BlockRow {
        let (hash, parent) = (B256::repeat_byte(name), Some(B256::repeat_byte(parent)));
        BlockRow { number, hash, parent, timestamp: None, canonical }
    }

    /// Two branches took turns; the part that came back last was called final before it was read
    /// again, and nobody knows another block there.
    #[test]
    fn a_block_that_left_comes_back_also_where_its_height_is_claimed_final() {
        let blocks = vec![row(1, 1, 0, true), row(2, 2, 1, false), row(3, 3, 2, true)];
        let mut canonical = Canonical::new(Some(0), blocks);
        canonical.set_confirmations(2);
        canonical.claim(2);
        let plan = canonical.plan(&[row(2, 2, 1, true)], |_| false).unwrap_or_default();
        assert_eq!(plan.reinstated, [row(2, 2, 1, true)]);
        assert!(plan.reverted.is_empty());
    }
}
