//! A ledger that another program holds is left to it, and it is named.

use headcount_tests::{Program, skip, tool, workspace};
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
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
