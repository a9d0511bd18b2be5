//! The local node: HTTP/1.1 with kept connections, one blocking thread each, as light as it gets,
//! because it shares the cores with what is measured. It knows nothing of JSON.

use crate::{answer, chain::Chain, view::View};
use std::{
    io::{self, IoSlice, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

/// Connections open at once; more are closed at once.
const CONNECTIONS_MAX: usize = 256;

/// Longest request: a batch of some ten thousand calls.
const REQUEST_BYTES_MAX: usize = 4 << 20;

/// Bytes asked of the socket at a time.
const READ_BYTES: usize = 16 << 10;

/// Starts serving on a free port of 127.0.0.1, until the process ends. Each answer waits for
/// `latency` first.
pub fn serve(chain: Arc<Chain>, latency: Duration) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Each connection holds one more reference to the chain.
            if Arc::strong_count(&chain) <= CONNECTIONS_MAX {
                let chain = Arc::clone(&chain);
                // A client that hangs up or talks nonsense ends its own connection only.
                thread::spawn(move || converse(&chain, stream, latency));
            }
        }
    });
    Ok(address)
}

fn converse(chain: &Chain, mut stream: TcpStream, latency: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::with_capacity(READ_BYTES);
    while let Some((body_start, body_end)) = read_request(&mut stream, &mut received)? {
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
