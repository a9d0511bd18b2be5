//! When a trouble strikes: a rule per trouble, tried in order, and chance that depends on what is
//! asked and not on the order in which it is asked.

use crate::{
    Trouble,
    rng::{hash, key_of},
};
use event::{Ask, BlockRange, Filter, Tag};
use std::sync::Arc;

/// A set of methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Methods(u16);

impl Methods {
    /// `eth_chainId`.
    pub const CHAIN_ID: Self = Self(1);
    /// `web3_clientVersion`.
    pub const CLIENT_VERSION: Self = Self(1 << 1);
    /// The head.
    pub const LATEST: Self = Self(1 << 2);
    /// The safe and the finalized block.
    pub const FINAL_TAGS: Self = Self(1 << 3);
    /// `eth_getLogs` over a range.
    pub const RANGE_LOGS: Self = Self(1 << 4);
    /// `eth_getLogs` by hash.
    pub const HASH_LOGS: Self = Self(1 << 5);
    /// `eth_getLogs`, both ways.
    pub const LOGS: Self = Self(Self::RANGE_LOGS.0 | Self::HASH_LOGS.0);
    /// Headers by number.
    pub const HEADERS: Self = Self(1 << 6);
    /// A header by hash.
    pub const HASH_HEADERS: Self = Self(1 << 7);
    /// `eth_getBlockReceipts`.
    pub const RECEIPTS: Self = Self(1 << 8);
    /// `eth_syncing`.
    pub const SYNCING: Self = Self(1 << 9);
    /// `net_peerCount`.
    pub const PEER_COUNT: Self = Self(1 << 10);
    /// `eth_getCode` and `eth_call`.
    pub const STATE: Self = Self(1 << 12);
    /// Announcements of the subscription.
    pub const HINTS: Self = Self(1 << 11);
    /// Everything that is asked for. Announcements are not.
    pub const ASKS: Self = Self(((1 << 11) - 1) | Self::STATE.0);
    /// Everything.
    pub const ALL: Self = Self(u16::MAX);

    /// Returns both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether some method is in both.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the method of a question.
    pub const fn of(ask: &Ask) -> Self {
        match ask {
            Ask::ChainId => Self::CHAIN_ID,
            Ask::ClientVersion => Self::CLIENT_VERSION,
            Ask::Head(Tag::Latest) => Self::LATEST,
            Ask::Head(Tag::Safe | Tag::Finalized) => Self::FINAL_TAGS,
            Ask::Logs { .. } => Self::RANGE_LOGS,
            Ask::LogsByHash { .. } => Self::HASH_LOGS,
            Ask::Headers { .. } => Self::HEADERS,
            Ask::HeaderByHash { .. } => Self::HASH_HEADERS,
            Ask::Receipts { .. } | Ask::ReceiptsOf { .. } => Self::RECEIPTS,
            Ask::Syncing => Self::SYNCING,
            Ask::PeerCount => Self::PEER_COUNT,
            Ask::Code { .. } | Ask::Call { .. } => Self::STATE,
        }
    }
}

/// Which blocks a trouble strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// Every one.
    Any,
    /// Those of a range.
    In(BlockRange),
    /// So many of a thousand, always the same ones.
    Some {
        /// How many.
        per_mille: u32,
    },
}

/// When a rule holds. Everything must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct When {
    /// Methods asked.
    pub methods: Methods,
    /// Filters asked that meet this one; `None` is any question.
    pub filter: Option<Filter>,
    /// Blocks struck. A question about other blocks only is answered well.
    pub blocks: Blocks,
    /// First and last of the questions that the rest of this holds for, counted from 1.
    pub calls: Option<(u64, u64)>,
    /// Likelihood, drawn anew for each repetition of a question.
    pub per_mille: u32,
    /// From when until before when, in milliseconds.
    pub window_ms: Option<(u64, u64)>,
}

/// A trouble and when it strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// When.
    pub when: When,
    /// What.
    pub then: Trouble,
}

impl Rule {
    /// Returns the rule that these methods are always in this trouble.
    pub const fn on(methods: Methods, then: Trouble) -> Self {
        let when = When {
            methods,
            filter: None,
            blocks: Blocks::Any,
            calls: None,
            per_mille: 1_000,
            window_ms: None,
        };
        Self { when, then }
    }

    /// Only for blocks of this range.
    #[must_use]
    pub const fn in_blocks(mut self, range: BlockRange) -> Self {
        self.when.blocks = Blocks::In(range);
        self
    }

    /// Only for so many of a thousand blocks, always the same ones.
    #[must_use]
    pub const fn for_some_blocks(mut self, per_mille: u32) -> Self {
        self.when.blocks = Blocks::Some { per_mille };
        self
    }

    /// Only so often.
    #[must_use]
    pub const fn sometimes(mut self, per_mille: u32) -> Self {
        self.when.per_mille = per_mille;
        self
    }

    /// Only from when until before when, in milliseconds.
    #[must_use]
    pub const fn during(mut self, from_ms: u64, until_ms: u64) -> Self {
        self.when.window_ms = Some((from_ms, until_ms));
        self
    }

