//! The built program, run as a user runs it.

use crate::workspace;
use serde_json::Value;
use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

/// `headcount` in a folder of its own, with an empty environment.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    folder: PathBuf,
    variables: Vec<(String, String)>,
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
        Some(Self { path: Self::built()?, folder: folder.to_path_buf(), variables: Vec::new() })
    }

    fn command<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it to its end.
    pub fn run<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Outcome {
        let output = self.command(arguments).output().expect("the built program starts");
        Outcome::of(&output)
    }

    /// Starts it and lets it run, unheard; the caller ends it or waits for it.
    pub fn start<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Child {
        self.command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the built program starts")
    }

    /// Starts it and lets it run, with its output for the caller to read.
    pub fn start_heard<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Child {
        self.command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the built program starts")
    }

    /// Runs it under a limit on the size of the files it writes, in blocks of 512 bytes: what a
    /// full disk does to it.
    pub fn run_on_full_disk(&self, blocks: u64, arguments: &[&str]) -> Outcome {
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -f {blocks} && exec \"$0\" \"$@\""))
            .arg(&self.path)
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .output()
            .expect("there is a shell");
        Outcome::of(&output)
    }

    /// Returns the program with a variable in its otherwise empty environment.
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns the folder it runs in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs a query over a ledger and returns its rows, each an object by column name.
    pub fn query(&self, ledger: &Path, sql: &str) -> Vec<Value> {
        let ledger = ledger.to_str().expect("test folders have plain names");
        let outcome =
            self.run(["query", "--ledger", ledger, "--format", "json", sql]).expect_success();
        serde_json::from_str(&outcome.stdout).expect("query prints a JSON array of objects")
    }

    /// Returns the plugin in JavaScript or Python shipped as `name`, built by `make script-plugins`.
    pub fn script_plugin(name: &str) -> Option<PathBuf> {
        let folder = workspace().join("plugins/target/scripts");
        let path = folder.join(name).join("build/plugin.wasm");
        path.is_file().then_some(path)
    }

    /// Returns the folder where tests keep compiled plugins: those of a language with a large runtime
    /// take a minute.
    pub fn compiled_plugins() -> PathBuf {
        workspace().join("plugins/target/compiled")
    }

    /// Returns the plugin shipped as `name`, built by `make plugins`.
    pub fn plugin(name: &str) -> Option<PathBuf> {
        let path = workspace().join(format!("plugins/target/wasm32-wasip2/release/{name}.wasm"));
        path.is_file().then_some(path)
    }
}

impl Outcome {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

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
