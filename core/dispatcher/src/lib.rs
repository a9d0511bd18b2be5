//! Between the ledger and a plugin: which events come next, what to do when a call fails, and
//! what is written together.
//!
//! A [`Lane`] is one plugin on one chain, as a state machine without input or output of its own.
//! It says what to do next ([`Action`]) and is told how that went; it reads no clock, keeps no
//! thread and knows neither DuckDB nor WASM. Events reach it only over contiguous coverage, in
//! order, in batches of whole blocks; what the plugin wrote leaves it in a
//! [`event::LaneCommit`] together with the cursor, so that a crash or a failed commit delivers
//! again and never twice.
//!
//! A [`Courier`] is the same for messages on their way out: one for each sink, from the outbox of the
//! ledger.

mod action;
mod breaker;
mod courier;
mod cut;
mod group;
mod journal;
mod lane;
mod policy;
mod subscription;

pub use action::{Action, Ready};
pub use courier::{Courier, CourierPolicy, Errand};
pub use lane::Lane;
pub use policy::{LanePolicy, Poison};
pub use subscription::{SubscriptionError, canonical_signature, subscription_filters};
