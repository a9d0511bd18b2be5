//! A guest that asks a host over TLS: it has an answer where the host shows a certificate for its name by an
//! authority that the operator trusts, and from nobody else.

use crate::{
    guests::{batch, host},
    made::guest,
};
use alloy_primitives::U256;
use event::{Plugin, PluginFault};
use headcount_host::{Authorities, Grants, HostGrant, Limits};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Signed the certificate, and is known to nobody.
const AUTHORITY: &[u8] = include_bytes!("../../../../fixtures/certificate/authority.pem");
/// For 127.0.0.1 and names.example.
const CERTIFICATE: &[u8] = include_bytes!("../../../../fixtures/certificate/certificate.pem");
const KEY: &[u8] = include_bytes!("../../../../fixtures/certificate/key.pem");

/// Answers under TLS.
struct Secure {
    port: u16,
    /// Requests that it read.
    asked: Arc<AtomicUsize>,
}

impl Secure {
    fn start() -> Self {
        let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()],
                PrivateKeyDer::from_pem_slice(KEY).unwrap(),
            );
        let config = Arc::new(config.unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<AtomicUsize>::default();
        let told = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(config.clone()).unwrap();
                let mut stream = BufReader::new(StreamOwned::new(connection, stream.unwrap()));
                let mut line = String::new();
                // Who does not believe the certificate leaves before it asks.
                while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                    line.clear();
                }
                if line == "\r\n" {
                    told.fetch_add(1, Ordering::Relaxed);
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret";
                    stream.get_mut().write_all(answer).unwrap();
                }
            }
        });
        Self { port, asked }
    }

    /// What a guest is told that asks it by this name.
    fn told(&self, name: &str, is_private: bool, authorities: Authorities) -> String {
        let own = format!("https://{name}:{}", self.port);
        let grants =
            Grants::default().with_hosts(vec![HostGrant::parse(&own, is_private).unwrap()]);
        let grants = grants.with_authorities(authorities);
        let plugin = host().load_granted(&guest("fetches"), &own, Limits::default(), grants);
        let one = batch(&[(9, 0, 1, U256::ONE)]);
        match plugin.unwrap().handle(&one, &Arc::default()) {
            Err(PluginFault::Halt(told)) => told,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_guest_asks_over_tls_where_the_certificate_is_of_an_authority_that_is_trusted() {
    let server = Secure::start();
    let trusted = || Authorities::parse(AUTHORITY).unwrap();
    assert_eq!(server.told("127.0.0.1", false, trusted()), "secret");
    assert_eq!(server.asked.load(Ordering::Relaxed), 1);

    // The system's authorities did not sign it, and nobody else's word is taken.
    let told = server.told("127.0.0.1", false, Authorities::default());
    assert!(told.contains("UnknownIssuer"), "{told}");
    // Trusted for what is in it and for no other name.
    let told = server.told("localhost", true, trusted());
    assert!(told.contains("not valid for name"), "{told}");
    // Trust opens no way to this machine.
    let told = server.told("localhost", false, trusted());
    assert!(told.starts_with("localhost is granted, but it leads to "), "{told}");
    assert_eq!(server.asked.load(Ordering::Relaxed), 1);
}
