//! `headcount plugin add`: a plugin more in the configuration, and in the process that runs it.

use super::manage::Managed;
use crate::{
    author::ManagedReport,
    command_error::CommandError,
    commands::PlaceArgs,
    config_file::NewPlugin,
    environment::Environment,
    exit_codes::ExitCode,
    plugin_name::{self, check_plugin_name},
    session::{check_component, component_digest, place_of},
    summary::SummaryFormat,
};
use host::HostGrant;
use std::{io::stdout, path::PathBuf};

/// Add a plugin to the configuration file, and to the process that runs it
///
/// The file is ./headcount.toml, unless --config names another; one line in it is enough (ledger = "events.duckdb"). The component is checked, compiled for this machine (never at its first event) and pinned by its sha256. The file keeps its comments and layout. A process that owns the ledger takes it over at once; where it refuses, the file is put back. Otherwise it runs from the next run on.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct AddArgs {
    /// Name; its tables are in the SQL schema of this name, with `_` for `-`
    name: String,

    /// Component, as `headcount plugin build` prints it
    #[arg(value_name = "FILE")]
    component: PathBuf,

    /// Sink of the configuration file that it may send to, repeatable
    #[arg(long = "sink", value_name = "NAME")]
    sinks: Vec<String>,

    /// Host that it may ask, repeatable: api.example.com (https, port 443), api.example.com:8443,
    /// http://10.0.0.7:8080
    #[arg(long, value_name = "HOST", value_parser = host)]
    http: Vec<String>,

    /// The same for a name that may lead to this machine and to private networks
    #[arg(long, value_name = "HOST", value_parser = host)]
    http_private: Vec<String>,

    /// Setting that is handed to it, repeatable; `${NAME}` is filled in from the environment
    #[arg(long = "set", value_name = "KEY=TEXT", value_parser = setting)]
    settings: Vec<(String, String)>,

    /// When it sees a block: latest, safe, finalized, depth:N [default: as the plugin says]
    #[arg(long, value_name = "FINALITY")]
    finality: Option<String>,

    /// An event on which it fails: dead-letter, halt [default: dead-letter]
    #[arg(long, value_name = "WHAT")]
    poison: Option<String>,

    /// What becomes of its rows where another component wrote them: hold, continue, rebuild
    /// [default: hold]
    #[arg(long, value_name = "WHAT")]
    on_change: Option<String>,

    #[command(flatten)]
    place: PlaceArgs,

    /// Form of what is told on stdout
    #[arg(long, value_enum, default_value_t)]
    format: SummaryFormat,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=TEXT")?;
    match key.is_empty() {
        true => Err("the key is missing".to_owned()),
        false => Ok((key.to_owned(), value.to_owned())),
    }
}

/// A host that can be granted, as it was written.
fn host(text: &str) -> Result<String, String> {
    HostGrant::parse(text, false).map(|_| text.to_owned())
}

/// Adds it.
pub(crate) fn cmd_plugin_add(
    args: &AddArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    check_plugin_name(&args.name).map_err(|error| {
        CommandError::usage(error).context("wrong name of a plugin").hint(plugin_name::HINT)
    })?;
    let mut managed = Managed::open(&args.place, environment)?;
    if place_of(&args.name, &managed.config, &managed.compiling).is_some() {
        let (name, path) = (&args.name, managed.path.display());
        return Err(CommandError::usage(format!("{path} has a plugin `{name}` already"))
            .hint(format!("`headcount plugin upgrade {name} FILE` gives it another component")));
    }
    let wasm = environment.resolve(&args.component);
    let sha256 = alloy_primitives::hex::encode(component_digest(&wasm)?);
    managed.edit.add(&NewPlugin {
        name: args.name.clone(),
        wasm: managed.edit.told_path(&wasm),
        sha256: sha256.clone(),
        finality: args.finality.clone(),
        poison: args.poison.clone(),
        on_change: args.on_change.clone(),
        sinks: args.sinks.clone(),
        http: args.http.clone(),
        http_private: args.http_private.clone(),
        config: args.settings.clone(),
    })?;
    // Under its settings: without them some plugins refuse to begin.
    let becomes = managed.becomes(environment)?;
    if let Some(place) = place_of(&args.name, &becomes, &managed.compiling) {
        check_component(&becomes.plugins[place], &managed.compiling)?;
    }
    let mut report = ManagedReport::new("added", args.name.clone());
    (report.component, report.sha256) = (Some(wasm), Some(sha256));
    managed.apply(environment, &mut report)?;
    report.write(args.format, &mut stdout().lock())?;
    Ok(ExitCode::Done)
}

const AFTER_HELP: &str = "\
Examples:
  echo 'ledger = \"events.duckdb\"' > headcount.toml
  headcount plugin add balances target/wasm32-wasip2/release/balances.wasm
  headcount plugin add alert alert.wasm --sink ops --set above=1000000
  headcount plugin add labels labels.wasm --http names.example --set url=https://names.example/lookup
  headcount plugin add payments \"$(headcount plugin build payments)\" --format json";
