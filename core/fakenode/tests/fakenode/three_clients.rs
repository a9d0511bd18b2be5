//! Three clients of which one or two lose, add or alter: what the built program makes of it at every level, in
//! ledger, incidents and exit code.

use crate::chained::Scene;
use event::BlockRange;
use fakenode::Dialect;
use headcount_tests::skip;
use serde_json::Value;
use sim::{Methods, Rule, Trouble};

/// Blocks that are asked for first.
const RANGE: [&str; 2] = ["-b", "1:30"];
const ALL: [&str; 3] = ["liar", "other", "reth"];
const LEVELS: [&str; 4] = ["off", "bloom", "agree:2", "prove"];

fn blocks(first: u64, last: u64) -> BlockRange {
    BlockRange::new(first, last).unwrap()
}

/// What one node does, and what a second one does, by name.
fn cases() -> Vec<(&'static str, Vec<Rule>, Vec<Rule>)> {
    let logs = |trouble| vec![Rule::on(Methods::LOGS, trouble)];
    let none = |range| vec![Rule::on(Methods::LOGS, Trouble::NoLogs).in_blocks(range)];
    vec![
        (
            "F25 dropped over ranges",
            vec![Rule::on(Methods::RANGE_LOGS, Trouble::NoLogs).in_blocks(blocks(4, 20))],
            vec![],
        ),
        ("F26 dropped in all modes", none(blocks(4, 20)), vec![]),
        ("F26 dropped by two alike", none(blocks(4, 20)), none(blocks(4, 20))),
        (
            "F28 dropped in part",
            vec![Rule::on(Methods::LOGS, Trouble::LostLog).for_some_blocks(300)],
            vec![],
        ),
        ("F81 forged", logs(Trouble::AddedLog), vec![]),
        ("F81 altered", logs(Trouble::AlteredLog), vec![]),
        ("F81 moved", logs(Trouble::MovedLog), vec![]),
        ("F34 pruned", none(blocks(1, 16)), vec![]),
    ]
}

fn scene(liar: &[Rule], other: &[Rule]) -> Option<Scene> {
    Scene::new(&[
        ("liar", Dialect::Geth, liar.to_vec()),
        ("other", Dialect::Besu, other.to_vec()),
        ("reth", Dialect::Reth, vec![]),
    ])
}

/// Runs an audit of the range through these nodes; returns its report and exit code.
fn audit(scene: &Scene, nodes: &[&str], more: &[&str]) -> (Value, Option<i32>) {
    let mut all = scene.source("audit", nodes);
    all.extend(
        RANGE.iter().chain(more).chain(&["--format", "json"]).map(|word| (*word).to_owned()),
    );
    let told = scene.program.run(all);
    (serde_json::from_str(&told.stdout).unwrap_or_default(), told.code)
}

#[test]
fn f25_f26_f28_f34_f81_what_one_or_two_of_three_clients_lose_or_make_up_is_put_right_at_every_level()
 {
    for (name, liar, other) in cases() {
        let Some(scene) = scene(&liar, &other) else {
            skip!("three_clients: headcount is not built (make build)")
        };
        let truth = scene.truth();
        for level in LEVELS {
            let ledger = format!("{}.duckdb", level.replace(':', "-"));
            let verify = ["--verify", level];
            // What a level cannot see the daisy chain finds.
            scene.run(&ALL, &ledger, &[&RANGE[..], &verify].concat());
            scene.run(&ALL, &ledger, &verify);
            let told = scene.run(&ALL, &ledger, &verify);
            assert_eq!(told.code, Some(0), "{name} at {level}: {}", told.stdout);
            if level == "off" && !other.is_empty() {
                // Two words, and no header is looked at: what it cannot see it does not claim.
                let proved =
                    "select count(*)::bigint as n from coverage where content = 'receipts'";
                assert_eq!(scene.query(&ledger, proved)[0]["n"], 0);
                continue;
            }
            assert_eq!(scene.events(&ledger), truth, "{name} at {level}");
            let named = scene.query(&ledger, "select distinct node from incidents order by node");
            let named: Vec<&str> = named.iter().map(|row| row["node"].as_str().unwrap()).collect();
            let expected = if other.is_empty() { vec!["liar"] } else { vec!["liar", "other"] };
            assert_eq!(named, expected, "{name} at {level}");
        }
        // An audit proves, and never passes what is missing or made up.
        let (report, code) = audit(&scene, &ALL, &["--no-ledger"]);
        assert_eq!(code, Some(1), "{name}: {report:#}");
        let (report, code) = audit(&scene, &["reth"], &["--no-ledger"]);
        assert_eq!(code, Some(0), "{name}: {report:#}");
    }
}

#[test]
fn f26_f27_where_two_lose_alike_receipts_recover_it_and_without_receipts_nothing_passes() {
    let alike = vec![Rule::on(Methods::LOGS, Trouble::NoLogs).in_blocks(blocks(4, 20))];
    let Some(scene) = scene(&alike, &alike) else {
        skip!("two_alike: headcount is not built (make build)")
    };
    let two = ["liar", "other"];
    // Their own receipts are honest: what both lost is recovered.
    scene.json(&two, "l.duckdb", &[&RANGE[..], &["--verify", "prove"]].concat(), 0);
    scene.json(&["reth"], "t.duckdb", &RANGE, 0);
    assert_eq!(scene.events("l.duckdb"), scene.events("t.duckdb"));
    let (report, code) = audit(&scene, &two, &["--no-ledger"]);
    assert_eq!(code, Some(1), "what both lost is missing: {report:#}");

    let withheld = Rule::on(Methods::RECEIPTS, Trouble::MethodMissing);
    let silent: Vec<Rule> = alike.into_iter().chain([withheld]).collect();
    let Some(scene) = self::scene(&silent, &silent) else { return };
    let (report, code) = audit(&scene, &two, &["--no-ledger"]);
    assert_eq!(code, Some(3), "{report:#}");
    scene.json(&two, "l.duckdb", &[&RANGE[..], &["--verify", "prove"]].concat(), 75);
    let ledger = scene.ledger("l.duckdb").display().to_string();
    let told = scene.program.run(["coverage", "--ledger", &ledger, "--format", "json"]);
    let report: Value = serde_json::from_str(&told.expect_success().stdout).unwrap();
    let open = report["chains"][0]["filters"][0]["blocks"]["open"].as_u64().unwrap();
    assert!(open > 0, "{report:#}");
    let url = format!("liar={}", scene.fakes[0].http_url());
    let health = ["health", "-r", &url, "--ledger", &ledger, "--format", "json"];
    let more = ["--stall", "900000h", "--deadline", "1s"];
    let told = scene.program.run(health.iter().chain(&more)).expect_code(1);
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(report["ledger"]["verdict"], "coverage-late", "{report:#}");
}
