//! The ledger from outside: what is written is there after any end of the process, once, exactly.
#![allow(clippy::unwrap_used, reason = "tests")]

mod components;
mod copying;
mod coverage;
mod digest;
mod events;
mod given;
mod incidents;
mod killed;
mod lanes;
mod opening;
mod outbox;
mod reading;
mod typed;
