//! Numbers that a seed repeats on every machine.

/// What each number adds to the state.
pub(crate) const RANDOM_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns the next number, by splitmix64: the moments are the same each time, what they meet is not.
pub fn next_random(random: &mut u64) -> u64 {
    *random = random.wrapping_add(RANDOM_STEP);
    let mut x = *random;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
