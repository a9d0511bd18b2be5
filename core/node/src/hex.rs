//! Hex as nodes write it, read from raw JSON string bytes without a detour over UTF-8 or `String`.
//!
//! Strict where a wrong guess would change a value, tolerant where real nodes differ:
//! - data needs its `0x` and an even, exact number of digits; upper and mixed case pass;
//! - quantities may have leading zeros (`0x0a`) and may be JSON numbers; a string without `0x` is
//!   refused, because `"10"` could be ten or sixteen; so is a bare `0x`.

use alloy_primitives::{FixedBytes, U256, hex};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, Visitor};
use std::fmt;

fn digits(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b'0', b'x' | b'X', digits @ ..] => Some(digits),
        _ => None,
    }
}

/// Decodes `0x` and exactly `N` bytes.
pub(crate) fn fixed<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digits = digits(text)?;
    let mut bytes = [0; N];
    (digits.len() == 2 * N && hex::decode_to_slice(digits, &mut bytes).is_ok()).then_some(bytes)
}

/// Decodes `0x` and any bytes to the end of `out`; on `None`, `out` is as it was.
pub(crate) fn append(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let digits = digits(text)?;
    let start = out.len();
    if digits.len() % 2 == 1 {
        return None;
    }
    out.resize(start + digits.len() / 2, 0);
    if hex::decode_to_slice(digits, &mut out[start..]).is_err() {
        out.truncate(start);
        return None;
    }
    Some(())
}

/// Reads a quantity of up to 64 bits.
pub(crate) fn quantity(text: &[u8]) -> Option<u64> {
    let digits = digits(text)?;
    if digits.is_empty() {
        return None;
    }
    let mut value = 0_u64;
    for digit in digits {
        let digit = char::from(*digit).to_digit(16)?;
        value = value.checked_mul(16)? + u64::from(digit);
    }
    Some(value)
}

/// `N` bytes as `0x` data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fixed<const N: usize>(pub(crate) FixedBytes<N>);

impl<'de, const N: usize> Deserialize<'de> for Fixed<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FixedVisitor<const N: usize>;
        impl<const N: usize> Visitor<'_> for FixedVisitor<N> {
            type Value = Fixed<N>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "0x and {N} bytes of hex")
            }
            fn visit_bytes<E: Error>(self, text: &[u8]) -> Result<Fixed<N>, E> {
                fixed(text)
                    .map(|bytes| Fixed(bytes.into()))
                    .ok_or_else(|| E::custom(format_args!("not 0x and {N} bytes of hex")))
            }
        }
        deserializer.deserialize_bytes(FixedVisitor)
    }
}

/// Any number of bytes as `0x` data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Data(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut bytes = Vec::new();
        AppendTo(&mut bytes).deserialize(deserializer)?;
        Ok(Self(bytes))
    }
}

/// Decodes `0x` data to the end of a column.
pub(crate) struct AppendTo<'a>(pub(crate) &'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for AppendTo<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for AppendTo<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x and bytes of hex")
    }

    fn visit_bytes<E: Error>(self, text: &[u8]) -> Result<(), E> {
        append(text, self.0).ok_or_else(|| E::custom("not 0x and an even number of hex digits"))
    }
}

/// A quantity of up to 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quantity(pub(crate) u64);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct QuantityVisitor;
        impl Visitor<'_> for QuantityVisitor {
            type Value = Quantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity of at most 64 bits")
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Quantity, E> {
                Ok(Quantity(value))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Quantity, E> {
                quantity(text.as_bytes())
                    .map(Quantity)
                    .ok_or_else(|| E::custom("not a 0x quantity of at most 64 bits"))
            }
        }
        deserializer.deserialize_any(QuantityVisitor)
    }
}

/// A quantity of up to 256 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WideQuantity(pub(crate) U256);

impl<'de> Deserialize<'de> for WideQuantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WideVisitor;
        impl Visitor<'_> for WideVisitor {
            type Value = WideQuantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity of at most 256 bits")
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<WideQuantity, E> {
                Ok(WideQuantity(U256::from(value)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<WideQuantity, E> {
                text.strip_prefix("0x")
                    .filter(|digits| !digits.is_empty() && !digits.starts_with('_'))
                    .and_then(|digits| U256::from_str_radix(digits, 16).ok())
                    .map(WideQuantity)
                    .ok_or_else(|| E::custom("not a 0x quantity of at most 256 bits"))
            }
        }
        deserializer.deserialize_any(WideVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_may_have_leading_zeros_but_need_their_prefix() {
        assert_eq!(quantity(b"0x0"), Some(0));
        assert_eq!(quantity(b"0x000000000000000000ff"), Some(255));
        assert_eq!(quantity(b"0xFf"), Some(255));
        assert_eq!(quantity(b"0xffffffffffffffff"), Some(u64::MAX));
        for wrong in [&b"10"[..], b"0x", b"", b"0x1ffffffffffffffff", b"0x-1", b"0x+1", b"0xg"] {
            assert_eq!(quantity(wrong), None, "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn data_needs_its_exact_length_and_a_failure_leaves_the_column_as_it_was() {
        assert_eq!(fixed::<2>(b"0xAb0c"), Some([0xab, 0x0c]));
        assert_eq!(fixed::<2>(b"0xab0"), None);
        assert_eq!(fixed::<2>(b"0xab0c0d"), None);
        assert_eq!(fixed::<2>(b"ab0c"), None);
        assert_eq!(fixed::<1>(b"0x0x01"), None);
        let mut column = vec![7];
        assert_eq!(append(b"0x0x01", &mut column), None);
        assert_eq!(append(b"0x0", &mut column), None);
        assert_eq!(append(b"0xzz", &mut column), None);
        assert_eq!(column, [7]);
        assert_eq!(append(b"0x", &mut column), Some(()));
        assert_eq!(append(b"0x08", &mut column), Some(()));
        assert_eq!(column, [7, 8]);
    }

    #[test]
    fn quantities_may_be_json_numbers() {
        let Quantity(value) = serde_json::from_str("12").expect("a number is a quantity");
        assert_eq!(value, 12);
        assert!(serde_json::from_str::<Quantity>("-12").is_err());
        assert!(serde_json::from_str::<Quantity>("\"12\"").is_err());
    }
}
