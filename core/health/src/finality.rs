//! Does what counts as final in the ledger stand still because too few nodes are there to agree on it?

use crate::{
    chain::ChainView,
    limits::{FINAL_BEHIND_MS, FINAL_NODES},
    sample::ChainSample,
    verdict::{NodeState, NodeVerdict, Warning},
    words,
};

/// Names the nodes that are missing, and the plugins that wait.
pub(crate) fn stands(
    sample: &ChainSample,
    view: &ChainView,
    nodes: &[NodeVerdict],
) -> Option<Warning> {
    let ledger = sample.ledger()?;
    let is_there = |node: &&NodeVerdict| node.state < NodeState::Out && node.finalized.is_some();
    let there = nodes.iter().filter(is_there).count();
    if nodes.len() < FINAL_NODES || there >= FINAL_NODES {
        return None;
    }
    let last = ledger.finalized?;
    let behind = view.finalized?.checked_sub(last)?;
    let since_ms = view.blocks_ms(behind);
    if since_ms <= FINAL_BEHIND_MS {
        return None;
    }
    let missing = nodes.iter().filter(|node| !is_there(node));
    let missing: Vec<String> =
        missing.map(|node| format!("{} ({})", node.node, node.reason)).collect();
    let mut sentence = format!(
        "what counts as final stands at block {last} since {}, {} behind the nodes: {FINAL_NODES} must \
         agree, and these do not count: {}",
        words::time(since_ms),
        words::blocks(behind),
        missing.join(", ")
    );
    let next = last.saturating_add(1);
    for (plugin, _) in ledger.plugins.iter().filter(|(_, at)| *at <= next) {
        sentence += &format!("; plugin {plugin} waits for it");
    }
    Some(Warning { code: "finality-stands", sentence })
}
