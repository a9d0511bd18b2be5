//! Carries one request of a plugin to a host that was granted, on a thread beside the plugin's.
//!
//! A name is resolved once, what it leads to is judged, and the connection goes to just these addresses:
//! whoever answers for the name has no second chance to say otherwise. No redirect is followed and no
//! proxy of the environment is used. Whether a request is granted at all is decided before.

use crate::{
    Authorities,
    addresses::check_reach,
    bindings::headcount::plugin::http::{HttpError, Response},
};
use reqwest::{
    Client, Method, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::HeaderMap,
    redirect::Policy,
};
use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};

/// Names of one plugin that are being resolved at a time; one that hangs holds up no other plugin.
const RESOLVING: usize = 4;
/// How long a connection is kept for the next request.
const IDLE: Duration = Duration::from_secs(15);
/// Connections to one host that are kept so.
const IDLE_CONNECTIONS: usize = 1;
/// What the answer's bound is overstepped by at most, before it is given up without a word from it.
const GRACE: Duration = Duration::from_millis(100);
/// How hyper says that an answer has more headers than it reads.
const HEAD_TOO_LARGE: &str = "message head is too large";

/// Answers for names.
pub(crate) trait Names: Send + Sync + 'static {
    /// Returns the addresses of a host. May block.
    fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The machine's own resolver.
pub(crate) struct System;

impl Names for System {
    fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
    }
}

/// A request that was found to be granted.
pub(crate) struct Outbound {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// For the whole answer.
    pub(crate) timeout: Duration,
    /// Whether the name may lead to this machine and to private networks.
    pub(crate) is_private: bool,
    pub(crate) most: Most,
}

/// How much of an answer is taken.
#[derive(Clone, Copy)]
pub(crate) struct Most {
    pub(crate) headers: usize,
    pub(crate) header_bytes: usize,
    pub(crate) body_bytes: usize,
}

/// What one plugin fetches with. Nothing is started before the first request.
pub(crate) struct Fetcher {
    names: Arc<dyn Names>,
    authorities: Authorities,
    ready: Mutex<Option<Ready>>,
}

struct Ready {
    runtime: Runtime,
    /// For names that may not lead to private networks, and for those that may.
    clients: [Client; 2],
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        let ready = self.ready.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ready) = ready {
            // Not to wait for a resolver that hangs.
            ready.runtime.shutdown_background();
        }
    }
}

impl Fetcher {
    pub(crate) fn new(names: Arc<dyn Names>, authorities: Authorities) -> Self {
        Self { names, authorities, ready: Mutex::new(None) }
    }

    /// Asks, and waits no longer than the request says.
    pub(crate) fn fetch(&self, outbound: Outbound) -> Result<Response, HttpError> {
        let timeout = outbound.timeout;
        let (sender, answer) = mpsc::sync_channel(1);
        {
            let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            let Ready { runtime, clients } = match &mut *ready {
                Some(ready) => ready,
                none => none.insert(self.start().map_err(HttpError::Network)?),
            };
            let client = clients[usize::from(outbound.is_private)].clone();
            runtime.spawn(async move {
                let asked = tokio::time::timeout(timeout, exchange(&client, outbound)).await;
                // Who does not wait any more has answered the guest already.
                let _ = sender.send(asked.unwrap_or(Err(HttpError::Timeout)));
            });
        }
        answer.recv_timeout(timeout + GRACE).unwrap_or(Err(HttpError::Timeout))
    }

    fn start(&self) -> Result<Ready, String> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(RESOLVING)
            .thread_name("plugin http")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let clients = [self.client(false)?, self.client(true)?];
        Ok(Ready { runtime, clients })
    }

    fn client(&self, is_private: bool) -> Result<Client, String> {
        let judged = Judged { names: Arc::clone(&self.names), is_private };
        let authorities = self.authorities.certificates()?;
        Client::builder()
            .tls_certs_merge(authorities)
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            // One request a connection at a time, and what comes is what is counted.
            .http1_only()
            .no_gzip()
            .dns_resolver(judged)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE)
            .user_agent("headcount")
            .build()
            .map_err(|error| last_cause(&error))
    }
}

async fn exchange(client: &Client, outbound: Outbound) -> Result<Response, HttpError> {
    let Outbound { method, url, headers, body, most, .. } = outbound;
    let request = client.request(method, url).headers(headers).body(body);
    let mut answer = request.send().await.map_err(|error| failed(&error))?;
    let mut response =
        Response { status: answer.status().as_u16(), headers: Vec::new(), body: Vec::new() };
    let mut header_bytes = 0;
    for (name, value) in answer.headers() {
        header_bytes += name.as_str().len() + value.len();
        within("http_headers", response.headers.len() + 1, most.headers)?;
        within("http_header_bytes", header_bytes, most.header_bytes)?;
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        response.headers.push((name.as_str().to_owned(), value));
    }
    while let Some(chunk) = answer.chunk().await.map_err(|error| failed(&error))? {
        let found = response.body.len() + chunk.len();
        within("http_response_bytes", found, most.body_bytes)?;
        response.body.extend_from_slice(&chunk);
    }
    Ok(response)
}

