//! The chain as a client sees it over HTTP: honest headers, and answers that agree with each other.
#![allow(clippy::unwrap_used, reason = "tests")]

use alloy_consensus::{ReceiptEnvelope, proofs::calculate_receipt_root};
use alloy_primitives::{B256, Bloom, U256};
use alloy_rpc_types_eth::{Block, Log, TransactionReceipt};
use headcount_bench::{
    chain::{Chain, Receipts},
    fetch::{FetchPlan, fetch},
    server::{Limit, serve},
    transfer::TOKEN,
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

const BLOCK_COUNT: u64 = 50;

/// A client with one kept connection.
struct Client {
    chain: Arc<Chain>,
    stream: BufReader<TcpStream>,
}

impl Client {
    fn of_a_small_chain() -> Self {
        let (chain, address) = small_chain();
        Self { chain, stream: BufReader::new(TcpStream::connect(address).unwrap()) }
    }

    fn post(&mut self, body: &Value) -> Value {
        let body = body.to_string();
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        self.stream.get_mut().write_all((head + &body).as_bytes()).unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).unwrap();
        serde_json::from_slice(&answer).unwrap()
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.post(&json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }))
    }

    fn result(&mut self, method: &str, params: Value) -> Value {
        let mut answer = self.call(method, params);
        assert_eq!(answer["id"], 7);
        answer.get_mut("result").expect("an answer without error").take()
    }

    fn blocks(&mut self) -> Vec<Block> {
        let calls: Vec<_> = (self.chain.first()..=self.chain.last())
            .map(|number| {
                let params = json!([format!("{number:#x}"), false]);
                json!({ "jsonrpc": "2.0", "id": number, "method": "eth_getBlockByNumber",
                    "params": params })
            })
            .collect();
        let answers: Vec<Value> = serde_json::from_value(self.post(&json!(calls))).unwrap();
        let ids: Vec<_> = answers.iter().map(|answer| answer["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, (self.chain.first()..=self.chain.last()).collect::<Vec<_>>());
        answers
            .iter()
            .map(|answer| serde_json::from_value(answer["result"].clone()).unwrap())
            .collect()
    }

    fn logs(&mut self, filter: Value) -> Vec<Log> {
        serde_json::from_value(self.result("eth_getLogs", json!([filter]))).unwrap()
    }

    fn whole_range(&self) -> Value {
        let (first, last) = (self.chain.first(), self.chain.last());
        json!({ "fromBlock": format!("{first:#x}"), "toBlock": format!("{last:#x}"),
            "address": TOKEN })
    }
}

fn small_chain() -> (Arc<Chain>, SocketAddr) {
    let chain = Arc::new(Chain::build(BLOCK_COUNT, Receipts::OnTheSpot));
    let address = serve(Arc::clone(&chain), Duration::ZERO, None).unwrap();
    (chain, address)
}

#[test]
fn hash_bloom_receipts_root_and_parent_of_every_header_recompute() {
    let mut client = Client::of_a_small_chain();
    let blocks = client.blocks();
    assert_eq!(blocks.len() as u64, BLOCK_COUNT);
    for pair in blocks.windows(2) {
        assert_eq!(pair[1].header.inner.parent_hash, pair[0].header.hash);
    }
    for block in blocks {
        let header = &block.header.inner;
        assert_eq!(header.hash_slow(), block.header.hash);
        let answer = client.result("eth_getBlockReceipts", json!([block.header.hash]));
        let receipts: Vec<TransactionReceipt> = serde_json::from_value(answer).unwrap();
        let hashes: Vec<B256> = receipts.iter().map(|receipt| receipt.transaction_hash).collect();
        assert_eq!(block.transactions.hashes().collect::<Vec<_>>(), hashes);
        let receipts: Vec<ReceiptEnvelope> =
            receipts.into_iter().map(|receipt| receipt.inner.into_primitives_receipt()).collect();
        assert_eq!(calculate_receipt_root(&receipts), header.receipts_root);
        let mut bloom = Bloom::ZERO;
        for log in receipts.iter().flat_map(|receipt| receipt.logs()) {
            bloom.accrue_log(log);
        }
        assert_eq!(bloom, header.logs_bloom);
    }
}

#[test]
fn logs_by_range_by_hash_and_in_receipts_are_the_same() {
    let mut client = Client::of_a_small_chain();
    let by_range = client.logs(client.whole_range());
    let (mut by_hash, mut in_receipts) = (Vec::new(), Vec::new());
    for block in client.blocks() {
        by_hash.extend(client.logs(json!({ "blockHash": block.header.hash })));
        let number = format!("{:#x}", block.header.inner.number);
        let answer = client.result("eth_getBlockReceipts", json!([number]));
        let receipts: Vec<TransactionReceipt> = serde_json::from_value(answer).unwrap();
        in_receipts.extend(receipts.iter().flat_map(|receipt| receipt.logs().to_vec()));
    }
    assert_eq!(by_range.len() as u64, client.chain.log_count());
    assert_eq!(by_range, by_hash);
    assert_eq!(by_range, in_receipts);
    let value_sum: U256 = by_range.iter().map(|log| U256::from_be_slice(&log.data().data)).sum();
    assert_eq!(value_sum, client.chain.value_sum());
}

#[test]
fn a_filter_that_matches_nothing_gets_an_empty_list_and_one_not_understood_an_error() {
    let mut client = Client::of_a_small_chain();
    let mut filter = client.whole_range();
    filter["address"] = json!([B256::ZERO.to_string()[..42].to_owned()]);
    assert_eq!(client.logs(filter.clone()), []);
    filter["address"] = json!([TOKEN]);
    filter["topics"] = json!([[B256::ZERO]]);
    assert_eq!(client.logs(filter.clone()), []);
    filter["topics"] = json!([null, B256::ZERO]);
    assert_eq!(client.call("eth_getLogs", json!([filter]))["error"]["code"], -32602);
}

#[test]
fn what_is_not_on_the_chain_is_null_or_an_error_and_never_an_empty_list() {
    let mut client = Client::of_a_small_chain();
    let beyond = format!("{:#x}", client.chain.last() + 1);
    assert_eq!(client.result("eth_getBlockByNumber", json!([beyond, false])), Value::Null);
    assert_eq!(client.result("eth_getBlockReceipts", json!([B256::ZERO])), Value::Null);
    let mut filter = client.whole_range();
    filter["toBlock"] = json!(beyond);
    assert!(client.call("eth_getLogs", json!([filter])).get("error").is_some());
    let by_hash = client.call("eth_getLogs", json!([{ "blockHash": B256::ZERO }]));
    assert!(by_hash.get("error").is_some());
    assert_eq!(client.call("eth_sendRawTransaction", json!(["0x"]))["error"]["code"], -32601);
}

#[test]
fn tags_name_the_last_block() {
    let mut client = Client::of_a_small_chain();
    let last = format!("{:#x}", client.chain.last());
    assert_eq!(client.result("eth_blockNumber", json!([])), json!(last));
    assert_eq!(client.result("eth_chainId", json!([])), json!("0x539"));
    for tag in ["latest", "safe", "finalized"] {
        let head = client.result("eth_getBlockByNumber", json!([tag, false]));
        assert_eq!(head["number"], json!(last));
    }
}

#[test]
fn a_node_with_a_limit_refuses_what_is_above_it_and_says_when_to_come_again() {
    let chain = Arc::new(Chain::build(3, Receipts::Beforehand));
    let address = serve(chain, Duration::ZERO, Some(Limit::per_second(2))).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut heads = Vec::new();
    for _ in 0..3 {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": [] });
        let body = body.to_string();
        let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut answer = [0; 4096];
        let count = stream.read(&mut answer).unwrap();
        heads.push(String::from_utf8_lossy(&answer[..count]).into_owned());
    }
    assert!(heads[..2].iter().all(|head| head.starts_with("HTTP/1.1 200 ")), "{heads:?}");
    assert!(heads[2].starts_with("HTTP/1.1 429 ") && heads[2].contains("retry-after: 1"));
}

#[test]
fn the_bare_alloy_loop_counts_every_log() {
    let (chain, address) = small_chain();
    let plan = FetchPlan {
        url: format!("http://{address}"),
        first: chain.first(),
        last: chain.last(),
        concurrency: 4,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(fetch(&plan)).unwrap(), chain.log_count());
}
