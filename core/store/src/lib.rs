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
mod components;
mod coverage;
mod demands;
mod digest;
mod error;
mod events;
mod failing;
mod failpoint;
mod few_rows;
mod lane_rows;
mod lanes;
mod ledger;
mod load;
mod lock;
mod looked;
mod open;
mod outbox;
mod ownership;
mod query;
mod remedy;
mod sql;
mod tables;
mod typed;

pub use event::{Column, Value};
pub use failpoint::{FAILPOINTS, Failpoints};
pub use ledger::{DuckLedger, Interrupter, LedgerReader};
pub use open::{OpenMode, OpenOptions};
pub use ownership::{Ownership, announced_socket};
pub use query::EachRow;
pub use tables::{SCHEMA_VERSION, is_reserved_schema};
