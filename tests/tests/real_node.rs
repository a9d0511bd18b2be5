//! A real node: contracts deployed, transactions sent, blocks replayed over HTTP, and every event
//! compared with what the node's receipts and the contracts themselves say.

use alloy_primitives::keccak256;
use headcount_tests::{Anvil, Contracts, Program, Traffic, call_data, line_of, skip, stored_lines};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tempfile::TempDir;

const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";

/// A node with two tokens and one contract of odd events, and the program to read it.
struct Scene {
    anvil: Anvil,
    program: Program,
    folder: TempDir,
    traffic: Traffic,
    gold: String,
    silver: String,
    odd: String,
}

impl Scene {
    /// Returns what is missing where a tool is not installed.
    fn set_up(seed: u64) -> Result<Self, &'static str> {
        let anvil = Anvil::start().ok_or("anvil is not installed (make tools)")?;
        let contracts = Contracts::compile().ok_or("solc is not installed (make tools)")?;
        let folder = tempfile::tempdir().unwrap();
        let program =
            Program::in_folder(folder.path()).ok_or("headcount is not built (make build)")?;
        let mut traffic = Traffic::new(anvil.rpc(), seed).unwrap();
        let gold = traffic.deploy_token(contracts.bytecode("Token"), "Gold").unwrap();
        let silver = traffic.deploy_token(contracts.bytecode("Token"), "Silver").unwrap();
        let odd = traffic.deploy(contracts.bytecode("Oddities"), &[]).unwrap();
        traffic.trade(&[gold, silver], 20).unwrap();
        for call in
            ["ping()", "extremes()", "nested()", "overloads()", "anonymous_events()", "twins()"]
        {
            traffic.send(traffic.accounts()[1], odd, &call_data(call, &[])).unwrap();
            traffic.mine().unwrap();
        }
        traffic
            .send(traffic.accounts()[1], odd, &call_data("revert_after_emitting()", &[]))
            .unwrap();
        traffic.mine().unwrap();
        traffic.send_each_type(odd, &call_data("ping()", &[])).unwrap();
        traffic
            .send(traffic.accounts()[2], odd, &names_call("a name longer than one word of memory"))
            .unwrap();
        traffic.mine().unwrap();
        let abi = contracts.abi("Oddities").to_string();
        std::fs::write(folder.path().join("oddities.json"), abi).unwrap();
        let [gold, silver, odd] = [gold, silver, odd].map(|address| address.to_string());
        Ok(Self { anvil, program, folder, traffic, gold, silver, odd })
    }

    fn ledger(&self) -> std::path::PathBuf {
        self.folder.path().join("headcount.duckdb")
    }

    /// Returns the arguments of a replay of the whole chain.
    fn replay(&self, more: &[&str]) -> Vec<String> {
        let range = format!("0:{}", self.traffic.head());
        let url = self.anvil.url();
        let ledger = self.ledger();
        let ledger = ledger.to_str().unwrap();
        ["replay", "-r", &url, "-b", &range, "--ledger", ledger, "--format", "json"]
            .iter()
            .chain(more)
            .map(|argument| (*argument).to_owned())
            .collect()
    }

    fn receipts(&self) -> Vec<Value> {
        (0..=self.traffic.head())
            .flat_map(|number| {
                let block = json!([format!("{number:#x}")]);
                let receipts = self.anvil.rpc().call("eth_getBlockReceipts", block).unwrap();
                receipts.as_array().unwrap().clone()
            })
            .collect()
    }

    /// Returns every log of the chain, from the receipts, in order.
    fn logs_of_receipts(&self) -> Vec<Value> {
        let receipts = self.receipts().into_iter();
        receipts.flat_map(|receipt| receipt["logs"].as_array().unwrap().clone()).collect()
    }

    /// Returns the transaction types of receipts that have logs.
    fn types_of_receipts(&self) -> Vec<String> {
        let types: BTreeSet<String> = self
            .receipts()
            .into_iter()
            .filter(|receipt| receipt["logs"] != json!([]))
            .map(|receipt| receipt["type"].as_str().unwrap().to_owned())
            .collect();
        types.into_iter().collect()
    }
}

