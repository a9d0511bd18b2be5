//! One HTTP endpoint: asks once, checks that the answer is one, and says what went wrong if not.
//!
//! It does not retry, wait, narrow ranges or choose between nodes: that is the tracker's business.
//! The one thing it adapts is its own doing, the size of header batches.
//!
//! The transport is `reqwest` and not alloy's HTTP transport, which has neither a cap on the bytes
//! of an answer nor a way to parse it in one pass: it buffers the whole body and parses it into a
//! raw value first. Here the body is read piece by piece under a cap that counts decompressed
//! bytes, and the bytes go straight into columns. Each exchange is a task of its own, so that
//! several answers are parsed at once even when one task polls all questions.

use crate::{
    classify::{self, ErrorReply, MAX_RETRY_AFTER_MS},
    date,
    hex::Quantity,
    secret::Secrets,
    wire::{
        block::BlockFields,
        envelope::{self, NoAnswer, RpcError},
        logs::LogsSeed,
        receipt::ReceiptFields,
        request::{self, METHODS},
    },
};
use event::{
    Answer, AnswerFuture, Ask, BlockAnswer, BlockRange, ChainId, Fault, FaultClass, LogsAnswer,
    Node, NodeId, Tag,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::{
    Client, Url,
    header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
};
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Bytes of one answer after decompression: about 100,000 logs, or 1,000 dense blocks.
pub const DEFAULT_MAX_BODY_BYTES: u64 = 64 * 1024 * 1024;

/// Offsets into log data have 32 bits, so no cap may be wider.
const LARGEST_MAX_BODY_BYTES: u64 = u32::MAX as u64;

/// From the first byte sent to the last one read.
pub const DEFAULT_TIMEOUT_MS: u64 = 30_000;

/// Headers in one JSON-RPC batch; halved for a node that refuses so many.
pub const DEFAULT_HEADER_BATCH: usize = 100;

/// No known node takes more calls in a batch.
const LARGEST_HEADER_BATCH: usize = 1_000;

/// Batches of one question under way at once: hides the latency between them.
const HEADER_BATCHES_IN_FLIGHT: usize = 4;

/// A connection that is not there by then is not coming.
const CONNECT_TIMEOUT_MS: u64 = 10_000;

/// Room made for an answer before its size is known.
const FIRST_BODY_BYTES: u64 = 64 * 1024;

/// How to reach one HTTP node.
#[derive(Clone)]
pub struct HttpConfig {
    /// Name in output and ledger; the URL's host (and port) when `None`.
    pub name: Option<NodeId>,
    /// `http://` or `https://`. Path, query and user part are secret.
    pub url: String,
    /// Headers to send; values are secret.
    pub headers: Vec<(String, String)>,
    /// Limit on a whole exchange.
    pub timeout_ms: u64,
    /// Limit on an answer's decompressed bytes, at most 4 GiB.
    pub max_body_bytes: u64,
    /// Headers in one JSON-RPC batch, 1 to 1,000.
    pub header_batch: usize,
}

impl HttpConfig {
    /// Returns the defaults for `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            name: None,
            url: url.into(),
            headers: Vec::new(),
            timeout_ms: DEFAULT_TIMEOUT_MS,
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            header_batch: DEFAULT_HEADER_BATCH,
        }
    }
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConfig")
            .field("name", &self.name)
            .field("timeout_ms", &self.timeout_ms)
            .field("max_body_bytes", &self.max_body_bytes)
            .field("header_batch", &self.header_batch)
            .finish_non_exhaustive()
    }
}

/// Why an HTTP node cannot be set up. Shows nothing of the URL but its host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpConfigError {
    /// Not a URL. What stands there may be a key, so it is not repeated.
    #[error("the node's URL is malformed: {0}")]
    Url(&'static str),
    /// A header that HTTP does not allow.
    #[error("header {position} of node {node} is not allowed in HTTP")]
    Header {
        /// Which node.
        node: NodeId,
        /// Counted from 1.
        position: usize,
    },
    /// The HTTP client did not start.
    #[error("no HTTP client for node {node}: {text}")]
    Client {
        /// Which node.
        node: NodeId,
        /// Why.
        text: String,
    },
}

/// One HTTP endpoint.
#[derive(Clone)]
pub struct HttpNode(Arc<Endpoint>);

impl fmt::Debug for HttpNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpNode").field(&self.0.id).finish()
    }
}

struct Endpoint {
    id: NodeId,
    url: Url,
    headers: HeaderMap,
    client: Client,
    secrets: Secrets,
    max_body_bytes: u64,
    header_batch: AtomicUsize,
    next_id: AtomicU64,
    calls: [AtomicU64; METHODS.len()],
}

