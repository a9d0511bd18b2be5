//! Floor 2: the loop that drives the stages through their traits.
//!
//! No engine and no policy of its own: nodes, store, prover, decoder, plugins, clock and the
//! wish to stop are handed in. [`replay`] reads ranges through nodes into the [`Owner`], which is
//! the one writer of a ledger; [`LaneRun`] takes what became known to a plugin, [`rehearse`] shows what one would do; [`deliver`] sends what plugins enqueued. [`watch`]
//! follows the head through all nodes at once and fills gaps by replaying.

mod ahead;
mod audit;
mod deliver;
mod getting_on;
mod given_up;
mod greet;
mod handed;
mod lane;
mod owner;
mod pace;
mod recent;
mod rehearsal;
mod replay;
mod second_look;
mod spread;
mod timer;
mod undecided;
mod watch;

pub use audit::{
    AnchorFound, AuditOutcome, AuditRequest, LedgerPages, Seat, Sink, audit, block_at,
};
pub use deliver::{Delivered, deliver};
pub use given_up::IN_EVERY_TRY;
pub use greet::{Greeting, ask, greet};
pub use lane::{LaneError, LaneReport, LaneRun, Waits};
pub use owner::{
    AwayOwner, ChainSetup, Claim, Holder, LaneHandle, LookClaim, News, OnAck, OnCommit,
    OutboxHandle, Owner, OwnerHandle, OwnerReport, Reply, Undecoded,
};
pub use pace::Pace;
pub use rehearsal::{RehearsalRequest, Rehearsed, rehearsal_filters, rehearse};
pub use replay::{
    Progress, ReplayError, ReplayNode, ReplayOutcome, ReplayRequest, Watcher, replay,
};
pub use second_look::{LookedThrough, SecondLook, SecondLookRequest, second_look};
pub use timer::{SleepFuture, Timer};
pub use undecided::settle_undecided;
pub use watch::{
    ChainView, Change, LookedAgain, NodeLine, WatchOutcome, WatchRequest, WatchWatcher, watch,
};
