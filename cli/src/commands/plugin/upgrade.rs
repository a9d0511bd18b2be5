//! `headcount plugin upgrade`: another component under a plugin's name, and what becomes of its rows.

use super::manage::Managed;
use crate::{
    author::ManagedReport,
    command_error::CommandError,
    commands::PlaceArgs,
    config_file::PluginConfig,
    environment::Environment,
    exit_codes::ExitCode,
    session::{Look, amend, check_component, other_table, place_of},
    summary::SummaryFormat,
};
use event::{OnChange, Remedy};
use std::{io::stdout, path::PathBuf};

/// Give a plugin another component, and say what becomes of its rows
///
/// Rows that two components wrote may be of neither, so a plugin whose component is another one is held until this is said, here or by `on_change` in the configuration. The component is checked, compiled for this machine and pinned by its sha256; the file keeps its comments and layout. A process that owns the ledger takes it over at once; where it refuses, the file is put back. Otherwise it takes effect in the next run.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
#[command(group = clap::ArgGroup::new("rows").required(true))]
pub(crate) struct UpgradeArgs {
    /// Its name
    name: String,

    /// Component [default: the file that the configuration names, as it is now]
    #[arg(value_name = "FILE")]
    component: Option<PathBuf>,

    /// Go on where the older one stopped: what it wrote stays
    #[arg(long = "continue", group = "rows")]
    goes_on: bool,

    /// Hand it every event again, out of the ledger; what the older one wrote is shown until the new rows
    /// have caught up (a table with other columns is empty until then)
    #[arg(long, group = "rows")]
    rebuild: bool,

    #[command(flatten)]
    place: PlaceArgs,

    /// Form of what is told on stdout
    #[arg(long, value_enum, default_value_t)]
    format: SummaryFormat,
}

/// Upgrades it.
pub(crate) fn cmd_plugin_upgrade(
    args: &UpgradeArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let name = &args.name;
    let mut managed = Managed::open(&args.place, environment)?;
    let Some(place) = place_of(name, &managed.config, &managed.compiling) else {
        let error = format!("{} has no plugin `{name}`", managed.path.display());
        return Err(CommandError::usage(error).hint(
            "`headcount plugin list` shows what has run; a plugin that is given by --plugin goes on \
             after `headcount plugin resume`, or begins anew after `headcount plugin rebuild`",
        ));
    };
    let configured = &managed.config.plugins[place];
    let wasm = args.component.as_deref().map(|path| environment.resolve(path));
    // The digest in the file is that of the older one.
    let newer = PluginConfig {
        wasm: wasm.clone().unwrap_or_else(|| configured.wasm.clone()),
        sha256: None,
        ..configured.clone()
    };
    let checked = check_component(&newer, &managed.compiling)?;
    if configured.name.is_none() && checked.own_name != *name {
        let own = checked.own_name;
        return Err(CommandError::usage(format!("that component calls itself `{own}`"))
            .context(format!("it would not run as `{name}`, which has no `name` in the file"))
            .hint(format!("write name = \"{name}\" there")));
    }
    let is_there = managed.ledger.path.exists();
    if is_there && args.goes_on {
        let mut ledger = Look::open(&managed.ledger.path, environment)?;
        if let Some(table) = other_table(&mut ledger, name, &checked.tables)? {
            return Err(CommandError::usage(format!("its table `{table}` has other columns now"))
                .context(format!("plugin {name} cannot go on with this component"))
                .hint("--rebuild has it begin anew, out of the ledger"));
        }
    }
    let sha256 = alloy_primitives::hex::encode(checked.digest);
    let told = wasm.as_deref().map(|path| managed.edit.told_path(path));
    managed.edit.upgrade(place, told.as_deref(), &sha256);
    let mut report = ManagedReport::new("upgraded", name.clone());
    (report.component, report.sha256) = (Some(newer.wasm), Some(sha256));
    report.rows = Some(if args.rebuild { "it begins anew" } else { "it goes on where it is" });
    if is_there {
        // Of this component alone: where it is refused nothing has changed.
        let on_change = if args.rebuild { OnChange::Rebuild } else { OnChange::Continue };
        let decision = Remedy::Decide(name.clone(), checked.digest, on_change);
        report.lanes = amend(&managed.ledger.path, environment, &decision)?;
    }
    managed.apply(environment, &mut report)?;
    report.write(args.format, &mut stdout().lock())?;
    Ok(ExitCode::Done)
}

const AFTER_HELP: &str = "\
Examples:
  Look first, then upgrade:
    headcount plugin check new.wasm --against old.wasm --ledger headcount.duckdb -b :latest
    headcount plugin upgrade balances new.wasm --rebuild

  The file was replaced where it is, and `headcount plugin list` says that the plugin is held:
    headcount plugin upgrade balances --continue";
