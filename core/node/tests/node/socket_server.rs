//! A WebSocket or IPC server that does with each request exactly what a test wants.

use crate::{faults::header, server::calls};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::broadcast,
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
    },
};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    WebSocket,
    Ipc,
}

pub(crate) const KINDS: [Kind; 2] = [Kind::WebSocket, Kind::Ipc];

/// What the server does.
#[derive(Clone, Debug)]
pub(crate) enum Do {
    /// Sends a message.
    Send(String),
    /// Sends the first half of a message and cuts the connection.
    Cut(String),
    /// Says good-bye with these words; over IPC just ends.
    Close(&'static str),
}

/// Maps a connection (counted from 1) and a request to what is done.
type Script = dyn Fn(usize, &str) -> Vec<Do> + Send + Sync;

pub(crate) struct SocketServer {
    /// What a node is opened with.
    pub(crate) place: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    _folder: TempDir,
}

struct Shared {
    script: Box<Script>,
    /// Connection and text of each request.
    seen: Mutex<Vec<(usize, String)>>,
    handshakes: Mutex<Vec<String>>,
    made: AtomicUsize,
    open: AtomicUsize,
    push: broadcast::Sender<String>,
}

impl SocketServer {
    pub(crate) async fn start(
        kind: Kind,
        script: impl Fn(usize, &str) -> Vec<Do> + Send + Sync + 'static,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            seen: Mutex::default(),
            handshakes: Mutex::default(),
            made: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            push: broadcast::channel(10_000).0,
        });
        let own = shared.clone();
        let (place, task) = match kind {
            Kind::WebSocket => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let place = format!("ws://{}", listener.local_addr().unwrap());
                (place, tokio::spawn(web(listener, own)))
            }
            Kind::Ipc => {
                let path = folder.path().join("node.ipc");
                let listener = UnixListener::bind(&path).unwrap();
                (path.display().to_string(), tokio::spawn(ipc(listener, own)))
            }
        };
        Self { place, shared, task, _folder: folder }
    }

    /// Requests of one connection that call this method, `""` for all.
    pub(crate) fn requests(&self, connection: usize, method: &str) -> Vec<String> {
        let seen = self.shared.seen.lock().unwrap();
        let is_asked = |(on, text): &&(usize, String)| *on == connection && text.contains(method);
        seen.iter().filter(is_asked).map(|(_, text)| text.clone()).collect()
    }

    /// Heads of the handshakes so far.
    pub(crate) fn handshakes(&self) -> Vec<String> {
        self.shared.handshakes.lock().unwrap().clone()
    }

    /// Connections made so far.
    pub(crate) fn made(&self) -> usize {
        self.shared.made.load(SeqCst)
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(SeqCst)
    }

    /// Sends a message on every open connection.
    pub(crate) fn push(&self, message: String) {
        self.shared.push.send(message).unwrap();
    }

    /// Stops to listen, so that connecting is refused.
    pub(crate) async fn stop(self) {
        self.task.abort();
        let _aborted = self.task.await;
    }
}

/// Counts a connection while it is open.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: &Arc<Shared>) -> (Self, usize) {
        shared.open.fetch_add(1, SeqCst);
        (Self(shared.clone()), shared.made.fetch_add(1, SeqCst) + 1)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}

async fn web(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            let (open, connection) = Open::new(&shared);
            #[allow(clippy::result_large_err, reason = "the library's signature")]
            let note = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
                let head = format!("{} {:?}", request.uri(), request.headers());
                shared.handshakes.lock().unwrap().push(head);
                Ok(response)
            };
            if let Ok(socket) = accept_hdr_async(stream, note).await {
                serve_web(socket, &shared, connection).await;
            }
            drop(open);
        });
    }
}

