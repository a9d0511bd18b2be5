//! What must never be printed: keys in a URL's path, query and user part, and header values.
//!
//! A node may repeat them in its error texts, so every text from outside passes through here.

use crate::{disguise, shown_host::keys_in_host};
use alloy_primitives::hex;
use reqwest::{Url, header::HeaderMap};
use std::fmt;

/// Shorter strings (`v1`, `rpc`, `mainnet`'s like) are words, not keys.
const MIN_SECRET_BYTES: usize = 6;

/// Node texts are cut to this before anything else looks at them.
const MAX_INPUT_BYTES: usize = 16 * 1024;

/// A fault carries at most this much of the node's words.
const MAX_TEXT_BYTES: usize = 1024;

/// Bytes that one byte of a key is encoded in, at most.
const ENCODED_BYTES_MAX: usize = 13;

const REDACTED: &str = "[redacted]";

/// The secret strings of one endpoint, longest first.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// Collects what is secret in an endpoint's URL and headers.
    pub(crate) fn of(url: &Url, headers: &HeaderMap) -> Self {
        let mut found = Vec::new();
        found.push(url.path().trim_matches('/').to_owned());
        found.extend(url.path_segments().into_iter().flatten().map(str::to_owned));
        found.extend(url.query().map(str::to_owned));
        for (name, value) in url.query_pairs() {
            found.push(value.into_owned());
            found.push(name.into_owned());
        }
        for pair in url.query().unwrap_or_default().split('&') {
            found.extend(pair.split_once('=').map(|(_, value)| value.to_owned()));
        }
        found.extend(url.fragment().map(str::to_owned));
        let host = url.host_str().unwrap_or_default();
        found.extend(keys_in_host(host).map(str::to_owned));
        let (user, password) = (url.username(), url.password().unwrap_or_default());
        found.extend([user.to_owned(), password.to_owned(), format!("{user}:{password}")]);
        for value in headers.values() {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            found.extend(value.split_whitespace().map(str::to_owned));
            found.push(value);
        }
        let decoded: Vec<String> = found.iter().filter_map(|text| percent_decoded(text)).collect();
        found.extend(decoded);
        found.push(basic_credentials(user, password));
        let wrapped: Vec<String> = found.iter().map(|text| base64(text.as_bytes())).collect();
        found.extend(wrapped);
        // Keys in base64 are often repeated without their padding, which then says nothing.
        found.iter_mut().for_each(|text| text.truncate(text.trim_end_matches('=').len()));
        found.retain(|text| text.len() >= MIN_SECRET_BYTES);
        found.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        found.dedup();
        Self(found)
    }

    /// Returns a text that is safe to print: no secret, no control character, at most a kilobyte.
    pub(crate) fn clean(&self, text: &str) -> String {
        let input = &text[..text.floor_char_boundary(MAX_INPUT_BYTES)];
        let mut clean = input.to_owned();
        for secret in &self.0 {
            clean = replaced(&clean, secret);
        }
        if input.len() < text.len() {
            // The cut may have gone through a secret, however it is encoded.
            let longest = self.0.first().map_or(0, |secret| secret.len() * ENCODED_BYTES_MAX);
            clean.truncate(clean.floor_char_boundary(clean.len().saturating_sub(longest)));
        }
        clean.truncate(clean.floor_char_boundary(MAX_TEXT_BYTES));
        clean
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect::<String>()
            .trim()
            .to_owned()
    }
}

/// Returns the header value that stands for a URL's user part, or `None` where it has none.
pub(crate) fn basic_authorization(url: &Url) -> Option<String> {
    let (user, password) = (url.username(), url.password().unwrap_or_default());
    let is_there = !user.is_empty() || url.password().is_some();
    is_there.then(|| format!("Basic {}", basic_credentials(user, password)))
}

fn basic_credentials(user: &str, password: &str) -> String {
    let plain = percent_decoded(user).unwrap_or_else(|| user.to_owned())
        + ":"
        + &percent_decoded(password).unwrap_or_else(|| password.to_owned());
    base64(plain.as_bytes())
}

/// Replaces a secret however it is written: see [`crate::disguise`].
fn replaced(text: &str, secret: &str) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(range) = disguise::find(rest, secret) {
        replaced.push_str(&rest[..range.start]);
        replaced.push_str(REDACTED);
        rest = &rest[range.end..];
    }
    replaced.push_str(rest);
    replaced
}

