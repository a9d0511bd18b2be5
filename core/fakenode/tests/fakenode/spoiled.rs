//! The daisy chain of the built program through nodes that refuse or spoil single answers: what they do give
//! counts, and what they do not give holds nothing up that another node settles.

use crate::chained::Scene;
use event::{BlockRange, FaultClass};
use fakenode::{Dialect, WireRule, WireTrouble};
use headcount_tests::skip;
use serde_json::Value;
use sim::{Methods, Rule, Trouble};

/// Blocks of the chain that a proxy stands before.
const BLOCKS: u64 = 200;

#[test]
fn f14_a_second_look_gets_on_through_a_proxy_that_refuses_a_batch_for_a_fifth_of_its_calls() {
    let nodes = [("reth", Dialect::Reth, vec![]), ("proxy", Dialect::Geth, vec![])];
    let Some(scene) = Scene::with_blocks(BLOCKS, &nodes) else {
        skip!("a_second_look_gets_on: headcount is not built (make build)")
    };
    let proving = ["-b", "1:finalized", "--verify", "prove"];
    for (ledger, class) in [
        ("busy.duckdb", FaultClass::Busy),
        ("rate.duckdb", FaultClass::Rate { retry_after_ms: None }),
    ] {
        let first = scene.json(&["reth"], ledger, &proving, 0);
        let refusing = WireTrouble::SomeRefused { per_mille: 200, class };
        scene.fakes[1].set_rules(vec![WireRule::always(refusing)]);
        let look = ["--verify", "prove", "--max-time", "8s"];
        let told = scene.json(&["reth", "proxy"], ledger, &look, 0);
        let agreed = told["second_look"]["agreed"].as_u64().unwrap();
        assert!(agreed >= 50, "{ledger}: {told:#}");
        // What is left is looked at by the next runs, and nothing twice.
        let blocks = first["range"]["count"].as_u64().unwrap();
        let mut looked = agreed;
        for _ in 0..5 {
            if looked >= blocks {
                break;
            }
            let told = scene.json(&["reth", "proxy"], ledger, &look, 0);
            looked += told["second_look"]["agreed"].as_u64().unwrap();
        }
        assert_eq!(looked, blocks, "{ledger}");
        scene.fakes[1].set_rules(Vec::new());
    }
}

/// Spoils the headers of these blocks, however they are asked for.
fn spoiled(trouble: Trouble, first: u64, last: u64) -> Rule {
    let methods = Methods::HEADERS.and(Methods::HASH_HEADERS);
    Rule::on(methods, trouble).in_blocks(BlockRange::new(first, last).unwrap())
}

/// Incidents about headers, by node and block.
fn header_incidents(scene: &Scene, ledger: &str) -> Vec<(String, u64)> {
    let sql = "select node, first_block as n from incidents where flaw = 'header-hash'
        order by node, n, rowid";
    let rows = scene.query(ledger, sql);
    let row = |row: &Value| (row["node"].as_str().unwrap().to_owned(), row["n"].as_u64().unwrap());
    rows.iter().map(row).collect()
}

