//! Who missed what: named once, never for being slow, whatever the order.

use super::{agreement::agree, *};

const BOTH: [L; 2] = [L(5, 0, 1, 1), L(5, 1, 1, 2)];

fn run(reports: &[Said]) -> World {
    let mut world = World::new(agree(2));
    for said in reports {
        world.take(said);
    }
    world
}

#[test]
fn f28_the_node_that_lacked_logs_is_named_once_in_any_order() {
    let reports = [said("a", 5, 5, &BOTH), said("b", 5, 5, &BOTH), said("lossy", 5, 5, &BOTH[1..])];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut world = run(&order.map(|i| reports[i].clone()));
        world.take(&reports[2]);
        world.take(&reports[0]);
        world.aggregator.set_finalized(5);
        world.flush();
        assert_eq!(world.blamed(), [("lossy", Flaw::Missing, 5, 1)], "{order:?}");
        assert_eq!(world.incidents[0].detail, "1 log of block 5 kept back that a and b gave");
    }
}

#[test]
fn on_one_nodes_word_nobody_is_named_until_a_second_has_it() {
    let mut world = World::new(policy(Verify::Bloom));
    world.take(&said("a", 5, 5, &BOTH));
    world.take(&said("b", 5, 5, &BOTH[..1]));
    assert!(world.incidents.is_empty());
    world.take(&said("c", 5, 5, &BOTH));
    assert_eq!(world.blamed(), [("b", Flaw::Missing, 5, 1)]);
}

#[test]
fn f30_f31_a_node_that_was_not_ready_and_then_had_them_is_not_named() {
    let early = said("slow", 5, 5, &[]).in_doubt(&[5]);
    let later = said("slow", 5, 5, &BOTH).by(Via::BlockHash);
    let others = [said("a", 5, 5, &BOTH), said("b", 5, 5, &BOTH)];
    let [a, b] = others;
    let orders = [
        vec![early.clone(), later.clone(), a.clone(), b.clone()],
        vec![early.clone(), a.clone(), b.clone(), later.clone()],
        vec![a, b, early, later],
    ];
    for order in orders {
        let mut world = run(&order);
        world.aggregator.set_finalized(5);
        world.flush();
        assert!(world.incidents.is_empty(), "{:?}", world.incidents);
        assert_eq!(world.events.len(), 2);
    }
}

#[test]
fn a_node_in_doubt_that_never_gave_them_is_named_when_the_block_is_final() {
    let mut world = run(&[
        said("a", 5, 5, &BOTH),
        said("b", 5, 5, &BOTH),
        said("lame", 5, 5, &[]).in_doubt(&[5]),
    ]);
    assert!(world.incidents.is_empty());
    world.aggregator.set_finalized(5);
    world.flush();
    assert_eq!(world.blamed(), [("lame", Flaw::Missing, 5, 2)]);
}

#[test]
fn what_was_given_only_by_another_way_was_missed_all_the_same() {
    let mut world = run(&[
        said("lossy", 5, 5, &BOTH[..1]),
        said("lossy", 5, 5, &BOTH).by(Via::BlockHash),
        said("a", 5, 5, &BOTH),
    ]);
    assert_eq!(world.blamed(), [("lossy", Flaw::Missing, 5, 1)]);
    // By the same way it has answered again, and had them.
    world =
        run(&[said("slow", 5, 5, &BOTH[..1]), said("slow", 5, 5, &BOTH), said("a", 5, 5, &BOTH)]);
    assert!(world.incidents.is_empty());
}

#[test]
fn a_loss_that_the_report_itself_tells_is_not_told_again() {
    let mut shown = said("lossy", 5, 5, &BOTH[..1]).showing(5, &BOTH);
    shown.flaws = vec![(Some(5), Flaw::Missing)];
    for order in [[0, 1, 2], [1, 2, 0], [1, 0, 2]] {
        let reports = [shown.clone(), said("a", 5, 5, &BOTH), said("b", 5, 5, &BOTH)];
        let mut world = run(&order.map(|i| reports[i].clone()));
        world.take(&shown);
        assert_eq!(world.blamed(), [("lossy", Flaw::Missing, 5, 1)], "{order:?}");
    }
}

#[test]
fn receipts_name_every_node_that_lacked_what_they_show() {
    let world = run(&[
        said("x", 5, 5, &BOTH[..1]),
        said("y", 5, 5, &BOTH[..1]),
        said("a", 5, 5, &BOTH).showing(5, &BOTH),
    ]);
    assert_eq!(world.blamed(), [("x", Flaw::Missing, 5, 1), ("y", Flaw::Missing, 5, 1)]);
    assert_eq!(world.incidents[0].detail, "1 log of block 5 kept back that a gave");
}
