//! From what an operator writes after `-r` to a node: a URL, or the path of a socket or recording.

use crate::{
    ConfigError, DEFAULT_BLOCK_TIME_MS, DEFAULT_HEADER_BATCH, DEFAULT_MAX_BODY_BYTES,
    DEFAULT_TIMEOUT_MS, HttpConfig, HttpNode, Recording, RecordingError, SocketConfig, SocketNode,
};
use event::{Node, NodeId};
use std::{fmt, fs, os::unix::fs::FileTypeExt, path::Path, sync::Arc};

/// What applies to a node however it is reached; a recording heeds the name only.
#[derive(Clone)]
pub struct OpenOptions {
    /// Name in output and ledger; the host, or the recording's own, when `None`.
    pub name: Option<NodeId>,
    /// HTTP headers, for WebSockets those of the handshake; values are secret.
    pub headers: Vec<(String, String)>,
    /// Limit on a whole exchange.
    pub timeout_ms: u64,
    /// Limit on an answer's decompressed bytes.
    pub max_body_bytes: u64,
    /// Headers in one JSON-RPC batch.
    pub header_batch: usize,
    /// Time between blocks: after three without a head a socket is connected anew.
    pub block_time_ms: u64,
    /// Spreads the waits between a socket's attempts to connect.
    pub jitter_seed: u64,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            name: None,
            headers: Vec::new(),
            timeout_ms: DEFAULT_TIMEOUT_MS,
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            header_batch: DEFAULT_HEADER_BATCH,
            block_time_ms: DEFAULT_BLOCK_TIME_MS,
            jitter_seed: 0,
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
    Config(#[from] ConfigError),
    /// The recording is not whole.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// An `.ipc` path without a socket.
    #[error("there is no socket at this path")]
    NoSocket,
    /// A URL of a scheme that no node speaks.
    #[error("`{0}://` is not a scheme nodes are reached by")]
    Scheme(String),
    /// Not a URL, and no file of this name. Not repeated: it may be a URL with a slip in it.
    #[error("the node is neither an http(s):// or ws(s):// URL nor an existing recording")]
    NotFound,
}

impl OpenError {
    /// Returns what to do next, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Config(ConfigError::Url(_)) => Some("write it as https://HOST/PATH"),
            Self::Config(_) => None,
            Self::Recording(error) => error.hint(),
            Self::NoSocket => Some("start the node, or check the path of its IPC socket"),
            Self::Scheme(_) => Some("use the node's http(s):// or ws(s):// endpoint"),
            Self::NotFound => Some("write https://HOST/PATH, or check the recording's path"),
        }
    }
}

/// Opens the node that `spec` names: `http(s)://...`, `ws(s)://...`, the path of a Unix socket, or
/// that of a recording. Nodes are not connected to yet.
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
            "ws" | "wss" => socket(spec, options),
            // A longer one may be a key in the wrong place.
            other if other.len() < 6 && other.chars().all(|c| c.is_ascii_alphabetic()) => {
                Err(OpenError::Scheme(other.to_owned()))
            }
            _ => Err(OpenError::Config(ConfigError::Url("not a URL"))),
        };
    }
    let path = Path::new(spec);
    let file_type = fs::metadata(path).map(|metadata| metadata.file_type()).ok();
    match file_type {
        Some(file_type) if file_type.is_socket() => return socket(spec, options),
        _ if spec.ends_with(".ipc") => return Err(OpenError::NoSocket),
        Some(file_type) if file_type.is_file() => {}
        _ => return Err(OpenError::NotFound),
    }
    let recording = Recording::open(path)?;
    Ok(Arc::new(match options.name {
        Some(name) => recording.named(name),
        None => recording,
    }))
}

fn socket(place: &str, options: OpenOptions) -> Result<Arc<dyn Node>, OpenError> {
    Ok(Arc::new(SocketNode::new(SocketConfig {
        name: options.name,
        headers: options.headers,
        timeout_ms: options.timeout_ms,
        max_body_bytes: options.max_body_bytes,
        header_batch: options.header_batch,
        block_time_ms: options.block_time_ms,
        jitter_seed: options.jitter_seed,
        ..SocketConfig::new(place)
    })?))
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
    fn an_ipc_path_without_a_socket_is_told_apart_from_a_missing_recording() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("file.ipc"), "no socket").expect("a file");
        for path in [at("gone.ipc"), at("file.ipc")] {
            assert!(matches!(error(&path), OpenError::NoSocket), "{path}");
        }
        assert!(matches!(error(&at("gone.ndjson.gz")), OpenError::NotFound));
    }

    #[test]
    fn a_socket_is_opened_whatever_its_name_and_named_after_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("node.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        let node = open(&path.display().to_string(), OpenOptions::default()).expect("a node");
        assert_eq!(node.id().to_string(), "node.sock");
    }

    #[test]
    fn f16_what_is_wrong_with_a_url_is_said_without_repeating_it() {
        for spec in [
            "http://user:SecretKey@:99999/SecretKey",
            "https://",
            "https:///SecretKey?SecretKey",
            "http//node.example/SecretKey",
            "htps://node.example/SecretKey",
            "ws://user:SecretKey@:99999/SecretKey",
            "wss:///SecretKey?SecretKey",
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
        for url in ["http://node.example", "wss://node.example"] {
            let Err(error) = open(url, header.clone()) else { panic!("a bad header") };
            assert!(!format!("{error} {error:?}").contains("Secret"));
        }
    }

    #[test]
    fn a_node_is_named_by_host_and_unusual_port() {
        let id = |url: &str| open(url, OpenOptions::default()).expect("a URL").id().to_string();
        assert_eq!(id("https://node.example/v3/SecretKey"), "node.example");
        assert_eq!(id("https://user:SecretKey@node.example:443/"), "node.example");
        assert_eq!(id("http://127.0.0.1:8545"), "127.0.0.1:8545");
        assert_eq!(id("WSS://user:SecretKey@node.example/SecretKey"), "node.example");
        assert_eq!(id("ws://[::1]:8546"), "[::1]:8546");
        assert_eq!(id("https://0a1b2c3d4e5f6a7b8c9d.eth.node.example/"), "node.example");
        let named = OpenOptions { name: Some(NodeId::new("mine")), ..OpenOptions::default() };
        assert_eq!(open("http://127.0.0.1:8545", named).expect("a URL").id().to_string(), "mine");
    }
}
