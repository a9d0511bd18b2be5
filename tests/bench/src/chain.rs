//! The synthetic chain: every header's bloom, receipts root, parent and hash are what the transfers
//! make them, so that every rung of the verification ladder holds. State and transactions roots are
//! made up: nothing recomputes them. All answers lie in memory as text.

use crate::{
    json::{self, Place, ReceiptFacts},
    transfer::{Dice, Economy, Transfer},
};
use alloy_consensus::{
    Eip658Value, Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, constants::EMPTY_WITHDRAWALS,
    proofs::calculate_receipt_root,
};
use alloy_primitives::{B256, Bloom, Bytes, U256, b256};
use std::{borrow::Cow, collections::HashMap, thread};

/// `eth_chainId` of the synthetic chain.
pub const CHAIN_ID: u64 = 1337;

/// Height of the first block, so that numbers have the length they have on mainnet.
pub const FIRST_BLOCK: u64 = 18_000_000;

/// Unix seconds of the first block; one block every twelve seconds from there.
const FIRST_TIMESTAMP: u64 = 1_693_066_895;

/// Gas of one transfer.
const GAS_PER_TRANSFER: u64 = 46_109;

/// sha256 of nothing: a block without EIP-7685 requests.
const NO_REQUESTS: B256 =
    b256!("0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

/// Blocks whose text lies in one buffer. An answer over a range is a few slices of such buffers.
const BLOCKS_PER_SHARD: usize = 4_096;

/// Text of consecutive blocks.
#[derive(Debug, Default)]
struct Shard {
    /// Logs, each followed by a comma.
    logs: Vec<u8>,
    /// Where each block's logs end.
    log_ends: Vec<usize>,
    /// Headers, one after the other.
    headers: Vec<u8>,
    /// Where each header ends.
    header_ends: Vec<usize>,
    /// Receipts, a list for each block one after the other; none where they are made on the spot.
    receipts: Vec<u8>,
    /// Where each block's receipts end.
    receipt_ends: Vec<usize>,
}

/// Where receipts come from: they take more room than everything else together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipts {
    /// Made when they are asked for.
    OnTheSpot,
    /// Made beforehand, so that serving them takes nothing from who is measured: 13 KB a block.
    Beforehand,
}

/// The whole chain, with its answers.
#[derive(Debug)]
pub struct Chain {
    economy: Economy,
    blocks_per_shard: usize,
    shards: Vec<Shard>,
    hashes: Vec<B256>,
    by_hash: HashMap<B256, u64>,
    value_sum: U256,
}

/// What the transfers of a block leave in its header.
#[derive(Clone, Debug)]
struct Outcome {
    receipts_root: B256,
    bloom: Bloom,
    value_sum: U256,
}

impl Chain {
    /// Builds `block_count` blocks (at least one) on every core.
    pub fn build(block_count: u64, receipts: Receipts) -> Self {
        Self::of(Economy::default(), block_count, receipts)
    }

    /// Builds as many blocks of what happens in an economy.
    pub fn of(economy: Economy, block_count: u64, receipts: Receipts) -> Self {
        Self::build_in_shards(economy, block_count, BLOCKS_PER_SHARD, receipts)
    }

    fn build_in_shards(
        economy: Economy,
        block_count: u64,
        blocks_per_shard: usize,
        receipts: Receipts,
    ) -> Self {
        let block_count = block_count.max(1) as usize;
        let outcomes = on_every_core(block_count, 256, |indices| {
            indices.map(|index| outcome(&economy, number_of(index))).collect::<Vec<_>>()
        })
        .concat();
        let value_sum = outcomes.iter().map(|outcome| outcome.value_sum).sum();
        let headers = linked_headers(&outcomes, economy.transfers_per_block());
        let shards = on_every_core(block_count, blocks_per_shard, |indices| {
            let mut shard = Shard::default();
            for index in indices {
                let (hash, header) = &headers[index];
                shard.push(*hash, header, &economy.transfers(number_of(index)));
                if receipts == Receipts::Beforehand {
                    push_receipts(&mut shard.receipts, &economy, number_of(index), *hash);
                    shard.receipt_ends.push(shard.receipts.len());
                }
            }
            shard
        });
        let hashes: Vec<_> = headers.into_iter().map(|(hash, _)| hash).collect();
        let by_hash = hashes.iter().enumerate().map(|(i, hash)| (*hash, number_of(i))).collect();
        Self { economy, blocks_per_shard, shards, hashes, by_hash, value_sum }
    }

    /// First block.
    pub const fn first(&self) -> u64 {
        FIRST_BLOCK
    }

