//! A batch as the contract has it.

use crate::bindings::headcount::plugin::types;
use event::{Batch, Phase};

/// Returns the columns of a batch, packed.
pub(crate) fn batch(batch: &Batch) -> types::Batch {
    let logs = &batch.logs;
    types::Batch {
        id: batch.id,
        attempt: batch.attempt,
        phase: match batch.phase {
            Phase::Backfill => types::Phase::Backfill,
            Phase::Live => types::Phase::Live,
        },
        chain_id: batch.chain.0,
        finalized: batch.finalized,
        blocks: batch
            .blocks
            .iter()
            .map(|block| types::Block {
                number: block.number,
                time: block.timestamp,
                hash: block.hash.to_vec(),
                parent_hash: block.parent.map(|hash| hash.to_vec()).unwrap_or_default(),
            })
            .collect(),
        len: logs.len() as u32,
        seq: batch.seq.clone(),
        block: logs.block.clone(),
        tx_index: logs.tx_index.clone(),
        log_index: logs.log_index.clone(),
        tx_hash: packed(&logs.tx_hash),
        address: packed(&logs.address),
        topic_off: logs.topic_offsets.clone(),
        topics: packed(&logs.topics),
        data_off: logs.data_offsets.clone(),
        data: logs.data.clone(),
        signature: batch.signature.clone(),
        signatures: batch.signatures.clone(),
        decoded: batch.decoded.clone(),
    }
}

fn packed<T: AsRef<[u8]>>(values: &[T]) -> Vec<u8> {
    let width = values.first().map_or(0, |value| value.as_ref().len());
    let mut bytes = Vec::with_capacity(width * values.len());
    for value in values {
        bytes.extend_from_slice(value.as_ref());
    }
    bytes
}
