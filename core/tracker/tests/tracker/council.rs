//! A council of nodes: which branch is chosen, who is held, released, or cause to halt.

use crate::common::block;
use alloy_primitives::keccak256;
use event::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use tracker::{Branch, Conflict, Council, Decision, Ruling};

const BLOCK_TIME_MS: u64 = 12_000;

fn at(branch: char, number: u64) -> BlockNumHash {
    block(number, keccak256(format!("{branch}{number}")))
}

fn node(name: &str) -> NodeId {
    NodeId::new(name)
}

/// Blocks `first..=last` of a branch on a parent.
fn branch(name: &str, parent: BlockNumHash, of: char, last: u64) -> Branch {
    Branch {
        node: node(name),
        blocks: (parent.number + 1..=last).map(|number| at(of, number)).collect(),
        parent: Some(parent.hash),
        is_whole: true,
    }
}

/// A council that begins at block 100 of branch a.
fn council() -> Council {
    let profile =
        ChainProfile { block_time_ms: BLOCK_TIME_MS, ..ChainProfile::ethereum(ChainId(1)) };
    Council::new(&profile, 3, (96..=100).map(|number| at('a', number)).collect(), Some(96))
}

/// The same with nodes A, B and C at block 102 of branch a.
fn three() -> Council {
    let mut council = council();
    for name in ["A", "B", "C"] {
        let decisions = council.on_branch(&branch(name, at('a', 100), 'a', 102), 0);
        assert_eq!(decisions, [follow(name)]);
    }
    council
}

fn follow(name: &str) -> Decision {
    Decision::Rule { node: node(name), ruling: Ruling::Follow }
}

fn hold(name: &str) -> Decision {
    Decision::Rule { node: node(name), ruling: Ruling::Hold }
}

fn release(name: &str, from: u64) -> Decision {
    Decision::Release { node: node(name), from }
}

#[test]
fn a_branch_that_extends_or_repeats_is_followed_at_once() {
    let mut council = council();
    assert_eq!(council.on_branch(&branch("A", at('a', 100), 'a', 103), 0), [follow("A")]);
    assert_eq!(council.on_branch(&branch("B", at('a', 100), 'a', 102), 0), [follow("B")]);
    assert_eq!(council.on_branch(&branch("B", at('a', 102), 'a', 104), 0), [follow("B")]);
    assert_eq!(council.head(), Some(at('a', 104)));
    assert_eq!(council.hash_at(101), Some(at('a', 101).hash));
}

#[test]
fn with_one_node_every_reorg_is_followed_at_once() {
    let mut council = council();
    council.on_branch(&branch("A", at('a', 100), 'a', 103), 0);
    assert_eq!(council.on_branch(&branch("A", at('a', 101), 'b', 103), 1), [follow("A")]);
    assert_eq!(council.head(), Some(at('b', 103)));
    // Below what it was followed on before, too: the ledger's blocks have no node behind them.
    assert_eq!(council.on_branch(&branch("A", at('a', 97), 'c', 99), 2), [follow("A")]);
    assert_eq!(council.head(), Some(at('c', 99)));
}

#[test]
fn f57_one_against_one_keeps_the_incumbent_and_two_against_one_switch() {
    let mut council = three();
    assert_eq!(council.on_branch(&branch("A", at('a', 100), 'b', 103), 10), [hold("A")]);
    assert_eq!(council.head(), Some(at('a', 102)));
    let decisions = council.on_branch(&branch("B", at('a', 100), 'b', 102), 20);
    assert_eq!(decisions, [hold("C"), follow("B"), release("A", 101)]);
    assert_eq!(council.head(), Some(at('b', 103)), "the longest of those on the new branch");
    // The last one comes over; nothing is left to be decided.
    assert_eq!(council.on_branch(&branch("C", at('a', 100), 'b', 103), 30), [follow("C")]);
    assert!(council.halted().is_none());
}

#[test]
fn a_tie_keeps_the_incumbent() {
    let mut council = three();
    council.leave(&node("C"), 0);
    assert_eq!(council.on_branch(&branch("A", at('a', 101), 'b', 110), 10), [hold("A")]);
    assert_eq!(council.on_time(20), []);
    assert_eq!(council.head(), Some(at('a', 102)));
}

