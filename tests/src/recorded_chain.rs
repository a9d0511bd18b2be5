//! The chain of fixtures/erc20.ndjson.gz, as a node would serve it: real blocks of a real node,
//! given back as JSON-RPC results. It knows nothing of sockets.

use crate::workspace;
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
};

/// Id of the recorded chain.
pub const RECORDED_CHAIN_ID: u64 = 31_337;

/// Quantities of a recorded header, under their names on the wire.
const QUANTITIES: [&str; 7] =
    ["number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed", "excessBlobGas"];

/// Headers, receipts and logs of some sixty blocks with two tokens.
#[derive(Clone, Debug)]
pub struct RecordedChain {
    /// `eth_getBlockByNumber(n, false)` by height.
    blocks: BTreeMap<u64, Value>,
    /// `eth_getBlockReceipts` by block hash.
    receipts: BTreeMap<String, Value>,
    /// Every recorded log, in canonical order.
    logs: Vec<Value>,
}

impl RecordedChain {
    /// Reads the recording. `None` where it has not been made (`make fixtures`).
    pub fn load() -> Option<Self> {
        let file = File::open(workspace().join("fixtures/erc20.ndjson.gz")).ok()?;
        let mut chain =
            Self { blocks: BTreeMap::new(), receipts: BTreeMap::new(), logs: Vec::new() };
        for line in BufReader::new(GzDecoder::new(file)).lines() {
            let fact: Value = serde_json::from_str(&line.expect("the recording is whole"))
                .expect("a recording holds JSON");
            if let Some(block) = fact.get("header") {
                chain.add_block(block);
            } else if let Some(fact) = fact.get("receipts") {
                let hash = text(&fact["block"]["hash"]).to_owned();
                let receipts = fact["receipts"].as_array().expect("receipts are a list");
                chain.receipts.insert(hash, receipts.iter().map(receipt).collect());
            }
        }
        let mut logs: Vec<Value> = chain
            .receipts
            .values()
            .flat_map(|receipts| receipts.as_array().into_iter().flatten())
            .flat_map(|receipt| receipt["logs"].as_array().into_iter().flatten().cloned())
            .collect();
        logs.sort_by_key(|log| (number(&log["blockNumber"]), number(&log["logIndex"])));
        chain.logs = logs;
        Some(chain)
    }

    fn add_block(&mut self, fact: &Value) {
        let header = &fact["header"];
        let mut block = header.clone();
        for (ours, theirs) in [("ommersHash", "sha3Uncles"), ("beneficiary", "miner")] {
            block[theirs] = block[ours].take();
        }
        for name in QUANTITIES {
            if let Some(number) = header[name].as_u64() {
                block[name] = json!(format!("{number:#x}"));
            }
        }
        let fields = block.as_object_mut().expect("a header is an object");
        fields.retain(|_, value| !value.is_null());
        block["hash"] = fact["hash"].clone();
        block["transactions"] = fact["transactions"].clone();
        self.blocks.insert(header["number"].as_u64().expect("blocks have numbers"), block);
    }

    /// Height of the last block.
    pub fn head(&self) -> u64 {
        self.blocks.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// Hash of a block.
    pub fn hash(&self, number: u64) -> &str {
        text(&self.blocks[&number]["hash"])
    }

    /// Whether the receipts of a block were recorded.
    pub fn has_receipts(&self, number: u64) -> bool {
        self.receipts.contains_key(self.hash(number))
    }

    /// Every recorded log, in canonical order.
    pub fn logs(&self) -> &[Value] {
        &self.logs
    }

    /// The contracts that emitted, sorted.
    pub fn contracts(&self) -> Vec<String> {
        let mut all: Vec<String> =
            self.logs.iter().map(|log| text(&log["address"]).to_owned()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Answers a call honestly; `null` where a node would say so.
    pub fn answer(&self, method: &str, params: &Value) -> Value {
        match method {
            "eth_chainId" => json!(format!("{RECORDED_CHAIN_ID:#x}")),
            "web3_clientVersion" => json!("scripted/v1"),
            "eth_getBlockByNumber" => self.block_by_number(text(&params[0])),
            "eth_getBlockByHash" => {
                let is_it = |block: &&Value| block["hash"] == params[0];
                self.blocks.values().find(is_it).cloned().unwrap_or_default()
            }
            "eth_getBlockReceipts" => {
                let place = &params[0];
                let hash = place.get("blockHash").unwrap_or(place);
                self.receipts.get(text(hash)).cloned().unwrap_or_default()
            }
            "eth_getLogs" => {
                self.logs.iter().filter(|log| matches(&params[0], log)).cloned().collect()
            }
            _ => Value::Null,
        }
    }

    fn block_by_number(&self, place: &str) -> Value {
        let number = match place {
            "latest" | "safe" | "finalized" => self.head(),
            hex => u64::from_str_radix(hex.trim_start_matches("0x"), 16).unwrap_or(u64::MAX),
        };
        self.blocks.get(&number).cloned().unwrap_or_default()
    }
}

/// Whether `eth_getLogs` with this filter returns this log.
fn matches(filter: &Value, log: &Value) -> bool {
    let in_place = match filter.get("blockHash") {
        Some(hash) => *hash == log["blockHash"],
        None => (number(&filter["fromBlock"])..=number(&filter["toBlock"]))
            .contains(&number(&log["blockNumber"])),
    };
    let topics = filter["topics"].as_array().into_iter().flatten().enumerate();
    in_place
        && allows(&filter["address"], &log["address"])
        && topics.into_iter().all(|(i, side)| allows(side, &log["topics"][i]))
}

fn allows(side: &Value, value: &Value) -> bool {
    match side {
        Value::Null => true,
        Value::Array(list) => list.is_empty() || list.contains(value),
        one => one == value,
    }
}

/// A recorded receipt as it is on the wire.
fn receipt(fact: &Value) -> Value {
    let quantity = |name: &str| json!(format!("{:#x}", fact[name].as_u64().unwrap_or_default()));
    let is_good = fact["outcome"]["status"].as_bool().unwrap_or_default();
    let logs: Vec<Value> = fact["logs"].as_array().into_iter().flatten().map(log).collect();
    json!({
        "type": quantity("tx_type"),
        "transactionHash": fact["tx_hash"],
        "transactionIndex": quantity("tx_index"),
        "blockHash": fact["block_hash"],
        "blockNumber": quantity("block_number"),
        "status": if is_good { "0x1" } else { "0x0" },
        "cumulativeGasUsed": quantity("cumulative_gas_used"),
        "logs": logs,
    })
}

fn log(fact: &Value) -> Value {
    let quantity = |name: &str| json!(format!("{:#x}", fact[name].as_u64().unwrap_or_default()));
    json!({
        "address": fact["address"],
        "topics": fact["topics"],
        "data": fact["data"],
        "logIndex": quantity("log_index"),
        "transactionIndex": quantity("tx_index"),
        "transactionHash": fact["tx_hash"],
        "blockNumber": quantity("block_number"),
        "blockHash": fact["block_hash"],
        "removed": false,
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(text(value).trim_start_matches("0x"), 16).unwrap_or_default()
}
