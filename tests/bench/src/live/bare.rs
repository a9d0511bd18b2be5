//! Yardsticks (g) and (h): what a user would write over a WebSocket. (g) fetches header and logs by
//! hash when a head is announced; (h) takes the logs that are announced. Both commit to DuckDB, say
//! on stdout how far they are, and end when the node hangs up. They miss whatever was not announced.

use super::rows::Rows;
use crate::{
    error::BenchError,
    transfer::{TOKEN, TRANSFER, TRANSFERS_PER_BLOCK},
};
use alloy_primitives::B256;
use alloy_rpc_types_eth::{Block, Log};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};
use std::{
    collections::VecDeque,
    io::{self, Write},
    path::Path,
};
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

/// What a loop listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Subscription {
    /// (g) `newHeads`.
    Heads,
    /// (h) `logs`.
    Logs,
}

#[derive(Deserialize)]
struct Said<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<Notice<'a>>,
}

#[derive(Deserialize)]
struct Notice<'a> {
    #[serde(borrow)]
    result: &'a RawValue,
}

/// Of an announced head, what the loop needs.
#[derive(Deserialize)]
struct Head {
    hash: B256,
}

/// A connection, with what was announced while an answer was waited for.
struct Client {
    socket: WebSocketStream<TcpStream>,
    announced: VecDeque<String>,
    calls: u64,
}

/// Follows the node into a fresh file until it hangs up.
pub async fn follow(url: &str, subscription: Subscription, path: &Path) -> Result<(), BenchError> {
    let mut rows = Rows::create(path)?;
    let mut client = Client::connect(url).await?;
    let filter = json!({ "address": TOKEN, "topics": [TRANSFER] });
    let params = match subscription {
        Subscription::Heads => json!(["newHeads"]),
        Subscription::Logs => json!(["logs", filter]),
    };
    let _id: String = client.call("eth_subscribe", params).await?;
    say("ready")?;
    match subscription {
        Subscription::Heads => follow_heads(&mut client, &mut rows).await,
        Subscription::Logs => follow_logs(&mut client, &mut rows).await,
    }
}

async fn follow_heads(client: &mut Client, rows: &mut Rows) -> Result<(), BenchError> {
    while let Some(text) = client.announcement().await? {
        let Head { hash } = announced(&text)?;
        let block: Block = client.call("eth_getBlockByHash", json!([hash, false])).await?;
        let filter = json!([{ "blockHash": hash, "address": TOKEN, "topics": [TRANSFER] }]);
        let logs: Vec<Log> = client.call("eth_getLogs", filter).await?;
        rows.commit(Some(&block.header), &logs)?;
        say(&format!("committed {}", block.header.number))?;
    }
    Ok(())
}

/// Commits whatever has come: where a block ends is not announced.
async fn follow_logs(client: &mut Client, rows: &mut Rows) -> Result<(), BenchError> {
    let mut of_the_block = (0, 0);
    while let Some(text) = client.announcement().await? {
        let mut logs: Vec<Log> = vec![announced(&text)?];
        while let Some(Some(text)) = client.announcement().now_or_never().transpose()? {
            logs.push(announced(&text)?);
        }
        rows.commit(None, &logs)?;
        for number in logs.iter().filter_map(|log| log.block_number) {
            let count = if of_the_block.0 == number { of_the_block.1 + 1 } else { 1 };
            of_the_block = (number, count);
            // Known here only, so that the same moment is measured of everybody.
            if count == TRANSFERS_PER_BLOCK {
                say(&format!("committed {number}"))?;
            }
        }
    }
    Ok(())
}

fn announced<T: DeserializeOwned>(text: &str) -> Result<T, BenchError> {
    let said: Said<'_> = parse(text)?;
    said.params.map_or_else(|| Err(unreadable(text)), |notice| parse(notice.result.get()))
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, BenchError> {
    serde_json::from_str(text).map_err(|_| unreadable(text))
}

fn unreadable(text: &str) -> BenchError {
    BenchError::Unreadable { what: "what the node said", text: text.to_owned() }
}

fn say(line: &str) -> Result<(), BenchError> {
    writeln!(io::stdout(), "{line}").map_err(BenchError::io("printing"))
}

impl Client {
    async fn connect(url: &str) -> Result<Self, BenchError> {
        let address = url.trim_start_matches("ws://");
        let failed = |reason: String| BenchError::Socket { url: url.to_owned(), reason };
        let stream =
            TcpStream::connect(address).await.map_err(|error| failed(error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| failed(error.to_string()))?;
        let (socket, _) =
            client_async(url, stream).await.map_err(|error| failed(error.to_string()))?;
        Ok(Self { socket, announced: VecDeque::new(), calls: 0 })
    }

    async fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: Value,
    ) -> Result<T, BenchError> {
        self.calls += 1;
        let call =
            json!({ "jsonrpc": "2.0", "id": self.calls, "method": method, "params": params });
        let sent = self.socket.send(Message::text(call.to_string())).await;
        sent.map_err(|error| BenchError::Socket {
            url: method.to_owned(),
            reason: error.to_string(),
        })?;
        while let Some(text) = self.message().await {
            let said: Said<'_> = parse(&text)?;
            match (said.id, said.result) {
                (Some(id), Some(result)) if id == self.calls => return parse(result.get()),
                (None, None) => self.announced.push_back(text),
                _ => return Err(unreadable(&text)),
            }
        }
        Err(BenchError::Socket {
            url: method.to_owned(),
            reason: "the node hung up before it answered".to_owned(),
        })
    }

    /// Returns the next announcement, or `None` when the node has hung up.
    async fn announcement(&mut self) -> Result<Option<String>, BenchError> {
        match self.announced.pop_front() {
            Some(text) => Ok(Some(text)),
            None => Ok(self.message().await),
        }
    }

    async fn message(&mut self) -> Option<String> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Some(text.as_str().to_owned()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}
