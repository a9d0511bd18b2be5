//! Every lie is what such a node would send, and no more than that.

use crate::backfill::followed;
use event::{Answer, Ask, BlockNumHash, BlockRange, FaultClass, LogsAnswer, Node, Receipt, Tag};
use pipeline::Timer;
use sim::{
    Methods, Rule, SimNode, Stuck, Trouble, World, WorldSettings,
    chain::{expected, wanted},
    faults::{Persona, forger, load_balanced, loses_everything, loses_some, pruned},
    run,
};
use std::sync::Arc;

const HEAD: u64 = 64;

fn node(rules: Persona) -> (World, Arc<SimNode>) {
    let world = World::new(WorldSettings::of_seed(11));
    let node = world.add_node("one", rules);
    (world, node)
}

fn ask(world: &World, node: &Arc<SimNode>, ask: Ask) -> Result<Answer, FaultClass> {
    run(world, u64::MAX, node.ask(ask)).unwrap().map_err(|fault| fault.class)
}

fn over(first: u64, last: u64) -> Ask {
    let range = BlockRange::new(first, last).unwrap();
    Ask::Logs { filter: Arc::new(followed(2)), range }
}

fn id(world: &World, number: u64) -> BlockNumHash {
    world.tree(|tree| tree.at(number).unwrap().id())
}

fn logs(answer: Result<Answer, FaultClass>) -> LogsAnswer {
    let Ok(Answer::Logs(logs)) = answer else { panic!("{answer:?}") };
    logs
}

/// A block with at least two logs that are followed.
fn dense(world: &World) -> BlockNumHash {
    let filter = followed(2);
    let has_two =
        |number: &u64| world.tree(|t| wanted(t.at(*number).unwrap(), &filter).count() > 1);
    id(world, (1..=HEAD).find(has_two).unwrap())
}

fn by_hash(block: BlockNumHash) -> Ask {
    Ask::LogsByHash { filter: Arc::new(followed(2)), block }
}

fn receipts(world: &World, node: &Arc<SimNode>, block: BlockNumHash) -> Vec<Receipt> {
    let answer = ask(world, node, Ask::Receipts { block });
    let Ok(Answer::Receipts(receipts)) = answer else { panic!("{answer:?}") };
    receipts
}

#[test]
fn an_honest_node_tells_the_truth_and_says_what_it_does_not_know() {
    let (world, node) = node(vec![]);
    let told = logs(ask(&world, &node, over(0, HEAD)));
    let range = BlockRange::new(0, HEAD).unwrap();
    let truth = world.tree(|tree| expected(tree, &followed(2), range));
    assert_eq!(told.logs.len(), truth.len());
    assert!(told.blocks.iter().all(|(.., timestamp)| timestamp.is_some()));
    assert_eq!(
        ask(&world, &node, over(0, HEAD + 1)).unwrap_err(),
        FaultClass::NotYet { head: Some(HEAD) }
    );
    let unknown = BlockNumHash { number: 3, hash: alloy_primitives::B256::repeat_byte(7) };
    assert_eq!(ask(&world, &node, by_hash(unknown)).unwrap_err(), FaultClass::Unknown);
    let Ok(Answer::Head(final_head)) = ask(&world, &node, Ask::Head(Tag::Finalized)) else {
        panic!()
    };
    assert_eq!(final_head.block, id(&world, 48));
}

#[test]
fn what_is_lost_over_ranges_by_hash_and_as_receipts_is_lost_there_only() {
    let block = BlockRange::one;
    let (world, _) = node(vec![]);
    let dense = dense(&world);
    let told = |rules: Persona| {
        let (world, node) = node(rules);
        let range = logs(ask(&world, &node, over(dense.number, dense.number))).logs.len();
        let hash = logs(ask(&world, &node, by_hash(dense))).logs.len();
        let receipts = receipts(&world, &node, dense).iter().map(|r| r.logs.len()).sum::<usize>();
        (range > 0, hash > 0, receipts > 0)
    };
    let range_only =
        vec![Rule::on(Methods::RANGE_LOGS, Trouble::NoLogs).in_blocks(block(dense.number))];
    assert_eq!(told(vec![]), (true, true, true));
    assert_eq!(told(range_only), (false, true, true), "F25");
    assert_eq!(told(loses_some(1_000)), (false, false, true), "F26");
    assert_eq!(told(loses_everything(block(dense.number))), (false, false, false), "F27");
    assert_eq!(told(loses_everything(block(dense.number + 1))), (true, true, true));
    let (world, node) = node(pruned(dense.number + 1));
    assert!(logs(ask(&world, &node, by_hash(dense))).logs.is_empty(), "F34");
    assert_eq!(
        ask(&world, &node, Ask::Receipts { block: dense }).unwrap_err(),
        FaultClass::Unknown
    );
    assert!(ask(&world, &node, Ask::Headers { range: block(dense.number) }).is_ok());
}

