//! What DuckDB says, as the ledger's own errors. Decides by DuckDB's error class, not by wording,
//! wherever DuckDB names one.

use event::LedgerError;
use std::path::Path;

/// What every function of this crate returns.
pub(crate) type Result<T> = std::result::Result<T, LedgerError>;

/// Classes and words by which a failing device shows, wherever DuckDB noticed it.
const IO_SIGNS: [&str; 7] = [
    "IO Error",
    "No space left",
    "File too large",
    "Read-only file system",
    "Input/output error",
    "Disk quota",
    "Could not write",
];

/// An error of a statement of ours: the device's, or a bug.
pub(crate) fn statement_failed(error: duckdb::Error) -> LedgerError {
    let text = one_line(&error.to_string());
    if IO_SIGNS.iter().any(|sign| text.contains(sign)) {
        LedgerError::Io(text)
    } else {
        LedgerError::Internal(text)
    }
}

/// An error of a statement that a user wrote.
pub(crate) fn user_statement_failed(error: duckdb::Error) -> LedgerError {
    let text = error.to_string();
    if IO_SIGNS.iter().any(|sign| text.contains(sign)) {
        LedgerError::Io(one_line(&text))
    } else {
        LedgerError::Sql(text)
    }
}

/// An error while DuckDB opened the file.
pub(crate) fn open_failed(path: &Path, error: duckdb::Error) -> LedgerError {
    let text = error.to_string();
    let path = path.display().to_string();
    if text.contains("Could not set lock") || text.contains("Conflicting lock") {
        return LedgerError::Busy { path, pid: pid_in(&text) };
    }
    let device = ["No space left", "File too large", "Read-only file system", "Permission denied"];
    if device.iter().any(|sign| text.contains(sign)) {
        return LedgerError::Io(one_line(&text));
    }
    LedgerError::Unreadable { path, reason: one_line(&text) }
}

/// An error of the file system around the ledger.
pub(crate) fn file_failed(doing: &str, path: &Path, error: &std::io::Error) -> LedgerError {
    LedgerError::Io(format!("{doing} {}: {error}", path.display()))
}

/// Finds the holder in `Conflicting lock is held in /usr/bin/x (PID 123) by user y`.
fn pid_in(text: &str) -> Option<u32> {
    let (_, after) = text.split_once("(PID ")?;
    after.split(')').next()?.trim().parse().ok()
}

/// DuckDB adds hints, caret lines and stack traces on further lines.
fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_foreign_lock_is_read_from_duckdbs_words() {
        let text = "IO Error: Could not set lock on file \"/x\": Conflicting lock is held in \
                    /usr/bin/node (PID 4711) by user root. See also https://duckdb.org";
        assert_eq!(pid_in(text), Some(4711));
        assert_eq!(pid_in("IO Error: something else"), None);
    }
}
