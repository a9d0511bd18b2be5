//! A copy of a ledger, looked at before anybody gets it.

use super::Look;
use crate::command_error::{CommandError, ErrorKind};
use alloy_primitives::B256;
use std::path::Path;
use store::{DuckLedger, OpenMode};

/// Copies what `ledger` was opened to write to `part`. With `check` returns the digest that both have.
pub(crate) fn snapshot(
    mut ledger: Look,
    part: &Path,
    check: bool,
) -> Result<Option<B256>, CommandError> {
    let digest = ledger.snapshot(check)?;
    let copied = look_at(part, digest);
    // Nobody else knows this name.
    let mut lock = part.as_os_str().to_owned();
    lock.push(".lock");
    let _ = std::fs::remove_file(lock);
    copied.map(|()| digest)
}

fn look_at(part: &Path, digest: Option<B256>) -> Result<(), CommandError> {
    let copy = DuckLedger::open(part, OpenMode::ReadOnly)?;
    match digest {
        Some(expected) if copy.digest()? != expected => {
            let why = "the copy says something else than the ledger";
            Err(CommandError::new(ErrorKind::CheckFailed, why)
                .context("the copy is not kept")
                .hint("run it again; if that stays so, run `headcount ledger check`"))
        }
        _ => Ok(()),
    }
}
