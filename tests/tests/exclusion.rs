//! One process uses a ledger at a time, whoever it is; the next one is told who holds it.

use headcount_tests::{Bent, Program, RecordedChain, ScriptedNode, skip, tool, workspace};
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    time::Duration,
};

/// Opens the file as any program would, says so, and holds it until its input ends.
const HOLD: &str = r#"
const { DuckDBInstance } = require("@duckdb/node-api");
DuckDBInstance.create(process.argv[1]).then((instance) => {
  console.log("open");
  process.stdin.resume();
  process.stdin.on("end", () => { instance.closeSync(); process.exit(0); });
});
"#;

/// Ends what was started, also when the test fails.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";
const GOLD: &str = "gold=0x5FbDB2315678afecb367f032d93F642f64180aa3";

fn arguments(node: &str) -> [&str; 11] {
    ["replay", "-r", node, "-c", GOLD, "-e", TRANSFER, "-b", "0:60", "--ledger", "l.duckdb"]
}

fn replay(program: &Program) -> headcount_tests::Outcome {
    let recording = workspace().join("fixtures/erc20.ndjson.gz").display().to_string();
    program.run(arguments(&recording))
}

#[test]
fn a_ledger_held_by_another_duckdb_client_is_exit_75_with_its_pid() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = Program::in_folder(folder.path()) else {
        skip!("foreign client: headcount is not built (make build)");
    };
    if tool("@duckdb/node-api").is_none() {
        skip!("foreign client: @duckdb/node-api is not installed (make tools)");
    }
    replay(&program).expect_success();
    let before = std::fs::read(folder.path().join("l.duckdb")).unwrap();

    let mut client = Ended(
        Command::new("node")
            .args(["-e", HOLD])
            .arg(folder.path().join("l.duckdb"))
            .current_dir(workspace().join("tests/tools"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    BufReader::new(client.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "open");

    for outcome in [
        replay(&program),
        program.run(["query", "--ledger", "l.duckdb", "select 1"]),
        program.run(["ledger", "digest", "--ledger", "l.duckdb"]),
    ] {
        let outcome = outcome.expect_code(75);
        let pid = client.0.id().to_string();
        assert!(outcome.stderr.contains(&pid), "no pid {pid} in: {}", outcome.stderr);
        assert_eq!(outcome.stderr.matches("error: ").count(), 1, "{}", outcome.stderr);
    }
    drop(client.0.stdin.take());
    client.0.wait().unwrap();
    assert_eq!(std::fs::read(folder.path().join("l.duckdb")).unwrap(), before, "left untouched");
    replay(&program).expect_success();
}

#[test]
fn a_second_headcount_is_told_who_holds_the_ledger_while_the_first_runs() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = Program::in_folder(folder.path()) else {
        skip!("two processes: headcount is not built (make build)");
    };
    let chain = Arc::new(RecordedChain::load().expect("the recording is part of the project"));
    // A node that keeps the first one waiting for logs: by then it has opened the ledger.
    let (asked, was_asked) = mpsc::channel();
    let node = ScriptedNode::start(&chain, move |call, truth| {
        if call.method != "eth_getLogs" {
            return Bent::Result(truth);
        }
        let _ = asked.send(());
        Bent::Silence
    });
    let first = Ended(program.start(arguments(&node.url())));
    was_asked.recv_timeout(Duration::from_secs(60)).expect("the first one gets as far as logs");

    for outcome in [
        replay(&program),
        program.run(["query", "--ledger", "l.duckdb", "select 1"]),
        program.run(["ledger", "check", "--ledger", "l.duckdb"]),
    ] {
        let outcome = outcome.expect_code(75);
        let pid = first.0.id().to_string();
        assert!(outcome.stderr.contains(&pid), "no pid {pid} in: {}", outcome.stderr);
    }
    drop(first);
    replay(&program).expect_success();
}
