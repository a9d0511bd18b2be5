//! Follows a chain through one node: turns the node's answers into reports.
//!
//! Pure and sans-IO. A [`Backfill`] reads ranges in whole chunks, a [`Follow`] the head block by
//! block; both are stepped with `next` and fed with `on_answer`, and hold no clock, no socket and
//! no ledger. They decide what to ask, how wide, what to doubt and when to give up. They never
//! decide what is true: a report carries raw evidence, and whoever receives it judges anew. Where
//! several nodes show different branches, a [`Council`] decides which of them is read.

mod backfill;
mod backoff;
mod chain_plan;
mod chunk;
mod confirm;
mod council;
mod follow;
mod history;
mod segment;
mod width;
mod window;

pub use backfill::{Action, Backfill, BackfillConfig, NodeStatus, Surrender, Ticket};
pub use chain_plan::{Planned, second_look};
pub use council::{Conflict, Council, Decision};
pub use follow::{Branch, Follow, FollowAction, FollowConfig, NodeState, NodeView, Ruling};
