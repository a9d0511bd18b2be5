//! The operator's side of plugins: another component under a known name is held until somebody decides, and
//! plugins are added, upgraded and removed by a command, beside the process that runs them.

use crate::bad_input::Scene;
use headcount_tests::{Outcome, Program, Receiver, Watching, skip, workspace};
use serde_json::{Value, json};
use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

/// A condition that is not met by then never will be.
const PATIENCE: Duration = Duration::from_secs(60);

/// The recorded chain, and two components that count alike.
struct Operating {
    scene: Scene,
    recording: String,
    old: String,
    new: String,
}

impl Operating {
    fn new() -> Result<Self, &'static str> {
        let scene = Scene::set_up()?;
        let unruly = Program::plugin("unruly").ok_or("the plugins are not built (make plugins)")?;
        let bytes = fs::read(unruly).unwrap();
        // A section that nobody reads makes it another component.
        let newer = [&bytes[..], &[0, 5, 4, b'm', b'o', b'r', b'e']].concat();
        let (old, new) = (scene.write("old.wasm", bytes), scene.write("new.wasm", newer));
        let recording = workspace().join("fixtures/erc20.ndjson.gz").display().to_string();
        Ok(Self { scene, recording, old, new })
    }

    fn config(&self, text: &str) {
        self.scene.write("headcount.toml", text);
    }

    fn text(&self) -> String {
        fs::read_to_string(self.scene.folder.path().join("headcount.toml")).unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let ledger = self.scene.ledger().display().to_string();
        self.scene.program.run(arguments.iter().copied().chain(["--ledger", &ledger]))
    }

    fn replay(&self, more: &[&str]) -> Outcome {
        self.scene.replay(&self.recording, more)
    }

    fn query(&self, sql: &str) -> Vec<Value> {
        self.scene.program.query(&self.scene.ledger(), sql)
    }

    /// What a plugin has written; nothing where it has no such table.
    fn facts(&self, plugin: &str) -> Value {
        let sql = format!(
            "select count(*)::integer as n from information_schema.tables
                where table_schema = '{plugin}' and table_name = 'facts'"
        );
        match self.query(&sql)[0]["n"] == json!(0) {
            true => json!([]),
            false => json!(self.query(&format!(
                "select word, number::varchar as n from {plugin}.facts order by all"
            ))),
        }
    }

    /// The line of a plugin in the list.
    fn line(&self, plugin: &str) -> Value {
        let config = self.scene.folder.path().join("headcount.toml").display().to_string();
        let list = ["plugin", "list", "--format", "json", "--config", &config];
        let list: Value = serde_json::from_str(&self.run(&list).expect_success().stdout).unwrap();
        let lines = list["plugins"].as_array().unwrap();
        lines.iter().find(|line| line["plugin"] == plugin).cloned().unwrap_or_default()
    }

    /// A watch on a node that does not answer: it runs plugins over what the ledger has.
    fn watch(&self, more: &[&str]) -> Watching {
        let contract = format!("token={}", self.scene.token);
        let ledger = self.scene.ledger().display().to_string();
        let transfer = "Transfer(address indexed from, address indexed to, uint256 value)";
        let node = ["-r", "http://127.0.0.1:9", "--chain-id", "31337"];
        let what = ["watch", "-c", &contract, "-e", transfer, "--ledger", &ledger];
        let watching = Watching::start(&self.scene.program, what.iter().chain(&node).chain(more));
        let socket = PathBuf::from(format!("{ledger}.sock"));
        until("owned", || socket.exists());
        watching
    }
}

#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "never {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn plugin(name: &str, wasm: &str, more: &str) -> String {
    let config = "config = { misdeed = \"count\" }";
    format!("[[plugin]]\nname = \"{name}\"\nwasm = \"{wasm}\"\n{config}\n{more}\n")
}

macro_rules! operating {
    ($test:literal) => {
        match Operating::new() {
            Ok(operating) => operating,
            Err(missing) => skip!("{}: {missing}", $test),
        }
    };
}

