//! `headcount drill`: see events being lost by nodes, and none by the ledger.

use crate::{
    command_error::CommandError, environment::Environment, exit_codes::ExitCode, plan::DrillPlan,
    session, summary::SummaryFormat,
};
use std::{io::stdout, path::PathBuf};

/// Watch a made-up chain through three bad nodes, and see that nothing is lost
///
/// Starts a chain and three nodes of it in this process, over a Unix socket, HTTP and WebSocket on
/// this machine: one drops and adds logs, one is behind and late, one hangs up every few seconds;
/// in the middle the chain reorganises. They are watched as `watch` does it, into a ledger that is
/// deleted at the end. Then the ledger is compared with the chain, and with what a program that
/// keeps a last block would have got from each node alone.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct DrillArgs {
    /// Chooses the chain and the lies; when what arrives is up to the machine [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// Blocks mined while it runs, 20 to 10000
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub(crate) blocks: u64,

    /// Time between blocks [default: 200ms]
    #[arg(long, value_name = "TIME")]
    pub(crate) block_time: Option<String>,

    /// Form of the report on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: SummaryFormat,

    /// Keep the ledger at this path, to look at it with `headcount query`
    #[arg(long, value_name = "FILE")]
    pub(crate) keep: Option<PathBuf>,
}

/// Runs a drill and prints what came of it.
pub(crate) fn cmd_drill(
    args: &DrillArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let plan = DrillPlan::resolve(args, environment)?;
    let Some(report) = session::drill(&plan, environment)? else {
        return Ok(ExitCode::Interrupted);
    };
    report.write(plan.format, &mut stdout().lock())?;
    Ok(report.exit_code())
}

const AFTER_HELP: &str = "\
Exit codes:
  0  the ledger has exactly the events of the chain
  1  it has not: something was lost, made up or doubled

Examples:
  Two hundred blocks of another chain, and a look into the ledger:
    headcount drill --seed 7 --blocks 200 --keep drill.duckdb
    headcount query --ledger drill.duckdb \"from incidents\"";
