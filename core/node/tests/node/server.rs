//! A server on 127.0.0.1 that answers each request with exactly the bytes a test wants.

use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Answers request bodies with whole HTTP responses, one connection each.
pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts it; `respond` maps a request's body to the bytes sent before closing.
    pub(crate) async fn start(respond: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, respond) = (seen.clone(), Arc::new(respond));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, respond) = (log.clone(), respond.clone());
                tokio::spawn(async move {
                    let _closed = serve(stream, &log, &*respond).await;
                });
            }
        });
        Self { url, seen }
    }

    /// Answers every request with the same response.
    pub(crate) async fn with(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::start(move |_| response.clone()).await
    }

    /// Whole requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<String>>,
    respond: &(dyn Fn(&str) -> Vec<u8> + Send + Sync),
) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let n = stream.read(&mut piece).await?;
        if n == 0 {
            return Ok(());
        }
        request.extend_from_slice(&piece[..n]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned)
            })
            .map_or(0, |length| length.parse().unwrap());
        if body.len() >= length {
            let response = respond(body);
            seen.lock().unwrap().push(text.into_owned());
            stream.write_all(&response).await?;
            return stream.shutdown().await;
        }
    }
}

/// Returns a whole response.
pub(crate) fn http(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut response = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    )
    .into_bytes();
    response.extend_from_slice(body);
    response
}

/// Returns JSON under 200.
pub(crate) fn json(body: &str) -> Vec<u8> {
    http("200 OK", "content-type: application/json\r\n", body.as_bytes())
}

/// Returns the ids of a request's calls, in order.
pub(crate) fn ids(request: &str) -> Vec<u64> {
    calls(request).iter().map(|call| call["id"].as_u64().unwrap()).collect()
}

/// Returns the calls of a request.
pub(crate) fn calls(request: &str) -> Vec<serde_json::Value> {
    match serde_json::from_str(request).unwrap() {
        serde_json::Value::Array(calls) => calls,
        call => vec![call],
    }
}
