//! A plugin whose calls take long, for an hour: recording does not wait for it, nothing queues up in memory,
//! what missed its deadline is tried again, and afterwards it is where it would be anyway.

use crate::watching::{Plan, Watch};
use event::{Batch, BlockRange, Descriptor, Effects, LaneId, Plugin, PluginFault, PluginState};
use pipeline::Timer;
use sim::{BALANCES, Balances, World, WorldSettings, account, chain::Traffic, lane_problems};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

/// How long it is slow, in milliseconds of the virtual clock.
const SLOW_MS: u64 = 3_600_000;
/// What one event takes meanwhile.
const EVENT_MS: u64 = 10_000;
/// When a call is ended.
const DEADLINE_MS: u64 = 15_000;
/// One event in so many takes longer than that, and twice as it comes again.
const WORSE_EVERY: u64 = 25;
const ENDS_AT_MS: u64 = SLOW_MS + 20 * 60_000;
/// Events read from the ledger at once.
const PAGE_EVENTS: usize = 50;
/// Blocks that the head may be ahead of an event when it is in the ledger.
const BEHIND_MAX: u64 = 2;

/// How slow a plugin is, and how long its call still takes.
#[derive(Clone)]
pub(crate) struct Slowness {
    world: World,
    pub(crate) page_events: usize,
    busy_until_ms: Arc<AtomicU64>,
    /// How often each event alone missed its deadline.
    missed: Arc<Mutex<BTreeMap<u64, u64>>>,
    /// Deadlines that were missed.
    deadlines: Arc<AtomicU64>,
}

impl Slowness {
    fn new(world: &World) -> Self {
        Self {
            world: world.clone(),
            page_events: PAGE_EVENTS,
            busy_until_ms: Arc::default(),
            missed: Arc::default(),
            deadlines: Arc::default(),
        }
    }

    /// How many calls can be made now; none while one is under way.
    pub(crate) fn calls(&self) -> Option<u64> {
        let now_ms = self.world.clock().now_ms();
        match now_ms < SLOW_MS {
            true => Some(1).filter(|_| self.busy_until_ms.load(Ordering::Relaxed) <= now_ms),
            false => Some(u64::MAX),
        }
    }

    pub(crate) fn slowed(&self, plugin: Balances) -> Box<dyn Plugin> {
        Box::new(Slow { plugin, slowness: self.clone() })
    }

    /// How long a call for these events takes.
    fn takes_ms(&self, seq: &[u64]) -> u64 {
        let missed = self.missed.lock().unwrap();
        let is_worse = |seq: &u64| seq.is_multiple_of(WORSE_EVERY);
        match seq {
            [one] if is_worse(one) && missed.get(one).is_none_or(|times| *times < 2) => u64::MAX,
            _ => EVENT_MS * seq.len() as u64,
        }
    }
}

struct Slow {
    plugin: Balances,
    slowness: Slowness,
}

impl Plugin for Slow {
    fn descriptor(&self) -> &Descriptor {
        self.plugin.descriptor()
    }

    fn handle(&mut self, batch: &Batch, state: &Arc<PluginState>) -> Result<Effects, PluginFault> {
        let slowness = &self.slowness;
        let now_ms = slowness.world.clock().now_ms();
        if now_ms >= SLOW_MS {
            return self.plugin.handle(batch, state);
        }
        let takes_ms = slowness.takes_ms(&batch.seq);
        slowness.busy_until_ms.store(now_ms + takes_ms.min(DEADLINE_MS), Ordering::Relaxed);
        if takes_ms <= DEADLINE_MS {
            return self.plugin.handle(batch, state);
        }
        slowness.deadlines.fetch_add(1, Ordering::Relaxed);
        if let [one] = batch.seq[..] {
            *slowness.missed.lock().unwrap().entry(one).or_default() += 1;
        }
        Err(PluginFault::Deadline { limit_ms: DEADLINE_MS, said: String::new() })
    }
}

