//! A sink as configured: where messages of plugins go. Everything but its name may be secret.

use crate::{
    node_spec::{Endpoint, NodeSpec},
    secret::Secret,
};
use std::{path::Path, time::Duration};

/// Longest attempt where the user says nothing.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Attempts where the user says nothing: more than three days of the longest waits.
const DEFAULT_ATTEMPTS: u32 = 1_000;
/// Longest name.
const NAME_MAX: usize = 64;
/// What names a sink.
pub(crate) const NAME_HINT: &str = "letters, digits, `-` and `_`, at most 64";

/// A sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SinkSpec {
    /// Name.
    pub(crate) name: String,
    /// `http://` or `https://`.
    pub(crate) url: Secret,
    /// Headers to send with each message.
    pub(crate) headers: Vec<(String, Secret)>,
    /// What messages are signed with.
    pub(crate) secret: Option<Secret>,
    /// Longest time of an attempt.
    pub(crate) timeout: Duration,
    /// Attempts, at most; then the message is dead.
    pub(crate) attempts_max: u32,
}

impl SinkSpec {
    /// Returns a sink with the defaults.
    pub(crate) fn new(name: &str, url: Secret) -> Self {
        Self {
            name: name.to_owned(),
            url,
            headers: Vec::new(),
            secret: None,
            timeout: DEFAULT_TIMEOUT,
            attempts_max: DEFAULT_ATTEMPTS,
        }
    }
}

/// Whether this can name a sink.
pub(crate) fn is_name(name: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(is_good)
}

/// Reads the URL of a sink; the error quotes nothing of it.
pub(crate) fn parse_url(text: &str, base: &Path) -> Result<Secret, String> {
    match NodeSpec::new(None, text, base).map(|node| node.endpoint) {
        Ok(Endpoint::Http(url)) => Ok(url),
        _ => {
            Err("the url of a sink begins with http:// or https://, and a host follows".to_owned())
        }
    }
}
