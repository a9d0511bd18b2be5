//! One canonical chain: reorgs, flips, finality, anchors.

use super::*;
use event::{Anchor, BlockNumHash};

const B: Branch = Branch { name: b'B', fork: 4 };

#[test]
fn f50_a_reorg_reverts_before_the_new_branch_extends() {
    let mut world = World::new(policy(Verify::Bloom));
    world.take(&said("a", 1, 5, &[L(3, 0, 1, 1), L(5, 0, 1, 2)]));
    let outcome = world.take(&said("a", 5, 5, &[]).on(B));
    assert_eq!(ops(&outcome), [(Op::Revert, 5, 5, 1), (Op::Extend, 5, 5, 0)]);
    let outcome = world.take(&said("a", 6, 6, &[L(6, 0, 1, 2)]).on(B));
    assert_eq!(ops(&outcome), [(Op::Extend, 6, 6, 1)]);
    let numbers: Vec<u64> = world.canonical_events().iter().map(|(n, _)| *n).collect();
    assert_eq!(numbers, [3, 6]);
    assert_eq!(world.intervals(&filter(&[], &[1])), [(1, 6, Content::Bloom)]);
}

#[test]
fn reverts_come_newest_first_and_void_the_coverage_of_all_filters() {
    let mut world = World::new(policy(Verify::Bloom));
    let other = filter(&[7], &[8]);
    world.take(&said("a", 1, 8, &[L(6, 0, 1, 1)]));
    world.take(&said("a", 1, 8, &[]).of(Arc::clone(&other)));
    let outcome = world.take(&said("a", 5, 6, &[]).on(B));
    let reverts: Vec<u64> =
        ops(&outcome).iter().filter(|o| o.0 == Op::Revert).map(|o| o.1).collect();
    assert_eq!(reverts, [8, 7, 6, 5]);
    assert_eq!(world.intervals(&other), [(1, 4, Content::Bloom)]);
    assert_eq!(world.intervals(&filter(&[], &[1])), [(1, 6, Content::Bloom)]);
    assert!(outcome.ack.open.iter().any(|(open, _)| *open == range(7, 8)));
}

#[test]
fn f52_a_branch_that_comes_back_is_reinstated_and_stored_once() {
    let mut world = World::new(policy(Verify::Bloom));
    let a = said("a", 1, 6, &[L(3, 0, 1, 1), L(5, 0, 1, 2), L(6, 0, 1, 3)]);
    world.take(&a);
    let before = world.canonical_events();
    let coverage = world.coverage.clone();
    world.take(&said("b", 1, 6, &[L(3, 0, 1, 1), L(5, 0, 1, 9)]).on(B));
    assert_ne!(world.canonical_events(), before);
    let outcome = world.take(&a);
    let expected = [
        (Op::Revert, 6, 6, 0),
        (Op::Revert, 5, 5, 1),
        (Op::Reinstate, 5, 5, 1),
        (Op::Reinstate, 6, 6, 1),
        (Op::Extend, 5, 6, 0),
    ];
    assert_eq!(ops(&outcome), expected);
    assert!(outcome.commit.events.is_empty());
    assert_eq!(world.canonical_events(), before);
    let ranges = |c: &BTreeMap<Filter, Vec<Interval>>| -> Vec<u64> {
        c.values().flatten().map(|i| i.range.last()).collect()
    };
    assert_eq!(ranges(&world.coverage).last(), ranges(&coverage).last());
}

#[test]
fn f56_a_reorg_in_an_empty_block_is_seen() {
    let mut world = World::new(policy(Verify::Bloom));
    world.take(&said("a", 1, 9, &[]));
    let outcome = world.take(&said("a", 9, 9, &[]).on(Branch { name: b'B', fork: 8 }));
    assert_eq!(ops(&outcome)[0], (Op::Revert, 9, 9, 0));
    let hash = A.hash(9);
    assert!(outcome.commit.blocks.iter().any(|b| b.hash == hash && !b.canonical));
}

