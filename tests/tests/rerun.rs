//! Running again is free and exact: what is covered is not asked for, what is missing is, and the
//! ledger says the same afterwards.

use headcount_tests::{Program, skip, workspace};
use serde_json::Value;
use tempfile::TempDir;

const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";
const GOLD: &str = "gold=0x5FbDB2315678afecb367f032d93F642f64180aa3";
const SILVER: &str = "silver=0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512";

/// The program with a ledger of its own, over the recording of a real node.
struct Scene {
    folder: TempDir,
}

impl Scene {
    fn new() -> Option<Self> {
        Program::built()?;
        Some(Self { folder: tempfile::tempdir().unwrap() })
    }

    fn program(&self) -> Program {
        Program::in_folder(self.folder.path()).unwrap()
    }

    /// Replays and returns the summary.
    fn replay(&self, blocks: &str, contracts: &[&str], more: &[&str]) -> Value {
        let recording = workspace().join("fixtures/erc20.ndjson.gz").display().to_string();
        let mut arguments = vec!["replay", "-r", &recording, "-e", TRANSFER, "-b", blocks];
        contracts.iter().for_each(|contract| arguments.extend(["-c", contract]));
        arguments.extend(["--ledger", "l.duckdb", "--format", "json"]);
        arguments.extend(more);
        let said = self.program().run(arguments).expect_success().stdout;
        serde_json::from_str(&said).unwrap()
    }

    fn digest(&self) -> String {
        let ledger = |what| ["ledger", what, "--ledger", "l.duckdb"];
        self.program().run(ledger("check")).expect_success();
        self.program().run(ledger("digest")).expect_success().stdout
    }

    fn count(&self, sql: &str) -> u64 {
        let rows = self.program().query(&self.folder.path().join("l.duckdb"), sql);
        rows[0]["n"].as_u64().unwrap()
    }

    fn events(&self) -> u64 {
        self.count("select count(*)::UBIGINT as n from events")
    }
}

/// Returns how often `eth_getLogs` was asked in a run.
fn log_calls(summary: &Value) -> u64 {
    let calls = &summary["nodes"][0]["calls"];
    assert!(calls["eth_chainId"].as_u64() > Some(0), "calls are counted: {summary}");
    calls["eth_getLogs"].as_u64().unwrap_or(0)
}

#[test]
fn a_second_run_of_the_same_range_asks_for_no_logs_and_changes_nothing() {
    let Some(scene) = Scene::new() else { skip!("rerun: headcount is not built (make build)") };
    let first = scene.replay("0:40", &[GOLD, SILVER], &[]);
    assert!(log_calls(&first) > 0 && first["events"]["new"].as_u64() > Some(0), "{first}");
    let digest = scene.digest();
    for blocks in ["0:40", "7:+3", "40"] {
        let again = scene.replay(blocks, &[GOLD, SILVER], &[]);
        assert_eq!(log_calls(&again), 0, "{blocks}: {again}");
        assert_eq!(again["events"]["new"], 0);
        assert_eq!(again["blocks"]["fetched"], 0);
        assert_eq!(scene.digest(), digest, "{blocks}");
    }
}

#[test]
fn a_wider_range_reads_only_the_missing_blocks_and_ends_like_one_run() {
    let Some(scene) = Scene::new() else { skip!("rerun: headcount is not built (make build)") };
    scene.replay("20:30", &[GOLD, SILVER], &[]);
    let before = scene.events();
    let wider = scene.replay("0:60", &[GOLD, SILVER], &[]);
    assert_eq!(wider["blocks"]["already_covered"], 11);
    assert_eq!(wider["blocks"]["fetched"], 50);
    assert_eq!(wider["events"]["known"], 0, "no covered block was read: {wider}");
    assert_eq!(wider["events"]["new"].as_u64().unwrap() + before, scene.events());

    let whole = Scene::new().unwrap();
    whole.replay("0:60", &[GOLD, SILVER], &[]);
    assert_eq!(scene.digest(), whole.digest());
}

#[test]
fn a_second_contract_is_asked_for_alone() {
    let Some(scene) = Scene::new() else { skip!("rerun: headcount is not built (make build)") };
    let gold = scene.replay("0:60", &[GOLD], &[]);
    let both = scene.replay("0:60", &[GOLD, SILVER], &[]);
    assert!(log_calls(&both) > 0);
    assert_eq!(both["events"]["known"], 0, "nothing of gold was read again: {both}");
    let stored =
        |contract| scene.count(&format!("select count(*)::UBIGINT as n from {contract}.Transfer"));
    assert_eq!(gold["events"]["new"], stored("gold"));
    assert_eq!(both["events"]["new"], stored("silver"));
    assert!(stored("gold") > 0 && stored("silver") > 0);
    // And once both are covered, each alone and both together are.
    let digest = scene.digest();
    for contracts in [&[SILVER][..], &[GOLD, SILVER]] {
        assert_eq!(log_calls(&scene.replay("0:60", contracts, &[])), 0);
    }
    assert_eq!(scene.digest(), digest);
}

#[test]
fn refetch_reads_everything_and_adds_nothing() {
    let Some(scene) = Scene::new() else { skip!("rerun: headcount is not built (make build)") };
    let first = scene.replay("0:60", &[GOLD, SILVER], &[]);
    let digest = scene.digest();
    let again = scene.replay("0:60", &[GOLD, SILVER], &["--refetch"]);
    assert_eq!(log_calls(&again), log_calls(&first));
    assert_eq!(again["events"]["new"], 0);
    assert_eq!(again["events"]["known"], first["events"]["new"]);
    assert_eq!(scene.digest(), digest);
    assert_eq!(scene.count("select count(*)::UBIGINT as n from journal"), 1);
}
