//! Medians of the live runs, the ratio that the goal speaks of, and how they are shown.

use super::{contender::Follower, runner::Plan};
use crate::summary::{Goal, goal, median};
use serde::Serialize;
use std::fmt;

/// (f) against (g).
const LIVE_GOAL: f64 = 1.5;

/// How long one block took.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Milliseconds from announcement to commit.
    pub commit_ms: f64,
    /// Milliseconds from announcement to its first line on stdout.
    pub print_ms: Option<f64>,
}

/// All blocks of one follower at one latency.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Who.
    pub follower: Follower,
    /// Wait before each answer and announcement.
    pub latency_ms: u64,
    /// Blocks behind the figures.
    pub blocks: usize,
    /// Half of them were committed sooner.
    pub median_ms: f64,
    /// Nine in ten were committed sooner.
    pub p90_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// Half of them were on stdout sooner, for whom that is said.
    pub printed_ms: Option<f64>,
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Blocks of a run.
    pub blocks: u64,
    /// Rounds.
    pub runs: usize,
    /// Milliseconds between two heads.
    pub interval_ms: u64,
    /// What was left out.
    pub notes: Vec<String>,
    #[serde(skip)]
    samples: Vec<(Follower, u64, Vec<Sample>)>,
}

impl Summary {
    /// Returns one without samples.
    pub fn new(plan: &Plan) -> Self {
        Self {
            blocks: plan.block_count,
            runs: plan.run_count,
            interval_ms: plan.interval.as_millis() as u64,
            notes: Vec::new(),
            samples: Vec::new(),
        }
    }

    /// Adds a run and returns its own row.
    pub fn add(&mut self, follower: Follower, latency_ms: u64, samples: Vec<Sample>) -> Row {
        let row = row(follower, latency_ms, &samples);
        let key = |(of, at, _): &&mut (Follower, u64, Vec<Sample>)| (*of, *at);
        match self.samples.iter_mut().find(|entry| key(entry) == (follower, latency_ms)) {
            Some((_, _, all)) => all.extend(samples),
            None => self.samples.push((follower, latency_ms, samples)),
        }
        row
    }

    /// Returns the rows over all rounds, by latency, then in the order of the followers.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> =
            self.samples.iter().map(|(follower, at, all)| row(*follower, *at, all)).collect();
        rows.sort_by_key(|row| (row.latency_ms, row.follower));
        rows
    }

    /// Returns the goals whose both sides were measured.
    pub fn goals(&self) -> Vec<Goal> {
        let rows = self.rows();
        let at = |latency_ms| {
            let name = format!("(f) / (g), median to commit, {latency_ms} ms latency");
            let above = median_of(&rows, Follower::Watch, latency_ms);
            goal(&name, above, median_of(&rows, Follower::HeadsLoop, latency_ms), LIVE_GOAL)
        };
        latencies(&rows).into_iter().filter_map(at).collect()
    }

    /// Returns everything as one JSON object.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({ "measured": self, "rows": self.rows(), "goals": self.goals() })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { follower, latency_ms, median_ms, p90_ms, .. } = self;
        write!(f, "{follower}, {latency_ms} ms: median {median_ms:.1} ms, p90 {p90_ms:.1} ms")
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { blocks, runs, interval_ms, .. } = self;
        writeln!(
            f,
            "from a node's announcement of a head to the commit, {runs} runs of {blocks} blocks, a \
             head each {interval_ms} ms\n"
        )?;
        writeln!(
            f,
            "{:<48} {:>7} {:>7} {:>9} {:>8} {:>8} {:>9}",
            "", "latency", "blocks", "median ms", "p90 ms", "max ms", "stdout ms"
        )?;
        let rows = self.rows();
        for row in &rows {
            let Row { latency_ms, blocks, median_ms, p90_ms, max_ms, .. } = row;
            let printed = row.printed_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"));
            writeln!(
                f,
                "{:<48} {latency_ms:>7} {blocks:>7} {median_ms:>9.1} {p90_ms:>8.1} {max_ms:>8.1} \
                 {printed:>9}",
                row.follower.to_string()
            )?;
        }
        writeln!(f)?;
        for Goal { name, ratio, held_to, met } in self.goals() {
            let verdict = if met { "met" } else { "MISSED" };
            let bound = held_to.map_or_else(String::new, |bound| bound.to_string());
            writeln!(f, "{name:<48} {ratio:>9.2}   goal {bound}: {verdict}")?;
        }
        for latency_ms in latencies(&rows) {
            let watch = median_of(&rows, Follower::Watch, latency_ms);
            let logs = median_of(&rows, Follower::LogsLoop, latency_ms);
            if let Some((watch, logs)) = watch.zip(logs) {
                let name = format!("(f) - (h), median to commit, {latency_ms} ms latency");
                writeln!(f, "{name:<48} {:>9.1} ms", watch - logs)?;
            }
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}

fn row(follower: Follower, latency_ms: u64, samples: &[Sample]) -> Row {
    let sorted = |values: &mut dyn Iterator<Item = f64>| {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let commits = sorted(&mut samples.iter().map(|sample| sample.commit_ms));
    let prints = sorted(&mut samples.iter().filter_map(|sample| sample.print_ms));
    let p90 = commits.get((commits.len() * 9 / 10).min(commits.len().saturating_sub(1)));
    Row {
        follower,
        latency_ms,
        blocks: commits.len(),
        median_ms: median(&commits),
        p90_ms: p90.copied().unwrap_or(f64::NAN),
        max_ms: commits.last().copied().unwrap_or(f64::NAN),
        printed_ms: (!prints.is_empty()).then(|| median(&prints)),
    }
}

fn latencies(rows: &[Row]) -> Vec<u64> {
    let mut latencies: Vec<u64> = rows.iter().map(|row| row.latency_ms).collect();
    latencies.dedup();
    latencies
}

fn median_of(rows: &[Row], follower: Follower, latency_ms: u64) -> Option<f64> {
    let row = rows.iter().find(|row| (row.follower, row.latency_ms) == (follower, latency_ms));
    row.map(|row| row.median_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_pooled_and_each_latency_has_its_own_ratio() {
        let mut summary =
            Summary { blocks: 3, runs: 2, interval_ms: 1, notes: Vec::new(), samples: Vec::new() };
        let samples = |values: &[f64]| {
            values.iter().map(|ms| Sample { commit_ms: *ms, print_ms: None }).collect()
        };
        summary.add(Follower::Watch, 50, samples(&[150.0, 160.0]));
        summary.add(Follower::HeadsLoop, 50, samples(&[100.0]));
        summary.add(Follower::Watch, 0, samples(&[9.0, 1.0]));
        summary.add(Follower::Watch, 0, samples(&[4.0]));
        summary.add(Follower::HeadsLoop, 0, samples(&[4.0]));
        summary.add(Follower::LogsLoop, 7, samples(&[4.0]));
        let goals: Vec<_> = summary.goals().iter().map(|goal| (goal.ratio, goal.met)).collect();
        assert_eq!(goals, [(1.0, true), (1.55, false)]);
    }
}