    /// Last block.
    pub fn last(&self) -> u64 {
        FIRST_BLOCK + self.hashes.len() as u64 - 1
    }

    /// Number of logs.
    pub fn log_count(&self) -> u64 {
        (self.hashes.len() * self.economy.transfers_per_block()) as u64
    }

    /// Sum of all values transferred.
    pub const fn value_sum(&self) -> U256 {
        self.value_sum
    }

    /// Returns the height of the block with this hash.
    pub fn number_of_hash(&self, hash: &B256) -> Option<u64> {
        self.by_hash.get(hash).copied()
    }

    /// Returns the text of the header, or `None` outside the chain.
    pub fn header(&self, number: u64) -> Option<&[u8]> {
        let index = self.index_of(number)?;
        let shard = &self.shards[index / self.blocks_per_shard];
        let place = index % self.blocks_per_shard;
        Some(&shard.headers[start_of(&shard.header_ends, place)..shard.header_ends[place]])
    }

    /// Returns the text of all logs from `first` to `last`, parted by commas, in pieces; or `None`
    /// where the range leaves the chain or is inverted.
    pub fn logs(&self, first: u64, last: u64) -> Option<Vec<&[u8]>> {
        let (first, last) = (self.index_of(first)?, self.index_of(last)?);
        if first > last {
            return None;
        }
        let (first_shard, last_shard) =
            (first / self.blocks_per_shard, last / self.blocks_per_shard);
        let mut pieces: Vec<&[u8]> = (first_shard..=last_shard)
            .map(|number| {
                let shard = &self.shards[number];
                let from = if number == first_shard { first % self.blocks_per_shard } else { 0 };
                let to = if number == last_shard {
                    last % self.blocks_per_shard
                } else {
                    self.blocks_per_shard - 1
                };
                &shard.logs[start_of(&shard.log_ends, from)..shard.log_ends[to]]
            })
            .collect();
        if let Some((_comma, without)) = pieces.last_mut().and_then(|piece| piece.split_last()) {
            let end = pieces.len() - 1;
            pieces[end] = without;
        }
        Some(pieces)
    }

    /// Returns the text of a block's receipts, or `None` outside the chain.
    pub fn receipts(&self, number: u64) -> Option<Cow<'_, [u8]>> {
        let index = self.index_of(number)?;
        let (shard, place) =
            (&self.shards[index / self.blocks_per_shard], index % self.blocks_per_shard);
        if let Some(end) = shard.receipt_ends.get(place) {
            return Some(Cow::Borrowed(
                &shard.receipts[start_of(&shard.receipt_ends, place)..*end],
            ));
        }
        let mut out = Vec::new();
        push_receipts(&mut out, &self.economy, number, self.hashes[index]);
        Some(Cow::Owned(out))
    }

    fn index_of(&self, number: u64) -> Option<usize> {
        let index = usize::try_from(number.checked_sub(FIRST_BLOCK)?).ok()?;
        (index < self.hashes.len()).then_some(index)
    }
}

impl Shard {
    fn push(&mut self, hash: B256, header: &Header, transfers: &[Transfer<'_>]) {
        let place = Place { number: header.number, hash, timestamp: header.timestamp };
        for (index, transfer) in transfers.iter().enumerate() {
            json::push_log(&mut self.logs, &place, index, transfer);
            self.logs.push(b',');
        }
        self.log_ends.push(self.logs.len());
        json::push_block(&mut self.headers, hash, header, transfers);
        self.header_ends.push(self.headers.len());
    }
}

/// Appends the list of a block's receipts.
fn push_receipts(out: &mut Vec<u8>, economy: &Economy, number: u64, hash: B256) {
    let place = Place { number, hash, timestamp: timestamp_of(number) };
    out.push(b'[');
    for (index, transfer) in economy.transfers(number).iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let facts = ReceiptFacts {
            cumulative_gas_used: cumulative_gas(index),
            gas_used: GAS_PER_TRANSFER,
            bloom: bloom_of(economy, transfer),
        };
        json::push_receipt(out, &place, index, transfer, &facts);
    }
    out.push(b']');
}

/// Returns each block's time.
pub const fn timestamp_of(number: u64) -> u64 {
    FIRST_TIMESTAMP + (number - FIRST_BLOCK) * 12
}

const fn number_of(index: usize) -> u64 {
    FIRST_BLOCK + index as u64
}

fn start_of(ends: &[usize], place: usize) -> usize {
    place.checked_sub(1).map_or(0, |before| ends[before])
}

const fn cumulative_gas(index: usize) -> u64 {
    (index as u64 + 1) * GAS_PER_TRANSFER
}

