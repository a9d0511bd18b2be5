//! A chain with honest headers: roots, blooms and hashes recompute.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use event::{
    BlockNumHash, ChainId, EventId, Header, Log, LogRef, Outcome, Receipt, content_digest,
};
use std::collections::BTreeMap;

/// The token that is followed.
pub(crate) fn token() -> Address {
    Address::repeat_byte(0x11)
}

/// `Transfer(address,address,uint256)`.
pub(crate) fn transfer() -> B256 {
    keccak256("Transfer(address,address,uint256)")
}

/// A block with all its receipts.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) number: u64,
    pub(crate) hash: B256,
    pub(crate) header: Header,
    pub(crate) transactions: Vec<B256>,
    pub(crate) receipts: Vec<Receipt>,
}

impl Block {
    /// Returns the logs of the token, in order.
    pub(crate) fn wanted(&self) -> Vec<Log> {
        let logs = self.receipts.iter().flat_map(|receipt| &receipt.logs);
        logs.filter(|log| log.address == token()).cloned().collect()
    }
}

/// A chain of blocks from 1 up, of one branch.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) id: ChainId,
    pub(crate) branch: u8,
    blocks: BTreeMap<u64, Block>,
}

/// Returns the chain that leaves `chain` above `at` for `blocks` blocks.
pub(crate) fn fork(chain: &Chain, at: u64, branch: u8, blocks: u64) -> Chain {
    let mut forked = Chain { branch, ..chain.clone() };
    forked.blocks.retain(|number, _| *number <= at);
    (0..blocks).for_each(|_| forked.mine());
    forked
}

impl Chain {
    pub(crate) fn grow(id: ChainId, branch: u8, blocks: u64) -> Self {
        let mut chain = Self { id, branch, blocks: BTreeMap::new() };
        (0..blocks).for_each(|_| chain.mine());
        chain
    }

    pub(crate) fn block(&self, number: u64) -> &Block {
        &self.blocks[&number]
    }

    pub(crate) fn blocks(&self, first: u64, last: u64) -> Vec<&Block> {
        self.blocks.range(first..=last).map(|(_, block)| block).collect()
    }

    pub(crate) fn top(&self) -> BlockNumHash {
        let (number, block) = self.blocks.last_key_value().unwrap();
        BlockNumHash { number: *number, hash: block.hash }
    }

    fn mine(&mut self) {
        let (number, parent) = match self.blocks.last_key_value() {
            Some((number, block)) => (number + 1, block.hash),
            None => (1, keccak256(self.id.0.to_be_bytes())),
        };
        let mut receipts = receipts(self.id, self.branch, number);
        let mut header = Header {
            parent_hash: parent,
            number,
            gas_limit: 30_000_000,
            gas_used: 21_000 * receipts.len() as u64,
            timestamp: 1_700_000_000 + 12 * number,
            base_fee_per_gas: Some(7),
            extra_data: Bytes::from(vec![self.branch]),
            receipts_root: proof::receipts_root(&receipts).unwrap(),
            logs_bloom: proof::bloom_of(&receipts),
            ..Header::default()
        };
        header.transactions_root = keccak256(number.to_be_bytes());
        let hash = proof::header_hash(&header);
        for receipt in &mut receipts {
            receipt.block_hash = hash;
            receipt.logs.iter_mut().for_each(|log| log.block_hash = hash);
        }
        let transactions = receipts.iter().map(|receipt| receipt.tx_hash).collect();
        self.blocks.insert(number, Block { number, hash, header, transactions, receipts });
    }

    /// Identity and place of every event, as an independent count has them: block, transaction,
    /// position in the transaction.
    pub(crate) fn expected(&self) -> Vec<(u64, u32, EventId)> {
        let mut expected = Vec::new();
        for block in self.blocks.values() {
            let mut seen: BTreeMap<(B256, B256), u32> = BTreeMap::new();
            for log in block.wanted() {
                let digest = content_digest(LogRef::from(&log));
                let count = seen.entry((log.tx_hash, digest)).or_default();
                let (chain, block_hash, tx_hash) = (self.id, block.hash, log.tx_hash);
                let id = EventId { chain, block_hash, tx_hash, digest, occurrence: *count };
                *count += 1;
                expected.push((block.number, log.tx_index, id));
            }
        }
        expected
    }

    /// Returns from, to and value of every transfer, in order.
    pub(crate) fn moves(&self) -> Vec<(Address, Address, i64)> {
        let logs = self.blocks.values().flat_map(Block::wanted);
        logs.map(|log| parties(&log.topics, &log.data)).collect()
    }

    pub(crate) fn balances(&self) -> BTreeMap<Address, i64> {
        let mut balances = BTreeMap::new();
        for (from, to, value) in self.moves() {
            *balances.entry(from).or_default() -= value;
            *balances.entry(to).or_default() += value;
        }
        balances
    }
}

/// Returns who gave whom how much.
pub(crate) fn parties(topics: &[B256], data: &[u8]) -> (Address, Address, i64) {
    let party = |topic: &B256| Address::from_word(*topic);
    (party(&topics[1]), party(&topics[2]), U256::from_be_slice(data).to::<i64>())
}

/// Three transactions a block: two of the token with several logs each, one of them twice the
/// same, and one of another contract between them. Every fifth block has none of the token.
fn receipts(chain: ChainId, branch: u8, number: u64) -> Vec<Receipt> {
    let mut index = 0;
    let mut receipts = Vec::new();
    for tx in 0..3u32 {
        let seed = [&chain.0.to_be_bytes()[..], &[branch], &number.to_be_bytes()[..], &[tx as u8]];
        let tx_hash = keccak256(seed.concat());
        let is_token = tx != 1 && !number.is_multiple_of(5);
        let values = if is_token { vec![1 + u64::from(tx), 7, 7] } else { vec![9] };
        let logs = values.iter().enumerate().map(|(i, value)| {
            let holder = |n: u64| Address::with_last_byte((1 + n % 5) as u8).into_word();
            // Both sevens move between the same two: identical logs of one transaction.
            let from = holder(number + u64::from(tx) + u64::from(i == 0));
            let to = holder(number + u64::from(branch) + 2);
            index += 1;
            Log {
                address: if is_token { token() } else { Address::repeat_byte(0x22) },
                topics: vec![transfer(), from, to],
                data: Bytes::from(U256::from(*value).to_be_bytes::<32>().to_vec()),
                log_index: index - 1,
                tx_index: tx,
                tx_hash,
                block_number: number,
                block_hash: B256::ZERO,
                removed: false,
            }
        });
        receipts.push(Receipt {
            tx_type: 2,
            tx_hash,
            tx_index: tx,
            block_hash: B256::ZERO,
            block_number: number,
            outcome: Outcome::Status(true),
            cumulative_gas_used: 21_000 * u64::from(tx + 1),
            logs: logs.collect(),
            deposit_nonce: None,
            deposit_receipt_version: None,
        });
    }
    receipts
}
