//! Medians, the ratios that the goals speak of, and how they are shown.

use crate::{
    contender::{Contender, Level},
    measure::Usage,
    transfer::TRANSFERS_PER_BLOCK,
};
use serde::Serialize;
use std::fmt::{self, Write as _};

/// (a) against the slower of (d) and (e).
const OFF_GOAL: f64 = 1.2;

/// (b) against (a).
const BLOOM_GOAL: f64 = 1.25;

/// (p) against (a).
const PROVE_GOAL: f64 = 2.5;

/// (n) one node against two.
const NODES_GOAL: f64 = 1.7;

/// Peak memory of all blocks against a fifth of them.
const MEMORY_GOAL: f64 = 1.2;

/// The medians of one contender.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Who.
    pub contender: Contender,
    /// Its name in the table.
    pub name: String,
    /// Logs read.
    pub logs: u64,
    /// Runs behind the medians.
    pub runs: usize,
    /// Logs in a second, at the median wall time.
    pub logs_per_s: f64,
    /// Wall times, round by round.
    pub walls_s: Vec<f64>,
    /// Median of the wall times.
    pub wall_s: f64,
    /// Fastest run.
    pub wall_min_s: f64,
    /// Slowest run.
    pub wall_max_s: f64,
    /// Median of the CPU seconds.
    pub cpu_s: f64,
    /// Median of the peaks.
    pub peak_mb: f64,
}

/// A ratio with the goal it is held to.
#[derive(Clone, Debug, Serialize)]
pub struct Goal {
    /// What over what.
    pub name: String,
    /// Measured.
    pub ratio: f64,
    /// What it is held to; a ratio without is only shown.
    pub held_to: Option<Bound>,
    /// Whether it holds.
    pub met: bool,
}

/// On which side of a number a ratio has to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Goal {
    fn new(name: &str, ratio: f64, held_to: Option<Bound>) -> Self {
        let met = held_to.is_none_or(|bound| bound.holds(ratio));
        Self { name: name.to_owned(), ratio, held_to, met }
    }
}

impl Bound {
    fn holds(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(most) => ratio <= most,
            Self::AtLeast(least) => ratio >= least,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "{most:.2}"),
            Self::AtLeast(least) => write!(f, "at least {least:.2}"),
        }
    }
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Blocks of the chain.
    pub blocks: u64,
    /// Rounds.
    pub runs: usize,
    /// Wait before each answer.
    pub latency_ms: u64,
    /// Medians over all blocks.
    pub rows: Vec<Row>,
    /// Medians over a fifth of the blocks.
    pub small_rows: Vec<Row>,
    /// What was left out or looks wrong.
    pub notes: Vec<String>,
}

impl Summary {
    /// Returns one without rows.
    pub fn new(blocks: u64, runs: usize, latency_ms: u64) -> Self {
        let (rows, small_rows, notes) = (Vec::new(), Vec::new(), Vec::new());
        Self { blocks, runs, latency_ms, rows, small_rows, notes }
    }

