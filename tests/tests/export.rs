//! `headcount export` and `headcount snapshot`: whole files, from a ledger that nobody owns and from
//! one that a running watch writes.

use headcount_tests::{Outcome, Program, RecordedChain, ScriptedNode, Watching, skip};
use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};
use tempfile::TempDir;

const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";
const GOLD: &str = "0x5FbDB2315678afecb367f032d93F642f64180aa3";
const PLACE: [&str; 2] = ["--ledger", "l.duckdb"];

struct Scene {
    folder: TempDir,
    program: Program,
    node: ScriptedNode,
}

impl Scene {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::in_folder(folder.path())?;
        let chain = Arc::new(RecordedChain::load().expect("the recording is part of the project"));
        let node = ScriptedNode::honest(&chain);
        Some(Self { folder, program, node })
    }

    fn source(&self) -> Vec<String> {
        let (node, contract) = (format!("one={}", self.node.url()), format!("gold={GOLD}"));
        ["-r", &node, "-c", &contract, "-e", TRANSFER].map(str::to_owned).to_vec()
    }

    fn replay(&self, range: &str, verify: &str) {
        let source = self.source();
        let words = ["replay", "-b", range, "--verify", verify];
        let words = words.iter().chain(&PLACE).map(|word| (*word).to_owned());
        self.program.run(words.chain(source)).expect_success();
    }

    fn run(&self, words: &[&str]) -> Outcome {
        self.program.run(words.iter().chain(&PLACE))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Files that a write which was not finished would leave.
    fn leftovers(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains(".part") || name.contains(".copy")).collect()
    }
}

macro_rules! scene {
    ($name:literal) => {
        match Scene::new() {
            Some(scene) => scene,
            None => skip!("{}: headcount is not built (make build)", $name),
        }
    };
}

/// Transfers with every digit, in the order of the chain.
const TRUTH: &str = "select _block::varchar as b, _log_index::varchar as i,
    hex0x(\"from\") as f, value::varchar as v from gold.Transfer order by _block, _log_index";

fn truth(scene: &Scene) -> Vec<[String; 4]> {
    let rows = scene.program.query(&scene.path("l.duckdb"), TRUTH);
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    rows.iter().map(|row| ["b", "i", "f", "v"].map(|name| text(row, name))).collect()
}

fn of_ndjson(text: &str) -> Vec<[String; 4]> {
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let one = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    rows.map(|row| ["_block", "_log_index", "from", "value"].map(|name| one(&row[name]))).collect()
}

#[test]
fn events_are_exported_whole_in_order_and_with_every_digit() {
    let scene = scene!("export");
    scene.replay("1:40", "prove");
    let truth = truth(&scene);
    assert!(truth.len() > 20, "{truth:?}");
    let told = scene.run(&["export", "gold.transfer", "-o", "t.ndjson"]).expect_success();
    assert_eq!(told.stdout, "");
    let said =
        format!("{} events of gold.transfer, blocks 1:40 (40 blocks): complete", truth.len());
    assert!(told.stderr.starts_with(&said), "{}", told.stderr);
    assert!(told.stderr.contains("receipts on one-node"), "{}", told.stderr);
    assert_eq!(of_ndjson(&scene.text("t.ndjson")), truth);
    // A number that wide is text: a JSON reader would round it.
    assert!(scene.text("t.ndjson").contains(&format!("\"value\":\"{}\"", truth[0][3])));

    scene.run(&["export", "gold.Transfer", "-o", "t.csv", "--quiet"]).expect_success();
    let csv = scene.text("t.csv");
    let header = "_chain,_block,_block_hash,_tx_hash,_tx_index,_log_index,_address,_occurrence,\
                  from,to,value";
    assert_eq!(csv.lines().next().unwrap(), header);
    let cells = csv.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let rows: Vec<[String; 4]> =
        cells.map(|cells| [1, 5, 8, 10].map(|i| cells[i].to_owned())).collect();
    assert_eq!(rows, truth);
    scene.run(&["export", "gold.Transfer", "-o", "t.parquet"]).expect_success();
    let parquet = fs::read(scene.path("t.parquet")).unwrap();
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));

    // A part, by blocks, contract, and a condition; with what is known of each.
    let part = ["-b", "10:20", "-c", GOLD, "--where", "value > 0 -- all", "--evidence"];
    let words = [&["export", "gold.Transfer", "-o", "-"][..], &part].concat();
    let told = scene.run(&words).expect_success();
    let inside: Vec<_> = truth
        .iter()
        .filter(|row| (10..=20).contains(&row[0].parse::<u64>().unwrap()) && row[3] != "0")
        .cloned()
        .collect();
    assert_eq!(of_ndjson(&told.stdout), inside);
    assert!(told.stdout.lines().all(|line| line.contains("\"_evidence\":\"receipts\"")));
    let other = ["export", "gold.Transfer", "-o", "-", "-c", &GOLD.replace("5FbD", "5FbE")];
    let other = scene.run(&[&other[..], &["--format", "csv"]].concat());
    assert_eq!(other.expect_success().stdout.lines().count(), 1);
    // Raw logs: only what is followed.
    let raw = scene.run(&["export", "events", "-o", "-", "--evidence", "-b", "1:40"]);
    let raw = raw.expect_success();
    assert_eq!(raw.stdout.lines().count(), truth.len());
    assert!(raw.stdout.contains("\"evidence\":\"receipts\""), "{}", raw.stdout);
    assert!(raw.stderr.contains(": complete"), "{}", raw.stderr);
    assert_eq!(scene.leftovers(), Vec::<String>::new());
}

