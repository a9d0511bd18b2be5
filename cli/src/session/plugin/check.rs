//! Checks a component: what it asks for, what it says of itself, and, over events of a ledger, whether
//! what it writes is a function of them.

use super::{
    Asking, PluginRun,
    recorded::Recorded,
    stopped,
    watched::{Change, Watched},
};
use crate::{
    author::{CheckReport, LimitShare, Line, Outcome, lines},
    command_error::CommandError,
    compiling::Compiling,
    config_file::PluginConfig,
    session::{Look, inputs},
};
use event::{ChainId, Descriptor, Plugin, PluginState};
use host::{LoadError, LoadedPlugin};
use pipeline::{Rehearsed, rehearsal_filters};

/// What is checked with events, in order.
const WITH_EVENTS: [&str; 6] = [
    "every event",
    "same again",
    "same block by block",
    "same attempt",
    "same phase",
    "same finalized",
];

/// Checks a component, against an older one where there is one, over events where a range is given.
pub(crate) fn check_plugin(
    config: &PluginConfig,
    against: Option<&PluginConfig>,
    events: Option<(&mut Look, PluginRun)>,
    compiling: &Compiling,
) -> Result<CheckReport, CommandError> {
    let host = compiling.host().map_err(CommandError::bug)?;
    let bytes = inputs::read_component(config)?;
    let mut report = CheckReport::new(&config.wasm, &bytes);
    let asking = events.as_ref().map_or(Asking::Nobody, |(_, run)| run.asking.clone());
    let how = (compiling, asking.grants(config)?);
    let mut plugin = match inputs::load_component(&host, config, &bytes, how)? {
        Ok(plugin) => plugin,
        Err(error) if is_check(&error) => {
            report.finding("loads", Outcome::Failed(error.to_string()));
            return Ok(report);
        }
        Err(error) => return Err(inputs::refused(&config.wasm, error)),
    };
    report.describe(plugin.interface(), plugin.imports(), plugin.descriptor());
    report.finding("loads", Outcome::Passed);
    // Which chain plays no part: a mistake shows on any.
    let subscription = rehearsal_filters(plugin.descriptor(), ChainId(1), &[]);
    report.finding("subscriptions", Outcome::of(subscription.map(drop)));
    let mut older = match against {
        Some(config) => {
            let grants = asking.grants(config)?;
            Some(inputs::load_one(&host, config, (compiling, grants))?)
        }
        None => None,
    };
    let base = match events {
        Some((ledger, run)) => {
            let mut recorded = Recorded::find(plugin.descriptor(), ledger, run)?;
            report.events(recorded.range());
            let is_unanswered = matches!(asking, Asking::Nobody);
            let base = over_events(&mut plugin, &mut recorded, &mut report, is_unanswered)?;
            report.asks = false;
            if let Asking::Recorded(_) = asking {
                let unanswered = asking.unanswered(config).join(", ");
                let outcome = match unanswered.as_str() {
                    "" => Outcome::Passed,
                    asked => Outcome::Failed(format!("there is no recorded answer for {asked}")),
                };
                report.finding("answers", outcome);
            }
            report.limits = shares(&plugin);
            match &mut older {
                Some(older) => {
                    let watched = Watched::new(older, Change::None);
                    base.zip(Shown::of(watched, &mut recorded, "against", false)?.ok())
                }
                None => None,
            }
        }
        None => {
            let why = "name blocks of a ledger: -b RANGE".to_owned();
            report.finding("over events", Outcome::NotRun(why));
            None
        }
    };
    if let Some(older) = &older {
        let outcome = compare(plugin.descriptor(), older.descriptor(), base.as_ref());
        report.finding("logic_version", outcome);
    }
    Ok(report)
}

/// Whether it is a plugin at all, and fails at being a good one.
const fn is_check(error: &LoadError) -> bool {
    matches!(
        error,
        LoadError::NotGranted { .. }
            | LoadError::Start(_)
            | LoadError::Descriptor(_)
            | LoadError::Config(_)
    )
}

/// What a run left: tables and state, whatever the batches were.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    lines: Vec<Line>,
    state: PluginState,
}

