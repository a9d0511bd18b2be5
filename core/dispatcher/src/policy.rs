//! The named bounds of a lane.

use event::OnChange;

/// What to do with an event that the plugin cannot take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Poison {
    /// Set it aside and go on.
    #[default]
    DeadLetter,
    /// Halt the plugin at it.
    Halt,
}

/// Bounds of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanePolicy {
    /// Events of one batch; a block with more is still one batch.
    pub batch_events: usize,
    /// Bytes of one batch, roughly; a block with more is still one batch.
    pub batch_bytes: usize,
    /// Events read from the ledger at once.
    pub page_events: usize,
    /// Events whose effects share one commit while catching up.
    pub group_events: usize,
    /// Bytes of rows and state, roughly, that share one commit.
    pub group_bytes: usize,
    /// Journal rows read at once.
    pub journal_rows: usize,
    /// First wait after a plugin asked to be called again; doubled each time.
    pub backoff_first_ms: u64,
    /// Longest wait.
    pub backoff_most_ms: u64,
    /// Deadlines that one single event may miss before it counts as bad.
    pub deadline_tries: u32,
    /// What to do with bad events.
    pub poison: Poison,
    /// What to do where another component wrote the lane.
    pub on_change: OnChange,
    /// So many dead letters among [`Self::breaker_window`] events halt the plugin.
    pub breaker_letters: usize,
    /// Events that the breaker looks back on.
    pub breaker_window: u64,
    /// So many batches in a row without one good event halt the plugin.
    pub breaker_batches: u32,
}

impl Default for LanePolicy {
    fn default() -> Self {
        Self {
            batch_events: 1_000,
            batch_bytes: 4 << 20,
            page_events: 50_000,
            group_events: 50_000,
            group_bytes: 64 << 20,
            journal_rows: 10_000,
            backoff_first_ms: 1_000,
            backoff_most_ms: 300_000,
            deadline_tries: 3,
            poison: Poison::DeadLetter,
            on_change: OnChange::Hold,
            breaker_letters: 5,
            breaker_window: 1_000,
            breaker_batches: 3,
        }
    }
}

impl LanePolicy {
    /// Returns the wait after delivery number `attempt` (from 1) failed.
    pub(crate) fn backoff_ms(&self, attempt: u32) -> u64 {
        let doublings = attempt.saturating_sub(1).min(32);
        self.backoff_first_ms.saturating_mul(1 << doublings).min(self.backoff_most_ms)
    }
}
