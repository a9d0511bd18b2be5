//! Keys stay where they belong: whatever a node answers, and however much of the request it
//! repeats, no key of its URL or headers is found in anything that Headcount writes or prints.

use crate::bad_input::Scene;
use flate2::read::MultiGzDecoder;
use headcount_tests::{Bent, Program, ScriptedCall, ScriptedNode, skip};
use serde_json::{Value, json};
use std::{fs, io::Read, path::Path};

const USER: &str = "CanaryUser1a2b3c";
const PASSWORD: &str = "CanaryPassword4d5e6f";
const PATH: &str = "CanaryPath7a8b9c";
const QUERY: &str = "CanaryQueryd0e1f2";
const HEADER: &str = "CanaryHeadera3b4c5";
/// What basic authentication makes of user and password; its end depends on padding.
const BASIC: &str = "Q2FuYXJ5VXNlcjFhMmIzYzpDYW5hcnlQYXNzd29yZD";

/// As much of a key tells what it is.
const TELLING: usize = 8;

/// A text with a key of which so many characters are among the first 200.
fn cut_behind(shown: usize) -> String {
    format!("{} {PATH} is not known", "x".repeat(199 - shown))
}

type Bend = Box<dyn Fn(&ScriptedCall, Value) -> Bent + Send + Sync>;

/// Bends one method and tells the truth elsewhere; an empty name is every method.
fn on(
    method: &'static str,
    bend: impl Fn(&ScriptedCall, Value) -> Bent + Send + Sync + 'static,
) -> Bend {
    Box::new(move |call, honest| match method.is_empty() || call.method == method {
        true => bend(call, honest),
        false => Bent::Result(honest),
    })
}

/// More than twenty ways to be told off, most of which repeat the request with all its keys.
fn kinds() -> Vec<(&'static str, Bend)> {
    let page = |call: &ScriptedCall| format!("<html><pre>{}</pre></html>", call.head);
    let echo = |call: &ScriptedCall| json!(call.head);
    vec![
        ("the truth", on("", |_, honest| Bent::Result(honest))),
        ("an error that repeats the request", on("", |c, _| Bent::Error(-32_000, c.head.clone()))),
        ("the same for logs", on("eth_getLogs", |c, _| Bent::Error(-32_000, c.head.clone()))),
        ("a rate limit", on("eth_getLogs", |c, _| Bent::Error(-32_005, c.head.clone()))),
        (
            "a missing method",
            on("eth_getBlockReceipts", |c, _| Bent::Error(-32_601, c.head.clone())),
        ),
        ("a page", on("", move |c, _| Bent::Body(200, page(c)))),
        ("a page for logs", on("eth_getLogs", move |c, _| Bent::Body(200, page(c)))),
        ("text", on("eth_getLogs", |c, _| Bent::Body(200, c.head.clone()))),
        ("HTTP 401", on("eth_getLogs", |c, _| Bent::Body(401, c.head.clone()))),
        ("HTTP 402", on("eth_getLogs", |c, _| Bent::Body(402, c.head.clone()))),
        ("HTTP 403", on("", move |c, _| Bent::Body(403, page(c)))),
        ("HTTP 500", on("eth_getLogs", |c, _| Bent::Body(500, c.head.clone()))),
        (
            "a text that is shown cut through a key",
            on("eth_getLogs", |c, _| Bent::Body(403, cut_behind(TELLING + c.earlier % 6))),
        ),
        (
            "a masked key",
            on("eth_getLogs", |_, _| {
                let masked = format!("project id {}... is not known", &PATH[..PATH.len() - 2]);
                Bent::Error(-32_602, masked)
            }),
        ),
        (
            "an error in a batch",
            on("eth_getBlockByNumber", |c, honest| match c.member {
                Some(2) => Bent::Error(-32_000, c.head.clone()),
                _ => Bent::Result(honest),
            }),
        ),
        ("a torn answer", on("eth_getLogs", |_, _| Bent::Truncated)),
        ("a closed connection", on("", |_, _| Bent::Closed)),
        ("another id", on("eth_getLogs", |_, honest| Bent::OtherId(honest))),
        ("a chain id of keys", on("eth_chainId", move |c, _| Bent::Result(echo(c)))),
        ("another chain", on("eth_chainId", |_, _| Bent::Result(json!("0x1")))),
        ("a client version of keys", on("web3_clientVersion", move |c, _| Bent::Result(echo(c)))),
        ("logs of keys", on("eth_getLogs", move |c, _| Bent::Result(json!([echo(c)])))),
        (
            "a log with a key for its data",
            on("eth_getLogs", |c, mut logs| {
                if let Some(log) = logs.get_mut(0) {
                    log["data"] = json!(c.head);
                }
                Bent::Result(logs)
            }),
        ),
        (
            "a log with a key for a field",
            on("eth_getLogs", |c, mut logs| {
                if let Some(log) = logs.get_mut(0) {
                    log[&c.head] = json!(c.head);
                }
                Bent::Result(logs)
            }),
        ),
        (
            "a header with a key for its hash",
            on("eth_getBlockByNumber", |c, mut block| {
                if c.member == Some(4) {
                    block["hash"] = json!(c.head);
                }
                Bent::Result(block)
            }),
        ),
        (
            "receipts with keys",
            on("eth_getBlockReceipts", |c, mut receipts| {
                if let Some(receipt) = receipts.get_mut(0) {
                    receipt["status"] = json!(c.head);
                }
                Bent::Result(receipts)
            }),
        ),
        ("null", on("", |_, _| Bent::Result(Value::Null))),
        ("silence", on("eth_getLogs", |_, _| Bent::Silence)),
    ]
}

