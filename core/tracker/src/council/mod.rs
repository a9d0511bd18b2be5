//! Decides for one chain which branch is read when nodes show different ones.
//!
//! The rules, in full:
//!
//! - A branch that extends or repeats the chosen one is followed at once.
//! - A branch that forks from the chosen one at height f replaces it only when strictly more nodes
//!   have its block at f than have the chosen block at f. A node whose head is below f counts for
//!   neither, nor does one whose head made no progress for [`STALE_BLOCKS`] block times. So a node
//!   that is stale or lags never causes a switch, and a tie keeps what is there.
//! - Above f the new branch is that of most nodes on it; of equals the one seen first.
//! - A node that moved off the chosen branch no longer stands for it: with one node, every reorg
//!   is followed at once.
//! - On a switch, nodes left on the old branch are held, and those that were held on the new one
//!   are released from f.
//! - A node whose branch differs at or below the finalized height has left the chain: its branch is
//!   never followed, and it is named once; so is one that calls another block final than a node of the
//!   chain does, before the ledger knows which is. Where half of the nodes or more have left, promotion halts:
//!   one of both is wrong, and nothing here can tell which. Nodes that are away have not left. What the
//!   others say is followed all the same. When most nodes stand on the chain again, promotion goes on.
//!
//! It counts words and proves nothing. Above the heights that honest nodes have reached, a node
//! that is alone may lead the chosen branch until they come there.

mod dispute;
mod seat;

pub use dispute::Conflict;

use crate::{Branch, Ruling};
use alloy_primitives::B256;
use event::{BlockNumHash, ChainProfile, Held, NodeId};
use seat::{BLOCKS_MAX, Blocks, Seat};
use std::collections::BTreeMap;

/// Block times without progress of its head after which a node's word does not count.
const STALE_BLOCKS: u64 = 4;

/// What is to be done with a node's branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Hand the ruling to the node's follower.
    Rule {
        /// Whose.
        node: NodeId,
        /// The ruling.
        ruling: Ruling,
    },
    /// The node's branch is the chain now: its blocks are to be read from this height on.
    Release {
        /// Whose.
        node: NodeId,
        /// Lowest height that changed.
        from: u64,
    },
    /// The only node of the conflict left the finalized chain, which it was not named for yet.
    Name(Conflict),
    /// Half of the nodes or more have left the finalized chain: nothing may become final.
    Halt(Conflict),
    /// Most nodes stand on the finalized chain again.
    GoOn,
}

/// Chooses among the branches of one chain's nodes.
#[derive(Debug)]
pub struct Council {
    stale_ms: u64,
    /// How many nodes there are, whether they answer or not.
    nodes: usize,
    finalized: Option<u64>,
    chosen: Blocks,
    seats: BTreeMap<NodeId, Seat>,
    halted: Option<Conflict>,
}

impl Council {
    /// Returns a council of so many nodes that begins with the ledger's chain: its blocks above the
    /// finalized one, and that one where it is known, so that a conflict with it can be seen.
    pub fn new(
        profile: &ChainProfile,
        nodes: usize,
        window: Vec<BlockNumHash>,
        finalized: Option<u64>,
    ) -> Self {
        let chosen = window.into_iter().map(|b| (b.number, (b.hash, 0))).collect();
        let mut council = Self {
            nodes,
            stale_ms: profile.block_time_ms.saturating_mul(STALE_BLOCKS),
            finalized,
            chosen,
            seats: BTreeMap::new(),
            halted: None,
        };
        council.bound_chosen();
        council
    }

    /// Returns the chosen branch as far as it is held, oldest first: what a node that comes now is
    /// to link to.
    pub fn window(&self) -> Vec<BlockNumHash> {
        self.chosen
            .iter()
            .map(|(number, (hash, _))| BlockNumHash { number: *number, hash: *hash })
            .collect()
    }

    /// Whether a node's branch is not read: what it says of recent blocks is of another chain.
    pub fn is_held(&self, node: &NodeId) -> bool {
        self.seats.get(node).is_some_and(|seat| seat.is_held)
    }

    /// Returns the branch that a node stands on, as far as it is held, oldest first.
    pub fn branch_of(&self, node: &NodeId) -> Vec<BlockNumHash> {
        let blocks = self.seats.get(node).map(|seat| &seat.blocks);
        let block = |(number, (hash, _)): (&u64, &(B256, u64))| BlockNumHash {
            number: *number,
            hash: *hash,
        };
        blocks.into_iter().flatten().map(block).collect()
    }

