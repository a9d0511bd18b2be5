//! Builds a plugin in JavaScript: componentize-js, installed by npm into the plugin's folder.

use super::{does_not_build, first_line, missing, run, tell, version};
use crate::command_error::CommandError;
use serde_json::Value as Json;
use std::{fs, io, path::Path};

/// Oldest Node.js that componentize-js runs on.
const NODE: (u32, u32) = (20, 0);

/// Makes the component.
pub(super) fn build(folder: &Path, component: &str) -> Result<(), CommandError> {
    let hint = "install Node.js 20 or later, with npm: https://nodejs.org";
    let lacks = |error: CommandError| {
        error.context("a plugin in JavaScript is built with Node.js").hint(hint)
    };
    let node = Path::new("node");
    let found = first_line(node, &["--version"]).map_err(|error| lacks(missing("node", error)))?;
    let found = found.unwrap_or_default();
    if version(&found).is_none_or(|found| found < NODE) {
        return Err(lacks(CommandError::usage(format!("`node --version` says {found}"))));
    }
    if !is_installed(folder) {
        tell(
            "npm: installing componentize-js into node_modules (about 100 MB to download, \
             400 MB on disk, once)",
        );
        let npm = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
        let npm = if folder.join("package-lock.json").is_file() { npm } else { install(npm) };
        if !run(folder, Path::new("npm"), &npm).map_err(lacks)? {
            return Err(CommandError::usage("npm says above what is wrong")
                .context("componentize-js cannot be installed")
                .hint(
                    "it is on the public npm registry: is there a network, and room on the disk?",
                ));
        }
    }
    tell("componentize-js: making the component (half a minute)");
    match run(folder, node, &["sdk/js/build.js", component]).map_err(lacks)? {
        true => Ok(()),
        false => Err(does_not_build()),
    }
}

/// The same without a lock file.
const fn install(mut npm: [&'static str; 4]) -> [&'static str; 4] {
    npm[0] = "install";
    npm
}

/// Whether every tool that the plugin names is there, in that version.
fn is_installed(folder: &Path) -> bool {
    let read = |path: &str| -> io::Result<Json> {
        Ok(serde_json::from_str(&fs::read_to_string(folder.join(path))?)?)
    };
    let package = read("package.json").unwrap_or_default();
    let Some(wanted) = package["devDependencies"].as_object() else { return false };
    wanted.iter().all(|(name, version)| {
        let found = read(&format!("node_modules/{name}/package.json"));
        found.is_ok_and(|found| found["version"] == *version)
    })
}
