//! What people and programs are told: while it runs, and at the end.

use super::nodes::OpenNode;
use crate::{
    environment::Environment,
    exit_codes::ExitCode,
    interrupt::Interrupt,
    plan::ReplayPlan,
    progress::{Progress, ProgressLines},
    summary::{
        BlocksSummary, EventsSummary, EvidenceSummary, HeldSummary, IncidentSummary,
        LookedThroughSummary, NodeSummary, OpenSummary, PluginSummary, SampleSummary,
        SecondLookSummary, SinkSummary, Status, Summary,
    },
};
use event::{AnchorPolicy, BlockRange, ChainProfile, Content, Flaw, Incident, Verify};
use pipeline::{LaneReport, OwnerReport, ReplayOutcome, SecondLook, Waits, Watcher};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Feeds the live lines.
pub(super) struct Lines(Mutex<ProgressLines>);

impl Lines {
    pub(super) fn new(environment: &Environment, is_quiet: bool) -> Self {
        Self(Mutex::new(ProgressLines::new(environment, is_quiet)))
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Watcher for Lines {
    fn on_progress(&self, progress: &pipeline::Progress) {
        let per_node = progress.node.iter().map(|(node, doing)| (node.to_string(), doing.clone()));
        let shown = Progress {
            blocks_done: progress.blocks_done,
            blocks_total: progress.blocks_total,
            events: progress.events,
            open: 0,
            per_node: per_node.collect(),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).show(&shown);
    }
}

/// Everything there is to tell.
pub(super) struct Ended<'a> {
    pub(super) plan: &'a ReplayPlan,
    pub(super) profile: ChainProfile,
    pub(super) nodes: Vec<OpenNode>,
    /// What was asked for; `None` where the ledger covers everything up to the end.
    pub(super) range: Option<BlockRange>,
    pub(super) outcome: ReplayOutcome,
    pub(super) evidence: Option<event::Evidence>,
    pub(super) owner_report: OwnerReport,
    pub(super) lane_reports: Vec<LaneReport>,
    pub(super) sinks: Vec<SinkSummary>,
}

impl Ended<'_> {
    pub(super) fn summary(mut self, interrupt: &Interrupt, elapsed_ms: u64) -> (Summary, ExitCode) {
        self.outcome.told = standing(std::mem::take(&mut self.outcome.told));
        let plugins = self.plugins();
        let is_behind = plugins.iter().any(|plugin| plugin.behind);
        let (status, mut code) = self.status(interrupt, is_behind);
        if self.owner_report.not_folded.is_some() && status.is_left_to_the_disk() {
            code = ExitCode::LocalIo;
        }
        let failure = self.failure().filter(|_| status == Status::Failed);
        let Self { plan, profile, nodes, range, outcome, evidence, owner_report, .. } = self;
        let sinks = self.sinks;
        let (raw, undecodable) = (outcome.decoded.unknown, outcome.decoded.undecodable);
        let summary = Summary {
            status,
            failure,
            range: range.map(Into::into),
            evidence: evidence.map(|evidence| EvidenceSummary {
                content: evidence.content.to_string(),
                anchor: evidence.anchor.to_string(),
                anchor_node: (nodes.len() == 1).then(|| nodes[0].node.id().to_string()),
                anchor_block: match plan.anchor {
                    AnchorPolicy::Checkpoint(block) => Some(block.number),
                    _ => range.map(|range| range.last()),
                },
                sample: sample(plan.chain.verify, evidence.content, range, &outcome.open),
            }),
            blocks: BlocksSummary {
                fetched: outcome.blocks_read,
                already_covered: outcome.blocks_covered_before,
                open: outcome
                    .open
                    .into_iter()
                    .map(|(range, reason)| OpenSummary { range: range.into(), reason })
                    .collect(),
            },
            events: EventsSummary {
                new: outcome.new_events,
                known: outcome.known_events,
                decoded: outcome.new_events.saturating_sub(raw + undecodable),
                undecodable,
                raw,
            },
            second_look: outcome.second_look.map(|look| second_look(&look, &nodes)),
            undecoded: owner_report.undecoded.into_iter().map(Into::into).collect(),
            held: (outcome.held.iter())
                .map(|(range, process)| HeldSummary { range: (*range).into(), process: *process })
                .collect(),
            incidents: outcome
                .told
                .into_iter()
                .map(|incident| IncidentSummary {
                    node: incident.node.to_string(),
                    flaw: incident.flaw.to_string(),
                    range: incident.range.into(),
                    count: incident.count,
                    detail: incident.detail,
                })
                .collect(),
            plugins,
            sinks,
            more: matches!(
                status,
                Status::Stopped | Status::Interrupted | Status::Open | Status::Skipped
            ),
            not_folded: owner_report.not_folded,
            elapsed_ms,
            ..empty_summary(plan, &profile, &nodes)
        };
        (summary, code)
    }

