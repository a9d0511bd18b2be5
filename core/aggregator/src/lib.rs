//! The aggregator: reports in, commits out. It takes the union of what nodes say, admits, keeps
//! one canonical chain and the coverage of every filter, and cuts one [`event::Commit`] per report.
//!
//! Pure: no clock, no file, no node, and it does not judge evidence (`proof` does) nor write
//! anything (`store` does). What it holds in memory is what the ledger holds after the last commit,
//! so a commit that could not be applied means: load the state again and make a new [`Aggregator`].

mod admission;
mod aggregator;
mod agreement;
mod boxes;
mod candidates;
mod canonical;
mod coverage;
mod cut;
mod demands;
mod differences;
mod extend;
mod finality;
mod heard;
mod held;
mod known;
mod looked;
mod missed;
mod occurrence;
mod pieces;
mod poll;
mod rows;
mod second_look;
mod sightings;
mod standing;
mod stored;
#[cfg(test)]
mod tests;
mod votes;
mod withdrawn;

pub use aggregator::{Admission, Aggregator, JournalCounter, Outcome, Policy};
pub use heard::Heard;
pub use stored::Stored;
pub use withdrawn::Refuted;
