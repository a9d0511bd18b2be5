//! Logs to stderr, and what is said when the program itself is wrong.

use crate::{
    command_error::{CommandError, REPORT_A_BUG},
    environment::Environment,
    secret::redacted,
};
use std::{io::Write, panic};
use tracing::Level;
use tracing_subscriber::{
    EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt,
};

/// Crates whose lines are shown at any level, beside those called `headcount…`.
const OURS: [&str; 4] = ["event", "pipeline", "store", "tracker"];

/// Starts logging at what `HEADCOUNT_LOG` asks for, else at warnings.
pub(crate) fn start(environment: &Environment) -> Result<(), CommandError> {
    let wanted = environment.variable("HEADCOUNT_LOG").unwrap_or("warn");
    let filter = EnvFilter::try_new(wanted).map_err(|error| {
        CommandError::usage(error)
            .context(format!("HEADCOUNT_LOG=`{wanted}` is not a log filter"))
            .hint("examples: error, info, headcount_node=debug,warn")
    })?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(environment.stderr_is_terminal)
        .without_time()
        .with_filter(filter_fn(|of| is_ours(of.target()) || *of.level() <= Level::WARN));
    tracing_subscriber::registry().with(filter).with(lines).init();
    Ok(())
}

/// Whether a line comes from a crate of ours. Libraries know nothing of what is secret, and their
/// traces hold whole requests, by the hundred megabytes: nothing below a warning is let through.
fn is_ours(target: &str) -> bool {
    let root = target.split("::").next().unwrap_or_default();
    root.starts_with("headcount") || OURS.contains(&root)
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
