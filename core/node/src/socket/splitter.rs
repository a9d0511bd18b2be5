//! Cuts a stream of JSON values that follow each other, with or without white space, into values.
//!
//! Looks at brackets and strings only: whether a value is good JSON is seen when it is parsed.

use super::pipe::Break;
use event::FaultClass;

/// Bytes that came in and are no whole value yet; at most the byte cap and one read more.
pub(super) struct Splitter {
    bytes: Vec<u8>,
    /// Bytes looked at.
    scanned: usize,
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
    max_bytes: u64,
}

impl Splitter {
    pub(super) const fn new(max_bytes: u64) -> Self {
        Self {
            bytes: Vec::new(),
            scanned: 0,
            depth: 0,
            is_in_string: false,
            is_escaped: false,
            max_bytes,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether a value has begun and not ended.
    pub(super) fn is_in_the_middle(&self) -> bool {
        self.depth > 0
    }

    /// Returns the next whole value, `None` when more bytes are needed.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Break> {
        while let Some(byte) = self.bytes.get(self.scanned).copied() {
            self.scanned += 1;
            if self.depth == 0 && !matches!(byte, b'{' | b'[') {
                if byte.is_ascii_whitespace() {
                    continue;
                }
                return Err(Break::new(FaultClass::Malformed, "what came is not JSON-RPC"));
            }
            if self.ends_value(byte) {
                let rest = self.bytes.split_off(self.scanned);
                let value = std::mem::replace(&mut self.bytes, rest);
                self.scanned = 0;
                return match value.len() as u64 > self.max_bytes {
                    true => Err(Break::too_large(self.max_bytes)),
                    false => Ok(Some(value)),
                };
            }
        }
        if self.depth == 0 {
            // White space between values.
            self.bytes.clear();
            self.scanned = 0;
        }
        match self.bytes.len() as u64 > self.max_bytes {
            true => Err(Break::too_large(self.max_bytes)),
            false => Ok(None),
        }
    }

    fn ends_value(&mut self, byte: u8) -> bool {
        if self.is_in_string {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.is_in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.is_in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        self.depth == 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const VALUES: [&str; 4] = [r#"{"a":"}]\"{"}"#, "[{},[1]]", r#"{"b":"\\"}"#, "{}"];

    fn split(stream: &str, step: usize) -> Vec<String> {
        let mut splitter = Splitter::new(100);
        let mut values = Vec::new();
        for piece in stream.as_bytes().chunks(step) {
            splitter.push(piece);
            while let Some(value) = splitter.next().unwrap() {
                values.push(String::from_utf8(value).unwrap().trim().to_owned());
            }
        }
        assert!(!splitter.is_in_the_middle());
        values
    }

    #[test]
    fn values_are_cut_the_same_however_they_are_separated_and_torn() {
        for separator in ["", "\n", " \r\n\t "] {
            let stream = VALUES.join(separator) + separator;
            for step in 1..=stream.len() {
                assert_eq!(split(&stream, step), VALUES, "{separator:?} by {step}");
            }
        }
    }

    #[test]
    fn what_begins_no_value_is_malformed() {
        for stream in ["}", "hello", "{} <html>", "{}]", "\u{0}{}"] {
            let mut splitter = Splitter::new(100);
            splitter.push(stream.as_bytes());
            let outcome = loop {
                match splitter.next() {
                    Ok(Some(_)) => {}
                    other => break other,
                }
            };
            assert_eq!(outcome.unwrap_err().class, FaultClass::Malformed, "{stream}");
        }
    }

    #[test]
    fn f10_a_value_over_the_cap_is_refused_before_it_has_ended() {
        let mut splitter = Splitter::new(10);
        splitter.push(br#"{"a":"0123"#);
        assert_eq!(splitter.next(), Ok(None));
        splitter.push(b"4");
        assert_eq!(splitter.next().unwrap_err().class, FaultClass::Size);
        let mut whole = Splitter::new(10);
        whole.push(br#"{"a":"01234"}"#);
        assert_eq!(whole.next().unwrap_err().class, FaultClass::Size);
        let mut fits = Splitter::new(10);
        fits.push(br#"          {"a":"01"}"#);
        assert!(fits.next().is_err(), "white space before a value counts");
    }
}
