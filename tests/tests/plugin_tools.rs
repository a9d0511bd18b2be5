//! The author's tools, as an author uses and misuses them: `plugin new`, `build`, `check`, `test`,
//! `list`. Those of other languages than Rust are in `plugin_languages`.

use crate::bad_input::Scene;
use headcount_tests::{Program, ScriptedNode, skip, workspace};
use serde_json::Value;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

macro_rules! scene {
    ($test:literal) => {
        match Scene::set_up() {
            Ok(scene) => scene,
            Err(missing) => skip!("{}: {missing}", $test),
        }
    };
}

macro_rules! guest {
    ($test:literal, $name:literal) => {
        match Program::plugin($name) {
            Some(path) => path.display().to_string(),
            None => skip!("{}: the plugins are not built (make plugins)", $test),
        }
    };
}

/// Asserts one `error:` line, a cause or hint, and the exit code.
#[track_caller]
fn refused(scene: &Scene, arguments: &[&str], code: i32, words: &[&str]) {
    let outcome = scene.program.run(arguments).expect_code(code);
    let errors = outcome.stderr.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(errors, 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("\nhint: "), "{}", outcome.stderr);
    for word in words {
        assert!(outcome.stderr.contains(word), "`{word}` is not said:\n{}", outcome.stderr);
    }
}

/// Replays the recorded chain into the scene's ledger.
fn fill(scene: &Scene, more: &[&str]) -> String {
    let recording = workspace().join("fixtures/erc20.ndjson.gz").display().to_string();
    scene.replay(&recording, more).expect_success();
    scene.ledger().display().to_string()
}

#[test]
fn the_readme_of_plugins_leads_from_nothing_to_rows_in_rust() {
    if Command::new("cargo").arg("--version").output().is_err() {
        skip!("plugins/README.md in Rust: there is no cargo");
    }
    let scene = scene!("plugins/README.md in Rust");
    let (told, talk) = follow_the_readme("Rust", &scene);
    assert!(told.contains("a_transfer_is_a_row_and_an_nft_is_not ... ok"), "{told}\n{talk}");
    assert!(!talk.contains("Locking "), "the lock file that comes along is not whole:\n{talk}");
}

#[test]
fn the_readme_of_plugins_leads_from_nothing_to_rows_in_javascript() {
    if Program::script_plugin("large-transfers").is_none() {
        skip!("plugins/README.md in JavaScript: its tools are not there (make script-plugins)");
    }
    let scene = scene!("plugins/README.md in JavaScript");
    let (told, talk) = follow_the_readme("JavaScript", &scene);
    assert!(told.contains("a transfer is a row and an NFT is not"), "{told}\n{talk}");
    assert!(talk.contains("npm: installing componentize-js into node_modules"), "{talk}");
    let built = talk.matches("componentize-js: making the component").count();
    assert_eq!(built, 1, "what has not changed is not built again: {talk}");
}

#[test]
fn the_readme_of_plugins_leads_from_nothing_to_rows_in_python() {
    if Program::script_plugin("daily-volume").is_none() {
        skip!("plugins/README.md in Python: its tools are not there (make script-plugins)");
    }
    let scene = scene!("plugins/README.md in Python");
    let (told, talk) = follow_the_readme("Python", &scene);
    assert!(talk.contains("Ran 1 test") && talk.contains("\nOK"), "{told}\n{talk}");
    assert!(talk.contains("pip: installing componentize-py into .venv"), "{talk}");
    // Not by the configuration that lies in its folder: another component would be held.
    assert_eq!(talk.matches("componentize-py: making the component").count(), 1, "{talk}");
}

