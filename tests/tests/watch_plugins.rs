//! SIGHUP and plugins: they come, go and are upgraded while a watch runs; a pinned one is the pinned one.

use crate::bad_input::Scene;
use headcount_tests::{Program, Watching, skip, workspace};
use serde_json::{Value, json};
use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

/// A condition that is not met by then never will be.
const PATIENCE: Duration = Duration::from_secs(60);

/// A watch on a node that does not answer: it runs plugins over what the ledger has.
struct Watch {
    scene: Scene,
    running: Watching,
}

impl Watch {
    fn start(scene: Scene) -> Self {
        let contract = format!("token={}", scene.token);
        let ledger = scene.ledger().display().to_string();
        let transfer = "Transfer(address indexed from, address indexed to, uint256 value)";
        let node = ["-r", "http://127.0.0.1:9", "--chain-id", "31337"];
        let what = ["watch", "-c", &contract, "-e", transfer, "--ledger", &ledger];
        let running = Watching::start(&scene.program, what.iter().chain(&node));
        let watch = Self { scene, running };
        let socket = PathBuf::from(format!("{ledger}.sock"));
        watch.until("owned", || socket.exists());
        watch
    }

    /// Has it read another configuration, and waits until it has said this of it.
    fn hang_up(&mut self, config: &str, words: &str) {
        self.scene.write("headcount.toml", config);
        self.running.signal("HUP");
        self.running.wait_until_said(words);
    }

    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "never {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn query(&self, sql: &str) -> Vec<Value> {
        self.scene.program.query(&self.scene.ledger(), sql)
    }

    /// What a plugin has written; nothing where it has no table yet.
    fn facts(&self, plugin: &str) -> Value {
        let sql = format!(
            "select count(*)::integer as n from information_schema.tables where table_schema = '{plugin}'"
        );
        match self.query(&sql)[0]["n"] == json!(0) {
            true => json!([]),
            false => json!(self.query(&format!(
                "select word, number::varchar as n from {plugin}.facts order by all"
            ))),
        }
    }
}

fn plugin(name: &str, wasm: &str, misdeed: &str, more: &str) -> String {
    let config = format!("config = {{ misdeed = \"{misdeed}\" }}");
    format!("[[plugin]]\nname = \"{name}\"\nwasm = \"{wasm}\"\n{config}\n{more}\n")
}

#[test]
fn plugins_come_go_and_are_upgraded_and_rebuilt_while_a_watch_runs() {
    const NAME: &str = "watch_plugins";
    let scene = match Scene::set_up() {
        Ok(scene) => scene,
        Err(missing) => skip!("{NAME}: {missing}"),
    };
    let Some(unruly) = Program::plugin("unruly") else {
        skip!("{NAME}: the plugins are not built (make plugins)");
    };
    let recording = workspace().join("fixtures/erc20.ndjson.gz").display().to_string();
    scene.replay(&recording, &[]).expect_success();
    let wasm = unruly.display().to_string();
    let sql = "select max(block_number) as v from events_canonical";
    let last = scene.program.query(&scene.ledger(), sql)[0]["v"].as_u64().unwrap();
    let one = plugin("one", &wasm, "count", "");
    scene.write("headcount.toml", &one);
    let mut watch = Watch::start(scene);
    watch.until("the first plugin", || watch.facts("one") != json!([]));

    // Another one comes, which cannot take the last block.
    let bad = plugin("two", &wasm, &format!("count but panic at {last}"), "");
    let words = "configuration: 1 plugins added, 0 removed, 0 changed";
    watch.hang_up(&(one.clone() + &bad), words);
    watch.until("a second plugin", || watch.facts("two") != json!([]));
    let whole = watch.facts("one");
    assert_ne!(watch.facts("two"), whole);

    // A file that is not the pinned one changes nothing.
    let pinned = |sha256: &str| plugin("two", &wasm, "count", &format!("sha256 = \"{sha256}\""));
    watch.hang_up(&(one + &pinned(&"0".repeat(64))), "is not the one you pinned");
    // The second is upgraded, pinned to what it is; the first goes.
    let digest = sha256(&fs::read(&unruly).unwrap());
    watch.hang_up(&pinned(&digest), "configuration: 0 plugins added, 1 removed, 1 changed");
    let list = |watch: &Watch| {
        let ledger = watch.scene.ledger().display().to_string();
        watch.scene.program.run(["plugin", "list", "--ledger", &ledger]).expect_success().stdout
    };
    assert!(list(&watch).contains("two"), "{}", list(&watch));
    // It goes on where it stopped, unless it is told to begin anew.
    assert_ne!(watch.facts("two"), whole);
    let ledger = watch.scene.ledger().display().to_string();
    let rebuild =
        |name: &str| watch.scene.program.run(["plugin", "rebuild", name, "--ledger", &ledger]);
    let refused = rebuild("three").expect_code(2);
    assert!(refused.stderr.contains("no plugin `three` has run"), "{}", refused.stderr);
    assert_eq!(rebuild("two").expect_success().stdout, "plugin two begins anew\n");
    watch.until("a rebuilt plugin", || watch.facts("two") == whole);
    // What is gone keeps its rows.
    assert_eq!(watch.facts("one"), whole);
    // One that never comes to a first commit is seen all the same, now and at the end.
    let fails = pinned(&digest) + &plugin("three", &wasm, "retry", "");
    watch.hang_up(&fails, "configuration: 1 plugins added, 0 removed, 0 changed");
    let failing = "asked to be called again: later";
    watch.until("seen to fail", || list(&watch).contains(&format!("failing: {failing}")));
    let end = watch.running.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let told = format!("warning: plugin three has not handled everything: {failing}\n");
    assert!(end.stderr.contains(&told), "{}", end.stderr);
    let last = end.lines.last().unwrap();
    let three = last["plugins"].as_array().unwrap().iter().find(|one| one["name"] == "three");
    let three = three.unwrap();
    assert_eq!((&three["behind"], &three["waiting"]), (&json!(true), &json!(failing)), "{last}");
}

/// Returns the digest as `sha256sum` prints it.
fn sha256(bytes: &[u8]) -> String {
    use std::{io::Write, process::Stdio};
    let mut child = std::process::Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let told = child.wait_with_output().unwrap().stdout;
    String::from_utf8(told).unwrap().split(' ').next().unwrap().to_owned()
}