#[test]
fn the_same_log_is_missing_every_time_and_every_way() {
    let (world, node) = node(vec![Rule::on(Methods::LOGS, Trouble::LostLog)]);
    let dense = dense(&world);
    let first = logs(ask(&world, &node, by_hash(dense)));
    let truth = world.tree(|tree| wanted(tree.block(&dense.hash).unwrap(), &followed(2)).count());
    assert_eq!(first.logs.len(), truth - 1, "F28");
    assert_eq!(logs(ask(&world, &node, by_hash(dense))), first);
    assert_eq!(logs(ask(&world, &node, over(dense.number, dense.number))), first);
}

#[test]
fn a_forger_makes_logs_that_the_filter_matches_and_the_chain_lacks() {
    let (world, node) = node(forger(1_000));
    let dense = dense(&world);
    let told = logs(ask(&world, &node, by_hash(dense))).logs;
    let filter = followed(2);
    assert!(told.rows().all(|row| filter.matches(row)));
    let is_true = |row: event::LogRef<'_>| {
        world.tree(|tree| {
            let mut truth = wanted(tree.block(&dense.hash).unwrap(), &filter);
            truth.any(|log| (log.tx_hash, &log.data[..]) == (*row.tx_hash, row.data))
        })
    };
    assert!(told.rows().filter(|row| !is_true(*row)).count() >= 2);
}

#[test]
fn a_lagging_backend_answers_what_it_does_not_have_with_nothing() {
    let (world, node) = node(load_balanced(3, 1_000));
    assert!(logs(ask(&world, &node, over(HEAD - 2, HEAD))).logs.is_empty(), "F32");
    assert!(logs(ask(&world, &node, by_hash(id(&world, HEAD)))).logs.is_empty(), "F30 F33");
    let Ok(Answer::Head(head)) = ask(&world, &node, Ask::Head(Tag::Latest)) else { panic!() };
    assert_eq!(head.block.number, HEAD, "its head is another backend's");
}

#[test]
fn receipts_can_be_short_of_another_branch_and_null() {
    let of = |trouble| node(vec![Rule::on(Methods::RECEIPTS, trouble)]);
    let (world, node) = of(Trouble::ReceiptShort);
    let dense = dense(&world);
    let count = world.tree(|tree| tree.block(&dense.hash).unwrap().receipts.len());
    assert_eq!(receipts(&world, &node, dense).len(), count - 1, "F40");
    let (world, node) = of(Trouble::ReceiptsOfOtherBlock);
    let other = receipts(&world, &node, dense);
    assert!(other.iter().all(|receipt| receipt.block_hash != dense.hash), "F39");
    let (world, node) = of(Trouble::EmptyReceipts);
    assert!(receipts(&world, &node, dense).is_empty(), "F27");
}

#[test]
fn a_zeroed_bloom_leaves_the_hash_as_it_was() {
    let (world, node) = node(vec![Rule::on(Methods::HEADERS, Trouble::ZeroBloom)]);
    let dense = dense(&world);
    let range = BlockRange::one(dense.number);
    let Ok(Answer::Headers(headers)) = ask(&world, &node, Ask::Headers { range }) else { panic!() };
    assert_eq!(headers[0].hash, dense.hash);
    assert_ne!(proof::header_hash(&headers[0].header), dense.hash, "F41");
}

#[test]
fn oddities_of_answers_are_those_of_the_field() {
    let told = |trouble| {
        let (world, node) = node(vec![Rule::on(Methods::LOGS, trouble)]);
        logs(ask(&world, &node, over(1, HEAD)))
    };
    let honest = {
        let (world, node) = node(vec![]);
        logs(ask(&world, &node, over(1, HEAD)))
    };
    let removed = told(Trouble::RemovedLogs);
    assert_eq!((removed.logs.len(), removed.removed), (0, honest.logs.len() as u64), "F48");
    let untimed = told(Trouble::TimestampMissing);
    assert!(untimed.blocks.iter().all(|(.., timestamp)| timestamp.is_none()), "F46");
    assert_eq!(told(Trouble::AddressFilterBroken).logs.len(), 0, "F36");
    assert_eq!(told(Trouble::RepeatedLogs).logs.len(), 2 * honest.logs.len(), "F37");
    assert!(told(Trouble::LogIndexPerTransaction).logs.log_index.contains(&0), "F37");
    assert_eq!(told(Trouble::CutSilently { most: 10 }).logs.len(), 10, "F21");
    let unasked = told(Trouble::UnaskedLogs);
    assert!(!unasked.logs.rows().all(|row| followed(2).matches(row)), "F38");
    let foreign = told(Trouble::LogsOfOtherBlock);
    assert!(foreign.blocks.iter().all(|(number, ..)| *number <= HEAD), "F38");
    assert!(told(Trouble::LogsLate { after_ms: 1_000_000 }).logs.is_empty(), "F31");
}

