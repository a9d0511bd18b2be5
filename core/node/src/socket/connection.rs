//! One connection while it stands: sends calls, gives answers to their callers, passes heads on,
//! and notices when it is dead, silent, old, or has another chain at its end.

use super::{
    keeper::{Keeper, Request, later},
    pipe::{Break, Pipe},
    route::{Route, route},
    waiting::{Call, Waiting},
};
use crate::{
    hex::Quantity,
    origin::Reply,
    wire::{envelope, request},
};
use event::{ChainId, FaultClass};
use serde_json::Value;
use std::{future::poll_fn, marker::PhantomData, sync::atomic::Ordering::Relaxed};
use tokio::time::{Instant, sleep_until};

/// Blocks that a subscription may miss before it is taken for dead.
const SILENT_BLOCKS: u64 = 3;

/// A chain that stands still is asked to prove it ever more rarely: at most this many times
/// [`SILENT_BLOCKS`], about ten minutes on mainnet.
const LONGEST_PATIENCE: u64 = 16;

/// How soon it is noticed that a caller went away, where something waits for that.
const RECHECK_MS: u64 = 100;

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// Nobody is left to call.
    Gone,
    /// Old; nothing was wrong.
    Rotated,
    /// Something was.
    Broken(Break),
}

/// State of `newHeads`.
enum Subscription {
    /// Under this id.
    Asked(u64),
    /// Under this name; a head or the confirmation came last at that time.
    Stands(Value, Instant),
    /// The tracker polls.
    Refused,
}

/// On its way out: takes no more calls, ends when those under way are answered.
struct Retiring {
    until: Instant,
    end: End,
}

/// One connection.
pub(super) struct Connection<'a> {
    keeper: &'a mut Keeper,
    pipe: Box<dyn Pipe>,
    waiting: Waiting,
    subscription: Subscription,
    /// Id and deadline of a heartbeat under way.
    heartbeat: Option<(u64, Instant)>,
    last_message: Instant,
    since: Instant,
    retiring: Option<Retiring>,
}

impl<'a> Connection<'a> {
    pub(super) fn new(keeper: &'a mut Keeper, pipe: Box<dyn Pipe>) -> Self {
        let now = Instant::now();
        Self {
            keeper,
            pipe,
            waiting: Waiting::default(),
            subscription: Subscription::Refused,
            heartbeat: None,
            last_message: now,
            since: now,
            retiring: None,
        }
    }

    /// Serves calls until the end, and fails those that are under way then.
    pub(super) async fn serve(mut self) -> End {
        let end = match self.run().await {
            Ok(end) => end,
            Err(broken) => End::Broken(broken),
        };
        self.fail_waiting(&end);
        end
    }

    async fn run(&mut self) -> Result<End, Break> {
        self.subscribe()?;
        // What a tracker asks after this hint is behind the subscription: no head falls between.
        self.keeper.hints.connected();
        loop {
            if let Some(end) = self.retired() {
                return Ok(end);
            }
            let (takes_calls, wake) = (self.takes_calls(), self.next_wake());
            tokio::select! {
                message = poll_fn(|context| self.pipe.poll_message(context)) => {
                    self.on_message(message?)?;
                }
                request = self.keeper.inbox.recv(), if takes_calls => match request {
                    Some(request) => self.on_request(request)?,
                    None => return Ok(End::Gone),
                },
                () = sleep_until(wake) => self.on_time()?,
            }
        }
    }

