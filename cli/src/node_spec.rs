//! Which nodes: URLs, sockets, recordings, and files that list them.
//!
//! Says what each one is and what to call it. Connecting is the business of `node`.

use crate::{
    command_error::CommandError,
    environment::Environment,
    secret::{HIDDEN, Secret, shown_rest},
};
use std::{
    fmt, fs,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// A node as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeSpec {
    /// What output and ledger call it: given by the user, else host or file name. Unique.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) endpoint: Endpoint,
    /// Headers to send with each request.
    pub(crate) headers: Vec<(String, Secret)>,
    /// Longest wait for one answer; `None` = the default of `node`.
    pub(crate) timeout: Option<Duration>,
}

/// Where a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `http://` or `https://`.
    Http(Secret),
    /// `ws://` or `wss://`.
    Ws(Secret),
    /// A Unix socket.
    Ipc(PathBuf),
    /// Answers recorded with `replay --record`.
    Recording(PathBuf),
}

/// Shows host or path, never a key.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) | Self::Ws(url) => f.write_str(&crate::secret::redacted(url.expose())),
            Self::Ipc(path) | Self::Recording(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Why a text is not a node. Never quotes what could be a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NodeSpecError {
    /// Nothing there.
    #[error("a node needs a URL or a file")]
    Empty,
    /// A URL without a host, or with a wrong port.
    #[error("the URL `{shown}` has no usable host: {reason}")]
    Url {
        /// Scheme and host.
        shown: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Another scheme.
    #[error("`{0}://` is not a way to reach a node")]
    Scheme(String),
    /// Looks like a host.
    #[error("`{0}` is neither a URL nor a file")]
    NoScheme(String),
    /// Looks like a file.
    #[error("there is no recording `{0}`")]
    NoFile(String),
}

impl NodeSpecError {
    /// Returns what to type instead.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::NoScheme(host) => format!("write the scheme: https://{host}"),
            Self::NoFile(_) => "check the path; a URL starts with http:// or https://".to_owned(),
            _ => "a node is http(s)://HOST, ws(s)://HOST, the path of an IPC socket, a recording file, or \
                  @FILE with one of these per line"
                .to_owned(),
        }
    }
}

impl NodeSpec {
    /// Parses `[NAME=]URL|FILE`; a relative path is seen from `base`.
    pub(crate) fn parse(text: &str, base: &Path) -> Result<Self, NodeSpecError> {
        let (name, text) = split_name(text.trim());
        Self::new(name.map(str::to_owned), text, base)
    }

    /// Returns the node with this name (if given) at `place`, a URL or a file.
    pub(crate) fn new(
        name: Option<String>,
        place: &str,
        base: &Path,
    ) -> Result<Self, NodeSpecError> {
        let place = place.trim();
        let (default_name, endpoint) = match place.split_once("://") {
            _ if place.is_empty() => return Err(NodeSpecError::Empty),
            Some((scheme, rest)) => {
                let scheme = scheme.to_ascii_lowercase();
                let host = checked_host(&scheme, rest)?;
                let endpoint = match scheme.as_str() {
                    "http" | "https" => Endpoint::Http(Secret::new(place)),
                    _ => Endpoint::Ws(Secret::new(place)),
                };
                (host, endpoint)
            }
            None => local(place, base)?,
        };
        Ok(Self {
            name: name.unwrap_or(default_name),
            endpoint,
            headers: Vec::new(),
            timeout: None,
        })
    }
}

impl NodeSpec {
    /// Whether both are reached in the same way. What differs for a server, as a header, makes two, and so do
    /// `http` and `ws` of one host: providers serve them from different machines.
    fn is_same(&self, other: &Self) -> bool {
        self.endpoint.place() == other.endpoint.place() && self.headers == other.headers
    }
}

impl Endpoint {
    /// Returns what tells it from others, however it is written. May hold a key.
    fn place(&self) -> String {
        match self {
            // What cannot be parsed is refused when it is opened.
            Self::Http(url) | Self::Ws(url) => {
                node::normal_url(url.expose()).unwrap_or_else(|| url.expose().to_owned())
            }
            Self::Ipc(path) | Self::Recording(path) => {
                let path = path.canonicalize().unwrap_or_else(|_| path.clone());
                path.to_string_lossy().into_owned()
            }
        }
    }
}

