//! Compiled plugins are kept for the next start; while one is compiled, whoever waits is told.

use crate::environment::Environment;
use host::{Host, HostConfig, LoadError};
use std::{
    io::{Write, stderr},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Nobody is told of what takes less.
const PATIENCE: Duration = Duration::from_secs(1);
/// Folder of compiled plugins in the user's folder for caches.
const FOLDER: &str = "headcount/plugins";

/// Where compiled plugins are kept, and whether to be silent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Compiling {
    folder: Option<PathBuf>,
    quiet: bool,
}

impl Compiling {
    /// Decides by the environment: `HEADCOUNT_CACHE`, else the user's folder for caches. Where there is
    /// neither, nothing is kept.
    pub(crate) fn of(environment: &Environment, quiet: bool) -> Self {
        let folder = environment.path("HEADCOUNT_CACHE").or_else(|| {
            let cache = environment.path("XDG_CACHE_HOME");
            let cache = cache.or_else(|| Some(environment.path("HOME")?.join(".cache")));
            cache.map(|cache| cache.join(FOLDER))
        });
        Self { folder, quiet }
    }

    /// Makes the sandbox.
    pub(crate) fn host(&self) -> Result<Host, LoadError> {
        Host::new(HostConfig { cache_folder: self.folder.clone(), ..HostConfig::default() })
    }

    /// Does what may compile a plugin, and says so where it takes long.
    pub(crate) fn during<T>(
        &self,
        host: &Host,
        (plugin, bytes): (&Path, &[u8]),
        work: impl FnOnce() -> T,
    ) -> T {
        if self.quiet || host.has_compiled(bytes) {
            return work();
        }
        let line = self.line(plugin);
        let (done, waiting) = mpsc::channel::<()>();
        let teller = thread::spawn(move || {
            if waiting.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = writeln!(stderr(), "{line}");
            }
        });
        let worked = work();
        drop(done);
        let _ = teller.join();
        worked
    }

    fn line(&self, plugin: &Path) -> String {
        let kept = match &self.folder {
            Some(folder) => format!("once, it is kept in {}", folder.display()),
            None => "it is not kept: there is no HOME or HEADCOUNT_CACHE".to_owned(),
        };
        format!("compiling {} for this machine; {kept}", plugin.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_plugins_are_kept_where_the_user_keeps_caches() {
        let folder = |variables: &[(&str, &str)]| {
            Compiling::of(&Environment::for_test(Path::new("/w"), variables), false).folder
        };
        let home = ("HOME", "/h");
        assert_eq!(folder(&[home]), Some("/h/.cache/headcount/plugins".into()));
        let cache = ("XDG_CACHE_HOME", "/c");
        assert_eq!(folder(&[home, cache]), Some("/c/headcount/plugins".into()));
        assert_eq!(folder(&[home, cache, ("HEADCOUNT_CACHE", "mine")]), Some("/w/mine".into()));
        assert_eq!(folder(&[]), None);
    }
}
