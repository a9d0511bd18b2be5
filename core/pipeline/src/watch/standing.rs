//! Whether what is final stands still because too few nodes are there to agree on it.

use super::nodes::NodeRun;
use event::NodeId;
use tracker::NodeState;

/// How long what nodes call final may be ahead of what counts as final, in milliseconds, before it is
/// said: most outages are shorter.
const STANDING_MS: u64 = 60_000;

/// Since when, and what was said of it.
#[derive(Debug, Default)]
pub(super) struct Standing {
    since_ms: Option<u64>,
    told: Option<String>,
}

impl Standing {
    /// Looks at the nodes; returns why it stands still, once that lasts. `needed` nodes must agree, and
    /// those that `is_held` says are on another branch.
    pub(super) fn look(
        &mut self,
        runs: &[NodeRun],
        needed: usize,
        finalized: Option<u64>,
        is_held: impl Fn(&NodeId) -> bool,
        now_ms: u64,
    ) -> Option<String> {
        let is_there = |run: &&NodeRun| {
            matches!(run.view.state, NodeState::Following) && !is_held(run.node.id())
        };
        let there: Vec<&NodeRun> = runs.iter().filter(is_there).collect();
        let claimed = there.iter().filter_map(|run| run.view.finalized).max();
        if there.len() >= needed || claimed.is_none() || claimed <= finalized {
            *self = Self::default();
            return None;
        }
        let since_ms = *self.since_ms.get_or_insert(now_ms);
        if self.told.is_none() && now_ms >= since_ms.saturating_add(STANDING_MS) {
            let missing = runs.iter().filter(|run| !is_there(run)).map(why_not);
            let missing: Vec<String> = missing.collect();
            let at = finalized.map_or_else(
                || "nothing is final".to_owned(),
                |finalized| format!("block {finalized} is the last one that is final"),
            );
            let why = format!(
                "{at}: {needed} nodes must agree, and {} of {} can be counted; {}",
                there.len(),
                runs.len(),
                missing.join("; ")
            );
            tracing::warn!("what is final stands still: {why}");
            self.told = Some(why);
        }
        self.told.clone()
    }

    /// When it is to be said, while nothing else wakes the watch.
    pub(super) fn due_ms(&self) -> Option<u64> {
        self.since_ms.filter(|_| self.told.is_none()).map(|since| since.saturating_add(STANDING_MS))
    }
}

fn why_not(run: &NodeRun) -> String {
    let node = run.node.id();
    match &run.view.state {
        NodeState::Connecting => format!("{node} has not said where its head is"),
        NodeState::Following => format!("{node} is on another branch"),
        NodeState::Lost { fault } => format!("{node} is away ({})", fault.text),
        NodeState::WrongChain => format!("{node} is on another chain"),
    }
}