/// Returns all nodes that the flags name, files of nodes included, with unique names.
pub(crate) fn nodes_of_flags(
    flags: &[String],
    environment: &Environment,
) -> Result<Vec<NodeSpec>, CommandError> {
    let mut nodes = Vec::new();
    for flag in flags {
        match flag.strip_prefix('@') {
            Some(file) => nodes.extend(nodes_of_file(&environment.resolve(Path::new(file)))?),
            None => nodes.push(
                NodeSpec::parse(flag, &environment.current_dir)
                    .map_err(|error| wrong_node(error, "-r"))?,
            ),
        }
    }
    make_names_unique(&mut nodes);
    Ok(nodes)
}

/// Returns the first node that is one of those before it, and that one: under two names its word would
/// count for two.
pub(crate) fn named_twice(nodes: &[NodeSpec]) -> Option<(&NodeSpec, &NodeSpec)> {
    let again = |(at, node): (usize, &'_ NodeSpec)| {
        nodes[..at].iter().position(|before| before.is_same(node)).map(|before| (before, at))
    };
    let (before, at) = nodes.iter().enumerate().find_map(again)?;
    Some((&nodes[before], &nodes[at]))
}

/// Refuses one node under two names.
pub(crate) fn check_apart(nodes: &[NodeSpec]) -> Result<(), CommandError> {
    let Some((first, second)) = named_twice(nodes) else { return Ok(()) };
    Err(CommandError::usage(format!(
        "{} and {} are one node, {}",
        first.name, second.name, second.endpoint
    ))
    .context("a node named twice would count as two that agree")
    .hint(TWICE_HINT))
}

/// What to do about a node that is named twice.
pub(crate) const TWICE_HINT: &str = "leave one of them out, or name another node";

/// Reads a file with a node per line; `#` starts a comment where a line or a word starts.
fn nodes_of_file(path: &Path) -> Result<Vec<NodeSpec>, CommandError> {
    let text = fs::read_to_string(path).map_err(|error| {
        CommandError::unread(format!("reading the list of nodes {}", path.display()), error)
    })?;
    let base = path.parent().unwrap_or(Path::new(""));
    let mut nodes = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = match line.find(" #") {
            Some(comment) => &line[..comment],
            None => line,
        };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("{}:{}", path.display(), number + 1);
        nodes.push(NodeSpec::parse(line, base).map_err(|error| wrong_node(error, &place))?);
    }
    if nodes.is_empty() {
        return Err(CommandError::usage(format!("{} names no node", path.display()))
            .hint("write one URL or file per line"));
    }
    Ok(nodes)
}

/// Returns the error about the node given at `place` (a flag, a variable, a line of a file).
pub(crate) fn wrong_node(error: NodeSpecError, place: &str) -> CommandError {
    let hint = error.hint();
    CommandError::usage(error).context(format!("wrong node at {place}")).hint(hint)
}

/// Gives a second node of the same name `#2` behind it, and so on, in the order given.
pub(crate) fn make_names_unique(nodes: &mut [NodeSpec]) {
    for i in 1..nodes.len() {
        let (before, rest) = nodes.split_at_mut(i);
        let name = rest[0].name.clone();
        let is_taken = |name: &str| before.iter().any(|node| node.name == name);
        let mut count = 1;
        while is_taken(&rest[0].name) {
            count += 1;
            rest[0].name = format!("{name}#{count}");
        }
    }
}

/// Splits `NAME=` off. A `=` in a path or query belongs to the URL.
fn split_name(text: &str) -> (Option<&str>, &str) {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    match text.split_once('=') {
        Some((name, rest)) if is_name(name) => (Some(name), rest),
        _ => (None, text),
    }
}

/// Returns host and port, as shown to people.
fn checked_host(scheme: &str, rest: &str) -> Result<String, NodeSpecError> {
    if !matches!(scheme, "http" | "https" | "ws" | "wss") {
        return Err(NodeSpecError::Scheme(scheme.to_owned()));
    }
    let shown = shown_rest(rest);
    let wrong = |reason| Err(NodeSpecError::Url { shown: format!("{scheme}://{shown}"), reason });
    if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return wrong("it contains a space");
    }
    let host = shown.strip_suffix("/***").unwrap_or(&shown);
    if host == HIDDEN {
        return wrong("escape `/` in the password as %2F");
    }
    let (bare, port) = match host.rsplit_once(':') {
        Some((bare, port)) if !port.contains(']') => (bare, Some(port)),
        _ => (host, None),
    };
    if bare.is_empty() {
        return wrong("it is missing");
    }
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return wrong("the port is not a number below 65536");
    }
    Ok(host.to_owned())
}

