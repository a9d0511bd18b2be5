//! What becomes an event, what waits, what was never there.

use super::*;

fn agree(n: u8) -> Policy {
    Policy { admission: Admission::Agree(n), ..policy(Verify::Bloom) }
}

fn occurrences(world: &World) -> Vec<u32> {
    let mut all: Vec<u32> = world.events.iter().map(|(id, _)| id.occurrence).collect();
    all.sort_unstable();
    all
}

#[test]
fn a_clean_report_is_moved_whole_into_its_batch() {
    let mut world = World::new(policy(Verify::Off));
    let logs = [L(3, 0, 1, 1), L(3, 1, 1, 1), L(5, 0, 2, 7)];
    let (report, judgement) = said("a", 1, 9, &logs).bare().make();
    assert!(!world.aggregator.needs_known(&report));
    let address = report.logs.data.as_ptr();
    let outcome = world.aggregator.on_report(report, judgement, None, &mut world.journal);
    assert_eq!(outcome.commit.events.len(), 1);
    assert_eq!(outcome.commit.events[0].logs.data.as_ptr(), address);
    assert_eq!(ops(&outcome), [(Op::Extend, 1, 9, 3)]);
    assert_eq!(outcome.ack.new_events, 3);
    assert!(outcome.ack.open.is_empty());
}

#[test]
fn identical_logs_of_a_transaction_are_counted_and_a_late_copy_is_the_next() {
    let mut world = World::new(policy(Verify::Off));
    world.take(&said("a", 1, 9, &[L(3, 0, 1, 1), L(3, 0, 2, 1)]).bare());
    let twice = [L(3, 0, 1, 1), L(3, 0, 2, 1), L(3, 0, 1, 1)];
    let outcome = world.take(&said("b", 1, 9, &twice).bare());
    assert_eq!(ops(&outcome), [(Op::Late, 3, 3, 1)]);
    assert_eq!(outcome.ack.known_events, 2);
    assert_eq!(occurrences(&world), [0, 0, 1]);
}

#[test]
fn occurrences_are_counted_in_whatever_order_the_rows_come() {
    let mut orders = vec![
        vec![L(3, 0, 1, 1), L(3, 1, 1, 1), L(3, 0, 1, 1), L(4, 0, 1, 1)],
        vec![L(4, 0, 1, 1), L(3, 0, 1, 1), L(3, 1, 1, 1), L(3, 0, 1, 1)],
        vec![L(3, 1, 1, 1), L(3, 0, 1, 1), L(3, 0, 1, 1), L(4, 0, 1, 1)],
    ];
    // More than are compared pairwise.
    orders.push((0..40).map(|i| L(3, 0, 1, i % 20)).collect());
    for logs in orders {
        let mut world = World::new(policy(Verify::Off));
        world.take(&said("a", 1, 9, &logs).bare());
        let copies = occurrences(&world).iter().filter(|o| **o == 1).count();
        let mut distinct = logs.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(copies, logs.len() - distinct.len());
    }
}

#[test]
fn f68_the_same_report_twice_changes_nothing() {
    let mut world = World::new(policy(Verify::Bloom));
    let mut report = said("a", 1, 9, &[L(3, 0, 1, 1), L(3, 0, 1, 1), L(5, 0, 2, 7)]);
    report.doubt = vec![7];
    world.take(&report);
    let outcome = world.take(&report);
    assert_eq!(outcome.commit, event::Commit::empty(CHAIN));
    assert_eq!((outcome.ack.new_events, outcome.ack.known_events), (0, 3));
    // From another node: only its name.
    report.node = "b";
    let mut commit = world.take(&report).commit;
    assert_eq!(commit.coverage.len(), 1);
    let nodes = [NodeId::new("a"), NodeId::new("b")];
    assert!(commit.coverage.iter().flat_map(|c| &c.intervals).all(|i| i.nodes == nodes));
    assert_eq!(commit.sightings.len(), 9);
    commit.coverage.clear();
    commit.sightings.clear();
    assert_eq!(commit, event::Commit::empty(CHAIN));
}

