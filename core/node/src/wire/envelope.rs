//! The envelope around an answer: whose answer it is, and whether it is one at all.
//!
//! An answer counts only under the id that was asked; in a batch every id once, and an error of one stands
//! beside the answers of the others. `null` is its own case, never an empty list.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::Value;
use std::{fmt, marker::PhantomData};

/// A JSON-RPC error object, as far as nodes agree on its shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RpcError {
    pub(crate) code: Option<i64>,
    pub(crate) message: String,
    /// `data` as text, JSON where it is not a string.
    pub(crate) data: String,
}

/// Why a body holds no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The node's own error.
    Error(RpcError),
    /// `"result": null`.
    Null,
    /// Not what was asked.
    Malformed(String),
}

struct Envelope<T> {
    id: Value,
    result: Option<Option<T>>,
    error: Option<RpcError>,
}

impl<T> Envelope<T> {
    /// An error wins over a result beside it, and over a missing id.
    fn into_result(self, is_asked: impl FnOnce(u64) -> bool) -> Result<T, NoAnswer> {
        if let Some(error) = self.error {
            return Err(NoAnswer::Error(error));
        }
        match id_number(&self.id) {
            Some(id) if is_asked(id) => {}
            Some(_) => return Err(malformed("the answer is for another id")),
            None => return Err(malformed("the answer has no id")),
        }
        match self.result {
            Some(Some(result)) => Ok(result),
            Some(None) => Err(NoAnswer::Null),
            None => Err(malformed("the answer has neither result nor error")),
        }
    }
}

fn malformed(text: impl Into<String>) -> NoAnswer {
    NoAnswer::Malformed(text.into())
}

/// Some servers send the id back as text.
pub(crate) fn id_number(id: &Value) -> Option<u64> {
    id.as_u64().or_else(|| id.as_str()?.parse().ok())
}

