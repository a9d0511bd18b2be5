//! Tells a chat of token transfers that are large, or that somebody takes part in who is watched:
//! messages `{"text": "..."}`, which the webhooks of common chats take as they are.
//!
//! `config = { sink = "chat", threshold = "1_000_000", decimals = 6, watch = "0x..., 0x...", tokens = "0x..." }`:
//! at least one of `threshold` (in whole tokens of `decimals`, 0 where it is left out) and `watch`;
//! `tokens` takes these contracts only.

mod number;

use headcount_plugin_sdk::{
    Batch, Describe, Descriptor, Event, Failure, Host, Message, Plugin, Rejection, event_key,
    events, export_plugin, hex, is_granted,
};
use serde_json::{Value, json};

/// No token has more.
const DECIMALS_MAX: usize = 77;

/// The plugin.
#[derive(Debug)]
pub struct Alert {
    sink: String,
    /// In the smallest unit.
    threshold: Option<[u8; 32]>,
    decimals: usize,
    watched: Vec<[u8; 20]>,
    tokens: Vec<[u8; 20]>,
}

export_plugin!(Alert);

impl Plugin for Alert {
    fn describe() -> Descriptor {
        Describe::plugin("alert", env!("CARGO_PKG_VERSION"))
            .event("Transfer(address,address,uint256)")
            .done()
    }

    fn new(config: &str) -> Result<Self, String> {
        let config: Value = serde_json::from_str(config).map_err(|error| error.to_string())?;
        let text = |key: &str| config[key].as_str().map(str::trim).filter(|text| !text.is_empty());
        let sink = text("sink").ok_or("say where to: config = { sink = \"NAME\", ... }")?;
        if !is_granted(sink) {
            return Err(format!("sink `{sink}` is not granted: sinks = [\"{sink}\"]"));
        }
        let decimals = text("decimals").unwrap_or("0").parse().ok();
        let decimals = decimals.filter(|decimals| *decimals <= DECIMALS_MAX);
        let decimals = decimals.ok_or("`decimals` is a number from 0 to 77")?;
        let threshold = text("threshold").map(|text| {
            number::word(&format!("{text}{}", "0".repeat(decimals)))
                .ok_or("`threshold` is a whole number of tokens")
        });
        let alert = Self {
            sink: sink.to_owned(),
            threshold: threshold.transpose()?,
            decimals,
            watched: addresses("watch", text("watch"))?,
            tokens: addresses("tokens", text("tokens"))?,
        };
        if alert.threshold.is_none() && alert.watched.is_empty() {
            return Err("say what to tell of: `threshold`, `watch`, or both".to_owned());
        }
        Ok(alert)
    }

    fn handle(&mut self, host: &mut dyn Host, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        for event in events(batch) {
            let Some(text) = self.text(batch, event) else { continue };
            let body = json!({ "text": text }).to_string();
            host.enqueue(Message::json(&self.sink, event_key(batch, event.row), body))?;
        }
        Ok(Vec::new())
    }
}

impl Alert {
    /// What to tell of an event; `None` of most.
    fn text(&self, batch: &Batch, event: Event<'_>) -> Option<String> {
        // The transfer of an NFT has a third indexed argument and no data.
        let value: &[u8; 32] = event.data.try_into().ok().filter(|_| event.topic_count() == 3)?;
        let (from, to) = (&event.topic(1)?[12..], &event.topic(2)?[12..]);
        let is_of = |list: &[[u8; 20]], address: &[u8]| list.iter().any(|one| one == address);
        if !self.tokens.is_empty() && !is_of(&self.tokens, event.address) {
            return None;
        }
        let is_large = self.threshold.is_some_and(|threshold| *value >= threshold);
        let is_watched = is_of(&self.watched, from) || is_of(&self.watched, to);
        if !is_large && !is_watched {
            return None;
        }
        let why = if is_watched { "Watched" } else { "Large" };
        let block = &batch.blocks[batch.block[event.row] as usize];
        Some(format!(
            "{why} transfer: {} of {} from {} to {} (chain {}, block {}, transaction {})",
            number::decimal(value, self.decimals),
            hex(event.address),
            hex(from),
            hex(to),
            batch.chain_id,
            block.number,
            hex(&batch.tx_hash[32 * event.row..32 * (event.row + 1)]),
        ))
    }
}

fn addresses(key: &str, list: Option<&str>) -> Result<Vec<[u8; 20]>, String> {
    let words = list.unwrap_or_default().split([',', ' ']).filter(|word| !word.is_empty());
    words
        .map(|word| address(word).ok_or_else(|| format!("`{key}`: `{word}` is no address")))
        .collect()
}

fn address(text: &str) -> Option<[u8; 20]> {
    let digits =
        text.strip_prefix("0x").filter(|digits| digits.len() == 40 && digits.is_ascii())?;
    let mut address = [0; 20];
    for (byte, at) in address.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use headcount_plugin_sdk::{FakeEvent, FakeHost};

    fn moved(token: u8, from: u8, to: u8, value: &str) -> FakeEvent {
        let word = |last: u8| {
            let mut word = [0; 32];
            word[12..].fill(last);
            word
        };
        ([token; 20], vec![[0; 32], word(from), word(to)], number::word(value).unwrap().to_vec())
    }

    fn told(config: &str, events: &[FakeEvent]) -> Vec<String> {
        let mut host = FakeHost::default();
        let mut alert = Alert::new(config).unwrap();
        assert!(alert.handle(&mut host, &FakeHost::batch(1, events)).is_ok());
        host.messages
            .iter()
            .map(|message| serde_json::from_slice::<Value>(&message.body).unwrap())
            .map(|body| body["text"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn large_transfers_are_told_with_their_amount() {
        let config = r#"{"sink":"chat","threshold":"1_000","decimals":"6"}"#;
        let events = [moved(1, 2, 3, "999999999"), moved(1, 2, 3, "1000500000")];
        let told = told(config, &events);
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("Large transfer: 1000.5 of 0x0101"), "{}", told[0]);
        assert!(told[0].contains("(chain 1, block 1, transaction 0x"), "{}", told[0]);
    }

    #[test]
    fn who_is_watched_is_told_of_whatever_the_amount_and_of_these_tokens_only() {
        let watched = hex(&[3; 20]);
        let config =
            format!(r#"{{"sink":"chat","watch":"{watched}","tokens":"{}"}}"#, hex(&[1; 20]));
        let nft = ([1; 20], vec![[0; 32], [3; 32], [3; 32], [0; 32]], vec![]);
        let events = [moved(1, 2, 3, "1"), moved(1, 3, 4, "0"), moved(2, 3, 4, "5"), nft];
        let told = told(&config, &events);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().all(|text| text.starts_with("Watched transfer: ")), "{told:?}");
    }

    #[test]
    fn a_configuration_that_tells_nothing_is_refused_in_words() {
        for (config, word) in [
            ("{}", "sink = "),
            (r#"{"sink":"chat"}"#, "`threshold`, `watch`, or both"),
            (r#"{"sink":"chat","threshold":"1.5"}"#, "whole number"),
            (r#"{"sink":"chat","threshold":"1","decimals":"99"}"#, "0 to 77"),
            (r#"{"sink":"chat","watch":"0x12"}"#, "`0x12` is no address"),
        ] {
            let error = Alert::new(config).unwrap_err();
            assert!(error.contains(word), "{config}: {error}");
        }
    }
}
