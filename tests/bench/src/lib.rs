//! The bench of the whole path: how fast `headcount replay` is next to its parts.
//!
//! A synthetic chain with honest headers ([`chain`]) is served from memory by a local node
//! ([`server`]); [`runner`] replays it through the built program and through two yardsticks, a bare
//! alloy loop ([`fetch`]) and DuckDB appends alone ([`append`]), each as a child process on the same
//! cores. It measures the built program from outside and uses no crate of the path.

pub mod answer;
pub mod append;
pub mod chain;
pub mod contender;
pub mod error;
pub mod fetch;
pub mod json;
pub mod measure;
pub mod runner;
pub mod server;
pub mod summary;
pub mod transfer;

pub use error::BenchError;
