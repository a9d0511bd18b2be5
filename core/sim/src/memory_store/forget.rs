//! Drops what is old, so that a run can be longer than memory. No ledger does that; whoever forgets
//! has looked at it before.

use crate::memory_store::{Lanes, image::Image, lanes::LaneImage};
use event::ChainId;
use std::collections::BTreeMap;

impl Image {
    pub(crate) fn forget_below(&mut self, chain: ChainId, number: u64) {
        self.events.retain(|event| event.id.chain != chain || event.number >= number);
        self.by_block.clear();
        for (position, event) in self.events.iter().enumerate() {
            self.by_block.entry((event.id.chain, event.number)).or_default().push(position);
        }
        let ids: std::collections::BTreeSet<_> = self.events.iter().map(|event| event.id).collect();
        self.refuted.retain(|id| id.chain != chain || ids.contains(id));
        self.blocks.retain(|(of, height, _), _| *of != chain || *height >= number);
        self.sightings.retain(|(of, height, ..), _| *of != chain || *height >= number);
        self.incidents.retain(|incident| incident.range.last() >= number);
        // The last row says how far the count is.
        let last = self.journal.last().map_or(0, |row| row.seq);
        self.journal.retain(|row| row.range.last() >= number || row.seq == last);
        self.lanes.forget_below(chain, number);
    }
}

impl Lanes {
    fn forget_below(&mut self, chain: ChainId, number: u64) {
        // Keys of messages are known for good.
        let Self { tables, lanes, outboxes: _ } = self;
        for ((plugin, of), generations) in lanes {
            let tables = tables.get(plugin).map_or(&[][..], Vec::as_slice);
            let has_key = |table: &usize| tables.get(*table).is_some_and(|t| !t.key.is_empty());
            if *of == chain {
                let lanes = generations.values_mut();
                lanes.for_each(|lane| lane.forget_below(number, has_key));
            }
        }
    }
}

impl LaneImage {
    /// Of keys the newest version below the undo floor stays, of other rows none.
    fn forget_below(&mut self, number: u64, has_key: impl Fn(&usize) -> bool) {
        let undoable = self.batches.keys().next().copied().unwrap_or(self.last_batch + 1);
        for versions in self.state.values_mut() {
            let newest = versions.range(..undoable).next_back().map(|(batch, _)| *batch);
            versions.retain(|batch, _| newest.is_none_or(|newest| *batch >= newest));
        }
        for (table, rows) in &mut self.rows {
            if !has_key(table) {
                rows.retain(|row| row.block_number >= number);
                continue;
            }
            // The key of the plugins here is all but the last column.
            let mut newest: BTreeMap<Vec<super::Cell>, u64> = BTreeMap::new();
            let key = |row: &super::Version| {
                row.cells.split_last().map(|(_, key)| key.to_vec()).unwrap_or_default()
            };
            for row in rows.iter().filter(|row| row.batch < undoable) {
                let newest = newest.entry(key(row)).or_default();
                *newest = row.batch.max(*newest);
            }
            rows.retain(|row| newest.get(&key(row)).is_none_or(|newest| row.batch >= *newest));
        }
        self.letters.retain(|_, letter| letter.block >= number);
    }
}
