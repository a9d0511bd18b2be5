//! `headcount plugin new`: the folder of a new plugin.

use crate::{
    author::{check_crate_name, write_folder},
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
/// public crates registry alone. Its path is printed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct NewArgs {
    /// Name: a letter, then letters, digits, `-` and `_`; its tables are in the SQL schema of this name
    #[arg(value_name = "NAME")]
    name: String,

    /// Language to write it in: rust
    #[arg(long, value_name = "LANGUAGE", default_value = "rust")]
    lang: String,

    /// Folder to write, which must not exist or be empty [default: ./NAME]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

/// Writes the files.
pub(crate) fn cmd_plugin_new(
    args: &NewArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    check_language(&args.lang)?;
    check_crate_name(&args.name)?;
    let shown = args.dir.as_deref().unwrap_or(Path::new(&args.name));
    write_folder(&environment.resolve(shown), &args.name)?;
    writeln!(stdout(), "{}", shown.display())?;
    let next = "next: `cargo test` in there, then `headcount plugin build`; its README goes on";
    writeln!(stderr(), "{next}")?;
    Ok(ExitCode::Done)
}

fn check_language(language: &str) -> Result<(), CommandError> {
    let hint = "plugins are written in Rust so far: --lang rust";
    match language {
        "rust" => Ok(()),
        "js" | "javascript" | "python" => {
            Err(CommandError::usage(format!("there is no template and no SDK for {language} yet"))
                .context("plugins cannot be begun in this language")
                .hint(hint))
        }
        _ => Err(CommandError::usage(format!("`{language}` is no language of plugins"))
            .context("wrong language at --lang")
            .hint(hint)),
    }
}
