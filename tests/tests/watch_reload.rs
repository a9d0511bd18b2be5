//! SIGHUP: a running watch takes over other nodes and contracts, or nothing of a bad file.

use crate::watch::{chain_lines, check, standing};
use headcount_tests::{Anvil, Contracts, Program, Rpc, Traffic, Watching, skip};
use serde_json::Value;

const CHAIN: u64 = 31_337;
const TRANSFER_TOPIC: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

/// Transfers of these tokens, as the chain has them.
fn transfers(rpc: &Rpc, tokens: &[String]) -> usize {
    let is_one = |line: &&String| {
        let line = line.to_lowercase();
        line.contains(TRANSFER_TOPIC) && tokens.iter().any(|t| line.contains(&t.to_lowercase()))
    };
    chain_lines(rpc).iter().filter(is_one).count()
}

fn config(nodes: &[(&str, &str)], contracts: &[(&str, &str)], plugins: &[&str]) -> String {
    let mut text = String::from("ledger = \"ledger.duckdb\"\n[chain.local]\nid = 31337\n");
    for (name, url) in nodes {
        text += &format!("[[chain.local.node]]\nname = \"{name}\"\nurl = \"{url}\"\n");
    }
    for (name, address) in contracts {
        text += &format!(
            "[[contract]]\nname = \"{name}\"\naddress = \"{address}\"\n\
             events = [\"Transfer(address indexed from, address indexed to, uint256 value)\"]\n"
        );
    }
    for plugin in plugins {
        text += &format!("[[plugin]]\nwasm = \"{plugin}\"\n");
    }
    text
}

#[test]
fn f89_a_filter_that_is_widened_while_it_runs_is_filled_and_a_bad_file_changes_nothing() {
    const NAME: &str = "watch_reload";
    let Some(anvil) = Anvil::start() else { skip!("{NAME}: anvil is not installed (make tools)") };
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
    let mut traffic = Traffic::new(rpc, 51).unwrap();
    let deploy =
        |traffic: &mut Traffic, name| traffic.deploy_token(contracts.bytecode("Token"), name);
    let gold = deploy(&mut traffic, "Gold").unwrap();
    let silver = deploy(&mut traffic, "Silver").unwrap();
    // More blocks than are followed: the new contract's are a gap.
    traffic.trade(&[gold, silver], 90).unwrap();

    let file = folder.path().join("headcount.toml");
    let (http, ws) = (anvil.url(), anvil.ws_url());
    let (plugin, gold_text, silver_text) =
        (plugin.display().to_string(), gold.to_string(), silver.to_string());
    let one = config(&[("http", &http)], &[("gold", &gold_text)], &[&plugin]);
    std::fs::write(&file, &one).unwrap();
    let pace = ["--from-block", "0", "--poll-interval", "100ms", "--agree-wait", "200ms"];
    let mut watching = Watching::start(&program, ["watch"].iter().chain(&pace));
    let has = |tokens: &[&String]| {
        let tokens: Vec<String> = tokens.iter().map(|token| (*token).clone()).collect();
        move |lines: &[Value]| standing(lines, CHAIN).len() == transfers(&rpc, &tokens)
    };
    watching.wait_until("gold", has(&[&gold_text]));

    // Nothing of a bad file is taken, and every mistake is told.
    let bad = format!("ledgr = 1\n{one}[[contract]]\nname = \"silver\"\naddress = \"0x12\"\n");
    std::fs::write(&file, bad).unwrap();
    watching.signal("HUP");
    watching.wait_until_said("the configuration from before stays in force");
    let said = watching.said();
    assert!(said.contains("unknown key `ledgr`") && said.contains("`0x12`"), "{said}");
    traffic.trade(&[gold, silver], 3).unwrap();
    watching.wait_until("gold after a bad file", has(&[&gold_text]));

    // What only a restart can change is refused in words, and nothing else of that file is taken.
    let nodes = [("http", http.as_str()), ("ws", ws.as_str())];
    let both = [("gold", gold_text.as_str()), ("silver", silver_text.as_str())];
    let other = config(&nodes, &both, &[&plugin]).replace("ledger.duckdb", "other.duckdb");
    std::fs::write(&file, other.replace("31337", "31338")).unwrap();
    watching.signal("HUP");
    watching.wait_until_said("other.duckdb there; chain local has another id there");

    // Another contract and another node.
    std::fs::write(&file, config(&nodes, &both, &[&plugin])).unwrap();
    watching.signal("HUP");
    watching.wait_until_said("1 nodes added, 0 dropped, other contracts or events");
    traffic.trade(&[gold, silver], 5).unwrap();
    watching.wait_until("gold and silver", has(&[&gold_text, &silver_text]));

    // The first node goes; the other is enough.
    std::fs::write(&file, config(&nodes[1..], &both, &[&plugin])).unwrap();
    watching.signal("HUP");
    watching.wait_until_said("0 nodes added, 1 dropped, the same contracts and events");
    let dropped_at = traffic.head();
    traffic.trade(&[gold, silver], 5).unwrap();
    watching.wait_until("blocks of the other node", has(&[&gold_text, &silver_text]));

    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let ledger = folder.path().join("ledger.duckdb");
    check(&program, &ledger);
    let query = |sql: &str| program.query(&ledger, sql);
    let typed = query(
        "select (select count(*) from gold.Transfer) as gold,
            (select count(*) from silver.Transfer) as silver",
    );
    assert_eq!(typed[0]["gold"], transfers(&rpc, &[gold_text]), "{}", end.stderr);
    assert_eq!(typed[0]["silver"], transfers(&rpc, &[silver_text]), "{}", end.stderr);
    let late = format!("select distinct node from sightings where number > {dropped_at}");
    let nodes: Vec<Value> = query(&late).iter().map(|row| row["node"].clone()).collect();
    assert_eq!(nodes, ["ws"], "the dropped node was asked");

    // The plugin, whose subscription is every token, has both.
    let wrong = "
        with events as (
            select _address as token, * from gold.Transfer
            union all select _address as token, * from silver.Transfer),
        moves as (
            select token, \"to\" as holder, value::varchar::hugeint as value from events
            union all select token, \"from\", -value::varchar::hugeint from events),
        sums as (
            select token, holder, sum(value)::varchar as balance from moves
            where holder <> from_hex(repeat('00', 20)) group by all),
        told as (select token, holder, balance::varchar as balance from erc20_balances.balances)
        (from sums except from told) union all (from told except from sums)";
    let wrong = query(wrong);
    assert!(wrong.is_empty(), "{wrong:?}");
}
