//! Builds a plugin's folder with the author's own cargo, and says in plain words what is missing.

use crate::command_error::CommandError;
use serde_json::Value as Json;
use std::{
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What components are built for.
const TARGET: &str = "wasm32-wasip2";

/// Builds the component of the package in `folder`, with what cargo says on stderr. Returns its path.
pub(super) fn build(folder: &Path) -> Result<PathBuf, CommandError> {
    let manifest = folder.join("Cargo.toml").canonicalize()?;
    check_target(folder)?;
    let mut cargo = Command::new("cargo")
        .args(["build", "--release", "--target", TARGET])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| missing("cargo", error))?;
    let mut component = None;
    if let Some(stdout) = cargo.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let message: Json = serde_json::from_str(&line?).unwrap_or_default();
            component = component_of(&message, &manifest).or(component);
        }
    }
    if !cargo.wait()?.success() {
        return Err(CommandError::usage("cargo says above what is wrong")
            .context("the plugin does not build")
            .hint("mend it and run the same command again"));
    }
    component.ok_or_else(|| {
        CommandError::usage("cargo built the package, and no .wasm file of it")
            .context("the package is no component")
            .hint("its Cargo.toml needs: [lib] crate-type = [\"cdylib\", \"rlib\"]")
    })
}

/// Where rustup is asked it installs what `rust-toolchain.toml` names; elsewhere the target may lack.
fn check_target(folder: &Path) -> Result<(), CommandError> {
    let asked = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| missing("rustc", error))?;
    let libraries = String::from_utf8_lossy(&asked.stdout);
    if asked.status.success() && Path::new(libraries.trim()).is_dir() {
        return Ok(());
    }
    Err(CommandError::usage(format!("Rust's target {TARGET} is not installed"))
        .context("components cannot be built here")
        .hint(format!("in the plugin's folder: rustup target add {TARGET}")))
}

fn missing(program: &str, error: io::Error) -> CommandError {
    super::missing(program, error)
        .context("a plugin in Rust is built with Rust's own tools")
        .hint("install them with rustup: https://rustup.rs")
}

/// Returns the component, where cargo tells of an artifact of this package that is one.
fn component_of(message: &Json, manifest: &Path) -> Option<PathBuf> {
    let is_own = message["reason"] == "compiler-artifact"
        && message["manifest_path"].as_str().map(Path::new) == Some(manifest);
    let files = message["filenames"].as_array().filter(|_| is_own)?;
    let mut files = files.iter().filter_map(Json::as_str).map(PathBuf::from);
    files.find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_component_of_the_package_itself_counts() {
        let of = |manifest: &str, file: &str| {
            let message = json!({
                "reason": "compiler-artifact", "manifest_path": manifest,
                "filenames": ["/t/libp.rlib", file],
            });
            component_of(&message, Path::new("/p/Cargo.toml"))
        };
        assert_eq!(of("/p/Cargo.toml", "/t/p.wasm"), Some("/t/p.wasm".into()));
        assert_eq!(of("/p/sdk/Cargo.toml", "/t/sdk.wasm"), None);
        assert_eq!(of("/p/Cargo.toml", "/t/p.so"), None);
        assert_eq!(component_of(&Json::Null, Path::new("/p/Cargo.toml")), None);
    }
}
