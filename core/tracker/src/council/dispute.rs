//! Nodes that stand on another block where one is final: who is named, when promotion halts, and
//! when it goes on.

use super::{Council, Decision, seat::Seat};
use alloy_primitives::B256;
use event::{BlockNumHash, NodeId};

/// Nodes stand on another finalized block than that of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Block of the chain, at or below the finalized height.
    pub at: BlockNumHash,
    /// What the others have there.
    pub found: B256,
    /// The others, sorted.
    pub nodes: Vec<NodeId>,
    /// Nodes that stand on the chain, sorted.
    pub kept: Vec<NodeId>,
}

impl Council {
    /// Returns why promotion is halted, if it is.
    pub const fn halted(&self) -> Option<&Conflict> {
        self.halted.as_ref()
    }

    /// Returns the final height at which a node has another block, while it does.
    pub fn left_at(&self, node: &NodeId) -> Option<u64> {
        self.seats.get(node)?.left_at
    }

    /// Says how many nodes there are, also of those that were never heard of.
    pub fn set_nodes(&mut self, count: usize, now_ms: u64) -> Vec<Decision> {
        self.nodes = count;
        self.reconsider(now_ms)
    }

    /// Notes where a node stands now. One that left is back when it shows a block of the chain, and not
    /// when it shows nothing that could be compared.
    pub(super) fn note_place(&mut self, node: &NodeId) {
        let fork = self.fork_of(node);
        let is_left = fork.filter(|fork| self.is_final(*fork));
        let is_back = fork.is_none() && self.shares(node);
        let Some(seat) = self.seats.get_mut(node) else { return };
        if is_left.is_some() {
            seat.left_at = seat.left_at.or(is_left);
        } else if is_back {
            seat.left_at = None;
            seat.named = seat.named.map(|(block, _)| (block, true));
        }
    }

    /// Whether what a node shows above a gap is not to be followed: it left the chain, and others that
    /// did not are there.
    pub(super) fn is_doubtful(&self, node: &NodeId) -> bool {
        let left = |seat: &Seat| seat.left_at.is_some();
        self.seats.get(node).is_some_and(left)
            && !self.shares(node)
            && self.seats.values().any(|seat| !seat.is_away && !left(seat))
    }

    /// Names those who left and were not named yet, halts promotion and lets it go on.
    pub(super) fn settle_dispute(&mut self, now_ms: u64) -> Vec<Decision> {
        let all: Vec<NodeId> = self.seats.keys().cloned().collect();
        all.iter().for_each(|node| self.note_place(node));
        let left: Vec<(NodeId, BlockNumHash)> = all
            .into_iter()
            .filter_map(|node| self.contradicts(&node, now_ms).map(|at| (node, at)))
            .collect();
        let is_halt = !left.is_empty() && left.len() * 2 >= self.nodes;
        let mut decisions = Vec::new();
        for (node, at) in &left {
            let Some(found) = self.found_at(node, at.number) else { continue };
            let kept = self.staying(*at, &left, now_ms);
            let Some(seat) = self.seats.get_mut(node) else { continue };
            let is_said = seat.finalized.is_some_and(|own| own >= at.number);
            if seat.is_named() || !(is_halt || self.halted.is_some() || is_said) {
                continue;
            }
            seat.named = Some((BlockNumHash { number: at.number, hash: found }, false));
            decisions.push(Decision::Name(Conflict {
                at: *at,
                found,
                nodes: vec![node.clone()],
                kept,
            }));
        }
        match (&self.halted, left.first()) {
            (None, Some((node, at))) if is_halt => {
                let found = self.found_at(node, at.number).unwrap_or_default();
                let kept = self.staying(*at, &left, now_ms);
                let nodes = left.iter().map(|(node, _)| node.clone()).collect();
                let conflict = Conflict { at: *at, found, nodes, kept };
                self.halted = Some(conflict.clone());
                decisions.push(Decision::Halt(conflict));
            }
            (Some(halted), _) => {
                let at = self.final_block().unwrap_or(halted.at);
                if self.staying(at, &left, now_ms).len() * 2 > self.nodes {
                    self.halted = None;
                    decisions.push(Decision::GoOn);
                }
            }
            _ => {}
        }
        decisions
    }

    /// Returns the block of the chain that a live node contradicts: the final one, or one that it and a
    /// node of the chain call final although the ledger does not yet.
    fn contradicts(&self, node: &NodeId, now_ms: u64) -> Option<BlockNumHash> {
        let seat = self.seats.get(node)?;
        let at = if seat.left_at.is_some() {
            self.final_block()?
        } else {
            let number = self.fork_of(node)?;
            let calls_final = |seat: &Seat| seat.finalized.is_some_and(|own| own >= number);
            let mut others = self.seats.values().filter(|other| {
                other.counts(number, now_ms, self.stale_ms)
                    && other.stands_on(number, &self.chosen)
                    && calls_final(other)
            });
            if !calls_final(seat) || others.next().is_none() {
                return None;
            }
            BlockNumHash { number, hash: self.hash_at(number)? }
        };
        seat.counts(at.number, now_ms, self.stale_ms).then_some(at)
    }

    /// Live nodes that stand on a block of the chain and contradict none.
    fn staying(
        &self,
        at: BlockNumHash,
        left: &[(NodeId, BlockNumHash)],
        now_ms: u64,
    ) -> Vec<NodeId> {
        let stays = |(node, seat): &(&NodeId, &Seat)| {
            seat.counts(at.number, now_ms, self.stale_ms)
                && seat.left_at.is_none()
                && left.iter().all(|(other, _)| other != *node)
                && seat.stands_on(at.number, &self.chosen)
        };
        self.seats.iter().filter(stays).map(|(node, _)| node.clone()).collect()
    }

    /// Whether a block of the node is one of the chosen branch. The newest come first: the older ones of a node are
    /// mostly long final, and it is asked at every step of a watch.
    pub(super) fn shares(&self, node: &NodeId) -> bool {
        let mut blocks = self.seats.get(node).into_iter().flat_map(|seat| seat.blocks.iter().rev());
        blocks.any(|(number, (hash, _))| self.hash_at(*number) == Some(*hash))
    }

    /// What a node that left has at a height, or at the first one above.
    fn found_at(&self, node: &NodeId, height: u64) -> Option<B256> {
        self.seats.get(node)?.blocks.range(height..).next().map(|(_, (hash, _))| *hash)
    }

    /// The block that is defended.
    fn final_block(&self) -> Option<BlockNumHash> {
        let (number, (hash, _)) = self.chosen.range(..=self.finalized?).next_back()?;
        Some(BlockNumHash { number: *number, hash: *hash })
    }
}
