//! Writing out of an open ledger: rows into a file of another form, or all of it into another ledger.
//!
//! DuckDB writes to one file that it may reach, and the file gets the name it was asked under when it
//! is whole. Each is made at one moment of the ledger, beside its writer.

use super::LedgerReader;
use crate::{
    digest,
    error::{Result, file_failed, statement_failed, user_statement_failed},
    open::clear,
    query,
    sql::{committed, run, text},
};
use alloy_primitives::B256;
use event::{FileForm, LedgerError};
use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{MutexGuard, PoisonError},
};

/// Name under which a copy is attached while it is written.
const COPY: &str = "headcount_copy";

impl LedgerReader {
    /// Writes the rows of one statement to `to` in the order in which it has them, and returns how many
    /// there were. Nothing is at `to` where it fails; what was there is replaced.
    pub fn export(&self, select: &str, form: FileForm, to: &Path) -> Result<u64> {
        query::check_is_one(select)?;
        let output = self.output()?;
        clear(&output)?;
        let options = match form {
            FileForm::Parquet => "FORMAT parquet, COMPRESSION zstd",
            FileForm::Csv => "FORMAT csv, HEADER true",
            FileForm::Ndjson => "FORMAT json",
        };
        let sql = format!(
            "COPY (\n{select}\n) TO {} ({options}, USE_TMP_FILE false)",
            text(&shown(&output)?)
        );
        let written = super::reading::at_one_moment(&self.conn, |conn| {
            conn.query_row(&sql, [], |row| row.get(0)).map_err(user_statement_failed)
        });
        handed_over(&output, to, written)
    }

    /// Copies the whole ledger to `to`, a ledger like this one. Returns the digest of what was copied
    /// where it is wanted: reading everything once more, in the same moment. Nothing is at `to` where
    /// it fails; what was there is replaced.
    pub fn snapshot(&self, to: &Path, with_digest: bool) -> Result<Option<B256>> {
        let output = self.output()?;
        clear(&output)?;
        let copied = self.copied(&shown(&output)?, with_digest);
        handed_over(&output, to, copied)
    }

    fn copied(&self, output: &str, with_digest: bool) -> Result<Option<B256>> {
        let conn = &self.conn;
        let own: String = conn
            .query_row("SELECT current_database()", [], |row| row.get(0))
            .map_err(statement_failed)?;
        run(conn, &format!("ATTACH {} AS {COPY} (READ_WRITE)", text(output)))?;
        let copied = run(conn, "BEGIN TRANSACTION").and_then(|()| {
            committed(conn, || {
                let digest = with_digest.then(|| digest::of(conn)).transpose()?;
                let own = crate::sql::quoted(&own);
                run(conn, &format!("COPY FROM DATABASE {own} TO {COPY}"))?;
                Ok(digest)
            })
        });
        // Detaching folds its log in; only then is the file whole.
        let detached = run(conn, &format!("DETACH {COPY}"));
        let digest = copied?;
        detached?;
        Ok(digest)
    }

    fn output(&self) -> Result<MutexGuard<'_, PathBuf>> {
        let output = self.output.as_ref();
        let output = output.ok_or_else(|| {
            LedgerError::Internal("this ledger was opened to write nothing out of it".into())
        })?;
        Ok(output.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// DuckDB is told paths in text.
fn shown(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| LedgerError::Io(format!("{} is not UTF-8", path.display())))
}

/// Gives what was written its name, or removes it.
fn handed_over<T>(output: &Path, to: &Path, written: Result<T>) -> Result<T> {
    let moved = written.and_then(|value| moved(output, to).map(|()| value));
    if moved.is_err() && output != to {
        let _ = clear(output);
    }
    moved.inspect_err(|_| {
        let _ = clear(to);
    })
}

/// Moves a whole file, also to another device, and has it on the disk.
fn moved(output: &Path, to: &Path) -> Result<()> {
    let failed = |error: std::io::Error| file_failed("writing", to, &error);
    if output != to {
        match fs::rename(output, to) {
            Err(error) if error.kind() == ErrorKind::CrossesDevices => {
                fs::copy(output, to).map_err(failed)?;
                clear(output)?;
            }
            renamed => renamed.map_err(failed)?,
        }
    }
    File::open(to).and_then(|file| file.sync_all()).map_err(failed)
}