/// An error where there is more than a limit allows.
pub(crate) fn within(limit: &str, found: usize, allowed: usize) -> Result<(), HttpError> {
    if found > allowed {
        return Err(HttpError::TooLarge(format!("limit `{limit}` of {allowed} exceeded")));
    }
    Ok(())
}

fn failed(error: &reqwest::Error) -> HttpError {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(here) = cause {
        if let Some(Refused(why)) = here.downcast_ref() {
            return HttpError::Denied(why.clone());
        }
        cause = here.source();
    }
    let told = last_cause(error);
    if error.is_timeout() {
        HttpError::Timeout
    } else if told == HEAD_TOO_LARGE {
        HttpError::TooLarge(told)
    } else {
        HttpError::Network(told)
    }
}

/// Returns the last cause, which names no URL.
pub(crate) fn last_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// Resolves names for a client, which connects to what it is told and asks nobody else.
struct Judged {
    names: Arc<dyn Names>,
    is_private: bool,
}

/// A name leads where it may not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

impl Resolve for Judged {
    fn resolve(&self, name: Name) -> Resolving {
        let (names, is_private) = (Arc::clone(&self.names), self.is_private);
        let name = name.as_str().to_owned();
        Box::pin(async move {
            let asked = name.clone();
            let found = tokio::task::spawn_blocking(move || names.look_up(&asked)).await??;
            // One such address among others is no accident either.
            for address in &found {
                check_reach(*address, is_private)
                    .map_err(|why| Refused(format!("{name} is granted, but {why}")))?;
            }
            // The port of the URL takes the place of 0.
            let found = found.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(found) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::{
        collections::VecDeque,
        io::{Read, Write},
        net::TcpListener,
        thread::JoinHandle,
        time::Instant,
    };

    /// Answers each look-up with the next of these; then it hangs.
    struct Turning(Mutex<VecDeque<Vec<IpAddr>>>);

    impl Turning {
        fn new(answers: &[&str]) -> Arc<Self> {
            let answer =
                |texts: &&str| texts.split(' ').map(|text| text.parse().unwrap()).collect();
            Arc::new(Self(Mutex::new(answers.iter().map(answer).collect())))
        }

        fn left(&self) -> usize {
            self.0.lock().unwrap().len()
        }
    }

    impl Names for Turning {
        fn look_up(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            let next = self.0.lock().unwrap().pop_front();
            Ok(next.unwrap_or_else(|| {
                loop {
                    std::thread::park();
                }
            }))
        }
    }

    fn asks(names: &Arc<Turning>, url: &str, is_private: bool) -> Result<Response, HttpError> {
        let names = Arc::clone(names) as Arc<dyn Names>;
        Fetcher::new(names, Authorities::default()).fetch(Outbound {
            method: Method::GET,
            url: url.parse().unwrap(),
            headers: HeaderMap::new(),
            body: Vec::new(),
            timeout: Duration::from_millis(1_500),
            is_private,
            most: Most { headers: 100, header_bytes: 1_000, body_bytes: 1_000 },
        })
    }

    /// Answers one request.
    fn server() -> (u16, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 1_000];
            let read = stream.read(&mut head).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").unwrap();
            String::from_utf8_lossy(&head[..read]).into_owned()
        });
        (port, thread)
    }

    #[test]
    fn a_name_is_resolved_once_and_the_connection_goes_to_what_was_judged() {
        let (port, heard) = server();
        // Whoever asked a second time would be led to the keys of a machine.
        let names = Turning::new(&["127.0.0.1", "169.254.169.254"]);
        let answer = asks(&names, &format!("http://turns.example:{port}/x"), true).unwrap();
        assert_eq!((answer.status, answer.body), (200, b"hi".to_vec()));
        assert_eq!(names.left(), 1);
        assert!(heard.join().unwrap().contains(&format!("host: turns.example:{port}\r\n")));
    }

    #[test]
    fn a_name_with_one_private_address_among_others_is_not_called() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        for (addresses, is_private, why) in [
            ("127.0.0.1", false, "127.0.0.1, which is of this machine or a private network"),
            ("8.8.8.8 127.0.0.1", false, "127.0.0.1, which is of this machine"),
            ("::ffff:127.0.0.1", false, "which is of this machine or a private network"),
            ("127.0.0.1 169.254.169.254", true, "which is link-local or of a cloud's metadata"),
            ("0.0.0.0", true, "0.0.0.0, which is no host's"),
        ] {
            let names = Turning::new(&[addresses]);
            let told = asks(&names, &format!("http://turns.example:{port}/"), is_private);
            let Err(HttpError::Denied(told)) = told else { panic!("{addresses}: {told:?}") };
            assert!(told.starts_with("turns.example is granted, but it leads to "), "{told}");
            assert!(told.ends_with(why) || told.contains(why), "{told}");
            assert!(listener.accept().is_err(), "somebody called: {addresses}");
        }
    }

    #[test]
    fn a_resolver_that_hangs_is_given_up_in_time() {
        let begun = Instant::now();
        let told = asks(&Turning::new(&[]), "http://hangs.example/", false);
        assert!(matches!(told, Err(HttpError::Timeout)), "{told:?}");
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}
