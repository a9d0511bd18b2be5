//! `headcount coverage` of a ledger that was filled in several ways.

use headcount_tests::{Bent, Program, RecordedChain, ScriptedCall, ScriptedNode, Watching, skip};
use serde_json::{Value, json};
use std::sync::Arc;

const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";

/// A folder, the program in it and the recorded chain; a test without them says what is missing.
macro_rules! scene {
    ($name:literal) => {{
        let folder = tempfile::tempdir().unwrap();
        let Some(program) = Program::in_folder(folder.path()) else {
            skip!(concat!($name, ": headcount is not built (make build)"));
        };
        let Some(chain) = RecordedChain::load() else {
            skip!(concat!($name, ": fixtures/ are not made (make fixtures)"));
        };
        (folder, program, Arc::new(chain))
    }};
}

#[test]
fn coverage_draws_what_is_proved_on_one_word_and_open() {
    let (folder, program, chain) = scene!("coverage");
    let node = ScriptedNode::honest(&chain);
    let url = format!("one={}", node.url());
    for (range, verify) in [("1:10", "prove"), ("11:20", "off"), ("31:40", "prove")] {
        let replay = ["replay", "-r", &url, "-e", TRANSFER, "-b", range, "--verify", verify];
        program.run(replay.iter().chain(&["--ledger", "l.duckdb"])).expect_success();
    }
    let before = std::fs::read(folder.path().join("l.duckdb")).unwrap();
    let told = program.run(["coverage", "--ledger", "l.duckdb", "--format", "json"]);
    let report: Value = serde_json::from_str(&told.expect_success().stdout).unwrap();
    let filter = &report["chains"][0]["filters"][0];
    let head = chain.head();
    assert_eq!(report["chains"][0]["finalized"], head);
    assert_eq!(filter["range"], json!({"first": 1, "last": head, "count": head}));
    let blocks = json!({
        "proved": 20, "agreed": 0, "not_compared": 0, "single_source": 10, "open": head - 30, "unprovable": 0,
    });
    assert_eq!(filter["blocks"], blocks, "{report:#}");
    let known: Vec<&Value> =
        filter["ranges"].as_array().unwrap().iter().map(|range| &range["known"]).collect();
    assert_eq!(known, ["proved", "single_source", "open", "proved", "open"]);
    assert_eq!(filter["ranges"][1]["content"], "claimed");
    assert_eq!(filter["ranges"][0]["nodes"], json!(["one"]));

    let told = program.run(["coverage", "--ledger", "l.duckdb"]).expect_success();
    let bar = told.stdout.lines().find(|line| line.contains("[#")).unwrap();
    assert!(bar.contains('-') && bar.contains('.') && bar.ends_with(".]"), "{}", told.stdout);
    assert!(told.stdout.contains("single source: 11:20 (10 blocks), claimed on one-node"));
    assert_eq!(std::fs::read(folder.path().join("l.duckdb")).unwrap(), before);
    program.run(["coverage", "--ledger", "gone.duckdb"]).expect_code(2);
}

#[test]
fn replay_says_what_nodes_agree_on_and_what_of_a_sample_is_proved() {
    let (_folder, program, chain) = scene!("levels of replay");
    let (one, other) = (ScriptedNode::honest(&chain), ScriptedNode::honest(&chain));
    let nodes = [format!("one={}", one.url()), format!("other={}", other.url())];
    let range = format!("0:{}", chain.head());
    let replay = |verify: &str, nodes: &[String]| {
        let mut replay = vec!["replay", "-e", TRANSFER, "-b", &range, "--verify", verify];
        nodes.iter().for_each(|node| replay.extend(["-r", node]));
        let ledger = format!("{}.duckdb", verify.replace([':', '%'], "-"));
        let told = program.run(replay.iter().chain(&["--ledger", &ledger, "--format", "json"]));
        let summary: Value = serde_json::from_str(&told.expect_success().stdout).unwrap();
        let told = program.run(["coverage", "--ledger", &ledger, "--format", "json"]);
        let report: Value = serde_json::from_str(&told.expect_success().stdout).unwrap();
        let blocks = report["chains"][0]["filters"][0]["blocks"].clone();
        assert!(summary["events"]["new"].as_u64().unwrap() > 0);
        (summary["evidence"].clone(), blocks)
    };
    let count = chain.head() + 1;
    let (evidence, blocks) = replay("agree:2", &nodes);
    assert_eq!(evidence["content"], "agreed:2");
    assert_eq!(blocks["agreed"], count, "{blocks}");
    // Blocks 0 to 63 are among four fifths of all blocks, and not among half of them.
    assert!(count <= 64);
    let (evidence, blocks) = replay("prove:50%", &nodes[..1]);
    assert_eq!(evidence["content"], "bloom");
    assert_eq!(evidence["sample"], json!({"share": "50%", "proved": 0}));
    assert_eq!((&blocks["proved"], &blocks["single_source"]), (&json!(0), &json!(count)));
    let (evidence, blocks) = replay("prove:80%", &nodes[..1]);
    assert_eq!((&evidence["content"], &evidence["sample"]), (&json!("receipts"), &Value::Null));
    assert_eq!(blocks["proved"], count, "{blocks}");
}