#[test]
fn refusals_are_faults_and_silence_is_silence() {
    let refused = |methods, trouble, asked: Ask| {
        let (world, node) = node(vec![Rule::on(methods, trouble)]);
        ask(&world, &node, asked).unwrap_err()
    };
    let all = |trouble| refused(Methods::ASKS, trouble, over(1, 5));
    assert_eq!(all(Trouble::Unreachable), FaultClass::Unreachable, "F1");
    assert_eq!(
        all(Trouble::RateLimited { retry_after_ms: Some(9) }),
        FaultClass::Rate { retry_after_ms: Some(9) }
    );
    assert_eq!(all(Trouble::QuotaUsedUp), FaultClass::Quota, "F6");
    assert_eq!(all(Trouble::Malformed), FaultClass::Malformed, "F7");
    assert_eq!(all(Trouble::Dropped), FaultClass::Dropped, "F8");
    assert_eq!(all(Trouble::MethodMissing), FaultClass::Off, "F13");
    assert_eq!(
        all(Trouble::RangeRefused { width_max: 4 }),
        FaultClass::MaxWidth { width: 4 },
        "F17"
    );
    let headers = Ask::Headers { range: BlockRange::new(1, 9).unwrap() };
    assert_eq!(
        refused(Methods::ALL, Trouble::BatchRefused { most: 3 }, headers),
        FaultClass::Batch
    );
    let (world, node) = node(vec![Rule::on(Methods::ASKS, Trouble::NeverAnswers)]);
    assert!(
        matches!(run(&world, 1_000_000, node.ask(Ask::ChainId)), Err(Stuck::OutOfTime(_))),
        "F3"
    );
}

#[test]
fn heads_can_be_nonsense_go_back_or_be_of_another_chain() {
    let told = |trouble, asked: Ask| {
        let (world, node) = node(vec![Rule::on(Methods::ASKS, trouble)]);
        ask(&world, &node, asked)
    };
    let number = |answer: Result<Answer, FaultClass>| match answer {
        Ok(Answer::Head(head)) => head.block.number,
        other => panic!("{other:?}"),
    };
    let (latest, finalized) = (Ask::Head(Tag::Latest), Ask::Head(Tag::Finalized));
    assert_eq!(number(told(Trouble::HeightZero, latest.clone())), 0, "F47");
    assert_eq!(told(Trouble::NoPeers, Ask::PeerCount), Ok(Answer::PeerCount(0)), "F47");
    assert_eq!(
        number(told(Trouble::FinalizedGoesBack { blocks: 5 }, finalized.clone())),
        43,
        "F60"
    );
    assert_eq!(told(Trouble::NoFinalizedTag, finalized), Err(FaultClass::Tag), "F61");
    let other = event::ChainId(5);
    assert_eq!(told(Trouble::OtherChain(other), Ask::ChainId), Ok(Answer::ChainId(other)), "F12");
    assert_eq!(number(told(Trouble::OtherChain(other), latest)), HEAD);
}

#[test]
fn a_rule_holds_for_its_calls_its_window_and_its_share_only() {
    let rules = vec![
        Rule::on(Methods::LATEST, Trouble::Dropped).for_calls(2, 3),
        Rule::on(Methods::CHAIN_ID, Trouble::Dropped).during(5_000, 9_000),
        Rule::on(Methods::PEER_COUNT, Trouble::Dropped).sometimes(300),
    ];
    let (world, node) = node(rules);
    let heads: Vec<bool> =
        (0..4).map(|_| ask(&world, &node, Ask::Head(Tag::Latest)).is_ok()).collect();
    assert_eq!(heads, [true, false, false, true]);
    assert!(ask(&world, &node, Ask::ChainId).is_ok());
    run(&world, 6_000, world.clock().sleep_until(6_000)).unwrap();
    assert!(ask(&world, &node, Ask::ChainId).is_err());
    run(&world, 9_000, world.clock().sleep_until(9_000)).unwrap();
    assert!(ask(&world, &node, Ask::ChainId).is_ok());
    let failed = (0..300).filter(|_| ask(&world, &node, Ask::PeerCount).is_err()).count();
    assert!((60..120).contains(&failed), "{failed}");
}
