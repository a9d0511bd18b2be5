//! Multiset identity: how often the same log was seen before in its transaction.
//!
//! Contents are compared directly, inside one transaction only, so that no digest is computed for
//! the usual report. Does not look at what the ledger holds.

use event::Logs;
use std::cmp::Ordering;

/// Logs of one transaction up to which comparing each with each beats sorting.
const PAIRWISE_MAX: usize = 12;

/// Returns for each row how many earlier rows of the same block and transaction are identical.
pub(crate) fn occurrences(logs: &Logs) -> Vec<u32> {
    let mut counter = Counter { logs, occurrence: vec![0; logs.len()], scratch: Vec::new() };
    if logs.block.is_sorted() {
        let mut runs = Vec::new();
        let mut start = 0;
        for block in logs.block.chunk_by(|a, b| a == b) {
            counter.count_block(start, start + block.len(), &mut runs);
            start += block.len();
        }
    } else {
        // A node that mixes blocks: sort first, keeping the node's order among equals.
        let mut order: Vec<u32> = (0..logs.len() as u32).collect();
        order.sort_by_key(|row| (logs.block[*row as usize], logs.tx_hash[*row as usize]));
        counter.count_sorted(&order);
    }
    counter.occurrence
}

struct Counter<'a> {
    logs: &'a Logs,
    occurrence: Vec<u32>,
    scratch: Vec<u32>,
}

impl Counter<'_> {
    /// Rows `start..end` are one block. `runs` is scratch space.
    fn count_block(&mut self, start: usize, end: usize, runs: &mut Vec<(usize, usize)>) {
        runs.clear();
        let mut first = start;
        for run in self.logs.tx_hash[start..end].chunk_by(|a, b| a == b) {
            runs.push((first, first + run.len()));
            first += run.len();
        }
        if runs.len() == end - start && runs.len() == 1 {
            return;
        }
        if self.is_split(runs) {
            let mut order: Vec<u32> = (start as u32..end as u32).collect();
            order.sort_by_key(|row| self.logs.tx_hash[*row as usize]);
            self.count_sorted(&order);
            return;
        }
        for (first, end) in runs.iter().copied() {
            if end - first > 1 {
                self.scratch.clear();
                self.scratch.extend(first as u32..end as u32);
                self.count_group();
            }
        }
    }

    /// Whether a transaction comes back after another one.
    fn is_split(&self, runs: &mut [(usize, usize)]) -> bool {
        let hash = |run: &(usize, usize)| &self.logs.tx_hash[run.0];
        if runs.len() < 2 {
            return false;
        }
        runs.sort_unstable_by(|a, b| hash(a).cmp(hash(b)));
        runs.windows(2).any(|pair| hash(&pair[0]) == hash(&pair[1]))
    }

    fn count_sorted(&mut self, order: &[u32]) {
        let key = |row: u32| (self.logs.block[row as usize], &self.logs.tx_hash[row as usize]);
        let groups: Vec<&[u32]> =
            order.chunk_by(|a, b| key(*a) == key(*b)).filter(|group| group.len() > 1).collect();
        for group in groups {
            self.scratch.clear();
            self.scratch.extend_from_slice(group);
            self.count_group();
        }
    }

    /// `scratch` holds the rows of one transaction, in the node's order.
    fn count_group(&mut self) {
        if self.scratch.len() <= PAIRWISE_MAX {
            for (i, row) in self.scratch.iter().enumerate() {
                let same = self.scratch[..i].iter().filter(|r| self.content(**r, *row).is_eq());
                self.occurrence[*row as usize] = same.count() as u32;
            }
            return;
        }
        let mut rows = std::mem::take(&mut self.scratch);
        rows.sort_by(|a, b| self.content(*a, *b));
        for same in rows.chunk_by(|a, b| self.content(*a, *b).is_eq()).collect::<Vec<_>>() {
            for (count, row) in same.iter().enumerate() {
                self.occurrence[*row as usize] = count as u32;
            }
        }
        self.scratch = rows;
    }

    fn content(&self, a: u32, b: u32) -> Ordering {
        let (a, b) = (a as usize, b as usize);
        let logs = self.logs;
        logs.data_of(a)
            .cmp(logs.data_of(b))
            .then_with(|| logs.topics_of(a).cmp(logs.topics_of(b)))
            .then_with(|| logs.address[a].cmp(&logs.address[b]))
    }
}
