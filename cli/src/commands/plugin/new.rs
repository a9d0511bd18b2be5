//! `headcount plugin new`: the folder of a new plugin.

use crate::{
    author::{Language, check_name, write_folder},
    command_error::CommandError,
    environment::Environment,
    exit_codes::ExitCode,
};
use std::{
    io::{Write, stderr, stdout},
    path::{Path, PathBuf},
};

/// Write the folder of a new plugin: an example that builds, with its test
///
/// The folder has the interface and the SDK of this program in it, so it builds anywhere from the
/// public registry of its language alone. Its path is printed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct NewArgs {
    /// Name: a letter, then letters, digits, `-` and `_`; its tables are in the SQL schema of this name
    #[arg(value_name = "NAME")]
    name: String,

    /// Language to write it in
    #[arg(long, value_enum, value_name = "LANGUAGE", default_value = "rust")]
    lang: Language,

    /// Folder to write, which must not exist or be empty [default: ./NAME]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

/// Writes the files.
pub(crate) fn cmd_plugin_new(
    args: &NewArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    check_name(args.lang, &args.name)?;
    let shown = args.dir.as_deref().unwrap_or(Path::new(&args.name));
    write_folder(&environment.resolve(shown), args.lang, &args.name)?;
    writeln!(stdout(), "{}", shown.display())?;
    let test = args.lang.test_command();
    writeln!(
        stderr(),
        "next: `{test}` in there, then `headcount plugin build`; its README goes on"
    )?;
    Ok(ExitCode::Done)
}
