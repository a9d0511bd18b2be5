//! Which nodes are on which branch, and whether what is final is contradicted.
//!
//! Hashes at the same height are compared. Two branches for a few blocks are what a chain does;
//! a longer one that a node has for itself is its own, and two final blocks at one height are for
//! people to look at. Which branch is right is not decided here; a minority that left the final chain
//! halts nothing.

use crate::{
    chain::ChainView,
    limits::{BRANCH_USUAL_BLOCKS, LAG_OUT_BLOCKS},
    sample::{ChainSample, NodeSample},
    verdict::{Axis, Finding, NodeState, Reason},
    words,
};
use alloy_primitives::B256;
use event::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// Returns the heights whose hashes every node is to be asked for before [`crate::judge`]: the
/// newest one that all have that are near the head, the one below a usual fork of it, and the
/// final ones of the nodes and the ledger. At most four.
pub fn heights_to_compare(sample: &ChainSample) -> BTreeSet<u64> {
    let view = ChainView::of(sample);
    let mut heights = BTreeSet::new();
    let Some(head) = view.head.map(|head| head.block.number) else { return heights };
    let near = sample
        .counted()
        .filter_map(NodeSample::known_head)
        .map(|head| head.block.number)
        .filter(|number| number.saturating_add(LAG_OUT_BLOCKS) >= head);
    if let Some(common) = near.min() {
        heights.insert(common);
        heights.extend(common.checked_sub(BRANCH_USUAL_BLOCKS));
    }
    let finalized = sample.counted().filter_map(NodeSample::known_finalized);
    heights.extend(finalized.map(|finalized| finalized.block.number).min());
    let of_ledger = sample.ledger().and_then(|ledger| ledger.final_block);
    heights.extend(of_ledger.map(|block| block.number).filter(|number| *number <= head));
    heights
}

/// What comparing shows.
#[derive(Debug, Default)]
pub(crate) struct Branches {
    /// What is held against nodes.
    pub(crate) findings: BTreeMap<NodeId, Finding>,
    /// Nodes on a branch as is usual, with its length in blocks so far.
    pub(crate) short: BTreeMap<NodeId, u64>,
    /// Height of the lowest contradiction among final blocks by half of the nodes or more, and who says
    /// what.
    pub(crate) conflict: Option<(u64, String)>,
}

impl Branches {
    pub(crate) fn of(sample: &ChainSample) -> Self {
        let mut branches = Self::default();
        branches.compare_heads(sample);
        branches.compare_final(sample);
        branches
    }

    fn compare_heads(&mut self, sample: &ChainSample) {
        let nodes: Vec<&NodeSample> = sample.counted().collect();
        let heights: BTreeSet<u64> = nodes.iter().flat_map(|node| node.heights()).collect();
        let voices: Vec<(u64, Voices<'_>)> = heights
            .into_iter()
            .map(|height| (height, Voices::at(height, nodes.iter().copied())))
            .filter(|(_, voices)| voices.count > 1)
            .collect();
        let Some((top, _)) = voices.last() else { return };
        let Some((height, voices)) = voices.iter().find(|(_, voices)| voices.sides.len() > 1)
        else {
            return;
        };
        let length = top - height + 1;
        for (hash, side) in &voices.sides {
            if voices.majority() == Some(*hash) {
                continue;
            }
            for node in side {
                if length <= BRANCH_USUAL_BLOCKS {
                    self.short.insert((*node).clone(), length);
                } else {
                    let finding = long_branch(voices, side, *height, length);
                    self.findings.insert((*node).clone(), finding);
                }
            }
        }
    }

    fn compare_final(&mut self, sample: &ChainSample) {
        let nodes: Vec<&NodeSample> = sample.counted().collect();
        let of_ledger = sample.ledger().and_then(|ledger| ledger.final_block);
        let ledger = NodeId::new("the ledger");
        let mut heights: BTreeSet<u64> = nodes.iter().flat_map(|node| node.heights()).collect();
        heights.extend(of_ledger.map(|block| block.number));
        for height in heights {
            let calls_it_final = |node: &&NodeSample| {
                node.known_finalized().is_some_and(|finalized| finalized.block.number >= height)
            };
            let mut voices = Voices::at(height, nodes.iter().copied().filter(calls_it_final));
            if let Some(block) = of_ledger.filter(|block| block.number == height) {
                voices.add(block.hash, &ledger);
            }
            if voices.sides.len() < 2 {
                continue;
            }
            let majority = voices.majority();
            let of_ledger = of_ledger.filter(|block| block.number == height);
            let kept = of_ledger.map(|block| block.hash).or(majority);
            let left = voices.sides.iter().filter(|(hash, _)| kept != Some(**hash));
            let left: usize = left.map(|(_, side)| side.len()).sum();
            // Of all nodes: those that say nothing have not left.
            let is_halt = kept.is_none() || left * 2 >= sample.nodes.len();
            for (hash, side) in voices.sides.iter().filter(|(hash, _)| majority != Some(**hash)) {
                let state = match is_halt {
                    false => NodeState::Quarantined,
                    true => NodeState::Degraded,
                };
                let sentence =
                    format!("its final block {height} is {hash}, others have another one");
                let (axis, reason) = (Axis::Integrity, Reason::FinalizedConflict);
                let finding = Finding { state, axis, reason, sentence };
                for node in side.iter().filter(|node| ***node != ledger) {
                    self.findings.insert((*node).clone(), finding.clone());
                }
            }
            if is_halt && self.conflict.is_none() {
                self.conflict = Some((height, voices.told()));
            }
        }
    }
}

fn long_branch(voices: &Voices<'_>, side: &[&NodeId], height: u64, length: u64) -> Finding {
    let since = format!("on another branch since block {height}, for {}", words::blocks(length));
    let (state, reason, sentence) = match (voices.majority(), side.len()) {
        (Some(_), 1) => (NodeState::Out, Reason::AloneOnBranch, format!("alone {since}")),
        (Some(_), _) => {
            let sentence = format!("{since}, with less than half of the nodes");
            (NodeState::Degraded, Reason::MinorityBranch, sentence)
        }
        (None, _) => {
            let sentence = format!("{since}, and no branch has most nodes");
            (NodeState::Degraded, Reason::TwoBranches, sentence)
        }
    };
    Finding { state, axis: Axis::Integrity, reason, sentence }
}

/// Who says which hash at a height.
#[derive(Debug, Default)]
struct Voices<'a> {
    sides: BTreeMap<B256, Vec<&'a NodeId>>,
    count: usize,
}

impl<'a> Voices<'a> {
    fn at(height: u64, nodes: impl Iterator<Item = &'a NodeSample>) -> Self {
        let mut voices = Self::default();
        for node in nodes {
            if let Some(hash) = node.hash_at(height) {
                voices.add(hash, &node.node);
            }
        }
        voices
    }

    fn add(&mut self, hash: B256, who: &'a NodeId) {
        self.sides.entry(hash).or_default().push(who);
        self.count += 1;
    }

    /// The hash that more than half say.
    fn majority(&self) -> Option<B256> {
        let most = self.sides.iter().find(|(_, side)| side.len() * 2 > self.count);
        most.map(|(hash, _)| *hash)
    }

    fn told(&self) -> String {
        let sides: Vec<String> = self
            .sides
            .iter()
            .map(|(hash, side)| {
                let who: Vec<String> = side.iter().map(ToString::to_string).collect();
                format!("{hash} at {}", who.join(", "))
            })
            .collect();
        sides.join("; ")
    }
}
