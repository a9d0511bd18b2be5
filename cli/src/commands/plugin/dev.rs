//! `headcount plugin dev`: build and run a plugin whenever its author saves.

use super::{
    check::check,
    test::{RunArgs, test},
};
use crate::{
    author,
    command_error::{CommandError, ErrorKind},
    environment::Environment,
    exit_codes::ExitCode,
};
use std::{
    io::{Write, stderr},
    path::{Path, PathBuf},
};

/// Build a plugin and run it, and again whenever a file of it is saved
///
/// With --ledger or --config it is run over events as by `plugin test`: rows, or what differs from the golden
/// file, come on stdout. Without them the component is checked as by `plugin check`. A mistake is told and
/// the next save waited for. Ends with Ctrl-C.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct DevArgs {
    /// Folder of the plugin
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,

    /// Run it with the settings of this plugin of the configuration file
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    #[command(flatten)]
    run: RunArgs,
}

/// Does it until it is interrupted.
pub(crate) fn cmd_plugin_dev(
    args: &DevArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let folder = environment.resolve(&args.folder);
    // A folder that is none is not waited for.
    let mut saved = author::Saved::watch(&folder)?;
    loop {
        match once(args, &folder, environment) {
            Ok(_) => {}
            Err(error) if error.kind == ErrorKind::BrokenPipe => return Err(error),
            Err(error) => error.tell(),
        }
        writeln!(stderr(), "waiting for the next save")?;
        saved.wait()?;
    }
}

fn once(
    args: &DevArgs,
    folder: &Path,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let component = author::build(folder)?.display().to_string();
    let plugin = match &args.name {
        Some(name) => format!("{name}={component}"),
        None => component,
    };
    let place = &args.run.place;
    match place.ledger.is_some() || place.config.is_some() {
        true => test(&plugin, &args.run, false, environment),
        false => check(&plugin, environment),
    }
}

const AFTER_HELP: &str = "\
Examples:
  headcount plugin dev
  headcount plugin dev --ledger headcount.duckdb -b 18M:+100 --golden rows.ndjson
  headcount plugin dev payments --config headcount.toml --name payments -b 18M:+100";
