//! `headcount config`: what the configuration says, and whether it is right.

mod check;
mod show;

use crate::{command_error::CommandError, environment::Environment, exit_codes::ExitCode};
use clap::Subcommand;

/// Check or show the configuration file
#[derive(Debug, Subcommand)]
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
