//! A node over one connection that stays open: WebSocket, or a Unix socket (IPC).
//!
//! All calls share the connection and are told apart by their ids. Answers are read as HTTP's are,
//! by the same endpoint. New heads are only hints: whatever is true is asked for. It does not
//! retry calls, nor fill gaps; that is the tracker's business.

mod backoff;
mod connection;
mod exchange;
mod hints;
mod ipc;
mod keeper;
mod pipe;
mod route;
mod splitter;
mod standing;
mod waiting;
mod web;

use crate::{
    address::{Address, ConfigError, Schemes},
    endpoint::{
        Counters, DEFAULT_HEADER_BATCH, DEFAULT_MAX_BODY_BYTES, DEFAULT_TIMEOUT_MS, Endpoint,
        LARGEST_MAX_BODY_BYTES,
    },
    origin::Origin,
    secret::Secrets,
};
use event::{AnswerFuture, Ask, HintFuture, Node, NodeId};
use exchange::{MAX_CALLS_IN_FLIGHT, SocketExchange};
use keeper::{Dialer, Keeper, Times};
use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};
use tokio::sync::mpsc;

/// Silence after which a call asks whether the node is there: gateways cut connections that carry
/// no data for 60 s, and pings do not count.
pub const HEARTBEAT_MS: u64 = 25_000;

/// Time between blocks of mainnet.
pub const DEFAULT_BLOCK_TIME_MS: u64 = 12_000;

/// Age at which a connection is replaced: some providers cut them at 4 h.
pub const ROTATE_MS: u64 = (4 * 60 - 5) * 60_000;

/// Wait after the first failure in a row.
pub const FIRST_RECONNECT_WAIT_MS: u64 = 250;

/// Wait after many.
pub const LONGEST_RECONNECT_WAIT_MS: u64 = 30_000;

/// How to reach one node over a socket.
#[derive(Clone)]
pub struct SocketConfig {
    /// Name in output and ledger; the URL's host (and port) or the socket's file name when `None`.
    pub name: Option<NodeId>,
    /// `ws://`, `wss://`, or the path of a Unix socket. Path, query and user part of a URL are
    /// secret.
    pub place: String,
    /// Headers to send in the handshake of a WebSocket; values are secret.
    pub headers: Vec<(String, String)>,
    /// Limit on a whole exchange, with any wait for a connection.
    pub timeout_ms: u64,
    /// Limit on an answer's bytes, at most 4 GiB.
    pub max_body_bytes: u64,
    /// Headers in one JSON-RPC batch, 1 to 1,000.
    pub header_batch: usize,
    /// Time between blocks: after three without a head the connection is made anew.
    pub block_time_ms: u64,
    /// Silence after which the node is asked for a sign of life.
    pub heartbeat_ms: u64,
    /// Age at which the connection is replaced.
    pub rotate_ms: u64,
    /// Wait after the first failure to connect; doubled with each more.
    pub first_wait_ms: u64,
    /// Longest wait between attempts.
    pub longest_wait_ms: u64,
    /// Spreads the waits of many nodes and programs.
    pub jitter_seed: u64,
}

impl SocketConfig {
    /// Returns the defaults for `place`.
    pub fn new(place: impl Into<String>) -> Self {
        Self {
            name: None,
            place: place.into(),
            headers: Vec::new(),
            timeout_ms: DEFAULT_TIMEOUT_MS,
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            header_batch: DEFAULT_HEADER_BATCH,
            block_time_ms: DEFAULT_BLOCK_TIME_MS,
            heartbeat_ms: HEARTBEAT_MS,
            rotate_ms: ROTATE_MS,
            first_wait_ms: FIRST_RECONNECT_WAIT_MS,
            longest_wait_ms: LONGEST_RECONNECT_WAIT_MS,
            jitter_seed: 0,
        }
    }
}

impl fmt::Debug for SocketConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketConfig")
            .field("name", &self.name)
            .field("timeout_ms", &self.timeout_ms)
            .field("max_body_bytes", &self.max_body_bytes)
            .field("header_batch", &self.header_batch)
            .field("block_time_ms", &self.block_time_ms)
            .finish_non_exhaustive()
    }
}

