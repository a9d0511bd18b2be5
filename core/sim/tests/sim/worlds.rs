//! The world itself: commitments that recompute, branches, hints, and time that nobody waits for.

use event::{Answer, Ask, BlockRange, Filter, Hint, LogRef, Node, Tag};
use pipeline::Timer;
use sim::{
    Happening, Methods, Rule, Stuck, Trouble, World, WorldSettings,
    chain::{Traffic, Tree, balances, expected, token, transfer_topic},
    run,
};
use std::collections::BTreeSet;

fn tree(seed: u64) -> Tree {
    Tree::new(event::ChainId(1), seed, Traffic::default())
}

#[test]
fn every_commitment_of_every_branch_recomputes() {
    let mut tree = tree(1);
    tree.mine(30);
    tree.fork(5, 2);
    let side = tree.branch(tree.at(20).unwrap().hash, 3, None);
    let canonical = (0..=tree.head().number).map(|number| tree.at(number).unwrap());
    let blocks: Vec<_> = canonical.chain(tree.path(side)).collect();
    assert_eq!(blocks.len(), 33 + 3);
    for block in blocks {
        assert_eq!(proof::header_hash(&block.header), block.hash);
        assert_eq!(proof::receipts_root(&block.receipts).unwrap(), block.header.receipts_root);
        assert_eq!(proof::bloom_of(&block.receipts), block.header.logs_bloom);
        let parent = tree.block(&block.header.parent_hash);
        assert_eq!(
            parent.map(|parent| parent.number + 1),
            (block.number > 0).then_some(block.number)
        );
        assert!(block.logs().all(|log| log.block_hash == block.hash));
    }
}

#[test]
fn roots_of_a_chain_that_hides_receipts_never_recompute() {
    let traffic = Traffic { roots_recompute: false, empty_per_mille: 0, ..Traffic::default() };
    let mut tree = Tree::new(event::ChainId(1), 1, traffic);
    tree.mine(5);
    for number in 1..=5 {
        let block = tree.at(number).unwrap();
        assert_ne!(proof::receipts_root(&block.receipts).unwrap(), block.header.receipts_root);
    }
}

#[test]
fn traffic_has_everything_that_makes_trouble() {
    let mut tree = tree(2);
    tree.mine(400);
    let one = Filter::new(event::AnyOf::one(token(0)), event::AnyOf::one(transfer_topic()));
    let blocks: Vec<_> = (1..=400).map(|number| tree.at(number).unwrap()).collect();
    let wants = |log: &event::Log| one.matches(LogRef::from(log));
    assert!(blocks.iter().any(|block| block.receipts.is_empty()), "empty blocks");
    let by_chance = |block: &&&std::sync::Arc<sim::chain::Block>| {
        proof::bloom_admits(&block.header.logs_bloom, &one) && !block.logs().any(wants)
    };
    assert!(blocks.iter().filter(by_chance).count() > 3, "blooms that match by chance (F29)");
    let all = expected(&tree, &one, BlockRange::new(0, 400).unwrap());
    assert!(all.iter().any(|(_, id)| id.occurrence > 0), "identical logs of one transaction");
    let held = balances(&tree, &one, BlockRange::new(0, 400).unwrap());
    assert!(held.len() > 3);
    assert_eq!(held.values().sum::<i64>(), 0, "what one gives another has");
}

#[test]
fn on_a_fork_transactions_come_back_in_other_blocks() {
    let mut tree = tree(3);
    tree.mine(20);
    let of = |tree: &Tree, first: u64| -> BTreeSet<_> {
        let blocks = (first..=tree.head().number).map(|number| tree.at(number).unwrap().clone());
        blocks.flat_map(|block| block.transactions.clone()).collect()
    };
    let (left, tip) = (of(&tree, 11), tree.head());
    tree.fork(10, 1);
    let taken = of(&tree, 11);
    assert_eq!(tree.head().number, 21);
    assert!(left.intersection(&taken).count() > 2, "F50");
    assert!(left.difference(&taken).count() > 0, "some never come back");
    tree.switch(tip.hash);
    assert_eq!((tree.head(), of(&tree, 11)), (tip, left), "F52");
}

