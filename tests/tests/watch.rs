//! Real nodes watched over every way to reach them, while lines break and the chain turns: the
//! ledger ends as the chain does.

use headcount_tests::{
    Anvil, Contracts, FaultProxy, Program, Rpc, Traffic, Watching, line_of, skip, stored_lines,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path, time::Duration};

/// SIGTERM drains and ends within this.
const DRAIN_MAX: Duration = Duration::from_secs(5);

pub(crate) fn head_of(rpc: &Rpc) -> u64 {
    let head = rpc.call("eth_blockNumber", json!([])).unwrap();
    u64::from_str_radix(&head.as_str().unwrap()[2..], 16).unwrap()
}

/// Every log of the chain from its receipts, as lines.
pub(crate) fn chain_lines(rpc: &Rpc) -> Vec<String> {
    let receipts = (0..=head_of(rpc)).flat_map(|number| {
        let block = json!([format!("{number:#x}")]);
        let receipts = rpc.call("eth_getBlockReceipts", block).unwrap();
        receipts.as_array().unwrap().clone()
    });
    let logs = receipts.flat_map(|receipt| receipt["logs"].as_array().unwrap().clone());
    logs.map(|log| line_of(&log)).collect()
}

/// Transactions and positions of events that stand, as the lines of a watch tell it.
pub(crate) fn standing(lines: &[Value], chain: u64) -> Vec<(u64, u64, String)> {
    let mut by_block: BTreeMap<String, Vec<(u64, u64, String)>> = BTreeMap::new();
    let mut left: BTreeMap<String, Vec<(u64, u64, String)>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line["chain"] == chain) {
        let hash = line["block_hash"].as_str().unwrap_or_default().to_owned();
        match line["type"].as_str().unwrap() {
            "event" => by_block.entry(hash).or_default().push((
                line["block"].as_u64().unwrap(),
                line["log_index"].as_u64().unwrap(),
                line["tx_hash"].as_str().unwrap().to_owned(),
            )),
            "retract" => {
                let events = by_block.remove(&hash).unwrap_or_default();
                left.insert(hash, events);
            }
            "reinstate" => {
                let events = left.remove(&hash).unwrap_or_default();
                by_block.entry(hash).or_default().extend(events);
            }
            _ => {}
        }
    }
    let mut all: Vec<_> = by_block.into_values().flatten().collect();
    all.sort();
    all
}

/// The same of the chain itself.
pub(crate) fn expected(rpc: &Rpc) -> Vec<(u64, u64, String)> {
    let parsed = chain_lines(rpc).into_iter().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        (words[0].parse().unwrap(), words[4].parse().unwrap(), words[2].to_owned())
    });
    let mut all: Vec<_> = parsed.collect();
    all.sort();
    all
}

pub(crate) fn check(program: &Program, ledger: &Path) {
    let check = ["ledger", "check", "--ledger", ledger.to_str().unwrap()];
    assert_eq!(program.run(check).expect_success().stdout.trim(), "ok");
}

