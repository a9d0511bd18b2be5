//! `headcount plugin list`: which plugins have run on a ledger, and how they stand.

use crate::{
    command_error::CommandError,
    commands::{PlaceArgs, ledger::open_to_read},
    compiling::Compiling,
    config_file::Config,
    environment::Environment,
    exit_codes::ExitCode,
    session::{configured_names, list_plugins},
    summary::SummaryFormat,
};
use std::{collections::BTreeSet, io::stdout, path::Path};

/// List the plugins of a ledger and how far each is
///
/// One line for each plugin and chain: where it is, what it set aside, what it fails with, why it is halted, or held because its component is another one than wrote its rows. The lag counts the blocks that are covered and not handled yet; events those handed to it since it last began anew. One that the configuration does not have any more, and no process runs, is "removed"; one that was never handed anything "has not begun".
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
    let configured = configured(&args.place, ledger.path(), environment);
    let report = list_plugins(&mut ledger, configured.as_ref())?;
    report.write(args.format, &mut stdout().lock())?;
    Ok(ExitCode::Done)
}

/// The plugins of the configuration that this ledger has, as far as that can be told: one that speaks of
/// another ledger says nothing of this one, and a mistake in it is no reason not to list.
fn configured(
    place: &PlaceArgs,
    ledger: &Path,
    environment: &Environment,
) -> Option<BTreeSet<String>> {
    let config = Config::load(place.config.as_deref(), environment).ok()?;
    config.path.as_ref()?;
    let is_own = match &config.ledger {
        _ if place.config.is_some() => true,
        Some(own) => own == ledger,
        None => place.ledger.is_none(),
    };
    is_own.then(|| configured_names(&config.plugins, &Compiling::of(environment, true))).flatten()
}

const AFTER_HELP: &str = "\
Examples:
  headcount plugin list --ledger headcount.duckdb
  headcount plugin list --format json | jq '.plugins[] | select(.lag_blocks > 100)'";
