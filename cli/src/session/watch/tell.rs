//! How a watch ended, in words on stderr and as the last line on stdout.

use crate::plan::WatchPlan;
use event::ChainProfile;
use pipeline::{LookedAgain, WatchOutcome};
use serde::Serialize;
use std::io::{Write, stderr};

/// The last line of a chain.
#[derive(Serialize)]
pub(super) struct EndLine {
    chain: u64,
    head: Option<u64>,
    new_events: u64,
    incidents: u64,
    open: Vec<(u64, u64, String)>,
    halted: Option<String>,
    second_look: LookLine,
    more: bool,
}

/// What the second look came to.
#[derive(Serialize)]
struct LookLine {
    blocks: u64,
    agreed: u64,
    recovered: u64,
    open: u64,
    lacks_other_node: bool,
}

impl EndLine {
    pub(super) fn new(profile: &ChainProfile, outcome: &WatchOutcome) -> Self {
        let open = outcome.open.iter();
        Self {
            chain: profile.chain.0,
            head: outcome.head.map(|head| head.number),
            new_events: outcome.new_events,
            incidents: outcome.incidents,
            open: open.map(|(range, why)| (range.first(), range.last(), why.clone())).collect(),
            halted: outcome.halted.clone(),
            second_look: look_line(&outcome.second_look),
            more: outcome.stopped,
        }
    }
}

fn look_line(look: &LookedAgain) -> LookLine {
    let LookedAgain { blocks, agreed, recovered, open, lacks_other_node } = *look;
    LookLine { blocks, agreed, recovered, open, lacks_other_node }
}

/// Says it in words. Whoever closed stderr does not want to hear it.
pub(super) fn tell(plan: &WatchPlan, profile: &ChainProfile, outcome: &WatchOutcome) {
    let mut words = Vec::new();
    if let Some(halted) = &outcome.halted {
        words.push(format!("error: chain {} is halted: {halted}", profile.name));
        words.push("hint: look at the nodes; both branches are in the ledger's blocks".to_owned());
    }
    if !plan.quiet {
        let head = outcome.head.map_or_else(|| "unknown".to_owned(), |b| b.number.to_string());
        let (name, events, incidents) = (&profile.name, outcome.new_events, outcome.incidents);
        words
            .push(format!("chain {name}: head {head}, {events} new events, {incidents} incidents"));
        let look = &outcome.second_look;
        if look.blocks > 0 {
            words.push(format!(
                "chain {name}: {} blocks read again through another node, {} agreed, {} events recovered",
                look.blocks, look.agreed, look.recovered
            ));
        }
        if look.open > 0 {
            words.push(format!("chain {name}: {} of them are not decided", look.open));
        }
        words.extend(outcome.open.iter().map(|(range, why)| format!("open: {range} ({why})")));
    }
    for line in words {
        let _ = writeln!(stderr(), "{line}");
    }
}