#[test]
fn f49_a_wrong_header_of_one_node_is_told_once_and_holds_no_run_up() {
    // In the middle, and where a range begins and ends.
    for (trouble, at) in [
        (Trouble::WrongHash, vec![17, 1]),
        (Trouble::NullBlock, vec![17, 30]),
        (Trouble::WrongNumber, vec![17]),
        (Trouble::WrongHash, vec![30]),
    ] {
        let rules: Vec<Rule> = at.iter().map(|n| spoiled(trouble.clone(), *n, *n)).collect();
        let nodes = [("bad", Dialect::Geth, rules), ("reth", Dialect::Reth, vec![])];
        let Some(scene) = Scene::new(&nodes) else {
            skip!("a_wrong_header: headcount is not built (make build)")
        };
        let told: Vec<(String, u64)> = {
            let mut at = at.clone();
            at.sort_unstable();
            at.iter().map(|n| ("bad".to_owned(), *n)).collect()
        };
        let range = ["-b", "1:30"];
        // Read through the bad one first, it is the other that settles the block.
        let ledger = "bad-first.duckdb";
        scene.json(&["bad", "reth"], ledger, &range, 0);
        assert_eq!(header_incidents(&scene, ledger), told, "{trouble:?}");
        for _ in 0..2 {
            scene.json(&["bad", "reth"], ledger, &[], 0);
        }
        assert_eq!(header_incidents(&scene, ledger), told, "{trouble:?}: it is told once");
        // Read through the good one first, it proves what the other gives otherwise.
        let ledger = "good-first.duckdb";
        scene.json(&["reth"], ledger, &range, 0);
        let look = scene.json(&["reth", "bad"], ledger, &[], 0);
        assert!(look["second_look"]["agreed"].as_u64().unwrap() >= 27, "{trouble:?}: {look:#}");
        assert_eq!(header_incidents(&scene, ledger), told, "{trouble:?}");
        let again = scene.json(&["reth", "bad"], ledger, &[], 0);
        assert_eq!(again["second_look"]["range"], Value::Null, "{trouble:?}: {again:#}");
        assert_eq!(header_incidents(&scene, ledger), told, "{trouble:?}: it is told once");
        for ledger in ["bad-first.duckdb", "good-first.duckdb"] {
            let within = "select count(*) as n from events_canonical where block_number <= 30";
            let truth = {
                scene.truth();
                scene.query("truth.duckdb", within)
            };
            assert_eq!(scene.query(ledger, within), truth, "{trouble:?}: {ledger}");
        }
    }
}

#[test]
fn f49_what_no_other_node_settles_stays_open_in_every_run() {
    let no_receipts = Rule::on(Methods::RECEIPTS, Trouble::MethodMissing);
    let nodes = [
        ("bad", Dialect::Geth, vec![spoiled(Trouble::NullBlock, 12, 12), no_receipts.clone()]),
        ("alone", Dialect::Reth, vec![no_receipts]),
    ];
    let Some(scene) = Scene::new(&nodes) else {
        skip!("what_no_other_node_settles: headcount is not built (make build)")
    };
    for _ in 0..2 {
        let told = scene.json(&["bad"], "bad.duckdb", &["-b", "5:15"], 75);
        let open = told["blocks"]["open"].as_array().unwrap();
        assert!(open.iter().any(|o| o["range"]["first"] == 12), "{told:#}");
    }
    assert_eq!(header_incidents(&scene, "bad.duckdb"), [("bad".to_owned(), 12)]);
    // Covered as one node has it, while the other gives a header that is none and neither gives receipts:
    // open for the exit code, coverage and health alike.
    for bad in [Trouble::WrongHash, Trouble::NullBlock] {
        let ledger = format!("{}.duckdb", bad.name().replace(' ', "-"));
        let block = BlockRange::one(12);
        let no_receipts = Rule::on(Methods::RECEIPTS, Trouble::MethodMissing).in_blocks(block);
        let nodes = [
            ("bad", Dialect::Geth, vec![spoiled(bad, 12, 12), no_receipts.clone()]),
            ("alone", Dialect::Reth, vec![no_receipts]),
            ("third", Dialect::Besu, vec![]),
        ];
        let Some(scene) = Scene::new(&nodes) else { return };
        scene.json(&["alone"], &ledger, &["-b", "5:15"], 0);
        for _ in 0..2 {
            let told = scene.json(&["alone", "bad"], &ledger, &[], 75);
            let open = told["blocks"]["open"].as_array().unwrap();
            assert!(open.len() == 1 && open[0]["range"]["first"] == 12, "{told:#}");
            assert_eq!(open_in_coverage(&scene, &ledger), [12]);
            assert!(open_in_health(&scene, &ledger).contains(&12));
        }
        assert_eq!(header_incidents(&scene, &ledger), [("bad".to_owned(), 12)]);
        // Another one says what the first said.
        scene.json(&["alone", "bad", "third"], &ledger, &[], 0);
        assert_eq!(open_in_coverage(&scene, &ledger), [] as [u64; 0]);
        assert!(!open_in_health(&scene, &ledger).contains(&12));
        scene.json(&["alone", "bad"], &ledger, &[], 0);
    }
}

