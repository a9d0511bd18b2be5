//! What was asked just now, as plain data. What a node does not answer is unknown, never zero.

use crate::{
    Standing,
    limits::{DEADLINE_DEFAULT_MS, FINALITY_STALL_BLOCKS},
};
use alloy_primitives::B256;
use event::{
    BlockNumHash, BlockRange, ChainId, ChainProfile, Fault, FaultClass, Flaw, Head, NodeId,
};
use std::{collections::BTreeMap, sync::Arc};

/// What became of a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answered<T> {
    /// Not asked.
    #[default]
    Unasked,
    /// The answer.
    Value(T),
    /// None came, or none that can be used.
    Fault(Fault),
}

impl<T> Answered<T> {
    /// Returns the answer, if there is one.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            _ => None,
        }
    }

    /// Returns why there is none, where it was asked for.
    pub const fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Fault(fault) => Some(fault),
            _ => None,
        }
    }

    /// Whether the node asked to wait instead of answering.
    pub(crate) fn is_throttled(&self) -> bool {
        matches!(self.fault(), Some(Fault { class: FaultClass::Rate { .. }, .. }))
    }
}

impl<T> From<Result<T, Fault>> for Answered<T> {
    fn from(answer: Result<T, Fault>) -> Self {
        match answer {
            Ok(value) => Self::Value(value),
            Err(fault) => Self::Fault(fault),
        }
    }
}

/// One probe of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSample {
    /// Who.
    pub node: NodeId,
    /// `web3_clientVersion`, where it answers.
    pub client: Option<Arc<str>>,
    /// Which chain. [`Answered::Unasked`] is the right one: it was asked before.
    pub chain: Answered<ChainId>,
    /// Newest block.
    pub head: Answered<Head>,
    /// Newest final block by the node's tag.
    pub finalized: Answered<Head>,
    /// What it said instead of its final block where it was asked for it by number.
    pub withheld: Option<Fault>,
    /// Whether it says that it is catching up.
    pub syncing: Answered<bool>,
    /// Number of peers.
    pub peers: Answered<u64>,
    /// Hashes of the heights of [`crate::heights_to_compare`], and any others; a reorg since then
    /// makes them worthless.
    pub hashes: BTreeMap<u64, B256>,
    /// Wait for the answer to the first question, in milliseconds.
    pub latency_ms: Option<u64>,
    /// Wrong answers.
    pub incidents: Vec<IncidentCount>,
    /// What its connection that stays open says, where it has one.
    pub hints: Option<HintSample>,
    /// What is remembered of it ([`crate::Record::on_probe`]); `None` for a probe of its own: then
    /// one failure is enough.
    pub standing: Option<Standing>,
}

impl NodeSample {
    /// Returns a sample in which nothing was asked.
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            client: None,
            chain: Answered::Unasked,
            head: Answered::Unasked,
            finalized: Answered::Unasked,
            withheld: None,
            syncing: Answered::Unasked,
            peers: Answered::Unasked,
            hashes: BTreeMap::new(),
            latency_ms: None,
            incidents: Vec::new(),
            hints: None,
            standing: None,
        }
    }

    /// The head, where it says something: block 0 is what a node says that knows nothing.
    pub(crate) fn known_head(&self) -> Option<Head> {
        self.head.value().copied().filter(|head| head.block.number > 0)
    }

    /// The finalized block, where it says something. One above the head is none, and neither is
    /// block 0 far below it: so says a node that knows nothing, or a chain that has just begun.
    pub(crate) fn known_finalized(&self) -> Option<Head> {
        let head = self.known_head()?.block.number;
        let says_something = |finalized: &Head| {
            let number = finalized.block.number;
            number <= head && (number > 0 || head <= FINALITY_STALL_BLOCKS)
        };
        self.finalized.value().copied().filter(says_something)
    }

    /// The number of peers, where it says something: see F47 in `docs/faults.md`.
    pub(crate) fn known_peers(&self) -> Option<u64> {
        self.peers.value().copied().filter(|peers| *peers > 0)
    }

    /// Whether it asked to wait instead of answering something.
    pub(crate) fn is_throttled(&self) -> bool {
        self.chain.is_throttled() || self.head.is_throttled() || self.finalized.is_throttled()
    }

    /// The hash of a height, by whatever answer it is known.
    pub(crate) fn hash_at(&self, number: u64) -> Option<B256> {
        let of = |head: Option<Head>| {
            head.filter(|head| head.block.number == number).map(|head| head.block.hash)
        };
        let asked = self.hashes.get(&number).copied();
        asked.or_else(|| of(self.known_head())).or_else(|| of(self.known_finalized()))
    }

    /// Every height of which the hash is known.
    pub(crate) fn heights(&self) -> impl Iterator<Item = u64> {
        let told = [self.known_head(), self.known_finalized()].into_iter().flatten();
        self.hashes.keys().copied().chain(told.map(|head| head.block.number))
    }
}

