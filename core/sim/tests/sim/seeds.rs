//! Many seeds: a node in random trouble and an honest one, reorgs, crashes; the oracle looks at every
//! transaction, and in the end the ledger equals the chain.

use crate::{
    backfill::{Bench, Guest},
    happenings::something_happens,
    repeat::{for_seeds, is_one_seed},
};
use event::{BlockRange, NodeId, Verify};
use pipeline::Timer;
use sim::{
    Crash, Happening, Methods, ORDER_INSIDE_A_BLOCK, Rule, Sometimes, Trouble, World,
    WorldSettings, account,
    chain::Traffic,
    faults::{Harm, forger, swarm},
    lane_problems,
    rng::Rng,
    run,
};

/// Trouble ends here, in milliseconds of the virtual clock: twenty minutes.
const HEALS_AT_MS: u64 = 1_200_000;
/// Logs of other contracts that are of tokens with numbers, where plugins are run that want them.
const NFT_PER_MILLE: u32 = 700;
/// Nothing takes longer than this.
const LIMIT_MS: u64 = 4 * 3_600_000;

/// What some of the seeds must reach, or they test nothing.
const SOMETIMES: [&str; 18] = [
    "reorg",
    "a left branch came back",
    "chain stalled",
    "finality stalled",
    "nodes on another branch",
    "process died",
    "a process died after its transaction",
    "blocks were reverted",
    "blocks came back",
    "events were found late",
    "events were refuted",
    "a range stayed open at the bad node",
    "the bad node covered something",
    "the lane was rewound",
    "no logs",
    "lost log",
    "null receipts",
    "zero bloom",
];

fn world(seed: u64, rng: &mut Rng, nft_per_mille: u32) -> World {
    let traffic = Traffic {
        transactions_max: rng.between(1, 5),
        logs_max: rng.between(1, 4),
        empty_per_mille: rng.below(500) as u32,
        transfer_per_mille: rng.between(100, 900) as u32,
        system_logs_from: rng.chance(200).then(|| rng.below(100)),
        nft_per_mille,
        ..Traffic::default()
    };
    let settings = WorldSettings {
        traffic,
        blocks_at_start: rng.between(40, 120),
        ..WorldSettings::of_seed(seed)
    };
    World::new(settings)
}

/// Most of it happens before `settled_ms`, after which nothing that is read can change any more.
fn script(world: &World, rng: &mut Rng, liar: &NodeId, settled_ms: u64) {
    for _ in 0..rng.below(8) {
        let until_ms = if rng.chance(800) { settled_ms } else { HEALS_AT_MS };
        let at_ms = rng.below(until_ms);
        something_happens(world, rng, liar, at_ms);
    }
}

/// Runs a seed and returns its world, for whoever wants to compare.
fn live(seed: u64) -> (World, Bench) {
    live_with(seed, Vec::new())
}

/// The same, with more plugins.
pub(crate) fn live_with(seed: u64, guests: Vec<Guest>) -> (World, Bench) {
    let mut rng = Rng::keyed(seed, &[0x5eed]);
    let world = world(seed, &mut rng, if guests.is_empty() { 0 } else { NFT_PER_MILLE });
    let head = world.tree(|tree| tree.head().number);
    let range = BlockRange::new(1, head + rng.below(40)).unwrap();
    let verify = if rng.chance(500) { Verify::Prove } else { Verify::Bloom };
    // A log that never was enters on one node's word, and only receipts can show that.
    let harm = if verify == Verify::Prove { Harm::Forges } else { Harm::Loses };
    let mut rules = swarm(&mut rng, harm, 3, range, HEALS_AT_MS);
    if harm == Harm::Forges && rng.chance(300) {
        // Nobody can tell what it makes up until another node has receipts.
        rules.push(Rule::on(Methods::RECEIPTS, Trouble::MethodMissing).during(0, HEALS_AT_MS));
        let lies = forger(300).into_iter().map(|rule| rule.during(0, HEALS_AT_MS));
        rules.extend(lies);
    }
    let is_of_indexes = |rule: &Rule| {
        let forges = [Trouble::AlteredLog, Trouble::AddedLog].contains(&rule.then);
        forges || rule.then.name().starts_with("log index")
    };
    let has_wrong_indexes = rules.iter().any(is_of_indexes);
    let (liar, honest) = (world.add_node("liar", rules), world.add_node("honest", vec![]));
    let settled_ms = (range.last() - head + 24) * 12_000;
    script(&world, &mut rng, event::Node::id(&*liar), settled_ms);
    let hesitates = if rng.chance(300) { rng.between(2, 5) } else { 0 };
    let mut bench = Bench::new(&world, verify, range, hesitates);
    bench.has_wrong_indexes = has_wrong_indexes;
    if !guests.is_empty() {
        bench.host(guests, Rng::keyed(seed, &[0x9057]));
    }
    if rng.chance(500) {
        let crash = if rng.chance(500) { Crash::Before } else { Crash::After };
        if crash == Crash::After {
            world.sometimes().happened("a process died after its transaction");
        }
        bench.store.crash_at(rng.between(1, 12), crash);
    }
    let lived = run(&world, LIMIT_MS, async {
        let clock = world.clock();
        // Safety: whatever happens, nothing untrue is claimed.
        while clock.now_ms() < HEALS_AT_MS {
            for node in [&liar, &honest] {
                let open = bench.missing().len();
                let _ = bench.replay(node, rng.chance(400)).await;
                bench.restart_if_dead();
                if std::ptr::eq(node, &liar) {
                    let (what, is_so) = match bench.missing().len() {
                        0 => ("the bad node covered something", open > 0),
                        _ => ("a range stayed open at the bad node", true),
                    };
                    world.sometimes().happened_times(what, u64::from(is_so));
                }
            }
            clock.sleep_until(clock.now_ms() + rng.between(5_000, 200_000)).await;
        }
        // Liveness: trouble is over, and everything comes about.
        world.happen(Happening::Heal);
        while world.tree(|tree| tree.finalized()) < range.last() {
            clock.sleep_until(clock.now_ms() + 12_000).await;
        }
        // A last block for both to hear of.
        clock.sleep_until(clock.now_ms() + 2_000).await;
        for refetch in [false, true, false] {
            while bench.replay(&honest, refetch).await.is_err() {
                assert!(bench.restart_if_dead(), "the ledger failed without dying");
            }
        }
        // A plugin that asked to be called again is.
        for _ in 0..100 {
            clock.sleep_until(clock.now_ms() + 1_000).await;
            if bench.step_lane().is_err() {
                bench.restart_if_dead();
            }
        }
    });
    lived.unwrap_or_else(|stuck| panic!("{stuck}"));
    (world, bench)
}

