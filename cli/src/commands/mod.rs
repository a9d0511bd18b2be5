//! The tree of commands is the tree of files below this one.

pub(crate) mod audit;
pub(crate) mod config;
pub(crate) mod coverage;
pub(crate) mod drill;
pub(crate) mod export;
pub(crate) mod health;
pub(crate) mod ledger;
pub(crate) mod plugin;
pub(crate) mod query;
pub(crate) mod replay;
pub(crate) mod snapshot;
pub(crate) mod watch;

use crate::{
    command_error::CommandError, environment::Environment, exit_codes::ExitCode,
    proof_level::parse_verify,
};
use clap::{CommandFactory, Parser, Subcommand};
use event::Verify;
use std::{ffi::OsString, path::PathBuf};

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

/// Returns which command these words call, as in `headcount ledger check`: as far as they are names
/// of commands.
pub(crate) fn called(words: impl Iterator<Item = OsString>) -> String {
    let (mut command, mut called) = (Headcount::command(), "headcount".to_owned());
    for word in words {
        let Some(below) = command.find_subcommand(&word).cloned() else { break };
        called = format!("{called} {}", below.get_name());
        command = below;
    }
    called
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Watch(Box<watch::WatchArgs>),
    Replay(Box<replay::ReplayArgs>),
    Audit(Box<audit::AuditArgs>),
    Coverage(coverage::CoverageArgs),
    Health(health::HealthArgs),
    Drill(drill::DrillArgs),
    Query(query::QueryArgs),
    Export(export::ExportArgs),
    Snapshot(snapshot::SnapshotArgs),
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
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

/// Which chain, through which nodes, and what of it; the same for every command that reads nodes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct SourceArgs {
    /// Node to read from, repeatable: an http(s):// or ws(s):// URL, an IPC socket, a recording
    /// file, or @FILE with one of these per line; NAME=URL names it in the output
    /// [env: ETH_RPC_URL]
    #[arg(short = 'r', long = "rpc-url", value_name = "[NAME=]URL|FILE")]
    pub(crate) nodes: Vec<String>,

    /// Contract to read, repeatable; NAME becomes the SQL schema of its tables (without it:
    /// c_ and the first 8 hex digits). A bare NAME is a contract of the configuration file.
    /// The same NAME twice is one contract with two addresses. [default: with -e any contract,
    /// tables in the schema `logs`; else the contracts of the configuration file]
    #[arg(short = 'c', long = "contract", value_name = "[NAME=]ADDRESS")]
    pub(crate) contracts: Vec<String>,

    /// Event to read and decode, repeatable: a signature with argument names, or an ABI file
    /// (abi.json for all its events, abi.json:Transfer for one) [default: those that the
    /// configuration file names for the contract; for an ADDRESS every event, raw]
    #[arg(short = 'e', long = "event", value_name = "SIGNATURE|ABI[:EVENT]")]
    pub(crate) events: Vec<String>,

    /// Chain of the configuration file to read, where it has several
    #[arg(long, value_name = "NAME")]
    pub(crate) chain: Option<String>,

    /// Chain id that every node must have (1 is mainnet) [default: that of the first node]
    #[arg(long, value_name = "ID")]
    pub(crate) chain_id: Option<u64>,

    /// What must be shown before a block counts as read: off (the node's word), bloom (headers and
    /// blooms; receipts where they disagree with the logs), prove (receipts for every block whose bloom admits the filter) [default: bloom]
    #[arg(long, value_name = "off|bloom|prove", value_parser = parse_verify)]
    pub(crate) verify: Option<Verify>,
}

/// Runs a command.
pub(crate) fn run(command: &Command, environment: &Environment) -> Result<ExitCode, CommandError> {
    match command {
        Command::Watch(args) => watch::cmd_watch(args, environment),
        Command::Replay(args) => replay::cmd_replay(args, environment),
        Command::Audit(args) => audit::cmd_audit(args, environment),
        Command::Coverage(args) => coverage::cmd_coverage(args, environment),
        Command::Health(args) => health::cmd_health(args, environment),
        Command::Drill(args) => drill::cmd_drill(args, environment),
        Command::Query(args) => query::cmd_query(args, environment),
        Command::Export(args) => export::cmd_export(args, environment),
        Command::Snapshot(args) => snapshot::cmd_snapshot(args, environment),
        Command::Plugin(command) => plugin::cmd_plugin(command, environment),
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
    use super::*;

    #[test]
    fn the_tree_of_commands_is_consistent() {
        Headcount::command().debug_assert();
    }

    #[test]
    fn a_wrong_value_is_explained_by_the_help_of_the_command_it_was_given_to() {
        let called = |words: &str| super::called(words.split(' ').map(OsString::from));
        assert_eq!(called("replay --verify proof"), "headcount replay");
        assert_eq!(called("ledger check --ledger replay"), "headcount ledger check");
        assert_eq!(called("--verify replay"), "headcount");
    }
}
