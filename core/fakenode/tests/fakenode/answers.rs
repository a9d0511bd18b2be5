//! Answers, honest and not, are the same over the wire as in process.

use crate::stage::{Stage, comparable, id, in_process, logs, questions};
use event::{Answer, Ask, BlockRange, Node};
use sim::{
    Methods, Rule, Trouble,
    faults::{Persona, forger, load_balanced, loses_everything, loses_ranges, loses_some, pruned},
    run,
};

async fn same_everywhere(what: &str, rules: Persona) {
    let stage = Stage::new(rules.clone()).await;
    let asks = questions(&stage.world);
    for (transport, over_wire) in stage.all() {
        // Chances depend on how often a question was asked before, so each has a world that is new.
        stage.world.set_rules(&event::NodeId::new("one"), rules.clone());
        let (world, node) = in_process(rules.clone());
        for ask in &asks {
            let expected = comparable(run(&world, u64::MAX, node.ask(ask.clone())).unwrap());
            let told = comparable(over_wire.ask(ask.clone()).await);
            assert_eq!(told, expected, "{what} over {transport}: {ask:?}");
        }
    }
}

#[tokio::test]
async fn an_honest_node_says_the_same_over_every_transport() {
    same_everywhere("honest", vec![]).await;
}

#[tokio::test]
async fn a_lie_over_the_wire_is_the_lie_in_process() {
    let range = BlockRange::new(10, 30).unwrap();
    let personas = [
        ("loses ranges", loses_ranges(300)),
        ("loses some", loses_some(300)),
        ("loses everything", loses_everything(range)),
        ("pruned", pruned(30)),
        ("forger", forger(400)),
        ("load balanced", load_balanced(3, 1_000)),
    ];
    for (what, rules) in personas {
        same_everywhere(what, rules).await;
    }
}

#[tokio::test]
async fn every_oddity_of_answers_is_served() {
    let (logs, receipts) = (Methods::LOGS, Methods::RECEIPTS);
    let headers = Methods::HEADERS.and(Methods::HASH_HEADERS);
    let oddities = [
        (logs, Trouble::LogIndexPerTransaction),
        (logs, Trouble::LogIndexShifted { by: 2 }),
        (logs, Trouble::RepeatedLogs),
        (logs, Trouble::LogsOfOtherBlock),
        (logs, Trouble::UnaskedLogs),
        (logs, Trouble::RemovedLogs),
        (logs, Trouble::TimestampMissing),
        (logs, Trouble::AddressFilterBroken),
        (logs, Trouble::CutSilently { most: 5 }),
        (logs, Trouble::EmptyUnknownHash),
        (receipts, Trouble::EmptyReceipts),
        (receipts, Trouble::ReceiptShort),
        (receipts, Trouble::ReceiptsOfOtherBlock),
        (headers, Trouble::ZeroBloom),
        (Methods::ASKS, Trouble::HeadLags { blocks: 4 }),
        (Methods::LATEST, Trouble::HeightZero),
        (Methods::FINAL_TAGS, Trouble::FinalizedGoesBack { blocks: 8 }),
        (Methods::SYNCING, Trouble::SaysSyncing),
        (Methods::PEER_COUNT, Trouble::NoPeers),
        (Methods::ASKS, Trouble::OtherChain(event::ChainId(5))),
    ];
    for (methods, trouble) in oddities {
        // A socket checks the chain before it is used, and would not come to stand.
        if let Trouble::OtherChain(_) = trouble {
            let stage = Stage::new(vec![Rule::on(methods, trouble)]).await;
            let told = stage.http().ask(Ask::ChainId).await;
            assert_eq!(told, Ok(Answer::ChainId(event::ChainId(5))));
            continue;
        }
        same_everywhere(trouble.name(), vec![Rule::on(methods, trouble.clone())]).await;
    }
}

#[tokio::test]
async fn f48_logs_marked_removed_are_on_the_wire_and_not_only_missing() {
    let stage = Stage::new(vec![Rule::on(Methods::LOGS, Trouble::RemovedLogs)]).await;
    let honest = Stage::new(vec![]).await;
    let count = |answer| match answer {
        Ok(Answer::Logs(logs)) => (logs.logs.len() as u64, logs.removed),
        other => panic!("{other:?}"),
    };
    for ((_, lying), (_, honest)) in stage.all().into_iter().zip(honest.all()) {
        let (told, _) = count(honest.ask(logs(1, 64)).await);
        assert!(told > 10);
        assert_eq!(count(lying.ask(logs(1, 64)).await), (0, told));
    }
}

#[tokio::test]
async fn what_was_withheld_and_made_up_is_tallied_once_however_often_it_was_asked() {
    let lies = vec![
        Rule::on(Methods::LOGS, Trouble::LostLog).for_some_blocks(300),
        Rule::on(Methods::LOGS, Trouble::AddedLog).for_some_blocks(300),
    ];
    let stage = Stage::new(lies).await;
    let node = stage.http();
    for _ in 0..2 {
        assert!(node.ask(logs(1, 64)).await.is_ok());
    }
    let once = stage.fake.tally();
    assert!(once.missed.len() > 2 && once.made_up.len() > 2, "{once:?}");
    let block = id(&stage.world, 20);
    assert!(once.missed.iter().all(|id| id.block_hash != block.hash) || block.number == 20);
    let more = node.ask(logs(1, 64)).await;
    assert!(more.is_ok());
    let again = stage.fake.tally();
    assert_eq!((again.missed, again.made_up), (once.missed, once.made_up));
    assert_eq!(again.answers, 3);
}
