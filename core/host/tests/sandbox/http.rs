//! Guests that ask hosts over HTTP: nothing but what was granted is reached, whatever a guest writes and
//! whatever names and answers say, and a host that is slow or floods costs its plugin and nobody else.

use crate::{
    guests::{batch, host},
    made::guest,
};
use alloy_primitives::U256;
use event::{Effects, Plugin, PluginFault};
use headcount_host::{Grants, HostGrant, Limits, LoadedPlugin};
use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// A port on which nobody may call.
struct Untouched(TcpListener);

impl Untouched {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    #[track_caller]
    fn check(&self, after: &str) {
        assert!(self.0.accept().is_err(), "somebody called after {after}");
    }
}

/// A server on this machine that answers every request the same, and what it heard.
struct Server {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves until the test ends; an empty answer is none.
    fn start(answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = Arc::clone(&heard);
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (mut text, mut part) = (String::new(), [0; 4096]);
                while !text.contains("\r\n\r\n") {
                    match stream.read(&mut part) {
                        Ok(0) | Err(_) => break,
                        Ok(read) => text.push_str(&String::from_utf8_lossy(&part[..read])),
                    }
                }
                told.lock().unwrap().push(text);
                let _ = stream.write_all(&answer);
                if answer.is_empty() {
                    open.push(stream);
                }
            }
        });
        Self { port, heard }
    }

    fn saying(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::start(
            format!(
                "HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .into_bytes(),
        )
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn granted(texts: &[&str], is_private: bool) -> Grants {
    let hosts = texts.iter().map(|text| HostGrant::parse(text, is_private).unwrap());
    Grants::default().with_hosts(hosts.collect())
}

fn loaded(name: &str, url: &str, grants: Grants, limits: Limits) -> LoadedPlugin {
    host().load_granted(&guest(name), url, limits, grants).unwrap()
}

/// What a guest is told that asks for a URL: the words with which it halts.
fn asks(name: &str, url: &str, grants: Grants) -> String {
    handled(&mut loaded(name, url, grants, Limits::default()))
}

fn handled(plugin: &mut LoadedPlugin) -> String {
    let one = batch(&[(9, 0, 1, U256::ONE)]);
    match plugin.handle(&one, &Arc::default()) {
        Err(PluginFault::Halt(told)) => told,
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_host_is_called_that_was_not_granted_however_its_name_is_written() {
    let untouched = Untouched::listen();
    let port = untouched.port();
    let grants = || granted(&["api.example.com", "http://other.example"], false);
    let loopback = format!("http://127.0.0.1:{port} is not granted to this plugin");
    for (url, why) in [
        (format!("http://127.0.0.1:{port}/"), loopback.as_str()),
        (format!("http://2130706433:{port}/"), &loopback),
        (format!("http://0x7f000001:{port}/"), &loopback),
        (format!("http://0177.0.0.1:{port}/"), &loopback),
        (format!("http://127.1:{port}/"), &loopback),
        (format!("http://127.0.0.1.:{port}/"), &loopback),
        (format!("http://\u{ff11}27.0.0.1:{port}/"), &loopback),
        (format!("http://%31%32%37.0.0.1:{port}/"), &loopback),
        (format!("http:\\\\127.0.0.1:{port}/"), &loopback),
        (format!("http://127.0.0.1:{port}\\@other.example/"), &loopback),
        (format!("http://127.0.0.1:{port}#@other.example/"), &loopback),
        (format!("http://[::ffff:127.0.0.1]:{port}/"), "is not granted to this plugin"),
        (format!("http://0:{port}/"), "is not granted to this plugin"),
        (format!("http://[::1]:{port}/"), "is not granted to this plugin"),
        (format!("http://localhost:{port}/"), "is not granted to this plugin"),
        (format!("http://other.example@127.0.0.1:{port}/"), "a URL with a user name"),
        (format!("http://other.example:80@127.0.0.1:{port}/"), "a URL with a user name"),
        (format!("https://api.example.com:{port}/"), "is not granted to this plugin"),
        (format!("ws://127.0.0.1:{port}/"), "only https:// is granted"),
        (format!("//127.0.0.1:{port}/"), "it is no URL"),
    ] {
        let told = asks("fetches", &url, grants());
        println!("{url}: {told}");
        assert!(told.contains(why), "{url}: {told}");
        untouched.check(&url);
    }
}

#[test]
fn a_granted_name_that_leads_to_this_machine_is_not_called() {
    let untouched = Untouched::listen();
    let port = untouched.port();
    let url = format!("http://localhost:{port}/");
    let told = asks("fetches", &url, granted(&[&url[..url.len() - 1]], false));
    assert!(told.starts_with("localhost is granted, but it leads to "), "{told}");
    assert!(told.ends_with("which is of this machine or a private network"), "{told}");
    untouched.check(&url);

    let server = Server::saying("200 OK", "", "hello");
    let url = format!("http://localhost:{}/", server.port);
    assert_eq!(asks("fetches", &url, granted(&[&url[..url.len() - 1]], true)), "hello");
}

#[test]
fn a_redirect_leads_to_no_host_that_was_not_granted() {
    let untouched = Untouched::listen();
    for target in [
        format!("http://127.0.0.1:{}/", untouched.port()),
        format!("http://localhost:{}/", untouched.port()),
        "file:///etc/passwd".to_owned(),
    ] {
        let moved = Server::saying("302 Found", &format!("location: {target}\r\n"), "");
        let own = format!("http://127.0.0.1:{}", moved.port);
        let told = asks("fetches", &format!("{own}/"), granted(&[&own], false));
        assert!(told.contains("granted"), "{told}");
        assert_eq!(moved.heard().len(), 1, "{target}");
        untouched.check(&target);
    }
}

#[test]
fn a_granted_host_is_asked_and_its_answer_handed_over() {
    let server = Server::saying("404 Not Found", "x-from: here\r\n", "no such thing");
    let own = format!("http://127.0.0.1:{}", server.port);
    let url = format!("{own}/a/b?c=d#e");
    assert_eq!(asks("fetches", &url, granted(&["a.example", &own], false)), "no such thing");
    let [request] = &server.heard()[..] else { panic!("{:?}", server.heard()) };
    assert!(request.starts_with("GET /a/b?c=d HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: 127.0.0.1:{}\r\n", server.port)), "{request}");
    assert!(request.contains("user-agent: headcount\r\n"), "{request}");
    assert!(!request.contains("accept-encoding"), "{request}");
}

#[test]
fn nothing_is_fetched_without_a_batch_and_nothing_where_nothing_is_sent() {
    let untouched = Untouched::listen();
    let own = format!("http://127.0.0.1:{}", untouched.port());
    let grants = granted(&[&own], false);
    let refused = host().load_granted(&guest("fetches-in-init"), &own, Limits::default(), grants);
    assert_eq!(
        refused.unwrap_err().to_string(),
        "plugin refuses its configuration: nothing is fetched before a batch is there, as in `init`"
    );
    let told = asks("fetches", &own, Grants::any());
    assert!(told.starts_with("nothing is sent in this run: "), "{told}");
    untouched.check("both");
}

#[test]
fn requests_of_a_batch_and_bytes_of_an_answer_end_at_a_limit_that_has_a_name() {
    let server = Server::saying("200 OK", "", "again");
    let own = format!("http://127.0.0.1:{}", server.port);
    let told = asks("fetches-without-end", &own, granted(&[&own], false));
    assert_eq!(told, "limit `http_calls` of 16 exceeded");
    assert_eq!(server.heard().len(), 16);

    let many: String = (0..90).map(|i| format!("x-{i}: y\r\n")).collect();
    let long = format!("x-long: {}\r\n", "y".repeat(70_000));
    for (headers, body, why) in [
        (
            String::new(),
            "y".repeat((4 << 20) + 1),
            "limit `http_response_bytes` of 4194304 exceeded",
        ),
        (many.repeat(2), String::new(), "message head is too large"),
        (long, String::new(), "limit `http_header_bytes` of 65536 exceeded"),
    ] {
        let server = Server::saying("200 OK", &headers, &body);
        let own = format!("http://127.0.0.1:{}", server.port);
        assert_eq!(asks("fetches", &own, granted(&[&own], false)), why);
    }
    let few = Limits { http_headers: 10, ..Limits::default() };
    let server = Server::saying("200 OK", &many, "");
    let own = format!("http://127.0.0.1:{}", server.port);
    let told = handled(&mut loaded("fetches", &own, granted(&[&own], false), few));
    assert_eq!(told, "limit `http_headers` of 10 exceeded");
    // No length is promised, and it never ends.
    let endless = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'y'; 5 << 20]].concat();
    let server = Server::start(endless);
    let own = format!("http://127.0.0.1:{}", server.port);
    let told = asks("fetches", &own, granted(&[&own], false));
    assert_eq!(told, "limit `http_response_bytes` of 4194304 exceeded");
}

#[test]
fn a_host_that_does_not_answer_costs_its_plugin_no_more_than_its_batch_and_others_nothing() {
    let server = Server::start(Vec::new());
    let own = format!("http://127.0.0.1:{}", server.port);
    let limits = Limits { deadline_ms: 2_000, ..Limits::default() };
    let host = host();
    let waits = host.load_granted(&guest("fetches"), &own, limits, granted(&[&own], false));
    let mut waits = waits.unwrap();
    let mut honest = host.load(&guest("good"), "{}", Limits::default()).unwrap();
    let begun = Instant::now();
    let waiting = std::thread::spawn(move || (handled(&mut waits), begun.elapsed()));
    while server.heard().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let one = batch(&[(9, 0, 1, U256::ONE)]);
    assert_eq!(honest.handle(&one, &Arc::default()), Ok(Effects::default()));
    assert!(!waiting.is_finished(), "the other one is still waiting");
    // It is left a moment to say what it makes of that.
    let (told, took) = waiting.join().unwrap();
    assert_eq!(told, "timeout");
    assert!(took < Duration::from_millis(2_500), "{took:?}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let told = asks("fetches", &own, granted(&[&own], false));
    assert!(told.contains("refused"), "{told}");
}
