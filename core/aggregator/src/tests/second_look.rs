//! A second look: agreement is recorded, what differs waits, and who kept back what is named.

use super::*;

const ONE: L = L(3, 0, 7, 1);
const TWO: L = L(3, 1, 7, 2);

/// A ledger that knows its first nine blocks to be final.
fn with_final() -> World {
    let mut world = World::new(policy(Verify::Bloom));
    world.aggregator.claim_finalized_by(&NodeId::new("a"), &"watch".into(), 9, 20);
    world
}

/// What the first node said of blocks that are final.
fn first(logs: &[L]) -> Said {
    Said { finalized: Some(9), ..said("a", 1, 9, logs) }
}

fn incidents(outcome: &Outcome) -> Vec<(String, Flaw, String)> {
    let told = outcome.commit.incidents.iter();
    told.map(|i| (i.node.to_string(), i.flaw, i.detail.clone())).collect()
}

#[test]
fn a_node_that_says_the_same_is_recorded_as_agreement_and_one_more_raises_it() {
    let mut world = with_final();
    world.take(&first(&[ONE, TWO]));
    let second = world.take(&said("b", 1, 9, &[ONE, TWO]).again());
    assert_eq!((second.ack.agreed, second.ack.new_events), (9, 0));
    assert!(second.ack.differs.is_empty() && second.ack.open.is_empty());
    let filter = filter(&[], &[1]);
    assert_eq!(world.intervals(&filter), [(1, 9, Content::Agreed(2))]);
    world.take(&said("c", 1, 9, &[ONE, TWO]).again());
    assert_eq!(world.intervals(&filter), [(1, 9, Content::Agreed(3))]);
    // The same one again is no further word, and what nobody calls final is not compared.
    assert_eq!(world.take(&said("c", 1, 9, &[ONE, TWO]).again()).ack.agreed, 0);
    assert_eq!(world.take(&said("d", 1, 9, &[ONE])).ack.agreed, 0);
    assert!(world.incidents.is_empty());
}

/// Blocks of which nodes differ and nothing decides.
fn undecided(world: &World) -> Vec<BlockRange> {
    let blocks = world.aggregator.undecided(&filter(&[], &[1]), range(1, 9));
    blocks.iter().collect()
}

#[test]
fn what_a_second_node_adds_enters_on_another_word_and_the_first_is_named_once_receipts_show_it() {
    let mut world = with_final();
    world.take(&first(&[ONE]));
    let second = world.take(&said("b", 1, 9, &[ONE, TWO]).again());
    assert_eq!((second.ack.new_events, &second.ack.differs[..]), (0, &[range(3, 3)][..]));
    assert_eq!(second.ack.agreed, 8);
    // Two may have made it up alike: the first one says otherwise, and it is one of three.
    let third = world.take(&said("c", 3, 3, &[ONE, TWO]).again());
    assert_eq!((third.ack.new_events, ops(&third)), (1, vec![(Op::Late, 3, 3, 1)]));
    assert_eq!((incidents(&third).len(), &third.ack.differs[..]), (0, &[range(3, 3)][..]));
    assert_eq!(undecided(&world), [range(3, 3)]);
    // Another node, another run, no second look: whoever shows it.
    let shown = world.take(&said("d", 3, 3, &[ONE, TWO]).showing(3, &[ONE, TWO]));
    let detail = "1 log of block 3 kept back over a range that receipts show".to_owned();
    assert_eq!(incidents(&shown), [("a".to_owned(), Flaw::Missing, detail)]);
    assert!(undecided(&world).is_empty() && world.waiting.is_empty());
}

#[test]
fn receipts_decide_at_once_what_nodes_differ_in() {
    let mut world = with_final();
    world.take(&first(&[ONE]));
    let second = said("b", 1, 9, &[ONE, TWO]).again().showing(3, &[ONE, TWO]);
    let second = world.take(&second);
    assert_eq!((second.ack.new_events, second.ack.differs.len()), (1, 0));
    let detail = "1 log of block 3 kept back over a range that receipts show".to_owned();
    assert_eq!(incidents(&second), [("a".to_owned(), Flaw::Missing, detail)]);

    let mut world = with_final();
    world.take(&first(&[ONE, TWO]));
    let second = world.take(&said("b", 1, 9, &[ONE]).again().showing(3, &[ONE]));
    assert_eq!(second.commit.refuted.len(), 1);
    let detail = "1 logs of block 3 that no receipt has".to_owned();
    assert_eq!(incidents(&second), [("a".to_owned(), Flaw::Forged, detail)]);
}

