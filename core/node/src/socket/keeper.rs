//! The task that keeps a connection: makes it, checks which chain is at its other end, serves
//! calls over it, and makes it anew without end.

use super::{
    backoff,
    connection::{Connection, End},
    hints::Hints,
    ipc,
    pipe::{Break, Pipe},
    route::{Route, route},
    standing::{Standing, unreachable},
    waiting::ReplySender,
    web::WebDialer,
};
use crate::{
    endpoint::{CONNECT_TIMEOUT_MS, Counters, Question},
    hex::Quantity,
    origin::{Origin, Reply},
    wire::{envelope, request},
};
use event::{ChainId, Fault, FaultClass};
use std::{
    future::poll_fn,
    marker::PhantomData,
    mem,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout_at},
};

/// A question on its way to the connection, and the way back.
pub(super) struct Request {
    pub(super) question: Question,
    pub(super) reply: ReplySender,
}

/// How to make a connection.
pub(super) enum Dialer {
    Web(Box<WebDialer>),
    Ipc { path: PathBuf, max_body_bytes: u64 },
}

impl Dialer {
    async fn dial(&self) -> Result<Box<dyn Pipe>, Break> {
        match self {
            Self::Web(dialer) => dialer.dial().await,
            Self::Ipc { path, max_body_bytes } => ipc::dial(path, *max_body_bytes).await,
        }
    }
}

/// Waits of a connection, in ms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) timeout_ms: u64,
    pub(super) heartbeat_ms: u64,
    pub(super) block_time_ms: u64,
    pub(super) rotate_ms: u64,
    pub(super) first_wait_ms: u64,
    pub(super) longest_wait_ms: u64,
    pub(super) jitter_seed: u64,
}

/// Returns the instant `ms` later, at most a year.
pub(super) fn later(instant: Instant, ms: u64) -> Instant {
    const YEAR_MS: u64 = 365 * 24 * 3_600_000;
    instant + Duration::from_millis(ms.min(YEAR_MS))
}

/// What outlives a connection.
pub(super) struct Keeper {
    pub(super) origin: Arc<Origin>,
    pub(super) dialer: Dialer,
    pub(super) times: Times,
    pub(super) counters: Arc<Counters>,
    pub(super) hints: Arc<Hints>,
    pub(super) standing: Arc<Standing>,
    /// Messages that were for nobody.
    pub(super) ignored: Arc<AtomicU64>,
    pub(super) inbox: mpsc::Receiver<Request>,
    /// Chain of the first connection.
    pub(super) chain: Option<ChainId>,
    /// Calls still to be sent one at a time, so that the next answer over the cap is known as whose.
    pub(super) alone: usize,
    /// Connections in a row given up for want of heads.
    pub(super) silences: u32,
}

impl Keeper {
    /// Ends only when all handles are gone; the last one aborts it.
    pub(super) async fn keep(mut self: Box<Self>) {
        let (mut failures, mut draws) = (0_u32, 0_u64);
        let mut told: Option<FaultClass> = None;
        loop {
            let fault = match self.open().await {
                Ok(pipe) => {
                    told = None;
                    self.standing.up();
                    let since = Instant::now();
                    let end = Connection::new(&mut self, pipe).serve().await;
                    // One that breaks as soon as it stands is no success.
                    if Instant::now() >= later(since, self.times.longest_wait_ms) {
                        failures = 0;
                    }
                    match end {
                        End::Gone => return,
                        End::Rotated => {
                            tracing::debug!(node = %self.origin.id, "connection rotated");
                            continue;
                        }
                        End::Broken(why) => {
                            // That an answer was too large is its caller's business.
                            let class = match why.class {
                                FaultClass::Size => FaultClass::Dropped,
                                class => class,
                            };
                            self.origin.fault("connect", class, &why.text)
                        }
                    }
                }
                Err(fault) => fault,
            };
            let wait_ms = self.wait_ms(&fault.class, failures, draws);
            (failures, draws) = (failures.saturating_add(1), draws.wrapping_add(1));
            self.standing.down(fault.clone());
            // Told once; again when it turns out that the node will not have us.
            let is_news = match &told {
                None => true,
                Some(class) => *class != fault.class && !fault.class.is_retryable(),
            };
            if is_news {
                tracing::info!(node = %self.origin.id, %fault, "no connection");
                told = Some(fault.class.clone());
                self.hints.lost(fault.clone());
            }
            if !self.wait(later(Instant::now(), wait_ms), &fault).await {
                return;
            }
        }
    }