#[test]
fn an_event_in_a_range_covered_by_a_wider_filter_is_late() {
    let mut world = World::new(policy(Verify::Off));
    world.take(&said("a", 1, 9, &[]).bare());
    let narrow = said("b", 5, 12, &[L(6, 0, 1, 1), L(11, 0, 1, 1)]).of(filter(&[1], &[1])).bare();
    let outcome = world.take(&narrow);
    assert_eq!(ops(&outcome), [(Op::Extend, 5, 12, 1), (Op::Late, 6, 6, 1)]);
}

#[test]
fn a_block_in_doubt_stays_open_until_receipts_show_it() {
    let mut world = World::new(policy(Verify::Bloom));
    let mut report = said("a", 1, 9, &[L(3, 0, 1, 1)]);
    report.doubt = vec![5];
    let outcome = world.take(&report);
    assert_eq!(outcome.ack.open.len(), 1);
    assert_eq!(outcome.ack.open[0].0, range(5, 5));
    let all = filter(&[], &[1]);
    assert_eq!(world.intervals(&all), [(1, 4, Content::Bloom), (6, 9, Content::Bloom)]);
    assert_eq!(world.aggregator.missing(&all, range(1, 9), Verify::Bloom)[0].0, range(5, 5));
    let mut shown = said("a", 5, 5, &[]);
    shown.receipts = vec![(5, vec![L(5, 0, 1, 1)])];
    let outcome = world.take(&shown);
    assert_eq!(ops(&outcome), [(Op::Extend, 5, 5, 1)]);
    assert_eq!(world.intervals(&all), [(1, 9, Content::Bloom)]);
    // Under a policy that takes the node's word, nothing is in doubt.
    let mut world = World::new(policy(Verify::Off));
    world.take(&report);
    assert_eq!(world.intervals(&all), [(1, 9, Content::Claimed)]);
}

#[test]
fn stored_events_of_a_doubtful_block_leave_a_trace_in_coverage() {
    // Without it a process that starts later would not know that they are stored.
    let mut world = World::new(policy(Verify::Bloom));
    let mut report = said("a", 1, 9, &[L(5, 0, 1, 1)]);
    report.doubt = vec![5];
    world.take(&report);
    let state = ChainState {
        coverage: world.coverage.iter().map(|(f, i)| (Arc::new(f.clone()), i.clone())).collect(),
        ..ChainState::default()
    };
    let profile = ChainProfile::ethereum(CHAIN);
    world.aggregator = Aggregator::new(profile, policy(Verify::Bloom), state);
    world.take(&said("b", 5, 5, &[L(5, 0, 1, 1)]));
    assert_eq!(world.events.len(), 1);
}

#[test]
fn what_one_node_says_waits_until_another_agrees() {
    let mut world = World::new(agree(2));
    let outcome = world.take(&said("a", 1, 9, &[L(5, 0, 1, 1)]));
    assert!(world.events.is_empty());
    assert_eq!(outcome.commit.candidates.len(), 1);
    assert_eq!(outcome.ack.open[0].0, range(5, 5));
    // The same node again is no second word.
    world.take(&said("a", 1, 9, &[L(5, 0, 1, 1)]));
    assert!(world.events.is_empty());
    let outcome = world.take(&said("b", 1, 9, &[L(5, 0, 1, 1)]));
    assert_eq!(world.events.len(), 1);
    assert_eq!(outcome.commit.candidates_closed.len(), 1);
    assert_eq!(world.intervals(&filter(&[], &[1])), [(1, 9, Content::Bloom)]);
}

#[test]
fn receipts_admit_at_once_and_drop_what_they_do_not_have() {
    let mut world = World::new(agree(2));
    world.take(&said("liar", 1, 9, &[L(5, 0, 1, 66)]));
    let mut shown = said("a", 5, 5, &[L(5, 0, 1, 1)]);
    shown.receipts = vec![(5, vec![L(5, 0, 1, 1)])];
    let outcome = world.take(&shown);
    assert_eq!(world.events.len(), 1);
    assert_eq!(outcome.commit.candidates_closed.len(), 1);
    let incident = &outcome.commit.incidents[0];
    assert_eq!((incident.flaw, &*incident.node.0), (Flaw::Forged, "liar"));
}

