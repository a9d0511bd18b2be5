//! A watch over so many blocks that whatever grows with them shows: what the stages hold is counted
//! all along, and so is the memory of the process. World and ledger forget what was looked at, so
//! that they are not what grows.

use crate::watching::{Plan, Watch};
use event::{BlockRange, Held, Node, Op};
use pipeline::{ChainView, WatchWatcher};
use sim::{
    Happening, LaneStepper, MOVED, Methods, Rule, Trouble, World, WorldSettings, account,
    chain::{Traffic, parties, wanted},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    env, fs,
    process::Command,
    rc::Rc,
    sync::{Arc, Mutex},
};

/// Blocks of `make test`; `make long` lives through twenty times as many.
const BLOCKS: u64 = 5_000;
const BLOCKS_LONG: u64 = 100_000;
const BLOCK_MS: u64 = 12_000;
/// Blocks that are looked at, and forgotten, at once.
const LOOK_BLOCKS: u64 = 250;
/// Blocks below these that nothing may ask for again.
const KEPT_BLOCKS: u64 = 100;
/// What is held may swing by so many entries, whatever it is at first: a finality that stands still
/// for a while fills every window.
const SWING: usize = 80;
/// What waits for another node may not: it is decided in the blocks after.
const WAITING: (&str, usize) = ("candidates", 8);
/// What memory may grow by from the first part of the run to its last, in KiB: the hashes of the
/// world's chain are 3 MiB at 100,000 blocks, the rest is what an allocator keeps.
const GROWTH_KIB_MAX: u64 = 16 * 1024;
/// Grows with what happens and not with blocks, up to a bound. Blocks of left branches may come back,
/// and whoever reads their heights again has to know them (`ORPHANS_MAX` of the aggregator).
const BOUNDED: [(&str, usize); 3] = [
    ("blocks of left branches", 16_384),
    ("final blocks below the window", 1_024),
    ("incidents to tell at the end", 100),
];
/// Set in the process that has the run to itself.
const ALONE: &str = "HEADCOUNT_SOAK_ALONE";

