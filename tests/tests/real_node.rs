//! A real node: contracts deployed, transactions sent, blocks replayed over HTTP, and every event
//! compared with what the node's receipts and the contracts themselves say.

use headcount_tests::{Anvil, Contracts, Program, Traffic, call_data, skip};
use serde_json::{Value, json};
use std::path::Path;
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

    /// Returns every log of the chain, from the receipts, in order.
    fn logs_of_receipts(&self) -> Vec<Value> {
        (0..=self.traffic.head())
            .flat_map(|number| {
                let block = json!([format!("{number:#x}")]);
                let receipts = self.anvil.rpc().call("eth_getBlockReceipts", block).unwrap();
                receipts.as_array().unwrap().clone()
            })
            .flat_map(|receipt| receipt["logs"].as_array().unwrap().clone())
            .collect()
    }
}

/// Returns one line per log, in the words that [`stored_lines`] uses.
fn line_of(log: &Value) -> String {
    let text = |key: &str| log[key].as_str().unwrap().to_lowercase();
    let number = |key: &str| u64::from_str_radix(&text(key)[2..], 16).unwrap();
    let topics: Vec<&str> =
        log["topics"].as_array().unwrap().iter().map(|topic| topic.as_str().unwrap()).collect();
    format!(
        "{} {} {} {} {} {} [{}] {}",
        number("blockNumber"),
        text("blockHash"),
        text("transactionHash"),
        number("transactionIndex"),
        number("logIndex"),
        text("address"),
        topics.join(" "),
        text("data"),
    )
}

/// Returns one line per stored event, in canonical order.
fn stored_lines(program: &Program, ledger: &Path) -> Vec<String> {
    let sql = "select concat_ws(' ', block_number, hex0x(block_hash), hex0x(tx_hash), tx_index,
            log_index, hex0x(address),
            '[' || concat_ws(' ', hex0x(topic0), hex0x(topic1), hex0x(topic2), hex0x(topic3)) || ']',
            hex0x(data)) as line
        from events_canonical order by block_number, log_index";
    let rows = program.query(ledger, sql);
    rows.iter().map(|row| row["line"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_event_of_a_real_node_is_stored_as_its_receipts_have_it() {
    let scene = match Scene::set_up(7) {
        Ok(scene) => scene,
        Err(missing) => skip!("every_event_of_a_real_node: {missing}"),
    };
    let expected: Vec<String> = scene.logs_of_receipts().iter().map(line_of).collect();
    assert!(expected.len() > 40, "the traffic made only {} logs", expected.len());

    for level in ["off", "bloom", "prove"] {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("headcount.duckdb");
        let mut replay = scene.replay(&["--verify", level]);
        let place = replay.iter().position(|argument| argument == "--ledger").unwrap() + 1;
        replay[place] = ledger.display().to_string();
        scene.program.run(replay).expect_success();
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
    assert_eq!(one("select count(*)::varchar as v from odd.Ping"), "1");
    let max = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
    let min = "-57896044618658097711785492504343953926634992332820282019728792003956564819968";
    assert_eq!(one("select biggest::varchar as v from odd.Wide order by id limit 1"), max);
    assert_eq!(one("select smallest::varchar as v from odd.Wide order by id limit 1"), min);
    assert_eq!(
        rows(
            "select _occurrence::varchar as v from odd.Same where value::varchar = '1' order by 1"
        ),
        [json!({"v": "0"}), json!({"v": "1"})],
        "the same event twice in one transaction is two rows"
    );
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
