//! Floor 2: the loop that drives the stages through their traits.
//!
//! No engine and no policy of its own: nodes, store, prover, decoder, plugins, clock and the
//! wish to stop are handed in. [`replay`] reads ranges through nodes into the [`Owner`], which is
//! the one writer of a ledger; [`LaneRun`] takes what became known to a plugin. `watch` will be
//! the same loop with another tracker.

mod greet;
mod lane;
mod owner;
mod replay;
mod timer;

pub use greet::{Greeting, greet};
pub use lane::{LaneError, LaneReport, LaneRun};
pub use owner::{ChainSetup, LaneHandle, Owner, OwnerHandle, OwnerReport, Reply};
pub use replay::{
    Progress, ReplayError, ReplayNode, ReplayOutcome, ReplayRequest, Watcher, replay,
};
pub use timer::{SleepFuture, Timer};
