//! A ledger for the time of one audit: the audited events in the tables that a replay would have
//! made, for SQL assertions where there is no ledger.

use crate::command_error::CommandError;
use abi::Schemas;
use aggregator::{Admission, Policy};
use event::{AnchorPolicy, ChainProfile, Decoder, Prover, Store, Verify};
use pipeline::{ChainSetup, Owner, OwnerHandle};
use std::{path::PathBuf, sync::Arc};
use store::{DuckLedger, OpenMode};
use tempfile::TempDir;

/// Its file.
const FILE: &str = "audited.duckdb";

/// While it is written.
pub(super) struct Scratch {
    folder: TempDir,
    owner: OwnerHandle,
}

/// When it is written. Its file is gone when this is dropped.
pub(super) struct Closed {
    pub(super) path: PathBuf,
    _folder: TempDir,
}

impl Scratch {
    pub(super) fn start(
        profile: &ChainProfile,
        verify: Verify,
        schemas: &Arc<Schemas>,
        prover: Arc<dyn Prover>,
    ) -> Result<Self, CommandError> {
        let folder = tempfile::tempdir()
            .map_err(|error| CommandError::local_io("making a folder for the audit", error))?;
        let mut ledger = DuckLedger::open(folder.path().join(FILE), OpenMode::Create)?;
        ledger.prepare_schemas(schemas.schemas())?;
        let policy =
            Policy { verify, anchor: AnchorPolicy::OneNode, admission: Admission::OneNode };
        let setup = ChainSetup { profile: profile.clone(), policy };
        let owner = Owner::new(Box::new(ledger), prover, schemas.clone(), vec![setup])?.spawn()?;
        Ok(Self { folder, owner })
    }

    pub(super) const fn owner(&self) -> &OwnerHandle {
        &self.owner
    }

    pub(super) fn close(self) -> Result<Closed, CommandError> {
        self.owner.close()?;
        Ok(Closed { path: self.folder.path().join(FILE), _folder: self.folder })
    }
}
