//! Several nodes, one block: what closes it, what it is labelled with, what waits.

use super::*;
use crate::votes::{BallotKey, Bounds, Vote, Votes};
use event::Anchor;

pub(crate) fn agree(n: u8) -> Policy {
    Policy {
        verify: Verify::Agree(n),
        anchor: AnchorPolicy::Agreed(n),
        admission: Admission::Agree(n),
    }
}

fn all() -> Arc<Filter> {
    filter(&[], &[1])
}

fn anchor_at(world: &World, number: u64) -> Anchor {
    world.evidence_at(&all(), number).unwrap().anchor
}

#[test]
fn a_block_closes_when_so_many_nodes_gave_the_same() {
    let mut world = World::new(agree(2));
    let logs = [L(3, 0, 1, 1), L(3, 1, 1, 2)];
    let outcome = world.take(&said("a", 3, 4, &logs));
    assert_eq!(outcome.ack.open[0].1, "logs wait for another node or receipts");
    assert_eq!(outcome.ack.open[1], (range(4, 4), "one of 2 nodes has said so".to_owned()));
    let outcome = world.take(&said("b", 3, 4, &logs));
    assert!(outcome.ack.open.is_empty(), "{:?}", outcome.ack);
    assert_eq!(world.intervals(&all()), [(3, 4, Content::Agreed(2))]);
    assert!(world.aggregator.missing(&all(), range(3, 4), Verify::Agree(2)).is_empty());
    // A third word is no more than the policy asks for.
    world.take(&said("c", 3, 4, &logs));
    assert_eq!(world.intervals(&all()), [(3, 4, Content::Agreed(2))]);
    assert!(world.incidents.is_empty());
}

#[test]
fn the_same_node_twice_is_one_word() {
    let mut world = World::new(Policy { admission: Admission::OneNode, ..agree(2) });
    world.take(&said("a", 3, 3, &[L(3, 0, 1, 1)]));
    let outcome = world.take(&said("a", 3, 3, &[L(3, 0, 1, 1)]).by(Via::BlockHash));
    assert_eq!(outcome.ack.open, [(range(3, 3), "one of 2 nodes has said so".to_owned())]);
}

#[test]
fn one_nodes_receipts_decide_a_block_that_so_many_nodes_have() {
    let mut world = World::new(agree(2));
    let outcome = world.take(&said("a", 3, 3, &[]).showing(3, &[L(3, 0, 1, 1)]));
    let reason = "one of 2 nodes has shown this block".to_owned();
    assert_eq!(outcome.ack.open, [(range(3, 3), reason)]);
    assert_eq!(world.events.len(), 1);
    assert!(!world.aggregator.missing(&all(), range(3, 3), Verify::Agree(2)).is_empty());
    let outcome = world.take(&said("liar", 3, 3, &[]).in_doubt(&[3]));
    assert!(outcome.ack.open.is_empty(), "receipts have decided: {:?}", outcome.ack);
    assert_eq!(world.intervals(&all()), [(3, 3, Content::Agreed(2))]);
    assert_eq!(anchor_at(&world, 3), Anchor::AgreedHash(2));
}

/// What the judge says of blocks whose bloom excludes the filter.
fn excluded(node: &'static str, first: u64, last: u64) -> Said {
    Said { content: Content::Receipts, finalized: Some(last), ..said(node, first, last, &[]) }
}

#[test]
fn a_block_that_one_nodes_bloom_excludes_is_agreed_when_so_many_nodes_have_it() {
    let mut world = World::new(agree(2));
    world.aggregator.set_finalized(9);
    let outcome = world.take(&excluded("a", 3, 9));
    let reason = "one of 2 nodes has shown this block".to_owned();
    assert_eq!(outcome.ack.open, [(range(3, 9), reason)]);
    assert!(world.coverage.is_empty() && world.events.is_empty());
    let outcome = world.take(&excluded("b", 3, 9));
    assert!(outcome.ack.open.is_empty(), "{:?}", outcome.ack);
    assert_eq!(world.intervals(&all()), [(3, 9, Content::Agreed(2))]);
    let covered = world.aggregator.coverage_for_tests();
    let names: Vec<&str> = covered[0].1[0].nodes.iter().map(|node| &*node.0).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(anchor_at(&world, 5), Anchor::AgreedHash(2));
    assert_eq!(world.aggregator.votes.held(), (0, 0, 0), "closed and final: forgotten");
    // Read once more through one node: it is agreed as it was.
    let outcome = world.take(&excluded("a", 3, 9));
    assert!(outcome.ack.open.is_empty(), "{:?}", outcome.ack);
    assert_eq!(world.intervals(&all()), [(3, 9, Content::Agreed(2))]);
}

