//! Owning a ledger before it is opened: the lock alone, for whoever also has to listen beside it.
//!
//! It touches no file but `<ledger>.lock`; what is listened on is somebody else's business.

use crate::{
    error::Result,
    lock::{self, LedgerLock},
    open::look_before,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// This process is the only one that may open the ledger. Ends when this, the ledger opened with
/// it and all readers of that are dropped.
#[derive(Clone, Debug)]
pub struct Ownership {
    pub(crate) path: PathBuf,
    pub(crate) lock: Arc<LedgerLock>,
}

impl Ownership {
    /// Takes the lock of the ledger at `path`, which need not be there yet. `Busy` names the process
    /// that owns it; where none is named, readers hold it together for a while.
    pub fn take(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        look_before(&path, true)?;
        let lock = Arc::new(LedgerLock::exclusive(&path)?);
        Ok(Self { path, lock })
    }

    /// Returns the ledger's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes beside the pid where other processes find this one.
    pub fn announce(&self, socket: &Path) -> Result<()> {
        self.lock.announce(&self.path, socket)
    }
}

/// Returns where the last owner of the ledger said that it listens. It may be gone since.
pub fn announced_socket(ledger: &Path) -> Option<PathBuf> {
    lock::announced(ledger)
}
