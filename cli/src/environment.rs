//! What a process finds around itself, read once, so that everything after it is a function.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

/// Environment variables, working directory and terminals.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    variables: BTreeMap<OsString, OsString>,
    /// Where relative paths of the command line start.
    pub(crate) current_dir: PathBuf,
    /// Whether a person can be asked and shown progress.
    pub(crate) stderr_is_terminal: bool,
    /// Whether a person reads the data.
    pub(crate) stdout_is_terminal: bool,
}

impl Environment {
    /// Reads the environment of this process.
    pub(crate) fn of_process() -> Self {
        Self {
            variables: env::vars_os().collect(),
            current_dir: env::current_dir().unwrap_or_default(),
            stderr_is_terminal: io::stderr().is_terminal(),
            stdout_is_terminal: io::stdout().is_terminal(),
        }
    }

    /// Returns a variable that is set, not empty, and UTF-8.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(std::ffi::OsStr::new(name))?.to_str().filter(|value| !value.is_empty())
    }

    /// Returns a variable that holds a path.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        let value = self.variables.get(std::ffi::OsStr::new(name))?;
        (!value.is_empty()).then(|| self.resolve(Path::new(value)))
    }

    /// Returns `path` as seen from the working directory.
    pub(crate) fn resolve(&self, path: &Path) -> PathBuf {
        self.current_dir.join(path)
    }
}

#[cfg(test)]
impl Environment {
    /// Returns an environment for a test.
    pub(crate) fn for_test(current_dir: &Path, variables: &[(&str, &str)]) -> Self {
        Self {
            variables: variables.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            current_dir: current_dir.to_owned(),
            stderr_is_terminal: false,
            stdout_is_terminal: false,
        }
    }
}
