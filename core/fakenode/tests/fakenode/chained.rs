//! The daisy chain of the built program: what is covered is read again through another node.

use event::BlockRange;
use fakenode::{Dialect, Drive, FakeNode, FakeSettings};
use headcount_tests::{Outcome, Program, skip};
use serde_json::Value;
use sim::{Methods, Rule, Trouble, World, WorldSettings, chain::token};
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Last block that the first run reads.
const FIRST_LAST: u64 = 30;

/// Nodes of one chain that stands still.
pub(crate) struct Scene {
    names: Vec<&'static str>,
    pub(crate) fakes: Vec<FakeNode>,
    pub(crate) program: Program,
    folder: TempDir,
    _drive: Drive,
    _runtime: Runtime,
}

impl Scene {
    pub(crate) fn new(nodes: &[(&'static str, Dialect, Vec<Rule>)]) -> Option<Self> {
        Self::with_blocks(64, nodes)
    }

    pub(crate) fn with_blocks(
        blocks_at_start: u64,
        nodes: &[(&'static str, Dialect, Vec<Rule>)],
    ) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::in_folder(folder.path())?;
        let world = World::new(WorldSettings {
            block_time_ms: u64::MAX / 4,
            latency_ms: (0, 3),
            blocks_at_start,
            ..WorldSettings::of_seed(11)
        });
        let runtime = Runtime::new().unwrap();
        let (fakes, drive) = runtime.block_on(async {
            let mut fakes = Vec::new();
            for (name, dialect, rules) in nodes {
                let client = format!("{dialect:?}/v1.{}", fakes.len());
                let node = world.add_node_of(name, &client, rules.clone());
                let settings = FakeSettings { dialect: *dialect, ..FakeSettings::default() };
                fakes.push(FakeNode::serve(node, settings).await.unwrap());
            }
            (fakes, Drive::start(world.clone()))
        });
        let names = nodes.iter().map(|(name, ..)| *name).collect();
        Some(Self { names, fakes, program, folder, _drive: drive, _runtime: runtime })
    }

    pub(crate) fn ledger(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns a command with the contracts and nodes of these names.
    pub(crate) fn source(&self, command: &str, nodes: &[&str]) -> Vec<String> {
        let event = "Transfer(address indexed from, address indexed to, uint256 value)";
        let mut all = vec![command.to_owned(), "-e".to_owned(), event.to_owned()];
        for contract in [format!("gold={}", token(0)), format!("tin={}", token(1))] {
            all.extend(["-c".to_owned(), contract]);
        }
        for name in nodes {
            let at = self.names.iter().position(|known| known == name).unwrap();
            all.extend(["-r".to_owned(), format!("{name}={}", self.fakes[at].http_url())]);
        }
        all
    }

    /// Runs a replay through the nodes of these names.
    pub(crate) fn run(&self, nodes: &[&str], ledger: &str, more: &[&str]) -> Outcome {
        let mut all = self.source("replay", nodes);
        all.extend(["--ledger".to_owned(), self.ledger(ledger).display().to_string()]);
        all.extend(more.iter().map(|word| (*word).to_owned()));
        self.program.run(all)
    }

    /// The same, with this exit code; returns what it prints.
    pub(crate) fn replay(&self, nodes: &[&str], ledger: &str, more: &[&str], code: i32) -> String {
        self.run(nodes, ledger, more).expect_code(code).stdout
    }

    pub(crate) fn json(&self, nodes: &[&str], ledger: &str, more: &[&str], code: i32) -> Value {
        let more = [more, &["--format", "json"]].concat();
        serde_json::from_str(&self.replay(nodes, ledger, &more, code)).unwrap()
    }

    pub(crate) fn query(&self, ledger: &str, sql: &str) -> Vec<Value> {
        self.program.query(&self.ledger(ledger), sql)
    }

    pub(crate) fn first_run(&self, node: &str, ledger: &str) {
        self.json(&[node], ledger, &["-b", &format!("1:{FIRST_LAST}")], 0);
    }

    /// What honest nodes say of the whole chain.
    pub(crate) fn truth(&self) -> Value {
        self.json(&["reth"], "truth.duckdb", &["-b", "1:finalized"], 0);
        self.events("truth.duckdb")
    }

    pub(crate) fn events(&self, ledger: &str) -> Value {
        let sql =
            "select count(*) as n, bit_xor(hash(block_hash, tx_hash, data, topic1, occurrence))
            as x from events_canonical";
        self.query(ledger, sql)[0].clone()
    }
}

fn calls(told: &Value, method: &str) -> u64 {
    let nodes = told["nodes"].as_array().unwrap().iter();
    nodes.filter_map(|node| node["calls"][method].as_u64()).sum()
}

/// Loses one log of each block where ranges are asked for.
fn loses_in_ranges() -> Vec<Rule> {
    vec![Rule::on(Methods::RANGE_LOGS, Trouble::LostLog)]
}

#[test]
fn f25_f28_the_chain_recovers_what_one_of_three_clients_lost_in_ranges_and_names_it() {
    let nodes = [
        ("geth", Dialect::Geth, loses_in_ranges()),
        ("alike", Dialect::Geth, vec![]),
        ("reth", Dialect::Reth, vec![]),
    ];
    let Some(scene) = Scene::new(&nodes) else {
        skip!("f25_f28_the_chain: headcount is not built (make build)")
    };
    let all = ["geth", "alike", "reth"];
    scene.first_run("geth", "l.duckdb");
    let truth = scene.truth();
    assert_ne!(scene.events("l.duckdb"), truth);

    let told = scene.json(&all, "l.duckdb", &[], 0);
    let look = &told["second_look"];
    assert_eq!(look["nodes"].as_array().unwrap().len(), 1, "{told:#}");
    assert_eq!(look["nodes"][0]["name"], "reth");
    assert_eq!(look["nodes"][0]["blocks"], look["nodes"][0]["of_other_client"]);
    assert_eq!((&look["range"]["first"], &look["lacks_other_node"]), (&1.into(), &false.into()));
    assert!(look["recovered"].as_u64().unwrap() > 0, "{told:#}");
    assert!(look["agreed"].as_u64().unwrap() > 0, "{told:#}");
    assert_eq!(scene.events("l.duckdb"), truth);
    // Only what was found is new to plugins.
    let late = "select sum(events)::BIGINT as n from journal where op = 'late'";
    assert_eq!(scene.query("l.duckdb", late)[0]["n"], look["recovered"]);
    let incidents = told["incidents"].as_array().unwrap();
    let kept_back: Vec<&Value> = incidents
        .iter()
        .filter(|i| i["detail"].as_str().unwrap().contains("over a range"))
        .collect();
    assert!(!kept_back.is_empty(), "{told:#}");
    assert!(incidents.iter().all(|incident| incident["node"] == "geth"), "{told:#}");
    let agreed = "select count(*) as n from coverage where content = 'agreed:2'";
    assert_ne!(scene.query("l.duckdb", agreed)[0]["n"], 0);

    // Nothing is new: nothing is said, and no logs are asked for.
    assert_eq!(scene.replay(&all, "l.duckdb", &["--quiet"], 0), "");
    let told = scene.json(&all, "l.duckdb", &[], 0);
    assert_eq!(told["second_look"]["range"], Value::Null, "{told:#}");
    assert_eq!((calls(&told, "eth_getLogs"), calls(&told, "eth_getBlockByNumber") <= 9), (0, true));
}

#[test]
fn the_chain_says_where_there_is_no_other_node_or_only_one_of_the_same_client() {
    let nodes = [("geth", Dialect::Geth, vec![]), ("alike", Dialect::Geth, vec![])];
    let Some(scene) = Scene::new(&nodes) else {
        skip!("the_chain_says: headcount is not built (make build)")
    };
    scene.first_run("geth", "alone.duckdb");
    let told = scene.json(&["geth"], "alone.duckdb", &[], 0);
    assert_eq!(told["second_look"]["lacks_other_node"], true, "{told:#}");
    scene.first_run("geth", "words.duckdb");
    let words = scene.replay(&["geth"], "words.duckdb", &[], 0);
    assert!(words.contains("no node but those that saw them first"), "{words}");
    // They stay open: a node that is there later looks at all of them, once.
    let told = scene.json(&["geth", "alike"], "alone.duckdb", &[], 0);
    assert_eq!(told["second_look"]["range"]["first"], 1, "{told:#}");
    let told = scene.json(&["geth", "alike"], "alone.duckdb", &[], 0);
    assert_eq!(told["second_look"]["range"], Value::Null, "{told:#}");
    assert_eq!(told["second_look"]["lacks_other_node"], false, "{told:#}");
    scene.first_run("geth", "two.duckdb");
    let told = scene.json(&["geth", "alike"], "two.duckdb", &[], 0);
    let node = &told["second_look"]["nodes"][0];
    assert_eq!((&node["name"], &node["of_other_client"]), (&"alike".into(), &0.into()), "{told:#}");
    assert_eq!(told["second_look"]["lacks_other_node"], false);
    // An empty ledger tells no beginning.
    scene.replay(&["geth", "alike"], "empty.duckdb", &[], 2);
}

#[test]
fn f34_a_second_node_that_refuses_old_blocks_is_asked_for_what_it_has_and_the_rest_waits() {
    let gone = BlockRange::new(0, 20).unwrap();
    let history = Methods::LOGS.and(Methods::RECEIPTS);
    let pruned = vec![Rule::on(history, Trouble::Pruned).in_blocks(gone)];
    // What the first one keeps back the other has, but for what it has no longer.
    let keeps_back = |first, last| {
        let blocks = BlockRange::new(first, last).unwrap();
        Rule::on(Methods::RANGE_LOGS, Trouble::NoLogs).in_blocks(blocks)
    };
    let nodes = [
        ("geth", Dialect::Geth, vec![keeps_back(22, 26)]),
        ("pruned", Dialect::Reth, pruned),
        ("reth", Dialect::Reth, vec![]),
    ];
    let Some(scene) = Scene::new(&nodes) else {
        skip!("f34_a_second_node: headcount is not built (make build)")
    };
    let truth = scene.truth();
    let both = ["geth", "pruned"];
    let off = ["--verify", "off"];
    scene.replay(&["geth"], "l.duckdb", &["-b", "1:finalized", "--verify", "off"], 0);
    assert_ne!(scene.events("l.duckdb"), truth);
    let told = scene.json(&both, "l.duckdb", &off, 0);
    let look = &told["second_look"];
    assert!(look["recovered"].as_u64().unwrap() > 0, "{told:#}");
    assert_eq!(scene.events("l.duckdb"), truth);
    let waits = look["without_other_node"].as_u64().unwrap();
    assert!(waits >= 20 && look["agreed"].as_u64().unwrap() > 0, "{told:#}");
    // It is no failure, costs next to nothing from then on, and whoever has them may come later.
    let told = scene.json(&both, "l.duckdb", &off, 0);
    assert_eq!(told["second_look"]["without_other_node"], waits, "{told:#}");
    assert!(calls(&told, "eth_getLogs") <= 4 * 2, "{told:#}");
    assert_eq!(scene.replay(&both, "l.duckdb", &["--quiet", "--verify", "off"], 0), "");
    let told = scene.json(&["geth", "pruned", "reth"], "l.duckdb", &off, 0);
    assert_eq!(told["second_look"]["lacks_other_node"], false, "{told:#}");
    // Alone it gives what it has.
    let told = scene.json(&["pruned"], "alone.duckdb", &["-b", "1:finalized"], 75);
    assert!(told["blocks"]["fetched"].as_u64().unwrap() > 0, "{told:#}");
    assert_eq!(told["blocks"]["open"].as_array().unwrap().len(), 1, "{told:#}");
}

#[test]
fn an_incident_of_the_chain_is_exit_1_where_that_is_asked_for() {
    let nodes = [("geth", Dialect::Geth, vec![]), ("reth", Dialect::Reth, loses_in_ranges())];
    let Some(scene) = Scene::new(&nodes) else {
        skip!("an_incident_of: headcount is not built (make build)")
    };
    scene.first_run("geth", "l.duckdb");
    let told = scene.json(&["geth", "reth"], "l.duckdb", &["--fail-on-incident"], 1);
    assert_eq!(told["status"], "failed", "{told:#}");
    let incidents = told["incidents"].as_array().unwrap();
    assert!(incidents.iter().all(|incident| incident["node"] == "reth"), "{told:#}");
}

/// On another chain with the same id: whole in itself, and finding nothing of what is asked for is what
/// it has in common with an honest one.
fn of_another_chain() -> Vec<Rule> {
    let chain = World::new(WorldSettings::of_seed(11)).tree(sim::chain::Tree::chain);
    vec![Rule::on(Methods::ASKS, Trouble::OtherChain(chain))]
}

#[test]
fn a_node_on_another_chain_of_the_same_id_agrees_with_nobody() {
    let nodes = [
        ("geth", Dialect::Geth, vec![]),
        ("strange", Dialect::Besu, of_another_chain()),
        ("reth", Dialect::Reth, vec![]),
    ];
    let Some(scene) = Scene::new(&nodes) else {
        skip!("a_node_on_another_chain: headcount is not built (make build)")
    };
    let truth = scene.truth();
    let range = format!("1:{FIRST_LAST}");
    let agree = ["-b", &range, "--verify", "agree:2"];
    // Two that have not one block in common.
    for (place, pair) in [["geth", "strange"], ["strange", "geth"]].iter().enumerate() {
        let ledger = format!("two{place}.duckdb");
        let told = scene.json(pair, &ledger, &agree, 75);
        let open = told["blocks"]["open"].as_array().unwrap();
        let blocks: u64 = open.iter().map(|o| o["range"]["count"].as_u64().unwrap()).sum();
        assert_eq!(blocks, FIRST_LAST, "{told:#}");
        assert_eq!(told["events"]["new"], 0, "{told:#}");
        let agreed = "select count(*) as n from coverage where content like 'agreed%'";
        assert_eq!(scene.query(&ledger, agreed)[0]["n"], 0);
    }
    // With a third one there are two that agree, whoever is asked first.
    let three = ["strange", "geth", "reth"];
    let told = scene.json(&three, "three.duckdb", &["-b", "1:finalized", "--verify", "agree:2"], 0);
    assert_eq!(told["evidence"]["content"], "agreed:2", "{told:#}");
    assert_eq!(told["evidence"]["anchor"], "agreed:2", "{told:#}");
    assert_eq!(scene.events("three.duckdb"), truth);

    // Nor does it in a second look, also where the blocks have no events.
    let narrow = ["-c", "0x00000000000000000000000000000000000000aa", "-e", "Nothing(uint256 n)"];
    let url = |at: usize| format!("{}={}", scene.names[at], scene.fakes[at].http_url());
    let run = |nodes: &[usize], more: &[&str], code: i32| -> Value {
        let urls: Vec<String> = nodes.iter().map(|at| url(*at)).collect();
        let mut all = vec!["replay", "--format", "json", "--ledger", "narrow.duckdb"];
        urls.iter().for_each(|url| all.extend(["-r", url]));
        all.extend(narrow.iter().chain(more));
        serde_json::from_str(&scene.program.run(all).expect_code(code).stdout).unwrap()
    };
    run(&[0], &["-b", &range], 0);
    let told = run(&[0, 1], &[], 75);
    assert_eq!(told["second_look"]["agreed"], 0, "{told:#}");
    assert!(told["blocks"]["open"].to_string().contains("another block"), "{told:#}");
    let told = run(&[0, 1, 2], &[], 0);
    assert!(told["second_look"]["agreed"].as_u64() >= Some(FIRST_LAST), "{told:#}");
}

/// Blocks below the first one that needs receipts because its bloom admits what it has not.
fn without_receipts() -> BlockRange {
    BlockRange::new(1, 16).unwrap()
}

fn no_receipts() -> Rule {
    Rule::on(Methods::RECEIPTS, Trouble::MethodMissing).in_blocks(without_receipts())
}

#[test]
fn what_nodes_differ_in_and_nothing_decides_is_open_in_every_run_until_it_is_decided() {
    let forged = Rule::on(Methods::LOGS, Trouble::AddedLog).in_blocks(without_receipts());
    let nodes = [
        ("geth", Dialect::Geth, vec![no_receipts()]),
        ("odd", Dialect::Besu, vec![forged, no_receipts()]),
        ("reth", Dialect::Reth, vec![]),
    ];
    let Some(scene) = Scene::new(&nodes) else {
        skip!("what_nodes_differ_in: headcount is not built (make build)")
    };
    scene.first_run("geth", "l.duckdb");
    for _ in 0..3 {
        let told = scene.json(&["geth", "odd"], "l.duckdb", &[], 75);
        assert_eq!(told["status"], "open", "{told:#}");
        let open = told["blocks"]["open"].to_string();
        assert!(open.contains("who is right"), "{told:#}");
    }
    let range = format!("1:{FIRST_LAST}");
    let told = scene.json(&["geth"], "l.duckdb", &["-b", &range], 75);
    assert_eq!(told["blocks"]["fetched"], 0, "{told:#}");
    let coverage = |scene: &Scene| -> Value {
        let ledger = scene.ledger("l.duckdb").display().to_string();
        let told = scene.program.run(["coverage", "--format", "json", "--ledger", &ledger]);
        let report: Value = serde_json::from_str(&told.expect_success().stdout).unwrap();
        report["chains"][0]["filters"][0]["blocks"]["open"].clone()
    };
    let open = coverage(&scene).as_u64().unwrap();
    assert!(open > 0);
    // A third one has receipts.
    let told = scene.json(&["geth", "odd", "reth"], "l.duckdb", &[], 0);
    assert!(told["incidents"].to_string().contains("odd"), "{told:#}");
    assert!(coverage(&scene).as_u64().unwrap() < open);
    scene.json(&["geth"], "l.duckdb", &["-b", &range], 0);
    assert_eq!(scene.events("l.duckdb"), scene.truth());
}

#[test]
fn a_demand_that_was_not_met_stays_open_until_it_is() {
    let nodes = [("geth", Dialect::Geth, vec![no_receipts()]), ("reth", Dialect::Reth, vec![])];
    let Some(scene) = Scene::new(&nodes) else {
        skip!("a_demand_that: headcount is not built (make build)")
    };
    let range = format!("1:{FIRST_LAST}");
    scene.json(&["geth"], "l.duckdb", &["-b", &range], 0);
    scene.json(&["geth"], "l.duckdb", &["-b", &range, "--verify", "prove"], 75);
    let ledger = scene.ledger("l.duckdb").display().to_string();
    let open = |scene: &Scene| -> u64 {
        let told = scene.program.run(["coverage", "--format", "json", "--ledger", &ledger]);
        let report: Value = serde_json::from_str(&told.expect_success().stdout).unwrap();
        let filters = report["chains"][0]["filters"].as_array().unwrap().iter();
        let within = filters.flat_map(|f| f["ranges"].as_array().unwrap()).filter(|range| {
            range["known"] == "open" && range["last"].as_u64().unwrap() <= FIRST_LAST
        });
        within.map(|range| range["count"].as_u64().unwrap()).sum()
    };
    assert!(open(&scene) > 0, "bloom is less than was demanded");
    // A weaker run meets what it demands itself, and does not forget.
    scene.json(&["geth"], "l.duckdb", &["-b", &range], 0);
    assert!(open(&scene) > 0);
    let url = format!("geth={}", scene.fakes[0].http_url());
    let health = ["health", "-r", &url, "--ledger", &ledger, "--format", "json", "--deadline"];
    let told = scene.program.run(health.iter().chain(&["1h"]));
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    assert!(report.to_string().contains("\"open\":[{"), "{report:#}");
    scene.json(&["reth"], "l.duckdb", &["-b", &range, "--verify", "prove"], 0);
    assert_eq!(open(&scene), 0);
}
