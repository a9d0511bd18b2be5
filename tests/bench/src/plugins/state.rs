//! What a bare guest may call: its state in a map, everything else taken and dropped.

use super::guest::{kept, log, outbox, output, types};
use std::collections::BTreeMap;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// Keys and values of a guest.
pub(super) type State = BTreeMap<Vec<u8>, Vec<u8>>;

/// What stands behind the imports.
pub(super) struct Bare {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(super) state: State,
    emitted: Vec<(Vec<u64>, Vec<output::Column>)>,
}

impl Bare {
    pub(super) fn new() -> Self {
        let wasi = WasiCtxBuilder::new().build();
        Self { wasi, table: ResourceTable::new(), state: State::new(), emitted: Vec::new() }
    }

    /// Drops what was emitted.
    pub(super) fn forget(&mut self) {
        self.emitted.clear();
    }
}

impl WasiView for Bare {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl types::Host for Bare {}

impl log::Host for Bare {
    fn log(&mut self, _: log::Level, _: String, _: Vec<(String, String)>) {}

    fn count(&mut self, _: String, _: u64) {}
}

impl output::Host for Bare {
    fn emit(
        &mut self,
        _: String,
        seqs: Vec<u64>,
        columns: Vec<output::Column>,
    ) -> Result<(), output::EmitError> {
        self.emitted.push((seqs, columns));
        Ok(())
    }
}

impl kept::Host for Bare {
    fn get(&mut self, key: Vec<u8>) -> Option<Vec<u8>> {
        self.state.get(&key).cloned()
    }

    fn get_many(&mut self, keys: Vec<Vec<u8>>) -> Vec<Option<Vec<u8>>> {
        keys.iter().map(|key| self.state.get(key).cloned()).collect()
    }

    fn set(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), kept::StateError> {
        self.state.insert(key, value);
        Ok(())
    }

    fn set_many(&mut self, items: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), kept::StateError> {
        self.state.extend(items);
        Ok(())
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.state.remove(&key);
    }

    fn scan(
        &mut self,
        prefix: Vec<u8>,
        after: Option<Vec<u8>>,
        limit: u32,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        let from = after.unwrap_or_else(|| prefix.clone());
        let found = self.state.range(from.clone()..);
        found
            .filter(|(key, _)| **key != from || from == prefix)
            .take_while(|(key, _)| key.starts_with(&prefix))
            .take(limit as usize)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

impl outbox::Host for Bare {
    fn enqueue(&mut self, _: outbox::Message) -> Result<(), outbox::OutboxError> {
        Ok(())
    }

    fn is_granted(&mut self, _: String) -> bool {
        false
    }
}
