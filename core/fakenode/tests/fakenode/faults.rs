//! Faults are the same over the wire as in process, and those of the way are what they look like.

use crate::stage::{Stage, in_process, logs, questions, settings, whole};
use event::{Answer, Ask, BlockRange, FaultClass, Node, Tag};
use fakenode::{Dialect, WireRule, WireTrouble};
use sim::{Methods, Rule, Trouble, run};
use std::{sync::Arc, time::Duration};

async fn class(node: &Arc<dyn Node>, ask: Ask) -> Option<FaultClass> {
    whole(node.ask(ask).await).err().map(|fault| fault.class)
}

#[tokio::test]
async fn a_fault_rule_over_the_wire_equals_the_one_in_process() {
    // Not the chain id: with it a socket would not come to stand.
    let all = Methods::LOGS.and(Methods::HEADERS).and(Methods::RECEIPTS);
    let rules = [
        Rule::on(all, Trouble::TimesOut { after_ms: 100 }),
        Rule::on(all, Trouble::RateLimited { retry_after_ms: Some(2_000) }),
        Rule::on(all, Trouble::RateLimited { retry_after_ms: None }),
        Rule::on(all, Trouble::QuotaUsedUp),
        Rule::on(all, Trouble::Malformed),
        Rule::on(all, Trouble::Dropped),
        Rule::on(all, Trouble::Unauthorized),
        Rule::on(all, Trouble::MethodMissing),
        Rule::on(Methods::RANGE_LOGS, Trouble::RangeRefused { width_max: 10 }),
        Rule::on(Methods::RANGE_LOGS, Trouble::ResultsRefused { most: 5 }),
        Rule::on(Methods::FINAL_TAGS, Trouble::NoFinalizedTag),
        Rule::on(Methods::HASH_HEADERS, Trouble::NullBlock),
        Rule::on(Methods::RECEIPTS, Trouble::NullReceipts),
        Rule::on(all, Trouble::QuotaUsedUp).for_calls(2, 3),
        Rule::on(all, Trouble::QuotaUsedUp).sometimes(500),
        Rule::on(all, Trouble::QuotaUsedUp).in_blocks(BlockRange::new(15, 25).unwrap()),
    ];
    for rule in rules {
        let slow = matches!(rule.then, Trouble::TimesOut { .. } | Trouble::Dropped);
        for transport in 0..3 {
            let stage = Stage::new(vec![rule.clone()]).await;
            let (name, over_wire) = &stage.all()[transport];
            let (world, node) = in_process(vec![rule.clone()]);
            let mut asks = questions(&stage.world);
            // What takes a deadline or a connection each time is asked about less.
            asks.truncate(if slow { 6 } else { asks.len() });
            for ask in asks {
                let expected = run(&world, u64::MAX, node.ask(ask.clone())).unwrap();
                let expected = expected.err().map(|fault| fault.class);
                // Headers of which one is not there are drawn one by one over the wire.
                let is_one_by_one = matches!(&ask, Ask::Headers { range } if range.count() > 1)
                    && expected == Some(FaultClass::Unknown);
                if is_one_by_one && rule.when.per_mille < 1_000 {
                    continue;
                }
                let told = class(over_wire, ask.clone()).await;
                assert_eq!(told, expected, "{rule:?} over {name}: {ask:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_batch_that_is_refused_is_asked_again_in_smaller_ones() {
    for dialect in [Dialect::Geth, Dialect::Besu, Dialect::Alchemy, Dialect::Erigon] {
        let rule = Rule::on(Methods::HEADERS, Trouble::BatchRefused { most: 20 });
        let stage = Stage::with(vec![rule], vec![], dialect, settings()).await;
        let range = BlockRange::new(1, 64).unwrap();
        for (transport, node) in stage.all() {
            let mut answer = node.ask(Ask::Headers { range }).await;
            // One that drops the connection says nothing of sizes: it is understood after a while.
            for _ in 0..20 {
                if answer.is_ok() {
                    break;
                }
                answer = node.ask(Ask::Headers { range }).await;
            }
            let Ok(Answer::Headers(headers)) = answer else {
                panic!("{dialect:?} over {transport}: {answer:?}")
            };
            assert_eq!(headers.len(), 64);
        }
    }
}

#[tokio::test]
async fn what_goes_wrong_on_the_way_is_what_it_looks_like() {
    use FaultClass::{Dropped, Malformed, TimedOut};
    let rate = FaultClass::Rate { retry_after_ms: Some(3_000) };
    let cases = [
        (WireTrouble::HalfOpen, [TimedOut, TimedOut, TimedOut]),
        (WireTrouble::Closed, [Dropped, Dropped, Dropped]),
        (WireTrouble::Cut, [Dropped, Dropped, Dropped]),
        (WireTrouble::Html, [Malformed, Malformed, Malformed]),
        // Over a Unix socket nothing says where the answer ends: the rest is waited for.
        (WireTrouble::TruncatedJson, [Malformed, Malformed, TimedOut]),
        (WireTrouble::RateLimited { retry_after_s: 3 }, [rate.clone(), rate.clone(), rate]),
        // Over a socket an answer to nobody's question is nobody's answer.
        (WireTrouble::WrongId, [Malformed, TimedOut, TimedOut]),
        (WireTrouble::DuplicateIds, [Malformed, Malformed, Malformed]),
    ];
    for (trouble, expected) in cases {
        for (transport, expected) in expected.into_iter().enumerate() {
            let rule = WireRule::always(trouble.clone()).on("eth_getLogs").for_calls(1, 1);
            let stage = Stage::with(vec![], vec![rule], Dialect::Geth, settings()).await;
            let (name, node) = &stage.all()[transport];
            assert!(node.ask(Ask::Head(Tag::Latest)).await.is_ok(), "another method");
            let told = class(node, logs(1, 64)).await;
            assert_eq!(told, Some(expected), "{trouble:?} over {name}");
            // A Unix socket that hangs in the middle of an answer is stuck until it is made anew.
            if trouble != WireTrouble::TruncatedJson || *name != "ipc" {
                assert_eq!(class(node, logs(1, 64)).await, None, "{trouble:?} over {name} passes");
            }
        }
    }
}

#[tokio::test]
async fn an_id_that_comes_twice_in_a_batch_spoils_the_batch() {
    let rule = WireRule::always(WireTrouble::DuplicateIds).on("eth_getBlockByNumber");
    let stage = Stage::with(vec![], vec![rule], Dialect::Geth, settings()).await;
    for (transport, node) in stage.all() {
        let ask = Ask::Headers { range: BlockRange::new(1, 5).unwrap() };
        assert_eq!(class(&node, ask).await, Some(FaultClass::Malformed), "{transport}");
    }
}

#[tokio::test]
async fn who_was_hung_up_on_comes_back_and_the_time_away_is_known() {
    let stage = Stage::new(vec![]).await;
    let node = stage.web();
    assert!(node.ask(logs(1, 64)).await.is_ok());
    stage.fake.hang_up(Duration::from_millis(80));
    stage.fake.hang_up(Duration::from_millis(50));
    // A call waits for the connection, and is answered when it is back.
    let mut answered = node.ask(logs(1, 64)).await;
    while answered.is_err() {
        answered = node.ask(logs(1, 64)).await;
    }
    let away_ms = stage.fake.away().as_millis();
    assert!((80..=81).contains(&away_ms), "{away_ms}");
}
