//! Nodes that differ, and receipts that nobody or only one of them gives: what the built program makes of it in
//! ledger, incidents and exit code, run after run.

use crate::chained::Scene;
use fakenode::Dialect;
use headcount_tests::skip;
use serde_json::Value;
use sim::{Methods, Rule, Trouble};

const RANGE: [&str; 2] = ["-b", "1:30"];

fn rules(trouble: Trouble, methods: Methods) -> Vec<Rule> {
    vec![Rule::on(methods, trouble)]
}

/// Gives no receipts.
fn silent() -> Rule {
    Rule::on(Methods::RECEIPTS, Trouble::MethodMissing)
}

/// The same, and does this to logs however it is asked.
fn silent_and(trouble: Trouble) -> Vec<Rule> {
    let mut all = rules(trouble, Methods::LOGS);
    all.push(silent());
    all
}

fn everywhere() -> Methods {
    Methods::LOGS.and(Methods::RECEIPTS)
}

fn scene(nodes: &[(&'static str, Vec<Rule>)]) -> Option<Scene> {
    let dialects = [Dialect::Geth, Dialect::Besu, Dialect::Reth, Dialect::Nethermind];
    let mut all: Vec<_> = (nodes.iter().zip(dialects))
        .map(|((name, rules), dialect)| (*name, dialect, rules.clone()))
        .collect();
    // One that tells the truth, for the truth and for later.
    all.push(("reth", Dialect::Reth, vec![]));
    Scene::new(&all)
}

/// Node and flaw of every incident with how often the ledger has it, sorted; one for each block and kind.
fn named(scene: &Scene, ledger: &str) -> Vec<(String, String)> {
    let twice = "select node, flaw, first_block from incidents group by all having count(*) > 1";
    assert_eq!(scene.query(ledger, twice), [] as [Value; 0], "told twice");
    let all = "select distinct node, flaw from incidents order by all";
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let rows = scene.query(ledger, all);
    rows.iter().map(|row| (text(row, "node"), text(row, "flaw"))).collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(node, flaw)| ((*node).to_owned(), (*flaw).to_owned())).collect()
}

/// Nobody is named while nothing shows who is right. Once somebody gives receipts the ledger has the truth, the
/// run after that is in order, and `odd` is named for what it did.
fn until_receipts_come(
    scene: &Scene,
    ledger: &str,
    (order, level): ([&'static str; 2], &str),
    flaw: &str,
) {
    assert_eq!(named(scene, ledger), [], "{level} {order:?}: nothing shows who is right");
    let (all, verify) = ([order[0], order[1], "reth"], ["--verify", level]);
    scene.run(&all, ledger, &[&RANGE[..], &verify].concat());
    scene.json(&all, ledger, &verify, 0);
    assert_eq!(scene.events(ledger), scene.truth(), "{level} {order:?}");
    assert_eq!(named(scene, ledger), pairs(&[("odd", flaw)]), "{level} {order:?}");
}

/// Events that the truth has not.
fn made_up(scene: &Scene, ledger: &str) -> u64 {
    let ids = "select block_hash, tx_hash, data, occurrence from events_canonical";
    let of = |ledger: &str| -> std::collections::BTreeSet<String> {
        scene.query(ledger, ids).iter().map(ToString::to_string).collect()
    };
    scene.truth();
    of(ledger).difference(&of("truth.duckdb")).count() as u64
}

#[test]
fn f81_what_one_of_two_adds_is_no_event_at_any_level_while_nobody_gives_receipts() {
    let nodes = [("honest", vec![silent()]), ("odd", silent_and(Trouble::AddedLog))];
    let Some(scene) = scene(&nodes) else {
        skip!("one_of_two_adds: headcount is not built (make build)")
    };
    for (level, first) in [("bloom", 0), ("agree:2", 1), ("prove", 0), ("prove", 1)] {
        let order = [["honest", "odd"], ["odd", "honest"]][first];
        let ledger = format!("{}-{}.duckdb", level.replace(':', "-"), order[0]);
        let verify = ["--verify", level];
        scene.run(&order, &ledger, &[&RANGE[..], &verify].concat());
        for _ in 0..2 {
            scene.json(&order, &ledger, &verify, 75);
        }
        assert_eq!(made_up(&scene, &ledger), 0, "{level} {order:?}");
        until_receipts_come(&scene, &ledger, (order, level), "forged");
    }
}

#[test]
fn f28_who_drops_a_log_while_nobody_gives_receipts_is_named_once_somebody_does() {
    let nodes = [("honest", vec![silent()]), ("odd", silent_and(Trouble::LostLog))];
    let Some(scene) = scene(&nodes) else {
        skip!("who_drops_a_log: headcount is not built (make build)")
    };
    for (level, first) in [("bloom", 0), ("agree:2", 1), ("prove", 0), ("prove", 1)] {
        let order = [["honest", "odd"], ["odd", "honest"]][first];
        let ledger = format!("{}-{}.duckdb", level.replace(':', "-"), order[0]);
        let verify = ["--verify", level];
        scene.run(&order, &ledger, &[&RANGE[..], &verify].concat());
        scene.json(&order, &ledger, &verify, 75);
        until_receipts_come(&scene, &ledger, (order, level), "missing");
    }
}

#[test]
fn f81_what_is_proved_stays_proved_and_whoever_alters_it_in_every_way_is_named_once() {
    let nodes = [("odd", rules(Trouble::AlteredLog, everywhere())), ("honest", vec![])];
    let Some(scene) = scene(&nodes) else {
        skip!("what_is_proved: headcount is not built (make build)")
    };
    for order in [["odd", "honest"], ["honest", "odd"]] {
        let ledger = format!("{}.duckdb", order[0]);
        let prove = ["--verify", "prove"];
        scene.json(&order, &ledger, &[&RANGE[..], &prove].concat(), 0);
        for _ in 0..3 {
            scene.json(&order, &ledger, &prove, 0);
        }
        assert_eq!(scene.events(&ledger), scene.truth(), "{order:?}");
        let named = named(&scene, &ledger);
        assert!(named.contains(&("odd".to_owned(), "forged".to_owned())), "{named:?}");
        assert!(named.iter().all(|(node, _)| node == "odd"), "{order:?}: {named:?}");
    }
}

#[test]
fn f26_two_of_three_that_alter_alike_settle_nothing_and_the_third_is_not_named() {
    let odd = || silent_and(Trouble::AlteredLog);
    let nodes = [("odd", odd()), ("alike", odd()), ("honest", vec![silent()])];
    let Some(scene) = scene(&nodes) else {
        skip!("two_of_three: headcount is not built (make build)")
    };
    let verify = ["--verify", "agree:2"];
    for (n, order) in
        [["odd", "alike", "honest"], ["odd", "honest", "alike"], ["honest", "odd", "alike"]]
            .into_iter()
            .enumerate()
    {
        let ledger = format!("l{n}.duckdb");
        scene.run(&order, &ledger, &[&RANGE[..], &verify].concat());
        for _ in 0..2 {
            scene.json(&order, &ledger, &verify, 75);
        }
        assert_eq!(named(&scene, &ledger), [], "{order:?}");
        let all = [&order[..], &["reth"]].concat();
        scene.run(&all, &ledger, &verify);
        scene.json(&all, &ledger, &verify, 0);
        assert_eq!(scene.events(&ledger), scene.truth(), "{order:?}");
        let named = named(&scene, &ledger);
        assert!(named.iter().all(|(node, _)| node != "honest"), "{order:?}: {named:?}");
        for (node, flaw) in pairs(&[("alike", "forged"), ("odd", "forged")]) {
            assert!(named.contains(&(node.clone(), flaw)), "{order:?}: {node} in {named:?}");
        }
    }
}

#[test]
fn three_honest_nodes_without_receipts_that_must_agree_end_with_0() {
    let nodes = [("one", vec![silent()]), ("two", vec![silent()]), ("three", vec![silent()])];
    let Some(scene) = scene(&nodes) else {
        skip!("three_honest: headcount is not built (make build)")
    };
    let all = ["one", "two", "three"];
    let agree = ["--verify", "agree:2"];
    scene.run(&all, "l.duckdb", &[&RANGE[..], &agree].concat());
    let told = scene.run(&all, "l.duckdb", &agree);
    // Only receipts tell whether a block is empty that a bloom admits.
    let open = told.stdout.lines().filter(|line| line.contains("who is right"));
    assert_eq!(open.count(), 0, "{}", told.stdout);
    assert_eq!(named(&scene, "l.duckdb"), []);
    let honest = ["reth", "honest"];
    let nodes = [("honest", vec![])];
    let Some(scene) = self::scene(&nodes) else { return };
    scene.json(&honest, "l.duckdb", &[&RANGE[..], &agree].concat(), 0);
    scene.json(&honest, "l.duckdb", &agree, 0);
    assert_eq!(named(&scene, "l.duckdb"), []);
}

#[test]
fn f27_who_kept_a_log_back_in_every_way_is_named_for_it_once_another_one_proves_it() {
    let nodes = [("odd", rules(Trouble::LostLog, everywhere())), ("honest", vec![])];
    let Some(scene) = scene(&nodes) else {
        skip!("who_kept_a_log_back: headcount is not built (make build)")
    };
    for level in ["bloom", "prove"] {
        let ledger = format!("{level}.duckdb");
        let verify = ["--verify", level];
        scene.json(&["odd", "honest"], &ledger, &[&RANGE[..], &verify].concat(), 0);
        for _ in 0..2 {
            scene.json(&["odd", "honest"], &ledger, &verify, 0);
        }
        assert_eq!(scene.events(&ledger), scene.truth(), "{level}");
        let named = named(&scene, &ledger);
        assert!(named.contains(&("odd".to_owned(), "missing".to_owned())), "{level}: {named:?}");
        assert!(named.iter().all(|(node, _)| node == "odd"), "{level}: {named:?}");
    }
}

#[test]
fn what_is_wrong_with_a_node_is_told_once_however_often_it_is_read() {
    let nodes = [("odd", rules(Trouble::AlteredLog, everywhere()))];
    let Some(scene) = scene(&nodes) else {
        skip!("what_is_wrong: headcount is not built (make build)")
    };
    let prove = ["--verify", "prove"];
    let count = "select count(*)::bigint as n from incidents";
    scene.json(&["odd"], "l.duckdb", &[&RANGE[..], &prove].concat(), 75);
    let first = scene.query("l.duckdb", count)[0]["n"].clone();
    assert_ne!(first, 0);
    for more in [&RANGE[..], &RANGE] {
        let told = scene.json(&["odd"], "l.duckdb", &[more, &prove].concat(), 75);
        assert!(
            told["incidents"].to_string().contains("odd"),
            "whoever runs it hears why: {told:#}"
        );
    }
    assert_eq!(scene.query("l.duckdb", count)[0]["n"], first);
}

#[test]
fn f49_a_final_block_that_a_node_does_not_give_is_had_from_another_or_told_in_words() {
    let last = event::BlockRange::one(48);
    let methods = Methods::HEADERS.and(Methods::HASH_HEADERS);
    let nodes = [("bad", vec![Rule::on(methods, Trouble::NullBlock).in_blocks(last)])];
    let Some(scene) = scene(&nodes) else {
        skip!("a_final_block: headcount is not built (make build)")
    };
    scene.first_run("bad", "l.duckdb");
    for _ in 0..2 {
        let told = scene.run(&["bad"], "l.duckdb", &[]).expect_code(75);
        assert!(told.stderr.contains("the header of block 48: null"), "{}", told.stderr);
        assert!(told.stderr.contains("hint: "), "{}", told.stderr);
    }
    assert_eq!(named(&scene, "l.duckdb"), pairs(&[("bad", "header-hash")]));
    // Also without a ledger that tells of it.
    let url = format!("bad={}", scene.fakes[0].http_url());
    let health = ["health", "-r", &url, "--stall", "900000h", "--format", "json"];
    let told = scene.program.run(health).expect_code(1).stdout;
    let report: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(report["nodes"][0]["state"], "degraded", "{report:#}");
    let why = report["nodes"][0]["sentence"].as_str().unwrap();
    assert!(why.contains("it does not give block 48, which it calls final: "), "{report:#}");
    for order in [["bad", "reth"], ["reth", "bad"]] {
        scene.json(&order, "l.duckdb", &[], 0);
    }
    assert_eq!(scene.events("l.duckdb"), scene.truth());
}
