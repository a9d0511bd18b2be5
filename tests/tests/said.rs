//! Small things that people are told: each was silent, wrong, or in words of another program.

use headcount_tests::{Program, RecordedChain, ScriptedNode, skip};
use serde_json::Value;
use std::sync::Arc;

const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";
const GOLD: &str = "gold=0x5FbDB2315678afecb367f032d93F642f64180aa3";

macro_rules! scene {
    ($folder:ident, $program:ident, $node:ident) => {
        let $folder = tempfile::tempdir().unwrap();
        let Some($program) = Program::in_folder($folder.path()) else {
            skip!("what is said: headcount is not built (make build)");
        };
        let chain = Arc::new(RecordedChain::load().expect("the recording is part of the project"));
        let $node = ScriptedNode::honest(&chain);
    };
}

fn replay<'a>(node: &'a str, range: &'a str) -> [&'a str; 11] {
    ["replay", "-r", node, "-c", GOLD, "-e", TRANSFER, "-b", range, "--ledger", "l.duckdb"]
}

#[test]
fn a_range_with_fewer_blocks_than_were_asked_for_is_told() {
    scene!(folder, program, node);
    let one = format!("one={}", node.url());
    let told = program.run(replay(&one, "-100:")).expect_success();
    let said = "note: there are only 61 blocks up to the finalized block 60, not 100; \
                -b -100:latest goes up to the head\n";
    assert!(told.stderr.contains(said), "{}", told.stderr);
    let quiet = program.run(replay(&one, "-100:").iter().chain(&["--quiet"])).expect_success();
    assert_eq!(quiet.stderr, "");
    let told = program.run(replay(&one, "-10:")).expect_success();
    assert!(!told.stderr.contains("only"), "{}", told.stderr);
    for range in ["0-60", "0..60"] {
        let wrong = program.run(replay(&one, range)).expect_code(2);
        assert!(wrong.stderr.contains("-b 0:60"), "{}", wrong.stderr);
    }
    drop(folder);
}

#[test]
fn coverage_calls_a_filter_what_the_user_called_it_and_health_says_that_a_node_is_missing() {
    scene!(folder, program, node);
    let one = format!("one={}", node.url());
    program.run(replay(&one, "1:1")).expect_success();
    program.run(replay(&one, "2:60")).expect_success();
    let told = program.run(["coverage", "--ledger", "l.duckdb"]).expect_success();
    assert!(told.stdout.contains("filter   gold.Transfer: 1:60 (60 blocks)"), "{}", told.stdout);
    let health = |nodes: &[&str]| {
        let nodes = nodes.iter().flat_map(|node| ["-r", node]);
        let words = ["--stall", "900000h", "--ledger", "l.duckdb", "--format", "json"];
        let told = program.run(["health"].into_iter().chain(nodes).chain(words)).expect_success();
        let report: Value = serde_json::from_str(&told.stdout).unwrap();
        report["warnings"].to_string()
    };
    let alone = health(&[&one]);
    assert!(alone.contains("lacks-other-node"), "{alone}");
    assert!(alone.contains("60 final blocks rest on one node's word"), "{alone}");
    let chain = Arc::new(RecordedChain::load().expect("the recording is part of the project"));
    let second = ScriptedNode::honest(&chain);
    let other = format!("two={}", second.url());
    assert!(!health(&[&one, &other]).contains("lacks-other-node"));
    drop(folder);
}

#[test]
fn an_error_in_sql_shows_the_statement_that_was_typed() {
    scene!(folder, program, node);
    program.run(replay(&format!("one={}", node.url()), "0:9")).expect_success();
    for sql in ["selct 1", "select nothing from gold.Transfer"] {
        let wrong = program.run(["query", sql, "--ledger", "l.duckdb"]).expect_code(2);
        assert!(!wrong.stderr.contains("EXPLAIN"), "{}", wrong.stderr);
        assert!(wrong.stderr.contains(&format!("LINE 1: {sql}")), "{}", wrong.stderr);
    }
    drop(folder);
}

#[test]
fn what_is_refused_later_is_refused_at_once_with_a_hint_that_helps() {
    scene!(folder, program, node);
    let one = format!("one={}", node.url());
    std::fs::create_dir(folder.path().join("there")).unwrap();
    let config = "[chain.a]\n[[chain.a.node]]\nurl = \"http://127.0.0.1:1\"\n\
                  headers = { authorization = \"Bearer KEY\\n\" }\n";
    std::fs::write(folder.path().join("bad.toml"), config).unwrap();
    let audit = ["audit", "-r", &one, "-c", GOLD, "-e", TRANSFER, "-b", "0:9"];
    let audit: Vec<&str> = audit.iter().chain(&["--require", "agree:2"]).copied().collect();
    let config = "[chain.a]\n[[chain.a.node]]\nname = \"a\"\nurl = \"http://h.example/KEY\"\n\
                  [[chain.a.node]]\nname = \"b\"\nurl = \"HTTP://h.example:80/KEY\"\n";
    std::fs::write(folder.path().join("twice.toml"), config).unwrap();
    let config = "[chain.a]\nverify = \"agree:2\"\n[[chain.a.node]]\nurl = \"http://h.example\"\n";
    std::fs::write(folder.path().join("few.toml"), config).unwrap();
    let other = format!("other={}", node.url());
    let twice: Vec<&str> = ["replay", "-r", &one, "-r", &other, "-b", "0:9"].to_vec();
    program.run(replay(&one, "0:9")).expect_success();
    for (words, said) in [
        (&["plugin", "new", "main"][..], "hint: "),
        (&["plugin", "new", "Memory"], "hint: "),
        (&["drill", "--keep", "nodir/d.duckdb"], "there is no folder"),
        (&["drill", "--keep", "there"], "that is a folder: name a file"),
        (&["config", "check", "--config", "bad.toml"], "bad.toml:4:13: the value of header"),
        (&audit, "or choose --require prove"),
        (&["config", "check", "--config", "twice.toml"], "twice.toml:7:7: a and b are one node"),
        (
            &["config", "check", "--config", "few.toml"],
            "add a [[chain.a.node]] of another operator",
        ),
        (&twice, "would count as two that agree"),
        (&["snapshot", "x.wal", "--ledger", "l.duckdb"], "name it otherwise"),
    ] {
        let told = program.run(words).expect_code(2);
        assert!(told.stderr.contains(said), "{words:?}: {}", told.stderr);
        assert!(!told.stderr.contains("KEY"), "{words:?}: {}", told.stderr);
    }
    // A key in front of the domain of a provider is shown nowhere.
    let key = "0f3ac4d28b9e47c1a5d6e7f809182736";
    let url = format!("http://{key}.node.localhost:1/");
    let told = program.run(replay(&url, "0:9"));
    let all = format!("{}{}", told.stdout, told.stderr);
    assert!(!all.contains(key) && all.contains("node.localhost:1"), "{all}");
}
