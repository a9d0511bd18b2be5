//! `headcount plugin check`: is a component a good plugin?

use super::plugin_of;
use crate::{
    author::read_answers,
    command_error::CommandError,
    commands::{PlaceArgs, ledger::open_to_read},
    compiling::Compiling,
    config_file::Config,
    environment::Environment,
    exit_codes::ExitCode,
    plan::{self, block_range},
    session::{Asking, PluginRun, check_plugin},
    summary::SummaryFormat,
};
use std::{io::stdout, path::PathBuf};

/// Check a component, and over events of a ledger also what it writes
///
/// Says what the component asks for and what it says of itself. With -b it is run over events of the ledger, with nothing stored: every batch twice, then block by
/// block, then with another attempt, phase and finalized block. Each time tables and state must come
/// out the same; where a batch takes longer than its deadline the rest is not run. The share of each limit is that of the batch that used the most.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct CheckArgs {
    /// Component, or the name of a plugin of the configuration file
    #[arg(value_name = "[NAME=]FILE")]
    plugin: String,

    /// Component of an older version: what it wrote may differ only where logic_version rises
    #[arg(long, value_name = "FILE")]
    against: Option<String>,

    /// Blocks of the ledger to run it over, as for `replay`; all of them have to be covered
    /// [default: none, then what needs events is not checked]
    #[arg(short = 'b', long = "blocks", value_name = "RANGE", allow_hyphen_values = true)]
    blocks: Option<String>,

    /// What hosts answer it, out of this file, as for `plugin test`; without it a plugin that fetches is
    /// told that nothing is sent
    #[arg(long, value_name = "FILE", requires = "blocks")]
    answers: Option<PathBuf>,

    /// Chain id, where the ledger has several
    #[arg(long, value_name = "ID")]
    chain_id: Option<u64>,

    #[command(flatten)]
    place: PlaceArgs,

    /// Form of the report on stdout
    #[arg(long, value_enum, default_value_t)]
    format: SummaryFormat,
}

/// Checks and tells.
pub(crate) fn cmd_plugin_check(
    args: &CheckArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let plugin = plugin_of(&args.plugin, &args.place, environment)?;
    let against = args.against.as_deref();
    let against = against.map(|file| plugin_of(file, &args.place, environment)).transpose()?;
    let compiling = Compiling::of(environment, false);
    let mut report = match &args.blocks {
        None => check_plugin(&plugin, against.as_ref(), None, &compiling)?,
        Some(blocks) => {
            let range = block_range(Some(blocks))?;
            let asking = match &args.answers {
                Some(path) => Asking::Recorded(read_answers(&environment.resolve(path))?),
                None => Asking::Nobody,
            };
            let (chain_id, is_shown) = (args.chain_id, environment.stderr_is_terminal);
            let run = PluginRun { range, chain_id, one_block: false, asking, is_shown };
            let mut ledger = open_to_read(&args.place, environment)?;
            check_plugin(&plugin, against.as_ref(), Some((&mut ledger, run)), &compiling)?
        }
    };
    report.write(args.format, &mut stdout().lock())?;
    Ok(report.exit_code())
}

/// Checks a component without events, and tells.
pub(super) fn check(plugin: &str, environment: &Environment) -> Result<ExitCode, CommandError> {
    let plugin = plan::plugin(plugin, &Config::default(), environment)?;
    let mut report = check_plugin(&plugin, None, None, &Compiling::of(environment, false))?;
    report.write(SummaryFormat::default(), &mut stdout().lock())?;
    Ok(report.exit_code())
}

const AFTER_HELP: &str = "\
Exit codes:
  0  every check that was run passed
  1  one failed; the reason is in the report
  2  the file is no component, or was built for another version of the interface

Examples:
  headcount plugin check payments.wasm
  headcount plugin check payments.wasm --ledger headcount.duckdb -b 18M:+10k
  headcount plugin check new.wasm --against old.wasm --ledger headcount.duckdb -b 18M:+10k
  headcount plugin check payments.wasm --format json | jq '.checks[] | select(.result == \"failed\")'";
