//! `headcount plugin build`: from a plugin's folder to its component.

use crate::{
    author, command_error::CommandError, compiling::Compiling, environment::Environment,
    exit_codes::ExitCode, session::compile_plugin,
};
use std::{
    io::{Write, stdout},
    path::PathBuf,
};

/// Build a plugin's component and print its path
///
/// Rust is built with `cargo build --release --target wasm32-wasip2`; JavaScript with componentize-js, which
/// npm installs into the folder's node_modules; Python with componentize-py, which pip installs into
/// the folder's .venv. What has not changed is not built again. Then it is compiled for this machine, so that
/// its first run starts at once: into HEADCOUNT_CACHE, or headcount/plugins in the user's folder for
/// caches. All talk goes to stderr.
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
    compile_plugin(&component, &Compiling::of(environment, false))?;
    writeln!(stdout(), "{}", component.display())?;
    Ok(ExitCode::Done)
}
