//! Unsigned 256-bit integers between decimal text and the words of the ABI.

/// Reads a decimal integer; `_` may stand between digits.
pub(crate) fn word(text: &str) -> Option<[u8; 32]> {
    let mut word = [0_u8; 32];
    let mut digits = 0;
    for c in text.chars().filter(|c| *c != '_') {
        let mut carry = c.to_digit(10)?;
        for byte in word.iter_mut().rev() {
            carry += u32::from(*byte) * 10;
            *byte = carry as u8;
            carry >>= 8;
        }
        if carry > 0 {
            return None;
        }
        digits += 1;
    }
    (digits > 0).then_some(word)
}

/// Returns the integer in decimal, with so many digits behind a point; no zeros at its end.
pub(crate) fn decimal(word: &[u8; 32], decimals: usize) -> String {
    let mut rest = *word;
    let mut digits = Vec::new();
    while rest.iter().any(|byte| *byte != 0) || digits.len() <= decimals {
        let mut remainder = 0_u32;
        for byte in &mut rest {
            let value = remainder << 8 | u32::from(*byte);
            *byte = (value / 10) as u8;
            remainder = value % 10;
        }
        digits.push(char::from(b'0' + remainder as u8));
    }
    let fraction: String = digits[..decimals].iter().rev().collect();
    let whole: String = digits[decimals..].iter().rev().collect();
    match fraction.trim_end_matches('0') {
        "" => whole,
        fraction => format!("{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn integers_of_any_size_are_read_and_shown() {
        let most = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
        for text in ["0", "7", "255", "256", "1000000000000000000", most] {
            assert_eq!(decimal(&word(text).unwrap(), 0), text);
        }
        assert_eq!(word("1_000"), word("1000"));
        assert_eq!(decimal(&word("1500250").unwrap(), 3), "1500.25");
        assert_eq!(decimal(&word("5").unwrap(), 3), "0.005");
        assert_eq!(decimal(&word("2000").unwrap(), 3), "2");
        for text in ["", "-1", "1e5", "0x10", &format!("{most}0")] {
            assert_eq!(word(text), None, "{text}");
        }
    }
}
