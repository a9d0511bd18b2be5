//! Reading the open ledger for clients: a few at once, each on a thread and a connection of its own,
//! and none left when the owner ends.

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

/// Readers at once, at most: more wait. DuckDB works on a statement with all its threads, and what
/// they hold is a part of what the owner may hold.
const READS_MAX: usize = 2;
/// How long readers have to end when they are interrupted.
const END_MAX: Duration = Duration::from_secs(5);
/// Time between two interrupts: one that comes before its statement has begun is not heard.
const INTERRUPT_AGAIN: Duration = Duration::from_millis(20);

/// The readers of one owner.
pub(super) struct Reads {
    /// To make readers from; gone when the owner ends.
    first: Mutex<Option<LedgerReader>>,
    room: Arc<Semaphore>,
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
            running: Arc::new(running),
        }
    }

    /// Reads on a thread of its own. Whoever lets go of the answer ends the reading.
    pub(super) fn read(
        self: &Arc<Self>,
        work: impl FnOnce(&LedgerReader) -> Result<Reply, LedgerError> + Send + 'static,
    ) -> DeskAnswer {
        let this = self.clone();
        async move {
            let place = this.room.clone().acquire_owned().await.map_err(|_| Refusal::Ending)?;
            let reader = match &*locked(&this.first) {
                Some(first) => first.another()?,
                None => return Err(Refusal::Ending),
            };
            let running = this.running.clone();
            let asked = Asked(reader.interrupter());
            let entry = running.enter(reader.interrupter());
            let reading = tokio::task::spawn_blocking(move || {
                let read = work(&reader);
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

    /// Ends all readers; none begins any more.
    pub(super) async fn close(&self) {
        self.room.close();
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