/// Runs every command of plugins/README.md for a language, in a folder where nothing of ours is in sight
/// but the program in PATH. Returns what it said.
fn follow_the_readme(language: &str, scene: &Scene) -> (String, String) {
    let node = ScriptedNode::honest(&scene.chain);
    let commands = commands_of_the_readme(language);
    assert!(commands.len() >= 8 && commands[0].starts_with("headcount plugin new"), "{commands:?}");
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(Program::built().unwrap(), bin.join("headcount")).unwrap();
    let path = format!("{}:{}", bin.display(), env::var("PATH").unwrap());
    let script = format!("set -eu\n{}", commands.join("\n"));
    let mut shell = Command::new("sh");
    shell.args(["-xc", &script]).current_dir(folder.path()).env("PATH", path);
    for (name, _) in env::vars().filter(|(name, _)| is_of_this_build(name)) {
        shell.env_remove(name);
    }
    // Crates that were built for our own plugins are not built again, nor is anything compiled again.
    shell
        .env("CARGO_TARGET_DIR", workspace().join("plugins/target"))
        .env("CARGO_INCREMENTAL", "0")
        .env("HEADCOUNT_CACHE", Program::compiled_plugins())
        .env("ETH_RPC_URL", node.url());
    let ran = shell.output().unwrap();
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    let talk = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{told}\n{talk}");
    for word in ["receiver", "up to date", "same again"] {
        assert!(told.contains(word), "`{word}` is not said:\n{told}\n{talk}");
    }
    // What was added runs, and nothing is held.
    let mut again = Command::new(Program::built().unwrap());
    again.current_dir(folder.path().join("payments")).env("ETH_RPC_URL", node.url());
    again.env("HEADCOUNT_CACHE", Program::compiled_plugins());
    let transfer = "Transfer(address indexed from, address indexed to, uint256 value)";
    let again = again.args(["replay", "-e", transfer, "-b", ":latest"]).output().unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    let golden = fs::read_to_string(folder.path().join("payments/rows.ndjson")).unwrap();
    assert!(golden.lines().count() > 10, "{golden}");
    (told, talk)
}

/// Returns the commands for an author in `language`, in order: what is under the headings of other
/// languages is not for them.
fn commands_of_the_readme(language: &str) -> Vec<String> {
    let page = fs::read_to_string(workspace().join("plugins/README.md")).unwrap();
    let page = page.split("## In this folder").next().unwrap().to_owned();
    let mut is_for_them = true;
    let mut commands = Vec::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            is_for_them = heading == language;
        } else if line.starts_with("## ") {
            is_for_them = true;
        } else if let Some(command) = line.strip_prefix("    ").filter(|_| is_for_them) {
            commands.push(command.to_owned());
        }
    }
    commands
}

/// What cargo tells the tests it runs, and must not tell the author's cargo.
fn is_of_this_build(name: &str) -> bool {
    let kept = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_SOURCE_"];
    (name.starts_with("CARGO") && !kept.iter().any(|kept| name.starts_with(kept)))
        || name.starts_with("HEADCOUNT")
        || ["RUSTUP_TOOLCHAIN", "RUSTFLAGS", "RUSTC_WRAPPER", "LD_LIBRARY_PATH", "DUCKDB_LIB_DIR"]
            .contains(&name)
}

#[test]
fn a_new_plugin_is_not_written_over_anything_or_under_a_bad_name() {
    let scene = scene!("plugin new");
    let made = scene.program.run(["plugin", "new", "pay"]).expect_success();
    assert_eq!(made.stdout, "pay\n");
    let manifest = fs::read_to_string(scene.folder.path().join("pay/Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"pay\"") && !manifest.contains("../"), "{manifest}");
    refused(&scene, &["plugin", "new", "pay"], 2, &["holds something", "--dir"]);
    refused(&scene, &["plugin", "new", "1st"], 2, &["wrong name", "a letter"]);
    refused(&scene, &["plugin", "new", "../pay"], 2, &["wrong name"]);
    refused(&scene, &["plugin", "new", "self"], 2, &["a word of Rust"]);
    let cobol = scene.program.run(["plugin", "new", "b", "--lang", "cobol"]).expect_code(2);
    assert!(cobol.stderr.contains("rust, js, python"), "{}", cobol.stderr);
    for (language, file) in [("js", "plugin.js"), ("python", "plugin.py")] {
        let arguments = ["plugin", "new", "self", "--lang", language, "--dir", language];
        let made = scene.program.run(arguments).expect_success();
        assert_eq!(made.stdout, format!("{language}\n"));
        let text = fs::read_to_string(scene.folder.path().join(language).join(file)).unwrap();
        assert!(text.contains("self") && !text.contains("NAME"), "{text}");
    }
    let elsewhere = scene.program.run(["plugin", "new", "b", "--dir", "deep/er"]).expect_success();
    assert_eq!(elsewhere.stdout, "deep/er\n");
    assert!(scene.folder.path().join("deep/er/wit/headcount-plugin.wit").is_file());
}

