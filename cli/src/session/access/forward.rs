//! Brings a ledger of an older version forward, for a command that only reads and that nobody owns it
//! beside. As any owner does when it starts; a file that may not be written is left as it is.

use crate::session::ledger::LEDGER_MEMORY;
use event::{LedgerError, Store as _};
use std::{
    ffi::OsString,
    fs::File,
    io::{Write as _, stderr},
    path::Path,
};
use store::{DuckLedger, OpenMode, OpenOptions};

/// Brings the ledger forward and says so, or returns why not: `older`, where this process may not.
pub(super) fn bring(path: &Path, older: LedgerError) -> Result<(), LedgerError> {
    if !may_write(path) {
        return Err(older);
    }
    let memory_limit = Some(LEDGER_MEMORY.to_owned());
    let options = OpenOptions { memory_limit, ..OpenOptions::default() };
    DuckLedger::open_with(path, OpenMode::Existing, &options)?.close()?;
    if let LedgerError::Older { path, found, known } = older {
        // Whoever closed stderr does not want to hear it.
        let _ = writeln!(stderr(), "ledger {path}: brought from schema {found} to {known}");
    }
    Ok(())
}

/// Whether the file and its lock can be written. The lock is there: a reader makes it, where it may.
fn may_write(path: &Path) -> bool {
    let mut lock = OsString::from(path);
    lock.push(".lock");
    [path, Path::new(&lock)].iter().all(|file| File::options().append(true).open(file).is_ok())
}
