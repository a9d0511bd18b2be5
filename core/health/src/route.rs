//! In which order nodes are used. The last one that may be of use is never dropped.

use crate::verdict::{NodeState, NodeVerdict};
use event::NodeId;

/// What the nodes of a route are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footing {
    /// At least one is good for everything, or asks to wait and is.
    Sound,
    /// None is: the least bad ones are used, and results are to be labelled so.
    Degraded,
    /// All that is left was caught: heads are watched, raw answers kept, nothing is promoted.
    HeadsOnly,
    /// No node is on this chain.
    Nothing,
}

/// Nodes in the order in which they are to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Best first. Empty only where every node is on another chain.
    pub order: Vec<NodeId>,
    /// What they are worth.
    pub footing: Footing,
}

/// Returns which nodes to use: those that are good, then the degraded; where there is neither, the
/// least bad. Equals are sorted by lag and latency, then as given.
pub fn route(verdicts: &[NodeVerdict]) -> Route {
    let in_states = |states: &[NodeState]| -> Vec<NodeId> {
        let mut nodes: Vec<&NodeVerdict> =
            verdicts.iter().filter(|node| states.contains(&node.state)).collect();
        nodes.sort_by_key(|node| {
            let unknown_last = |value: Option<u64>| (value.is_none(), value);
            (node.state, unknown_last(node.lag_blocks), unknown_last(node.latency_ms))
        });
        nodes.iter().map(|node| node.node.clone()).collect()
    };
    let good = [NodeState::Ok, NodeState::Throttled];
    let has_good = verdicts.iter().any(|node| good.contains(&node.state));
    let usable = in_states(&[NodeState::Ok, NodeState::Throttled, NodeState::Degraded]);
    if !usable.is_empty() {
        let footing = if has_good { Footing::Sound } else { Footing::Degraded };
        return Route { order: usable, footing };
    }
    for (state, footing) in
        [(NodeState::Out, Footing::Degraded), (NodeState::Quarantined, Footing::HeadsOnly)]
    {
        let order = in_states(&[state]);
        if !order.is_empty() {
            return Route { order, footing };
        }
    }
    Route { order: Vec::new(), footing: Footing::Nothing }
}