/// A body and what HTTP said beside it.
struct Reply {
    status: u16,
    retry_after_ms: Option<u64>,
    body: Vec<u8>,
}

impl HttpNode {
    /// Sets up a node; nothing is sent yet.
    pub fn new(config: HttpConfig) -> Result<Self, HttpConfigError> {
        let url = Url::parse(&config.url).map_err(|_| HttpConfigError::Url("not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(HttpConfigError::Url("neither http:// nor https://"));
        }
        // `https:///KEY` would take the first part of the path for the host, and print it.
        if config.url.split_once("://").is_none_or(|(_, rest)| rest.starts_with(['/', '\\'])) {
            return Err(HttpConfigError::Url("no host"));
        }
        let host = url.host_str().ok_or(HttpConfigError::Url("no host"))?;
        let id = config.name.unwrap_or_else(|| {
            NodeId::new(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
        });
        let mut headers = HeaderMap::new();
        for (i, (name, value)) in config.headers.iter().enumerate() {
            let not_allowed = || HttpConfigError::Header { node: id.clone(), position: i + 1 };
            let name = HeaderName::try_from(name).map_err(|_| not_allowed())?;
            let mut value = HeaderValue::try_from(value).map_err(|_| not_allowed())?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        let secrets = Secrets::of(&url, &headers);
        let mut builder = Client::builder()
            .timeout(Duration::from_millis(config.timeout_ms))
            .connect_timeout(Duration::from_millis(CONNECT_TIMEOUT_MS.min(config.timeout_ms)))
            // A redirect would carry the question, and perhaps a key, to another host.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .tcp_nodelay(true)
            .gzip(true);
        if is_loopback(&url) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| HttpConfigError::Client {
            node: id.clone(),
            text: secrets.clean(&chain_of(&error.without_url())),
        })?;
        Ok(Self(Arc::new(Endpoint {
            id,
            url,
            headers,
            client,
            secrets,
            max_body_bytes: config.max_body_bytes.min(LARGEST_MAX_BODY_BYTES),
            header_batch: AtomicUsize::new(config.header_batch.clamp(1, LARGEST_HEADER_BATCH)),
            next_id: AtomicU64::new(1),
            calls: std::array::from_fn(|_| AtomicU64::new(0)),
        })))
    }

    /// Returns the number of headers this node is asked for in one batch at present.
    pub fn header_batch(&self) -> usize {
        self.0.header_batch.load(Relaxed)
    }
}

impl Node for HttpNode {
    fn id(&self) -> &NodeId {
        &self.0.id
    }

    fn ask(&self, ask: Ask) -> AnswerFuture<'_> {
        let endpoint = Arc::clone(&self.0);
        Box::pin(async move {
            match ask {
                Ask::Headers { range } => headers(endpoint, range).await.map(Answer::Headers),
                other => {
                    on_a_worker(endpoint.clone(), async move { endpoint.answer(other).await }).await
                }
            }
        })
    }

    fn calls(&self) -> BTreeMap<String, u64> {
        METHODS
            .iter()
            .zip(&self.0.calls)
            .map(|(method, count)| ((*method).to_owned(), count.load(Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

/// Runs an exchange as a task of its own, which ends with the question's future.
async fn on_a_worker<T: Send + 'static>(
    endpoint: Arc<Endpoint>,
    exchange: impl Future<Output = Result<T, Fault>> + Send + 'static,
) -> Result<T, Fault> {
    struct AbortOnDrop(tokio::task::AbortHandle);
    impl Drop for AbortOnDrop {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let task = tokio::spawn(exchange);
    let _guard = AbortOnDrop(task.abort_handle());
    match task.await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => {
                Err(endpoint.fault("connect", FaultClass::Dropped, "the runtime is stopping"))
            }
        },
    }
}

/// Asks for a range in batches; when the node refuses the size, it is halved for good and the
/// range asked again, at most ten times (1,000 to 1).
async fn headers(endpoint: Arc<Endpoint>, range: BlockRange) -> Result<Vec<BlockAnswer>, Fault> {
    loop {
        let size = endpoint.header_batch.load(Relaxed).max(1);
        match headers_in_batches(&endpoint, range, size).await {
            Err(fault) if size > 1 && range.count() > 1 => {
                let refused = matches!(fault.class, FaultClass::Batch | FaultClass::Size);
                // Erigon drops the connection when a batch is over its limit.
                if refused || fault.class == FaultClass::Dropped {
                    let smaller = size.min(usize::try_from(range.count()).unwrap_or(size)) / 2;
                    endpoint.header_batch.fetch_min(smaller.max(1), Relaxed);
                    tracing::info!(node = %endpoint.id, size = smaller.max(1), "smaller header batches");
                }
                if !refused {
                    return Err(fault);
                }
            }
            outcome => return outcome,
        }
    }
}

async fn headers_in_batches(
    endpoint: &Arc<Endpoint>,
    range: BlockRange,
    size: usize,
) -> Result<Vec<BlockAnswer>, Fault> {
    let batches = (range.first()..=range.last()).step_by(size).map(|first| {
        let count = (range.last() - first).min(size as u64 - 1) as usize + 1;
        let own = Arc::clone(endpoint);
        on_a_worker(endpoint.clone(), async move { own.header_batch(first, count).await })
    });
    stream::iter(batches).buffered(HEADER_BATCHES_IN_FLIGHT).try_concat().await
}

impl Endpoint {
    async fn answer(&self, ask: Ask) -> Result<Answer, Fault> {
        match ask {
            Ask::ChainId => {
                let id: Quantity = self.call("eth_chainId", "").await?;
                Ok(Answer::ChainId(ChainId(id.0)))
            }
            Ask::ClientVersion => {
                let version: String = self.call("web3_clientVersion", "").await?;
                Ok(Answer::ClientVersion(self.secrets.clean(&version)))
            }
            Ask::Head(tag) => self.head(tag).await,
            Ask::Logs { filter, range } => {
                let place = format!(
                    r#""fromBlock":"0x{:x}","toBlock":"0x{:x}""#,
                    range.first(),
                    range.last()
                );
                let answer = self.logs(&request::filter(&filter, &place), range.count() > 1).await;
                Ok(Answer::Logs(answer?))
            }
            Ask::LogsByHash { filter, block } => {
                let place = format!(r#""blockHash":"{}""#, block.hash);
                Ok(Answer::Logs(self.logs(&request::filter(&filter, &place), false).await?))
            }
            Ask::Headers { range } => {
                let count = usize::try_from(range.count()).unwrap_or(LARGEST_HEADER_BATCH);
                Ok(Answer::Headers(self.header_batch(range.first(), count).await?))
            }
            Ask::HeaderByHash { hash } => {
                let method = "eth_getBlockByHash";
                let block: BlockFields = self.call(method, &format!(r#""{hash}",false"#)).await?;
                let block = block.into_block().map_err(|text| self.malformed(method, &text))?;
                if block.hash != hash {
                    return Err(self.malformed(method, "the block has another hash than was asked"));
                }
                Ok(Answer::Headers(vec![block]))
            }
            Ask::Receipts { block } => {
                let method = "eth_getBlockReceipts";
                let fields: Vec<ReceiptFields> =
                    self.call(method, &format!(r#""{}""#, block.hash)).await?;
                let receipts = fields.into_iter().map(ReceiptFields::into_receipt);
                let receipts = receipts.collect::<Result<_, _>>();
                Ok(Answer::Receipts(receipts.map_err(|text| self.malformed(method, &text))?))
            }
            Ask::Syncing => {
                // `false`, or an object that tells how far it is.
                let method = "eth_syncing";
                match self.call::<serde_json::Value>(method, "").await? {
                    serde_json::Value::Bool(syncing) => Ok(Answer::Syncing(syncing)),
                    serde_json::Value::Object(_) => Ok(Answer::Syncing(true)),
                    _ => Err(self.malformed(method, "neither false nor an object")),
                }
            }
            Ask::PeerCount => {
                let count: Quantity = self.call("net_peerCount", "").await?;
                Ok(Answer::PeerCount(count.0))
            }
        }
    }

    /// `null` or an unknown block for `safe` and `finalized` means that the node has no such tag.
    async fn head(&self, tag: Tag) -> Result<Answer, Fault> {
        let method = "eth_getBlockByNumber";
        let params = format!(r#""{}",false"#, request::tag(tag));
        let outcome = self.call::<BlockFields>(method, &params).await;
        let fields = outcome.map_err(|mut fault| {
            if tag != Tag::Latest && fault.class == FaultClass::Unknown {
                fault.class = FaultClass::Tag;
            }
            fault
        })?;
        fields.into_head().map(Answer::Head).map_err(|text| self.malformed(method, &text))
    }

    async fn logs(&self, filter: &str, is_splittable: bool) -> Result<LogsAnswer, Fault> {
        let id = self.next_id.fetch_add(1, Relaxed);
        let method = "eth_getLogs";
        let reply = self.exchange(method, 1, request::call(id, method, filter)).await?;
        let mut answer = envelope::one(&reply.body, id, LogsSeed)
            .map_err(|no_answer| self.refusal(method, &reply, no_answer, is_splittable))?;
        self.check_status(method, &reply)?;
        answer.bytes = reply.body.len() as u64;
        Ok(answer)
    }

    async fn header_batch(&self, first: u64, count: usize) -> Result<Vec<BlockAnswer>, Fault> {
        let method = "eth_getBlockByNumber";
        let id = self.next_id.fetch_add(count as u64, Relaxed);
        let reply = self.exchange(method, count as u64, request::headers(id, first, count)).await?;
        let blocks = if count == 1 {
            envelope::one(&reply.body, id, PhantomData::<BlockFields>).map(|block| vec![block])
        } else {
            envelope::batch::<BlockFields>(&reply.body, id, count)
        };
        let blocks = blocks.map_err(|no_answer| self.refusal(method, &reply, no_answer, false))?;
        self.check_status(method, &reply)?;
        let mut answers = Vec::with_capacity(count);
        for (number, fields) in (first..).zip(blocks) {
            let block = fields.into_block().map_err(|text| self.malformed(method, &text))?;
            if block.header.number != number {
                let text = format!("block {} instead of {number}", block.header.number);
                return Err(self.malformed(method, &text));
            }
            answers.push(block);
        }
        Ok(answers)
    }

    /// Sends one call and returns its result.
    async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &str,
    ) -> Result<T, Fault> {
        let id = self.next_id.fetch_add(1, Relaxed);
        let reply = self.exchange(method, 1, request::call(id, method, params)).await?;
        let result = envelope::one(&reply.body, id, PhantomData::<T>)
            .map_err(|no_answer| self.refusal(method, &reply, no_answer, false))?;
        self.check_status(method, &reply)?;
        Ok(result)
    }

    /// Posts a body and reads the answer under the byte cap.
    async fn exchange(
        &self,
        method: &'static str,
        calls: u64,
        body: String,
    ) -> Result<Reply, Fault> {
        if let Some(index) = request::method_index(method) {
            self.calls[index].fetch_add(calls, Relaxed);
        }
        let request = self
            .client
            .post(self.url.clone())
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let mut response = request.send().await.map_err(|error| self.transport(method, error))?;
        let status = response.status().as_u16();
        let retry_after_ms = retry_after_ms(response.headers());
        let announced = response.content_length();
        if announced.is_some_and(|bytes| bytes > self.max_body_bytes) {
            return Err(self.too_large(method));
        }
        let room = announced.unwrap_or(FIRST_BODY_BYTES).min(self.max_body_bytes);
        let mut body = Vec::with_capacity(room as usize);
        while let Some(piece) =
            response.chunk().await.map_err(|error| self.in_the_middle(method, error))?
        {
            if (body.len() + piece.len()) as u64 > self.max_body_bytes {
                return Err(self.too_large(method));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Reply { status, retry_after_ms, body })
    }

    fn too_large(&self, method: &'static str) -> Fault {
        let text = format!("the answer is larger than {} bytes", self.max_body_bytes);
        self.fault(method, FaultClass::Size, &text)
    }

    fn transport(&self, method: &'static str, error: reqwest::Error) -> Fault {
        let class = if error.is_timeout() {
            FaultClass::TimedOut
        } else if error.is_connect() {
            FaultClass::Unreachable
        } else {
            FaultClass::Dropped
        };
        let method = if class == FaultClass::Unreachable { "connect" } else { method };
        self.fault(method, class, &chain_of(&error.without_url()))
    }

    fn in_the_middle(&self, method: &'static str, error: reqwest::Error) -> Fault {
        let class = if error.is_timeout() { FaultClass::TimedOut } else { FaultClass::Dropped };
        self.fault(method, class, &chain_of(&error.without_url()))
    }

    /// Turns a body that holds no answer into a fault.
    fn refusal(
        &self,
        method: &'static str,
        reply: &Reply,
        no_answer: NoAnswer,
        is_splittable: bool,
    ) -> Fault {
        match no_answer {
            NoAnswer::Error(error) => self.error_object(method, reply, &error, is_splittable),
            NoAnswer::Null => match classify::by_status(reply.status) {
                Some(class) => self.with_wait(method, reply, class, "null"),
                None => self.fault(method, FaultClass::Unknown, "null: unknown to this node"),
            },
            NoAnswer::Malformed(text) => self.not_json_rpc(method, reply, &text),
        }
    }

    fn error_object(
        &self,
        method: &'static str,
        reply: &Reply,
        error: &RpcError,
        is_splittable: bool,
    ) -> Fault {
        let known = classify::known(&ErrorReply {
            http_status: Some(reply.status),
            code: error.code,
            message: &error.message,
            data: &error.data,
        });
        let mut text = error.message.clone();
        if !error.data.is_empty() {
            text.push_str(" (");
            text.push_str(&error.data);
            text.push(')');
        }
        if let Some(code) = error.code {
            text.push_str(&format!(" [{code}]"));
        }
        // A text that no rule knows, over many blocks, is more often a limit than an outage, and
        // halving ends at one block.
        let class = known.unwrap_or_else(|| {
            tracing::debug!(node = %self.id, method, text = self.secrets.clean(&text), "unknown error text");
            if is_splittable { FaultClass::Split } else { FaultClass::Busy }
        });
        self.with_wait(method, reply, class, &text)
    }

    /// A body that is no JSON-RPC: a gateway's page or text, or a broken answer.
    fn not_json_rpc(&self, method: &'static str, reply: &Reply, problem: &str) -> Fault {
        let is_json = matches!(envelope::first_byte(&reply.body), Some(b'{' | b'['));
        let body = String::from_utf8_lossy(&reply.body[..reply.body.len().min(16 * 1024)]);
        let class = match envelope::first_byte(&reply.body) {
            _ if is_json => classify::by_status(reply.status),
            // Pages are full of numbers and words that would match the rules by chance.
            Some(b'<') if is_rate_page(&body) => Some(FaultClass::Rate { retry_after_ms: None }),
            Some(b'<') | None => classify::by_status(reply.status),
            Some(_) => classify::known(&ErrorReply {
                http_status: Some(reply.status),
                code: None,
                message: &body,
                data: "",
            }),
        };
        let text = match (is_json, envelope::first_byte(&reply.body)) {
            (true, _) => format!("HTTP {}: {problem}", reply.status),
            (false, None) => format!("HTTP {} with an empty body", reply.status),
            (false, _) => format!("HTTP {}, not JSON: {}", reply.status, excerpt(&body)),
        };
        self.with_wait(method, reply, class.unwrap_or(FaultClass::Malformed), &text)
    }

    /// An answer under an HTTP error status is not believed.
    fn check_status(&self, method: &'static str, reply: &Reply) -> Result<(), Fault> {
        if (200..300).contains(&reply.status) {
            return Ok(());
        }
        let class = classify::by_status(reply.status).unwrap_or(FaultClass::Malformed);
        let text = format!("a result under HTTP {}", reply.status);
        Err(self.with_wait(method, reply, class, &text))
    }

    fn with_wait(
        &self,
        method: &'static str,
        reply: &Reply,
        class: FaultClass,
        text: &str,
    ) -> Fault {
        let class = match class {
            FaultClass::Rate { retry_after_ms: None } => {
                FaultClass::Rate { retry_after_ms: reply.retry_after_ms }
            }
            other => other,
        };
        self.fault(method, class, text)
    }

    fn malformed(&self, method: &'static str, text: &str) -> Fault {
        self.fault(method, FaultClass::Malformed, text)
    }

    fn fault(&self, method: &str, class: FaultClass, text: &str) -> Fault {
        let text = self.secrets.clean(text);
        Fault { node: self.id.clone(), method: method.to_owned(), class, text }
    }
}

/// Cloudflare's "you are being rate limited" comes as a page under HTTP 200 or 403.
fn is_rate_page(body: &str) -> bool {
    let body = body.to_ascii_lowercase();
    body.contains("error code: 1015") || body.contains("rate limited")
}

/// Returns the beginning of a body, enough to recognise a page by.
fn excerpt(body: &str) -> String {
    const EXCERPT_BYTES: usize = 200;
    body[..body.floor_char_boundary(EXCERPT_BYTES)].to_owned()
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let bare = host.trim_matches(['[', ']']);
        bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// Reads `Retry-After`, against the server's own clock where it gives one.
fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let wait = text(RETRY_AFTER)?.trim();
    if let Ok(seconds) = wait.parse::<u64>() {
        return Some(seconds.saturating_mul(1000).min(MAX_RETRY_AFTER_MS));
    }
    let now = text(DATE).and_then(date::unix_seconds).unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    });
    let seconds = date::unix_seconds(wait)?.saturating_sub(now);
    Some(seconds.saturating_mul(1000).min(MAX_RETRY_AFTER_MS))
}

/// Joins an error and its causes, each said once.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