#[test]
fn a_node_that_lacks_logs_is_named_once_receipts_show_them() {
    let mut world = with_final();
    world.take(&first(&[ONE, TWO]));
    let lacks = said("b", 1, 9, &[ONE]).again();
    // One word against another, or against two.
    let second = world.take(&lacks);
    assert_eq!((incidents(&second).len(), &second.ack.differs[..]), (0, &[range(3, 3)][..]));
    assert_eq!(second.ack.open.iter().map(|(open, _)| *open).collect::<Vec<_>>(), [range(3, 3)]);
    let third = world.take(&said("c", 3, 3, &[ONE, TWO]).again());
    assert_eq!((incidents(&third).len(), &third.ack.differs[..]), (0, &[range(3, 3)][..]));
    let shown = said("c", 3, 3, &[ONE, TWO]).again().showing(3, &[ONE, TWO]);
    let detail = "1 log of block 3 kept back over a range that receipts show".to_owned();
    assert_eq!(incidents(&world.take(&shown)), [("b".to_owned(), Flaw::Missing, detail)]);
    let again = world.take(&said("b", 3, 3, &[ONE]).again().by(Via::BlockHash));
    assert!(incidents(&again).is_empty(), "it is told once");
    assert!(again.ack.differs.is_empty() && again.ack.open.is_empty());
    let covered = world.coverage[&*filter(&[], &[1])].iter().find(|i| i.range.contains(3)).unwrap();
    assert!(!covered.nodes.contains(&NodeId::new("b")));
}

#[test]
fn what_is_to_be_looked_at_is_what_is_covered_and_was_not_looked_at_yet() {
    let mut world = with_final();
    world.take(&first(&[ONE, TWO]));
    let filter = filter(&[], &[1]);
    let due = |world: &World, verify| {
        let due = world.aggregator.to_look(&filter, range(2, 40), verify);
        let names =
            |seen: &event::Seen| seen.nodes.iter().map(ToString::to_string).collect::<Vec<_>>();
        due.iter().map(|seen| (seen.range, names(seen).join(" "))).collect::<Vec<_>>()
    };
    assert_eq!(due(&world, Verify::Bloom), [(range(2, 9), "a".to_owned())]);
    assert_eq!(due(&world, Verify::Prove), []);
    let commit = world.aggregator.note_looked(filter.id(), range(4, 5));
    assert_eq!(commit.looked[0].1.to_string(), "4:5");
    world.take(&said("b", 7, 9, &[]).again());
    let left = [(range(2, 3), "a"), (range(6, 6), "a"), (range(7, 9), "a b")];
    assert_eq!(due(&world, Verify::Bloom), left.map(|(range, nodes)| (range, nodes.to_owned())));
}

#[test]
fn what_is_wrong_with_an_answer_is_told_once_however_often_a_second_look_reads_it() {
    let mut world = World::new(policy(Verify::Bloom));
    world.aggregator.set_finalized(9);
    world.take(&said("a", 1, 9, &[]));
    let mut bad = said("b", 3, 3, &[]).again();
    bad.flaws = vec![(Some(3), Flaw::ReceiptsRoot)];
    (0..3).for_each(|_| drop(world.take(&bad)));
    assert_eq!(world.blamed(), [("b", Flaw::ReceiptsRoot, 3, 1)]);
}