#[test]
fn another_component_under_a_known_name_is_held_and_everything_else_goes_on() {
    let operating = operating!("plugin held");
    let (old, new) = (operating.old.clone(), operating.new.clone());
    operating.config(&(plugin("p", &old, "") + &plugin("q", &old, "")));
    operating.replay(&["-b", "0:20"]).expect_success();
    let before = operating.facts("p");
    assert_ne!(before, json!([]));

    operating.config(&(plugin("p", &new, "") + &plugin("q", &old, "")));
    let ended = operating.replay(&[]).expect_code(75);
    for words in
        ["warning: plugin p is held: it is another component", "plugin upgrade p --continue"]
    {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    assert_eq!(operating.facts("p"), before);
    let whole = operating.facts("q");
    assert!(whole.as_array().unwrap().len() > before.as_array().unwrap().len());
    assert!(operating.line("p")["held"].as_str().unwrap().contains("another component"));
    let table = operating.run(&["plugin", "list"]).expect_success().stdout;
    assert!(table.contains("held: it is another") && table.contains("rebuild p`"), "{table}");
    let node = ["health", "-r", "http://127.0.0.1:9", "--format", "json"];
    let health: Value = serde_json::from_str(&operating.run(&node).expect_code(1).stdout).unwrap();
    // This ledger has a worse fault than that: it is old.
    assert_eq!(health["warnings"][0]["code"], "plugin-stopped", "{health}");

    // Nothing was lost with the older one: it goes on by itself.
    operating.config(&(plugin("p", &old, "") + &plugin("q", &old, "")));
    operating.replay(&[]).expect_success();
    assert_eq!(operating.line("p")["held"], Value::Null);
    assert_eq!(operating.facts("p"), whole);

    // Beforehand an operator says what is to become of it, for good.
    operating.config(&plugin("p", &new, "on_change = \"continue\""));
    let ended = operating.replay(&[]).expect_success();
    assert!(!ended.stderr.contains("held"), "{}", ended.stderr);
    operating.config(&plugin("p", &old, "on_change = \"rebuild\""));
    operating.replay(&[]).expect_success();
    let line = operating.line("p");
    assert_eq!((&line["generation"], &line["is_rebuilding"]), (&json!(2), &json!(false)), "{line}");
    // Events of a rebuild are counted once.
    assert_eq!(line["events"], whole.as_array().unwrap().len());
    assert_eq!(operating.facts("p"), whole);
    assert_eq!(operating.run(&["ledger", "check"]).expect_success().stdout.trim(), "ok");
}

#[test]
fn what_becomes_of_a_held_plugin_is_said_by_upgrade_rebuild_or_resume() {
    let operating = operating!("plugin upgrade");
    let (old, new) = (operating.old.clone(), operating.new.clone());
    let balances = match Program::plugin("erc20_balances") {
        Some(path) => path.display().to_string(),
        None => skip!("plugin upgrade: the plugins are not built (make plugins)"),
    };
    operating.config(&(plugin("p", &balances, "") + &plugin("q", &old, "")));
    operating.replay(&["-b", "0:20"]).expect_success();

    // A wish without a file, without a decision, of an unknown plugin.
    let upgrade = |more: &[&str]| operating.run(&[&["plugin", "upgrade"], more].concat());
    assert!(upgrade(&["p"]).expect_code(2).stderr.contains("--rebuild"));
    assert!(upgrade(&["r", "--rebuild"]).expect_code(2).stderr.contains("has no plugin `r`"));
    let text = operating.text();
    let refused = upgrade(&["p", "headcount.toml", "--rebuild"]).expect_code(2);
    assert!(refused.stderr.contains("cannot be used"), "{}", refused.stderr);
    assert_eq!(operating.text(), text);

    // Other tables altogether: what the older one wrote is shown until the new rows are there.
    let told = upgrade(&["p", &old, "--rebuild"]).expect_success().stdout;
    assert!(told.contains("it begins anew\nit takes effect in the next run"), "{told}");
    assert!(operating.text().contains("wasm = \"old.wasm\"\nconfig"), "{}", operating.text());
    let table = operating.run(&["plugin", "list"]).expect_success().stdout;
    assert!(table.contains("begins anew"), "{table}");
    let count = "select count(*)::integer as n from p.balances";
    assert_ne!(operating.query(count)[0]["n"], json!(0));
    operating.replay(&[]).expect_success();
    let whole = operating.facts("q");
    assert_eq!(operating.facts("p"), whole);
    let left = "select count(*)::integer as n from information_schema.tables
        where table_name = 'balances'";
    assert_eq!(operating.query(left)[0]["n"], json!(0));

    // Replaced where it is, against the pin; then taken as it is.
    fs::copy(&new, &old).unwrap();
    assert!(operating.replay(&[]).expect_code(2).stderr.contains("is not the one you pinned"));
    let told = upgrade(&["p", "--continue", "--format", "json"]).expect_success().stdout;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["action"], &told["lanes"]), (&json!("upgraded"), &json!(1)), "{told}");
    let ended = operating.replay(&["--refetch"]).expect_code(75);
    // The other plugin has the same file, without a pin and without a word.
    assert!(ended.stderr.contains("plugin q is held"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("plugin p is held"), "{}", ended.stderr);
    operating.run(&["plugin", "resume", "q"]).expect_success();
    assert!(!operating.replay(&[]).expect_success().stderr.contains("held"));
    assert_eq!((operating.facts("p"), operating.facts("q")), (whole.clone(), whole));

    // Where there is no configuration there is nothing to change.
    fs::remove_file(operating.scene.folder.path().join("headcount.toml")).unwrap();
    let none = upgrade(&["p", "--continue"]).expect_code(2).stderr;
    assert!(none.contains("no configuration file") && none.contains("\nhint: "), "{none}");
    // A line is enough, and it says which.
    let made = none.split("echo '").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    operating.config(&(made.to_owned() + "\n"));
    operating.run(&["plugin", "add", "r", &old, "--set", "misdeed=count"]).expect_success();
}