#[test]
fn a_range_that_is_not_covered_is_told_and_refused_on_demand() {
    let scene = scene!("export, incomplete");
    scene.replay("1:10", "prove");
    scene.replay("21:30", "off");
    let export = ["export", "gold.Transfer", "-o", "t.csv", "--force"];
    let run = |more: &[&str]| scene.run(&[&export[..], more].concat());
    let told = run(&["-b", "5:40"]).expect_success();
    let said = "blocks 5:40 (36 blocks): not complete, 20 are not covered: 11:20, 31:40";
    assert!(told.stderr.contains(said), "{}", told.stderr);
    let before = scene.text("t.csv");
    let refused = run(&["-b", "1:30", "--require", "bloom"]).expect_code(1);
    let said = "20 are not covered as bloom: 11:30";
    assert!(refused.stderr.contains(said), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
    assert_eq!(refused.stderr.matches("error: ").count(), 1, "{}", refused.stderr);
    // A sample of proofs says nothing of a whole range.
    run(&["-b", "1:30", "--require", "prove:5%"]).expect_code(2);
    assert_eq!(scene.text("t.csv"), before);
    run(&["-b", "1:10", "--require", "prove"]).expect_success();
    run(&["-b", "21:30", "--require", "off"]).expect_success();
    run(&["-b", "21:30", "--require", "prove"]).expect_code(1);
    assert_eq!(scene.leftovers(), Vec::<String>::new());
}

#[test]
fn an_event_of_which_no_log_decodes_is_said_by_export_and_by_audit() {
    let scene = scene!("export, undecoded");
    let declared = "Transfer(address from, address to, uint256 value)";
    let (node, contract) = (format!("one={}", scene.node.url()), format!("gold={GOLD}"));
    let source = ["-r", &node, "-c", &contract, "-e", declared, "-b", "1:40"];
    scene.run(&[&["replay"][..], &source].concat()).expect_success();
    let told = scene.run(&["export", "gold.Transfer", "-o", "t.csv", "--quiet"]).expect_success();
    let said = "have 2 indexed arguments and it declares 0: mark those";
    assert!(told.stderr.contains("warning: none of ") && told.stderr.contains(said), "{told:?}");
    let audit = [&["audit", "--format", "json", "--no-ledger"][..], &source].concat();
    let told = scene.program.run(audit).expect_success();
    assert!(told.stderr.contains("warning: none of ") && told.stderr.contains(said), "{told:?}");
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    let undecoded = &report["undecoded"][0];
    assert_eq!(undecoded["indexed_declared"], 0);
    assert_eq!(undecoded["indexed_found"], 2);
    assert!(undecoded["count"].as_u64().unwrap() > 0);
    // Declared as it is logged there is nothing to say.
    let source = ["-r", &node, "-c", &contract, "-e", TRANSFER, "-b", "1:40"];
    let audit = [&["audit", "--format", "json", "--no-ledger"][..], &source].concat();
    let told = scene.program.run(audit).expect_success();
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(report["undecoded"], serde_json::json!([]));
    assert!(!told.stderr.contains("none of"), "{told:?}");
}

#[test]
fn what_cannot_be_exported_is_a_plain_error_with_a_hint() {
    let scene = scene!("export, wrong");
    scene.replay("1:10", "off");
    fs::write(scene.path("old.csv"), "old").unwrap();
    for (words, said) in [
        (&["export", "gold.Transfr", "-o", "t.csv"][..], "did you mean gold.Transfer?"),
        (&["export", "silver.Mint", "-o", "t.csv"], "gold.Transfer"),
        (&["export", "gold.Transfer", "-o", "old.csv"], "--force"),
        (&["export", "gold.Transfer", "-o", "t.xlsx"], "--format"),
        (&["export", "gold.Transfer", "-o", "-", "--format", "parquet"], "stdout"),
        (&["export", "gold.Transfer", "-o", "gone/t.csv"], "folder"),
        (&["export", "gold.Transfer", "-o", "l.duckdb", "--format", "csv"], "ledger"),
        (&["export", "gold.Transfer", "-o", "t.csv", "--where", "valu > 1"], "valu"),
        (&["export", "gold.Transfer", "-o", "t.csv", "--where", "1) --"], "--where"),
        (
            &["export", "gold.Transfer", "-o", "t.csv", "--where", "true); drop table events"],
            "--where",
        ),
        (&["export", "gold.Transfer", "-o", "t.csv", "-b", "9:3"], "3:9"),
        (&["export", "gold.Transfer", "-o", "t.csv", "--chain-id", "7"], "31337"),
        (&["export", "gold.Transfer", "-o", "t.csv", "-c", "gold"], "gold"),
        (&["snapshot", "old.csv"], "--force"),
        (&["snapshot", "old.csv", "--force"], "DuckDB"),
        (&["snapshot", "l.duckdb", "--force"], "ledger"),
        (&["snapshot", "gone/l.duckdb"], "folder"),
    ] {
        let outcome = scene.run(words);
        assert!([Some(2), Some(74)].contains(&outcome.code), "{words:?}: {outcome:?}");
        assert!(outcome.stderr.contains(said), "{words:?}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.matches("error: ").count(), 1, "{words:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("hint: "), "{words:?}: {}", outcome.stderr);
    }
    assert_eq!(scene.text("old.csv"), "old");
    assert!(!scene.path("t.csv").exists());
    assert_eq!(scene.leftovers(), Vec::<String>::new());
    let full = scene
        .program
        .run_on_full_disk(1, &["export", "gold.Transfer", "-o", "t.csv", "--ledger", "l.duckdb"]);
    let full = full.expect_code(74);
    assert!(!full.stderr.contains("writing the ledger"), "{}", full.stderr);
    assert!(!scene.path("t.csv").exists());
    assert_eq!(scene.leftovers(), Vec::<String>::new());
}

fn digest(program: &Program, ledger: &str) -> String {
    program.run(["ledger", "digest", "--ledger", ledger]).expect_success().stdout
}

#[test]
fn a_snapshot_says_what_the_ledger_said_at_that_moment() {
    let scene = scene!("snapshot");
    scene.replay("1:30", "prove");
    let told = scene.run(&["snapshot", "a.duckdb", "--check"]).expect_success();
    let expected = digest(&scene.program, "l.duckdb");
    assert!(told.stderr.contains(expected.trim()), "{}", told.stderr);
    assert_eq!(digest(&scene.program, "a.duckdb"), expected);
    scene.run(&["snapshot", "a.duckdb"]).expect_code(2);
    scene.replay("31:40", "prove");
    // A ledger that is used is not replaced; one that is not, is.
    let lock = fs::File::options().write(true).open(scene.path("a.duckdb.lock")).unwrap();
    lock.lock().unwrap();
    (&lock).write_all(b"4711\n").unwrap();
    let busy = scene.run(&["snapshot", "a.duckdb", "--force"]).expect_code(75);
    assert!(busy.stderr.contains("4711"), "{}", busy.stderr);
    drop(lock);
    assert_eq!(digest(&scene.program, "a.duckdb"), expected);
    let quiet = scene.run(&["snapshot", "a.duckdb", "--force", "--quiet"]).expect_success();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    assert_eq!(digest(&scene.program, "a.duckdb"), digest(&scene.program, "l.duckdb"));
    assert_eq!(scene.leftovers(), Vec::<String>::new());
}

#[test]
fn beside_a_watch_that_owns_the_ledger_both_are_as_without_it() {
    let scene = scene!("export beside a watch");
    let mut words = scene.source();
    let more = ["--from-block", "0", "--poll-interval", "50ms"];
    words.extend(more.iter().chain(&PLACE).map(|word| (*word).to_owned()));
    let watching = Watching::start(&scene.program, ["watch".to_owned()].into_iter().chain(words));
    let begun = std::time::Instant::now();
    // Refused until the watch has read all of it.
    let export = ["export", "gold.Transfer", "-b", "0:60", "--require", "bloom", "-o"];
    let run = |name: &str| scene.run(&[&export[..], &[name, "--force"]].concat());
    loop {
        let told = run("t.ndjson");
        match told.code {
            Some(0) => break,
            Some(1 | 2) => assert!(!scene.path("t.ndjson").exists(), "{}", told.stderr),
            _ => panic!("{told:?}"),
        }
        assert!(begun.elapsed().as_secs() < 60, "never covered: {}", told.stderr);
    }
    let truth = truth(&scene);
    assert_eq!(of_ndjson(&scene.text("t.ndjson")), truth);
    for name in ["t.csv", "t.parquet"] {
        let told = run(name).expect_success();
        assert_eq!(told.stderr.lines().count(), 1, "{}", told.stderr);
    }
    // The owner writes where the client stands, and a pipe that is closed is no error.
    let told = scene.run(&["export", "gold.Transfer", "-o", "-", "--format", "csv"]);
    assert_eq!(told.expect_success().stdout.lines().count(), truth.len() + 1);
    scene.run(&["export", "gold.Transfer", "-o", "t.csv", "--where", "vale > 1"]).expect_code(2);
    let told = scene.run(&["snapshot", "copy.duckdb", "--check"]).expect_success();
    assert!(told.stderr.contains("digest 0x"), "{}", told.stderr);
    assert_eq!(scene.leftovers(), Vec::<String>::new());
    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(digest(&scene.program, "copy.duckdb"), digest(&scene.program, "l.duckdb"));
    let check = ["ledger", "check", "--ledger", "copy.duckdb"];
    assert_eq!(scene.program.run(check).expect_success().stdout, "ok\n");
    // The same bytes without an owner.
    for name in ["t.ndjson", "t.csv"] {
        let owned = scene.text(name);
        run(name).expect_success();
        assert_eq!(scene.text(name), owned, "{name}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error_and_leaves_nothing() {
    let scene = scene!("export, closed pipe");
    scene.replay("1:40", "off");
    let temporary = scene.path("tmp");
    fs::create_dir(&temporary).unwrap();
    let mut child = Command::new(Program::built().unwrap())
        .args(["export", "gold.Transfer", "-o", "-", "--ledger", "l.duckdb"])
        .current_dir(scene.folder.path())
        .env_clear()
        .env("TMPDIR", &temporary)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}
