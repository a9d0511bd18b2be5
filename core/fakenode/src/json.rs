//! Blocks, logs and receipts as nodes write them. Quantities are hex without leading zeros.

use crate::call::quantity;
use alloy_primitives::{Address, Bloom, BloomInput};
use event::{BlockAnswer, Head, Header, Log, LogsAnswer, Outcome, Receipt};
use serde_json::{Map, Value, json};
use sim::chain::Block;

/// Size that every block claims, in bytes: nobody looks.
const SIZE_BYTES: u64 = 0x1a2b;

/// Returns a header with its hash, as `newHeads` announces it.
pub(crate) fn header(hash: alloy_primitives::B256, header: &Header) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("hash", json!(hash));
    put("parentHash", json!(header.parent_hash));
    put("sha3Uncles", json!(header.ommers_hash));
    put("miner", json!(header.beneficiary));
    put("stateRoot", json!(header.state_root));
    put("transactionsRoot", json!(header.transactions_root));
    put("receiptsRoot", json!(header.receipts_root));
    put("logsBloom", json!(header.logs_bloom));
    put("difficulty", json!(header.difficulty));
    put("number", quantity(header.number));
    put("gasLimit", quantity(header.gas_limit));
    put("gasUsed", quantity(header.gas_used));
    put("timestamp", quantity(header.timestamp));
    put("extraData", json!(header.extra_data));
    put("mixHash", json!(header.mix_hash));
    put("nonce", json!(header.nonce));
    let quantities = [
        ("baseFeePerGas", header.base_fee_per_gas),
        ("blobGasUsed", header.blob_gas_used),
        ("excessBlobGas", header.excess_blob_gas),
        ("slotNumber", header.slot_number),
    ];
    for (name, value) in quantities {
        if let Some(value) = value {
            put(name, quantity(value));
        }
    }
    let hashes = [
        ("withdrawalsRoot", header.withdrawals_root),
        ("parentBeaconBlockRoot", header.parent_beacon_block_root),
        ("requestsHash", header.requests_hash),
        ("blockAccessListHash", header.block_access_list_hash),
    ];
    for (name, value) in hashes {
        if let Some(value) = value {
            put(name, json!(value));
        }
    }
    fields
}

/// Returns a block with the hashes of its transactions.
pub(crate) fn block(block: &BlockAnswer) -> Value {
    let mut fields = header(block.hash, &block.header);
    fields.insert("size".to_owned(), quantity(SIZE_BYTES));
    fields.insert("uncles".to_owned(), json!([]));
    fields.insert("withdrawals".to_owned(), json!([]));
    fields.insert("transactions".to_owned(), json!(block.transactions));
    Value::Object(fields)
}

/// Returns the block that a head is. One that the chain does not have shows no more than a head.
pub(crate) fn head(head: &Head, found: Option<&Block>) -> Value {
    match found {
        Some(found) => block(&BlockAnswer {
            hash: found.hash,
            header: Box::new(found.header.clone()),
            transactions: found.transactions.clone(),
        }),
        None => json!({
            "number": quantity(head.block.number),
            "hash": head.block.hash,
            "timestamp": quantity(head.timestamp),
        }),
    }
}

/// Returns the logs of an answer, and behind them those that it marks `removed`.
pub(crate) fn logs(answer: &LogsAnswer, removed: &[Log]) -> Value {
    let told = answer.logs.rows().filter_map(|row| {
        let (number, hash, timestamp) = answer.blocks.get(row.block as usize)?;
        let mut log = json!({
            "address": row.address,
            "topics": row.topics,
            "data": alloy_primitives::hex::encode_prefixed(row.data),
            "blockNumber": quantity(*number),
            "blockHash": hash,
            "transactionHash": row.tx_hash,
            "transactionIndex": quantity(row.tx_index.into()),
            "logIndex": quantity(row.log_index.into()),
            "removed": false,
        });
        if let Some(timestamp) = timestamp {
            log["blockTimestamp"] = quantity(*timestamp);
        }
        Some(log)
    });
    told.chain(removed.iter().map(log)).collect()
}

/// Returns one log.
pub(crate) fn log(log: &Log) -> Value {
    json!({
        "address": log.address,
        "topics": log.topics,
        "data": log.data,
        "blockNumber": quantity(log.block_number),
        "blockHash": log.block_hash,
        "transactionHash": log.tx_hash,
        "transactionIndex": quantity(log.tx_index.into()),
        "logIndex": quantity(log.log_index.into()),
        "removed": log.removed,
    })
}

/// Returns one receipt.
pub(crate) fn receipt(receipt: &Receipt) -> Value {
    let mut bloom = Bloom::ZERO;
    for log in &receipt.logs {
        bloom.accrue(BloomInput::Raw(log.address.as_slice()));
        log.topics.iter().for_each(|topic| bloom.accrue(BloomInput::Raw(topic.as_slice())));
    }
    let mut fields = json!({
        "type": quantity(receipt.tx_type.into()),
        "transactionHash": receipt.tx_hash,
        "transactionIndex": quantity(receipt.tx_index.into()),
        "blockHash": receipt.block_hash,
        "blockNumber": quantity(receipt.block_number),
        "from": Address::ZERO,
        "to": Address::ZERO,
        "contractAddress": null,
        "cumulativeGasUsed": quantity(receipt.cumulative_gas_used),
        "gasUsed": quantity(21_000),
        "effectiveGasPrice": quantity(1_000_000_000),
        "logsBloom": bloom,
        "logs": receipt.logs.iter().map(log).collect::<Value>(),
    });
    match receipt.outcome {
        Outcome::Status(succeeded) => fields["status"] = quantity(succeeded.into()),
        Outcome::StateRoot(root) => fields["root"] = json!(root),
    }
    if let Some(nonce) = receipt.deposit_nonce {
        fields["depositNonce"] = quantity(nonce);
    }
    if let Some(version) = receipt.deposit_receipt_version {
        fields["depositReceiptVersion"] = quantity(version);
    }
    fields
}
