//! The tree of commands is the tree of files below this one.

pub(crate) mod config;
pub(crate) mod health;
pub(crate) mod ledger;
pub(crate) mod query;
pub(crate) mod replay;

use crate::{command_error::CommandError, environment::Environment, exit_codes::ExitCode};
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Every Ethereum event, accounted for
///
/// Reads contract events from Ethereum nodes, proves them against block headers, keeps each one
/// once in a DuckDB file, and hands them to sandboxed WASM plugins.
#[derive(Debug, Parser)]
#[command(name = "headcount", version, propagate_version = true, after_help = AFTER_HELP)]
pub(crate) struct Headcount {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Replay(Box<replay::ReplayArgs>),
    Health(health::HealthArgs),
    Query(query::QueryArgs),
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// Where settings and the ledger are; the same for every command.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct PlaceArgs {
    /// Ledger file [env: HEADCOUNT_LEDGER] [default: ./headcount.duckdb]
    #[arg(long, value_name = "PATH")]
    pub(crate) ledger: Option<PathBuf>,

    /// Configuration file [env: HEADCOUNT_CONFIG] [default: the first of ./headcount.toml,
    /// $XDG_CONFIG_HOME/headcount/headcount.toml, /etc/headcount/headcount.toml]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Runs a command.
pub(crate) fn run(command: &Command, environment: &Environment) -> Result<ExitCode, CommandError> {
    match command {
        Command::Replay(args) => replay::cmd_replay(args, environment),
        Command::Health(args) => health::cmd_health(args, environment),
        Command::Query(args) => query::cmd_query(args, environment),
        Command::Ledger(command) => ledger::cmd_ledger(command, environment),
        Command::Config(command) => config::cmd_config(command, environment),
    }
}

const AFTER_HELP: &str = "\
Exit codes:
  0    done
  1    the check failed
  2    wrong usage, configuration, SQL, plugin or ledger version
  3    could not be decided
  70   a bug in headcount
  74   local I/O: disk full, unreadable file
  75   left open (nodes down, ledger in use): run again
  130  interrupted; 143 ended by SIGTERM

Environment:
  HEADCOUNT_LEDGER  ledger file, where --ledger is not given
  HEADCOUNT_CONFIG  configuration file, where --config is not given
  HEADCOUNT_LOG     what to log to stderr, for example info or headcount_node=debug [default: warn]
  ETH_RPC_URL       the node, where neither -r nor the configuration names one";

#[cfg(test)]
mod tests {
    use super::Headcount;
    use clap::CommandFactory;

    #[test]
    fn the_tree_of_commands_is_consistent() {
        Headcount::command().debug_assert();
    }
}
