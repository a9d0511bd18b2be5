//! What a `[[plugin]]` says of HTTP: which hosts it may ask, whose certificates are believed, and how much
//! of both there may be.

use super::tree::{Source, Table};
use crate::command_error::CommandError;
use host::{Authorities, HostGrant, Limits};
use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

pub(super) const HTTP: &str = "http";
pub(super) const HTTP_PRIVATE: &str = "http_private";
pub(super) const HTTP_CA_FILE: &str = "http_ca_file";

/// Largest file of certificates that is read, in bytes: a wrong path must not fill the memory.
const CA_FILE_MAX_BYTES: u64 = 1 << 20;

const CALLS: &str = "http_calls";
const TIMEOUT_MS: &str = "http_timeout_ms";
const REQUEST_BYTES: &str = "http_request_bytes";
const RESPONSE_BYTES: &str = "http_response_bytes";
const HEADERS: &str = "http_headers";
const HEADER_BYTES: &str = "http_header_bytes";
/// Limits that an operator may set, and the most that each may be: what one call may hand over, and what
/// whoever carries a request reads, has bounds of its own.
pub(super) const LIMITS: [(&str, u64); 6] = [
    (CALLS, 1_000),
    (TIMEOUT_MS, 600_000),
    (REQUEST_BYTES, 16 << 20),
    (RESPONSE_BYTES, 16 << 20),
    (HEADERS, 100),
    (HEADER_BYTES, 256 << 10),
];

/// Limits of a plugin's requests; those that are not given have their defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HttpLimits {
    /// Name and value, in the order of [`LIMITS`].
    given: Vec<(&'static str, u64)>,
}

impl HttpLimits {
    /// Reads them of the table `limits`; each must be within its bounds.
    pub(super) fn read(source: &Source<'_>, table: &Table<'_>) -> Self {
        let given = LIMITS.into_iter().filter_map(|(key, most)| {
            let found = table.integer(key)?;
            if (1..=most).contains(&found) {
                return Some((key, found));
            }
            let span: Range<usize> = table.value(key)?.span();
            source.wrong(&span, format!("`{key}` must be from 1 to {most}"), None);
            None
        });
        Self { given: given.collect() }
    }

    /// Returns name and value of those that are given.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.given.iter().copied()
    }

    /// Returns limits with those that are given in the place of theirs.
    pub(crate) fn over(&self, mut limits: Limits) -> Limits {
        for (key, value) in self.given() {
            let count = usize::try_from(value).unwrap_or(usize::MAX);
            match key {
                CALLS => limits.http_calls = count,
                TIMEOUT_MS => limits.http_timeout_ms = Some(value),
                REQUEST_BYTES => limits.http_request_bytes = count,
                RESPONSE_BYTES => limits.http_response_bytes = count,
                HEADERS => limits.http_headers = count,
                _ => limits.http_header_bytes = count,
            }
        }
        limits
    }
}

/// Hosts that are granted; those of `http_private` may be of this machine and of private networks.
pub(super) fn hosts(source: &Source<'_>, table: &Table<'_>) -> Vec<HostGrant> {
    let mut hosts = Vec::new();
    for (key, is_private) in [(HTTP, false), (HTTP_PRIVATE, true)] {
        for value in table.list(key) {
            let Some(text) = source.text_of(key, value) else { continue };
            let read = |text: &str| {
                HostGrant::parse(text, is_private).map_err(|why| {
                    let hint = "name a host as in \"api.example.com\" or \"http://10.0.0.7:8080\"";
                    (format!("`{text}` cannot be granted: {why}"), Some(hint.to_owned()))
                })
            };
            hosts.extend(source.parsed(key, &text, read));
        }
    }
    hosts
}

/// The file of certificates, which is looked at where files are.
pub(super) fn ca_file(source: &Source<'_>, table: &Table<'_>) -> Option<PathBuf> {
    let text = table.text(HTTP_CA_FILE)?;
    let path = source.base.join(&text.text);
    if source.opens_files
        && let Err(error) = read_certificates(&path)
    {
        let hint = "it holds the certificates of authorities as PEM; paths are seen from this file's folder";
        let shown = if text.is_secret { "the file" } else { &format!("`{}`", text.text) };
        let message = format!("{shown} cannot be used: {error}");
        source.wrong(&text.span, message, Some(hint.to_owned()));
    }
    Some(path)
}

/// Reads the certificates of a plugin's `http_ca_file`.
pub(crate) fn read_authorities(path: &Path) -> Result<Authorities, CommandError> {
    read_certificates(path).map_err(|error| {
        CommandError::usage(error)
            .context(format!("reading the certificates of {}", path.display()))
            .hint("`http_ca_file` names a PEM file with the certificates of your own authorities")
    })
}

fn read_certificates(path: &Path) -> io::Result<Authorities> {
    if fs::metadata(path)?.len() > CA_FILE_MAX_BYTES {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Authorities::parse(&fs::read(path)?).map_err(io::Error::other)
}
