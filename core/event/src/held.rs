//! How much a stage holds in memory, by name: what a soak test watches, and an operator may.
//!
//! Counts entries, not bytes, and says nothing of what is on disk.

/// Number of entries of each queue, window and map, by its name; each name once.
pub type Held = Vec<(&'static str, usize)>;
