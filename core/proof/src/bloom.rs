//! The header's bloom against a filter. It can show that a block has no matching log; that it
//! admits the filter shows nothing.

use alloy_primitives::{Address, B256, Bloom, keccak256};
use event::{AnyOf, Filter, Receipt};

/// Returns the bloom of all logs of these receipts.
pub fn bloom_of(receipts: &[Receipt]) -> Bloom {
    receipts.iter().fold(Bloom::ZERO, |all, receipt| all | bloom_of_one(receipt))
}

/// Returns the bloom of the logs of one receipt.
pub(crate) fn bloom_of_one(receipt: &Receipt) -> Bloom {
    let mut bloom = Bloom::ZERO;
    for log in &receipt.logs {
        bloom.accrue_raw_log(log.address, &log.topics);
    }
    bloom
}

/// Whether a block with this bloom may hold a log that the filter matches.
///
/// Hashes every value of the filter on each call; [`FilterBits`] does so once per report.
pub fn bloom_admits(bloom: &Bloom, filter: &Filter) -> bool {
    FilterBits::new(filter).admit(bloom)
}

/// The three bits of one value: byte of the bloom, and bit in it.
type Bits = [(u8, u8); 3];

/// The bloom bits of a filter's values, hashed once. `None` is a side without constraint; the
/// others run in parallel to the filter's sorted sets.
#[derive(Debug)]
pub(crate) struct FilterBits {
    addresses: Option<Vec<Bits>>,
    topics: [Option<Vec<Bits>>; 4],
}

impl FilterBits {
    pub(crate) fn new(filter: &Filter) -> Self {
        Self {
            addresses: side_bits(&filter.addresses),
            topics: filter.topics.each_ref().map(side_bits),
        }
    }

    /// Whether every side has a value that the bloom admits. A zero bloom admits nothing: a log
    /// sets at least the bits of its address.
    pub(crate) fn admit(&self, bloom: &Bloom) -> bool {
        if *bloom == Bloom::ZERO {
            return false;
        }
        std::iter::once(&self.addresses).chain(&self.topics).all(|side| match side {
            None => true,
            Some(values) => values.iter().any(|bits| has(bloom, bits)),
        })
    }
}

/// Slots for values seen in logs, each kind. Tokens and their holders come again and again, and
/// hashing a value costs more than everything else that is done with a log.
const SEEN_SLOTS: usize = 4_096;

/// The bloom bits of values in logs, remembered as long as no other value takes their slot.
#[derive(Debug)]
pub(crate) struct LogBits {
    addresses: Vec<(Address, Bits)>,
    topics: Vec<(B256, Bits)>,
}

impl LogBits {
    pub(crate) fn new() -> Self {
        let (address, topic) = (Address::ZERO, B256::ZERO);
        Self {
            addresses: vec![(address, bits_of(address.as_slice())); SEEN_SLOTS],
            topics: vec![(topic, bits_of(topic.as_slice())); SEEN_SLOTS],
        }
    }

    /// Returns the bloom of the logs of one receipt.
    pub(crate) fn bloom_of(&mut self, receipt: &Receipt) -> Bloom {
        let mut bloom = Bloom::ZERO;
        for log in &receipt.logs {
            set(&mut bloom, remembered(&mut self.addresses, &log.address));
            for topic in &log.topics {
                set(&mut bloom, remembered(&mut self.topics, topic));
            }
        }
        bloom
    }

    /// Whether a block with this bloom can have this log: its address and every topic set bits,
    /// whatever the filter asks for.
    pub(crate) fn admit(&mut self, bloom: &Bloom, address: &Address, topics: &[B256]) -> bool {
        has(bloom, remembered(&mut self.addresses, address))
            && topics.iter().all(|topic| has(bloom, remembered(&mut self.topics, topic)))
    }
}

fn remembered<'a, T: AsRef<[u8]> + Copy + PartialEq>(
    slots: &'a mut [(T, Bits)],
    value: &T,
) -> &'a Bits {
    let slot = value.as_ref().iter().rev().take(2).fold(0, |slot, byte| slot << 8 | *byte as usize);
    let slot = &mut slots[slot % SEEN_SLOTS];
    if slot.0 != *value {
        *slot = (*value, bits_of(value.as_ref()));
    }
    &slot.1
}

