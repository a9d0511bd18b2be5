//! Whatever a node, a file or a user gets wrong: one `error:` line, its cause, a way out, the
//! right exit code, and a ledger that holds nothing false.

use alloy_primitives::keccak256;
use headcount_tests::{
    Bent, Outcome, Program, RECORDED_CHAIN_ID, RecordedChain, ScriptedCall, ScriptedNode, skip,
    tool, workspace,
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";
const USAGE: i32 = 2;
const LOCAL_IO: i32 = 74;
const LEFT_OPEN: i32 = 75;
const CHECK_FAILED: i32 = 1;

/// The recorded chain, the program in a folder of its own, and what of the chain it is asked for.
pub(crate) struct Scene {
    pub(crate) chain: Arc<RecordedChain>,
    pub(crate) program: Program,
    pub(crate) folder: TempDir,
    pub(crate) token: String,
}

impl Scene {
    /// Returns what is missing where something is not built.
    pub(crate) fn set_up() -> Result<Self, &'static str> {
        let chain = RecordedChain::load().ok_or("fixtures/erc20.ndjson.gz is not there")?;
        let folder = tempfile::tempdir().unwrap();
        let program =
            Program::in_folder(folder.path()).ok_or("headcount is not built (make build)")?;
        let token = chain.contracts().remove(0);
        Ok(Self { chain: Arc::new(chain), program, folder, token })
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.folder.path().join("events.duckdb")
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Returns the arguments of a replay of the token's transfers over the whole chain.
    pub(crate) fn arguments(&self, node: &str, more: &[&str]) -> Vec<String> {
        let contract = format!("token={}", self.token);
        let ledger = self.ledger().display().to_string();
        let mut all = vec!["replay", "-r", node, "-c", &contract, "--ledger", &ledger];
        if !more.contains(&"-e") {
            all.extend(["-e", TRANSFER]);
        }
        let range = format!("0:{}", self.chain.head());
        if !more.contains(&"-b") {
            all.extend(["-b", &range]);
        }
        all.into_iter().chain(more.iter().copied()).map(str::to_owned).collect()
    }

    pub(crate) fn replay(&self, node: &str, more: &[&str]) -> Outcome {
        self.program.run(self.arguments(node, more))
    }

    fn digest(&self) -> String {
        let ledger = self.ledger().display().to_string();
        self.program.run(["ledger", "digest", "--ledger", &ledger]).expect_success().stdout
    }

    fn count(&self, what: &str) -> u64 {
        let sql = format!("select (select count(*) from {what})::varchar as n");
        let rows = self.program.query(&self.ledger(), &sql);
        rows[0]["n"].as_str().unwrap().parse().unwrap()
    }

    /// Whether the ledger holds no event and covers nothing, if it is there at all.
    fn is_untouched(&self) -> bool {
        !self.ledger().exists() || (self.count("events"), self.count("coverage")) == (0, 0)
    }

    /// Stored events as `block log_index`, in order.
    fn stored(&self) -> Vec<String> {
        let sql = "select concat_ws(' ', block_number, log_index, hex0x(address), hex0x(data)) as v
            from events_canonical order by block_number, log_index";
        let rows = self.program.query(&self.ledger(), sql);
        rows.iter().map(|row| row["v"].as_str().unwrap().to_owned()).collect()
    }

    /// The token's transfers, from the receipts, as [`Self::stored`] has them.
    fn truth(&self) -> Vec<String> {
        let number = |value: &Value| u64::from_str_radix(&text(value)[2..], 16).unwrap();
        let transfer = keccak256("Transfer(address,address,uint256)").to_string();
        let is_wanted = |log: &&Value| log["address"] == self.token && log["topics"][0] == transfer;
        let of_token = self.chain.logs().iter().filter(is_wanted);
        of_token
            .map(|log| {
                let (block, index) = (number(&log["blockNumber"]), number(&log["logIndex"]));
                format!("{block} {index} {} {}", text(&log["address"]), text(&log["data"]))
            })
            .collect()
    }

    /// A block with a transfer of the token.
    fn block_with_logs(&self) -> u64 {
        let line = &self.truth()[5];
        line.split(' ').next().unwrap().parse().unwrap()
    }

    fn has_logs(&self, block: u64) -> bool {
        let number = json!(format!("{block:#x}"));
        let is_there = |log: &Value| log["blockNumber"] == number && log["address"] == self.token;
        self.chain.logs().iter().any(is_there)
    }

    fn is_covered(&self, block: u64) -> bool {
        let ranges = format!("coverage where {block} between first_block and last_block");
        self.count(&ranges) > 0
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

macro_rules! scene {
    ($test:literal) => {
        match Scene::set_up() {
            Ok(scene) => scene,
            Err(missing) => skip!("{}: {missing}", $test),
        }
    };
}

/// Checks the form of an error, and prints it for whoever reads along.
#[track_caller]
fn expect_error(case: &str, outcome: Outcome, code: i32, words: &[&str]) -> Outcome {
    let stderr = outcome.stderr.clone();
    let lines = |start: &str| stderr.lines().filter(|line| line.starts_with(start)).count();
    let first = outcome.stderr.lines().find(|line| line.starts_with("error: "));
    println!("| {case} | {:?} | {} |", outcome.code, first.unwrap_or_default());
    let outcome = outcome.expect_code(code);
    assert_eq!(lines("error: "), 1, "{case}: {}", outcome.stderr);
    assert!(lines("hint: ") >= 1, "{case}: no hint in {}", outcome.stderr);
    for word in words {
        assert!(outcome.stderr.contains(word), "{case}: no `{word}` in {}", outcome.stderr);
    }
    outcome
}

fn truth(_: &ScriptedCall, truth: Value) -> Bent {
    Bent::Result(truth)
}

/// Bends the answers to one method.
fn on(
    method: &'static str,
    bend: impl Fn(&ScriptedCall, Value) -> Bent + Send + Sync + 'static,
) -> impl Fn(&ScriptedCall, Value) -> Bent + Send + Sync + 'static {
    move |call, honest| match call.method == method {
        true => bend(call, honest),
        false => truth(call, honest),
    }
}

#[test]
fn what_the_user_gets_wrong_is_told_before_anything_is_touched() {
    let scene = scene!("what_the_user_gets_wrong");
    let node = ScriptedNode::honest(&scene.chain);
    let url = node.url();
    let abi = scene
        .write("abi.json", r#"[{"type":"event","name":"Approval","inputs":[],"anonymous":false}]"#);
    let broken = scene.write("broken.wasm", "this is no component");
    let latin = scene.write("latin.toml", b"# \xfc\n");
    let head = scene.chain.head().to_string();
    let far = format!("{}:0x{}", scene.chain.head() + 1, "ab".repeat(32));
    let known = format!("{head}:{}", scene.chain.hash(scene.chain.head()));
    for (case, flags, words) in [
        ("malformed address", &["-c", "0x1234"][..], &["0x1234"][..]),
        ("inverted range", &["-b", "20:10"], &["ends before it", "-b 10:20"]),
        (
            "missing ABI event",
            &["-e", &format!("{abi}:Transfer")],
            &["caused by: ", "Transfer", "Approval"],
        ),
        ("beyond all numbers", &["-b", "18446744073709551615:+2"], &["caused by: ", "as high"]),
        ("missing ABI file", &["-e", "gone.json"], &["gone.json"]),
        ("wrong chain id", &["--chain-id", "1"], &["is on chain 31337"]),
        ("plugin that is no component", &["--plugin", &broken], &["broken.wasm"]),
        ("plugin that is not there", &["--plugin", "gone.wasm"], &["gone.wasm"]),
        ("agreement of one", &["--verify", "agree:2"], &["1 node can never agree as 2", "-r"]),
        ("no share", &["--verify", "prove:0%"], &["prove:N%"]),
        ("agreed anchor", &["--anchor", "agreed:2"], &["not compared between nodes"]),
        ("anchor without headers", &["--anchor", &known, "--verify", "off"], &["--verify"]),
        ("anchor beyond the range", &["--anchor", &far], &["not one of the blocks"]),
        ("wrong anchor", &["--anchor", "some"], &["none of one-node, NUMBER:HASH"]),
        ("no folder to record to", &["--record", "gone/r.gz"], &["there is no folder"]),
        ("configuration that is no text", &["--config", &latin], &["latin.toml", "UTF-8"]),
        ("no IPC socket", &["-r", "geth.ipc"], &["geth.ipc", "no socket"]),
        ("beyond the finalized block", &["-b", "900:finalized"], &["caused by: ", "900"]),
        ("no start", &["-b", ":finalized"], &["caused by: ", "where to start"]),
    ] {
        expect_error(case, scene.replay(&url, flags), USAGE, words);
        assert!(!scene.ledger().exists(), "{case} made a ledger");
    }
    let outcome = scene.program.run([
        "replay",
        "-r",
        &url,
        "-e",
        TRANSFER,
        "-b",
        "0:9",
        "--ledger",
        "gone/l.duckdb",
    ]);
    let words = ["there is no folder", "make the folder"];
    expect_error("no folder for the ledger", outcome, USAGE, &words);
}

#[test]
fn a_recording_replaces_neither_the_ledger_nor_any_other_file() {
    let scene = scene!("a_recording_replaces_neither");
    let node = ScriptedNode::honest(&scene.chain);
    let url = node.url();
    let ledger = scene.ledger().display().to_string();
    let new = scene.replay(&url, &["--record", &ledger]);
    expect_error("--record at a new ledger", new, USAGE, &["caused by: ", "the ledger"]);
    assert!(!scene.ledger().exists());

    scene.replay(&url, &["-b", "0:20"]).expect_success();
    let before = fs::read(scene.ledger()).unwrap();
    let notes = scene.write("notes.txt", "mine");
    for path in [ledger.clone(), format!("{ledger}.wal"), format!("{ledger}.lock"), notes.clone()] {
        let outcome = scene.replay(&url, &["--record", &path]);
        expect_error("--record at a file in use", outcome, USAGE, &["caused by: ", &path]);
    }
    assert!(fs::read(scene.ledger()).unwrap() == before, "the ledger was changed");
    assert_eq!(fs::read_to_string(notes).unwrap(), "mine");

    // A recording may take the place of a recording.
    let recording = scene.folder.path().join("r.ndjson.gz").display().to_string();
    for _ in 0..2 {
        scene.replay(&url, &["--refetch", "--record", &recording]).expect_success();
    }
    scene.replay(&recording, &["--refetch"]).expect_success();
    assert_eq!(scene.stored(), scene.truth());
}

#[test]
fn a_plugin_has_the_name_that_the_user_gives_it() {
    let scene = scene!("a_plugin_has_the_name");
    let Some(wasm) = Program::plugin("erc20_balances") else {
        skip!("a_plugin_has_the_name: the plugins are not built (make plugins)");
    };
    let wasm = wasm.display().to_string();
    let recording = workspace().join("fixtures/erc20.ndjson.gz").display().to_string();
    let named = format!("bal={wasm}");
    for (case, flags, words) in [
        ("plugin name with a dot", &["--plugin", &format!("b.l={wasm}")][..], &["`b.l`"][..]),
        ("two plugins of one name", &["--plugin", &wasm, "--plugin", &wasm], &["another plugin"]),
        ("plugin named as a contract", &["--plugin", &format!("Token={wasm}")], &["a contract"]),
        ("plugin named as the ledger", &["--plugin", &format!("events={wasm}")], &["the ledger"]),
    ] {
        expect_error(case, scene.replay(&recording, flags), USAGE, words);
        assert!(!scene.ledger().exists(), "{case} made a ledger");
    }
    let both = ["--plugin", &named, "--plugin", &wasm];
    let outcome = scene.replay(&recording, &both).expect_success();
    assert!(outcome.stdout.contains("plugin   bal: "), "{}", outcome.stdout);
    assert!(scene.count("bal.balances") > 0);
    let differ = "(select holder, balance::varchar from bal.balances except
        select holder, balance::varchar from erc20_balances.balances)";
    assert_eq!(scene.count(differ), 0);

    // The same in the configuration.
    let config = format!("[[plugin]]\nname = \"mine\"\nwasm = {wasm:?}\n");
    let config = scene.write("plugin.toml", config);
    let outcome = scene.replay(&recording, &["--config", &config]).expect_success();
    assert!(outcome.stdout.contains("plugin   mine: "), "{}", outcome.stdout);
    assert_eq!(scene.count("mine.balances"), scene.count("bal.balances"));
    let config = scene.write("wrong.toml", "[[plugin]]\nname = \"1st\"\nwasm = \"x.wasm\"\n");
    let outcome = scene.replay(&recording, &["--config", &config]);
    expect_error("plugin name in the configuration", outcome, USAGE, &["`1st`", ":2:"]);
}

#[test]
fn a_config_with_five_mistakes_lists_all_of_them_with_lines() {
    let scene = scene!("a_config_with_five_mistakes");
    let config = "ledgr = \"x.duckdb\"\n\
        [chain.main]\n\
        id = \"one\"\n\
        verify = \"agree:1\"\n\
        [[chain.main.node]]\n\
        url = \"node.example/KEY\"\n\
        timeout = \"soon\"\n\
        [[contract]]\n\
        name = \"token\"\n\
        address = \"0x12\"\n";
    let config = scene.write("headcount.toml", config);
    for arguments in
        [&["config", "check", "--config", &config][..], &["replay", "--config", &config]]
    {
        let outcome = scene.program.run(arguments);
        let words = [":1:", ":3:", ":4:", ":6:", ":7:", ":10:"];
        let outcome = expect_error("config with mistakes", outcome, USAGE, &words);
        assert!(!outcome.stderr.contains("KEY"), "{}", outcome.stderr);
    }
    assert!(!scene.ledger().exists());
}

#[test]
fn a_missing_variable_is_told_with_its_line() {
    let scene = scene!("a_missing_variable");
    let config =
        "[chain.main]\nid = 1\n[[chain.main.node]]\nurl = \"https://h.example/${RPC_KEY}\"\n";
    let config = scene.write("headcount.toml", config);
    let outcome = scene.program.run(["replay", "--config", &config]);
    expect_error("missing ${VAR}", outcome, USAGE, &["RPC_KEY", ":4:"]);
}

#[test]
fn a_plugin_for_another_interface_is_refused() {
    let scene = scene!("a_plugin_for_another_interface");
    let Some(plugin) = Program::plugin("erc20_balances") else {
        skip!("a_plugin_for_another_interface: the plugins are not built (make plugins)");
    };
    let mut bytes = fs::read(plugin).unwrap();
    // The version is part of each interface's name: the same length, so that the file stays sound.
    let wit = fs::read_dir(workspace().join("wit")).unwrap().map(|entry| entry.unwrap().path());
    let package = wit
        .filter_map(|file| fs::read_to_string(file).ok())
        .find_map(|text| {
            let line = text.lines().find(|line| line.starts_with("package "))?;
            Some(line["package ".len()..].trim_end_matches(';').to_owned())
        })
        .unwrap();
    let version = package.split('@').nth(1).unwrap();
    let (ours, theirs) = (format!("@{version}"), format!("@{}", "9".to_owned() + &version[1..]));
    let name = package.split(':').next().unwrap();
    let mut replaced = 0;
    for i in 0..bytes.len().saturating_sub(64) {
        let is_ours = bytes[i..].starts_with(ours.as_bytes())
            && String::from_utf8_lossy(&bytes[i.saturating_sub(40)..i]).contains(name);
        if is_ours {
            bytes[i..i + theirs.len()].copy_from_slice(theirs.as_bytes());
            replaced += 1;
        }
    }
    assert!(replaced > 0, "the plugin does not name {package}");
    let plugin = scene.write("other.wasm", bytes);
    let node = ScriptedNode::honest(&scene.chain);
    let outcome = scene.replay(&node.url(), &["--plugin", &plugin]);
    expect_error("plugin for another interface", outcome, USAGE, &["other.wasm"]);
    assert!(!scene.ledger().exists());
}

/// Runs statements over a ledger with stock DuckDB.
fn change(ledger: &Path, statements: &str) {
    let script = "const { DuckDBInstance } = require('@duckdb/node-api');
        DuckDBInstance.create(process.argv[1]).then(async (db) => {
            const c = await db.connect();
            await c.run(process.argv[2]);
            await c.run('checkpoint');
        });";
    let changed = Command::new("node")
        .args(["-e", script, "--"])
        .arg(ledger)
        .arg(statements)
        .current_dir(workspace().join("tests/tools"))
        .output()
        .unwrap();
    assert!(changed.status.success(), "{}", String::from_utf8_lossy(&changed.stderr));
}

#[test]
fn a_ledger_of_a_newer_version_is_left_as_it_is() {
    let scene = scene!("a_ledger_of_a_newer_version");
    if tool("@duckdb/node-api").is_none() {
        skip!("a_ledger_of_a_newer_version: stock DuckDB is not installed (make tools)");
    }
    let node = ScriptedNode::honest(&scene.chain);
    scene.replay(&node.url(), &[]).expect_success();
    change(&scene.ledger(), "update meta set value = '9999' where key = 'schema_version'");
    let before = fs::read(scene.ledger()).unwrap();
    let outcome = scene.replay(&node.url(), &[]);
    expect_error("ledger of a newer version", outcome, USAGE, &["newer"]);
    // The nodes can be judged without it.
    let ledger = scene.ledger().display().to_string();
    let health = scene.program.run(["health", "-r", &node.url(), "--ledger", &ledger]);
    assert!(health.stdout.contains("has schema 9999"), "{}{}", health.stdout, health.stderr);
    assert!(fs::read(scene.ledger()).unwrap() == before, "the ledger was changed");
}

/// What version 4 of the tables changed, taken back.
const BACK_TO_VERSION_3: &str = "
    drop view coverage;
    alter table coverage_parts drop column goes_on;
    alter table coverage_parts rename to coverage;
    drop view lanes;
    alter table lane_records rename to lanes;
    alter table lane_batches drop column next_block;
    alter table lane_batches drop column next_seq;
    alter table lane_batches drop column next_batch;
    alter table lane_batches drop column journal_seq;
    update meta set value = '3' where key = 'schema_version'";

#[test]
fn a_ledger_of_an_older_version_is_brought_forward_by_whoever_reads_it() {
    let scene = scene!("a_ledger_of_an_older_version");
    if tool("@duckdb/node-api").is_none() {
        skip!("a_ledger_of_an_older_version: stock DuckDB is not installed (make tools)");
    }
    let node = ScriptedNode::honest(&scene.chain);
    let url = node.url();
    scene.replay(&url, &[]).expect_success();
    let before = scene.digest();
    let commands: [&[&str]; 6] = [
        &["query", "select count(*) from events"],
        &["ledger", "digest"],
        &["ledger", "check"],
        &["coverage"],
        &["snapshot", "copy.duckdb"],
        &["health", "-r", &url],
    ];
    let ledger = scene.ledger().display().to_string();
    for command in commands {
        let run = || scene.program.run(command.iter().chain(&["--ledger", ledger.as_str()]));
        let again = |outcome: Outcome| (outcome.code, outcome.stderr);
        change(&scene.ledger(), BACK_TO_VERSION_3);
        let (code, said) = again(run());
        assert!(said.contains("brought from schema 3 to 4"), "{command:?}: {said}");
        let _ = fs::remove_file(scene.folder.path().join("copy.duckdb"));
        let (code_after, said) = again(run());
        assert_eq!(code, code_after, "{command:?}");
        assert!(!said.contains("schema"), "{command:?}: {said}");
        assert_ne!(code, Some(LOCAL_IO), "{command:?}: {said}");
        assert_eq!(scene.digest(), before, "{command:?}");
    }
}

#[test]
fn a_ledger_of_another_chain_is_not_added_to_by_mistake() {
    let scene = scene!("a_ledger_of_another_chain");
    let honest = ScriptedNode::honest(&scene.chain);
    scene.replay(&honest.url(), &[]).expect_success();
    let (before, bytes) = (scene.digest(), fs::read(scene.ledger()).unwrap());
    let other =
        ScriptedNode::start(&scene.chain, on("eth_chainId", |_, _| Bent::Result(json!("0x5"))));
    let outcome = scene.replay(&other.url(), &[]);
    let words = ["holds events of chain 31337", "--chain-id 5"];
    expect_error("ledger of another chain", outcome, USAGE, &words);
    assert_eq!(scene.digest(), before);
    assert!(fs::read(scene.ledger()).unwrap() == bytes, "the ledger was changed");
    scene.replay(&other.url(), &["--chain-id", "5"]).expect_success();
    assert_eq!(RECORDED_CHAIN_ID, 31_337);
}

#[test]
fn a_truncated_recording_is_refused() {
    let scene = scene!("a_truncated_recording");
    let whole = fs::read(workspace().join("fixtures/erc20.ndjson.gz")).unwrap();
    for (name, bytes) in [
        ("cut.ndjson.gz", &whole[..whole.len() / 2]),
        ("tail.ndjson.gz", &whole[..whole.len() - 30]),
    ] {
        let recording = scene.write(name, bytes);
        expect_error("truncated recording", scene.replay(&recording, &[]), USAGE, &[name]);
        assert!(!scene.ledger().exists());
    }
}

#[test]
fn nodes_that_are_not_there_or_speak_no_json_rpc_leave_everything_open() {
    let scene = scene!("nodes_that_are_not_there");
    let unknown = scene.replay("http://no-such-host.invalid", &[]);
    expect_error("unknown host", unknown, LEFT_OPEN, &["no-such-host.invalid"]);
    let refused = scene.replay("http://127.0.0.1:1", &[]);
    expect_error("refused connection", refused, LEFT_OPEN, &["127.0.0.1:1"]);

    let page = "<!DOCTYPE html><html><body>welcome</body></html>";
    type Case = (&'static str, Box<dyn Fn(&ScriptedCall, Value) -> Bent + Send + Sync>);
    let bends: Vec<Case> = vec![
        ("HTML instead of JSON", Box::new(move |_, _| Bent::Body(200, page.into()))),
        ("truncated JSON", Box::new(|_, _| Bent::Truncated)),
        ("closed connection", Box::new(|_, _| Bent::Closed)),
        ("an answer for another id", Box::new(|_, honest| Bent::OtherId(honest))),
        ("an empty object", Box::new(|_, _| Bent::Body(200, "{}".into()))),
        ("HTTP 502", Box::new(|_, _| Bent::Body(502, "bad gateway".into()))),
    ];
    for (case, bend) in bends {
        let node = ScriptedNode::start(&scene.chain, bend);
        expect_error(case, scene.replay(&node.url(), &[]), LEFT_OPEN, &[&node.host()]);
        assert!(!scene.ledger().exists(), "{case} made a ledger");
    }
}

#[test]
fn answers_that_break_in_mid_run_leave_the_range_open_and_claim_nothing() {
    let scene = scene!("answers_that_break_in_mid_run");
    let honest = ScriptedNode::honest(&scene.chain);
    scene.replay(&honest.url(), &["-b", "0:20"]).expect_success();
    let before = scene.digest();
    type Bend = Box<dyn Fn(&ScriptedCall, Value) -> Bent + Send + Sync>;
    let cases: Vec<(&str, Bend)> = vec![
        ("HTML for logs", Box::new(on("eth_getLogs", |_, _| Bent::Body(200, "<html>".into())))),
        ("truncated logs", Box::new(on("eth_getLogs", |_, _| Bent::Truncated))),
        ("logs under another id", Box::new(on("eth_getLogs", |_, all| Bent::OtherId(all)))),
        ("null for logs", Box::new(on("eth_getLogs", |_, _| Bent::Result(Value::Null)))),
    ];
    // Each waits out its retries: side by side they take as long as one.
    let outcomes: Vec<(&str, Outcome)> = std::thread::scope(|scope| {
        let runs: Vec<_> = cases
            .into_iter()
            .enumerate()
            .map(|(i, (case, bend))| {
                let scene = &scene;
                scope.spawn(move || {
                    let node = ScriptedNode::start(&scene.chain, bend);
                    let copy = scene.folder.path().join(format!("copy{i}.duckdb"));
                    fs::copy(scene.ledger(), &copy).unwrap();
                    let mut arguments = scene.arguments(&node.url(), &[]);
                    let at = arguments.iter().position(|word| word == "--ledger").unwrap();
                    arguments[at + 1] = copy.display().to_string();
                    let outcome = scene.program.run(&arguments);
                    let digest = ["ledger", "digest", "--ledger", &copy.display().to_string()]
                        .map(str::to_owned);
                    let digest = scene.program.run(digest).expect_success().stdout;
                    (case, outcome, digest)
                })
            })
            .collect();
        runs.into_iter()
            .map(|run| {
                let (case, outcome, digest) = run.join().unwrap();
                assert_eq!(digest, before, "{case}: {}", outcome.stderr);
                (case, outcome)
            })
            .collect()
    });
    for (case, outcome) in outcomes {
        let outcome = expect_error(case, outcome, LEFT_OPEN, &["40 blocks stay open"]);
        assert!(outcome.stdout.contains("open     21:60"), "{case}: {}", outcome.stdout);
    }
    assert!(!scene.is_untouched());
}

#[test]
fn f9_a_member_of_each_batch_that_is_spoilt_is_asked_for_again_and_nothing_is_lost_or_made_up() {
    let scene = scene!("a_member_of_each_batch");
    let spoilt: [fn(Value) -> Bent; 3] = [
        |_| Bent::Error(-32_000, "something broke".into()),
        // It is under the id of another one, which has two answers then.
        Bent::OtherId,
        |_| Bent::Result(Value::Null),
    ];
    for bend in spoilt {
        let node = ScriptedNode::start(&scene.chain, move |call, honest| {
            match (call.method.as_str(), call.member) {
                ("eth_getBlockByNumber", Some(3)) => bend(honest),
                _ => Bent::Result(honest),
            }
        });
        let _of_the_run_before = fs::remove_file(scene.ledger());
        scene.replay(&node.url(), &[]).expect_success();
        assert_eq!(scene.stored(), scene.truth());
    }
}

#[test]
fn receipts_that_prove_nothing_leave_their_block_open() {
    let scene = scene!("receipts_that_prove_nothing");
    let block = scene.block_with_logs();
    let hash = scene.chain.hash(block).to_owned();
    type Bend = Box<dyn Fn(Value) -> Value + Send + Sync>;
    let cases: Vec<(&str, Bend, &str)> = vec![
        ("null receipts", Box::new(|_| Value::Null), "eth_getBlockReceipts"),
        (
            "receipts one short",
            Box::new(|mut all| {
                all.as_array_mut().unwrap().pop();
                all
            }),
            "receipt",
        ),
        (
            "a receipt without its last log",
            Box::new(|mut all| {
                all[0]["logs"].as_array_mut().unwrap().pop();
                all
            }),
            "",
        ),
    ];
    for (case, bend, word) in cases {
        let hash = hash.clone();
        let node = ScriptedNode::start(
            &scene.chain,
            on("eth_getBlockReceipts", move |call, honest| {
                let is_it = call.params.to_string().contains(&hash);
                Bent::Result(if is_it { bend(honest) } else { honest })
            }),
        );
        let outcome = scene.replay(&node.url(), &["--verify", "prove"]);
        expect_error(case, outcome, LEFT_OPEN, &[word, "open"]);
        let stored = scene.stored();
        assert!(stored.iter().all(|line| scene.truth().contains(line)), "{case}: {stored:?}");
        let proved = format!(
            "coverage where content = 'receipts' and {block} between first_block and last_block"
        );
        assert_eq!(scene.count(&proved), 0, "{case}: the block counts as proved");
        fs::remove_file(scene.ledger()).unwrap();
    }
}

#[test]
fn logs_forged_together_with_their_receipts_do_not_enter() {
    let scene = scene!("logs_forged_together_with_their_receipts");
    let forged = format!("0x{}", "ff".repeat(32));
    let forge = move |logs: &mut Value| {
        logs.as_array_mut().unwrap().iter_mut().for_each(|log| log["data"] = json!(forged));
    };
    let node = ScriptedNode::start(&scene.chain, move |call: &ScriptedCall, mut honest: Value| {
        match call.method.as_str() {
            "eth_getLogs" => forge(&mut honest),
            "eth_getBlockReceipts" => {
                let receipts = honest.as_array_mut().unwrap().iter_mut();
                receipts.for_each(|receipt| forge(&mut receipt["logs"]));
            }
            _ => {}
        }
        Bent::Result(honest)
    });
    let outcome = scene.replay(&node.url(), &["--verify", "prove"]);
    expect_error("receipts that are forged too", outcome, LEFT_OPEN, &["open"]);
    assert_eq!(scene.stored(), Vec::<String>::new(), "a forged log is in the ledger");
    let honest = ScriptedNode::start(&scene.chain, truth);
    scene.replay(&honest.url(), &["--verify", "prove"]).expect_success();
    assert_eq!(scene.stored(), scene.truth(), "what the honest node has");
}

#[test]
fn a_log_of_another_address_is_dropped_and_named() {
    let scene = scene!("a_log_of_another_address");
    for level in ["off", "bloom", "prove"] {
        let node = ScriptedNode::start(
            &scene.chain,
            on("eth_getLogs", |_, mut logs| {
                if let Some(mut foreign) = logs.get(3).cloned() {
                    foreign["address"] = json!("0x00000000000000000000000000000000000000ee");
                    foreign["logIndex"] = json!("0x77");
                    logs.as_array_mut().unwrap().insert(4, foreign);
                }
                Bent::Result(logs)
            }),
        );
        let outcome = scene.replay(&node.url(), &["--verify", level]).expect_success();
        assert!(outcome.stdout.contains("wrong-filter"), "{level}: {}", outcome.stdout);
        assert!(outcome.stderr.contains("warning: "), "{level}: {}", outcome.stderr);
        assert_eq!(scene.stored(), scene.truth(), "{level}");
        fs::remove_file(scene.ledger()).unwrap();
    }
}

#[test]
fn a_forged_log_never_enters_where_headers_are_read() {
    let scene = scene!("a_forged_log");
    // A bloom does not know data: what is made up of topics that a block has is caught by receipts
    // only, what is made up in a block without any by the bloom too.
    let is_quiet = |n: &u64| !scene.has_logs(*n) && scene.chain.has_receipts(*n);
    let quiet = (1..scene.chain.head()).find(is_quiet).unwrap();
    let (quiet, hash) = (json!(format!("{quiet:#x}")), json!(scene.chain.hash(quiet)));
    let forge = move |logs: &mut Value, is_quiet: bool| {
        let Some(mut forged) = logs.get(3).cloned() else { return };
        forged["data"] = json!(format!("0x{:064x}", 7_777_777));
        let list = logs.as_array_mut().unwrap();
        if is_quiet {
            forged["blockNumber"] = quiet.clone();
            forged["blockHash"] = hash.clone();
            list.push(forged);
        } else {
            list.insert(4, forged);
        }
    };
    for (level, flaw, is_quiet) in
        [("bloom", "forged", true), ("prove", "forged", false), ("prove", "forged", true)]
    {
        let forge = forge.clone();
        let node = ScriptedNode::start(
            &scene.chain,
            on("eth_getLogs", move |_, mut logs| {
                forge(&mut logs, is_quiet);
                Bent::Result(logs)
            }),
        );
        let outcome = scene.replay(&node.url(), &["--verify", level]).expect_success();
        assert!(outcome.stdout.contains(flaw), "{level}: {}", outcome.stdout);
        assert!(outcome.stderr.contains("warning: "), "{level}: {}", outcome.stderr);
        assert_eq!(scene.stored(), scene.truth(), "{level}");
        let again =
            scene.replay(&node.url(), &["--verify", level, "--refetch", "--fail-on-incident"]);
        expect_error("a forged log, --fail-on-incident", again, CHECK_FAILED, &["wrong answer"]);
        assert_eq!(scene.stored(), scene.truth(), "{level}");
        fs::remove_file(scene.ledger()).unwrap();
    }
}

#[test]
fn a_log_kept_back_is_recovered_from_the_receipts() {
    let scene = scene!("a_log_kept_back");
    let node = ScriptedNode::start(
        &scene.chain,
        on("eth_getLogs", |_, mut logs| {
            let list = logs.as_array_mut().unwrap();
            if list.len() > 3 {
                list.remove(3);
            }
            Bent::Result(logs)
        }),
    );
    let outcome = scene.replay(&node.url(), &["--verify", "prove"]).expect_success();
    assert!(outcome.stdout.contains("missing"), "{}", outcome.stdout);
    assert_eq!(scene.stored(), scene.truth());
}

#[test]
fn f37_f48_receipts_decide_what_indexes_that_repeat_and_removed_logs_leave_in_doubt() {
    let scene = scene!("f37_f48_receipts_decide");
    type Bend = fn(&mut [Value]);
    /// The logs whose block has others: alone, a wrong index cannot be seen without receipts.
    fn in_company(logs: &mut [Value]) -> impl Iterator<Item = (usize, &mut Value)> {
        let blocks: Vec<Value> = logs.iter().map(|log| log["blockNumber"].clone()).collect();
        let is_it = move |i: usize| blocks.iter().filter(|block| **block == blocks[i]).count() > 1;
        logs.iter_mut().enumerate().filter(move |(i, _)| is_it(*i))
    }
    let cases: [(&str, &str, Bend); 3] = [
        ("log indexes that repeat", "log-index", |logs| {
            in_company(logs).for_each(|(_, log)| log["logIndex"] = json!("0x0"));
        }),
        ("log indexes that fall", "log-index", |logs| {
            in_company(logs)
                .for_each(|(i, log)| log["logIndex"] = json!(format!("{:#x}", 900 - i)));
        }),
        // One of several logs of a block, so that no bloom can tell.
        ("a removed log", "removed", |logs| {
            let mut last = Value::Null;
            for (_, log) in in_company(logs) {
                let block = log["blockNumber"].clone();
                log["removed"] = json!(block == std::mem::replace(&mut last, block.clone()));
            }
        }),
    ];
    for (case, flaw, bend) in cases {
        let node = ScriptedNode::start(
            &scene.chain,
            on("eth_getLogs", move |_, mut logs| {
                bend(logs.as_array_mut().unwrap());
                Bent::Result(logs)
            }),
        );
        let outcome = scene.replay(&node.url(), &["--verify", "bloom"]).expect_success();
        assert!(outcome.stdout.contains(flaw), "{case}: {}", outcome.stdout);
        assert_eq!(scene.stored(), scene.truth(), "{case}");
        fs::remove_file(scene.ledger()).unwrap();
    }
}

#[test]
fn a_zeroed_bloom_proves_nothing_and_the_block_stays_open() {
    let scene = scene!("a_zeroed_bloom");
    let block = scene.block_with_logs();
    let zeroed = move |call: &ScriptedCall, mut header: Value| {
        if call.params[0] == format!("{block:#x}") {
            header["logsBloom"] = json!(format!("0x{}", "00".repeat(256)));
        }
        Bent::Result(header)
    };
    for level in ["bloom", "prove"] {
        let node = ScriptedNode::start(&scene.chain, on("eth_getBlockByNumber", zeroed));
        let outcome = scene.replay(&node.url(), &["--verify", level]);
        let outcome = expect_error("a zeroed bloom", outcome, LEFT_OPEN, &["header", "open"]);
        assert!(outcome.stdout.contains("header-hash"), "{}", outcome.stdout);
        assert!(!scene.is_covered(block), "{level}: the block counts as covered");
        assert!(scene.stored().iter().all(|line| scene.truth().contains(line)));

        // Another node closes it.
        let honest = ScriptedNode::honest(&scene.chain);
        scene.replay(&honest.url(), &["--verify", level]).expect_success();
        assert_eq!(scene.stored(), scene.truth());
        fs::remove_file(scene.ledger()).unwrap();
    }
}

#[test]
fn a_lie_of_one_node_is_made_good_by_the_next() {
    let scene = scene!("a_lie_of_one_node");
    let liar = ScriptedNode::start(
        &scene.chain,
        on("eth_getBlockByNumber", |_, mut header| {
            if header.get("logsBloom").is_some() {
                header["logsBloom"] = json!(format!("0x{}", "00".repeat(256)));
            }
            Bent::Result(header)
        }),
    );
    let honest = ScriptedNode::honest(&scene.chain);
    let outcome = scene.replay(&liar.url(), &["-r", &honest.url()]).expect_success();
    assert!(outcome.stderr.contains("warning: "), "{}", outcome.stderr);
    assert_eq!(scene.stored(), scene.truth());
}

#[test]
fn a_node_that_is_down_is_told_once_and_the_others_are_used() {
    let scene = scene!("a_node_that_is_down");
    let honest = ScriptedNode::honest(&scene.chain);
    let outcome = scene.replay("http://127.0.0.1:1", &["-r", &honest.url()]).expect_success();
    assert_eq!(outcome.stderr.matches("127.0.0.1:1:").count(), 1, "{}", outcome.stderr);
    assert_eq!(scene.stored(), scene.truth());
}

#[test]
fn f1_a_node_whose_logs_are_always_an_error_is_left_for_the_next_one() {
    let scene = scene!("f1_a_node_whose_logs_are_always_an_error");
    let html = "<html><body>502 Bad Gateway</body></html>";
    let cases = [
        ("-32000", Bent::Error(-32000, "internal oops".into())),
        ("-32603", Bent::Error(-32603, "Internal error".into())),
        ("HTTP 500", Bent::Body(500, "oops".into())),
        ("HTML", Bent::Body(200, html.into())),
    ];
    // Side by side: the waits between tries are most of the time.
    std::thread::scope(|scope| {
        for (i, (case, error)) in cases.into_iter().enumerate() {
            let scene = &scene;
            scope.spawn(move || {
                let broken =
                    ScriptedNode::start(&scene.chain, on("eth_getLogs", move |_, _| error.clone()));
                let honest = ScriptedNode::honest(&scene.chain);
                let level = if i % 2 == 0 { "off" } else { "bloom" };
                let ledger = scene.folder.path().join(format!("{i}.duckdb")).display().to_string();
                let mut arguments =
                    scene.arguments(&broken.url(), &["-r", &honest.url(), "--verify", level]);
                let at = arguments.iter().position(|word| word == "--ledger").unwrap();
                arguments[at + 1] = ledger;
                let start = Instant::now();
                let outcome = scene.program.run(&arguments).expect_success();
                assert!(outcome.stdout.contains("0:60 (61 blocks): "), "{}", outcome.stdout);
                let given_up: Vec<&str> =
                    outcome.stderr.lines().filter(|line| line.contains("given up")).collect();
                assert_eq!(
                    given_up.len(),
                    1,
                    "{case}: one line, whatever it is about: {given_up:#?}"
                );
                assert!(given_up[0].contains("61 blocks in 0:60"), "{case}: {given_up:?}");
                let calls = broken.calls()["eth_getLogs"];
                // Eight ranges at once, some narrower ones, and five tries of eight single blocks.
                assert!(calls <= 64, "{case}: {calls} calls");
                assert!(start.elapsed() < Duration::from_secs(40), "{case}: {:?}", start.elapsed());
                println!("{case}: {calls} calls in {:?}", start.elapsed());
            });
        }
    });
}

#[test]
fn f11_a_node_that_hangs_is_given_up_after_its_timeout_and_the_next_one_used() {
    let scene = scene!("f11_a_node_that_hangs");
    let honest = ScriptedNode::honest(&scene.chain);
    for (name, method) in [("all", ""), ("logs", "eth_getLogs")] {
        let hanging = ScriptedNode::start(&scene.chain, move |call, honest| {
            match method.is_empty() || call.method == method {
                true => Bent::Silence,
                false => Bent::Result(honest),
            }
        });
        let config = format!(
            "[chain.main]\n[[chain.main.node]]\nname = \"slow\"\nurl = \"{}\"\ntimeout = \"200ms\"\n\
             [[chain.main.node]]\nname = \"good\"\nurl = \"{}\"\n",
            hanging.url(),
            honest.url()
        );
        let config = scene.write(&format!("{name}.toml"), config);
        let ledger = scene.folder.path().join(format!("{name}.duckdb"));
        let contract = format!("token={}", scene.token);
        let range = format!("0:{}", scene.chain.head());
        let start = Instant::now();
        let outcome = scene.program.run([
            "replay",
            "--config",
            &config,
            "-c",
            &contract,
            "-e",
            TRANSFER,
            "-b",
            &range,
            "--ledger",
            &ledger.display().to_string(),
        ]);
        let outcome = outcome.expect_success();
        // Two tries and a pause, beside a debug build's own time.
        assert!(start.elapsed() < Duration::from_secs(10), "{name} took {:?}", start.elapsed());
        assert!(outcome.stdout.contains("0:60 (61 blocks): "), "{}", outcome.stdout);
        if method.is_empty() {
            assert!(outcome.stderr.contains("warning: node left out: slow"), "{}", outcome.stderr);
        }
    }
}

#[test]
fn a_signature_that_does_not_say_what_is_indexed_is_told_and_the_events_are_kept_raw() {
    let scene = scene!("a_signature_that_does_not_say_what_is_indexed");
    let node = ScriptedNode::honest(&scene.chain);
    let plain = ["-e", "Transfer(address,address,uint256)", "--format", "json"];
    let outcome = scene.replay(&node.url(), &plain).expect_success();
    assert!(outcome.stderr.contains("2 indexed arguments"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("address indexed from"), "{}", outcome.stderr);
    let summary: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(summary["undecoded"][0]["count"], scene.truth().len(), "{summary}");
    assert_eq!(scene.stored(), scene.truth());
    fs::remove_file(scene.ledger()).unwrap();

    let outcome = scene.replay(&node.url(), &["--format", "json"]).expect_success();
    assert!(!outcome.stderr.contains("warning: "), "{}", outcome.stderr);
    assert!(outcome.stdout.contains(r#""undecoded":[]"#), "{}", outcome.stdout);
}

#[test]
fn f23_a_block_of_sixty_thousand_logs_is_stored_whole() {
    const LOGS: u64 = 60_000;
    let scene = scene!("f23_a_block_of_sixty_thousand_logs");
    let block = scene.block_with_logs();
    let node = ScriptedNode::start(
        &scene.chain,
        on("eth_getLogs", move |_, logs| {
            let number = json!(format!("{block:#x}"));
            let of_block = logs.as_array().unwrap().iter().find(|log| log["blockNumber"] == number);
            let Some(template) = of_block else { return Bent::Result(logs) };
            let dense = (0..LOGS).map(|i| {
                let mut log = template.clone();
                log["logIndex"] = json!(format!("{i:#x}"));
                log["data"] = json!(format!("0x{i:064x}"));
                log
            });
            Bent::Result(dense.collect())
        }),
    );
    scene.replay(&node.url(), &["--verify", "off"]).expect_success();
    assert_eq!(scene.count("events"), LOGS);
    let sum =
        scene.program.query(&scene.ledger(), "select sum(value)::varchar as v from token.Transfer");
    assert_eq!(sum[0]["v"], (LOGS * (LOGS - 1) / 2).to_string());
}

#[test]
fn f47_a_node_at_height_zero_says_nothing_of_blocks_far_above() {
    let scene = scene!("f47_a_node_at_height_zero");
    let chain = scene.chain.clone();
    let node = ScriptedNode::start(&scene.chain, move |call, honest| match call.method.as_str() {
        // No peers, nothing synced, and an empty list for whatever is asked.
        "eth_getLogs" => Bent::Result(json!([])),
        "eth_getBlockByNumber"
            if matches!(text(&call.params[0]), "latest" | "safe" | "finalized") =>
        {
            Bent::Result(chain.answer("eth_getBlockByNumber", &json!(["0x0", false])))
        }
        "eth_getBlockByNumber" if call.params[0] != "0x0" => Bent::Result(Value::Null),
        _ => Bent::Result(honest),
    });
    let outcome = scene.replay(&node.url(), &["-b", "10:60", "--verify", "off"]);
    expect_error("a node at height 0", outcome, LEFT_OPEN, &["is at block 0 only", "51 blocks"]);
    assert!(scene.is_untouched());
    let json = ["-b", "10:60", "--verify", "off", "--format", "json"];
    let told = scene.replay(&node.url(), &json).expect_code(LEFT_OPEN).stdout;
    let summary: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&summary["status"], &summary["more"]), (&json!("open"), &json!(true)));
}

#[test]
fn a_known_block_anchors_the_headers_and_another_hash_fails_the_check() {
    let scene = scene!("a_known_block_anchors");
    let node = ScriptedNode::honest(&scene.chain);
    let head = scene.chain.head();
    let wrong = format!("{head}:0x{}", "ab".repeat(32));
    let outcome = scene.replay(&node.url(), &["--anchor", &wrong]);
    expect_error("wrong anchor", outcome, CHECK_FAILED, &["contradicts --anchor"]);
    assert!(scene.is_untouched());

    // What was read on the node's word is read again when more is demanded.
    scene.replay(&node.url(), &[]).expect_success();
    let right = format!("{head}:{}", scene.chain.hash(head));
    let outcome = scene.replay(&node.url(), &["--anchor", &right, "--format", "json"]);
    let summary: Value = serde_json::from_str(&outcome.expect_success().stdout).unwrap();
    assert_eq!(summary["evidence"]["anchor"], "checkpoint", "{summary}");
    assert_eq!(scene.stored(), scene.truth());
    let outcome = scene.replay(&node.url(), &["--anchor", &wrong]);
    expect_error("wrong anchor over covered blocks", outcome, CHECK_FAILED, &["--anchor"]);
}

#[test]
fn a_full_disk_leaves_the_last_whole_commit() {
    let scene = scene!("a_full_disk");
    let node = ScriptedNode::honest(&scene.chain);
    let url = node.url();
    let run = |more: &[&str]| {
        let arguments = scene.arguments(&url, more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        scene.program.run_on_full_disk(4, &arguments)
    };
    expect_error("a full disk, new ledger", run(&[]), LOCAL_IO, &[]);
    assert!(scene.is_untouched());
    let _ = fs::remove_file(scene.ledger());

    scene.replay(&url, &["-b", "0:20"]).expect_success();
    let before = scene.digest();
    expect_error("a full disk", run(&[]), LOCAL_IO, &[]);
    assert_eq!(scene.digest(), before);
    // With room again, the same command does the rest.
    scene.replay(&url, &[]).expect_success();
    assert_eq!(scene.stored(), scene.truth());
}

#[test]
fn a_disk_that_is_full_at_any_size_of_the_ledger_loses_nothing_that_was_committed() {
    let scene = scene!("a_disk_that_is_full_at_any_size");
    let Some(wasm) = Program::plugin("erc20_balances") else {
        skip!("a_disk_that_is_full_at_any_size: the plugins are not built (make plugins)");
    };
    let wasm = wasm.display().to_string();
    let node = ScriptedNode::honest(&scene.chain);
    let (mut refused, mut not_folded) = (0, 0);
    for flags in [&[][..], &["--plugin", &wasm][..]] {
        scene.replay(&node.url(), flags).expect_success();
        let whole = scene.digest();
        for kib in [2, 4, 64, 900, 2_000, 3_500] {
            let _ = fs::remove_file(scene.ledger());
            let case = format!("{kib} KiB, {flags:?}");
            let arguments = scene.arguments(&node.url(), flags);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let outcome = scene.program.run_on_full_disk(kib * 2, &arguments);
            if outcome.code == Some(0) {
                assert!(kib >= 3_500, "{case} is no full disk");
            } else if scene.ledger().exists() {
                let words = ["everything is committed", "File too large", "make room"];
                let outcome = expect_error(&case, outcome, LOCAL_IO, &words);
                assert!(outcome.stdout.contains("0:60 (61 blocks): "), "{case}: no summary");
                assert_eq!(scene.digest(), whole, "{case}");
                not_folded += 1;
            } else {
                let words = ["writing the ledger", "nothing of the last step"];
                let outcome = expect_error(&case, outcome, LOCAL_IO, &words);
                // A slow machine says meanwhile which plugin it compiles.
                let mut lines = outcome.stderr.lines().filter(|l| !l.starts_with("compiling "));
                let is_blamed = lines.any(|line| line.contains("plugin"));
                assert!(!is_blamed, "{case}: {}", outcome.stderr);
                refused += 1;
            }
            // With room again, the same command does the rest, if there is one.
            scene.replay(&node.url(), flags).expect_success();
            assert_eq!(scene.digest(), whole, "{case}");
        }
        fs::remove_file(scene.ledger()).unwrap();
    }
    assert!(refused >= 4 && not_folded >= 4, "{refused} refused, {not_folded} not folded");
}

#[test]
fn a_file_that_lies_there_and_is_not_wanted_is_named_with_its_line_and_with_the_way_around_it() {
    let scene = match Scene::set_up() {
        Ok(scene) => scene,
        Err(missing) => skip!("a_file_that_lies_there: {missing}"),
    };
    let node = ScriptedNode::honest(&scene.chain);
    scene.write(
        "headcount.toml",
        "[chain.made]\n[[chain.made.node]]\nurl = \"http://${NOT_SET}\"\n",
    );
    let said = scene.replay(&node.url(), &[]).expect_code(USAGE).stderr;
    for words in ["headcount.toml:3:", "`${NOT_SET}` is not set", "hint: `--config FILE`"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    scene.replay(&node.url(), &["--config", "/dev/null"]).expect_success();
    // Whoever names a file wants it.
    let path = scene.folder.path().join("headcount.toml").display().to_string();
    let said = scene.replay(&node.url(), &["--config", &path]).expect_code(USAGE).stderr;
    assert!(!said.contains("/dev/null"), "{said}");
}

#[test]
fn f7_a_node_that_says_the_same_nothing_in_every_try_is_no_reason_to_run_again() {
    let scene = match Scene::set_up() {
        Ok(scene) => scene,
        Err(missing) => skip!("a_node_that_says_the_same_nothing: {missing}"),
    };
    let page = || "<html><body>It works!</body></html>".to_owned();
    let is_first = |call: &ScriptedCall| call.method != "eth_getLogs";
    let nodes = [
        ScriptedNode::start(&scene.chain, |_, _| Bent::Result(Value::Null)),
        ScriptedNode::start(&scene.chain, move |_, _| Bent::Body(200, page())),
        ScriptedNode::start(&scene.chain, move |call, truth| match is_first(call) {
            true => Bent::Result(truth),
            false => Bent::Body(200, page()),
        }),
    ];
    for node in &nodes {
        let said = scene.replay(&node.url(), &[]).expect_code(LEFT_OPEN).stderr;
        assert!(said.contains("check that the URL is that of a JSON-RPC endpoint"), "{said}");
        assert!(!said.contains("run the same command again"), "{said}");
    }
}
