//! What plugins set aside: looked at, dropped, and tried again so that it ends as if it never had been.

use crate::bad_input::Scene;
use headcount_tests::{Outcome, Program, skip, workspace};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    process::Child,
    time::{Duration, Instant},
};

/// A condition that is not met by then never will be.
const PATIENCE: Duration = Duration::from_secs(60);

/// The recorded chain and a plugin that counts, but for one block.
struct Counting {
    scene: Scene,
    recording: String,
    unruly: String,
    /// The block that it cannot take, with few events.
    bad: u64,
}

impl Counting {
    fn new() -> Result<Self, &'static str> {
        let scene = Scene::set_up()?;
        let unruly = Program::plugin("unruly").ok_or("the plugins are not built (make plugins)")?;
        let recording = workspace().join("fixtures/erc20.ndjson.gz").display().to_string();
        let mut counting = Self { scene, recording, unruly: unruly.display().to_string(), bad: 0 };
        counting.replay("none").expect_success();
        let sql = "select block_number as v from events_canonical where block_number > 20
            group by all having count(*) between 1 and 3 order by 1 limit 1";
        counting.bad = counting.query(sql)[0]["v"].as_u64().unwrap();
        Ok(counting)
    }

    /// Replays with plugins that are set up so, each with its misdeed; none for `none`.
    fn replay(&self, plugins: &str) -> Outcome {
        self.scene.write("headcount.toml", plugins.replace("none", ""));
        self.scene.replay(&self.recording, &[])
    }

    fn plugin(&self, name: &str, misdeed: &str, more: &str) -> String {
        let wasm = &self.unruly;
        let config = format!("config = {{ misdeed = \"{misdeed}\" }}");
        format!("[[plugin]]\nname = \"{name}\"\nwasm = \"{wasm}\"\n{config}\n{more}\n")
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let ledger = self.scene.ledger().display().to_string();
        self.scene.program.run(arguments.iter().copied().chain(["--ledger", &ledger]))
    }

    /// Starts a watch on a node that does not answer: it owns the ledger until it is ended.
    fn owner(&self, plugins: &str) -> (Child, Instant) {
        self.scene.write("headcount.toml", plugins);
        let contract = format!("token={}", self.scene.token);
        let ledger = self.scene.ledger().display().to_string();
        let transfer = "Transfer(address indexed from, address indexed to, uint256 value)";
        let node = ["-r", "http://127.0.0.1:9", "--chain-id", "31337"];
        let what = ["watch", "-c", &contract, "-e", transfer, "--ledger", &ledger];
        let owner = self.scene.program.start(what.iter().chain(&node));
        let begun = Instant::now();
        while !PathBuf::from(format!("{ledger}.sock")).exists() {
            assert!(begun.elapsed() < PATIENCE, "the ledger is never owned");
            std::thread::sleep(Duration::from_millis(50));
        }
        (owner, begun)
    }

    fn query(&self, sql: &str) -> Vec<Value> {
        self.scene.program.query(&self.scene.ledger(), sql)
    }

    /// What a plugin has written.
    fn facts(&self, plugin: &str) -> Value {
        let sql = format!("select word, number::varchar as n from {plugin}.facts order by all");
        json!(self.query(&sql))
    }

    fn dead(&self) -> Value {
        let listed = self.run(&["plugin", "dead", "list", "--format", "json"]).expect_success();
        serde_json::from_str(&listed.stdout).unwrap()
    }
}

macro_rules! counting {
    ($test:literal) => {
        match Counting::new() {
            Ok(counting) => counting,
            Err(missing) => skip!("{}: {missing}", $test),
        }
    };
}

