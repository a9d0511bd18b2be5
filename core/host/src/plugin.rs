//! A loaded plugin: a fresh guest for every batch.

use crate::{
    Grants, Limits, LoadError, Usage,
    bindings::{
        EventFetcher, EventFetcherPre,
        headcount::plugin::types::{Failure, Outcome},
    },
    call::{Call, Subject, entry_bytes},
    describe,
    engine::{STACK_BYTES, TICK_MS},
    fetching::{Fetcher, System},
    load, network, said, wire,
};
use event::{Batch, Descriptor, Effects, Plugin, PluginFault, PluginState, PluginTable, Rejection};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, sync::Arc, time::Instant};
use wasmtime::{
    Engine, Store, Trap,
    component::{Component, Linker},
};
use wasmtime_wasi::I32Exit;

/// The size of the state is counted anew after so many batches; in between it is carried on.
const RECOUNT_BATCHES: u32 = 64;

/// How wasmtime's error ends when a call hands over too much; its type is private.
const TOO_MUCH_AT_ONCE: &str = "fuel allocated for hostcalls has been exhausted";

/// A component that was checked and described itself. See [`event::Plugin`].
pub struct LoadedPlugin {
    engine: Engine,
    component: EventFetcherPre<Call>,
    config: String,
    limits: Arc<Limits>,
    grants: Arc<Grants>,
    fetcher: Arc<Fetcher>,
    descriptor: Descriptor,
    tables: Arc<[PluginTable]>,
    digest: [u8; 32],
    interface: String,
    imports: Vec<String>,
    usage: Usage,
    /// Bytes of the state, and for how many more batches that may be believed.
    state_bytes: (usize, u32),
}

impl std::fmt::Debug for LoadedPlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedPlugin").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}

impl LoadedPlugin {
    pub(crate) fn load(
        engine: &Engine,
        linker: &Linker<Call>,
        component: &Component,
        bytes: &[u8],
        config: &str,
        (limits, grants): (Limits, Grants),
    ) -> Result<Self, LoadError> {
        let ty = component.component_type();
        load::check_interfaces(engine, &ty, &grants)?;
        let (interface, imports) = load::interfaces(engine, &ty);
        let mut linker = linker.clone();
        network::link(&mut linker, engine, &ty).map_err(|e| LoadError::compile(&e))?;
        let component = linker
            .instantiate_pre(component)
            .and_then(EventFetcherPre::new)
            .map_err(|e| LoadError::compile(&e))?;
        let mut plugin = Self {
            engine: engine.clone(),
            component,
            config: config.to_owned(),
            limits: Arc::new(limits),
            fetcher: Arc::new(Fetcher::new(Arc::new(System), grants.authorities().clone())),
            grants: Arc::new(grants),
            descriptor: Descriptor {
                name: String::new(),
                version: String::new(),
                logic_version: 0,
                visibility: event::Visibility::Latest,
                subscriptions: Vec::new(),
                tables: Vec::new(),
            },
            tables: Arc::new([]),
            digest: Sha256::digest(bytes).into(),
            interface,
            imports,
            usage: Usage::default(),
            state_bytes: (0, 0),
        };
        let (mut store, guest) = plugin.start(plugin.call_at_load()).map_err(LoadError::Start)?;
        let described = guest.headcount_plugin_meta().call_describe(&mut store);
        let given = described.map_err(|e| LoadError::Start(plugin.fault(&store, &e)))?;
        plugin.descriptor = describe::descriptor(given).map_err(LoadError::Descriptor)?;
        plugin.tables = plugin.descriptor.tables.clone().into();
        let started = plugin.start(plugin.call_at_load()).map_err(LoadError::Start)?;
        let (mut store, guest) = started;
        match guest.headcount_plugin_handler().call_init(&mut store, config) {
            Ok(Ok(())) => Ok(plugin),
            Ok(Err(reason)) => Err(LoadError::Config(said::reason(reason))),
            Err(e) => Err(LoadError::Start(plugin.fault(&store, &e))),
        }
    }

    /// Returns the SHA-256 of the component.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Returns the version of the contract that it was built for, such as `0.1.0`.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Returns everything it imports, in order of name: `headcount:plugin/log@0.1.0` and the like.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Returns the limits it runs under.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the most that a call has used so far.
    pub const fn usage(&self) -> &Usage {
        &self.usage
    }

    fn call_at_load(&self) -> Call {
        let subject = Subject {
            unix_seconds: 0,
            seed: &self.digest,
            tables: Arc::new([]),
            state: Arc::default(),
            state_bytes: 0,
            seqs: 0..0,
            grants: Arc::clone(&self.grants),
            fetcher: Arc::clone(&self.fetcher),
        };
        Call::new(&self.limits, subject)
    }

    /// Makes a fresh guest, with its deadline running.
    fn start(&self, call: Call) -> Result<(Store<Call>, EventFetcher), PluginFault> {
        let mut store = Store::new(&self.engine, call);
        store.limiter(|call| &mut call.fence);
        // The tick that is under way counts, so one more.
        store.set_epoch_deadline(self.limits.deadline_ms.div_ceil(TICK_MS) + 1);
        store.set_hostcall_fuel(self.limits.call_bytes);
        match self.component.instantiate(&mut store) {
            Ok(guest) => Ok((store, guest)),
            Err(e) => Err(self.fault(&store, &e)),
        }
    }