/// Returns the text without percent escapes, or `None` when it has none.
fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return None;
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let mut escaped = [0];
        let is_escape = bytes[i] == b'%'
            && bytes
                .get(i + 1..i + 3)
                .is_some_and(|d| hex::decode_to_slice(d, &mut escaped).is_ok());
        decoded.push(if is_escape { escaped[0] } else { bytes[i] });
        i += if is_escape { 3 } else { 1 };
    }
    String::from_utf8(decoded).ok()
}

/// What basic authentication makes of `user:password`.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for i in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * i) & 63) as usize]));
        }
        text.extend(std::iter::repeat_n('=', 3 - chunk.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let url = "https://someuser:p%40ssword@node.example/v3/PathKey123?apikey=QueryKey456";
        let mut headers = HeaderMap::new();
        headers.insert("authorization", "Bearer HeaderKey789".parse().expect("a header value"));
        Secrets::of(&Url::parse(url).expect("a URL"), &headers)
    }

    #[test]
    fn keys_in_path_query_user_and_headers_are_redacted_in_any_case() {
        let clean = secrets().clean(
            "no PathKey123, pathkey123, QUERYKEY456, someuser, p@ssword, p%40ssword, HeaderKey789, \
             c29tZXVzZXI6cEBzc3dvcmQ= at node.example",
        );
        for key in ["athkey123", "QUERYKEY", "someuser", "ssword", "HeaderKey789", "c29tZXVz"] {
            assert!(!clean.to_lowercase().contains(&key.to_lowercase()), "{key} in {clean}");
        }
        assert!(clean.contains("node.example"));
    }

    #[test]
    fn a_key_that_json_escapes_is_redacted_in_both_forms() {
        let mut headers = HeaderMap::new();
        headers.insert("x-key", r#"Can"Head\er55"#.parse().expect("a header value"));
        let url = Url::parse("https://node.example/").expect("a URL");
        let secrets = Secrets::of(&url, &headers);
        let clean = secrets.clean(r#"plain Can"Head\er55, in JSON {"key":"Can\"Head\\er55"}"#);
        assert_eq!(clean, r#"plain [redacted], in JSON {"key":"[redacted]"}"#);
    }

    #[test]
    fn a_key_is_redacted_however_a_node_encodes_it() {
        let mut headers = HeaderMap::new();
        headers.insert("x-key", "Zk9+Qw/3xR+aB7cD9eF==".parse().expect("a header value"));
        let url = Url::parse("https://node.example/").expect("a URL");
        let secrets = Secrets::of(&url, &headers);
        for told in [
            "Zk9+Qw/3xR+aB7cD9eF==",
            "Zk9+Qw/3xR+aB7cD9eF",
            "Zk9%2BQw%2F3xR%2BaB7cD9eF%3D%3D",
            "Zk9%2bQw%2f3xR%2baB7cD9eF%3d%3d",
            "Zk9%252BQw%252F3xR%252BaB7cD9eF",
            "Zk9&#43;Qw&#x2F;3xR&#43;aB7cD9eF&#61;&#61;",
            r"Zk9\u002BQw\/3xR\u002baB7cD9eF\u003D\u003D",
            r"Zk9\\u002BQw\\/3xR\\u002BaB7cD9eF",
            "Zk9+Qw/3xR\n  +aB7cD9eF",
            "Wms5K1F3LzN4UithQjdjRDllRj09",
        ] {
            let clean = secrets.clean(&format!("key {told} is not allowed"));
            assert!(clean.starts_with("key [redacted]"), "{told}: {clean}");
            assert!(clean.ends_with("is not allowed"), "{told}: {clean}");
        }
        assert_eq!(secrets.clean("key Zk9+Qw/3xR+aB... is"), "key [redacted]... is", "masked");
        assert_eq!(secrets.clean("Zk9+Qx/3xR+aB7c"), "Zk9+Qx/3xR+aB7c", "another key");
    }

    #[test]
    fn texts_are_cut_to_a_kilobyte_and_lose_control_characters() {
        let clean = secrets().clean(&"\u{1b}[2Jline\n".repeat(500));
        assert!(clean.len() <= MAX_TEXT_BYTES);
        assert!(!clean.chars().any(char::is_control));
    }

    #[test]
    fn a_key_that_the_cut_goes_through_does_not_show_its_beginning() {
        // Keys all along: what is left after redaction is short, so the cut end could show.
        let clean = secrets().clean(&"PathKey123".repeat(5_000));
        assert!(!clean.contains("PathK"), "{clean}");
    }

    #[test]
    fn debug_shows_only_how_many_there_are() {
        assert!(!format!("{:?}", secrets()).contains("Key"));
    }
}
