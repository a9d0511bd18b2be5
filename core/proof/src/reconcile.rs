//! Logs of a block against receipts that are the truth about it. Compares multisets: a node's
//! order and indexes are attributes, which the receipts decide.

use event::{Filter, Log, LogRef, Logs, Receipt};
use std::collections::HashMap;

/// What the receipts say about the rows of one block.
#[derive(Debug, Default)]
pub(crate) struct Reconciled {
    /// Rows that no receipt has.
    pub(crate) forged: Vec<u32>,
    /// Rows that a receipt has with another log or transaction index; replaced by a recovered one.
    pub(crate) misplaced: Vec<u32>,
    /// How many logs the answer lacked.
    pub(crate) missing: u64,
    /// Missing and replacing logs, in block order.
    pub(crate) recovered: Vec<Truth>,
}

/// A log as the receipts prove it: where it stands is counted, not taken from the node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Truth {
    receipt: u32,
    log: u32,
    log_index: u32,
}

impl Truth {
    /// Returns the log as a row of report block `block`.
    pub(crate) fn row<'a>(&self, block: u32, receipts: &'a [Receipt]) -> LogRef<'a> {
        let receipt = &receipts[self.receipt as usize];
        let log = &receipt.logs[self.log as usize];
        LogRef {
            block,
            tx_hash: &receipt.tx_hash,
            tx_index: self.receipt,
            log_index: self.log_index,
            address: &log.address,
            topics: &log.topics,
            data: &log.data,
        }
    }
}

/// How many logs of the receipts carry an index that is not their position in the block (F37).
pub(crate) fn misnumbered(receipts: &[Receipt]) -> u64 {
    let logs = receipts.iter().flat_map(|receipt| &receipt.logs);
    logs.enumerate().filter(|(position, log)| log.log_index as usize != *position).count() as u64
}

/// Compares the rows of one block, all of which match `filter`, with its receipts.
pub(crate) fn reconcile(
    filter: &Filter,
    logs: &Logs,
    rows: impl Iterator<Item = u32>,
    receipts: &[Receipt],
) -> Reconciled {
    let truths = truths(receipts);
    let mut taken = vec![false; truths.len()];
    let mut unplaced = Vec::new();
    let mut out = Reconciled::default();
    // First by position, without hashing: an honest node's rows all end here.
    for row in rows {
        let said = logs.row(row as usize);
        let at = said.log_index as usize;
        let in_place = truths.get(at).is_some_and(|truth| {
            !taken[at] && truth.receipt == said.tx_index && same(said, truth.row(0, receipts))
        });
        if in_place {
            taken[at] = true;
        } else {
            unplaced.push(row);
        }
    }
    // Then by content, for rows whose indexes are wrong or that no receipt has.
    let mut by_content: HashMap<_, Vec<usize>> = HashMap::new();
    if !unplaced.is_empty() {
        for at in (0..truths.len()).rev().filter(|at| !taken[*at]) {
            by_content.entry(content(truths[at].row(0, receipts))).or_default().push(at);
        }
    }
    let mut replaced = vec![false; truths.len()];
    for row in unplaced {
        match by_content.get_mut(&content(logs.row(row as usize))).and_then(Vec::pop) {
            Some(at) => {
                taken[at] = true;
                replaced[at] = true;
                out.misplaced.push(row);
            }
            None => out.forged.push(row),
        }
    }
    for (at, truth) in truths.iter().enumerate() {
        if replaced[at] {
            out.recovered.push(*truth);
        } else if !taken[at] && filter.matches(truth.row(0, receipts)) {
            out.missing += 1;
            out.recovered.push(*truth);
        }
    }
    out
}

fn truths(receipts: &[Receipt]) -> Vec<Truth> {
    let positions = receipts.iter().enumerate().flat_map(|(receipt, found)| {
        let each = move |(log, _): (usize, &Log)| (receipt as u32, log as u32);
        found.logs.iter().enumerate().map(each)
    });
    positions
        .enumerate()
        .map(|(index, (receipt, log))| Truth { receipt, log, log_index: index as u32 })
        .collect()
}

fn content<'a>(log: LogRef<'a>) -> (&'a [u8], &'a [u8], &'a [alloy_primitives::B256], &'a [u8]) {
    (log.tx_hash.as_slice(), log.address.as_slice(), log.topics, log.data)
}

fn same(a: LogRef<'_>, b: LogRef<'_>) -> bool {
    content(a) == content(b)
}