#[test]
fn above_the_fork_of_a_switch_the_block_seen_first_leads() {
    let mut council = three();
    council.on_branch(&branch("B", at('a', 100), 'b', 102), 10);
    // A joins B's block at 101 and brings another one for 102.
    let decisions = council.on_branch(
        &Branch {
            blocks: vec![at('b', 101), at('x', 102), at('x', 103)],
            ..branch("A", at('a', 100), 'b', 101)
        },
        20,
    );
    assert_eq!(decisions, [hold("C"), hold("A"), release("B", 101)]);
    assert_eq!(council.head(), Some(at('b', 102)));
}

#[test]
fn a_held_node_that_goes_on_stays_held_and_is_released_from_the_fork() {
    let mut council = three();
    council.on_branch(&branch("A", at('a', 100), 'b', 102), 10);
    assert_eq!(council.on_branch(&branch("A", at('b', 102), 'b', 103), 20), [hold("A")]);
    // C leaves; one against one still. B leaves; A is alone.
    assert_eq!(council.leave(&node("C"), 30), []);
    let decisions = council.leave(&node("B"), 40);
    assert_eq!(decisions, [hold("B"), hold("C"), release("A", 101)], "also who is away");
    assert_eq!(council.head(), Some(at('b', 103)));
}

#[test]
fn the_node_that_decides_reads_what_it_was_held_on_too() {
    let mut council = three();
    council.on_branch(&branch("A", at('a', 100), 'b', 102), 0);
    let late_ms = 4 * BLOCK_TIME_MS;
    // B and C stand still; A's next block is read with those that were held.
    let decisions = council.on_branch(&branch("A", at('b', 102), 'b', 103), late_ms);
    assert_eq!(decisions, [hold("B"), hold("C"), follow("A"), release("A", 101)]);
}

#[test]
fn a_lagging_node_counts_for_neither_branch() {
    let mut council = three();
    // B falls back below the fork: A's word stands against C's alone, a tie.
    council.on_head(&node("B"), at('a', 100), None, 10);
    assert_eq!(council.on_branch(&branch("A", at('a', 100), 'b', 102), 10), [hold("A")]);
    // C falls back as well.
    council.on_head(&node("C"), at('a', 99), None, 20);
    assert_eq!(council.on_time(20), [hold("B"), hold("C"), release("A", 101)]);
}

#[test]
fn a_lagging_node_never_causes_a_switch() {
    let mut council = three();
    council.on_branch(&branch("A", at('a', 100), 'b', 102), 10);
    council.on_head(&node("A"), at('a', 99), None, 20);
    council.leave(&node("B"), 30);
    assert_eq!(council.leave(&node("C"), 40), [], "its head is below its own branch");
    assert_eq!(council.head(), Some(at('a', 102)));
}

#[test]
fn a_stale_supporter_does_not_count_and_a_stale_node_causes_nothing() {
    let mut council = three();
    council.leave(&node("C"), 0);
    council.on_branch(&branch("A", at('a', 100), 'b', 102), 40_000);
    assert_eq!(council.on_time(47_999), []);
    // B has shown nothing new for four block times.
    assert_eq!(council.on_time(48_000), [hold("B"), hold("C"), release("A", 101)]);
    // Now A stands still, while B comes back with a block on its old branch.
    let decisions = council.on_branch(&branch("B", at('a', 102), 'a', 103), 100_000);
    let back = [hold("A"), follow("B"), release("B", 101), release("C", 101)];
    assert_eq!(decisions, back);
}

#[test]
fn f58_when_the_whole_chain_stands_still_nothing_changes() {
    let mut council = three();
    council.on_branch(&branch("A", at('a', 100), 'b', 102), 10);
    assert_eq!(council.on_time(10_000_000), []);
    assert_eq!(council.head(), Some(at('a', 102)));
}

#[test]
fn f42_a_node_alone_on_a_fork_is_held_as_long_as_it_is_alone() {
    let mut council = three();
    let mut parent = at('a', 102);
    for round in 1..50u64 {
        let now_ms = round * BLOCK_TIME_MS;
        let last = 102 + round;
        let fork = branch("C", if round == 1 { at('a', 100) } else { parent }, 'x', last + 3);
        assert_eq!(council.on_branch(&fork, now_ms), [hold("C")]);
        for name in ["A", "B"] {
            let honest = branch(name, at('a', last - 1), 'a', last);
            assert_eq!(council.on_branch(&honest, now_ms), [follow(name)]);
        }
        parent = at('x', last + 3);
    }
    assert_eq!(council.head(), Some(at('a', 151)));
}

