//! The seam to proof: what does the raw evidence of a report show?

use crate::{ChainProfile, Content, Flaw, Header, Links, Logs, Report};
use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

/// What is shown about one block of [`Report::blocks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockVerdict {
    /// Strongest content shown. A bloom that excludes the filter, with no log, is `Receipts`.
    pub content: Content,
    /// The bloom admits the filter (or a check failed) and nothing shows that all is there: the
    /// ladder's next step is due. Never set on a chain whose profile has the bloom check off.
    pub doubt: bool,
}

/// Events that receipts show and the node's logs lacked; `Logs::block` indexes `Report::blocks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered(pub Logs);

/// Verdict on a report. Pure function of the report and the chain's profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// One per row of `Report::logs`: whether it may enter. Shape and receipts decide.
    pub admit: Vec<bool>,
    /// One per entry of `Report::blocks`.
    pub blocks: Vec<BlockVerdict>,
    /// Content shown for blocks of the range that are not in `Report::blocks`: always `Claimed`.
    /// True when every block of the range is in `Report::blocks` with a good header, linked.
    pub complete_headers: bool,
    /// Ends of the header chain, when `complete_headers`.
    pub links: Option<Links>,
    /// Logs to add.
    pub recovered: Recovered,
    /// What did not pass: index into `Report::blocks` where one block is meant, flaw, count,
    /// and a sentence.
    pub flaws: Vec<(Option<u32>, Flaw, u64, String)>,
}

/// Judges reports. Implemented by `proof`, faked in tests.
pub trait Prover: Send + Sync {
    /// Returns what the report's own evidence shows.
    fn judge(&self, report: &Report, profile: &ChainProfile) -> Judgement;

    /// Returns the hash that a header's fields give.
    fn header_hash(&self, header: &Header) -> B256;
}
