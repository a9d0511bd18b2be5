//! Finality as each plugin wants it: one that waits for it never has a row of a block that left.

use crate::watch::{check, expected, standing};
use headcount_tests::{Anvil, Contracts, Program, Traffic, Watching, skip};
use serde_json::{Value, json};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// What is final on this node lies so far below its head: two epochs.
const FINAL_LAG: u64 = 8;
/// What is safe: one epoch.
const SAFE_LAG: u64 = 4;
const DEPTH: u64 = 3;

/// Four of one plugin: name, finality, and blocks below the head that it does not see yet.
const PLUGINS: [(&str, &str, u64); 4] = [
    ("newest", "latest", 0),
    ("deep", "depth:3", DEPTH),
    ("careful", "safe", SAFE_LAG),
    ("final", "finalized", FINAL_LAG),
];

/// Checks that each plugin has seen what it may, and has the balances of exactly that; those that wait for
/// the node's word go on at `least` or higher.
#[track_caller]
fn check_plugins(program: &Program, ledger: &Path, head: u64, least: u64) {
    check(program, ledger);
    for (name, _, below) in PLUGINS {
        let lane = format!("select next_block as n, generation from lanes where plugin = '{name}'");
        let lane = program.query(ledger, &lane);
        let next = lane[0]["n"].as_u64().unwrap();
        // What is safe and what is final the node is asked now and then.
        let is_asked = [SAFE_LAG, FINAL_LAG].contains(&below);
        let is_there = if is_asked { next >= least } else { next == head - below + 1 };
        assert!(is_there && next <= head - below + 1, "{name}: {lane:?}, head {head}");
        let seen = format!("_block < {next}");
        let wrong = format!(
            "with moves as (
                select \"to\" as holder, value::varchar::hugeint as value from gold.Transfer
                    where {seen}
                union all select \"from\", -value::varchar::hugeint from gold.Transfer
                    where {seen}),
            sums as (
                select holder, sum(value)::varchar as balance from moves
                where holder <> from_hex(repeat('00', 20)) group by all),
            told as (select holder, balance::varchar as balance from {name}.balances)
            (from sums except from told) union all (from told except from sums)"
        );
        let wrong = program.query(ledger, &wrong);
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
    }
}

#[test]
fn a_plugin_that_waits_for_finality_never_has_a_row_of_a_block_that_left() {
    const NAME: &str = "watch_finality";
    let Some(anvil) = Anvil::start_with(&["--slots-in-an-epoch", "4"]) else {
        skip!("{NAME}: anvil is not installed (make tools)")
    };
    let Some(contracts) = Contracts::compile() else {
        skip!("{NAME}: solc is not installed (make tools)")
    };
    let Some(plugin) = Program::plugin("erc20_balances") else {
        skip!("{NAME}: the plugins are not built (make plugins)")
    };
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = Program::in_folder(folder.path()) else {
        skip!("{NAME}: headcount is not built (make build)")
    };
    let rpc = anvil.rpc();
    let mut traffic = Traffic::new(rpc, 81).unwrap();
    let gold = traffic.deploy_token(contracts.bytecode("Token"), "Gold").unwrap();
    traffic.trade(&[gold], 30).unwrap();
    let head = || {
        let head = rpc.call("eth_blockNumber", json!([])).unwrap();
        u64::from_str_radix(&head.as_str().unwrap()[2..], 16).unwrap()
    };
    let url = anvil.url();
    let mut config = format!(
        "ledger = \"l.duckdb\"\n[chain.local]\n[[chain.local.node]]\nurl = \"{url}\"\n\
         [[contract]]\nname = \"gold\"\naddress = \"{gold}\"\n\
         events = [\"Transfer(address indexed from, address indexed to, uint256 value)\",
                   \"Approval(address indexed owner, address indexed spender, uint256 value)\"]\n"
    );
    for (name, finality, _) in PLUGINS {
        config += &format!(
            "[[plugin]]\nname = \"{name}\"\nwasm = \"{}\"\nfinality = \"{finality}\"\n",
            plugin.display()
        );
    }
    std::fs::write(folder.path().join("headcount.toml"), config).unwrap();
    let arguments =
        ["watch", "--from-block", "0", "--poll-interval", "100ms", "--agree-wait", "200ms"];
    let ledger = folder.path().join("l.duckdb");
    let is_whole = |lines: &[Value]| standing(lines, 31_337) == expected(&rpc);

    let mut watching = Watching::start(&program, arguments);
    watching.wait_until("the first blocks", is_whole);
    traffic.trade(&[gold], 6).unwrap();
    watching.wait_until("the head", is_whole);
    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    // Nothing of the blocks that leave next is in the plugin that waits.
    check_plugins(&program, &ledger, head(), 1);
    let old_head = head();

    let mut watching = Watching::start(&program, arguments);
    let before = standing(&end.lines, 31_337).len();
    rpc.call("anvil_rollback", json!([6])).unwrap();
    traffic.trade(&[gold], 9).unwrap();
    // What it was told in its first life counts as well.
    let both = |lines: &[Value]| {
        let all: Vec<Value> = end.lines.iter().chain(lines).cloned().collect();
        standing(&all, 31_337) == expected(&rpc)
    };
    watching.wait_until("the other branch", both);
    for _ in 0..4 {
        traffic.trade(&[gold], FINAL_LAG / 2).unwrap();
        watching.wait_until("what makes it final", both);
        // The node is asked now and then what is final; nothing tells when it was.
        std::thread::sleep(Duration::from_secs(1));
    }
    // What is safe it sees before it is final.
    let begun = Instant::now();
    let careful = "select next_block as n from lanes where plugin = 'careful'";
    while program.query(&ledger, careful)[0]["n"] != head() - SAFE_LAG + 1 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not see what is safe");
        std::thread::sleep(Duration::from_millis(100));
    }
    let again = watching.end("TERM");
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(before > 0 && again.lines.iter().any(|line| line["type"] == "retract"));
    check_plugins(&program, &ledger, head(), old_head + 1);
}