#[test]
fn f51_a_parent_that_contradicts_the_block_below_reverts_it_too() {
    let mut world = World::new(policy(Verify::Bloom));
    world.take(&said("a", 1, 8, &[L(6, 0, 1, 1)]));
    let outcome = world.take(&said("a", 9, 9, &[]).on(B));
    assert_eq!(ops(&outcome)[0].0, Op::Revert);
    assert_eq!(ops(&outcome)[0].1, 8);
    assert!(outcome.ack.open.iter().any(|(open, _)| open.contains(8)));
    // The caller reads again what is open, and walks down in this way.
    let open = world.aggregator.missing(&filter(&[], &[1]), range(1, 9), Verify::Bloom);
    assert_eq!(open[0].0, range(8, 8));
    for number in (5..=8).rev() {
        world.take(&said("a", number, number, &[]).on(B));
    }
    assert_eq!(world.intervals(&filter(&[], &[1])), [(1, 9, Content::Bloom)]);
    assert!(world.canonical_events().is_empty());
}

#[test]
fn f54_nothing_is_taken_that_contradicts_a_final_block() {
    let mut world = World::new(policy(Verify::Bloom));
    world.take(&said("a", 1, 9, &[L(7, 0, 1, 1)]));
    world.aggregator.set_finalized(9);
    let outcome = world.take(&said("b", 9, 12, &[L(10, 0, 1, 1)]).on(B));
    assert_eq!(outcome.commit.incidents[0].flaw, Flaw::AnchorMismatch);
    assert_eq!(outcome.commit.finalized, Some(9));
    assert!(outcome.commit.journal.is_empty() && outcome.commit.events.is_empty());
    assert!(outcome.commit.coverage.is_empty());
    assert_eq!(outcome.ack.open[0].0, range(9, 12));
    // Also when only the end of a covered header chain tells.
    let mut world = World::new(policy(Verify::Bloom));
    world.aggregator.set_finalized(100);
    world.take(&said("a", 1, 9, &[]));
    let outcome = world.take(&said("b", 1, 9, &[]).on(B));
    assert_eq!(outcome.commit.incidents[0].flaw, Flaw::AnchorMismatch);
    assert!(outcome.commit.coverage.is_empty());
}

#[test]
fn a_new_process_stores_nothing_twice_of_a_block_that_left_where_nothing_took_its_place() {
    let mut world = World::new(policy(Verify::Bloom));
    world.take(&said("a", 1, 6, &[L(3, 0, 1, 1), L(6, 0, 1, 2)]));
    world.take(&said("b", 5, 5, &[]).on(B));
    let row = |((number, hash), canonical): (&(u64, B256), &bool)| event::BlockRow {
        number: *number,
        hash: *hash,
        parent: None,
        timestamp: None,
        canonical: *canonical,
    };
    let state = ChainState {
        blocks: world.blocks.iter().map(row).filter(|b| b.number >= 6 || !b.canonical).collect(),
        coverage: world.coverage.iter().map(|(f, i)| (Arc::new(f.clone()), i.clone())).collect(),
        finalized: Some(6),
        ..ChainState::default()
    };
    let profile = ChainProfile::ethereum(CHAIN);
    world.aggregator = Aggregator::new(profile, policy(Verify::Bloom), state);
    let outcome = world.take(&said("a", 6, 6, &[L(6, 0, 1, 2)]).bare());
    // It is not on the final chain, and the height stays open.
    assert_eq!(outcome.commit.incidents[0].flaw, Flaw::AnchorMismatch);
    assert_eq!(outcome.ack.open[0].0, range(6, 6));
    assert_eq!(world.events.len(), 2);
}

