//! A block with all its receipts, sealed so that every commitment in its header recomputes.

use crate::chain::{LogBody, Traffic, Transaction};
use alloy_primitives::{B256, Bytes, b256, keccak256};
use event::{BlockNumHash, Header, Log, Outcome, Receipt};

/// keccak256 of an empty list: a block without uncles.
const NO_UNCLES: B256 = b256!("0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347");
/// Root of an empty trie.
const NO_WITHDRAWALS: B256 =
    b256!("0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");
/// sha256 of nothing: a block without EIP-7685 requests.
const NO_REQUESTS: B256 =
    b256!("0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
/// Gas of one transaction.
const GAS: u64 = 46_109;

/// A mined block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Height.
    pub number: u64,
    /// Hash of the header.
    pub hash: B256,
    /// The header.
    pub header: Header,
    /// Hashes of the transactions, in order.
    pub transactions: Vec<B256>,
    /// Receipts, in order.
    pub receipts: Vec<Receipt>,
    /// When it was mined, on the virtual clock in milliseconds.
    pub mined_at_ms: u64,
}

/// Where a block goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) number: u64,
    pub(crate) parent: B256,
    /// Unix seconds.
    pub(crate) timestamp: u64,
    pub(crate) mined_at_ms: u64,
    /// Parts two blocks with the same parent and transactions.
    pub(crate) salt: u64,
}

impl Block {
    /// Returns its height and hash.
    pub const fn id(&self) -> BlockNumHash {
        BlockNumHash { number: self.number, hash: self.hash }
    }

    /// Iterates over its logs, in order.
    pub fn logs(&self) -> impl Iterator<Item = &Log> {
        self.receipts.iter().flat_map(|receipt| &receipt.logs)
    }

    /// Returns its transactions as they wait to be mined again on another branch.
    pub(crate) fn bodies(&self) -> Vec<Transaction> {
        let body = |log: &Log| LogBody {
            address: log.address,
            topics: log.topics.clone(),
            data: log.data.clone(),
        };
        let transaction = |receipt: &Receipt| Transaction {
            hash: receipt.tx_hash,
            tx_type: receipt.tx_type,
            succeeds: receipt.outcome == Outcome::Status(true),
            logs: receipt.logs.iter().map(body).collect(),
        };
        self.receipts.iter().map(transaction).collect()
    }

    /// Seals a block around transactions.
    pub(crate) fn seal(place: Place, transactions: Vec<Transaction>, traffic: &Traffic) -> Self {
        let number = place.number;
        let mut receipts = receipts(number, transactions);
        let mut committed = receipts.clone();
        if !traffic.roots_recompute
            && let Some(last) = receipts.last()
        {
            // As on chains that commit to system transactions which nodes do not list.
            committed.push(Receipt { tx_index: last.tx_index + 1, logs: vec![], ..last.clone() });
        }
        let header = Header {
            parent_hash: place.parent,
            ommers_hash: NO_UNCLES,
            number,
            // State and transactions roots are made up: nothing recomputes them.
            state_root: keccak256([number.to_be_bytes(), place.salt.to_be_bytes()].concat()),
            transactions_root: keccak256(
                receipts.iter().flat_map(|receipt| receipt.tx_hash.0).collect::<Vec<u8>>(),
            ),
            // Fails only for transaction types that are never made here.
            receipts_root: proof::receipts_root(&committed).unwrap_or_default(),
            logs_bloom: proof::bloom_of(&receipts),
            gas_limit: 30_000_000,
            gas_used: GAS * receipts.len() as u64,
            timestamp: place.timestamp,
            extra_data: Bytes::from(place.salt.to_be_bytes().to_vec()),
            base_fee_per_gas: Some(7),
            withdrawals_root: Some(NO_WITHDRAWALS),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(place.parent),
            requests_hash: Some(NO_REQUESTS),
            ..Header::default()
        };
        let hash = proof::header_hash(&header);
        for receipt in &mut receipts {
            receipt.block_hash = hash;
            receipt.logs.iter_mut().for_each(|log| log.block_hash = hash);
        }
        let transactions = receipts.iter().map(|receipt| receipt.tx_hash).collect();
        let mined_at_ms = place.mined_at_ms;
        Self { number, hash, header, transactions, receipts, mined_at_ms }
    }
}

fn receipts(number: u64, transactions: Vec<Transaction>) -> Vec<Receipt> {
    let mut log_index = 0;
    let mut receipts = Vec::with_capacity(transactions.len());
    for (tx_index, transaction) in transactions.into_iter().enumerate() {
        let (tx_index, tx_hash) = (tx_index as u32, transaction.hash);
        let logs = transaction.logs.into_iter().map(|body| {
            log_index += 1;
            Log {
                address: body.address,
                topics: body.topics,
                data: body.data,
                log_index: log_index - 1,
                tx_index,
                tx_hash,
                block_number: number,
                block_hash: B256::ZERO,
                removed: false,
            }
        });
        receipts.push(Receipt {
            tx_type: transaction.tx_type,
            tx_hash,
            tx_index,
            block_hash: B256::ZERO,
            block_number: number,
            outcome: Outcome::Status(transaction.succeeds),
            cumulative_gas_used: GAS * u64::from(tx_index + 1),
            logs: logs.collect(),
            deposit_nonce: None,
            deposit_receipt_version: None,
        });
    }
    receipts
}
