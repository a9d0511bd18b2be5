//! Medians of what plugins took, the ratios that the goals speak of, and how they are shown.

use super::runner::GOAL_EVENTS;
use crate::summary::{Bound, Goal, median};
use serde::Serialize;
use std::fmt;

/// The program against the slowest yardstick, in events a second.
const WHOLE_GOAL: f64 = 0.5;

/// What a fresh instance costs, of the program's time for a batch.
const FRESH_GOAL: f64 = 0.05;

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Language {
    /// Rust: `erc20-balances`.
    Rust,
    /// JavaScript: `large-transfers`.
    JavaScript,
    /// Python: `daily-volume`.
    Python,
}

impl Language {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 3] = [Self::Rust, Self::JavaScript, Self::Python];

    /// Returns how its plugin is built.
    pub(super) const fn hint(self) -> &'static str {
        match self {
            Self::Rust => "make plugins",
            Self::JavaScript | Self::Python => "make script-plugins",
        }
    }

    /// Returns where its plugin is, in the folder of built plugins.
    pub const fn component(self) -> &'static str {
        match self {
            Self::Rust => "wasm32-wasip2/release/erc20_balances.wasm",
            Self::JavaScript => "scripts/large-transfers/build/plugin.wasm",
            Self::Python => "scripts/daily-volume/build/plugin.wasm",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Rust => "erc20-balances (Rust)",
            Self::JavaScript => "large-transfers (JavaScript)",
            Self::Python => "daily-volume (Python)",
        })
    }
}

/// What one plugin took at one batch size, once.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Events handled.
    pub events: usize,
    /// In so many batches.
    pub batches: usize,
    /// Rows written.
    pub rows: usize,
    /// Seconds of the program, from the start of the lane to its last commit.
    pub whole_s: f64,
    /// (i) Seconds in the guest.
    pub call_s: f64,
    /// CPU microseconds that an instance of its own costs a batch.
    pub fresh_us: f64,
    /// CPU microseconds of the thread that makes it meanwhile and clears away behind it.
    pub beside_us: f64,
    /// (ii) Seconds of reading the events.
    pub scan_s: f64,
    /// (iii) Seconds of appending the rows.
    pub append_s: f64,
}

impl Sample {
    /// The program's speed as a part of the slowest yardstick's.
    fn whole_part(&self) -> f64 {
        self.call_s.max(self.scan_s).max(self.append_s) / self.whole_s
    }

    fn fresh_part(&self) -> f64 {
        self.fresh_us * self.batches as f64 / 1e6 / self.whole_s
    }

    fn per_second(&self, seconds: f64) -> f64 {
        self.events as f64 / seconds
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { whole_s, call_s, scan_s, append_s, rows, fresh_us, beside_us, .. } = self;
        write!(
            f,
            "{whole_s:.3} s for {rows} rows; call {call_s:.3} s, scan {scan_s:.3} s, append \
             {append_s:.3} s; fresh instance {fresh_us:.0} us, and {beside_us:.0} us beside"
        )
    }
}

/// The medians of one plugin at one batch size.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Who.
    pub language: Language,
    /// Events of a batch.
    pub batch_events: usize,
    /// Events handled in a run.
    pub events: usize,
    /// Events a second of the program.
    pub whole_per_s: f64,
    /// Of the bare guest.
    pub call_per_s: f64,
    /// Of the scan.
    pub scan_per_s: f64,
    /// Of the append.
    pub append_per_s: f64,
    /// The program as a part of the slowest of these: median of the ratios of each run.
    pub whole_part: f64,
    /// CPU microseconds that a fresh instance costs a batch.
    pub fresh_us: f64,
    /// CPU microseconds beside it.
    pub beside_us: f64,
    /// That as a part of the program's time: median of the ratios of each run.
    pub fresh_part: f64,
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Rounds.
    pub runs: usize,
    /// What was left out.
    pub notes: Vec<String>,
    #[serde(skip)]
    samples: Vec<(Language, usize, Vec<Sample>)>,
}

impl Summary {
    /// Returns one without samples.
    pub const fn new(runs: usize) -> Self {
        Self { runs, notes: Vec::new(), samples: Vec::new() }
    }

    /// Adds what a plugin took.
    pub fn add(&mut self, language: Language, batch_events: usize, sample: Sample) {
        let all = &mut self.samples;
        match all.iter_mut().find(|(of, at, _)| (*of, *at) == (language, batch_events)) {
            Some((_, _, samples)) => samples.push(sample),
            None => all.push((language, batch_events, vec![sample])),
        }
    }

