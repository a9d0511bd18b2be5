//! The local node: HTTP/1.1 with kept connections, one blocking thread each, as light as it gets,
//! because it shares the cores with what is measured. It knows nothing of JSON.

use crate::{answer, chain::Chain, view::View};
use std::{
    io::{self, IoSlice, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Connections open at once; more are closed at once.
const CONNECTIONS_MAX: usize = 256;

/// Longest request: a batch of some ten thousand calls.
const REQUEST_BYTES_MAX: usize = 4 << 20;

/// What is said to a request above the limit.
const TOO_MANY: &str =
    "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";

/// Bytes asked of the socket at a time.
const READ_BYTES: usize = 16 << 10;

/// How much a node takes on, over all its connections: more is refused with 429, as providers do.
#[derive(Clone, Debug)]
pub struct Limit {
    requests_per_second: u32,
    /// Requests that may come just now, and since when that is known.
    left: Arc<Mutex<(f64, Instant)>>,
}

impl Limit {
    /// Returns a limit of so many HTTP requests a second, all of which may come at once.
    pub fn per_second(requests_per_second: u32) -> Self {
        let left = Arc::new(Mutex::new((f64::from(requests_per_second), Instant::now())));
        Self { requests_per_second, left }
    }

    fn admits(&self) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let most = f64::from(self.requests_per_second);
        let now = Instant::now();
        let saved = left.0 + now.duration_since(left.1).as_secs_f64() * most;
        let saved = saved.min(most);
        let admits = saved >= 1.0;
        *left = (if admits { saved - 1.0 } else { saved }, now);
        admits
    }
}

/// Starts serving on a free port of 127.0.0.1, until the process ends. Each answer waits for
/// `latency` first.
pub fn serve(chain: Arc<Chain>, latency: Duration, limit: Option<Limit>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Each connection holds one more reference to the chain.
            if Arc::strong_count(&chain) <= CONNECTIONS_MAX {
                let (chain, limit) = (Arc::clone(&chain), limit.clone());
                // A client that hangs up or talks nonsense ends its own connection only.
                thread::spawn(move || converse(&chain, stream, latency, limit.as_ref()));
            }
        }
    });
    Ok(address)
}

fn converse(
    chain: &Chain,
    mut stream: TcpStream,
    latency: Duration,
    limit: Option<&Limit>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::with_capacity(READ_BYTES);
    while let Some((body_start, body_end)) = read_request(&mut stream, &mut received)? {
        if !limit.is_none_or(Limit::admits) {
            stream.write_all(TOO_MANY.as_bytes())?;
            received.drain(..body_end);
            continue;
        }
        let pieces = answer::answer(View::whole(chain), &received[body_start..body_end]);
        if !latency.is_zero() {
            thread::sleep(latency);
        }
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        let mut slices = Vec::with_capacity(pieces.len() + 1);
        slices.push(IoSlice::new(head.as_bytes()));
        slices.extend(pieces.iter().map(|piece| IoSlice::new(piece)));
        write_all(&mut stream, &mut slices)?;
        received.drain(..body_end);
    }
    Ok(())
}

/// Reads until `received` starts with a whole request and returns where its body lies, or `None`
/// when the client has hung up.
fn read_request(
    stream: &mut TcpStream,
    received: &mut Vec<u8>,
) -> io::Result<Option<(usize, usize)>> {
    let mut chunk = [0; READ_BYTES];
    loop {
        if let Some(head_end) = find(received, b"\r\n\r\n") {
            let body_start = head_end + 4;
            let body_end = body_start + content_length(&received[..head_end])?;
            if received.len() >= body_end {
                return Ok(Some((body_start, body_end)));
            }
        }
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Ok(None);
        }
        received.extend_from_slice(&chunk[..count]);
        if received.len() > REQUEST_BYTES_MAX {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
    }
}

/// Requests without a length have no body; chunked ones are not understood.
fn content_length(head: &[u8]) -> io::Result<usize> {
    let not_understood = || io::Error::from(io::ErrorKind::InvalidData);
    let head = std::str::from_utf8(head).map_err(|_| not_understood())?;
    for line in head.split("\r\n").skip(1) {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(not_understood());
        }
        if name.eq_ignore_ascii_case("content-length") {
            let length: usize = value.trim().parse().map_err(|_| not_understood())?;
            return Ok(length.min(REQUEST_BYTES_MAX));
        }
    }
    Ok(0)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn write_all(stream: &mut TcpStream, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    // Empty slices at the front would read as "nothing written".
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let count = stream.write_vectored(slices)?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::WriteZero));
        }
        IoSlice::advance_slices(&mut slices, count);
    }
    Ok(())
}
