//! `headcount coverage`: which ranges of the ledger are known, and how well.

use crate::{
    command_error::CommandError,
    commands::{PlaceArgs, ledger::open_to_read},
    config_file::Config,
    environment::Environment,
    exit_codes::ExitCode,
    session,
    summary::SummaryFormat,
};
use std::io::stdout;

/// Draw which ranges of the ledger are proved, agreed, on one node's word, open or unprovable
///
/// For each chain and filter of the ledger, from its first covered block to the last one that is
/// covered or final. No node is asked and nothing is written.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct CoverageArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// Form of the report on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: SummaryFormat,
}

/// Reads the ledger and draws.
pub(crate) fn cmd_coverage(
    args: &CoverageArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let mut ledger = open_to_read(&args.place, environment)?;
    // For the names in it: with a mistake in the file addresses do.
    let config = Config::load(args.place.config.as_deref(), environment).unwrap_or_default();
    let report = session::coverage(&mut ledger, &config)?;
    report.write(args.format, &mut stdout().lock())?;
    Ok(ExitCode::Done)
}

const AFTER_HELP: &str = "\
Words:
  proved         every block is excluded by its bloom or recomputed from its receipts
  agreed         several nodes said the same, or were read by blooms and have the same hash
  not compared   several nodes gave it, and what they said was not compared
  single source  one node's word, with or without a look at blooms
  open           not covered, or not as a replay demanded; or nodes differ and nothing shows who is right
  unprovable     not proved, and receipts that were read for it did not hold up

Examples:
  headcount coverage
  headcount coverage --format json | jq '.chains[].filters[] | {name, blocks}'";
