//! Whose word makes a block final, and what stops it.

use super::{agreement::agree, *};
use event::BlockNumHash;

/// A claim made at a head that no other was made at.
fn claim(world: &mut World, node: &str, number: u64) {
    world.head += 1;
    claim_at(world, node, number, world.head);
}

fn claim_at(world: &mut World, node: &str, number: u64, head: u64) {
    claim_by(world, "watch", node, number, head);
}

fn claim_by(world: &mut World, reporter: &str, node: &str, number: u64, head: u64) {
    world.aggregator.claim_finalized_by(&NodeId::new(node), &reporter.into(), number, head);
}

#[test]
fn f60_a_height_is_final_when_enough_nodes_call_it_or_a_higher_one_final() {
    let mut world = World::new(agree(2));
    claim(&mut world, "liar", 1_000_000);
    assert_eq!(world.aggregator.finalized(), None);
    claim(&mut world, "a", 90);
    assert_eq!(world.aggregator.finalized(), Some(90));
    claim(&mut world, "b", 95);
    assert_eq!(world.aggregator.finalized(), Some(95));
    world.flush();
    assert!(world.incidents.is_empty());
}

#[test]
fn f60_a_node_whose_finalized_goes_back_is_named_once_and_nothing_falls() {
    let mut world = World::new(agree(2));
    claim(&mut world, "a", 90);
    claim(&mut world, "liar", 90);
    for number in [70, 70, 80, 60] {
        claim(&mut world, "liar", number);
    }
    assert_eq!(world.aggregator.finalized(), Some(90));
    world.flush();
    assert_eq!(world.blamed(), [("liar", Flaw::FinalityConflict, 90, 1)]);
    assert_eq!(world.incidents[0].detail, "finalized went back from 90 to 70");
    assert_eq!(world.aggregator.flush(), None);
}

#[test]
fn f60_a_node_that_comes_back_from_another_final_branch_is_not_named_again() {
    let b = Branch { name: b'B', fork: 4 };
    let mut world = World::new(policy(Verify::Bloom));
    claim(&mut world, "a", 15);
    claim(&mut world, "b", 25);
    let at = BlockNumHash { number: 6, hash: A.hash(6) };
    let commit = world.aggregator.name_conflict(at, b.hash(6), &[NodeId::new("b")], &[]);
    assert_eq!(commit.incidents.len(), 1);
    claim(&mut world, "b", 16);
    assert!(world.aggregator.flush().is_none_or(|commit| commit.incidents.is_empty()));
    // From there on it is held to what it says.
    claim(&mut world, "b", 14);
    assert_eq!(world.aggregator.flush().unwrap().incidents.len(), 1);
}

#[test]
fn what_a_replay_heard_of_a_node_is_not_held_against_what_the_watch_beside_it_heard() {
    let mut world = World::new(agree(2));
    claim_by(&mut world, "watch", "a", 80, 100);
    claim_by(&mut world, "watch", "b", 80, 100);
    claim_by(&mut world, "replay", "a", 90, 110);
    // The watch asks for what is final every few heads only.
    claim_by(&mut world, "watch", "a", 80, 111);
    claim_by(&mut world, "watch", "b", 90, 111);
    assert_eq!(world.aggregator.finalized(), Some(90));
    world.flush();
    assert!(world.incidents.is_empty(), "{:?}", world.incidents);
    claim_by(&mut world, "watch", "a", 70, 112);
    world.flush();
    assert_eq!(world.blamed(), [("a", Flaw::FinalityConflict, 80, 1)]);
}

#[test]
fn an_older_claim_that_comes_late_is_no_claim_that_went_back() {
    let mut world = World::new(agree(2));
    claim_at(&mut world, "a", 90, 100);
    claim_at(&mut world, "b", 80, 95);
    claim_at(&mut world, "b", 90, 100);
    // The rest of a gap that was begun at head 95.
    claim_at(&mut world, "b", 80, 95);
    claim_at(&mut world, "b", 80, 100);
    assert_eq!(world.aggregator.finalized(), Some(90));
    world.flush();
    assert!(world.incidents.is_empty(), "{:?}", world.incidents);
    claim_at(&mut world, "b", 80, 101);
    world.flush();
    assert_eq!(world.blamed(), [("b", Flaw::FinalityConflict, 90, 1)]);
}

#[test]
fn with_one_node_its_word_is_enough() {
    let mut world = World::new(policy(Verify::Bloom));
    claim(&mut world, "a", 90);
    assert_eq!(world.aggregator.finalized(), Some(90));
}

#[test]
fn f60_a_block_of_one_nodes_fork_is_not_final_because_the_height_is() {
    let b = Branch { name: b'B', fork: 4 };
    let mut world = World::new(agree(2));
    claim(&mut world, "a", 2);
    claim(&mut world, "c", 2);
    let say = |world: &mut World, node, branch: Branch| {
        let mut said = said(node, 3, 8, &[]).on(branch);
        said.finalized = Some(6);
        world.take(&said);
    };
    say(&mut world, "fork", b);
    for node in ["a", "c", "fork"] {
        claim(&mut world, node, 6);
    }
    say(&mut world, "fork", b);
    assert_eq!(world.aggregator.finalized(), Some(2), "one node shows its own chain");
    say(&mut world, "a", A);
    say(&mut world, "c", A);
    assert_eq!(world.aggregator.finalized(), Some(6));
    let outcome = world.take(&said("fork", 5, 7, &[]).on(b));
    assert_eq!(outcome.commit.incidents[0].flaw, Flaw::AnchorMismatch);
}

