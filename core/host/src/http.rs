//! What a guest fetches during one call: whether it may, and within which limits. How it is carried out is
//! in `fetching`, and what stands in a file for a host in `answers`.

use crate::{
    Grants, Limits,
    bindings::headcount::plugin::http::{Host, HttpError, Request, Response},
    call::Call,
    fetching::{Fetcher, Most, Outbound, within},
};
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What of a batch's time is kept for the guest to say `retry` in, where a host takes all there is: a tenth.
const KEPT_SHARE: u32 = 10;
/// What a request may do; no `CONNECT`, which would open a tunnel, and no `TRACE`.
pub(crate) const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];
/// Headers that say where a request goes or where it ends: with them it would be another one than was granted.
const OURS: [&str; 10] = [
    "host",
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "upgrade-insecure-requests",
];
/// How headers for proxies begin.
const OF_PROXIES: &str = "proxy-";

/// The requests of a call.
pub(crate) struct Fetches {
    limits: Arc<Limits>,
    grants: Arc<Grants>,
    fetcher: Arc<Fetcher>,
    /// When the guest has to have its answers.
    until: Instant,
    /// Whether a batch is being handled.
    pub(crate) is_open: bool,
    count: usize,
}

impl Fetches {
    pub(crate) fn new(limits: &Arc<Limits>, grants: Arc<Grants>, fetcher: Arc<Fetcher>) -> Self {
        let (limits, until) = (Arc::clone(limits), Instant::now());
        Self { limits, grants, fetcher, until, is_open: false, count: 0 }
    }

    /// Begins with the call: its time runs from now on.
    pub(crate) fn begin(&mut self) {
        let whole = Duration::from_millis(self.limits.deadline_ms);
        self.until = Instant::now() + (whole - whole / KEPT_SHARE);
    }

    /// Returns how many were asked for, also those that were denied.
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    fn fetch(&mut self, request: Request) -> Result<Response, HttpError> {
        let outbound = self.outbound(request)?;
        match self.grants.answers() {
            Some(answers) => answers.answer(&outbound),
            None => self.fetcher.fetch(outbound),
        }
    }

