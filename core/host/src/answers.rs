//! Answers that stand for hosts, so that a plugin that fetches can be tried without a network. Each is found
//! by method and URL alone: what a plugin is told is then a function of what it asks.

use crate::{
    bindings::headcount::plugin::http::{HttpError, Response},
    fetching::{Outbound, within},
    host_grant,
    http::METHODS,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

/// Requests without an answer that are remembered, at most.
const UNANSWERED_MAX: usize = 100;

/// What a request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// An answer of a host.
    Response {
        /// Status, such as 200.
        status: u16,
        /// Headers, in order.
        headers: Vec<(String, String)>,
        /// Body.
        body: Vec<u8>,
    },
    /// No answer in time.
    Timeout,
    /// No connection.
    Network,
}

/// An answer, and what it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Method, such as `GET`.
    pub method: String,
    /// URL, whole.
    pub url: String,
    /// The answer.
    pub said: Said,
}

/// Method and URL, the URL in the one form that it has.
type Asked = (String, String);

/// Answers by method and URL.
#[derive(Debug, Default)]
pub struct Answers {
    by_request: BTreeMap<Asked, Said>,
    unanswered: Mutex<BTreeSet<Asked>>,
}

impl Answers {
    /// Takes answers, one for each method and URL.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them: its place from 1, and words for the author.
    pub fn new(answers: impl IntoIterator<Item = Answer>) -> Result<Self, (usize, String)> {
        let mut by_request = BTreeMap::new();
        for (place, Answer { method, url, said }) in (1..).zip(answers) {
            let wrong = |why| (place, why);
            if !METHODS.iter().any(|known| known.as_str() == method) {
                return Err(wrong(format!("`{method}` is no method that a plugin may use")));
            }
            let (url, _) =
                host_grant::asked(&url).map_err(|why| wrong(format!("its url: {why}")))?;
            if by_request.insert((method, url.into()), said).is_some() {
                return Err(wrong("its method and url have an answer already".to_owned()));
            }
        }
        Ok(Self { by_request, unanswered: Mutex::default() })
    }

    /// Returns what was asked and has no answer, as `GET https://a.example/x`, in order and each once; at
    /// most 100 of them.
    pub fn unanswered(&self) -> Vec<String> {
        let unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        unanswered.iter().map(|(method, url)| format!("{method} {url}")).collect()
    }

    /// Answers a request, within the limits that hold for a host's answer.
    pub(crate) fn answer(&self, outbound: &Outbound) -> Result<Response, HttpError> {
        let asked = (outbound.method.to_string(), outbound.url.to_string());
        let Some(said) = self.by_request.get(&asked) else {
            let why = format!("there is no recorded answer for this {}", outbound.method);
            let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
            if unanswered.len() < UNANSWERED_MAX {
                unanswered.insert(asked);
            }
            return Err(HttpError::Denied(why));
        };
        let (status, headers, body) = match said {
            Said::Response { status, headers, body } => (*status, headers.clone(), body.clone()),
            Said::Timeout => return Err(HttpError::Timeout),
            Said::Network => return Err(HttpError::Network("the recorded answer is none".into())),
        };
        let header_bytes = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        within("http_headers", headers.len(), outbound.most.headers)?;
        within("http_header_bytes", header_bytes, outbound.most.header_bytes)?;
        within("http_response_bytes", body.len(), outbound.most.body_bytes)?;
        Ok(Response { status, headers, body })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::fetching::Most;
    use reqwest::{Method, header::HeaderMap};
    use std::time::Duration;

    fn answer(method: &str, url: &str, said: Said) -> Answer {
        Answer { method: method.to_owned(), url: url.to_owned(), said }
    }

    fn says(body: &str) -> Said {
        Said::Response { status: 200, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    fn asks(answers: &Answers, method: Method, url: &str) -> Result<Vec<u8>, HttpError> {
        let outbound = Outbound {
            method,
            url: host_grant::asked(url).unwrap().0,
            headers: HeaderMap::new(),
            body: Vec::new(),
            timeout: Duration::ZERO,
            is_private: false,
            most: Most { headers: 1, header_bytes: 10, body_bytes: 5 },
        };
        answers.answer(&outbound).map(|response| response.body)
    }

    #[test]
    fn an_answer_is_found_by_method_and_url_however_that_is_spelt_and_what_has_none_is_remembered()
    {
        let url = "https://a.example/x?q=1";
        let answers = Answers::new([
            answer("GET", "HTTPS://A.example.:443/x?q=1#top", says("one")),
            answer("POST", url, says("two")),
            answer("GET", "https://a.example/slow", Said::Timeout),
            answer("GET", "https://a.example/long", says("123456")),
        ]);
        let answers = answers.unwrap();
        assert_eq!(asks(&answers, Method::GET, url).unwrap(), b"one");
        assert_eq!(asks(&answers, Method::POST, url).unwrap(), b"two");
        let slow = asks(&answers, Method::GET, "https://a.example/slow");
        assert!(matches!(slow, Err(HttpError::Timeout)), "{slow:?}");
        let long = asks(&answers, Method::GET, "https://a.example/long");
        assert!(matches!(long, Err(HttpError::TooLarge(_))), "{long:?}");
        assert_eq!(answers.unanswered(), [""; 0]);
        for _ in 0..2 {
            let none = asks(&answers, Method::PUT, url);
            assert!(matches!(none, Err(HttpError::Denied(_))), "{none:?}");
            assert!(asks(&answers, Method::GET, "http://a.example/x?q=1").is_err());
        }
        let unanswered = answers.unanswered();
        assert_eq!(unanswered, ["GET http://a.example/x?q=1", "PUT https://a.example/x?q=1"]);
        for i in 0..200 {
            assert!(asks(&answers, Method::GET, &format!("https://a.example/{i}")).is_err());
        }
        assert_eq!(answers.unanswered().len(), UNANSWERED_MAX);
    }

    #[test]
    fn an_answer_that_could_never_be_given_is_told_with_its_place() {
        let good = || answer("GET", "https://a.example/", says(""));
        for (second, why) in [
            (answer("TRACE", "https://a.example/", says("")), "`TRACE` is no method"),
            (answer("GET", "a.example/x", says("")), "its url: it is no URL"),
            (answer("GET", "https://u:p@a.example/", says("")), "its url: a URL with a user name"),
            (answer("GET", "https://a.example#x", says("")), "have an answer already"),
        ] {
            let (place, told) = Answers::new([good(), second]).unwrap_err();
            assert!(place == 2 && told.contains(why), "{place}: {told}");
        }
    }
}
