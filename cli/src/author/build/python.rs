//! Builds a plugin in Python: componentize-py, installed by pip into an environment in the plugin's folder.

use super::{does_not_build, first_line, missing, run, run_command, tell, version};
use crate::command_error::CommandError;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Oldest Python that the SDK runs on, for tests of the logic.
const PYTHON: (u32, u32) = (3, 10);
/// The environment, in the plugin's folder.
const ENVIRONMENT: &str = ".venv";
/// What of it was installed; written last.
const INSTALLED: &str = ".venv/installed.txt";

/// Makes the component.
pub(super) fn build(folder: &Path, component: &str) -> Result<(), CommandError> {
    let wanted = fs::read_to_string(folder.join("requirements.txt")).map_err(|error| {
        CommandError::unread("reading requirements.txt of the plugin", error)
            .hint("it has to name componentize-py, as `plugin new` writes it")
    })?;
    let componentize = folder.join(ENVIRONMENT).join("bin/componentize-py");
    let installed = fs::read_to_string(folder.join(INSTALLED)).ok();
    if !componentize.is_file() || installed.as_deref() != Some(wanted.as_str()) {
        install(folder)?;
        fs::write(folder.join(INSTALLED), wanted)?;
    }
    let world = world(folder)?;
    tell("componentize-py: making the component (a quarter of a minute)");
    let mut command = Command::new(&componentize);
    command
        .args(["-d", "wit", "-w", world, "componentize", "headcount_plugin.component"])
        .args(["-p", ".", "-o", component])
        // What requirements.txt names beside it goes into the component where it is imported.
        .env("VIRTUAL_ENV", folder.join(ENVIRONMENT));
    match run_command(folder, command)? {
        true => Ok(()),
        false => Err(does_not_build()),
    }
}

/// Returns what the component is made against: only what says that it fetches imports that, and needs a
/// grant.
fn world(folder: &Path) -> Result<&'static str, CommandError> {
    let python = folder.join(ENVIRONMENT).join("bin/python");
    let mut command = Command::new(&python);
    command.args(["-B", "-c", "from plugin import plugin; print('http' if plugin.http else '')"]);
    let said = command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| missing(&python.display().to_string(), error))?;
    match (said.status.success(), String::from_utf8_lossy(&said.stdout).lines().last()) {
        (false, _) => Err(does_not_build()),
        (true, Some("http")) => Ok("event-fetcher"),
        (true, _) => Ok("event-sender"),
    }
}

/// Makes the environment and installs what the plugin names.
fn install(folder: &Path) -> Result<(), CommandError> {
    let python = python()?;
    tell(
        "pip: installing componentize-py into .venv (about 35 MB to download, 75 MB on disk, once)",
    );
    if !run(folder, &python, &["-m", "venv", ENVIRONMENT])? {
        return Err(CommandError::usage("Python says above what is wrong")
            .context("no environment of Python can be made")
            .hint("on Debian and Ubuntu its module is a package: apt install python3-venv"));
    }
    let own = folder.join(ENVIRONMENT).join("bin/python");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    let pip: Vec<&str> = pip.into_iter().chain(["requirements.txt"]).collect();
    match run(folder, &own, &pip)? {
        true => Ok(()),
        false => Err(CommandError::usage("pip says above what is wrong")
            .context("componentize-py cannot be installed")
            .hint("it is on PyPI: is there a network, and room on the disk?")),
    }
}

/// Returns the Python of PATH that is new enough.
fn python() -> Result<PathBuf, CommandError> {
    let lacks = |why: String| {
        CommandError::usage(why)
            .context("a plugin in Python is built with Python")
            .hint("install Python 3.10 or later: https://www.python.org")
    };
    let mut told = None;
    for name in ["python3", "python"] {
        let program = PathBuf::from(name);
        match first_line(&program, &["--version"]) {
            Ok(line) => {
                let line = line.unwrap_or_default();
                if version(&line).is_some_and(|found| found >= PYTHON) {
                    return Ok(program);
                }
                told = told.or(Some(format!("`{name} --version` says {line}")));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(missing(name, error)),
        }
    }
    Err(lacks(told.unwrap_or_else(|| "there is no `python3` in PATH".to_owned())))
}