#[test]
fn plugins_are_added_upgraded_and_removed_beside_the_watch_that_runs_them() {
    let operating = operating!("plugin add");
    let (old, new) = (operating.old.clone(), operating.new.clone());
    operating.replay(&[]).expect_success();
    let head = "# mine\n\n# what runs\n";
    operating.config(&(head.to_owned() + &plugin("one", &old, "")));
    let watching = operating.watch(&[]);
    until("a plugin", || operating.facts("one") != json!([]));
    let whole = operating.facts("one");

    let add = |name: &str, file: &str| {
        operating.run(&["plugin", "add", name, file, "--set", "misdeed=count"])
    };
    let told = add("two", &old).expect_success().stdout;
    assert!(told.contains("has taken it over\n  configuration: 1 plugins added"), "{told}");
    until("a second plugin", || operating.facts("two") == whole);
    let text = operating.text();
    assert!(text.starts_with(head) && text.contains("config = { misdeed = \"count\" }"), "{text}");
    // What is no plugin, or is there already, changes nothing.
    assert!(add("two", &old).expect_code(2).stderr.contains("has a plugin `two` already"));
    assert!(add("select", &old).expect_code(2).stderr.contains("a word of SQL"));
    assert!(add("three", "headcount.toml").expect_code(2).stderr.contains("cannot be used"));
    let sink = ["plugin", "add", "three", &old, "--sink", "ops"];
    assert!(operating.run(&sink).expect_code(2).stderr.contains("there is no [sink.ops]"));
    assert_eq!(operating.text(), text);

    // What the watch refuses is put back.
    let broken = format!("{text}\n[chain.other]\nid = 5\n");
    operating.config(&broken);
    let refused = add("three", &old).expect_code(2).stderr;
    assert!(refused.contains("refuses it") && refused.contains("is as it was before"), "{refused}");
    assert_eq!(operating.text(), broken);
    operating.config(&text);

    let upgrade = |more: &[&str]| {
        let told =
            operating.run(&[&["plugin", "upgrade", "two", "--format", "json"], more].concat());
        serde_json::from_str::<Value>(&told.expect_success().stdout).unwrap()
    };
    let told = upgrade(&[&new, "--continue"]);
    assert_eq!((&told["taken"], &told["lanes"]), (&json!(true), &json!(1)), "{told}");
    until("the newer component", || operating.line("two")["component"] == told["sha256"]);
    assert_eq!(operating.line("two")["generation"], 1);
    assert_eq!(operating.facts("two"), whole);
    upgrade(&[&old, "--rebuild"]);
    until("rebuilt", || {
        let line = operating.line("two");
        line["generation"] == 2 && line["is_rebuilding"] == false
    });
    assert_eq!(operating.facts("two"), whole);

    // It is not dropped under the feet of a watch, and once it is out it may be.
    let remove = |more: &[&str]| operating.run(&[&["plugin", "remove"], more].concat());
    assert!(remove(&["three"]).expect_code(2).stderr.contains("has no plugin `three`"));
    let told = remove(&["one"]).expect_success().stdout;
    assert!(told.contains("0 plugins added, 1 removed, 0 changed"), "{told}");
    assert_eq!(operating.facts("one"), whole);
    let line = operating.line("one");
    assert_eq!((&line["removed"], &line["runs"]), (&json!(true), &json!(false)), "{line}");
    assert_eq!(operating.line("two")["removed"], false);
    remove(&["one", "--drop-tables"]).expect_success();
    assert_eq!((operating.facts("one"), operating.line("one")), (json!([]), Value::Null));
    remove(&["two", "--drop-tables"]).expect_success();
    assert_eq!(operating.facts("two"), json!([]));
    assert_eq!(operating.text().trim(), head.trim().lines().next().unwrap());
    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(operating.run(&["ledger", "check"]).expect_success().stdout.trim(), "ok");
}

