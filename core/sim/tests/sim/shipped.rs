//! The plugins that come along, in their sandbox, over seeds with reorgs, late events, refuted ones and
//! processes that die: their rows are those of a fresh run over what the ledger holds in the end, and so
//! are their messages, but for those that were sent before their block left.

use crate::{
    backfill::Guest,
    repeat::{for_seeds_at_most, is_one_seed},
    seeds::live_with,
};
use event::{
    Batch, ChainId, Descriptor, Effects, LaneId, Message, Op, Plugin, PluginFault, PluginState,
};
use host::{Grants, Host, HostConfig, Limits, LoadedPlugin};
use sim::{Cell, MemoryStore, Posted};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

/// Seeds without `HEADCOUNT_LONG`, and with it.
const SEEDS: u64 = 30;
const SEEDS_LONG: u64 = 500;
/// The same of plugins in other languages: an instance of theirs costs a hundred times as much.
const SCRIPT_SEEDS: u64 = 3;

/// What is run: the component, below the folder of built plugins, and its configuration.
const SHIPPED: [(&str, &str); 4] = [
    ("wasm32-wasip2/release/erc20_balances.wasm", "{}"),
    ("wasm32-wasip2/release/nft_owners.wasm", "{}"),
    ("wasm32-wasip2/release/webhook.wasm", r#"{"sink":"ops"}"#),
    ("wasm32-wasip2/release/alert.wasm", r#"{"sink":"chat","threshold":"500"}"#),
];
const SCRIPTS: [(&str, &str); 2] = [
    ("scripts/large-transfers/build/plugin.wasm", r#"{"minimum":"300"}"#),
    ("scripts/daily-volume/build/plugin.wasm", "{}"),
];

/// A plugin that is compiled once, under a name of its own.
struct Named {
    descriptor: Descriptor,
    plugin: Arc<Mutex<LoadedPlugin>>,
}

impl Plugin for Named {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn handle(&mut self, batch: &Batch, state: &Arc<PluginState>) -> Result<Effects, PluginFault> {
        self.plugin.lock().unwrap().handle(batch, state)
    }
}

fn named(plugin: &Arc<Mutex<LoadedPlugin>>, more: &str) -> Box<dyn Plugin> {
    let own = plugin.lock().unwrap().descriptor().clone();
    // The ledger is followed from block 1 on.
    let mut descriptor = Descriptor { name: format!("{}{more}", own.name), ..own };
    descriptor.subscriptions.iter_mut().for_each(|wanted| wanted.start_block = Some(1));
    Box::new(Named { descriptor, plugin: plugin.clone() })
}

/// Loads a plugin that was built. Compiling one in another language takes a while, so that is kept.
fn shipped((file, config): (&str, &str)) -> Option<Arc<Mutex<LoadedPlugin>>> {
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../plugins/target");
    let bytes = std::fs::read(built.join(file)).ok()?;
    let cache_folder = Some(built.join("compiled"));
    let host = Host::new(HostConfig { cache_folder, ..HostConfig::default() }).unwrap();
    // A machine that stands still for a moment is no fault of a plugin's.
    let limits = Limits { deadline_ms: 60_000, ..Limits::default() };
    let loaded = host.load_granted(&bytes, config, limits, Grants::any()).unwrap();
    Some(Arc::new(Mutex::new(loaded)))
}

/// Block and values of every row that a table shows, in order; a row's number says when it was written.
type Rows = Vec<(u64, alloy_primitives::B256, Vec<Cell>)>;

fn rows(store: &MemoryStore, plugin: &str, chain: ChainId, table: usize) -> Rows {
    let lane = LaneId { plugin: plugin.to_owned(), chain };
    let rows = store.look(|image| image.lanes.rows(&lane, table));
    let rows = rows.into_iter().map(|row| (row.block_number, row.block_hash, row.cells));
    let mut rows: Rows = rows.collect();
    rows.sort();
    rows
}

fn state(store: &MemoryStore, plugin: &str, chain: ChainId) -> Option<PluginState> {
    let lane = LaneId { plugin: plugin.to_owned(), chain };
    store.look(|image| image.lanes.shown(&lane).map(|lane| lane.plugin_state()))
}

/// Messages by sink and key: the body of each.
type Messages = BTreeMap<(String, String), Vec<u8>>;

fn messages(store: &MemoryStore, plugin: &str, chain: ChainId, posted: Posted) -> Messages {
    let lane = LaneId { plugin: plugin.to_owned(), chain };
    store.look(|image| {
        let messages = image.lanes.outbox(&lane).into_iter().flat_map(|outbox| outbox.with(posted));
        let by_key = |m: &Message| ((m.sink.clone(), m.key.clone()), m.body.clone());
        messages.map(by_key).collect()
    })
}

#[test]
fn whatever_happens_the_rows_of_shipped_plugins_are_those_of_a_fresh_run() {
    let seen = compare(
        "whatever_happens_the_rows_of_shipped_plugins",
        &SHIPPED,
        (SEEDS, usize::MAX),
        "make plugins",
    );
    let Some(seen) = seen.filter(|_| !is_one_seed()) else { return };
    assert!(seen.rows.values().all(|rows| *rows > 50), "{seen:?}");
    assert!(seen.undone > 50 && seen.pending > 50, "{seen:?}");
    // Without these nothing that a revert does to messages is looked at.
    assert!(seen.sent > 50 && seen.cancelled > 0 && seen.sent_in_vain > 0, "{seen:?}");
}

#[test]
fn whatever_happens_the_rows_of_plugins_in_other_languages_are_those_of_a_fresh_run() {
    let test = "whatever_happens_the_rows_of_plugins_in_other_languages";
    let seen = compare(test, &SCRIPTS, (SCRIPT_SEEDS, SEEDS_LONG as usize), "make script-plugins");
    let Some(seen) = seen.filter(|_| !is_one_seed()) else { return };
    assert!(seen.rows.values().all(|rows| *rows > 5) && seen.undone > 5, "{seen:?}");
}

/// What the seeds came to.
#[derive(Debug, Default)]
struct Seen {
    /// Rows by plugin and table.
    rows: BTreeMap<String, usize>,
    undone: usize,
    pending: usize,
    sent: usize,
    cancelled: usize,
    /// Sent before their block left.
    sent_in_vain: usize,
}

/// Runs plugins over seeds, each next to a fresh run; `None` where they are not built.
fn compare(
    test: &str,
    plugins: &[(&str, &str)],
    (seeds, most): (u64, usize),
    hint: &str,
) -> Option<Seen> {
    let loaded: Option<Vec<_>> = plugins.iter().map(|plugin| shipped(*plugin)).collect();
    let Some(loaded) = loaded else {
        let is_failure = std::env::var_os("HEADCOUNT_NO_SKIP").is_some();
        assert!(!is_failure, "SKIP shipped: the plugins are not built ({hint})");
        #[allow(clippy::print_stdout, reason = "a skipped test says so")]
        {
            println!("SKIP shipped: the plugins are not built ({hint})");
        }
        return None;
    };
    let is_long = std::env::var_os("HEADCOUNT_LONG").is_some_and(|value| !value.is_empty());
    let seen = RefCell::new(Seen::default());
    let seeds = if is_long { SEEDS_LONG } else { seeds };
    for_seeds_at_most(test, seeds, most, |seed| {
        let guests = loaded.iter().map(|plugin| {
            let plugin = plugin.clone();
            Box::new(move || named(&plugin, "")) as Guest
        });
        let (world, bench) = live_with(seed, guests.collect());
        let chain = world.tree(|tree| tree.chain());
        let mut seen = seen.borrow_mut();
        for plugin in &loaded {
            let own = plugin.lock().unwrap().descriptor().clone();
            let fresh = format!("{}-fresh", own.name);
            let mut lane = bench.lane_of(named(plugin, "-fresh"));
            lane.step(bench.ready(), u64::MAX).unwrap();
            assert_eq!(lane.lane().halted(), None);
            let of = |name: &str, posted| messages(&bench.store, name, chain, posted);
            let (pending, sent) = (of(&own.name, Posted::Pending), of(&own.name, Posted::Sent));
            let wanted = of(&fresh, Posted::Pending);
            let mut told: Messages = pending.clone();
            told.extend(sent.clone());
            let lacks = wanted.iter().find(|(key, body)| told.get(*key) != Some(*body));
            assert_eq!(lacks, None, "{} has sent or will send it", own.name);
            let too_many = pending.keys().find(|key| !wanted.contains_key(*key));
            assert_eq!(too_many, None, "{} will not send what left the chain", own.name);
            seen.pending += pending.len();
            seen.sent += sent.len();
            seen.sent_in_vain += sent.keys().filter(|key| !wanted.contains_key(*key)).count();
            seen.cancelled += of(&own.name, Posted::Cancelled).len();
            for table in 0..own.tables.len() {
                let (found, expected) = (
                    rows(&bench.store, &own.name, chain, table),
                    rows(&bench.store, &fresh, chain, table),
                );
                assert_eq!(found, expected, "{} of {}", own.tables[table].name, own.name);
                let table = format!("{}.{}", own.name, own.tables[table].name);
                *seen.rows.entry(table).or_default() += found.len();
            }
            assert_eq!(
                state(&bench.store, &own.name, chain),
                state(&bench.store, &fresh, chain),
                "state of {}",
                own.name
            );
        }
        let undone = |op| matches!(op, Op::Revert | Op::Late | Op::Refute);
        bench.store.look(|image| {
            let count = image.journal.iter().filter(|row| undone(row.op)).count();
            seen.undone += count;
        });
    });
    let seen = seen.into_inner();
    #[allow(clippy::print_stdout, reason = "what a run of many seeds came to")]
    {
        println!("{test}: {seen:?}");
    }
    Some(seen)
}
