//! Looking at a ledger: in its file where nobody owns it, through its owner where somebody does.
//!
//! An owner that ends meanwhile is no error: the ledger is looked at anew.

use super::{
    forward,
    joined::{Joined, Miss, another},
    reach::Seeker,
};
use crate::{
    command_error::{CommandError, ErrorKind},
    environment::Environment,
    interrupt::Interrupt,
    output_file::{discard, not_written},
};
use alloy_primitives::B256;
use event::{
    ChainId, ChainState, Column, EventPage, EventQuery, FileForm, LedgerError, Reader as _, Store,
    Value,
};
use relay::{ConnectError, Reply, Request, Role};
use std::{ops::ControlFlow, path::Path, path::PathBuf, time::Instant};
use store::{DuckLedger, OpenMode, OpenOptions};
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
    options: OpenOptions,
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
        Self::open_with(path, environment, OpenOptions::default())
    }

    /// Opens it to write out of it to `part`, which is gone when a signal ends this process.
    pub(crate) fn open_to_write(
        path: &Path,
        environment: &Environment,
        part: &Path,
    ) -> Result<Self, CommandError> {
        let options = OpenOptions { output: Some(part.to_owned()), ..OpenOptions::default() };
        let look = Self::open_with(path, environment, options)?;
        let part = part.to_owned();
        look.runtime.block_on(async { Interrupt::end_after(move || discard(&part)) })?;
        Ok(look)
    }

    fn open_with(
        path: &Path,
        environment: &Environment,
        options: OpenOptions,
    ) -> Result<Self, CommandError> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let seeker = Seeker::new(path, environment, Role::Reader);
        let source = source(path, &seeker, &runtime, &options)?;
        Ok(Self { path: path.to_owned(), seeker, runtime, options, source })
    }

    /// Where the ledger is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks for the next owner, a moment after one has ended.
    fn lost(&mut self) -> Result<(), CommandError> {
        std::thread::sleep(TRY_AGAIN);
        self.source = source(&self.path, &self.seeker, &self.runtime, &self.options)?;
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

    /// Returns the plugins that the owner runs; `None` where nobody owns the ledger.
    pub(crate) fn plugins(&mut self) -> Result<Option<Vec<String>>, CommandError> {
        self.asked(|source, runtime| match source {
            Source::File(_) => Ok(None),
            Source::Owner(joined) => runtime.block_on(joined.plugins()).map(Some),
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

    /// Writes the rows of a statement to the file that this was opened to write, and returns their
    /// number. Beside an owner the owner writes them.
    pub(crate) fn export(&mut self, select: &str, form: FileForm) -> Result<u64, CommandError> {
        let part = self.part()?;
        self.asked(|source, runtime| match source {
            Source::File(ledger) => written(ledger.reader()?.export(select, form, part.as_ref())),
            Source::Owner(joined) => runtime.block_on(joined.export(select, form, &part)),
        })
    }

    /// Copies the ledger to the file that this was opened to write; returns its digest, where it is
    /// wanted. Beside an owner the owner copies it.
    pub(crate) fn snapshot(&mut self, with_digest: bool) -> Result<Option<B256>, CommandError> {
        let part = self.part()?;
        self.asked(|source, runtime| match source {
            Source::File(ledger) => written(ledger.reader()?.snapshot(part.as_ref(), with_digest)),
            Source::Owner(joined) => runtime.block_on(joined.snapshot(&part, with_digest)),
        })
    }

    /// Returns the whole path of the file that is written.
    fn part(&self) -> Result<String, CommandError> {
        let part = self.options.output.as_deref().unwrap_or(Path::new(""));
        let part = std::path::absolute(part)?;
        let text = part.to_str().map(str::to_owned);
        text.ok_or_else(|| {
            CommandError::usage(format!("{} is not UTF-8", part.display()))
                .hint("name another file")
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
fn source(
    path: &Path,
    seeker: &Seeker,
    runtime: &Runtime,
    options: &OpenOptions,
) -> Result<Source, CommandError> {
    let begun = Instant::now();
    loop {
        let pid = match DuckLedger::open_with(path, OpenMode::ReadOnly, options) {
            Ok(ledger) => return Ok(Source::File(Box::new(ledger))),
            Err(LedgerError::Busy { pid, .. }) => pid,
            Err(older @ LedgerError::Older { .. }) => match forward::bring(path, older) {
                Ok(()) => continue,
                Err(LedgerError::Busy { pid, .. }) => pid,
                Err(error) => return Err(error.into()),
            },
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

/// An error of the device is about the file that is written.
fn written<T>(result: Result<T, LedgerError>) -> Result<T, Miss> {
    result.map_err(|error| match error {
        LedgerError::Io(why) => Miss::Failed(not_written(why)),
        error => error.into(),
    })
}

fn ended() -> CommandError {
    CommandError::new(ErrorKind::LeftOpen, "the process that owns the ledger has ended")
        .context("the answer is not whole")
        .hint("run the same command again")
}