#[test]
fn a_node_hears_of_each_block_and_of_the_branch_that_replaces_it() {
    let world = World::new(WorldSettings::of_seed(4));
    let node = world.add_node("one", vec![]);
    world.schedule(30_000, Happening::Reorg { depth: 2, extra: 1 });
    let heard = run(&world, 60_000, async {
        let mut heard = Vec::new();
        while heard.len() < 4 {
            heard.push((node.hint().await, world.clock().now_ms()));
        }
        heard
    })
    .unwrap();
    assert_eq!(heard[0], (Hint::Connected, 0));
    let heads: Vec<_> = heard[1..].iter().map(|(hint, at_ms)| (hint, at_ms / 1_000)).collect();
    let at = |number| Hint::Head(world.tree(|tree| tree.at(number).unwrap().id()));
    assert_eq!(heads[2], (&at(67), 30));
    assert!(matches!(heads[0], (Hint::Head(block), 12) if block.number == 65), "{heads:?}");
    assert!(matches!(heads[1], (Hint::Head(block), 24) if block.number == 66), "{heads:?}");
}

#[test]
fn of_announcements_that_nobody_waited_for_only_the_newest_is_kept() {
    let world = World::new(WorldSettings::of_seed(5));
    let node = world.add_node("one", vec![Rule::on(Methods::HINTS, Trouble::HintsDoubled)]);
    let hints = run(&world, 120_000, async {
        world.clock().sleep_until(100_000).await;
        [node.hint().await, node.hint().await]
    });
    let head = world.tree(|tree| tree.at(72).unwrap().id());
    assert_eq!(hints.unwrap(), [Hint::Connected, Hint::Head(head)]);
}

#[test]
fn a_silent_subscription_is_silent_and_requests_are_answered_all_the_same() {
    let world = World::new(WorldSettings::of_seed(6));
    let node = world.add_node("one", vec![Rule::on(Methods::HINTS, Trouble::HintsLost)]);
    let heard = run(&world, 600_000, async { [node.hint().await, node.hint().await] });
    assert!(matches!(heard, Err(Stuck::OutOfTime(_))), "F66");
    let head = run(&world, 700_000, node.ask(Ask::Head(Tag::Latest))).unwrap().unwrap();
    let Answer::Head(head) = head else { panic!("{head:?}") };
    assert!(head.block.number > 100);
}

#[test]
fn nodes_on_branches_of_their_own_come_back() {
    let world = World::new(WorldSettings::of_seed(7));
    let nodes = ["a", "b", "c"].map(|name| world.add_node(name, vec![]));
    let part = |name: &str, is_secret| Happening::Part {
        nodes: vec![event::NodeId::new(name)],
        depth: 2,
        is_secret,
        finalizes: is_secret,
        for_ms: 40_000,
    };
    world.schedule(1_000, part("a", false));
    world.schedule(1_000, part("b", true));
    let heads = |tag| {
        run(&world, u64::MAX, async {
            let mut heads = Vec::new();
            for node in &nodes {
                let Ok(Answer::Head(head)) = node.ask(Ask::Head(tag)).await else { panic!() };
                heads.push(head.block);
            }
            heads
        })
        .unwrap()
    };
    run(&world, 30_000, world.clock().sleep_until(30_000)).unwrap();
    let apart = heads(Tag::Latest);
    assert_eq!(apart.iter().collect::<BTreeSet<_>>().len(), 3, "{apart:?}");
    let knows = |node: usize, of: usize| {
        let ask = nodes[node].ask(Ask::HeaderByHash { hash: apart[of].hash });
        run(&world, u64::MAX, ask).unwrap().is_ok()
    };
    assert!(knows(2, 0), "a branch that is no secret is known by hash (F57)");
    assert!(!knows(2, 1) && knows(1, 1), "the other is its owner's alone (F42)");
    let finalized = heads(Tag::Finalized);
    assert_eq!(finalized[1], apart[1], "and called final by it");
    assert!(finalized[0].number < 60 && finalized[2].number < 60);
    run(&world, 90_000, world.clock().sleep_until(90_000)).unwrap();
    assert_eq!(heads(Tag::Latest).iter().collect::<BTreeSet<_>>().len(), 1);
}
