//! Reading the open ledger for clients: a few at once, each on a thread and a connection of its own,
//! and none left when the owner ends.

use crate::session::ledger::LEDGER_MEMORY;
use event::LedgerError;
use futures_util::FutureExt;
use relay::{DeskAnswer, Refusal, Reply};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use store::{Interrupter, LedgerReader};
use tokio::sync::{Semaphore, watch};

/// Questions of ours at once, at most: more wait. What they hold is a part of what the owner may hold.
const READS_MAX: usize = 2;
/// Statements of users at once, at most. They have room of their own, because whoever asked may take
/// the rows as slowly as a person reads.
const STATEMENTS_MAX: usize = 4;
/// Memory that DuckDB may use while statements of users run. A statement takes what it can get up to
/// four fifths of it; a fifth is more than a commit needs.
const STATEMENTS_MEMORY: &str = "512MB";
/// How long readers have to end when they are interrupted.
const END_MAX: Duration = Duration::from_secs(1);
/// Time between two interrupts: one that comes before its statement has begun is not heard.
const INTERRUPT_AGAIN: Duration = Duration::from_millis(20);

/// The readers of one owner.
pub(super) struct Reads {
    /// To make readers from; gone when the owner ends.
    first: Mutex<Option<LedgerReader>>,
    room: Arc<Semaphore>,
    statements: Arc<Semaphore>,
    /// Statements of users that run.
    users: Mutex<usize>,
    running: Arc<Running>,
}

struct Running {
    interrupters: Mutex<BTreeMap<u64, Interrupter>>,
    count: watch::Sender<u64>,
}

impl Reads {
    pub(super) fn new(first: LedgerReader) -> Self {
        let running = Running { interrupters: Mutex::default(), count: watch::channel(0).0 };
        Self {
            first: Mutex::new(Some(first)),
            room: Arc::new(Semaphore::new(READS_MAX)),
            statements: Arc::new(Semaphore::new(STATEMENTS_MAX)),
            users: Mutex::new(0),
            running: Arc::new(running),
        }
    }

    /// Reads on a thread of its own. Whoever lets go of the answer ends the reading.
    pub(super) fn read(
        self: &Arc<Self>,
        work: impl FnOnce(&LedgerReader) -> Result<Reply, LedgerError> + Send + 'static,
    ) -> DeskAnswer {
        self.read_in(self.room.clone(), work)
    }

    /// Reads for a statement of a user, as [`Self::read`].
    pub(super) fn read_for_user(
        self: &Arc<Self>,
        work: impl FnOnce(&LedgerReader) -> Result<Reply, LedgerError> + Send + 'static,
    ) -> DeskAnswer {
        self.read_in(self.statements.clone(), work)
    }

    fn read_in(
        self: &Arc<Self>,
        room: Arc<Semaphore>,
        work: impl FnOnce(&LedgerReader) -> Result<Reply, LedgerError> + Send + 'static,
    ) -> DeskAnswer {
        let this = self.clone();
        let is_for_user = Arc::ptr_eq(&room, &self.statements);
        async move {
            let place = room.acquire_owned().await.map_err(|_| Refusal::Ending)?;
            let reader = match &*locked(&this.first) {
                Some(first) => first.another()?,
                None => return Err(Refusal::Ending),
            };
            let running = this.running.clone();
            let asked = Asked(reader.interrupter());
            let entry = running.enter(reader.interrupter());
            let counting = this.clone();
            let reading = tokio::task::spawn_blocking(move || {
                if is_for_user {
                    counting.count_user(&reader, true);
                }
                let read = work(&reader);
                if is_for_user {
                    counting.count_user(&reader, false);
                }
                // In this order: whoever waits for the last entry may close the ledger.
                drop(reader);
                drop((entry, place));
                read
            });
            let read = reading.await.map_err(|_| Refusal::Ending)?;
            drop(asked);
            match read {
                Err(_) if this.room.is_closed() => Err(Refusal::Ending),
                read => Ok(read?),
            }
        }
        .boxed()
    }

    /// A statement of a user begins or ends: with the first one there is more memory, after the last
    /// one there is as much as before.
    fn count_user(&self, reader: &LedgerReader, begins: bool) {
        let mut users = locked(&self.users);
        let before = *users;
        *users = if begins { before + 1 } else { before.saturating_sub(1) };
        let limit = match (before, *users) {
            (0, 1) => STATEMENTS_MEMORY,
            (1, 0) => LEDGER_MEMORY,
            _ => return,
        };
        if let Err(error) = reader.limit_memory(limit) {
            tracing::debug!(%error, "the memory limit stays as it is");
        }
    }

    /// Ends all readers; none begins any more.
    pub(super) async fn close(&self) {
        self.room.close();
        self.statements.close();
        drop(locked(&self.first).take());
        let mut count = self.running.count.subscribe();
        let ended = async {
            loop {
                locked(&self.running.interrupters).values().for_each(Interrupter::interrupt);
                let none = count.wait_for(|count| *count == 0);
                if tokio::time::timeout(INTERRUPT_AGAIN, none).await.is_ok() {
                    return;
                }
            }
        };
        if tokio::time::timeout(END_MAX, ended).await.is_err() {
            tracing::warn!("a reader of the ledger does not end");
        }
    }
}

impl Running {
    fn enter(self: &Arc<Self>, interrupter: Interrupter) -> Entry {
        let mut interrupters = locked(&self.interrupters);
        let key = interrupters.last_key_value().map_or(0, |(key, _)| key + 1);
        interrupters.insert(key, interrupter);
        self.count.send_modify(|count| *count += 1);
        Entry { running: self.clone(), key }
    }
}

struct Entry {
    running: Arc<Running>,
    key: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        locked(&self.running.interrupters).remove(&self.key);
        self.running.count.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Ends what was asked for when nobody waits for it any more.
struct Asked(Interrupter);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