/// A node that left `at` for `found`, and who stayed.
fn conflict(of: &[&str], kept: &[&str]) -> Conflict {
    let all = |names: &[&str]| names.iter().map(|name| node(name)).collect();
    let (at, found) = (at('a', 101), at('b', 101).hash);
    Conflict { at, found, nodes: all(of), kept: all(kept) }
}

/// Three nodes, of which A left block 101 of branch a, which is final; it calls block 103 of its own final.
fn one_left() -> Council {
    let mut council = three();
    council.finalize(101, Some(at('a', 101)));
    assert_eq!(council.on_branch(&branch("A", at('a', 100), 'b', 103), 10), [hold("A")]);
    council.on_head(&node("A"), at('b', 103), Some(103), 10);
    let named = Decision::Name(conflict(&["A"], &["B", "C"]));
    assert_eq!(council.on_time(20), [named]);
    council
}

#[test]
fn f54_one_node_against_a_final_block_is_held_and_named_once_and_two_of_three_halt_promotion() {
    let mut council = one_left();
    assert!(council.halted().is_none());
    assert_eq!((council.left_at(&node("A")), council.left_at(&node("B"))), (Some(101), None));
    assert_eq!(council.on_branch(&branch("A", at('b', 103), 'b', 104), 20), [hold("A")], "once");
    let decisions = council.on_branch(&branch("B", at('a', 100), 'b', 103), 20);
    let (named, both) = (conflict(&["B"], &["C"]), conflict(&["A", "B"], &["C"]));
    assert_eq!(decisions, [hold("B"), Decision::Name(named), Decision::Halt(both.clone())]);
    assert_eq!(council.halted(), Some(&both));
    assert_eq!(council.head(), Some(at('a', 102)), "both branches are kept");
    // Who stands on the chain is followed all the same, and not outvoted above what is final.
    assert_eq!(council.on_branch(&branch("C", at('a', 102), 'a', 103), 30), [follow("C")]);
    assert_eq!(council.leave(&node("C"), 40), []);
    assert_eq!(council.head(), Some(at('a', 103)));
}

#[test]
fn f54_a_node_that_left_halts_nothing_while_the_others_are_away() {
    let mut council = one_left();
    assert_eq!(council.leave(&node("B"), 30), []);
    assert_eq!(council.leave(&node("C"), 30), []);
    assert_eq!(council.on_branch(&branch("A", at('b', 103), 'b', 110), 40), [hold("A")]);
    assert!(council.halted().is_none() && council.is_held(&node("A")));
    for name in ["B", "C"] {
        let decisions = council.on_branch(&branch(name, at('a', 102), 'a', 103), 50);
        assert_eq!(decisions, [follow(name)]);
    }
    assert_eq!(council.head(), Some(at('a', 103)));
}

#[test]
fn f54_after_a_start_the_first_node_to_answer_halts_nothing_where_there_are_three() {
    let mut council = council();
    let fork = Branch { is_whole: false, ..branch("A", at('b', 95), 'b', 110) };
    assert_eq!(council.on_branch(&fork, 0), [hold("A")]);
    assert_eq!(council.on_time(1_000), []);
    assert!(council.halted().is_none());
    assert_eq!(council.on_branch(&branch("B", at('a', 100), 'a', 101), 300), [follow("B")]);
}

#[test]
fn f54_promotion_goes_on_when_most_nodes_are_back_and_not_when_those_that_left_are_away() {
    let mut council = one_left();
    council.on_branch(&branch("B", at('a', 100), 'b', 103), 20);
    assert_eq!(council.leave(&node("A"), 30), []);
    assert_eq!(council.leave(&node("B"), 30), []);
    assert!(council.halted().is_some(), "nobody came back");
    let back = council.on_branch(&branch("B", at('a', 100), 'a', 104), 40);
    assert_eq!(back, [follow("B"), Decision::GoOn]);
    assert!(council.halted().is_none());
    // Where it was before it is not named again, on yet another branch it is.
    council.on_head(&node("B"), at('a', 104), Some(104), 50);
    assert_eq!(council.on_branch(&branch("B", at('a', 100), 'b', 105), 50), [hold("B")]);
    council.on_branch(&branch("B", at('a', 100), 'a', 105), 60);
    let other = council.on_branch(&branch("B", at('a', 100), 'x', 106), 70);
    assert!(matches!(&other[..], [_, Decision::Name(_)]), "{other:?}");
}