    /// Names what ended a guest.
    fn fault(&self, store: &Store<Call>, error: &wasmtime::Error) -> PluginFault {
        let call = store.data();
        let console = said::cleaned(call.console.text());
        let limit = match error.downcast_ref() {
            _ if call.fence.hit.is_some() => call.fence.hit,
            Some(Trap::Interrupt) => {
                let limit_ms = self.limits.deadline_ms;
                return PluginFault::Deadline { limit_ms, said: console };
            }
            Some(Trap::StackOverflow) => Some(("stack_bytes", STACK_BYTES as u64)),
            _ if error.root_cause().to_string().ends_with(TOO_MUCH_AT_ONCE) => {
                Some(("call_bytes", self.limits.call_bytes as u64))
            }
            _ => None,
        };
        if let Some((limit, allowed)) = limit {
            return PluginFault::Limit { limit, allowed, said: console };
        }
        if let Some(I32Exit(code)) = error.downcast_ref() {
            return PluginFault::Halt(format!("it exited with code {code}"));
        }
        let cause = match error.downcast_ref::<Trap>() {
            Some(trap) => trap.to_string(),
            None => error.root_cause().to_string(),
        };
        PluginFault::Trap(if console.is_empty() { cause } else { format!("{console} ({cause})") })
    }

    /// Hands the batch to a guest that was just started.
    fn run(
        &self,
        store: &mut Store<Call>,
        guest: &EventFetcher,
        batch: &Batch,
    ) -> Result<Outcome, PluginFault> {
        let handler = guest.headcount_plugin_handler();
        match handler.call_init(&mut *store, &self.config) {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => return Err(PluginFault::Halt(said::reason(reason))),
            Err(e) => return Err(self.fault(store, &e)),
        }
        store.data_mut().http.is_open = true;
        match handler.call_handle(&mut *store, &wire::batch(batch)) {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(failure)) => Err(refusal(failure)),
            Err(e) => Err(self.fault(store, &e)),
        }
    }

    fn seed(&self, batch: &Batch) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.digest);
        hasher.update(batch.chain.0.to_be_bytes());
        hasher.update(batch.id.to_be_bytes());
        hasher.finalize().into()
    }

    fn count_state(&mut self, state: &PluginState) -> usize {
        let (bytes, left) = self.state_bytes;
        if left > 0 && !(bytes > 0 && state.0.is_empty()) {
            self.state_bytes.1 -= 1;
            return bytes;
        }
        let bytes = state.0.iter().map(|(key, value)| entry_bytes(key, value)).sum();
        self.state_bytes = (bytes, RECOUNT_BATCHES);
        bytes
    }
}

impl Plugin for LoadedPlugin {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn handle(&mut self, batch: &Batch, state: &Arc<PluginState>) -> Result<Effects, PluginFault> {
        let first_seq = batch.seq.first().copied().unwrap_or(0);
        let seqs = first_seq..first_seq.saturating_add(batch.seq.len() as u64);
        let seed = self.seed(batch);
        let subject = Subject {
            unix_seconds: batch.blocks.last().and_then(|block| block.timestamp).unwrap_or(0),
            seed: &seed,
            tables: Arc::clone(&self.tables),
            state: Arc::clone(state),
            state_bytes: self.count_state(state),
            seqs: seqs.clone(),
            grants: Arc::clone(&self.grants),
            fetcher: Arc::clone(&self.fetcher),
        };
        let begun = Instant::now();
        let (mut store, guest) = self.start(Call::new(&self.limits, subject))?;
        let outcome = self.run(&mut store, &guest, batch);
        self.usage.raise(Usage {
            elapsed_us: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
            ..store.data().usage()
        });
        let outcome = outcome?;
        let rejected = outcome.rejected.into_iter();
        let rejected: Vec<Rejection> =
            rejected.map(|r| Rejection { seq: r.seq, reason: said::reason(r.reason) }).collect();
        if let Some(unknown) = rejected.iter().find(|rejection| !seqs.contains(&rejection.seq)) {
            let seq = unknown.seq;
            return Err(PluginFault::Reject(format!(
                "set event {seq} aside, which it was not given"
            )));
        }
        let mut once = BTreeSet::new();
        if let Some(again) = rejected.iter().find(|rejection| !once.insert(rejection.seq)) {
            return Err(PluginFault::Reject(format!("set event {} aside twice", again.seq)));
        }
        let call = store.into_data();
        self.state_bytes.0 = call.state_bytes;
        Ok(Effects { rejected, ..call.into_effects() })
    }
}

fn refusal(failure: Failure) -> PluginFault {
    match failure {
        Failure::Retry(hint) => {
            PluginFault::Retry { after_ms: hint.after_ms, reason: said::reason(hint.reason) }
        }
        Failure::Reject(reason) => PluginFault::Reject(said::reason(reason)),
        Failure::Halt(reason) => PluginFault::Halt(said::reason(reason)),
    }
}
