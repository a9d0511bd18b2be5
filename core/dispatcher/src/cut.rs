//! Cuts pages of the ledger into batches of whole blocks, and batches into halves.

use crate::{LanePolicy, group::Group};
use event::{
    Batch, BatchBlock, BlockRange, ChainId, Decoder, EventPage, Logs, Phase, UNKNOWN_SIGNATURE,
};
use std::{ops::Range, sync::Arc};

/// A part of a cut that is delivered by itself: the whole at first, halves after a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) rows: Range<usize>,
    pub(crate) id: u64,
    pub(crate) attempt: u32,
}

/// Whole blocks taken off a page. It is finished when nothing of `work` is left.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) rows: Range<usize>,
    /// First and last block with events.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Whether all of it was final when it was cut: then nothing of it is ever undone.
    pub(crate) is_final: bool,
    /// Delivery number of its first event.
    pub(crate) first_seq: u64,
    pub(crate) next_id: u64,
    /// Parts not handled yet, the next one last.
    pub(crate) work: Vec<Unit>,
    pub(crate) dead: usize,
    is_open: bool,
}

impl Cut {
    /// Takes blocks off `page` from row `at`, which must exist.
    pub(crate) fn take(
        page: &EventPage,
        at: usize,
        finalized: u64,
        (first_seq, id): (u64, u64),
        policy: &LanePolicy,
    ) -> Self {
        let block_of = |row: usize| page.blocks[page.logs.block[row] as usize].number;
        let first = block_of(at);
        let is_final = first <= finalized;
        let (mut end, mut last, mut bytes) = (at, first, 0);
        while end < page.logs.len() {
            let block = block_of(end);
            let block_end =
                (end..page.logs.len()).find(|r| block_of(*r) != block).unwrap_or(page.logs.len());
            let block_bytes = (end..block_end).map(|r| row_bytes(&page.logs, r)).sum::<usize>();
            let is_first = end == at;
            let fits = block_end - at <= policy.batch_events
                && bytes + block_bytes <= policy.batch_bytes
                && block <= finalized;
            if !is_first && !fits {
                break;
            }
            (end, last, bytes) = (block_end, block, bytes + block_bytes);
            if !is_final {
                break;
            }
        }
        let rows = at..end;
        let work = vec![Unit { rows: rows.clone(), id, attempt: 1 }];
        Self {
            rows,
            first,
            last,
            is_final,
            first_seq,
            next_id: id + 1,
            work,
            dead: 0,
            is_open: false,
        }
    }

    /// Makes room for its effects, once.
    pub(crate) fn open(&mut self, group: &mut Group) {
        if let (false, Some(range)) = (self.is_open, BlockRange::new(self.first, self.last)) {
            group.open(range, self.is_final);
            self.is_open = true;
        }
    }

    /// Whether it is still whole and untried parts of it have left no effect.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.work.as_slice(), [unit] if unit.rows == self.rows)
    }

    pub(crate) const fn seq_of(&self, row: usize) -> u64 {
        self.first_seq + (row - self.rows.start) as u64
    }

    /// Returns the row that carries delivery number `seq`, if it lies in `rows`.
    pub(crate) fn row_of(&self, seq: u64, rows: &Range<usize>) -> Option<usize> {
        let offset = usize::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        let row = self.rows.start.checked_add(offset)?;
        rows.contains(&row).then_some(row)
    }

    /// Replaces the part in hand by its halves: between two blocks where it has several, else
    /// between two events. It must have more than one event.
    pub(crate) fn split(&mut self, page: &EventPage) {
        let Some(unit) = self.work.pop() else { return };
        let middle = unit.rows.start + unit.rows.len() / 2;
        let starts_block = |row: &usize| page.logs.block[*row] != page.logs.block[*row - 1];
        let at = (middle..unit.rows.end)
            .find(starts_block)
            .or_else(|| (unit.rows.start + 1..middle).rev().find(starts_block))
            .unwrap_or(middle);
        for rows in [at..unit.rows.end, unit.rows.start..at] {
            self.work.push(Unit { rows, id: 0, attempt: 1 });
        }
        // Numbered in the order of delivery.
        let halves = self.work.len() - 2;
        for unit in self.work[halves..].iter_mut().rev() {
            unit.id = self.next_id;
            self.next_id += 1;
        }
    }
}

