//! `headcount plugin resume`: lets a halted plugin go on.

use super::amend_known;
use crate::{
    command_error::CommandError, commands::PlaceArgs, environment::Environment,
    exit_codes::ExitCode,
};
use event::Remedy;
use std::io::{Write, stdout};

/// Let a plugin that was halted, or is held, go on where it is
///
/// A plugin is halted when it asks for it, when it fails on nearly everything, or at the first event on which it fails where its `poison` is "halt". Mend the reason first, it is halted again otherwise: `headcount plugin list` shows it.
/// A plugin that is held, because its component is another one than wrote its rows, goes on with that one; `headcount plugin rebuild` has it begin anew instead.
/// It goes on at once in a process that runs the plugin, else in the next run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    /// Its name, as `plugin list` shows it
    name: String,

    #[command(flatten)]
    place: PlaceArgs,
}

/// Resumes it.
pub(crate) fn cmd_plugin_resume(
    args: &ResumeArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let remedy = Remedy::Resume(args.name.clone());
    let lanes = amend_known(&args.place, environment, &remedy)?;
    if lanes == 0 {
        return Err(CommandError::usage(format!("no plugin `{}` is halted or held", args.name))
            .hint("`headcount plugin list` shows every plugin of the ledger, and why one stands"));
    }
    writeln!(stdout(), "plugin {} goes on", args.name)?;
    Ok(ExitCode::Done)
}
