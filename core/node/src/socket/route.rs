//! Whose message it is: looks at an envelope up to its first id or method, and no further.
//!
//! Says nothing of whether the answer is good; that is seen when it is parsed, once.

use crate::{
    hex::{Fixed, Quantity},
    wire::envelope::id_number,
};
use event::BlockNumHash;
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;
use std::fmt;

/// Where a message belongs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Route {
    /// To the call or batch of which this is an id.
    Answer(u64),
    /// A new head under this subscription.
    Head(Value, BlockNumHash),
    /// An error, a text or a page that says not to which call.
    Unaddressed,
    /// A notification that is malformed or that nobody asked for.
    Foreign,
}

/// Returns where a message belongs.
pub(super) fn route(message: &[u8]) -> Route {
    let mut found = Found::default();
    let mut deserializer = serde_json::Deserializer::from_slice(message);
    // It ends in an error as soon as enough is known.
    let _enough_or_broken = Look(&mut found).deserialize(&mut deserializer);
    match found {
        Found { id: Some(id), .. } => Route::Answer(id),
        Found { is_notification: true, .. } => head(message).unwrap_or(Route::Foreign),
        _ => Route::Unaddressed,
    }
}

fn head(message: &[u8]) -> Option<Route> {
    #[derive(Deserialize)]
    struct Notification {
        method: String,
        params: Params,
    }
    #[derive(Deserialize)]
    struct Params {
        subscription: Value,
        result: Announced,
    }
    #[derive(Deserialize)]
    struct Announced {
        number: Quantity,
        hash: Fixed<32>,
    }
    let Notification { method, params } = serde_json::from_slice(message).ok()?;
    let Announced { number, hash } = params.result;
    let block = BlockNumHash { number: number.0, hash: hash.0 };
    (method == "eth_subscription").then_some(Route::Head(params.subscription, block))
}

#[derive(Default)]
struct Found {
    id: Option<u64>,
    is_notification: bool,
}

struct Look<'a>(&'a mut Found);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Field {
    Id,
    Method,
    #[serde(other)]
    Other,
}

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key::<Field>()? {
            match field {
                Field::Id => self.0.id = id_number(&map.next_value()?),
                Field::Method => {
                    map.next_value::<IgnoredAny>()?;
                    self.0.is_notification = true;
                }
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            if self.0.id.is_some() || self.0.is_notification {
                return Err(A::Error::custom("enough"));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Look(self.0))?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;

    #[test]
    fn an_answer_is_known_by_its_id_wherever_it_stands_and_a_batch_by_any() {
        for (message, id) in [
            (r#"{"jsonrpc":"2.0","id":7,"result":"broken"#, 7),
            (r#"{"result":{"id":3,"method":"x"},"id":"7"}"#, 7),
            (r#"[{"id":7,"result":[]},{"id":8}]"#, 7),
            (r#"[{"id":null,"error":{}},{"error":{},"id":8}]"#, 8),
        ] {
            assert_eq!(route(message.as_bytes()), Route::Answer(id), "{message}");
        }
    }

    #[test]
    fn what_names_no_call_is_unaddressed() {
        for message in ["<html>", "", "[]", "3", r#"{"id":null,"error":{"code":429}}"#, "{\"er"] {
            assert_eq!(route(message.as_bytes()), Route::Unaddressed, "{message}");
        }
    }

    #[test]
    fn of_a_notification_number_and_hash_are_read_and_malformed_ones_are_foreign() {
        let notification = |method: &str, number: &str| {
            let hash = B256::repeat_byte(7);
            format!(
                r#"{{"method":"{method}","params":{{"subscription":"0x1",
                "result":{{"number":{number},"hash":"{hash}","parentHash":3}}}}}}"#
            )
        };
        let block = BlockNumHash { number: 7, hash: B256::repeat_byte(7) };
        let good = notification("eth_subscription", "\"0x7\"");
        assert_eq!(route(good.as_bytes()), Route::Head("0x1".into(), block));
        for bad in [
            notification("eth_subscription", "null"),
            notification("net_subscription", "\"0x7\""),
            r#"{"method":"eth_subscription"}"#.to_owned(),
        ] {
            assert_eq!(route(bad.as_bytes()), Route::Foreign, "{bad}");
        }
    }
}
