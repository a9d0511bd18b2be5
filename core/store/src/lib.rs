//! The ledger: one DuckDB file that holds every event once, and everything that was said of it.
//!
//! Sixth stage of an event's life. It applies what the aggregator cut and what lanes wrote, each
//! in one transaction, and answers questions about what is stored. It decides nothing: which log
//! is admitted, which branch is canonical and what a range is worth is settled before it gets
//! here. [`DuckLedger`] is the one writer of a file, [`LedgerReader`] a second handle of the same
//! process.

mod append;
mod arrow_columns;
mod blocks;
mod candidates;
mod check;
mod coverage;
mod digest;
mod error;
mod events;
mod failpoint;
mod lane_rows;
mod lanes;
mod ledger;
mod load;
mod lock;
mod open;
mod query;
mod sql;
mod tables;
mod typed;

pub use failpoint::{FAILPOINTS, Failpoints};
pub use ledger::{DuckLedger, LedgerReader};
pub use open::{OpenMode, OpenOptions};
pub use query::{Column, EachRow, Value};
pub use tables::SCHEMA_VERSION;