#[test]
fn a_stored_event_that_receipts_do_not_have_is_refuted_once() {
    let mut world = World::new(policy(Verify::Bloom));
    world.take(&said("liar", 1, 9, &[L(5, 0, 1, 66), L(5, 1, 1, 1)]));
    let mut shown = said("a", 5, 5, &[L(5, 1, 1, 1)]);
    shown.receipts = vec![(5, vec![L(5, 1, 1, 1), L(5, 2, 9, 3)])];
    shown.receipts[0].1.retain(|log| log.2 == 1);
    let outcome = world.take(&shown);
    assert_eq!(ops(&outcome), [(Op::Refute, 5, 5, 1)]);
    assert_eq!(outcome.commit.refuted.len(), 1);
    assert!(world.take(&shown).commit.refuted.is_empty());
    // Receipts that do not recompute refute nothing.
    let mut world = World::new(policy(Verify::Bloom));
    world.take(&said("liar", 1, 9, &[L(5, 0, 1, 66)]));
    shown.flaws = vec![(Some(5), Flaw::ReceiptsRoot)];
    assert!(world.take(&shown).commit.refuted.is_empty());
}

#[test]
fn f32_a_range_beyond_the_nodes_own_head_is_not_taken() {
    let mut world = World::new(policy(Verify::Off));
    let mut report = said("a", 1, 9, &[L(3, 0, 1, 1)]).bare();
    report.head = 8;
    let outcome = world.take(&report);
    assert_eq!(outcome.commit.incidents[0].flaw, Flaw::BeyondHead);
    assert!(world.events.is_empty() && world.coverage.is_empty());
    assert_eq!(outcome.ack.open[0].0, range(1, 9));
}

#[test]
fn an_answer_without_one_admitted_log_covers_nothing() {
    let mut world = World::new(policy(Verify::Off));
    let (report, mut judgement) = said("a", 1, 9, &[L(3, 0, 1, 1)]).bare().make();
    judgement.admit = vec![false];
    let outcome = world.aggregator.on_report(report, judgement, None, &mut world.journal);
    assert!(outcome.commit.coverage.is_empty() && outcome.commit.events.is_empty());
    assert!(!outcome.ack.open.is_empty());
}

#[test]
fn columns_that_do_not_fit_are_refused_without_a_panic() {
    let break_it: [fn(&mut Report, &mut Judgement); 7] = [
        |report, _| report.logs.block[0] = 7,
        |report, _| report.logs.address.clear(),
        |report, _| report.logs.data_offsets[1] = 99,
        |report, _| report.logs.topic_offsets.clear(),
        |report, _| report.blocks[0].number = 1_000,
        |_, judgement| judgement.admit.clear(),
        |_, judgement| judgement.blocks.clear(),
    ];
    for break_it in break_it {
        let mut world = World::new(policy(Verify::Off));
        let (mut report, mut judgement) = said("a", 1, 9, &[L(3, 0, 1, 1)]).bare().make();
        break_it(&mut report, &mut judgement);
        let outcome = world.aggregator.on_report(report, judgement, None, &mut world.journal);
        assert_eq!(outcome.commit, event::Commit::empty(CHAIN));
        assert_eq!(outcome.ack.open[0].0, range(1, 9));
    }
}

#[test]
fn without_the_stored_ids_an_overlapping_report_is_not_taken() {
    let mut world = World::new(policy(Verify::Off));
    let said = said("a", 1, 9, &[L(3, 0, 1, 1)]).bare();
    world.take(&said);
    let (report, judgement) = said.make();
    let outcome = world.aggregator.on_report(report, judgement, None, &mut world.journal);
    assert_eq!(outcome.commit.event_count(), 0);
    assert!(!outcome.ack.open.is_empty());
}

#[test]
fn two_chains_of_one_ledger_never_share_a_journal_number() {
    let mut one = World::new(policy(Verify::Off));
    let profile = ChainProfile::ethereum(ChainId(2));
    let mut two = Aggregator::new(profile, policy(Verify::Off), ChainState::default());
    let mut journal = JournalCounter::after(41);
    let (report, judgement) = said("a", 1, 9, &[]).bare().make();
    let first = one.aggregator.on_report(report, judgement, None, &mut journal);
    let (mut report, judgement) = said("a", 1, 9, &[]).bare().make();
    report.chain = ChainId(2);
    let second = two.on_report(report, judgement, None, &mut journal);
    assert_eq!(first.commit.journal[0].seq, 42);
    assert_eq!(second.commit.journal[0].seq, 43);
}
