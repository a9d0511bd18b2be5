//! `headcount plugin`: the author's tools, and which plugins a ledger knows.

mod add;
mod build;
mod check;
mod dead;
mod dev;
mod list;
mod manage;
mod new;
mod rebuild;
mod remove;
mod resume;
mod test;
mod upgrade;

use crate::{
    command_error::CommandError,
    commands::{PlaceArgs, ledger::open_to_read},
    compiling::Compiling,
    config_file::{Config, PluginConfig},
    environment::Environment,
    exit_codes::ExitCode,
    plan,
    session::{amend, place_of},
};
use clap::Subcommand;
use event::Remedy;
use std::path::Path;

/// Write, build, check and test plugins; add, upgrade and remove those that run; list those of a ledger
#[derive(Debug, Subcommand)]
#[command(after_help = AFTER_HELP)]
pub(crate) enum PluginCommand {
    New(new::NewArgs),
    Build(build::BuildArgs),
    Check(check::CheckArgs),
    Test(test::TestArgs),
    Dev(dev::DevArgs),
    Add(add::AddArgs),
    Upgrade(upgrade::UpgradeArgs),
    Remove(remove::RemoveArgs),
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
        PluginCommand::Add(args) => add::cmd_plugin_add(args, environment),
        PluginCommand::Upgrade(args) => upgrade::cmd_plugin_upgrade(args, environment),
        PluginCommand::Remove(args) => remove::cmd_plugin_remove(args, environment),
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
    if let Some(plugin) = unnamed(flag, is_file, &config, environment) {
        return Ok(plugin);
    }
    plan::plugin(flag, &config, environment)
}

/// The plugin of the configuration that calls itself so, where it has no other name there.
fn unnamed(
    flag: &str,
    is_file: bool,
    config: &Config,
    environment: &Environment,
) -> Option<PluginConfig> {
    let is_named = config.plugins.iter().any(|plugin| plugin.name.as_deref() == Some(flag));
    if is_file || is_named || flag.contains(['=', '/']) {
        return None;
    }
    let place = place_of(flag, config, &Compiling::of(environment, false))?;
    config.plugins.get(place).cloned()
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
