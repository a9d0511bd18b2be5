//! One verdict from everything: the chain, then each node, then the ledger.

use crate::{
    branches::Branches,
    chain::{ChainVerdict, ChainView},
    coverage, finality, freshness,
    integrity::{self, suspect_checks},
    limits::CLOCK_SKEW_S,
    outcome, reachability,
    sample::{ChainSample, LedgerState, NodeSample},
    verdict::{Finding, Health, NodeState, NodeVerdict, Reason, Warning},
    words,
};
use event::Flaw;
use std::{cmp::Reverse, collections::BTreeSet};

/// Judges a chain, its nodes and the ledger by what was asked just now.
pub fn judge(sample: &ChainSample) -> Health {
    let view = ChainView::of(sample);
    let branches = Branches::of(sample);
    let suspect = suspect_checks(sample);
    let chain = chain(sample, &view, &branches);
    let nodes: Vec<NodeVerdict> =
        sample.nodes.iter().map(|node| verdict(node, sample, &view, &branches, &suspect)).collect();
    let ledger = coverage::judge(sample, &view);
    let mut warnings = warnings(sample, &view, &suspect);
    warnings.extend(finality::stands(sample, &view, &nodes));
    let stopped = sample.ledger().map_or(&[][..], |ledger| &ledger.stopped_plugins);
    let outcome = outcome::of(&chain, &nodes, &ledger, stopped);
    Health { chain, view, nodes, ledger, warnings, outcome }
}

fn chain(sample: &ChainSample, view: &ChainView, branches: &Branches) -> ChainVerdict {
    if let Some((height, told)) = &branches.conflict {
        let reason = format!("two final blocks at height {height}: {told}");
        return ChainVerdict::Halted { height: Some(*height), reason };
    }
    if let Some(reason) = sample.ledger().and_then(|ledger| ledger.halted.clone()) {
        return ChainVerdict::Halted { height: None, reason };
    }
    if view.head.is_none() {
        return ChainVerdict::Down;
    }
    if let Some(head_age_ms) = view.stall(sample) {
        return ChainVerdict::Stall { head_age_ms };
    }
    match view.finality_stall(sample) {
        Some(lag_blocks) => ChainVerdict::FinalityStall { lag_blocks },
        None => ChainVerdict::Ok,
    }
}

fn verdict(
    node: &NodeSample,
    sample: &ChainSample,
    view: &ChainView,
    branches: &Branches,
    suspect: &BTreeSet<Flaw>,
) -> NodeVerdict {
    let mut found = reachability::findings(node, sample);
    // What is said of another chain is compared with nothing.
    if found.iter().all(|finding| finding.state != NodeState::WrongChain) {
        found.extend(freshness::findings(node, sample, view));
        found.extend(branches.findings.get(&node.node).cloned());
        found.extend(integrity::findings(node, view, suspect, &sample.profile));
    }
    // Stable: of what is equally bad, the first is told first.
    found.sort_by_key(|finding| Reverse(finding.state));
    let head = node.known_head();
    let is_counted = sample.counted().any(|counted| counted.node == node.node);
    let lag_blocks = match (head, view.best) {
        (Some(head), Some(best)) if is_counted => Some(best.saturating_sub(head.block.number)),
        _ => None,
    };
    let head_age_ms =
        head.map(|head| sample.now_s.saturating_sub(head.timestamp).saturating_mul(1_000));
    let mut found = found.into_iter();
    let worst = found.next();
    NodeVerdict {
        node: node.node.clone(),
        client: node.client.clone(),
        state: worst.as_ref().map_or(NodeState::Ok, |worst| worst.state),
        axis: worst.as_ref().map(|worst| worst.axis),
        reason: worst.as_ref().map_or(Reason::Ok, |worst| worst.reason),
        sentence: worst.map_or_else(|| well(node, head_age_ms, lag_blocks), |it| it.sentence),
        also: found.filter(|finding: &Finding| finding.state != NodeState::Throttled).collect(),
        notes: notes(node, view, branches),
        head: head.map(|head| head.block),
        head_age_ms,
        lag_blocks,
        finalized: node.known_finalized().map(|finalized| finalized.block.number),
        syncing: node.syncing.value().copied(),
        peers: node.known_peers(),
        latency_ms: node.latency_ms,
        incidents: integrity::recent(node, view).map(|incident| incident.count).sum(),
    }
}