#[test]
fn building_says_what_is_missing() {
    let scene = scene!("plugin build");
    refused(&scene, &["plugin", "build"], 2, &["not the folder of a plugin", "plugin new"]);
    scene.program.run(["plugin", "new", "pay"]).expect_success();
    // The environment of the program is empty: there is no PATH.
    let lost = scene.program.clone().with_variable("PATH", "/nowhere");
    let outcome = lost.run(["plugin", "build", "pay"]).expect_code(2);
    assert!(outcome.stderr.contains("there is no `rustc` in PATH"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("hint: install them with rustup"), "{}", outcome.stderr);
    // A Rust without the target.
    let tools = scene.folder.path().join("tools");
    fs::create_dir(&tools).unwrap();
    write_tool(&tools, "rustc", "echo /nowhere/wasm32-wasip2/lib");
    let poor = scene.program.clone().with_variable("PATH", &tools.display().to_string());
    let outcome = poor.run(["plugin", "build", "pay"]).expect_code(2);
    assert!(outcome.stderr.contains("rustup target add wasm32-wasip2"), "{}", outcome.stderr);
    // A cargo that fails, and one that builds no component.
    write_tool(&tools, "rustc", "echo /");
    write_tool(&tools, "cargo", "echo 'error: expected one of' >&2; exit 101");
    let outcome = poor.run(["plugin", "build", "pay"]).expect_code(2);
    assert!(outcome.stderr.contains("error: the plugin does not build"), "{}", outcome.stderr);
    write_tool(&tools, "cargo", "exit 0");
    let outcome = poor.run(["plugin", "build", "pay"]).expect_code(2);
    assert!(outcome.stderr.contains("cdylib"), "{}", outcome.stderr);
}

pub(crate) fn write_tool(folder: &Path, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn rows_are_the_same_in_large_batches_and_block_by_block_and_nothing_is_stored() {
    let scene = scene!("plugin test");
    let balances = guest!("plugin test", "erc20_balances");
    let ledger = fill(&scene, &[]);
    let digest =
        || scene.program.run(["ledger", "digest", "--ledger", &ledger]).expect_success().stdout;
    let before = digest();
    let test = |more: &[&str]| {
        let base = ["plugin", "test", &balances, "--ledger", &ledger];
        scene.program.run(base.iter().chain(more))
    };
    let whole = test(&[]).expect_success();
    let single = test(&["--one-block"]).expect_success();
    assert_eq!(whole.stdout, single.stdout);
    assert!(single.stderr.contains("nothing stored"), "{}", single.stderr);
    assert_eq!(digest(), before);

    // What it would have written is what a replay with it writes.
    let rows: Vec<Value> =
        whole.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    fill(&scene, &["--plugin", &balances]);
    let sql = "select hex0x(token) t, hex0x(holder) h, balance::varchar b, _block_number n
        from erc20_balances.balances order by 1, 2";
    let stored = scene.program.query(&scene.ledger(), sql);
    let stored: Vec<[Value; 4]> =
        stored.iter().map(|row| ["t", "h", "b", "n"].map(|name| row[name].clone())).collect();
    let mut shown: Vec<[Value; 4]> = rows
        .iter()
        .filter(|row| row["_table"] == "balances")
        .map(|row| ["token", "holder", "balance", "_block_number"].map(|name| row[name].clone()))
        .collect();
    shown.sort_by_key(|row| (row[0].to_string(), row[1].to_string()));
    assert!(!shown.is_empty());
    assert_eq!(shown, stored);
}

#[test]
fn a_golden_file_tells_what_differs() {
    let scene = scene!("plugin test --golden");
    let balances = guest!("plugin test --golden", "erc20_balances");
    let ledger = fill(&scene, &[]);
    let test = |more: &[&str]| {
        let base = ["plugin", "test", &balances, "--ledger", &ledger, "--golden", "rows.ndjson"];
        scene.program.run(base.iter().chain(more))
    };
    let missing = test(&[]).expect_code(2);
    assert!(missing.stderr.contains("--bless"), "{}", missing.stderr);
    test(&["--bless"]).expect_success();
    assert_eq!(test(&["--one-block"]).expect_success().stdout, "");
    let path = scene.folder.path().join("rows.ndjson");
    let golden = fs::read_to_string(&path).unwrap();
    let changed = golden.replacen("\"balance\":\"", "\"balance\":\"9", 1);
    fs::write(&path, changed).unwrap();
    let differs = test(&[]).expect_code(1);
    let lines: Vec<&str> = differs.stdout.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with("-1: {") && lines[1].starts_with("+1: {"),
        "{}",
        differs.stdout
    );
    assert!(differs.stderr.contains("2 lines differ"), "{}", differs.stderr);
}

#[test]
fn a_check_passes_a_function_of_the_events_and_names_what_is_none() {
    let scene = scene!("plugin check");
    let balances = guest!("plugin check", "erc20_balances");
    let unruly = guest!("plugin check", "unruly");
    let ledger = fill(&scene, &[]);
    let check = |plugin: &str, more: &[&str]| {
        let base = ["plugin", "check", plugin, "--ledger", &ledger, "-b", ":latest"];
        scene.program.run(base.iter().chain(more))
    };
    let told = check(&balances, &[]).expect_success().stdout;
    for word in [
        "headcount:plugin@0.1.0",
        "log, outbox, output, state",
        "balances (token address",
        "memory_bytes",
    ] {
        assert!(told.contains(word), "`{word}` is not said:\n{told}");
    }
    let json = check(&balances, &["--format", "json", "--against", &balances]).expect_success();
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["passed"], true);
    let results: Vec<&Value> =
        json["checks"].as_array().unwrap().iter().map(|check| &check["result"]).collect();
    assert_eq!(results, ["passed"; 9]);
    let memory = &json["limits"][0];
    assert!(
        memory["used"].as_u64() > Some(0) && memory["used"].as_u64() < memory["allowed"].as_u64()
    );

    let of = |misdeed: &str| {
        format!(
            "[[plugin]]\nname = \"{misdeed}\"\nwasm = \"{unruly}\"\n\
             config = {{ misdeed = \"{misdeed}\" }}\n"
        )
    };
    let misdeeds = ["panic", "refuse", "halt", "phase", "attempt", "finalized", "length"];
    let loops = of("loop") + "limits = { deadline_ms = 2000 }\n";
    let config = scene.write("headcount.toml", misdeeds.map(of).concat() + &loops);
    let check = |name: &str| check(name, &["--config", &config]).expect_code(1).stdout;
    assert!(check("panic").contains("the cat sat on block"), "{}", check("panic"));
    assert!(check("refuse").contains("refuses its configuration"), "{}", check("refuse"));
    let sockets = fs::read(&balances).unwrap();
    let sockets = scene.write("sockets.wasm", replaced(sockets, b"wasi:cli/", b"wasi:sql/"));
    let outcome = scene.program.run(["plugin", "check", &sockets]).expect_code(1);
    assert!(outcome.stdout.contains("plugin wants wasi:sql/"), "{}", outcome.stdout);
    // One that loops ends it at its first deadline, and whoever waits is told before.
    for command in ["check", "test"] {
        let run = ["plugin", command, "loop", "--config", &config, "--ledger", &ledger];
        let outcome = scene.program.run(run.iter().chain(&["-b", ":latest"])).expect_code(1);
        let told = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(told.contains("events): ran longer than `deadline_ms` of 2000; a run"), "{told}");
        let near = "events): has run for 1000 ms, and is ended at `deadline_ms` of 2000";
        assert_eq!(outcome.stderr.matches(near).count(), 1, "{told}");
        let not_run = outcome.stdout.matches("not run  it did not come to the end").count();
        assert_eq!(not_run, if command == "check" { 5 } else { 0 }, "{told}");
    }
    let halts = ["plugin", "test", "halt", "--config", &config, "--ledger", &ledger];
    let outcome = scene.program.run(halts).expect_code(1);
    assert!(outcome.stderr.contains("caused by: it was halted: enough"), "{}", outcome.stderr);
    for (misdeed, name) in [
        ("phase", "same phase"),
        ("attempt", "same attempt"),
        ("finalized", "same finalized"),
        ("length", "same block by block"),
    ] {
        let told = check(misdeed);
        let failed: Vec<&str> = told.lines().filter(|line| line.contains("FAILED")).collect();
        let is_named = failed.iter().any(|line| line.starts_with(name));
        assert!(is_named, "{misdeed}: {told}");
        // The highest final block is that of the range, however it is cut; so only this one fails.
        assert_eq!(failed.len(), 1, "{misdeed}: {told}");
    }
}

