//! Many seeds of `watch`: one to three nodes in random trouble, reorgs, stalls, crashes. The oracle
//! looks at every transaction; after the trouble has ended everything comes about.

use crate::{
    happenings::{another_finality, something_happens},
    repeat::{for_seeds, is_one_seed},
    watching::{Plan, Watch},
};
use event::{BlockRange, Flaw, Node, NodeId, Op, Verify, Visibility};
use sim::{
    Crash, Happening, Methods, ORDER_INSIDE_A_BLOCK, Rule, SimNode, Sometimes, Trouble, World,
    WorldSettings, account,
    chain::Traffic,
    faults::{Harm, Persona, swarm},
    lane_problems,
    rng::Rng,
};
use std::sync::Arc;

/// Trouble ends here, in milliseconds of the virtual clock: a quarter of an hour.
const HEALS_AT_MS: u64 = 900_000;
/// The watch ends here: enough for everything to become final.
const ENDS_AT_MS: u64 = HEALS_AT_MS + 1_200_000;
/// Blocks by which finality moves at once.
const EPOCH_BLOCKS: u64 = 8;
/// Seeds of `make test`; `make long` sets HEADCOUNT_SEEDS.
const SEEDS: u64 = 300;

/// What some of the seeds must reach, or they test nothing.
const SOMETIMES: [&str; 19] = [
    "reorg",
    "a left branch came back",
    "chain stalled",
    "finality stalled",
    "nodes on another branch",
    "process died",
    "blocks were reverted",
    "blocks came back",
    "events were found late",
    "a liar of three was named",
    "one node alone",
    "two nodes",
    "three nodes",
    "an honest node was away",
    "a node left the finalized chain",
    "a gap was filled",
    "blocks were looked at again",
    "no logs",
    "lost log",
];

fn world(seed: u64, rng: &mut Rng) -> World {
    let traffic = Traffic {
        transactions_max: rng.between(1, 4),
        logs_max: rng.between(1, 4),
        empty_per_mille: rng.below(500) as u32,
        transfer_per_mille: rng.between(100, 900) as u32,
        system_logs_from: rng.chance(200).then(|| rng.below(100)),
        ..Traffic::default()
    };
    let blocks_at_start = rng.between(40, 160);
    World::new(WorldSettings { traffic, blocks_at_start, ..WorldSettings::of_seed(seed) })
}

fn script(world: &World, rng: &mut Rng, liar: &NodeId, most_stay: bool) {
    for _ in 0..rng.below(8) {
        let at_ms = rng.below(HEALS_AT_MS);
        something_happens(world, rng, liar, at_ms);
    }
    // One of two that leaves is half of them, and halts what is final: a scene of `finality` has that.
    if most_stay && rng.chance(300) {
        another_finality(world, rng, liar, HEALS_AT_MS);
    }
    world.schedule(HEALS_AT_MS, Happening::Heal);
}

/// Short times at which the honest node answers nothing, in some seeds.
fn outages(world: &World, rng: &mut Rng) -> Persona {
    if rng.chance(500) {
        return Vec::new();
    }
    world.sometimes().happened("an honest node was away");
    let outage = |rng: &mut Rng| {
        let from_ms = rng.below(HEALS_AT_MS);
        let until_ms = from_ms + rng.between(500, 30_000);
        Rule::on(Methods::ASKS, Trouble::Unreachable).during(from_ms, until_ms)
    };
    (0..rng.between(1, 4)).map(|_| outage(rng)).collect()
}

/// Nodes of a seed: the first one lies where there are others, the last one is honest and may be away for
/// a while. Tells also whether one of them misnumbers logs.
fn nodes(world: &World, rng: &mut Rng, range: BlockRange) -> (Vec<Arc<SimNode>>, bool) {
    let count = [1, 2, 3, 3, 3][rng.below(5) as usize];
    let harm = match count {
        1 | 2 => Harm::Loses,
        _ => Harm::Forges,
    };
    let lies = swarm(rng, harm, 3, range, HEALS_AT_MS);
    let misnumbers = lies.iter().any(|rule| rule.then.name().starts_with("log index"));
    let mut nodes = vec![world.add_node("liar", lies)];
    if count > 2 {
        let fails = match rng.chance(500) {
            true => swarm(rng, Harm::Fails, 2, range, HEALS_AT_MS),
            false => Vec::new(),
        };
        nodes.push(world.add_node("second", fails));
    }
    if count > 1 {
        nodes.push(world.add_node("honest", outages(world, rng)));
    }
    world.sometimes().happened(["one node alone", "two nodes", "three nodes"][count as usize - 1]);
    (nodes, misnumbers)
}