#[test]
fn what_nodes_differ_in_waits_for_receipts_whichever_of_them_has_more_and_however_many_say_so() {
    for verify in [Verify::Off, Verify::Bloom] {
        for lacking in [vec![], vec![ONE]] {
            let mut world = World::new(policy(verify));
            world.aggregator.claim_finalized_by(&NodeId::new("a"), &"watch".into(), 9, 20);
            let bare = |said: Said| if verify == Verify::Off { said.bare() } else { said };
            world.take(&bare(first(&[ONE, TWO])));
            let lacks = bare(said("b", 1, 9, &lacking).again());
            for _ in 0..2 {
                let second = world.take(&lacks);
                assert_eq!(second.ack.differs, [range(3, 3)]);
                assert_eq!(undecided(&world), [range(3, 3)]);
                assert_eq!(world.waiting.len(), 2 - lacking.len());
                let of_block = world.coverage[&*filter(&[], &[1])].iter();
                let of_block = of_block.filter(|i| i.range.contains(3)).flat_map(|i| &i.nodes);
                assert_eq!(of_block.collect::<Vec<_>>(), [&NodeId::new("a")]);
            }
            // Neither the same word again decides, nor that of one more.
            world.take(&bare(said("a", 3, 3, &[ONE, TWO]).again()));
            assert_eq!(undecided(&world), [range(3, 3)]);
            let third = world.take(&bare(said("c", 3, 3, &[ONE, TWO]).again()));
            assert_eq!(
                (undecided(&world), third.ack.differs),
                (vec![range(3, 3)], vec![range(3, 3)])
            );
            assert!(world.incidents.is_empty(), "{:?}", world.incidents);
            world.take(&said("c", 3, 3, &[ONE, TWO]).again().showing(3, &[ONE, TWO]));
            assert!(undecided(&world).is_empty() && world.waiting.is_empty());
            let count = 2 - lacking.len() as u64;
            assert_eq!(world.blamed(), [("b", Flaw::Missing, 3, count)]);
        }
    }
}

#[test]
fn receipts_settle_a_dispute_and_the_block_is_known_by_them() {
    let mut world = with_final();
    world.take(&first(&[ONE, TWO]));
    world.take(&said("b", 1, 9, &[ONE]).again());
    // Also those of the node that told it first.
    world.take(&said("a", 3, 3, &[ONE, TWO]).again().showing(3, &[ONE, TWO]));
    assert!(world.waiting.is_empty());
    let filter = filter(&[], &[1]);
    assert_eq!(world.evidence_at(&filter, 3).unwrap().content, Content::Receipts);
    assert_eq!(world.evidence_at(&filter, 4).unwrap().content, Content::Agreed(2));
    world.take(&said("b", 3, 3, &[ONE]).again());
    assert_eq!(world.blamed(), [("b", Flaw::Missing, 3, 1)]);
}

#[test]
fn every_node_that_lacked_what_is_proved_then_is_named() {
    let mut world = with_final();
    world.take(&first(&[ONE, TWO]));
    world.take(&said("b", 1, 9, &[ONE]).again());
    world.take(&said("c", 3, 3, &[]).again());
    world.take(&said("d", 3, 3, &[ONE, TWO]).again().showing(3, &[ONE, TWO]));
    assert_eq!(world.blamed(), [("b", Flaw::Missing, 3, 1), ("c", Flaw::Missing, 3, 2)]);
    // In doubt it was no word, and it is held against it all the same.
    let mut world = with_final();
    world.take(&Said { finalized: Some(9), ..said("a", 1, 9, &[]).in_doubt(&[3]) });
    world.take(&said("b", 1, 9, &[]).in_doubt(&[3]));
    world.take(&said("c", 3, 3, &[ONE, TWO]));
    world.take(&said("d", 3, 3, &[ONE, TWO]).again());
    assert_eq!(world.blamed(), [("a", Flaw::Missing, 3, 2), ("b", Flaw::Missing, 3, 2)]);
}

#[test]
fn who_lacks_what_two_made_up_is_not_named_and_they_are_once_receipts_come() {
    let mut world = with_final();
    world.take(&first(&[ONE, TWO]));
    world.take(&said("b", 1, 9, &[ONE, TWO]).again());
    // It gives no receipts, however often it is asked: two words stand against one.
    for _ in 0..2 {
        let second = world.take(&said("c", 3, 3, &[ONE]).again());
        assert_eq!((incidents(&second).len(), &second.ack.differs[..]), (0, &[range(3, 3)][..]));
        assert_eq!(undecided(&world), [range(3, 3)]);
    }
    // Whoever proves it, and for whatever reason.
    let proved = world.take(&said("d", 3, 3, &[ONE]).showing(3, &[ONE]));
    assert_eq!(proved.commit.refuted.len(), 1);
    assert_eq!(world.blamed(), [("a", Flaw::Forged, 3, 1), ("b", Flaw::Forged, 3, 1)]);
    assert!(undecided(&world).is_empty());
}