fn bloom_of(economy: &Economy, transfer: &Transfer<'_>) -> Bloom {
    economy.common_bloom | transfer.from.bloom | transfer.to.bloom
}

fn outcome(economy: &Economy, number: u64) -> Outcome {
    let transfers = economy.transfers(number);
    let receipts: Vec<ReceiptEnvelope> = transfers
        .iter()
        .enumerate()
        .map(|(index, transfer)| {
            let receipt = Receipt {
                status: Eip658Value::success(),
                cumulative_gas_used: cumulative_gas(index),
                logs: vec![transfer.log()],
            };
            let logs_bloom = bloom_of(economy, transfer);
            ReceiptEnvelope::Eip1559(ReceiptWithBloom { receipt, logs_bloom })
        })
        .collect();
    Outcome {
        receipts_root: calculate_receipt_root(&receipts),
        bloom: receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | *receipt.logs_bloom()),
        value_sum: transfers.iter().map(|transfer| transfer.value).sum(),
    }
}

fn linked_headers(outcomes: &[Outcome], transfers_per_block: usize) -> Vec<(B256, Header)> {
    let mut parent_hash = Dice::new(3, 0).hash();
    let mut headers = Vec::with_capacity(outcomes.len());
    for (index, outcome) in outcomes.iter().enumerate() {
        let number = number_of(index);
        let mut dice = Dice::new(4, number);
        let header = Header {
            parent_hash,
            state_root: dice.hash(),
            transactions_root: dice.hash(),
            receipts_root: outcome.receipts_root,
            logs_bloom: outcome.bloom,
            number,
            gas_limit: 30_000_000,
            gas_used: transfers_per_block as u64 * GAS_PER_TRANSFER,
            timestamp: timestamp_of(number),
            extra_data: Bytes::from_static(b"headcount bench"),
            mix_hash: dice.hash(),
            base_fee_per_gas: Some(1_000_000_000),
            withdrawals_root: Some(EMPTY_WITHDRAWALS),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(dice.hash()),
            requests_hash: Some(NO_REQUESTS),
            ..Header::default()
        };
        parent_hash = header.hash_slow();
        headers.push((parent_hash, header));
    }
    headers
}

/// Cuts `0..count` into runs of `width`, maps each on some core, and returns the results in order.
fn on_every_core<T: Send>(
    count: usize,
    width: usize,
    map: impl Fn(std::ops::Range<usize>) -> T + Sync,
) -> Vec<T> {
    let run_count = count.div_ceil(width);
    let core_count = thread::available_parallelism().map_or(1, |cores| cores.get());
    let map = &map;
    let mut done: Vec<(usize, T)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..core_count)
            .map(|core| {
                scope.spawn(move || {
                    (core..run_count)
                        .step_by(core_count)
                        .map(|run| (run, map(run * width..count.min((run + 1) * width))))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("building a chain does not panic"))
            .collect()
    });
    done.sort_by_key(|(run, _)| *run);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn logs_over_several_shards_are_those_of_each_block_in_order() {
        let chain = Chain::build_in_shards(Economy::default(), 11, 4, Receipts::OnTheSpot);
        let block = |number| chain.logs(number, number).unwrap().concat();
        for first in chain.first()..=chain.last() {
            for last in first..=chain.last() {
                let together = chain.logs(first, last).unwrap().concat();
                let apart = (first..=last).map(block).collect::<Vec<_>>().join(&b',');
                assert!(together == apart, "{first} to {last}");
            }
        }
        assert_eq!(chain.logs(chain.first() - 1, chain.last()), None);
        assert_eq!(chain.logs(chain.first(), chain.last() + 1), None);
        assert_eq!(chain.logs(chain.last(), chain.first()), None);
    }

    #[test]
    fn receipts_made_beforehand_are_those_made_on_the_spot() {
        let chains = [Receipts::Beforehand, Receipts::OnTheSpot]
            .map(|receipts| Chain::build_in_shards(Economy::default(), 11, 4, receipts));
        for number in chains[0].first()..=chains[0].last() {
            let [kept, made] = chains.each_ref().map(|chain| chain.receipts(number).unwrap());
            assert!(matches!(kept, Cow::Borrowed(_)) && kept == made, "{number}");
        }
        assert_eq!(chains[0].receipts(chains[0].last() + 1), None);
    }

    #[test]
    fn a_log_is_as_long_as_on_mainnet() {
        let chain = Chain::build(3, Receipts::OnTheSpot);
        let bytes = chain.logs(chain.first(), chain.last()).unwrap().concat().len() as u64;
        let per_log = bytes / chain.log_count();
        assert!((600..680).contains(&per_log), "{per_log} bytes");
    }
}
