//! Rules of the house that no compiler keeps: floors, engine owners, forgotten files, leftovers.

use headcount_tests::workspace;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Floor 1: a stage imports `event` and never another stage.
const STAGES: [&str; 12] = [
    "node",
    "tracker",
    "proof",
    "abi",
    "aggregator",
    "audit",
    "health",
    "store",
    "dispatcher",
    "host",
    "relay",
    "sink",
];

/// Each engine has one owner; of a protocol the other end may have one too. The bench and the tests
/// measure from outside and own nothing.
const OWNERS: [(&str, &str); 21] = [
    ("alloy-consensus", "proof"),
    ("alloy-trie", "proof"),
    ("alloy-dyn-abi", "abi"),
    ("alloy-json-abi", "abi"),
    ("reqwest", "node"),
    // Where messages go, beside where questions go.
    ("reqwest", "sink"),
    // What plugins fetch.
    ("reqwest", "host"),
    ("tokio-rustls", "node"),
    ("tokio-tungstenite", "node"),
    // The server end, for drills.
    ("tokio-tungstenite", "fakenode"),
    ("postcard", "relay"),
    ("duckdb", "store"),
    ("wasmtime", "host"),
    ("wasmtime-wasi", "host"),
    ("clap", "cli"),
    ("indicatif", "cli"),
    ("toml", "cli"),
    ("toml_edit", "cli"),
    ("quick-junit", "cli"),
    ("notify", "cli"),
    ("tracing-subscriber", "cli"),
];

/// Crates whose work is to stand outside and look.
const OUTSIDE: [&str; 2] = ["tests", "bench"];

/// Faults that no release may be without a test for.
const FIRST_FAULTS: [&str; 62] = [
    "F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10", "F11", "F12", "F13", "F16", "F17",
    "F18", "F19", "F20", "F21", "F22", "F23", "F24", "F25", "F26", "F27", "F28", "F29", "F30",
    "F31", "F32", "F33", "F34", "F37", "F38", "F39", "F40", "F41", "F42", "F46", "F47", "F48",
    "F49", "F50", "F51", "F52", "F53", "F54", "F55", "F56", "F57", "F58", "F60", "F65", "F66",
    "F67", "F68", "F69", "F70", "F71", "F77", "F89", "F90",
];

#[test]
fn a_stage_imports_event_and_never_another_stage() {
    let crates = crates();
    for stage in STAGES {
        let Some(package) = crates.get(stage) else { panic!("stage {stage} has no folder") };
        for import in package.imports.iter().filter(|import| crates.contains_key(*import)) {
            assert_eq!(import, "event", "{stage} imports {import}: stages meet only in event");
        }
    }
    let event = &crates["event"];
    assert!(event.imports.iter().all(|import| !crates.contains_key(import)), "event is floor 0");
    for (name, package) in &crates {
        assert!(
            name == "cli" || OUTSIDE.contains(&name.as_str()) || !package.imports.contains("cli"),
            "{name} imports the cli"
        );
    }
}

#[test]
fn pure_stages_have_no_runtime_and_no_engine() {
    let crates = crates();
    for stage in ["tracker", "proof", "abi", "aggregator", "audit", "health", "dispatcher"] {
        for engine in ["tokio", "futures-util", "reqwest", "duckdb", "wasmtime", "tempfile", "rand"]
        {
            assert!(
                !crates[stage].imports.contains(engine),
                "{stage} is pure and imports {engine}"
            );
        }
        for file in rust_files(&crates[stage].folder.join("src")) {
            let text = code_without_tests(&file);
            for impure in ["SystemTime::now", "Instant::now", "std::env", "std::fs", "std::net"] {
                assert!(!text.contains(impure), "{} uses {impure}", file.display());
            }
        }
    }
}

#[test]
fn each_engine_has_one_owner() {
    for (name, package) in crates() {
        if OUTSIDE.contains(&name.as_str()) {
            continue;
        }
        let is_owner = |engine| OWNERS.contains(&(engine, name.as_str()));
        for (engine, owner) in OWNERS.iter().filter(|(engine, _)| !is_owner(engine)) {
            assert!(!package.imports.contains(*engine), "{name} imports {engine}, {owner} owns it");
            let used = engine.replace('-', "_") + "::";
            for file in rust_files(&package.folder.join("src")) {
                let text = fs::read_to_string(&file).unwrap();
                let uses = |line: &str| line.trim_start().starts_with(&format!("use {used}"));
                assert!(!text.lines().any(uses), "{} uses {engine}", file.display());
            }
        }
    }
}

#[test]
fn every_source_file_is_declared_and_says_what_it_is() {
    for folder in source_folders() {
        for file in rust_files(&folder) {
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("//!"), "{} does not open with //!", file.display());
            assert!(is_reached(&file), "{} is declared nowhere", file.display());
        }
    }
}

#[test]
fn nothing_is_left_over() {
    // Written in halves, so that this list does not find itself.
    let leftovers = [
        ["todo", "!("],
        ["dbg", "!("],
        ["unimplemented", "!("],
        ["FIX", "ME"],
        ["XX", "X:"],
        ["TO", "DO"],
        ["#[ig", "nore"],
    ]
    .map(|halves| halves.concat());
    let folders =
        [["/work/", "main"], ["/work/", "shared"], ["/ro", "ot/"]].map(|halves| halves.concat());
    for file in tracked_text_files() {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let is_rust = file.extension().is_some_and(|extension| extension == "rs");
        for leftover in leftovers.iter().filter(|_| is_rust) {
            assert!(!text.contains(leftover.as_str()), "{} holds {leftover}", file.display());
        }
        for folder in &folders {
            assert!(
                !text.contains(folder.as_str()),
                "{} names a folder of one machine",
                file.display()
            );
        }
    }
}

