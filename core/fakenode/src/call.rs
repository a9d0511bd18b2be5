//! From JSON-RPC to questions. What cannot be a question is refused in geth's words.

use crate::Words;
use alloy_primitives::{Address, B256, Bytes};
use event::{AnyOf, Filter, Tag};
use serde_json::{Value, json};
use std::sync::Arc;

/// Calls of one batch, at most: more than any client here sends.
const BATCH_MAX: usize = 2_000;

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) id: Value,
    pub(crate) method: String,
    params: Vec<Value>,
}

/// What came in one message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    One(Call),
    Batch(Vec<Call>),
}

impl Request {
    /// Reads a message.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Words> {
        let parse_error = || Words::new(-32700, "parse error");
        let invalid = || Words::new(-32600, "invalid request");
        match serde_json::from_slice(body).map_err(|_| parse_error())? {
            Value::Array(calls) if calls.is_empty() => Err(Words::new(-32600, "empty batch")),
            Value::Array(calls) if calls.len() > BATCH_MAX => {
                Err(Words::new(-32600, "batch too large"))
            }
            Value::Array(calls) => {
                let calls: Option<Vec<Call>> = calls.into_iter().map(Call::of).collect();
                Ok(Self::Batch(calls.ok_or_else(invalid)?))
            }
            one => Ok(Self::One(Call::of(one).ok_or_else(invalid)?)),
        }
    }

    /// Returns the first call; a batch is never empty.
    pub(crate) fn first(&self) -> Option<&Call> {
        match self {
            Self::One(call) => Some(call),
            Self::Batch(calls) => calls.first(),
        }
    }
}

/// A block as a call names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Number(u64),
    Tag(Tag),
    Hash(B256),
}

/// Blocks as a filter names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    /// Numbers or tags of first and last.
    Between(Place, Place),
    Hash(B256),
}

impl Call {
    fn of(value: Value) -> Option<Self> {
        let Value::Object(mut fields) = value else { return None };
        let method = fields.remove("method")?.as_str()?.to_owned();
        let params = match fields.remove("params") {
            Some(Value::Array(params)) => params,
            None | Some(Value::Null) => Vec::new(),
            Some(_) => return None,
        };
        Some(Self { id: fields.remove("id").unwrap_or(Value::Null), method, params })
    }

    /// Returns a parameter; one that is not there is `null`.
    pub(crate) fn param(&self, place: usize) -> &Value {
        self.params.get(place).unwrap_or(&Value::Null)
    }

    /// Returns the block that the first parameter names.
    pub(crate) fn place(&self) -> Result<Place, Words> {
        place(self.param(0)).ok_or_else(|| wrong("invalid argument 0: not a block"))
    }

    /// Returns the block that this parameter names.
    pub(crate) fn place_at(&self, at: usize) -> Result<Place, Words> {
        place(self.param(at)).ok_or_else(|| wrong("invalid argument 1: not a block"))
    }

    /// Returns an address.
    pub(crate) fn address(&self, value: &Value) -> Result<Address, Words> {
        let address = value.as_str().and_then(|text| text.parse().ok());
        address.ok_or_else(|| wrong("invalid address"))
    }

    /// Returns contract and call data of `eth_call`.
    pub(crate) fn target(&self) -> Result<(Address, Bytes), Words> {
        let call = self.param(0);
        let data = call["data"].as_str().or(call["input"].as_str()).unwrap_or("0x");
        let data = data.parse().map_err(|_| wrong("invalid call data"))?;
        Ok((self.address(&call["to"])?, data))
    }

    /// Returns the height, where the call asks for the header of one by its number.
    pub(crate) fn header_number(&self) -> Option<u64> {
        match (&*self.method, self.place()) {
            ("eth_getBlockByNumber", Ok(Place::Number(number))) => Some(number),
            _ => None,
        }
    }
}

pub(crate) fn wrong(message: &str) -> Words {
    Words::new(-32602, message)
}

/// Returns a quantity.
pub(crate) fn quantity(value: u64) -> Value {
    json!(format!("{value:#x}"))
}

fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn place(value: &Value) -> Option<Place> {
    match value {
        Value::Object(fields) => match (fields.get("blockHash"), fields.get("blockNumber")) {
            (Some(hash), _) => Some(Place::Hash(hash.as_str()?.parse().ok()?)),
            (None, Some(number)) => place(number),
            (None, None) => None,
        },
        Value::String(text) => match text.as_str() {
            "latest" | "pending" => Some(Place::Tag(Tag::Latest)),
            "safe" => Some(Place::Tag(Tag::Safe)),
            "finalized" => Some(Place::Tag(Tag::Finalized)),
            "earliest" => Some(Place::Number(0)),
            hash if hash.len() == 66 => Some(Place::Hash(hash.parse().ok()?)),
            text => Some(Place::Number(number(text)?)),
        },
        _ => None,
    }
}

/// Returns filter and blocks of `eth_getLogs`.
pub(crate) fn logs_wanted(object: &Value) -> Result<(Arc<Filter>, Span), Words> {
    let filter = filter(object)?;
    let (from, to) = (&object["fromBlock"], &object["toBlock"]);
    let span = match &object["blockHash"] {
        Value::Null => {
            let side = |value: &Value| match value {
                Value::Null => Ok(Place::Tag(Tag::Latest)),
                value => place(value).ok_or_else(|| wrong("invalid argument 0: not a block")),
            };
            Span::Between(side(from)?, side(to)?)
        }
        _ if !from.is_null() || !to.is_null() => {
            let text = "invalid argument 0: cannot specify both BlockHash and FromBlock/ToBlock, \
                        choose one or the other";
            return Err(wrong(text));
        }
        hash => {
            let hash = hash.as_str().and_then(|hash| hash.parse().ok());
            Span::Hash(hash.ok_or_else(|| wrong("invalid argument 0: not a hash"))?)
        }
    };
    Ok((Arc::new(filter), span))
}

/// Returns the filter of an object with `address` and `topics`.
pub(crate) fn filter(object: &Value) -> Result<Filter, Words> {
    let mut filter = Filter::any();
    filter.addresses =
        side::<Address>(&object["address"]).ok_or_else(|| wrong("invalid address"))?;
    let topics = match &object["topics"] {
        Value::Null => &[][..],
        Value::Array(topics) if topics.len() <= filter.topics.len() => topics,
        _ => return Err(wrong("exceed max topics")),
    };
    for (own, given) in filter.topics.iter_mut().zip(topics) {
        *own = side::<B256>(given).ok_or_else(|| wrong("invalid topic(s)"))?;
    }
    Ok(filter)
}

/// An empty list allows anything, as geth reads it.
fn side<T: Ord + std::str::FromStr>(value: &Value) -> Option<AnyOf<T>> {
    let one = |value: &Value| value.as_str()?.parse::<T>().ok();
    match value {
        Value::Null => Some(AnyOf::Any),
        Value::Array(values) => {
            let values: Option<Vec<T>> = values.iter().map(one).collect();
            Some(AnyOf::of(values?).unwrap_or(AnyOf::Any))
        }
        value => Some(AnyOf::one(one(value)?)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_filter_is_read_as_it_is_written() {
        let (one, two) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let object = json!({
            "fromBlock": "0x10", "toBlock": "latest",
            "address": Address::repeat_byte(3), "topics": [null, [two, one], []],
        });
        let (filter, span) = logs_wanted(&object).unwrap();
        assert_eq!(span, Span::Between(Place::Number(16), Place::Tag(Tag::Latest)));
        assert_eq!(filter.addresses, AnyOf::one(Address::repeat_byte(3)));
        assert_eq!(filter.topics[1], AnyOf::Of(vec![one, two]));
        assert!(filter.topics[0].is_any() && filter.topics[2].is_any());
        let both = json!({"fromBlock": "0x1", "blockHash": one});
        assert!(logs_wanted(&both).unwrap_err().message.contains("cannot specify both"));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let code = |body: &str| Request::parse(body.as_bytes()).unwrap_err().code;
        assert_eq!(code("{\"id\":"), -32700);
        assert_eq!((code("[]"), code("3"), code("[3]")), (-32600, -32600, -32600));
    }
}
