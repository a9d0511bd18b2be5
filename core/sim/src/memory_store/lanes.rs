//! What plugins wrote, as versions tagged with their batch. Undoing is deleting the newer ones.

use super::Outbox;
use alloy_primitives::B256;
use event::{
    BlockRange, ColumnData, Cursor, DeadLetter, Descriptor, LaneCommit, LaneId, LaneRows,
    LaneState, LedgerError, PluginState, PluginTable,
};
use std::collections::{BTreeMap, btree_map::Entry};

/// All lanes.
#[derive(Clone, Debug, Default)]
pub struct Lanes {
    pub(super) tables: BTreeMap<String, Vec<PluginTable>>,
    /// By generation: the oldest is the one shown, the newest the one written.
    pub(super) lanes: BTreeMap<(String, event::ChainId), BTreeMap<u32, LaneImage>>,
    pub(super) outboxes: BTreeMap<(String, event::ChainId), Outbox>,
}

/// One value of a plugin's row, in a form that sorts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// NULL.
    Null,
    /// `Bool`.
    Bool(bool),
    /// `I64`.
    Int(i64),
    /// `U64`.
    Unsigned(u64),
    /// `F64`, by its bits.
    Double(u64),
    /// `Text` and `Blob`.
    Bytes(Vec<u8>),
}

/// A row that a plugin wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Batch that it came with.
    pub batch: u64,
    /// Delivery number of its event.
    pub seq: u64,
    /// Height of its block.
    pub block_number: u64,
    /// That block.
    pub block_hash: B256,
    /// Values in the order declared.
    pub cells: Vec<Cell>,
}

/// One generation of a lane.
#[derive(Clone, Debug, Default)]
pub struct LaneImage {
    /// Where it is.
    pub cursor: Cursor,
    start_block: u64,
    undo_floor: u64,
    pub(super) last_batch: u64,
    halted: Option<String>,
    pub(super) batches: BTreeMap<u64, BlockRange>,
    /// Versions by batch.
    pub(super) state: BTreeMap<Vec<u8>, BTreeMap<u64, Option<Vec<u8>>>>,
    pub(super) rows: BTreeMap<usize, Vec<Version>>,
    /// Events set aside, by delivery number.
    pub letters: BTreeMap<u64, DeadLetter>,
}

fn fault(lane: &LaneId, what: &str) -> LedgerError {
    LedgerError::Internal(format!("lane {} on chain {} {what}", lane.plugin, lane.chain))
}

impl Lanes {
    /// Returns the generation that is shown, if the lane ever ran.
    pub fn shown(&self, lane: &LaneId) -> Option<&LaneImage> {
        let generations = self.lanes.get(&(lane.plugin.clone(), lane.chain))?;
        generations.values().next()
    }

    /// Returns the messages of a lane, if it ever ran.
    pub fn outbox(&self, lane: &LaneId) -> Option<&Outbox> {
        self.outboxes.get(&(lane.plugin.clone(), lane.chain))
    }

    pub(super) fn send(&mut self, lane: &LaneId, count: usize) {
        if let Some(outbox) = self.outboxes.get_mut(&(lane.plugin.clone(), lane.chain)) {
            outbox.send(count);
        }
    }

    /// Returns the rows of a table as a view shows them, in order of delivery: of rows with the same
    /// key only the newest.
    pub fn rows(&self, lane: &LaneId, table: usize) -> Vec<Version> {
        let versions = self.shown(lane).and_then(|lane| lane.rows.get(&table));
        let versions = versions.map_or(&[][..], Vec::as_slice);
        let declared = self.tables.get(&lane.plugin).and_then(|tables| tables.get(table));
        let keys = declared.map(key_positions).unwrap_or_default();
        if keys.is_empty() {
            return versions.to_vec();
        }
        let mut newest: BTreeMap<Vec<&Cell>, &Version> = BTreeMap::new();
        for version in versions {
            let key = keys.iter().filter_map(|position| version.cells.get(*position)).collect();
            match newest.entry(key) {
                Entry::Vacant(place) => {
                    place.insert(version);
                }
                Entry::Occupied(mut place) => {
                    if place.get().batch <= version.batch {
                        place.insert(version);
                    }
                }
            }
        }
        let mut rows: Vec<Version> = newest.into_values().cloned().collect();
        rows.sort_by_key(|row| row.seq);
        rows
    }

