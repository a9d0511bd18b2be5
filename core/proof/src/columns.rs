//! The columns of a report's logs, before anything reads them. A report may come from another
//! process: offsets or indexes that do not fit must end in a flaw, not in a panic.

use event::Logs;

/// Whether every row can be read: equal lengths, rising offsets that end where the data ends, at
/// most four topics each, and a block that exists.
pub(crate) fn well_formed(logs: &Logs, blocks: usize) -> bool {
    let len = logs.block.len();
    logs.tx_hash.len() == len
        && logs.tx_index.len() == len
        && logs.log_index.len() == len
        && logs.address.len() == len
        && fits(&logs.topic_offsets, len, logs.topics.len(), 4)
        && fits(&logs.data_offsets, len, logs.data.len(), u32::MAX)
        && logs.block.iter().all(|block| (*block as usize) < blocks)
}

fn fits(offsets: &[u32], len: usize, end: usize, widest: u32) -> bool {
    offsets.len() == len + 1
        && offsets[0] == 0
        && offsets[len] as usize == end
        && offsets.windows(2).all(|pair| pair[0] <= pair[1] && pair[1] - pair[0] <= widest)
}

/// Rows by block, each block's in the order of the report.
#[derive(Debug)]
pub(crate) struct RowsByBlock {
    starts: Vec<u32>,
    rows: Vec<u32>,
}

impl RowsByBlock {
    /// Counting sort: one pass to count, one to place. `logs` is well formed.
    pub(crate) fn new(logs: &Logs, blocks: usize) -> Self {
        let mut starts = vec![0u32; blocks + 1];
        for block in &logs.block {
            starts[*block as usize + 1] += 1;
        }
        for block in 0..blocks {
            starts[block + 1] += starts[block];
        }
        let mut next = starts.clone();
        let mut rows = vec![0u32; logs.block.len()];
        for (row, block) in logs.block.iter().enumerate() {
            let at = &mut next[*block as usize];
            rows[*at as usize] = row as u32;
            *at += 1;
        }
        Self { starts, rows }
    }

    /// Returns the rows of one block.
    pub(crate) fn of(&self, block: usize) -> &[u32] {
        &self.rows[self.starts[block] as usize..self.starts[block + 1] as usize]
    }
}