/// First blocks of what `coverage` calls open from block 5 to 15.
fn open_in_coverage(scene: &Scene, ledger: &str) -> Vec<u64> {
    let ledger = scene.ledger(ledger).display().to_string();
    let told = scene.program.run(["coverage", "--format", "json", "--ledger", &ledger]);
    let report: Value = serde_json::from_str(&told.expect_success().stdout).unwrap();
    let filters = report["chains"][0]["filters"].as_array().unwrap().iter();
    let ranges = filters.flat_map(|filter| filter["ranges"].as_array().unwrap());
    let open = ranges.filter(|range| range["known"] == "open");
    open.map(|range| range["first"].as_u64().unwrap()).filter(|n| (5..=15).contains(n)).collect()
}

/// First blocks of what `health` calls open.
fn open_in_health(scene: &Scene, ledger: &str) -> Vec<u64> {
    let ledger = scene.ledger(ledger).display().to_string();
    let url = format!("alone={}", scene.fakes[1].http_url());
    let health =
        ["health", "-r", &url, "--ledger", &ledger, "--format", "json", "--deadline", "900000h"];
    let told = scene.program.run(health);
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    let open = report["ledger"]["open"].as_array().cloned().unwrap_or_default();
    let first = |open: &Value| open["range"]["first"].as_u64();
    let open: Vec<u64> = open.iter().filter_map(first).collect();
    assert!(report["ledger"]["verdict"] == "ok", "{report:#}");
    open
}

#[test]
fn what_receipts_refute_is_held_against_whoever_told_it_whichever_command_reads_them() {
    let forges = |trouble| vec![Rule::on(Methods::LOGS, trouble)];
    let nodes = [
        ("adds", Dialect::Geth, forges(Trouble::AddedLog)),
        ("alters", Dialect::Geth, forges(Trouble::AlteredLog)),
        ("alike", Dialect::Besu, forges(Trouble::AlteredLog)),
        ("reth", Dialect::Reth, vec![]),
    ];
    let Some(scene) = Scene::new(&nodes) else {
        skip!("what_receipts_refute: headcount is not built (make build)")
    };
    let told = |ledger: &str, of: &str| -> Vec<String> {
        let sql = "select distinct node from incidents where flaw = 'forged' order by node";
        let rows = scene.query(ledger, &sql.replace("forged", of));
        rows.iter().map(|row| row["node"].as_str().unwrap().to_owned()).collect()
    };
    for liar in ["adds", "alters"] {
        let ledger = format!("{liar}.duckdb");
        scene.first_run(liar, &ledger);
        let refuted = "select count(*)::bigint as n from journal where op = 'refute'";
        let proving = ["-b", "1:30", "--verify", "prove"];
        let summary = scene.json(&["reth"], &ledger, &proving, 0);
        assert_ne!(scene.query(&ledger, refuted)[0]["n"], 0, "{summary:#}");
        assert_eq!(told(&ledger, "forged"), [liar], "{summary:#}");
        let in_summary = summary["incidents"].as_array().unwrap();
        assert!(in_summary.iter().any(|i| i["node"] == liar && i["flaw"] == "forged"));
        assert_eq!(told(&ledger, "missing"), [] as [&str; 0]);
        // It is told once.
        let count = "select count(*)::bigint as n from incidents";
        let before = scene.query(&ledger, count);
        scene.json(&["reth"], &ledger, &proving, 0);
        assert_eq!(scene.query(&ledger, count), before);
    }
    // Two that altered alike outvote an honest one; then receipts show who was right.
    scene.first_run("alters", "two.duckdb");
    scene.json(&["alters", "alike"], "two.duckdb", &["--verify", "off"], 0);
    scene.json(&["reth"], "two.duckdb", &["-b", "1:30", "--verify", "prove"], 0);
    assert_eq!(told("two.duckdb", "forged"), ["alike", "alters"]);
    let standing = "select count(*)::bigint as n from incidents i where node = 'reth'
        and flaw in ('missing', 'forged') and not exists (select 1 from incidents w
            where w.node = i.node and w.first_block = i.first_block and w.flaw = 'withdrawn')";
    assert_eq!(scene.query("two.duckdb", standing)[0]["n"], 0);
}
