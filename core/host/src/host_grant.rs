//! A host that an operator grants, and whether a URL is of it. Both are read by the same parser, the one of
//! the URL standard, which also is what connects: what is compared is what is reached.

use crate::{
    addresses::{Reach, reach},
    said,
};
use reqwest::Url;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Characters of a host that a message shows.
const SHOWN_CHARS: usize = 100;

/// One origin that a plugin may reach: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostGrant {
    origin: Origin,
    is_private: bool,
}

/// What a URL and a grant have to have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    is_secure: bool,
    host: Name,
    port: u16,
}

/// A host, in the one form that each has.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    /// Lower case, punycode, without the dot of the root.
    Domain(String),
    Address(IpAddr),
}

impl HostGrant {
    /// Reads `HOST`, `HOST:PORT`, `https://HOST:PORT` or `http://HOST:PORT`. Where the host is a name,
    /// `is_private` says that it may lead to this machine and to private networks.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words for the operator.
    pub fn parse(text: &str, is_private: bool) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
        if !matches!(scheme, "http" | "https") {
            return Err(format!("`{scheme}://` is none of https:// and http://"));
        }
        let is_plain =
            |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        if rest.contains('*') {
            return Err("a host is granted by its whole name, without `*`".to_owned());
        }
        if rest.is_empty() || !rest.chars().all(is_plain) {
            return Err("it is a host with or without a port, and nothing else".to_owned());
        }
        let url = Url::parse(&format!("{scheme}://{rest}/")).map_err(|error| error.to_string())?;
        let origin = Origin::of(&url).ok_or("it has no host")?;
        if let Name::Address(address) = origin.host {
            let written = rest.rsplit_once(':').filter(|_| !rest.ends_with(']'));
            let written = written.map_or(rest, |(host, _)| host).trim_matches(['[', ']']);
            if written.parse() != Ok(address) || is_mapped(address) {
                let plain = address.to_canonical();
                return Err(format!("it is the address {plain}: write it so"));
            }
            if reach(address) == Reach::Nowhere {
                return Err(format!("no host has the address {address}"));
            }
        }
        Ok(Self { origin, is_private })
    }

    /// Whether its name may lead to this machine and to private networks.
    pub const fn is_private(&self) -> bool {
        self.is_private
    }
}

impl fmt::Display for HostGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin.shown())
    }
}

const fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
}

impl Origin {
    fn of(url: &Url) -> Option<Self> {
        let is_secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let text = url.host_str()?;
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let host = if let Some(inner) = inner {
            Name::Address(IpAddr::V6(inner.parse::<Ipv6Addr>().ok()?))
        } else if let Ok(address) = text.parse::<Ipv4Addr>() {
            Name::Address(IpAddr::V4(address))
        } else {
            let name = text.strip_suffix('.').unwrap_or(text);
            Name::Domain(Some(name).filter(|name| !name.is_empty())?.to_owned())
        };
        Some(Self { is_secure, host, port: url.port_or_known_default()? })
    }

    fn shown(&self) -> String {
        let scheme = if self.is_secure { "https" } else { "http" };
        let host = match &self.host {
            Name::Domain(name) => said::cleaned(name.chars().take(SHOWN_CHARS).collect()),
            Name::Address(IpAddr::V6(address)) => format!("[{address}]"),
            Name::Address(address) => address.to_string(),
        };
        let default = if self.is_secure { 443 } else { 80 };
        match self.port == default {
            true => format!("{scheme}://{host}"),
            false => format!("{scheme}://{host}:{}", self.port),
        }
    }
}

/// Returns the URL to ask, and the grant that it falls under; or why it is not granted.
pub(crate) fn granted(text: &str, grants: &[HostGrant]) -> Result<(Url, HostGrant), String> {
    let (url, asked) = asked(text)?;
    // Granted twice, it may do what either says.
    let grants = grants.iter().filter(|grant| grant.origin == asked.origin);
    match grants.max_by_key(|grant| grant.is_private) {
        Some(grant) => Ok((url, grant.clone())),
        None => Err(format!("{asked} is not granted to this plugin")),
    }
}