#[test]
fn what_is_agreed_stays_so_when_one_more_node_says_the_same() {
    let mut world = World::new(agree(2));
    world.aggregator.set_finalized(9);
    let told = |node| Said { finalized: Some(9), ..said(node, 3, 9, &[L(5, 0, 1, 1)]) };
    world.take(&told("a"));
    world.take(&told("b"));
    assert_eq!(world.intervals(&all()), [(3, 9, Content::Agreed(2))]);
    let outcome = world.take(&told("c"));
    assert!(outcome.ack.open.is_empty(), "{:?}", outcome.ack.open);
    assert_eq!(world.intervals(&all()), [(3, 9, Content::Agreed(2))]);
}

#[test]
fn a_node_on_another_chain_closes_nothing_and_stands_in_nobodys_way() {
    let other = Branch { name: b'X', fork: 0 };
    for order in [["strange", "a", "b"], ["a", "strange", "b"], ["a", "b", "strange"]] {
        let mut world = World::new(agree(2));
        world.aggregator.set_finalized(9);
        let mut closed_after = 0;
        for (place, node) in order.into_iter().enumerate() {
            let logs = [L(5, 0, 1, 1)];
            let told = match node {
                "strange" => {
                    Said { finalized: Some(9), ..said(node, 3, 9, &[L(6, 0, 1, 7)]) }.on(other)
                }
                _ => Said { finalized: Some(9), ..said(node, 3, 9, &logs) },
            };
            world.take(&told);
            let missing = world.aggregator.missing(&all(), range(3, 9), Verify::Agree(2));
            if missing.is_empty() && closed_after == 0 {
                closed_after = place + 1;
            }
        }
        let honest = order.iter().rposition(|node| *node != "strange").unwrap() + 1;
        assert_eq!(closed_after, honest, "{order:?}");
        assert_eq!(world.events.len(), 1, "{order:?}");
        let covered = world.aggregator.coverage_for_tests();
        let nodes = covered.iter().flat_map(|(_, intervals)| intervals).flat_map(|i| &i.nodes);
        assert!(nodes.into_iter().all(|node| &*node.0 != "strange"), "{order:?}");
        assert!(world.aggregator.waiting().is_empty(), "{order:?}");
    }
}

#[test]
fn f28_a_partial_answer_is_open_until_two_agree_and_the_node_is_named() {
    let mut world = World::new(agree(2));
    let both = [L(3, 0, 1, 1), L(3, 1, 1, 2)];
    world.take(&said("a", 3, 3, &both));
    // What both gave enters; the block stays open, because nobody else gave just that.
    let outcome = world.take(&said("liar", 3, 3, &both[..1]));
    assert_eq!(world.events.len(), 1);
    let reason = "nodes differ: one of 2 nodes has said so".to_owned();
    assert_eq!(outcome.ack.open, [(range(3, 3), reason)]);
    assert!(!world.aggregator.missing(&all(), range(3, 3), Verify::Agree(2)).is_empty());
    assert!(world.incidents.is_empty(), "{:?}", world.incidents);
    let outcome = world.take(&said("c", 3, 3, &both));
    assert!(outcome.ack.open.is_empty(), "{:?}", outcome.ack);
    assert_eq!(world.events.len(), 2);
    assert_eq!(world.blamed(), [("liar", Flaw::Missing, 3, 1)]);
    assert_eq!(world.incidents[0].detail, "1 log of block 3 kept back that a and c gave");
}

