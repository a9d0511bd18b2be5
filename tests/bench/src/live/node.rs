//! The local node with a head that moves: WebSocket on 127.0.0.1, subscriptions, and a wait before
//! each answer and each announcement, as of a network. It announces when told to, and remembers
//! nothing.

use crate::{answer, chain::Chain, error::BenchError, view::View};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::broadcast,
    time::sleep_until,
};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{self, Message, Utf8Bytes},
};

/// Blocks between head and finalized block at least, as on mainnet.
const FINALITY_DEPTH: u64 = 64;

/// Blocks that become final at once, as on mainnet.
const EPOCH_BLOCKS: u64 = 32;

/// Announcements that a connection may lie behind, at most.
const ANNOUNCEMENTS_MAX: usize = 64;

/// Subscription ids: there is one of each kind on a connection.
const HEADS: &str = "0x1";
const LOGS: &str = "0x2";

/// A node under way. Dropping it closes every connection.
#[derive(Debug)]
pub struct LiveNode {
    url: String,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

#[derive(Debug)]
struct Shared {
    chain: Arc<Chain>,
    latency: Duration,
    head: AtomicU64,
    news: broadcast::Sender<(u64, Instant)>,
}

impl LiveNode {
    /// Listens on a free port, with `head` as its head. Whatever it says arrives `latency` later.
    pub fn start(chain: Arc<Chain>, head: u64, latency: Duration) -> Result<Self, BenchError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(BenchError::io("starting the node's runtime"))?;
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .map_err(BenchError::io("listening"))?;
        let address = listener.local_addr().map_err(BenchError::io("listening"))?;
        let (news, _) = broadcast::channel(ANNOUNCEMENTS_MAX);
        let shared = Arc::new(Shared { chain, latency, head: AtomicU64::new(head), news });
        let serving = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                // A client that hangs up or talks nonsense ends its own connection only.
                tokio::spawn(async move { converse(&shared, stream).await });
            }
        });
        Ok(Self { url: format!("ws://{address}"), shared, _runtime: runtime })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes the block the head, announces it, and returns when that was: from this instant on the
    /// node answers with it, and the word of it is on its way.
    pub fn announce(&self, number: u64) -> Instant {
        let at = Instant::now();
        self.shared.head.store(number, Ordering::Release);
        // Nobody may have subscribed.
        let _ = self.shared.news.send((number, at));
        at
    }
}

impl Shared {
    fn view(&self) -> View<'_> {
        let head = self.head.load(Ordering::Acquire);
        View::up_to(&self.chain, head, FINALITY_DEPTH + head % EPOCH_BLOCKS)
    }
}

#[derive(Deserialize)]
struct Subscribe<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    method: &'a str,
    #[serde(default)]
    params: Vec<serde_json::Value>,
}

/// What one connection is to be sent, and what it subscribed to.
struct Outbox<'a> {
    shared: &'a Shared,
    messages: VecDeque<(Instant, Utf8Bytes)>,
    wants_heads: bool,
    wants_logs: bool,
}

async fn converse(shared: &Shared, stream: TcpStream) -> Result<(), tungstenite::Error> {
    stream.set_nodelay(true)?;
    let mut socket = accept_async(stream).await?;
    let mut news = shared.news.subscribe();
    let mut outbox =
        Outbox { shared, messages: VecDeque::new(), wants_heads: false, wants_logs: false };
    loop {
        let due = outbox.due();
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => outbox.on_request(&text),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
            Ok((number, at)) = news.recv() => outbox.on_head(number, at),
            () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {
                outbox.send_due(&mut socket).await?;
            }
        }
    }
}

