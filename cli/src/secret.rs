//! Keys and tokens: kept from every message, log and file.
//!
//! Two lines of defence: a type that does not print, and a last look at every text that leaves.

use std::fmt;

/// What is printed in the place of a secret.
pub(crate) const HIDDEN: &str = "***";

/// Schemes whose URLs may carry a key.
const SCHEMES: [&str; 4] = ["https://", "http://", "wss://", "ws://"];

/// A text that is never printed. Only what talks to the node asks for it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Returns `text` with every URL cut to scheme and host.
pub(crate) fn redacted(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some((start, scheme)) = next_url(&lower, at) {
        let host_start = start + scheme.len();
        let url_end =
            host_start + text[host_start..].find(ends_url).unwrap_or(text.len() - host_start);
        out.push_str(&text[at..host_start]);
        out.push_str(&shown_rest(&text[host_start..url_end]));
        at = url_end;
    }
    out.push_str(&text[at..]);
    out
}

fn next_url(lower: &str, at: usize) -> Option<(usize, &'static str)> {
    let found = SCHEMES.iter().filter_map(|scheme| {
        let start = lower[at..].find(scheme)? + at;
        Some((start, *scheme))
    });
    found.min_by_key(|(start, _)| *start)
}

fn ends_url(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '`' | '"' | '\'' | '<' | '>')
}

/// Returns what may be shown of the part after `scheme://`.
pub(crate) fn shown_rest(rest: &str) -> String {
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // A userinfo may itself hold a `/` that was not escaped: then no host can be told.
    if path.contains('@') && !authority.contains('@') {
        return HIDDEN.to_owned();
    }
    let hidden = if path.is_empty() || path == "/" { "" } else { "/***" };
    format!("{}{hidden}", node::shown_host(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_path_query_and_userinfo_is_not_shown() {
        for url in [
            "https://node.example/v3/KEY",
            "https://KEY@node.example/",
            "https://a:KEY@node.example",
            "HTTPS://node.example?key=KEY",
            "wss://node.example/ws#KEY",
            "http://user:p/KEY@node.example/",
            "https://KEY0a1b2c3d4e5f6a7b8.eth.node.example/",
        ] {
            let text = redacted(&format!("no answer from `{url}`, twice from {url}"));
            assert!(!text.contains("KEY"), "{text}");
        }
    }

    #[test]
    fn text_without_a_url_stays() {
        assert_eq!(redacted("a: b/c?d=e"), "a: b/c?d=e");
        assert_eq!(redacted("see http://127.0.0.1:8545"), "see http://127.0.0.1:8545");
        assert_eq!(redacted("http://[::1]:8545/ x"), "http://[::1]:8545 x");
    }

    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Secret::new("KEY")), "***");
    }
}