#[test]
fn four_ways_to_one_node_leave_the_ledger_as_the_chain_whatever_breaks() {
    const NAME: &str = "watch_four_ways";
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("anvil.ipc");
    let ipc = ["--ipc", socket.to_str().unwrap()];
    let Some(anvil) = Anvil::start_with(&ipc) else {
        skip!("{NAME}: anvil is not installed (make tools)")
    };
    let Some(contracts) = Contracts::compile() else {
        skip!("{NAME}: solc is not installed (make tools)")
    };
    let Some(program) = Program::in_folder(folder.path()) else {
        skip!("{NAME}: headcount is not built (make build)")
    };
    let ledger = folder.path().join("ledger.duckdb");
    let mut traffic = Traffic::new(anvil.rpc(), 21).unwrap();
    let gold = traffic.deploy_token(contracts.bytecode("Token"), "Gold").unwrap();
    traffic.trade(&[gold], 10).unwrap();
    let proxy = FaultProxy::start(anvil.address(), 5);

    let contract = format!("gold={gold}");
    let (http, ws) = (format!("plain={}", anvil.url()), format!("socket={}", anvil.ws_url()));
    let (ipc, bad) = (format!("ipc={}", socket.display()), format!("bad={}", proxy.url()));
    let arguments = [
        "watch",
        "-r",
        &http,
        "-r",
        &ws,
        "-r",
        &ipc,
        "-r",
        &bad,
        "-c",
        &contract,
        "--from-block",
        "0",
        "--ledger",
        ledger.to_str().unwrap(),
        "--poll-interval",
        "200ms",
        "--agree-wait",
        "500ms",
    ];
    let mut watching = Watching::start(&program, arguments);
    let rpc = anvil.rpc();
    let is_whole = |lines: &[Value]| standing(lines, 31_337) == expected(&rpc);
    watching.wait_until("the blocks from before it started", is_whole);

    // New blocks while one of the lines is cut and late.
    proxy.disturb(120, 40);
    traffic.trade(&[gold], 12).unwrap();
    watching.wait_until("new blocks through a bad line", is_whole);

    // Blocks are taken back in silence, and others come.
    rpc.call("anvil_rollback", json!([4])).unwrap();
    traffic.trade(&[gold], 6).unwrap();
    watching.wait_until("a rollback", is_whole);

    // The node itself reorganises: four blocks are mined anew, empty.
    rpc.call("anvil_reorg", json!([4, []])).unwrap();
    traffic.trade(&[gold], 2).unwrap();
    watching.wait_until("a reorg", is_whole);

    // One line stands still; the others go on.
    proxy.disturb(0, 0);
    proxy.freeze(true);
    traffic.trade(&[gold], 8).unwrap();
    watching.wait_until("a frozen line", is_whole);
    proxy.freeze(false);

    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(end.took < DRAIN_MAX, "it took {:?}", end.took);
    assert_eq!(stored_lines(&program, &ledger), chain_lines(&rpc), "{}", end.stderr);
    check(&program, &ledger);
    let last = end.lines.last().unwrap();
    assert_eq!((&last["type"], &last["more"]), (&json!("end"), &json!(true)), "{last}");
}

#[test]
fn a_watch_that_was_down_goes_on_from_coverage_and_fills_the_gap() {
    const NAME: &str = "watch_gap";
    let Some(anvil) = Anvil::start() else { skip!("{NAME}: anvil is not installed (make tools)") };
    let Some(contracts) = Contracts::compile() else {
        skip!("{NAME}: solc is not installed (make tools)")
    };
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = Program::in_folder(folder.path()) else {
        skip!("{NAME}: headcount is not built (make build)")
    };
    let ledger = folder.path().join("ledger.duckdb");
    let mut traffic = Traffic::new(anvil.rpc(), 22).unwrap();
    let gold = traffic.deploy_token(contracts.bytecode("Token"), "Gold").unwrap();
    traffic.trade(&[gold], 10).unwrap();
    let (url, contract) = (anvil.url(), format!("gold={gold}"));
    let first = [
        "watch",
        "-r",
        &url,
        "-c",
        &contract,
        "--from-block",
        "0",
        "--ledger",
        ledger.to_str().unwrap(),
        "--poll-interval",
        "100ms",
        "--agree-wait",
        "200ms",
    ];
    let rpc = anvil.rpc();
    let is_whole = |lines: &[Value]| standing(lines, 31_337) == expected(&rpc);
    let mut watching = Watching::start(&program, first);
    watching.wait_until("the first blocks", is_whole);
    drop(watching);

    // Three hundred blocks pass unseen, more than a node's tracker walks back by itself.
    traffic.trade(&[gold], 300).unwrap();
    let head = head_of(&rpc).to_string();
    let second = first.iter().copied().filter(|word| !["--from-block", "0"].contains(word));
    let watching = Watching::start(&program, second.chain(["--until-block", &head]));
    let end = watching.join();
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(stored_lines(&program, &ledger), chain_lines(&rpc), "{}", end.stderr);
    check(&program, &ledger);
}