#[test]
fn f16_no_key_is_found_anywhere_after_twenty_kinds_of_error() {
    const NAME: &str = "f16_no_key_is_found_anywhere_after_twenty_kinds_of_error";
    let scene = match Scene::set_up() {
        Ok(scene) => scene,
        Err(missing) => skip!("{NAME}: {missing}"),
    };
    let Some(plugin) = Program::plugin("erc20_balances") else {
        skip!("{NAME}: the plugins are not built (make plugins)");
    };
    let kinds = kinds();
    assert!(kinds.len() > 20, "only {}", kinds.len());
    let next = std::sync::Mutex::new(kinds.into_iter().enumerate());
    // Most of the time is spent waiting for retries.
    std::thread::scope(|scope| {
        for _ in 0..13 {
            scope.spawn(|| {
                loop {
                    let Some((i, (kind, bend))) = next.lock().unwrap().next() else { return };
                    check_kind(&scene, &plugin, i, kind, bend);
                }
            });
        }
    });
}

/// Replays through a node that misbehaves in one way, and looks at everything that is left.
fn check_kind(scene: &Scene, plugin: &Path, i: usize, kind: &str, bend: Bend) {
    let node = ScriptedNode::start(&scene.chain, bend);
    let folder = scene.folder.path().join(format!("kind{i}"));
    fs::create_dir(&folder).unwrap();
    let config = format!(
        "[chain.main]\n[[chain.main.node]]\nurl = \"http://${{USER_PART}}@{}/v3/${{PATH_KEY}}/?apikey=${{QUERY_KEY}}\"\n\
         headers = {{ authorization-key = \"${{HEADER_KEY}}\" }}\ntimeout = \"2s\"\n\
         [[plugin]]\nname = \"balances\"\nwasm = {:?}\n",
        node.host(),
        plugin.display().to_string(),
    );
    fs::write(folder.join("headcount.toml"), config).unwrap();
    let program = Program::in_folder(&folder)
        .unwrap()
        .with_variable("USER_PART", &format!("{USER}:{PASSWORD}"))
        .with_variable("PATH_KEY", PATH)
        .with_variable("QUERY_KEY", QUERY)
        .with_variable("HEADER_KEY", HEADER);
    let traced = program.clone().with_variable("HEADCOUNT_LOG", "trace");
    let contract = format!("token={}", scene.token);
    // Few blocks: a node that refuses everything is asked for each of them in every way.
    let range = "4:9";
    let replay = |program: &Program, more: &[&str]| {
        let fixed = ["replay", "-c", &contract, "-b", range, "--ledger", "events.duckdb"];
        let transfer = "Transfer(address indexed from, address indexed to, uint256 value)";
        let outcome = program
            .run([&fixed[..], &["-e", transfer, "--record", "all.ndjson.gz"], more].concat());
        assert!(
            matches!(outcome.code, Some(0 | 2 | 75)),
            "{kind}: {:?} {}",
            outcome.code,
            outcome.stderr
        );
        for (name, text) in [("stdout", &outcome.stdout), ("stderr", &outcome.stderr)] {
            expect_no_key(kind, name, text.as_bytes());
        }
        let error = outcome.stderr.lines().find(|line| line.starts_with("error: "));
        println!("| {kind} | {:?} | {} |", outcome.code, error.unwrap_or_default());
    };
    replay(&traced, &["--verify", "prove"]);
    let _ = fs::remove_file(folder.join("all.ndjson.gz"));
    replay(&program, &["--refetch", "--format", "json"]);

    let mut files = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = fs::read(&path).unwrap();
        if name.contains(".ndjson.gz") {
            let mut text = Vec::new();
            // A recording that was given up may be cut; what can be read of it counts.
            let _ = MultiGzDecoder::new(&bytes[..]).read_to_end(&mut text);
            expect_no_key(kind, &name, &text);
        }
        expect_no_key(kind, &name, &bytes);
        files += 1;
    }
    assert!(files > 0, "{kind}: nothing was left to look at");
    // Compressed columns hide from a look at the bytes.
    let ledger = folder.join("events.duckdb");
    if ledger.exists() {
        for table in [
            "incidents",
            "coverage",
            "sightings",
            "journal",
            "filters",
            "plugins",
            "lanes",
            "dead_letters",
            "plugin_state",
            "meta",
            "schemas",
            "balances.balances",
        ] {
            let sql = format!("select t::varchar as v from {table} t");
            let rows =
                program.run(["query", "--ledger", "events.duckdb", "--format", "json", &sql]);
            if rows.code == Some(0) {
                expect_no_key(kind, table, rows.stdout.as_bytes());
            }
        }
    }
}

#[track_caller]
fn expect_no_key(kind: &str, place: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    for key in [USER, PASSWORD, PATH, QUERY, HEADER, BASIC] {
        // Also what is left of one that was masked or cut.
        let key = key[..TELLING].to_lowercase();
        if let Some(at) = text.find(&key) {
            let start = text.floor_char_boundary(at.saturating_sub(300));
            let end = text.ceil_char_boundary((at + 100).min(text.len()));
            panic!("{kind}: {key} is in {place}: …{}…", &text[start..end]);
        }
    }
}
