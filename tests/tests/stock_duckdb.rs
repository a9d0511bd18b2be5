//! A closed ledger is a DuckDB file like any other: stock DuckDB, without code of ours, sums wide
//! integers exactly.

use headcount_tests::{Anvil, Contracts, Program, Traffic, call_data, skip, tool, workspace};
use serde_json::{Value, json};
use std::{path::Path, process::Command};

#[test]
fn stock_duckdb_sums_the_widest_integers_exactly() {
    const NAME: &str = "stock_duckdb_sums_the_widest_integers_exactly";
    let (Some(anvil), Some(contracts)) = (Anvil::start(), Contracts::compile()) else {
        skip!("{NAME}: anvil or solc is not installed (make tools)");
    };
    if tool("@duckdb/node-api").is_none() {
        skip!("{NAME}: stock DuckDB is not installed (make tools)");
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = Program::in_folder(folder.path()) else {
        skip!("{NAME}: headcount is not built (make build)");
    };

    let mut traffic = Traffic::new(anvil.rpc(), 1).unwrap();
    let odd = traffic.deploy(contracts.bytecode("Oddities"), &[]).unwrap();
    traffic.send(traffic.accounts()[0], odd, &call_data("extremes()", &[])).unwrap();
    traffic.mine().unwrap();
    program
        .run([
            "replay",
            "-r",
            &anvil.url(),
            "-c",
            &format!("odd={odd}"),
            "-e",
            "Wide(uint256 indexed id, uint256 biggest, int256 smallest)",
            "-e",
            "Mixed(int256 value)",
            "-b",
            "0:2",
            "--ledger",
            "headcount.duckdb",
        ])
        .expect_success();

    let ledger = folder.path().join("headcount.duckdb");
    // 2 * (2^256 - 1); -2^255 - 1; -2^255 + (2^255 - 1) - 1 + 0
    let twice = "231584178474632390847141970017375815706539969331281128078915168015826259279870";
    let least = "-57896044618658097711785492504343953926634992332820282019728792003956564819969";
    assert_eq!(
        stock(&ledger, "select sum(biggest)::varchar, sum(smallest)::varchar from odd.Wide"),
        json!([[twice, least]])
    );
    assert_eq!(stock(&ledger, "select sum(value)::varchar from odd.Mixed"), json!([["-2"]]));
    assert_eq!(
        stock(&ledger, "select min(value)::varchar from odd.Mixed"),
        json!([["-57896044618658097711785492504343953926634992332820282019728792003956564819968"]])
    );
}

/// Runs one query with stock DuckDB; every value is text.
fn stock(ledger: &Path, sql: &str) -> Value {
    let output = Command::new("node")
        .arg(workspace().join("tests/tools/query.js"))
        .arg(ledger)
        .arg(sql)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
