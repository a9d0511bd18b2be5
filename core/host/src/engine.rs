//! The engine of the process, those of plugins that have a pool of memories, and the thread that counts
//! their time.

use crate::{Grants, HostConfig, Limits, LoadError, LoadedPlugin, call::Call, load, pool, wasi};
use sha2::{Digest, Sha256};
use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};
use wasmtime::{
    Cache, CacheConfig, Config, Engine, EngineWeak,
    component::{Component, Linker},
};

/// One tick of the clock that deadlines are counted in.
pub(crate) const TICK_MS: u64 = 10;
/// Native stack of a guest.
pub(crate) const STACK_BYTES: usize = 512 << 10;

/// Folder of compiled components, in that of what is kept.
const CODE: &str = "code";
/// Folder of empty files that each say by their name that a component was compiled.
const KNOWN: &str = "known";

/// The sandbox. Cheap to share; plugins that were loaded keep it alive.
pub struct Host {
    engine: Engine,
    linker: Linker<Call>,
    settings: Config,
    clock: Clock,
    config: HostConfig,
}

/// Counts the time of engines, until the last of them is gone.
#[derive(Clone, Default)]
struct Clock(Arc<Mutex<Vec<EngineWeak>>>);

impl Clock {
    fn add(&self, engine: &Engine) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(engine.weak());
    }

    /// Counts a tick; returns whether there is anything left to count for.
    fn tick(&self) -> bool {
        let mut engines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        engines.retain(|weak| match weak.upgrade() {
            Some(engine) => {
                engine.increment_epoch();
                true
            }
            None => false,
        });
        !engines.is_empty()
    }

    fn start(&self) -> io::Result<()> {
        let clock = self.clone();
        let run = move || {
            while clock.tick() {
                thread::sleep(Duration::from_millis(TICK_MS));
            }
        };
        thread::Builder::new().name("plugin clock".to_owned()).spawn(run).map(drop)
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Host {
    /// Makes the engine and starts its clock.
    pub fn new(config: HostConfig) -> Result<Self, LoadError> {
        let mut settings = engine_config();
        let cache = config.cache_folder.as_deref().and_then(cache);
        let config =
            HostConfig { cache_folder: config.cache_folder.filter(|_| cache.is_some()), ..config };
        settings.cache(cache);
        let engine = Engine::new(&settings).map_err(|e| LoadError::engine(&e))?;
        let linker = linker(&engine).map_err(|e| LoadError::engine(&e))?;
        let clock = Clock::default();
        clock.add(&engine);
        clock.start().map_err(|e| LoadError::Engine(e.to_string()))?;
        Ok(Self { engine, linker, settings, clock, config })
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
        self.check_size(bytes)?;
        load::check_header(bytes)?;
        if let Some((engine, linker, component)) = self.pooled(bytes, &limits) {
            let granted = (limits, grants);
            return LoadedPlugin::load(&engine, &linker, &component, bytes, config, granted);
        }
        let component = self.component(bytes)?;
        let granted = (limits, grants);
        LoadedPlugin::load(&self.engine, &self.linker, &component, bytes, config, granted)
    }

    /// The component with a pool of its own, where it fits into one.
    fn pooled(&self, bytes: &[u8], limits: &Limits) -> Option<(Engine, Linker<Call>, Component)> {
        let engine = pool::engine(limits, self.settings.clone())?;
        let component = Component::new(&engine, bytes).ok()?;
        let linker = linker(&engine).ok()?;
        self.note_known(bytes);
        self.clock.add(&engine);
        Some((engine, linker, component))
    }

    /// Compiles a component and does no more, so that loading it later finds it compiled. Takes up to
    /// half a minute for a runtime of 20 MB, such as Python's.
    pub fn compile(&self, bytes: &[u8]) -> Result<(), LoadError> {
        self.check_size(bytes)?;
        self.component(bytes).map(drop)
    }

    /// Whether a component is known to have been compiled and kept. What is kept may have been thrown
    /// away since, so nothing but a word of patience may depend on it.
    pub fn has_compiled(&self, bytes: &[u8]) -> bool {
        self.known(bytes).is_some_and(|known| known.exists())
    }

    fn component(&self, bytes: &[u8]) -> Result<Component, LoadError> {
        load::check_header(bytes)?;
        let component = Component::new(&self.engine, bytes).map_err(|e| LoadError::compile(&e))?;
        self.note_known(bytes);
        Ok(component)
    }

    fn note_known(&self, bytes: &[u8]) {
        if let Some(known) = self.known(bytes) {
            // Without it somebody is told once more that compiling takes a while.
            let folder = known.parent().map_or(Ok(()), fs::create_dir_all);
            let _ = folder.and_then(|()| fs::write(known, ""));
        }
    }

    /// Returns the file that says that a component was compiled by this engine.
    fn known(&self, bytes: &[u8]) -> Option<PathBuf> {
        let mut engine = DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut engine);
        let content = alloy_primitives::hex::encode(Sha256::digest(bytes));
        let folder = self.config.cache_folder.as_ref()?.join(KNOWN);
        Some(folder.join(format!("{content}-{:016x}", engine.finish())))
    }

    const fn check_size(&self, bytes: &[u8]) -> Result<(), LoadError> {
        let allowed = self.config.component_bytes;
        if bytes.len() > allowed {
            return Err(LoadError::TooLarge { found: bytes.len(), allowed });
        }
        Ok(())
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

/// Links everything that a guest may import.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<Call>> {
    let mut linker = Linker::new(engine);
    wasi::link(&mut linker)?;
    crate::bindings::EventFetcher::add_to_linker::<_, wasmtime::component::HasSelf<Call>>(
        &mut linker,
        |call| call,
    )?;
    Ok(linker)
}

/// Opens the folder of compiled components. Without it a start is slow, and nothing else.
fn cache(folder: &Path) -> Option<Cache> {
    let opened = own_folder(folder).map_err(wasmtime::Error::from).and_then(|()| {
        let mut config = CacheConfig::new();
        config.with_directory(folder.join(CODE));
        Cache::new(config)
    });
    match opened {
        Ok(cache) => Some(cache),
        Err(error) => {
            let folder = folder.display();
            tracing::warn!(%folder, error = format!("{error:#}"), "compiled plugins are not kept");
            None
        }
    }
}

/// Makes a folder that only its owner can write to: what is in it is run.
fn own_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(folder)?.permissions().mode();
        if mode & 0o022 != 0 {
            return Err(io::Error::other("others can write to it"));
        }
    }
    Ok(())
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
    // A guest's memory is mapped from an image of how it begins, and only the pages that it writes to
    // are copied: of Python's 14 MB few are. The image is a file that lives in memory, and under
    // `ulimit -f`, like any file: where that is set a guest's memory is copied whole.
    config.memory_init_cow(files_are_unlimited());
    config
}

/// Whether this process may make files of any size. Where nothing says so it may not: images are mapped on
/// Linux only.
fn files_are_unlimited() -> bool {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    is_unlimited(&limits)
}

fn is_unlimited(limits: &str) -> bool {
    let size = limits.lines().find_map(|line| line.strip_prefix("Max file size"));
    size.and_then(|size| size.split_whitespace().next()) == Some("unlimited")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_on_files_is_read_from_what_the_kernel_says_of_a_process() {
        let limits = |size| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max cpu time              unlimited            unlimited            seconds   \n\
                 Max file size             {size}            unlimited            bytes     \n"
            )
        };
        assert!(is_unlimited(&limits("unlimited")));
        assert!(!is_unlimited(&limits("8192000")));
        assert!(!is_unlimited(""));
    }
}