#[test]
fn each_fault_row_names_a_test_that_exists() {
    let tests: BTreeSet<String> = test_names();
    let page = fs::read_to_string(workspace().join("docs/faults.md")).unwrap();
    let mut rows = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| F")) {
        rows.insert(row[2..].split(' ').next().unwrap_or_default());
        let tests_cell = row.rsplit('|').nth(1).unwrap_or_default();
        let named: Vec<&str> = tests_cell.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test is named in: {row}");
        for name in named {
            assert!(tests.contains(name), "docs/faults.md names {name}, which does not exist");
        }
    }
    for fault in FIRST_FAULTS {
        assert!(rows.contains(fault), "docs/faults.md has no row for {fault}");
    }
}

/// One of our packages.
struct Package {
    folder: PathBuf,
    /// What `[dependencies]` names.
    imports: BTreeSet<String>,
}

/// Returns our packages by the name of their folder.
fn crates() -> BTreeMap<String, Package> {
    let root = workspace();
    let mut folders: Vec<PathBuf> =
        ["cli", "tests", "tests/bench"].map(|path| root.join(path)).into();
    folders.extend(fs::read_dir(root.join("core")).unwrap().map(|entry| entry.unwrap().path()));
    folders.retain(|folder| folder.join("Cargo.toml").is_file());
    folders
        .into_iter()
        .map(|folder| {
            let text = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
            let manifest: toml::Table = toml::from_str(&text).unwrap();
            let imports = manifest.get("dependencies").and_then(toml::Value::as_table);
            let imports = imports.into_iter().flat_map(|table| table.keys().cloned()).collect();
            let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
            (name, Package { folder, imports })
        })
        .collect()
}

/// Returns the folders that hold Rust source of ours.
fn source_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = crates()
        .values()
        .flat_map(|package| [package.folder.join("src"), package.folder.join("tests")])
        .filter(|folder| !folder.ends_with("tests/tests"))
        .filter(|folder| folder.is_dir() && *folder != workspace().join("tests/bench/tests"))
        .collect();
    folders.push(workspace().join("tests/tests"));
    folders.sort();
    folders.dedup();
    folders
}

/// Returns all `.rs` files below a folder, in order.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Whether a file is a root of its crate, or its parent module declares it.
fn is_reached(file: &Path) -> bool {
    let name = file.file_stem().unwrap().to_str().unwrap();
    let folder = file.parent().unwrap();
    if matches!(name, "lib" | "main" | "build")
        || folder.ends_with("bin")
        || folder.ends_with("tests")
    {
        return !folder.ends_with("tests/tests")
            || name == "main"
            || declares(&folder.join("main.rs"), name);
    }
    let (name, folder) = match name {
        "mod" => (folder.file_name().unwrap().to_str().unwrap(), folder.parent().unwrap()),
        _ => (name, folder),
    };
    let beside = folder.with_extension("rs");
    let manifest = folder.parent().unwrap().join("Cargo.toml");
    // Each file of a `tests` folder is a crate of its own.
    let is_of_tests = folder.ends_with("tests");
    ["lib.rs", "main.rs", "mod.rs"].iter().any(|parent| declares(&folder.join(parent), name))
        || (is_of_tests && rust_files(folder).iter().any(|parent| declares(parent, name)))
        || declares(&beside, name)
        || fs::read_to_string(manifest).is_ok_and(|text| text.contains(&format!("src/{name}.rs\"")))
        || rust_files(folder).iter().any(|other| declares_by_path(other, name))
}

fn declares(parent: &Path, module: &str) -> bool {
    let declaration = format!("mod {module};");
    fs::read_to_string(parent).is_ok_and(|text| {
        text.lines().any(|line| {
            line.trim_start_matches("pub ").trim_start_matches("pub(crate) ").trim() == declaration
        })
    })
}

fn declares_by_path(parent: &Path, module: &str) -> bool {
    let path = format!("{module}.rs\"]");
    fs::read_to_string(parent).is_ok_and(|text| {
        text.lines().any(|line| line.trim().starts_with("#[path") && line.trim().ends_with(&path))
    })
}

/// Returns a file's text up to its test module.
fn code_without_tests(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    if file.file_stem().is_some_and(|stem| stem.to_str().unwrap().contains("test")) {
        return String::new();
    }
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

/// Returns the names of all functions marked as tests, in every crate and plugin.
fn test_names() -> BTreeSet<String> {
    let root = workspace();
    let files = ["core", "cli", "tests", "plugins"]
        .iter()
        .flat_map(|folder| rust_files(&root.join(folder)))
        .filter(|file| !file.components().any(|part| part.as_os_str() == "target"));
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let mut is_marked = false;
        for line in text.lines().map(str::trim_start) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_marked = true;
            }
            let line = line.trim_start_matches("async ");
            if let Some(name) = line.strip_prefix("fn ")
                && let Some((name, _)) = name.split_once('(')
            {
                // Inside `proptest!` the mark is there as well.
                if std::mem::take(&mut is_marked) {
                    names.insert(name.to_owned());
                }
            }
        }
    }
    names
}

/// Returns the text files of the project, without what is built or installed.
fn tracked_text_files() -> Vec<PathBuf> {
    let text =
        ["rs", "toml", "md", "sh", "js", "json", "sol", "wit", "tsv", "yml", "run", "Makefile"];
    let mut files = Vec::new();
    let mut open = vec![workspace()];
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_str().unwrap_or_default();
            if path.is_dir() {
                if !["target", "node_modules", ".git", "proptest-regressions"].contains(&name) {
                    open.push(path);
                }
            } else if text.iter().any(|end| name == *end || name.ends_with(&format!(".{end}"))) {
                files.push(path);
            }
        }
    }
    files
}
