//! `headcount health` over nodes that are well, down, behind, elsewhere or talking HTML, with and
//! without a ledger: what it says, and with which exit code.

use headcount_tests::{
    Anvil, Bent, Outcome, Program, RecordedChain, ScriptedCall, ScriptedNode, skip,
};
use serde_json::{Value, json};
use std::{
    fs::File,
    net::TcpListener,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";

/// The program in a folder of its own, and a recorded chain to be served.
struct Scene {
    folder: TempDir,
    program: Program,
    chain: Arc<RecordedChain>,
}

impl Scene {
    fn set_up() -> Result<Self, &'static str> {
        let folder = tempfile::tempdir().unwrap();
        let program =
            Program::in_folder(folder.path()).ok_or("headcount is not built (make build)")?;
        let chain = RecordedChain::load().ok_or("fixtures/ are not made (make fixtures)")?;
        Ok(Self { folder, program, chain: Arc::new(chain) })
    }

    /// A node that says of the recorded chain that its newest block was made just now.
    fn node(&self) -> ScriptedNode {
        self.bent(|_, truth| Bent::Result(truth))
    }

    /// The same, with a bend.
    fn bent(
        &self,
        bend: impl Fn(&ScriptedCall, Value) -> Bent + Send + Sync + 'static,
    ) -> ScriptedNode {
        ScriptedNode::start(&self.chain, move |call, truth| bend(call, live(call, truth)))
    }

    /// Writes the first blocks of the chain into the ledger, through block `last`.
    fn replay(&self, last: u64) {
        let node = ScriptedNode::honest(&self.chain);
        let blocks = format!("0:{last}");
        let arguments = ["replay", "-r", &node.url(), "-e", TRANSFER, "-b", &blocks];
        self.program.run(arguments.iter().chain(&["--ledger", "l.duckdb"])).expect_success();
    }

    fn health(&self, nodes: &[&str], more: &[&str]) -> Outcome {
        let mut arguments = vec!["health"];
        nodes.iter().for_each(|node| arguments.extend(["-r", node]));
        arguments.extend(more);
        self.program.run(arguments)
    }

    /// The report for programs, which must come with this exit code.
    #[track_caller]
    fn report(&self, nodes: &[&str], more: &[&str], code: i32) -> Value {
        let mut arguments = vec!["--format", "json"];
        arguments.extend(more);
        let outcome = self.health(nodes, &arguments).expect_code(code);
        let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(report["version"], 1, "{report}");
        assert_eq!(outcome.stderr.is_empty(), code == 0, "{}", outcome.stderr);
        report
    }
}

