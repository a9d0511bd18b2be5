//! Logs to stderr, and what is said when the program itself is wrong.

use crate::{
    command_error::{CommandError, REPORT_A_BUG},
    environment::Environment,
    secret::redacted,
};
use std::{io::Write, panic};
use tracing_subscriber::EnvFilter;

/// Starts logging at what `HEADCOUNT_LOG` asks for, else at warnings.
pub(crate) fn start(environment: &Environment) -> Result<(), CommandError> {
    let wanted = environment.variable("HEADCOUNT_LOG").unwrap_or("warn");
    let filter = EnvFilter::try_new(wanted).map_err(|error| {
        CommandError::usage(error)
            .context(format!("HEADCOUNT_LOG=`{wanted}` is not a log filter"))
            .hint("examples: error, info, headcount_node=debug,warn")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(environment.stderr_is_terminal)
        .without_time()
        .init();
    Ok(())
}

/// Makes a panic say, in our form, that it is a bug and where.
pub(crate) fn install_panic_hook() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(|at| format!(" at {}:{}", at.file(), at.line()));
        let message = info.payload_as_str().unwrap_or("a panic without a message");
        let text = format!(
            "error: this is a bug in headcount {}\ncaused by: {}{}\nhint: {REPORT_A_BUG}",
            env!("CARGO_PKG_VERSION"),
            redacted(message),
            place.unwrap_or_default(),
        );
        let _ = writeln!(std::io::stderr(), "{text}");
    }));
}
