//! One way of writing a URL, by which it is told from others. Asks nobody which names are one machine.

use reqwest::Url;

/// Returns a URL as it is connected to: host and scheme in lower case, an IPv4 address in four numbers, this
/// machine by its address, no usual port, no dots in the path, no empty query and no fragment, which is never
/// sent. `None` for what is no URL. It may hold a key.
pub fn normal_url(text: &str) -> Option<String> {
    let mut url = Url::parse(text).ok()?;
    url.set_fragment(None);
    if url.query() == Some("") {
        url.set_query(None);
    }
    let host = url.host_str().map(|host| host.trim_end_matches('.').to_owned());
    match host.as_deref() {
        Some("localhost" | "[::1]") => url.set_host(Some("127.0.0.1")).ok()?,
        Some("") | None => {}
        Some(host) => url.set_host(Some(host)).ok()?,
    }
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_a_url_is_written_it_is_one() {
        for (same, written) in [
            ("http://127.0.0.1:8545/", "http://127.1:8545"),
            ("http://127.0.0.1:8545/", "http://2130706433:8545/#x"),
            ("http://127.0.0.1:8545/", "HTTP://0x7f.0.0.1:8545/."),
            ("http://127.0.0.1:8545/", "http://localhost:8545?"),
            ("ws://127.0.0.1:8545/", "ws://[::1]:8545"),
            ("https://node.example/KEY?a=b", "https://Node.Example.:443/x/../KEY?a=b"),
        ] {
            assert_eq!(normal_url(written).as_deref(), Some(same), "{written}");
        }
        assert_ne!(normal_url("http://a.example/KEY"), normal_url("http://a.example/key"));
        assert_ne!(normal_url("http://u@a.example"), normal_url("http://a.example"));
        assert_eq!(normal_url("geth.ipc"), None);
    }
}
