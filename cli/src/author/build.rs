//! From a plugin's folder to its component, with the author's own tools. What they say goes to stderr.

mod cargo;
mod inputs;
mod js;
mod python;

use super::Language;
use crate::command_error::CommandError;
pub(super) use inputs::Inputs;
use std::{
    fs,
    io::{self, Write, stderr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Where components of other languages than Rust are put, in the plugin's folder.
const COMPONENT: &str = "build/plugin.wasm";

/// Builds the component of the plugin in `folder`. Returns its path.
pub(crate) fn build(folder: &Path) -> Result<PathBuf, CommandError> {
    match Language::of_folder(folder)? {
        Language::Rust => cargo::build(folder),
        Language::Js => script(folder, sources(Language::Js), js::build),
        Language::Python => script(folder, sources(Language::Python), python::build),
    }
}

/// Returns how the names of files end that a component may be made of. A `headcount.toml` in the folder changes
/// when the plugin is added to it, and a component that is built again is another one.
pub(super) const fn sources(language: Language) -> &'static [&'static str] {
    match language {
        Language::Rust => &["rs", "toml", "lock", "wit", "json"],
        Language::Js => &["js", "mjs", "cjs", "json", "wit"],
        Language::Python => &["py", "txt", "json", "wit"],
    }
}

/// Builds what takes a toolchain half a minute, unless nothing of it has changed.
fn script(
    folder: &Path,
    extensions: &[&str],
    build: fn(&Path, &str) -> Result<(), CommandError>,
) -> Result<PathBuf, CommandError> {
    let folder = folder.canonicalize()?;
    let component = folder.join(COMPONENT);
    let inputs = Inputs::of(&folder, extensions)?;
    if component.is_file() && inputs.are_noted(&component) {
        return Ok(component);
    }
    // Whatever comes of it, what was there is not what would come of the files as they are.
    inputs::forget(&component);
    fs::create_dir_all(component.parent().unwrap_or(&folder))?;
    build(&folder, COMPONENT)?;
    if !component.is_file() {
        return Err(CommandError::usage(format!("there is no {COMPONENT} after it"))
            .context("the plugin's tools ended well and made no component")
            .hint("look at what they say above"));
    }
    inputs.note(&component)?;
    Ok(component)
}

/// Says on stderr what is about to take a while.
fn tell(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

/// Runs a tool to its end, with all it says on stderr. False where it failed.
fn run(folder: &Path, program: &Path, arguments: &[&str]) -> Result<bool, CommandError> {
    let mut command = Command::new(program);
    command.args(arguments);
    run_command(folder, command)
}

fn run_command(folder: &Path, mut command: Command) -> Result<bool, CommandError> {
    let program = command.get_program().to_string_lossy().into_owned();
    // Stdout is for the component's path.
    let status = command.current_dir(folder).stdin(Stdio::null()).stdout(stderr()).status();
    Ok(status.map_err(|error| missing(&program, error))?.success())
}

/// Returns the first line that a program says, as of its version; `None` where it fails.
fn first_line(program: &Path, arguments: &[&str]) -> io::Result<Option<String>> {
    let mut command = Command::new(program);
    let said = command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    let line = String::from_utf8_lossy(&said.stdout).lines().next().map(|line| line.trim().into());
    Ok(line.filter(|_| said.status.success()))
}

/// Returns major and minor of a version in words such as `v20.1.0` or `Python 3.11.7`.
fn version(line: &str) -> Option<(u32, u32)> {
    let number = line.rsplit(' ').next()?.trim_start_matches('v');
    let mut parts = number.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn missing(program: &str, error: io::Error) -> CommandError {
    match error.kind() {
        io::ErrorKind::NotFound => CommandError::usage(format!("there is no `{program}` in PATH")),
        _ => CommandError::local_io(format!("starting {program}"), error),
    }
}

fn does_not_build() -> CommandError {
    CommandError::usage("the tool says above what is wrong")
        .context("the plugin does not build")
        .hint("mend it and run the same command again")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_folder_without_a_package_is_told_with_a_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let error = build(folder.path()).unwrap_err().to_string();
        assert!(error.contains("Cargo.toml") && error.contains("hint: "), "{error}");
    }

    #[test]
    fn versions_are_read_as_programs_tell_them() {
        assert_eq!(version("v20.20.2"), Some((20, 20)));
        assert_eq!(version("Python 3.11.7"), Some((3, 11)));
        assert_eq!(version("componentize-py 0.25.1"), Some((0, 25)));
        assert_eq!(version("hello"), None);
    }

    #[test]
    fn what_has_not_changed_is_not_built_again() {
        fn make(folder: &Path, component: &str) -> Result<(), CommandError> {
            let log = folder.join("runs.log");
            let runs = fs::read_to_string(&log).unwrap_or_default();
            fs::write(log, format!("{runs}ran\n"))?;
            Ok(fs::write(folder.join(component), "wasm")?)
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let runs = || fs::read_to_string(path.join("runs.log")).unwrap().lines().count();
        fs::write(path.join("plugin.js"), "1").unwrap();
        for expected in [1, 1] {
            script(path, &["js"], make).unwrap();
            assert_eq!(runs(), expected);
        }
        // Neither what the tools install nor what a test writes counts.
        fs::create_dir(path.join("node_modules")).unwrap();
        fs::write(path.join("node_modules/a.js"), "1").unwrap();
        fs::write(path.join("rows.ndjson"), "{}").unwrap();
        script(path, &["js"], make).unwrap();
        assert_eq!(runs(), 1);
        fs::write(path.join("plugin.js"), "2").unwrap();
        script(path, &["js"], make).unwrap();
        assert_eq!(runs(), 2);
        fs::remove_file(path.join(COMPONENT)).unwrap();
        script(path, &["js"], make).unwrap();
        assert_eq!(runs(), 3);
        // A build that failed leaves nothing to be taken for the new one.
        fs::write(path.join("plugin.js"), "3").unwrap();
        let fails = |_: &Path, _: &str| Err(does_not_build());
        assert!(script(path, &["js"], fails).is_err());
        fs::write(path.join("plugin.js"), "2").unwrap();
        script(path, &["js"], make).unwrap();
        assert_eq!(runs(), 4);
    }
}
