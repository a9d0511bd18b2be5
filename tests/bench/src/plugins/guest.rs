//! Yardstick (i): a guest called by wasmtime with nothing around it. Its engine is set as that of the
//! program is, so that both run the same code; what the guest writes is dropped, its state is a map.

use super::state::{Bare, State};
use crate::{error::BenchError, measure::thread_cpu, summary::median};
use std::{
    fs,
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};
use types::Batch;
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy,
    PoolingAllocationConfig, Store,
    component::{Component, HasSelf, Linker},
};

pub(super) use bindings::headcount::plugin::{log, outbox, output, state as kept, types};

mod bindings {
    #![allow(missing_docs, clippy::all, clippy::use_self, reason = "generated")]

    wasmtime::component::bindgen!({ path: "../../wit", world: "event-sender" });
}

/// Native stack of a guest, as in the program.
const STACK_BYTES: usize = 512 << 10;

/// The pool of the program: guests at a time (here one stays beside those that go), what one is made of, and
/// what of it stays for the next one. The one that stays may grow: a script throws little away between batches,
/// and a guest of the program never sees a second one.
const GUESTS: u32 = 3;
const MODULES: u32 = 64;
const TABLES: u32 = 8;
const CONTEXT_BYTES: usize = 16 << 20;
const MEMORY_BYTES: usize = 1 << 30;
const TABLE_ELEMENTS: usize = 100_000;
const RESIDENT_BYTES: usize = 32 << 20;
const TABLE_RESIDENT_BYTES: usize = 1 << 20;

/// Ticks of a clock that never ticks here.
const NO_DEADLINE: u64 = u64::MAX >> 1;

/// What the guests are configured with: nothing.
const NO_CONFIG: &str = "{}";

/// A compiled guest.
pub(super) struct Guest(Arc<Mould>);

struct Mould {
    engine: Engine,
    component: bindings::EventSenderPre<Bare>,
}

/// What calls took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calls {
    /// In `handle` of the instance that stays, over all batches.
    pub(super) call: Duration,
    /// CPU time that a batch took more in an instance of its own, in microseconds: half of the batches took
    /// less. As in the program another thread made the instance and clears away behind it.
    pub(super) fresh_us: f64,
    /// CPU time of the thread that made these instances and cleared away behind them, in microseconds for each.
    pub(super) beside_us: f64,
}

/// An instance with its store.
type Started = (Store<Bare>, bindings::EventSender);

/// What the thread beside is told to do, and waited for.
enum Task {
    ClearAway(Started),
    Make,
}