#[test]
fn f54_nodes_that_are_removed_have_no_voice() {
    let mut council = one_left();
    council.remove(&node("C"));
    let halt = council.set_nodes(2, 30);
    assert_eq!(halt, [Decision::Halt(conflict(&["A"], &["B"]))], "one against one");
    council.remove(&node("A"));
    assert_eq!(council.set_nodes(1, 40), [Decision::GoOn]);
}

#[test]
fn f54_the_only_node_halts_promotion_when_it_leaves_and_is_followed_when_it_is_back() {
    let mut council = council();
    assert_eq!(council.set_nodes(1, 0), []);
    council.on_branch(&branch("A", at('a', 100), 'a', 102), 0);
    council.finalize(101, Some(at('a', 101)));
    let left = council.on_branch(&branch("A", at('a', 100), 'b', 103), 10);
    let both = conflict(&["A"], &[]);
    assert_eq!(left, [hold("A"), Decision::Name(both.clone()), Decision::Halt(both)]);
    let back = council.on_branch(&branch("A", at('a', 102), 'a', 104), 20);
    assert_eq!(back, [follow("A"), Decision::GoOn]);
    assert_eq!(council.head(), Some(at('a', 104)));
}

/// Two nodes have to agree on what is final, so that the ledger never learns of either block.
#[test]
fn f54_two_nodes_that_call_different_blocks_final_halt_promotion_before_the_ledger_knows_one() {
    let mut council = council();
    council.set_nodes(2, 0);
    for name in ["A", "B"] {
        council.on_branch(&branch(name, at('a', 100), 'a', 102), 0);
    }
    assert_eq!(council.on_branch(&branch("B", at('a', 100), 'b', 103), 10), [hold("B")]);
    council.on_head(&node("B"), at('b', 103), Some(102), 20);
    assert_eq!(council.on_time(20), [], "a branch as any, as long as A does not call it final");
    council.on_head(&node("A"), at('a', 102), Some(101), 30);
    let both = conflict(&["B"], &["A"]);
    assert_eq!(council.on_time(30), [Decision::Name(both.clone()), Decision::Halt(both)]);
    assert_eq!(council.on_branch(&branch("A", at('a', 102), 'a', 103), 40), [follow("A")]);
    // Whoever is removed is wrong; of the ledger's final block both descend.
    council.remove(&node("A"));
    assert_eq!(council.set_nodes(1, 50), [Decision::GoOn, release("B", 101)]);
}

#[test]
fn f54_a_node_that_left_does_not_win_because_the_final_block_was_long_ago() {
    let mut council = one_left();
    council.on_branch(&branch("B", at('a', 100), 'b', 103), 20);
    for last in 104..1_300 {
        for (name, of) in [("A", 'b'), ("B", 'b'), ("C", 'a')] {
            let decisions = council.on_branch(&branch(name, at(of, last - 1), of, last), last);
            let is_on_it = matches!(&decisions[..], [only] if *only == follow("C"));
            assert_eq!(name == "C", is_on_it, "{name} at {last}: {decisions:?}");
        }
    }
    assert_eq!(council.hash_at(1_299), Some(at('a', 1_299).hash));
    assert!(council.halted().is_some());
}

#[test]
fn f54_a_parent_that_is_not_the_final_block_is_a_conflict_too() {
    let mut council = three();
    council.finalize(101, Some(at('a', 101)));
    let fork = Branch { is_whole: false, ..branch("A", at('b', 101), 'b', 103) };
    assert_eq!(council.on_branch(&fork, 10), [hold("A")]);
    // Alone it is in no majority, also when the others are gone from its height.
    council.on_head(&node("B"), at('a', 101), None, 20);
    assert_eq!(council.on_time(20), []);
    assert_eq!(council.left_at(&node("A")), Some(101));
}

#[test]
fn no_node_alone_says_what_is_final() {
    let mut council = council();
    council.on_branch(&Branch { is_whole: false, ..branch("A", at('x', 90), 'x', 95) }, 0);
    assert_eq!(council.hash_at(95), None);
}

