//! Floor 3, for development and drills: a whole world in one thread and one seed.
//!
//! A chain with real commitments and branches ([`chain`]), nodes that fail and lie by rule
//! ([`faults`]), a clock that nobody waits for ([`Clock`], [`run`]), a ledger in memory that can be
//! crashed ([`MemoryStore`]), and checkers that know the truth ([`Oracle`]). It tests the stages and
//! the pipeline; of the program only `drill` uses it. One seed and one commit give one run, to the
//! last answer.

mod answer;
mod balances;
pub mod chain;
mod clock;
pub mod faults;
mod lane;
mod memory_store;
mod node;
mod oracle;
pub mod rng;
mod run;
mod script;
mod sometimes;
mod world;

pub use answer::Told;
pub use balances::{BALANCES, Balances, HELD, MOVED, balances_in_state};
pub use clock::Clock;
pub use faults::{Methods, Rule, Trouble};
pub use lane::{LaneStepper, Stepped};
pub use memory_store::{
    Cell, Crash, Enqueued, Image, LaneImage, Lanes, MemoryStore, OnApply, Outbox, Posted,
    StoredEvent, Version,
};
pub use node::SimNode;
pub use oracle::{
    Account, Agreement, ORDER_INSIDE_A_BLOCK, Oracle, Violation, account, lane_problems,
};
pub use run::{Stuck, run, run_stepped};
pub use script::Happening;
pub use sometimes::Sometimes;
pub use world::{World, WorldSettings};
