//! Real mainnet blocks through the whole path: a node's answers, proof, ledger, tables, plugin.
//! The blocks are read from a folder beside the project, where it is there; none is kept here.

use alloy_primitives::U256;
use headcount_tests::{
    BlockServer, Outcome, PORTAL_BLOCKS, Program, ServedBlock, etl_blocks, line_of,
    provable_blocks, stored_lines,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};
use tempfile::TempDir;

const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";
const TOPIC: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

/// Consecutive blocks with receipts, and how many logs they hold.
const RANGES: [(u64, u64, usize); 5] = [
    (14764013, 14764013, 28),
    (15537393, 15537394, 10_042),
    (17034869, 17034870, 718),
    (18090206, 18090206, 339),
    (22431083, 22431084, 1_182),
];

/// The program beside a node that serves real blocks.
struct Scene {
    blocks: Vec<ServedBlock>,
    server: BlockServer,
    program: Program,
    folder: TempDir,
}

impl Scene {
    fn of(blocks: Vec<ServedBlock>, test: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let Some(program) = Program::in_folder(folder.path()) else {
            println!("SKIP {test}: headcount is not built (make build)");
            assert!(!headcount_tests::skips_are_failures());
            return None;
        };
        let server = BlockServer::start(1, blocks.clone());
        Some(Self { blocks, server, program, folder })
    }