    /// Checks a request, before anything of it leaves the process.
    fn outbound(&mut self, request: Request) -> Result<Outbound, HttpError> {
        let limits = &self.limits;
        if !self.is_open {
            return Err(denied("nothing is fetched before a batch is there, as in `init`"));
        }
        if self.count >= limits.http_calls {
            let allowed = limits.http_calls;
            return Err(HttpError::Denied(format!("limit `http_calls` of {allowed} exceeded")));
        }
        self.count += 1;
        let Request { method, url, headers, body, timeout_ms } = request;
        within("http_request_bytes", url.len() + body.len(), limits.http_request_bytes)?;
        let (url, grant) = self.grants.host_of(&url).map_err(HttpError::Denied)?;
        let method = METHODS.iter().find(|known| known.as_str() == method).ok_or_else(|| {
            denied("its method is none of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
        })?;
        let headers = checked(headers, limits)?;
        let left = self.until.saturating_duration_since(Instant::now());
        let asked = Some(u64::from(timeout_ms)).filter(|asked| *asked > 0);
        let bounds = asked.into_iter().chain(limits.http_timeout_ms);
        let timeout = bounds.map(Duration::from_millis).fold(left, Duration::min);
        if timeout.is_zero() {
            return Err(HttpError::Timeout);
        }
        Ok(Outbound {
            method: method.clone(),
            url,
            headers,
            body,
            timeout,
            is_private: grant.is_private(),
            most: Most {
                headers: limits.http_headers,
                header_bytes: limits.http_header_bytes,
                body_bytes: limits.http_response_bytes,
            },
        })
    }
}

fn checked(given: Vec<(String, String)>, limits: &Limits) -> Result<HeaderMap, HttpError> {
    within("http_headers", given.len(), limits.http_headers)?;
    let bytes = given.iter().map(|(name, value)| name.len() + value.len()).sum();
    within("http_header_bytes", bytes, limits.http_header_bytes)?;
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let wrong = || denied("a header of it cannot be sent");
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        if OURS.contains(&name.as_str()) || name.as_str().starts_with(OF_PROXIES) {
            return Err(HttpError::Denied(format!("header `{name}` is not the plugin's to set")));
        }
        let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        // It may be a key.
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

fn denied(why: &str) -> HttpError {
    HttpError::Denied(why.to_owned())
}

impl Host for Call {
    fn fetch(&mut self, request: Request) -> Result<Response, HttpError> {
        self.http.fetch(request)
    }

    fn is_granted(&mut self, url: String) -> bool {
        self.http.grants.may_fetch(&url)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::{Authorities, HostGrant, fetching::System};

    fn fetches(limits: Limits) -> Fetches {
        let hosts = vec![HostGrant::parse("a.example", false).unwrap()];
        let grants = Arc::new(Grants::default().with_hosts(hosts));
        let mut fetches = Fetches::new(
            &Arc::new(limits),
            grants,
            Arc::new(Fetcher::new(Arc::new(System), Authorities::default())),
        );
        fetches.begin();
        fetches.is_open = true;
        fetches
    }

    fn request() -> Request {
        Request {
            method: "GET".to_owned(),
            url: "https://a.example/".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: 0,
        }
    }

    fn refusal(fetches: &mut Fetches, request: Request) -> String {
        match fetches.outbound(request) {
            Ok(_) => "taken".to_owned(),
            Err(HttpError::Denied(why) | HttpError::TooLarge(why) | HttpError::Network(why)) => why,
            Err(HttpError::Timeout) => "timeout".to_owned(),
        }
    }

    #[test]
    fn a_request_cannot_be_made_another_one_by_its_headers() {
        let mut fetches = fetches(Limits { http_calls: 100, ..Limits::default() });
        let with = |name: &str, value: &str| Request {
            headers: vec![(name.to_owned(), value.to_owned())],
            ..request()
        };
        assert_eq!(refusal(&mut fetches, with("Authorization", "Bearer x")), "taken");
        assert_eq!(refusal(&mut fetches, with("x", "caf\u{e9}")), "taken");
        for name in
            ["Host", "Content-Length", "transfer-encoding", "Proxy-Authorization", "UPGRADE"]
        {
            let why = refusal(&mut fetches, with(name, "1"));
            assert!(why.contains("is not the plugin's to set"), "{name}: {why}");
        }
        for (name, value) in [("a b", "x"), ("a", "x\r\nhost: b"), ("a\r\nhost", "b"), ("", "x")] {
            assert_eq!(refusal(&mut fetches, with(name, value)), "a header of it cannot be sent");
        }
        for method in ["CONNECT", "TRACE", "get", "", "GET /x HTTP/1.1\r\nhost: b\r\n\r\nGET"] {
            let why = refusal(&mut fetches, Request { method: method.to_owned(), ..request() });
            assert!(why.starts_with("its method is none of GET"), "{method}: {why}");
        }
    }

    #[test]
    fn limits_of_requests_are_named_and_a_wait_ends_before_the_batch_does() {
        let few = Limits { http_calls: 3, http_request_bytes: 20, ..Limits::default() };
        let mut fetches = fetches(few);
        let long = Request { body: vec![0; 3], ..request() };
        assert_eq!(refusal(&mut fetches, long), "limit `http_request_bytes` of 20 exceeded");
        let many = Request { headers: vec![("a".into(), "b".into()); 101], ..request() };
        assert_eq!(refusal(&mut fetches, many), "limit `http_headers` of 100 exceeded");
        let wide = Request { headers: vec![("a".into(), "b".repeat(1 << 16))], ..request() };
        assert_eq!(refusal(&mut fetches, wide), "limit `http_header_bytes` of 65536 exceeded");
        assert_eq!(refusal(&mut fetches, request()), "limit `http_calls` of 3 exceeded");

        let mut fetches = self::fetches(Limits::default());
        let wait = |fetches: &mut Fetches, timeout_ms| {
            fetches.outbound(Request { timeout_ms, ..request() }).ok().unwrap().timeout
        };
        assert_eq!(wait(&mut fetches, 20), Duration::from_millis(20));
        for timeout_ms in [0, u32::MAX] {
            let wait = wait(&mut fetches, timeout_ms);
            assert!(
                wait <= Duration::from_millis(4_500) && wait > Duration::from_secs(2),
                "{wait:?}"
            );
        }
        let short = Limits { http_timeout_ms: Some(300), ..Limits::default() };
        let mut short = self::fetches(short);
        assert_eq!(wait(&mut short, 0), Duration::from_millis(300));
        assert_eq!(wait(&mut short, 20), Duration::from_millis(20));
        assert_eq!(wait(&mut short, 2_000), Duration::from_millis(300));
        fetches.until = Instant::now();
        assert_eq!(refusal(&mut fetches, request()), "timeout");
        fetches.is_open = false;
        assert!(refusal(&mut fetches, request()).starts_with("nothing is fetched before"));
    }
}
