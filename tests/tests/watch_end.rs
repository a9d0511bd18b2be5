//! How a watch ends: when it is told to, when nobody reads it, and whatever its nodes do.

use crate::watch::{chain_lines, check};
use headcount_tests::{
    Anvil, Contracts, FaultProxy, Program, Rpc, Traffic, Watching, call_data, stored_lines,
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::Child,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// SIGTERM drains and ends within this.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// A condition that is not met by then never will be.
const PATIENCE: Duration = Duration::from_secs(90);

/// Blocks of one long event each: more than may wait for a slow reader.
const UNREAD_BLOCKS: u64 = 90;
const DATA_BYTES: usize = 60_000;

/// A node with a token, and a folder for the program.
pub(crate) struct Scene {
    pub(crate) anvil: Anvil,
    traffic: Traffic,
    pub(crate) gold: String,
    pub(crate) program: Program,
    folder: TempDir,
}

impl Scene {
    /// Returns one with some blocks, or what is not installed.
    pub(crate) fn new(seed: u64) -> Result<Self, &'static str> {
        let anvil = Anvil::start().ok_or("anvil is not installed (make tools)")?;
        let contracts = Contracts::compile().ok_or("solc is not installed (make tools)")?;
        let folder = tempfile::tempdir().unwrap();
        let program =
            Program::in_folder(folder.path()).ok_or("headcount is not built (make build)")?;
        let mut traffic = Traffic::new(anvil.rpc(), seed).unwrap();
        let gold = traffic.deploy_token(contracts.bytecode("Token"), "Gold").unwrap();
        traffic.trade(&[gold], 10).unwrap();
        Ok(Self { anvil, traffic, gold: gold.to_string(), program, folder })
    }

    pub(crate) fn rpc(&self) -> Rpc {
        self.anvil.rpc()
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger.duckdb")
    }

    pub(crate) fn watch(&self, nodes: &[&str], more: &[&str]) -> Vec<String> {
        let contract = format!("gold={}", self.gold);
        let mut all = vec!["watch", "-c", &contract, "--from-block", "0"];
        all.extend(nodes.iter().flat_map(|node| ["-r", *node]));
        all.extend(["--ledger", "ledger.duckdb", "--poll-interval", "50ms"]);
        all.extend(["--agree-wait", "200ms"]);
        all.extend(more);
        all.into_iter().map(str::to_owned).collect()
    }

    pub(crate) fn events(&self) -> usize {
        chain_lines(&self.rpc()).len()
    }

    /// Mints in a block of its own, so many times.
    pub(crate) fn mint(&mut self, blocks: usize) {
        let token = self.gold.parse().unwrap();
        let from = self.traffic.accounts()[0];
        let data = call_data("mint(address,uint256)", &[from.into_word().0, from.into_word().0]);
        for _ in 0..blocks {
            self.traffic.send(from, token, &data).unwrap();
            self.traffic.mine().unwrap();
        }
    }
}

/// A scene, or a SKIP of the test with what is not installed.
macro_rules! scene {
    ($seed:literal, $test:literal) => {
        match $crate::watch_end::Scene::new($seed) {
            Ok(scene) => scene,
            Err(missing) => headcount_tests::skip!("{}: {missing}", $test),
        }
    };
}
pub(crate) use scene;

/// Waits for the end of a process and returns its exit code.
fn ended(child: &mut Child, within: Duration) -> Option<i32> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if begun.elapsed() > within {
            child.kill().unwrap();
            panic!("it did not end within {within:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn is_whole(count: usize) -> impl Fn(&[Value]) -> bool {
    move |lines| lines.iter().filter(|line| line["type"] == "event").count() == count
}

#[test]
fn a_reader_that_closes_the_pipe_ends_the_watch_with_exit_code_0() {
    let mut scene = scene!(61, "watch_closed_pipe");
    let url = scene.anvil.url();
    let mut child = scene.program.start_heard(scene.watch(&[&url], &["--quiet"]));
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("\"type\":\"event\""), "{first}");
    // It is noticed at the next line.
    scene.mint(1);
    assert_eq!(ended(&mut child, PATIENCE), Some(0));
    check(&scene.program, &scene.ledger());
}