    /// Why the check that was asked for has failed, if it has.
    fn failure(&self) -> Option<String> {
        let incidents = &self.outcome.told;
        if let AnchorPolicy::Checkpoint(block) = self.plan.anchor
            && let Some(other) = incidents.iter().find(|incident| {
                incident.flaw == Flaw::AnchorMismatch && incident.range.contains(block.number)
            })
        {
            return Some(format!("{} contradicts --anchor: {}", other.node, other.detail));
        }
        let mut wrong = incidents.iter().filter(|incident| incident.flaw != Flaw::Withdrawn);
        let first = wrong.next().filter(|_| self.plan.fail_on_incident)?;
        Some(format!("{} was caught with a wrong answer: {}", first.node, first.detail))
    }

    /// What plugins did. A range of which parts are open or left to another process is no more than they could
    /// be handed.
    fn plugins(&mut self) -> Vec<PluginSummary> {
        let Self { range, outcome, .. } = self;
        let is_read = outcome.open.is_empty() && outcome.held.is_empty() && !outcome.stopped;
        let through = range.map(|range| range.last());
        let reports = std::mem::take(&mut self.lane_reports).into_iter();
        reports.map(|report| plugin_summary(report, through, is_read)).collect()
    }

    fn status(&self, interrupt: &Interrupt, is_behind: bool) -> (Status, ExitCode) {
        if let Some(code) = interrupt.code() {
            return (Status::Interrupted, code);
        }
        if self.failure().is_some() {
            return (Status::Failed, ExitCode::CheckFailed);
        }
        if self.outcome.stopped {
            return (Status::Stopped, ExitCode::Done);
        }
        match (self.outcome.open.is_empty() && !is_behind, self.outcome.held.is_empty()) {
            (true, true) => (Status::Done, ExitCode::Done),
            // Another process does it just now.
            (true, false) => (Status::Skipped, ExitCode::Done),
            (false, _) => (Status::Open, ExitCode::LeftOpen),
        }
    }
}

/// Returns incidents without those that the same run withdrew, and without that it did.
fn standing(told: Vec<Incident>) -> Vec<Incident> {
    let mut standing: Vec<Incident> = Vec::new();
    for incident in told {
        let is_it = |told: &Incident| {
            told.flaw == Flaw::Missing
                && (&told.node, told.range, told.count)
                    == (&incident.node, incident.range, incident.count)
        };
        match standing.iter().position(is_it).filter(|_| incident.flaw == Flaw::Withdrawn) {
            Some(at) => drop(standing.remove(at)),
            None => standing.push(incident),
        }
    }
    standing
}

/// What is proved of a sample: all of it that is not open.
fn sample(
    verify: Verify,
    content: Content,
    range: Option<BlockRange>,
    open: &[(BlockRange, String)],
) -> Option<SampleSummary> {
    let (Verify::ProveSample(sample), Some(range)) = (verify, range) else { return None };
    // Where all of them are proved, a part of them is no news.
    (content < Content::Receipts).then(|| {
        let open: u64 = open.iter().map(|(open, _)| sample.count_in(*open)).sum();
        let proved = sample.count_in(range).saturating_sub(open);
        SampleSummary { share: sample.to_string(), proved }
    })
}

fn second_look(look: &SecondLook, nodes: &[OpenNode]) -> SecondLookSummary {
    let client = |name| {
        let node = nodes.iter().find(|node| node.node.id() == name);
        node.and_then(|node| node.greeting.status.client.as_deref().map(str::to_owned))
    };
    SecondLookSummary {
        range: look.range.map(Into::into),
        nodes: (look.nodes.iter())
            .map(|(name, through)| LookedThroughSummary {
                name: name.to_string(),
                client: client(name),
                blocks: through.blocks,
                of_other_client: through.of_other_client,
            })
            .collect(),
        agreed: look.agreed,
        recovered: look.recovered,
        lacks_other_node: !look.without_other.is_empty(),
        without_other_node: look.without_other.iter().map(BlockRange::count).sum(),
        held: held_looks(look),
    }
}

