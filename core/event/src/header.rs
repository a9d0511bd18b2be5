//! Raw evidence from which a verdict can be recomputed: headers and receipts.

use crate::Log;
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256};
use serde::{Deserialize, Serialize};

/// A block header with every field that enters its hash, as `eth_getBlockBy*` returns it.
/// Optional fields came with later forks; the last present one decides the encoding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are those of the execution-apis schema")]
pub struct Header {
    pub parent_hash: B256,
    pub ommers_hash: B256,
    pub beneficiary: Address,
    pub state_root: B256,
    pub transactions_root: B256,
    pub receipts_root: B256,
    pub logs_bloom: Bloom,
    pub difficulty: U256,
    pub number: u64,
    pub gas_limit: u64,
    pub gas_used: u64,
    /// Unix seconds.
    pub timestamp: u64,
    pub extra_data: Bytes,
    pub mix_hash: B256,
    pub nonce: B64,
    /// EIP-1559.
    pub base_fee_per_gas: Option<u64>,
    /// EIP-4895.
    pub withdrawals_root: Option<B256>,
    /// EIP-4844.
    pub blob_gas_used: Option<u64>,
    /// EIP-4844.
    pub excess_blob_gas: Option<u64>,
    /// EIP-4788.
    pub parent_beacon_block_root: Option<B256>,
    /// EIP-7685.
    pub requests_hash: Option<B256>,
    /// EIP-7928.
    pub block_access_list_hash: Option<B256>,
    /// EIP-7843.
    pub slot_number: Option<u64>,
}

/// First field of a receipt's consensus encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Success or failure (EIP-658).
    Status(bool),
    /// State root after the transaction, before Byzantium.
    StateRoot(B256),
}

/// A receipt with what enters the receipts root. The bloom is recomputed, never taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// EIP-2718 type: 0 legacy, 1 to 4 Ethereum, 0x7e OP deposit.
    pub tx_type: u8,
    /// Transaction.
    pub tx_hash: B256,
    /// Position in the block.
    pub tx_index: u32,
    /// Block the node says it belongs to.
    pub block_hash: B256,
    /// Height of that block.
    pub block_number: u64,
    /// Status or state root.
    pub outcome: Outcome,
    /// Gas used in the block up to and with this transaction.
    pub cumulative_gas_used: u64,
    /// Logs in order.
    pub logs: Vec<Log>,
    /// OP deposits: nonce, hashed only when `deposit_receipt_version` is set (Canyon).
    pub deposit_nonce: Option<u64>,
    /// OP deposits from Canyon on.
    pub deposit_receipt_version: Option<u64>,
}
