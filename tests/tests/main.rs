//! End to end: the built program against a real node, a recording, and stock DuckDB; and the
//! rules of the house.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

mod demo;
mod install;
mod real_node;
mod stock_duckdb;
mod tidy;
