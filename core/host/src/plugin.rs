//! A loaded plugin: hands every batch to a guest of its own.

use crate::{
    Grants, Limits, LoadError, Usage,
    bindings::{
        EventFetcherPre,
        headcount::plugin::types::{Failure, Outcome},
    },
    call::{Call, Subject},
    describe,
    fetching::{Fetcher, System},
    guests::{Guest, Guests, Mould},
    load, network, said, wire,
};
use event::{Batch, Descriptor, Effects, Plugin, PluginFault, PluginState, PluginTable, Rejection};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, sync::Arc, time::Instant};
use wasmtime::{
    Engine,
    component::{Component, Linker},
};

/// A component that was checked and described itself. See [`event::Plugin`].
pub struct LoadedPlugin {
    guests: Guests,
    config: String,
    descriptor: Descriptor,
    tables: Arc<[PluginTable]>,
    interface: String,
    imports: Vec<String>,
    usage: Usage,
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
        network::link(&mut linker, engine, &ty).map_err(|e| LoadError::link(&e))?;
        let component = linker
            .instantiate_pre(component)
            .and_then(EventFetcherPre::new)
            .map_err(|e| LoadError::link(&e))?;
        let mould = Mould {
            engine: engine.clone(),
            component,
            limits: Arc::new(limits),
            fetcher: Arc::new(Fetcher::new(Arc::new(System), grants.authorities().clone())),
            grants: Arc::new(grants),
            digest: Sha256::digest(bytes).into(),
        };
        let mut plugin = Self {
            guests: Guests::new(Arc::new(mould)),
            config: config.to_owned(),
            descriptor: Descriptor {
                name: String::new(),
                version: String::new(),
                logic_version: 0,
                visibility: event::Visibility::Latest,
                subscriptions: Vec::new(),
                tables: Vec::new(),
            },
            tables: Arc::new([]),
            interface,
            imports,
            usage: Usage::default(),
        };
        let mould = Arc::clone(&plugin.guests.mould);
        let Guest { mut store, exports } = mould.make().map_err(LoadError::Start)?;
        let described = exports.headcount_plugin_meta().call_describe(&mut store);
        let given = described.map_err(|e| LoadError::Start(mould.fault(&store, &e)))?;
        plugin.descriptor = describe::descriptor(given).map_err(LoadError::Descriptor)?;
        plugin.tables = plugin.descriptor.tables.clone().into();
        let Guest { mut store, exports } = mould.make().map_err(LoadError::Start)?;
        match exports.headcount_plugin_handler().call_init(&mut store, config) {
            Ok(Ok(())) => Ok(plugin),
            Ok(Err(reason)) => Err(LoadError::Config(said::reason(reason))),
            Err(e) => Err(LoadError::Start(mould.fault(&store, &e))),
        }
    }

    /// Returns the SHA-256 of the component.
    pub fn digest(&self) -> &[u8; 32] {
        &self.guests.mould.digest
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
        &self.guests.mould.limits
    }

    /// Returns the most that a call has used so far.
    pub const fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Hands the batch to a guest that was just made.
    fn run(&self, guest: &mut Guest, batch: &Batch) -> Result<Outcome, PluginFault> {
        let Guest { store, exports } = guest;
        let (mould, handler) = (&self.guests.mould, exports.headcount_plugin_handler());
        match handler.call_init(&mut *store, &self.config) {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => return Err(PluginFault::Halt(said::reason(reason))),
            Err(e) => return Err(mould.fault(store, &e)),
        }
        store.data_mut().http.is_open = true;
        match handler.call_handle(&mut *store, &wire::batch(batch)) {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(failure)) => Err(refusal(failure)),
            Err(e) => Err(mould.fault(store, &e)),
        }
    }

    fn seed(&self, batch: &Batch) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.digest());
        hasher.update(batch.chain.0.to_be_bytes());
        hasher.update(batch.id.to_be_bytes());
        hasher.finalize().into()
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
            seqs: seqs.clone(),
        };
        let begun = Instant::now();
        let mut guest = self.guests.take()?;
        guest.store.data_mut().begin(subject);
        let outcome = self.run(&mut guest, batch);
        let call = guest.store.data_mut();
        let used = call.usage();
        let effects = call.end();
        self.guests.give_back(guest);
        self.usage.raise(Usage {
            elapsed_us: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
            ..used
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
        Ok(Effects { rejected, ..effects })
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
