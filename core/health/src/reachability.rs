//! Does the node answer, and for this chain? A node that asks to wait is not failing.

use crate::{
    limits::{SLOW_ALWAYS_MS, SLOW_MS, SLOW_TIMES},
    record::Standing,
    sample::{Answered, ChainSample, NodeSample},
    verdict::{Axis, Finding, NodeState, Reason},
    words,
};
use event::{Fault, FaultClass, Finality};

const fn finding(state: NodeState, reason: Reason, sentence: String) -> Finding {
    Finding { state, axis: Axis::Reachability, reason, sentence }
}

/// Looks at what was not answered, at the chain and at how long it took.
pub(crate) fn findings(node: &NodeSample, sample: &ChainSample) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(chain(node, sample));
    found.extend(standing(node));
    found.extend(failure(node));
    found.extend(head(node));
    found.extend(final_block(node, sample));
    found.extend(slow(node, sample));
    found
}

fn chain(node: &NodeSample, sample: &ChainSample) -> Option<Finding> {
    let expected = sample.profile.chain;
    let other = match &node.chain {
        Answered::Value(chain) if *chain != expected => Some(*chain),
        Answered::Fault(Fault { class: FaultClass::WrongChain { found, .. }, .. }) => Some(*found),
        _ => None,
    };
    let sentence = match other {
        Some(other) => format!("it is on chain {other}, not {expected}"),
        None if node.standing == Some(Standing::WrongChain) => {
            format!("it was on another chain than {expected}: check its URL and start again")
        }
        None => return None,
    };
    Some(finding(NodeState::WrongChain, Reason::WrongChain, sentence))
}

fn standing(node: &NodeSample) -> Option<Finding> {
    let Some(Standing::Out { wait_ms, good_probes_missing }) = node.standing else { return None };
    let sentence = format!(
        "it failed too often: back in {} at the earliest, after {}",
        words::time(wait_ms),
        words::count(u64::from(good_probes_missing), "good probe", "good probes"),
    );
    Some(finding(NodeState::Out, Reason::Held, sentence))
}

/// The first question that every node has to answer and this one did not.
fn failure(node: &NodeSample) -> Option<Finding> {
    let asked = [node.chain.fault(), node.head.fault()];
    if let Some(fault) = asked.into_iter().flatten().next() {
        return refused(fault, failed_state(node));
    }
    // What is final may be asked of another node; a transport that fails is worth a look.
    let fault = node.finalized.fault()?;
    let is_transport = matches!(
        fault.class,
        FaultClass::Unreachable
            | FaultClass::Dropped
            | FaultClass::TimedOut
            | FaultClass::Malformed
            | FaultClass::Busy
    );
    is_transport.then(|| refused(fault, NodeState::Degraded)).flatten()
}

/// What is read ends at the final block: without it a replay leaves that open in every run.
fn final_block(node: &NodeSample, sample: &ChainSample) -> Option<Finding> {
    let sentence = match (&node.withheld, node.known_finalized(), &node.finalized) {
        (Some(fault), Some(finalized), _) => format!(
            "it does not give block {}, which it calls final: {}",
            finalized.block.number, fault.text
        ),
        // What is final may be asked of another node, and is not asked where a depth says it.
        (_, None, Answered::Fault(Fault { class: FaultClass::Tag, text, .. }))
            if node.known_head().is_some()
                && sample.profile.finality == Finality::Tag
                && sample.nodes.iter().all(|other| other.known_finalized().is_none()) =>
        {
            format!("it does not say which block is final, and no other node does: {text}")
        }
        _ => return None,
    };
    Some(finding(NodeState::Degraded, Reason::NoFinalized, sentence))
}

/// One failure is enough for a probe of its own; a node with a record has to fail again and again.
fn failed_state(node: &NodeSample) -> NodeState {
    match node.standing {
        None => NodeState::Out,
        Some(_) => NodeState::Degraded,
    }
}

fn refused(fault: &Fault, state: NodeState) -> Option<Finding> {
    let method = &fault.method;
    let (state, reason, what) = match fault.class {
        FaultClass::Rate { retry_after_ms } => {
            let sentence = match retry_after_ms {
                Some(ms) => format!("it asks to wait {}", words::time(ms)),
                None => "it asks to wait".to_owned(),
            };
            return Some(finding(NodeState::Throttled, Reason::Throttled, sentence));
        }
        // Told as what it is by `chain`.
        FaultClass::WrongChain { .. } => return None,
        // No probe will be better for hours.
        FaultClass::Quota => (NodeState::Out, Reason::Quota, "its plan is used up"),
        FaultClass::Auth => (NodeState::Out, Reason::Auth, "it refuses the key"),
        FaultClass::Off | FaultClass::NotRecorded => {
            (NodeState::Out, Reason::MethodOff, "it does not offer what every node has to")
        }
        FaultClass::Unreachable => (state, Reason::Unreachable, "no connection"),
        FaultClass::TimedOut => (state, Reason::TimedOut, "no answer in time"),
        FaultClass::Dropped => (state, Reason::Dropped, "the connection broke off"),
        FaultClass::Malformed => (state, Reason::Malformed, "its answer is none"),
        FaultClass::Unknown | FaultClass::NotYet { .. } => {
            (state, Reason::NoHead, "it does not know its newest block")
        }
        _ => (state, Reason::Failing, "it answers with an error"),
    };
    Some(finding(state, reason, format!("{what} ({method}: {})", fault.text)))
}

/// What is missing without a fault.
fn head(node: &NodeSample) -> Option<Finding> {
    match &node.head {
        Answered::Unasked if node.chain.fault().is_none() => {
            let sentence = "it was not asked for its newest block".to_owned();
            Some(finding(NodeState::Out, Reason::NoHead, sentence))
        }
        Answered::Value(head) if head.block.number == 0 => {
            let sentence = "it says that block 0 is the newest, which says nothing".to_owned();
            Some(finding(failed_state(node), Reason::HeadAtZero, sentence))
        }
        _ => None,
    }
}

fn slow(node: &NodeSample, sample: &ChainSample) -> Option<Finding> {
    let latency = node.latency_ms?;
    let others = sample.nodes.iter().filter(|other| other.node != node.node);
    let mut others: Vec<u64> = others.filter_map(|other| other.latency_ms).collect();
    others.sort_unstable();
    let median = others.get(others.len() / 2).copied();
    let is_slower = median.is_some_and(|median| latency > median.saturating_mul(SLOW_TIMES))
        && latency > SLOW_MS;
    if !is_slower && latency <= SLOW_ALWAYS_MS {
        return None;
    }
    let mut sentence = format!("it takes {} to answer", words::time(latency));
    if let Some(median) = median {
        sentence += &format!(", others {}", words::time(median));
    }
    Some(finding(NodeState::Degraded, Reason::Slow, sentence))
}
