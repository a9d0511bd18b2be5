//! Logs of tokens with numbers: an ERC-721 transfer, and ERC-1155 ones of one number or several. Nobody
//! checks who held what before: an owner is who was given it last, and what is held may be negative.

use super::{
    LogBody,
    traffic::{holder, transfer_topic},
};
use crate::rng::Rng;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};

/// Contracts of such tokens; [`nft`] names them.
pub const NFTS: u64 = 2;
/// Numbers of tokens in each.
const IDS: u64 = 5;
/// Numbers moved by one log, at most.
const IDS_MOVED_MAX: u64 = 3;
/// What is made and what is destroyed.
const FROM_OR_TO_NOBODY_PER_MILLE: u32 = 150;

/// Returns the address of contract `n`.
pub fn nft(n: u64) -> Address {
    Address::from_slice(&keccak256(format!("nft {n}"))[..20])
}

/// Returns topic 0 of the transfers that ERC-1155 knows: of one number, and of several.
pub fn nft_topics() -> [B256; 2] {
    [
        keccak256("TransferSingle(address,address,address,uint256,uint256)"),
        keccak256("TransferBatch(address,address,address,uint256[],uint256[])"),
    ]
}

pub(super) fn log(holders: u64, rng: &mut Rng) -> LogBody {
    let address = nft(rng.below(NFTS));
    let party = |rng: &mut Rng| match rng.chance(FROM_OR_TO_NOBODY_PER_MILLE) {
        true => B256::ZERO,
        false => holder(rng.below(holders)).into_word(),
    };
    let (operator, from, to) = (party(rng), party(rng), party(rng));
    let (id, amount) = (word(rng.below(IDS)), word(rng.between(1, 100)));
    let [single, batch] = nft_topics();
    let (topics, words) = match rng.below(3) {
        0 => (vec![transfer_topic(), from, to, id], Vec::new()),
        1 => (vec![single, operator, from, to], vec![id, amount]),
        _ => {
            let count = rng.between(1, IDS_MOVED_MAX);
            let ids: Vec<B256> = (0..count).map(|_| word(rng.below(IDS))).collect();
            let amounts: Vec<B256> = (0..count).map(|_| word(rng.between(1, 100))).collect();
            // Two lists, each behind its offset from the beginning.
            let mut words = vec![word(2 * 32), word((3 + count) * 32), word(count)];
            words.extend(ids);
            words.push(word(count));
            words.extend(amounts);
            (vec![batch, operator, from, to], words)
        }
    };
    let data: Vec<u8> = words.iter().flat_map(|word| word.0).collect();
    LogBody { address, topics, data: Bytes::from(data) }
}

fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}
