//! From what an operator writes after `-r` to a node: a URL, or the path of a recording.

use crate::{
    ConfigError, DEFAULT_HEADER_BATCH, DEFAULT_MAX_BODY_BYTES, DEFAULT_TIMEOUT_MS, HttpConfig,
    HttpNode, Recording, RecordingError,
};
use event::{Node, NodeId};
use std::{fmt, path::Path, sync::Arc};

/// What applies to a node however it is reached; a recording heeds the name only.
#[derive(Clone)]
pub struct OpenOptions {
    /// Name in output and ledger; the host, or the recording's own, when `None`.
    pub name: Option<NodeId>,
    /// HTTP headers; values are secret.
    pub headers: Vec<(String, String)>,
    /// Limit on a whole exchange.
    pub timeout_ms: u64,
    /// Limit on an answer's decompressed bytes.
    pub max_body_bytes: u64,
    /// Headers in one JSON-RPC batch.
    pub header_batch: usize,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            name: None,
            headers: Vec::new(),
            timeout_ms: DEFAULT_TIMEOUT_MS,
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            header_batch: DEFAULT_HEADER_BATCH,
        }
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOptions").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a node cannot be opened. Shows nothing secret.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL or a header is wrong.
    #[error(transparent)]
    Http(#[from] ConfigError),
    /// The recording is not whole.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// WebSocket and IPC.
    #[error("this build does not follow sockets (ws://, wss://, .ipc) yet")]
    Socket,
    /// A URL of a scheme that no node speaks.
    #[error("`{0}://` is not a scheme nodes are reached by")]
    Scheme(String),
    /// Not a URL, and no file of this name. Not repeated: it may be a URL with a slip in it.
    #[error("the node is neither an http(s):// URL nor an existing recording")]
    NotFound,
}

impl OpenError {
    /// Returns what to do next, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Http(ConfigError::Url(_)) => Some("write it as https://HOST/PATH"),
            Self::Http(_) => None,
            Self::Recording(error) => error.hint(),
            Self::Socket | Self::Scheme(_) => Some("use the node's http:// or https:// endpoint"),
            Self::NotFound => Some("write https://HOST/PATH, or check the recording's path"),
        }
    }
}

/// Opens the node that `spec` names: `http(s)://...` or the path of a recording.
pub fn open(spec: &str, options: OpenOptions) -> Result<Arc<dyn Node>, OpenError> {
    if let Some((scheme, _)) = spec.split_once("://") {
        return match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => Ok(Arc::new(HttpNode::new(HttpConfig {
                name: options.name,
                url: spec.to_owned(),
                headers: options.headers,
                timeout_ms: options.timeout_ms,
                max_body_bytes: options.max_body_bytes,
                header_batch: options.header_batch,
            })?)),
            "ws" | "wss" => Err(OpenError::Socket),
            // A longer one may be a key in the wrong place.
            other if other.len() < 6 && other.chars().all(|c| c.is_ascii_alphabetic()) => {
                Err(OpenError::Scheme(other.to_owned()))
            }
            _ => Err(OpenError::Http(ConfigError::Url("not a URL"))),
        };
    }
    if spec.ends_with(".ipc") {
        return Err(OpenError::Socket);
    }
    let path = Path::new(spec);
    if !path.is_file() {
        return Err(OpenError::NotFound);
    }
    let recording = Recording::open(path)?;
    Ok(Arc::new(match options.name {
        Some(name) => recording.named(name),
        None => recording,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(spec: &str) -> OpenError {
        match open(spec, OpenOptions::default()) {
            Ok(node) => panic!("{} opened", node.id()),
            Err(error) => error,
        }
    }

    #[test]
    fn sockets_are_refused_with_a_way_out() {
        for spec in ["ws://node.example", "WSS://node.example/key", "/var/run/geth.ipc"] {
            let error = error(spec);
            assert!(matches!(error, OpenError::Socket), "{spec}: {error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("http")));
        }
    }

    #[test]
    fn f16_what_is_wrong_with_a_url_is_said_without_repeating_it() {
        for spec in [
            "http://user:SecretKey@:99999/SecretKey",
            "https://",
            "https:///SecretKey?SecretKey",
            "http//node.example/SecretKey",
            "htps://node.example/SecretKey",
            "http://[SecretKey",
            "SecretKey://node",
        ] {
            let error = error(spec);
            let printed = format!("{error} {error:?}").to_lowercase();
            assert!(!printed.contains("secretkey"), "{spec}: {printed}");
        }
        let header = OpenOptions {
            headers: vec![("x-key".into(), "Secret\nKey".into())],
            ..OpenOptions::default()
        };
        let Err(error) = open("http://node.example", header) else { panic!("a bad header") };
        assert!(!format!("{error} {error:?}").contains("Secret"));
    }

    #[test]
    fn a_node_is_named_by_host_and_unusual_port() {
        let id = |url: &str| open(url, OpenOptions::default()).expect("a URL").id().to_string();
        assert_eq!(id("https://node.example/v3/SecretKey"), "node.example");
        assert_eq!(id("https://user:SecretKey@node.example:443/"), "node.example");
        assert_eq!(id("http://127.0.0.1:8545"), "127.0.0.1:8545");
        let named = OpenOptions { name: Some(NodeId::new("mine")), ..OpenOptions::default() };
        assert_eq!(open("http://127.0.0.1:8545", named).expect("a URL").id().to_string(), "mine");
    }
}
