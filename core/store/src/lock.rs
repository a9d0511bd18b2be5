//! Ownership of a ledger: a lock on `<ledger>.lock`, taken before DuckDB opens the file.
//!
//! The file stays when the lock is released: unlinking a lock file lets two owners in.

use crate::error::{Result, file_failed};
use event::LedgerError;
use std::{
    fs::{File, TryLockError},
    io::{ErrorKind, Read, Seek, Write},
    path::{Path, PathBuf},
};

/// A pid needs no more.
const PID_BYTES_MAX: u64 = 32;

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
        write_pid(&mut file).map_err(|error| file_failed("writing", &path, &error))?;
        Ok(Self { file: Some(file), exclusive: true })
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
            Ok(()) => Ok(Self { file: Some(file), exclusive: false }),
            Err(TryLockError::WouldBlock) => Err(busy(ledger, &mut file)),
            Err(TryLockError::Error(error)) => Err(file_failed("locking", &path, &error)),
        }
    }
}

impl Drop for LedgerLock {
    fn drop(&mut self) {
        // A pid left behind would be shown as the holder while only readers hold the lock.
        if let (Some(file), true) = (&self.file, self.exclusive) {
            let _ = file.set_len(0);
        }
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

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn busy(ledger: &Path, file: &mut File) -> LedgerError {
    let mut text = String::new();
    let _ = file.take(PID_BYTES_MAX).read_to_string(&mut text);
    LedgerError::Busy { path: ledger.display().to_string(), pid: text.trim().parse().ok() }
}