/// Lives a seed.
fn live(seed: u64) -> Watch {
    let mut rng = Rng::keyed(seed, &[0x3a7c]);
    let world = world(seed, &mut rng);
    let head = world.tree(|tree| tree.head().number);
    let range = BlockRange::new(1, head + HEALS_AT_MS / 12_000).unwrap();
    let (nodes, misnumbers) = nodes(&world, &mut rng, range);
    let verify = match (nodes.len(), rng.below(4)) {
        (3, 0) => Verify::Agree(2),
        (_, 0 | 1) => Verify::Prove,
        // One node's partial loss is seen by receipts only.
        (1, _) => Verify::Prove,
        _ => Verify::Bloom,
    };
    script(&world, &mut rng, nodes[0].id(), nodes.len() > 2);
    let start = rng.between(1, head);
    if head - start > 64 {
        world.sometimes().happened("a gap was filled");
    }
    let plan = Plan {
        verify,
        start,
        hesitates: if rng.chance(300) { rng.between(2, 5) } else { 0 },
        visibility: if rng.chance(300) { Visibility::Finalized } else { Visibility::Latest },
        ..Plan::until(ENDS_AT_MS)
    };
    let mut watch = Watch::new(&world, nodes, plan);
    watch.has_wrong_indexes = misnumbers;
    if rng.chance(500) {
        let crash = if rng.chance(500) { Crash::Before } else { Crash::After };
        watch.store.crash_at(rng.between(1, 60), crash);
    }
    watch.live();
    watch
}

fn judge(watch: &Watch) {
    let problems = watch.oracle.lock().unwrap().violations().to_vec();
    assert!(problems.is_empty(), "{problems:#?}");
    let world = &watch.world;
    let through = world.tree(|tree| tree.finalized());
    let outcome = watch.outcome.as_ref().unwrap();
    assert_eq!(outcome.halted, None, "a minority halts nothing, and all are back");
    assert_eq!(outcome.standing, None, "all are back");
    assert_eq!(watch.missing(through), [], "everything final is covered: {outcome:?}");
    let range = BlockRange::new(watch.plan.start, through).unwrap();
    watch.store.look(|image| {
        world.tree(|tree| {
            let account = account(image, tree, std::slice::from_ref(&watch.filter), range);
            assert!(account.is_balanced(), "{:#?}", account.problems());
            let mut problems = lane_problems(image, tree, &watch.filter, watch.plan.start);
            // An event that came with a wrong log index keeps it; rows may follow that, and nothing else.
            if watch.has_wrong_indexes {
                problems.retain(|problem| problem.invariant != ORDER_INSIDE_A_BLOCK);
            }
            assert!(problems.is_empty(), "{problems:#?}");
            let times = |op| image.journal.iter().filter(|row| row.op == op).count() as u64;
            let sometimes = world.sometimes();
            sometimes.happened_times("blocks were reverted", times(Op::Revert));
            sometimes.happened_times("blocks came back", times(Op::Reinstate));
            sometimes.happened_times("events were found late", account.recovered);
            let looked = outcome.second_look.blocks;
            sometimes.happened_times("blocks were looked at again", looked);
            let named = image.incidents.iter().any(|incident| &*incident.node.0 == "liar");
            let has_left = |of: &&event::Incident| {
                of.flaw == Flaw::FinalityConflict && of.detail.contains(" is final as ")
            };
            let left = image.incidents.iter().filter(has_left);
            sometimes.happened_times("a node left the finalized chain", left.count() as u64);
            let three = watch.nodes.len() == 3;
            sometimes.happened_times("a liar of three was named", u64::from(three && named));
            let shown = image
                .lanes
                .shown(&event::LaneId { plugin: sim::BALANCES.into(), chain: tree.chain() });
            let next = shown.map(|lane| lane.cursor.next_block);
            // What became final last may not have been told yet.
            let told = through.saturating_sub(2 * EPOCH_BLOCKS);
            assert!(next > Some(told), "the lane came to {next:?}, final is {through}");
        });
    });
}

#[test]
fn whatever_nodes_do_a_watch_claims_nothing_untrue_and_in_the_end_misses_nothing() {
    let all = Sometimes::default();
    for_seeds("whatever_nodes_do", SEEDS, |seed| {
        let watch = live(seed);
        judge(&watch);
        all.add(watch.world.sometimes());
    });
    if !is_one_seed() {
        let never = all.never(&SOMETIMES);
        assert_eq!(never, [] as [&str; 0], "these seeds are blind: {:#?}", all.counts());
    }
}

#[test]
fn a_watch_of_one_seed_is_one_run_to_the_last_answer() {
    for seed in [2, 5] {
        let (first, second) = (live(seed), live(seed));
        assert_eq!(first.world.trace(), second.world.trace());
        let told =
            |watch: &Watch| watch.store.look(|image| (image.events.clone(), image.journal.clone()));
        assert_eq!(told(&first), told(&second));
    }
}
