//! Announcements: heads wake the production node, and logs that a reorg takes back are told so.

use crate::stage::{Stage, id, settings};
use event::{Hint, Node};
use fakenode::Dialect;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use sim::{Happening, Methods, Rule, Trouble, WorldSettings};
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

/// What does not come by then never does.
const PATIENCE: Duration = Duration::from_secs(20);

async fn next(node: &Arc<dyn Node>) -> Hint {
    timeout(PATIENCE, node.hint()).await.unwrap()
}

#[tokio::test]
async fn new_heads_wake_a_node_over_both_kinds_of_sockets() {
    let quick = WorldSettings { propagation_ms_max: 0, ..settings() };
    let stage = Stage::with(vec![], vec![], Dialect::Geth, quick).await;
    let nodes = [stage.web(), stage.ipc()];
    for node in &nodes {
        assert_eq!(next(node).await, Hint::Connected);
        // What is asked is answered behind the subscription.
        assert!(node.ask(event::Ask::ChainId).await.is_ok());
    }
    stage.world.happen(Happening::Burst(1));
    let head = id(&stage.world, 65);
    for node in &nodes {
        assert_eq!(next(node).await, Hint::Head(head));
    }
}

#[tokio::test]
async fn a_connection_that_flaps_is_lost_and_made_anew() {
    let quick = WorldSettings { propagation_ms_max: 0, ..settings() };
    let flaps = Rule::on(Methods::HINTS, Trouble::ConnectionFlaps);
    let stage = Stage::with(vec![flaps], vec![], Dialect::Geth, quick).await;
    let node = stage.web();
    assert_eq!(next(&node).await, Hint::Connected);
    stage.world.happen(Happening::Burst(1));
    let mut heard = next(&node).await;
    while heard != Hint::Connected {
        assert!(matches!(heard, Hint::Lost(_)), "{heard:?}");
        heard = next(&node).await;
    }
}

async fn subscribe(url: &str, params: Value) -> WebSocketStream<TcpStream> {
    let place = url.strip_prefix("ws://").unwrap();
    let stream = TcpStream::connect(place).await.unwrap();
    let (mut socket, _) = client_async(url, stream).await.unwrap();
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": params});
    socket.send(Message::Text(call.to_string().into())).await.unwrap();
    let answer = heard(&mut socket).await;
    assert_eq!(answer["result"], "0x1");
    socket
}

async fn heard(socket: &mut WebSocketStream<TcpStream>) -> Value {
    let message = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
    serde_json::from_str(message.to_text().unwrap()).unwrap()
}

#[tokio::test]
async fn logs_of_blocks_that_a_reorg_leaves_come_again_as_removed() {
    let quick = WorldSettings { propagation_ms_max: 0, ..settings() };
    let stage = Stage::with(vec![], vec![], Dialect::Geth, quick).await;
    let mut socket = subscribe(&stage.fake.web_url(), json!(["logs", {}])).await;
    let (depth, extra) = (4, 1);
    let old: Vec<_> = (61..=64)
        .rev()
        .flat_map(|number| {
            stage.world.tree(|tree| tree.at(number).unwrap().logs().cloned().collect::<Vec<_>>())
        })
        .collect();
    stage.world.happen(Happening::Reorg { depth, extra });
    let new: Vec<_> = (61..=65)
        .flat_map(|number| {
            stage.world.tree(|tree| tree.at(number).unwrap().logs().cloned().collect::<Vec<_>>())
        })
        .collect();
    assert!(!old.is_empty() && !new.is_empty());
    for (removed, log) in
        old.iter().map(|log| (true, log)).chain(new.iter().map(|log| (false, log)))
    {
        let told = heard(&mut socket).await;
        let told = &told["params"]["result"];
        assert_eq!(told["removed"], removed, "{told}");
        assert_eq!(told["blockHash"], json!(log.block_hash));
        assert_eq!(told["logIndex"], json!(format!("{:#x}", log.log_index)));
    }
}

#[tokio::test]
async fn what_was_unsubscribed_is_silent() {
    let quick = WorldSettings { propagation_ms_max: 0, ..settings() };
    let stage = Stage::with(vec![], vec![], Dialect::Geth, quick).await;
    let mut socket = subscribe(&stage.fake.web_url(), json!(["newHeads"])).await;
    stage.world.happen(Happening::Burst(1));
    let told = heard(&mut socket).await;
    assert_eq!(told["params"]["result"]["hash"], json!(id(&stage.world, 65).hash));
    let call = |id, method: &str, param| {
        let call = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": [param]});
        Message::Text(call.to_string().into())
    };
    socket.send(call(2, "eth_unsubscribe", "0x1")).await.unwrap();
    assert_eq!(heard(&mut socket).await["result"], true);
    stage.world.happen(Happening::Burst(1));
    // The next message is the answer to this, and no head.
    socket.send(call(3, "eth_unsubscribe", "0x1")).await.unwrap();
    let answer = heard(&mut socket).await;
    assert_eq!((&answer["id"], &answer["result"]), (&json!(3), &json!(false)));
}
