//! A sink against a server on this machine.

#![allow(clippy::unwrap_used, reason = "tests")]

use event::{Delivery, Outgoing, Sink};
use headcount_sink::{HttpSink, SinkConfig, signature};
use std::{
    io::{Read, Write},
    net::TcpListener,
    thread::JoinHandle,
};

/// Answers one request each with these, and returns what came.
fn server(answers: Vec<&'static str>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook/SECRETPATH?key=SECRETQUERY", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let heard = answers.iter().map(|answer| {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut text, mut part) = (String::new(), [0; 4096]);
            while !text.ends_with("hello") {
                let read = stream.read(&mut part).unwrap();
                text.push_str(std::str::from_utf8(&part[..read]).unwrap());
            }
            stream.write_all(answer.as_bytes()).unwrap();
            text
        });
        heard.collect()
    });
    (url, thread)
}

fn sink(url: &str) -> HttpSink {
    HttpSink::new(SinkConfig {
        name: "ops".to_owned(),
        url: url.to_owned(),
        headers: vec![("authorization".to_owned(), "Bearer SECRETHEADER".to_owned())],
        secret: Some("SECRETKEY".to_owned()),
        timeout_ms: 2_000,
    })
    .unwrap()
}

fn message() -> Outgoing {
    Outgoing {
        id: 1,
        plugin: "webhook".to_owned(),
        key: "its own".to_owned(),
        idempotency_key: "00ff".to_owned(),
        content_type: "application/json".to_owned(),
        body: b"hello".to_vec(),
        attempts: 1,
    }
}

#[tokio::test]
async fn a_message_is_posted_with_its_key_and_signature_and_no_redirect_is_followed() {
    let close = "connection: close\r\ncontent-length: 0\r\n\r\n";
    let ok = format!("HTTP/1.1 204 No Content\r\n{close}").leak();
    let moved =
        format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\n{close}")
            .leak();
    let busy = format!("HTTP/1.1 503 Busy\r\nretry-after: 7\r\n{close}").leak();
    let (url, heard) = server(vec![ok, moved, busy]);
    let sink = sink(&url);
    assert_eq!(sink.send(&message()).await, Delivery::Taken);
    let refused = Delivery::Refused("answered 307; redirects are not followed".to_owned());
    assert_eq!(sink.send(&message()).await, refused);
    let later = Delivery::Failed { reason: "answered 503".to_owned(), after_ms: Some(7_000) };
    assert_eq!(sink.send(&message()).await, later);
    let signed = format!("headcount-signature: {}", signature(b"SECRETKEY", "00ff", b"hello"));
    for text in heard.join().unwrap() {
        assert!(text.starts_with("POST /hook/SECRETPATH?key=SECRETQUERY HTTP/1.1\r\n"), "{text}");
        for header in [
            "idempotency-key: 00ff",
            "content-type: application/json",
            "headcount-attempt: 1",
            "headcount-plugin: webhook",
            "authorization: Bearer SECRETHEADER",
            signed.as_str(),
        ] {
            assert!(text.contains(header), "no `{header}` in {text}");
        }
    }
}

#[tokio::test]
async fn what_goes_wrong_names_no_secret() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    let sink = sink(&format!("http://SECRETUSER:SECRETPASS@{free}/SECRETPATH"));
    let Delivery::Failed { reason, after_ms: None } = sink.send(&message()).await else { panic!() };
    assert!(reason.contains("cannot be reached"), "{reason}");
    assert!(!format!("{reason} {sink:?}").contains("SECRET"), "{reason}");
    for url in ["ftp://SECRET@a.example", "SECRET", "/SECRET", "http://"] {
        let config = SinkConfig {
            name: "ops".to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            secret: Some("SECRET".to_owned()),
            timeout_ms: 1,
        };
        let error = HttpSink::new(config.clone()).unwrap_err().to_string();
        assert!(error.contains("sink ops") && !error.contains("SECRET"), "{error}");
        assert!(!format!("{config:?}").contains("SECRET"));
    }
}
