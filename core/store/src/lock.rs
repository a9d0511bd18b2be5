//! Ownership of a ledger: a lock on `<ledger>.lock`, taken before DuckDB opens the file.
//!
//! The file holds the owner's pid and, in a second line, where it listens. It stays when the lock is
//! released: unlinking a lock file lets two owners in.

use crate::error::{Result, file_failed};
use event::LedgerError;
use std::{
    fs::{File, TryLockError},
    io::{ErrorKind, Read, Seek, Write},
    path::{Path, PathBuf},
};

/// A pid and the path of a socket need no more.
const LOCK_BYTES_MAX: u64 = 4096;

/// A held lock; released on drop, and by the system when the process dies.
#[derive(Debug)]
pub(crate) struct LedgerLock {
    /// `None` where a reader may not create the lock file: nobody can own the ledger there.
    file: Option<File>,
    exclusive: bool,
}

impl LedgerLock {
    /// Takes the lock for an owner, and writes our pid into the file.
    pub(crate) fn exclusive(ledger: &Path) -> Result<Self> {
        let path = beside(ledger, ".lock");
        let mut file = open(&path).map_err(|error| file_failed("opening", &path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy(ledger, &mut file)),
            Err(TryLockError::Error(error)) => return Err(file_failed("locking", &path, &error)),
        }
        write_owner(&file, None).map_err(|error| file_failed("writing", &path, &error))?;
        Ok(Self { file: Some(file), exclusive: true })
    }

    /// Writes into the file where the owner listens.
    pub(crate) fn announce(&self, ledger: &Path, socket: &Path) -> Result<()> {
        let Some(file) = self.file.as_ref().filter(|_| self.exclusive) else { return Ok(()) };
        write_owner(file, Some(socket))
            .map_err(|error| file_failed("writing", &beside(ledger, ".lock"), &error))
    }

    /// Takes the lock for one of several readers.
    pub(crate) fn shared(ledger: &Path) -> Result<Self> {
        let path = beside(ledger, ".lock");
        let mut file = match open(&path) {
            Ok(file) => file,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                return Ok(Self { file: None, exclusive: false });
            }
            Err(error) => return Err(file_failed("opening", &path, &error)),
        };
        match file.try_lock_shared() {
            Ok(()) => {
                // The pid of a process that was killed is not that of the holder.
                let _ = file.set_len(0);
                Ok(Self { file: Some(file), exclusive: false })
            }
            Err(TryLockError::WouldBlock) => Err(busy(ledger, &mut file)),
            Err(TryLockError::Error(error)) => Err(file_failed("locking", &path, &error)),
        }
    }
}

impl Drop for LedgerLock {
    fn drop(&mut self) {
        let Some(file) = &self.file else { return };
        // A pid left behind would be shown as the holder while only readers hold the lock.
        if self.exclusive {
            let _ = file.set_len(0);
        }
        // Closing is not enough: the lock belongs to the open file, and a child that another thread
        // is just starting has a copy of it until it runs its program.
        let _ = file.unlock();
    }
}

/// Returns the path of a file that belongs to the ledger: its whole name plus `suffix`.
pub(crate) fn beside(ledger: &Path, suffix: &str) -> PathBuf {
    let mut name = ledger.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn open(path: &Path) -> std::io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

/// Returns where the last owner of a ledger said that it listens, if it said so.
pub(crate) fn announced(ledger: &Path) -> Option<PathBuf> {
    let mut text = Vec::new();
    File::open(beside(ledger, ".lock")).ok()?.take(LOCK_BYTES_MAX).read_to_end(&mut text).ok()?;
    let mut lines = text.split(|byte| *byte == b'\n').skip(1);
    let socket = lines.next().filter(|line| !line.is_empty())?;
    Some(PathBuf::from(path_of(socket)?))
}

#[cfg(unix)]
fn path_of(bytes: &[u8]) -> Option<&std::ffi::OsStr> {
    Some(std::os::unix::ffi::OsStrExt::from_bytes(bytes))
}

#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn write_owner(mut file: &File, socket: Option<&Path>) -> std::io::Result<()> {
    let mut text = format!("{}\n", std::process::id()).into_bytes();
    if let Some(socket) = socket {
        text.extend_from_slice(socket.as_os_str().as_encoded_bytes());
        text.push(b'\n');
    }
    file.set_len(0)?;
    file.rewind()?;
    // In one piece: whoever reads it meanwhile sees nothing or all of it.
    file.write_all(&text)
}

fn busy(ledger: &Path, file: &mut File) -> LedgerError {
    let mut text = String::new();
    let _ = file.take(LOCK_BYTES_MAX).read_to_string(&mut text);
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
    LedgerError::Busy { path: ledger.display().to_string(), pid }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_lock_that_was_let_go_is_free_also_where_a_child_has_a_copy_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("l.duckdb");
        let held = LedgerLock::exclusive(&ledger).unwrap();
        let copy = held.file.as_ref().unwrap().try_clone().unwrap();
        drop(held);
        let readers = LedgerLock::shared(&ledger).unwrap();
        let copy_of_readers = readers.file.as_ref().unwrap().try_clone().unwrap();
        drop(readers);
        LedgerLock::exclusive(&ledger).unwrap();
        drop((copy, copy_of_readers));
    }
}
