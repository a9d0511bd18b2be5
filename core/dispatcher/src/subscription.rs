//! From the words of a subscription to normalised filters.

use alloy_primitives::{Address, B256, keccak256};
use event::{AnyOf, ChainId, Descriptor, Filter, Subscription};

/// What is wrong with a subscription.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum SubscriptionError {
    #[error("subscription of plugin {plugin}: `{value}` is not an address of 20 bytes")]
    Address { plugin: String, value: String },
    #[error(
        "subscription of plugin {plugin}: `{value}` is neither an event like \
         `Transfer(address,address,uint256)` nor a topic of 32 bytes"
    )]
    Event { plugin: String, value: String },
    #[error("subscription of plugin {plugin}: `{value}` is not a topic of 32 bytes")]
    Topic { plugin: String, value: String },
    #[error("subscription of plugin {plugin}: {found} topic lists, but a log has topics 1 to 3")]
    TooManyTopics { plugin: String, found: usize },
}

/// Returns the filters of a plugin on one chain: sorted, without repeats, empty when it wants
/// nothing there.
pub fn subscription_filters(
    descriptor: &Descriptor,
    chain: ChainId,
) -> Result<Vec<Filter>, SubscriptionError> {
    let mut filters = Vec::new();
    for subscription in &descriptor.subscriptions {
        // Parsed also when for another chain: a mistake shows wherever the plugin is loaded.
        let filter = filter(&descriptor.name, subscription)?;
        if subscription.chains.is_empty() || subscription.chains.contains(&chain.0) {
            filters.push(filter);
        }
    }
    filters.sort();
    filters.dedup();
    Ok(filters)
}

fn filter(plugin: &str, subscription: &Subscription) -> Result<Filter, SubscriptionError> {
    let addresses = side(&subscription.addresses, |value| {
        value.parse::<Address>().ok().filter(|_| value.len() == 42).ok_or_else(|| {
            SubscriptionError::Address { plugin: plugin.to_owned(), value: value.to_owned() }
        })
    })?;
    let topic0 = side(&subscription.events, |value| {
        word(value).or_else(|| canonical_signature(value).map(keccak256)).ok_or_else(|| {
            SubscriptionError::Event { plugin: plugin.to_owned(), value: value.to_owned() }
        })
    })?;
    let mut filter = Filter::new(addresses, topic0);
    if subscription.topics.len() > 3 {
        let found = subscription.topics.len();
        return Err(SubscriptionError::TooManyTopics { plugin: plugin.to_owned(), found });
    }
    for (position, values) in subscription.topics.iter().enumerate() {
        filter.topics[position + 1] = side(values, |value| {
            word(value).ok_or_else(|| SubscriptionError::Topic {
                plugin: plugin.to_owned(),
                value: value.to_owned(),
            })
        })?;
    }
    Ok(filter)
}

fn side<T: Ord>(
    values: &[String],
    parse: impl Fn(&str) -> Result<T, SubscriptionError>,
) -> Result<AnyOf<T>, SubscriptionError> {
    let parsed = values.iter().map(|value| parse(value)).collect::<Result<Vec<_>, _>>()?;
    Ok(AnyOf::of(parsed).unwrap_or(AnyOf::Any))
}

fn word(value: &str) -> Option<B256> {
    value.starts_with("0x").then(|| value.parse().ok()).flatten()
}

/// Returns the canonical form of an event signature, or `None` when it is none. Accepts spaces,
/// a leading `event`, `indexed`, argument names and the short forms `uint` and `int`.
pub fn canonical_signature(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix("event ").unwrap_or(text).trim();
    let (name, rest) = text.split_once('(')?;
    let name = name.trim();
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$');
    let goes_on_well = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
    if !starts_well || !goes_on_well {
        return None;
    }
    let body = rest.trim_end().trim_end_matches(';').trim_end().strip_suffix(')')?;
    Some(format!("{name}({})", arguments(body, 0)?))
}

/// Tuples nest at most so deep: an outsider's text must not overflow the stack.
const MAX_DEPTH: usize = 16;

fn arguments(body: &str, depth: usize) -> Option<String> {
    if depth > MAX_DEPTH {
        return None;
    }
    if body.trim().is_empty() {
        return Some(String::new());
    }
    let mut types = Vec::new();
    let (mut level, mut start) = (0_usize, 0);
    for (at, c) in body.char_indices() {
        match c {
            '(' => level += 1,
            ')' => level = level.checked_sub(1)?,
            ',' if level == 0 => {
                types.push(argument(&body[start..at], depth)?);
                start = at + 1;
            }
            _ => {}
        }
    }
    types.push(argument(&body[start..], depth)?);
    (level == 0).then(|| types.join(","))
}