#[test]
fn f86_a_plugin_that_is_slow_for_an_hour_holds_nothing_up_and_loses_nothing() {
    let traffic = Traffic { empty_per_mille: 200, transfer_per_mille: 700, ..Traffic::default() };
    let world = World::new(WorldSettings { traffic, ..WorldSettings::of_seed(86) });
    let nodes = ["first", "second", "third"].map(|name| world.add_node(name, vec![]));
    let plan = Plan { looks_per_second: 0, ..Plan::until(ENDS_AT_MS) };
    let mut watch = Watch::new(&world, nodes.into(), plan);
    let slowness = Slowness::new(&world);
    watch.slowness = Some(slowness.clone());
    let (chain, filter) = (watch.chain(), watch.filter.clone());
    // The chain's head when the events of a block came into the ledger, of those mined meanwhile.
    let first_mined = world.tree(|tree| tree.head().number) + 1;
    let told: Arc<Mutex<BTreeMap<u64, u64>>> = Arc::default();
    let (telling, seen) = (told.clone(), world.clone());
    watch.store.on_apply(Box::new(move |commits, _| {
        let head = seen.tree(|tree| tree.head().number);
        let batches = commits.iter().flat_map(|commit| &commit.events);
        for (number, _) in batches.flat_map(|batch| &batch.blocks) {
            telling.lock().unwrap().entry(*number).or_insert(head);
        }
    }));
    // How far behind the head the plugin is, at most, and what of it is in memory.
    let (lag, held): (Arc<AtomicU64>, Arc<AtomicU64>) = Default::default();
    let (lagging, holding, seen) = (lag.clone(), held.clone(), world.clone());
    watch.on_step = Some(Box::new(move |_, lane| {
        let head = seen.tree(|tree| tree.head().number);
        lagging.fetch_max(head.saturating_sub(lane.lane().cursor().next_block), Ordering::Relaxed);
        let held = lane.lane().held();
        let of_events = held.iter().filter(|(what, _)| *what != "keys of a plugin");
        let most = of_events.map(|(_, count)| *count as u64).max().unwrap_or(0);
        holding.fetch_max(most, Ordering::Relaxed);
        assert_eq!(lane.lane().halted(), None);
    }));

    watch.live();

    // Recording did not wait.
    let told = told.lock().unwrap();
    let of_head = || told.range(first_mined..);
    let late = |(number, head): &(&u64, &u64)| **number + BEHIND_MAX < **head;
    assert!(of_head().count() > 100, "{}", of_head().count());
    assert_eq!(of_head().filter(late).collect::<Vec<_>>(), [], "behind the head");
    // It was far behind, and its queue was the ledger.
    let (lag, held) = (lag.load(Ordering::Relaxed), held.load(Ordering::Relaxed));
    assert!(lag > 100, "no more than {lag} blocks behind");
    assert!(held < 4 * PAGE_EVENTS as u64, "{held} in memory");
    // Nothing was given up: halves were tried, single events again, and all of it is there.
    let missed = slowness.missed.lock().unwrap();
    assert!(missed.len() >= 3 && missed.values().all(|times| *times == 2), "{missed:?}");
    assert!(slowness.deadlines.load(Ordering::Relaxed) > 50);
    let through = world.tree(|tree| tree.finalized());
    assert_eq!(watch.missing(through), []);
    watch.store.look(|image| {
        let lane = LaneId { plugin: BALANCES.into(), chain };
        let shown = image.lanes.shown(&lane).unwrap();
        assert!(shown.letters.is_empty(), "{:?}", shown.letters);
        world.tree(|tree| {
            assert!(shown.cursor.next_block + BEHIND_MAX >= tree.head().number, "caught up");
            let range = BlockRange::new(1, through).unwrap();
            let account = account(image, tree, std::slice::from_ref(&filter), range);
            assert!(account.is_balanced(), "{:#?}", account.problems());
            let problems = lane_problems(image, tree, &filter, 1);
            assert!(problems.is_empty(), "{problems:#?}");
        });
    });
}
