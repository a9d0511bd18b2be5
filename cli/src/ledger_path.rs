//! Which file is the ledger, and whether a run may make a new one.

use crate::{command_error::CommandError, environment::Environment};
use std::path::{Path, PathBuf};

/// Name of the ledger where nothing names another.
const DEFAULT_FILE: &str = "headcount.duckdb";

/// The ledger's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LedgerPath {
    /// File.
    pub(crate) path: PathBuf,
    /// Whether flag, variable or configuration named it.
    pub(crate) is_explicit: bool,
}

impl LedgerPath {
    /// Returns the file that flag, variable or configuration names (in this order), else the
    /// default in the working directory.
    pub(crate) fn resolve(
        flag: Option<&Path>,
        configured: Option<&Path>,
        environment: &Environment,
    ) -> Self {
        let named = flag
            .map(|path| environment.resolve(path))
            .or_else(|| environment.path("HEADCOUNT_LEDGER"))
            .or_else(|| configured.map(Path::to_owned));
        match named {
            Some(path) => Self { path: followed(path), is_explicit: true },
            None => Self { path: environment.resolve(Path::new(DEFAULT_FILE)), is_explicit: false },
        }
    }

    /// Refuses to make a new ledger where nobody named it and nobody watches: a cron job in the
    /// wrong directory would quietly start from nothing. Refuses a folder that is not there, too.
    pub(crate) fn check_may_create(&self, environment: &Environment) -> Result<(), CommandError> {
        if let Some(folder) = self.path.parent()
            && !folder.as_os_str().is_empty()
            && !folder.is_dir()
        {
            return Err(CommandError::usage(format!("there is no folder {}", folder.display()))
                .context(format!("the ledger {} cannot be made", self.path.display()))
                .hint("make the folder, or name another ledger with --ledger PATH"));
        }
        if self.is_explicit || self.path.exists() || environment.stderr_is_terminal {
            return Ok(());
        }
        Err(CommandError::usage(format!("there is no ledger {}", self.path.display()))
            .context("a new ledger is not made unasked where nobody watches")
            .hint("name it with --ledger PATH or HEADCOUNT_LEDGER"))
    }

    /// Refuses to read a ledger that is not there.
    pub(crate) fn check_exists(&self) -> Result<(), CommandError> {
        if self.path.exists() {
            return Ok(());
        }
        Err(CommandError::usage(format!("there is no ledger {}", self.path.display()))
            .hint("name it with --ledger PATH, or make one with `headcount replay`"))
    }

    /// Returns the name under which DuckDB knows the file. A schema of that name is ambiguous.
    pub(crate) fn catalog(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase()
    }
}

/// Returns the file that a link leads to: lock and socket lie beside that, so that whoever takes another way to the
/// same ledger meets its owner.
fn followed(path: PathBuf) -> PathBuf {
    match path.is_symlink() {
        true => path.canonicalize().unwrap_or(path),
        false => path,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn flag_beats_variable_beats_configuration_beats_default() {
        let bare = Environment::for_test(Path::new("/work"), &[]);
        let variable = Environment::for_test(Path::new("/work"), &[("HEADCOUNT_LEDGER", "v.db")]);
        let (flag, configured) = (Some(Path::new("f.db")), Some(Path::new("/etc/c.db")));
        let path = |flag, configured, environment| {
            let ledger = LedgerPath::resolve(flag, configured, environment);
            (ledger.path.to_str().unwrap().to_owned(), ledger.is_explicit)
        };
        assert_eq!(path(flag, configured, &variable), ("/work/f.db".into(), true));
        assert_eq!(path(None, configured, &variable), ("/work/v.db".into(), true));
        assert_eq!(path(None, configured, &bare), ("/etc/c.db".into(), true));
        assert_eq!(path(None, None, &bare), ("/work/headcount.duckdb".into(), false));
    }

    #[test]
    fn a_new_ledger_in_the_dark_has_to_be_named() {
        let dir = tempfile::tempdir().unwrap();
        let environment = Environment::for_test(dir.path(), &[]);
        let ledger = LedgerPath::resolve(None, None, &environment);
        assert!(ledger.check_may_create(&environment).is_err());
        let mut watched = environment.clone();
        watched.stderr_is_terminal = true;
        assert!(ledger.check_may_create(&watched).is_ok());
        let nowhere = LedgerPath::resolve(Some(Path::new("gone/l.db")), None, &environment);
        let error = nowhere.check_may_create(&environment).unwrap_err().to_string();
        assert!(error.contains("there is no folder"), "{error}");
        std::fs::write(&ledger.path, "").unwrap();
        let link = dir.path().join("link.duckdb");
        std::os::unix::fs::symlink(&ledger.path, &link).unwrap();
        let linked = LedgerPath::resolve(Some(&link), None, &environment);
        assert_eq!(linked.path, ledger.path.canonicalize().unwrap());
        assert!(ledger.check_may_create(&environment).is_ok());
    }
}
