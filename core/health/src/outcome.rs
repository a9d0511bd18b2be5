//! What it all comes to: one word, one reason, one exit code.
//!
//! What is wrong beats what is not known: a check that failed has failed.

use crate::{
    chain::ChainVerdict,
    coverage::LedgerVerdict,
    verdict::{NodeState, NodeVerdict},
};

/// The three ways in which it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeKind {
    /// Nothing to complain of.
    Fine,
    /// Something is wrong.
    Failed,
    /// It could not be decided.
    Undecided,
}

impl OutcomeKind {
    /// Returns the exit code of `headcount health`.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Failed => 1,
            Self::Undecided => 3,
        }
    }
}

/// How it ends, with the first reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How.
    pub kind: OutcomeKind,
    /// Why, for programs: a code of the chain, of the ledger or of a node, `ledger-unread`, or
    /// `plugin-stopped`; `ok` where it is fine.
    pub reason: &'static str,
    /// Why, for people: a sentence without a full stop.
    pub sentence: String,
}

/// Puts it together: the chain, then coverage, then nodes, then plugins that stand, each with why.
pub(crate) fn of(
    chain: &ChainVerdict,
    nodes: &[NodeVerdict],
    ledger: &LedgerVerdict,
    stopped_plugins: &[(String, String)],
) -> Outcome {
    let outcome = |kind, reason, sentence| Outcome { kind, reason, sentence };
    let is_down = *chain == ChainVerdict::Down;
    if !is_down && *chain != ChainVerdict::Ok {
        let sentence = format!("the chain: {chain}");
        return outcome(OutcomeKind::Failed, chain.code(), sentence);
    }
    if matches!(ledger, LedgerVerdict::Late { .. } | LedgerVerdict::Old { .. }) {
        return outcome(OutcomeKind::Failed, ledger.code(), format!("the ledger: {ledger}"));
    }
    // A node that is on another chain is wrong whether others answer or not.
    let is_bad = |node: &&NodeVerdict| match node.state {
        NodeState::Ok | NodeState::Throttled => false,
        NodeState::WrongChain | NodeState::Quarantined => true,
        NodeState::Degraded | NodeState::Out => !is_down,
    };
    let worst = nodes.iter().filter(is_bad).reduce(|a, b| if b.state > a.state { b } else { a });
    if let Some(node) = worst {
        let sentence = format!("node {}: {}", node.node, node.sentence);
        return outcome(OutcomeKind::Failed, node.reason.code(), sentence);
    }
    if let Some((plugin, why)) = stopped_plugins.first() {
        let sentence = format!("plugin {plugin} is handed nothing: {why}");
        return outcome(OutcomeKind::Failed, "plugin-stopped", sentence);
    }
    if is_down {
        let sentence = match nodes {
            [] => "there is no node to ask".to_owned(),
            [one] => format!("node {}: {}", one.node, one.sentence),
            [first, rest @ ..] => format!(
                "none of {} nodes can be used; the first, {}: {}",
                rest.len() + 1,
                first.node,
                first.sentence
            ),
        };
        return outcome(OutcomeKind::Undecided, chain.code(), sentence);
    }
    // One that is there and cannot be read may cover nothing.
    let reason = match ledger {
        LedgerVerdict::Undecided(_) => Some("coverage-undecided"),
        LedgerVerdict::Unread(_) => Some("ledger-unread"),
        _ => None,
    };
    if let Some(reason) = reason {
        return outcome(OutcomeKind::Undecided, reason, format!("the ledger: {ledger}"));
    }
    outcome(OutcomeKind::Fine, "ok", "nothing to complain of".to_owned())
}
