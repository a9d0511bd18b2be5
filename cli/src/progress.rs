//! The live lines on a terminal. Draws what it is given; decides nothing.

use crate::{environment::Environment, summary::grouped};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;

/// Redraws per second, at most.
const DRAWS_PER_SECOND: u8 = 10;

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
    nodes: BTreeMap<String, ProgressBar>,
}

impl ProgressLines {
    /// Returns the lines, hidden unless a person watches.
    pub(crate) fn new(environment: &Environment, is_quiet: bool) -> Self {
        let target = match environment.stderr_is_terminal && !is_quiet {
            true => ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND),
            false => ProgressDrawTarget::hidden(),
        };
        let all = MultiProgress::with_draw_target(target);
        let blocks = all.add(ProgressBar::new(0).with_style(blocks_style()));
        Self { all, blocks, nodes: BTreeMap::new() }
    }

    /// Shows where the run is now.
    pub(crate) fn show(&mut self, progress: &Progress) {
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

    /// Removes the lines from the screen; the summary comes in their place.
    pub(crate) fn clear(&self) {
        let _ = self.all.clear();
    }
}

fn blocks_style() -> ProgressStyle {
    ProgressStyle::with_template(
        "{bar:30} {human_pos}/{human_len} blocks  {per_sec}  {msg}  {eta} left",
    )
    .expect("the template is fixed and the tests draw it")
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
    fn nothing_is_drawn_where_nobody_watches() {
        let lines = ProgressLines::new(&Environment::default(), false);
        assert!(lines.all.is_hidden());
    }
}
