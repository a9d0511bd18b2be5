//! The live lines of a watch: one for each node, one for each chain. Draws what it is given.

use crate::{environment::Environment, summary::grouped};
use event::{ChainId, Commit, Flaw, NodeId};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pipeline::{ChainView, NodeLine};
use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, PoisonError},
};
use tracker::NodeState;

/// Redraws per second, at most.
const DRAWS_PER_SECOND: u8 = 8;

/// The lines. Hidden where stderr is no terminal or the user wants quiet.
pub(super) struct Live {
    all: MultiProgress,
    lines: Mutex<BTreeMap<(ChainId, Option<NodeId>), ProgressBar>>,
    missed: Mutex<BTreeMap<(ChainId, NodeId), u64>>,
}

impl Live {
    /// Returns the lines, hidden unless a person watches.
    pub(super) fn new(environment: &Environment, is_quiet: bool) -> Self {
        let target = match environment.stderr_is_terminal && !is_quiet {
            true => ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND),
            false => ProgressDrawTarget::hidden(),
        };
        let all = MultiProgress::with_draw_target(target);
        Self { all, lines: Mutex::default(), missed: Mutex::default() }
    }

    /// Does what writes to the terminal itself, with the lines out of its way.
    pub(super) fn above<T>(&self, write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.all.suspend(write)
    }

    /// Counts what nodes were caught to have missed.
    pub(super) fn count_missed(&self, commits: &[Commit]) {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        for incident in commits.iter().flat_map(|commit| &commit.incidents) {
            if incident.flaw == Flaw::Missing {
                *missed.entry((incident.chain, incident.node.clone())).or_default() +=
                    incident.count;
            }
        }
    }

    /// Returns how many events a node was caught to have missed in this run.
    pub(super) fn missed(&self, chain: ChainId, node: &NodeId) -> u64 {
        let missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        missed.get(&(chain, node.clone())).copied().unwrap_or_default()
    }

    /// Shows how it stands.
    pub(super) fn show(&self, view: &ChainView) {
        if self.all.is_hidden() {
            return;
        }
        self.forget_others(view);
        for node in &view.nodes {
            let missed = self.missed(view.chain, &node.node);
            self.line(view.chain, Some(&node.node)).set_message(node_line(node, missed));
        }
        self.line(view.chain, None).set_message(chain_line(view));
    }

    /// Removes the lines of nodes that the chain has no longer.
    fn forget_others(&self, view: &ChainView) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|(chain, node), line| {
            let is_there = |node: &NodeId| view.nodes.iter().any(|line| line.node == *node);
            let stays = *chain != view.chain || node.as_ref().is_none_or(is_there);
            if !stays {
                self.all.remove(line);
            }
            stays
        });
    }

    /// Removes the lines.
    pub(super) fn clear(&self) {
        let _ = self.all.clear();
    }

    fn line(&self, chain: ChainId, node: Option<&NodeId>) -> ProgressBar {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.entry((chain, node.cloned())).or_insert_with(|| {
            let style = ProgressStyle::with_template("{prefix:.bold}  {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            let name = node.map_or_else(|| format!("chain {chain}"), ToString::to_string);
            self.all.add(ProgressBar::new_spinner().with_style(style).with_prefix(name))
        });
        line.clone()
    }
}

fn node_line(line: &NodeLine, missed: u64) -> String {
    let left = line.left_at.map(|at| format!("has another block where {} is final", grouped(at)));
    let state = match &line.state {
        NodeState::Following if left.is_some() => left.unwrap_or_default(),
        NodeState::Connecting => "connecting".to_owned(),
        NodeState::Following => "following".to_owned(),
        NodeState::Lost { fault } => format!("lost: {}", fault.text),
        NodeState::WrongChain => "on another chain".to_owned(),
    };
    let head = line.head.map_or_else(|| "-".to_owned(), |head| grouped(head.block.number));
    let lag = match line.lag_blocks {
        Some(0) => String::new(),
        Some(lag) => format!("  {} behind", grouped(lag)),
        None => String::new(),
    };
    let missed = match missed {
        0 => String::new(),
        missed => format!("  {} missed", grouped(missed)),
    };
    format!("head {head}{lag}  {state}  {} events{missed}", grouped(line.logs))
}

fn chain_line(view: &ChainView) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), grouped);
    let mut text = format!(
        "head {}  final {}  {} events",
        number(view.head.map(|head| head.number)),
        number(view.finalized),
        grouped(view.events)
    );
    if view.gap_blocks > 0 {
        text.push_str(&format!("  {} blocks to fill", grouped(view.gap_blocks)));
    }
    if let Some((range, reason)) = view.open.first() {
        text.push_str(&format!("  open {range}: {reason}"));
    }
    if let Some(halted) = &view.halted {
        text.push_str(&format!("  HALTED: {halted}"));
    }
    if let Some(standing) = &view.standing {
        text.push_str(&format!("  FINALITY STANDS: {standing}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;
    use event::{BlockNumHash, Head};

    #[test]
    fn a_node_line_says_what_is_behind_and_what_was_missed() {
        let block = BlockNumHash { number: 18_000_000, hash: B256::ZERO };
        let mut line = NodeLine {
            node: NodeId::new("a"),
            client: None,
            state: NodeState::Following,
            left_at: None,
            head: Some(Head { block, timestamp: 0 }),
            lag_blocks: Some(0),
            finalized: None,
            blocks: 7,
            logs: 12,
        };
        assert_eq!(node_line(&line, 0), "head 18_000_000  following  12 events");
        line.lag_blocks = Some(3);
        assert_eq!(
            node_line(&line, 2),
            "head 18_000_000  3 behind  following  12 events  2 missed"
        );
        line.left_at = Some(17_999_900);
        assert_eq!(
            node_line(&line, 0),
            "head 18_000_000  3 behind  has another block where 17_999_900 is final  12 events"
        );
    }

    #[test]
    fn nothing_is_drawn_where_nobody_watches() {
        let live = Live::new(&Environment::default(), false);
        assert!(live.all.is_hidden());
    }
}
