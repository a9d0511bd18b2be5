//! `headcount ledger check`: is the file in itself consistent?

use super::open_to_read;
use crate::{
    command_error::CommandError, commands::PlaceArgs, environment::Environment,
    exit_codes::ExitCode,
};
use std::io::{Write, stdout};

/// Look for duplicates and contradictions; exit code 1 when there are any
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

/// Prints each problem on a line.
pub(crate) fn cmd_ledger_check(
    args: &CheckArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let mut ledger = open_to_read(&args.place, environment)?;
    let problems = ledger.check()?;
    let mut out = stdout().lock();
    if problems.is_empty() {
        writeln!(out, "ok")?;
        return Ok(ExitCode::Done);
    }
    for problem in &problems {
        writeln!(out, "{problem}")?;
    }
    Ok(ExitCode::CheckFailed)
}