    /// Only for these of the matching questions, counted from 1.
    #[must_use]
    pub const fn for_calls(mut self, first: u64, last: u64) -> Self {
        self.when.calls = Some((first, last));
        self
    }

    /// Only for questions whose filter meets this one.
    #[must_use]
    pub fn for_filter(mut self, filter: Filter) -> Self {
        self.when.filter = Some(filter);
        self
    }
}

/// A rule that holds for the question at hand, with what its chances depend on.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    pub(crate) rule: Arc<Rule>,
    /// Of seed, node and the rule's place.
    pub(crate) key: u64,
}

impl Active {
    pub(crate) fn trouble(&self) -> &Trouble {
        &self.rule.then
    }

    /// Whether the trouble strikes this block.
    pub(crate) fn hits(&self, number: u64) -> bool {
        hits(&self.rule.when.blocks, self.key, number)
    }

    /// Returns one of `count` things of a block, always the same one.
    pub(crate) fn pick(&self, number: u64, count: usize) -> usize {
        (hash(self.key, &[1, number]) % count.max(1) as u64) as usize
    }
}

fn hits(blocks: &Blocks, key: u64, number: u64) -> bool {
    match blocks {
        Blocks::Any => true,
        Blocks::In(range) => range.contains(number),
        Blocks::Some { per_mille } => hash(key, &[0, number]) % 1_000 < u64::from(*per_mille),
    }
}

/// The question at hand, as rules look at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) methods: Methods,
    pub(crate) filter: Option<&'a Filter>,
    /// Blocks asked for, where it says so by number.
    pub(crate) blocks: Option<BlockRange>,
    /// Of the question, and how often it was asked before.
    pub(crate) key: u64,
    pub(crate) now_ms: u64,
}

impl<'a> Question<'a> {
    /// Returns the announcement of a block, which rules look at like a question.
    pub(crate) const fn announcement(key: u64, now_ms: u64) -> Self {
        Self { methods: Methods::HINTS, filter: None, blocks: None, key, now_ms }
    }

    pub(crate) fn of(ask: &'a Ask, key: u64, now_ms: u64) -> Self {
        let (filter, blocks) = match ask {
            Ask::Logs { filter, range } => (Some(&**filter), Some(*range)),
            Ask::LogsByHash { filter, block } => {
                (Some(&**filter), Some(BlockRange::one(block.number)))
            }
            Ask::Headers { range } => (None, Some(*range)),
            Ask::Receipts { block } => (None, Some(BlockRange::one(block.number))),
            _ => (None, None),
        };
        Self { methods: Methods::of(ask), filter, blocks, key, now_ms }
    }
}

impl When {
    /// Whether this holds; counts the question in `calls` where only its number is left to decide.
    pub(crate) fn holds(&self, question: &Question<'_>, key: u64, calls: &mut u64) -> bool {
        let is_asked = self.methods.meets(question.methods)
            && self
                .window_ms
                .is_none_or(|(from, until)| from <= question.now_ms && question.now_ms < until)
            && self.filter.as_ref().is_none_or(|own| question.filter.is_some_and(|f| f.meets(own)))
            && question.blocks.is_none_or(|range| match self.blocks {
                Blocks::In(own) => own.intersection(&range).is_some(),
                Blocks::Any | Blocks::Some { .. } => true,
            });
        if !is_asked {
            return false;
        }
        *calls += 1;
        self.calls.is_none_or(|(first, last)| (first..=last).contains(calls))
            && hash(key, &[2, question.key]) % 1_000 < u64::from(self.per_mille)
    }
}

/// Returns a number that stands for the question, whoever asks it and whenever.
pub(crate) fn ask_key(ask: &Ask) -> u64 {
    let method = u64::from(Methods::of(ask).0);
    let filter = |filter: &Filter| key_of(filter.id().0.as_slice());
    match ask {
        Ask::ChainId | Ask::ClientVersion | Ask::Syncing | Ask::PeerCount => hash(method, &[]),
        Ask::Head(tag) => hash(method, &[*tag as u64]),
        Ask::Logs { filter: wanted, range } => {
            hash(method, &[filter(wanted), range.first(), range.last()])
        }
        Ask::LogsByHash { filter: wanted, block } => {
            hash(method, &[filter(wanted), key_of(block.hash.as_slice())])
        }
        Ask::Headers { range } => hash(method, &[range.first(), range.last()]),
        Ask::HeaderByHash { hash: block } => hash(method, &[key_of(block.as_slice())]),
        Ask::Receipts { block } => hash(method, &[key_of(block.hash.as_slice())]),
        Ask::ReceiptsOf { blocks } => {
            let keys: Vec<u64> = blocks.iter().map(|block| key_of(block.hash.as_slice())).collect();
            hash(method, &keys)
        }
        Ask::Code { address, block } => {
            hash(method, &[key_of(address.as_slice()), key_of(block.hash.as_slice())])
        }
        Ask::Call { to, data, block } => {
            let call = [key_of(to.as_slice()), key_of(data), key_of(block.hash.as_slice())];
            hash(method, &call)
        }
    }
}