#[test]
fn what_was_told_of_a_node_that_was_right_is_withdrawn_once_receipts_show_it() {
    // At the head two gave what a third did not, and it was named when the block became final.
    let mut world = World::new(policy(Verify::Bloom));
    world.take(&said("a", 3, 3, &[ONE, TWO]));
    world.take(&said("b", 3, 3, &[ONE, TWO]));
    world.take(&said("c", 3, 3, &[ONE]));
    world.aggregator.set_finalized(9);
    world.flush();
    assert_eq!(world.blamed(), [("c", Flaw::Missing, 3, 1)]);
    let proved = world.take(&said("d", 3, 3, &[ONE]).again().showing(3, &[ONE]));
    let detail = "it kept nothing back of block 3: receipts show what it gave".to_owned();
    assert!(incidents(&proved).contains(&("c".to_owned(), Flaw::Withdrawn, detail)));
}

#[test]
fn what_is_proved_stays_proved_and_whoever_contradicts_it_is_named_once() {
    const OTHER: L = L(3, 1, 7, 9);
    let mut world = World::new(policy(Verify::Prove));
    world.aggregator.claim_finalized_by(&NodeId::new("a"), &"watch".into(), 9, 20);
    world
        .take(&Said { finalized: Some(9), ..said("a", 3, 3, &[ONE, TWO]) }.showing(3, &[ONE, TWO]));
    let mut liar = said("liar", 3, 3, &[ONE, OTHER]).again().in_doubt(&[3]);
    liar.flaws = vec![(Some(3), Flaw::ReceiptsRoot)];
    for _ in 0..2 {
        let second = world.take(&liar);
        assert!(second.ack.differs.is_empty() && second.ack.open.is_empty(), "{:?}", second.ack);
        assert!(undecided(&world).is_empty() && world.waiting.is_empty());
        let told =
            [Flaw::Forged, Flaw::Missing, Flaw::ReceiptsRoot].map(|flaw| ("liar", flaw, 3, 1));
        assert_eq!(world.blamed(), told);
        // A process that starts later knows it by what is covered.
        world.aggregator.proved.clear();
        world.aggregator.told_again.clear();
        world.incidents.clear();
    }
    let proved = world.evidence_at(&filter(&[], &[1]), 3).unwrap();
    assert_eq!(proved.content, Content::Receipts);
    assert_eq!(world.canonical_events().len(), 2);
}

#[test]
fn who_told_what_receipts_refute_is_named_once_whoever_reads_them_and_nobody_else() {
    let forged = |node: &str| (node.to_owned(), Flaw::Forged);
    let named = |outcome: &Outcome| {
        incidents(outcome).into_iter().map(|(node, flaw, _)| (node, flaw)).collect::<Vec<_>>()
    };
    // No second look: a range is read once more, by another node or by the same.
    for reader in ["b", "a"] {
        let mut world = with_final();
        world.take(&first(&[ONE, TWO]));
        let proved = said(reader, 1, 9, &[ONE]).showing(3, &[ONE]);
        assert_eq!(named(&world.take(&proved)), [forged("a")], "{reader}");
        assert!(world.take(&proved).commit.incidents.is_empty(), "it is told once");
    }
    // One that is caught with it once more is told of that, and not twice.
    let mut world = with_final();
    world.take(&first(&[ONE, TWO]));
    let mut proved = said("a", 1, 9, &[ONE, TWO]).showing(3, &[ONE]);
    proved.flaws = vec![(Some(3), Flaw::Forged)];
    assert_eq!(named(&world.take(&proved)), [forged("a")]);
    // While votes are kept they tell who gave it, and who only covers the block.
    let mut world = World::new(policy(Verify::Bloom));
    world.take(&said("a", 3, 3, &[ONE, TWO]));
    world.take(&said("b", 3, 3, &[ONE]));
    let proved = world.take(&said("c", 3, 3, &[ONE]).showing(3, &[ONE]));
    assert_eq!(proved.commit.refuted.len(), 1);
    assert_eq!(named(&proved).iter().filter(|told| told.1 == Flaw::Forged).count(), 1);
    assert!(named(&proved).contains(&forged("a")), "{:?}", incidents(&proved));
}

