//! The one engine of the process, and the thread that counts its time.

use crate::{Grants, HostConfig, Limits, LoadError, LoadedPlugin, call::Call, wasi};
use std::{path::Path, thread, time::Duration};
use wasmtime::{Config, Engine, component::Linker};

/// One tick of the clock that deadlines are counted in.
pub(crate) const TICK_MS: u64 = 10;
/// Native stack of a guest.
pub(crate) const STACK_BYTES: usize = 512 << 10;

/// The sandbox. Cheap to share; plugins that were loaded keep it alive.
pub struct Host {
    engine: Engine,
    linker: Linker<Call>,
    config: HostConfig,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Host {
    /// Makes the engine and starts its clock.
    pub fn new(config: HostConfig) -> Result<Self, LoadError> {
        let engine = Engine::new(&engine_config()).map_err(|e| LoadError::engine(&e))?;
        let mut linker = Linker::new(&engine);
        wasi::link(&mut linker).map_err(|e| LoadError::engine(&e))?;
        crate::bindings::EventSender::add_to_linker::<_, wasmtime::component::HasSelf<Call>>(
            &mut linker,
            |call| call,
        )
        .map_err(|e| LoadError::engine(&e))?;
        let weak = engine.weak();
        thread::Builder::new()
            .name("plugin clock".to_owned())
            .spawn(move || {
                // Ends with the last plugin.
                while let Some(engine) = weak.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    thread::sleep(Duration::from_millis(TICK_MS));
                }
            })
            .map_err(|e| LoadError::Engine(e.to_string()))?;
        Ok(Self { engine, linker, config })
    }

    /// Compiles a component, checks it and asks it to describe itself. `config` is the operator's
    /// configuration of the plugin as a JSON object.
    pub fn load(
        &self,
        bytes: &[u8],
        config: &str,
        limits: Limits,
    ) -> Result<LoadedPlugin, LoadError> {
        self.load_granted(bytes, config, limits, Grants::default())
    }

    /// As [`Self::load`], with what the operator grants beyond that.
    pub fn load_granted(
        &self,
        bytes: &[u8],
        config: &str,
        limits: Limits,
        grants: Grants,
    ) -> Result<LoadedPlugin, LoadError> {
        if bytes.len() > self.config.component_bytes {
            let allowed = self.config.component_bytes;
            return Err(LoadError::TooLarge { found: bytes.len(), allowed });
        }
        LoadedPlugin::load(&self.engine, &self.linker, bytes, config, (limits, grants))
    }

    /// Reads a file and loads it.
    pub fn load_file(
        &self,
        path: &Path,
        config: &str,
        limits: Limits,
    ) -> Result<LoadedPlugin, LoadError> {
        let bytes = std::fs::read(path).map_err(|e| LoadError::Unreadable(e.to_string()))?;
        self.load(&bytes, config, limits)
    }
}

fn engine_config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.max_wasm_stack(STACK_BYTES);
    // The same input gives the same output on every machine.
    config.cranelift_nan_canonicalization(true);
    config.wasm_relaxed_simd(false);
    // What no guest of ours needs is not there to be attacked. Threads are not compiled in.
    config.wasm_memory64(false);
    config.wasm_multi_memory(false);
    // A guest's memory is copied, not mapped from a file made for it: a file, even one that lives
    // in memory, is under the limits that a full disk or `ulimit -f` sets.
    config.memory_init_cow(false);
    config
}
