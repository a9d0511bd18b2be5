//! Is the node right? By the wrong answers that proof found, and by what its record holds.

use crate::{
    chain::ChainView,
    limits::{RECENT_BLOCKS, SUSPECT_CHECK_COUNT},
    record::{Quarantine, Standing},
    sample::{ChainSample, IncidentCount, NodeSample},
    verdict::{Axis, Finding, NodeState, Reason},
    words,
};
use event::{ChainProfile, Flaw};
use std::collections::BTreeSet;

/// What a failed check says of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// Honest nodes do that: a race with a new block, a habit of a client.
    Habit,
    /// Something was lacking or other than asked; the union of nodes mends it.
    Wrong,
    /// Its answer contradicts its own headers, or the block that the operator knows.
    Lie,
}

const fn weight(flaw: Flaw) -> Weight {
    match flaw {
        Flaw::Removed
        | Flaw::LogIndex
        | Flaw::HeadMoved
        | Flaw::BeyondHead
        | Flaw::Attributes
        | Flaw::ReceiptBlock
        | Flaw::Withdrawn => Weight::Habit,
        Flaw::WrongBlock
        | Flaw::WrongFilter
        | Flaw::Missing
        | Flaw::ParentLink
        | Flaw::WrongChain
        | Flaw::ReceiptCount => Weight::Wrong,
        Flaw::Forged
        | Flaw::BloomExcludes
        | Flaw::HeaderHash
        | Flaw::ReceiptsRoot
        | Flaw::AnchorMismatch
        | Flaw::FinalityConflict => Weight::Lie,
    }
}

/// Returns the checks that every one of several nodes fails: they do not fit the chain.
pub(crate) fn suspect_checks(sample: &ChainSample) -> BTreeSet<Flaw> {
    if sample.nodes.len() < 2 {
        return BTreeSet::new();
    }
    let failed = |node: &NodeSample| -> BTreeSet<Flaw> {
        let often = node.incidents.iter().filter(|of| of.count >= SUSPECT_CHECK_COUNT);
        often.map(|of| of.flaw).collect()
    };
    let all = sample.nodes.iter().map(failed);
    all.reduce(|a, b| a.intersection(&b).copied().collect()).unwrap_or_default()
}

/// Wrong answers that count now.
pub(crate) fn recent<'a>(
    node: &'a NodeSample,
    view: &ChainView,
) -> impl Iterator<Item = &'a IncidentCount> {
    let newest = view.finalized.or(view.head.map(|head| head.block.number));
    let floor = newest.map_or(0, |newest| newest.saturating_sub(RECENT_BLOCKS));
    node.incidents.iter().filter(move |incident| incident.last_block >= floor)
}

/// Looks at wrong answers and at what the record holds against the node.
pub(crate) fn findings(
    node: &NodeSample,
    view: &ChainView,
    suspect: &BTreeSet<Flaw>,
    profile: &ChainProfile,
) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(Standing::Quarantined(why)) = node.standing {
        found.push(quarantine(why));
    }
    let is_held = |flaw| !suspect.contains(&flaw) && !profile.observes(flaw);
    let held: Vec<&IncidentCount> =
        recent(node, view).filter(|incident| is_held(incident.flaw)).collect();
    for (least, state, reason) in [
        (Weight::Lie, NodeState::Quarantined, Reason::ProvenLie),
        (Weight::Wrong, NodeState::Degraded, Reason::WrongAnswers),
    ] {
        let these = held.iter().filter(|incident| weight(incident.flaw) == least);
        let flaws: BTreeSet<Flaw> = these.clone().map(|incident| incident.flaw).collect();
        if flaws.is_empty() {
            continue;
        }
        let count: u64 = these.clone().map(|incident| incident.count).sum();
        let last = these.map(|incident| incident.last_block).max().unwrap_or_default();
        let names: Vec<String> = flaws.iter().map(ToString::to_string).collect();
        let sentence = format!(
            "caught with {}: {}, last in block {last}",
            words::count(count, "wrong answer", "wrong answers"),
            names.join(", ")
        );
        found.push(Finding { state, axis: Axis::Integrity, reason, sentence });
    }
    found
}

fn quarantine(why: Quarantine) -> Finding {
    let (reason, sentence) = match why {
        Quarantine::FinalizedWentBack { from, to } => (
            Reason::FinalizedWentBack,
            format!("it said that block {from} is final, and now only block {to}"),
        ),
        Quarantine::HeadWentBack { from, to } => {
            (Reason::HeadWentBack, format!("its head went back from block {from} to {to}"))
        }
    };
    Finding { state: NodeState::Quarantined, axis: Axis::Integrity, reason, sentence }
}
