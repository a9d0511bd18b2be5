//! The specification's own cases: every answer of a real client parses, and none is half read.

use crate::server::{Server, ids, json};
use alloy_primitives::B256;
use event::{Answer, Ask, BlockNumHash, BlockRange, Fault, FaultClass, Filter, Node};
use headcount_node::{HttpConfig, HttpNode};
use serde_json::Value;
use std::{env, fs, path::PathBuf, sync::Arc};

fn cases(method: &str) -> Option<Vec<(String, Value)>> {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures"));
    let root = env::var_os("HEADCOUNT_SHARED_FIXTURES").map_or(beside, PathBuf::from);
    let dir = root.join("execapis").join(method);
    let Ok(entries) = fs::read_dir(dir) else {
        eprintln!("SKIP {method}: shared fixtures not found");
        return None;
    };
    let mut cases = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("<< ")) {
            cases.push((path.display().to_string(), serde_json::from_str(line).unwrap()));
        }
    }
    assert!(!cases.is_empty());
    Some(cases)
}

async fn answer(response: &Value, ask: Ask) -> Result<Answer, Fault> {
    let response = response.clone();
    let server = Server::start(move |request| {
        let mut response = response.clone();
        response["id"] = ids(request)[0].into();
        json(&response.to_string())
    })
    .await;
    HttpNode::new(HttpConfig::new(&server.url)).unwrap().ask(ask).await
}

fn is_about_right(
    response: &Value,
    outcome: &Result<Answer, Fault>,
    count: impl Fn(&Answer) -> usize,
) -> bool {
    match (response.get("result"), outcome) {
        (Some(Value::Null), Err(fault)) => fault.class == FaultClass::Unknown,
        (Some(Value::Array(items)), Ok(answer)) => items.len() == count(answer),
        (Some(Value::Object(_)), Ok(answer)) => count(answer) == 1,
        (None, Err(fault)) => fault.class != FaultClass::Malformed,
        _ => false,
    }
}

#[tokio::test]
async fn get_logs_answers_of_the_specification_parse() {
    for (path, response) in cases("eth_getLogs").unwrap_or_default() {
        let ask =
            Ask::Logs { filter: Arc::new(Filter::any()), range: BlockRange::new(0, 99).unwrap() };
        let outcome = answer(&response, ask).await;
        let count = |answer: &Answer| match answer {
            Answer::Logs(logs) => logs.logs.len(),
            _ => usize::MAX,
        };
        assert!(is_about_right(&response, &outcome, count), "{path}: {outcome:?}");
        if let (Ok(Answer::Logs(answer)), Some(items)) = (outcome, response["result"].as_array()) {
            for (row, item) in answer.logs.rows().zip(items) {
                let data = format!("0x{}", alloy_primitives::hex::encode(row.data));
                assert_eq!(item["data"], data, "{path}");
                assert_eq!(item["transactionHash"], row.tx_hash.to_string(), "{path}");
                assert_eq!(item["blockHash"], answer.blocks[row.block as usize].1.to_string());
                assert_eq!(item["topics"].as_array().map(Vec::len), Some(row.topics.len()));
            }
        }
    }
}

#[tokio::test]
async fn get_block_receipts_answers_of_the_specification_parse() {
    let block = BlockNumHash { number: 1, hash: B256::ZERO };
    for (path, response) in cases("eth_getBlockReceipts").unwrap_or_default() {
        let outcome = answer(&response, Ask::Receipts { block }).await;
        let count = |answer: &Answer| match answer {
            Answer::Receipts(receipts) => receipts.len(),
            _ => usize::MAX,
        };
        assert!(is_about_right(&response, &outcome, count), "{path}: {outcome:?}");
    }
}

#[tokio::test]
async fn get_block_answers_of_the_specification_parse() {
    for (path, mut response) in cases("eth_getBlockByNumber").unwrap_or_default() {
        // The cases ask for whole transactions; this stage asks for their hashes.
        for transaction in response
            .pointer_mut("/result/transactions")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if transaction.is_object() {
                *transaction = transaction["hash"].take();
            }
        }
        let number =
            response["result"]["number"].as_str().unwrap_or("0x0").trim_start_matches("0x");
        let number = u64::from_str_radix(number, 16).unwrap();
        let is_pending = response["result"]["hash"].is_null() && response["result"].is_object();
        let outcome = answer(&response, Ask::Headers { range: BlockRange::one(number) }).await;
        let count = |answer: &Answer| match answer {
            Answer::Headers(blocks) => blocks.len(),
            _ => usize::MAX,
        };
        assert!(is_pending || is_about_right(&response, &outcome, count), "{path}: {outcome:?}");
    }
}
