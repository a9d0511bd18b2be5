//! What a node has withheld and made up so far, event by event, however often it was asked.

use alloy_primitives::B256;
use event::{Answer, ChainId, EventId, Log, LogRef, LogsAnswer, content_digest};
use sim::Told;
use std::collections::{BTreeMap, BTreeSet};

/// Events that a node's answers lacked or had too much, against what it knew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events that some answer lacked although the node had them.
    pub missed: BTreeSet<EventId>,
    /// Events of some answer that never were.
    pub made_up: BTreeSet<EventId>,
    /// Questions answered, with an answer or a fault.
    pub answers: u64,
}

impl Tally {
    /// Takes an answer that went out.
    pub(crate) fn count(&mut self, chain: ChainId, told: &Told) {
        let Answer::Logs(answer) = &told.answer else { return };
        let said = event_ids(chain, answer);
        let truth = ids_of(chain, &told.truth);
        self.missed.extend(truth.difference(&said));
        self.made_up.extend(said.difference(&truth));
    }
}

/// Numbers identical logs of a transaction, as identities do.
#[derive(Default)]
struct Occurrences(BTreeMap<(B256, B256, B256), u32>);

impl Occurrences {
    fn id(&mut self, chain: ChainId, block_hash: B256, log: LogRef<'_>) -> EventId {
        let (tx_hash, digest) = (*log.tx_hash, content_digest(log));
        let count = self.0.entry((block_hash, tx_hash, digest)).or_default();
        let occurrence = *count;
        *count += 1;
        EventId { chain, block_hash, tx_hash, digest, occurrence }
    }
}

/// Returns the identities of the events of an answer.
pub fn event_ids(chain: ChainId, answer: &LogsAnswer) -> BTreeSet<EventId> {
    let mut occurrences = Occurrences::default();
    let rows = answer.logs.rows().filter_map(|row| {
        let (_, hash, _) = answer.blocks.get(row.block as usize)?;
        Some(occurrences.id(chain, *hash, row))
    });
    rows.collect()
}

fn ids_of(chain: ChainId, logs: &[Log]) -> BTreeSet<EventId> {
    let mut occurrences = Occurrences::default();
    logs.iter().map(|log| occurrences.id(chain, log.block_hash, LogRef::from(log))).collect()
}