impl Shown {
    fn new(descriptor: &Descriptor, told: Rehearsed) -> Self {
        let mut lines = lines(&descriptor.tables, &told.rows, &told.messages, &told.dead_letters);
        // Two rows of one block may stand in any order.
        lines.sort();
        Self { lines, state: told.state }
    }

    /// Runs it over all of the events; an outcome where that was too slow to say anything.
    fn of(
        mut watched: Watched<'_>,
        recorded: &mut Recorded<'_>,
        what: &'static str,
        one_block: bool,
    ) -> Result<Result<Self, Outcome>, CommandError> {
        let told = recorded.rehearse(&mut watched, what, one_block)?;
        Ok(match told.overdue {
            Some(_) => Err(taken(&told)),
            None => Ok(Self::new(watched.descriptor(), told)),
        })
    }

    /// Passed where another run gave the same; else why not.
    fn outcome_of(&self, other: Result<Self, Outcome>) -> Outcome {
        other.map_or_else(|outcome| outcome, |other| self.outcome(&other))
    }

    /// Passed where the other is the same; else the first thing that differs.
    fn outcome(&self, other: &Self) -> Outcome {
        if self == other {
            return Outcome::Passed;
        }
        let lost = self.lines.iter().find(|line| other.lines.binary_search(line).is_err());
        let new = other.lines.iter().find(|line| self.lines.binary_search(line).is_err());
        let why = match (lost, new) {
            (Some(lost), Some(new)) => format!("instead of {} it wrote {}", lost.0, new.0),
            (Some(lost), None) => format!("it did not write {}", lost.0),
            (None, Some(new)) => format!("it also wrote {}", new.0),
            (None, None) if self.lines != other.lines => "rows were there more than once".into(),
            (None, None) => "its state differs".into(),
        };
        Outcome::Failed(why)
    }
}

/// Runs what is checked with events; returns what the plugin writes, unless it was too slow for that.
fn over_events(
    plugin: &mut LoadedPlugin,
    recorded: &mut Recorded<'_>,
    report: &mut CheckReport,
    is_unanswered: bool,
) -> Result<Option<Shown>, CommandError> {
    let mut watched = Watched::new(plugin, Change::None);
    watched.twice = true;
    let told = recorded.rehearse(&mut watched, WITH_EVENTS[0], false)?;
    let again = watched.unlike.take().map_or(Outcome::Passed, Outcome::Failed);
    report.counts(told.batches, told.events);
    report.asks = is_unanswered && plugin.usage().http_calls > 0;
    report.finding(WITH_EVENTS[0], taken(&told));
    if told.overdue.is_some() {
        // Each of them would wait for the same deadline.
        for name in &WITH_EVENTS[1..] {
            report.finding(name, Outcome::NotRun("it did not come to the end".to_owned()));
        }
        return Ok(None);
    }
    let base = Shown::new(plugin.descriptor(), told);
    report.finding(WITH_EVENTS[1], again);
    let runs = [
        (Change::None, true),
        (Change::Attempt, false),
        (Change::Phase, false),
        (Change::Finalized, false),
    ];
    for (name, (change, one_block)) in WITH_EVENTS[2..].iter().zip(runs) {
        let shown = Shown::of(Watched::new(plugin, change), recorded, name, one_block)?;
        report.finding(name, base.outcome_of(shown));
    }
    Ok(Some(base))
}

/// Whether every event was taken.
fn taken(told: &Rehearsed) -> Outcome {
    if let Some(why) = stopped(told) {
        return Outcome::Failed(why);
    }
    match told.dead_letters.first() {
        None => Outcome::Passed,
        Some(letter) => Outcome::Failed(format!(
            "{} set aside, the first in block {}: {}",
            told.dead_letters.len(),
            letter.block,
            letter.reason
        )),
    }
}

