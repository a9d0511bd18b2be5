//! Logs that are not admitted yet: held by id until enough nodes agree or receipts decide.
//!
//! Does not decide when an event is admitted; it keeps who said what.

use crate::coverage::merge_nodes;
use alloy_primitives::B256;
use event::{BlockNumHash, Candidate, EventId, NodeId};
use std::collections::BTreeMap;

/// Candidates held per chain; a node that floods us beyond it leaves its blocks open instead.
const CANDIDATES_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(crate) struct Candidates {
    by_block: BTreeMap<B256, BTreeMap<EventId, Candidate>>,
    count: usize,
}

impl Candidates {
    pub(crate) fn new(candidates: Vec<Candidate>) -> Self {
        let mut held = Self::default();
        for candidate in candidates {
            held.put(candidate);
        }
        held
    }

    pub(crate) const fn held(&self) -> usize {
        self.count
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Candidate> {
        self.by_block.values().flat_map(BTreeMap::values)
    }

    pub(crate) fn in_block(&self, hash: &B256) -> impl Iterator<Item = &Candidate> {
        self.by_block.get(hash).into_iter().flat_map(BTreeMap::values)
    }

    /// Returns the blocks with candidates, lowest first.
    pub(crate) fn blocks(&self) -> Vec<BlockNumHash> {
        let first = |(hash, block): (&B256, &BTreeMap<EventId, Candidate>)| {
            let number = block.values().next()?.number;
            Some(BlockNumHash { number, hash: *hash })
        };
        let mut blocks: Vec<BlockNumHash> = self.by_block.iter().filter_map(first).collect();
        blocks.sort_unstable();
        blocks
    }

    pub(crate) fn has_block(&self, hash: &B256) -> bool {
        self.by_block.contains_key(hash)
    }

    pub(crate) fn get(&self, id: &EventId) -> Option<&Candidate> {
        self.by_block.get(&id.block_hash)?.get(id)
    }

    /// Adds a node's word; returns the candidate if it is new or changed. A new one beyond the
    /// bound is not held.
    pub(crate) fn say(
        &mut self,
        id: EventId,
        node: &NodeId,
        new: impl FnOnce() -> Candidate,
    ) -> Option<Candidate> {
        let held = self.by_block.get_mut(&id.block_hash).and_then(|block| block.get_mut(&id));
        if let Some(held) = held {
            if held.nodes.binary_search(node).is_ok() {
                return None;
            }
            merge_nodes(&mut held.nodes, std::slice::from_ref(node));
            return Some(held.clone());
        }
        if self.count >= CANDIDATES_MAX {
            return None;
        }
        let candidate = new();
        self.put(candidate.clone());
        Some(candidate)
    }

    /// Has a log wait that some nodes told, for one more; returns the candidate if it is new or changed.
    /// Beyond the bound a new one is not held.
    pub(crate) fn hold(&mut self, candidate: Candidate) -> Option<Candidate> {
        let Candidate { id, nodes, .. } = &candidate;
        let Some(held) = self.by_block.get_mut(&id.block_hash).and_then(|b| b.get_mut(id)) else {
            let has_room = self.count < CANDIDATES_MAX;
            has_room.then(|| self.put(candidate.clone()));
            return has_room.then_some(candidate);
        };
        let before = held.nodes.len();
        merge_nodes(&mut held.nodes, nodes);
        (held.nodes.len() > before).then(|| held.clone())
    }

    pub(crate) fn close(&mut self, id: &EventId) -> Option<Candidate> {
        let block = self.by_block.get_mut(&id.block_hash)?;
        let closed = block.remove(id)?;
        if block.is_empty() {
            self.by_block.remove(&id.block_hash);
        }
        self.count -= 1;
        Some(closed)
    }

    /// Drops the candidates of some blocks and returns them.
    pub(crate) fn drop_blocks(&mut self, is_gone: impl Fn(u64, &B256) -> bool) -> Vec<EventId> {
        let gone = self.by_block.extract_if(.., |hash, block| {
            block.values().next().is_some_and(|candidate| is_gone(candidate.number, hash))
        });
        let gone: Vec<_> = gone.map(|(_, block)| block).collect();
        let ids: Vec<EventId> = gone.into_iter().flat_map(BTreeMap::into_keys).collect();
        self.count -= ids.len();
        ids
    }

    fn put(&mut self, candidate: Candidate) {
        let block = self.by_block.entry(candidate.id.block_hash).or_default();
        if block.insert(candidate.id, candidate).is_none() {
            self.count += 1;
        }
    }
}