/// Reads a URL, whoever grants it: returns it in the one form that it has, and the grant that it needs.
pub(crate) fn asked(text: &str) -> Result<(Url, HostGrant), String> {
    let mut url = Url::parse(text).map_err(|error| format!("it is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("only https:// is granted, and http:// where the operator says so".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a user name or password is not asked".to_owned());
    }
    let origin = Origin::of(&url).ok_or("it has no host")?;
    if let Name::Domain(name) = &origin.host {
        // Without the dot of the root: one spelling for certificates and servers.
        url.set_host(Some(name)).map_err(|error| error.to_string())?;
    }
    url.set_fragment(None);
    Ok((url, HostGrant { origin, is_private: false }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn grants(texts: &[&str]) -> Vec<HostGrant> {
        texts.iter().map(|text| HostGrant::parse(text, false).unwrap()).collect()
    }

    #[test]
    fn a_url_is_of_a_granted_host_however_it_is_spelt() {
        let grants = grants(&["API.example.com", "rates.example.com:8443", "http://127.0.0.1:80"]);
        for (url, asked) in [
            ("https://api.example.com/v1?q=1#top", "https://api.example.com/v1?q=1"),
            ("HTTPS://Api.Example.COM.:443/", "https://api.example.com/"),
            ("https://api\u{3002}example.com/", "https://api.example.com/"),
            ("https://%61pi.example.com/", "https://api.example.com/"),
            ("https://rates.example.com:8443/x", "https://rates.example.com:8443/x"),
            ("http://127.0.0.1/x", "http://127.0.0.1/x"),
            // Other ways to write an address that is granted are that address.
            ("http://2130706433/", "http://127.0.0.1/"),
        ] {
            assert_eq!(granted(url, &grants).map(|(url, _)| url.to_string()), Ok(asked.to_owned()));
        }
    }

    #[test]
    fn whatever_else_a_url_says_of_a_granted_name_it_is_not_granted() {
        let grants = grants(&["api.example.com", "http://plain.example.com:8080"]);
        for (url, why) in [
            ("http://api.example.com/", "http://api.example.com is not granted"),
            ("https://api.example.com:444/", "https://api.example.com:444 is not granted"),
            ("https://plain.example.com:8080/", "https://plain.example.com:8080 is not granted"),
            ("https://example.com/", "https://example.com is not granted"),
            ("https://api.example.com.evil.example/", "api.example.com.evil.example is not"),
            ("https://xapi.example.com/", "https://xapi.example.com is not granted"),
            ("https://evil.example/api.example.com", "https://evil.example is not granted"),
            ("https://evil.example#@api.example.com/", "https://evil.example is not granted"),
            ("https://evil.example\\@api.example.com/", "https://evil.example is not granted"),
            ("https://api.example.com@evil.example/", "a URL with a user name"),
            ("https://user:word@api.example.com/", "a URL with a user name"),
            ("https://api.example.com../", "https://api.example.com. is not granted"),
            ("https://\u{430}pi.example.com/", "https://xn--pi-6kc.example.com is not granted"),
            ("https://2130706433/", "https://127.0.0.1 is not granted"),
            ("https://0x7f.1/", "https://127.0.0.1 is not granted"),
            ("https://0177.0.0.01./", "https://127.0.0.1 is not granted"),
            ("https://127.1:1/", "https://127.0.0.1:1 is not granted"),
            ("https://0/", "https://0.0.0.0 is not granted"),
            ("https://[::ffff:127.0.0.1]/", "https://[::ffff:127.0.0.1] is not granted"),
            ("https://[::1]/", "https://[::1] is not granted"),
            ("https://127.0.0.1%2f@api.example.com", "a URL with a user name"),
            ("file:///etc/passwd", "only https://"),
            ("ftp://api.example.com/", "only https://"),
            ("data:text/plain,x", "only https://"),
            ("//api.example.com/", "it is no URL"),
            ("https://", "it is no URL"),
            ("", "it is no URL"),
        ] {
            let told = granted(url, &grants).err().unwrap_or_default();
            assert!(told.contains(why), "{url}: {told}");
        }
    }

    #[test]
    fn a_host_that_is_granted_twice_may_do_what_either_grant_says() {
        let grant = |is_private| HostGrant::parse("a.example", is_private).unwrap();
        for grants in [[grant(false), grant(true)], [grant(true), grant(false)]] {
            assert!(granted("https://a.example/", &grants).unwrap().1.is_private());
        }
    }

    #[test]
    fn a_grant_that_says_something_else_than_it_seems_to_is_refused() {
        for (text, why) in [
            ("*.example.com", "without `*`"),
            ("api.example.com/v1", "and nothing else"),
            ("user@api.example.com", "and nothing else"),
            ("https://api.example.com?x", "and nothing else"),
            ("", "and nothing else"),
            ("a b", "and nothing else"),
            ("ftp://a.example", "none of https:// and http://"),
            ("a.example:99999", "port"),
            ("2130706433", "it is the address 127.0.0.1: write it so"),
            ("0x7f.1:80", "it is the address 127.0.0.1: write it so"),
            ("[::ffff:127.0.0.1]", "it is the address 127.0.0.1: write it so"),
            ("0.0.0.0", "no host has the address"),
            ("[ff02::1]:80", "no host has the address"),
        ] {
            let told = HostGrant::parse(text, false).err().unwrap_or_default();
            assert!(told.contains(why), "{text}: {told}");
        }
        for text in ["a.example", "b\u{fc}cher.example", "[::1]:8080", "[::1]", "10.0.0.1:80"] {
            assert!(HostGrant::parse(text, false).is_ok(), "{text}");
        }
    }
}
