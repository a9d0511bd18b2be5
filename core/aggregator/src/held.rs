//! How much an aggregator holds of its chain. Everything here has a bound, but for the intervals of
//! coverage: one for each stretch of blocks that is known in the same way.

use crate::aggregator::Aggregator;
use event::Held;

impl Aggregator {
    /// Returns the number of entries of everything that is held.
    pub fn held(&self) -> Held {
        let (blocks, confirmed, orphans, settled) = self.canonical.held();
        let (ballots, seen, ids) = self.votes.held();
        let intervals = self.coverage.all().map(|covered| covered.intervals.len()).sum();
        vec![
            ("blocks of the window", blocks),
            ("blocks shown to be final", confirmed),
            ("blocks of left branches", orphans),
            ("final blocks below the window", settled),
            ("ballots", ballots),
            ("blocks seen", seen),
            ("ids in ballots", ids),
            ("sightings", self.sightings.held()),
            ("looked ranges", self.looked.values().map(event::BlockRanges::len).sum()),
            ("candidates", self.candidates.held()),
            ("refuted events", self.refuted.len()),
            ("claims", self.claims.held()),
            ("incidents to tell", self.incidents.len()),
            ("intervals of coverage", intervals),
        ]
    }
}
