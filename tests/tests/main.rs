//! End to end: the built program against a real node, a recording, and stock DuckDB; and the
//! rules of the house.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

mod audit;
mod audit_ci;
mod bad_input;
mod coverage;
mod dead;
mod demo;
mod drill;
mod early_signals;
mod exclusion;
mod export;
mod health;
mod install;
mod interrupted;
mod kill;
mod outbox;
mod plugin_escapes;
mod plugin_http;
mod plugin_languages;
mod plugin_operator;
mod plugin_tools;
mod progress;
mod real_blocks;
mod real_node;
mod reorg;
mod rerun;
mod said;
mod secrets;
mod shared_ledger;
mod shared_two_minutes;
mod shared_watch;
mod shipped;
mod stock_duckdb;
mod tidy;
mod two_chains;
mod watch;
mod watch_end;
mod watch_finality;
mod watch_ganache;
mod watch_kill;
mod watch_plugins;
mod watch_reload;
mod watch_restart;
mod watch_start;
