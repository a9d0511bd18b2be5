//! The built program, run as a user runs it.

use crate::workspace;
use serde_json::Value;
use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

/// `headcount` in a folder of its own, with an empty environment.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    folder: PathBuf,
}

/// What one run left.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
}

impl Program {
    /// Returns the program of `HEADCOUNT_BIN`, or the one built beside these tests.
    /// `None` where it has not been built (`make build`).
    pub fn built() -> Option<PathBuf> {
        if let Some(path) = env::var_os("HEADCOUNT_BIN").map(PathBuf::from) {
            return path.is_file().then_some(path);
        }
        let this = env::current_exe().ok()?;
        // target/debug/deps/main-… or target/debug/make-fixtures
        this.ancestors()
            .skip(1)
            .take(2)
            .map(|folder| folder.join("headcount"))
            .find(|path| path.is_file())
    }

    /// Returns the built program, to be run in `folder`.
    pub fn in_folder(folder: &Path) -> Option<Self> {
        Some(Self { path: Self::built()?, folder: folder.to_path_buf() })
    }

    /// Runs it to its end.
    pub fn run<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Outcome {
        let output = Command::new(&self.path)
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .output()
            .expect("the built program starts");
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a query over a ledger and returns its rows, each an object by column name.
    pub fn query(&self, ledger: &Path, sql: &str) -> Vec<Value> {
        let ledger = ledger.to_str().expect("test folders have plain names");
        let outcome =
            self.run(["query", "--ledger", ledger, "--format", "json", sql]).expect_success();
        serde_json::from_str(&outcome.stdout).expect("query prints a JSON array of objects")
    }

    /// Returns the plugin shipped as `name`, built by `make plugins`.
    pub fn plugin(name: &str) -> Option<PathBuf> {
        let path = workspace().join(format!("plugins/target/wasm32-wasip2/release/{name}.wasm"));
        path.is_file().then_some(path)
    }
}

impl Outcome {
    /// Returns itself when the exit code is 0; panics with everything said otherwise.
    #[track_caller]
    pub fn expect_success(self) -> Self {
        self.expect_code(0)
    }

    /// Returns itself when the exit code is `code`; panics with everything said otherwise.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}