#[test]
fn a_branch_above_a_gap_is_followed_and_the_chain_goes_on_below_it() {
    let mut council = council();
    let ahead = Branch { is_whole: false, ..branch("A", at('a', 499), 'a', 500) };
    assert_eq!(council.on_branch(&ahead, 0), [follow("A")]);
    assert_eq!(council.on_branch(&branch("B", at('a', 100), 'a', 101), 0), [follow("B")]);
    assert_eq!(council.head(), Some(at('a', 500)));
    assert_eq!(council.on_branch(&branch("A", at('a', 499), 'b', 500), 1), [follow("A")]);
}

#[test]
fn a_height_is_settled_when_everything_up_to_it_is_old_enough() {
    let mut council = council();
    assert_eq!(council.settled(0, 3_000), None);
    assert_eq!(council.settled(3_000, 3_000), Some(100));
    council.on_branch(&branch("A", at('a', 100), 'a', 102), 10_000);
    council.on_branch(&branch("B", at('a', 100), 'a', 103), 12_000);
    assert_eq!(council.settled(12_000, 3_000), Some(100));
    assert_eq!(council.settled(13_000, 3_000), Some(102));
    assert_eq!(council.settled(15_000, 3_000), Some(103));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut council = council();
    for number in 101..5_000 {
        council.on_branch(&branch("A", at('a', number - 1), 'a', number), number);
    }
    assert_eq!(council.head(), Some(at('a', 4_999)));
    assert_eq!(council.hash_at(3_900), None);
    assert!(council.hash_at(4_000).is_some());
}

/// A move in the game of two honest nodes and one that is not.
#[derive(Clone, Debug)]
enum Move {
    /// The true chain grows, or its newest blocks are replaced.
    Grow { replaced: usize },
    /// An honest node comes to the true head.
    Show { node: usize },
    /// The third node shows a branch that leaves its own, or an honest one's, somewhere.
    Stray { depth: usize, length: usize, honest: bool },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        3 => (0usize..4).prop_map(|replaced| Move::Grow { replaced: replaced.saturating_sub(1) }),
        5 => (0usize..2).prop_map(|node| Move::Show { node }),
        3 => (0usize..6, 1usize..5, any::<bool>())
            .prop_map(|(depth, length, honest)| Move::Stray { depth, length, honest }),
    ];
    prop::collection::vec(one, 1..120)
}

