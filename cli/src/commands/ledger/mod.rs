//! `headcount ledger`: care of the file.

mod check;
mod digest;

use crate::{
    command_error::CommandError, commands::PlaceArgs, config_file::Config,
    environment::Environment, exit_codes::ExitCode, ledger_path::LedgerPath, session::Look,
};
use clap::Subcommand;

/// Take care of the ledger file
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    Digest(digest::DigestArgs),
    Check(check::CheckArgs),
}

/// Runs one of them.
pub(crate) fn cmd_ledger(
    command: &LedgerCommand,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    match command {
        LedgerCommand::Digest(args) => digest::cmd_ledger_digest(args, environment),
        LedgerCommand::Check(args) => check::cmd_ledger_check(args, environment),
    }
}

/// Opens the ledger that is meant, to read it only; through its owner where it has one.
pub(crate) fn open_to_read(
    place: &PlaceArgs,
    environment: &Environment,
) -> Result<Look, CommandError> {
    Look::open(&ledger_to_read(place, environment)?.path, environment)
}

/// Returns the ledger that is meant; it is there.
pub(crate) fn ledger_to_read(
    place: &PlaceArgs,
    environment: &Environment,
) -> Result<LedgerPath, CommandError> {
    // A flag or variable is enough: a mistake in the file is then no reason not to look.
    let named = place.ledger.is_some() || environment.path("HEADCOUNT_LEDGER").is_some();
    let config = match named && place.config.is_none() {
        true => Config::default(),
        false => Config::load(place.config.as_deref(), environment)?,
    };
    let ledger =
        LedgerPath::resolve(place.ledger.as_deref(), config.ledger.as_deref(), environment);
    ledger.check_exists()?;
    tracing::info!(ledger = %ledger.path.display(), "reading");
    Ok(ledger)
}
