//! In which order nodes are used, by the verdicts of `health`. The last one is never dropped.

use super::nodes::NodeRun;
use event::{ChainProfile, NodeId};
use health::{Answered, ChainSample, NodeSample, NodeState, Record, Standing, judge, route};
use std::collections::BTreeMap;

/// What is remembered of the nodes between two looks at them.
#[derive(Debug)]
pub(super) struct Router {
    profile: ChainProfile,
    records: BTreeMap<NodeId, (Record, Standing)>,
}

impl Router {
    pub(super) const fn new(profile: ChainProfile) -> Self {
        Self { profile, records: BTreeMap::new() }
    }

    /// Takes what a node showed just now.
    pub(super) fn on_view(&mut self, run: &NodeRun, now_ms: u64) {
        let sample = sample(run);
        let chain = self.profile.chain;
        let (record, standing) = self
            .records
            .entry(run.view.node.clone())
            .or_insert_with(|| (Record::new(chain), Standing::In { is_syncing: false }));
        *standing = record.on_probe(&sample, now_ms);
    }

    /// Returns the nodes best first; those of the same state take turns by `turn`.
    pub(super) fn order(&self, runs: &[NodeRun], turn: u64) -> Vec<NodeId> {
        let nodes = runs.iter().map(|run| NodeSample {
            standing: self.records.get(&run.view.node).map(|(_, standing)| *standing),
            ..sample(run)
        });
        // Ages count from the newest head: a chain that stands still demotes no node.
        let newest = runs.iter().filter_map(|run| run.view.head).map(|head| head.timestamp).max();
        let now_s = newest.unwrap_or_default();
        let chain = ChainSample::new(self.profile.clone(), now_s, nodes.collect());
        let verdicts = judge(&chain).nodes;
        let mut order = route(&verdicts).order;
        let is_good = |node: &NodeId| {
            let verdict = verdicts.iter().find(|verdict| verdict.node == *node);
            verdict.is_some_and(|verdict| verdict.state == NodeState::Ok)
        };
        let good = order.iter().take_while(|node| is_good(node)).count();
        if let Some(turn) = turn.checked_rem(good as u64) {
            order[..good].rotate_left(turn as usize);
        }
        order
    }
}

/// What is known of a node without asking it anything more.
fn sample(run: &NodeRun) -> NodeSample {
    let fault = match &run.view.state {
        tracker::NodeState::Lost { fault } => Some(fault.clone()),
        _ => None,
    };
    let head = match (fault, run.view.head) {
        (Some(fault), _) => Answered::Fault(fault),
        (None, Some(head)) => Answered::Value(head),
        (None, None) => Answered::Unasked,
    };
    NodeSample { client: run.view.client.clone(), head, ..NodeSample::new(run.view.node.clone()) }
}
