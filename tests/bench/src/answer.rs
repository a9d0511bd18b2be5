//! One request body to one answer body, out of what a node has of the chain. It knows JSON-RPC and batches,
//! not HTTP. What it cannot answer truthfully is an error, never an empty result.

use crate::{
    chain::CHAIN_ID,
    json::quantity,
    transfer::{TOKEN, TRANSFER},
    view::View,
};
use alloy_primitives::{Address, B256};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{json, value::RawValue};
use std::borrow::Cow;

/// Topics of every log of the view.
const TOPICS_PER_LOG: usize = 3;

/// Text in pieces, so that logs go from the chain's memory to the socket without a copy.
pub type Pieces<'a> = Vec<Cow<'a, [u8]>>;

/// A JSON-RPC error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    code: i64,
    message: String,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T: PartialEq> OneOrMany<T> {
    /// Whether `wanted` is among them; an empty list allows anything.
    fn allows(&self, wanted: &T) -> bool {
        match self {
            Self::One(one) => one == wanted,
            Self::Many(many) => many.is_empty() || many.contains(wanted),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogFilter {
    from_block: Option<String>,
    to_block: Option<String>,
    block_hash: Option<B256>,
    address: Option<OneOrMany<Address>>,
    topics: Option<Vec<Option<OneOrMany<B256>>>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum BlockId {
    Hash(B256),
    NumberOrTag(String),
    Object {
        #[serde(rename = "blockHash")]
        block_hash: B256,
    },
}

/// Returns the answer to a single call or a batch.
pub fn answer<'a>(view: View<'a>, body: &[u8]) -> Pieces<'a> {
    let is_batch = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    if !is_batch {
        return match serde_json::from_slice::<Call<'_>>(body) {
            Ok(call) => answer_call(view, &call),
            Err(error) => vec![unparsable(&error)],
        };
    }
    let calls: Vec<Call<'_>> = match serde_json::from_slice(body) {
        Ok(calls) => calls,
        Err(error) => return vec![unparsable(&error)],
    };
    let mut pieces = vec![text("[")];
    for (index, call) in calls.iter().enumerate() {
        if index > 0 {
            pieces.push(text(","));
        }
        pieces.append(&mut answer_call(view, call));
    }
    pieces.push(text("]"));
    pieces
}

fn answer_call<'a>(view: View<'a>, call: &Call<'_>) -> Pieces<'a> {
    let id = call.id.map_or("null", RawValue::get);
    match result_of(view, call) {
        Ok(mut result) => {
            let mut pieces = vec![owned(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"#))];
            pieces.append(&mut result);
            pieces.push(text("}"));
            pieces
        }
        Err(Refusal { code, message }) => {
            let error = json!({ "code": code, "message": message });
            vec![owned(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#))]
        }
    }
}

fn result_of<'a>(view: View<'a>, call: &Call<'_>) -> Result<Pieces<'a>, Refusal> {
    match &*call.method {
        "eth_chainId" => Ok(vec![owned(quantity(CHAIN_ID))]),
        "net_version" => Ok(vec![owned(format!("\"{CHAIN_ID}\""))]),
        "web3_clientVersion" => Ok(vec![text(r#""headcount-bench/v1""#)]),
        "eth_blockNumber" => Ok(vec![owned(quantity(view.last()))]),
        "eth_syncing" => Ok(vec![text("false")]),
        "eth_getBlockByNumber" | "eth_getBlockByHash" => {
            let (block, full): (BlockId, bool) = params(call)?;
            if full {
                return Err(invalid("transactions are served as hashes only"));
            }
            let header = number_of(view, &block)?.and_then(|number| view.header(number));
            Ok(vec![header.map_or(text("null"), Cow::Borrowed)])
        }
        "eth_getBlockReceipts" => {
            let (block,): (BlockId,) = params(call)?;
            let receipts = number_of(view, &block)?.and_then(|number| view.receipts(number));
            Ok(vec![receipts.unwrap_or(text("null"))])
        }
        "eth_getLogs" => {
            let (filter,): (LogFilter,) = params(call)?;
            logs(view, &filter)
        }
        method => Err(Refusal {
            code: -32601,
            message: format!("the method {method} does not exist/is not available"),
        }),
    }
}

fn logs<'a>(view: View<'a>, filter: &LogFilter) -> Result<Pieces<'a>, Refusal> {
    let (first, last) = match filter.block_hash {
        Some(hash) => {
            let number = view.number_of_hash(&hash).ok_or_else(|| refused("unknown block"))?;
            (number, number)
        }
        None => (
            number_of_tag(view, filter.from_block.as_deref().unwrap_or("latest"))?,
            number_of_tag(view, filter.to_block.as_deref().unwrap_or("latest"))?,
        ),
    };
    if first > last {
        return Err(invalid("invalid block range params"));
    }
    let pieces = view.logs(first, last).ok_or_else(|| refused("block range leaves the chain"))?;
    if !matches(filter)? {
        return Ok(vec![text("[]")]);
    }
    let mut answer = vec![text("[")];
    answer.extend(pieces.into_iter().map(Cow::Borrowed));
    answer.push(text("]"));
    Ok(answer)
}

/// Every log of the chain has the same address and topic 0, so a filter takes all or nothing.
fn matches(filter: &LogFilter) -> Result<bool, Refusal> {
    let topics = filter.topics.as_deref().unwrap_or_default();
    if topics.iter().skip(1).flatten().next().is_some() {
        return Err(invalid("topics 1 to 3 are not filtered here"));
    }
    let by_address = filter.address.as_ref().is_none_or(|address| address.allows(&TOKEN));
    let by_topic =
        topics.first().and_then(Option::as_ref).is_none_or(|topic| topic.allows(&TRANSFER));
    Ok(by_address && by_topic && topics.len() <= TOPICS_PER_LOG)
}

/// Returns the height, or `None` for a hash that is not on the view.
fn number_of(view: View<'_>, block: &BlockId) -> Result<Option<u64>, Refusal> {
    match block {
        BlockId::Hash(hash) | BlockId::Object { block_hash: hash } => Ok(view.number_of_hash(hash)),
        BlockId::NumberOrTag(tag) => number_of_tag(view, tag).map(Some),
    }
}

fn number_of_tag(view: View<'_>, tag: &str) -> Result<u64, Refusal> {
    match tag {
        "latest" | "pending" => Ok(view.last()),
        "safe" | "finalized" => Ok(view.finalized()),
        "earliest" => Ok(view.first()),
        number => number
            .strip_prefix("0x")
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .ok_or_else(|| invalid("invalid block number")),
    }
}

fn params<T: DeserializeOwned>(call: &Call<'_>) -> Result<T, Refusal> {
    let params = call.params.map_or("[]", RawValue::get);
    serde_json::from_str(params).map_err(|error| invalid(&format!("invalid params: {error}")))
}

fn invalid(message: &str) -> Refusal {
    Refusal { code: -32602, message: message.to_owned() }
}

fn refused(message: &str) -> Refusal {
    Refusal { code: -32000, message: message.to_owned() }
}

fn unparsable(error: &serde_json::Error) -> Cow<'static, [u8]> {
    let error = json!({ "code": -32700, "message": error.to_string() });
    owned(format!(r#"{{"jsonrpc":"2.0","id":null,"error":{error}}}"#))
}

const fn text(text: &str) -> Cow<'_, [u8]> {
    Cow::Borrowed(text.as_bytes())
}

fn owned(text: String) -> Cow<'static, [u8]> {
    Cow::Owned(text.into_bytes())
}
