//! `headcount audit` over real mainnet blocks, which are read from a folder beside the project where
//! it is there: whole they are proved, and with one log less, more or other the audit says which.

use headcount_tests::{BlockServer, Program, ServedBlock, provable_blocks};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";
const TOPIC: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

/// Consecutive blocks with receipts.
const RANGES: [(u64, u64); 5] = [
    (14764013, 14764013),
    (15537393, 15537394),
    (17034869, 17034870),
    (18090206, 18090206),
    (22431083, 22431084),
];
/// The block in which something is bent.
const BENT: u64 = 17034870;

struct Scene {
    blocks: Vec<ServedBlock>,
    program: Program,
    folder: TempDir,
}

impl Scene {
    fn set_up(test: &str) -> Option<Self> {
        let Some(blocks) = provable_blocks() else {
            println!("SKIP {test}: shared fixtures not found");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let Some(program) = Program::in_folder(folder.path()) else {
            println!("SKIP {test}: headcount is not built (make build)");
            assert!(!headcount_tests::skips_are_failures());
            return None;
        };
        Some(Self { blocks, program, folder })
    }

    fn audit(&self, urls: &[String], range: (u64, u64), more: &[&str], code: i32) -> Value {
        let range = format!("{}:{}", range.0, range.1);
        let mut arguments = vec!["audit", "-e", TRANSFER, "-b", &range, "--format", "json"];
        urls.iter().for_each(|url| arguments.extend(["-r", url]));
        arguments.extend(more);
        let outcome = self.program.run(arguments).expect_code(code);
        serde_json::from_str(&outcome.stdout).unwrap()
    }
}

/// Which log of the block is bent: a token's transfer.
fn bent_at(logs: &[Value]) -> usize {
    let is_transfer = |log: &Value| log["topics"][0] == TOPIC && text(&log["data"]).len() == 66;
    logs.iter().position(is_transfer).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn remove(logs: &mut Vec<Value>) {
    logs.remove(bent_at(logs));
}

/// The same log once more, of the next transaction's place.
fn add(logs: &mut Vec<Value>) {
    let mut made_up = logs[bent_at(logs)].clone();
    made_up["data"] = json!(format!("0x{}", "ab".repeat(32)));
    made_up["logIndex"] = json!("0xfffff");
    logs.push(made_up);
}

fn alter(logs: &mut [Value]) {
    let at = bent_at(logs);
    let data = text(&logs[at]["data"]).to_owned();
    let (rest, last) = data.split_at(65);
    logs[at]["data"] = json!(format!("{rest}{}", if last == "0" { "1" } else { "0" }));
}

type Bend = fn(&mut Vec<Value>);
const BENDS: [(&str, &str, Bend); 3] = [
    ("missing", "missing", remove),
    ("forged", "forged", add),
    ("missing", "altered", |logs| alter(logs)),
];

#[test]
fn real_blocks_audit_as_proved() {
    let Some(scene) = Scene::set_up("real_blocks_audit_as_proved") else { return };
    let server = BlockServer::start(1, scene.blocks.clone());
    for range in RANGES {
        let told = scene.audit(&[format!("one={}", server.url())], range, &[], 0);
        let count = range.1 - range.0 + 1;
        assert_eq!((&told["status"], &told["proved"]), (&json!("complete"), &json!(true)));
        assert_eq!(told["filters"][0]["shown"], json!({"receipts": count}), "{told:#}");
        let is_in = |log: &Value| {
            let height = u64::from_str_radix(&text(&log["blockNumber"])[2..], 16).unwrap();
            (range.0..=range.1).contains(&height) && log["topics"][0] == TOPIC
        };
        let logs = scene.blocks.iter().flat_map(ServedBlock::logs).filter(is_in).count();
        assert_eq!(told["filters"][0]["events"], logs);
        assert_eq!(told["last_block"]["number"], range.1);
    }
}

#[test]
fn a_real_block_with_one_log_less_more_or_other_is_named_with_log_and_node() {
    let Some(scene) = Scene::set_up("a_real_block_with_one_log") else { return };
    let honest = BlockServer::start(1, scene.blocks.clone());
    let range = (17034869, 17034870);
    let block = scene.blocks.iter().find(|b| b.block["number"] == format!("{BENT:#x}")).unwrap();
    let victim = &block.logs()[bent_at(&block.logs())];
    for (status, kind, bend) in BENDS {
        let bent = BlockServer::start_bent(1, scene.blocks.clone(), |height, logs| {
            if height == BENT {
                bend(logs);
            }
        });
        let (bent, honest) = (format!("bent={}", bent.url()), format!("good={}", honest.url()));
        // Alone it is convicted by its own receipts, beside another by whoever proves.
        for urls in [vec![bent.clone()], vec![honest.clone(), bent.clone()], vec![bent, honest]] {
            let told = scene.audit(&urls, range, &[], 1);
            assert_eq!(told["status"], status, "{told:#}");
            let found = told["findings"].as_array().unwrap();
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!((&found[0]["kind"], &found[0]["who"]), (&json!(kind), &json!("bent")));
            assert_eq!(found[0]["block"]["number"], BENT);
            assert_eq!(found[0]["block"]["hash"], block.block["hash"]);
            assert_eq!(found[0]["log"]["tx_hash"], victim["transactionHash"]);
            let is_named =
                text(&found[0]["log"]["address"]).eq_ignore_ascii_case(text(&victim["address"]));
            assert!(is_named, "{found:?}");
        }
    }
}

#[test]
fn a_ledger_with_one_log_less_more_or_other_is_named_with_block_and_log() {
    let Some(scene) = Scene::set_up("a_ledger_with_one_log") else { return };
    let honest = BlockServer::start(1, scene.blocks.clone());
    let url = [format!("good={}", honest.url())];
    let range = (17034869, 17034870);
    for (status, kind, bend) in BENDS {
        let bent = BlockServer::start_bent(1, scene.blocks.clone(), |height, logs| {
            if height == BENT {
                bend(logs);
            }
        });
        let name = format!("{kind}.duckdb");
        let replay = ["replay", "-r", &bent.url(), "-e", TRANSFER, "-b", "17034869:17034870"];
        let more = ["--verify", "off", "--ledger", &name];
        scene.program.run(replay.iter().chain(&more)).expect_success();
        let told = scene.audit(&url, range, &["--ledger", &name], 1);
        assert_eq!(told["status"], status, "{told:#}");
        let found = told["findings"].as_array().unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((&found[0]["kind"], &found[0]["who"]), (&json!(kind), &json!("ledger")));
        assert_eq!(found[0]["block"]["number"], BENT);
        assert!(Path::new(text(&told["ledger"]["path"])).ends_with(&name));
        scene.audit(&url, range, &["--no-ledger"], 0);
        let ledger = scene.folder.path().join(&name);
        assert!(ledger.is_file());
    }
}
