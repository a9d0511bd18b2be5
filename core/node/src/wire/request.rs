//! Questions as JSON-RPC bytes. Says nothing of when to ask or how wide.

use alloy_primitives::{B256, hex};
use event::{AnyOf, Filter, Tag};
use std::fmt::Write;

/// The methods this crate calls, in the order that [`method_index`] counts.
pub(crate) const METHODS: [&str; 12] = [
    "eth_chainId",
    "web3_clientVersion",
    "eth_getLogs",
    "eth_getBlockByNumber",
    "eth_getBlockByHash",
    "eth_getBlockReceipts",
    "eth_getTransactionReceipt",
    "eth_syncing",
    "net_peerCount",
    "eth_subscribe",
    "eth_getCode",
    "eth_call",
];

/// Returns the position of `method` in [`METHODS`].
pub(crate) fn method_index(method: &str) -> Option<usize> {
    METHODS.iter().position(|known| *known == method)
}

/// Returns one call.
pub(crate) fn call(id: u64, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":[{params}]}}"#)
}

/// Returns `eth_getBlockByNumber` of `count` blocks from `first`, as one batch; as one plain call
/// when there is one, for servers that refuse batches.
pub(crate) fn headers(first_id: u64, first: u64, count: usize) -> String {
    let member = |i: u64| call(first_id + i, "eth_getBlockByNumber", &block_number(first + i));
    if count == 1 { member(0) } else { list((0..count as u64).map(member)) }
}

/// Returns a call for each hash, of a block or a transaction, as one batch; one plain call for one.
pub(crate) fn by_hashes(method: &str, first_id: u64, hashes: &[B256]) -> String {
    let member = |(id, hash): (u64, &B256)| call(id, method, &format!(r#""{hash}""#));
    match hashes {
        [one] => member((first_id, one)),
        hashes => list((first_id..).zip(hashes).map(member)),
    }
}

fn list(members: impl Iterator<Item = String>) -> String {
    let mut body = String::from("[");
    for (place, member) in members.enumerate() {
        if place > 0 {
            body.push(',');
        }
        body.push_str(&member);
    }
    body.push(']');
    body
}

fn block_number(number: u64) -> String {
    format!(r#""0x{number:x}",false"#)
}

/// Returns the name of a tag.
pub(crate) const fn tag(tag: Tag) -> &'static str {
    match tag {
        Tag::Latest => "latest",
        Tag::Safe => "safe",
        Tag::Finalized => "finalized",
    }
}

/// Returns the filter object of `eth_getLogs`; `place` is `"fromBlock":..` or `"blockHash":..`.
///
/// Sides without constraint are left out where they can be: some nodes read `null` or `[]` as
/// "none" (bsc-erigon#529, nethermind#6084).
pub(crate) fn filter(filter: &Filter, place: &str) -> String {
    let mut text = format!("{{{place}");
    if let AnyOf::Of(addresses) = &filter.addresses {
        text.push_str(r#","address":"#);
        push_side(&mut text, addresses);
    }
    let used = filter.topics.iter().rposition(|side| !side.is_any()).map_or(0, |last| last + 1);
    if used > 0 {
        text.push_str(r#","topics":["#);
        for (i, side) in filter.topics[..used].iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            match side {
                AnyOf::Any => text.push_str("null"),
                AnyOf::Of(values) => push_side(&mut text, values),
            }
        }
        text.push(']');
    }
    text.push('}');
    text
}

fn push_side<T: AsRef<[u8]>>(text: &mut String, values: &[T]) {
    let value = |text: &mut String, value: &T| {
        let _infallible = write!(text, "\"0x{}\"", hex::encode(value));
    };
    if let [one] = values {
        return value(text, one);
    }
    for (i, item) in values.iter().enumerate() {
        text.push(if i == 0 { '[' } else { ',' });
        value(text, item);
    }
    text.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Address;

    #[test]
    fn an_unconstrained_filter_sends_neither_address_nor_topics() {
        assert_eq!(
            filter(&Filter::any(), r#""fromBlock":"0x1","toBlock":"0x2""#),
            r#"{"fromBlock":"0x1","toBlock":"0x2"}"#
        );
    }

    #[test]
    fn trailing_open_topics_are_left_out_and_inner_ones_are_null() {
        let mut asked = Filter::any();
        asked.addresses = AnyOf::Of(vec![Address::repeat_byte(1), Address::repeat_byte(2)]);
        asked.topics[1] = AnyOf::one(B256::ZERO);
        let zero = "00".repeat(32);
        assert_eq!(
            filter(&asked, r#""blockHash":"0x0""#),
            format!(
                r#"{{"blockHash":"0x0","address":["0x{}","0x{}"],"topics":[null,"0x{zero}"]}}"#,
                "01".repeat(20),
                "02".repeat(20)
            )
        );
    }

    #[test]
    fn one_header_is_a_plain_call_and_two_are_a_batch() {
        let id = 7;
        assert_eq!(
            headers(id, 16, 1),
            r#"{"jsonrpc":"2.0","id":7,"method":"eth_getBlockByNumber","params":["0x10",false]}"#
        );
        assert!(headers(id, 16, 2).starts_with('['));
        assert!(headers(id, 16, 2).contains(r#""id":8"#));
    }
}