    /// Returns the medians, by plugin, then by batch size.
    pub fn rows(&self) -> Vec<Row> {
        let row = |(language, batch_events, all): &(Language, usize, Vec<Sample>)| {
            let middle = |of: &dyn Fn(&Sample) -> f64| {
                let mut values: Vec<f64> = all.iter().map(of).collect();
                values.sort_by(f64::total_cmp);
                median(&values)
            };
            Row {
                language: *language,
                batch_events: *batch_events,
                events: all.first().map_or(0, |sample| sample.events),
                whole_per_s: middle(&|sample| sample.per_second(sample.whole_s)),
                call_per_s: middle(&|sample| sample.per_second(sample.call_s)),
                scan_per_s: middle(&|sample| sample.per_second(sample.scan_s)),
                append_per_s: middle(&|sample| sample.per_second(sample.append_s)),
                whole_part: middle(&Sample::whole_part),
                fresh_us: middle(&|sample| sample.fresh_us),
                beside_us: middle(&|sample| sample.beside_us),
                fresh_part: middle(&Sample::fresh_part),
            }
        };
        let mut rows: Vec<Row> = self.samples.iter().map(row).collect();
        rows.sort_by_key(|row| (row.language, row.batch_events));
        rows
    }

    /// Returns the goals of each plugin.
    pub fn goals(&self) -> Vec<Goal> {
        let rows = self.rows();
        let held = rows.iter().filter(|row| row.batch_events == GOAL_EVENTS);
        let goals = held.flat_map(|row| {
            let name = row.language;
            let whole = (format!("{name}: program / slowest"), row.whole_part);
            let fresh = (format!("{name}: fresh instance / batch"), row.fresh_part);
            [(whole, Bound::AtLeast(WHOLE_GOAL)), (fresh, Bound::AtMost(FRESH_GOAL))]
        });
        let goal =
            |((name, part), bound): ((String, f64), Bound)| Goal::new(&name, part, Some(bound));
        goals.map(goal).collect()
    }

    /// Returns everything as one JSON object.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({ "measured": self, "rows": self.rows(), "goals": self.goals() })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "a new plugin out of a finished ledger to its commit, in events a second: medians of {} runs\n\
             call: the guest alone; scan: the ledger's rows read; append: the plugin's rows appended\n\
             fresh: what an instance of its own costs a batch; beside: what making it costs another thread\n",
            self.runs
        )?;
        writeln!(
            f,
            "{:<28} {:>5} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>6} {:>9}",
            "",
            "batch",
            "events",
            "program",
            "call",
            "scan",
            "append",
            "/ slowest",
            "fresh us",
            "fresh",
            "beside us"
        )?;
        for row in self.rows() {
            let Row { language, batch_events, events, whole_per_s, call_per_s, .. } = row;
            let Row {
                scan_per_s, append_per_s, whole_part, fresh_us, fresh_part, beside_us, ..
            } = row;
            let percent = fresh_part * 100.0;
            writeln!(
                f,
                "{language:<28} {batch_events:>5} {events:>7} {whole_per_s:>9.0} {call_per_s:>9.0} \
                 {scan_per_s:>9.0} {append_per_s:>9.0} {whole_part:>9.2} {fresh_us:>9.0} {percent:>5.1}% {beside_us:>9.0}"
            )?;
        }
        writeln!(f)?;
        for Goal { name, ratio, held_to, met } in self.goals() {
            let verdict = if met { "met" } else { "MISSED" };
            let bound = held_to.map_or_else(String::new, |bound| bound.to_string());
            writeln!(f, "{name:<56} {ratio:>6.3}   goal {bound}: {verdict}")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(whole_s: f64, slowest_s: f64, fresh_s: f64) -> Sample {
        let (call_s, scan_s, append_s) = (1.0, 0.5, slowest_s);
        let (events, batches, rows) = (GOAL_EVENTS, 1, 0);
        let (fresh_us, beside_us) = (fresh_s * 1e6, 0.0);
        Sample { events, batches, rows, whole_s, call_s, fresh_us, beside_us, scan_s, append_s }
    }

    #[test]
    fn each_language_is_held_to_the_slowest_yardstick_of_its_own_run_at_a_thousand_events() {
        let mut summary = Summary::new(3);
        // A slow machine is slow for all; the ratio stays.
        summary.add(Language::Rust, GOAL_EVENTS, sample(4.0, 2.0, 0.0));
        summary.add(Language::Rust, GOAL_EVENTS, sample(8.0, 4.0, 0.01));
        summary.add(Language::Rust, GOAL_EVENTS, sample(3.0, 2.0, 0.3));
        summary.add(Language::Python, GOAL_EVENTS, sample(2.0, 0.1, 0.2));
        summary.add(Language::Python, 1, sample(99.0, 0.1, 49.0));
        let goals: Vec<_> = summary.goals().iter().map(|goal| goal.met).collect();
        assert_eq!(goals, [true, true, true, false]);
    }
}
