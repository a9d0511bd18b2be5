//! Real mainnet blocks from a folder beside the project, as a node's JSON-RPC answers hold them.
//!
//! Decoded here a second time, without any code of Headcount or of alloy's codecs: what a replay
//! stores is compared with this. None of the files is ever part of the project.

use crate::shared_fixtures;
use alloy_primitives::{B256, hex, keccak256};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

/// Fields of a header in RLP order, and whether each is a number on the wire.
const HEADER: [(&str, bool); 21] = [
    ("parentHash", false),
    ("sha3Uncles", false),
    ("miner", false),
    ("stateRoot", false),
    ("transactionsRoot", false),
    ("receiptsRoot", false),
    ("logsBloom", false),
    ("difficulty", true),
    ("number", true),
    ("gasLimit", true),
    ("gasUsed", true),
    ("timestamp", true),
    ("extraData", false),
    ("mixHash", false),
    ("nonce", false),
    ("baseFeePerGas", true),
    ("withdrawalsRoot", false),
    ("blobGasUsed", true),
    ("excessBlobGas", true),
    ("parentBeaconBlockRoot", false),
    ("requestsHash", false),
];

/// One block as a node serves it.
#[derive(Clone, Debug)]
pub struct ServedBlock {
    /// `eth_getBlockByNumber` without whole transactions.
    pub block: Value,
    /// `eth_getBlockReceipts`; null where the files have none.
    pub receipts: Value,
}

impl ServedBlock {
    /// Returns every log of the block, in order.
    pub fn logs(&self) -> Vec<Value> {
        let receipts = self.receipts.as_array().into_iter().flatten();
        receipts.flat_map(|r| r["logs"].as_array().into_iter().flatten().cloned()).collect()
    }

    /// Returns the transaction type of each receipt.
    pub fn types(&self) -> Vec<String> {
        let receipts = self.receipts.as_array().into_iter().flatten();
        receipts.map(|receipt| text(&receipt["type"]).to_owned()).collect()
    }
}

/// Heights of the blocks whose receipts are there in RLP.
pub const PORTAL_BLOCKS: [u64; 7] =
    [14764013, 15537393, 15537394, 17034869, 17034870, 22431083, 22431084];

/// Returns all blocks with everything a proof needs: seven from RLP, and one from JSON with its
/// neighbours' headers. `None` where the folder is not there.
pub fn provable_blocks() -> Option<Vec<ServedBlock>> {
    let folder = shared_fixtures()?;
    let mut blocks: Vec<ServedBlock> =
        PORTAL_BLOCKS.iter().map(|height| portal(&folder, *height)).collect();
    blocks.extend((18090205..=18090207).map(|height| zeth(&folder, height)));
    Some(blocks)
}

/// A decoded transfer of the oracle: block, log index, token, sender, receiver, value.
pub type OracleTransfer = (u64, u64, String, String, String, String);

/// Returns two blocks whose headers lack one field, and the token transfers that an independent
/// tool decoded in them.
pub fn etl_blocks() -> Option<(Vec<ServedBlock>, Vec<OracleTransfer>)> {
    let folder = shared_fixtures()?.join("etl");
    let lines = |kind: &str| -> Vec<(String, Value)> {
        let text = read(folder.join(format!("17173049-17173050.{kind}.ndjson")));
        let parsed = |line: &str| (line.to_owned(), serde_json::from_str(line).expect("JSON"));
        text.lines().map(parsed).collect()
    };
    let (transactions, logs) = (lines("transactions"), lines("logs"));
    let blocks = lines("blocks").into_iter().map(|(_, block)| {
        let of_block = |all: &[(String, Value)], key: &str| -> Vec<Value> {
            let mut own: Vec<Value> = all
                .iter()
                .filter(|(_, item)| item["block_hash"] == block["hash"])
                .map(|(_, item)| item.clone())
                .collect();
            own.sort_by_key(|item| item[key].as_u64());
            own
        };
        let (transactions, logs) =
            (of_block(&transactions, "transaction_index"), of_block(&logs, "log_index"));
        etl_block(&block, &transactions, &logs)
    });
    let transfers = lines("token_transfers").into_iter().map(|(line, transfer)| {
        // Cut from the text: a JSON number parser may round.
        let value = line.split("\"value\": ").nth(1).and_then(|rest| rest.split(',').next());
        let of = |key: &str| text(&transfer[key]).to_owned();
        let number = |key: &str| transfer[key].as_u64().expect("a number");
        let value = value.expect("a transfer has a value").to_owned();
        let (from, to) = (of("from_address"), of("to_address"));
        (number("block_number"), number("log_index"), of("token_address"), from, to, value)
    });
    let mut transfers: Vec<OracleTransfer> = transfers.collect();
    transfers.sort();
    Some((blocks.collect(), transfers))
}

