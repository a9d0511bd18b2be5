//! The node monitor: are the nodes, the chain and the ledger well, and which node is to be used?
//!
//! It stands beside the path of an event. [`judge`] is a function of what was asked just now (a
//! [`ChainSample`]): the chain first, so that a chain that stands still demotes no node, then each
//! node on four axes with a reason each and never a score, then coverage, then one [`Outcome`].
//! [`route`] says in which order nodes are used and never drops the last one; a [`Record`] is what
//! has to be remembered of a node between probes. It asks nothing, reads no clock, and changes
//! nothing: a liar is kept out of the ledger by proof, not by this.

mod branches;
mod chain;
mod coverage;
mod finality;
mod freshness;
mod integrity;
mod judge;
mod limits;
mod outcome;
mod reachability;
mod record;
mod route;
mod sample;
mod verdict;
mod words;

pub use branches::heights_to_compare;
pub use chain::{ChainVerdict, ChainView};
pub use coverage::{LedgerVerdict, OpenRange};
pub use judge::judge;
pub use limits::*;
pub use outcome::{Outcome, OutcomeKind};
pub use record::{Quarantine, Record, Standing};
pub use route::{Footing, Route, route};
pub use sample::{
    Answered, ChainSample, FilterCoverage, HintSample, IncidentCount, LedgerSample, LedgerState,
    NodeSample,
};
pub use verdict::{Axis, Finding, Health, NodeState, NodeVerdict, Reason, Warning};
