//! The caller's side: waits for room, hands a question to the connection's task, waits for bytes.

use super::{
    hints::Hints,
    keeper::{Keeper, Request},
    standing::Standing,
};
use crate::{
    endpoint::{Exchange, Question},
    origin::{Origin, Reply},
};
use event::{Fault, FaultClass, Hint};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::AbortHandle,
    time::timeout,
};

/// Calls sent and not answered at one time, members of batches counted: what providers allow on
/// one connection.
pub(super) const MAX_CALLS_IN_FLIGHT: u32 = 200;

/// A transport that keeps one connection. Its task starts with the first question or wait for a
/// hint and ends when this is dropped.
pub(super) struct SocketExchange {
    origin: Arc<Origin>,
    hints: Arc<Hints>,
    standing: Arc<Standing>,
    ignored: Arc<AtomicU64>,
    timeout_ms: u64,
    room: Semaphore,
    inbox: mpsc::Sender<Request>,
    task: Mutex<Task>,
}

enum Task {
    New(Box<Keeper>),
    Started(AbortHandle),
    /// Only while it is started.
    Starting,
}

impl Drop for SocketExchange {
    fn drop(&mut self) {
        if let Task::Started(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}

impl SocketExchange {
    pub(super) fn new(keeper: Keeper, inbox: mpsc::Sender<Request>, timeout_ms: u64) -> Self {
        Self {
            origin: Arc::clone(&keeper.origin),
            hints: Arc::clone(&keeper.hints),
            standing: Arc::clone(&keeper.standing),
            ignored: Arc::clone(&keeper.ignored),
            timeout_ms,
            room: Semaphore::new(MAX_CALLS_IN_FLIGHT as usize),
            inbox,
            task: Mutex::new(Task::New(Box::new(keeper))),
        }
    }

    pub(super) async fn hint(&self) -> Hint {
        self.start();
        self.hints.next().await
    }

    pub(super) fn ignored(&self) -> u64 {
        self.ignored.load(Relaxed)
    }

    /// Starts the task if it was not; a runtime is there, because a future of ours is polled.
    fn start(&self) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        *task = match std::mem::replace(&mut *task, Task::Starting) {
            Task::New(keeper) => Task::Started(tokio::spawn(keeper.keep()).abort_handle()),
            started => started,
        };
    }

    async fn answer_to(&self, question: Question) -> Result<Vec<u8>, Fault> {
        let stopping =
            || self.origin.fault("connect", FaultClass::Dropped, "the connection's task has ended");
        let calls = u32::try_from(question.calls).unwrap_or(u32::MAX).min(MAX_CALLS_IN_FLIGHT);
        let _room = self.room.acquire_many(calls).await.map_err(|_| stopping())?;
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Request { question, reply }).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }
}

impl Exchange for SocketExchange {
    /// A connection carries everything, so it is mostly lost for another reason than a batch.
    const DROPS_BEFORE_SMALLER: usize = 2;

    async fn exchange(&self, question: Question) -> Result<Reply, Fault> {
        self.start();
        let method = question.method;
        let limit = Duration::from_millis(self.timeout_ms);
        match timeout(limit, self.answer_to(question)).await {
            Ok(outcome) => outcome.map(|body| Reply { body, ..Reply::default() }),
            Err(_) => Err(self.standing.timed_out(&self.origin, method, self.timeout_ms)),
        }
    }
}