#[test]
fn a_reader_that_never_reads_delays_nothing_and_is_told_what_it_missed() {
    let mut scene = scene!(62, "watch_slow_pipe");
    // A contract that logs what it is called with.
    let emitter = scene.traffic.deploy("67365f5f37365fa0005f5260086018f3", &[]).unwrap();
    let from = scene.traffic.accounts()[0];
    let data = format!("0x{}", "00".repeat(DATA_BYTES));
    let until = (scene.traffic.head() + UNREAD_BLOCKS).to_string();
    scene.gold = emitter.to_string();
    let url = scene.anvil.url();
    let arguments = scene.watch(&[&url], &["--until-block", &until]);
    let mut watching = Watching::start_unread(&scene.program, arguments);
    for _ in 0..UNREAD_BLOCKS {
        scene.traffic.send(from, emitter, &data).unwrap();
        scene.traffic.mine().unwrap();
    }
    // It has recorded everything, and now waits for its reader.
    watching.wait_until_said(&format!("head {until}, {UNREAD_BLOCKS} new events"));
    check(&scene.program, &scene.ledger());
    watching.read();
    let end = watching.join();
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let (incidents, lines): (Vec<Value>, Vec<Value>) =
        end.lines.into_iter().partition(|line| line["type"] == "incident");
    // A node under load may earn one; it is no row of the journal.
    incidents.iter().for_each(|incident| println!("{incident}"));
    let rows = scene.program.query(&scene.ledger(), "select count(*)::int as n from incidents");
    assert_eq!(lines.last().map(|end| &end["incidents"]), Some(&rows[0]["n"]));
    let kinds: Vec<&str> = lines.iter().filter_map(|line| line["type"].as_str()).collect();
    assert_eq!(kinds.last(), Some(&"end"), "{kinds:?}");
    // Every event is told, or is in a row that a gap names: whenever there was room again.
    let told = kinds.iter().filter(|kind| **kind == "event").count() as u64;
    let gaps: Vec<&Value> = lines.iter().filter(|line| line["type"] == "gap").collect();
    assert!(!gaps.is_empty() && told < UNREAD_BLOCKS, "{kinds:?}");
    let left_out = gaps.iter().map(|gap| {
        let (first, last) = (&gap["first_journal"], &gap["last_journal"]);
        let rows = format!("from journal where seq between {first} and {last}");
        let sql = format!("select coalesce(sum(events), 0)::int as n {rows}");
        scene.program.query(&scene.ledger(), &sql)[0]["n"].as_u64().unwrap()
    });
    assert_eq!(left_out.sum::<u64>() + told, UNREAD_BLOCKS, "{kinds:?}");

    // Told to end, it does not wait for a reader that never comes.
    let watching = {
        let url = scene.anvil.url();
        std::fs::remove_file(scene.ledger()).unwrap();
        let arguments = scene.watch(&[&url], &["--max-time", "4s"]);
        Watching::start_unread(&scene.program, arguments)
    };
    let end = watching.join();
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(end.took < Duration::from_secs(4) + DRAIN_MAX, "it took {:?}", end.took);
    check(&scene.program, &scene.ledger());
}

#[test]
fn a_watch_ends_after_its_time_with_exit_code_0_and_on_ctrl_c_with_130() {
    let scene = scene!(63, "watch_max_time");
    let url = scene.anvil.url();
    let end = Watching::start(&scene.program, scene.watch(&[&url], &["--max-time", "4s"])).join();
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(stored_lines(&scene.program, &scene.ledger()), chain_lines(&scene.rpc()));
    check(&scene.program, &scene.ledger());
    let last = end.lines.last().unwrap();
    assert_eq!((&last["type"], &last["more"]), (&json!("end"), &json!(true)), "{last}");

    let mut again = Watching::start(&scene.program, scene.watch(&[&url], &[]));
    again.wait_until_said("ledger: ");
    let end = again.end("INT");
    assert_eq!(end.code, Some(130), "{}", end.stderr);
    assert!(end.took < DRAIN_MAX, "it took {:?}", end.took);
    check(&scene.program, &scene.ledger());
}

