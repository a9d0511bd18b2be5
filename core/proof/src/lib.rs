//! What does the raw evidence of a report show? Pure: no clock, no file, no node.
//!
//! A report carries headers, logs and perhaps receipts. This crate recomputes the header hash, the
//! bloom and the receipts root, and says which logs may enter, which were kept back by the node,
//! and what is shown about each block. It does not ask a node again (the tracker does), compare
//! nodes (the aggregator does), or decide whose headers are believed (the anchor does).
//!
//! Limit: a receipts root covers status, gas, logs and their order, but no transaction hash. The
//! hashes beside proved logs are those of the block as the node listed it.

mod bloom;
mod columns;
mod header;
mod judge;
mod receipts;
mod reconcile;

pub use bloom::{bloom_admits, bloom_of};
pub use header::header_hash;
pub use receipts::{ReceiptsError, receipts_root};

use alloy_primitives::B256;
use event::{ChainProfile, Header, Judgement, Prover, Report};

/// Judges reports by what they carry. Holds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proof;

impl Prover for Proof {
    fn judge(&self, report: &Report, profile: &ChainProfile) -> Judgement {
        judge::judge(report, profile)
    }

    fn header_hash(&self, header: &Header) -> B256 {
        header::header_hash(header)
    }
}
