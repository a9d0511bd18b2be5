//! A sink over HTTP: one POST a message, the same `Idempotency-Key` on each attempt.

use crate::{answer::delivery, signature};
use event::{Delivery, DeliveryFuture, Outgoing, Sink};
use reqwest::{
    Client, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT},
    redirect::Policy,
};
use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Longest time for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Header with the key of a message.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Header with its signature.
const SIGNATURE: HeaderName = HeaderName::from_static("headcount-signature");
/// Header with the number of the attempt: above 1 the sink may have the message.
const ATTEMPT: HeaderName = HeaderName::from_static("headcount-attempt");
/// Header with the plugin that it comes from.
const PLUGIN: HeaderName = HeaderName::from_static("headcount-plugin");

/// How to reach a sink. Everything but the name is secret.
#[derive(Clone)]
pub struct SinkConfig {
    /// Name that plugins use.
    pub name: String,
    /// `http://` or `https://`.
    pub url: String,
    /// Headers to send.
    pub headers: Vec<(String, String)>,
    /// What messages are signed with.
    pub secret: Option<String>,
    /// Longest time of an attempt, in milliseconds.
    pub timeout_ms: u64,
}

impl fmt::Debug for SinkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkConfig").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a sink cannot be used. Says nothing of what is secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// Another scheme, or no URL at all.
    #[error("sink {0}: its `url` is not one of http:// or https://")]
    Url(String),
    /// A header that cannot be sent.
    #[error("sink {0}: header `{1}` cannot be sent")]
    Header(String, String),
    /// TLS does not start.
    #[error("sink {0}: {1}")]
    Client(String, String),
}

/// One HTTP endpoint.
#[derive(Clone)]
pub struct HttpSink {
    name: String,
    url: Url,
    headers: HeaderMap,
    secret: Option<String>,
    client: Client,
}

impl fmt::Debug for HttpSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpSink").field(&self.name).finish()
    }
}

impl HttpSink {
    /// Sets up a sink; nothing is sent yet.
    pub fn new(config: SinkConfig) -> Result<Self, SinkError> {
        let SinkConfig { name, url, headers: given, secret, timeout_ms } = config;
        let url = Url::parse(&url).map_err(|_| SinkError::Url(name.clone()))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(SinkError::Url(name));
        }
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static("headcount"));
        for (header, value) in given {
            let wrong = || SinkError::Header(name.clone(), header.clone());
            let key = HeaderName::from_bytes(header.as_bytes()).map_err(|_| wrong())?;
            let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.append(key, value);
        }
        let timeout = Duration::from_millis(timeout_ms);
        let mut builder = Client::builder()
            .timeout(timeout)
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            // A redirect would carry the message, and its keys, to a host that nobody named.
            .redirect(Policy::none())
            .referer(false);
        if is_loopback(&url) {
            builder = builder.no_proxy();
        }
        let client = builder
            .build()
            .map_err(|error| SinkError::Client(name.clone(), said(&error.without_url())))?;
        Ok(Self { name, url, headers, secret, client })
    }

    async fn post(&self, message: &Outgoing) -> Delivery {
        let mut headers = self.headers.clone();
        let Some(own) = self.own_headers(message) else {
            return Delivery::Refused("its content type cannot be sent".to_owned());
        };
        for (name, value) in own {
            headers.insert(name, value);
        }
        let request = self.client.post(self.url.clone()).headers(headers);
        match request.body(message.body.clone()).send().await {
            Ok(answer) => {
                let retry_after = answer.headers().get(RETRY_AFTER);
                let retry_after = retry_after.and_then(|value| value.to_str().ok());
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                delivery(answer.status().as_u16(), retry_after, now.as_secs())
            }
            Err(error) => {
                let reason = if error.is_timeout() {
                    "no answer in time".to_owned()
                } else if error.is_connect() {
                    format!("cannot be reached: {}", said(&error.without_url()))
                } else {
                    said(&error.without_url())
                };
                Delivery::Failed { reason, after_ms: None }
            }
        }
    }

    fn own_headers(&self, message: &Outgoing) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let value = |text: &str| HeaderValue::from_str(text).ok();
        let mut own = vec![
            (CONTENT_TYPE, value(&message.content_type)?),
            (IDEMPOTENCY_KEY, value(&message.idempotency_key)?),
            (PLUGIN, value(&message.plugin)?),
            (ATTEMPT, HeaderValue::from(message.attempts)),
        ];
        if let Some(secret) = &self.secret {
            let signed = signature(secret.as_bytes(), &message.idempotency_key, &message.body);
            own.push((SIGNATURE, value(&signed)?));
        }
        Some(own)
    }
}

impl Sink for HttpSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn send<'a>(&'a self, message: &'a Outgoing) -> DeliveryFuture<'a> {
        Box::pin(self.post(message))
    }
}

/// A machine's own proxy settings are not for itself.
fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some(host) => host == "localhost" || host.starts_with("127.") || host == "[::1]",
        None => false,
    }
}

/// Returns the last cause, which names no URL.
fn said(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
