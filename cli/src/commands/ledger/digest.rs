//! `headcount ledger digest`: one number for everything that the ledger says.

use super::open_to_read;
use crate::{
    command_error::CommandError, commands::PlaceArgs, environment::Environment,
    exit_codes::ExitCode,
};
use std::io::{Write, stdout};

/// Print a digest of canonical events, coverage, provenance and plugin rows
///
/// Two ledgers that say the same have the same digest, in whatever order and in however many runs
/// they were made. Times and attempt counters are left out.
#[derive(Debug, clap::Args)]
pub(crate) struct DigestArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

/// Prints the digest as 0x and 64 hex digits.
pub(crate) fn cmd_ledger_digest(
    args: &DigestArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let mut ledger = open_to_read(&args.place, environment)?;
    writeln!(stdout(), "{}", ledger.digest()?)?;
    Ok(ExitCode::Done)
}