    fn ledger(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn replay(&self, ledger: &str, first: u64, last: u64, more: &[&str]) -> Outcome {
        let (url, range) = (self.server.url(), format!("{first}:{last}"));
        let replay = ["replay", "-r", &url, "-b", &range, "--ledger", ledger, "--format", "json"];
        self.program.run(replay.iter().chain(more))
    }

    fn logs(&self, first: u64, last: u64) -> Vec<Value> {
        let is_within = |log: &Value| (first..=last).contains(&number(&log["blockNumber"]));
        self.blocks.iter().flat_map(ServedBlock::logs).filter(is_within).collect()
    }
}

/// Returns the real blocks; says so where they are not there, since they are never a part of the
/// project. `make test-all` counts that line as a failure.
fn found<T>(blocks: Option<T>, test: &str) -> Option<T> {
    if blocks.is_none() {
        println!("SKIP {test}: shared fixtures not found");
    }
    blocks
}

#[test]
fn real_blocks_are_proved_and_stored_as_their_receipts_have_them() {
    const NAME: &str = "real_blocks_are_proved";
    let Some(blocks) = found(provable_blocks(), NAME) else { return };
    let Some(scene) = Scene::of(blocks, NAME) else { return };
    let mut expected = Vec::new();
    let mut types = BTreeSet::new();
    for (first, last, count) in RANGES {
        let logs = scene.logs(first, last);
        assert_eq!(logs.len(), count, "logs in the receipts of {first}:{last}");
        expected.extend(logs.iter().map(line_of));
        // Every contract that emitted, and no event: all of their logs, raw.
        let contracts: BTreeSet<String> = logs
            .iter()
            .map(|log| format!("emitters={}", log["address"].as_str().unwrap()))
            .collect();
        let mut more = vec!["--verify", "prove"];
        more.extend(contracts.iter().flat_map(|contract| ["-c", contract]));
        let told = scene.replay("raw.duckdb", first, last, &more);
        let summary = summary(&told.expect_success());
        assert_eq!(summary["events"]["new"], count, "{summary}");
        assert_eq!(summary["evidence"]["content"], "receipts", "{summary}");
        assert_eq!(summary["incidents"], json!([]));
        let asked = summary["nodes"][0]["calls"]["eth_getBlockReceipts"].as_u64().unwrap();
        assert_eq!(asked, last - first + 1, "receipts asked for: {summary}");
    }
    for block in scene.blocks.iter().filter(|block| block.receipts.is_array()) {
        types.extend(block.types());
    }
    let stored = stored_lines(&scene.program, &scene.ledger("raw.duckdb"));
    assert_eq!(stored.len(), 11_970 + 339);
    assert!(stored == expected, "{}", first_difference(&stored, &expected));
    // Types 1 and 4 are in none of these blocks; a real node makes them in `real_node`.
    assert_eq!(types.into_iter().collect::<Vec<_>>(), ["0x0", "0x2", "0x3"]);
    assert_eq!(scene.blocks.len(), PORTAL_BLOCKS.len() + 3);
}

#[test]
fn decoded_transfers_and_balances_of_real_blocks_are_those_of_the_receipts() {
    const NAME: &str = "decoded_transfers_of_real_blocks";
    let Some(blocks) = found(provable_blocks(), NAME) else { return };
    let Some(scene) = Scene::of(blocks, NAME) else { return };
    let plugin = Program::plugin("erc20_balances").map(|path| path.display().to_string());
    if plugin.is_none() {
        println!("SKIP {NAME}: the plugins are not built (make plugins)");
        assert!(!headcount_tests::skips_are_failures());
    }
    let mut holders = 0;
    for (first, last, _) in RANGES {
        let name = format!("{first}.duckdb");
        let mut more = vec!["--verify", "prove", "-e", TRANSFER];
        more.extend(plugin.iter().flat_map(|plugin| ["--plugin", plugin.as_str()]));
        let summary = summary(&scene.replay(&name, first, last, &more).expect_success());
        assert_eq!(summary["evidence"]["content"], "receipts", "{summary}");

        let logs = scene.logs(first, last);
        let asked: Vec<&Value> = logs.iter().filter(|log| log["topics"][0] == TOPIC).collect();
        let ledger = scene.ledger(&name);
        let expected: Vec<String> = asked.iter().map(|log| line_of(log)).collect();
        let stored = stored_lines(&scene.program, &ledger);
        assert!(stored == expected, "{}", first_difference(&stored, &expected));

        let expected: Vec<Value> = asked.iter().filter_map(|log| transfer(log)).collect();
        let decoded = scene.program.query(&ledger, &transfers_sql("logs.Transfer", "value"));
        assert_eq!(decoded, expected, "decoded rows of {first}:{last}");
        assert_eq!(summary["events"]["decoded"], expected.len());
        assert_eq!(summary["events"]["undecodable"], asked.len() - expected.len());
        if plugin.is_some() {
            holders += assert_balances(&scene, &name, &asked);
        }
    }
    assert!(plugin.is_none() || holders > 500, "only {holders} balances compared");
}

#[test]
fn transfers_of_two_real_blocks_are_those_of_an_independent_tool() {
    const NAME: &str = "transfers_of_two_real_blocks";
    // An NFT's transfer has the same hash as a token's; the tool takes its id for the value.
    const NFT: &str = "Transfer(address indexed from, address indexed to, uint256 indexed id)";
    let Some((blocks, oracle)) = found(etl_blocks(), NAME) else { return };
    let Some(scene) = Scene::of(blocks, NAME) else { return };
    let (first, last) = (17173049, 17173050);
    assert_eq!((scene.logs(first, last).len(), oracle.len()), (681, 291));

    // Headers without `mixHash` cannot be proved, so that the node's word must do.
    let mut more = vec!["--verify", "off", "-e", TRANSFER, "-e", NFT];
    let plugin = Program::plugin("erc20_balances").map(|path| path.display().to_string());
    more.extend(plugin.iter().flat_map(|plugin| ["--plugin", plugin.as_str()]));
    let summary = summary(&scene.replay("etl.duckdb", first, last, &more).expect_success());
    assert_eq!(summary["events"]["new"], 291, "{summary}");
    assert_eq!(summary["events"]["decoded"], 291, "{summary}");

    let ledger = scene.ledger("etl.duckdb");
    let views = "select view_name as v from duckdb_views() where schema_name = 'logs' order by 1";
    let views = scene.program.query(&ledger, views);
    let [token, nft] = [0, 1].map(|i| views[i]["v"].as_str().unwrap().to_owned());
    let of = |view: &str, value: &str| {
        scene.program.query(&ledger, &transfers_sql(&format!("logs.\"{view}\""), value))
    };
    let (tokens, nfts) = (of(&token, "value"), of(&nft, "id"));
    assert_eq!((tokens.len(), nfts.len()), (282, 9));
    let mut decoded: Vec<Value> = tokens.into_iter().chain(nfts).collect();
    decoded.sort_by_key(|row| (row["block"].as_u64(), row["log_index"].as_u64()));
    let expected: Vec<Value> = oracle
        .into_iter()
        .map(|(block, log_index, token, from, to, value)| {
            json!({"block": block, "log_index": log_index, "token": token,
                "from": from, "to": to, "value": value})
        })
        .collect();
    assert_eq!(decoded, expected);
    if plugin.is_some() {
        let logs = scene.logs(first, last);
        let asked: Vec<&Value> = logs.iter().filter(|log| log["topics"][0] == TOPIC).collect();
        assert!(assert_balances(&scene, "etl.duckdb", &asked) > 200);
    } else {
        println!("SKIP {NAME}: the plugins are not built (make plugins)");
        assert!(!headcount_tests::skips_are_failures());
    }
}

/// Compares the plugin's balances with a SQL sum over the decoded events, and both with a sum over
/// the node's logs. Returns how many there are.
fn assert_balances(scene: &Scene, name: &str, logs: &[&Value]) -> usize {
    let zero = format!("0x{}", "0".repeat(40));
    let mut expected: BTreeMap<(String, String), (U256, U256)> = BTreeMap::new();
    for row in logs.iter().filter_map(|log| transfer(log)) {
        let of = |key: &str| row[key].as_str().unwrap().to_owned();
        let value: U256 = of("value").parse().unwrap();
        for (side, received) in [("from", U256::ZERO), ("to", value)] {
            let holder = of(side);
            if holder != zero {
                let sums = expected.entry((of("token"), holder)).or_default();
                // No sum of real balances in one block comes near 2^256, but for one that lies.
                sums.0 = sums.0.checked_add(received).unwrap();
                sums.1 = sums.1.checked_add(value - received).unwrap();
            }
        }
    }
    let expected: Vec<Value> = expected
        .into_iter()
        .map(|((token, holder), (received, sent))| {
            let balance = match received >= sent {
                true => (received - sent).to_string(),
                false => format!("-{}", sent - received),
            };
            json!({"token": token, "holder": holder, "balance": balance})
        })
        .collect();
    let ledger = scene.ledger(name);
    let rows = scene.program.query(
        &ledger,
        "select hex0x(token) as token, hex0x(holder) as holder, balance::varchar as balance
            from erc20_balances.balances order by token, holder",
    );
    assert_eq!(rows, expected, "balances of the plugin in {name}");
    let sums = scene.program.query(
        &ledger,
        &format!(
            "with moved as (
                select _address as token, \"to\" as holder, value from logs.Transfer
                union all select _address, \"from\", -value from logs.Transfer)
            select hex0x(token) as token, hex0x(holder) as holder, sum(value)::varchar as balance
            from moved where hex0x(holder) <> '{zero}'
            group by moved.token, moved.holder order by moved.token, moved.holder"
        ),
    );
    assert_eq!(sums, expected, "sums over the decoded events in {name}");
    expected.len()
}

fn transfers_sql(view: &str, value: &str) -> String {
    format!(
        "select _block as block, _log_index as log_index, hex0x(_address) as token,
            hex0x(\"from\") as \"from\", hex0x(\"to\") as \"to\", {value}::varchar as value
        from {view} order by _block, _log_index"
    )
}

/// Returns an ERC-20 transfer as [`transfers_sql`] shows it; `None` for anything else.
fn transfer(log: &Value) -> Option<Value> {
    let topics = log["topics"].as_array()?;
    let data = log["data"].as_str()?;
    let address = |i: usize| -> Option<String> {
        let (padding, address) = topics[i].as_str()?.split_at(26);
        (padding == format!("0x{}", "0".repeat(24))).then(|| format!("0x{address}"))
    };
    if topics.len() != 3 || data.len() != 66 {
        return None;
    }
    Some(json!({
        "block": number(&log["blockNumber"]),
        "log_index": number(&log["logIndex"]),
        "token": log["address"],
        "from": address(1)?,
        "to": address(2)?,
        "value": U256::from_str_radix(&data[2..], 16).ok()?.to_string(),
    }))
}

fn summary(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap()
}

fn number(hex: &Value) -> u64 {
    u64::from_str_radix(hex.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

/// Ten thousand lines are more than anybody reads.
fn first_difference(left: &[String], right: &[String]) -> String {
    let at = left.iter().zip(right).position(|(left, right)| left != right);
    let at = at.unwrap_or_else(|| left.len().min(right.len()));
    format!(
        "{} and {} lines; the first that differs is {at}:\n{:?}\n{:?}",
        left.len(),
        right.len(),
        left.get(at),
        right.get(at)
    )
}
