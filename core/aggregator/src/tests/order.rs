//! The order in which chunks arrive leaves no trace.

use super::*;
use proptest::prelude::*;

/// Chunks of one chain, some in doubt, some read twice, by three nodes.
fn chunks() -> impl Strategy<Value = Vec<Said>> {
    let chunk = (0usize..3, proptest::collection::vec((0u64..5, 0u8..2, 0u8..2), 0..6), 0u64..9);
    let chunks = proptest::collection::vec((chunk.clone(), proptest::option::of(chunk)), 1..7);
    chunks.prop_map(|chunks| {
        let mut all = Vec::new();
        for (i, (first, again)) in chunks.into_iter().enumerate() {
            for (node, logs, doubt) in std::iter::once(first).chain(again) {
                let from = 1 + 5 * i as u64;
                let mut logs: Vec<L> =
                    logs.into_iter().map(|(n, tx, data)| L(from + n, tx, 1, data)).collect();
                logs.sort_unstable();
                let mut said = said(["a", "b", "c"][node], from, from + 4, &logs);
                if doubt < 5 && !logs.iter().any(|log| log.0 == from + doubt) {
                    said.doubt = vec![from + doubt];
                }
                all.push(said);
            }
        }
        all
    })
}

fn run(policy: Policy, chunks: &[Said]) -> World {
    let mut world = World::new(policy);
    for chunk in chunks {
        world.take(chunk);
    }
    world
}

proptest! {
    #[test]
    fn any_order_of_chunks_gives_the_same_ledger(
        (chunks, shuffled) in chunks().prop_flat_map(|c| (Just(c.clone()), Just(c).prop_shuffle()))
    ) {
        for policy in [policy(Verify::Off), policy(Verify::Bloom), policy(Verify::Agree(2)), policy(Verify::Prove)] {
            let one = run(policy, &chunks);
            let other = run(policy, &shuffled);
            prop_assert_eq!(one.canonical_events(), other.canonical_events());
            prop_assert_eq!(&one.coverage, &other.coverage);
            prop_assert_eq!(&one.blocks, &other.blocks);
        }
    }

    #[test]
    fn events_are_the_union_of_what_nodes_say_by_count(chunks in chunks()) {
        let world = run(policy(Verify::Bloom), &chunks);
        let mut expected: BTreeMap<L, usize> = BTreeMap::new();
        for chunk in &chunks {
            let mut counts: BTreeMap<L, usize> = BTreeMap::new();
            chunk.logs.iter().for_each(|log| *counts.entry(*log).or_default() += 1);
            for (log, count) in counts {
                let most = expected.entry(log).or_default();
                *most = count.max(*most);
            }
        }
        prop_assert_eq!(world.events.len(), expected.values().sum::<usize>());
    }

    #[test]
    fn a_restart_between_any_two_reports_changes_nothing(chunks in chunks(), at in 0usize..8) {
        let at = at.min(chunks.len());
        let undisturbed = run(policy(Verify::Bloom), &chunks);
        let mut world = run(policy(Verify::Bloom), &chunks[..at]);
        let coverage = world.coverage.iter();
        let mut blocks: Vec<event::BlockRow> = Vec::new();
        for ((number, hash), canonical) in &world.blocks {
            let parent = Some(A.hash(number - 1));
            let row = event::BlockRow {
                number: *number, hash: *hash, parent, timestamp: Some(0), canonical: *canonical,
            };
            blocks.push(row);
        }
        let state = ChainState {
            coverage: coverage.map(|(f, i)| (Arc::new(f.clone()), i.clone())).collect(),
            blocks,
            ..ChainState::default()
        };
        world.aggregator =
            Aggregator::new(ChainProfile::ethereum(CHAIN), policy(Verify::Bloom), state);
        for chunk in &chunks[at..] {
            world.take(chunk);
        }
        prop_assert_eq!(undisturbed.canonical_events(), world.canonical_events());
        prop_assert_eq!(&undisturbed.coverage, &world.coverage);
        prop_assert_eq!(undisturbed.rows.len(), world.rows.len());
    }
}

/// What really happened: one log in every third block, told apart by the branch's name.
fn truth(branch: Branch, number: u64) -> Vec<L> {
    let name = if number <= branch.fork { b'A' } else { branch.name };
    if (number + u64::from(name)).is_multiple_of(3) { vec![L(number, 0, 1, name)] } else { vec![] }
}

fn honest(branch: Branch, range: BlockRange) -> Said {
    let logs: Vec<L> =
        (range.first()..=range.last()).flat_map(|number| truth(branch, number)).collect();
    said("a", range.first(), range.last(), &logs).on(branch)
}

proptest! {
    #[test]
    fn after_any_flips_reading_what_is_missing_gives_the_last_branch_exactly(
        flips in proptest::collection::vec((0usize..4, 1u64..14, 0u64..5), 0..8),
        last in 0usize..4,
        is_bare in any::<bool>(),
    ) {
        let branches = [
            A,
            Branch { name: b'B', fork: 4 },
            Branch { name: b'C', fork: 9 },
            Branch { name: b'D', fork: 4 },
        ];
        let mut world = World::new(policy(if is_bare { Verify::Off } else { Verify::Bloom }));
        let say = |world: &mut World, branch, range| {
            let said = honest(branch, range);
            world.take(&if is_bare { said.bare() } else { said })
        };
        for (branch, first, width) in flips {
            say(&mut world, branches[branch], range(first, first + width));
        }
        let branch = branches[last];
        // The head first, as a tracker does that walks down from it.
        say(&mut world, branch, range(18, 18));
        if is_bare {
            // Without headers an old branch shows only where it has logs: read all once.
            say(&mut world, branch, range(1, 18));
        }
        let all = filter(&[], &[1]);
        let verify = Verify::Off;
        for _ in 0..40 {
            let missing = world.aggregator.missing(&all, range(1, 18), verify);
            let Some((open, _)) = missing.last() else { break };
            say(&mut world, branch, *open);
        }
        prop_assert!(world.aggregator.missing(&all, range(1, 18), verify).is_empty());
        let expected: Vec<(u64, B256)> = (1..=18)
            .flat_map(|number| truth(branch, number))
            .map(|log| (log.0, branch.hash(log.0)))
            .collect();
        let found: Vec<(u64, B256)> =
            world.canonical_events().iter().map(|(n, id)| (*n, id.block_hash)).collect();
        if !is_bare {
            prop_assert_eq!(found, expected);
        } else {
            // Every event of the branch is there; one of a left branch may stay where the new
            // one has nothing to say.
            prop_assert!(expected.iter().all(|event| found.contains(event)));
        }
    }
}