#[test]
fn an_event_that_was_set_aside_is_shown_and_tried_again_as_if_it_never_had_been() {
    let counting = counting!("dead_retry");
    let panics = format!("count but panic at {}", counting.bad);
    let ended = counting.replay(&counting.plugin("bad", &panics, "")).expect_success();
    assert!(ended.stderr.contains("plugin bad: "), "{}", ended.stderr);
    let dead = counting.dead();
    let events = dead["events"].as_array().unwrap().clone();
    assert!((1..=3).contains(&events.len()), "{dead}");
    let first = &events[0];
    assert_eq!((&first["plugin"], &first["block"]), (&json!("bad"), &json!(counting.bad)));
    assert_eq!(first["class"], "trap");
    assert!(first["reason"].as_str().unwrap().contains("is too much"), "{first}");

    let id = first["id"].as_str().unwrap();
    let show = ["plugin", "dead", "show", id, "--format", "json"];
    let shown: Value = serde_json::from_str(&counting.run(&show).expect_success().stdout).unwrap();
    let sql = format!(
        "select hex0x(data) as data, hex0x(address) as address from events_canonical
            where block_number = {} order by log_index limit 1",
        counting.bad
    );
    let stored = &counting.query(&sql)[0];
    assert_eq!((&shown["data"], &shown["address"]), (&stored["data"], &stored["address"]));
    let human = counting.run(&["plugin", "dead", "show", id]).expect_success().stdout;
    assert!(human.contains("is too much") && human.contains("topic "), "{human}");
    let table = counting.run(&["plugin", "dead", "list"]).expect_success().stdout;
    assert!(table.contains(id) && table.contains("trap: "), "{table}");

    // Mended: the same plugin as one that never failed.
    let told = counting.run(&["plugin", "dead", "retry", id]).expect_success().stdout;
    assert_eq!(told, "1 events and 0 messages are tried again\n");
    let both = counting.plugin("bad", "count", "") + &counting.plugin("good", "count", "");
    counting.replay(&both).expect_success();
    assert_eq!(counting.dead()["events"], json!([]));
    assert_eq!(counting.facts("bad"), counting.facts("good"));
    assert!(counting.facts("bad").as_array().unwrap().len() > 40);
    let check = counting.run(&["ledger", "check"]).expect_success().stdout;
    assert_eq!(check.trim(), "ok");
}

#[test]
fn what_is_dropped_is_gone_and_an_unknown_id_is_told_so() {
    let counting = counting!("dead_drop");
    let panics = format!("count but panic at {}", counting.bad);
    counting.replay(&counting.plugin("bad", &panics, "")).expect_success();
    for command in ["show", "retry", "drop"] {
        let refused = counting.run(&["plugin", "dead", command, "bad:1:999999"]).expect_code(2);
        assert!(
            refused.stderr.contains("nothing that is set aside has the id"),
            "{}",
            refused.stderr
        );
        assert!(refused.stderr.contains("\nhint: "), "{}", refused.stderr);
    }
    let count = counting.dead()["events"].as_array().unwrap().len();
    for command in ["drop", "retry"] {
        let other = counting.run(&["plugin", "dead", command, "--all", "--plugin", "other"]);
        let told = other.expect_code(2).stderr;
        assert!(told.contains("knows no plugin `other`") && told.contains("\nhint: "), "{told}");
    }
    let near = counting.run(&["plugin", "dead", "list", "--plugin", "bed"]).expect_code(2).stderr;
    assert!(near.contains("hint: did you mean `bad`?"), "{near}");
    let told = counting.run(&["plugin", "dead", "drop", "--all", "--plugin", "bad"]);
    let told = told.expect_success().stdout;
    assert_eq!(told, format!("{count} events and 0 messages are dropped\n"));
    let list = counting.run(&["plugin", "dead", "list"]).expect_success().stdout;
    assert_eq!(list, "nothing is set aside\n");
}

#[test]
fn a_plugin_that_is_to_halt_at_a_bad_event_does_and_goes_on_when_it_is_resumed() {
    let counting = counting!("dead_resume");
    let panics = format!("count but panic at {}", counting.bad);
    let ended = counting.replay(&counting.plugin("bad", &panics, "poison = \"halt\""));
    let told = ended.expect_code(75);
    assert!(told.stderr.contains("plugin bad is halted: event "), "{}", told.stderr);
    let left = "error: plugin bad was not handed everything that is stored\n";
    assert!(told.stderr.contains(left), "{}", told.stderr);
    let none = counting.run(&["plugin", "resume", "other"]).expect_code(2);
    assert!(none.stderr.contains("no plugin `other` is halted"), "{}", none.stderr);
    // Mended, and not resumed: it stays where it is.
    let mended = counting.plugin("bad", "count", "poison = \"halt\"");
    assert!(counting.replay(&mended).expect_code(75).stderr.contains("is halted"));
    counting.run(&["plugin", "resume", "bad"]).expect_success();
    let both = mended + &counting.plugin("good", "count", "");
    let ended = counting.replay(&both).expect_success();
    assert!(!ended.stderr.contains("halted"), "{}", ended.stderr);
    assert_eq!(counting.dead()["events"], json!([]));
    assert_eq!(counting.facts("bad"), counting.facts("good"));
}

