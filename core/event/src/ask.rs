//! The seam to nodes: one question, one answer, or a fault.

use crate::{BlockNumHash, BlockRange, ChainId, Fault, Filter, Header, Logs, NodeId, Receipt};
use alloy_primitives::{Address, B256, Bytes};
use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

/// Block tags of execution-apis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tag {
    /// The head.
    Latest,
    /// Justified.
    Safe,
    /// Finalized.
    Finalized,
}

/// A question to a node. Every one is request and response; nothing rests on a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `eth_chainId`.
    ChainId,
    /// `web3_clientVersion`.
    ClientVersion,
    /// `eth_getBlockByNumber(tag, false)`.
    Head(Tag),
    /// `eth_getLogs` over a range.
    Logs {
        /// What.
        filter: Arc<Filter>,
        /// Where.
        range: BlockRange,
    },
    /// `eth_getLogs` by block hash (EIP-234).
    LogsByHash {
        /// What.
        filter: Arc<Filter>,
        /// Where.
        block: BlockNumHash,
    },
    /// `eth_getBlockByNumber(n, false)` for each block, in JSON-RPC batches.
    Headers {
        /// Where.
        range: BlockRange,
    },
    /// `eth_getBlockByHash(hash, false)`.
    HeaderByHash {
        /// Which.
        hash: B256,
    },
    /// `eth_getBlockReceipts` by hash.
    Receipts {
        /// Which.
        block: BlockNumHash,
    },
    /// `eth_getBlockReceipts` by hash of each block, in JSON-RPC batches.
    ReceiptsOf {
        /// Which; at least one.
        blocks: Vec<BlockNumHash>,
    },
    /// `eth_syncing`.
    Syncing,
    /// `net_peerCount`.
    PeerCount,
    /// `eth_getCode` at a block, by its hash (EIP-1898).
    Code {
        /// Whose.
        address: Address,
        /// When.
        block: BlockNumHash,
    },
    /// `eth_call` at a block, by its hash (EIP-1898), from nobody and without value.
    Call {
        /// Contract.
        to: Address,
        /// Selector and arguments.
        data: Bytes,
        /// When.
        block: BlockNumHash,
    },
}

/// A block's header as a node gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockAnswer {
    /// Hash as given.
    pub hash: B256,
    /// Fields.
    pub header: Box<Header>,
    /// Hashes of its transactions, in order.
    pub transactions: Vec<B256>,
}

/// Where a node's head is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Block.
    pub block: BlockNumHash,
    /// Unix seconds.
    pub timestamp: u64,
}

/// Logs as a node gave them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogsAnswer {
    /// Number, hash and (where logs carry it and it is not 0) timestamp of each block that
    /// `logs.block` indexes, in order of first appearance.
    pub blocks: Vec<(u64, B256, Option<u64>)>,
    /// The logs, in the node's order. Those marked `removed` are left out and counted.
    pub logs: Logs,
    /// Logs marked `removed`.
    pub removed: u64,
    /// Size of the answer on the wire, decompressed, in bytes.
    pub bytes: u64,
}

/// What a node answered. Never made of `null` or of an error: those are faults.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "logs are what nearly every answer is")]
pub enum Answer {
    /// To [`Ask::ChainId`].
    ChainId(ChainId),
    /// To [`Ask::ClientVersion`].
    ClientVersion(String),
    /// To [`Ask::Head`].
    Head(Head),
    /// To [`Ask::Logs`] and [`Ask::LogsByHash`].
    Logs(LogsAnswer),
    /// To [`Ask::Headers`] (one per block of the range, in order) and [`Ask::HeaderByHash`].
    Headers(Vec<BlockAnswer>),
    /// To [`Ask::Headers`] where the node gave some of several: one for each block of the range, in order,
    /// of which at least one was given.
    SomeHeaders(Vec<Result<BlockAnswer, Fault>>),
    /// To [`Ask::Receipts`], in the node's order.
    Receipts(Vec<Receipt>),
    /// To [`Ask::ReceiptsOf`]: one for each block, in the order asked. A block without an answer of its
    /// own is a fault beside the others, never an empty list.
    ReceiptsOf(Vec<Result<Vec<Receipt>, Fault>>),
    /// To [`Ask::Syncing`]: whether the node says that it is catching up.
    Syncing(bool),
    /// To [`Ask::PeerCount`].
    PeerCount(u64),
    /// To [`Ask::Code`] and [`Ask::Call`].
    Bytes(Bytes),
}

/// A sign that a node may have something new. It only wakes a tracker: truth is asked for, so a
/// hint that is lost, late or twice loses nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The node announced this block as its head.
    Head(BlockNumHash),
    /// A connection was made, for the first time or anew: what was announced before is lost, and
    /// another node may be at its other end.
    Connected,
    /// The connection was lost; it is being made anew without end.
    Lost(Fault),
}

/// The future of a hint.
pub type HintFuture<'a> = Pin<Box<dyn Future<Output = Hint> + Send + 'a>>;

/// The future of an answer.
pub type AnswerFuture<'a> = Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send + 'a>>;

/// One endpoint: a real node, a recording, or a simulated liar.
pub trait Node: Send + Sync {
    /// Returns its name.
    fn id(&self) -> &NodeId;

    /// Asks once. Retries, waits and narrower ranges are the tracker's business.
    fn ask(&self, ask: Ask) -> AnswerFuture<'_>;

    /// Waits for the next hint. Of announcements that nobody waited for only the newest is kept.
    /// A node without a connection that stays open never has one.
    fn hint(&self) -> HintFuture<'_> {
        Box::pin(std::future::pending())
    }

    /// Whether it sees to it by itself that all answers are of one chain, as a connection does that
    /// stays open. Of any other node what it said counts only once its chain was asked for after it.
    fn keeps_chain(&self) -> bool {
        false
    }

    /// Returns the number of JSON-RPC calls sent so far, by method.
    fn calls(&self) -> BTreeMap<String, u64>;
}

impl<T: Node + ?Sized> Node for Arc<T> {
    fn id(&self) -> &NodeId {
        (**self).id()
    }

    fn ask(&self, ask: Ask) -> AnswerFuture<'_> {
        (**self).ask(ask)
    }

    fn hint(&self) -> HintFuture<'_> {
        (**self).hint()
    }

    fn keeps_chain(&self) -> bool {
        (**self).keeps_chain()
    }

    fn calls(&self) -> BTreeMap<String, u64> {
        (**self).calls()
    }
}