/// How much was held at most in each part of the run, a tenth each.
#[derive(Default)]
struct Tenths(Vec<BTreeMap<&'static str, usize>>);

impl Tenths {
    fn note(&mut self, tenth: usize, held: Held) {
        self.0.resize((tenth + 1).max(self.0.len()), BTreeMap::new());
        for (name, count) in held {
            let most = self.0[tenth].entry(name).or_default();
            *most = count.max(*most);
        }
    }

    /// What is more at the end than it ever was near the beginning. The first tenth is left out,
    /// where windows are filled.
    fn grown(&self) -> Vec<String> {
        let most = |tenths: &[BTreeMap<&'static str, usize>], name: &str| {
            tenths.iter().filter_map(|tenth| tenth.get(name).copied()).max().unwrap_or(0)
        };
        let names: BTreeSet<&str> = self.0.iter().flat_map(|tenth| tenth.keys().copied()).collect();
        let is_grown = |name: &&str| {
            let (early, late) = (most(&self.0[1..4], name), most(&self.0[8..], name));
            let swing = if *name == WAITING.0 { WAITING.1 } else { SWING };
            match BOUNDED.iter().find(|(bounded, _)| bounded == name) {
                Some((_, bound)) => late > *bound,
                None => late > early + early / 4 + swing,
            }
        };
        let grown = names.into_iter().filter(is_grown);
        grown.map(|name| format!("{name}: {:?}", self.all(name))).collect()
    }

    fn all(&self, name: &str) -> Vec<usize> {
        self.0.iter().map(|tenth| tenth.get(name).copied().unwrap_or(0)).collect()
    }
}

/// What the watch said it holds since it was last asked.
#[derive(Clone, Default)]
struct Latest(Arc<Mutex<Option<Held>>>);

impl WatchWatcher for Latest {
    fn on_view(&self, _: &ChainView) {}

    fn on_held(&self, held: &Held) {
        *self.0.lock().unwrap() = Some(held.clone());
    }
}

/// One node fails and lags, one loses and makes up logs now and then, one is good; the chain is
/// left for another branch every few minutes, and stands still at times.
fn world(blocks: u64) -> (World, Vec<Arc<sim::SimNode>>) {
    let traffic = Traffic { transactions_max: 2, logs_max: 2, ..Traffic::default() };
    let world = World::new(WorldSettings { traffic, ..WorldSettings::of_seed(77) });
    let some = |trouble| Rule::on(Methods::LOGS, trouble).for_some_blocks(30);
    // One that stays on a block that leaves waits for nobody.
    let added = Rule::on(Methods::LOGS, Trouble::AddedLog).for_some_blocks(150);
    let lies = vec![some(Trouble::LostLog), some(Trouble::NoLogs), added];
    let fails = vec![
        Rule::on(Methods::ASKS, Trouble::Unreachable).sometimes(10),
        Rule::on(Methods::LATEST, Trouble::HeadLags { blocks: 2 }).sometimes(100),
        Rule::on(Methods::HINTS, Trouble::HintsLost).sometimes(200),
        Rule::on(Methods::RECEIPTS, Trouble::NullReceipts).sometimes(100),
    ];
    let nodes = [("liar", lies), ("second", fails), ("honest", Vec::new())];
    let nodes = nodes.map(|(name, rules)| world.add_node(name, rules));
    for n in 1..blocks / 25 {
        let happening = match n % 40 {
            7 => Happening::Stall { for_ms: 5 * BLOCK_MS },
            17 => Happening::FinalityStall { for_ms: 60 * BLOCK_MS },
            27 => Happening::Part {
                nodes: vec![nodes[0].id().clone()],
                depth: 3,
                is_secret: true,
                finalizes: false,
                for_ms: 10 * BLOCK_MS,
            },
            _ => Happening::Reorg { depth: 1 + n % 6, extra: 1 },
        };
        world.schedule(n * 25 * BLOCK_MS, happening);
    }
    (world, nodes.into())
}

/// What the run showed so far.
#[derive(Default)]
struct Soak {
    looked_through: u64,
    events: u64,
    tenths: Tenths,
    /// Memory of the process after each look, with the block.
    resident_kib: Vec<(u64, u64)>,
}

impl Soak {
    /// Looks at a stretch of final blocks, which must be whole, and lets it be forgotten.
    fn look(&mut self, watch: &(World, sim::MemoryStore, event::Filter), lane: &LaneStepper) {
        let (world, store, filter) = watch;
        let range = BlockRange::of_width(self.looked_through + 1, LOOK_BLOCKS);
        assert!(lane.lane().cursor().next_block > range.last(), "the plugin lags behind final");
        let chain = world.tree(|tree| tree.chain());
        store.look(|image| {
            world.tree(|tree| {
                let account = account(image, tree, std::slice::from_ref(filter), range);
                assert!(account.is_balanced(), "{range}: {:#?}", account.problems());
                self.events += account.found;
                let blocks = (range.first()..=range.last()).filter_map(|number| tree.at(number));
                let mut truth: Vec<(u64, i64)> = blocks
                    .flat_map(|block| wanted(block, filter).map(|log| (block.number, log)))
                    .filter_map(|(n, log)| Some((n, parties(&log.topics, &log.data)?.2)))
                    .collect();
                let rows = image.lanes.rows(lane.lane().id(), MOVED);
                let mut moved: Vec<(u64, i64)> = (rows.iter())
                    .filter(|row| range.contains(row.block_number))
                    .filter_map(|row| match row.cells.last() {
                        Some(sim::Cell::Int(value)) => Some((row.block_number, *value)),
                        _ => None,
                    })
                    .collect();
                truth.sort_unstable();
                moved.sort_unstable();
                assert_eq!(moved, truth, "the plugin's rows of {range}");
            });
        });
        self.looked_through = range.last();
        let below = (range.last() + 1).saturating_sub(KEPT_BLOCKS);
        world.forget_below(below);
        store.forget_below(chain, below);
        self.resident_kib.extend(memory_kib("VmRSS:").map(|kib| (range.last(), kib)));
    }
}

/// Returns a line of what Linux says of this process, in KiB.
fn memory_kib(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

#[test]
fn what_a_watch_holds_does_not_grow_with_the_number_of_blocks() {
    if env::var_os(ALONE).is_none() {
        // Memory is the process's: whatever else is tested stays out of it.
        let test = "soak::what_a_watch_holds_does_not_grow_with_the_number_of_blocks";
        let alone = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&alone.stdout);
        let cried = String::from_utf8_lossy(&alone.stderr);
        assert!(alone.status.success(), "{said}{cried}");
        assert!(said.contains("1 passed"), "{said}");
        #[allow(clippy::print_stdout, reason = "the figures")]
        {
            said.lines().filter(|line| line.starts_with("soak: ")).for_each(|l| println!("{l}"));
        }
        return;
    }
    let blocks = match env::var_os("HEADCOUNT_LONG") {
        Some(_) => BLOCKS_LONG,
        None => BLOCKS,
    };
    let (world, nodes) = world(blocks);
    let mut watch = Watch::new(&world, nodes, Plan::until(blocks * BLOCK_MS));
    // The oracle looks at all coverage with every transaction; here each stretch is looked at once.
    watch.store.on_apply(Box::new(|_, _| {}));
    let latest = Latest::default();
    watch.watcher = Box::new(latest.clone());
    let soak = Rc::new(RefCell::new(Soak::default()));
    let (seen, chain) = (soak.clone(), watch.chain());
    let all = (world.clone(), watch.store.clone(), watch.filter.clone());
    watch.on_step = Some(Box::new(move |owner, lane| {
        let mut soak = seen.borrow_mut();
        let finalized = all.1.look(|image| image.finalized.get(&chain).copied().unwrap_or(0));
        if let Some(mut held) = latest.0.lock().unwrap().take() {
            held.extend(owner.held(chain).try_recv().unwrap().unwrap_or_default());
            held.extend(lane.lane().held());
            soak.tenths.note((finalized * 10 / blocks).min(9) as usize, held);
        }
        if finalized >= soak.looked_through + LOOK_BLOCKS + KEPT_BLOCKS {
            soak.look(&all, lane);
        }
    }));
    watch.live();
    let reverts =
        watch.store.look(|image| image.journal.iter().filter(|row| row.op == Op::Revert).count());
    assert!(reverts > 0, "the chain was left to the end");
    let soak = soak.borrow();
    assert!(soak.looked_through > blocks - 1_000, "it came to {}", soak.looked_through);
    assert_eq!(soak.tenths.grown(), [] as [String; 0]);
    let growth = growth(&soak.resident_kib);
    #[allow(clippy::print_stdout, reason = "the figures")]
    {
        let peak = memory_kib("VmHWM:").unwrap_or(0) / 1024;
        let (first, last) = growth.unwrap_or_default();
        println!(
            "soak: {} blocks, {} events; peak {peak} MiB; at most {} MiB early, {} MiB at the end",
            soak.looked_through,
            soak.events,
            first / 1024,
            last / 1024
        );
        for name in soak.tenths.0.last().into_iter().flat_map(BTreeMap::keys) {
            println!("soak: {name}: {:?}", soak.tenths.all(name));
        }
    }
    if let Some((first, last)) = growth {
        assert!(last <= first + GROWTH_KIB_MAX, "{first} KiB became {last} KiB");
    }
}

/// Most memory in the second and third tenth of a run, and in the last one.
fn growth(resident_kib: &[(u64, u64)]) -> Option<(u64, u64)> {
    let count = resident_kib.len();
    let most = |part: &[(u64, u64)]| part.iter().map(|(_, kib)| *kib).max();
    Some((most(&resident_kib[count / 10..count * 3 / 10])?, most(&resident_kib[count * 9 / 10..])?))
}
