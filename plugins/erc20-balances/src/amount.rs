//! Signed integers wide enough for sums of 256-bit values.

use std::fmt;

/// 32-bit limbs, so that dividing for decimal output is one native instruction each.
const LIMBS: usize = 10;

/// A signed integer of 320 bits, two's complement, lowest limb first: exact for 2^63 transfers of
/// 2^256 - 1 each. Many tokens are fakes that move such amounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount([u32; LIMBS]);

impl Amount {
    /// Returns an unsigned big-endian word.
    pub(crate) fn from_word(word: &[u8; 32]) -> Self {
        let mut limbs = [0; LIMBS];
        for (limb, bytes) in limbs.iter_mut().zip(word.rchunks_exact(4)) {
            *limb = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        Self(limbs)
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
        let mut limbs = [0; LIMBS];
        for (i, limb) in limbs.iter_mut().enumerate() {
            let byte = |j: usize| bytes.get(4 * i + j).copied().unwrap_or(sign);
            *limb = u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)]);
        }
        Self(limbs)
    }

    /// Returns little-endian bytes without those that only repeat the sign.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.0.iter().flat_map(|limb| limb.to_le_bytes()).collect();
        while let [.., before, last] = bytes[..] {
            let sign = if before & 0x80 != 0 { 0xff } else { 0 };
            if last != sign {
                break;
            }
            bytes.pop();
        }
        bytes
    }

    pub(crate) fn plus(mut self, other: Self) -> Self {
        let mut carry = 0_u64;
        for (limb, other) in self.0.iter_mut().zip(other.0) {
            let sum = u64::from(*limb) + u64::from(other) + carry;
            *limb = sum as u32;
            carry = sum >> 32;
        }
        self
    }

    pub(crate) fn negated(mut self) -> Self {
        for limb in &mut self.0 {
            *limb = !*limb;
        }
        let mut one = Self::default();
        one.0[0] = 1;
        self.plus(one)
    }

    const fn is_negative(&self) -> bool {
        self.0[LIMBS - 1] >> 31 == 1
    }

    pub(crate) fn is_positive(&self) -> bool {
        !self.is_negative() && *self != Self::default()
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BILLION: u64 = 1_000_000_000;
        let mut rest = if self.is_negative() { self.negated().0 } else { self.0 };
        let mut len = LIMBS;
        let mut groups = Vec::with_capacity(11);
        loop {
            while len > 0 && rest[len - 1] == 0 {
                len -= 1;
            }
            if len == 0 {
                break;
            }
            let mut remainder = 0_u64;
            for limb in rest[..len].iter_mut().rev() {
                let value = remainder << 32 | u64::from(*limb);
                *limb = (value / BILLION) as u32;
                remainder = value % BILLION;
            }
            groups.push(remainder);
        }
        if self.is_negative() {
            f.write_str("-")?;
        }
        write!(f, "{}", groups.pop().unwrap_or(0))?;
        groups.iter().rev().try_for_each(|group| write!(f, "{group:09}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(value: i128) -> Amount {
        Amount::from_bytes(&value.to_le_bytes())
    }

    #[test]
    fn arithmetic_and_text_agree_with_128_bit_integers() {
        let values = [
            0,
            1,
            -1,
            127,
            128,
            -128,
            -129,
            999_999_999,
            1_000_000_000,
            i128::MAX / 2,
            i128::MIN / 2,
        ];
        for a in values {
            for b in values {
                assert_eq!(amount(a).plus(amount(b)), amount(a + b), "{a} + {b}");
            }
            assert_eq!(amount(a).to_string(), a.to_string());
            assert_eq!(amount(a).negated(), amount(-a));
            assert_eq!(amount(a).is_positive(), a > 0);
            assert_eq!(Amount::from_bytes(&amount(a).to_bytes()), amount(a), "{a}");
        }
        assert_eq!(amount(-1).to_bytes(), [0xff]);
        assert_eq!(amount(128).to_bytes(), [0x80, 0]);
    }
}
