//! Box algebra and questions about coverage, against a model that lists every log.

use super::*;
use crate::boxes;
use proptest::prelude::*;

/// Three values and one that no filter names.
const VALUES: [u8; 4] = [1, 2, 3, 9];

fn side() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => Just(vec![]),
        4 => proptest::sample::subsequence(vec![1u8, 2, 3], 1..=3),
    ]
}

fn boxed(finite: bool) -> impl Strategy<Value = Arc<Filter>> {
    (side(), side(), side()).prop_map(move |(a, t0, t1)| {
        let or_one = |side: Vec<u8>| if finite && side.is_empty() { vec![1] } else { side };
        let mut filter = (*filter(&or_one(a), &or_one(t0))).clone();
        filter.topics[1] = AnyOf::of(or_one(t1).into_iter().map(topic)).unwrap_or(AnyOf::Any);
        Arc::new(filter)
    })
}

/// Every log of the universe: address, and none, one or two topics.
fn universe() -> Vec<(Address, Vec<B256>)> {
    let mut logs = vec![];
    for a in VALUES {
        logs.push((address(a), vec![]));
        for t0 in VALUES {
            logs.push((address(a), vec![topic(t0)]));
            logs.extend(VALUES.map(|t1| (address(a), vec![topic(t0), topic(t1)])));
        }
    }
    logs
}

fn matches(filter: &Filter, log: &(Address, Vec<B256>)) -> bool {
    filter.matches(log_ref(&log.0, &log.1, &[], &B256::ZERO))
}

fn cover(world: &mut World, filter: &Arc<Filter>, range: BlockRange) {
    world.take(&said("a", range.first(), range.last(), &[]).of(Arc::clone(filter)).bare());
}

#[test]
fn a_wider_filter_asks_only_for_what_is_missing() {
    let mut world = World::new(policy(Verify::Off));
    cover(&mut world, &filter(&[1], &[1]), range(10, 20));
    let missing = world.aggregator.missing(&filter(&[1, 2], &[1, 2]), range(10, 20), Verify::Off);
    let boxes = vec![(*filter(&[1], &[2])).clone(), (*filter(&[2], &[1, 2])).clone()];
    assert_eq!(missing, [(range(10, 20), boxes)]);
}

#[test]
fn a_wider_range_asks_only_for_what_is_missing() {
    let mut world = World::new(policy(Verify::Off));
    let wanted = filter(&[1], &[1]);
    cover(&mut world, &wanted, range(10, 20));
    cover(&mut world, &wanted, range(31, 40));
    let all = vec![(*wanted).clone()];
    let missing = world.aggregator.missing(&wanted, range(5, 50), Verify::Off);
    let gaps = [(range(5, 9), all.clone()), (range(21, 30), all.clone()), (range(41, 50), all)];
    assert_eq!(missing, gaps);
}

#[test]
fn the_complement_of_a_set_is_asked_whole() {
    let mut world = World::new(policy(Verify::Off));
    cover(&mut world, &filter(&[1], &[1]), range(1, 5));
    let wanted = filter(&[], &[1]);
    let missing = world.aggregator.missing(&wanted, range(1, 5), Verify::Off);
    assert_eq!(missing, [(range(1, 5), vec![(*wanted).clone()])]);
}

#[test]
fn what_is_covered_by_several_boxes_together_is_covered() {
    let mut world = World::new(policy(Verify::Off));
    cover(&mut world, &filter(&[1], &[1, 2]), range(1, 10));
    cover(&mut world, &filter(&[2], &[]), range(1, 8));
    let wanted = [filter(&[1, 2], &[1])];
    let through = |from| world.aggregator.covered_through(&wanted, from, Content::Claimed);
    assert_eq!(through(1), Some(8));
    assert_eq!(through(9), None);
    assert_eq!(through(0), None);
    assert_eq!(world.aggregator.covered_through(&wanted, 1, Content::Bloom), None);
}

#[test]
fn weaker_evidence_is_missing_for_a_stronger_demand() {
    let mut world = World::new(policy(Verify::Bloom));
    let wanted = filter(&[], &[1]);
    world.take(&said("a", 1, 9, &[]));
    assert!(world.aggregator.missing(&wanted, range(1, 9), Verify::Bloom).is_empty());
    assert!(!world.aggregator.missing(&wanted, range(1, 9), Verify::Prove).is_empty());
}

proptest! {
    #[test]
    fn a_difference_is_never_less_than_what_is_missing(
        wanted in boxed(false), covered in proptest::collection::vec(boxed(false), 0..5)
    ) {
        let rest = boxes::difference(&wanted, covered.iter().map(|c| &**c));
        for log in universe() {
            let is_missing = matches(&wanted, &log) && !covered.iter().any(|c| matches(c, &log));
            let is_asked = rest.iter().any(|b| matches(b, &log));
            prop_assert!(is_asked || !is_missing);
            prop_assert!(!is_asked || matches(&wanted, &log));
        }
    }

    #[test]
    fn a_difference_of_finite_boxes_is_exact(
        wanted in boxed(true), covered in proptest::collection::vec(boxed(true), 0..5)
    ) {
        let rest = boxes::difference(&wanted, covered.iter().map(|c| &**c));
        for log in universe() {
            let is_missing = matches(&wanted, &log) && !covered.iter().any(|c| matches(c, &log));
            prop_assert_eq!(rest.iter().any(|b| matches(b, &log)), is_missing);
        }
    }

    #[test]
    fn boxes_meet_and_contain_as_their_logs_do(a in boxed(false), b in boxed(false)) {
        let logs = universe();
        let meets = logs.iter().any(|log| matches(&a, log) && matches(&b, log));
        prop_assert_eq!(a.meets(&b), meets);
        if boxes::contains(&a, &b) {
            prop_assert!(logs.iter().all(|log| matches(&a, log) || !matches(&b, log)));
        }
    }

    #[test]
    fn missing_and_covered_through_agree_with_a_model_per_block(
        wanted in boxed(true),
        covered in proptest::collection::vec((boxed(true), 1u64..12, 0u64..6), 0..6),
    ) {
        let mut world = World::new(policy(Verify::Off));
        for (filter, first, width) in &covered {
            cover(&mut world, filter, range(*first, first + width));
        }
        let missing = world.aggregator.missing(&wanted, range(1, 20), Verify::Off);
        prop_assert!(missing.windows(2).all(|w| w[0].0.last() < w[1].0.first()));
        let mut through = None;
        let mut is_open = false;
        for number in 1..=20 {
            let boxes = missing.iter().find(|(range, _)| range.contains(number)).map(|(_, b)| b);
            let mut whole = true;
            for log in universe() {
                let is_covered = covered.iter().any(|(filter, first, width)| {
                    range(*first, first + width).contains(number) && matches(filter, &log)
                });
                let is_missing = matches(&wanted, &log) && !is_covered;
                let is_asked = boxes.is_some_and(|b| b.iter().any(|b| matches(b, &log)));
                prop_assert_eq!(is_asked, is_missing);
                whole &= !is_missing;
            }
            is_open |= !whole;
            if !is_open {
                through = Some(number);
            }
        }
        let answer = world.aggregator.covered_through(&[wanted], 1, Content::Claimed);
        prop_assert_eq!(answer, through);
    }
}