/// What there is to say of a node with which nothing is wrong.
fn well(node: &NodeSample, head_age_ms: Option<u64>, lag_blocks: Option<u64>) -> String {
    let Some(head) = node.known_head() else { return "it answers".to_owned() };
    let mut told = format!("block {}", head.block.number);
    if let Some(age) = head_age_ms {
        told += &format!(", {} old", words::time(age));
    }
    if let Some(lag) = lag_blocks.filter(|lag| *lag > 0) {
        told += &format!(", {} behind", words::blocks(lag));
    }
    if let Some(peers) = node.known_peers() {
        told += &format!(", {}", words::count(peers, "peer", "peers"));
    }
    told
}

fn notes(node: &NodeSample, view: &ChainView, branches: &Branches) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(length) = branches.short.get(&node.node) {
        let blocks = words::blocks(*length);
        notes.push(format!("on another branch for {blocks}, as happens"));
    }
    if node.is_throttled() && node.known_head().is_some() {
        notes.push("it asked to wait".to_owned());
    }
    if let Some(fault) = node.finalized.fault().filter(|_| node.known_head().is_some()) {
        notes.push(format!("it does not say what is final ({})", fault.text));
    }
    if let Some(hints) = node.hints.as_ref().filter(|hints| hints.missed > 0) {
        let blocks = words::blocks(hints.missed);
        notes.push(format!("{blocks} came without being announced"));
    }
    let recent: u64 = integrity::recent(node, view).map(|incident| incident.count).sum();
    let all: u64 = node.incidents.iter().map(|incident| incident.count).sum();
    if all > recent {
        let older = words::count(all - recent, "wrong answer", "wrong answers");
        notes.push(format!("{older} in older blocks"));
    }
    notes
}

fn warnings(sample: &ChainSample, view: &ChainView, suspect: &BTreeSet<Flaw>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let clients: BTreeSet<&str> =
        sample.nodes.iter().filter_map(|node| Some(client_name(node.client.as_deref()?))).collect();
    let is_known = sample.nodes.iter().all(|node| node.client.is_some());
    if let (Some(client), 1, true) = (clients.first(), clients.len(), is_known)
        && sample.nodes.len() > 1
    {
        let sentence = format!(
            "all {} nodes are {client}: a mistake of that client is a mistake of all of them",
            sample.nodes.len()
        );
        warnings.push(Warning { code: "one-client", sentence });
    }
    if let Some(head) = view.head
        && head.timestamp > sample.now_s.saturating_add(CLOCK_SKEW_S)
    {
        let behind = head.timestamp.saturating_sub(sample.now_s).saturating_mul(1_000);
        let sentence = format!("this machine's clock is {} behind", words::time(behind));
        warnings.push(Warning { code: "clock-behind", sentence });
    }
    if let LedgerState::Read(ledger) = &sample.ledger
        && ledger.lacks_other_node > 0
    {
        let blocks =
            words::count(ledger.lacks_other_node, "final block rests", "final blocks rest");
        let sentence = format!(
            "{blocks} on one node's word: a second look waits for another node than that one"
        );
        warnings.push(Warning { code: "lacks-other-node", sentence });
    }
    for (plugin, why) in sample.ledger().iter().flat_map(|ledger| &ledger.stopped_plugins) {
        let sentence = format!("plugin {plugin} is handed nothing: {why}");
        warnings.push(Warning { code: "plugin-stopped", sentence });
    }
    for flaw in suspect {
        let sentence = format!("every node fails the check `{flaw}`: it does not fit this chain");
        warnings.push(Warning { code: "check-suspect", sentence });
    }
    warnings
}

/// `Geth/v1.16.4-stable/linux-amd64/go1.24` is `Geth`.
fn client_name(version: &str) -> &str {
    version.split('/').next().unwrap_or(version)
}