/// Parses the answer to one call.
pub(crate) fn one<'de, S>(body: &'de [u8], id: u64, seed: S) -> Result<S::Value, NoAnswer>
where
    S: DeserializeSeed<'de>,
{
    if first_byte(body) == Some(b'[') {
        return Err(malformed("a list instead of one answer"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let envelope = EnvelopeSeed(seed).deserialize(&mut deserializer).map_err(broken)?;
    deserializer.end().map_err(broken)?;
    envelope.into_result(|answered| answered == id)
}

/// Parses the answers to a batch of `count` calls with ids from `first_id`, in the order asked, each with
/// its own error; an error without an id is that of every call without an answer. What cannot be
/// assigned fails the whole.
pub(crate) fn items<'de, T>(
    body: &'de [u8],
    first_id: u64,
    count: usize,
) -> Result<Vec<Result<T, NoAnswer>>, NoAnswer>
where
    T: Deserialize<'de>,
{
    if first_byte(body) == Some(b'{') {
        // One object for all: mostly an error of the whole batch.
        return match one(body, first_id, PhantomData::<IgnoredAny>) {
            Err(NoAnswer::Error(error)) => Err(NoAnswer::Error(error)),
            Err(NoAnswer::Malformed(text)) => Err(NoAnswer::Malformed(text)),
            _ => Err(malformed("one object instead of a batch")),
        };
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let mut slots: Vec<Option<Result<T, NoAnswer>>> = Vec::new();
    slots.resize_with(count, || None);
    let seed = BatchSeed { first_id, slots, stray: None };
    let (slots, stray) = seed.deserialize(&mut deserializer).map_err(broken)?;
    deserializer.end().map_err(broken)?;
    if stray.is_none() && slots.iter().all(Option::is_none) {
        return Err(malformed("an empty list instead of a batch"));
    }
    let for_none = slots.iter().all(Option::is_some);
    match stray {
        Some(NoAnswer::Error(_)) if !for_none => {}
        Some(stray) => return Err(stray),
        None => {}
    }
    let missing =
        || stray.clone().unwrap_or_else(|| malformed("an answer of the batch is missing"));
    Ok(slots.into_iter().map(|slot| slot.unwrap_or_else(|| Err(missing()))).collect())
}

/// The node's own words say more than a shape that they explain.
fn more_telling(told: &mut Option<NoAnswer>, new: NoAnswer) {
    match told {
        Some(NoAnswer::Error(_)) => {}
        Some(_) if !matches!(new, NoAnswer::Error(_)) => {}
        _ => *told = Some(new),
    }
}

/// Returns the first byte that is not white space.
pub(crate) fn first_byte(body: &[u8]) -> Option<u8> {
    body.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

fn broken(error: serde_json::Error) -> NoAnswer {
    malformed(if error.is_eof() {
        "the JSON ends in the middle".to_owned()
    } else {
        format!("not the JSON that was asked for: {error}")
    })
}

struct EnvelopeSeed<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for EnvelopeSeed<S> {
    type Value = Envelope<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Field {
    Id,
    Result,
    Error,
    Message,
    Code,
    #[serde(other)]
    Other,
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for EnvelopeSeed<S> {
    type Value = Envelope<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON-RPC answer")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut seed = Some(self.0);
        let mut envelope = Envelope { id: Value::Null, result: None, error: None };
        // Gateways answer `{"code":.., "message":".."}` without an envelope.
        let mut bare = RpcError::default();
        while let Some(field) = map.next_key::<Field>()? {
            match field {
                Field::Id => envelope.id = map.next_value()?,
                Field::Result => {
                    let Some(seed) = seed.take() else {
                        return Err(A::Error::custom("`result` twice"));
                    };
                    envelope.result = Some(map.next_value_seed(Nullable(seed))?);
                }
                Field::Error => envelope.error = rpc_error(map.next_value()?),
                Field::Message => bare.message = text_of(map.next_value()?),
                Field::Code => bare.code = map.next_value::<Value>()?.as_i64(),
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if envelope.error.is_none() && envelope.result.is_none() && !bare.message.is_empty() {
            envelope.error = Some(bare);
        }
        Ok(envelope)
    }
}

fn rpc_error(value: Value) -> Option<RpcError> {
    match value {
        Value::Null => None,
        Value::Object(mut fields) => Some(RpcError {
            code: fields.get("code").and_then(Value::as_i64),
            message: fields.remove("message").map(text_of).unwrap_or_default(),
            data: fields.remove("data").map(text_of).unwrap_or_default(),
        }),
        other => Some(RpcError { message: text_of(other), ..RpcError::default() }),
    }
}

fn text_of(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

struct Nullable<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Nullable<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Nullable<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a result or null")
    }

    fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

struct BatchSeed<T> {
    first_id: u64,
    slots: Vec<Option<Result<T, NoAnswer>>>,
    /// What is under none of the ids that were asked.
    stray: Option<NoAnswer>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for BatchSeed<T> {
    type Value = (Vec<Option<Result<T, NoAnswer>>>, Option<NoAnswer>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for BatchSeed<T> {
    type Value = (Vec<Option<Result<T, NoAnswer>>>, Option<NoAnswer>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a batch of JSON-RPC answers")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Self::Value, A::Error> {
        while let Some(envelope) = seq.next_element_seed(EnvelopeSeed(PhantomData::<T>))? {
            let position = id_number(&envelope.id)
                .and_then(|id| id.checked_sub(self.first_id))
                .and_then(|position| usize::try_from(position).ok())
                .filter(|position| *position < self.slots.len());
            let answer = envelope.into_result(|_| position.is_some());
            match (answer, position) {
                (answer, Some(position)) => {
                    if self.slots[position].replace(answer).is_some() {
                        return Err(A::Error::custom("an id of the batch is answered twice"));
                    }
                }
                (Ok(_), None) => return Err(A::Error::custom("an answer without id")),
                (Err(no_answer), None) => more_telling(&mut self.stray, no_answer),
            }
        }
        Ok((self.slots, self.stray))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(body: &str) -> Result<u64, NoAnswer> {
        one(body.as_bytes(), 5, PhantomData::<u64>)
    }

    fn pair(body: &str) -> Result<Vec<u64>, NoAnswer> {
        items(body.as_bytes(), 5, 2)?.into_iter().collect()
    }

    fn is_malformed<T>(answer: Result<T, NoAnswer>) -> bool {
        matches!(answer, Err(NoAnswer::Malformed(_)))
    }

    #[test]
    fn an_answer_counts_only_under_the_id_that_was_asked() {
        assert_eq!(single(r#"{"jsonrpc":"2.0","result":1,"id":5}"#), Ok(1));
        assert_eq!(single(r#"{"jsonrpc":"2.0","error":null,"result":1,"id":"5"}"#), Ok(1));
        assert!(is_malformed(single(r#"{"jsonrpc":"2.0","result":1,"id":6}"#)));
        assert!(is_malformed(single(r#"{"jsonrpc":"2.0","result":1,"id":null}"#)));
        assert!(is_malformed(single(r#"{"jsonrpc":"2.0","result":1}"#)));
        assert!(is_malformed(single(r#"[{"jsonrpc":"2.0","result":1,"id":5}]"#)));
        assert!(is_malformed(single(r#"{"jsonrpc":"2.0","id":5}"#)));
        assert!(is_malformed(single(r#"{"jsonrpc":"2.0","id":5,"result":1} x"#)));
        assert!(is_malformed(single(r#"{"jsonrpc":"2.0","id":5,"result":1,"result":2}"#)));
    }

    #[test]
    fn null_is_neither_an_answer_nor_malformed() {
        assert_eq!(single(r#"{"id":5,"result":null}"#), Err(NoAnswer::Null));
    }

    #[test]
    fn an_error_wins_over_a_result_and_a_missing_id() {
        let error = |message: &str| {
            Err(NoAnswer::Error(RpcError { message: message.into(), ..RpcError::default() }))
        };
        assert_eq!(single(r#"{"id":5,"result":1,"error":{"message":"no"}}"#), error("no"));
        assert_eq!(single(r#"{"id":null,"error":"no"}"#), error("no"));
        assert_eq!(single(r#"{"message":"no"}"#), error("no"));
    }

    #[test]
    fn error_data_that_is_an_object_becomes_text() {
        let body = r#"{"id":5,"error":{"code":-32005,"message":"m","data":{"see":"x"}}}"#;
        let Err(NoAnswer::Error(error)) = single(body) else { panic!("an error") };
        assert_eq!(error.code, Some(-32005));
        assert_eq!(error.data, r#"{"see":"x"}"#);
    }

    #[test]
    fn a_batch_is_put_in_the_order_asked() {
        assert_eq!(pair(r#"[{"id":6,"result":60},{"id":5,"result":50}]"#), Ok(vec![50, 60]));
    }

    #[test]
    fn a_batch_with_a_missing_foreign_or_repeated_id_is_malformed() {
        assert!(is_malformed(pair(r#"[{"id":5,"result":50}]"#)));
        assert!(is_malformed(pair("[]")));
        assert!(is_malformed(pair(r#"[{"id":5,"result":50},{"id":5,"result":50}]"#)));
        assert!(is_malformed(pair(r#"[{"id":5,"result":50},{"id":7,"result":50}]"#)));
        assert!(is_malformed(pair(r#"[{"id":5,"result":50},{"id":4,"result":50}]"#)));
        assert!(is_malformed(pair(r#"[{"id":5,"result":50},{"result":50}]"#)));
        assert!(is_malformed(pair(r#"{"id":5,"result":50}"#)));
        assert!(is_malformed(pair(r#"[{"id":5,"result":50},{"id":6,"result":6"#)));
    }

    #[test]
    fn an_error_beside_answers_is_that_of_its_own_call() {
        let each = |body: &str| items::<u64>(body.as_bytes(), 5, 2);
        let error = || NoAnswer::Error(RpcError { message: "no".into(), ..RpcError::default() });
        let told = each(r#"[{"id":6,"error":{"message":"no"}},{"id":5,"result":50}]"#);
        assert_eq!(told, Ok(vec![Ok(50), Err(error())]));
        let told = each(r#"[{"id":5,"result":50},{"id":6,"result":null}]"#);
        assert_eq!(told, Ok(vec![Ok(50), Err(NoAnswer::Null)]));
        let told = each(r#"[{"id":5,"result":50},{"id":null,"error":{"message":"no"}}]"#);
        assert_eq!(told, Ok(vec![Ok(50), Err(error())]));
        let told = each(r#"[{"id":6,"result":60}]"#);
        assert!(matches!(&told, Ok(told) if is_malformed(told[0].clone()) && told[1] == Ok(60)));
        assert!(is_malformed(each(r#"[{"id":5,"result":50},{"id":5,"result":50}]"#)));
        assert!(is_malformed(each(r#"[{"id":5,"result":50},{"id":7,"result":50}]"#)));
    }

    #[test]
    fn one_error_object_for_a_batch_is_its_error() {
        let Err(NoAnswer::Error(error)) =
            pair(r#"{"id":null,"error":{"message":"batch too large"}}"#)
        else {
            panic!("an error")
        };
        assert_eq!(error.message, "batch too large");
    }
}
