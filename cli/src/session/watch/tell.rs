//! How a watch ended, in words on stderr and as the last line on stdout.

use crate::{plan::WatchPlan, summary::PluginSummary};
use event::{ChainId, ChainProfile, Commit, Op};
use pipeline::{ChainView, LookedAgain, WatchOutcome};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io::{Write, stderr},
    sync::{Arc, Mutex, PoisonError},
};

/// What was written of each chain: also what came while the run ended, when nobody waited for what was
/// acknowledged any more.
#[derive(Clone, Default)]
pub(super) struct Written(Arc<Mutex<BTreeMap<ChainId, Rows>>>);

/// Rows that are new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    events: u64,
    incidents: u64,
}

impl Written {
    /// Counts a transaction that took effect.
    pub(super) fn count(&self, commits: &[Commit]) {
        let mut chains = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for commit in commits {
            let rows = chains.entry(commit.chain).or_default();
            // By the journal: the events themselves may be in the store already.
            let came = commit.journal.iter().filter(|row| matches!(row.op, Op::Extend | Op::Late));
            rows.events += came.map(|row| row.events).sum::<u64>();
            rows.incidents += commit.incidents.len() as u64;
        }
    }

    /// Returns what a chain has of this run.
    pub(super) fn of(&self, chain: ChainId) -> Rows {
        let chains = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        chains.get(&chain).copied().unwrap_or_default()
    }
}

/// The last line of a chain.
#[derive(Serialize)]
pub(super) struct EndLine {
    chain: u64,
    head: Option<u64>,
    new_events: u64,
    incidents: u64,
    open: Vec<(u64, u64, String)>,
    halted: Option<String>,
    standing: Option<String>,
    second_look: LookLine,
    /// What became of each plugin on this chain.
    plugins: Vec<PluginSummary>,
    more: bool,
}

/// Whether anything becomes final, and why not.
#[derive(Serialize)]
pub(super) struct FinalityLine<'a> {
    chain: u64,
    finalized: Option<u64>,
    halted: Option<&'a str>,
    standing: Option<&'a str>,
}

impl<'a> FinalityLine<'a> {
    pub(super) fn new(view: &'a ChainView) -> Self {
        Self {
            chain: view.chain.0,
            finalized: view.finalized,
            halted: view.halted.as_deref(),
            standing: view.standing.as_deref(),
        }
    }
}

/// What was said last of whether anything becomes final.
#[derive(Default)]
pub(super) struct Told(Option<String>, Option<String>);

impl Told {
    /// Takes how it stands; returns whether that is something else.
    pub(super) fn take(&mut self, view: &ChainView) -> bool {
        let is_new = self.0 != view.halted || self.1 != view.standing;
        if is_new {
            *self = Self(view.halted.clone(), view.standing.clone());
        }
        is_new
    }
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
    pub(super) fn new(
        profile: &ChainProfile,
        outcome: &WatchOutcome,
        rows: Rows,
        plugins: Vec<PluginSummary>,
    ) -> Self {
        let open = outcome.open.iter();
        Self {
            chain: profile.chain.0,
            head: outcome.head.map(|head| head.number),
            new_events: rows.events,
            incidents: rows.incidents,
            open: open.map(|(range, why)| (range.first(), range.last(), why.clone())).collect(),
            halted: outcome.halted.clone(),
            standing: outcome.standing.clone(),
            second_look: look_line(&outcome.second_look),
            plugins,
            more: outcome.stopped,
        }
    }
}

fn look_line(look: &LookedAgain) -> LookLine {
    let LookedAgain { blocks, agreed, recovered, open, lacks_other_node } = *look;
    LookLine { blocks, agreed, recovered, open, lacks_other_node }
}

/// Says it in words. Whoever closed stderr does not want to hear it.
pub(super) fn tell(plan: &WatchPlan, profile: &ChainProfile, outcome: &WatchOutcome, rows: Rows) {
    let mut words = Vec::new();
    if let Some(halted) = &outcome.halted {
        words.push(format!("error: chain {} is halted: {halted}", profile.name));
        words.push("hint: look at the nodes; both branches are in the ledger's blocks".to_owned());
    }
    if let Some(standing) = &outcome.standing {
        words.push(format!(
            "warning: chain {}: what is final stands still: {standing}",
            profile.name
        ));
    }
    if !plan.quiet {
        let head = outcome.head.map_or_else(|| "unknown".to_owned(), |b| b.number.to_string());
        let (name, Rows { events, incidents }) = (&profile.name, rows);
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

#[cfg(test)]
mod tests {
    use super::*;
    use event::{BlockRange, Flaw, Incident, JournalRow, NodeId};

    #[test]
    fn what_was_written_is_counted_by_row_and_chain() {
        let incident = |chain| Incident {
            chain,
            node: NodeId::new("liar"),
            range: BlockRange::one(1),
            flaw: Flaw::Missing,
            // Of events, not of incidents.
            count: 5,
            detail: String::new(),
        };
        let row = |op, events| JournalRow {
            seq: 1,
            chain: ChainId(1),
            op,
            filter: None,
            range: BlockRange::one(1),
            block_hash: None,
            events,
        };
        let commit = |chain: u64, incidents: usize| Commit {
            incidents: vec![incident(ChainId(chain)); incidents],
            ..Commit::empty(ChainId(chain))
        };
        let events = Commit {
            // A block that comes back brings nothing new.
            journal: vec![row(Op::Extend, 3), row(Op::Late, 1), row(Op::Reinstate, 9)],
            ..Commit::empty(ChainId(1))
        };
        let written = Written::default();
        written.clone().count(&[commit(1, 2), commit(2, 0), events, commit(1, 1)]);
        written.count(&[commit(1, 4)]);
        let rows = [1, 2].map(|chain| written.of(ChainId(chain)));
        assert_eq!(rows, [Rows { events: 4, incidents: 7 }, Rows::default()]);
    }
}
