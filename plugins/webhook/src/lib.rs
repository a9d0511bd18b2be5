//! Every event as a JSON message to a sink: `config = { sink = "NAME" }`.
//!
//! It keeps nothing. What was enqueued and not sent is cancelled by the core when a block leaves the
//! chain; who must hear of final blocks only sets `finality = "finalized"`.

use headcount_plugin_sdk::{
    Batch, Descriptor, Event, Failure, Host, Message, Plugin, Rejection, Subscription, Visibility,
    event_key, events, export_plugin, hex, is_granted,
};
use serde_json::{Value, json};

/// The plugin.
#[derive(Debug)]
pub struct Webhook {
    sink: String,
}

export_plugin!(Webhook);

impl Plugin for Webhook {
    fn describe() -> Descriptor {
        Descriptor {
            name: "webhook".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            logic_version: 1,
            visibility: Visibility::Latest,
            // Everything that the ledger follows, decoded.
            subscriptions: vec![Subscription {
                chains: vec![],
                addresses: vec![],
                events: vec![],
                topics: vec![],
                start_block: None,
                decode: true,
            }],
            tables: vec![],
        }
    }

    fn new(config: &str) -> Result<Self, String> {
        let config: Value = serde_json::from_str(config).map_err(|error| error.to_string())?;
        let sink = config["sink"].as_str().ok_or("say where to: config = { sink = \"NAME\" }")?;
        if !is_granted(sink) {
            return Err(format!("sink `{sink}` is not granted: sinks = [\"{sink}\"]"));
        }
        Ok(Self { sink: sink.to_owned() })
    }

    fn handle(&mut self, host: &mut dyn Host, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        for event in events(batch) {
            let key = event_key(batch, event.row);
            host.enqueue(Message::json(&self.sink, key, body(batch, event).to_string()))?;
        }
        Ok(Vec::new())
    }
}

/// The event, with its arguments where its declaration is known.
fn body(batch: &Batch, event: Event<'_>) -> Value {
    let row = event.row;
    let block = &batch.blocks[batch.block[row] as usize];
    let signature = batch.signatures.get(batch.signature[row] as usize);
    let decoded = batch.decoded.get(row).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let topics: Vec<String> = event.topics.chunks(32).map(hex).collect();
    json!({
        "chain_id": batch.chain_id,
        "block_number": block.number,
        "block_hash": hex(&block.hash),
        "block_time": block.time,
        "tx_hash": hex(&batch.tx_hash[32 * row..32 * (row + 1)]),
        "tx_index": batch.tx_index[row],
        "log_index": batch.log_index[row],
        "address": hex(event.address),
        "event": signature,
        "args": decoded,
        "topics": topics,
        "data": hex(event.data),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use headcount_plugin_sdk::FakeHost;

    fn handled(batch: &Batch) -> Vec<Message> {
        let mut host = FakeHost::default();
        let mut plugin = Webhook::new("{\"sink\":\"ops\"}").unwrap();
        assert!(plugin.handle(&mut host, batch).is_ok());
        host.messages
    }

    #[test]
    fn each_event_is_a_message_with_all_that_is_known_of_it() {
        let event = ([9; 20], vec![[1; 32], [2; 32]], vec![0xab]);
        let mut batch = FakeHost::batch(7, &[event.clone(), event]);
        batch.signatures = vec!["Set(uint256)".to_owned()];
        batch.signature[0] = 0;
        batch.decoded = vec!["{\"value\":\"12\"}".to_owned(), String::new()];
        let messages = handled(&batch);
        assert_eq!(messages.len(), 2);
        assert_ne!(messages[0].key, messages[1].key);
        let body: Value = serde_json::from_slice(&messages[0].body).unwrap();
        assert_eq!(body["event"], "Set(uint256)");
        assert_eq!(body["args"]["value"], "12");
        assert_eq!(body["topics"][1], format!("0x{}", "02".repeat(32)));
        assert_eq!(body["data"], "0xab");
        let raw: Value = serde_json::from_slice(&messages[1].body).unwrap();
        assert!(raw["event"].is_null() && raw["args"].is_null(), "{raw}");
    }

    #[test]
    fn an_event_that_comes_back_has_the_key_it_had_and_another_block_gives_another() {
        let event = ([9; 20], vec![[1; 32]], vec![]);
        let mut batch = FakeHost::batch(1, std::slice::from_ref(&event));
        let mut again = FakeHost::batch(500, &[event]);
        again.id = 77;
        assert_eq!(handled(&batch)[0].key, handled(&again)[0].key);
        // A node that told the event wrongly leaves another key than the true one has.
        again.topics[0] ^= 1;
        assert_ne!(handled(&batch)[0].key, handled(&again)[0].key);
        batch.blocks[0].hash = vec![3; 32];
        assert_ne!(handled(&batch)[0].key, handled(&again)[0].key);
    }

    #[test]
    fn without_a_sink_it_says_how_to_name_one() {
        assert!(Webhook::new("{}").unwrap_err().contains("sink = "));
    }
}
