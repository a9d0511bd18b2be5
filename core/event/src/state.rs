//! A plugin's private key-value space, as it is held in memory.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
    sync::OnceLock,
};

/// A plugin's private key-value space. Read by the host during a call, changed only by the dispatcher when the
/// call's effects are taken.
///
/// Keys are hashed: each batch looks up thousands of them, and in a tree of byte strings that takes most of a
/// lane's time. They are put in order the first time that somebody asks for that, and kept so from then on.
#[derive(Clone, Debug, Default)]
pub struct PluginState {
    /// Looked up, never iterated into output.
    entries: HashMap<Vec<u8>, Vec<u8>>,
    /// Bytes of all keys and values.
    bytes: usize,
    ordered: OnceLock<BTreeSet<Vec<u8>>>,
}

impl PluginState {
    /// Returns the value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&Vec<u8>> {
        self.entries.get(key)
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the bytes of all keys and values.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sets or, with `None`, deletes; returns what the key had before.
    pub fn write(&mut self, key: &[u8], value: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let len = value.as_ref().map(|value| key.len() + value.len());
        let before = match value {
            Some(value) => match self.entries.get_mut(key) {
                Some(old) => Some(std::mem::replace(old, value)),
                None => self.entries.insert(key.to_vec(), value),
            },
            None => self.entries.remove(key),
        };
        let old_len = before.as_ref().map(|old| key.len() + old.len());
        self.bytes = self.bytes + len.unwrap_or(0) - old_len.unwrap_or(0);
        if let Some(ordered) = self.ordered.get_mut() {
            match (len, old_len) {
                (Some(_), None) => drop(ordered.insert(key.to_vec())),
                (None, Some(_)) => drop(ordered.remove(key)),
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
        before
    }

    /// Returns keys and values in order of key, from this one on. The first call puts all keys in order.
    pub fn entries_from(&self, from: Bound<&[u8]>) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
        let ordered = self.ordered.get_or_init(|| self.entries.keys().cloned().collect());
        let keys = ordered.range::<[u8], _>((from, Bound::Unbounded));
        keys.filter_map(|key| self.entries.get_key_value(key))
    }

    /// Returns all keys and values in order of key.
    pub fn iter(&self) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
        self.entries_from(Bound::Unbounded)
    }
}

impl PartialEq for PluginState {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Eq for PluginState {}

impl FromIterator<(Vec<u8>, Vec<u8>)> for PluginState {
    fn from_iter<I: IntoIterator<Item = (Vec<u8>, Vec<u8>)>>(entries: I) -> Self {
        let mut state = Self::default();
        for (key, value) in entries {
            state.write(&key, Some(value));
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(state: &PluginState, from: Bound<&[u8]>) -> Vec<String> {
        let keys =
            state.entries_from(from).map(|(key, _)| String::from_utf8_lossy(key).into_owned());
        keys.collect()
    }

    #[test]
    fn keys_are_in_order_from_the_first_question_on_whatever_is_written_after_it() {
        let entry = |key: &str| (key.as_bytes().to_vec(), b"1".to_vec());
        let mut state: PluginState = ["b", "a", "c"].map(entry).into_iter().collect();
        assert_eq!(keys(&state, Bound::Unbounded), ["a", "b", "c"]);
        assert_eq!(state.write(b"aa", Some(b"2".to_vec())), None);
        assert_eq!(state.write(b"c", Some(b"2".to_vec())), Some(b"1".to_vec()));
        assert_eq!(state.write(b"b", None), Some(b"1".to_vec()));
        assert_eq!(state.write(b"z", None), None, "it was not there");
        assert_eq!(keys(&state, Bound::Unbounded), ["a", "aa", "c"]);
        assert_eq!(keys(&state, Bound::Included(b"aa")), ["aa", "c"]);
        assert_eq!(keys(&state, Bound::Excluded(b"aa")), ["c"]);
        assert_eq!((state.len(), state.bytes()), (3, 7));
        let never_asked = state.iter().map(|(key, value)| (key.clone(), value.clone()));
        assert_eq!(never_asked.collect::<PluginState>(), state);
    }
}
