//! Seeded chance: SplitMix64, and numbers that depend on what they are for and not on when they are
//! drawn, so that one more request somewhere does not change every fault after it.

use alloy_primitives::{Address, B256};

/// A small deterministic generator (SplitMix64). Not for secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng(u64);

impl Rng {
    /// Returns the generator of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the generator of a seed and of what it is for.
    pub fn keyed(seed: u64, key: &[u64]) -> Self {
        Self(hash(seed, key))
    }

    /// Returns the next 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Returns a number below `end`; 0 when `end` is 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next() % end }
    }

    /// Returns a number from `first` to `last`, both included.
    pub const fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last.saturating_sub(first).saturating_add(1))
    }

    /// Whether something of this likelihood happens.
    pub const fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < per_mille as u64
    }

    /// Returns one of the items, or `None` when there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }

    /// Returns 32 random bytes.
    pub fn b256(&mut self) -> B256 {
        let mut bytes = [0; 32];
        for part in bytes.chunks_exact_mut(8) {
            part.copy_from_slice(&self.next().to_be_bytes());
        }
        B256::from(bytes)
    }

    /// Returns a random address.
    pub fn address(&mut self) -> Address {
        Address::from_slice(&self.b256()[..20])
    }
}

/// Returns a number that depends on the seed and the whole key, and on nothing else.
pub fn hash(seed: u64, key: &[u64]) -> u64 {
    key.iter().fold(mix(seed ^ 0x5851_f42d_4c95_7f2d), |state, part| {
        mix(state.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ mix(part.wrapping_add(0x632b_e59b_d9b4_e019)))
    })
}

/// Returns a number that stands for these bytes in a key.
pub fn key_of(bytes: &[u8]) -> u64 {
    // FNV-1a, then mixed.
    let folded = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |state: u64, byte| {
        (state ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    mix(folded)
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        let mut rng = Rng::new(1_234_567);
        let drawn = [rng.next(), rng.next(), rng.next()];
        let published =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(drawn, published);
    }

    #[test]
    fn every_part_of_a_key_counts_and_so_does_its_place() {
        let keys: [&[u64]; 6] = [&[], &[0], &[1], &[0, 1], &[1, 0], &[0, 0]];
        let mut hashes: Vec<u64> = keys.iter().map(|key| hash(7, key)).collect();
        hashes.push(hash(8, &[0, 1]));
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 7);
    }

    #[test]
    fn chances_come_about_as_often_as_they_say() {
        let mut rng = Rng::new(3);
        let hits = (0..10_000).filter(|_| rng.chance(250)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
    }
}
