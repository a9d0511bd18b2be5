//! A node that is restarted from its dumped state while it is watched: the watch goes on with it.

use crate::watch::{chain_lines, check, expected, standing};
use headcount_tests::{Anvil, Contracts, Program, Traffic, Watching, skip, stored_lines};
use serde_json::{Value, json};

#[test]
fn a_node_that_is_restarted_from_its_state_is_followed_on() {
    const NAME: &str = "watch_node_restart";
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let state = ["--state", state.to_str().unwrap(), "--preserve-historical-states"];
    let Some(anvil) = Anvil::start_with(&state) else {
        skip!("{NAME}: anvil is not installed (make tools)")
    };
    let Some(contracts) = Contracts::compile() else {
        skip!("{NAME}: solc is not installed (make tools)")
    };
    let Some(program) = Program::in_folder(folder.path()) else {
        skip!("{NAME}: headcount is not built (make build)")
    };
    let mut traffic = Traffic::new(anvil.rpc(), 71).unwrap();
    let gold = traffic.deploy_token(contracts.bytecode("Token"), "Gold").unwrap();
    traffic.trade(&[gold], 15).unwrap();
    let (http, ws) = (format!("http={}", anvil.url()), format!("ws={}", anvil.ws_url()));
    let contract = format!("gold={gold}");
    let what = ["watch", "-r", &http, "-r", &ws, "-c", &contract, "--from-block", "0"];
    let pace = ["--ledger", "l.duckdb", "--poll-interval", "100ms", "--agree-wait", "300ms"];
    let mut watching = Watching::start(&program, what.iter().chain(&pace));
    let rpc = anvil.rpc();
    let is_whole = |lines: &[Value]| standing(lines, 31_337) == expected(&rpc);
    watching.wait_until("the first blocks", is_whole);

    let port = anvil.address().port().to_string();
    anvil.end();
    let again: Vec<&str> = state.iter().copied().chain(["--port", &port]).collect();
    let anvil = Anvil::start_with(&again).unwrap();
    let head = rpc.call("eth_blockNumber", json!([])).unwrap();
    assert_eq!(head, format!("{:#x}", traffic.head()), "the state was not taken over");
    traffic.trade(&[gold], 10).unwrap();
    watching.wait_until("blocks after the restart", is_whole);

    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let ledger = folder.path().join("l.duckdb");
    assert_eq!(stored_lines(&program, &ledger), chain_lines(&rpc), "{}", end.stderr);
    // Both lines were taken up again.
    let after = "select distinct node from sightings where number > 20 order by all";
    let nodes: Vec<Value> =
        program.query(&ledger, after).iter().map(|row| row["node"].clone()).collect();
    assert_eq!(nodes, ["http", "ws"]);
    check(&program, &ledger);
    drop(anvil);
}