/// What a node's follower would give out for moving from one chain to another.
fn step(name: &str, own: &[BlockNumHash], new: &[BlockNumHash]) -> Option<Branch> {
    let common = own.iter().zip(new).take_while(|(a, b)| a == b).count();
    let blocks = new[common..].to_vec();
    let parent = new.get(common.checked_sub(1)?).map(|parent| parent.hash);
    (!blocks.is_empty()).then(|| Branch { node: node(name), blocks, parent, is_whole: true })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Of every height on which the honest nodes agree, the chosen block is theirs. Only above may
    /// the third node lead, or while each of the three has another block and nothing can tell.
    #[test]
    fn with_two_honest_nodes_of_three_the_chosen_branch_is_an_honest_one(moves in moves()) {
        let start: Vec<BlockNumHash> = (96..=100).map(|number| at('a', number)).collect();
        let mut council = council();
        let mut truth = start.clone();
        let mut honest = [start.clone(), start.clone()];
        let mut third = start.clone();
        let mut held = BTreeSet::new();
        for name in ["H0", "H1", "T"] {
            council.on_head(&node(name), at('a', 100), None, 0);
        }
        for (turn, one) in moves.into_iter().enumerate() {
            let now_ms = turn as u64 * 100;
            let fresh = |offset: usize, number: u64| {
                block(number, keccak256(format!("{turn} {offset} {number}")))
            };
            let decisions = match one {
                Move::Grow { replaced } => {
                    truth.truncate((truth.len() - replaced).max(1));
                    for offset in 0..=replaced {
                        let number = truth.last().unwrap().number + 1;
                        truth.push(fresh(offset, number));
                    }
                    vec![]
                }
                Move::Show { node } => {
                    let branch = step(["H0", "H1"][node], &honest[node], &truth);
                    honest[node] = truth.clone();
                    branch.map(|branch| council.on_branch(&branch, now_ms)).unwrap_or_default()
                }
                Move::Stray { depth, length, honest: on_honest } => {
                    let mut stray = if on_honest { honest[0].clone() } else { third.clone() };
                    stray.truncate(stray.len().saturating_sub(depth).max(1));
                    for offset in 0..length {
                        let number = stray.last().unwrap().number + 1;
                        stray.push(fresh(100 + offset, number));
                    }
                    let branch = step("T", &third, &stray);
                    third = stray;
                    branch.map(|branch| council.on_branch(&branch, now_ms)).unwrap_or_default()
                }
            };
            for decision in decisions {
                match decision {
                    Decision::Rule { node, ruling: Ruling::Hold } => { held.insert(node); }
                    Decision::Rule { node, .. } | Decision::Release { node, .. } => {
                        held.remove(&node);
                    }
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            let reached = honest.iter().map(|own| own.last().unwrap().number).min().unwrap();
            for number in 97..=reached {
                let chosen = council.hash_at(number);
                let theirs = honest.each_ref().map(|own| own[(number - 96) as usize].hash);
                if theirs[0] == theirs[1] {
                    prop_assert_eq!(chosen, Some(theirs[0]), "block {} after turn {}", number, turn);
                }
            }
            // Who is held is not on the chosen branch, and who is not held is.
            for (name, own) in [("H0", &honest[0]), ("H1", &honest[1]), ("T", &third)] {
                let differs = own.iter().any(|block| {
                    council.hash_at(block.number).is_some_and(|hash| hash != block.hash)
                });
                prop_assert_eq!(held.contains(&node(name)), differs, "{} after turn {}", name, turn);
            }
        }
    }
}

/// Seed 142 of the watches: a block that was chosen left unseen while its node was away, and the
/// heights up to it became final on the other branch.
#[test]
fn what_left_unseen_is_not_defended_once_its_height_is_final() {
    let mut council = council();
    council.on_branch(&branch("A", at('a', 100), 'a', 102), 0);
    council.finalize(110, Some(at('b', 108)));
    let decisions = council.on_branch(&branch("A", at('a', 100), 'b', 112), 60_000);
    assert_eq!(decisions, [follow("A")]);
    assert_eq!(council.halted(), None);
    assert_eq!(council.head(), Some(at('b', 112)));
}

/// Seed 2123 of the watches: nobody has shown the ledger a block between its newest one and the
/// finalized height, and what was chosen there had left while the only node was away.
#[test]
fn what_is_chosen_between_the_newest_final_block_and_the_finalized_height_is_not_defended() {
    let mut council = council();
    council.on_branch(&branch("A", at('a', 100), 'a', 106), 0);
    council.finalize(110, Some(at('a', 102)));
    assert_eq!(council.hash_at(102), Some(at('a', 102).hash), "the final block itself is");
    let decisions = council.on_branch(&branch("A", at('a', 104), 'b', 112), 60_000);
    assert_eq!(decisions, [follow("A")]);
    assert_eq!(council.halted(), None);
    assert_eq!(council.head(), Some(at('b', 112)));
    // A word that comes late changes nothing.
    council.finalize(109, Some(at('a', 101)));
    assert_eq!((council.hash_at(101), council.head()), (None, Some(at('b', 112))));
}

/// Seed 4829 of the watches: a node's own branch was chosen while the others were away, and when they came back the
/// ledger held no block up to the height that they call final.
#[test]
fn where_the_ledger_knows_no_block_up_to_the_finalized_height_none_is_defended() {
    let mut council = council();
    council.on_branch(&branch("A", at('a', 100), 'a', 106), 0);
    council.finalize(104, None);
    assert_eq!((council.hash_at(104), council.hash_at(105)), (None, Some(at('a', 105).hash)));
    council.finalize(110, None);
    let decisions = council.on_branch(&branch("A", at('a', 100), 'b', 112), 60_000);
    assert_eq!(decisions, [follow("A")]);
    assert_eq!((council.halted(), council.head()), (None, Some(at('b', 112))));
}

#[test]
fn a_node_far_ahead_makes_nothing_below_its_gap_worth_defending() {
    let mut council = council();
    council.on_branch(&branch("A", at('a', 100), 'a', 102), 0);
    let ahead = Branch { is_whole: false, ..branch("A", at('b', 298), 'b', 300) };
    assert_eq!(council.on_branch(&ahead, 60_000), [follow("A")]);
    assert_eq!(council.hash_at(102), None, "it may have left by now");
    assert_eq!(council.hash_at(96), Some(at('a', 96).hash), "the finalized block stays");
}
