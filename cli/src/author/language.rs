//! The languages that plugins are written in.

use crate::command_error::CommandError;
use std::path::Path;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Language {
    /// Fast, and checked by its compiler
    Rust,
    /// Through componentize-js; needs Node.js 20 or later
    #[value(alias = "javascript")]
    Js,
    /// Through componentize-py; needs Python 3.10 or later
    #[value(alias = "py")]
    Python,
}

impl Language {
    /// Returns what the folder of a plugin is written in, by the file that every one of its kind has.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self, CommandError> {
        let kinds =
            [("Cargo.toml", Self::Rust), ("package.json", Self::Js), ("plugin.py", Self::Python)];
        let found = kinds.into_iter().find(|(file, _)| folder.join(file).is_file());
        found.map(|(_, language)| language).ok_or_else(|| {
            CommandError::usage(format!(
                "{} has no Cargo.toml, package.json or plugin.py",
                folder.display()
            ))
            .context("this is not the folder of a plugin")
            .hint("name the folder, or begin one: headcount plugin new NAME")
        })
    }

    /// Returns the command that tests a plugin's logic natively.
    pub(crate) const fn test_command(self) -> &'static str {
        match self {
            Self::Rust => "cargo test",
            Self::Js => "node --test",
            Self::Python => "python3 -m unittest",
        }
    }
}