    pub(crate) fn open(
        &mut self,
        lane: &LaneId,
        descriptor: &Descriptor,
    ) -> Result<LaneState, LedgerError> {
        let tables = self.tables.entry(lane.plugin.clone()).or_default();
        for table in &descriptor.tables {
            match tables.iter().find(|known| known.name == table.name) {
                Some(known) if known == table => {}
                Some(_) => {
                    let text = format!("table `{}` is stored with other columns", table.name);
                    return Err(LedgerError::Sql(text));
                }
                None => tables.push(table.clone()),
            }
        }
        let newest = self.lanes.get(&(lane.plugin.clone(), lane.chain));
        let newest = newest.and_then(BTreeMap::last_key_value);
        let Some((generation, image)) = newest else {
            return Ok(LaneState { generation: 1, ..LaneState::default() });
        };
        Ok(LaneState {
            cursor: Some(image.cursor),
            generation: *generation,
            start_block: image.start_block,
            undo_floor: image.undo_floor,
            batches: image.batches.values().copied().collect(),
            state: image.plugin_state(),
            halted: image.halted.clone(),
            retry_from: None,
            held: None,
            failing: None,
        })
    }

    /// Applies all or nothing.
    pub(crate) fn apply(&mut self, commits: &[LaneCommit]) -> Result<(), LedgerError> {
        // A lane is small, and a copy of those concerned is the simplest way back.
        let before: Vec<_> = commits
            .iter()
            .map(|commit| (commit.lane.plugin.clone(), commit.lane.chain))
            .map(|key| {
                (key.clone(), self.lanes.get(&key).cloned(), self.outboxes.get(&key).cloned())
            })
            .collect();
        let applied = commits.iter().try_for_each(|commit| self.apply_one(commit));
        if applied.is_err() {
            for (key, lane, outbox) in before {
                self.outboxes.insert(key.clone(), outbox.unwrap_or_default());
                match lane {
                    Some(lane) => self.lanes.insert(key, lane),
                    None => self.lanes.remove(&key),
                };
            }
        }
        applied
    }

    fn apply_one(&mut self, commit: &LaneCommit) -> Result<(), LedgerError> {
        let lane = &commit.lane;
        let tables = self.tables.get(&lane.plugin).ok_or_else(|| fault(lane, "was not opened"))?;
        let generations = self.lanes.entry((lane.plugin.clone(), lane.chain)).or_default();
        if generations.last_key_value().map(|(_, image)| image.cursor) != commit.before {
            return Err(fault(lane, "was moved by someone else"));
        }
        let outbox = self.outboxes.entry((lane.plugin.clone(), lane.chain)).or_default();
        if generations.last_key_value().is_some_and(|(newest, _)| *newest < commit.generation) {
            outbox.rebuild(commit.generation);
        }
        let image = generations.entry(commit.generation).or_insert_with(|| LaneImage {
            start_block: commit.start_block,
            ..LaneImage::default()
        });
        if let Some(from) = commit.undo_from {
            if from < image.undo_floor {
                return Err(fault(lane, &format!("cannot go back to {from}")));
            }
            if let Some(batch) = image.undo(lane, from)? {
                outbox.undo(commit.generation, batch);
            }
        }
        outbox.write(commit, image.last_batch)?;
        image.write(tables, commit)?;
        if commit.drop_older {
            generations.retain(|generation, _| *generation >= commit.generation);
        }
        Ok(())
    }
}

fn key_positions(table: &PluginTable) -> Vec<usize> {
    let is_key = |(_, column): &(usize, &event::PluginColumn)| table.key.contains(&column.name);
    table.columns.iter().enumerate().filter(is_key).map(|(position, _)| position).collect()
}

impl LaneImage {
    /// Returns the key-value state.
    pub fn plugin_state(&self) -> PluginState {
        let newest = self.state.iter().filter_map(|(key, versions)| {
            let value = versions.last_key_value()?.1.clone()?;
            Some((key.clone(), value))
        });
        newest.collect()
    }