fn etl_block(block: &Value, transactions: &[Value], logs: &[Value]) -> ServedBlock {
    let quantity = |value: &Value| json!(format!("{:#x}", value.as_u64().unwrap_or_default()));
    let receipts = transactions.iter().map(|transaction| {
        let logs = logs.iter().filter(|log| log["transaction_hash"] == transaction["hash"]);
        let logs = logs.map(|log| {
            json!({
                "address": log["address"], "topics": log["topics"], "data": log["data"],
                "logIndex": quantity(&log["log_index"]),
                "transactionIndex": quantity(&log["transaction_index"]),
                "transactionHash": log["transaction_hash"],
                "blockNumber": quantity(&block["number"]), "blockHash": block["hash"],
                "removed": false,
            })
        });
        json!({
            "type": quantity(&transaction["transaction_type"]),
            "transactionHash": transaction["hash"],
            "transactionIndex": quantity(&transaction["transaction_index"]),
            "blockHash": block["hash"], "blockNumber": quantity(&block["number"]),
            "status": quantity(&transaction["receipt_status"]),
            "cumulativeGasUsed": quantity(&transaction["receipt_cumulative_gas_used"]),
            "logs": logs.collect::<Vec<_>>(),
        })
    });
    let hashes: Vec<&Value> = transactions.iter().map(|transaction| &transaction["hash"]).collect();
    ServedBlock {
        receipts: receipts.collect(),
        block: json!({
            "hash": block["hash"], "number": quantity(&block["number"]),
            "parentHash": block["parent_hash"], "nonce": block["nonce"],
            "sha3Uncles": block["sha3_uncles"], "logsBloom": block["logs_bloom"],
            "transactionsRoot": block["transactions_root"], "stateRoot": block["state_root"],
            "receiptsRoot": block["receipts_root"], "miner": block["miner"],
            "difficulty": quantity(&block["difficulty"]), "extraData": block["extra_data"],
            "gasLimit": quantity(&block["gas_limit"]), "gasUsed": quantity(&block["gas_used"]),
            "timestamp": quantity(&block["timestamp"]),
            "baseFeePerGas": quantity(&block["base_fee_per_gas"]),
            "withdrawalsRoot": block["withdrawals_root"], "transactions": hashes,
        }),
    }
}