#[test]
fn what_is_no_plugin_or_no_ledger_is_named() {
    let scene = scene!("plugin check, wrong input");
    let balances = guest!("plugin check, wrong input", "erc20_balances");
    let text = scene.write("text.wasm", "hello");
    let module = scene.write("module.wasm", b"\0asm\x01\0\0\0");
    let empty = scene.write("empty.wasm", b"");
    let newer = scene.write("newer.wasm", newer_interface(&balances));
    let ledger = fill(&scene, &[]);
    for command in ["check", "test"] {
        let run = |file: &str, words: &[&str]| {
            refused(&scene, &["plugin", command, file, "--ledger", &ledger], 2, words);
        };
        run(&text, &["no WebAssembly at all"]);
        run(&module, &["core module", "wasm32-wasip2"]);
        run(&empty, &["the file is empty"]);
        run(&newer, &["@0.2.0", "headcount:plugin@0.1"]);
        run("gone.wasm", &["no plugin file"]);
        refused(
            &scene,
            &["plugin", command, &balances, "--ledger", &ledger, "-b", "9:x"],
            2,
            &["wrong block range at -b"],
        );
        refused(
            &scene,
            &["plugin", command, &balances, "--ledger", &ledger, "-b", "0:900"],
            2,
            &["are not covered", "headcount replay -b"],
        );
        refused(
            &scene,
            &["plugin", command, &balances, "--ledger", &ledger, "-b", "0:9", "--chain-id", "5"],
            2,
            &["nothing of chain 5", "--chain-id"],
        );
        refused(
            &scene,
            &["plugin", command, &balances, "--ledger", "gone.duckdb", "-b", "0:9"],
            2,
            &["gone.duckdb"],
        );
        refused(
            &scene,
            &["plugin", command, &balances, "--ledger", &text, "-b", "0:9"],
            74,
            &["text.wasm"],
        );
    }
    refused(&scene, &["plugin", "list", "--ledger", "gone.duckdb"], 2, &["gone.duckdb"]);
    refused(
        &scene,
        &["plugin"],
        2,
        &["new, build, check, test, dev, add, upgrade, remove, list, dead, resume, rebuild"],
    );
    refused(&scene, &["plugin", "check", &balances, "--against", &module], 2, &["core module"]);
}

