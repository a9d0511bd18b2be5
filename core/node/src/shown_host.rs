//! A host as it may be shown: some providers take a key as the first word of it. It does not know which
//! hosts there are.

use std::borrow::Cow;

/// Letters and digits from which on a word may be a key; shorter ones are names.
const KEY_CHARS_MIN: usize = 16;
/// Digits, and letters, that such a word has at least: names of machines have fewer of one of them.
const OF_EACH_MIN: usize = 3;
/// Hexadecimal digits of a UUID.
const UUID_DIGITS: usize = 32;

/// Returns host and port as they may be shown: where a word before the registered domain looks like a key,
/// that domain alone. A mistake hides a name, and a node can be given another one.
pub fn shown_host(host: &str) -> Cow<'_, str> {
    let (bare, port) = match host.rsplit_once(':') {
        Some((bare, port)) if !port.contains(']') => (bare, Some(port)),
        _ => (host, None),
    };
    let labels: Vec<&str> = bare.split('.').collect();
    let own = labels.len().saturating_sub(registered(&labels));
    if !labels[..own].iter().any(|label| looks_like_key(label)) {
        return Cow::Borrowed(host);
    }
    let shown = labels[own..].join(".");
    Cow::Owned(port.map_or_else(|| shown.clone(), |port| format!("{shown}:{port}")))
}

/// Returns the words in front of the registered domain that look like keys.
pub(crate) fn keys_in_host(host: &str) -> impl Iterator<Item = &str> {
    let labels: Vec<&str> = host.split('.').collect();
    let own = labels.len().saturating_sub(registered(&labels));
    labels.into_iter().take(own).filter(|label| looks_like_key(label))
}

/// Number of words of the registered domain: `example.com`, `example.co.uk`.
fn registered(labels: &[&str]) -> usize {
    match labels {
        [.., _, second, top] if top.len() == 2 && second.len() <= 3 => 3,
        _ => 2,
    }
}

fn looks_like_key(label: &str) -> bool {
    let is_mixed = |word: &str| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let letters = word.bytes().filter(u8::is_ascii_alphabetic).count();
        digits + letters >= KEY_CHARS_MIN && digits >= OF_EACH_MIN && letters >= OF_EACH_MIN
    };
    let hexadecimal = label.bytes().filter(u8::is_ascii_hexdigit).count();
    let is_uuid =
        hexadecimal == UUID_DIGITS && label.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    is_uuid || label.split(['-', '_']).any(is_mixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_front_of_the_domain_is_not_shown_and_names_are() {
        for (host, shown) in [
            ("0f3ac4d28b9e47c1a5d6e7f809182736.eth.rpc.rivet.cloud", "rivet.cloud"),
            ("550e8400-e29b-41d4-a716-446655440000.node.example:8545", "node.example:8545"),
            ("eth.nd-6eaj5va43jggnpxouzp7y47e4y.provider.co.uk", "provider.co.uk"),
        ] {
            assert_eq!(shown_host(host), shown);
            assert_eq!(keys_in_host(host.split(':').next().unwrap_or_default()).count(), 1);
        }
        for name in [
            "node.example",
            "mainnet.infura.io",
            "eth-mainnet.g.alchemy.com",
            "nd-123-456-789.p2pify.com",
            "internal-node-1234567890.us-east-1.elb.amazonaws.com",
            "ip-10-0-12-34.ec2.internal",
            "geth-7d9f8b6c5d-x2x4z.default.svc.cluster.local",
            "127.0.0.1:8545",
            "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:8545",
            "localhost",
        ] {
            assert_eq!(shown_host(name), name);
        }
    }
}
