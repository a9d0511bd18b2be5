//! Messages to the sinks of the operator.

use crate::Batch;
pub use crate::bindings::headcount::plugin::outbox::Message;
use std::fmt::Write;

impl Message {
    /// Returns a message with a JSON body.
    pub fn json(sink: &str, key: String, body: String) -> Self {
        let content_type = "application/json".to_owned();
        Self { sink: sink.to_owned(), key, content_type, body: body.into_bytes() }
    }
}

/// Returns a key for an event that is the same whenever the event comes: after a restart, a rebuild, or
/// a reorg that brings its block back. What it says is part of it: an event that a node told wrongly, and
/// that was told before it was refuted, does not stand for the true one in its place.
pub fn event_key(batch: &Batch, row: usize) -> String {
    let block = &batch.blocks[batch.block[row] as usize];
    let tx_hash = &batch.tx_hash[32 * row..32 * (row + 1)];
    let (hash, tx_hash, said) = (hex(&block.hash), hex(tx_hash), digest(batch, row));
    format!("{hash}:{tx_hash}:{}:{said:016x}", batch.log_index[row])
}

/// FNV-1a over contract, topics and data.
fn digest(batch: &Batch, row: usize) -> u64 {
    let part = |offsets: &[u32], width: usize| {
        width * offsets[row] as usize..width * offsets[row + 1] as usize
    };
    let address = &batch.address[20 * row..20 * (row + 1)];
    let topics = &batch.topics[part(&batch.topic_off, 32)];
    let bytes = address.iter().chain(topics).chain(&batch.data[part(&batch.data_off, 1)]);
    bytes.fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Returns the bytes in hex, with `0x` in front.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("0x");
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Whether the operator lets the plugin send to this sink, so that [`crate::Plugin::new`] can refuse a
/// configuration that will not do. Outside of the sandbox every sink is granted.
pub fn is_granted(sink: &str) -> bool {
    #[cfg(target_family = "wasm")]
    return crate::bindings::headcount::plugin::outbox::is_granted(sink);
    #[cfg(not(target_family = "wasm"))]
    !sink.is_empty()
}
