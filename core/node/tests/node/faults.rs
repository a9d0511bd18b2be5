//! One test a fault: what a node can do wrong, and the class it gets.

use crate::server::{Server, calls, http, ids, json};
use alloy_primitives::B256;
use event::{
    Answer, Ask, BlockAnswer, BlockNumHash, BlockRange, Fault, FaultClass, Filter, Node, Tag,
};
use flate2::{Compression, write::GzEncoder};
use headcount_node::{HttpConfig, HttpNode};
use std::{io::Write, sync::Arc};

fn node(server: &Server) -> HttpNode {
    HttpNode::new(HttpConfig::new(&server.url)).unwrap()
}

pub(crate) fn logs_over(first: u64, last: u64) -> Ask {
    Ask::Logs { filter: Arc::new(Filter::any()), range: BlockRange::new(first, last).unwrap() }
}

pub(crate) fn block() -> BlockNumHash {
    BlockNumHash { number: 7, hash: B256::repeat_byte(7) }
}

async fn fault(server: &Server, ask: Ask) -> Fault {
    node(server).ask(ask).await.unwrap_err()
}

/// Puts the request's id into the response.
async fn answering(template: &'static str) -> Server {
    Server::start(move |request| json(&template.replace("$ID", &ids(request)[0].to_string()))).await
}

pub(crate) fn header(number: u64) -> String {
    let zero = "00".repeat(32);
    format!(
        r#"{{"number":"0x{number:x}","hash":"0x{}","parentHash":"0x{zero}","sha3Uncles":"0x{zero}",
        "miner":"0x{}","stateRoot":"0x{zero}","transactionsRoot":"0x{zero}","receiptsRoot":"0x{zero}",
        "logsBloom":"0x{}","difficulty":"0x0","gasLimit":"0x1","gasUsed":"0x0","timestamp":"0x{number:x}",
        "extraData":"0x","mixHash":"0x{zero}","nonce":"0x0000000000000000","totalDifficulty":"0x1",
        "size":"0x2","uncles":[],"transactions":["0x{zero}"]}}"#,
        format!("{number:02x}").repeat(32),
        "00".repeat(20),
        "00".repeat(256),
    )
}

pub(crate) fn header_member(call: &serde_json::Value) -> String {
    let number = call["params"][0].as_str().unwrap().trim_start_matches("0x");
    let number = u64::from_str_radix(number, 16).unwrap();
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{}}}"#, call["id"], header(number))
}

/// Answers header batches of at most `limit` calls.
fn headers_up_to(limit: usize, refusal: &'static str) -> impl Fn(&str) -> Vec<u8> {
    move |request| {
        let calls = calls(request);
        if calls.len() > limit {
            return if refusal.is_empty() { Vec::new() } else { json(refusal) };
        }
        let members: Vec<String> = calls.iter().rev().map(header_member).collect();
        json(&if request.starts_with('[') {
            format!("[{}]", members.join(","))
        } else {
            members.concat()
        })
    }
}

#[tokio::test]
async fn f4_a_429_waits_as_long_as_the_node_says_but_at_most_five_minutes() {
    for (header, wait) in [
        ("retry-after: 7\r\n", Some(7_000)),
        ("retry-after: 86400\r\n", Some(300_000)),
        (
            "date: Sun, 06 Nov 1994 08:49:37 GMT\r\nretry-after: Sun, 06 Nov 1994 08:50:07 GMT\r\n",
            Some(30_000),
        ),
        ("retry-after: soon\r\n", None),
        ("", None),
    ] {
        let server = Server::with(http("429 Too Many Requests", header, b"slow down")).await;
        let fault = fault(&server, Ask::ChainId).await;
        assert_eq!(fault.class, FaultClass::Rate { retry_after_ms: wait }, "{header}");
    }
}

