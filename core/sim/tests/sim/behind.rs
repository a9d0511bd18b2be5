//! A start so far behind that the gap takes long: the head is followed meanwhile, and a plugin has
//! its blocks in order.

use crate::watching::{Plan, Watch};
use event::BlockRange;
use sim::{
    Methods, Rule, Trouble, World, WorldSettings, account,
    chain::{Traffic, expected},
    lane_problems,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// Blocks that were missed.
const GAP_BLOCKS: u64 = 100_000;
/// Blocks that the head may be ahead of an event when it is in the ledger.
const BEHIND_MAX: u64 = 2;
/// Long enough for the gap and for a while after it.
const ENDS_AT_MS: u64 = 15 * 60_000;

#[test]
fn a_start_100_000_blocks_behind_tells_the_head_at_once_and_a_plugin_everything_in_order() {
    let traffic = Traffic { empty_per_mille: 940, transfer_per_mille: 900, ..Traffic::default() };
    let world = World::new(WorldSettings {
        traffic,
        blocks_at_start: GAP_BLOCKS,
        block_time_ms: 3_000,
        ..WorldSettings::of_seed(91)
    });
    // Ranges are read so slowly that the gap takes many blocks' time.
    let slow = || {
        let ranges = Methods::RANGE_LOGS.and(Methods::HEADERS);
        vec![Rule::on(ranges, Trouble::Slow { by_ms: 4_000 })]
    };
    let nodes = ["first", "second", "third"].map(|name| world.add_node(name, slow()));
    let mut watch = Watch::new(&world, nodes.into(), Plan::until(ENDS_AT_MS));
    let (chain, filter) = (watch.chain(), watch.filter.clone());
    // The oracle looks at all coverage with every transaction: too much of it here.
    // When the events of a block came into the ledger: the chain's head at that moment.
    let told: Arc<Mutex<BTreeMap<u64, u64>>> = Arc::default();
    let filled: Arc<Mutex<Option<u64>>> = Arc::default();
    let (telling, seen, filling) = (told.clone(), world.clone(), filled.clone());
    watch.store.on_apply(Box::new(move |commits, image| {
        let head = seen.tree(|tree| tree.head().number);
        let covered = image.coverage_of(chain);
        let mut missing = 1;
        for interval in covered.iter().flat_map(|(_, intervals)| intervals) {
            if interval.range.contains(missing) {
                missing = interval.range.last() + 1;
            }
        }
        if missing > GAP_BLOCKS {
            filling.lock().unwrap().get_or_insert(head);
        }
        let batches = commits.iter().flat_map(|commit| &commit.events);
        for (number, _) in batches.flat_map(|batch| &batch.blocks) {
            telling.lock().unwrap().entry(*number).or_insert(head);
        }
    }));
    let waited: Arc<Mutex<u64>> = Arc::default();
    let (waiting, noted, still) = (waited.clone(), told.clone(), filled.clone());
    watch.on_step = Some(Box::new(move |_, lane| {
        let newest = noted.lock().unwrap().last_key_value().map_or(0, |(number, _)| *number);
        if newest > GAP_BLOCKS && still.lock().unwrap().is_none() {
            // Events of the head are there, and it has not been shown any of them.
            let next = lane.lane().cursor().next_block;
            assert!(next <= GAP_BLOCKS, "the plugin came to {next} over a gap");
            *waiting.lock().unwrap() += 1;
        }
    }));

    watch.live();

    let told = told.lock().unwrap();
    let (through, head) = world.tree(|tree| (tree.finalized(), tree.head().number));
    let late = |(number, head): &(&u64, &u64)| **number + BEHIND_MAX < **head;
    let of_head = || told.range(GAP_BLOCKS + 1..);
    assert_eq!(of_head().filter(late).collect::<Vec<_>>(), [], "behind the head");
    // What was mined while the gap was filled, with events.
    let filled_at = filled.lock().unwrap().expect("the gap is filled in the end");
    let range = BlockRange::new(GAP_BLOCKS + 1, filled_at - 1).unwrap();
    let mined = world.tree(|tree| expected(tree, &filter, range));
    let mined: std::collections::BTreeSet<u64> = mined.iter().map(|(number, _)| *number).collect();
    assert!(mined.len() >= 3, "{mined:?}: the gap took only until block {filled_at}");
    assert!(mined.iter().all(|number| told.contains_key(number)), "{mined:?}");
    assert!(*waited.lock().unwrap() > 0);

    let range = BlockRange::new(1, through).unwrap();
    assert_eq!(watch.missing(through), []);
    watch.store.look(|image| {
        world.tree(|tree| {
            let account = account(image, tree, std::slice::from_ref(&filter), range);
            assert!(account.is_balanced(), "{:#?}", account.problems());
            assert!(account.found > 1_000, "{}", account.found);
            let problems = lane_problems(image, tree, &filter, 1);
            assert!(problems.is_empty(), "{problems:#?}");
        });
    });
    let handled = watch.handled.borrow();
    assert!(handled.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order, once");
    let last = handled.last().expect("it was told").0;
    assert!(last + BEHIND_MAX >= head, "the plugin came to {last} of {head}");
}
