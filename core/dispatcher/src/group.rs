//! Effects of many batches, collapsed into what one commit writes.

use alloy_primitives::B256;
use event::{
    BlockRange, ColumnData, DeadLetter, Descriptor, LaneRows, Message, Packed, PluginState,
    StateWrite, TableRows,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Uncommitted work of a lane.
#[derive(Debug, Default)]
pub(crate) struct Group {
    entries: Vec<Entry>,
    pub(crate) dead_letters: Vec<DeadLetter>,
    /// Values as they are in the ledger, of every key written since; put back in any order.
    old: HashMap<Vec<u8>, Option<Vec<u8>>>,
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// One batch that can be undone by itself, or many final ones.
#[derive(Debug)]
struct Entry {
    range: BlockRange,
    is_final: bool,
    tables: BTreeMap<usize, Table>,
    /// Sorted when it is written: a key is written again and again before that.
    state: HashMap<Vec<u8>, Option<Vec<u8>>>,
    messages: Vec<Message>,
}

#[derive(Debug, Default)]
struct Table {
    chunks: Vec<(TableRows, Vec<u64>, Vec<B256>)>,
    /// Chunk and row that wrote a key last. Looked up, never iterated.
    last: HashMap<Vec<u8>, (usize, usize)>,
}

impl Group {
    /// Number of batches, dead letters and keys held.
    pub(crate) fn held(&self) -> usize {
        self.entries.len() + self.dead_letters.len() + self.old.len()
    }

    /// Makes room for a batch: final ones share an entry.
    pub(crate) fn open(&mut self, range: BlockRange, is_final: bool) {
        if let Some(last) = self.entries.last_mut().filter(|last| last.is_final && is_final) {
            let end = range.last().max(last.range.last());
            last.range = BlockRange::new(last.range.first(), end).unwrap_or(range);
            return;
        }
        let (tables, state) = (BTreeMap::new(), HashMap::new());
        self.entries.push(Entry { range, is_final, tables, state, messages: Vec::new() });
    }

    /// Adds rows of the batch that was opened last.
    pub(crate) fn rows(
        &mut self,
        descriptor: &Descriptor,
        rows: TableRows,
        numbers: Vec<u64>,
        hashes: Vec<B256>,
    ) {
        let Some(entry) = self.entries.last_mut() else { return };
        self.bytes += rows.columns.iter().map(column_bytes).sum::<usize>() + 48 * rows.seq.len();
        let declared = &descriptor.tables[rows.table];
        let key: Vec<usize> = declared
            .key
            .iter()
            .filter_map(|name| declared.columns.iter().position(|column| column.name == *name))
            .collect();
        let table = entry.tables.entry(rows.table).or_default();
        if !key.is_empty() {
            let mut bytes = Vec::with_capacity(64);
            for row in 0..rows.seq.len() {
                key_of(&rows, &key, row, &mut bytes);
                let place = (table.chunks.len(), row);
                match table.last.get_mut(&bytes) {
                    Some(last) => *last = place,
                    None => drop(table.last.insert(bytes.clone(), place)),
                }
            }
        }
        table.chunks.push((rows, numbers, hashes));
    }

    /// Applies state writes of the batch that was opened last, keeping what they replace.
    pub(crate) fn state(&mut self, state: &mut Arc<PluginState>, writes: Vec<StateWrite>) {
        let Some(entry) = self.entries.last_mut() else { return };
        if writes.is_empty() {
            return;
        }
        let state = Arc::make_mut(state);
        for (key, value) in writes {
            self.bytes += key.len() + value.as_ref().map_or(0, Vec::len) + 64;
            let before = state.write(&key, value.clone());
            if !self.old.contains_key(&key) {
                self.old.insert(key.clone(), before);
            }
            match entry.state.get_mut(&key) {
                Some(last) => *last = value,
                None => drop(entry.state.insert(key, value)),
            }
        }
    }

    /// Adds messages of the batch that was opened last.
    pub(crate) fn messages(&mut self, messages: Vec<Message>) {
        let Some(entry) = self.entries.last_mut() else { return };
        let bytes = |message: &Message| message.key.len() + message.body.len() + 64;
        self.bytes += messages.iter().map(bytes).sum::<usize>();
        entry.messages.extend(messages);
    }

    /// Puts every key back to what the ledger has and forgets the rest.
    pub(crate) fn roll_back(&mut self, state: &mut Arc<PluginState>) {
        let group = std::mem::take(self);
        if group.old.is_empty() {
            return;
        }
        let state = Arc::make_mut(state);
        for (key, value) in group.old {
            state.write(&key, value);
        }
    }

    /// Moves out what a commit writes. The old values stay until [`Self::settle`].
    pub(crate) fn write(&mut self) -> Written {
        let mut written = Written::default();
        for (index, entry) in std::mem::take(&mut self.entries).into_iter().enumerate() {
            let batch = index as u32;
            written.batches.push(entry.range);
            if !entry.state.is_empty() {
                let mut writes: Vec<StateWrite> = entry.state.into_iter().collect();
                writes.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
                written.state.push((batch, writes));
            }
            if !entry.messages.is_empty() {
                written.messages.push((batch, entry.messages));
            }
            for table in entry.tables.into_values() {
                written.rows.extend(table.collapse(batch));
            }
        }
        written.dead_letters = std::mem::take(&mut self.dead_letters);
        written
    }

    /// The commit took effect.
    pub(crate) fn settle(&mut self) {
        *self = Self::default();
    }
}

/// The parts of a commit that come from the plugin.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) batches: Vec<BlockRange>,
    pub(crate) rows: Vec<LaneRows>,
    pub(crate) state: Vec<(u32, Vec<StateWrite>)>,
    pub(crate) messages: Vec<(u32, Vec<Message>)>,
    pub(crate) dead_letters: Vec<DeadLetter>,
}

impl Table {
    /// Returns the rows to write: all, or of each key the last.
    fn collapse(self, batch: u32) -> Vec<LaneRows> {
        let mut keep: Vec<Vec<bool>> = self
            .chunks
            .iter()
            .map(|(rows, ..)| vec![self.last.is_empty(); rows.seq.len()])
            .collect();
        // The order of this loop leaves no trace: it only sets marks.
        for (chunk, row) in self.last.values() {
            keep[*chunk][*row] = true;
        }
        let chunks = self.chunks.into_iter().zip(keep);
        chunks
            .filter_map(|((rows, numbers, hashes), keep)| {
                if keep.iter().all(|k| *k) {
                    return Some(LaneRows {
                        batch,
                        rows,
                        block_number: numbers,
                        block_hash: hashes,
                    });
                }
                let block_number = pick(&numbers, &keep);
                (!block_number.is_empty()).then(|| LaneRows {
                    batch,
                    rows: filtered(&rows, &keep),
                    block_number,
                    block_hash: pick(&hashes, &keep),
                })
            })
            .collect()
    }
}

fn pick<T: Copy>(values: &[T], keep: &[bool]) -> Vec<T> {
    values.iter().zip(keep).filter(|(_, keep)| **keep).map(|(value, _)| *value).collect()
}

fn filtered(rows: &TableRows, keep: &[bool]) -> TableRows {
    let packed = |values: &Packed| {
        let mut kept = Packed::default();
        for (row, _) in keep.iter().enumerate().filter(|(_, keep)| **keep) {
            kept.push(values.get(row));
        }
        kept
    };
    let columns = rows.columns.iter().map(|column| match column {
        ColumnData::Bool(values) => ColumnData::Bool(pick(values, keep)),
        ColumnData::U64(values) => ColumnData::U64(pick(values, keep)),
        ColumnData::I64(values) => ColumnData::I64(pick(values, keep)),
        ColumnData::F64(values) => ColumnData::F64(pick(values, keep)),
        ColumnData::Text(values) => ColumnData::Text(packed(values)),
        ColumnData::Blob(values) => ColumnData::Blob(packed(values)),
    });
    let mut moved_to = Vec::with_capacity(keep.len());
    let mut next = 0_u32;
    for keep in keep {
        moved_to.push(next);
        next += u32::from(*keep);
    }
    let nulls = rows.nulls.iter().map(|nulls| {
        let kept = nulls.iter().filter(|row| keep[**row as usize]);
        kept.map(|row| moved_to[*row as usize]).collect()
    });
    TableRows {
        table: rows.table,
        seq: pick(&rows.seq, keep),
        columns: columns.collect(),
        nulls: nulls.collect(),
    }
}

/// Puts the key of a row into `bytes`, so that they differ when keys differ.
fn key_of(rows: &TableRows, key: &[usize], row: usize, bytes: &mut Vec<u8>) {
    bytes.clear();
    for column in key {
        if rows.nulls.get(*column).is_some_and(|nulls| nulls.contains(&(row as u32))) {
            bytes.push(0);
            continue;
        }
        bytes.push(1);
        match &rows.columns[*column] {
            ColumnData::Bool(values) => bytes.push(u8::from(values[row])),
            ColumnData::U64(values) => bytes.extend(values[row].to_be_bytes()),
            ColumnData::I64(values) => bytes.extend(values[row].to_be_bytes()),
            ColumnData::F64(values) => bytes.extend(values[row].to_bits().to_be_bytes()),
            ColumnData::Text(values) | ColumnData::Blob(values) => {
                let value = values.get(row);
                bytes.extend((value.len() as u32).to_be_bytes());
                bytes.extend(value);
            }
        }
    }
}

fn column_bytes(column: &ColumnData) -> usize {
    match column {
        ColumnData::Bool(values) => values.len(),
        ColumnData::U64(values) => 8 * values.len(),
        ColumnData::I64(values) => 8 * values.len(),
        ColumnData::F64(values) => 8 * values.len(),
        ColumnData::Text(values) | ColumnData::Blob(values) => {
            values.bytes.len() + 4 * values.len()
        }
    }
}
