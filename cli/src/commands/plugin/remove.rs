//! `headcount plugin remove`: a plugin less in the configuration, and what it wrote where that is wanted.

use super::manage::Managed;
use crate::{
    author::ManagedReport,
    command_error::CommandError,
    commands::{PlaceArgs, ledger::ledger_to_read},
    config_file::Config,
    environment::Environment,
    exit_codes::ExitCode,
    session::{amend, place_of},
    summary::SummaryFormat,
};
use event::Remedy;
use std::io::stdout;

/// Take a plugin out of the configuration file, and out of the process that runs it
///
/// Its rows stay, and so does how far it is: added again it goes on there. With --drop-tables everything of it in the ledger goes, and messages that were not sent are cancelled. The file keeps its other comments and layout.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct RemoveArgs {
    /// Its name, as `plugin list` shows it
    name: String,

    /// Drop its rows, its state and what it set aside, too. Also of a plugin that is in no configuration
    #[arg(long)]
    drop_tables: bool,

    #[command(flatten)]
    place: PlaceArgs,

    /// Form of what is told on stdout
    #[arg(long, value_enum, default_value_t)]
    format: SummaryFormat,
}

/// Removes it.
pub(crate) fn cmd_plugin_remove(
    args: &RemoveArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let name = &args.name;
    let mut report = ManagedReport::new("removed", name.clone());
    let has_config = Config::load(args.place.config.as_deref(), environment)?.path.is_some();
    let mut ledger = None;
    let mut is_configured = false;
    if has_config || !args.drop_tables {
        let mut managed = Managed::open(&args.place, environment)?;
        ledger = Some(managed.ledger.clone());
        if let Some(place) = place_of(name, &managed.config, &managed.compiling) {
            is_configured = true;
            managed.edit.remove(place);
            managed.apply(environment, &mut report)?;
        } else if !args.drop_tables {
            let error = format!("{} has no plugin `{name}`", managed.path.display());
            return Err(CommandError::usage(error).hint(
                "`headcount plugin list` shows what has run; --drop-tables drops what it wrote",
            ));
        }
    }
    if args.drop_tables {
        let path = match ledger.filter(|_| is_configured) {
            Some(ledger) if !ledger.path.exists() => None,
            Some(ledger) => Some(ledger.path),
            None => Some(ledger_to_read(&args.place, environment)?.path),
        };
        if let Some(path) = path {
            report.lanes = amend(&path, environment, &Remedy::Remove(name.clone()))?;
            report.rows = Some("all that it wrote is gone");
        }
        if report.lanes == 0 && !is_configured {
            return Err(CommandError::usage(format!("no plugin `{name}` has run on this ledger"))
                .hint("`headcount plugin list` shows every plugin of the ledger"));
        }
    }
    report.write(args.format, &mut stdout().lock())?;
    Ok(ExitCode::Done)
}

const AFTER_HELP: &str = "\
Examples:
  headcount plugin remove balances
  headcount plugin remove balances --drop-tables --ledger headcount.duckdb";
