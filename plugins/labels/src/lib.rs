//! A name for every address that sends or receives a token, asked of a service over HTTP: table `labels`.
//!
//! `config = { url = "https://names.example/lookup" }`, and `http = ["names.example"]` beside it. Of each
//! batch the addresses that are new are asked for at once: a POST of `{"addresses": ["0x...", ...]}`, to
//! which the answer is an object of name by address. What an answer said stays as it is, as rows and state
//! are; who wants newer names rebuilds the plugin.

use headcount_plugin_sdk::{
    Batch, Describe, Descriptor, Failure, Host, Plugin, Rejection, Request, Rows, events,
    export_plugin, hex, may_fetch,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Characters of a name that are kept.
const LABEL_CHARS: usize = 100;

/// The plugin.
#[derive(Debug)]
pub struct Labels {
    url: String,
}

export_plugin!(Labels, http);

impl Plugin for Labels {
    fn describe() -> Descriptor {
        use headcount_plugin_sdk::ColumnType::{Address, Text};
        Describe::plugin("labels", env!("CARGO_PKG_VERSION"))
            .event("Transfer(address,address,uint256)")
            .table("labels", &["address"], &[("address", Address), ("label", Text)])
            .done()
    }

    fn new(config: &str) -> Result<Self, String> {
        let config: Value = serde_json::from_str(config).map_err(|error| error.to_string())?;
        let url =
            config["url"].as_str().ok_or("say whom to ask: config = { url = \"https://...\" }")?;
        if !may_fetch(url) {
            return Err("the host of `url` is not granted: http = [\"HOST\"]".to_owned());
        }
        Ok(Self { url: url.to_owned() })
    }

    fn handle(&mut self, host: &mut dyn Host, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        let new = unknown(host, batch);
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let wanted: Vec<String> = new.keys().map(|address| hex(address)).collect();
        let body = json!({ "addresses": wanted }).to_string();
        // Busy, down or too slow: the batch comes again. A name that nobody has is asked for once.
        let answer = host.fetch(&Request::post_json(&self.url, body))?.ok()?;
        let names: BTreeMap<String, String> = serde_json::from_slice(&answer.body)
            .map_err(|error| Failure::Reject(format!("no object of names: {error}")))?;
        let known: Vec<_> = new.keys().map(|address| (address.clone(), Vec::new())).collect();
        host.set_many(&known)?;
        let named = new.into_iter().zip(wanted);
        let named =
            named.filter_map(|((address, seq), key)| Some((address, seq, names.get(&key)?)));
        let (mut seqs, mut addresses, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for (address, seq, label) in named {
            seqs.push(seq);
            addresses.extend(address);
            labels.push(label.chars().take(LABEL_CHARS).collect());
        }
        host.emit(Rows::new("labels", seqs).addresses("address", addresses).text("label", labels))?;
        Ok(Vec::new())
    }
}

/// Returns addresses that were never asked for, each with the event that it was first seen in.
fn unknown(host: &mut dyn Host, batch: &Batch) -> BTreeMap<Vec<u8>, u64> {
    let mut seen = BTreeMap::new();
    for event in events(batch) {
        for topic in [1, 2].into_iter().filter_map(|i| event.topic(i)) {
            seen.entry(topic[12..].to_vec()).or_insert(event.seq);
        }
    }
    let keys: Vec<Vec<u8>> = seen.keys().cloned().collect();
    let known = host.get_many(&keys);
    keys.iter().zip(known).filter(|(_, known)| known.is_some()).for_each(|(key, _)| {
        seen.remove(key);
    });
    seen
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use headcount_plugin_sdk::bindings::headcount::plugin::output::ColumnData;
    use headcount_plugin_sdk::{FakeHost, Response};

    fn word(last: u8) -> [u8; 32] {
        let mut word = [0; 32];
        word[31] = last;
        word
    }

    fn answer(status: u16, body: &str) -> Response {
        Response { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn each_address_is_asked_for_once_and_named_if_it_has_a_name() {
        let mut plugin = Labels::new("{\"url\":\"https://names.example/\"}").unwrap();
        let mut host = FakeHost::default();
        let batch = FakeHost::batch(7, &[([9; 20], vec![word(0), word(1), word(2)], vec![0; 32])]);
        let name = format!("{{\"0x{}02\":\"alice\"}}", "00".repeat(19));
        host.answers.push_back(answer(200, &name));
        plugin.handle(&mut host, &batch).unwrap();
        plugin.handle(&mut host, &batch).unwrap();
        let [request] = &host.requests[..] else { panic!("{:?}", host.requests) };
        assert!(String::from_utf8_lossy(&request.body).contains("01\",\"0x"), "{request:?}");
        let [rows] = &host.rows[..] else { panic!("{:?}", host.rows) };
        assert_eq!(rows.seqs, [7]);
        assert!(matches!(&rows.columns[1].data, ColumnData::Text(names) if names == &["alice"]));
    }

    #[test]
    fn a_service_that_is_down_is_asked_again_and_one_that_talks_nonsense_is_not() {
        let mut plugin = Labels::new("{\"url\":\"https://names.example/\"}").unwrap();
        let batch = FakeHost::batch(1, &[([9; 20], vec![word(0), word(1), word(2)], vec![])]);
        let mut told = |answers: &[Response]| {
            let mut host = FakeHost::default();
            host.answers.extend(answers.iter().cloned());
            plugin.handle(&mut host, &batch).err()
        };
        assert!(matches!(told(&[]), Some(Failure::Retry(_))), "no answer in time");
        assert!(matches!(told(&[answer(503, "")]), Some(Failure::Retry(_))));
        assert!(matches!(told(&[answer(200, "<html>")]), Some(Failure::Reject(_))));
        assert!(matches!(told(&[answer(404, "")]), Some(Failure::Reject(_))));
    }
}