    /// Returns the first batch that was undone, if any was.
    fn undo(&mut self, lane: &LaneId, from: u64) -> Result<Option<u64>, LedgerError> {
        self.letters.retain(|_, letter| letter.block < from);
        let found = self.batches.iter().find(|(_, blocks)| blocks.last() >= from);
        let Some((&batch, blocks)) = found else { return Ok(None) };
        if blocks.first() < from {
            return Err(fault(lane, "cannot undo half of a batch"));
        }
        self.batches.retain(|number, _| *number < batch);
        for versions in self.state.values_mut() {
            versions.retain(|number, _| *number < batch);
        }
        self.state.retain(|_, versions| !versions.is_empty());
        for rows in self.rows.values_mut() {
            rows.retain(|row| row.batch < batch);
        }
        Ok(Some(batch))
    }

    fn write(&mut self, tables: &[PluginTable], commit: &LaneCommit) -> Result<(), LedgerError> {
        let lane = &commit.lane;
        let before = self.last_batch;
        for rows in &commit.rows {
            let table = tables.get(rows.rows.table);
            let table = table.ok_or_else(|| fault(lane, "wrote to a table it does not have"))?;
            self.write_rows(lane, table, rows, before, commit.batches.len())?;
        }
        for (batch, writes) in &commit.state {
            if *batch as usize >= commit.batches.len() {
                return Err(fault(lane, "wrote state for a batch that is not there"));
            }
            for (key, value) in writes {
                let versions = self.state.entry(key.clone()).or_default();
                versions.insert(before + 1 + u64::from(*batch), value.clone());
            }
        }
        self.batches.extend((before + 1..).zip(commit.batches.iter().copied()));
        self.batches.retain(|_, blocks| blocks.first() >= commit.undo_floor);
        self.letters.extend(commit.dead_letters.iter().map(|letter| (letter.seq, letter.clone())));
        self.last_batch = before + commit.batches.len() as u64;
        self.undo_floor = self.undo_floor.max(commit.undo_floor);
        self.cursor = commit.after;
        self.halted.clone_from(&commit.halted);
        Ok(())
    }

    fn write_rows(
        &mut self,
        lane: &LaneId,
        table: &PluginTable,
        rows: &LaneRows,
        before: u64,
        batches: usize,
    ) -> Result<(), LedgerError> {
        let len = rows.rows.seq.len();
        let fits = rows.block_number.len() == len
            && rows.block_hash.len() == len
            && (rows.batch as usize) < batches
            && rows.rows.columns.len() == table.columns.len()
            && rows.rows.columns.iter().all(|column| column.len() == len);
        if !fits {
            return Err(fault(lane, "wrote rows whose columns do not fit"));
        }
        let keys = key_positions(table);
        let stored = self.rows.entry(rows.rows.table).or_default();
        for row in 0..len {
            let version = Version {
                batch: before + 1 + u64::from(rows.batch),
                seq: rows.rows.seq[row],
                block_number: rows.block_number[row],
                block_hash: rows.block_hash[row],
                cells: cells(rows, row),
            };
            if !keys.is_empty() {
                // Of rows of one batch with the same key only the last is a version.
                let same = |other: &Version| {
                    other.batch == version.batch
                        && keys.iter().all(|key| other.cells.get(*key) == version.cells.get(*key))
                };
                let first = stored.partition_point(|other| other.batch < version.batch);
                if let Some(at) = stored[first..].iter().position(same) {
                    stored.remove(first + at);
                }
            }
            stored.push(version);
        }
        stored.sort_by_key(|version| version.batch);
        Ok(())
    }
}

fn cells(rows: &LaneRows, row: usize) -> Vec<Cell> {
    let cell = |(position, column): (usize, &ColumnData)| {
        let nulls = rows.rows.nulls.get(position);
        if nulls.is_some_and(|nulls| nulls.contains(&(row as u32))) {
            return Cell::Null;
        }
        match column {
            ColumnData::Bool(values) => Cell::Bool(values[row]),
            ColumnData::I64(values) => Cell::Int(values[row]),
            ColumnData::U64(values) => Cell::Unsigned(values[row]),
            ColumnData::F64(values) => Cell::Double(values[row].to_bits()),
            ColumnData::Text(values) | ColumnData::Blob(values) => {
                Cell::Bytes(values.get(row).to_vec())
            }
        }
    };
    rows.rows.columns.iter().enumerate().map(cell).collect()
}