#[test]
fn a_watch_says_that_a_plugin_is_held_and_goes_on_with_it_when_that_is_decided() {
    let operating = operating!("plugin held in a watch");
    let (old, new) = (operating.old.clone(), operating.new.clone());
    operating.config(&plugin("p", &old, ""));
    operating.replay(&["-b", "0:20"]).expect_success();
    let before = operating.facts("p");
    operating.config("");
    operating.replay(&[]).expect_success();
    operating.config(&(plugin("p", &old, "") + &plugin("q", &old, "")));
    fs::copy(&new, &old).unwrap();
    let mut watching = operating.watch(&[]);
    watching.wait_until_said("held");
    until("the other plugin", || operating.facts("q") != json!([]));
    assert_eq!(operating.facts("p"), before);
    let resumed = operating.run(&["plugin", "upgrade", "p", "--continue"]).expect_success().stdout;
    assert!(resumed.contains("has taken it over"), "{resumed}");
    until("the held plugin", || operating.facts("p") == operating.facts("q"));

    // With plugins of its flags it takes none of the file.
    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let flagged = format!("r={old}");
    let watching = operating.watch(&["--plugin", &flagged]);
    let told = operating.run(&["plugin", "add", "s", &old, "--set", "misdeed=count"]);
    let told = told.expect_success().stdout;
    assert!(told.contains("goes on as before: the plugins of its flags are others"), "{told}");
    assert!(operating.text().contains("name = \"s\""));
    let dropped = operating.run(&["plugin", "remove", "r", "--drop-tables"]).expect_code(2).stderr;
    assert!(dropped.contains("plugin `r` runs in the process"), "{dropped}");
    drop(watching);
}

#[test]
fn a_watch_takes_other_sinks_over() {
    let operating = operating!("sinks of a running watch");
    let webhook = match Program::plugin("webhook") {
        Some(path) => path.display().to_string(),
        None => skip!("sinks of a running watch: the plugins are not built (make plugins)"),
    };
    let config = |sinks: &str| {
        format!(
            "{sinks}[[plugin]]\nwasm = {webhook:?}\nsinks = [\"hook\"]\nconfig = {{ sink = \"hook\" }}\n"
        )
    };
    let sink = |url: &str| format!("[sink.hook]\nurl = \"{url}/hook\"\n");
    operating.replay(&[]).expect_success();
    operating.config(&config(&sink("http://127.0.0.1:9")));
    let mut watching = operating.watch(&[]);
    let states = || {
        let sql =
            "select count(*)::integer as n, count(*) filter (status = 'sent')::integer as sent
            from outbox";
        let row = operating.query(sql)[0].clone();
        (row["n"].as_u64().unwrap(), row["sent"].as_u64().unwrap())
    };
    until("messages", || states().0 > 50);
    assert_eq!(states().1, 0);
    let receiver = Receiver::start();
    operating.config(&config(&sink(&receiver.url())));
    watching.signal("HUP");
    watching.wait_until_said("configuration: other sinks, 1 of them");
    until("all of them sent", || states().0 == states().1);
    assert_eq!(receiver.received().len() as u64, states().0);
    // A sink that nothing can be sent to is refused, with all of the file.
    operating.config(&config(""));
    watching.signal("HUP");
    watching.wait_until_said("there is no [sink.hook]");
    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
}

#[test]
fn a_configuration_is_checked_with_the_files_that_it_names() {
    let operating = operating!("config check");
    let zeros = "0".repeat(64);
    let pinned = plugin("pinned", "old.wasm", &format!("sha256 = \"{zeros}\""));
    operating.config(&(pinned + &plugin("gone", "gone.wasm", "sinks = [\"ops\"]")));
    let told = operating.scene.program.run(["config", "check"]).expect_code(2).stderr;
    for words in [
        "headcount.toml:5:10: the component's sha256 is ",
        "headcount.toml:8:8: `gone.wasm` cannot be read",
        "headcount.toml:10:10: there is no [sink.ops]",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    // A plugin without a name in the file is known by the one that it gives itself.
    let webhook = match Program::plugin("erc20_balances") {
        Some(path) => path.display().to_string(),
        None => skip!("config check: the plugins are not built (make plugins)"),
    };
    operating.config(&format!("[[plugin]]\nwasm = {webhook:?}\n"));
    operating.replay(&["-b", "0:20"]).expect_success();
    let tested = operating.run(&["plugin", "test", "erc20-balances", "-b", "0:20"]);
    assert!(tested.expect_success().stdout.contains("balance"));
}