#[tokio::test]
async fn f5_a_json_rpc_429_under_http_200_is_a_rate_limit() {
    let server = answering(r#"{"id":$ID,"error":{"code":429,"message":"slow down"}}"#).await;
    assert_eq!(
        fault(&server, logs_over(1, 9)).await.class,
        FaultClass::Rate { retry_after_ms: None }
    );
}

#[tokio::test]
async fn f6_a_402_is_a_quota() {
    let server = Server::with(http("402 Payment Required", "", b"{}")).await;
    assert_eq!(fault(&server, Ask::ChainId).await.class, FaultClass::Quota);
}

#[tokio::test]
async fn f7_html_body_is_malformed_never_empty() {
    let page = b"<html><body>It works! ray 429abc</body></html>";
    let server = Server::with(http("200 OK", "content-type: text/html\r\n", page)).await;
    for ask in [logs_over(1, 9), Ask::Receipts { block: block() }, Ask::Head(Tag::Latest)] {
        assert_eq!(fault(&server, ask).await.class, FaultClass::Malformed);
    }
    let busy = Server::with(http("502 Bad Gateway", "", b"<html>Bad Gateway</html>")).await;
    assert_eq!(fault(&busy, logs_over(1, 9)).await.class, FaultClass::Busy);
    let cloudflare = Server::with(http("200 OK", "", b"<html>error code: 1015</html>")).await;
    assert_eq!(
        fault(&cloudflare, logs_over(1, 9)).await.class,
        FaultClass::Rate { retry_after_ms: None }
    );
    let empty = Server::with(http("200 OK", "", b"")).await;
    assert_eq!(fault(&empty, logs_over(1, 9)).await.class, FaultClass::Malformed);
}

#[tokio::test]
async fn f8_truncated_json_is_malformed_and_a_reset_in_the_middle_is_dropped() {
    let truncated = answering(r#"{"id":$ID,"result":["#).await;
    assert_eq!(fault(&truncated, logs_over(1, 9)).await.class, FaultClass::Malformed);
    let reset = Server::with(
        &b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\nconnection: close\r\n\r\n{\"id\":1,\"result\":[]}"[..],
    )
    .await;
    assert_eq!(fault(&reset, logs_over(1, 9)).await.class, FaultClass::Dropped);
}

#[tokio::test]
async fn f9_answers_that_are_for_no_call_or_another_are_never_assigned() {
    for body in [
        r#"{"id":99999,"result":[]}"#,
        r#"{"result":[]}"#,
        r#"{"id":null,"result":[]}"#,
        r#"[{"id":1,"result":[]}]"#,
    ] {
        let server = Server::with(json(body)).await;
        assert_eq!(fault(&server, logs_over(1, 9)).await.class, FaultClass::Malformed, "{body}");
    }
    let range = BlockRange::new(1, 2).unwrap();
    let duplicate = Server::start(|request| {
        let first = header_member(&calls(request)[0]);
        json(&format!("[{first},{first}]"))
    })
    .await;
    assert_eq!(fault(&duplicate, Ask::Headers { range }).await.class, FaultClass::Malformed);
    let one_object = Server::start(|request| json(&header_member(&calls(request)[0]))).await;
    // It knows no batches: one by one it is asked.
    assert!(matches!(
        node(&one_object).ask(Ask::Headers { range }).await,
        Ok(Answer::Headers(told)) if told.len() == 2
    ));
    let missing =
        Server::start(|request| json(&format!("[{}]", header_member(&calls(request)[0])))).await;
    let told = classes(node(&missing).ask(Ask::Headers { range }).await.unwrap());
    assert_eq!(told, [Ok(1), Err(FaultClass::Malformed)]);
    let without_id = answering(r#"{"error":{"code":-32000,"message":"unknown block"}}"#).await;
    assert_eq!(fault(&without_id, logs_over(1, 9)).await.class, FaultClass::Unknown);
}

/// Numbers of headers, and why others were not given.
fn classes(answer: Answer) -> Vec<Result<u64, FaultClass>> {
    let Answer::SomeHeaders(told) = answer else { panic!("some headers, not {answer:?}") };
    let of = |told: Result<BlockAnswer, Fault>| {
        told.map(|block| block.header.number).map_err(|fault| fault.class)
    };
    told.into_iter().map(of).collect()
}

#[tokio::test]
async fn f9_f49_an_error_inside_a_batch_of_headers_is_that_blocks_and_costs_no_other() {
    let server = Server::start(|request| {
        let calls = calls(request);
        let error = |call: &serde_json::Value, error: &str| {
            format!(r#"{{"id":{},"error":{{"code":-32005,"message":"{error}"}}}}"#, call["id"])
        };
        let member = |(place, call): (usize, &serde_json::Value)| match place {
            1 => error(call, "rate limit"),
            2 => format!(r#"{{"id":{},"result":null}}"#, call["id"]),
            3 => format!(r#"{{"id":{},"result":{}}}"#, call["id"], header(99)),
            _ => header_member(call),
        };
        let members: Vec<String> = calls.iter().enumerate().map(member).collect();
        json(&format!("[{}]", members.join(",")))
    })
    .await;
    let range = BlockRange::new(1, 5).unwrap();
    let told = classes(node(&server).ask(Ask::Headers { range }).await.unwrap());
    let rate = FaultClass::Rate { retry_after_ms: None };
    let wrong = [Err(rate), Err(FaultClass::Unknown), Err(FaultClass::Malformed)];
    let mut expected = vec![Ok(1)];
    expected.extend(wrong);
    expected.push(Ok(5));
    assert_eq!(told, expected);
    // Where none is given, what is wrong with the node is told.
    let server = Server::start(|request| {
        let ids = ids(request);
        json(&format!(
            r#"[{{"id":{},"result":null}},{{"id":{},"error":{{"message":"slow down","code":429}}}}]"#,
            ids[0], ids[1]
        ))
    })
    .await;
    let range = BlockRange::new(1, 2).unwrap();
    let fault = fault(&server, Ask::Headers { range }).await;
    assert_eq!(fault.class, FaultClass::Rate { retry_after_ms: None });
}

/// A proxy that lets seven calls of eight through, and will not have a batch in which the other one is.
fn draws(refusal: Vec<u8>, member: fn(&serde_json::Value) -> String) -> impl Fn(&str) -> Vec<u8> {
    let drawn = std::sync::atomic::AtomicU64::new(0);
    move |request| {
        let calls = calls(request);
        let count = calls.len() as u64;
        let from = drawn.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
        if (from..from + count).any(|call| call % 8 == 7) {
            return refusal.clone();
        }
        let members: Vec<String> = calls.iter().map(member).collect();
        json(&if request.starts_with('[') {
            format!("[{}]", members.join(","))
        } else {
            members.concat()
        })
    }
}

#[tokio::test]
async fn f14_a_batch_that_is_refused_for_one_of_its_calls_gets_smaller_and_what_was_given_is_kept()
{
    let busy = || json(r#"{"id":null,"error":{"code":-32000,"message":"request timed out"}}"#);
    let rated = || http("429 Too Many Requests", "", b"slow down");
    let range = BlockRange::new(1, 100).unwrap();
    // Too busy: fewer are asked for at once.
    let server = Server::start(draws(busy(), header_member)).await;
    let headers = node(&server);
    let given = match headers.ask(Ask::Headers { range }).await.unwrap() {
        Answer::Headers(blocks) => blocks.len(),
        told => classes(told).into_iter().flatten().count(),
    };
    assert!(given >= 80, "{given} given");
    assert!(headers.header_batch() < 8 && server.requests().len() < 160);
    let server = Server::start(draws(busy(), |call| receipts_member(call, 1))).await;
    let answer = node(&server).ask(Ask::ReceiptsOf { blocks: blocks(50) }).await;
    let Ok(Answer::ReceiptsOf(told)) = answer else { panic!("receipts") };
    assert!(told.iter().filter(|told| told.is_ok()).count() >= 40, "{told:?}");
    // Too many: what was given until then is kept, the rest is for later, in smaller batches.
    let server = Server::start(draws(rated(), header_member)).await;
    let headers = node(&server);
    let (mut left, mut questions) = (vec![range], 0);
    while let Some(range) = left.pop() {
        questions += 1;
        assert!(questions < 90, "{left:?} and {range} are left");
        match headers.ask(Ask::Headers { range }).await {
            Ok(Answer::Headers(_)) => {}
            Ok(told) => {
                let numbers = (range.first()..=range.last()).zip(classes(told));
                let lacking = numbers.filter(|(_, told)| told.is_err());
                let lacking = lacking.map(|(number, _)| BlockRange::one(number));
                let lacking: event::BlockRanges = lacking.collect();
                left.extend(lacking.iter());
            }
            Err(_) => left.push(range),
        }
    }
    assert!(headers.header_batch() < 8, "{}", headers.header_batch());
    let server = Server::start(draws(rated(), |call| receipts_member(call, 1))).await;
    let receipts = node(&server);
    let (mut left, mut questions) = (blocks(50), 0);
    while !left.is_empty() {
        questions += 1;
        assert!(questions < 40, "{} are left", left.len());
        let answer = receipts.ask(Ask::ReceiptsOf { blocks: left.clone() }).await;
        let Ok(Answer::ReceiptsOf(told)) = answer else { panic!("receipts") };
        let lacking = left.into_iter().zip(told).filter(|(_, told)| told.is_err());
        left = lacking.map(|(block, _)| block).collect();
    }
}

#[tokio::test]
async fn a_batch_grows_again_where_a_node_refused_one_only_for_a_while() {
    let seen = std::sync::atomic::AtomicU64::new(0);
    let honest = headers_up_to(1_000, "");
    let server = Server::start(move |request| {
        match seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            // One of 100 headers, two of 50, and the four of 12 that are under way at once.
            0..7 => http("429 Too Many Requests", "", b"slow down"),
            _ => honest(request),
        }
    })
    .await;
    let node = node(&server);
    let ask = Ask::Headers { range: BlockRange::new(1, 100).unwrap() };
    for fewer in [50, 12, 3] {
        assert!(node.ask(ask.clone()).await.is_err());
        assert_eq!(node.header_batch(), fewer);
    }
    let mut questions = 0;
    while node.header_batch() < 20 {
        questions += 1;
        assert!(questions < 60 && node.ask(ask.clone()).await.is_ok());
    }
}

#[tokio::test]
async fn f10_an_answer_over_the_byte_cap_is_a_size_fault() {
    let announced = Server::with(json(&" ".repeat(200_000))).await;
    let mut endless =
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"id\":1,\"result\":[".to_vec();
    endless.extend(std::iter::repeat_n(b' ', 200_000));
    let endless = Server::with(endless).await;
    for server in [announced, endless] {
        let config = HttpConfig { max_body_bytes: 100_000, ..HttpConfig::new(&server.url) };
        let fault = HttpNode::new(config).unwrap().ask(logs_over(1, 9)).await.unwrap_err();
        assert_eq!(fault.class, FaultClass::Size);
    }
}

#[tokio::test]
async fn f10_a_gzip_bomb_is_stopped_at_the_cap_after_decompression() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..64 {
        bomb.write_all(&[b' '; 1 << 20]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 100_000);
    let server = Server::with(http("200 OK", "content-encoding: gzip\r\n", &bomb)).await;
    let config = HttpConfig { max_body_bytes: 1 << 20, ..HttpConfig::new(&server.url) };
    let fault = HttpNode::new(config).unwrap().ask(logs_over(1, 9)).await.unwrap_err();
    assert_eq!(fault.class, FaultClass::Size);
}

#[tokio::test]
async fn f13_a_missing_method_is_off_and_null_receipts_are_unknown() {
    let off = answering(r#"{"id":$ID,"error":{"code":-32601,"message":"nope"}}"#).await;
    assert_eq!(fault(&off, Ask::Receipts { block: block() }).await.class, FaultClass::Off);
    let null = answering(r#"{"id":$ID,"result":null}"#).await;
    for ask in [
        Ask::Receipts { block: block() },
        Ask::HeaderByHash { hash: B256::ZERO },
        Ask::Headers { range: BlockRange::one(1) },
        logs_over(1, 9),
    ] {
        assert_eq!(fault(&null, ask).await.class, FaultClass::Unknown);
    }
    assert_eq!(fault(&null, Ask::Head(Tag::Finalized)).await.class, FaultClass::Tag);
    assert_eq!(fault(&null, Ask::Head(Tag::Latest)).await.class, FaultClass::Unknown);
}

/// Ganache, hardhat and geth before 1.13 know the receipts of transactions only.
#[tokio::test]
async fn f13_receipts_of_a_node_without_those_of_a_block_are_got_by_transaction() {
    let two = |call: &serde_json::Value| {
        let hash = call["params"][0].as_str().unwrap();
        let number = u64::from_str_radix(&hash[2..4], 16).unwrap();
        let (none, zero) = ("[]", format!(r#"["0x{}"]"#, "00".repeat(32)));
        let hashes = format!(r#"["0x{}","0x{}"]"#, "0a".repeat(32), "0b".repeat(32));
        let transactions = if number == 2 { none } else { &hashes };
        let block = header(number).replace(&zero, transactions);
        format!(r#"{{"id":{},"result":{block}}}"#, call["id"])
    };
    let member = move |call: &serde_json::Value| match call["method"].as_str().unwrap() {
        "eth_getBlockByHash" => two(call),
        "eth_getTransactionReceipt" => receipts_member(call, 1)
            .replace(r#""result":[{"#, r#""result":{"#)
            .replace("}]}]}", "}]}}"),
        _ => format!(r#"{{"id":{},"error":{{"code":-32601,"message":"nope"}}}}"#, call["id"]),
    };
    let server = Server::start(move |request| {
        let calls = calls(request);
        let members: Vec<String> = calls.iter().map(&member).collect();
        let is_batch = request.trim_end().ends_with(']');
        json(&if is_batch { format!("[{}]", members.join(",")) } else { members.concat() })
    })
    .await;
    let node = node(&server);
    let block = |n: u8| BlockNumHash { number: n.into(), hash: B256::repeat_byte(n) };
    let blocks: Vec<BlockNumHash> = (1..=9).map(block).collect();
    let Ok(Answer::ReceiptsOf(told)) = node.ask(Ask::ReceiptsOf { blocks }).await else {
        panic!("receipts")
    };
    let hashes = |told: &Result<Vec<event::Receipt>, Fault>| -> Vec<B256> {
        told.as_ref().unwrap().iter().map(|receipt| receipt.tx_hash).collect()
    };
    let expected = [B256::repeat_byte(0x0a), B256::repeat_byte(0x0b)];
    for (told, number) in told.iter().zip(1..) {
        let expected = if number == 2 { &[][..] } else { &expected };
        assert_eq!(hashes(told), expected, "block {number}");
    }
    // It is known now, and asked no more.
    let asked = || node.calls().get("eth_getBlockReceipts").copied();
    let before = asked();
    assert!(node.ask(Ask::Receipts { block: block(7) }).await.is_ok());
    assert_eq!(asked(), before);
    assert!(before.is_some_and(|calls| calls <= 11), "{before:?}");
}

#[tokio::test]
async fn f14_a_refused_batch_size_is_halved_until_it_fits_and_remembered() {
    let refusal = r#"{"id":null,"error":{"code":-32600,"message":"batch too large"}}"#;
    for (limit, learned) in [(30, 25), (1, 1)] {
        let server = Server::start(headers_up_to(limit, refusal)).await;
        let node = node(&server);
        let range = BlockRange::new(5, 204).unwrap();
        let Answer::Headers(blocks) = node.ask(Ask::Headers { range }).await.unwrap() else {
            panic!("headers")
        };
        let numbers: Vec<u64> = blocks.iter().map(|block| block.header.number).collect();
        assert_eq!(numbers, (5..=204).collect::<Vec<_>>());
        assert_eq!(node.header_batch(), learned);
        let before = server.requests().len();
        node.ask(Ask::Headers { range: BlockRange::new(1, 50).unwrap() }).await.unwrap();
        assert_eq!(server.requests().len() - before, 50 / learned);
    }
}

#[tokio::test]
async fn f14_a_connection_dropped_on_a_batch_halves_the_next_one() {
    let server = Server::start(headers_up_to(60, "")).await;
    let node = node(&server);
    let ask = Ask::Headers { range: BlockRange::new(1, 100).unwrap() };
    assert_eq!(node.ask(ask.clone()).await.unwrap_err().class, FaultClass::Dropped);
    assert_eq!(node.header_batch(), 50);
    assert!(node.ask(ask).await.is_ok());
}

fn blocks(count: u64) -> Vec<BlockNumHash> {
    (1..=count).map(|number| BlockNumHash { number, hash: hash_of(number) }).collect()
}

fn hash_of(number: u64) -> B256 {
    B256::left_padding_from(&number.to_be_bytes())
}

/// One receipt, of this block, with so many bytes in its log.
fn receipts_member(call: &serde_json::Value, log_bytes: usize) -> String {
    let (id, hash) = (&call["id"], call["params"][0].as_str().unwrap());
    let data = "00".repeat(log_bytes);
    let zero = "00".repeat(32);
    let address = "00".repeat(20);
    format!(
        r#"{{"id":{id},"result":[{{"transactionHash":"{hash}","transactionIndex":"0x0","blockHash":"{hash}","blockNumber":"0x1","status":"0x1","cumulativeGasUsed":"0x1","logs":[{{"address":"0x{address}","topics":[],"data":"0x{data}","logIndex":"0x0","transactionHash":"0x{zero}"}}]}}]}}"#
    )
}

async fn receipts_of(node: &HttpNode, count: u64) -> Vec<Result<Vec<event::Receipt>, Fault>> {
    let answer = node.ask(Ask::ReceiptsOf { blocks: blocks(count) }).await;
    let Ok(Answer::ReceiptsOf(told)) = answer else { panic!("receipts") };
    assert_eq!(told.len() as u64, count);
    for (number, told) in (1..).zip(&told) {
        assert!(told.as_ref().is_ok_and(|told| told[0].block_hash == hash_of(number)), "{told:?}");
    }
    told
}

#[tokio::test]
async fn receipts_of_many_blocks_are_few_requests_as_long_as_they_are_small() {
    for (log_bytes, requests_max) in [(100, 6), (100_000, 28)] {
        let server = Server::start(move |request| {
            let members = calls(request);
            let members = members.iter().map(|call| receipts_member(call, log_bytes));
            let members = members.collect::<Vec<_>>();
            json(&if request.starts_with('[') {
                format!("[{}]", members.join(","))
            } else {
                members.concat()
            })
        })
        .await;
        let node = node(&server);
        receipts_of(&node, 200).await;
        let requests = server.requests();
        assert!(requests.len() <= requests_max, "{} requests", requests.len());
        let largest = requests.iter().map(|r| ids(r.split_once("\r\n\r\n").unwrap().1).len());
        let bytes = largest.max().unwrap() * log_bytes * 2;
        assert!(bytes <= 2 << 20, "{bytes} bytes in one answer");
        assert_eq!(node.calls()["eth_getBlockReceipts"], 200);
    }
}

#[tokio::test]
async fn f14_receipts_come_also_of_a_node_that_takes_few_or_no_batches_or_cuts_them_short() {
    let some = |count: usize, request: &str, error: &str| {
        let members = calls(request);
        let members = members.iter().enumerate().map(|(place, call)| match place < count {
            true => receipts_member(call, 1),
            false => format!(r#"{{"id":{},"error":{error}}}"#, call["id"]),
        });
        json(&format!("[{}]", members.collect::<Vec<_>>().join(",")))
    };
    // geth answers as many as fit into its limit and refuses the rest one by one.
    let cuts = Server::start(move |request| match request.starts_with('[') {
        true => some(3, request, r#"{"code":-32003,"message":"response too large"}"#),
        false => json(&receipts_member(&calls(request)[0], 1)),
    })
    .await;
    receipts_of(&node(&cuts), 60).await;
    let refuses = Server::start(|request| match request.starts_with('[') {
        true => json(r#"{"id":null,"error":{"code":-32600,"message":"batch too large"}}"#),
        false => json(&receipts_member(&calls(request)[0], 1)),
    })
    .await;
    receipts_of(&node(&refuses), 60).await;
    assert!(refuses.requests().len() <= 63, "its limit is learned: {}", refuses.requests().len());
    // Some refuse a batch in each of its members.
    for error in [r#"{"code":-32601,"message":"no batches"}"#, r#"{"code":-32000,"message":"no"}"#]
    {
        let in_each = Server::start(move |request| match request.starts_with('[') {
            true => some(0, request, error),
            false => json(&receipts_member(&calls(request)[0], 1)),
        })
        .await;
        receipts_of(&node(&in_each), 60).await;
        assert!(in_each.requests().len() <= 62, "once is enough: {}", in_each.requests().len());
    }
    // One that does not know what a batch is says anything; one by one it is asked in the same breath.
    let knows_none = Server::start(|request| match request.starts_with('[') {
        true => json(r#"{"id":null,"error":{"code":-32600,"message":"invalid request"}}"#),
        false => json(&receipts_member(&calls(request)[0], 1)),
    })
    .await;
    receipts_of(&node(&knows_none), 60).await;
    assert!(knows_none.requests().len() < 75, "{}", knows_none.requests().len());
}

/// A node that has only an empty list for more than so many calls at once.
fn empty_beyond(
    limit: usize,
    member: fn(&serde_json::Value) -> String,
) -> impl Fn(&str) -> Vec<u8> {
    move |request| {
        let calls = calls(request);
        let members: Vec<String> = calls.iter().map(member).collect();
        json(&match (calls.len() > limit, request.starts_with('[')) {
            (true, _) => "[]".to_owned(),
            (false, true) => format!("[{}]", members.join(",")),
            (false, false) => members.concat(),
        })
    }
}

#[tokio::test]
async fn f14_what_is_answered_with_an_empty_list_is_asked_for_in_smaller_batches_and_one_by_one() {
    for limit in [12, 1] {
        let server = Server::start(empty_beyond(limit, header_member)).await;
        let node = node(&server);
        let range = BlockRange::new(5, 104).unwrap();
        let answer = node.ask(Ask::Headers { range }).await;
        let Ok(Answer::Headers(blocks)) = answer else { panic!("headers, not {answer:?}") };
        let numbers: Vec<u64> = blocks.iter().map(|block| block.header.number).collect();
        assert_eq!(numbers, (5..=104).collect::<Vec<_>>());
        assert!(server.requests().len() < 130, "{}", server.requests().len());
        let server = Server::start(empty_beyond(limit, |call| receipts_member(call, 1))).await;
        receipts_of(&self::node(&server), 60).await;
        assert!(server.requests().len() < 75, "{}", server.requests().len());
    }
    // Who never says more is a node that does not answer, and not one without blocks.
    let mute = Server::with(json("[]")).await;
    let range = BlockRange::new(1, 4).unwrap();
    assert_eq!(fault(&mute, Ask::Headers { range }).await.class, FaultClass::Malformed);
}

#[tokio::test]
async fn f9_an_error_inside_a_batch_of_receipts_is_that_blocks_and_never_an_empty_list() {
    let server = Server::start(|request| {
        let members = calls(request);
        let member = |(place, call): (usize, &serde_json::Value)| match place {
            1 => format!(r#"{{"id":{},"result":null}}"#, call["id"]),
            2 => format!(r#"{{"id":{},"error":{{"code":4444,"message":"pruned"}}}}"#, call["id"]),
            3 => r#"{"id":99999,"error":{"code":-32000,"message":"unknown block"}}"#.to_owned(),
            _ => receipts_member(call, 1),
        };
        let members: Vec<String> = members.iter().enumerate().map(member).collect();
        json(&format!("[{}]", members.join(",")))
    })
    .await;
    let answer = node(&server).ask(Ask::ReceiptsOf { blocks: blocks(5) }).await;
    let Ok(Answer::ReceiptsOf(told)) = answer else { panic!("receipts") };
    let class = |place: usize| told[place].as_ref().map(Vec::len).map_err(|f| f.class.clone());
    assert_eq!(class(0), Ok(1));
    assert_eq!(class(1), Err(FaultClass::Unknown));
    assert_eq!(class(2), Err(FaultClass::Pruned { earliest: None }));
    assert_eq!(class(3), Err(FaultClass::Unknown), "what has no id is of what has no answer");
    assert_eq!(class(4), Ok(1));
}

#[tokio::test]
async fn f15_a_401_is_an_auth_fault_that_does_not_print_the_key() {
    let server =
        Server::with(http("401 Unauthorized", "", b"{\"message\":\"bad key SecretKey1\"}")).await;
    let url = format!("{}/SecretKey1", server.url);
    let fault = HttpNode::new(HttpConfig::new(url)).unwrap().ask(Ask::ChainId).await.unwrap_err();
    assert_eq!(fault.class, FaultClass::Auth);
    assert!(!fault.to_string().contains("SecretKey1"));
}

#[tokio::test]
async fn f16_no_key_of_url_or_header_is_in_any_fault_name_or_debug_text() {
    const KEYS: [&str; 5] = ["UserKey11", "PassKey22", "PathKey33", "QueryKey44", "HeadKey55"];
    let echo = KEYS.join(" ");
    let quoted =
        format!(r#"{{"id":1,"error":{{"code":-32000,"message":"{echo}","data":{{"{echo}":1}}}}}}"#);
    let mut responses = vec![
        json(&quoted),
        json(&echo),
        json(&format!("<html>{echo}</html>")),
        json(&format!(r#"{{"id":1,"result":"{echo}"}}"#)),
        json(&format!(r#"{{"id":"{echo}","result":[]}}"#)),
        http("301 Moved", &format!("location: http://127.0.0.1:1/{echo}\r\n"), b""),
        b"garbage".to_vec(),
        Vec::new(),
    ];
    for status in ["400 B", "401 U", "402 P", "403 F", "404 N", "413 L", "429 T", "500 I", "503 S"]
    {
        responses.push(http(status, "", echo.as_bytes()));
    }
    let mut texts = Vec::new();
    for response in responses {
        let server = Server::with(response).await;
        let host = server.url.trim_start_matches("http://").to_owned();
        texts.extend(texts_of(&host).await);
    }
    texts.extend(texts_of("127.0.0.1:1").await);
    for text in &texts {
        for key in KEYS {
            assert!(!text.contains(key), "{key} in {text}");
        }
    }
    assert!(texts.iter().any(|text| text.contains("[redacted]")));
}

async fn texts_of(host: &str) -> Vec<String> {
    let url = format!("http://UserKey11:PassKey22@{host}/v3/PathKey33?apikey=QueryKey44");
    let headers = vec![("x-api-key".to_owned(), "HeadKey55".to_owned())];
    let config = HttpConfig { headers, ..HttpConfig::new(url) };
    let mut texts = vec![format!("{config:?}")];
    let node = HttpNode::new(config).unwrap();
    texts.extend([format!("{node:?}"), node.id().to_string()]);
    for ask in [
        logs_over(1, 9),
        Ask::ClientVersion,
        Ask::Headers { range: BlockRange::new(1, 2).unwrap() },
    ] {
        texts.push(match node.ask(ask).await {
            Ok(answer) => format!("{answer:?}"),
            Err(fault) => format!("{fault} {fault:?}"),
        });
    }
    texts
}

#[tokio::test]
async fn an_unknown_error_text_splits_a_range_and_is_busy_at_one_block() {
    let server =
        answering(r#"{"id":$ID,"error":{"code":-32602,"message":"the moon is full"}}"#).await;
    assert_eq!(fault(&server, logs_over(1, 9)).await.class, FaultClass::Split);
    assert_eq!(fault(&server, logs_over(9, 9)).await.class, FaultClass::Busy);
}

#[tokio::test]
async fn a_header_of_another_number_or_hash_is_malformed() {
    let server = Server::start(|request| {
        json(&format!(r#"{{"id":{},"result":{}}}"#, ids(request)[0], header(8)))
    })
    .await;
    let by_number = Ask::Headers { range: BlockRange::one(7) };
    assert_eq!(fault(&server, by_number).await.class, FaultClass::Malformed);
    let by_hash = Ask::HeaderByHash { hash: B256::repeat_byte(7) };
    assert_eq!(fault(&server, by_hash).await.class, FaultClass::Malformed);
}

#[tokio::test]
async fn a_node_that_is_not_there_is_unreachable_and_a_slow_one_timed_out() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let config = HttpConfig { timeout_ms: 50, ..HttpConfig::new(&url) };
    let fault = HttpNode::new(config.clone()).unwrap().ask(Ask::ChainId).await.unwrap_err();
    assert_eq!(fault.class, FaultClass::TimedOut);
    drop(listener);
    let config = HttpConfig { timeout_ms: 5_000, ..config };
    let fault = HttpNode::new(config).unwrap().ask(Ask::ChainId).await.unwrap_err();
    assert_eq!((fault.class, fault.method.as_str()), (FaultClass::Unreachable, "connect"));
}

#[tokio::test]
async fn calls_are_counted_by_method_and_every_member_of_a_batch_counts() {
    let headers = headers_up_to(100, "");
    let server = Server::start(move |request| match request.contains("eth_chainId") {
        true => Vec::new(),
        false => headers(request),
    })
    .await;
    let node = node(&server);
    node.ask(Ask::Headers { range: BlockRange::new(1, 150).unwrap() }).await.unwrap();
    let _fault = node.ask(Ask::ChainId).await;
    let calls = node.calls();
    assert_eq!(calls["eth_getBlockByNumber"], 150);
    assert_eq!(calls["eth_chainId"], 1);
    assert_eq!(calls.len(), 2);
}

#[tokio::test]
async fn a_head_needs_no_more_than_number_hash_and_timestamp() {
    let server = Server::start(|request| {
        let hash = "07".repeat(32);
        json(&format!(
            r#"{{"id":{},"result":{{"number":"0x7","hash":"0x{hash}","timestamp":"0x9"}}}}"#,
            ids(request)[0]
        ))
    })
    .await;
    let Answer::Head(head) = node(&server).ask(Ask::Head(Tag::Safe)).await.unwrap() else {
        panic!("a head")
    };
    assert_eq!((head.block, head.timestamp), (block(), 9));
    assert!(server.requests()[0].contains(r#""params":["safe",false]"#));
}