fn shares(plugin: &LoadedPlugin) -> Vec<LimitShare> {
    let (limits, usage) = (plugin.limits(), plugin.usage());
    let share = |limit, used: usize, allowed: usize| LimitShare {
        limit,
        used: used as u64,
        allowed: allowed as u64,
    };
    vec![
        share("memory_bytes", usage.memory_bytes, limits.memory_bytes),
        LimitShare {
            limit: "deadline_ms",
            used: usage.elapsed_us.div_ceil(1_000),
            allowed: limits.deadline_ms,
        },
        share("output_rows", usage.output_rows, limits.output_rows),
        share("output_bytes", usage.output_bytes, limits.output_bytes),
        share("state_bytes", usage.state_bytes, limits.state_bytes),
        share("outbox_messages", usage.outbox_messages, limits.outbox_messages),
        share("outbox_bytes", usage.outbox_bytes, limits.outbox_bytes),
        share("http_calls", usage.http_calls, limits.http_calls),
        share("log_lines", usage.log_lines, limits.log_lines),
        share("log_bytes", usage.log_bytes, limits.log_bytes),
    ]
}

/// Whether `logic_version` tells the truth about a new version beside an older one.
fn compare(new: &Descriptor, old: &Descriptor, runs: Option<&(Shown, Shown)>) -> Outcome {
    if new.logic_version < old.logic_version {
        let (new, old) = (new.logic_version, old.logic_version);
        return Outcome::Failed(format!("it is {new}, and {old} in the other component"));
    }
    let is_raised = new.logic_version > old.logic_version;
    let change = if new.tables != old.tables {
        Some("the tables are others".to_owned())
    } else if new.subscriptions != old.subscriptions {
        Some("the subscriptions are others".to_owned())
    } else {
        runs.and_then(|(new, old)| match old.outcome(new) {
            Outcome::Failed(why) => Some(why),
            _ => None,
        })
    };
    match change {
        Some(why) if !is_raised => {
            Outcome::Failed(format!("it has to rise beside the other component's: {why}"))
        }
        None if runs.is_none() => Outcome::NotRun(
            "what both write: name blocks of a ledger that both handle, -b RANGE".into(),
        ),
        _ => Outcome::Passed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::Visibility;

    fn descriptor(logic_version: u32, tables: usize) -> Descriptor {
        let table = event::PluginTable { name: "t".into(), columns: vec![], key: vec![] };
        Descriptor {
            name: "p".into(),
            version: String::new(),
            logic_version,
            visibility: Visibility::Latest,
            subscriptions: vec![],
            tables: vec![table; tables],
        }
    }

    fn shown(lines: &[&str]) -> Shown {
        let lines = lines.iter().map(|line| Line((*line).to_owned())).collect();
        Shown { lines, state: PluginState::default() }
    }

    #[test]
    fn what_differs_is_told_by_its_first_row() {
        let base = shown(&["a", "b"]);
        assert_eq!(base.outcome(&shown(&["a", "b"])), Outcome::Passed);
        for (other, why) in [
            (shown(&["a", "c"]), "instead of b it wrote c"),
            (shown(&["a"]), "it did not write b"),
            (shown(&["a", "b", "c"]), "it also wrote c"),
            (shown(&["a", "b", "b"]), "more than once"),
        ] {
            let outcome = base.outcome(&other);
            assert!(matches!(&outcome, Outcome::Failed(told) if told.contains(why)), "{outcome:?}");
        }
    }

    #[test]
    fn other_rows_need_another_logic_version() {
        let same = (shown(&["a"]), shown(&["a"]));
        let other = (shown(&["a"]), shown(&["b"]));
        let of = |new: (u32, usize), old: (u32, usize), runs| {
            compare(&descriptor(new.0, new.1), &descriptor(old.0, old.1), runs)
        };
        assert_eq!(of((1, 1), (1, 1), Some(&same)), Outcome::Passed);
        assert_eq!(of((2, 1), (1, 1), Some(&other)), Outcome::Passed);
        assert_eq!(of((2, 2), (1, 1), None), Outcome::Passed);
        assert!(matches!(of((1, 1), (1, 1), None), Outcome::NotRun(_)));
        assert!(matches!(of((1, 1), (1, 1), Some(&other)), Outcome::Failed(_)));
        assert!(matches!(of((1, 2), (1, 1), Some(&same)), Outcome::Failed(_)));
        assert!(matches!(of((1, 1), (2, 1), Some(&same)), Outcome::Failed(_)));
    }
}