/// Reads a block given as RLP of header, body and receipts `[type, status, gas, logs]`.
fn portal(folder: &Path, height: u64) -> ServedBlock {
    let file = read(folder.join(format!("portal/block-data-{height}.yaml")));
    let field = |name: &str| -> Vec<u8> {
        let line = file.lines().find_map(|line| line.strip_prefix(name)).expect("the field");
        let value = line.trim_start_matches(':').trim().trim_matches(['"', '\'']);
        hex::decode(value).expect("hex")
    };
    let header = field("header");
    let hash = keccak256(&header);
    let mut block = json!({"hash": hash});
    for ((name, is_number), item) in HEADER.iter().zip(list(payload(&header).1)) {
        block[*name] = json!(if *is_number { quantity(item.1) } else { bytes(item.1) });
    }
    let body = field("body");
    let transactions: Vec<B256> = list(list(payload(&body).1)[0].1)
        .into_iter()
        // A typed transaction is a string in the list, a legacy one a list of its own.
        .map(|(whole, payload)| keccak256(if whole[0] < 0xc0 { payload } else { whole }))
        .collect();
    block["transactions"] = json!(transactions);
    let receipts = field("receipts");
    let receipts = list(payload(&receipts).1);
    assert_eq!(receipts.len(), transactions.len(), "a receipt for each transaction of {height}");
    let mut next_log = 0;
    let receipts = receipts.into_iter().enumerate().map(|(index, (_, receipt))| {
        let fields = list(receipt);
        let logs = list(fields[3].1).into_iter().map(|(_, log)| {
            let log = list(log);
            let topics: Vec<String> = list(log[1].1).iter().map(|topic| bytes(topic.1)).collect();
            next_log += 1;
            json!({
                "address": bytes(log[0].1), "topics": topics, "data": bytes(log[2].1),
                "logIndex": format!("{:#x}", next_log - 1),
                "transactionIndex": format!("{index:#x}"),
                "transactionHash": transactions[index],
                "blockNumber": block["number"], "blockHash": hash, "removed": false,
            })
        });
        json!({
            "type": quantity(fields[0].1), "status": quantity(fields[1].1),
            "cumulativeGasUsed": quantity(fields[2].1), "logs": logs.collect::<Vec<_>>(),
            "transactionHash": transactions[index], "transactionIndex": format!("{index:#x}"),
            "blockHash": hash, "blockNumber": block["number"],
        })
    });
    let receipts = receipts.collect();
    ServedBlock { block, receipts }
}

/// Reads a block given as JSON-RPC results.
fn zeth(folder: &Path, height: u64) -> ServedBlock {
    let file = read(folder.join(format!("zeth/{height}.json")));
    let all: Value = serde_json::from_str(&file).expect("JSON");
    let mut block = all["full_blocks"][0][1].clone();
    let transactions = block["transactions"].as_array().expect("transactions");
    block["transactions"] = transactions.iter().map(|tx| tx["hash"].clone()).collect();
    ServedBlock { block, receipts: all["receipts"][0][1].clone() }
}

/// Reads a text file, packed or not.
fn read(path: PathBuf) -> String {
    if path.exists() {
        return fs::read_to_string(path).expect("a readable file");
    }
    let packed = fs::File::open(path.with_added_extension("gz")).expect("the file is there");
    let mut text = String::new();
    GzDecoder::new(packed).read_to_string(&mut text).expect("the file is whole");
    text
}

/// Returns the whole of the first RLP item, and its payload.
fn payload(rlp: &[u8]) -> (&[u8], &[u8]) {
    let long = |base: u8| {
        let size = usize::from(rlp[0] - base);
        let length = rlp[1..=size].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        (1 + size, length)
    };
    let (start, length) = match rlp[0] {
        0..=0x7f => (0, 1),
        first @ 0x80..=0xb7 => (1, usize::from(first - 0x80)),
        0xb8..=0xbf => long(0xb7),
        first @ 0xc0..=0xf7 => (1, usize::from(first - 0xc0)),
        0xf8..=0xff => long(0xf7),
    };
    (&rlp[..start + length], &rlp[start..start + length])
}

/// Returns the items of a list's payload, each whole and as payload.
fn list(mut rlp: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut items = Vec::new();
    while !rlp.is_empty() {
        let item = payload(rlp);
        rlp = &rlp[item.0.len()..];
        items.push(item);
    }
    items
}

fn bytes(payload: &[u8]) -> String {
    format!("0x{}", hex::encode(payload))
}

fn quantity(payload: &[u8]) -> String {
    let digits = hex::encode(payload);
    let digits = digits.trim_start_matches('0');
    format!("0x{}", if digits.is_empty() { "0" } else { digits })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
