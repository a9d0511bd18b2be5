//! A closed ledger is a DuckDB file like any other: stock DuckDB, without code of ours, sums wide
//! integers exactly.

use alloy_primitives::Address;
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

    let Some(plugin) = Program::plugin("erc20_balances") else {
        skip!("{NAME}: the plugins are not built (make plugins)");
    };

    let mut traffic = Traffic::new(anvil.rpc(), 1).unwrap();
    let odd = traffic.deploy(contracts.bytecode("Oddities"), &[]).unwrap();
    traffic.send(traffic.accounts()[0], odd, &call_data("extremes()", &[])).unwrap();
    traffic.mine().unwrap();
    // The largest amount that there is.
    let gold = traffic.deploy_token(contracts.bytecode("Token"), "Gold").unwrap();
    let holder = traffic.accounts()[1];
    let mint = call_data("mint(address,uint256)", &[holder.into_word().0, [0xff; 32]]);
    traffic.send(holder, gold, &mint).unwrap();
    traffic.mine().unwrap();
    program
        .run([
            "replay",
            "-r",
            &anvil.url(),
            "-c",
            &format!("odd={odd}"),
            "-c",
            &format!("gold={gold}"),
            "-e",
            "Wide(uint256 indexed id, uint256 biggest, int256 smallest)",
            "-e",
            "Mixed(int256 value)",
            "-e",
            "Transfer(address indexed from, address indexed to, uint256 value)",
            "-b",
            "0:4",
            "--ledger",
            "headcount.duckdb",
            "--plugin",
            &plugin.display().to_string(),
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
    // No integer is left to a floating-point sum: the low digits count too.
    assert_eq!(
        stock(&ledger, "select (sum(biggest) - 1)::varchar from odd.Wide"),
        json!([["231584178474632390847141970017375815706539969331281128078915168015826259279869"]])
    );
    assert_eq!(stock(&ledger, "select count(*) from events_canonical"), json!([["7"]]));
    let address = |address: &Address| address.to_string().to_lowercase();
    assert_eq!(
        stock(&ledger, "select distinct hex0x(address) from events_canonical order by all"),
        json!([[address(&odd).min(address(&gold))], [address(&odd).max(address(&gold))]])
    );
    assert_eq!(
        stock(
            &ledger,
            "select hex0x(token), hex0x(holder), balance::varchar from erc20_balances.balances"
        ),
        json!([[
            address(&gold),
            address(&holder),
            "115792089237316195423570985008687907853269984665640564039457584007913129639935"
        ]])
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