#[test]
fn what_is_stored_where_a_bloom_excludes_it_is_refuted_and_only_whoever_told_it_is_named() {
    // Read without headers at first; block 3 has nothing of the filter.
    let mut world = World::new(policy(Verify::Off));
    world.aggregator.claim_finalized_by(&NodeId::new("a"), &"watch".into(), 9, 20);
    world.take(&first(&[ONE]).bare());
    let bare = world.take(&said("b", 1, 9, &[]).again().bare());
    assert_eq!(bare.ack.differs, [range(3, 3)]);
    let proved = Said { content: Content::Receipts, ..said("b", 3, 3, &[]).again() };
    let proved = world.take(&proved);
    assert_eq!((proved.commit.refuted.len(), ops(&proved)), (1, vec![(Op::Refute, 3, 3, 1)]));
    assert_eq!(world.blamed(), [("a", Flaw::Forged, 3, 1)]);
    assert!(world.waiting.is_empty());
    world.take(&Said { content: Content::Receipts, ..said("c", 3, 3, &[]).again() });
    assert_eq!(world.blamed(), [("a", Flaw::Forged, 3, 1)]);
}

#[test]
fn nobody_stays_named_for_what_two_altered_alike() {
    const OTHER: L = L(3, 1, 7, 9);
    let mut world = with_final();
    world.take(&first(&[ONE, OTHER]));
    world.take(&said("b", 1, 9, &[ONE, OTHER]).again());
    for _ in 0..2 {
        world.take(&said("c", 3, 3, &[ONE, TWO]).again());
    }
    world.take(&said("a", 3, 3, &[ONE, OTHER]).again());
    let proved = world.take(&said("c", 3, 3, &[ONE, TWO]).again().showing(3, &[ONE, TWO]));
    assert_eq!((proved.commit.refuted.len(), proved.ack.new_events), (1, 1));
    let of = |node: &str| world.incidents.iter().rfind(|told| &*told.node.0 == node);
    assert!(of("c").is_none_or(|last| last.flaw == Flaw::Withdrawn), "{:?}", of("c"));
    let forged = |node: &str| {
        world.incidents.iter().any(|told| &*told.node.0 == node && told.flaw == Flaw::Forged)
    };
    assert!(forged("a") && forged("b"), "{:?}", world.incidents);
}

/// A log of one contract waits for receipts: that leaves nothing open of another contract's blocks.
#[test]
fn a_dispute_is_one_of_those_filters_alone_that_its_logs_match() {
    let (seven, eight) = (filter(&[7], &[1]), filter(&[8], &[1]));
    let mut world = with_final();
    world.take(&first(&[ONE]).of(seven.clone()));
    world.take(&first(&[]).of(eight.clone()));
    let adds = world.take(&said("b", 1, 9, &[ONE, TWO]).of(seven).again());
    assert_eq!(adds.ack.differs, [range(3, 3)]);
    let same = world.take(&said("b", 1, 9, &[]).of(eight.clone()).again());
    assert_eq!((&same.ack.differs[..], same.ack.agreed), (&[][..], 9));
    assert_eq!(world.intervals(&eight), [(1, 9, Content::Agreed(2))]);
}

#[test]
fn what_was_not_compared_is_agreed_once_one_more_node_says_all_of_it() {
    let mut world = with_final();
    world.take(&first(&[ONE, TWO]));
    world.take(&said("b", 1, 9, &[ONE, TWO]));
    let filter = filter(&[], &[1]);
    assert_eq!(world.intervals(&filter), [(1, 9, Content::Bloom)]);
    world.take(&said("c", 1, 9, &[ONE, TWO]).again());
    assert_eq!(world.intervals(&filter), [(1, 9, Content::Agreed(2))]);
}
