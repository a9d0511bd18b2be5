//! A file that is written whole or not at all: beside its name first, and moved there at the end.

use crate::{
    command_error::{CommandError, ErrorKind},
    ledger_path::LedgerPath,
    record_path::is_of_ledger,
};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};
use store::Ownership;

/// Names of files that belong to a ledger end in these.
const BELONGING: [&str; 4] = ["wal", "lock", "sock", "copy"];

/// Where output goes.
#[derive(Debug)]
pub(crate) struct OutputFile {
    /// `None` is stdout.
    to: Option<PathBuf>,
    part: PathBuf,
    /// A ledger that is to be replaced, and that nobody uses meanwhile.
    replaced: Option<Ownership>,
}

impl OutputFile {
    /// Returns one for `path`. What is there is replaced only by `force`, and no ledger by anything.
    pub(crate) fn file(
        path: PathBuf,
        ledger: &LedgerPath,
        force: bool,
    ) -> Result<Self, CommandError> {
        let shown = path.display().to_string();
        let elsewhere = "name another file";
        let folder = path.parent().filter(|_| path.file_name().is_some());
        let Some(folder) = folder else {
            return Err(CommandError::usage(format!("`{shown}` names no file")).hint(elsewhere));
        };
        if !folder.as_os_str().is_empty() && !folder.is_dir() {
            return Err(CommandError::usage(format!("there is no folder {}", folder.display()))
                .context(format!("{shown} cannot be made"))
                .hint("make the folder, or name another file"));
        }
        if is_of_ledger(&path, &ledger.path) {
            let what = format!("{shown} is the ledger or belongs to it: {}", ledger.path.display());
            return Err(CommandError::usage(what).hint(elsewhere));
        }
        if let Ok(meta) = fs::symlink_metadata(&path) {
            if path.exists() && !path.is_file() {
                let what = format!("{shown} is no regular file");
                return Err(CommandError::usage(what).hint(elsewhere));
            }
            if !force || meta.is_symlink() {
                return Err(CommandError::usage(format!("{shown} is there already"))
                    .hint("name another file, or say --force to replace it"));
            }
        }
        let part = with_suffix(&path, &format!(".{}.part", std::process::id()));
        Ok(Self { to: Some(path), part, replaced: None })
    }

    /// As [`Self::file`], for a ledger: only a ledger that nobody uses is replaced.
    pub(crate) fn ledger(
        path: PathBuf,
        ledger: &LedgerPath,
        force: bool,
    ) -> Result<Self, CommandError> {
        let mut output = Self::file(path.clone(), ledger, force)?;
        // Beside a file of the rest of the name it would be taken for that file's log, lock or socket.
        let belonging = path.extension().and_then(|extension| extension.to_str());
        if let Some(suffix) = belonging.filter(|suffix| BELONGING.contains(suffix)) {
            let what = format!("{} would be the .{suffix} file of another ledger", path.display());
            return Err(CommandError::usage(what).hint("name it otherwise, as in copy.duckdb"));
        }
        let log = with_suffix(&path, ".wal");
        if path.exists() {
            let owned = Ownership::take(&path).map_err(|error| {
                CommandError::from(error)
                    .context(format!("{} cannot be replaced", path.display()))
                    .hint("only a ledger that nobody uses is replaced")
            })?;
            output.replaced = Some(owned);
        } else if log.exists() {
            let what = format!("{} is there: it would be taken for the copy's log", log.display());
            return Err(CommandError::usage(what).hint("name another file"));
        }
        Ok(output)
    }

    /// Returns stdout: written to a file in `folder` first.
    pub(crate) fn stdout(folder: &Path) -> Self {
        let part = folder.join(format!("headcount-{}.part", std::process::id()));
        Self { to: None, part, replaced: None }
    }

    /// Where to write.
    pub(crate) fn part(&self) -> &Path {
        &self.part
    }

    /// Gives what was written its name, or writes it to stdout.
    pub(crate) fn finish(self) -> Result<(), CommandError> {
        let Some(to) = &self.to else {
            let mut from = File::open(&self.part)?;
            let mut out = io::stdout().lock();
            io::copy(&mut from, &mut out)?;
            return Ok(out.flush()?);
        };
        let failed = |error| CommandError::local_io(format!("writing {}", to.display()), error);
        if self.replaced.is_some() {
            // The log of the one that goes is none of the one that comes.
            match fs::remove_file(with_suffix(to, ".wal")) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
        fs::rename(&self.part, to).map_err(failed)?;
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        discard(&self.part);
    }
}

/// Removes what was not finished, and what DuckDB puts beside a database that it writes.
pub(crate) fn discard(part: &Path) {
    for suffix in ["", ".wal", ".wal.checkpoint", ".wal.recovery"] {
        let _ = fs::remove_file(with_suffix(part, suffix));
    }
}

/// An error about the file that is written, and not about the ledger that is read.
pub(crate) fn not_written(why: String) -> CommandError {
    CommandError::new(ErrorKind::LocalIo, why)
        .context("it could not be written, and nothing is left of it")
        .hint("make room or name another place, and run the same command again")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_file_that_is_there_is_replaced_only_by_force_and_what_belongs_to_the_ledger_never() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let ledger = LedgerPath { path: at("l.duckdb"), is_explicit: true };
        fs::write(at("old.csv"), "old").unwrap();
        fs::create_dir(at("folder")).unwrap();
        for name in ["l.duckdb", "l.duckdb.wal", "l.duckdb.copy", "folder", "gone/f.csv", ".."] {
            let error = OutputFile::file(at(name), &ledger, true).unwrap_err().to_string();
            assert!(error.contains("\nhint: "), "{name}: {error}");
        }
        assert!(OutputFile::file(at("old.csv"), &ledger, false).is_err());
        let output = OutputFile::file(at("old.csv"), &ledger, true).unwrap();
        fs::write(output.part(), "half").unwrap();
        drop(output);
        assert_eq!(fs::read_to_string(at("old.csv")).unwrap(), "old");
        let output = OutputFile::file(at("old.csv"), &ledger, true).unwrap();
        fs::write(output.part(), "new").unwrap();
        output.finish().unwrap();
        assert_eq!(fs::read_to_string(at("old.csv")).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_snapshot_takes_the_place_of_no_other_kind_of_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let ledger = LedgerPath { path: at("l.duckdb"), is_explicit: true };
        fs::write(at("notes.txt"), "mine, and longer than a header").unwrap();
        fs::write(at("gone.duckdb.wal"), "log").unwrap();
        for name in ["notes.txt", "gone.duckdb"] {
            assert!(OutputFile::ledger(at(name), &ledger, true).is_err(), "{name}");
        }
        assert!(!at("notes.txt.lock").exists());
        assert!(OutputFile::ledger(at("new.duckdb"), &ledger, false).is_ok());
    }
}
