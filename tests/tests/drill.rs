//! A drill on this machine: three bad nodes, and a ledger that has exactly the chain's events.

use headcount_tests::{Program, skip};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A drill of sixty blocks of 200 ms ends within this.
const LONGEST: Duration = Duration::from_secs(60);

#[test]
fn three_bad_nodes_lose_events_and_the_ledger_loses_none() {
    const NAME: &str = "drill";
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = Program::in_folder(folder.path()) else {
        skip!("{NAME}: headcount is not built (make build)")
    };
    let mut events = Vec::new();
    for seed in ["1", "7"] {
        let began = Instant::now();
        let outcome = program.run(["drill", "--seed", seed, "--format", "json"]).expect_success();
        assert!(began.elapsed() < LONGEST, "seed {seed} took {:?}", began.elapsed());
        let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let ledger = &report["ledger"];
        for wrong in ["lost", "made_up", "doubled"] {
            assert_eq!(ledger[wrong], 0, "seed {seed}: {report}");
        }
        assert_eq!(ledger["events"], report["events"], "seed {seed}: {report}");
        assert_eq!(ledger["decoded"], report["events"], "seed {seed}: {report}");
        let node = |name: &str| {
            let nodes = report["nodes"].as_array().unwrap();
            nodes.iter().find(|node| node["name"] == name).unwrap().clone()
        };
        let (liar, laggard, dropper) = (node("liar"), node("laggard"), node("dropper"));
        for number in ["missed", "made_up", "incidents"] {
            assert!(liar[number].as_u64().unwrap() > 0, "seed {seed}: {report}");
            assert_eq!((&laggard[number], &dropper[number]), (&0.into(), &0.into()), "{report}");
        }
        assert!(dropper["away_ms"].as_u64().unwrap() > 1_000, "seed {seed}: {report}");
        assert!(liar["cursor"]["lost"].as_u64().unwrap() > 0, "seed {seed}: {report}");
        assert!(outcome.stderr.contains("three nodes"), "{}", outcome.stderr);
        events.push(report["events"].as_u64().unwrap());
    }
    assert_ne!(events[0], events[1], "another seed is another chain");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "nothing stays behind where it was run");
}

#[test]
fn the_ledger_of_a_drill_can_be_kept_and_asked() {
    const NAME: &str = "drill_keep";
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = Program::in_folder(folder.path()) else {
        skip!("{NAME}: headcount is not built (make build)")
    };
    let short = ["drill", "--blocks", "20", "--seed", "3", "--keep", "kept.duckdb"];
    let outcome = program.run(short).expect_success();
    assert!(outcome.stdout.contains("lost 0, made up 0, doubled 0"), "{}", outcome.stdout);
    let ledger = folder.path().join("kept.duckdb");
    let rows = program.query(&ledger, "select count(*) as n from token.Transfer");
    assert!(outcome.stdout.contains(&format!("{} Transfer events", rows[0]["n"])));
    // It is not overwritten by the next one.
    let again = program.run(short).expect_code(2);
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
}
