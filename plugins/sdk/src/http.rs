//! Requests to hosts that the operator granted.
//!
//! An answer is no function of the events: whoever keeps it, keeps it in rows or state, and a batch that
//! comes again asks again. What has to take effect outside exactly once belongs into the outbox.

pub use crate::bindings::headcount::plugin::http::{HttpError, Request, Response};
use crate::{Failure, RetryHint};

impl Request {
    /// Returns a request for what is at a URL. It waits as long as the batch has left.
    pub fn get(url: &str) -> Self {
        Self::new("GET", url)
    }

    /// Returns a request that sends JSON.
    pub fn post_json(url: &str, body: String) -> Self {
        let request = Self::new("POST", url).header("content-type", "application/json");
        Self { body: body.into_bytes(), ..request }
    }

    /// Returns a request without headers and body.
    pub fn new(method: &str, url: &str) -> Self {
        Self {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: 0,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Response {
    /// Returns a header, whatever the case of its name; the first where there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let is_it = |(other, _): &&(String, String)| other.eq_ignore_ascii_case(name);
        self.headers.iter().find(is_it).map(|(_, value)| value.as_str())
    }

    /// Returns the body as text; what is no UTF-8 in it is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns itself where the status is 2xx. Else what is to become of the batch: asked again where the
    /// host is busy or broken (408, 425, 429, 5xx), rejected otherwise.
    pub fn ok(self) -> Result<Self, Failure> {
        match self.status {
            200..=299 => Ok(self),
            408 | 425 | 429 | 500.. => Err(later(format!("answered {}", self.status))),
            status => Err(Failure::Reject(format!("answered {status}"))),
        }
    }
}

/// What becomes of a batch for which a host was asked in vain, with `?`: what the operator has to grant
/// halts the plugin, what may pass is asked again, what is too large is rejected.
impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Denied(why) => Self::Halt(why),
            HttpError::Timeout => later("no answer in time".to_owned()),
            HttpError::Network(why) => later(why),
            HttpError::TooLarge(why) => Self::Reject(why),
        }
    }
}

fn later(reason: String) -> Failure {
    Failure::Retry(RetryHint { after_ms: 0, reason })
}

/// Whether the operator lets the plugin ask this URL, so that [`crate::Plugin::new`] can refuse a
/// configuration that will not do. Outside of the sandbox every one is.
pub fn may_fetch(url: &str) -> bool {
    #[cfg(target_family = "wasm")]
    return crate::bindings::headcount::plugin::http::is_granted(url);
    #[cfg(not(target_family = "wasm"))]
    !url.is_empty()
}

/// Whether a component asks hosts: one that does not leaves out the import, and needs no grant.
pub trait Reach: 'static {
    /// Carries out a request.
    fn fetch(request: &Request) -> Result<Response, HttpError>;
}

/// Asks nobody: `export_plugin!(Plugin)`.
#[derive(Debug)]
pub struct Nowhere;

impl Reach for Nowhere {
    fn fetch(_: &Request) -> Result<Response, HttpError> {
        let why = "a plugin that fetches is exported with `export_plugin!(Plugin, http)`";
        Err(HttpError::Denied(why.to_owned()))
    }
}

/// Asks hosts that are granted: `export_plugin!(Plugin, http)`.
#[derive(Debug)]
pub struct Http;

impl Reach for Http {
    fn fetch(request: &Request) -> Result<Response, HttpError> {
        crate::bindings::headcount::plugin::http::fetch(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_a_batch_depends_on_whether_it_may_pass() {
        let answer = |status| Response { status, headers: Vec::new(), body: Vec::new() };
        assert!(answer(204).ok().is_ok());
        for status in [408, 429, 500, 503] {
            assert!(matches!(answer(status).ok(), Err(Failure::Retry(_))), "{status}");
        }
        for status in [301, 400, 404] {
            assert!(matches!(answer(status).ok(), Err(Failure::Reject(_))), "{status}");
        }
        let of = |error: HttpError| Failure::from(error);
        assert!(
            matches!(of(HttpError::Denied("no".to_owned())), Failure::Halt(why) if why == "no")
        );
        assert!(matches!(of(HttpError::Timeout), Failure::Retry(_)));
    }

    #[test]
    fn a_request_is_made_in_a_line_and_headers_are_read_in_any_case() {
        let request =
            Request::post_json("https://a.example/", "{}".to_owned()).header("x-key", "k");
        assert_eq!((request.method.as_str(), request.headers.len()), ("POST", 2));
        let headers = vec![("Retry-After".to_owned(), "7".to_owned())];
        let response = Response { status: 200, headers, body: b"hi".to_vec() };
        assert_eq!((response.header("retry-after"), response.text().as_str()), (Some("7"), "hi"));
    }
}
