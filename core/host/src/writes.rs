//! What one call of a guest writes to its state.

use event::StateWrite;
use indexmap::{IndexMap, map::Entry};
use std::{collections::BTreeSet, ops::Bound};

/// Writes over a state, each key once, in the order in which keys were written first.
#[derive(Default)]
pub(crate) struct Writes {
    entries: IndexMap<Vec<u8>, Option<Vec<u8>>>,
    /// Their keys in order, from the first time that the guest scans.
    ordered: Option<BTreeSet<Vec<u8>>>,
}

impl Writes {
    /// Returns what was written last to a key: a value, or that it was deleted.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&Vec<u8>>> {
        self.entries.get(key).map(Option::as_ref)
    }

    pub(crate) fn insert(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        match self.entries.entry(key) {
            Entry::Occupied(mut written) => drop(written.insert(value)),
            Entry::Vacant(place) => {
                if let Some(ordered) = &mut self.ordered {
                    ordered.insert(place.key().clone());
                }
                place.insert(value);
            }
        }
    }

    /// Puts the keys in order, where they are not yet.
    pub(crate) fn order(&mut self) {
        self.ordered.get_or_insert_with(|| self.entries.keys().cloned().collect());
    }

    /// Returns writes in order of key, from this one on: nothing before [`Self::order`].
    pub(crate) fn entries_from(
        &self,
        from: Bound<&[u8]>,
    ) -> impl Iterator<Item = (&Vec<u8>, Option<&Vec<u8>>)> {
        let keys = self
            .ordered
            .iter()
            .flat_map(move |keys| keys.range::<[u8], _>((from, Bound::Unbounded)));
        keys.filter_map(|key| self.entries.get_key_value(key))
            .map(|(key, value)| (key, value.as_ref()))
    }

    pub(crate) fn into_list(self) -> Vec<StateWrite> {
        self.entries.into_iter().collect()
    }
}
