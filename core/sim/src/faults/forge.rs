//! Logs that never were: made from real ones, so that shape and bloom let them pass.

use alloy_primitives::{B256, Bytes};
use event::Log;

/// Returns the log with another value in it.
pub(crate) fn altered(log: &Log, key: u64) -> Log {
    let mut data = log.data.to_vec();
    if data.is_empty() {
        data = key.to_be_bytes().to_vec();
    } else {
        let last = data.len() - 1;
        // Never the same byte.
        data[last] ^= 1 + (key % 255) as u8;
    }
    Log { data: Bytes::from(data), ..log.clone() }
}

/// Returns a log of a transaction that the block does not have.
pub(crate) fn invented(log: &Log, key: u64) -> Log {
    let mut tx_hash = log.tx_hash.0;
    tx_hash[..8].copy_from_slice(&key.to_be_bytes());
    Log {
        tx_hash: B256::from(tx_hash),
        tx_index: log.tx_index + 1,
        log_index: log.log_index + 1_000,
        ..log.clone()
    }
}
