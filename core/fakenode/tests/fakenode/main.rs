//! The production nodes against a simulated one over every transport: what is served is what the
//! simulated node says, and what fails fails as it does in process.

#![allow(clippy::unwrap_used, reason = "tests")]

mod answers;
mod chained;
mod disputes;
mod faults;
mod looked;
mod spoiled;
mod stage;
mod subscriptions;
mod three_clients;
mod watched;
mod words;
