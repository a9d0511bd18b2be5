//! What is owed: demands that were not met, and logs that nodes differ in.

use super::*;
use crate::tests::agreement::agree;
use event::{BlockRanges, Demand};

fn all() -> Filter {
    (*filter(&[], &[1])).clone()
}

fn owed(world: &World) -> Vec<(String, u64, String)> {
    let owed = world.aggregator.owed().into_iter();
    owed.map(|d| (d.verify.to_string(), d.since_s, d.blocks.to_string())).collect()
}

#[test]
fn what_was_demanded_and_not_shown_is_owed_until_it_is() {
    let mut world = World::new(policy(Verify::Bloom));
    world.take(&said("a", 1, 9, &[L(3, 0, 1, 1)]));
    let commit = world.aggregator.demand(&[all()], range(2, 6), Verify::Prove, 100).unwrap();
    assert_eq!(commit.demands.len(), 1);
    assert_eq!(owed(&world), [("prove".to_owned(), 100, "2:6".to_owned())]);
    // Asked for once more it is the same, and owed since the first time.
    assert!(world.aggregator.demand(&[all()], range(2, 6), Verify::Prove, 200).is_none());
    world.aggregator.set_policy(policy(Verify::Prove));
    world.take(&said("a", 4, 6, &[]).showing(4, &[]).showing(5, &[]).showing(6, &[]));
    assert_eq!(owed(&world), [("prove".to_owned(), 100, "2:3".to_owned())]);
    world.take(&said("a", 2, 3, &[L(3, 0, 1, 1)]).showing(2, &[]).showing(3, &[L(3, 0, 1, 1)]));
    assert_eq!(owed(&world), []);
    let commit = world.aggregator.demand(&[all()], range(1, 1), Verify::Bloom, 300).unwrap();
    let met = Demand { blocks: BlockRanges::default(), ..commit.demands[0].clone() };
    assert_eq!((commit.demands.len(), &commit.demands[0]), (1, &met), "it is forgotten");
}

#[test]
fn a_final_block_that_nodes_differ_in_is_undecided_as_long_as_the_log_waits() {
    let mut world = World::new(agree(2));
    world.aggregator.set_finalized(9);
    let truth = [L(3, 0, 1, 1)];
    for (node, logs) in [("a", &truth[..]), ("b", &truth), ("odd", &[truth[0], L(3, 1, 1, 66)])] {
        world.take(&said(node, 3, 4, logs));
    }
    let undecided =
        |world: &World, f: &Filter| world.aggregator.undecided(f, range(1, 9)).to_string();
    assert!(world.aggregator.missing(&all(), range(3, 4), Verify::Agree(2)).is_empty());
    assert_eq!(undecided(&world, &all()), "3:3");
    assert_eq!(undecided(&world, &filter(&[9], &[1])), "", "of another contract");
    assert_eq!(world.aggregator.undecided(&all(), range(4, 9)).to_string(), "");
    world.take(&said("a", 3, 3, &truth).showing(3, &truth));
    assert_eq!(undecided(&world, &all()), "");
}

#[test]
fn a_replay_goes_on_from_the_first_block_that_was_demanded_or_is_not_covered() {
    let mut world = World::new(policy(Verify::Prove));
    let filters = [filter(&[], &[1])];
    let first = |world: &World| world.aggregator.first_uncovered(&filters, Verify::Prove);
    assert_eq!(first(&world), None);
    world.aggregator.demand(&[all()], range(4, 9), Verify::Prove, 100).unwrap();
    assert_eq!(first(&world), Some(4));
    assert_eq!(world.aggregator.first_uncovered(&[filter(&[9], &[1])], Verify::Prove), None);
    world.take(&said("a", 6, 6, &[]).showing(6, &[]));
    assert_eq!(first(&world), Some(4), "what lies below coverage is owed");
    world.take(&said("a", 4, 5, &[]).showing(4, &[]).showing(5, &[]));
    assert_eq!(first(&world), Some(7), "coverage says where it goes on");
}
