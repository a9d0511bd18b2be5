//! Takes the lock of a ledger, or connects to whoever holds it.

use super::{desk::OwnerDesk, joined::Joined};
use crate::{
    command_error::{CommandError, ErrorKind},
    environment::Environment,
};
use event::LedgerError;
use pipeline::{OwnerHandle, OwnerReport};
use relay::{Client, ConnectError, Hello, Role, Server, socket_places};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use store::{Ownership, SCHEMA_VERSION, announced_socket};

/// How long a process that holds the lock may take to listen. One of another version never does.
const LISTEN_MAX: Duration = Duration::from_secs(3);
/// How long readers that hold the lock together are waited for; they look and end.
const READERS_MAX: Duration = Duration::from_secs(30);
/// Time between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(25);

/// What a command has come to.
pub(crate) enum Reached {
    /// It owns the ledger.
    Own(Owned),
    /// Another process does.
    Joined(Joined),
}

/// A ledger that this process owns, and the socket on which it says so.
pub(crate) struct Owned {
    // In this order: the socket must be gone before the lock is, or it would be the next owner's.
    pub(crate) server: Option<Server>,
    pub(crate) ownership: Ownership,
}

impl Owned {
    /// Ends what clients read, closes the ledger and lets go of it: clients see the end of this owner
    /// when the ledger is free, and go on with the next.
    pub(crate) async fn close(
        self,
        desk: Arc<OwnerDesk>,
        owner: OwnerHandle,
    ) -> Result<OwnerReport, CommandError> {
        if let Some(server) = &self.server {
            server.drain().await;
        }
        desk.close().await;
        drop(desk);
        let closed = tokio::task::spawn_blocking(move || owner.close()).await;
        Ok(closed.map_err(|_| CommandError::bug("the ledger's closing was cancelled"))??)
    }
}

/// Looks for the owner of one ledger.
pub(crate) struct Seeker {
    ledger: PathBuf,
    places: Vec<PathBuf>,
    hello: Hello,
}

impl Seeker {
    /// Returns one for a process of this role.
    pub(crate) fn new(ledger: &Path, environment: &Environment, role: Role) -> Self {
        // The path that every process sees, whatever its working directory is.
        let ledger = std::path::absolute(ledger).unwrap_or_else(|_| ledger.to_owned());
        let folders = ["XDG_RUNTIME_DIR", "TMPDIR"].map(|name| environment.path(name));
        let folders: Vec<PathBuf> = folders.into_iter().flatten().chain(["/tmp".into()]).collect();
        let places = socket_places(&ledger, &folders);
        Self { ledger, places, hello: Hello::of_this_process(role, SCHEMA_VERSION) }
    }

    /// Whether there is a ledger, or somebody may be making one.
    pub(crate) fn is_there(&self) -> bool {
        let mut lock = self.ledger.as_os_str().to_owned();
        lock.push(".lock");
        self.ledger.exists() || Path::new(&lock).exists()
    }

    /// Returns who has the lock, as far as that is known; `None` where nobody has.
    pub(crate) fn holder(&self) -> Result<Option<Option<u32>>, CommandError> {
        // Let go of at once.
        match Ownership::take(&self.ledger) {
            Ok(_) => Ok(None),
            Err(LedgerError::Busy { pid, .. }) => Ok(Some(pid)),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the lock where nobody has it; returns who has it otherwise, where that is known.
    /// To be called inside a Tokio runtime.
    fn take(&self) -> Result<Result<Owned, Option<u32>>, CommandError> {
        match Ownership::take(&self.ledger) {
            Ok(ownership) => Ok(Ok(self.listen(ownership)?)),
            Err(LedgerError::Busy { pid, .. }) => Ok(Err(pid)),
            Err(error) => Err(error.into()),
        }
    }

    /// Owns the ledger, or joins who does. An owner that does not answer, and one of another version,
    /// is an error: never a wait without end.
    pub(crate) async fn reach(&self) -> Result<Reached, CommandError> {
        let begun = Instant::now();
        loop {
            let pid = match self.take()? {
                Ok(owned) => return Ok(Reached::Own(owned)),
                Err(pid) => pid,
            };
            match self.connect().await {
                Ok(client) => return Ok(Reached::Joined(Joined::new(client))),
                Err(ConnectError::Absent(_) | ConnectError::Refused { .. }) => {}
                Err(error) => return Err(self.unreachable(error)),
            }
            if begun.elapsed() > patience(pid) {
                return Err(self.busy(pid).into());
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    /// Waits until nobody has the lock.
    pub(crate) async fn until_free(&self) -> Result<(), CommandError> {
        loop {
            if self.holder()?.is_none() {
                return Ok(());
            }
            // The end of an owner that says that it is there is heard; others are asked again.
            match self.connect().await {
                Ok(client) => client.lost().await,
                Err(_) => tokio::time::sleep(TRY_AGAIN).await,
            }
        }
    }

    /// Connects to the owner, where it listens.
    pub(crate) async fn connect(&self) -> Result<Client, ConnectError> {
        let announced = announced_socket(&self.ledger);
        let mut failed = ConnectError::Absent(std::io::ErrorKind::NotFound.into());
        for place in announced.iter().chain(self.places.first()) {
            match Client::connect(place, &self.hello).await {
                Err(ConnectError::Absent(error)) => failed = ConnectError::Absent(error),
                ended => return ended,
            }
        }
        Err(failed)
    }

    /// The error that the ledger is in use.
    pub(crate) fn busy(&self, pid: Option<u32>) -> LedgerError {
        LedgerError::Busy { path: self.ledger.display().to_string(), pid }
    }

    /// Whether a holder of the lock that does not listen has been waited for long enough.
    pub(crate) fn is_over(&self, begun: Instant, pid: Option<u32>) -> bool {
        begun.elapsed() > patience(pid)
    }

    pub(crate) fn unreachable(&self, error: ConnectError) -> CommandError {
        let hint = match error {
            ConnectError::Protocol { .. } => "use the headcount that it runs, or end that process",
            _ => "look at that process, or run the same command again",
        };
        CommandError::new(ErrorKind::LeftOpen, error)
            .context(format!("ledger {} is in use", self.ledger.display()))
            .hint(hint)
    }

    /// Listens for others. Where that is not possible they are told that the ledger is in use.
    fn listen(&self, ownership: Ownership) -> Result<Owned, CommandError> {
        let server = match Server::bind(&self.places, self.hello.clone()) {
            Ok(server) => {
                ownership.announce(server.place())?;
                Some(server)
            }
            Err(error) => {
                tracing::warn!(%error, "other processes cannot use the ledger meanwhile");
                None
            }
        };
        Ok(Owned { server, ownership })
    }
}

/// Without a pid readers hold the lock, or it is just being let go of.
const fn patience(pid: Option<u32>) -> Duration {
    match pid {
        Some(_) => LISTEN_MAX,
        None => READERS_MAX,
    }
}