#[test]
fn f81_two_nodes_disagree_and_receipts_decide_who_is_named() {
    let mut world = World::new(agree(2));
    world.take(&said("a", 3, 3, &[L(3, 0, 1, 1)]));
    world.take(&said("liar", 3, 3, &[L(3, 0, 1, 66)]));
    assert!(world.events.is_empty() && world.incidents.is_empty());
    assert_eq!(world.aggregator.waiting().len(), 1);
    let receipts = [L(3, 0, 1, 1)];
    let outcome = world.take(&said("a", 3, 3, &receipts).showing(3, &receipts));
    assert!(outcome.ack.open.is_empty(), "{:?}", outcome.ack);
    assert_eq!(world.events.len(), 1);
    assert_eq!(world.blamed(), [("liar", Flaw::Forged, 3, 1), ("liar", Flaw::Missing, 3, 1)]);
    assert!(world.aggregator.waiting().is_empty());
}

#[test]
fn f81_a_lie_that_comes_after_the_receipts_is_refuted_at_once() {
    for policy in [agree(2), policy(Verify::Bloom)] {
        let mut world = World::new(policy);
        let there = [L(3, 0, 1, 1)];
        world.take(&said("a", 3, 3, &there).showing(3, &there));
        let lie = said("liar", 3, 3, &[L(3, 0, 1, 1), L(3, 1, 1, 66)]);
        world.take(&lie);
        world.take(&lie);
        assert_eq!(world.events.len(), 1);
        assert!(world.aggregator.waiting().is_empty());
        assert_eq!(world.blamed(), [("liar", Flaw::Forged, 3, 1)]);
    }
}

#[test]
fn f27_a_node_without_logs_and_receipts_is_named_and_another_one_proves() {
    let mut world = World::new(agree(2));
    let mut empty = said("liar", 3, 3, &[]).in_doubt(&[3]);
    empty.flaws = vec![(Some(3), Flaw::ReceiptsRoot)];
    let outcome = world.take(&empty);
    assert_eq!(outcome.ack.open[0].0, range(3, 3));
    // A second one in doubt is no agreement.
    let outcome = world.take(&said("lame", 3, 3, &[]).in_doubt(&[3]));
    assert_eq!(outcome.ack.open[0].0, range(3, 3));
    assert!(world.coverage.is_empty());
    let outcome = world.take(&said("a", 3, 3, &[L(3, 0, 1, 1)]).showing(3, &[L(3, 0, 1, 1)]));
    assert!(outcome.ack.open.is_empty());
    assert_eq!(world.events.len(), 1);
    assert_eq!(world.blamed(), [("liar", Flaw::ReceiptsRoot, 3, 1)]);
}

#[test]
fn a_forger_does_not_keep_a_block_open_on_which_the_others_agree() {
    for order in [["liar", "a", "b"], ["a", "liar", "b"], ["a", "b", "liar"]] {
        let mut world = World::new(agree(2));
        for node in order {
            let mut logs = vec![L(3, 0, 1, 1)];
            logs.extend((node == "liar").then_some(L(3, 1, 1, 66)));
            world.take(&said(node, 3, 3, &logs));
        }
        assert_eq!(world.events.len(), 1);
        assert_eq!(world.intervals(&all()), [(3, 3, Content::Agreed(2))], "{order:?}");
        assert_eq!(world.aggregator.waiting().len(), 1, "receipts are still due");
    }
}

#[test]
fn nodes_that_agree_are_worth_what_the_policy_asks_and_no_more() {
    let agreed = |policy| {
        let mut world = World::new(policy);
        for node in ["a", "b", "c"] {
            world.take(&said(node, 3, 3, &[L(3, 0, 1, 1)]));
        }
        world.evidence_at(&all(), 3).unwrap().content
    };
    assert_eq!(agreed(policy(Verify::Off)), Content::Claimed);
    assert_eq!(agreed(policy(Verify::Bloom)), Content::Bloom);
    assert_eq!(agreed(policy(Verify::Agree(2))), Content::Agreed(2));
    assert_eq!(agreed(policy(Verify::Prove)), Content::Agreed(3));
}

