//! `headcount plugin`: the author's tools, and which plugins a ledger knows.

mod build;
mod check;
mod dead;
mod dev;
mod list;
mod new;
mod rebuild;
mod resume;
mod test;

use crate::{
    command_error::CommandError,
    commands::{PlaceArgs, ledger::open_to_read},
    config_file::{Config, PluginConfig},
    environment::Environment,
    exit_codes::ExitCode,
    plan,
    session::amend,
};
use clap::Subcommand;
use event::Remedy;
use std::path::Path;

/// Write, build, check and test plugins; list those of a ledger and what they set aside
#[derive(Debug, Subcommand)]
#[command(after_help = AFTER_HELP)]
pub(crate) enum PluginCommand {
    New(new::NewArgs),
    Build(build::BuildArgs),
    Check(check::CheckArgs),
    Test(test::TestArgs),
    Dev(dev::DevArgs),
    List(list::ListArgs),
    #[command(subcommand)]
    Dead(dead::DeadCommand),
    Resume(resume::ResumeArgs),
    Rebuild(rebuild::RebuildArgs),
}

/// Runs one of them.
pub(crate) fn cmd_plugin(
    command: &PluginCommand,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    match command {
        PluginCommand::New(args) => new::cmd_plugin_new(args, environment),
        PluginCommand::Build(args) => build::cmd_plugin_build(args, environment),
        PluginCommand::Check(args) => check::cmd_plugin_check(args, environment),
        PluginCommand::Test(args) => test::cmd_plugin_test(args, environment),
        PluginCommand::Dev(args) => dev::cmd_plugin_dev(args, environment),
        PluginCommand::List(args) => list::cmd_plugin_list(args, environment),
        PluginCommand::Dead(command) => dead::cmd_plugin_dead(command, environment),
        PluginCommand::Resume(args) => resume::cmd_plugin_resume(args, environment),
        PluginCommand::Rebuild(args) => rebuild::cmd_plugin_rebuild(args, environment),
    }
}

/// Returns the plugin that `flag` means: a file needs no configuration, a name is one of it.
fn plugin_of(
    flag: &str,
    place: &PlaceArgs,
    environment: &Environment,
) -> Result<PluginConfig, CommandError> {
    let is_file = environment.resolve(Path::new(flag)).exists();
    let config = match is_file && place.config.is_none() {
        true => Config::default(),
        false => Config::load(place.config.as_deref(), environment)?,
    };
    plan::plugin(flag, &config, environment)
}

/// Does what an operator decided of a plugin, on a ledger that can be read; returns how many lanes it
/// concerned.
fn amend_known(
    place: &PlaceArgs,
    environment: &Environment,
    remedy: &Remedy,
) -> Result<u64, CommandError> {
    // Closed again before it is opened to write, or its owner is asked.
    let path = open_to_read(place, environment)?.path().to_owned();
    amend(&path, environment, remedy)
}

const AFTER_HELP: &str = "\
Example, from nothing to rows in a ledger:
  headcount plugin new payments
  cd payments && cargo test
  headcount plugin check \"$(headcount plugin build)\"
  headcount replay --plugin \"$(headcount plugin build)\" -r URL -e EVENT -b RANGE --ledger FILE";