    /// Takes a node's branch. The first rulings are of nodes that lose the chain, then comes that
    /// of this node.
    pub fn on_branch(&mut self, branch: &Branch, now_ms: u64) -> Vec<Decision> {
        let node = &branch.node;
        let seat = self.seats.entry(node.clone()).or_default();
        let first = branch.blocks.first().map(|first| first.number);
        seat.take(branch, now_ms);
        let mut decisions = Vec::new();
        self.note_place(node);
        match self.fork_of(node) {
            None if self.is_doubtful(node) => self.set_held(node, true),
            None => {
                self.extend(node);
                self.set_held(node, false);
            }
            Some(fork) => {
                self.set_held(node, true);
                if self.wins(node, fork, now_ms) {
                    decisions = self.switch(node, fork);
                }
            }
        }
        let is_held = self.seats.get(node).is_some_and(|seat| seat.is_held);
        let ruling = if is_held { Ruling::Hold } else { Ruling::Follow };
        // The branch itself is read on the ruling; a release is due for what was held below it.
        let is_own = |decision: &Decision| match decision {
            Decision::Release { node: released, from } => {
                released == node && first.is_none_or(|first| *from >= first)
            }
            _ => false,
        };
        decisions.retain(|decision| !is_own(decision));
        let is_release = |decision: &Decision| matches!(decision, Decision::Release { .. });
        let at = decisions.iter().position(is_release).unwrap_or(decisions.len());
        decisions.insert(at, Decision::Rule { node: node.clone(), ruling });
        decisions.extend(self.reconsider(now_ms));
        decisions
    }

    /// Takes a node's head, and what it calls final: it came to a new height, fell back, or stands still.
    pub fn on_head(
        &mut self,
        node: &NodeId,
        head: BlockNumHash,
        finalized: Option<u64>,
        now_ms: u64,
    ) {
        let is_chosen = self.hash_at(head.number) == Some(head.hash);
        let seat = self.seats.entry(node.clone()).or_default();
        seat.finalized = finalized;
        seat.on_head(head, is_chosen, now_ms);
    }

    /// A node answers nothing: its word does not count, and where it stood is remembered.
    pub fn leave(&mut self, node: &NodeId, now_ms: u64) -> Vec<Decision> {
        if let Some(seat) = self.seats.get_mut(node) {
            seat.is_away = true;
        }
        self.reconsider(now_ms)
    }

    /// Takes a node away for good. [`Self::set_nodes`] says how many there are then.
    pub fn remove(&mut self, node: &NodeId) {
        self.seats.remove(node);
    }

    /// Counts anew: nodes may have become stale or fallen back. To be called about once in a block
    /// time.
    pub fn on_time(&mut self, now_ms: u64) -> Vec<Decision> {
        self.reconsider(now_ms)
    }

    /// Raises the finalized height; a lower one is ignored. `block` is the newest block at or below
    /// it that the ledger knows, if it knows one: whatever else is chosen up to there was never shown to be
    /// final, and is not defended.
    pub fn finalize(&mut self, number: u64, block: Option<BlockNumHash>) {
        if self.finalized.is_some_and(|finalized| number < finalized) {
            return;
        }
        self.finalized = Some(number);
        let Some(block) = block else {
            return self.chosen.retain(|height, _| *height > number);
        };
        match self.hash_at(block.number) {
            // What lies above is of the branch that is not final.
            Some(hash) if hash != block.hash => self.chosen.clear(),
            Some(_) | None => self.chosen = self.chosen.split_off(&block.number),
        }
        self.chosen.retain(|height, _| *height == block.number || *height > number);
        self.chosen.entry(block.number).or_insert((block.hash, 0));
    }

    /// Returns the head of the chosen branch.
    pub fn head(&self) -> Option<BlockNumHash> {
        let (number, (hash, _)) = self.chosen.last_key_value()?;
        Some(BlockNumHash { number: *number, hash: *hash })
    }

    /// Returns the chosen block of a height, where known.
    pub fn hash_at(&self, number: u64) -> Option<B256> {
        self.chosen.get(&number).map(|(hash, _)| *hash)
    }

