//! A real liar: what ganache says of blocks that it took back never stands.

use crate::watch::{check, standing};
use headcount_tests::{Ganache, Program, Rpc, Watching, line_of, skip, stored_lines};
use serde_json::{Value, json};

const CHAIN: u64 = 1_337;

/// Mines a block in which the contract logs these words.
fn emit(rpc: &Rpc, from: &Value, contract: &Value, words: &str) {
    let data = format!("0x{}", alloy_primitives::hex::encode(words));
    let ask = json!([{"from": from, "to": contract, "data": data, "gas": "0x30000"}]);
    rpc.call("eth_sendTransaction", ask).unwrap();
    rpc.call("evm_mine", json!([])).unwrap();
}

fn logs(rpc: &Rpc) -> Vec<Value> {
    let all = json!([{"fromBlock": "0x0", "toBlock": "latest"}]);
    rpc.call("eth_getLogs", all).unwrap().as_array().unwrap().clone()
}

fn expected(rpc: &Rpc) -> Vec<(u64, u64, String)> {
    let number = |value: &Value| u64::from_str_radix(&value.as_str().unwrap()[2..], 16).unwrap();
    let logs = logs(rpc);
    let position = |log: &Value| {
        let transaction = log["transactionHash"].as_str().unwrap().to_owned();
        (number(&log["blockNumber"]), number(&log["logIndex"]), transaction)
    };
    let mut all: Vec<_> = logs.iter().map(position).collect();
    all.sort();
    all
}

#[test]
fn what_ganache_says_of_blocks_that_it_took_back_never_stands() {
    let Some(ganache) = Ganache::start() else {
        skip!("watch_ganache: ganache is not installed (make tools)")
    };
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = Program::in_folder(folder.path()) else {
        skip!("watch_ganache: headcount is not built (make build)")
    };
    let rpc = ganache.rpc();
    let from = rpc.call("eth_accounts", json!([])).unwrap()[0].clone();
    // A contract that logs what it is called with.
    let code = "0x67365f5f37365fa0005f5260086018f3";
    let deploy = json!([{"from": from, "data": code, "gas": "0x30000"}]);
    let deployed = rpc.call("eth_sendTransaction", deploy).unwrap();
    rpc.call("evm_mine", json!([])).unwrap();
    let receipt = rpc.call("eth_getTransactionReceipt", json!([deployed])).unwrap();
    let contract = receipt["contractAddress"].clone();
    let mine = |branch: &str, blocks: usize| {
        (0..blocks).for_each(|i| emit(&rpc, &from, &contract, &format!("{branch} {i}")));
    };
    mine("trunk", 4);

    // It calls its head final, and then takes it back: only depth says something here.
    let config = format!(
        "ledger = \"l.duckdb\"\n[chain.liar]\nfinality = \"depth:64\"\n\
         [[chain.liar.node]]\nname = \"http\"\nurl = \"{}\"\n\
         [[chain.liar.node]]\nname = \"ws\"\nurl = \"{}\"\n\
         [[contract]]\nname = \"made\"\naddress = {contract}\n",
        ganache.url(),
        ganache.ws_url()
    );
    std::fs::write(folder.path().join("headcount.toml"), config).unwrap();
    let pace = ["--from-block", "0", "--poll-interval", "100ms", "--agree-wait", "300ms"];
    let mut watching = Watching::start(&program, ["watch"].iter().chain(&pace));
    let is_whole = |lines: &[Value]| standing(lines, CHAIN) == expected(&rpc);
    watching.wait_until("the trunk", is_whole);

    for round in 0..3 {
        let snapshot = rpc.call("evm_snapshot", json!([])).unwrap();
        let old = rpc.call("eth_blockNumber", json!([])).unwrap();
        mine(&format!("old {round}"), 3);
        // Once it has read the branch that leaves, once in the middle of that.
        if round != 1 {
            watching.wait_until("a branch that leaves", is_whole);
        }
        let left = rpc.call("eth_getBlockByNumber", json!(["latest", false])).unwrap();
        rpc.call("evm_revert", json!([snapshot])).unwrap();
        assert_eq!(rpc.call("eth_blockNumber", json!([])).unwrap(), old);
        mine(&format!("new {round}"), 4);
        // That is the lie: asked for a block that left, it tells of the one that came instead.
        let told = rpc.call("eth_getLogs", json!([{"blockHash": left["hash"]}])).unwrap();
        assert_ne!(told[0]["blockHash"], left["hash"], "{told}");
        assert_eq!(told[0]["blockNumber"], left["number"], "{told}");
        watching.wait_until("the branch that came instead", is_whole);
    }

    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let ledger = folder.path().join("l.duckdb");
    let truth: Vec<String> = logs(&rpc).iter().map(line_of).collect();
    assert_eq!(stored_lines(&program, &ledger), truth, "{}", end.stderr);
    check(&program, &ledger);
}