impl Guest {
    /// Compiles a component, or takes what an earlier run compiled from the folder `compiled`.
    pub(super) fn load(path: &Path, compiled: &Path) -> Result<Self, BenchError> {
        let bytes = fs::read(path)
            .map_err(BenchError::io(format!("reading the plugin {}", path.display())))?;
        let failed = |error: wasmtime::Error| BenchError::guest(path, &error);
        let engine = Engine::new(&settings(compiled).map_err(failed)?).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker).map_err(failed)?;
        bindings::EventSender::add_to_linker::<_, HasSelf<Bare>>(&mut linker, |bare| bare)
            .map_err(failed)?;
        let component = Component::new(&engine, bytes)
            .and_then(|component| linker.instantiate_pre(&component))
            .and_then(bindings::EventSenderPre::new)
            .map_err(failed)?;
        Ok(Self(Arc::new(Mould { engine, component })))
    }

    /// Hands each batch to one instance that stays, and to another one that was made for it and is thrown
    /// away, one after the other, so that a machine that is slow for a moment is slow for both.
    pub(super) fn calls(&self, batches: &[Batch]) -> Result<Calls, BenchError> {
        let mould = &self.0;
        let (mut store, guest) = mould.make()?;
        init(&mut store, &guest)?;
        let ((tasks, asked), (given, made)) = (mpsc::channel(), mpsc::channel());
        let beside = Arc::clone(mould);
        let beside = thread::spawn(move || {
            for task in asked {
                let made = match task {
                    Task::ClearAway(started) => {
                        drop(started);
                        None
                    }
                    Task::Make => Some(beside.make()),
                };
                drop(given.send(made));
            }
            thread_cpu()
        });
        let is_gone =
            || BenchError::Guest { reason: "the thread that makes instances is gone".into() };
        // Nothing else runs while the instance that stays is called: its time is taken by the clock.
        let do_it = |task| {
            tasks.send(task).map_err(|_| is_gone())?;
            made.recv().map_err(|_| is_gone())
        };
        let (mut state, mut call, mut fresh_us) = (State::new(), Duration::ZERO, Vec::new());
        for batch in batches {
            let (begun, cpu) = (Instant::now(), thread_cpu()?);
            handle(&mut store, &guest, batch)?;
            let taken = thread_cpu()?.saturating_sub(cpu);
            call += begun.elapsed();
            store.data_mut().forget();
            let (mut fresh, guest) = do_it(Task::Make)?.ok_or_else(is_gone)??;
            let cpu = thread_cpu()?;
            fresh.data_mut().state = state;
            init(&mut fresh, &guest)?;
            handle(&mut fresh, &guest, batch)?;
            state = std::mem::take(&mut fresh.data_mut().state);
            let whole = thread_cpu()?.saturating_sub(cpu);
            do_it(Task::ClearAway((fresh, guest)))?;
            fresh_us.push((whole.as_secs_f64() - taken.as_secs_f64()) * 1e6);
        }
        drop(tasks);
        let beside = beside.join().map_err(|_| is_gone())??;
        fresh_us.sort_by(f64::total_cmp);
        let beside_us = beside.as_secs_f64() * 1e6 / fresh_us.len().max(1) as f64;
        Ok(Calls { call, fresh_us: median(&fresh_us), beside_us })
    }
}

impl Mould {
    fn make(&self) -> Result<Started, BenchError> {
        let mut store = Store::new(&self.engine, Bare::new());
        store.set_epoch_deadline(NO_DEADLINE);
        let guest = self.component.instantiate(&mut store).map_err(failed)?;
        Ok((store, guest))
    }
}

fn init(store: &mut Store<Bare>, guest: &bindings::EventSender) -> Result<(), BenchError> {
    match guest.headcount_plugin_handler().call_init(store, NO_CONFIG).map_err(failed)? {
        Ok(()) => Ok(()),
        Err(reason) => Err(BenchError::Guest { reason }),
    }
}

fn handle(
    store: &mut Store<Bare>,
    guest: &bindings::EventSender,
    batch: &Batch,
) -> Result<(), BenchError> {
    match guest.headcount_plugin_handler().call_handle(store, batch).map_err(failed)? {
        Ok(outcome) if outcome.rejected.is_empty() => Ok(()),
        Ok(_) => Err(BenchError::Guest { reason: "it set events aside".to_owned() }),
        Err(failure) => Err(BenchError::Guest { reason: format!("{failure:?}") }),
    }
}

fn failed(error: wasmtime::Error) -> BenchError {
    BenchError::Guest { reason: format!("{error:#}") }
}

fn settings(compiled: &Path) -> wasmtime::Result<Config> {
    let mut cache = CacheConfig::new();
    cache.with_directory(compiled);
    let mut config = Config::new();
    config.cache(Some(Cache::new(cache)?));
    config.epoch_interruption(true);
    config.max_wasm_stack(STACK_BYTES);
    config.cranelift_nan_canonicalization(true);
    config.wasm_relaxed_simd(false);
    config.wasm_memory64(false);
    config.wasm_multi_memory(false);
    config.memory_init_cow(true);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(GUESTS)
            .total_core_instances(GUESTS * MODULES)
            .total_memories(GUESTS)
            .total_tables(GUESTS * TABLES)
            .max_tables_per_module(TABLES)
            .max_component_instance_size(CONTEXT_BYTES)
            .max_core_instance_size(CONTEXT_BYTES)
            .max_memory_size(MEMORY_BYTES)
            .table_elements(TABLE_ELEMENTS)
            .pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(RESIDENT_BYTES)
            .table_keep_resident(TABLE_RESIDENT_BYTES);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    Ok(config)
}
