//! `headcount plugin build`: from a plugin's folder to its component.

use crate::{author, command_error::CommandError, environment::Environment, exit_codes::ExitCode};
use std::{
    io::{Write, stdout},
    path::PathBuf,
};

/// Build a plugin's component with cargo and print its path
///
/// Runs `cargo build --release --target wasm32-wasip2`; what cargo says goes to stderr.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BuildArgs {
    /// Folder of the plugin
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

/// Builds it.
pub(crate) fn cmd_plugin_build(
    args: &BuildArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let component = author::build(&environment.resolve(&args.folder))?;
    writeln!(stdout(), "{}", component.display())?;
    Ok(ExitCode::Done)
}