/// Wrong answers of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncidentCount {
    /// Which check.
    pub flaw: Flaw,
    /// How often.
    pub count: u64,
    /// Highest block of them.
    pub last_block: u64,
}

/// A connection that stays open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HintSample {
    /// Whether it is there.
    pub is_connected: bool,
    /// The last head announced.
    pub announced: Option<u64>,
    /// Blocks that were found by asking and had not been announced.
    pub missed: u64,
}

/// Coverage of one filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterCoverage {
    /// A name for people.
    pub filter: String,
    /// Block from which on it is to be covered; `None` is its first covered one.
    pub start: Option<u64>,
    /// Since when it is wanted at most, in Unix seconds, where that is known. It bounds the age of what was never
    /// read, and of what was demanded and not shown.
    pub wanted_since_s: Option<u64>,
    /// What is covered as the policy demands, in any order.
    pub covered: Vec<BlockRange>,
    /// What runs demanded beyond that and did not get, with since when, in Unix seconds.
    pub owed: Vec<(BlockRange, u64)>,
}

/// What the ledger says of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerSample {
    /// Coverage, which is owed up to the finalized block. A filter without any, without a start and
    /// without a demand owes nothing yet.
    pub coverage: Vec<FilterCoverage>,
    /// The block below which nothing changes any more.
    pub final_block: Option<BlockNumHash>,
    /// The newest block whose time is known: number and Unix seconds.
    pub dated: Option<(u64, u64)>,
    /// Highest block that counts as final.
    pub finalized: Option<u64>,
    /// Plugins, with the next block that each is to be handed.
    pub plugins: Vec<(String, u64)>,
    /// Why nothing becomes final any more, where that is so.
    pub halted: Option<String>,
    /// Final blocks, counted once per filter, on the word of one node that no other node at hand can be
    /// asked for.
    pub lacks_other_node: u64,
    /// Plugins that are handed nothing until an operator has decided: name, and why.
    pub stopped_plugins: Vec<(String, String)>,
}

/// Whether the ledger could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LedgerState {
    /// There is none.
    #[default]
    Absent,
    /// There is one, but it could not be read now: why.
    Unread(String),
    /// It was read.
    Read(LedgerSample),
}

/// Everything that [`crate::judge`] looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSample {
    /// The chain that is meant.
    pub profile: ChainProfile,
    /// Our clock, in Unix seconds.
    pub now_s: u64,
    /// Age of the newest block, in milliseconds, from which the chain stands still; `None` is
    /// [`crate::STALL_SLOTS`] block times.
    pub stall_ms: Option<u64>,
    /// How long a final block may stay uncovered, in milliseconds.
    pub deadline_ms: u64,
    /// Nodes, in the operator's order.
    pub nodes: Vec<NodeSample>,
    /// The ledger.
    pub ledger: LedgerState,
}

impl ChainSample {
    /// Returns a sample without a ledger, with the default limits.
    pub const fn new(profile: ChainProfile, now_s: u64, nodes: Vec<NodeSample>) -> Self {
        let (stall_ms, deadline_ms) = (None, DEADLINE_DEFAULT_MS);
        Self { profile, now_s, stall_ms, deadline_ms, nodes, ledger: LedgerState::Absent }
    }

    /// The ledger, where it was read.
    pub(crate) const fn ledger(&self) -> Option<&LedgerSample> {
        match &self.ledger {
            LedgerState::Read(ledger) => Some(ledger),
            _ => None,
        }
    }

    /// Nodes whose word on where the chain is counts: on this chain, with a head, not quarantined.
    pub(crate) fn counted(&self) -> impl Iterator<Item = &NodeSample> {
        let is_right = |node: &&NodeSample| match &node.chain {
            Answered::Unasked => true,
            Answered::Value(chain) => *chain == self.profile.chain,
            Answered::Fault(_) => false,
        };
        let is_kept = |node: &&NodeSample| {
            !matches!(node.standing, Some(Standing::Quarantined(_) | Standing::WrongChain))
        };
        let nodes = self.nodes.iter().filter(is_right).filter(is_kept);
        nodes.filter(|node| node.known_head().is_some())
    }
}
