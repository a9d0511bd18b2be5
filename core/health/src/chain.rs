//! The chain first: where it is, and whether it moves. What all nodes share is no node's fault.

use crate::{
    limits::{CLOCK_SKEW_S, FINALITY_STALL_BLOCKS, FINALITY_STALL_MS, STALL_MIN_MS, STALL_SLOTS},
    sample::{ChainSample, NodeSample},
    words,
};
use event::{Finality, Head};
use std::fmt;

/// The verdict on the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainVerdict {
    /// It moves, and becomes final.
    Ok,
    /// No new block for too long, at most nodes.
    Stall {
        /// Age of the newest block at the median node, in milliseconds.
        head_age_ms: u64,
    },
    /// Blocks come, but do not become final. Nodes are kept, and nothing is promoted.
    FinalityStall {
        /// Blocks between head and finalized block.
        lag_blocks: u64,
    },
    /// What is final is contradicted: nothing may become final until somebody has looked.
    Halted {
        /// Height of the contradiction, where it is known.
        height: Option<u64>,
        /// A sentence without a full stop.
        reason: String,
    },
    /// No node says where the chain is.
    Down,
}

impl ChainVerdict {
    /// Returns the code for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Stall { .. } => "chain-stall",
            Self::FinalityStall { .. } => "finality-stall",
            Self::Halted { .. } => "halted",
            Self::Down => "down",
        }
    }
}

/// A sentence without a full stop.
impl fmt::Display for ChainVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("new blocks come"),
            Self::Stall { head_age_ms } => {
                write!(f, "no new block for {}; no node is to blame", words::time(*head_age_ms))
            }
            Self::FinalityStall { lag_blocks } => {
                write!(f, "nothing becomes final: the head is {lag_blocks} blocks ahead")
            }
            Self::Halted { reason, .. } => f.write_str(reason),
            Self::Down => f.write_str("no node says where the chain is"),
        }
    }
}

/// Where the chain is, as the nodes together say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChainView {
    /// Newest block of the median node, of two of the better one: one that is ahead of all others
    /// or far behind moves nothing.
    pub head: Option<Head>,
    /// Age of the newest block at the median node, in milliseconds.
    pub head_age_ms: Option<u64>,
    /// Newest block of the best node.
    pub best: Option<u64>,
    /// Newest final block of the median node, or by the depth of the chain's profile.
    pub finalized: Option<u64>,
    /// Time of it in Unix seconds; estimated where it goes by depth.
    pub finalized_s: Option<u64>,
    /// Usual time between blocks just now, in milliseconds, at least 1.
    pub block_time_ms: u64,
}

impl ChainView {
    /// Looks at what the nodes said.
    pub(crate) fn of(sample: &ChainSample) -> Self {
        let heads: Vec<Head> = sample.counted().filter_map(NodeSample::known_head).collect();
        let is_past = |head: &Head| head.timestamp <= sample.now_s.saturating_add(CLOCK_SKEW_S);
        let mut past: Vec<Head> = heads.iter().copied().filter(is_past).collect();
        // With a clock of ours that is behind all of them, the clock is wrong and not they.
        if past.len() * 2 < heads.len() {
            past = heads;
        }
        past.sort_by_key(|head| (head.block.number, head.timestamp));
        let mut ages: Vec<u64> = past
            .iter()
            .map(|head| sample.now_s.saturating_sub(head.timestamp).saturating_mul(1_000))
            .collect();
        ages.sort_unstable();
        let head = past.get(past.len() / 2).copied();
        let profile = &sample.profile;
        let mut view = Self {
            head,
            head_age_ms: ages.get(ages.len().saturating_sub(1) / 2).copied(),
            best: past.last().map(|head| head.block.number),
            block_time_ms: profile.block_time_ms.max(1),
            ..Self::default()
        };
        match profile.finality {
            Finality::Tag => view.take_tagged(sample),
            Finality::Depth(depth) => {
                let final_block = head.and_then(|head| head.block.number.checked_sub(depth));
                view.finalized = final_block;
                view.finalized_s = final_block.and_then(|number| view.estimated_s(number));
            }
        }
        view
    }

    fn take_tagged(&mut self, sample: &ChainSample) {
        let mut all: Vec<Head> = sample.counted().filter_map(NodeSample::known_finalized).collect();
        all.sort_by_key(|head| (head.block.number, head.timestamp));
        let Some(finalized) = all.get(all.len() / 2) else { return };
        self.finalized = Some(finalized.block.number);
        self.finalized_s = Some(finalized.timestamp);
        // What was between the two says more of the chain than its profile.
        if let Some(head) = self.head
            && let Some(blocks) = head.block.number.checked_sub(finalized.block.number)
            && let Some(seconds) = head.timestamp.checked_sub(finalized.timestamp)
            && blocks > 0
        {
            self.block_time_ms = (seconds.saturating_mul(1_000) / blocks).max(1);
        }
    }

    /// Returns about when a block below the head was made, in Unix seconds.
    fn estimated_s(&self, number: u64) -> Option<u64> {
        let head = self.head?;
        let blocks = head.block.number.checked_sub(number)?;
        Some(head.timestamp.saturating_sub(blocks.saturating_mul(self.block_time_ms) / 1_000))
    }

    /// Returns about how long it takes to make so many blocks, in milliseconds.
    pub(crate) const fn blocks_ms(&self, blocks: u64) -> u64 {
        blocks.saturating_mul(self.block_time_ms)
    }

    /// Whether the chain stands still, with the age that says so.
    pub(crate) fn stall(&self, sample: &ChainSample) -> Option<u64> {
        let slots = sample.profile.block_time_ms.saturating_mul(STALL_SLOTS);
        let limit = sample.stall_ms.unwrap_or(slots.max(STALL_MIN_MS));
        self.head_age_ms.filter(|age| *age > limit)
    }

    /// Whether finality stands still, with the lag that says so.
    pub(crate) fn finality_stall(&self, sample: &ChainSample) -> Option<u64> {
        if matches!(sample.profile.finality, Finality::Depth(_)) {
            return None;
        }
        let (head, finalized, finalized_s) = (self.head?, self.finalized?, self.finalized_s?);
        let lag = head.block.number.saturating_sub(finalized);
        let lag_ms = head.timestamp.saturating_sub(finalized_s).saturating_mul(1_000);
        (lag > FINALITY_STALL_BLOCKS && lag_ms > FINALITY_STALL_MS).then_some(lag)
    }
}
