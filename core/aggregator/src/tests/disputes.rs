//! Nodes that were asked for the same final blocks and differ, without a second look: what only some of them
//! told waits at every level, and who was wrong is named once receipts show it.

use super::{agreement::agree, *};

const ONE: L = L(3, 0, 1, 1);
const TWO: L = L(3, 1, 1, 2);

/// Receipts are demanded, and several nodes are asked for what they do not show.
fn several() -> Policy {
    Policy { admission: Admission::OneOfSeveral, ..policy(Verify::Prove) }
}

fn with_final(policy: Policy) -> World {
    let mut world = World::new(policy);
    world.aggregator.set_finalized(9);
    world
}

fn undecided(world: &World) -> String {
    world.aggregator.undecided(&filter(&[], &[1]), range(1, 9)).to_string()
}

#[test]
fn what_one_of_two_adds_or_drops_waits_where_receipts_are_demanded_and_nobody_gives_them() {
    for (first, second) in [(&[ONE][..], &[ONE, TWO][..]), (&[ONE, TWO], &[ONE]), (&[], &[ONE])] {
        let mut world = with_final(several());
        let words = |node, logs: &[L]| match logs {
            [] => said(node, 3, 3, logs).in_doubt(&[3]),
            logs => said(node, 3, 3, logs),
        };
        world.take(&words("a", first));
        assert!(world.events.is_empty(), "one word of several");
        let outcome = world.take(&words("b", second));
        assert_eq!(outcome.ack.open[0].0, range(3, 3));
        let shared = first.iter().filter(|log| second.contains(log)).count();
        assert_eq!((world.canonical_events().len(), world.waiting.len()), (shared, 1));
        assert_eq!((undecided(&world).as_str(), world.incidents.len()), ("3:3", 0));
    }
}

#[test]
fn one_node_alone_is_taken_at_its_word_and_what_is_shown_as_demanded_at_once() {
    let mut world = with_final(policy(Verify::Prove));
    world.take(&said("a", 3, 3, &[ONE]));
    assert_eq!(world.canonical_events().len(), 1);
    let mut world =
        with_final(Policy { admission: Admission::OneOfSeveral, ..policy(Verify::Bloom) });
    world.take(&said("a", 3, 3, &[ONE]));
    assert_eq!((world.canonical_events().len(), world.waiting.len()), (1, 0));
    let mut world = with_final(several());
    world.take(&said("a", 3, 3, &[ONE]).showing(3, &[ONE]));
    assert_eq!((world.canonical_events().len(), world.waiting.len()), (1, 0));
}

#[test]
fn who_was_wrong_is_named_once_receipts_come_whoever_gives_them() {
    // Who added it.
    let mut world = with_final(several());
    world.take(&said("a", 3, 3, &[ONE]));
    world.take(&said("b", 3, 3, &[ONE, TWO]));
    world.take(&said("c", 3, 3, &[ONE]).showing(3, &[ONE]));
    assert_eq!(world.blamed(), [("b", Flaw::Forged, 3, 1)]);
    assert_eq!((world.canonical_events().len(), world.waiting.len()), (1, 0));
    // Who dropped it, also all of it, or with its receipts.
    for dropped in [&[ONE][..], &[]] {
        let mut world = with_final(several());
        let mut drops = said("a", 3, 3, dropped).in_doubt(&[3]);
        drops.flaws = vec![(Some(3), Flaw::ReceiptsRoot)];
        world.take(&drops);
        let shown = said("c", 3, 3, &[ONE, TWO]).showing(3, &[ONE, TWO]);
        (0..2).for_each(|_| drop(world.take(&shown)));
        let count = 2 - dropped.len() as u64;
        let told = [("a", Flaw::Missing, 3, count), ("a", Flaw::ReceiptsRoot, 3, 1)];
        assert_eq!(world.blamed(), told);
    }
}

/// Two words let it in; the receipts of the third say that it is not there. Whoever gave exactly what was
/// stored is named, and nobody else.
#[test]
fn two_that_made_up_the_same_are_both_named_once_a_third_gives_receipts() {
    let altered = L(3, 0, 1, 9);
    for lie in [&[altered, TWO][..], &[ONE, TWO, altered]] {
        for node in ["a", "b"] {
            let mut world = with_final(several());
            world.take(&said("a", 3, 3, lie));
            world.take(&said("b", 3, 3, lie));
            let stored = world.canonical_events().len();
            assert_eq!(stored, lie.len(), "two words");
            // Another one was heard, too, who did not tell of it.
            world.take(&said("d", 3, 3, &[ONE, TWO]));
            world.take(&said("c", 3, 3, &[ONE, TWO]).showing(3, &[ONE, TWO]));
            assert!(world.blamed().contains(&(node, Flaw::Forged, 3, 1)), "{:?}", world.blamed());
            assert!(world.blamed().iter().all(|(node, ..)| ["a", "b"].contains(node)));
            assert_eq!((world.refuted.len(), world.waiting.len()), (1, 0));
        }
    }
}

#[test]
fn where_one_of_three_that_must_agree_says_otherwise_the_block_is_undecided_and_nobody_named() {
    let (more, less) = ([ONE, TWO], [ONE]);
    for order in [[&more[..], &less, &more], [&less, &more, &more], [&more, &less, &less]] {
        for truth in [&more[..], &less] {
            let mut world = with_final(agree(2));
            for (node, logs) in ["a", "b", "c"].into_iter().zip(order) {
                world.take(&said(node, 3, 3, logs));
            }
            let all = filter(&[], &[1]);
            assert!(world.aggregator.missing(&all, range(3, 3), Verify::Agree(2)).is_empty());
            assert_eq!(
                (undecided(&world).as_str(), world.incidents.len()),
                ("3:3", 0),
                "{order:?}"
            );
            // Receipts come, in another run.
            world.aggregator.votes = crate::votes::Votes::default();
            world.take(&said("d", 3, 3, truth).again().showing(3, truth));
            let flaw = if truth == more { Flaw::Missing } else { Flaw::Forged };
            let wrong = ["a", "b", "c"].into_iter().zip(order).filter(|(_, logs)| *logs != truth);
            let wrong: Vec<_> = wrong.map(|(node, _)| (node, flaw, 3, 1)).collect();
            assert_eq!(world.blamed(), wrong, "{order:?} {truth:?}");
            assert_eq!(undecided(&world), "");
        }
    }
}