    fn subscribe(&mut self) -> Result<(), Break> {
        let id = self.keeper.counters.next("eth_subscribe", 1);
        self.subscription = Subscription::Asked(id);
        self.pipe.send(request::call(id, "eth_subscribe", r#""newHeads""#))
    }

    fn takes_calls(&self) -> bool {
        self.retiring.is_none() && (self.keeper.alone == 0 || !self.waiting.is_live())
    }

    fn on_request(&mut self, request: Request) -> Result<(), Break> {
        let Request { question, reply } = request;
        if reply.is_closed() {
            return Ok(());
        }
        let call = Call { method: question.method, count: question.calls, reply };
        self.waiting.add(question.first_id, call);
        self.pipe.send(question.body)
    }

    fn on_message(&mut self, message: Vec<u8>) -> Result<(), Break> {
        let now = Instant::now();
        self.last_message = now;
        match (route(&message), &mut self.subscription) {
            (Route::Answer(id), _) if self.heartbeat.is_some_and(|(own, _)| own == id) => {
                self.heartbeat = None;
                return self.on_heartbeat(id, &message);
            }
            (Route::Answer(id), Subscription::Asked(own)) if *own == id => {
                self.on_subscribed(id, &message, now);
            }
            (Route::Answer(id), _) => {
                let call = self.waiting.take(id);
                self.deliver(call, message);
            }
            (Route::Head(name, block), Subscription::Stands(own, last)) if *own == name => {
                *last = now;
                self.keeper.silences = 0;
                self.keeper.hints.head(block);
            }
            (Route::Unaddressed, _) => {
                let call = self.waiting.take_oldest();
                self.deliver(call, message);
            }
            (Route::Head(..) | Route::Foreign, _) => self.ignore(),
        }
        Ok(())
    }

    fn deliver(&mut self, call: Option<Call>, message: Vec<u8>) {
        let Some(call) = call else { return self.ignore() };
        self.keeper.alone = self.keeper.alone.saturating_sub(1);
        // The caller may be gone.
        let _delivered = call.reply.send(Ok(message));
    }

    fn ignore(&self) {
        self.keeper.ignored.fetch_add(1, Relaxed);
    }

    /// A gateway may have put another node behind the connection. An error is a sign of life too.
    fn on_heartbeat(&self, id: u64, message: &[u8]) -> Result<(), Break> {
        match envelope::one(message, id, PhantomData::<Quantity>) {
            Ok(quantity) => self.keeper.check_chain(ChainId(quantity.0)),
            Err(_) => Ok(()),
        }
    }

    fn on_subscribed(&mut self, id: u64, message: &[u8], now: Instant) {
        self.subscription = match envelope::one(message, id, PhantomData::<Value>) {
            Ok(name) => Subscription::Stands(name, now),
            Err(none) => {
                let reply = Reply { body: message.to_vec(), ..Reply::default() };
                let fault = self.keeper.origin.refusal("eth_subscribe", &reply, none, false);
                tracing::info!(node = %self.keeper.origin.id, %fault, "no subscription, polling");
                Subscription::Refused
            }
        };
    }

    fn on_time(&mut self) -> Result<(), Break> {
        let now = Instant::now();
        let times = self.keeper.times;
        match self.heartbeat {
            Some((_, deadline)) if now >= deadline => {
                let text = format!("no answer to a heartbeat within {} ms", times.timeout_ms);
                return Err(Break::new(FaultClass::TimedOut, text));
            }
            None if now >= self.heartbeat_due() => {
                let id = self.keeper.counters.next("eth_chainId", 1);
                self.heartbeat = Some((id, later(now, times.timeout_ms)));
                self.pipe.send(request::call(id, "eth_chainId", ""))?;
            }
            _ => {}
        }
        if self.silence_due().is_some_and(|due| now >= due) {
            let text = format!("no new head for {} ms", self.patience_ms());
            self.keeper.silences = self.keeper.silences.saturating_add(1);
            self.retire(now, End::Broken(Break::new(FaultClass::TimedOut, text)));
        }
        if now >= later(self.since, times.rotate_ms) {
            self.retire(now, End::Rotated);
        }
        Ok(())
    }

    fn retire(&mut self, now: Instant, end: End) {
        let until = later(now, self.keeper.times.timeout_ms);
        self.retiring.get_or_insert(Retiring { until, end });
    }

    fn retired(&mut self) -> Option<End> {
        let is_over =
            |retiring: &mut Retiring| !self.waiting.is_live() || Instant::now() >= retiring.until;
        self.retiring.take_if(is_over).map(|retiring| retiring.end)
    }

    fn heartbeat_due(&self) -> Instant {
        later(self.last_message, self.keeper.times.heartbeat_ms)
    }

    fn patience_ms(&self) -> u64 {
        let factor = 1_u64.checked_shl(self.keeper.silences).unwrap_or(LONGEST_PATIENCE);
        self.keeper
            .times
            .block_time_ms
            .saturating_mul(SILENT_BLOCKS)
            .saturating_mul(factor.min(LONGEST_PATIENCE))
    }

    fn silence_due(&self) -> Option<Instant> {
        match &self.subscription {
            Subscription::Stands(_, last) if self.retiring.is_none() => {
                Some(later(*last, self.patience_ms()))
            }
            _ => None,
        }
    }

    fn next_wake(&self) -> Instant {
        let heartbeat = match self.heartbeat {
            Some((_, deadline)) => deadline,
            None => self.heartbeat_due(),
        };
        let mut wake = self.silence_due().map_or(heartbeat, |due| due.min(heartbeat));
        if self.retiring.is_none() {
            wake = wake.min(later(self.since, self.keeper.times.rotate_ms));
        }
        if !self.takes_calls() {
            wake = wake.min(later(Instant::now(), RECHECK_MS));
        }
        wake
    }

    /// An answer over the cap ends the connection, unread, so nobody knows whose it was unless one
    /// call was under way. Otherwise the calls come again and are sent one at a time.
    fn fail_waiting(&mut self, end: &End) {
        let why = match end {
            End::Broken(why) => why.clone(),
            End::Gone | End::Rotated => Break::new(FaultClass::Dropped, "the connection ended"),
        };
        let waiting = std::mem::take(&mut self.waiting);
        let is_size = why.class == FaultClass::Size;
        let class = match is_size && waiting.len() == 1 {
            true => FaultClass::Size,
            false => FaultClass::Dropped,
        };
        let alone = &mut self.keeper.alone;
        *alone = match is_size && waiting.len() > 1 {
            true => waiting.len(),
            false => alone.saturating_sub(waiting.len()),
        };
        for call in waiting.into_calls() {
            let fault = self.keeper.origin.fault(call.method, class.clone(), &why.text);
            let _delivered = call.reply.send(Err(fault));
        }
    }
}