/// Returns the input of `names(string)`.
fn names_call(name: &str) -> String {
    let word = |value: usize| alloy_primitives::U256::from(value).to_be_bytes();
    let mut words: Vec<[u8; 32]> = vec![word(32), word(name.len())];
    words.extend(name.as_bytes().chunks(32).map(|chunk| {
        let mut word = [0; 32];
        word[..chunk.len()].copy_from_slice(chunk);
        word
    }));
    call_data("names(string)", &words)
}

#[test]
fn every_event_of_a_real_node_is_stored_as_its_receipts_have_it() {
    let scene = match Scene::set_up(7) {
        Ok(scene) => scene,
        Err(missing) => skip!("every_event_of_a_real_node: {missing}"),
    };
    let expected: Vec<String> = scene.logs_of_receipts().iter().map(line_of).collect();
    assert!(expected.len() > 40, "the traffic made only {} logs", expected.len());
    assert_eq!(scene.types_of_receipts(), ["0x0", "0x1", "0x2", "0x3", "0x4"]);

    // Each contract without an event: all of its logs, raw.
    let contracts = [&scene.gold, &scene.silver, &scene.odd].map(|address| address.as_str());
    for (level, content) in [("off", "claimed"), ("bloom", "bloom"), ("prove", "receipts")] {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("headcount.duckdb");
        let [gold, silver, odd] = contracts;
        let mut replay = scene.replay(&["--verify", level, "-c", gold, "-c", silver, "-c", odd]);
        let place = replay.iter().position(|argument| argument == "--ledger").unwrap() + 1;
        replay[place] = ledger.display().to_string();
        let told = scene.program.run(replay).expect_success();
        let summary: Value = serde_json::from_str(&told.stdout).unwrap();
        assert_eq!(summary["evidence"]["content"], content, "{summary}");
        assert_eq!(summary["incidents"], json!([]), "--verify {level}");
        assert_eq!(stored_lines(&scene.program, &ledger), expected, "--verify {level}");
    }
}