#[test]
fn audit_and_coverage_beside_a_running_watch_look_through_it() {
    let (_folder, program, chain) = scene!("audit beside a watch");
    let (own, other) = (ScriptedNode::honest(&chain), ScriptedNode::honest(&chain));
    let (own, other) = (own.url(), format!("other={}", other.url()));
    let contract = "gold=0x5FbDB2315678afecb367f032d93F642f64180aa3";
    let source = ["-c", contract, "-e", TRANSFER, "--ledger", "l.duckdb"];
    let watch = ["watch", "-r", &own, "--from-block", "0", "--poll-interval", "50ms"];
    let watching = Watching::start(&program, watch.iter().chain(&source));
    let head = chain.head();
    let covered = || {
        let told = program.run(["coverage", "--ledger", "l.duckdb", "--format", "json"]);
        let report: Value = serde_json::from_str(&told.stdout).unwrap_or_default();
        // The head comes first, then the gap below it.
        let filter = &report["chains"][0]["filters"][0];
        filter["blocks"]["open"] == 0
            && filter["range"] == json!({"first": 0, "last": head, "count": head + 1})
    };
    let begun = std::time::Instant::now();
    while !covered() {
        assert!(begun.elapsed().as_secs() < 60, "never covered");
    }
    let range = format!("0:{head}");
    let audit = ["audit", "-r", &other, "-b", &range, "--format", "json"];
    let told = program.run(audit.iter().chain(&source)).expect_success();
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(report["ledger"]["compared"], true, "{report:#}");
    assert_eq!(report["status"], "complete");
    assert!(report["filters"][0]["events"].as_u64().unwrap() > 10);
    drop(watching);
}

#[test]
fn a_dispute_is_open_for_exit_code_coverage_and_health_until_a_third_node_settles_it() {
    let (_folder, program, chain) = scene!("disputes");
    let withheld = |call: &ScriptedCall, truth| match call.method.as_str() {
        "eth_getBlockReceipts" => Bent::Error(-32601, "the method does not exist".to_owned()),
        _ => Bent::Result(truth),
    };
    let first = ScriptedNode::start(&chain, withheld);
    let blind = ScriptedNode::start(&chain, move |call, truth| match call.method.as_str() {
        "eth_getLogs" => Bent::Result(json!([])),
        _ => withheld(call, truth),
    });
    let third = ScriptedNode::honest(&chain);
    let nodes = [("first", &first), ("blind", &blind), ("third", &third)];
    let nodes = nodes.map(|(name, node)| format!("{name}={}", node.url()));
    let range = format!("0:{}", chain.head());
    for verify in ["off", "bloom"] {
        let ledger = format!("{verify}.duckdb");
        let run = |nodes: &[String], more: &[&str]| {
            let mut replay =
                vec!["replay", "-e", TRANSFER, "--verify", verify, "--ledger", &ledger];
            nodes.iter().for_each(|node| replay.extend(["-r", node]));
            program.run(replay.iter().chain(more))
        };
        let open = || {
            let told = program.run(["coverage", "--ledger", &ledger, "--format", "json"]);
            let report: Value = serde_json::from_str(&told.expect_success().stdout).unwrap();
            report["chains"][0]["filters"][0]["blocks"]["open"].as_u64().unwrap()
        };
        let health = || {
            let mut health = vec!["health", "--ledger", &ledger, "--format", "json"];
            nodes[..2].iter().for_each(|node| health.extend(["-r", node]));
            let told =
                program.run(health.iter().chain(&["--stall", "900000h", "--deadline", "1s"]));
            let report: Value = serde_json::from_str(&told.stdout).unwrap();
            report["ledger"]["verdict"].clone()
        };
        run(&nodes[..1], &["-b", &range]).expect_success();
        assert_eq!(open(), 0);
        let disputed = "select count(distinct block_number) as n from events";
        let told = program.run(["query", "--ledger", &ledger, "--format", "json", disputed]);
        let disputed: Value = serde_json::from_str(&told.expect_success().stdout).unwrap();
        for _ in 0..2 {
            run(&nodes[..2], &[]).expect_code(75);
            assert_eq!(json!(open()), disputed[0]["n"], "{verify}");
            assert_eq!(health(), "coverage-late", "{verify}");
        }
        let settled = run(&nodes, &["--format", "json"]).expect_success();
        let summary: Value = serde_json::from_str(&settled.stdout).unwrap();
        let told = summary["incidents"].as_array().unwrap();
        assert!(told.iter().all(|told| told["node"] == "blind") && !told.is_empty(), "{told:?}");
        assert_eq!(open(), 0, "{verify}");
        assert_ne!(health(), "coverage-late", "{verify}");
        let quiet = run(&nodes, &["--quiet", "--format", "json"]).expect_success();
        assert_eq!((&*quiet.stdout, &*quiet.stderr), ("", ""), "nothing has happened");
    }
}
