//! Waits for an author to save a file of a plugin.

use super::{
    Language,
    build::{Inputs, sources},
};
use crate::command_error::CommandError;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, sync_channel},
    time::Duration,
};

/// An editor writes several files, or one in several steps; so long nothing may happen before it is over.
const SETTLED: Duration = Duration::from_millis(100);

/// The files of a plugin's folder, as they were when they were last looked at.
pub(crate) struct Saved {
    folder: PathBuf,
    extensions: &'static [&'static str],
    watcher: RecommendedWatcher,
    stirred: Receiver<()>,
    inputs: Inputs,
}

impl Saved {
    /// Begins to watch; what is there now counts as seen.
    pub(crate) fn watch(folder: &Path) -> Result<Self, CommandError> {
        let extensions = sources(Language::of_folder(folder)?);
        let folder = folder.canonicalize()?;
        // That something happened is all that matters, so one word is enough.
        let (sender, stirred) = sync_channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Looking at a file is an event too, and not one to look at the file for.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = sender.try_send(());
            }
        });
        let watcher = watcher.map_err(unwatched)?;
        let inputs = Inputs::of(&folder, extensions)?;
        let mut saved = Self { folder, extensions, watcher, stirred, inputs };
        saved.watch_folders()?;
        Ok(saved)
    }

    /// Waits until a file is another than it was. What changed since the last time, as during a build, counts.
    pub(crate) fn wait(&mut self) -> Result<(), CommandError> {
        loop {
            // A file that is gone the moment it is looked at will stir again.
            if let Ok(now) = Inputs::of(&self.folder, self.extensions)
                && !now.are(&self.inputs)
            {
                self.inputs = now;
                return self.watch_folders();
            }
            let stopped = |_| CommandError::bug("nobody watches the folder any more");
            self.stirred.recv().map_err(stopped)?;
            while self.stirred.recv_timeout(SETTLED).is_ok() {}
        }
    }

    /// Folders that tools write, with thousands of files, are not watched.
    fn watch_folders(&mut self) -> Result<(), CommandError> {
        for folder in &self.inputs.folders {
            let watched = self.watcher.watch(folder, RecursiveMode::NonRecursive);
            match watched {
                Err(_) if !folder.is_dir() => {}
                watched => watched.map_err(unwatched)?,
            }
        }
        Ok(())
    }
}

fn unwatched(error: notify::Error) -> CommandError {
    CommandError::usage(error)
        .context("the plugin's folder cannot be watched")
        .hint("the system may watch too much already (fs.inotify.max_user_watches); `plugin build` and `plugin test` do the same once")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::{fs, thread};

    #[test]
    fn a_saved_file_is_noticed_and_what_tools_write_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        fs::write(path.join("package.json"), "{}").unwrap();
        fs::write(path.join("plugin.js"), "1").unwrap();
        let mut saved = Saved::watch(&path).unwrap();
        // Before it waits: as during a build.
        fs::write(path.join("plugin.js"), "2").unwrap();
        saved.wait().unwrap();
        // In a folder that was not there, while it waits; before it something that is no source.
        let author = thread::spawn(move || {
            fs::create_dir(path.join("build")).unwrap();
            fs::write(path.join("build/plugin.js"), "1").unwrap();
            fs::write(path.join("rows.ndjson"), "1").unwrap();
            fs::create_dir(path.join("lib")).unwrap();
            fs::write(path.join("lib/more.js"), "1").unwrap();
        });
        saved.wait().unwrap();
        author.join().unwrap();
        assert!(saved.inputs.folders.iter().any(|folder| folder.ends_with("lib")));
    }
}
