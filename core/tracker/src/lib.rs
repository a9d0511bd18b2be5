//! Follows a chain through one node: turns the node's answers into reports, in whole chunks.
//!
//! Pure and sans-IO: a [`Backfill`] is stepped with [`Backfill::next`] and fed with
//! [`Backfill::on_answer`]; it holds no clock, no socket and no ledger. It decides what to ask,
//! how wide, what to doubt and when to give a range up to another node. It never decides what is
//! true: a report carries raw evidence, and whoever receives it judges anew.

mod backfill;
mod chunk;
mod width;

pub use backfill::{Action, Backfill, BackfillConfig, NodeStatus, Surrender, Ticket};
