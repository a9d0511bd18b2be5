//! Where the owner of a ledger listens.
//!
//! Beside the ledger, where the path is not too long for a socket; else in a folder of the machine
//! under a name made of the ledger's path. Which it is the owner writes into the lock file, because
//! a client may have another environment (cron has none).

use alloy_primitives::keccak256;
use std::path::{Path, PathBuf};

/// Longest path of a Unix socket, in bytes: 103 on macOS and the BSDs, 107 on Linux.
const PATH_BYTES_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
/// Digits of a name made of a path.
const NAME_DIGITS: usize = 20;

/// Returns the places where an owner may listen, best first.
pub fn socket_places(ledger: &Path, folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut beside = ledger.as_os_str().to_owned();
    beside.push(".sock");
    let digest = keccak256(ledger.as_os_str().as_encoded_bytes()).to_string();
    let name = format!("headcount-{}.sock", &digest[2..2 + NAME_DIGITS]);
    std::iter::once(PathBuf::from(beside))
        .chain(folders.iter().map(|folder| folder.join(&name)))
        .filter(|path| path.as_os_str().len() <= PATH_BYTES_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_too_long_leads_to_a_folder_of_the_machine() {
        let folders = [PathBuf::from("/run/user/7"), PathBuf::from("/tmp")];
        let short = socket_places(Path::new("/data/l.duckdb"), &folders);
        assert_eq!(short[0], Path::new("/data/l.duckdb.sock"));
        assert_eq!(short.len(), 3);
        let long = format!("/data/{}/l.duckdb", "x".repeat(150));
        let places = socket_places(Path::new(&long), &folders);
        assert_eq!(places.len(), 2);
        assert!(places[0].starts_with("/run/user/7"), "{places:?}");
        let other = socket_places(Path::new(&format!("{long}2")), &folders);
        assert_ne!(places, other, "each ledger has a name of its own");
    }
}