fn side_bits<T: AsRef<[u8]>>(side: &AnyOf<T>) -> Option<Vec<Bits>> {
    match side {
        AnyOf::Any => None,
        AnyOf::Of(set) => Some(set.iter().map(|value| bits_of(value.as_ref())).collect()),
    }
}

fn bits_of(value: &[u8]) -> Bits {
    let hash = keccak256(value);
    [0, 2, 4].map(|at| {
        let bit = u16::from_be_bytes([hash[at], hash[at + 1]]) & 2047;
        (255 - (bit >> 3) as u8, 1 << (bit & 7))
    })
}

fn set(bloom: &mut Bloom, bits: &Bits) {
    let bytes = bloom.data_mut();
    bits.iter().for_each(|(byte, bit)| bytes[*byte as usize] |= bit);
}

fn has(bloom: &Bloom, bits: &Bits) -> bool {
    let bytes = bloom.data();
    bits.iter().all(|(byte, bit)| bytes[*byte as usize] & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::BloomInput;

    #[test]
    fn bits_are_those_of_the_yellow_paper() {
        for seed in 0..=255u8 {
            let value = Address::repeat_byte(seed);
            let mut bloom = Bloom::ZERO;
            bloom.accrue(BloomInput::Raw(value.as_slice()));
            let bits = bits_of(value.as_slice());
            assert!(has(&bloom, &bits));
            let mut built = Bloom::ZERO;
            set(&mut built, &bits);
            assert_eq!(built, bloom);
        }
    }

    #[test]
    fn remembered_bits_make_the_bloom_that_hashing_every_value_makes() {
        let mut bits = LogBits::new();
        // More values than there are slots, and each of them twice.
        for seed in (0..2 * SEEN_SLOTS as u64).chain(0..2 * SEEN_SLOTS as u64) {
            let word = B256::from(alloy_primitives::U256::from(seed));
            let receipt = logged(Address::from_word(word), vec![word, B256::repeat_byte(1)]);
            assert_eq!(bits.bloom_of(&receipt), bloom_of_one(&receipt), "{seed}");
        }
    }

    fn logged(address: Address, topics: Vec<B256>) -> Receipt {
        let log = event::Log {
            address,
            topics,
            data: alloy_primitives::Bytes::new(),
            log_index: 0,
            tx_index: 0,
            tx_hash: B256::ZERO,
            block_number: 0,
            block_hash: B256::ZERO,
            removed: false,
        };
        Receipt {
            tx_type: 0,
            tx_hash: B256::ZERO,
            tx_index: 0,
            block_hash: B256::ZERO,
            block_number: 0,
            outcome: event::Outcome::Status(true),
            cumulative_gas_used: 0,
            logs: vec![log],
            deposit_nonce: None,
            deposit_receipt_version: None,
        }
    }

    #[test]
    fn every_side_must_be_possible() {
        let (here, away) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let (topic, other) = (B256::repeat_byte(3), B256::repeat_byte(4));
        let mut bloom = Bloom::ZERO;
        bloom.accrue_raw_log(here, &[topic]);
        let filter = |address, topic0| Filter::new(AnyOf::one(address), AnyOf::one(topic0));
        assert!(bloom_admits(&bloom, &filter(here, topic)));
        assert!(!bloom_admits(&bloom, &filter(away, topic)));
        assert!(!bloom_admits(&bloom, &filter(here, other)));
        let both = Filter::new(AnyOf::Of(vec![here, away]), AnyOf::Of(vec![topic, other]));
        assert!(bloom_admits(&bloom, &both));
        let mut third = both.clone();
        third.topics[2] = AnyOf::one(other);
        assert!(!bloom_admits(&bloom, &third));
    }

    #[test]
    fn a_filter_without_constraint_is_excluded_by_a_zero_bloom_only() {
        assert!(!bloom_admits(&Bloom::ZERO, &Filter::any()));
        let mut bloom = Bloom::ZERO;
        bloom.accrue_raw_log(Address::ZERO, &[]);
        assert!(bloom_admits(&bloom, &Filter::any()));
    }
}