    fn wait_ms(&self, class: &FaultClass, failures: u32, draw: u64) -> u64 {
        let Times { first_wait_ms, longest_wait_ms, jitter_seed, .. } = self.times;
        let wait_ms = backoff::wait_ms(first_wait_ms, longest_wait_ms, failures, jitter_seed, draw);
        match class {
            FaultClass::Rate { retry_after_ms: Some(asked_ms) } => wait_ms.max(*asked_ms),
            _ => wait_ms,
        }
    }

    /// Waits until the next attempt; `false` when all handles are gone. Calls wait with it, except
    /// where that is no use: a refusal, or a node that was never there.
    async fn wait(&mut self, until: Instant, fault: &Fault) -> bool {
        if self.chain.is_some() && fault.class.is_retryable() {
            sleep_until(until).await;
            return true;
        }
        loop {
            tokio::select! {
                () = sleep_until(until) => return true,
                request = self.inbox.recv() => match request {
                    // It may be gone by now.
                    Some(request) => mem::drop(request.reply.send(Err(unreachable(fault.clone())))),
                    None => return false,
                },
            }
        }
    }

    /// Makes a connection and asks for its chain; only one of the right chain is returned.
    async fn open(&mut self) -> Result<Box<dyn Pipe>, Fault> {
        let connect_ms = CONNECT_TIMEOUT_MS.min(self.times.timeout_ms);
        let broken = |why: Break| self.origin.fault("connect", why.class, &why.text);
        let dialed = timeout_at(later(Instant::now(), connect_ms), self.dialer.dial()).await;
        let mut pipe = dialed
            .unwrap_or_else(|_| Err(timed_out("no connection", connect_ms)))
            .map_err(broken)?;
        let deadline = later(Instant::now(), self.times.timeout_ms);
        let found = timeout_at(deadline, self.chain_behind(&mut *pipe)).await;
        let found = found
            .unwrap_or_else(|_| Err(broken(timed_out("no chain id", self.times.timeout_ms))))?;
        self.check_chain(found).map_err(broken)?;
        self.chain = Some(found);
        Ok(pipe)
    }

    /// An answer from another chain is worse than none.
    pub(super) fn check_chain(&self, found: ChainId) -> Result<(), Break> {
        match self.chain {
            Some(expected) if expected != found => Err(Break::new(
                FaultClass::WrongChain { expected, found },
                format!("chain {found} instead of {expected}"),
            )),
            _ => Ok(()),
        }
    }

    async fn chain_behind(&self, pipe: &mut dyn Pipe) -> Result<ChainId, Fault> {
        let method = "eth_chainId";
        let broken = |why: Break| self.origin.fault("connect", why.class, &why.text);
        let id = self.counters.next(method, 1);
        pipe.send(request::call(id, method, "")).map_err(broken)?;
        loop {
            let body = poll_fn(|context| pipe.poll_message(context)).await.map_err(broken)?;
            match route(&body) {
                Route::Answer(answered) if answered == id => {}
                // Nothing else was asked yet.
                Route::Unaddressed => {}
                _ => {
                    self.ignored.fetch_add(1, Relaxed);
                    continue;
                }
            }
            let reply = Reply { body, ..Reply::default() };
            return envelope::one(&reply.body, id, PhantomData::<Quantity>)
                .map(|quantity| ChainId(quantity.0))
                .map_err(|none| self.origin.refusal(method, &reply, none, false));
        }
    }
}

fn timed_out(what: &str, ms: u64) -> Break {
    Break::new(FaultClass::TimedOut, format!("{what} within {ms} ms"))
}
