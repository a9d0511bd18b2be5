//! `headcount plugin list`: which plugins have run on a ledger, and how they stand.

use crate::{
    command_error::CommandError,
    commands::{PlaceArgs, ledger::open_to_read},
    environment::Environment,
    exit_codes::ExitCode,
    session::list_plugins,
    summary::SummaryFormat,
};
use std::io::stdout;

/// List the plugins of a ledger and how far each is
///
/// One line for each plugin and chain: where it is, what it set aside, why it is halted. The lag counts the blocks that are covered and not handled yet.
/// Where another process uses the ledger it is asked.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,

    /// Form of the list on stdout
    #[arg(long, value_enum, default_value_t)]
    format: SummaryFormat,
}

/// Reads and tells.
pub(crate) fn cmd_plugin_list(
    args: &ListArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let mut ledger = open_to_read(&args.place, environment)?;
    let report = list_plugins(&mut ledger)?;
    report.write(args.format, &mut stdout().lock())?;
    Ok(ExitCode::Done)
}

const AFTER_HELP: &str = "\
Examples:
  headcount plugin list --ledger headcount.duckdb
  headcount plugin list --format json | jq '.plugins[] | select(.lag_blocks > 100)'";