/// Returns name and endpoint of what has no scheme: a socket or a recording.
fn local(place: &str, base: &Path) -> Result<(String, Endpoint), NodeSpecError> {
    let path = base.join(place);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_else(|| place.to_owned());
    let is_socket = fs::metadata(&path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket || path.extension().is_some_and(|extension| extension == "ipc") {
        return Ok((name, Endpoint::Ipc(path)));
    }
    if path.is_file() {
        return Ok((name, Endpoint::Recording(path)));
    }
    // A URL without its scheme may have a key behind the host: show the host only.
    let first = place.split(['/', '?']).next().unwrap_or_default();
    let host = first.rsplit('@').next().unwrap_or_default();
    let looks_like_host = !host.starts_with('.')
        && !base.join(first).exists()
        && (host.contains(':') || (host.contains('.') && place != first) || host == "localhost");
    if looks_like_host || place.contains('@') {
        return Err(NodeSpecError::NoScheme(host.to_owned()));
    }
    Err(NodeSpecError::NoFile(place.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn parse(text: &str) -> Result<NodeSpec, NodeSpecError> {
        NodeSpec::parse(text, Path::new("/nowhere"))
    }

    #[test]
    fn a_node_is_named_after_its_host_unless_the_user_names_it() {
        for (text, name) in [
            ("https://node.example/v3/KEY", "node.example"),
            ("HTTPS://u:p@node.example:8545", "node.example:8545"),
            ("http://[::1]:8545/", "[::1]:8545"),
            ("wss://node.example?k=KEY", "node.example"),
            ("a.b=https://node.example/?x=y", "a.b"),
            ("https://KEY0a1b2c3d4e5f6a7b8.eth.node.example:8545", "node.example:8545"),
            ("/run/geth.ipc", "geth.ipc"),
        ] {
            let node = parse(text).unwrap();
            assert_eq!(node.name, name, "{text}");
            assert!(!format!("{node:?} {}", node.endpoint).contains("KEY"), "{text}");
        }
    }

    #[test]
    fn one_url_under_two_names_is_one_node_however_it_is_written() {
        let twice = |first: &str, second: &str| {
            let nodes = [parse("x=https://other.example").unwrap(), parse(first).unwrap()];
            let nodes: Vec<NodeSpec> = nodes.into_iter().chain([parse(second).unwrap()]).collect();
            check_apart(&nodes).map_err(|error| error.to_string())
        };
        for (first, second) in [
            ("a=https://node.example/KEY", "b=https://node.example/KEY"),
            ("https://node.example", "HTTPS://Node.example:443/"),
            ("http://10.0.0.1:80", "b=http://10.0.0.1"),
            ("http://localhost:8545", "http://127.0.0.1:8545/#x"),
            ("http://127.1:8545", "http://127.0.0.1:8545"),
            ("http://node.example?", "b=http://node.example/."),
        ] {
            let error = twice(first, second).unwrap_err();
            assert!(error.contains("one node") && !error.contains("KEY"), "{error}");
        }
        for (first, second) in [
            ("https://node.example/KEY1", "https://node.example/KEY2"),
            ("http://node.example:8545", "http://node.example:8546"),
            ("http://node.example:8545", "ws://node.example:8545"),
        ] {
            assert_eq!(twice(first, second), Ok(()));
        }
    }

    #[test]
    fn wrong_nodes_are_told_without_their_keys() {
        for text in [
            "",
            "https://",
            "https://:8545/KEY",
            "https://node.example:99999/KEY",
            "ftp://node.example/KEY",
            "node.example/v3/KEY",
            "user:KEY@node.example/x",
            "node.example:8545",
            "https://node.example/KEY KEY",
        ] {
            let error = parse(text).unwrap_err();
            let text = format!("{error} {error:?} {}", error.hint());
            assert!(!text.contains("KEY"), "{text}");
        }
        assert_eq!(parse("gone.ndjson.gz"), Err(NodeSpecError::NoFile("gone.ndjson.gz".into())));
    }

    #[test]
    fn a_file_lists_nodes_with_comments_and_paths_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("blocks.ndjson"), "").unwrap();
        let list = "# mine\n\nhttps://a.example # first\nblocks.ndjson\nhttps://a.example/2#x\n";
        fs::write(dir.path().join("nodes"), list).unwrap();
        let environment = Environment::for_test(dir.path(), &[]);
        let nodes = nodes_of_flags(&["@nodes".into()], &environment).unwrap();
        let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["a.example", "blocks.ndjson", "a.example#2"]);
        assert_eq!(nodes[1].endpoint, Endpoint::Recording(dir.path().join("blocks.ndjson")));
    }
}