    /// Adds a contender's runs.
    pub fn add(&mut self, contender: Contender, is_whole: bool, usages: &[Usage]) {
        let blocks = if is_whole { self.blocks } else { self.blocks / crate::runner::SMALL_PART };
        let logs = blocks.max(1) * TRANSFERS_PER_BLOCK as u64;
        let column = |of: fn(&Usage) -> f64| {
            let mut values: Vec<f64> = usages.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let walls = column(|usage| usage.wall_s);
        let wall_s = median(&walls);
        let row = Row {
            contender,
            name: contender.to_string(),
            logs,
            runs: usages.len(),
            logs_per_s: logs as f64 / wall_s,
            walls_s: usages.iter().map(|usage| usage.wall_s).collect(),
            wall_s,
            wall_min_s: walls.first().copied().unwrap_or(f64::NAN),
            wall_max_s: walls.last().copied().unwrap_or(f64::NAN),
            cpu_s: median(&column(|usage| usage.cpu_s)),
            peak_mb: median(&column(|usage| usage.peak_bytes as f64 / 1e6)),
        };
        if is_whole { self.rows.push(row) } else { self.small_rows.push(row) }
    }

    /// Returns the goals whose both sides were measured.
    pub fn goals(&self) -> Vec<Goal> {
        let off = self.walls(Contender::ReplayOff);
        let append = row(&self.rows, Contender::AppendLoop);
        let slower = append.zip(self.best_alloy()).map(|(e, d)| {
            let slower = if e.wall_s < d.wall_s { d } else { e };
            slower.walls_s.as_slice()
        });
        let at_most = |most| Some(Bound::AtMost(most));
        let mut goals = Vec::new();
        let mut push = |name: &str, above: Option<&[f64]>, below: Option<&[f64]>, held_to| {
            goals.extend(
                above
                    .zip(below)
                    .map(|(above, below)| Goal::new(name, median_ratio(above, below), held_to)),
            );
        };
        push("(a) / slower of (d) at its best and (e)", off, slower, at_most(OFF_GOAL));
        push("(b) / (a)", self.walls(Contender::ReplayBloom), off, at_most(BLOOM_GOAL));
        push("(p) / (a)", self.walls(Contender::ReplayProve), off, at_most(PROVE_GOAL));
        let silent = |level| self.walls(Contender::Silent(level));
        push("(s) bloom / off", silent(Level::Bloom), silent(Level::Off), None);
        push("(s) prove / off", silent(Level::Prove), silent(Level::Off), None);
        let nodes = |count| self.walls(Contender::LimitedNodes(count));
        push("(n) one node / two", nodes(1), nodes(2), Some(Bound::AtLeast(NODES_GOAL)));
        for small in &self.small_rows {
            let peak = row(&self.rows, small.contender).map(|row| row.peak_mb);
            let name =
                format!("({}) peak memory, all / a fifth of the logs", small.contender.letter());
            goals.extend(goal(&name, peak, Some(small.peak_mb), MEMORY_GOAL));
        }
        goals
    }

    fn walls(&self, contender: Contender) -> Option<&[f64]> {
        row(&self.rows, contender).map(|row| row.walls_s.as_slice())
    }

    fn best_alloy(&self) -> Option<&Row> {
        let alloy = self.rows.iter().filter(|row| matches!(row.contender, Contender::AlloyLoop(_)));
        alloy.min_by(|a, b| a.wall_s.total_cmp(&b.wall_s))
    }

    /// Returns everything as one JSON object.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({ "measured": self, "goals": self.goals() })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { blocks, runs, latency_ms, .. } = self;
        writeln!(
            f,
            "{blocks} blocks, medians of {runs} rounds (also of their ratios), \
             {latency_ms} ms latency\n"
        )?;
        writeln!(
            f,
            "{:<48} {:>9} {:>9} {:>8} {:>13} {:>7} {:>8}",
            "", "logs", "logs/s", "wall s", "(min to max)", "CPU s", "peak MB"
        )?;
        for row in self.rows.iter().chain(&self.small_rows) {
            let mut spread = String::new();
            write!(spread, "{:.2} to {:.2}", row.wall_min_s, row.wall_max_s)?;
            // The peak of (e) is the prepared rows, which says nothing.
            let peak = match row.contender {
                Contender::AppendLoop => "-".to_owned(),
                _ => format!("{:.0}", row.peak_mb),
            };
            writeln!(
                f,
                "{:<48} {:>9} {:>9.0} {:>8.2} {:>13} {:>7.2} {:>8}",
                row.name, row.logs, row.logs_per_s, row.wall_s, spread, row.cpu_s, peak
            )?;
        }
        writeln!(f)?;
        for Goal { name, ratio, held_to, met } in self.goals() {
            write!(f, "{name:<48} {ratio:>9.2}")?;
            if let Some(bound) = held_to {
                let verdict = if met { "met" } else { "MISSED" };
                write!(f, "   goal {bound}: {verdict}")?;
            }
            writeln!(f)?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}

fn row(rows: &[Row], contender: Contender) -> Option<&Row> {
    rows.iter().find(|row| row.contender == contender)
}

pub(crate) fn goal(
    name: &str,
    above: Option<f64>,
    below: Option<f64>,
    at_most: f64,
) -> Option<Goal> {
    ratio(name, above, below, Some(Bound::AtMost(at_most)))
}

/// Median of the rounds' ratios: a machine that is slow for a while is slow for both sides of it.
fn median_ratio(above: &[f64], below: &[f64]) -> f64 {
    let mut ratios: Vec<f64> =
        above.iter().zip(below).map(|(above, below)| above / below).collect();
    ratios.sort_by(f64::total_cmp);
    median(&ratios)
}

pub(crate) fn ratio(
    name: &str,
    above: Option<f64>,
    below: Option<f64>,
    held_to: Option<Bound>,
) -> Option<Goal> {
    Some(Goal::new(name, above? / below?, held_to))
}

/// Of sorted values; between two in the middle it takes their mean.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(wall_s: f64, peak_mb: u64) -> Usage {
        Usage { wall_s, cpu_s: wall_s, peak_bytes: peak_mb * 1_000_000 }
    }

    #[test]
    fn goals_hold_the_replay_to_the_slower_yardstick_at_its_best() {
        let mut summary = Summary::new(100, 3, 0);
        let off = [usage(9.0, 120), usage(3.0, 100), usage(2.0, 110)];
        summary.add(Contender::ReplayOff, true, &off);
        summary.add(Contender::ReplayOff, false, &[usage(1.0, 100)]);
        summary.add(Contender::AlloyLoop(1), true, &[usage(5.0, 1)]);
        summary.add(Contender::AlloyLoop(4), true, &[usage(1.0, 1)]);
        let append = [usage(6.0, 1), usage(3.0, 1), usage(2.5, 1)];
        summary.add(Contender::AppendLoop, true, &append);
        let goals = summary.goals();
        let ratios: Vec<_> = goals.iter().map(|goal| (goal.ratio, goal.met)).collect();
        // Ratios of the rounds: 1.5, 1.0 and 0.8.
        assert_eq!(ratios, [(1.0, true), (1.1, true)]);
    }

    #[test]
    fn two_nodes_are_held_to_be_faster_and_a_silent_contract_to_nothing() {
        let mut summary = Summary::new(100, 1, 0);
        for (contender, wall_s) in [
            (Contender::LimitedNodes(1), 3.0),
            (Contender::LimitedNodes(2), 2.0),
            (Contender::Silent(Level::Off), 1.0),
            (Contender::Silent(Level::Prove), 9.0),
        ] {
            summary.add(contender, true, &[usage(wall_s, 1)]);
        }
        let goals = summary.goals();
        let ratios: Vec<_> = goals.iter().map(|goal| (goal.ratio, goal.met)).collect();
        assert_eq!(ratios, [(9.0, true), (1.5, false)]);
        assert_eq!(goals[0].held_to, None);
    }

    #[test]
    fn a_ratio_with_one_side_unmeasured_is_not_shown() {
        let mut summary = Summary::new(100, 1, 0);
        summary.add(Contender::ReplayBloom, true, &[usage(1.0, 1)]);
        assert!(summary.goals().is_empty());
    }
}
