//! How much is known of a range, and on whose word.

use crate::{BlockNumHash, Sample};
use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What was shown about the content of every block of a range. Ordered, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// A node said so. It cannot see any loss.
    Claimed,
    /// Every block with a bloom that excludes the filter is shown to be empty, every other one
    /// had at least one log, or receipts that show it had none. It cannot see partial loss.
    Bloom,
    /// So many nodes gave the same answer. It cannot see what all of them lost.
    Agreed(u8),
    /// Every block is excluded by its bloom or recomputed from receipts to the header's root.
    Receipts,
}

/// Why the headers themselves are believed. Ordered, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anchor {
    /// One node's chain; output says `on A's headers`.
    OneNode,
    /// So many nodes of different operators agree on the hash.
    AgreedHash(u8),
    /// The headers link up to a hash that the operator gave.
    Checkpoint,
}

/// Content and anchor together. *Proved* needs both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Evidence {
    /// About the logs.
    pub content: Content,
    /// About the headers.
    pub anchor: Anchor,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claimed => f.write_str("claimed"),
            Self::Bloom => f.write_str("bloom"),
            Self::Agreed(n) => write!(f, "agreed:{n}"),
            Self::Receipts => f.write_str("receipts"),
        }
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneNode => f.write_str("one-node"),
            Self::AgreedHash(n) => write!(f, "agreed:{n}"),
            Self::Checkpoint => f.write_str("checkpoint"),
        }
    }
}

impl FromStr for Content {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "claimed" => Ok(Self::Claimed),
            "bloom" => Ok(Self::Bloom),
            "receipts" => Ok(Self::Receipts),
            _ => count_after(text, "agreed:").map(Self::Agreed),
        }
    }
}

impl FromStr for Anchor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "one-node" => Ok(Self::OneNode),
            "checkpoint" => Ok(Self::Checkpoint),
            _ => count_after(text, "agreed:").map(Self::AgreedHash),
        }
    }
}

/// What a range must be shown before it counts as covered: `off | bloom | agree:N | prove | prove:N%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Verify {
    /// Take the node's word.
    Off,
    /// Headers, parents and blooms; receipts where bloom and logs disagree.
    Bloom,
    /// The same answer from so many nodes.
    Agree(u8),
    /// Receipts for every block whose bloom admits the filter.
    Prove,
    /// The same for a share of the blocks, and `Bloom` for the others.
    ProveSample(Sample),
}

impl Verify {
    /// Returns the content that closes an interval under this policy, wherever it lies.
    pub const fn required(&self) -> Content {
        match self {
            Self::Off => Content::Claimed,
            Self::Bloom | Self::ProveSample(_) => Content::Bloom,
            Self::Agree(n) => Content::Agreed(*n),
            Self::Prove => Content::Receipts,
        }
    }

    /// Returns the content that closes this block.
    pub const fn required_at(&self, number: u64) -> Content {
        match self {
            Self::ProveSample(sample) if sample.holds(number) => Content::Receipts,
            _ => self.required(),
        }
    }

    /// Whether what closes a block under this policy closes it under `other`, too.
    pub fn is_as_strict_as(&self, other: &Self) -> bool {
        let shares = match (self, other) {
            (Self::Prove, _) | (_, Self::Off | Self::Bloom | Self::Agree(_)) => true,
            (Self::ProveSample(own), Self::ProveSample(other)) => own >= other,
            _ => false,
        };
        shares && self.required() >= other.required()
    }
}

impl fmt::Display for Verify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Bloom => f.write_str("bloom"),
            Self::Agree(n) => write!(f, "agree:{n}"),
            Self::Prove => f.write_str("prove"),
            Self::ProveSample(sample) => write!(f, "prove:{sample}"),
        }
    }
}

impl FromStr for Verify {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "bloom" => Ok(Self::Bloom),
            "prove" => Ok(Self::Prove),
            _ => match text.strip_prefix("prove:") {
                Some(share) => share.parse().map(Self::ProveSample),
                None => count_after(text, "agree:").map(Self::Agree),
            },
        }
        .map_err(|_| format!("`{text}` is none of off, bloom, agree:N, prove, prove:N%"))
    }
}

impl TryFrom<String> for Verify {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Verify> for String {
    fn from(verify: Verify) -> Self {
        verify.to_string()
    }
}

fn count_after(text: &str, prefix: &str) -> Result<u8, String> {
    text.strip_prefix(prefix)
        .and_then(|n| n.parse().ok())
        .filter(|n| *n >= 2)
        .ok_or_else(|| format!("`{text}` is not a known level"))
}

/// The accepted anchor of a range's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnchorPolicy {
    /// Believe one node's headers, and say so.
    OneNode,
    /// A hash that so many nodes agree on.
    Agreed(u8),
    /// A block the operator names.
    Checkpoint(BlockNumHash),
}

impl FromStr for AnchorPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "one-node" {
            return Ok(Self::OneNode);
        }
        if let Ok(n) = count_after(text, "agreed:") {
            return Ok(Self::Agreed(n));
        }
        let wrong = || format!("`{text}` is none of one-node, agreed:N, NUMBER:HASH");
        let (number, hash) = text.split_once(':').ok_or_else(wrong)?;
        let number = number.parse().map_err(|_| wrong())?;
        let hash: B256 = hash.parse().map_err(|_| wrong())?;
        Ok(Self::Checkpoint(BlockNumHash { number, hash }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_policy_is_as_strict_as_those_whose_every_demand_it_makes() {
        let policy = |text: &str| text.parse::<Verify>().unwrap();
        for (stricter, other) in [
            ("prove", "prove:5%"),
            ("prove", "agree:3"),
            ("prove:5%", "prove:1%"),
            ("prove:5%", "bloom"),
            ("agree:2", "bloom"),
            ("bloom", "off"),
        ] {
            let (stricter, other) = (policy(stricter), policy(other));
            assert!(stricter.is_as_strict_as(&other) && !other.is_as_strict_as(&stricter));
            assert!(stricter.is_as_strict_as(&stricter), "{stricter}");
        }
        assert!(!policy("agree:2").is_as_strict_as(&policy("prove:5%")));
        assert!(!policy("prove:5%").is_as_strict_as(&policy("agree:2")));
    }

    #[test]
    fn a_sample_demands_receipts_of_its_blocks_and_blooms_of_the_others() {
        let verify: Verify = "prove:50%".parse().unwrap();
        assert_eq!(verify.to_string(), "prove:50%");
        let receipts = (0..10_000).filter(|n| verify.required_at(*n) == Content::Receipts).count();
        assert!((3_000..7_000).contains(&receipts), "{receipts}");
        assert_eq!(verify.required(), Content::Bloom);
        assert!("prove:0%".parse::<Verify>().is_err() && "prove:".parse::<Verify>().is_err());
    }
}