#[test]
fn what_came_back_and_is_not_covered_is_stored_once() {
    for back in [said("c", 5, 6, &[]), said("c", 4, 5, &[])] {
        let mut world = World::new(policy(Verify::Bloom));
        let log = L(5, 0, 1, 1);
        world.take(&said("a", 1, 6, &[log]));
        world.take(&said("b", 5, 5, &[]).on(B));
        // It keeps back what was stored: the block comes back and stays open.
        let outcome = world.take(&back.in_doubt(&[5]));
        assert!(ops(&outcome).contains(&(Op::Reinstate, 5, 5, 1)), "{:?}", ops(&outcome));
        let state = ChainState {
            blocks: (world.blocks.iter())
                .map(|((number, hash), canonical)| event::BlockRow {
                    number: *number,
                    hash: *hash,
                    parent: None,
                    timestamp: None,
                    canonical: *canonical,
                })
                .collect(),
            ..ChainState::default()
        };
        let again = said("a", 5, 5, &[log]);
        let mut started = World::new(policy(Verify::Bloom));
        started.aggregator =
            Aggregator::new(ChainProfile::ethereum(CHAIN), policy(Verify::Bloom), state);
        assert!(started.aggregator.needs_known(&again.make().0), "a new process asks, too");
        world.take(&again);
        assert_eq!(world.events.len(), 1);
        let numbers: Vec<u64> = world.canonical_events().iter().map(|(n, _)| *n).collect();
        assert_eq!(numbers, [5]);
    }
}

#[test]
fn a_revert_below_the_report_counts_its_events() {
    let mut world = World::new(policy(Verify::Bloom));
    world.take(&said("a", 1, 6, &[L(5, 0, 1, 1), L(6, 0, 1, 2)]));
    world.take(&said("b", 5, 6, &[L(5, 0, 1, 9)]).on(B));
    let outcome = world.take(&said("a", 6, 7, &[L(6, 0, 1, 2)]));
    let reverts: Vec<_> = ops(&outcome).into_iter().filter(|o| o.0 == Op::Revert).collect();
    assert_eq!(reverts, [(Op::Revert, 6, 6, 0), (Op::Revert, 5, 5, 1)]);
}

/// Says that `number` is final, then what a node with that word says.
fn final_at(world: &mut World, number: u64, said: &Said) -> Outcome {
    world.aggregator.claim_finalized(number);
    let (mut report, judgement) = said.make();
    report.finalized = Some(number);
    let known = world.aggregator.known_range(&report).map(|range| world.known(range));
    let outcome = world.aggregator.on_report(report, judgement, known, &mut world.journal);
    world.apply(&outcome);
    outcome
}

#[test]
fn a_block_that_left_unseen_before_it_was_final_is_replaced_not_defended() {
    let mut world = World::new(policy(Verify::Bloom));
    final_at(&mut world, 2, &said("a", 1, 6, &[L(3, 0, 1, 1), L(5, 0, 1, 2), L(6, 0, 1, 3)]));
    assert_eq!(world.aggregator.finalized(), Some(2));
    // Much later: 5 and 6 were left, which nobody saw.
    let outcome = final_at(&mut world, 18, &said("a", 14, 20, &[]).on(B));
    assert_eq!(outcome.commit.finalized, None);
    assert_eq!(world.aggregator.finalized(), Some(2), "nothing links to what was not final");
    let outcome = final_at(&mut world, 18, &said("a", 7, 13, &[L(9, 0, 1, 4)]).on(B));
    assert_eq!(ops(&outcome)[0], (Op::Revert, 6, 6, 1));
    assert!(outcome.ack.open.iter().any(|(open, _)| *open == range(6, 6)), "{:?}", outcome.ack);
    // The void is read again, and so down to where the branches part.
    let outcome = final_at(&mut world, 18, &said("a", 6, 6, &[]).on(B));
    assert_eq!(ops(&outcome)[0], (Op::Revert, 5, 5, 1));
    let outcome = final_at(&mut world, 18, &said("a", 5, 5, &[]).on(B));
    assert_eq!(outcome.commit.finalized, Some(18));
    assert_eq!(world.aggregator.finalized(), Some(18));
    let numbers: Vec<u64> = world.canonical_events().iter().map(|(n, _)| *n).collect();
    assert_eq!(numbers, [3, 9]);
    assert_eq!(world.intervals(&filter(&[], &[1])), [(1, 20, Content::Bloom)]);
    // Now it is final, and defended.
    let outcome = final_at(&mut world, 18, &said("b", 5, 7, &[]));
    assert_eq!(outcome.commit.incidents[0].flaw, Flaw::AnchorMismatch);
}

