//! The text of logs, headers and receipts as geth writes it. Hashes come from [`crate::chain`].

use crate::transfer::{TOKEN, TRANSFER, Transfer};
use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bloom, address, hex};
use std::fmt::Write as _;

/// Who includes the transactions, and pays the fees in receipts.
const SENDER: Address = address!("0xbe9c4000000000000000000000000000000000b2");

/// The block that a log or receipt lies in.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Unix seconds.
    pub timestamp: u64,
}

/// Appends one log. The chain has one per transaction, so both have the same index.
pub fn push_log(out: &mut Vec<u8>, place: &Place, index: usize, transfer: &Transfer<'_>) {
    out.extend_from_slice(b"{\"address\":");
    push_hex(out, TOKEN.as_slice());
    out.extend_from_slice(b",\"topics\":[");
    push_hex(out, TRANSFER.as_slice());
    out.push(b',');
    push_hex(out, transfer.from.topic.as_slice());
    out.push(b',');
    push_hex(out, transfer.to.topic.as_slice());
    out.extend_from_slice(b"],\"data\":");
    push_hex(out, &transfer.value.to_be_bytes::<32>());
    out.extend_from_slice(b",\"blockNumber\":");
    push_quantity(out, place.number);
    out.extend_from_slice(b",\"transactionHash\":");
    push_hex(out, transfer.tx_hash.as_slice());
    out.extend_from_slice(b",\"transactionIndex\":");
    push_quantity(out, index as u64);
    out.extend_from_slice(b",\"blockHash\":");
    push_hex(out, place.hash.as_slice());
    out.extend_from_slice(b",\"blockTimestamp\":");
    push_quantity(out, place.timestamp);
    out.extend_from_slice(b",\"logIndex\":");
    push_quantity(out, index as u64);
    out.extend_from_slice(b",\"removed\":false}");
}

/// Appends one header with the hashes of its transactions.
pub fn push_block(out: &mut Vec<u8>, hash: B256, header: &Header, transactions: &[Transfer<'_>]) {
    out.push(b'{');
    field(out, "hash", hash.as_slice());
    field(out, "parentHash", header.parent_hash.as_slice());
    field(out, "sha3Uncles", header.ommers_hash.as_slice());
    field(out, "miner", header.beneficiary.as_slice());
    field(out, "stateRoot", header.state_root.as_slice());
    field(out, "transactionsRoot", header.transactions_root.as_slice());
    field(out, "receiptsRoot", header.receipts_root.as_slice());
    field(out, "logsBloom", header.logs_bloom.as_slice());
    number(out, "difficulty", header.difficulty.saturating_to());
    number(out, "number", header.number);
    number(out, "gasLimit", header.gas_limit);
    number(out, "gasUsed", header.gas_used);
    number(out, "timestamp", header.timestamp);
    field(out, "extraData", &header.extra_data);
    field(out, "mixHash", header.mix_hash.as_slice());
    field(out, "nonce", header.nonce.as_slice());
    number(out, "size", 0x1a2b);
    for (name, value) in [
        ("baseFeePerGas", header.base_fee_per_gas),
        ("blobGasUsed", header.blob_gas_used),
        ("excessBlobGas", header.excess_blob_gas),
    ] {
        if let Some(value) = value {
            number(out, name, value);
        }
    }
    for (name, value) in [
        ("withdrawalsRoot", header.withdrawals_root),
        ("parentBeaconBlockRoot", header.parent_beacon_block_root),
        ("requestsHash", header.requests_hash),
    ] {
        if let Some(value) = value {
            field(out, name, value.as_slice());
        }
    }
    out.extend_from_slice(b"\"uncles\":[],\"withdrawals\":[],\"transactions\":[");
    for (index, transaction) in transactions.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_hex(out, transaction.tx_hash.as_slice());
    }
    out.extend_from_slice(b"]}");
}

/// What of a receipt is not in its transfer.
#[derive(Clone, Copy, Debug)]
pub struct ReceiptFacts {
    /// Gas used in the block up to and with this transaction.
    pub cumulative_gas_used: u64,
    /// Gas used by this transaction.
    pub gas_used: u64,
    /// Bloom of its log.
    pub bloom: Bloom,
}

/// Appends one EIP-1559 receipt.
pub fn push_receipt(
    out: &mut Vec<u8>,
    place: &Place,
    index: usize,
    transfer: &Transfer<'_>,
    facts: &ReceiptFacts,
) {
    out.push(b'{');
    field(out, "transactionHash", transfer.tx_hash.as_slice());
    number(out, "transactionIndex", index as u64);
    field(out, "blockHash", place.hash.as_slice());
    number(out, "blockNumber", place.number);
    field(out, "from", SENDER.as_slice());
    field(out, "to", TOKEN.as_slice());
    number(out, "cumulativeGasUsed", facts.cumulative_gas_used);
    number(out, "gasUsed", facts.gas_used);
    number(out, "effectiveGasPrice", 1_000_000_000);
    number(out, "type", 2);
    number(out, "status", 1);
    field(out, "logsBloom", facts.bloom.as_slice());
    out.extend_from_slice(b"\"contractAddress\":null,\"logs\":[");
    push_log(out, place, index, transfer);
    out.extend_from_slice(b"]}");
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    push_name(out, name);
    push_hex(out, value);
    out.push(b',');
}

fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    push_name(out, name);
    push_quantity(out, value);
    out.push(b',');
}

fn push_name(out: &mut Vec<u8>, name: &str) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Appends `"0x…"` with every byte.
fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"\"0x");
    let start = out.len();
    out.resize(start + bytes.len() * 2, 0);
    hex::encode_to_slice(bytes, &mut out[start..]).expect("two digits were made room for per byte");
    out.push(b'"');
}

/// Appends `"0x…"` without leading zeros.
fn push_quantity(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(quantity(value).as_bytes());
}

/// Returns a quoted quantity.
pub fn quantity(value: u64) -> String {
    let mut text = String::with_capacity(20);
    // Writing to a string cannot fail.
    let _ = write!(text, "\"{value:#x}\"");
    text
}
