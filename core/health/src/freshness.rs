//! Is the node where the chain is? Measured against the others; a stall of all is none of theirs.

use crate::{
    chain::ChainView,
    limits::{ANNOUNCED_AHEAD_BLOCKS, CLOCK_SKEW_S, LAG_OUT_BLOCKS, LAG_SOFT_BLOCKS},
    record::Standing,
    sample::{ChainSample, NodeSample},
    verdict::{Axis, Finding, NodeState, Reason},
    words,
};

const fn finding(state: NodeState, reason: Reason, sentence: String) -> Finding {
    Finding { state, axis: Axis::Freshness, reason, sentence }
}

/// Looks at head, peers and connection.
pub(crate) fn findings(node: &NodeSample, sample: &ChainSample, view: &ChainView) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(position(node, view));
    found.extend(in_future(node, sample, view));
    found.extend(syncing(node));
    if node.peers.value() == Some(&0) {
        let sentence = "it says that it has no peer, which tells nothing of the chain".to_owned();
        found.push(finding(NodeState::Degraded, Reason::NoPeers, sentence));
    }
    found.extend(socket(node));
    found
}

fn position(node: &NodeSample, view: &ChainView) -> Option<Finding> {
    let (own, head) = (node.known_head()?.block.number, view.head?.block.number);
    let lag = head.saturating_sub(own);
    let ahead = own.saturating_sub(head);
    let behind = || format!("{} behind (block {own})", words::blocks(lag));
    if lag > LAG_OUT_BLOCKS {
        return Some(finding(NodeState::Out, Reason::FarBehind, behind()));
    }
    if lag > LAG_SOFT_BLOCKS {
        return Some(finding(NodeState::Degraded, Reason::Lagging, behind()));
    }
    if ahead > LAG_OUT_BLOCKS {
        let sentence = format!("{} that no other node has (block {own})", words::blocks(ahead));
        return Some(finding(NodeState::Degraded, Reason::HeadAhead, sentence));
    }
    None
}

fn in_future(node: &NodeSample, sample: &ChainSample, view: &ChainView) -> Option<Finding> {
    let limit = sample.now_s.saturating_add(CLOCK_SKEW_S);
    let own = node.known_head().filter(|head| head.timestamp > limit)?;
    // All of them: then it is our clock.
    if view.head.is_some_and(|head| head.timestamp > limit) {
        return None;
    }
    let ahead = own.timestamp.saturating_sub(sample.now_s).saturating_mul(1_000);
    let sentence = format!("its newest block is {} in the future", words::time(ahead));
    Some(finding(NodeState::Degraded, Reason::HeadInFuture, sentence))
}

/// A record waits whether it says so again.
fn syncing(node: &NodeSample) -> Option<Finding> {
    let is_settled = match node.standing {
        Some(Standing::In { is_syncing }) => is_syncing,
        _ => true,
    };
    if !is_settled || node.syncing.value() != Some(&true) {
        return None;
    }
    let sentence = "it says that it is catching up".to_owned();
    Some(finding(NodeState::Degraded, Reason::Syncing, sentence))
}

fn socket(node: &NodeSample) -> Option<Finding> {
    let hints = node.hints.as_ref()?;
    if !hints.is_connected {
        let sentence = "its connection is lost; it is asked again and again instead".to_owned();
        return Some(finding(NodeState::Degraded, Reason::SocketLost, sentence));
    }
    let (announced, own) = (hints.announced?, node.known_head()?.block.number);
    if announced <= own.saturating_add(ANNOUNCED_AHEAD_BLOCKS) {
        return None;
    }
    let sentence = format!("it announces block {announced} and has block {own} when asked");
    Some(finding(NodeState::Degraded, Reason::SocketAhead, sentence))
}