#[test]
fn a_run_that_is_at_its_end_calls_a_plugin_again_that_gets_on_by_that() {
    let counting = counting!("dead_at_the_end");
    let loops = format!("count but loop at {}", counting.bad);
    let plugins = counting.plugin("looping", &loops, "limits = { deadline_ms = 300 }")
        + &counting.plugin("again", "count but retry", "")
        + &counting.plugin("good", "count", "");
    counting.replay(&plugins).expect_success();
    assert_eq!(counting.facts("again"), counting.facts("good"));
    let dead = counting.dead();
    let events = dead["events"].as_array().unwrap();
    assert!((1..=3).contains(&events.len()), "{dead}");
    let is_it = |event: &Value| event["class"] == "deadline" && event["block"] == counting.bad;
    assert!(events.iter().all(is_it), "{dead}");
    let handled = |plugin| counting.facts(plugin).as_array().unwrap().len();
    assert_eq!(handled("looping") + events.len(), handled("good"));
}

#[test]
fn a_replay_beside_an_owner_waits_until_its_plugins_have_handled_what_it_read() {
    let counting = counting!("dead_beside");
    std::fs::remove_file(counting.scene.ledger()).unwrap();
    let panics = format!("count but panic at {}", counting.bad);
    let plugins = counting.plugin("good", "count", "")
        + &counting.plugin("later", "retry", "")
        + &counting.plugin("stopped", &panics, "poison = \"halt\"");
    let (mut owner, _) = counting.owner(&plugins);
    let beside = counting.replay(&plugins).expect_code(75);
    for words in ["plugin later", "later", "plugin stopped is halted"] {
        assert!(beside.stderr.contains(words), "{words}: {}", beside.stderr);
    }
    let sql = "select count(*)::integer as n from good.facts";
    let all = "select count(*)::integer as n from events_canonical";
    assert_eq!(counting.query(sql), counting.query(all));
    owner.kill().unwrap();
    owner.wait().unwrap();
}

#[test]
fn a_running_owner_tries_again_at_once() {
    let counting = counting!("dead_owner");
    let panics = format!("count but panic at {}", counting.bad);
    let halts = counting.plugin("stopped", &panics, "poison = \"halt\"");
    let sets_aside = counting.plugin("bad", &panics, "");
    counting.replay(&(halts + &sets_aside)).expect_code(75);
    let mended: String = (["stopped", "bad", "good"].iter())
        .map(|name| counting.plugin(name, "count", ""))
        .collect();
    let (mut owner, begun) = counting.owner(&mended);
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "never {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let count = |plugin: &str| {
        let sql = format!("select count(*)::integer as n from {plugin}.facts");
        counting.query(&sql)[0]["n"].as_u64().unwrap()
    };
    let has_table = || {
        let sql = "select count(*)::integer as n from information_schema.tables
            where table_schema = 'good'";
        counting.query(sql)[0]["n"] != json!(0)
    };
    until("a third plugin", &has_table);
    until("all of it", &|| count("good") > count("bad"));
    // Whoever reads for the owner is told what stands there.
    let beside = counting.replay(&mended).expect_code(75);
    assert!(beside.stderr.contains("plugin stopped is halted"), "{}", beside.stderr);
    let retried = counting.run(&["plugin", "dead", "retry", "--all"]).expect_success().stdout;
    counting.run(&["plugin", "resume", "stopped"]).expect_success();
    let is_mended = || {
        let good = counting.facts("good");
        counting.facts("bad") == good && counting.facts("stopped") == good
    };
    until("mended", &is_mended);
    let is_owned = owner.try_wait().unwrap().is_none();
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(is_owned, "the watch has ended");
    assert!(retried.contains(" events and 0 messages are tried again"), "{retried}");
}