/// What a node that follows the chain says, given the recorded truth.
fn live(call: &ScriptedCall, mut truth: Value) -> Value {
    match call.method.as_str() {
        "eth_syncing" => json!(false),
        "net_peerCount" => json!("0x19"),
        "eth_getBlockByNumber" if call.params[0] == "latest" || call.params[0] == "finalized" => {
            truth["timestamp"] = json!(format!("{:#x}", now_s()));
            truth
        }
        _ => truth,
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A URL where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("dead=http://{}", listener.local_addr().unwrap())
}

macro_rules! scene {
    ($test:literal) => {
        match Scene::set_up() {
            Ok(scene) => scene,
            Err(missing) => skip!("{}: {missing}", $test),
        }
    };
}

#[test]
fn health_of_everything_in_order_is_exit_0_with_a_line_for_each() {
    let scene = scene!("health");
    let (a, b) = (scene.node(), scene.node());
    let head = scene.chain.head();
    scene.replay(head);
    let nodes = [format!("a={}", a.url()), format!("b={}", b.url())];
    let nodes = [nodes[0].as_str(), nodes[1].as_str()];
    let said = scene.health(&nodes, &["--ledger", "l.duckdb"]).expect_success();
    assert_eq!(said.stderr, "");
    let lines: Vec<&str> = said.stdout.lines().collect();
    let chain = format!("chain    ok: new blocks come; block {head}, final through {head} (chain");
    assert!(lines[0].starts_with(&chain), "{}", said.stdout);
    assert!(lines[1].starts_with(&format!("node     a  ok: block {head}, ")), "{}", said.stdout);
    assert!(lines[1].ends_with("25 peers (scripted/v1)"), "{}", said.stdout);
    assert!(lines[2].starts_with("node     b  ok: "), "{}", said.stdout);
    let covered = format!("ledger   ok: 1 filter covered through block {head} (");
    assert!(lines[3].starts_with(&covered), "{}", said.stdout);
    assert!(lines[4].starts_with("warning  all 2 nodes are scripted"), "{}", said.stdout);

    let report = scene.report(&nodes, &["--ledger", "l.duckdb"], 0);
    assert_eq!((&report["status"], &report["reason"]), (&json!("ok"), &json!("ok")), "{report}");
    let node = &report["nodes"][1];
    assert_eq!((&node["peers"], &node["syncing"]), (&json!(25), &json!(false)), "{report}");
    assert_eq!((&node["lag_blocks"], &node["incidents"]), (&json!(0), &json!(0)), "{report}");
    let quiet = scene.health(&nodes, &["--ledger", "l.duckdb", "--quiet"]).expect_success();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

#[test]
fn f1_health_with_one_node_down_is_exit_1_with_the_reason() {
    let scene = scene!("health, one down");
    let (node, dead) = (scene.node(), nobody());
    let report = scene.report(&[&dead, &node.url()], &[], 1);
    assert_eq!(report["reason"], "unreachable", "{report}");
    assert_eq!(
        (&report["nodes"][0]["state"], &report["nodes"][1]["state"]),
        (&json!("out"), &json!("ok"))
    );
    assert_eq!(report["chain"]["verdict"], "ok", "{report}");
    let said = scene.health(&[&dead, &node.url()], &[]).expect_code(1);
    assert!(said.stdout.contains("dead             out: no connection"), "{}", said.stdout);
    assert!(said.stderr.contains("caused by: node dead: no connection"), "{}", said.stderr);
}

#[test]
fn f2_health_with_all_nodes_down_is_exit_3_and_knows_nothing() {
    let scene = scene!("health, all down");
    let report = scene.report(&[&nobody(), &nobody()], &[], 3);
    assert_eq!((&report["status"], &report["reason"]), (&json!("undecided"), &json!("down")));
    for node in report["nodes"].as_array().unwrap() {
        for unknown in ["head", "lag_blocks", "peers", "syncing", "finalized", "latency_ms"] {
            assert_eq!(node[unknown], Value::Null, "{unknown}: {report}");
        }
    }
    // A ledger whose newest block is years old is known to be late all the same.
    scene.replay(scene.chain.head());
    let report = scene.report(&[&nobody()], &["--ledger", "l.duckdb"], 1);
    assert_eq!(report["reason"], "coverage-old", "{report}");
}

#[test]
fn f3_health_tells_a_node_that_says_nothing_and_one_that_lags() {
    let scene = scene!("health, lagging");
    let node = scene.node();
    let silent = scene.bent(|_, _| Bent::Silence);
    let report = scene.report(&[&node.url(), &silent.url()], &["--timeout", "500ms"], 1);
    assert_eq!(report["nodes"][1]["reason"], "timed-out", "{report}");
    for (lag, state, reason, code) in
        [(2, "ok", "ok", 0), (5, "degraded", "lagging", 1), (20, "out", "far-behind", 1)]
    {
        let chain = scene.chain.clone();
        let old = scene.bent(move |call, truth| {
            if call.params[0] != "latest" {
                return Bent::Result(truth);
            }
            let number = json!([format!("{:#x}", chain.head() - lag), false]);
            Bent::Result(live(call, chain.answer("eth_getBlockByNumber", &number)))
        });
        let report = scene.report(&[&old.url(), &node.url()], &[], code);
        let found = &report["nodes"][0];
        assert_eq!((&found["state"], &found["reason"]), (&json!(state), &json!(reason)));
        assert_eq!(found["lag_blocks"], lag, "{report}");
    }
}

#[test]
fn f4_f5_f6_health_tells_a_node_that_asks_to_wait_from_a_plan_used_up() {
    let scene = scene!("health, throttled");
    let node = scene.node();
    let throttled = scene.bent(|_, _| Bent::Body(429, "slow down".into()));
    let report = scene.report(&[&throttled.url(), &node.url()], &[], 0);
    assert_eq!(report["nodes"][0]["state"], "throttled", "{report}");
    let spoken = scene.bent(|_, _| Bent::Error(429, "Too Many Requests".into()));
    let report = scene.report(&[&spoken.url(), &node.url()], &[], 0);
    assert_eq!(report["nodes"][0]["state"], "throttled", "{report}");
    let used_up = scene.bent(|_, _| Bent::Body(402, "pay".into()));
    let report = scene.report(&[&used_up.url(), &node.url()], &[], 1);
    assert_eq!(report["reason"], "quota", "{report}");
}

#[test]
fn f7_health_takes_html_for_no_answer() {
    let scene = scene!("health, html");
    let node = scene.node();
    let html = scene.bent(|_, _| Bent::Body(200, "<html>challenge</html>".into()));
    let report = scene.report(&[&html.url(), &node.url()], &[], 1);
    assert_eq!(
        (&report["nodes"][0]["state"], &report["reason"]),
        (&json!("out"), &json!("malformed"))
    );
}

#[test]
fn f12_health_tells_a_node_on_another_chain() {
    let scene = scene!("health, wrong chain");
    let (a, b) = (scene.node(), scene.node());
    let other = scene.bent(|call, truth| match call.method.as_str() {
        "eth_chainId" => Bent::Result(json!("0x89")),
        _ => Bent::Result(truth),
    });
    let urls = [other.url(), a.url(), b.url()];
    let nodes = [urls[0].as_str(), urls[1].as_str(), urls[2].as_str()];
    let report = scene.report(&nodes, &[], 1);
    assert_eq!(
        (&report["chain"]["id"], &report["reason"]),
        (&json!(31_337), &json!("wrong-chain"))
    );
    assert_eq!(report["nodes"][0]["sentence"], "it is on chain 137, not 31337");
    // The ledger says which chain is meant, and so does the operator.
    let report = scene.report(&[nodes[1]], &["--chain-id", "1"], 1);
    assert_eq!(report["reason"], "wrong-chain", "{report}");
    scene.replay(10);
    let report = scene.report(&[nodes[0]], &["--ledger", "l.duckdb"], 1);
    assert_eq!(report["chain"]["id"], 31_337, "{report}");
}

#[test]
fn f42_f57_health_compares_branches() {
    let scene = scene!("health, branches");
    let (a, b) = (scene.node(), scene.node());
    let head = scene.chain.head();
    // Finality is far below, so that only the head is contested.
    let on_branch = |fork: u64| {
        scene.bent(move |call, mut truth| {
            if call.params[0] == "finalized" {
                return Bent::Error(-39_001, "finalized block not found".into());
            }
            let number = truth["number"].as_str().unwrap_or_default().to_owned();
            let number = u64::from_str_radix(number.trim_start_matches("0x"), 16).unwrap_or(0);
            if number >= fork {
                truth["hash"] = json!(format!("0x{number:064x}"));
            }
            Bent::Result(truth)
        })
    };
    let usual = on_branch(head - 2);
    let report = scene.report(&[&usual.url(), &a.url(), &b.url()], &[], 0);
    let notes = report["nodes"][0]["notes"].to_string();
    assert!(notes.contains("on another branch"), "{report}");
    let alone = on_branch(head - 20);
    let report = scene.report(&[&alone.url(), &a.url(), &b.url()], &[], 1);
    assert_eq!(
        (&report["reason"], &report["nodes"][0]["state"]),
        (&json!("alone-on-branch"), &json!("out"))
    );
}

#[test]
fn f47_health_believes_no_zero() {
    let scene = scene!("health, zero");
    let node = scene.node();
    let lonely = scene.bent(|call, truth| match call.method.as_str() {
        "net_peerCount" => Bent::Result(json!("0x0")),
        _ => Bent::Result(truth),
    });
    let report = scene.report(&[&lonely.url(), &node.url()], &[], 1);
    assert_eq!(
        (&report["reason"], &report["nodes"][0]["peers"]),
        (&json!("no-peers"), &Value::Null)
    );
}

#[test]
fn f49_f61_health_tells_a_node_that_does_not_give_its_final_block_and_nodes_of_which_none_says_it()
{
    let scene = scene!("health, final block");
    let node = scene.node();
    let report = scene.report(&[&node.url()], &[], 0);
    let number = json!(format!("{:#x}", report["nodes"][0]["finalized"].as_u64().unwrap()));
    let withholds = scene.bent(move |call, truth| match call.params[0] == number {
        true => Bent::Result(Value::Null),
        false => Bent::Result(truth),
    });
    let report = scene.report(&[&withholds.url(), &node.url()], &[], 1);
    let found = &report["nodes"][0];
    assert_eq!((&found["state"], &found["reason"]), (&json!("degraded"), &json!("no-finalized")));
    assert!(found["sentence"].as_str().unwrap().contains("which it calls final"), "{report}");
    assert_eq!(report["nodes"][1]["state"], "ok", "{report}");

    let silent = || {
        scene.bent(|call, truth| match call.params[0] == "finalized" {
            true => Bent::Result(Value::Null),
            false => Bent::Result(truth),
        })
    };
    let (one, two) = (silent(), silent());
    // Another node says it.
    let report = scene.report(&[&one.url(), &node.url()], &[], 0);
    assert_eq!(report["nodes"][0]["state"], "ok", "{report}");
    let report = scene.report(&[&one.url(), &two.url()], &[], 1);
    assert_eq!(report["reason"], "no-finalized", "{report}");
    let sentence = report["nodes"][0]["sentence"].as_str().unwrap();
    assert!(sentence.contains("does not say which block is final"), "{report}");
}

#[test]
fn health_names_a_node_that_was_caught_with_wrong_answers() {
    let scene = scene!("health, liar");
    let liar = scene.bent(|call, truth| match call.method.as_str() {
        "eth_getLogs" => Bent::Result(json!([])),
        _ => Bent::Result(truth),
    });
    let (node, url) = (scene.node(), format!("liar={}", liar.url()));
    let blocks = format!("0:{}", scene.chain.head());
    let arguments = ["replay", "-r", &url, "-e", TRANSFER, "-b", &blocks, "--ledger", "l.duckdb"];
    scene.program.run(arguments).expect_success();
    let report = scene.report(&[&url, &node.url()], &["--ledger", "l.duckdb"], 1);
    assert_eq!(report["reason"], "wrong-answers", "{report}");
    let found = &report["nodes"][0];
    assert_eq!((&found["state"], &found["axis"]), (&json!("degraded"), &json!("integrity")));
    assert!(found["incidents"].as_u64() > Some(0), "{report}");
    assert!(found["sentence"].as_str().unwrap().contains("missing"), "{report}");
    assert_eq!(report["nodes"][1]["state"], "ok", "{report}");
}

#[test]
fn health_with_coverage_open_past_the_deadline_is_exit_1() {
    let scene = scene!("health, deadline");
    let node = scene.node();
    let head = scene.chain.head();
    scene.replay(head - 20);
    let ledger = ["--ledger", "l.duckdb", "--deadline"];
    let with = |deadline| [&ledger[..], &[deadline]].concat();
    let report = scene.report(&[&node.url()], &with("1m"), 1);
    assert_eq!(report["reason"], "coverage-late", "{report}");
    let open = &report["ledger"]["open"][0]["range"];
    assert_eq!((&open["first"], &open["last"]), (&json!(head - 19), &json!(head)), "{report}");
    let report = scene.report(&[&node.url()], &with("1h"), 0);
    assert_eq!(report["ledger"]["covered_through"], head - 20, "{report}");
    assert_eq!(report["ledger"]["open"][0]["late"], false, "{report}");
}

#[test]
fn health_of_a_ledger_that_another_program_holds_judges_the_nodes_and_is_exit_3() {
    let scene = scene!("health, owned");
    let node = scene.node();
    scene.replay(10);
    let lock = File::options().write(true).open(scene.folder.path().join("l.duckdb.lock")).unwrap();
    lock.lock().unwrap();
    // What is tested is the ledger; how old the head gets meanwhile is a matter of the machine.
    let more = ["--ledger", "l.duckdb", "--deadline", "1m", "--stall", "900000h"];
    let report = scene.report(&[&node.url()], &more, 3);
    assert_eq!(report["reason"], "ledger-unread", "{report}");
    assert_eq!(report["nodes"][0]["state"], "ok", "{report}");
    assert_eq!(report["ledger"]["verdict"], "unread", "{report}");
    assert!(report["ledger"]["sentence"].as_str().unwrap().contains("in use"), "{report}");
    assert_eq!(report["nodes"][0]["incidents"], Value::Null, "not read is not none: {report}");
}

#[test]
fn health_refuses_what_makes_no_sense_and_prints_no_key() {
    let scene = scene!("health, usage");
    let node = scene.node();
    let url = node.url();
    for (nodes, more) in [
        (vec![], vec![]),
        (vec![url.as_str()], vec!["--deadline", "soon"]),
        (vec![url.as_str()], vec!["--ledger", "gone.duckdb"]),
        (vec![url.as_str()], vec!["--chain", "mainnet"]),
    ] {
        let said = scene.health(&nodes, &more).expect_code(2);
        assert!(said.stderr.contains("hint: "), "{}", said.stderr);
    }
    let html = scene.bent(|call, _| Bent::Body(403, format!("{} is no good", call.head)));
    let keyed = format!("{}/v3/SECRETKEY", html.url());
    for format in ["human", "json"] {
        let said = scene.health(&[&keyed], &["--format", format]).expect_code(3);
        assert!(!format!("{said:?}").contains("SECRETKEY"), "{said:?}");
    }
}

#[test]
fn f58_health_of_a_real_node_that_mines_and_then_stands_still() {
    let scene = scene!("health, real node");
    let Some(anvil) = Anvil::start() else { skip!("health, real node: anvil is not installed") };
    let rpc = anvil.rpc();
    let url = anvil.url();
    // Its newest block is of 2023: the chain stands still, and the node is not to blame.
    rpc.call("anvil_mine", json!(["0x5"])).unwrap();
    let report = scene.report(&[&url], &[], 1);
    assert_eq!(
        (&report["reason"], &report["nodes"][0]["state"]),
        (&json!("chain-stall"), &json!("ok"))
    );
    rpc.call("evm_setNextBlockTimestamp", json!([now_s()])).unwrap();
    rpc.call("anvil_mine", json!(["0x1"])).unwrap();
    let report = scene.report(&[&url], &[], 0);
    assert_eq!(report["nodes"][0]["head"], 6, "{report}");
}

#[test]
fn health_of_a_configuration_looks_at_all_its_chains_and_ends_as_the_worst() {
    let scene = scene!("health_of_chains");
    let one = scene.node();
    let two = scene.bent(|call, truth| {
        Bent::Result(if call.method == "eth_chainId" { json!("0x7") } else { truth })
    });
    let dead = nobody().replace("dead=", "");
    let config = |first: &str, second: &str, ledger: &str| {
        let text = format!(
            "{ledger}[chain.one]\nid = 31337\n[[chain.one.node]]\nname = \"a\"\nurl = \"{first}\"\n\
             [chain.two]\nid = 7\n[[chain.two.node]]\nname = \"b\"\nurl = \"{second}\"\n"
        );
        std::fs::write(scene.folder.path().join("headcount.toml"), text).unwrap();
    };
    let reports = |code: i32| -> Vec<(String, String)> {
        let outcome = scene.health(&[], &["--format", "json"]).expect_code(code);
        let reports = outcome.stdout.lines().map(|line| {
            let report: Value = serde_json::from_str(line).unwrap();
            assert_eq!(report["version"], 1, "{report}");
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&report["chain"]["name"]), text(&report["status"]))
        });
        reports.collect()
    };
    let told = |one: &str, two: &str| {
        [("one".to_owned(), one.to_owned()), ("two".to_owned(), two.to_owned())]
    };

    config(&one.url(), &two.url(), "");
    assert_eq!(reports(0), told("ok", "ok"));
    let said = scene.health(&[], &[]).expect_success();
    let parts: Vec<&str> = said.stdout.split("\n\n").collect();
    assert_eq!(parts.len(), 2, "{}", said.stdout);
    assert!(parts[0].contains("(one, chain 31337)\nnode     a  ok"), "{}", said.stdout);
    assert!(parts[1].contains("(two, chain 7)\nnode     b  ok"), "{}", said.stdout);
    assert_eq!(scene.health(&[], &["--quiet"]).expect_success().stdout, "");

    // One chain that nobody answers for makes the whole undecided, and is named.
    config(&one.url(), &dead, "");
    assert_eq!(reports(3), told("ok", "undecided"));
    let said = scene.health(&[], &["--quiet"]).expect_code(3);
    assert!(said.stderr.contains("chain two: "), "{}", said.stderr);
    assert!(!said.stdout.contains("chain 31337"), "{}", said.stdout);
    scene.health(&[], &["--chain", "one"]).expect_success();
    // The ledger is looked at when all were asked: in between, a run could wait for ever.
    scene.replay(scene.chain.head());
    config(&one.url(), &dead, "ledger = \"l.duckdb\"\n");
    (0..3).for_each(|_| assert_eq!(reports(3), told("ok", "undecided")));

    // What is wrong beats what is not decided, wherever it stands.
    config(&two.url(), &dead, "");
    assert_eq!(reports(1), told("failed", "undecided"));
    config(&dead, &one.url(), "");
    assert_eq!(reports(1), told("undecided", "failed"));

    let refused = scene.health(&[], &["--chain-id", "7"]).expect_code(2);
    assert!(refused.stderr.contains("--chain-id speaks of one chain"), "{}", refused.stderr);
}
