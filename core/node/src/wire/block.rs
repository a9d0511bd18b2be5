//! `eth_getBlockBy*` answers: the header's fields, its hash, and the hashes of its transactions.
//!
//! A field that some chains leave out (`mixHash`, `nonce`, `difficulty`) is zero then; if that is
//! wrong the header does not hash to its hash, and proof says so.

use crate::hex::{Data, Fixed, Quantity, WideQuantity};
use alloy_primitives::{Address, B64, B256};
use event::{BlockAnswer, BlockNumHash, Head, Header};
use serde::Deserialize;

/// A block as it is on the wire.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlockFields {
    hash: Option<Fixed<32>>,
    number: Option<Quantity>,
    timestamp: Option<Quantity>,
    parent_hash: Option<Fixed<32>>,
    sha3_uncles: Option<Fixed<32>>,
    miner: Option<Fixed<20>>,
    state_root: Option<Fixed<32>>,
    transactions_root: Option<Fixed<32>>,
    receipts_root: Option<Fixed<32>>,
    logs_bloom: Option<Box<Fixed<256>>>,
    difficulty: Option<WideQuantity>,
    gas_limit: Option<Quantity>,
    gas_used: Option<Quantity>,
    extra_data: Option<Data>,
    mix_hash: Option<Fixed<32>>,
    nonce: Option<Fixed<8>>,
    base_fee_per_gas: Option<Quantity>,
    withdrawals_root: Option<Fixed<32>>,
    blob_gas_used: Option<Quantity>,
    excess_blob_gas: Option<Quantity>,
    parent_beacon_block_root: Option<Fixed<32>>,
    requests_hash: Option<Fixed<32>>,
    block_access_list_hash: Option<Fixed<32>>,
    slot_number: Option<Quantity>,
    transactions: Option<Vec<Fixed<32>>>,
}

impl BlockFields {
    /// Returns the block; the text names the first field that is missing.
    pub(crate) fn into_block(self) -> Result<BlockAnswer, String> {
        let missing = |field: &str| format!("a block without `{field}`");
        let hash = |value: Option<Fixed<32>>, field: &str| {
            value.map(|value| value.0).ok_or_else(|| missing(field))
        };
        let quantity = |value: Option<Quantity>, field: &str| {
            value.map(|value| value.0).ok_or_else(|| missing(field))
        };
        let header = Header {
            parent_hash: hash(self.parent_hash, "parentHash")?,
            ommers_hash: hash(self.sha3_uncles, "sha3Uncles")?,
            beneficiary: Address::from(self.miner.ok_or_else(|| missing("miner"))?.0),
            state_root: hash(self.state_root, "stateRoot")?,
            transactions_root: hash(self.transactions_root, "transactionsRoot")?,
            receipts_root: hash(self.receipts_root, "receiptsRoot")?,
            logs_bloom: self.logs_bloom.ok_or_else(|| missing("logsBloom"))?.0.into(),
            difficulty: self.difficulty.map_or_else(Default::default, |value| value.0),
            number: quantity(self.number, "number")?,
            gas_limit: quantity(self.gas_limit, "gasLimit")?,
            gas_used: quantity(self.gas_used, "gasUsed")?,
            timestamp: quantity(self.timestamp, "timestamp")?,
            extra_data: self.extra_data.ok_or_else(|| missing("extraData"))?.0.into(),
            mix_hash: self.mix_hash.map_or(B256::ZERO, |value| value.0),
            nonce: self.nonce.map_or(B64::ZERO, |value| value.0),
            base_fee_per_gas: self.base_fee_per_gas.map(|value| value.0),
            withdrawals_root: self.withdrawals_root.map(|value| value.0),
            blob_gas_used: self.blob_gas_used.map(|value| value.0),
            excess_blob_gas: self.excess_blob_gas.map(|value| value.0),
            parent_beacon_block_root: self.parent_beacon_block_root.map(|value| value.0),
            requests_hash: self.requests_hash.map(|value| value.0),
            block_access_list_hash: self.block_access_list_hash.map(|value| value.0),
            slot_number: self.slot_number.map(|value| value.0),
        };
        let transactions = self.transactions.ok_or_else(|| missing("transactions"))?;
        Ok(BlockAnswer {
            hash: hash(self.hash, "hash")?,
            header: Box::new(header),
            transactions: transactions.into_iter().map(|hash| hash.0).collect(),
        })
    }

    /// Returns where the head is; asks for nothing else of the block.
    pub(crate) fn into_head(self) -> Result<Head, String> {
        match (self.number, self.hash, self.timestamp) {
            (Some(Quantity(number)), Some(Fixed(hash)), Some(Quantity(timestamp))) => {
                Ok(Head { block: BlockNumHash { number, hash }, timestamp })
            }
            _ => Err("a block without `number`, `hash` or `timestamp`".to_owned()),
        }
    }
}
