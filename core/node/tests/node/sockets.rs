//! Nodes over WebSocket and IPC: the same answers as over HTTP, and what a connection can do wrong.

use crate::{
    faults::{block, header_member, logs_over},
    server::{Server, calls, ids, json},
    socket_server::{Do, KINDS, Kind, SocketServer, announcement, honest, refusing},
};
use alloy_primitives::B256;
use event::{
    Answer, Ask, BlockNumHash, BlockRange, ChainId, Fault, FaultClass, Filter, Hint, Node, Tag,
};
use futures_util::{FutureExt, future::join_all};
use headcount_node::{HttpConfig, HttpNode, SocketConfig, SocketNode};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Longest wait for what has to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Comes back fast, and takes the wait for what does not come to be short.
fn config(server: &SocketServer) -> SocketConfig {
    SocketConfig { first_wait_ms: 1, longest_wait_ms: 20, ..SocketConfig::new(&server.place) }
}

fn node(server: &SocketServer) -> SocketNode {
    SocketNode::new(config(server)).unwrap()
}

fn answer(request: &str) -> Vec<Do> {
    vec![Do::Send(honest(request))]
}

fn is_call(request: &str, method: &str) -> bool {
    calls(request)[0]["method"] == method
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn hint(node: &SocketNode) -> Hint {
    tokio::time::timeout(PATIENCE, node.hint()).await.expect("no hint came")
}

/// Returns the losses up to the next connection.
async fn losses(node: &SocketNode) -> Vec<Fault> {
    let mut faults = Vec::new();
    loop {
        match hint(node).await {
            Hint::Lost(fault) => faults.push(fault),
            Hint::Connected => return faults,
            Hint::Head(_) => {}
        }
    }
}

async fn connected(node: &SocketNode) {
    assert_eq!(hint(node).await, Hint::Connected);
}

fn head(number: u64) -> Hint {
    let byte = u8::try_from(number & 0xff).unwrap();
    Hint::Head(BlockNumHash { number, hash: B256::repeat_byte(byte) })
}

#[tokio::test]
async fn every_question_has_the_same_answer_over_http_websocket_and_ipc() {
    let http = Server::start(|request| json(&honest(request))).await;
    let http = HttpNode::new(HttpConfig::new(&http.url)).unwrap();
    for kind in KINDS {
        let server = SocketServer::start(kind, |_, request| answer(request)).await;
        let node = node(&server);
        let filter = Arc::new(Filter::any());
        for ask in [
            Ask::ChainId,
            Ask::ClientVersion,
            Ask::Head(Tag::Latest),
            Ask::Head(Tag::Finalized),
            logs_over(1, 9),
            Ask::LogsByHash { filter, block: block() },
            Ask::Headers { range: BlockRange::one(3) },
            Ask::Headers { range: BlockRange::new(3, 250).unwrap() },
            Ask::HeaderByHash { hash: B256::repeat_byte(7) },
            Ask::Receipts { block: block() },
            Ask::Syncing,
            Ask::PeerCount,
        ] {
            let expected = without_size(http.ask(ask.clone()).await.unwrap());
            let answer = without_size(node.ask(ask.clone()).await.unwrap());
            assert_eq!(answer, expected, "{kind:?} {ask:?}");
        }
        assert_eq!(server.made(), 1);
        assert_eq!(node.calls()["eth_subscribe"], 1);
        assert_eq!(node.ignored(), 0);
    }
}

/// Ids have as many digits as they need.
fn without_size(mut answer: Answer) -> Answer {
    if let Answer::Logs(logs) = &mut answer {
        assert!(logs.bytes > 100);
        logs.bytes = 0;
    }
    answer
}

#[tokio::test]
async fn answers_out_of_order_reach_their_callers() {
    for kind in KINDS {
        let held = Mutex::new(Vec::new());
        let server = SocketServer::start(kind, move |_, request| {
            if !is_call(request, "eth_getBlockByNumber") {
                return answer(request);
            }
            let mut held = held.lock().unwrap();
            held.push(Do::Send(honest(request)));
            match held.len() {
                10 => held.drain(..).rev().collect(),
                _ => Vec::new(),
            }
        })
        .await;
        let node = node(&server);
        let asks = (1..=10).map(|n| node.ask(Ask::Headers { range: BlockRange::one(n) }));
        for (number, outcome) in (1..).zip(join_all(asks).await) {
            let Answer::Headers(blocks) = outcome.unwrap() else { panic!("headers") };
            assert_eq!(blocks[0].header.number, number, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_batch_is_put_in_order_and_a_refused_one_without_id_is_halved() {
    for kind in KINDS {
        let server = SocketServer::start(kind, |_, request| {
            let calls = calls(request);
            match calls.len() {
                1 => answer(request),
                2..=30 => {
                    let members: Vec<String> = calls.iter().rev().map(header_member).collect();
                    vec![Do::Send(format!("[{}]", members.join(",")))]
                }
                _ => {
                    let refusal =
                        r#"{"id":null,"error":{"code":-32600,"message":"batch too large"}}"#;
                    vec![Do::Send(refusal.to_owned())]
                }
            }
        })
        .await;
        let node = node(&server);
        let range = BlockRange::new(5, 204).unwrap();
        let Answer::Headers(blocks) = node.ask(Ask::Headers { range }).await.unwrap() else {
            panic!("headers")
        };
        let numbers: Vec<u64> = blocks.iter().map(|block| block.header.number).collect();
        assert_eq!(numbers, (5..=204).collect::<Vec<_>>(), "{kind:?}");
        assert_eq!(node.header_batch(), 25);
    }
}

#[tokio::test]
async fn f14_a_connection_closed_on_batches_twice_in_a_row_halves_them() {
    for kind in KINDS {
        let server = SocketServer::start(kind, |_, request| match calls(request).len() {
            0..=60 => answer(request),
            _ => vec![Do::Close("")],
        })
        .await;
        let node = node(&server);
        let ask = Ask::Headers { range: BlockRange::new(1, 100).unwrap() };
        for size in [100, 50] {
            let class = node.ask(ask.clone()).await.unwrap_err().class;
            assert_eq!((class, node.header_batch()), (FaultClass::Dropped, size), "{kind:?}");
        }
        assert!(node.ask(ask).await.is_ok());
    }
}

#[tokio::test]
async fn an_answer_whose_caller_is_gone_is_given_to_nobody_else() {
    for kind in KINDS {
        let held = Mutex::new(None);
        let server = SocketServer::start(kind, move |_, request| {
            if is_call(request, "eth_getLogs") {
                *held.lock().unwrap() = Some(Do::Send(honest(request)));
                return Vec::new();
            }
            held.lock().unwrap().take().into_iter().chain(answer(request)).collect()
        })
        .await;
        let short = SocketConfig { timeout_ms: 200, ..config(&server) };
        let node = SocketNode::new(short).unwrap();
        let fault = node.ask(logs_over(1, 9)).await.unwrap_err();
        assert_eq!((fault.class, fault.method.as_str()), (FaultClass::TimedOut, "eth_getLogs"));
        assert_eq!(node.ask(Ask::PeerCount).await, Ok(Answer::PeerCount(25)), "{kind:?}");
        assert_eq!(server.made(), 1);
    }
}

#[tokio::test]
async fn a_head_announced_between_answers_is_a_hint_and_a_malformed_one_is_ignored() {
    for kind in KINDS {
        let server = SocketServer::start(kind, |_, request| {
            let mut actions = answer(request);
            if is_call(request, "eth_getLogs") {
                let malformed = announcement(6).replace("\"number\"", "\"n\"");
                let foreign = announcement(8).replace("0xfeed", "0xdead");
                actions.splice(0..0, [malformed, announcement(5), foreign].map(Do::Send));
                actions.push(Do::Send(r#"{"id":99999,"result":[]}"#.to_owned()));
            }
            actions
        })
        .await;
        let node = node(&server);
        assert!(matches!(node.ask(logs_over(1, 9)).await, Ok(Answer::Logs(_))), "{kind:?}");
        connected(&node).await;
        assert_eq!(hint(&node).await, head(5));
        until("the stray answer", || node.ignored() == 3).await;
        assert!(node.hint().now_or_never().is_none());
    }
}

#[tokio::test]
async fn f65_a_connection_cut_in_the_middle_of_an_answer_drops_the_call_and_is_made_anew() {
    for kind in KINDS {
        let server = SocketServer::start(kind, |connection, request| {
            match connection == 1 && is_call(request, "eth_getLogs") {
                true => vec![Do::Cut(honest(request))],
                false => answer(request),
            }
        })
        .await;
        let node = node(&server);
        connected(&node).await;
        let fault = node.ask(logs_over(1, 9)).await.unwrap_err();
        assert_eq!((fault.class, fault.method.as_str()), (FaultClass::Dropped, "eth_getLogs"));
        let lost = losses(&node).await;
        assert_eq!(lost.len(), 1, "{kind:?} {lost:?}");
        assert_eq!(lost[0].class, FaultClass::Dropped);
        assert!(node.ask(logs_over(1, 9)).await.is_ok());
        assert_eq!(server.made(), 2);
    }
}

#[tokio::test]
async fn f65_a_heartbeat_keeps_a_quiet_connection_busy() {
    for kind in KINDS {
        let server = SocketServer::start(kind, |_, request| answer(request)).await;
        let quiet = SocketConfig { heartbeat_ms: 10, ..config(&server) };
        let node = SocketNode::new(quiet).unwrap();
        connected(&node).await;
        until("the third heartbeat", || server.requests(1, "eth_chainId").len() > 3).await;
        assert_eq!(server.made(), 1, "{kind:?}");
        assert!(node.hint().now_or_never().is_none());
    }
}

#[tokio::test]
async fn f3_a_half_open_connection_is_found_by_its_heartbeat_and_made_anew() {
    for kind in KINDS {
        let server = SocketServer::start(kind, |connection, request| {
            match connection == 1 && server_is_mute(request) {
                true => Vec::new(),
                false => answer(request),
            }
        })
        .await;
        let short = SocketConfig { heartbeat_ms: 30, timeout_ms: 400, ..config(&server) };
        let node = SocketNode::new(short).unwrap();
        connected(&node).await;
        let lost = losses(&node).await;
        assert_eq!(lost[0].class, FaultClass::TimedOut, "{kind:?}");
        assert!(lost[0].text.contains("heartbeat"));
        assert!(node.ask(logs_over(1, 9)).await.is_ok());
        assert_eq!(server.requests(1, "eth_chainId").len(), 2);
    }

    /// Answers the first call for the chain id and no other.
    fn server_is_mute(request: &str) -> bool {
        ids(request)[0] > 1
    }
}

#[tokio::test]
async fn f66_a_subscription_that_falls_silent_is_made_anew_and_calls_under_way_are_kept() {
    for kind in KINDS {
        let server = SocketServer::start(kind, |connection, request| {
            let mut actions = answer(request);
            if connection == 1 && is_call(request, "eth_getLogs") {
                actions.clear();
            }
            actions
        })
        .await;
        let short = SocketConfig { block_time_ms: 50, ..config(&server) };
        let node = SocketNode::new(short).unwrap();
        connected(&node).await;
        let asking = node.clone();
        let slow = tokio::spawn(async move { asking.ask(logs_over(1, 9)).await });
        until("the slow call", || server.requests(1, "eth_getLogs").len() == 1).await;
        // After three blocks without a head no more calls go over the first connection.
        let is_taken =
            || tokio::time::timeout(Duration::from_millis(100), node.ask(Ask::PeerCount));
        while let Ok(outcome) = is_taken().await {
            outcome.unwrap();
        }
        assert_eq!(server.made(), 1, "a call is under way");
        let request = server.requests(1, "eth_getLogs").remove(0);
        server.push(honest(&request));
        assert!(slow.await.unwrap().is_ok(), "{kind:?}");
        let lost = losses(&node).await;
        assert_eq!(lost[0].class, FaultClass::TimedOut);
        assert!(lost[0].text.contains("no new head"), "{}", lost[0]);
        node.ask(Ask::PeerCount).await.unwrap();
        assert!(server.made() >= 2);
    }
}

#[tokio::test]
async fn f69_f72_a_flood_of_heads_is_one_hint_of_the_newest() {
    for kind in KINDS {
        let server = SocketServer::start(kind, |_, request| {
            let mut actions = Vec::new();
            if is_call(request, "eth_getLogs") {
                actions.extend((1..=200).map(|number| Do::Send(announcement(number))));
            }
            actions.extend(answer(request));
            actions
        })
        .await;
        let node = node(&server);
        connected(&node).await;
        node.ask(logs_over(1, 9)).await.unwrap();
        assert_eq!(hint(&node).await, head(200), "{kind:?}");
        assert!(node.hint().now_or_never().is_none());
    }
}

#[tokio::test]
async fn f70_f71_heads_are_subscribed_to_before_a_tracker_is_told_of_the_connection() {
    for kind in KINDS {
        let server = SocketServer::start(kind, |_, request| {
            let mut actions = answer(request);
            if is_call(request, "eth_subscribe") {
                // Twice and backwards: hints say only that something is new.
                actions.extend([3, 3, 2].map(|number| Do::Send(announcement(number))));
            }
            actions
        })
        .await;
        let node = node(&server);
        connected(&node).await;
        node.ask(Ask::Head(Tag::Latest)).await.unwrap();
        let requests = server.requests(1, "");
        let position = |method| requests.iter().position(|request| is_call(request, method));
        assert!(position("eth_subscribe") < position("eth_getBlockByNumber"), "{kind:?}");
        assert_eq!(hint(&node).await, head(2));
    }
}

#[tokio::test]
async fn f12_no_call_is_sent_to_another_chain_and_the_right_one_is_waited_for() {
    for kind in KINDS {
        let server = SocketServer::start(kind, |connection, request| {
            let is_wrong = (2..=4).contains(&connection);
            match request {
                _ if is_wrong => vec![Do::Send(honest(request).replace("\"0x1\"", "\"0x2\""))],
                _ if connection == 1 && is_call(request, "net_peerCount") => vec![Do::Close("")],
                _ => answer(request),
            }
        })
        .await;
        let patient = SocketConfig { first_wait_ms: 100, longest_wait_ms: 100, ..config(&server) };
        let node = SocketNode::new(patient).unwrap();
        connected(&node).await;
        assert_eq!(node.ask(Ask::PeerCount).await.unwrap_err().class, FaultClass::Dropped);
        let wrong = FaultClass::WrongChain { expected: ChainId(1), found: ChainId(2) };
        loop {
            match hint(&node).await {
                Hint::Lost(fault) if fault.class == wrong => break,
                Hint::Lost(fault) => assert_eq!(fault.class, FaultClass::Dropped, "{kind:?}"),
                other => panic!("{kind:?} {other:?}"),
            }
        }
        assert_eq!(node.ask(logs_over(1, 9)).await.unwrap_err().class, wrong);
        assert_eq!(losses(&node).await, []);
        assert!(node.ask(logs_over(1, 9)).await.is_ok());
        for connection in 2..=4 {
            let requests = server.requests(connection, "");
            assert_eq!(requests.len(), 1);
            assert!(is_call(&requests[0], "eth_chainId"));
        }
        assert_eq!(server.made(), 5);
    }
}

#[tokio::test]
async fn f12_a_chain_that_changes_under_an_open_connection_is_noticed_by_the_heartbeat() {
    for kind in KINDS {
        let server = SocketServer::start(kind, |connection, request| {
            match connection == 1 && ids(request)[0] > 2 {
                true => vec![Do::Send(honest(request).replace("\"0x1\"", "\"0x2\""))],
                false => answer(request),
            }
        })
        .await;
        let short = SocketConfig { heartbeat_ms: 20, ..config(&server) };
        let node = SocketNode::new(short).unwrap();
        connected(&node).await;
        let wrong = FaultClass::WrongChain { expected: ChainId(1), found: ChainId(2) };
        assert_eq!(losses(&node).await[0].class, wrong, "{kind:?}");
    }
}

/// Answers for blocks from 1,000 on are 10 kB long.
fn long_from_a_thousand(request: &str) -> Vec<Do> {
    let padding = " ".repeat(10_000);
    match is_call(request, "eth_getLogs") && request.contains("\"fromBlock\":\"0x3e8\"") {
        true => vec![Do::Send(honest(request).replacen(',', &format!(",{padding}"), 1))],
        false => answer(request),
    }
}

#[tokio::test]
async fn f10_an_answer_over_the_byte_cap_is_a_size_fault_over_a_socket_too() {
    for kind in KINDS {
        let server = SocketServer::start(kind, |_, request| long_from_a_thousand(request)).await;
        let node =
            SocketNode::new(SocketConfig { max_body_bytes: 9_000, ..config(&server) }).unwrap();
        assert_eq!(node.ask(logs_over(1_000, 1_009)).await.unwrap_err().class, FaultClass::Size);
        assert!(node.ask(logs_over(1, 9)).await.is_ok(), "{kind:?}");
        let wide = SocketNode::new(SocketConfig { max_body_bytes: 11_000, ..config(&server) });
        assert!(wide.unwrap().ask(logs_over(1_000, 1_009)).await.is_ok());
    }
}

#[tokio::test]
async fn f10_of_many_calls_only_the_one_over_the_cap_is_told_that_it_was_too_large() {
    for kind in KINDS {
        let held = Mutex::new(VecDeque::new());
        let server = SocketServer::start(kind, move |connection, request| {
            if connection > 1 || !is_call(request, "eth_getLogs") {
                return long_from_a_thousand(request);
            }
            let mut held = held.lock().unwrap();
            match request.contains("\"0x3e8\"") {
                true => held.extend(long_from_a_thousand(request)),
                false => held.push_front(Do::Send(honest(request))),
            }
            match held.len() {
                // The long one first, with four others under way.
                5 => held.drain(..).rev().collect(),
                _ => Vec::new(),
            }
        })
        .await;
        let node =
            SocketNode::new(SocketConfig { max_body_bytes: 9_000, ..config(&server) }).unwrap();
        let ask_all =
            || join_all([1_000, 1, 2, 3, 4].map(|first| node.ask(logs_over(first, first + 9))));
        let mut outcomes = ask_all().await;
        assert!(outcomes.iter().any(|outcome| outcome.is_err()));
        for outcome in &outcomes {
            let class = outcome.as_ref().map_err(|fault| &fault.class);
            assert!(matches!(class, Ok(_) | Err(FaultClass::Dropped)), "{kind:?} {class:?}");
        }
        outcomes = ask_all().await;
        let sizes: Vec<bool> = outcomes
            .iter()
            .map(|outcome| outcome.as_ref().is_err_and(|fault| fault.class == FaultClass::Size))
            .collect();
        assert_eq!(sizes, [true, false, false, false, false], "{kind:?} {outcomes:?}");
        assert!(outcomes[1..].iter().all(Result::is_ok));
    }
}

#[tokio::test]
async fn f7_garbage_is_malformed_never_an_answer() {
    for kind in KINDS {
        let server = SocketServer::start(kind, |connection, request| {
            match connection == 1 && is_call(request, "eth_getLogs") {
                true => vec![Do::Send("<html>It works!</html>".to_owned())],
                false => answer(request),
            }
        })
        .await;
        let node = node(&server);
        connected(&node).await;
        let class = node.ask(logs_over(1, 9)).await.unwrap_err().class;
        match kind {
            // The next message can be told from it.
            Kind::WebSocket => {
                assert_eq!(class, FaultClass::Malformed);
                server.push("more of it".to_owned());
                until("the garbage", || node.ignored() == 1).await;
                node.ask(Ask::PeerCount).await.unwrap();
                assert_eq!(server.made(), 1);
            }
            // The stream is out of step for good.
            Kind::Ipc => {
                assert_eq!(class, FaultClass::Dropped);
                assert_eq!(losses(&node).await[0].class, FaultClass::Malformed);
                assert!(node.ask(logs_over(1, 9)).await.is_ok());
            }
        }
    }
}

#[tokio::test]
async fn f9_an_error_without_id_is_told_to_the_call_under_way_and_an_answer_to_none() {
    for kind in KINDS {
        let server = SocketServer::start(kind, |_, request| match request {
            _ if is_call(request, "eth_getLogs") => {
                vec![Do::Send(r#"{"error":{"code":429,"message":"slow down"}}"#.to_owned())]
            }
            _ if is_call(request, "net_peerCount") => {
                vec![Do::Send(r#"{"result":"0x19"}"#.to_owned())]
            }
            _ => answer(request),
        })
        .await;
        let node = node(&server);
        let rate = FaultClass::Rate { retry_after_ms: None };
        assert_eq!(node.ask(logs_over(1, 9)).await.unwrap_err().class, rate, "{kind:?}");
        let class = node.ask(Ask::PeerCount).await.unwrap_err().class;
        assert_eq!(class, FaultClass::Malformed);
    }
}

#[tokio::test]
async fn a_node_that_refuses_to_announce_heads_is_asked_all_the_same() {
    for kind in KINDS {
        let server = SocketServer::start(kind, |_, request| {
            if is_call(request, "eth_subscribe") {
                let id = ids(request)[0];
                let error = r#"{"code":-32601,"message":"notifications not supported"}"#;
                return vec![Do::Send(format!(r#"{{"id":{id},"error":{error}}}"#))];
            }
            answer(request)
        })
        .await;
        let short = SocketConfig { block_time_ms: 1, heartbeat_ms: 10, ..config(&server) };
        let node = SocketNode::new(short).unwrap();
        connected(&node).await;
        // Long after three block times.
        until("the third heartbeat", || server.requests(1, "eth_chainId").len() > 3).await;
        assert!(node.ask(Ask::Head(Tag::Latest)).await.is_ok());
        assert_eq!(server.made(), 1, "{kind:?}");
        assert!(node.hint().now_or_never().is_none());
    }
}

#[tokio::test]
async fn a_call_waits_for_the_connection_to_come_back_and_is_unreachable_when_it_does_not() {
    for kind in KINDS {
        let server = SocketServer::start(kind, |connection, request| match connection {
            1 if is_call(request, "net_peerCount") => vec![Do::Close("")],
            2..=4 => vec![Do::Close("")],
            5 if is_call(request, "eth_getLogs") => vec![Do::Close("")],
            _ => answer(request),
        })
        .await;
        let short = SocketConfig { timeout_ms: 1_000, ..config(&server) };
        let node = SocketNode::new(short).unwrap();
        assert_eq!(node.ask(Ask::PeerCount).await.unwrap_err().class, FaultClass::Dropped);
        assert!(node.ask(Ask::PeerCount).await.is_ok(), "{kind:?}");
        assert_eq!(server.made(), 5);

        // The connection to it stands; there will be no other.
        server.stop().await;
        assert_eq!(node.ask(logs_over(1, 9)).await.unwrap_err().class, FaultClass::Dropped);
        let fault = node.ask(logs_over(1, 9)).await.unwrap_err();
        assert_eq!((fault.class, fault.method.as_str()), (FaultClass::Unreachable, "connect"));
    }
}

#[tokio::test]
async fn a_node_that_was_never_there_is_unreachable_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gone.ipc").display().to_string();
    for place in ["ws://127.0.0.1:1", &path] {
        let node = SocketNode::new(SocketConfig::new(place)).unwrap();
        let fault = node.ask(Ask::ChainId).await.unwrap_err();
        assert_eq!((fault.class, fault.method.as_str()), (FaultClass::Unreachable, "connect"));
        assert!(matches!(hint(&node).await, Hint::Lost(_)));
    }
}

#[tokio::test]
async fn f4_f15_a_handshake_that_is_refused_says_why() {
    let wait = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\n\r\n";
    for (response, class) in [
        ("HTTP/1.1 401 Unauthorized\r\n\r\n", FaultClass::Auth),
        (wait, FaultClass::Rate { retry_after_ms: Some(7_000) }),
        ("HTTP/1.1 200 OK\r\n\r\n<html>1015</html>", FaultClass::Unreachable),
        ("no HTTP at all\r\n\r\n", FaultClass::Unreachable),
    ] {
        let place = format!("ws://{}", refusing(response).await);
        let node = SocketNode::new(SocketConfig::new(place)).unwrap();
        assert_eq!(node.ask(Ask::ChainId).await.unwrap_err().class, class, "{response}");
    }
}

#[tokio::test]
async fn a_connection_is_replaced_before_it_is_old_and_nothing_is_lost_by_it() {
    for kind in KINDS {
        let server = SocketServer::start(kind, |_, request| answer(request)).await;
        let short = SocketConfig { rotate_ms: 20, ..config(&server) };
        let node = SocketNode::new(short).unwrap();
        let mut asked = 0;
        while server.made() < 4 {
            node.ask(logs_over(1, 9)).await.unwrap();
            asked += 1;
        }
        assert!(asked > 0, "{kind:?}");
        connected(&node).await;
    }
}

#[tokio::test]
async fn no_more_calls_are_under_way_than_providers_allow() {
    const CALLS: usize = 250;
    const BOUND: usize = 200;
    for kind in KINDS {
        let held = Mutex::new((Vec::new(), false));
        let server = SocketServer::start(kind, move |_, request| {
            let (held, is_released) = &mut *held.lock().unwrap();
            if is_call(request, "eth_getLogs") && !*is_released {
                held.push(Do::Send(honest(request)));
                assert!(held.len() <= BOUND);
                return Vec::new();
            }
            let mut actions = answer(request);
            // A heartbeat: nothing came for long, so no more calls were on their way.
            if held.len() == BOUND {
                *is_released = true;
                actions.append(held);
            }
            actions
        })
        .await;
        let short = SocketConfig { heartbeat_ms: 200, ..config(&server) };
        let node = SocketNode::new(short).unwrap();
        let outcomes = join_all((0..CALLS).map(|_| node.ask(logs_over(1, 9)))).await;
        assert!(outcomes.iter().all(Result::is_ok), "{kind:?}");
        assert_eq!(server.requests(1, "eth_getLogs").len(), CALLS);
    }
}

#[tokio::test]
async fn dropping_the_last_clone_ends_the_connection_and_its_task() {
    for kind in KINDS {
        let server = SocketServer::start(kind, |_, request| answer(request)).await;
        let node = node(&server);
        let clone = node.clone();
        connected(&node).await;
        drop(node);
        assert!(clone.ask(Ask::PeerCount).await.is_ok());
        assert_eq!(server.open(), 1, "{kind:?}");
        drop(clone);
        until("the end of the connection", || server.open() == 0).await;
        assert_eq!(server.made(), 1);
    }
}

const KEYS: [&str; 5] = ["UserKey11", "PassKey22", "PathKey33", "QueryKey44", "HeadKey55"];

#[tokio::test]
async fn f16_no_key_of_a_websocket_is_in_any_fault_hint_name_or_debug_text() {
    let echo = KEYS.join(" ");
    let server = SocketServer::start(Kind::WebSocket, move |_, request| match request {
        _ if is_call(request, "eth_getLogs") => {
            let id = ids(request)[0];
            let error = format!(r#"{{"code":-32000,"message":"{echo}","data":"{echo}"}}"#);
            vec![Do::Send(format!(r#"{{"id":{id},"error":{error}}}"#))]
        }
        _ if is_call(request, "net_peerCount") => vec![Do::Send(echo.clone())],
        _ if is_call(request, "eth_syncing") => {
            vec![Do::Close("UserKey11 PassKey22 PathKey33 QueryKey44 HeadKey55")]
        }
        _ => answer(request),
    })
    .await;
    let echoing = "HTTP/1.1 403 Forbidden\r\n\r\nno UserKey11 PathKey33 QueryKey44 HeadKey55";
    let mut texts = texts_of(server.place.trim_start_matches("ws://")).await;
    texts.extend(texts_of(&refusing(echoing).await).await);
    texts.extend(texts_of("127.0.0.1:1").await);
    for text in &texts {
        for key in KEYS {
            assert!(!text.contains(key), "{key} in {text}");
        }
    }
    assert!(texts.iter().filter(|text| text.contains("[redacted]")).count() >= 4, "{texts:#?}");
    // All of them are sent, in the handshake.
    let handshake = server.handshakes().remove(0);
    assert!(handshake.contains("/v3/PathKey33?apikey=QueryKey44"), "{handshake}");
    for (name, value) in
        [("x-api-key", "HeadKey55"), ("authorization", "Basic VXNlcktleTExOlBhc3NLZXkyMg==")]
    {
        assert!(handshake.contains(&format!("\"{name}\": \"{value}\"")), "{handshake}");
    }
}

async fn texts_of(host: &str) -> Vec<String> {
    let place = format!("ws://UserKey11:PassKey22@{host}/v3/PathKey33?apikey=QueryKey44#PathKey33");
    let headers = vec![("x-api-key".to_owned(), "HeadKey55".to_owned())];
    let config = SocketConfig { headers, first_wait_ms: 1, ..SocketConfig::new(place) };
    let mut texts = vec![format!("{config:?}")];
    let node = SocketNode::new(config).unwrap();
    texts.extend([format!("{node:?}"), node.id().to_string()]);
    for ask in [logs_over(1, 9), Ask::ClientVersion, Ask::PeerCount, Ask::Syncing] {
        texts.push(match node.ask(ask).await {
            Ok(answer) => format!("{answer:?}"),
            Err(fault) => format!("{fault} {fault:?}"),
        });
    }
    for _ in 0..2 {
        if let Some(hint) = node.hint().now_or_never() {
            texts.push(format!("{hint:?}"));
        }
    }
    texts
}
