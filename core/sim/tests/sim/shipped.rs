//! The plugins that come along, in their sandbox, over seeds with reorgs, late events, refuted ones and
//! processes that die: their rows are those of a fresh run over what the ledger holds in the end.

use crate::{
    backfill::Guest,
    repeat::{for_seeds, is_one_seed},
    seeds::live_with,
};
use event::{Batch, ChainId, Descriptor, Effects, LaneId, Op, Plugin, PluginFault, PluginState};
use host::{Grants, Host, HostConfig, Limits, LoadedPlugin};
use sim::{Cell, MemoryStore};
use std::{
    cell::Cell as Counter,
    path::PathBuf,
    sync::{Arc, Mutex},
};

/// Seeds without `HEADCOUNT_LONG`, and with it.
const SEEDS: u64 = 30;
const SEEDS_LONG: u64 = 500;

/// What is run, by the name of its file.
const SHIPPED: [&str; 3] = ["erc20_balances", "nft_owners", "webhook"];

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

/// Loads a plugin that `make plugins` built.
fn shipped(name: &str) -> Option<Arc<Mutex<LoadedPlugin>>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let folder = folder.join("../../plugins/target/wasm32-wasip2/release");
    let bytes = std::fs::read(folder.join(format!("{name}.wasm"))).ok()?;
    let host = Host::new(HostConfig::default()).unwrap();
    let (config, limits) = ("{\"sink\":\"ops\"}", Limits::default());
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

#[test]
fn whatever_happens_the_rows_of_shipped_plugins_are_those_of_a_fresh_run() {
    let loaded: Option<Vec<_>> = SHIPPED.iter().map(|name| shipped(name)).collect();
    let Some(loaded) = loaded else {
        let is_failure = std::env::var_os("HEADCOUNT_NO_SKIP").is_some();
        assert!(!is_failure, "SKIP shipped: the plugins are not built (make plugins)");
        #[allow(clippy::print_stdout, reason = "a skipped test says so")]
        {
            println!("SKIP shipped: the plugins are not built (make plugins)");
        }
        return;
    };
    let is_long = std::env::var_os("HEADCOUNT_LONG").is_some_and(|value| !value.is_empty());
    let (seen, turned) = (Counter::new(0), Counter::new(0));
    let test = "whatever_happens_the_rows_of_shipped_plugins";
    for_seeds(test, if is_long { SEEDS_LONG } else { SEEDS }, |seed| {
        let guests = loaded.iter().map(|plugin| {
            let plugin = plugin.clone();
            Box::new(move || named(&plugin, "")) as Guest
        });
        let (world, bench) = live_with(seed, guests.collect());
        let chain = world.tree(|tree| tree.chain());
        for plugin in &loaded {
            let own = plugin.lock().unwrap().descriptor().clone();
            let fresh = format!("{}-fresh", own.name);
            let mut lane = bench.lane_of(named(plugin, "-fresh"));
            lane.step(bench.ready(), u64::MAX).unwrap();
            assert_eq!(lane.lane().halted(), None);
            for table in 0..own.tables.len() {
                let (found, expected) = (
                    rows(&bench.store, &own.name, chain, table),
                    rows(&bench.store, &fresh, chain, table),
                );
                assert_eq!(found, expected, "{} of {}", own.tables[table].name, own.name);
                seen.set(seen.get() + found.len());
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
            turned.set(turned.get() + count);
        });
    });
    if !is_one_seed() {
        assert!(seen.get() > 200 && turned.get() > 50, "{} {}", seen.get(), turned.get());
    }
}