/// The bytes with one name in place of another of the same length.
fn replaced(mut bytes: Vec<u8>, name: &[u8; 9], other: &[u8; 9]) -> Vec<u8> {
    for at in 0..bytes.len() - name.len() {
        if bytes[at..].starts_with(name) {
            bytes[at..at + name.len()].copy_from_slice(other);
        }
    }
    bytes
}

/// The component as if it were built for another version of the interface.
fn newer_interface(file: &str) -> Vec<u8> {
    let mut bytes = fs::read(file).unwrap();
    let (name, version) = (b"headcount:plugin/", b"@0.1.0");
    for at in 0..bytes.len().saturating_sub(name.len()) {
        if bytes[at..].starts_with(name) {
            let end = (at + 64).min(bytes.len());
            if let Some(found) = bytes[at..end].windows(6).position(|part| part == version) {
                bytes[at + found..at + found + 6].copy_from_slice(b"@0.2.0");
            }
        }
    }
    bytes
}

#[test]
fn the_list_says_how_far_each_plugin_is_and_why_one_stands() {
    let scene = scene!("plugin list");
    let balances = guest!("plugin list", "erc20_balances");
    let unruly = guest!("plugin list", "unruly");
    let list = |more: &[&str]| {
        let ledger = scene.ledger().display().to_string();
        let base = ["plugin", "list", "--ledger", &ledger];
        scene.program.run(base.iter().chain(more)).expect_success().stdout
    };
    fill(&scene, &["-b", "0:9"]);
    assert_eq!(list(&[]), "no plugin has run on this ledger\n");
    fill(&scene, &["-b", "0:20", "--plugin", &balances]);
    let config = scene.write(
        "headcount.toml",
        format!(
            "[[plugin]]\nname = \"stops\"\nwasm = \"{unruly}\"\nconfig = {{ misdeed = \"halt\" }}\n"
        ),
    );
    let recording = workspace().join("fixtures/erc20.ndjson.gz").display().to_string();
    let replay = |more: &[&str]| {
        let base = ["--config", &config, "--format", "json"];
        scene.replay(&recording, &[&base[..], more].concat()).expect_code(75)
    };
    let outcome = replay(&["-b", "0:40", "--plugin", "stops"]);
    let told: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((&told["status"], &told["blocks"]["open"]), (&"open".into(), &Value::Array(vec![])));
    let stops = &told["plugins"][0];
    assert_eq!((&stops["behind"], &stops["waiting"]), (&true.into(), &Value::Null), "{told}");
    assert!(stops["halted"].as_str().unwrap().contains("enough"), "{told}");
    let json: Value = serde_json::from_str(&list(&["--format", "json"])).unwrap();
    let lanes = json["plugins"].as_array().unwrap();
    assert_eq!((lanes.len(), &lanes[0]["plugin"]), (2, &Value::from("erc20-balances")));
    assert_eq!((&lanes[0]["next_block"], &lanes[0]["lag_blocks"]), (&21.into(), &20.into()));
    assert_eq!(lanes[0]["dead_letters"], 0);
    assert!(lanes[1]["halted"].as_str().unwrap().contains("enough"), "{json}");
    let table = list(&[]);
    assert!(table.contains("behind") && table.contains("halted: enough"), "{table}");

    // One that fails before its first commit, and one that no run has begun with.
    let config = |misdeed: &str| {
        let fails = format!("[[plugin]]\nname = \"fails\"\nwasm = \"{unruly}\"\n");
        let new = format!("[[plugin]]\nname = \"new\"\nwasm = \"{unruly}\"\n");
        let config = format!("config = {{ misdeed = \"{misdeed}\" }}\n");
        scene.write("headcount.toml", fails + &config + &new)
    };
    let path = config("retry");
    let outcome = replay(&["-b", "0:40", "--plugin", "fails"]);
    let told: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let waiting = told["plugins"][0]["waiting"].as_str().unwrap();
    assert!(waiting.starts_with("asked to be called again: "), "{told}");
    let list = |more: &[&str]| list(&[&["--config", path.as_str()][..], more].concat());
    let line = |plugin: &str| {
        let json: Value = serde_json::from_str(&list(&["--format", "json"])).unwrap();
        let lines = json["plugins"].as_array().unwrap();
        lines.iter().find(|line| line["plugin"] == plugin).cloned().unwrap_or_default()
    };
    let fails = line("fails");
    assert_eq!((&fails["failing"], &fails["chain"]), (&waiting.into(), &31337.into()), "{fails}");
    assert_eq!((&fails["next_block"], &fails["lag_blocks"]), (&0.into(), &41.into()), "{fails}");
    let table = list(&[]);
    assert!(table.contains("failing: asked to be") && table.contains("has not begun"), "{table}");
    assert_eq!((&line("new")["chain"], &line("new")["failing"]), (&Value::Null, &Value::Null));
    // Once it gets on nothing of it is left.
    config("count");
    scene
        .replay(&recording, &["-b", "0:40", "--config", &path, "--plugin", "fails"])
        .expect_success();
    let fails = line("fails");
    assert_eq!((&fails["failing"], &fails["next_block"]), (&Value::Null, &41.into()), "{fails}");
}

