//! How long to wait before a connection is tried again: a pure function of how often it failed.

/// Returns the wait in ms after `failures` in a row: doubled each time from `first_ms` to at most
/// `longest_ms`, and of that between half and all, so that nodes lost together do not come back
/// together. The same seed and draw give the same wait.
pub(super) fn wait_ms(first_ms: u64, longest_ms: u64, failures: u32, seed: u64, draw: u64) -> u64 {
    let doubled = first_ms.saturating_mul(1_u64.checked_shl(failures.min(32)).unwrap_or(1));
    let full = doubled.min(longest_ms.max(first_ms));
    let half = full / 2;
    half + mixed(seed ^ mixed(draw)) % (full - half + 1)
}

/// Spreads bits (the finalizer of splitmix64).
fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_longest_and_vary_by_half_at_most() {
        for seed in 0..100 {
            for failures in 0..100 {
                let full =
                    250_u64.checked_shl(failures.min(20)).map_or(30_000, |ms| ms.min(30_000));
                let wait = wait_ms(250, 30_000, failures, seed, u64::from(failures));
                assert!((full / 2..=full).contains(&wait), "{wait} after {failures}");
            }
        }
    }

    #[test]
    fn a_seed_repeats_its_waits_and_another_has_others() {
        let waits = |seed| -> Vec<u64> {
            (0..20).map(|draw| wait_ms(250, 30_000, 7, seed, draw)).collect()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }
}
