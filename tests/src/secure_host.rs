//! A service behind TLS on this machine, whose certificate is of an authority that no system knows.

use crate::workspace;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// A running service.
#[derive(Debug)]
pub struct SecureHost {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl SecureHost {
    /// Starts one that answers every request with this body.
    pub fn start(says: &str) -> Self {
        let folder = workspace().join("fixtures/certificate");
        let certificate = CertificateDer::from_pem_file(folder.join("certificate.pem"));
        let key = PrivateKeyDer::from_pem_file(folder.join("key.pem"));
        let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.expect("the certificate of the fixtures")],
                key.expect("its key"),
            );
        let config = Arc::new(config.expect("a certificate and its key"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on this machine");
        let address = listener.local_addr().expect("a bound socket has an address");
        let asked = Arc::<AtomicUsize>::default();
        let (told, says) = (asked.clone(), says.to_owned());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (told, says, config) = (told.clone(), says.clone(), config.clone());
                // A client that left early is no concern of ours.
                thread::spawn(move || serve(stream, config, &says, &told).ok());
            }
        });
        Self { address, asked }
    }

    /// Returns its URL, without a path.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Returns how many requests came.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Acquire)
    }

    /// Returns the file with the certificate of its authority.
    pub fn authority() -> PathBuf {
        workspace().join("fixtures/certificate/authority.pem")
    }
}

fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    says: &str,
    asked: &AtomicUsize,
) -> io::Result<()> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        io::copy(&mut stream.by_ref().take(length), &mut io::sink())?;
        asked.fetch_add(1, Ordering::AcqRel);
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{says}", says.len());
        stream.get_mut().write_all(answer.as_bytes())?;
    }
}