#[test]
fn a_watch_up_to_a_block_owes_nothing_of_those_above_it() {
    let mut scene = scene!(66, "watch_up_to");
    scene.mint(5);
    let head = scene.rpc().call("eth_blockNumber", json!([])).unwrap();
    let head = u64::from_str_radix(head.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    let url = scene.anvil.url();
    for below in [3, 1, 0] {
        let until = (head - below).to_string();
        scene.program.run(scene.watch(&[&url], &["--until-block", &until])).expect_success();
    }
}

#[test]
fn a_watch_whose_nodes_all_stand_still_ends_when_it_is_told_to() {
    let mut scene = scene!(64, "watch_frozen");
    let proxies = [1, 2].map(|seed| FaultProxy::start(scene.anvil.address(), seed));
    let nodes = [format!("a={}", proxies[0].url()), format!("b={}", proxies[1].url())];
    let nodes = [nodes[0].as_str(), nodes[1].as_str()];
    let mut watching = Watching::start(&scene.program, scene.watch(&nodes, &[]));
    watching.wait_until("the first blocks", is_whole(scene.events()));
    proxies.iter().for_each(|proxy| proxy.freeze(true));
    scene.mint(1);
    // The calls that are under way are not answered any more.
    std::thread::sleep(Duration::from_millis(500));
    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(end.took < DRAIN_MAX, "it took {:?}", end.took);
    check(&scene.program, &scene.ledger());

    // The same where none of them has ever answered.
    for more in [&[][..], &["--chain-id", "31337"]] {
        let mut watching = Watching::start(&scene.program, scene.watch(&nodes, more));
        watching.wait_until_said("ledger: ");
        std::thread::sleep(Duration::from_millis(500));
        let end = watching.end("TERM");
        assert_eq!(end.code, Some(0), "{}", end.stderr);
        assert!(end.took < DRAIN_MAX, "it took {:?}", end.took);
    }
}

#[test]
fn a_watch_in_the_middle_of_a_long_gap_ends_when_it_is_told_to() {
    let scene = scene!(65, "watch_long_gap");
    let (token, from) = (scene.gold.parse().unwrap(), scene.traffic.accounts()[0]);
    let data = call_data("mint(address,uint256)", &[from.into_word().0, from.into_word().0]);
    scene.rpc().call("anvil_mine", json!(["0x5dc"])).unwrap();
    scene.traffic.send(from, token, &data).unwrap();
    scene.rpc().call("anvil_mine", json!(["0x1"])).unwrap();
    // A line so slow that the gap below takes much longer than the head.
    let proxy = FaultProxy::start(scene.anvil.address(), 6);
    proxy.disturb(0, 60);
    let mut watching =
        Watching::start(&scene.program, scene.watch(&[&proxy.url()], &["--concurrency", "1"]));
    watching.wait_until("the head", |lines| lines.iter().any(|line| line["type"] == "event"));
    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(end.took < DRAIN_MAX, "it took {:?}", end.took);
    check(&scene.program, &scene.ledger());
    assert!(end.stderr.contains("open: "), "the gap was filled already: {}", end.stderr);
}

#[test]
fn a_watch_that_starts_while_its_nodes_are_away_waits_for_them_where_the_ledger_knows_the_chain() {
    let mut scene = scene!(67, "watch_nodes_away");
    let proxy = FaultProxy::start(scene.anvil.address(), 7);
    let url = proxy.url();
    proxy.go_away(true);
    // Without a ledger nobody knows which chain it is.
    let outcome = scene.program.run(scene.watch(&[&url], &[]));
    assert_eq!(outcome.code, Some(75), "{}", outcome.stderr);
    assert!(!scene.ledger().exists());

    proxy.go_away(false);
    let mut watching = Watching::start(&scene.program, scene.watch(&[&url], &[]));
    watching.wait_until("the first blocks", is_whole(scene.events()));
    assert_eq!(watching.end("TERM").code, Some(0));

    proxy.go_away(true);
    let before = scene.events();
    scene.mint(3);
    let mut again = Watching::start(&scene.program, scene.watch(&[&url], &[]));
    again.wait_until_said("no node answers: waiting for them, for chain 31337 of the ledger");
    proxy.go_away(false);
    again.wait_until("what came meanwhile", is_whole(scene.events() - before));
    let end = again.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(stored_lines(&scene.program, &scene.ledger()), chain_lines(&scene.rpc()));
    check(&scene.program, &scene.ledger());
}