/// Two branches took turns, and the one that lost its blocks last is final when somebody looks again.
#[test]
fn a_branch_comes_back_where_its_heights_became_final_and_nothing_took_its_place() {
    let mut world = World::new(policy(Verify::Bloom));
    let a = said("a", 6, 8, &[L(6, 0, 1, 2), L(8, 0, 1, 3)]);
    final_at(&mut world, 2, &said("a", 1, 5, &[L(3, 0, 1, 1), L(5, 0, 1, 1)]));
    final_at(&mut world, 2, &a);
    final_at(&mut world, 2, &said("b", 1, 8, &[L(3, 0, 1, 1), L(7, 0, 1, 9)]).on(B));
    // What is read of the branch ends below its top.
    let outcome = final_at(&mut world, 10, &said("a", 1, 5, &[L(3, 0, 1, 1), L(5, 0, 1, 1)]));
    assert!(outcome.ack.open.iter().any(|(open, _)| *open == range(6, 8)), "{:?}", outcome.ack);
    assert_eq!(world.aggregator.finalized(), Some(10));
    // The other branch leads to another block than the final one.
    let outcome = final_at(&mut world, 10, &said("b", 6, 8, &[L(7, 0, 1, 9)]).on(B));
    assert_eq!(outcome.commit.incidents[0].flaw, Flaw::AnchorMismatch);
    // Nor is a piece of the branch taken that leads to nothing known.
    let outcome = final_at(&mut world, 10, &said("a", 7, 8, &[L(8, 0, 1, 3)]));
    assert_eq!(outcome.commit.incidents[0].flaw, Flaw::AnchorMismatch);
    let outcome = final_at(&mut world, 10, &a);
    let back = [6, 7, 8].map(|number| (Op::Reinstate, number, number, u64::from(number != 7)));
    assert_eq!(ops(&outcome)[..3], back);
    let numbers: Vec<u64> = world.canonical_events().iter().map(|(n, _)| *n).collect();
    assert_eq!(numbers, [3, 5, 6, 8]);
    let open = world.aggregator.missing(&filter(&[], &[1]), range(1, 8), Verify::Bloom);
    assert_eq!(open, []);
}

#[test]
fn blocks_that_are_still_on_the_chain_become_final_without_being_read_again() {
    let mut world = World::new(policy(Verify::Bloom));
    final_at(&mut world, 2, &said("a", 1, 6, &[L(5, 0, 1, 2)]));
    let outcome = final_at(&mut world, 8, &said("a", 7, 10, &[]));
    assert_eq!((outcome.commit.finalized, outcome.ack.open.len()), (Some(8), 0));
    assert_eq!(ops(&outcome), [(Op::Extend, 7, 10, 0)]);
}

#[test]
fn final_rises_only() {
    let mut world = World::new(policy(Verify::Bloom));
    world.aggregator.set_finalized(9);
    world.aggregator.set_finalized(4);
    assert_eq!(world.aggregator.finalized(), Some(9));
    assert_eq!(world.aggregator.flush().unwrap().finalized, Some(9));
    assert_eq!(world.aggregator.flush(), None);
}

/// A watch stored its head as one block and ended; the gap below was read when it was final, and then the head left.
#[test]
fn what_was_read_when_it_was_final_stays_covered_when_a_block_above_it_leaves() {
    let mut world = World::new(policy(Verify::Bloom));
    world.take(&said("a", 1, 9, &[L(5, 0, 1, 1)]));
    world.aggregator.set_finalized(9);
    world.take(&said("a", 10, 10, &[]));
    world.take(&said("a", 30, 30, &[L(30, 0, 1, 2)]));
    // Nobody has shown yet that block 10 stayed.
    world.aggregator.claim_finalized(29);
    assert_eq!(world.aggregator.finalized(), Some(9));
    world.take(&said("a", 11, 29, &[L(15, 0, 1, 3)]));
    let b = Branch { name: b'B', fork: 29 };
    let outcome = world.take(&said("a", 30, 31, &[L(31, 0, 1, 2)]).on(b));
    let reverts: Vec<_> =
        outcome.commit.journal.iter().filter(|row| row.op == Op::Revert).map(|r| r.range).collect();
    assert_eq!(reverts, [range(30, 30)]);
    let open = world.aggregator.missing(&filter(&[], &[1]), range(1, 31), Verify::Bloom);
    assert_eq!(open, []);
    assert_eq!(world.take(&said("a", 11, 29, &[L(15, 0, 1, 3)])).ack.new_events, 0);
}

