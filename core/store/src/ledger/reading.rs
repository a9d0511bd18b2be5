//! What other processes ask of a ledger that is open here: answered beside the writer, each answer
//! from one moment of the ledger, and nothing of it can write.

use super::LedgerReader;
use crate::{
    check, digest,
    error::{Result, statement_failed},
    load,
    query::{self, EachRow},
    sql::{run, text},
};
use alloy_primitives::B256;
use duckdb::{Connection, InterruptHandle};
use event::{ChainId, ChainState, Column, LedgerError};
use std::{fmt, sync::Arc};

/// Ends the statement that a [`LedgerReader`] runs, from another thread.
#[derive(Clone)]
pub struct Interrupter(Arc<InterruptHandle>);

impl fmt::Debug for Interrupter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interrupter")
    }
}

impl Interrupter {
    /// Ends it; where nothing runs, nothing happens.
    pub fn interrupt(&self) {
        self.0.interrupt();
    }
}

impl LedgerReader {
    /// Returns what can end a statement of this reader.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter(self.conn.interrupt_handle())
    }

    /// Says how much memory DuckDB may take for the open ledger, writer and readers together, for
    /// example `512MB`. Less than is in use just now is an error, and changes nothing.
    pub fn limit_memory(&self, limit: &str) -> Result<()> {
        run(&self.conn, &format!("SET memory_limit = {}", text(limit)))
    }

    /// Returns the chains that something is covered of, in order.
    pub fn chains(&self) -> Result<Vec<ChainId>> {
        load::chains(&self.conn)
    }

    /// Returns what is known of a chain.
    pub fn load(&self, chain: ChainId) -> Result<ChainState> {
        at_one_moment(&self.conn, |conn| load::chain_state(conn, chain))
    }

    /// Returns the digest of the ledger, as [`super::DuckLedger::digest`].
    pub fn digest(&self) -> Result<B256> {
        at_one_moment(&self.conn, digest::of)
    }

    /// Returns what is inconsistent, as [`super::DuckLedger::check`].
    pub fn check(&self) -> Result<Vec<String>> {
        at_one_moment(&self.conn, check::problems)
    }

    /// Runs one statement of a user that returns rows, as [`super::DuckLedger::query`].
    pub fn query(&self, statement: &str, each: &mut EachRow<'_>) -> Result<Vec<Column>> {
        // This connection could write. A transaction that reads only refuses that, and a second
        // statement, which could end it, is refused before DuckDB hears of it.
        query::check_is_one(statement)?;
        at_one_moment(&self.conn, |conn| query::run(conn, statement, each))
    }
}

pub(super) fn at_one_moment<T>(
    conn: &Connection,
    read: impl FnOnce(&Connection) -> Result<T>,
) -> Result<T> {
    run(conn, "BEGIN TRANSACTION READ ONLY")?;
    let read = read(conn);
    // It has written nothing; the only thing that can fail is a connection that is of no use.
    match (read, conn.execute_batch("ROLLBACK").map_err(statement_failed)) {
        (Ok(_), Err(error)) => Err(LedgerError::Internal(error.to_string())),
        (read, _) => read,
    }
}
