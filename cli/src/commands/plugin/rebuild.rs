//! `headcount plugin rebuild`: hands a plugin everything again.

use super::amend_known;
use crate::{
    command_error::CommandError, commands::PlaceArgs, environment::Environment,
    exit_codes::ExitCode,
};
use event::Remedy;
use std::io::{Write, stdout};

/// Hand a plugin every event again, from its first block on
///
/// For a plugin that would write other rows now: its component is another one, and it is held, or what it is configured with. Whatever component comes next writes all of it. The events come from the ledger, no node is asked. What it wrote is shown until the new rows have caught up; messages that were sent are not sent again.
/// It begins at once in a process that runs the plugin, else in the next run.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct RebuildArgs {
    /// Its name, as `plugin list` shows it
    name: String,

    #[command(flatten)]
    place: PlaceArgs,
}

/// Begins a rebuild.
pub(crate) fn cmd_plugin_rebuild(
    args: &RebuildArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let remedy = Remedy::Rebuild(args.name.clone());
    let lanes = amend_known(&args.place, environment, &remedy)?;
    if lanes == 0 {
        let error = format!("no plugin `{}` has run on this ledger", args.name);
        return Err(CommandError::usage(error)
            .hint("`headcount plugin list` shows every plugin of the ledger"));
    }
    writeln!(stdout(), "plugin {} begins anew", args.name)?;
    Ok(ExitCode::Done)
}

const AFTER_HELP: &str = "\
Upgrade a plugin, also one of a running watch, and have it begin anew:
  headcount plugin check new.wasm --against old.wasm --ledger headcount.duckdb -b :latest
  headcount plugin upgrade balances new.wasm --rebuild

The same component again, with another `config` in headcount.toml, say:
  headcount plugin rebuild balances";