    /// Returns the highest height of the chosen branch up to which every block was first seen at
    /// least `agree_wait_ms` ago: long enough for the others to have spoken.
    pub fn settled(&self, now_ms: u64, agree_wait_ms: u64) -> Option<u64> {
        let is_old = |seen_ms: u64| seen_ms.saturating_add(agree_wait_ms) <= now_ms;
        let old = self.chosen.iter().take_while(|(_, (_, seen_ms))| is_old(*seen_ms));
        old.last().map(|(number, _)| *number)
    }

    /// Returns the number of blocks that are remembered, of the chosen branch and of all nodes.
    pub fn held(&self) -> Held {
        let of_nodes = self.seats.values().map(|seat| seat.blocks.len()).sum();
        vec![("blocks of the chosen branch", self.chosen.len()), ("blocks of nodes", of_nodes)]
    }

    fn set_held(&mut self, node: &NodeId, is_held: bool) {
        if let Some(seat) = self.seats.get_mut(node) {
            seat.is_held = is_held;
        }
    }

    /// Returns the lowest height at which the node has another block than the chosen one. Both are
    /// chains of parents: below a block that is the same nothing differs.
    fn fork_of(&self, node: &NodeId) -> Option<u64> {
        let own = self.seats.get(node)?.blocks.iter().rev();
        let known = own.filter_map(|(number, own)| Some((number, own.0, self.hash_at(*number)?)));
        let differing = known.take_while(|(_, own, chosen)| own != chosen);
        differing.last().map(|(number, ..)| *number)
    }

    /// Numbers of nodes that stand on the candidate's branch at the fork, and on the chain.
    fn count(&self, candidate: &Seat, fork: u64, now_ms: u64) -> (usize, usize) {
        let live = || self.seats.values().filter(|seat| seat.counts(fork, now_ms, self.stale_ms));
        let others = live().filter(|seat| seat.stands_on(fork, &candidate.blocks));
        let own = live().filter(|seat| seat.stands_on(fork, &self.chosen));
        (others.count(), own.count())
    }

    fn is_final(&self, number: u64) -> bool {
        self.finalized.is_some_and(|finalized| number <= finalized)
    }

    fn wins(&self, node: &NodeId, fork: u64, now_ms: u64) -> bool {
        let Some(seat) = self.seats.get(node) else { return false };
        let (others, own) = self.count(seat, fork, now_ms);
        seat.left_at.is_none()
            && !self.is_final(fork)
            && seat.counts(fork, now_ms, self.stale_ms)
            && others > own
    }

    /// Looks whether a final block is disputed, or a branch that was held has won by now.
    fn reconsider(&mut self, now_ms: u64) -> Vec<Decision> {
        let mut decisions = self.settle_dispute(now_ms);
        // Each switch is won by strictly more nodes, so there are no more of them than nodes.
        for _ in 0..self.seats.len() {
            let forks: Vec<(NodeId, u64)> = (self.seats.keys())
                .filter_map(|node| Some((node.clone(), self.fork_of(node)?)))
                .collect();
            let Some((node, fork)) =
                forks.into_iter().find(|(node, fork)| self.wins(node, *fork, now_ms))
            else {
                break;
            };
            decisions.extend(self.switch(&node, fork));
        }
        decisions
    }

    /// Returns the next block from a height up that most of these nodes have, or of equals the one
    /// seen first.
    fn lead(&self, nodes: &[NodeId], height: u64) -> Option<(u64, (B256, u64))> {
        let blocks = || nodes.iter().filter_map(|node| Some(&self.seats.get(node)?.blocks));
        let number = *blocks().filter_map(|b| b.range(height..).next()).map(|(n, _)| n).min()?;
        let mut votes: BTreeMap<B256, (usize, u64)> = BTreeMap::new();
        for (hash, seen_ms) in blocks().filter_map(|blocks| blocks.get(&number)) {
            let vote = votes.entry(*hash).or_insert((0, *seen_ms));
            *vote = (vote.0 + 1, vote.1.min(*seen_ms));
        }
        let best = votes.into_iter().max_by_key(|(_, (count, seen_ms))| (*count, !*seen_ms));
        best.map(|(hash, (_, seen_ms))| (number, (hash, seen_ms)))
    }

