//! `headcount config`: what the configuration says, and whether it is right.

mod check;
mod show;

use crate::{command_error::CommandError, environment::Environment, exit_codes::ExitCode};
use clap::Subcommand;

/// Check or show the configuration file
///
/// In short; docs/config.md has all of it:
///
///     [chain.mainnet]
///     id = 1
///     [[chain.mainnet.node]]
///     url = "https://node.example/${KEY}"
///     [[contract]]
///     name = "usdc"
///     address = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
///     events = ["Transfer(address indexed from, address indexed to, uint256 value)"]
#[derive(Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum ConfigCommand {
    Check(check::CheckArgs),
    Show(show::ShowArgs),
}

/// Runs one of them.
pub(crate) fn cmd_config(
    command: &ConfigCommand,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    match command {
        ConfigCommand::Check(args) => check::cmd_config_check(args, environment),
        ConfigCommand::Show(args) => show::cmd_config_show(args, environment),
    }
}
