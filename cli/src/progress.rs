//! The live lines on a terminal. Draws what it is given; decides nothing.

use crate::{environment::Environment, summary::grouped};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::{
    collections::BTreeMap,
    fmt,
    io::{Write, stderr},
    time::Duration,
};

/// Redraws per second, at most.
const DRAWS_PER_SECOND: u8 = 10;

/// Rate and time left move also while a node is slow.
const TICK: Duration = Duration::from_millis(500);

/// How far a run is. Plain data, made by whoever drives the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Blocks done.
    pub(crate) blocks_done: u64,
    /// Blocks to do.
    pub(crate) blocks_total: u64,
    /// Events stored so far.
    pub(crate) events: u64,
    /// Blocks left open so far.
    pub(crate) open: u64,
    /// Each node's name and what it is doing.
    pub(crate) per_node: Vec<(String, String)>,
}

/// The lines. Hidden where stderr is no terminal or the user wants quiet.
#[derive(Debug)]
pub(crate) struct ProgressLines {
    all: MultiProgress,
    blocks: ProgressBar,
    is_ticking: bool,
    nodes: BTreeMap<String, ProgressBar>,
}

impl ProgressLines {
    /// Returns the lines, hidden unless a person watches.
    pub(crate) fn new(environment: &Environment, is_quiet: bool) -> Self {
        Self::shown(environment.stderr_is_terminal && !is_quiet)
    }

    /// Returns the lines, hidden unless they are to be shown.
    pub(crate) fn shown(is_shown: bool) -> Self {
        let target = match is_shown {
            true => ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND),
            false => ProgressDrawTarget::hidden(),
        };
        let all = MultiProgress::with_draw_target(target);
        let blocks = all.add(ProgressBar::new(0).with_style(blocks_style()));
        Self { all, blocks, is_ticking: false, nodes: BTreeMap::new() }
    }

    /// Shows where the run is now.
    pub(crate) fn show(&mut self, progress: &Progress) {
        if progress.blocks_total == 0 {
            // Everything is covered: there is no way to show.
            return;
        }
        if !self.is_ticking && !self.all.is_hidden() {
            self.is_ticking = true;
            self.blocks.enable_steady_tick(TICK);
        }
        self.blocks.set_length(progress.blocks_total);
        self.blocks.set_position(progress.blocks_done);
        let mut message = format!("{} events", grouped(progress.events));
        if progress.open > 0 {
            message.push_str(&format!(", {} blocks open", grouped(progress.open)));
        }
        self.blocks.set_message(message);
        for (name, state) in &progress.per_node {
            let all = &self.all;
            let line = self.nodes.entry(name.clone()).or_insert_with(|| {
                all.add(
                    ProgressBar::new_spinner().with_style(node_style()).with_prefix(name.clone()),
                )
            });
            line.set_message(state.clone());
            line.tick();
        }
    }

    /// Writes a line of its own: above the others where these are shown.
    pub(crate) fn say(&self, line: &str) {
        // Whoever closed stderr does not want to hear it.
        let _ = match self.all.is_hidden() {
            true => writeln!(stderr(), "{line}"),
            false => self.all.println(line),
        };
    }

    /// Removes the lines from the screen; the summary comes in their place.
    pub(crate) fn clear(&self) {
        // Else a tick could draw them once more.
        self.blocks.disable_steady_tick();
        let _ = self.all.clear();
    }
}

/// The bar takes what the figures leave of the line, so that a narrow terminal loses no figure.
fn blocks_style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{wide_bar} {done} blocks  {rate}  {msg}  {left}");
    style
        .expect("the template is fixed and the tests draw it")
        .with_key("done", |state: &ProgressState, out: &mut dyn fmt::Write| {
            let total = state.len().unwrap_or_default();
            let _ = write!(out, "{} of {}", grouped(state.pos()), grouped(total));
        })
        .with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
            let _ = write!(out, "{}", rate(state.per_sec()));
        })
        .with_key("left", |state: &ProgressState, out: &mut dyn fmt::Write| {
            let _ = match left(state.pos(), state.eta()) {
                Some(left) => write!(out, "{left} left"),
                None => write!(out, "? left"),
            };
        })
}

/// Whole blocks, but for a rate where they would say too little.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, for people")]
fn rate(per_second: f64) -> String {
    match per_second {
        0.05..10.0 => format!("{per_second:.1}/s"),
        _ => format!("{}/s", grouped(per_second as u64)),
    }
}

/// Returns the time left in its two largest units; `None` before anything can be known.
fn left(done: u64, eta: Duration) -> Option<String> {
    let seconds = eta.as_secs();
    let units = |big: u64, small: u64, names: [&str; 2]| {
        format!("{}{} {:02}{}", seconds / big, names[0], seconds % big / small, names[1])
    };
    match (done, seconds) {
        (0, _) => None,
        (_, 0..60) => Some(format!("{seconds}s")),
        (_, 60..3_600) => Some(units(60, 1, ["m", "s"])),
        (_, 3_600..86_400) => Some(units(3_600, 60, ["h", "m"])),
        _ => Some(units(86_400, 3_600, ["d", "h"])),
    }
}

fn node_style() -> ProgressStyle {
    ProgressStyle::with_template("  {prefix:.bold}  {msg}")
        .expect("the template is fixed and the tests draw it")
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn progress_is_taken_also_where_it_is_not_drawn() {
        let mut lines = ProgressLines::new(&Environment::default(), false);
        lines.show(&Progress {
            blocks_done: 1_500,
            blocks_total: 3_000,
            events: 12_345,
            open: 7,
            per_node: vec![("a".into(), "reading 1:99".into())],
        });
        assert_eq!(lines.blocks.position(), 1_500);
        assert_eq!(lines.blocks.message(), "12_345 events, 7 blocks open");
        assert_eq!(lines.nodes["a"].message(), "reading 1:99");
    }

    #[test]
    fn rate_and_time_left_are_short_and_say_nothing_unknown() {
        assert_eq!(rate(0.0), "0/s");
        assert_eq!(rate(0.25), "0.2/s");
        assert_eq!(rate(1_829.692_8), "1_829/s");
        assert_eq!(left(0, Duration::ZERO), None);
        assert_eq!(left(1, Duration::from_secs(59)).as_deref(), Some("59s"));
        assert_eq!(left(1, Duration::from_secs(62)).as_deref(), Some("1m 02s"));
        assert_eq!(left(1, Duration::from_secs(3_720)).as_deref(), Some("1h 02m"));
        assert_eq!(left(1, Duration::from_secs(93_600)).as_deref(), Some("1d 02h"));
    }

    #[test]
    fn nothing_is_drawn_where_nobody_watches() {
        let lines = ProgressLines::new(&Environment::default(), false);
        assert!(lines.all.is_hidden());
    }
}