#[test]
fn the_anchor_of_a_covered_block_rises_with_every_node_that_reports_its_hash() {
    let mut world = World::new(policy(Verify::Bloom));
    let narrow = filter(&[7], &[8]);
    world.take(&said("a", 1, 6, &[L(3, 0, 1, 1)]));
    assert_eq!(anchor_at(&world, 3), Anchor::OneNode);
    world.take(&said("b", 3, 4, &[L(3, 0, 1, 1)]));
    assert_eq!(anchor_at(&world, 2), Anchor::OneNode);
    assert_eq!(anchor_at(&world, 3), Anchor::AgreedHash(2));
    // By another filter: it is the same block.
    world.take(&said("c", 4, 4, &[]).of(Arc::clone(&narrow)));
    assert_eq!(anchor_at(&world, 4), Anchor::AgreedHash(3));
    assert_eq!(world.evidence_at(&narrow, 4).unwrap().anchor, Anchor::AgreedHash(3));
    // When all have said all, the runs join again.
    for node in ["b", "c"] {
        world.take(&said(node, 1, 6, &[L(3, 0, 1, 1)]));
    }
    assert_eq!(world.intervals(&all()), [(1, 6, Content::Bloom)]);
    assert_eq!(anchor_at(&world, 6), Anchor::AgreedHash(3));
}

#[test]
fn a_node_that_covers_a_block_without_its_hash_does_not_vouch_for_it() {
    let mut world = World::new(policy(Verify::Off));
    world.take(&said("a", 1, 6, &[]));
    world.take(&said("b", 1, 6, &[]).bare());
    assert_eq!(anchor_at(&world, 3), Anchor::OneNode);
}

#[test]
fn f42_a_fork_that_one_node_alone_follows_is_never_agreed_and_admits_nothing() {
    let b = Branch { name: b'B', fork: 4 };
    let mut world = World::new(agree(2));
    let honest = [L(5, 0, 1, 1)];
    for node in ["a", "c"] {
        world.take(&said(node, 1, 6, &honest));
    }
    let before = world.canonical_events();
    world.take(&said("fork", 5, 7, &[L(6, 0, 1, 66)]).on(b));
    assert!(world.evidence_at(&all(), 6).is_none_or(|e| e.anchor == Anchor::OneNode));
    for node in ["a", "c"] {
        world.take(&said(node, 1, 7, &honest));
    }
    assert_eq!(world.canonical_events(), before);
    assert_eq!(world.events.len(), 1);
    assert_eq!(anchor_at(&world, 6), Anchor::AgreedHash(2));
    assert_eq!(world.intervals(&all()), [(1, 7, Content::Agreed(2))]);
}

#[test]
fn f57_nodes_on_two_branches_converge_and_nobody_is_blamed() {
    let b = Branch { name: b'B', fork: 4 };
    let mut world = World::new(agree(2));
    world.take(&said("a", 1, 7, &[L(3, 0, 1, 1), L(5, 0, 1, 1)]));
    world.take(&said("b", 1, 7, &[L(3, 0, 1, 1), L(5, 0, 1, 2)]).on(b));
    world.take(&said("a", 5, 7, &[L(5, 0, 1, 2)]).on(b));
    world.take(&said("b", 8, 8, &[]).on(b));
    world.take(&said("a", 8, 8, &[]).on(b));
    let found: Vec<u64> = world.canonical_events().iter().map(|(number, _)| *number).collect();
    assert_eq!(found, [3, 5]);
    assert_eq!(world.intervals(&all()), [(1, 8, Content::Agreed(2))]);
    world.aggregator.set_finalized(8);
    world.flush();
    assert!(world.incidents.is_empty(), "{:?}", world.incidents);
}

#[test]
fn blocks_read_before_they_were_final_can_still_be_agreed_on() {
    let mut world = World::new(agree(2));
    world.take(&said("a", 1, 6, &[L(3, 0, 1, 1)]));
    world.aggregator.set_finalized(6);
    let outcome = world.take(&said("slow", 1, 6, &[L(3, 0, 1, 1)]));
    assert!(outcome.ack.open.is_empty(), "{:?}", outcome.ack);
    assert_eq!(world.intervals(&all()), [(1, 6, Content::Agreed(2))]);
    assert_eq!(world.aggregator.votes.held(), (0, 0, 0), "closed and final: forgotten");
}