#[test]
fn a_ledger_in_use_is_listed_and_tested_through_its_owner() {
    let scene = scene!("plugin list through the owner");
    let balances = guest!("plugin list through the owner", "erc20_balances");
    let ledger = fill(&scene, &["--plugin", &balances]);
    let alone = scene.program.run(["plugin", "list", "--ledger", &ledger]).expect_success();
    let tested = ["plugin", "test", &balances, "--ledger", &ledger];
    let rows = scene.program.run(tested).expect_success();
    // A watch on a node that does not answer holds the ledger until it is ended.
    let contract = format!("token={}", scene.token);
    let watch = [
        "watch",
        "-r",
        "http://127.0.0.1:9",
        "-c",
        &contract,
        "-e",
        "Transfer(address indexed from, address indexed to, uint256 value)",
        "--ledger",
        &ledger,
        "--chain-id",
        "31337",
    ];
    let mut owner = scene.program.start(watch);
    let socket = PathBuf::from(format!("{ledger}.sock"));
    let begun = std::time::Instant::now();
    while !socket.exists() && begun.elapsed().as_secs() < 30 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let is_owned = owner.try_wait().unwrap().is_none() && socket.exists();
    let through = scene.program.run(["plugin", "list", "--ledger", &ledger]);
    let rows_through = scene.program.run(tested);
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(is_owned, "the watch did not hold the ledger");
    assert_eq!(through.expect_success().stdout, alone.stdout);
    assert_eq!(rows_through.expect_success().stdout, rows.stdout);
}
