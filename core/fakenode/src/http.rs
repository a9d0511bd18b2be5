//! HTTP/1.1 with kept connections, as much of it as JSON-RPC needs.

use crate::voice::{Reply, Voice};
use std::io;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Largest request, in bytes: a batch of some ten thousand calls.
pub(crate) const REQUEST_BYTES_MAX: usize = 4 << 20;
/// Read at a time.
const READ_BYTES: usize = 16 << 10;
/// What a gateway shows instead of an answer.
const PAGE: &str = "<html><head><title>Gateway</title></head><body>Just a moment...</body></html>";

/// Answers requests until one side ends the connection.
pub(crate) async fn serve(voice: &Voice, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::with_capacity(READ_BYTES);
    while let Some((start, end)) = read_request(&mut stream, &mut received).await? {
        let body: Vec<u8> = received.drain(..end).skip(start).collect();
        let reply = tokio::select! {
            reply = voice.reply(&body, false) => reply,
            // Who has gone waits for no answer.
            () = gone(&mut stream, &mut received) => return Ok(()),
        };
        match reply {
            Reply::Text { status, retry_after_s, text } => {
                let head = head(status, "application/json", text.len(), retry_after_s);
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(text.as_bytes()).await?;
            }
            Reply::Garbage(_) => {
                let head = head(200, "text/html", PAGE.len(), None);
                stream.write_all(format!("{head}{PAGE}").as_bytes()).await?;
            }
            Reply::Cut(text) => {
                let head = head(200, "application/json", text.len() + 1, None);
                let half = &text[..text.floor_char_boundary(text.len() / 2)];
                stream.write_all(format!("{head}{half}").as_bytes()).await?;
                return stream.shutdown().await;
            }
            Reply::HangUp => return Ok(()),
            Reply::Silence => {
                gone(&mut stream, &mut received).await;
                return Ok(());
            }
        }
    }
    Ok(())
}

fn head(status: u16, kind: &str, length: usize, retry_after_s: Option<u64>) -> String {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Error",
    };
    let wait =
        retry_after_s.map_or_else(String::new, |wait_s| format!("Retry-After: {wait_s}\r\n"));
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{wait}\r\n"
    )
}

/// Returns once the other side has ended the connection, or sent more than it may.
async fn gone(stream: &mut TcpStream, received: &mut Vec<u8>) {
    while received.len() <= REQUEST_BYTES_MAX {
        match stream.read_buf(received).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// Reads until `received` starts with a whole request, and returns where its body lies; `None` at
/// the end of the connection.
async fn read_request(
    stream: &mut TcpStream,
    received: &mut Vec<u8>,
) -> io::Result<Option<(usize, usize)>> {
    loop {
        if let Some(head_end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let start = head_end + 4;
            let end = start.saturating_add(content_length(&received[..head_end])?);
            if received.len() >= end {
                return Ok(Some((start, end)));
            }
        }
        if received.len() > REQUEST_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if stream.read_buf(received).await? == 0 {
            return Ok(None);
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
            return value.trim().parse().map_err(|_| not_understood());
        }
    }
    Ok(0)
}
