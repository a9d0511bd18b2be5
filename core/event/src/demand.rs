//! What was demanded of blocks and is not shown of them yet. Does not know who reads them.

use crate::{BlockRanges, Filter, Verify};
use serde::{Deserialize, Serialize};

/// Blocks of a filter that a run was to show in a certain way and could not: they are owed until they
/// are covered so, whoever runs with which demand meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// Of which filter.
    pub filter: Filter,
    /// What was to be shown.
    pub verify: Verify,
    /// Since when some of them are owed without a break, in Unix seconds.
    pub since_s: u64,
    /// Blocks; none is a demand that was met.
    pub blocks: BlockRanges,
}
