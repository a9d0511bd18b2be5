//! A real node that takes blocks back between two replays: the ledger ends as the chain does.

use headcount_tests::{Anvil, Contracts, Program, Traffic, line_of, skip, stored_lines};
use serde_json::{Value, json};

#[test]
fn blocks_taken_back_between_replays_leave_the_ledger_as_the_chain() {
    let Some(anvil) = Anvil::start() else { skip!("reorg: anvil is not installed (make tools)") };
    let Some(contracts) = Contracts::compile() else {
        skip!("reorg: solc is not installed (make tools)")
    };
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = Program::in_folder(folder.path()) else {
        skip!("reorg: headcount is not built (make build)")
    };
    let ledger = folder.path().join("ledger.duckdb");
    let mut traffic = Traffic::new(anvil.rpc(), 11).unwrap();
    let gold = traffic.deploy_token(contracts.bytecode("Token"), "Gold").unwrap();
    traffic.trade(&[gold], 20).unwrap();

    let head = || {
        let head = anvil.rpc().call("eth_blockNumber", json!([])).unwrap();
        u64::from_str_radix(&head.as_str().unwrap()[2..], 16).unwrap()
    };
    for level in ["bloom", "prove", "off"] {
        let replay = |range: String| {
            let contract = format!("gold={gold}");
            let arguments = [
                "replay",
                "-r",
                &anvil.url(),
                "-c",
                &contract,
                "--verify",
                level,
                "-b",
                &range,
                "--ledger",
                ledger.to_str().unwrap(),
            ]
            .map(str::to_owned);
            program.run(arguments).expect_success();
        };
        replay(format!("0:{}", head()));
        // Seven blocks go, nine others come: deeper than one pass of a replay sees at once.
        anvil.rpc().call("anvil_rollback", json!([7])).unwrap();
        traffic.trade(&[gold], 9).unwrap();
        replay(format!("0:{}", head()));

        let receipts = (0..=head()).flat_map(|number| {
            let block = json!([format!("{number:#x}")]);
            let receipts = anvil.rpc().call("eth_getBlockReceipts", block).unwrap();
            receipts.as_array().unwrap().clone()
        });
        let logs: Vec<Value> =
            receipts.flat_map(|receipt| receipt["logs"].as_array().unwrap().clone()).collect();
        let expected: Vec<String> = logs.iter().map(line_of).collect();
        assert_eq!(stored_lines(&program, &ledger), expected, "--verify {level}");
        let check = ["ledger", "check", "--ledger", ledger.to_str().unwrap()].map(str::to_owned);
        program.run(check).expect_success();
    }
}
