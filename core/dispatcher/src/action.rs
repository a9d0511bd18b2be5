//! What a lane asks of its driver, and what the driver tells it of the ledger.

use event::{Batch, EventQuery, LaneCommit};

/// What is there to be handled: one snapshot of the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// Every block from the lane's first one up to this one is covered; `None`: not even that.
    pub through: Option<u64>,
    /// Highest finalized block.
    pub finalized: u64,
    /// Highest block that nodes call safe: it may still leave. 0 where none was asked.
    pub safe: u64,
    /// Last journal row of the chain when the other two were read.
    pub journal_seq: u64,
}

/// What to do next. After each one the driver answers with the method named here, then asks
/// again; an action that got no answer is not repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one at a time, moved once")]
pub enum Action {
    /// Read the journal: [`crate::Lane::on_journal`].
    ReadJournal {
        /// After this row.
        after: u64,
        /// At most so many rows.
        limit: usize,
    },
    /// Read events: [`crate::Lane::on_events`].
    ReadEvents(EventQuery),
    /// Call the plugin with this and [`crate::Lane::state`]: [`crate::Lane::on_handled`].
    Handle(Batch),
    /// Write: [`crate::Lane::on_committed`] or [`crate::Lane::on_commit_failed`].
    Commit(Box<LaneCommit>),
    /// Something was undone: open the lane again, [`crate::Lane::on_reloaded`].
    Reload,
    /// Ask again at this time, or when [`crate::Lane::on_ready`] brought something new.
    Wait {
        /// Milliseconds, on the clock that `next` is given.
        until_ms: u64,
    },
    /// Nothing to do until [`crate::Lane::on_ready`] brings something new.
    Idle,
    /// The plugin is halted, for this reason, until an operator resumes it.
    Halted(String),
}