#[test]
fn odd_events_become_typed_rows_and_anonymous_ones_stay_raw() {
    let scene = match Scene::set_up(8) {
        Ok(scene) => scene,
        Err(missing) => skip!("odd_events_become_typed_rows: {missing}"),
    };
    let odd = format!("odd={}", scene.odd);
    scene.program.run(scene.replay(&["-c", &odd, "-e", "oddities.json"])).expect_success();

    let rows = |sql: &str| scene.program.query(&scene.ledger(), sql);
    let one = |sql: &str| rows(sql)[0]["v"].clone();
    // One of `ping()`, one of each transaction type; the reverted one left nothing.
    assert_eq!(one("select count(*)::varchar as v from odd.Ping"), "6");
    let max = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
    let min = "-57896044618658097711785492504343953926634992332820282019728792003956564819968";
    let ceiling = "57896044618658097711785492504343953926634992332820282019728792003956564819967";
    assert_eq!(one("select biggest::varchar as v from odd.Wide order by id limit 1"), max);
    assert_eq!(one("select smallest::varchar as v from odd.Wide order by id limit 1"), min);
    let mixed = rows("select value::varchar as v from odd.Mixed order by _log_index");
    assert_eq!(mixed, [min, ceiling, "-1", "0"].map(|v| json!({"v": v})));

    // Overloads: the second in the ABI file has a table named after its hash.
    let tables = rows(
        "select view_name as v from duckdb_views() where schema_name = 'odd'
            and view_name like 'Same%' order by length(view_name)",
    );
    assert_eq!(tables[0]["v"], "Same");
    let other = tables[1]["v"].as_str().unwrap().to_owned();
    let hash_of = |signature: &str| format!("{:x}", keccak256(signature));
    let (number, address) = match other.strip_prefix("Same_").unwrap() {
        suffix if hash_of("Same(uint256)").starts_with(suffix) => (other.as_str(), "Same"),
        suffix if hash_of("Same(address)").starts_with(suffix) => ("Same", other.as_str()),
        _ => panic!("{other} is no name for an overload of Same"),
    };
    assert_eq!(
        rows(&format!(
            "select value::varchar as v, _occurrence::varchar as n from odd.{number}
                order by _block, _log_index"
        )),
        [("5", "0"), ("1", "0"), ("1", "1")].map(|(v, n)| json!({"v": v, "n": n})),
        "the same event twice in one transaction is two rows"
    );
    let sender = scene.traffic.accounts()[1].to_string().to_lowercase();
    assert_eq!(one(&format!("select hex0x(value) as v from odd.{address}")), sender);

    // An indexed string is only its hash.
    let name = "a name longer than one word of memory";
    let named = &rows("select hex0x(name) as name, plain, hex0x(raw) as raw from odd.Named")[0];
    assert_eq!(named["name"], format!("0x{:x}", keccak256(name)));
    assert_eq!(named["plain"], name);
    assert_eq!(named["raw"], format!("0x{}", alloy_primitives::hex::encode(name)));
    let nested = &rows("select * from odd.Nested")[0];
    assert_eq!(nested["flag"].to_string().trim_matches('"'), "true", "{nested}");
    let points = nested["points"].to_string();
    let least = i128::MIN.to_string();
    assert!(points.contains("-1") && points.contains(&least), "{nested}");
    assert!(nested["triple"].to_string().contains("65535"), "{nested}");
    for view in ["Unnamed", "Reserved"] {
        assert_eq!(one(&format!("select count(*)::varchar as v from odd.{view}")), "1", "{view}");
    }
    // Of the eleven calls that emitted, two logs have no signature; they are stored all the same.
    let logs = scene.logs_of_receipts();
    let of_odd = logs.iter().filter(|log| log["address"] == scene.odd.to_lowercase()).count();
    assert_eq!(
        one("select count(*)::varchar as v from events_canonical"),
        of_odd.to_string(),
        "every log of the contract, decoded or not"
    );
}

#[test]
fn balances_of_the_plugin_are_those_of_the_contracts() {
    let scene = match Scene::set_up(9) {
        Ok(scene) => scene,
        Err(missing) => skip!("balances_of_the_plugin: {missing}"),
    };
    let Some(plugin) = Program::plugin("erc20_balances") else {
        skip!("balances_of_the_plugin: the plugins are not built (make plugins)");
    };
    let gold = format!("gold={}", scene.gold);
    let silver = format!("silver={}", scene.silver);
    let plugin = plugin.display().to_string();
    let replay = scene.replay(&["-c", &gold, "-c", &silver, "-e", TRANSFER, "--plugin", &plugin]);
    scene.program.run(&replay).expect_success();

    let mut compared = 0;
    for token in [&scene.gold, &scene.silver] {
        for holder in scene.traffic.accounts() {
            let word = holder.into_word().0;
            let call =
                json!([{"to": token, "data": call_data("balanceOf(address)", &[word])}, "latest"]);
            let told = scene.anvil.rpc().call("eth_call", call).unwrap();
            let told = u128::from_str_radix(&told.as_str().unwrap()[34..], 16).unwrap();
            let sql = format!(
                "select coalesce(max(balance::varchar), '0') as v from erc20_balances.balances
                    where hex0x(token) = lower('{token}') and hex0x(holder) = lower('{holder}')"
            );
            let rows = scene.program.query(&scene.ledger(), &sql);
            assert_eq!(rows[0]["v"], told.to_string(), "{holder} of {token}");
            compared += usize::from(told > 0);
        }
    }
    assert!(compared > 5, "only {compared} balances above zero");

    // And again: nothing is fetched, nothing changes.
    let digest = || {
        let ledger = scene.ledger().display().to_string();
        scene.program.run(["ledger", "digest", "--ledger", &ledger]).expect_success().stdout
    };
    let before = digest();
    scene.program.run(&replay).expect_success();
    assert_eq!(digest(), before);
}
