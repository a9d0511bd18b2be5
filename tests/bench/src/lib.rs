//! The bench of the whole path: how fast `headcount replay` is next to its parts, how soon
//! `headcount watch` has committed a new head, and how fast plugins catch up out of a ledger.
//!
//! A synthetic chain with honest headers ([`chain`]) is served from memory by a local node
//! ([`server`]); [`runner`] replays it through the built program and through two yardsticks, a bare
//! alloy loop ([`fetch`]) and DuckDB appends alone ([`append`]), each as a child process on the same
//! cores. [`live`] announces the chain block by block instead, and measures each on its own.
//! [`plugins`] starts plugins on a ledger that is finished. The built program is measured from outside;
//! no crate of the path is used.

pub mod answer;
pub mod append;
pub mod chain;
pub mod contender;
pub mod error;
pub mod fetch;
pub mod json;
pub mod live;
pub mod measure;
pub mod plugins;
pub mod runner;
pub mod server;
pub mod summary;
pub mod transfer;
pub mod view;

pub use error::BenchError;
