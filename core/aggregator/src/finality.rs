//! When a height is final: whose word counts, and what ends it.
//!
//! Does not know which block is canonical at a height; `canonical` shows that.

use crate::aggregator::{Admission, Aggregator, Policy};
use alloy_primitives::B256;
use event::{
    AnchorPolicy, BlockNumHash, BlockRange, BlockRow, ChainId, Commit, Flaw, Incident, NodeId,
    Verify,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Nodes whose claims are held; those that come later are not asked.
const CLAIMS_MAX: usize = 256;

/// What each node called final last.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// As each kind of reporter last heard it, with the node's head at that time. A watch and a replay
    /// beside it ask at different times: what one of them heard is not compared with the other.
    latest: BTreeMap<(NodeId, Arc<str>), (u64, u64)>,
    /// Nodes whose claim went back, told once.
    told: BTreeSet<NodeId>,
}

impl Claims {
    /// Takes a claim; returns what the node claimed before where it went back the first time. A
    /// lower one that was made at no higher head is older: a report of a gap that took a while.
    fn take(&mut self, node: &NodeId, reporter: &Arc<str>, number: u64, head: u64) -> Option<u64> {
        let key = (node.clone(), reporter.clone());
        if !self.latest.contains_key(&key) && self.latest.len() >= CLAIMS_MAX {
            return None;
        }
        let (before, head_before) = *self.latest.entry(key.clone()).or_insert((number, head));
        if number < before && head <= head_before {
            return None;
        }
        self.latest.insert(key, (number, head.max(head_before)));
        (number < before && self.told.insert(node.clone())).then_some(before)
    }

    /// Forgets what a node claimed: it was said of another branch, and its return is no step back.
    fn forget(&mut self, node: &NodeId) {
        self.latest.retain(|(of, _), _| of != node);
    }

    /// Returns how many claims are held.
    pub(crate) fn held(&self) -> usize {
        self.latest.len()
    }

    /// Returns the highest number that so many nodes claim, or a higher one.
    fn agreed(&self, nodes: usize) -> Option<u64> {
        let mut of_nodes: BTreeMap<&NodeId, u64> = BTreeMap::new();
        for ((node, _), (number, _)) in &self.latest {
            let highest = of_nodes.entry(node).or_default();
            *highest = (*highest).max(*number);
        }
        let mut numbers: Vec<u64> = of_nodes.into_values().collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        numbers.get(nodes.saturating_sub(1)).copied()
    }
}

impl Aggregator {
    /// Returns the newest known block at or below the highest final one.
    pub fn final_block(&self) -> Option<BlockNumHash> {
        self.canonical.final_block()
    }

    /// Returns the highest final block.
    pub const fn finalized(&self) -> Option<u64> {
        self.canonical.finalized()
    }

    /// Raises the highest final block; a lower one is ignored. The next commit carries it.
    pub fn set_finalized(&mut self, number: u64) {
        let rose = self.canonical.finalize(number);
        self.note_rise(rose);
    }

    /// Takes a node's word for what is final. Blocks that were read before they were final become
    /// final only as reports show that they still are on the chain; with `verify off` at once.
    pub fn claim_finalized(&mut self, number: u64) {
        match self.policy.verify {
            Verify::Off => self.set_finalized(number),
            Verify::Bloom | Verify::Agree(_) | Verify::Prove | Verify::ProveSample(_) => {
                let rose = self.canonical.claim(number);
                self.note_rise(rose);
            }
        }
    }

    /// Takes the word of one node of several for what is final, with its head at that time. Where the policy wants so many
    /// nodes to agree (on the anchor or on an event, whichever is more), a height counts as
    /// claimed only when that many call it or a higher one final, and blocks that were read before
    /// become final only as reports of that many nodes show it. A node whose claim goes back gets
    /// one incident, with the next commit.
    pub fn claim_finalized_by(
        &mut self,
        node: &NodeId,
        reporter: &Arc<str>,
        number: u64,
        head: u64,
    ) {
        if let Some(before) = self.claims.take(node, reporter, number, head) {
            self.incidents.push(Incident {
                chain: self.profile.chain,
                node: node.clone(),
                range: BlockRange::one(before),
                flaw: Flaw::FinalityConflict,
                count: 1,
                detail: format!("finalized went back from {before} to {number}"),
            });
        }
        let needed = self.policy.final_nodes();
        self.canonical.set_confirmations(needed);
        let agreed = if needed == 1 { Some(number) } else { self.claims.agreed(needed) };
        if let Some(agreed) = agreed {
            self.claim_finalized(agreed);
        }
    }

    /// Keeps blocks of a branch that conflicts with the final chain, as rows that are not
    /// canonical, so that both branches can be looked at. Blocks that are known are left out.
    pub fn note_branch(&mut self, blocks: &[BlockRow]) -> Commit {
        let mut commit = self.commit();
        let rows = blocks.iter().filter_map(|block| self.canonical.note_branch(block));
        commit.blocks.extend(rows);
        commit
    }

    /// Names each of `nodes`: it has `found` where `at` is final, and `kept` stand on that.
    pub fn name_conflict(
        &mut self,
        at: BlockNumHash,
        found: B256,
        nodes: &[NodeId],
        kept: &[NodeId],
    ) -> Commit {
        let chain = self.profile.chain;
        nodes.iter().for_each(|node| self.claims.forget(node));
        let mut commit = self.commit();
        commit.incidents.extend(nodes.iter().map(|node| conflict(chain, at, found, node, kept)));
        commit
    }

    /// Stops what is final from rising, or lets it rise again.
    pub const fn halt(&mut self, is_halted: bool) {
        self.canonical.halt(is_halted);
    }

    /// Whether two chains were called final, so that nothing becomes final any more.
    pub const fn is_halted(&self) -> bool {
        self.canonical.is_halted()
    }

    pub(crate) fn note_rise(&mut self, rose: bool) {
        self.finalized_rose |= rose;
        if rose {
            self.forget_final();
        }
    }
}

impl Policy {
    /// Returns how many nodes must agree on what is final: on the anchor or on an event, whichever is
    /// more.
    pub fn final_nodes(&self) -> usize {
        let anchor = match self.anchor {
            AnchorPolicy::Agreed(nodes) => usize::from(nodes),
            AnchorPolicy::OneNode | AnchorPolicy::Checkpoint(_) => 1,
        };
        let word = match self.admission {
            Admission::Agree(nodes) => usize::from(nodes),
            Admission::OneNode | Admission::OneOfSeveral => 1,
        };
        anchor.max(word).max(1)
    }
}

fn conflict(
    chain: ChainId,
    at: BlockNumHash,
    found: B256,
    node: &NodeId,
    kept: &[NodeId],
) -> Incident {
    let names: Vec<&str> = kept.iter().map(|node| &*node.0).collect();
    let who = if names.is_empty() { String::new() } else { format!(" by {}", names.join(", ")) };
    Incident {
        chain,
        node: node.clone(),
        range: BlockRange::one(at.number),
        flaw: Flaw::FinalityConflict,
        count: 1,
        detail: format!("block {} is final as {}{who}, but {found} at {node}", at.number, at.hash),
    }
}
