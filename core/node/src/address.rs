//! Where a node is: its URL, name and headers, and what of them is secret. Connects to nothing.

use crate::{secret::Secrets, shown_host::shown_host};
use event::NodeId;
use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};

/// Why a node cannot be set up. Shows nothing of the URL but its host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not a URL. What stands there may be a key, so it is not repeated.
    #[error("the node's URL is malformed: {0}")]
    Url(&'static str),
    /// A path that ends in no name.
    #[error("the path of the node's socket names no file")]
    Path,
    /// A header that HTTP does not allow.
    #[error("header {position} of node {node} is not allowed in HTTP")]
    Header {
        /// Which node.
        node: NodeId,
        /// Counted from 1.
        position: usize,
    },
    /// The HTTP or TLS client did not start.
    #[error("no client for node {node}: {text}")]
    Client {
        /// Which node.
        node: NodeId,
        /// Why.
        text: String,
    },
}

/// The schemes of one transport.
pub(crate) struct Schemes {
    plain: &'static str,
    secure: &'static str,
    refusal: &'static str,
}

impl Schemes {
    pub(crate) const HTTP: Self =
        Self { plain: "http", secure: "https", refusal: "neither http:// nor https://" };
    pub(crate) const WEB_SOCKET: Self =
        Self { plain: "ws", secure: "wss", refusal: "neither ws:// nor wss://" };
}

/// A checked URL and what goes with it.
pub(crate) struct Address {
    pub(crate) id: NodeId,
    pub(crate) url: Url,
    /// Marked as sensitive.
    pub(crate) headers: HeaderMap,
    pub(crate) secrets: Secrets,
}

impl Address {
    /// Checks what an operator wrote; without a name, host and unusual port are one.
    pub(crate) fn new(
        text: &str,
        schemes: &Schemes,
        name: Option<NodeId>,
        headers: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let url = Url::parse(text).map_err(|_| ConfigError::Url("not a URL"))?;
        if url.scheme() != schemes.plain && url.scheme() != schemes.secure {
            return Err(ConfigError::Url(schemes.refusal));
        }
        // `https:///KEY` would take the first part of the path for the host, and print it.
        if text.split_once("://").is_none_or(|(_, rest)| rest.starts_with(['/', '\\'])) {
            return Err(ConfigError::Url("no host"));
        }
        let host = url.host_str().ok_or(ConfigError::Url("no host"))?;
        let id = name.unwrap_or_else(|| {
            let host = shown_host(host);
            NodeId::new(
                url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}")),
            )
        });
        let headers = header_map(headers, &id)?;
        let secrets = Secrets::of(&url, &headers);
        Ok(Self { id, url, headers, secrets })
    }
}

fn header_map(headers: &[(String, String)], node: &NodeId) -> Result<HeaderMap, ConfigError> {
    let mut map = HeaderMap::new();
    for (i, (name, value)) in headers.iter().enumerate() {
        let not_allowed = || ConfigError::Header { node: node.clone(), position: i + 1 };
        let name = HeaderName::try_from(name).map_err(|_| not_allowed())?;
        let mut value = HeaderValue::try_from(value).map_err(|_| not_allowed())?;
        value.set_sensitive(true);
        map.append(name, value);
    }
    Ok(map)
}
