//! What happens in blocks: transfers of a few tokens among a few holders, and other contracts whose
//! logs sometimes set the very bloom bits of a token.

use super::unique;
use crate::rng::Rng;
use alloy_primitives::{Address, B256, Bloom, BloomInput, Bytes, U256, keccak256};
use std::sync::OnceLock;

/// Tokens that decoys are known for; more tokens have none.
const DECOY_TOKENS: u64 = 8;
/// Where EIP-7708 logs come from.
const SYSTEM: Address = Address::new([
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xfe,
]);

/// How much happens, and how odd it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Tokens that transfers are of; [`token`] names them.
    pub tokens: u64,
    /// Who holds them; [`holder`] names them.
    pub holders: u64,
    /// Transactions of a block, at most.
    pub transactions_max: u64,
    /// Logs of a transaction, at most; some have none.
    pub logs_max: u64,
    /// Blocks without any transaction.
    pub empty_per_mille: u32,
    /// Logs that are transfers of a token, the log density; the others are of other contracts.
    pub transfer_per_mille: u32,
    /// Logs of other contracts that are of tokens with numbers, ERC-721 and ERC-1155.
    pub nft_per_mille: u32,
    /// Logs that come twice in their transaction, the same to the last byte.
    pub twin_per_mille: u32,
    /// Blocks without a token's log whose other contracts set that token's bloom bits all the same.
    pub decoy_per_mille: u32,
    /// From this height on every transaction begins with a system log (EIP-7708, F63), which shifts
    /// the log index of all that follow.
    pub system_logs_from: Option<u64>,
    /// Whether receipts roots recompute from the receipts that nodes list (F44).
    pub roots_recompute: bool,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            tokens: 3,
            holders: 7,
            transactions_max: 4,
            logs_max: 3,
            empty_per_mille: 150,
            transfer_per_mille: 500,
            nft_per_mille: 0,
            twin_per_mille: 100,
            decoy_per_mille: 100,
            system_logs_from: None,
            roots_recompute: true,
        }
    }
}

/// Returns the address of token `n`.
pub fn token(n: u64) -> Address {
    Address::from_slice(&keccak256(format!("token {n}"))[..20])
}

/// Returns the address of holder `n`.
pub fn holder(n: u64) -> Address {
    Address::from_slice(&keccak256(format!("holder {n}"))[..20])
}

/// Returns topic 0 of `Transfer(address,address,uint256)`.
pub fn transfer_topic() -> B256 {
    static TOPIC: OnceLock<B256> = OnceLock::new();
    *TOPIC.get_or_init(|| keccak256("Transfer(address,address,uint256)"))
}

/// A transaction before it is mined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) hash: B256,
    pub(crate) tx_type: u8,
    pub(crate) succeeds: bool,
    pub(crate) logs: Vec<LogBody>,
}

/// A log before it has a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogBody {
    pub(crate) address: Address,
    pub(crate) topics: Vec<B256>,
    pub(crate) data: Bytes,
}

impl Traffic {
    /// Makes the new transactions of a block of this height.
    pub(crate) fn transactions(&self, number: u64, rng: &mut Rng) -> Vec<Transaction> {
        if rng.chance(self.empty_per_mille) {
            return Vec::new();
        }
        let decoyed = rng.chance(self.decoy_per_mille).then(|| rng.below(self.tokens));
        let count = rng.between(1, self.transactions_max.max(1));
        let mut transactions: Vec<Transaction> =
            (0..count).map(|_| self.transaction(number, decoyed.is_some(), rng)).collect();
        if let (Some(token), Some(last)) = (decoyed, transactions.last_mut()) {
            last.succeeds = true;
            last.logs.extend(decoys(token).iter().map(|address| self.noise(*address, rng)));
        }
        transactions
    }

    fn transaction(&self, number: u64, quiet: bool, rng: &mut Rng) -> Transaction {
        let mut logs = Vec::new();
        if self.system_logs_from.is_some_and(|from| number >= from) {
            logs.push(self.transfer_of(SYSTEM, rng));
        }
        for _ in 0..rng.between(0, self.logs_max) {
            let log = if !quiet && rng.chance(self.transfer_per_mille) {
                let token = token(rng.below(self.tokens));
                self.transfer_of(token, rng)
            } else if self.nft_per_mille > 0 && rng.chance(self.nft_per_mille) {
                unique::log(self.holders, rng)
            } else {
                let address = rng.address();
                self.noise(address, rng)
            };
            if rng.chance(self.twin_per_mille) {
                logs.push(log.clone());
            }
            logs.push(log);
        }
        let tx_type = rng.below(5) as u8;
        Transaction { hash: rng.b256(), tx_type, succeeds: !logs.is_empty(), logs }
    }

    fn transfer_of(&self, address: Address, rng: &mut Rng) -> LogBody {
        let (from, to) = (rng.below(self.holders), rng.below(self.holders));
        let value = U256::from(rng.between(1, 1_000)).to_be_bytes::<32>();
        let topics = vec![transfer_topic(), holder(from).into_word(), holder(to).into_word()];
        LogBody { address, topics, data: Bytes::from(value.to_vec()) }
    }

    /// A log of a contract that nobody follows, now and then with the topic that everybody does.
    fn noise(&self, address: Address, rng: &mut Rng) -> LogBody {
        if rng.chance(500) {
            return self.transfer_of(address, rng);
        }
        let topics = (0..rng.below(5)).map(|_| rng.b256()).collect();
        let data = vec![rng.below(256) as u8; rng.below(70) as usize];
        LogBody { address, topics, data: Bytes::from(data) }
    }
}

fn bits(address: Address) -> Bloom {
    let mut bloom = Bloom::ZERO;
    bloom.accrue(BloomInput::Raw(address.as_slice()));
    bloom
}

/// Returns contracts that together set the bloom bits of the token.
fn decoys(token: u64) -> &'static [Address] {
    static DECOYS: OnceLock<Vec<Vec<Address>>> = OnceLock::new();
    let found = DECOYS.get_or_init(|| (0..DECOY_TOKENS).map(find_decoys).collect());
    found.get(token as usize).map_or(&[], Vec::as_slice)
}

fn find_decoys(number: u64) -> Vec<Address> {
    let wanted = bits(token(number));
    let mut rng = Rng::keyed(number, &[0xdec0]);
    let (mut found, mut set) = (Vec::new(), Bloom::ZERO);
    while !set.contains(&wanted) {
        let address = rng.address();
        let more = set | (bits(address) & wanted);
        if more != set {
            set = more;
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoys_set_the_bits_of_a_token_that_none_of_them_is() {
        for number in 0..DECOY_TOKENS {
            let bloom = decoys(number).iter().fold(Bloom::ZERO, |bloom, a| bloom | bits(*a));
            assert!(bloom.contains(&bits(token(number))));
            assert!(!decoys(number).contains(&token(number)));
        }
    }
}