#[test]
fn votes_of_final_blocks_are_forgotten_and_none_are_kept_of_them() {
    let mut world = World::new(policy(Verify::Bloom));
    world.take(&said("a", 1, 6, &[L(3, 0, 1, 1)]));
    assert_eq!(world.aggregator.votes.held(), (6, 6, 1));
    world.aggregator.set_finalized(4);
    assert_eq!(world.aggregator.votes.held(), (2, 2, 0));
    world.take(&said("b", 1, 4, &[L(3, 0, 1, 1)]));
    assert_eq!(world.aggregator.votes.held(), (2, 2, 0));
}

#[test]
fn sightings_of_before_a_restart_still_count_for_agreement() {
    let mut world = World::new(agree(2));
    let outcome = world.take(&said("a", 1, 6, &[L(3, 0, 1, 1)]));
    let state = ChainState {
        coverage: world.coverage.iter().map(|(f, i)| (Arc::new(f.clone()), i.clone())).collect(),
        candidates: outcome.commit.candidates.clone(),
        blocks: outcome.commit.blocks.clone(),
        sightings: outcome.commit.sightings.clone(),
        ..ChainState::default()
    };
    world.aggregator = Aggregator::new(ChainProfile::ethereum(CHAIN), agree(2), state);
    let outcome = world.take(&said("b", 1, 6, &[L(3, 0, 1, 1)]));
    assert!(outcome.ack.open.is_empty(), "{:?}", outcome.ack);
    assert_eq!(world.intervals(&all()), [(1, 6, Content::Agreed(2))]);
    assert_eq!(anchor_at(&world, 3), Anchor::AgreedHash(2));
    assert_eq!(world.events.len(), 1);
}

fn vote(node: &str) -> Vote {
    let node = NodeId::new(node);
    Vote { node, via: Via::Range, answer: 0, content: Content::Claimed, is_doubtful: false }
}

fn key(number: u64) -> BallotKey {
    BallotKey { number, hash: A.hash(number), filter: all().id() }
}

fn ids(number: u64, count: u32) -> Vec<EventId> {
    let (block_hash, digest) = (A.hash(number), B256::ZERO);
    let id = |occurrence| EventId { chain: CHAIN, block_hash, tx_hash: digest, digest, occurrence };
    (0..count).map(id).collect()
}

#[test]
fn beyond_the_bound_of_ids_digests_still_compare_and_losses_are_still_counted() {
    let mut votes = Votes::new(Bounds { ballots: 9, ids: 2 });
    votes.cast(key(5), vote("a"), ids(5, 3));
    votes.cast(key(5), vote("b"), ids(5, 3));
    votes.cast(key(5), vote("short"), ids(5, 2));
    assert_eq!(votes.held().2, 2, "only the short answer fits");
    let ballot = votes.get_mut(&key(5)).unwrap();
    assert_eq!(ballot.nodes_of(0, false).len(), 2);
    let missed = ballot.missed(2, crate::missed::Call::Open);
    assert_eq!((&*missed[0].node.0, missed[0].count, missed.len()), ("short", 1, 1));
    assert_eq!(missed[0].had.len(), 2);
    let gone = votes.forget_through(5, |_, _| false);
    assert_eq!((gone.len(), votes.held().2), (1, 0));
}

#[test]
fn beyond_the_bound_of_ballots_the_lowest_are_forgotten() {
    let mut votes = Votes::new(Bounds { ballots: 2, ids: 99 });
    for number in 1..=5 {
        votes.see(number, A.hash(number), &[NodeId::new("a")]);
        votes.cast(key(number), vote("a"), ids(number, 1));
    }
    votes.prune();
    assert_eq!(votes.held(), (2, 2, 2));
    assert!(votes.get(&key(5)).is_some() && votes.get(&key(3)).is_none());
}