/// The window ends at the newest final block: another block further down stood beside the one that is final there.
#[test]
fn f54_a_block_of_another_branch_below_the_newest_final_one_is_not_taken() {
    let b = Branch { name: b'B', fork: 3 };
    let mut world = World::new(policy(Verify::Bloom));
    world.take(&said("a", 1, 9, &[L(3, 0, 1, 1), L(5, 0, 1, 1)]));
    claim(&mut world, "a", 6);
    let mut next = said("a", 10, 10, &[]);
    next.finalized = Some(6);
    world.take(&next);
    assert_eq!(world.aggregator.finalized(), Some(6));
    for number in [5, 4] {
        let outcome = world.take(&said("b", number, number, &[L(number, 0, 1, 9)]).on(b));
        assert_eq!(outcome.commit.incidents[0].flaw, Flaw::AnchorMismatch, "{number}");
        assert!(outcome.commit.events.is_empty() && outcome.commit.blocks.is_empty(), "{number}");
    }
    // What is on the chain is taken there.
    let outcome = world.take(&said("b", 2, 5, &[L(3, 0, 1, 1), L(5, 0, 1, 1)]));
    assert_eq!((outcome.ack.known_events, outcome.commit.incidents.len()), (2, 0));
}

/// A soak over 100,000 blocks had them pile up, one for each reorg under a log that was made up.
#[test]
fn what_waits_in_a_block_that_left_is_dropped_when_its_height_is_final() {
    let b = Branch { name: b'B', fork: 4 };
    let mut world = World::new(agree(2));
    let forged = said("liar", 5, 5, &[L(5, 0, 1, 66)]);
    let waits = world.take(&forged).commit.candidates[0].id;
    let held = |world: &World| {
        let held = world.aggregator.held();
        held.into_iter().find(|(name, _)| *name == "candidates").unwrap().1
    };
    for node in ["a", "c"] {
        let mut said = said(node, 5, 8, &[]).on(b);
        said.finalized = Some(4);
        world.take(&said);
    }
    assert_eq!(held(&world), 1, "the block may come back");
    for node in ["a", "c"] {
        claim(&mut world, node, 6);
    }
    let mut closed = Vec::new();
    for node in ["a", "c"] {
        let mut said = said(node, 8, 9, &[]).on(b);
        said.finalized = Some(6);
        closed.extend(world.take(&said).commit.candidates_closed);
    }
    assert_eq!(world.aggregator.finalized(), Some(6));
    assert_eq!((held(&world), closed), (0, vec![waits]), "and the ledger is told");
}

#[test]
fn f54_after_a_halt_nothing_becomes_final_and_both_branches_are_kept() {
    let b = Branch { name: b'B', fork: 4 };
    let mut world = World::new(policy(Verify::Bloom));
    world.take(&said("a", 1, 9, &[L(7, 0, 1, 1)]));
    world.aggregator.set_finalized(6);
    let row = |number: u64, branch: Branch| event::BlockRow {
        number,
        hash: branch.hash(number),
        parent: Some(branch.hash(number - 1)),
        timestamp: None,
        canonical: true,
    };
    let rows: Vec<event::BlockRow> = (4..=6).map(|number| row(number, b)).collect();
    let commit = world.aggregator.note_branch(&rows);
    // The block below the fork is on both, and is no row of the other branch.
    let noted: Vec<(u64, bool)> = commit.blocks.iter().map(|b| (b.number, b.canonical)).collect();
    assert_eq!(noted, [(4, false), (5, false), (6, false)][usize::from(noted.len() < 3)..]);
    assert_eq!(commit.finalized, Some(6));
    assert!(world.aggregator.note_branch(&rows).blocks.iter().all(|b| b.number == 4));

    assert!(!world.aggregator.is_halted());
    let at = BlockNumHash { number: 6, hash: A.hash(6) };
    let nodes = [NodeId::new("b"), NodeId::new("c")];
    let commit = world.aggregator.name_conflict(at, b.hash(6), &nodes, &[NodeId::new("a")]);
    let told: Vec<(&str, Flaw)> =
        commit.incidents.iter().map(|of| (&*of.node.0, of.flaw)).collect();
    assert_eq!(told, [("b", Flaw::FinalityConflict), ("c", Flaw::FinalityConflict)]);
    let (first, detail) = (format!("{} by a", A.hash(6)), &commit.incidents[0].detail);
    assert!(detail.contains(&first) && detail.contains("at b"), "{detail}");
    world.aggregator.halt(true);
    assert!(world.aggregator.is_halted());

    // Recording goes on, and nothing of it becomes final.
    world.aggregator.set_finalized(8);
    claim(&mut world, "a", 8);
    let mut next = said("a", 10, 12, &[L(11, 0, 1, 1)]);
    next.finalized = Some(8);
    world.take(&next);
    assert_eq!(world.aggregator.finalized(), Some(6));
    assert_eq!(world.events.len(), 2);
    // Until the nodes are back.
    world.aggregator.halt(false);
    claim(&mut world, "a", 8);
    world.take(&next);
    assert_eq!(world.aggregator.finalized(), Some(8));
}
