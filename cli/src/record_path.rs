//! Which file a recording may be written to: a new one, or one that a recording is in already.
//!
//! A finished recording replaces the file of its name, so what else has that name is looked at
//! before anything is opened.

use crate::{command_error::CommandError, ledger_path::LedgerPath};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Files that belong to a ledger: its whole name plus one of these.
const BESIDE_LEDGER: [&str; 8] =
    ["", ".wal", ".lock", ".sock", ".new", ".new.wal", ".copy", ".copy.wal"];

/// Refuses to record to a file that is anything but a recording.
pub(crate) fn check_record_path(path: &Path, ledger: &LedgerPath) -> Result<(), CommandError> {
    let shown = path.display();
    let elsewhere = "name a new file, for example --record recording.ndjson.gz";
    let Some(folder) = path.parent().filter(|_| path.file_name().is_some()) else {
        return Err(CommandError::usage(format!("`{shown}` names no file"))
            .context("wrong file at --record")
            .hint(elsewhere));
    };
    if !folder.as_os_str().is_empty() && !folder.is_dir() {
        return Err(CommandError::usage(format!("there is no folder {}", folder.display()))
            .context(format!("the recording {shown} cannot be made"))
            .hint("make the folder, or name another file with --record"));
    }
    if is_of_ledger(path, &ledger.path) {
        return Err(CommandError::usage(format!(
            "{shown} is the ledger or belongs to it: {}",
            ledger.path.display()
        ))
        .context("--record would replace the ledger")
        .hint(elsewhere));
    }
    let what = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => error.to_string(),
        // Neither a pipe nor a device is opened to find out.
        Ok(_) if path.exists() && !path.is_file() => "it is no regular file".to_owned(),
        Ok(_) => match node::Recording::open(path) {
            Ok(_) => return Ok(()),
            Err(error) => error.to_string(),
        },
    };
    Err(CommandError::usage(what)
        .context(format!("--record would replace {shown}, which is not a whole recording"))
        .hint(format!("{elsewhere}; if that file may go, delete it first")))
}

/// Whether a file is the ledger, or one that is made beside it.
pub(crate) fn is_of_ledger(path: &Path, ledger: &Path) -> bool {
    let (path, ledger) = (real(path), real(ledger));
    BESIDE_LEDGER.iter().any(|suffix| {
        let mut beside = ledger.clone().into_os_string();
        beside.push(suffix);
        real(Path::new(&beside)) == path
    })
}

/// Returns the path without links and dots; of a file that is not there, that of its folder.
fn real(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (path.parent().and_then(|folder| folder.canonicalize().ok()), path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_recording_never_takes_the_place_of_anything_else() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let ledger = LedgerPath { path: at("q.duckdb"), is_explicit: true };
        fs::write(at("notes.txt"), "mine").unwrap();
        fs::create_dir(at("folder")).unwrap();
        for name in [
            "q.duckdb",
            "q.duckdb.wal",
            "q.duckdb.lock",
            "q.duckdb.new",
            "folder/../q.duckdb",
            "notes.txt",
            "folder",
            "gone/new.gz",
            "..",
        ] {
            let error = check_record_path(&at(name), &ledger).unwrap_err().to_string();
            assert!(error.contains("\ncaused by: "), "{name}: {error}");
            assert!(error.contains("\nhint: "), "{name}: {error}");
        }
        assert!(check_record_path(&at("new.gz"), &ledger).is_ok());
        let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/erc20.ndjson.gz");
        assert!(check_record_path(&recording, &ledger).is_ok());
        assert_eq!(fs::read_to_string(at("notes.txt")).unwrap(), "mine");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_the_ledger_is_the_ledger() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("q.duckdb"), dir.path().join("link.gz"));
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for (ledger, record) in [(&file, &link), (&link, &file)] {
            let ledger = LedgerPath { path: ledger.clone(), is_explicit: true };
            assert!(check_record_path(record, &ledger).is_err());
        }
    }
}
