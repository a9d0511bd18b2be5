//! The checks that do not fit every chain, and what each may decide there. Checks nothing.

use crate::Flaw;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A check that holds on Ethereum and not on every chain that speaks its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The header hashes to its hash.
    HeaderHash,
    /// The header's bloom has every log of the block.
    Bloom,
    /// The receipts recompute to the header's root.
    ReceiptsRoot,
}

/// What may come of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checking {
    /// It is not made, and shows nothing.
    Off,
    /// What fails it is refused, what passes it is shown.
    On,
    /// What fails it is recorded and refuses nothing. Where that can be, a bloom that excludes or
    /// admits shows nothing either; a hash that does recompute cannot be chance.
    Observed,
}

impl Checking {
    /// Whether what fails is recorded at all.
    pub const fn is_made(self) -> bool {
        !matches!(self, Self::Off)
    }

    /// Whether what fails is refused.
    pub const fn decides(self) -> bool {
        matches!(self, Self::On)
    }
}

impl Check {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::HeaderHash, Self::Bloom, Self::ReceiptsRoot];

    /// Returns the check that what has this flaw has failed, if it is one of these.
    pub const fn of(flaw: Flaw) -> Option<Self> {
        match flaw {
            Flaw::HeaderHash => Some(Self::HeaderHash),
            Flaw::BloomExcludes => Some(Self::Bloom),
            Flaw::ReceiptsRoot | Flaw::ReceiptCount | Flaw::ReceiptBlock => {
                Some(Self::ReceiptsRoot)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeaderHash => "header-hash",
            Self::Bloom => "bloom",
            Self::ReceiptsRoot => "receipts-root",
        })
    }
}

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|check| check.to_string() == text)
            .ok_or_else(|| format!("`{text}` is none of header-hash, bloom, receipts-root"))
    }
}