/// One line for each process, however many windows it looks at.
fn held_looks(look: &SecondLook) -> Vec<HeldSummary> {
    let mut by_process: BTreeMap<u32, BlockRange> = BTreeMap::new();
    for (range, process) in &look.held {
        let hull = by_process.entry(*process).or_insert(*range);
        *hull = hull.hull(*range);
    }
    let held = by_process.into_iter();
    held.map(|(process, range)| HeldSummary { range: range.into(), process }).collect()
}

/// What a plugin did, of which the blocks up to `through` were asked for; `is_read` where all of these are there.
pub(super) fn plugin_summary(
    report: LaneReport,
    through: Option<u64>,
    is_read: bool,
) -> PluginSummary {
    let is_run = !matches!(report.waits, Some(Waits::Owner(_)));
    let stands = report.halted.is_some() || report.held.is_some();
    // A plugin that is as far as the range has nothing to wait for.
    let is_short = !stands && through.is_some_and(|through| report.next_block <= through);
    let is_patient = matches!(report.waits, Some(Waits::Finality(_)));
    let (waiting, is_behind) = match report.waits {
        Some(waits @ (Waits::Again(_) | Waits::Owner(_) | Waits::Turn(_))) => {
            (Some(waits.to_string()), true)
        }
        Some(Waits::Subscription) => (Some(Waits::Subscription.to_string()), false),
        Some(waits @ Waits::Finality(_)) => (is_short.then(|| waits.to_string()), false),
        None => {
            let block = report.next_block;
            let gap = format!("block {block} is not covered for everything that it subscribes to");
            (is_short.then_some(gap), is_short && is_read)
        }
    };
    PluginSummary {
        name: report.plugin,
        cursor: is_run.then_some(report.next_block),
        rows: report.rows,
        dead_letters: report.dead_letters.len() as u64,
        halted: report.halted,
        held: report.held,
        waiting,
        behind: stands || is_behind,
        is_patient,
    }
}

/// A summary of nothing done.
fn empty_summary(plan: &ReplayPlan, profile: &ChainProfile, nodes: &[OpenNode]) -> Summary {
    Summary {
        ledger: plan.ledger.path.display().to_string(),
        chain: profile.chain.0,
        verify: plan.chain.verify.to_string(),
        nodes: nodes
            .iter()
            .map(|node| NodeSummary {
                name: node.node.id().to_string(),
                client: node.greeting.status.client.as_deref().map(str::to_owned),
                calls: node.node.calls(),
            })
            .collect(),
        ..Summary::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use event::{ChainId, NodeId};

    #[test]
    fn why_a_plugin_waits_is_said_as_it_is_and_whether_it_should_have_been_handed_more() {
        let report = |next_block, waits| LaneReport { next_block, waits, ..LaneReport::default() };
        let of = |report, is_read| {
            let plugin = plugin_summary(report, Some(9), is_read);
            (plugin.waiting.unwrap_or_default(), plugin.behind)
        };
        assert_eq!(of(report(10, None), true), (String::new(), false));
        let gap = "block 5 is not covered for everything that it subscribes to".to_owned();
        assert_eq!(of(report(5, None), true), (gap.clone(), true));
        // The blocks themselves are open, which is told of them.
        assert_eq!(of(report(5, None), false), (gap, false));
        let again = Waits::Again("no luck".to_owned());
        assert_eq!(of(report(5, Some(again.clone())), true), ("no luck".to_owned(), true));
        assert_eq!(of(report(10, Some(again)), true), ("no luck".to_owned(), true));
        let finality = "block 5 is not as final as it wants it".to_owned();
        assert_eq!(of(report(5, Some(Waits::Finality(5))), true), (finality, false));
        let other = "nothing that the ledger follows matches its subscription".to_owned();
        assert_eq!(of(report(0, Some(Waits::Subscription)), true), (other, false));
        let halted = LaneReport { halted: Some("enough".to_owned()), ..report(5, None) };
        assert_eq!(of(halted, true), (String::new(), true));
    }

    #[test]
    fn what_a_run_told_and_withdrew_is_not_told_and_what_an_earlier_one_told_is_withdrawn_aloud() {
        let incident = |node: &str, number: u64, flaw: Flaw| Incident {
            chain: ChainId(1),
            node: NodeId::new(node),
            range: BlockRange::one(number),
            flaw,
            count: 1,
            detail: String::new(),
        };
        let told = vec![
            incident("a", 5, Flaw::Missing),
            incident("b", 5, Flaw::Missing),
            incident("a", 5, Flaw::Withdrawn),
            incident("c", 5, Flaw::Withdrawn),
        ];
        let left = [incident("b", 5, Flaw::Missing), incident("c", 5, Flaw::Withdrawn)];
        assert_eq!(standing(told), left);
    }
}
