//! A plugin that tries to get out, beside one that is honest, in the whole program and over the real
//! ledger: what is there afterwards is what would be there without it.

use crate::bad_input::Scene;
use headcount_tests::{Program, skip, workspace};
use serde_json::Value;
use std::path::Path;

/// What the honest plugin wrote, and what was recorded.
const HONEST: [&str; 3] = [
    "SELECT hex0x(holder) AS holder, balance::VARCHAR AS balance FROM erc20_balances.balances ORDER BY ALL",
    "SELECT count(*) AS events, count(DISTINCT block_hash) AS blocks FROM main.events",
    "SELECT next_block, halted FROM main.lanes WHERE plugin = 'erc20-balances'",
];

fn honest(scene: &Scene, ledger: &Path) -> Vec<Value> {
    HONEST.iter().flat_map(|sql| scene.program.query(ledger, sql)).collect()
}

fn name_of(misdeed: &str) -> String {
    format!("does-{}", misdeed.replace(' ', "-"))
}

/// Replays the recorded chain with the honest plugin, and the unruly one doing each of `misdeeds`.
fn replayed(scene: &Scene, ledger: &str, balances: &Path, unruly: &Path, misdeeds: &[&str]) {
    let plugin = |misdeed: &&str| {
        let (name, wasm) = (name_of(misdeed), unruly.display());
        format!(
            "[[plugin]]\nname = \"{name}\"\nwasm = \"{wasm}\"\nconfig = {{ misdeed = \"{misdeed}\" }}\n\
             limits = {{ deadline_ms = 300, memory_mib = 64 }}\n"
        )
    };
    let config = scene.write("headcount.toml", misdeeds.iter().map(plugin).collect::<String>());
    let recording = workspace().join("fixtures/erc20.ndjson.gz").display().to_string();
    let contract = format!("token={}", scene.token);
    let event = "Transfer(address indexed from, address indexed to, uint256 value)";
    let mut words: Vec<String> =
        ["replay", "-r", &recording, "-c", &contract, "-e", event, "-b", "0:60", "--quiet"]
            .map(str::to_owned)
            .into();
    words.extend(["--ledger", ledger, "--config", &config].map(str::to_owned));
    words.extend(["--plugin".to_owned(), balances.display().to_string()]);
    for misdeed in misdeeds {
        words.extend(["--plugin".to_owned(), name_of(misdeed)]);
    }
    let outcome = scene.program.run(words);
    // A plugin that could not go on is no success; a bug in the host would be another code.
    assert!(matches!(outcome.code, Some(0 | 1 | 75)), "{:?}: {}", outcome.code, outcome.stderr);
}

#[test]
fn whatever_one_plugin_does_the_other_and_the_ledger_are_as_without_it() {
    let scene = match Scene::set_up() {
        Ok(scene) => scene,
        Err(missing) => skip!("plugin escapes: {missing}"),
    };
    let (Some(balances), Some(unruly)) =
        (Program::plugin("erc20_balances"), Program::plugin("unruly"))
    else {
        skip!("plugin escapes: the plugins are not built (make plugins)");
    };
    let (calm, beset) = (scene.folder.path().join("calm.duckdb"), scene.ledger());
    replayed(&scene, &calm.display().to_string(), &balances, &unruly, &[]);
    let expected = honest(&scene, &calm);
    assert!(expected.len() > 3, "{expected:?}");
    let misdeeds = ["loop", "memory", "stack", "panic", "exit", "another table", "inject"];
    replayed(&scene, &beset.display().to_string(), &balances, &unruly, &misdeeds);
    assert_eq!(honest(&scene, &beset), expected);
    let ledger = beset.display().to_string();
    let checked = scene.program.run(["ledger", "check", "--ledger", &ledger]).expect_success();
    assert_eq!(checked.stdout.trim(), "ok");
    // What was to break out of a statement is a value of a row, and nothing else.
    let words =
        scene.program.query(&beset, "SELECT DISTINCT word FROM does_inject.facts ORDER BY 1");
    let is_there = |what: &str| words.iter().any(|row| row["word"].as_str() == Some(what));
    assert!(is_there("'; DROP TABLE main.events; --"), "{words:?}");
    assert!(is_there("$$; ATTACH '/tmp/x' AS x; --"), "{words:?}");
    let attached = "SELECT count(*) AS n FROM duckdb_databases() WHERE NOT internal";
    assert_eq!(scene.program.query(&beset, attached)[0]["n"], 1);
    for misdeed in misdeeds.iter().filter(|misdeed| **misdeed != "inject") {
        let name = name_of(misdeed);
        let rows = format!("SELECT count(*) AS n FROM headcount_plugin.\"{name}.facts\"");
        assert_eq!(scene.program.query(&beset, &rows)[0]["n"], 0, "{misdeed}");
    }
}

#[test]
fn a_plugin_sees_and_changes_nothing_of_the_state_of_another_one() {
    let scene = match Scene::set_up() {
        Ok(scene) => scene,
        Err(missing) => skip!("plugin state: {missing}"),
    };
    let (Some(balances), Some(unruly)) =
        (Program::plugin("erc20_balances"), Program::plugin("unruly"))
    else {
        skip!("plugin state: the plugins are not built (make plugins)");
    };
    let ledger = scene.ledger();
    let replayed =
        |misdeeds| replayed(&scene, &ledger.display().to_string(), &balances, &unruly, misdeeds);
    let state = |plugin: &str| -> Vec<(String, String)> {
        // The last version of each key.
        let sql = format!(
            "SELECT key::VARCHAR AS k, arg_max(coalesce(value::VARCHAR, 'gone'), batch) AS v
             FROM main.plugin_state WHERE plugin = '{plugin}' GROUP BY 1 ORDER BY 1"
        );
        let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
        let rows = scene.program.query(&ledger, &sql);
        rows.iter().map(|row| (text(row, "k"), text(row, "v"))).collect()
    };
    // One of the two is there before the other begins, whichever has the keys that count.
    replayed(&["keep"]);
    let kept = state("does-keep");
    let keeper = |key: &str| (key.to_owned(), "of the keeper".to_owned());
    assert_eq!(kept, [keeper(""), keeper("shared"), keeper("treasure")]);
    replayed(&["keep", "rob"]);
    assert_eq!(state("does-keep"), kept);
    let own = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let saw = own("saw", "0 keys, 0 values");
    assert_eq!(state("does-rob"), [saw, own("shared", "of the robber")]);
    // Again from the first block on, beside all that either has by now.
    let rebuild = ["plugin", "rebuild", "does-keep", "--ledger", &ledger.display().to_string()];
    scene.program.run(rebuild).expect_success();
    replayed(&["keep", "rob"]);
    assert_eq!(state("does-keep"), kept);
    let checked = ["ledger", "check", "--ledger", &ledger.display().to_string()];
    assert_eq!(scene.program.run(checked).expect_success().stdout.trim(), "ok");
}