/// What is void is known to nobody but the ledger, also in the next process.
#[test]
fn events_of_blocks_that_a_fork_left_void_are_looked_up_before_they_are_stored() {
    let mut world = World::new(policy(Verify::Off));
    world.take(&said("a", 1, 20, &[L(5, 0, 1, 1), L(15, 0, 1, 2)]).bare());
    let b = Branch { name: b'B', fork: 10 };
    world.take(&said("a", 12, 20, &[L(15, 0, 1, 2)]).on(b).bare());
    let open = world.aggregator.missing(&filter(&[], &[1]), range(1, 20), Verify::Off);
    assert_eq!(open.len(), 1, "blocks 6 to 11");
    let may_hold = |it: &Aggregator| it.overlaps_covered(&filter(&[], &[1]), range(6, 11));
    assert!(may_hold(&world.aggregator));
    let state = ChainState {
        coverage: world.coverage.iter().map(|(f, i)| (Arc::new(f.clone()), i.clone())).collect(),
        ..ChainState::default()
    };
    assert!(may_hold(&Aggregator::new(ChainProfile::ethereum(CHAIN), policy(Verify::Off), state)));
}

#[test]
fn a_sparse_chain_voids_coverage_down_to_the_last_block_it_knows() {
    let mut world = World::new(policy(Verify::Off));
    world.take(&said("a", 1, 20, &[L(5, 0, 1, 1), L(15, 0, 1, 2)]).bare());
    let b = Branch { name: b'B', fork: 10 };
    let outcome = world.take(&said("a", 12, 20, &[L(15, 0, 1, 2)]).on(b).bare());
    let open = world.aggregator.missing(&filter(&[], &[1]), range(1, 20), Verify::Off);
    assert_eq!(open.iter().map(|(range, _)| *range).collect::<Vec<_>>(), [range(6, 11)]);
    assert!(outcome.ack.open.iter().any(|(open, _)| *open == range(6, 11)));
}

fn checkpoint(number: u64, branch: Branch) -> Policy {
    let anchor = AnchorPolicy::Checkpoint(BlockNumHash { number, hash: branch.hash(number) });
    Policy { anchor, ..policy(Verify::Bloom) }
}

fn anchors(world: &World) -> Vec<(u64, u64, Anchor)> {
    let all = world.coverage.values().flatten();
    all.map(|i| (i.range.first(), i.range.last(), i.evidence.anchor)).collect()
}

#[test]
fn headers_that_link_to_the_checkpoint_are_anchored_in_any_order() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1], [2, 0, 1], [1, 2, 0]] {
        let mut world = World::new(checkpoint(25, A));
        for part in order {
            world.take(&said("a", part * 10 + 1, part * 10 + 10, &[]));
        }
        assert_eq!(anchors(&world), [(1, 25, Anchor::Checkpoint), (26, 30, Anchor::OneNode)]);
    }
}

#[test]
fn another_hash_at_the_checkpoint_covers_nothing() {
    let mut world = World::new(checkpoint(25, B));
    let outcome = world.take(&said("a", 21, 30, &[L(22, 0, 1, 1)]));
    assert_eq!(outcome.commit.incidents[0].flaw, Flaw::AnchorMismatch);
    assert!(world.events.is_empty() && world.coverage.is_empty());
}

#[test]
fn covered_neighbours_that_do_not_link_stay_apart_and_are_named() {
    let mut world = World::new(policy(Verify::Bloom));
    world.aggregator.set_finalized(100);
    world.take(&said("a", 1, 10, &[]));
    let outcome = world.take(&said("a", 11, 20, &[]).on(B));
    assert_eq!(outcome.commit.incidents[0].flaw, Flaw::ParentLink);
    assert!(outcome.ack.open.iter().any(|(open, _)| *open == range(10, 11)));
    assert_eq!(world.intervals(&filter(&[], &[1])).len(), 2);
}
