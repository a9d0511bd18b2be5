//! The rows of a report that may become events: shape, union with what receipts added, ids.
//!
//! Takes the columns apart only when it has to. Does not decide what is new.

use crate::occurrence::occurrences;
use alloy_primitives::B256;
use event::{
    ChainId, EventBatch, EventId, Judgement, LogRef, Logs, Report, ReportedBlock, content_digest,
};

/// Returns the identity of a row.
pub(crate) fn event_id(
    chain: ChainId,
    block_hash: B256,
    log: LogRef<'_>,
    occurrence: u32,
) -> EventId {
    EventId { chain, block_hash, tx_hash: *log.tx_hash, digest: content_digest(log), occurrence }
}

/// Returns why report and judgement do not hold together, if they do not. Everything after this
/// check may index freely.
pub(crate) fn misshapen(report: &Report, judgement: &Judgement) -> Option<&'static str> {
    let blocks = report.blocks.len();
    let rising = report.blocks.windows(2).all(|pair| pair[0].number < pair[1].number);
    if !rising || report.blocks.iter().any(|block| !report.range.contains(block.number)) {
        return Some("blocks of the report are not in order or not in its range");
    }
    if judgement.blocks.len() != blocks || judgement.admit.len() != report.logs.block.len() {
        return Some("the judgement is of another report");
    }
    if !is_whole(&report.logs, blocks) || !is_whole(&judgement.recovered.0, blocks) {
        return Some("columns of the report's logs do not fit together");
    }
    None
}

fn is_whole(logs: &Logs, blocks: usize) -> bool {
    let len = logs.block.len();
    let offsets = |offsets: &[u32], end: usize| {
        offsets.len() == len + 1
            && offsets.first() == Some(&0)
            && offsets.last().is_some_and(|last| *last as usize == end)
            && offsets.is_sorted()
    };
    logs.tx_hash.len() == len
        && logs.tx_index.len() == len
        && logs.log_index.len() == len
        && logs.address.len() == len
        && offsets(&logs.topic_offsets, logs.topics.len())
        && offsets(&logs.data_offsets, logs.data.len())
        && logs.block.iter().all(|block| (*block as usize) < blocks)
}

/// Rows that may become events, with their occurrence.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) logs: Logs,
    pub(crate) occurrence: Vec<u32>,
}

impl Rows {
    /// Takes the admitted rows, without copying when that is all of them, and the recovered ones
    /// in their place. Rows of blocks marked in `refused` are left out.
    pub(crate) fn take(logs: Logs, admit: &mut [bool], recovered: &Logs, refused: &[bool]) -> Self {
        for (admit, block) in admit.iter_mut().zip(&logs.block) {
            *admit &= !refused[*block as usize];
        }
        let all = admit.iter().all(|admit| *admit);
        let logs = if recovered.is_empty() {
            if all { logs } else { logs.filtered(admit) }
        } else {
            let given = logs.rows().zip(admit.iter()).filter(|(_, admit)| **admit);
            let mut rows: Vec<LogRef<'_>> = given
                .map(|(row, _)| row)
                .chain(recovered.rows().filter(|row| !refused[row.block as usize]))
                .collect();
            rows.sort_by_key(|row| (row.block, row.tx_index, row.log_index));
            let mut union = Logs::default();
            rows.into_iter().for_each(|row| union.push(row));
            union
        };
        let occurrence = occurrences(&logs);
        Self { logs, occurrence }
    }

    pub(crate) fn id(&self, chain: ChainId, block_hash: B256, row: usize) -> EventId {
        event_id(chain, block_hash, self.logs.row(row), self.occurrence[row])
    }

    /// Makes a batch of all rows.
    pub(crate) fn into_batch(self, blocks: &[ReportedBlock], journal_seq: u64) -> EventBatch {
        EventBatch {
            blocks: blocks.iter().map(|block| (block.number, block.hash)).collect(),
            logs: self.logs,
            occurrence: self.occurrence,
            journal_seq,
            typed: Vec::new(),
        }
    }

    /// Makes a batch of some rows, with only the blocks they need.
    pub(crate) fn batch(
        &self,
        rows: &[u32],
        blocks: &[ReportedBlock],
        journal_seq: u64,
    ) -> EventBatch {
        let mut batch = EventBatch {
            blocks: Vec::new(),
            logs: Logs::default(),
            occurrence: Vec::with_capacity(rows.len()),
            journal_seq,
            typed: Vec::new(),
        };
        let mut index: std::collections::BTreeMap<u32, u32> = std::collections::BTreeMap::new();
        for row in rows {
            let log = self.logs.row(*row as usize);
            let block = *index.entry(log.block).or_insert_with(|| {
                let block = &blocks[log.block as usize];
                batch.blocks.push((block.number, block.hash));
                (batch.blocks.len() - 1) as u32
            });
            batch.logs.push(LogRef { block, ..log });
            batch.occurrence.push(self.occurrence[*row as usize]);
        }
        batch
    }
}

/// Returns the ids of all logs in a block's receipts, sorted; `None` where they were not read.
pub(crate) fn receipt_ids(chain: ChainId, block: &ReportedBlock) -> Option<Vec<EventId>> {
    let mut logs = Logs::default();
    for receipt in block.receipts.as_ref()? {
        for log in &receipt.logs {
            logs.push(LogRef { tx_hash: &receipt.tx_hash, ..LogRef::from(log) });
        }
    }
    let occurrence = occurrences(&logs);
    let mut ids: Vec<EventId> = logs
        .rows()
        .zip(occurrence)
        .map(|(log, occurrence)| event_id(chain, block.hash, log, occurrence))
        .collect();
    ids.sort_unstable();
    Some(ids)
}
