//! 256-bit words as decimal text, written straight into a column.

/// Largest power of ten in 64 bits, and its digits.
const CHUNK: u64 = 10_000_000_000_000_000_000;
const CHUNK_DIGITS: usize = 19;

/// Appends an unsigned word.
pub(crate) fn write_uint(word: &[u8; 32], out: &mut Vec<u8>) {
    write_limbs(limbs(word), out);
}

/// Appends a signed word (two's complement). The smallest int256 is exact.
pub(crate) fn write_int(word: &[u8; 32], out: &mut Vec<u8>) {
    let mut limbs = limbs(word);
    if word[0] & 0x80 != 0 {
        out.push(b'-');
        let mut carry = true;
        for limb in &mut limbs {
            (*limb, carry) = (!*limb).overflowing_add(u64::from(carry));
        }
    }
    write_limbs(limbs, out);
}

/// Least significant limb first.
fn limbs(word: &[u8; 32]) -> [u64; 4] {
    let mut limbs = [0; 4];
    for (limb, bytes) in limbs.iter_mut().rev().zip(word.as_chunks::<8>().0) {
        *limb = u64::from_be_bytes(*bytes);
    }
    limbs
}

fn write_limbs(mut limbs: [u64; 4], out: &mut Vec<u8>) {
    // 2^256 has 78 digits: four whole chunks and a rest.
    let mut digits = [b'0'; CHUNK_DIGITS * 5];
    let mut end = digits.len();
    let mut used = 4;
    loop {
        while used > 0 && limbs[used - 1] == 0 {
            used -= 1;
        }
        if used <= 1 {
            let start = write_chunk(limbs[0], &mut digits[..end]);
            out.extend_from_slice(&digits[start..]);
            return;
        }
        let mut rest = 0u64;
        for limb in limbs[..used].iter_mut().rev() {
            let dividend = u128::from(rest) << 64 | u128::from(*limb);
            *limb = (dividend / u128::from(CHUNK)) as u64;
            rest = (dividend % u128::from(CHUNK)) as u64;
        }
        write_chunk(rest, &mut digits[..end]);
        end -= CHUNK_DIGITS;
    }
}

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut value = 0;
    while value < 100 {
        pairs[value] = [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        value += 1;
    }
    pairs
};

/// Writes the digits of `value` so that they end where the slice ends; returns where they start.
fn write_chunk(mut value: u64, digits: &mut [u8]) -> usize {
    let mut at = digits.len();
    while value >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[(value % 100) as usize]);
        value /= 100;
    }
    if value > 0 || at == digits.len() {
        at -= 1;
        digits[at] = b'0' + value as u8;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{I256, U256};
    use proptest::prelude::*;

    fn uint(value: U256) -> String {
        let mut out = Vec::new();
        write_uint(&value.to_be_bytes(), &mut out);
        String::from_utf8(out).expect("digits")
    }

    fn int(value: I256) -> String {
        let mut out = Vec::new();
        write_int(&value.to_be_bytes(), &mut out);
        String::from_utf8(out).expect("digits")
    }

    #[test]
    fn every_power_of_two_and_ten_and_its_neighbours_are_exact() {
        let twos = (0..256).map(|bit| U256::ONE << bit);
        let tens = (0..78).map(|power| U256::from(10).pow(U256::from(power)));
        for value in twos.chain(tens).chain([U256::ZERO, U256::MAX]) {
            for near in [value.wrapping_sub(U256::ONE), value, value.wrapping_add(U256::ONE)] {
                assert_eq!(uint(near), near.to_string());
                assert_eq!(int(I256::from_raw(near)), I256::from_raw(near).to_string());
            }
        }
    }

    proptest! {
        #[test]
        fn any_word_is_exact(word: [u8; 32], shift in 0usize..256) {
            let value = U256::from_be_bytes(word) >> shift;
            prop_assert_eq!(uint(value), value.to_string());
            let signed = I256::from_raw(value);
            prop_assert_eq!(int(signed), signed.to_string());
        }
    }
}
