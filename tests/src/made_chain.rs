//! A chain of any length with one log in each block. No hash of it is that of its block: only a
//! replay that takes a node's word reads it.

use crate::ServedBlock;
use alloy_primitives::{B256, keccak256};
use serde_json::json;

/// The only contract of a made chain.
pub const EMITTER: &str = "0x00000000000000000000000000000000000000e1";

/// Returns blocks from 0 with one log each, all of [`EMITTER`].
pub fn made_chain(blocks: u64) -> Vec<ServedBlock> {
    let hash = |height: u64| keccak256(height.to_be_bytes());
    let zero = B256::ZERO;
    let made = (0..blocks).map(|height| {
        let number = format!("{height:#x}");
        let transaction = keccak256(hash(height));
        let log = json!({
            "address": EMITTER, "topics": [hash(7)], "data": "0x2a", "logIndex": "0x0",
            "transactionIndex": "0x0", "transactionHash": transaction, "blockNumber": number,
            "blockHash": hash(height), "removed": false,
        });
        ServedBlock {
            block: json!({
                "number": number, "hash": hash(height),
                "parentHash": height.checked_sub(1).map_or(zero, hash),
                "sha3Uncles": zero, "miner": EMITTER, "stateRoot": zero,
                "transactionsRoot": zero, "receiptsRoot": zero,
                "logsBloom": format!("0x{}", "ff".repeat(256)), "gasLimit": "0x1",
                "gasUsed": "0x1", "timestamp": number, "extraData": "0x",
                "transactions": [transaction],
            }),
            receipts: json!([{
                "type": "0x0", "status": "0x1", "cumulativeGasUsed": "0x1", "logs": [log],
                "transactionHash": transaction, "transactionIndex": "0x0",
                "blockHash": hash(height), "blockNumber": number,
            }]),
        }
    });
    made.collect()
}
