//! The plugins that come along, over real events: what they tell and what they keep is what the chain
//! says.

use crate::bad_input::Scene;
use alloy_primitives::{Address, U256};
use headcount_tests::{Anvil, Contracts, Program, Receiver, Traffic, call_data, skip, workspace};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[test]
fn an_alert_tells_a_chat_of_every_large_transfer_and_of_who_is_watched() {
    let scene = match Scene::set_up() {
        Ok(scene) => scene,
        Err(missing) => skip!("shipped_alert: {missing}"),
    };
    let Some(plugin) = Program::plugin("alert") else {
        skip!("shipped_alert: the plugins are not built (make plugins)");
    };
    let recording = workspace().join("fixtures/erc20.ndjson.gz").display().to_string();
    scene.replay(&recording, &[]).expect_success();
    let one = |sql: &str| {
        let rows = scene.program.query(&scene.ledger(), sql);
        rows[0]["v"].as_str().unwrap().to_owned()
    };
    let threshold =
        one("select value::varchar as v from token.Transfer order by value desc limit 1 offset 9");
    let watched = one("select hex0x(min(\"to\")) as v from token.Transfer");
    let chat = Receiver::start();
    let config = format!(
        "[sink.chat]\nurl = \"{}\"\n[[plugin]]\nwasm = {:?}\nsinks = [\"chat\"]\n\
         config = {{ sink = \"chat\", threshold = \"{threshold}\", watch = \"{watched}\" }}\n",
        chat.url(),
        plugin.display().to_string(),
    );
    scene.write("headcount.toml", config);
    // Out of the ledger: everything is covered already.
    scene.replay(&recording, &[]).expect_success();
    let expected: BTreeSet<String> = (scene.program)
        .query(
            &scene.ledger(),
            &format!(
                "select distinct concat_ws(' ', hex0x(_tx_hash), value) as v from token.Transfer
                    where value >= '{threshold}'::bignum
                        or hex0x(\"from\") = '{watched}' or hex0x(\"to\") = '{watched}'"
            ),
        )
        .iter()
        .map(|row| row["v"].as_str().unwrap().to_owned())
        .collect();
    assert!(expected.len() > 5, "{expected:?}");
    let told: BTreeSet<String> = (chat.received().iter())
        .map(|message| serde_json::from_str::<Value>(&message.body).unwrap())
        .map(|body| {
            let text = body["text"].as_str().unwrap();
            assert_eq!(body.as_object().unwrap().len(), 1);
            let value = text.split(' ').nth(2).unwrap();
            let transaction = text.rsplit(' ').next().unwrap().trim_end_matches(')');
            format!("{transaction} {value}")
        })
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn owners_of_nfts_are_those_of_the_contract_also_after_a_reorg() {
    const NAME: &str = "shipped_nfts";
    let Some(anvil) = Anvil::start() else { skip!("{NAME}: anvil is not installed (make tools)") };
    let Some(contracts) = Contracts::compile() else {
        skip!("{NAME}: solc is not installed (make tools)")
    };
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = Program::in_folder(folder.path()) else {
        skip!("{NAME}: headcount is not built (make build)")
    };
    let Some(plugin) = Program::plugin("nft_owners") else {
        skip!("{NAME}: the plugins are not built (make plugins)");
    };
    let mut traffic = Traffic::new(anvil.rpc(), 3).unwrap();
    let nfts = traffic.deploy(contracts.bytecode("Nfts"), &[]).unwrap();
    let people: Vec<Address> = traffic.accounts()[..4].to_vec();
    let word = |n: u64| U256::from(n).to_be_bytes::<32>();
    let who = |address: Address| address.into_word().0;
    let mut live = |rounds: std::ops::Range<u64>| {
        for round in rounds {
            let person = |n: u64| people[((round + n) % 4) as usize];
            let call = |from: u64, signature: &str, words: &[[u8; 32]]| {
                traffic.send(person(from), nfts, &call_data(signature, words)).unwrap();
            };
            call(0, "give(address,uint256)", &[who(person(1)), word(round % 5)]);
            for id in [1, 2] {
                let words = [who(person(2)), word(id), word(3)];
                call(0, "mint(address,uint256,uint256)", &words);
            }
            traffic.mine().unwrap();
            let call = |from: u64, signature: &str, words: &[[u8; 32]]| {
                traffic.send(person(from), nfts, &call_data(signature, words)).unwrap();
            };
            call(2, "both(address,uint256,uint256)", &[who(person(3)), word(1), word(2)]);
            traffic.mine().unwrap();
        }
    };
    let rpc = anvil.rpc();
    let replay = |ledger: &str| {
        let contract = format!("nft={nfts}");
        let url = anvil.url();
        let fixed = ["replay", "-r", &url, "-c", &contract, "--ledger", ledger, "-b", "0:latest"];
        let plugin = ["--plugin", plugin.to_str().unwrap(), "--quiet"];
        program.run([&fixed[..], &plugin].concat()).expect_success();
    };
    let rows = |ledger: &str, sql: &str| -> BTreeSet<String> {
        let rows = program.query(&folder.path().join(ledger), sql);
        rows.iter().map(|row| row["v"].as_str().unwrap().to_owned()).collect()
    };
    let call = |signature: &str, words: &[[u8; 32]]| -> U256 {
        let ask = json!([{"to": nfts, "data": call_data(signature, words)}, "latest"]);
        serde_json::from_value(rpc.call("eth_call", ask).unwrap()).unwrap()
    };
    let owners_sql = "select concat_ws(' ', token_id, hex0x(owner)) as v from nft_owners.owners";
    let held_sql = "select concat_ws(' ', token_id, hex0x(holder), amount) as v
        from nft_owners.holdings where amount <> '0'::bignum";
    let check = |ledger: &str| {
        let owners: BTreeSet<String> = (0..5)
            .map(|id| (id, call("ownerOf(uint256)", &[word(id)])))
            .filter(|(_, owner)| !owner.is_zero())
            .map(|(id, owner)| format!("{id} {:#x}", Address::from_word(owner.into())))
            .collect();
        assert_eq!(rows(ledger, owners_sql), owners);
        let mut held = BTreeSet::new();
        for id in [1, 2] {
            for person in &people {
                let amount = call("balanceOf(address,uint256)", &[who(*person), word(id)]);
                if !amount.is_zero() {
                    held.insert(format!("{id} {person:#x} {amount}"));
                }
            }
        }
        assert_eq!(rows(ledger, held_sql), held);
        assert!(held.len() > 3, "{held:?}");
    };
    live(0..7);
    replay("l.duckdb");
    check("l.duckdb");
    // Two blocks leave, and the last rounds come otherwise.
    rpc.call("anvil_rollback", json!([3])).unwrap();
    live(20..23);
    replay("l.duckdb");
    check("l.duckdb");
    replay("fresh.duckdb");
    for sql in [owners_sql, held_sql] {
        assert_eq!(rows("l.duckdb", sql), rows("fresh.duckdb", sql));
    }
}