fn judge(world: &World, bench: &Bench) {
    let problems = bench.oracle.lock().unwrap().violations().to_vec();
    assert!(problems.is_empty(), "{problems:#?}");
    assert_eq!(bench.missing(), [], "everything is covered in the end");
    bench.store.look(|image| {
        world.tree(|tree| {
            let filters = std::slice::from_ref(&bench.filter);
            let account = account(image, tree, filters, bench.range);
            assert!(account.is_balanced(), "{:#?}", account.problems());
            let mut problems = lane_problems(image, tree, &bench.filter, 1);
            // An event that came with a wrong log index on one node's word keeps it, whatever
            // receipts say later; rows may follow that, and nothing else.
            if bench.has_wrong_indexes {
                problems.retain(|problem| problem.invariant != ORDER_INSIDE_A_BLOCK);
            }
            assert!(problems.is_empty(), "{problems:#?}");
            let lane = event::LaneId { plugin: sim::BALANCES.into(), chain: tree.chain() };
            let next = image.lanes.shown(&lane).map(|lane| lane.cursor.next_block);
            assert_eq!(next, Some(bench.range.last() + 1), "the lane came to the end");
            let times = |op| image.journal.iter().filter(|row| row.op == op).count() as u64;
            let sometimes = world.sometimes();
            sometimes.happened_times("blocks were reverted", times(event::Op::Revert));
            sometimes.happened_times("blocks came back", times(event::Op::Reinstate));
            sometimes.happened_times("events were found late", account.recovered);
            sometimes.happened_times("events were refuted", image.refuted.len() as u64);
            let cursor = image.lanes.shown(&lane).map_or(0, |lane| lane.cursor.next_seq);
            let rewound = cursor > account.found + 1;
            sometimes.happened_times("the lane was rewound", u64::from(rewound));
        });
    });
}

#[test]
fn whatever_a_node_does_nothing_untrue_is_claimed_and_in_the_end_nothing_is_missing() {
    let all = Sometimes::default();
    let test = "whatever_a_node_does";
    for_seeds(test, 100, |seed| {
        let (world, bench) = live(seed);
        judge(&world, &bench);
        all.add(world.sometimes());
    });
    if !is_one_seed() {
        assert_eq!(
            all.never(&SOMETIMES),
            [] as [&str; 0],
            "these seeds are blind: {:#?}",
            all.counts()
        );
    }
}

#[test]
fn a_seed_is_one_run_to_the_last_answer() {
    for seed in [3, 14] {
        let (first, second) = (live(seed), live(seed));
        assert_eq!(first.0.trace(), second.0.trace());
        let told =
            |bench: &Bench| bench.store.look(|image| (image.events.clone(), image.journal.clone()));
        assert_eq!(told(&first.1), told(&second.1));
    }
    assert_ne!(live(3).0.trace(), live(4).0.trace());
}
