//! What happens on the synthetic chain: ten ERC-20 transfers a block, one per transaction, the same
//! on every run. No block hashes and no JSON here.

use alloy_primitives::{
    Address, B256, Bloom, BloomInput, Bytes, Log, LogData, U256, address, b256,
};

/// Transactions in a block, each with one transfer, where nothing else is said.
pub const TRANSFERS_PER_BLOCK: usize = 10;

/// The token contract that emits every log.
pub const TOKEN: Address = address!("0xbe9c4000000000000000000000000000000000b1");

/// A contract that emits nothing.
pub const SILENT: Address = address!("0xbe9c4000000000000000000000000000000000b3");

/// keccak256 of `Transfer(address,address,uint256)`.
pub const TRANSFER: B256 =
    b256!("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// Accounts that hold the token. A few of them take part in most transfers, as on mainnet.
const HOLDER_COUNT: u64 = 20_000;

/// Numbers that look random and are the same everywhere (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Returns the dice of one purpose and one number.
    pub const fn new(purpose: u64, number: u64) -> Self {
        Self(
            purpose.wrapping_mul(0xd1b5_4a32_d192_ed03)
                ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        )
    }

    /// Returns the next number.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns 32 bytes.
    pub fn hash(&mut self) -> B256 {
        let mut hash = B256::ZERO;
        for word in hash.0.chunks_exact_mut(8) {
            word.copy_from_slice(&self.roll().to_be_bytes());
        }
        hash
    }
}

/// An account, with what a log of it needs.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Account.
    pub address: Address,
    /// The account as an indexed argument.
    pub topic: B256,
    /// Bits that the topic sets.
    pub bloom: Bloom,
}

/// One transfer, and the transaction that made it.
#[derive(Clone, Copy, Debug)]
pub struct Transfer<'a> {
    /// Transaction.
    pub tx_hash: B256,
    /// Payer.
    pub from: &'a Holder,
    /// Payee.
    pub to: &'a Holder,
    /// Amount in the smallest unit; beyond 64 bit more often than not.
    pub value: U256,
}

impl Transfer<'_> {
    /// Returns the log as receipts hash it.
    pub fn log(&self) -> Log {
        let topics = vec![TRANSFER, self.from.topic, self.to.topic];
        Log { address: TOKEN, data: LogData::new_unchecked(topics, self.data()) }
    }

    /// Returns the unindexed argument.
    pub fn data(&self) -> Bytes {
        Bytes::copy_from_slice(&self.value.to_be_bytes::<32>())
    }
}

/// Every account and every transfer of the chain.
#[derive(Debug)]
pub struct Economy {
    holders: Vec<Holder>,
    transfers_per_block: usize,
    /// Bits that address and topic 0 set in every bloom.
    pub common_bloom: Bloom,
}

impl Default for Economy {
    fn default() -> Self {
        Self::with_transfers_per_block(TRANSFERS_PER_BLOCK)
    }
}

impl Economy {
    /// Returns one in which so many transfers lie in each block.
    pub fn with_transfers_per_block(transfers_per_block: usize) -> Self {
        let mut common_bloom = Bloom::ZERO;
        common_bloom.accrue(BloomInput::Raw(TOKEN.as_slice()));
        common_bloom.accrue(BloomInput::Raw(TRANSFER.as_slice()));
        let holders = (0..HOLDER_COUNT).map(holder).collect();
        Self { holders, transfers_per_block, common_bloom }
    }

    /// Returns the transfers of the block with this number, in order.
    pub fn transfers(&self, number: u64) -> Vec<Transfer<'_>> {
        let mut dice = Dice::new(1, number);
        let transfer = |_| {
            let tx_hash = dice.hash();
            let from = self.pick(dice.roll());
            let to = self.pick(dice.roll());
            let value = U256::from(dice.roll() >> 8) * U256::from(1_000_000_000_u64);
            Transfer { tx_hash, from, to, value }
        };
        (0..self.transfers_per_block).map(transfer).collect()
    }

    /// Number of transfers in each block.
    pub const fn transfers_per_block(&self) -> usize {
        self.transfers_per_block
    }

    /// Squares the die, so that the first holders come up most.
    fn pick(&self, die: u64) -> &Holder {
        let die = die >> 32;
        let squared = (die * die) >> 32;
        &self.holders[((squared * HOLDER_COUNT) >> 32) as usize]
    }
}

fn holder(number: u64) -> Holder {
    let address = Address::from_slice(&Dice::new(2, number).hash()[..20]);
    let topic = address.into_word();
    let mut bloom = Bloom::ZERO;
    bloom.accrue(BloomInput::Raw(topic.as_slice()));
    Holder { address, topic, bloom }
}