/// What of a batch does not depend on the rows.
pub(crate) struct Frame<'a> {
    pub(crate) chain: ChainId,
    pub(crate) finalized: u64,
    /// Topic 0 and signature of each event that the plugin named.
    pub(crate) signatures: &'a [(alloy_primitives::B256, String)],
    pub(crate) decoder: Option<&'a Arc<dyn Decoder>>,
}

/// Returns the batch of a part of a cut.
pub(crate) fn batch(frame: &Frame<'_>, page: &EventPage, cut: &Cut, unit: &Unit) -> Batch {
    let (logs, first_block) = slice(&page.logs, unit.rows.clone());
    let last_block = first_block + logs.block.last().map_or(0, |block| *block as usize);
    let blocks: Vec<BatchBlock> = page.blocks[first_block..=last_block].to_vec();
    let mut signatures: Vec<String> = frame.signatures.iter().map(|(_, s)| s.clone()).collect();
    let mut signature = Vec::with_capacity(logs.len());
    let mut decoded = Vec::new();
    for log in logs.rows() {
        let known = log
            .topics
            .first()
            .and_then(|topic| frame.signatures.iter().position(|(topic0, _)| topic0 == topic));
        let mut index = known.map_or(UNKNOWN_SIGNATURE, |i| i as u32);
        if let Some(decoder) = frame.decoder {
            let (text, json) = decoder.json(frame.chain, log).unwrap_or_default();
            if index == UNKNOWN_SIGNATURE && !text.is_empty() {
                let at = signatures.iter().position(|s| s == text).unwrap_or_else(|| {
                    signatures.push(text.to_owned());
                    signatures.len() - 1
                });
                index = at as u32;
            }
            decoded.push(json);
        }
        signature.push(index);
    }
    Batch {
        id: unit.id,
        attempt: unit.attempt,
        phase: if cut.is_final { Phase::Backfill } else { Phase::Live },
        chain: frame.chain,
        finalized: frame.finalized,
        blocks,
        seq: unit.rows.clone().map(|row| cut.seq_of(row)).collect(),
        logs,
        signature,
        signatures,
        decoded,
    }
}

fn row_bytes(logs: &Logs, row: usize) -> usize {
    // Hash, address and the small columns, then what varies.
    96 + 32 * logs.topics_of(row).len() + logs.data_of(row).len()
}

/// Returns some rows, with `block` counted from the first one's, and that block.
fn slice(logs: &Logs, rows: Range<usize>) -> (Logs, usize) {
    let first_block = logs.block[rows.start];
    let (topic_from, topic_to) = (logs.topic_offsets[rows.start], logs.topic_offsets[rows.end]);
    let (data_from, data_to) = (logs.data_offsets[rows.start], logs.data_offsets[rows.end]);
    let shifted = |offsets: &[u32], by: u32| offsets.iter().map(|o| o - by).collect();
    let part = Logs {
        block: shifted(&logs.block[rows.clone()], first_block),
        tx_hash: logs.tx_hash[rows.clone()].to_vec(),
        tx_index: logs.tx_index[rows.clone()].to_vec(),
        log_index: logs.log_index[rows.clone()].to_vec(),
        address: logs.address[rows.clone()].to_vec(),
        topic_offsets: shifted(&logs.topic_offsets[rows.start..=rows.end], topic_from),
        topics: logs.topics[topic_from as usize..topic_to as usize].to_vec(),
        data_offsets: shifted(&logs.data_offsets[rows.start..=rows.end], data_from),
        data: logs.data[data_from as usize..data_to as usize].to_vec(),
    };
    (part, first_block as usize)
}
