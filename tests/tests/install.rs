//! `make install` makes a program that runs from anywhere with an empty environment.

use headcount_tests::{Program, skip, workspace};
use std::process::Command;

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
    assert!(prefix.join("lib/headcount").read_dir().unwrap().next().is_some());

    let version = Command::new(prefix.join("bin/headcount"))
        .arg("--version")
        .current_dir("/")
        .env_clear()
        .output()
        .unwrap();
    assert!(version.status.success(), "{}", String::from_utf8_lossy(&version.stderr));
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