fn argument(text: &str, depth: usize) -> Option<String> {
    let text = text.trim();
    let tuple = text.strip_prefix("tuple").map_or(text, str::trim_start);
    if tuple.starts_with('(') {
        let close = tuple.rfind(')')?;
        let inner = arguments(&tuple[1..close], depth + 1)?;
        let suffix = tuple[close + 1..].split_whitespace().next().unwrap_or_default();
        let suffix = if suffix.starts_with('[') { array_suffix(suffix)? } else { "" };
        return Some(format!("({inner}){suffix}"));
    }
    let ty = text.split_whitespace().next()?;
    let (base, suffix) = ty.split_at(ty.find('[').unwrap_or(ty.len()));
    let suffix = array_suffix(suffix)?;
    let base = match base {
        "uint" => "uint256",
        "int" => "int256",
        "address payable" => "address",
        other => other,
    };
    is_elementary(base).then(|| format!("{base}{suffix}"))
}

fn array_suffix(suffix: &str) -> Option<&str> {
    let mut rest = suffix;
    while !rest.is_empty() {
        let (length, after) = rest.strip_prefix('[')?.split_once(']')?;
        if !length.chars().all(|c| c.is_ascii_digit()) {
            return None;
        }
        rest = after;
    }
    Some(suffix)
}

fn is_elementary(base: &str) -> bool {
    let bits = |digits: &str| {
        digits.parse::<u16>().is_ok_and(|n| n % 8 == 0 && (8..=256).contains(&n))
            && !digits.starts_with(['0', '+'])
    };
    match base {
        "address" | "bool" | "string" | "bytes" | "function" => true,
        _ => {
            if let Some(digits) = base.strip_prefix("uint").or_else(|| base.strip_prefix("int")) {
                bits(digits)
            } else if let Some(digits) = base.strip_prefix("bytes") {
                !digits.starts_with(['0', '+'])
                    && digits.parse::<u8>().is_ok_and(|n| (1..=32).contains(&n))
            } else {
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use event::Visibility;

    fn descriptor(subscription: Subscription) -> Descriptor {
        Descriptor {
            name: "p".to_owned(),
            version: "1".to_owned(),
            logic_version: 1,
            visibility: Visibility::Latest,
            subscriptions: vec![subscription],
            tables: vec![],
        }
    }

    #[test]
    fn a_signature_becomes_its_well_known_topic() {
        let wanted = descriptor(Subscription {
            events: vec!["Transfer(address,address,uint256)".to_owned()],
            ..Subscription::default()
        });
        let filters = subscription_filters(&wanted, ChainId(1)).unwrap();
        let topic: B256 =
            "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef".parse().unwrap();
        assert_eq!(filters, vec![Filter::new(AnyOf::Any, AnyOf::one(topic))]);
    }

    #[test]
    fn human_readable_signatures_are_made_canonical() {
        for (text, canonical) in [
            (
                "event Transfer(address indexed from, address indexed to, uint value);",
                "Transfer(address,address,uint256)",
            ),
            ("Ping()", "Ping()"),
            ("Set((uint8,bytes32[2])[] xs, string)", "Set((uint8,bytes32[2])[],string)"),
            ("Set(tuple(uint8 a, int b) x)", "Set((uint8,int256))"),
        ] {
            assert_eq!(canonical_signature(text).as_deref(), Some(canonical), "{text}");
        }
        for text in ["", "Transfer", "T(address", "T(adress)", "1T()", "T(uint7)", "T(,)", "T())"] {
            assert_eq!(canonical_signature(text), None, "{text}");
        }
    }

    #[test]
    fn a_subscription_for_another_chain_gives_no_filter() {
        let wanted = descriptor(Subscription { chains: vec![10], ..Subscription::default() });
        assert_eq!(subscription_filters(&wanted, ChainId(1)), Ok(vec![]));
        assert_eq!(subscription_filters(&wanted, ChainId(10)), Ok(vec![Filter::any()]));
    }

    #[test]
    fn a_mistake_names_the_plugin_and_the_value() {
        let wanted =
            descriptor(Subscription { addresses: vec!["0x12".to_owned()], ..Default::default() });
        let error = subscription_filters(&wanted, ChainId(1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "subscription of plugin p: `0x12` is not an address of 20 bytes"
        );
    }
}