impl Outbox<'_> {
    fn due(&self) -> Option<Instant> {
        self.messages.front().map(|(due, _)| *due)
    }

    async fn send_due(
        &mut self,
        socket: &mut WebSocketStream<TcpStream>,
    ) -> Result<(), tungstenite::Error> {
        while self.due().is_some_and(|due| due <= Instant::now())
            && let Some((_, text)) = self.messages.pop_front()
        {
            socket.feed(Message::Text(text)).await?;
        }
        socket.flush().await
    }

    fn push(&mut self, said: Instant, text: String) {
        self.messages.push_back((said + self.shared.latency, text.into()));
    }

    fn on_request(&mut self, text: &str) {
        let now = Instant::now();
        match serde_json::from_str::<Subscribe<'_>>(text) {
            Ok(call) if call.method == "eth_subscribe" => {
                let answer = self.subscribed(&call);
                self.push(now, answer);
            }
            _ => {
                let pieces = answer::answer(self.shared.view(), text.as_bytes());
                let answer = pieces.concat();
                self.push(now, String::from_utf8_lossy(&answer).into_owned());
            }
        }
    }

    fn subscribed(&mut self, call: &Subscribe<'_>) -> String {
        let result = match call.params.first().and_then(serde_json::Value::as_str) {
            Some("newHeads") => {
                self.wants_heads = true;
                json!({ "jsonrpc": "2.0", "id": call.id, "result": HEADS })
            }
            Some("logs") => {
                self.wants_logs = true;
                json!({ "jsonrpc": "2.0", "id": call.id, "result": LOGS })
            }
            _ => {
                let error = json!({ "code": -32602, "message": "no such subscription" });
                json!({ "jsonrpc": "2.0", "id": call.id, "error": error })
            }
        };
        result.to_string()
    }

    /// A head is announced with its header, logs one by one, as geth does.
    fn on_head(&mut self, number: u64, at: Instant) {
        let view = self.shared.view();
        if self.wants_heads
            && let Some(header) = view.header(number)
        {
            self.push(at, notification(HEADS, &String::from_utf8_lossy(header)));
        }
        if self.wants_logs
            && let Some(pieces) = view.logs(number, number)
        {
            let list = format!("[{}]", String::from_utf8_lossy(&pieces.concat()));
            let logs: Vec<&RawValue> = serde_json::from_str(&list).unwrap_or_default();
            for log in logs {
                self.push(at, notification(LOGS, log.get()));
            }
        }
    }
}

fn notification(subscription: &str, result: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"eth_subscription","params":{{"subscription":"{subscription}","result":{result}}}}}"#
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::chain::Receipts;
    use tokio_tungstenite::client_async;

    type Socket = WebSocketStream<TcpStream>;

    async fn said(socket: &mut Socket) -> serde_json::Value {
        let message = socket.next().await.unwrap().unwrap();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }

    async fn call(
        socket: &mut Socket,
        method: &str,
        params: serde_json::Value,
    ) -> serde_json::Value {
        let call = json!({ "jsonrpc": "2.0", "id": 3, "method": method, "params": params });
        socket.send(Message::text(call.to_string())).await.unwrap();
        said(socket).await["result"].take()
    }

    #[test]
    fn a_block_is_there_once_it_was_announced_and_not_before() {
        let chain = Arc::new(Chain::build(4, Receipts::OnTheSpot));
        let (head, next) = (chain.first() + 1, chain.first() + 2);
        let latency = Duration::from_millis(5);
        let node = LiveNode::start(chain, head, latency).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let stream = TcpStream::connect(node.url().trim_start_matches("ws://")).await.unwrap();
            let (mut socket, _) = client_async(node.url(), stream).await.unwrap();
            let by_number = json!([format!("{next:#x}"), false]);
            let before = call(&mut socket, "eth_getBlockByNumber", by_number).await;
            assert_eq!(before, serde_json::Value::Null);
            assert_eq!(call(&mut socket, "eth_subscribe", json!(["newHeads"])).await, HEADS);
            assert_eq!(call(&mut socket, "eth_subscribe", json!(["logs", {}])).await, LOGS);
            let at = node.announce(next);
            let header = said(&mut socket).await["params"]["result"].take();
            assert!(at.elapsed() >= latency);
            assert_eq!(header["number"], format!("{next:#x}"));
            let first = said(&mut socket).await["params"]["result"].take();
            assert_eq!((&first["logIndex"], &first["blockHash"]), (&json!("0x0"), &header["hash"]));
            for _ in 1..10 {
                said(&mut socket).await;
            }
            let filter = json!([{ "blockHash": header["hash"] }]);
            let logs = call(&mut socket, "eth_getLogs", filter).await;
            assert_eq!((logs.as_array().unwrap().len(), &logs[0]), (10, &first));
        });
    }
}
