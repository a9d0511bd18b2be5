//! One HTTP endpoint: posts a question, reads the answer under a cap, says what went wrong if not.
//!
//! The transport is `reqwest` and not alloy's HTTP transport, which has neither a cap on the bytes
//! of an answer nor a way to parse it in one pass: it buffers the whole body and parses it into a
//! raw value first. Here the body is read piece by piece under a cap that counts decompressed
//! bytes, and the bytes go straight into columns. What the bytes mean is the endpoint's business.

use crate::{
    address::{Address, ConfigError, Schemes},
    classify::MAX_RETRY_AFTER_MS,
    date,
    endpoint::{
        CONNECT_TIMEOUT_MS, Counters, DEFAULT_HEADER_BATCH, DEFAULT_MAX_BODY_BYTES,
        DEFAULT_TIMEOUT_MS, Endpoint, Exchange, LARGEST_MAX_BODY_BYTES, Question,
    },
    origin::{Origin, Reply, chain_of},
};
use event::{AnswerFuture, Ask, Fault, FaultClass, Node, NodeId};
use reqwest::{
    Client, Url,
    header::{CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER},
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

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

/// One HTTP endpoint.
#[derive(Clone)]
pub struct HttpNode(Arc<Endpoint<Http>>);

impl fmt::Debug for HttpNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpNode").field(&self.0.origin.id).finish()
    }
}

impl HttpNode {
    /// Sets up a node; nothing is sent yet.
    pub fn new(config: HttpConfig) -> Result<Self, ConfigError> {
        let address = Address::new(&config.url, &Schemes::HTTP, config.name, &config.headers)?;
        let Address { id, url, headers, secrets } = address;
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
            if url.scheme() == "http" {
                // Nothing will be encrypted: reading the system's certificates takes longer than
                // opening the ledger.
                builder = builder.tls_certs_only([]);
            }
        }
        let client = builder.build().map_err(|error| ConfigError::Client {
            node: id.clone(),
            text: secrets.clean(&chain_of(&error.without_url())),
        })?;
        let origin = Arc::new(Origin { id, secrets });
        let max_body_bytes = config.max_body_bytes.min(LARGEST_MAX_BODY_BYTES);
        let http = Http { url, headers, client, origin: Arc::clone(&origin), max_body_bytes };
        let counters = Arc::new(Counters::new());
        Ok(Self(Arc::new(Endpoint::new(origin, http, counters, config.header_batch))))
    }

    /// Returns the number of headers this node is asked for in one batch at present.
    pub fn header_batch(&self) -> usize {
        self.0.batch_size()
    }
}

impl Node for HttpNode {
    fn id(&self) -> &NodeId {
        &self.0.origin.id
    }

    fn ask(&self, ask: Ask) -> AnswerFuture<'_> {
        self.0.ask(ask)
    }

    fn calls(&self) -> BTreeMap<String, u64> {
        self.0.counters.by_method()
    }
}

/// The transport.
struct Http {
    url: Url,
    headers: HeaderMap,
    client: Client,
    origin: Arc<Origin>,
    max_body_bytes: u64,
}

impl Exchange for Http {
    /// A connection of HTTP carries one question, so a drop is about that question.
    const DROPS_BEFORE_SMALLER: usize = 1;

    async fn exchange(&self, question: Question) -> Result<Reply, Fault> {
        let method = question.method;
        let request = self
            .client
            .post(self.url.clone())
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(question.body);
        let mut response = request.send().await.map_err(|error| self.unsent(method, error))?;
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
        Ok(Reply { status: Some(status), retry_after_ms, body })
    }
}

impl Http {
    fn too_large(&self, method: &'static str) -> Fault {
        let text = format!("the answer is larger than {} bytes", self.max_body_bytes);
        self.origin.fault(method, FaultClass::Size, &text)
    }

    fn unsent(&self, method: &'static str, error: reqwest::Error) -> Fault {
        let class = if error.is_timeout() {
            FaultClass::TimedOut
        } else if error.is_connect() {
            FaultClass::Unreachable
        } else {
            FaultClass::Dropped
        };
        let method = if class == FaultClass::Unreachable { "connect" } else { method };
        self.origin.fault(method, class, &chain_of(&error.without_url()))
    }

    fn in_the_middle(&self, method: &'static str, error: reqwest::Error) -> Fault {
        let class = if error.is_timeout() { FaultClass::TimedOut } else { FaultClass::Dropped };
        self.origin.fault(method, class, &chain_of(&error.without_url()))
    }
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let bare = host.trim_matches(['[', ']']);
        bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// Reads `Retry-After`, against the server's own clock where it gives one.
pub(crate) fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
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