    /// Whether another block is chosen at that height.
    pub fn has_left(&self, block: BlockNumHash) -> bool {
        self.hash_at(block.number).is_some_and(|hash| hash != block.hash)
    }

    /// Forgets the oldest blocks beyond the bound, but not the final one: it is what is defended.
    fn bound_chosen(&mut self) {
        let last = self.finalized.and_then(|last| self.chosen.range(..=last).next_back());
        let kept = last.map(|(number, _)| *number);
        while self.chosen.len() > BLOCKS_MAX {
            let Some(oldest) = self.chosen.keys().copied().find(|n| Some(*n) != kept) else {
                return;
            };
            self.chosen.remove(&oldest);
        }
    }

    /// Forgets the chosen blocks below a height to which the node's branch does not lead: what lies
    /// between may have left the chain unseen, and must not be defended once its height is final.
    /// The finalized block itself stays.
    fn forget_unlinked(&mut self, node: &NodeId, below: u64) {
        let Some(seat) = self.seats.get(node) else { return };
        let mut lower = seat.blocks.range(..below);
        if lower.any(|(number, (hash, _))| self.hash_at(*number) == Some(*hash)) {
            return;
        }
        let finalized = self.finalized;
        let is_final = |number: u64| finalized.is_some_and(|finalized| number <= finalized);
        self.chosen.retain(|number, _| *number >= below || is_final(*number));
    }

    /// Adds what the node has and the chosen branch lacks.
    fn extend(&mut self, node: &NodeId) {
        let own = self.seats.get(node).and_then(|seat| seat.blocks.first_key_value());
        let lowest = own.map(|(number, _)| *number);
        if let Some(lowest) = lowest
            && !self.shares(node)
        {
            self.forget_unlinked(node, lowest);
        }
        let Some(seat) = self.seats.get(node) else { return };
        for (number, (hash, seen_ms)) in seat.blocks.iter().rev() {
            let is_final = self.finalized.is_some_and(|finalized| *number <= finalized);
            // No node's word alone makes a block the final one of its height.
            if is_final || self.chosen.contains_key(number) {
                break;
            }
            // A block below one that was seen earlier is as old as that one.
            let above = self.chosen.range(number..).next().map(|(_, (_, seen_ms))| *seen_ms);
            let seen_ms = above.map_or(*seen_ms, |above| above.min(*seen_ms));
            self.chosen.insert(*number, (*hash, seen_ms));
        }
        self.bound_chosen();
    }

    /// Makes the branch that the node is on at the fork the chosen one. Where nodes on it part
    /// further up, most of them lead, and of equals those whose block was seen first: a node that
    /// forks from a branch that is about to win does not win with it.
    fn switch(&mut self, node: &NodeId, fork: u64) -> Vec<Decision> {
        let Some(candidate) = self.seats.get(node).map(|seat| seat.blocks.clone()) else {
            return Vec::new();
        };
        let mut on_it: Vec<NodeId> = (self.seats.iter())
            .filter(|(_, seat)| !seat.is_away && seat.left_at.is_none())
            .filter(|(_, seat)| seat.stands_on(fork, &candidate))
            .map(|(node, _)| node.clone())
            .collect();
        self.chosen.split_off(&fork);
        self.forget_unlinked(node, fork);
        let mut height = fork;
        while let Some((number, lead)) = self.lead(&on_it, height) {
            on_it.retain(|node| self.seats[node].blocks.get(&number).is_none_or(|b| b.0 == lead.0));
            self.chosen.insert(number, lead);
            let Some(next) = number.checked_add(1) else { break };
            height = next;
        }
        self.bound_chosen();
        let (mut holds, mut releases) = (Vec::new(), Vec::new());
        let forks: Vec<(NodeId, Option<u64>)> =
            self.seats.keys().map(|node| (node.clone(), self.fork_of(node))).collect();
        for (node, own_fork) in forks {
            let Some(seat) = self.seats.get_mut(&node) else { continue };
            match own_fork {
                Some(_) if !seat.is_held => {
                    seat.is_held = true;
                    holds.push(Decision::Rule { node, ruling: Ruling::Hold });
                }
                None if seat.is_held && seat.left_at.is_none() => {
                    seat.is_held = false;
                    releases.push(Decision::Release { node, from: fork });
                }
                Some(_) | None => {}
            }
        }
        holds.append(&mut releases);
        holds
    }
}
