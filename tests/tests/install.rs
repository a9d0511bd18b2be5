//! `make install` makes a program that runs from anywhere with an empty environment.

use headcount_tests::{Program, skip, workspace};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

#[test]
fn the_built_program_starts_from_any_folder_with_an_empty_environment() {
    let Some(path) = Program::built() else {
        skip!("install: headcount is not built (make build)");
    };
    let output = Command::new(path).arg("--version").current_dir("/").env_clear().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("headcount "));
}

#[test]
fn an_installed_program_runs_beside_its_library() {
    let Some(path) = Program::built() else {
        skip!("install: headcount is not built (make build)");
    };
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("usr");
    let install = Command::new(workspace().join("tools/install.sh"))
        .args([&path, &workspace().join("target/duckdb"), &prefix])
        .env_remove("DESTDIR")
        .output()
        .unwrap();
    assert!(install.status.success(), "{}", String::from_utf8_lossy(&install.stderr));
    let library = loaded_library(&prefix);
    let beside = prefix.join("lib/headcount").canonicalize().unwrap();
    assert_eq!(library.parent(), Some(beside.as_path()), "it runs on the library of the build");

    // The check sees the difference.
    std::fs::rename(&beside, prefix.join("lib/elsewhere")).unwrap();
    if let Some(library) = try_loaded_library(&prefix) {
        assert_ne!(library.parent(), Some(beside.as_path()));
    }
}

fn loaded_library(prefix: &Path) -> PathBuf {
    try_loaded_library(prefix).expect("it starts, and its loader says what it loads")
}

/// Returns the DuckDB library that the installed program loads, as its loader tells; `None` where
/// it does not start.
fn try_loaded_library(prefix: &Path) -> Option<PathBuf> {
    let output = Command::new(prefix.join("bin/headcount"))
        .arg("--version")
        .current_dir("/")
        .env_clear()
        .env("LD_DEBUG", "libs")
        .env("DYLD_PRINT_LIBRARIES", "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    // Of all places that are tried, only the one that was taken is initialised.
    let is_loaded = |line: &&str| {
        line.contains("libduckdb.") && (line.contains("calling init") || line.contains("dyld"))
    };
    let line = told.lines().find(is_loaded).filter(|_| output.status.success())?;
    Path::new(&line[line.find('/')?..]).canonicalize().ok()
}

#[test]
fn a_packager_can_stage_the_installation() {
    let Some(path) = Program::built() else {
        skip!("install: headcount is not built (make build)");
    };
    let stage = tempfile::tempdir().unwrap();
    let install = Command::new(workspace().join("tools/install.sh"))
        .args([&path, &workspace().join("target/duckdb")])
        .arg("/usr")
        .env("DESTDIR", stage.path())
        .output()
        .unwrap();
    assert!(install.status.success(), "{}", String::from_utf8_lossy(&install.stderr));
    assert!(stage.path().join("usr/bin/headcount").is_file());
}