/// One node over a socket.
///
/// It connects with the first question or wait for a hint. A call that is under way when the
/// connection breaks fails at once; one that comes while there is none waits for the next, within
/// its own timeout. Each connection has to be to the chain of the first. Dropping the last clone
/// ends the connection.
#[derive(Clone)]
pub struct SocketNode(Arc<Endpoint<SocketExchange>>);

impl fmt::Debug for SocketNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SocketNode").field(&self.0.origin.id).finish()
    }
}

impl SocketNode {
    /// Sets up a node; nothing is sent yet.
    pub fn new(config: SocketConfig) -> Result<Self, ConfigError> {
        let (origin, dialer) = origin_and_dialer(&config)?;
        let times = Times {
            timeout_ms: config.timeout_ms,
            heartbeat_ms: config.heartbeat_ms.max(1),
            block_time_ms: config.block_time_ms.max(1),
            rotate_ms: config.rotate_ms.max(1),
            first_wait_ms: config.first_wait_ms.max(1),
            longest_wait_ms: config.longest_wait_ms,
            jitter_seed: config.jitter_seed ^ seed_of(&origin.id),
        };
        let (sender, inbox) = mpsc::channel(MAX_CALLS_IN_FLIGHT as usize);
        let counters = Arc::new(Counters::new());
        let keeper = Keeper {
            origin: Arc::clone(&origin),
            dialer,
            times,
            counters: Arc::clone(&counters),
            hints: Arc::default(),
            standing: Arc::default(),
            ignored: Arc::new(AtomicU64::new(0)),
            inbox,
            chain: None,
            alone: 0,
            silences: 0,
        };
        let exchange = SocketExchange::new(keeper, sender, config.timeout_ms);
        Ok(Self(Arc::new(Endpoint::new(origin, exchange, counters, config.header_batch))))
    }

    /// Returns the number of messages so far that were for nobody: malformed notifications, and
    /// answers that nobody waits for (any more).
    pub fn ignored(&self) -> u64 {
        self.0.exchange.ignored()
    }

    /// Returns the number of headers this node is asked for in one batch at present.
    pub fn header_batch(&self) -> usize {
        self.0.batch_size()
    }
}

fn origin_and_dialer(config: &SocketConfig) -> Result<(Arc<Origin>, Dialer), ConfigError> {
    let max_body_bytes = config.max_body_bytes.min(LARGEST_MAX_BODY_BYTES);
    if config.place.contains("://") {
        let name = config.name.clone();
        let address = Address::new(&config.place, &Schemes::WEB_SOCKET, name, &config.headers)?;
        let dialer = web::WebDialer::new(&address, max_body_bytes)?;
        let origin = Origin { id: address.id, secrets: address.secrets };
        return Ok((Arc::new(origin), Dialer::Web(Box::new(dialer))));
    }
    let path = Path::new(&config.place);
    let file_name = path.file_name().ok_or(ConfigError::Path)?;
    let id = config.name.clone().unwrap_or_else(|| NodeId::new(file_name.to_string_lossy()));
    let origin = Origin { id, secrets: Secrets::default() };
    Ok((Arc::new(origin), Dialer::Ipc { path: path.to_owned(), max_body_bytes }))
}

/// Nodes of one program do not wait alike (FNV-1a).
fn seed_of(node: &NodeId) -> u64 {
    node.to_string().bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl Node for SocketNode {
    fn id(&self) -> &NodeId {
        &self.0.origin.id
    }

    fn ask(&self, ask: Ask) -> AnswerFuture<'_> {
        self.0.ask(ask)
    }

    fn hint(&self) -> HintFuture<'_> {
        Box::pin(self.0.exchange.hint())
    }

    fn keeps_chain(&self) -> bool {
        true
    }

    fn calls(&self) -> BTreeMap<String, u64> {
        self.0.counters.by_method()
    }
}