async fn serve_web(mut socket: WebSocketStream<TcpStream>, shared: &Shared, connection: usize) {
    let mut pushed = shared.push.subscribe();
    loop {
        let request = tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => text.to_string(),
                Some(Ok(_)) => continue,
                _ => return,
            },
            Ok(message) = pushed.recv() => {
                socket.send(Message::text(message)).await.unwrap();
                continue;
            }
        };
        shared.seen.lock().unwrap().push((connection, request.clone()));
        for action in (shared.script)(connection, &request) {
            match action {
                Do::Send(message) => {
                    if socket.send(Message::text(message)).await.is_err() {
                        return;
                    }
                }
                Do::Cut(message) => {
                    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
                    let mut frame = vec![0x81, 126, length[0], length[1]];
                    frame.extend_from_slice(&message.as_bytes()[..message.len() / 2]);
                    socket.get_mut().write_all(&frame).await.unwrap();
                    return;
                }
                Do::Close(words) => {
                    use tokio_tungstenite::tungstenite::protocol::{
                        CloseFrame, frame::coding::CloseCode,
                    };
                    let frame = CloseFrame { code: CloseCode::Policy, reason: words.into() };
                    socket.close(Some(frame)).await.unwrap();
                }
            }
        }
    }
}

async fn ipc(listener: UnixListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            let (open, connection) = Open::new(&shared);
            let _closed = serve_ipc(stream, &shared, connection).await;
            drop(open);
        });
    }
}

async fn serve_ipc(stream: UnixStream, shared: &Shared, connection: usize) -> std::io::Result<()> {
    let mut pushed = shared.push.subscribe();
    let (reading, mut writing) = stream.into_split();
    let mut lines = BufReader::new(reading).lines();
    loop {
        let request = tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => line,
                None => return Ok(()),
            },
            Ok(message) = pushed.recv() => {
                writing.write_all(message.as_bytes()).await?;
                continue;
            }
        };
        shared.seen.lock().unwrap().push((connection, request.clone()));
        for action in (shared.script)(connection, &request) {
            match action {
                Do::Send(message) => writing.write_all(message.as_bytes()).await?,
                Do::Cut(message) => {
                    writing.write_all(&message.as_bytes()[..message.len() / 2]).await?;
                    return Ok(());
                }
                Do::Close(_) => return Ok(()),
            }
        }
    }
}

/// Serves one connection that is refused at the handshake with this response.
pub(crate) async fn refusing(response: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(refuse(stream, response));
        }
    });
    host
}

async fn refuse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    response: &'static str,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while lines.read_line(&mut line).await? > 2 {
        line.clear();
    }
    lines.get_mut().write_all(response.as_bytes()).await?;
    lines.get_mut().shutdown().await
}

/// Answers what every test needs answered, on whatever transport.
pub(crate) fn honest(request: &str) -> String {
    let members: Vec<String> = calls(request).iter().map(honest_member).collect();
    match request.starts_with('[') {
        true => format!("[{}]", members.join(",")),
        false => members.concat(),
    }
}

fn honest_member(call: &Value) -> String {
    let parameter = call["params"][0].as_str().unwrap_or_default();
    let result = match call["method"].as_str().unwrap() {
        "eth_chainId" => "\"0x1\"".to_owned(),
        "web3_clientVersion" => "\"Geth/v1\"".to_owned(),
        "eth_subscribe" => "\"0xfeed\"".to_owned(),
        "eth_syncing" => r#"{"currentBlock":"0x1"}"#.to_owned(),
        "net_peerCount" => "\"0x19\"".to_owned(),
        "eth_getBlockByHash" => header(7),
        "eth_getBlockByNumber" => {
            let number = parameter.trim_start_matches("0x");
            header(u64::from_str_radix(number, 16).unwrap_or(9))
        }
        "eth_getLogs" => format!("[{}]", log()),
        "eth_getBlockReceipts" => "[]".to_owned(),
        other => panic!("{other} is not scripted"),
    };
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, call["id"])
}

fn log() -> String {
    let hash = "07".repeat(32);
    format!(
        r#"{{"address":"0x{}","topics":["0x{hash}"],"data":"0x1234","blockNumber":"0x7",
        "blockHash":"0x{hash}","transactionHash":"0x{hash}","transactionIndex":"0x0",
        "logIndex":"0x0","removed":false}}"#,
        "01".repeat(20)
    )
}

/// Returns the announcement of a head to the subscription that [`honest`] gives.
pub(crate) fn announcement(number: u64) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"eth_subscription","params":{{"subscription":"0xfeed","result":{}}}}}"#,
        header(number)
    )
}
