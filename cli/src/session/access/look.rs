//! Looking at a ledger: in its file where nobody owns it, through its owner where somebody does.
//!
//! An owner that ends meanwhile is no error: the ledger is looked at anew.

use super::{
    joined::{Joined, Miss, another},
    reach::Seeker,
};
use crate::{
    command_error::{CommandError, ErrorKind},
    environment::Environment,
};
use alloy_primitives::B256;
use event::{
    ChainId, ChainState, Column, EventPage, EventQuery, LedgerError, Reader as _, Store, Value,
};
use relay::{ConnectError, Reply, Request, Role};
use std::{ops::ControlFlow, path::Path, path::PathBuf, time::Instant};
use store::{DuckLedger, OpenMode};
use tokio::runtime::Runtime;

/// Owners that end while they are asked the same, at most.
const LOST_MAX: u32 = 100;
/// Time between two tries.
const TRY_AGAIN: std::time::Duration = std::time::Duration::from_millis(25);

/// A ledger that is looked at. Not to be used on a thread of a runtime, unless it may block.
pub(crate) struct Look {
    path: PathBuf,
    seeker: Seeker,
    /// For what is asked of an owner.
    runtime: Runtime,
    source: Source,
}

enum Source {
    File(Box<DuckLedger>),
    Owner(Joined),
}

/// Is handed each row with its columns; may stop them.
pub(crate) type EachRow<'a> = dyn FnMut(&[Column], Vec<Value>) -> ControlFlow<()> + 'a;

impl Look {
    /// Opens the file, or joins its owner.
    pub(crate) fn open(path: &Path, environment: &Environment) -> Result<Self, CommandError> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let seeker = Seeker::new(path, environment, Role::Reader);
        let source = source(path, &seeker, &runtime)?;
        Ok(Self { path: path.to_owned(), seeker, runtime, source })
    }

    /// Where the ledger is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks for the next owner, a moment after one has ended.
    fn lost(&mut self) -> Result<(), CommandError> {
        std::thread::sleep(TRY_AGAIN);
        self.source = source(&self.path, &self.seeker, &self.runtime)?;
        Ok(())
    }

    /// Asks until an owner has answered that did not end meanwhile.
    fn asked<T>(
        &mut self,
        ask: impl Fn(&mut Source, &Runtime) -> Result<T, Miss>,
    ) -> Result<T, CommandError> {
        for _ in 0..LOST_MAX {
            match ask(&mut self.source, &self.runtime) {
                Ok(told) => return Ok(told),
                Err(Miss::Failed(error)) => return Err(error),
                Err(Miss::Lost) => self.lost()?,
            }
        }
        Err(ended())
    }

    /// Returns the chains that something is covered of, in order.
    pub(crate) fn chains(&mut self) -> Result<Vec<ChainId>, CommandError> {
        self.asked(|source, runtime| match source {
            Source::File(ledger) => Ok(ledger.chains()?),
            Source::Owner(joined) => runtime.block_on(joined.chains()),
        })
    }

    /// Returns what is known of a chain.
    pub(crate) fn load(&mut self, chain: ChainId) -> Result<ChainState, CommandError> {
        self.asked(|source, runtime| match source {
            Source::File(ledger) => Ok(ledger.load(chain)?),
            Source::Owner(joined) => runtime.block_on(joined.load(chain)),
        })
    }

    /// Returns canonical events.
    pub(crate) fn events(&mut self, query: &EventQuery) -> Result<EventPage, CommandError> {
        self.asked(|source, runtime| match source {
            Source::File(ledger) => Ok(ledger.events(query)?),
            Source::Owner(joined) => runtime.block_on(joined.events(query)),
        })
    }

    /// Returns the digest of the ledger.
    pub(crate) fn digest(&mut self) -> Result<B256, CommandError> {
        self.asked(|source, runtime| match source {
            Source::File(ledger) => Ok(ledger.digest()?),
            Source::Owner(joined) => runtime.block_on(joined.digest()),
        })
    }

    /// Returns what is inconsistent, in sentences.
    pub(crate) fn check(&mut self) -> Result<Vec<String>, CommandError> {
        self.asked(|source, runtime| match source {
            Source::File(ledger) => Ok(ledger.check()?),
            Source::Owner(joined) => runtime.block_on(joined.check()),
        })
    }

    /// Runs one statement that returns rows and hands each row to `each` until it breaks. Returns the
    /// columns. Rows that were handed on are not taken back: an owner that ends after them is an error.
    pub(crate) fn query(
        &mut self,
        statement: &str,
        each: &mut EachRow<'_>,
    ) -> Result<Vec<Column>, CommandError> {
        for _ in 0..LOST_MAX {
            let joined = match &mut self.source {
                Source::File(ledger) => return Ok(ledger.query(statement, each)?),
                Source::Owner(joined) => joined.clone(),
            };
            let mut is_begun = false;
            let rows = self.runtime.block_on(rows(&joined, statement, &mut |columns, row| {
                is_begun = true;
                each(columns, row)
            }));
            match rows {
                Ok(columns) => return Ok(columns),
                Err(Miss::Failed(error)) => return Err(error),
                Err(Miss::Lost) if is_begun => return Err(ended()),
                Err(Miss::Lost) => self.lost()?,
            }
        }
        Err(ended())
    }
}

async fn rows(
    joined: &Joined,
    statement: &str,
    each: &mut EachRow<'_>,
) -> Result<Vec<Column>, Miss> {
    let mut parts = joined.client.ask_parts(&Request::Query(statement.to_owned()));
    // The first part is held back until more comes: an answer of one part is whole, or is asked for
    // again.
    let mut held: Option<(Vec<Column>, Vec<Vec<Value>>)> = None;
    loop {
        let next = match parts.next().await? {
            Reply::Rows(columns, rows) => Ok((columns, rows)),
            Reply::Columns(columns) => Err(columns),
            _ => return Err(another()),
        };
        if let Some((columns, rows)) = held.take() {
            for row in rows {
                if each(&columns, row).is_break() {
                    return Ok(columns);
                }
            }
        }
        match next {
            Ok(part) => held = Some(part),
            Err(columns) => return Ok(columns),
        }
    }
}

/// Opens the file where nobody owns it, or joins the owner.
fn source(path: &Path, seeker: &Seeker, runtime: &Runtime) -> Result<Source, CommandError> {
    let begun = Instant::now();
    loop {
        let pid = match DuckLedger::open(path, OpenMode::ReadOnly) {
            Ok(ledger) => return Ok(Source::File(Box::new(ledger))),
            Err(LedgerError::Busy { pid, .. }) => pid,
            Err(error) => return Err(error.into()),
        };
        match runtime.block_on(seeker.connect()) {
            Ok(client) => return Ok(Source::Owner(Joined::new(client))),
            Err(ConnectError::Absent(_) | ConnectError::Refused { .. }) => {}
            Err(error) => return Err(seeker.unreachable(error)),
        }
        if seeker.is_over(begun, pid) {
            return Err(seeker.busy(pid).into());
        }
        std::thread::sleep(TRY_AGAIN);
    }
}

fn ended() -> CommandError {
    CommandError::new(ErrorKind::LeftOpen, "the process that owns the ledger has ended")
        .context("the answer is not whole")
        .hint("run the same command again")
}
