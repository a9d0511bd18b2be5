//! When which message is sent to one sink: in order for each plugin, again after a failure, never for
//! ever. Sends and stores nothing itself.

use event::{Delivery, Fate, OutboxStep, Outgoing};
use std::collections::{BTreeMap, VecDeque};

/// Bounds of sending to one sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CourierPolicy {
    /// Messages taken at once, at most. Those can no longer be cancelled; while the sink is slow it is
    /// one.
    pub taken_max: usize,
    /// How long what became of messages may wait to be written, so that a kill repeats little.
    pub settle_after_ms: u64,
    /// First wait after a failed attempt; doubled each time.
    pub backoff_first_ms: u64,
    /// Longest wait.
    pub backoff_most_ms: u64,
    /// Longest wait that a sink can ask for.
    pub retry_after_most_ms: u64,
    /// Attempts, at most: then the message is dead.
    pub attempts_max: u32,
}

impl Default for CourierPolicy {
    fn default() -> Self {
        Self {
            taken_max: 32,
            settle_after_ms: 200,
            backoff_first_ms: 1_000,
            backoff_most_ms: 300_000,
            retry_after_most_ms: 3_600_000,
            // Three days of longest waits.
            attempts_max: 1_000,
        }
    }
}

/// What to do next; each is answered before the next one is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Write and take: [`Courier::on_taken`].
    Step(OutboxStep),
    /// Try to send this: [`Courier::on_delivery`].
    Send(Outgoing),
    /// Ask again at this time, or after [`Courier::on_news`].
    Wait {
        /// Milliseconds, on the clock that `next` is given.
        until_ms: u64,
    },
    /// Ask again after [`Courier::on_news`].
    Idle,
    /// Everything is written, and nothing more will be sent.
    Done,
}

/// Sends the messages of one sink, one after the other.
#[derive(Debug)]
pub struct Courier {
    sink: String,
    policy: CourierPolicy,
    taken: VecDeque<Outgoing>,
    settled: Vec<(u64, Fate)>,
    /// When was written last.
    written_at_ms: u64,
    /// Plugins whose oldest message is tried again later.
    waiting: BTreeMap<String, u64>,
    /// How many to take at once.
    window: usize,
    /// The last look found nothing, and nothing came since.
    is_dry: bool,
    is_ending: bool,
}

impl Courier {
    /// Returns one for a sink that may have messages.
    pub const fn new(sink: String, policy: CourierPolicy) -> Self {
        Self {
            sink,
            policy,
            taken: VecDeque::new(),
            settled: Vec::new(),
            written_at_ms: 0,
            waiting: BTreeMap::new(),
            window: 1,
            is_dry: false,
            is_ending: false,
        }
    }

    /// Something was enqueued.
    pub const fn on_news(&mut self) {
        self.is_dry = false;
    }

    /// Sends nothing more; what was taken and not tried is given back.
    pub fn end(&mut self) {
        self.is_ending = true;
        self.settled.extend(self.taken.drain(..).map(|message| (message.id, Fate::Untried)));
    }

    /// Returns what to do next; `now_ms` is on any clock that only goes forward.
    pub fn next(&mut self, now_ms: u64) -> Errand {
        let before = self.waiting.len();
        self.waiting.retain(|_, until_ms| *until_ms > now_ms);
        if self.waiting.len() < before {
            self.is_dry = false;
        }
        if self.is_ending {
            let is_done = self.settled.is_empty();
            return if is_done { Errand::Done } else { self.step(0, now_ms) };
        }
        let is_late = !self.settled.is_empty()
            && now_ms.saturating_sub(self.written_at_ms) >= self.policy.settle_after_ms;
        if let Some(message) = self.taken.front().filter(|_| !is_late) {
            return Errand::Send(message.clone());
        }
        if is_late {
            // A slow sink: take few, so that a reorg can still cancel the rest.
            self.window = 1;
        } else if !self.settled.is_empty() {
            self.window = (self.window * 2).min(self.policy.taken_max);
        }
        if !self.taken.is_empty() {
            return self.step(0, now_ms);
        }
        if !self.settled.is_empty() || !self.is_dry {
            return self.step(self.window, now_ms);
        }
        match self.waiting.values().min() {
            Some(until_ms) => Errand::Wait { until_ms: *until_ms },
            None => Errand::Idle,
        }
    }

    fn step(&mut self, limit: usize, now_ms: u64) -> Errand {
        self.written_at_ms = now_ms;
        Errand::Step(OutboxStep {
            sink: self.sink.clone(),
            settled: std::mem::take(&mut self.settled),
            not_of: self.waiting.keys().cloned().collect(),
            limit,
        })
    }

    /// Takes the messages of a step that was written, which asked for at most `limit`.
    pub fn on_taken(&mut self, messages: Vec<Outgoing>, limit: usize) {
        if limit > 0 {
            self.is_dry = messages.is_empty();
        }
        self.taken.extend(messages);
        if self.is_ending {
            self.end();
        }
    }

    /// Takes how the attempt ended.
    pub fn on_delivery(&mut self, delivery: Delivery, now_ms: u64) {
        let Some(message) = self.taken.pop_front() else { return };
        let fate = match delivery {
            Delivery::Taken => Fate::Sent,
            Delivery::Refused(reason) => Fate::Dead(reason),
            Delivery::Failed { reason, .. } if message.attempts >= self.policy.attempts_max => {
                Fate::Dead(format!("{reason}; {} attempts are enough", message.attempts))
            }
            Delivery::Failed { reason, after_ms } => {
                // A sink that says "at once" is no better than one that says nothing.
                let asked = after_ms.unwrap_or(0).min(self.policy.retry_after_most_ms);
                let wait_ms = self.backoff_ms(message.attempts).max(asked).max(1);
                self.hold(&message.plugin, now_ms.saturating_add(wait_ms));
                Fate::Again(reason)
            }
        };
        self.settled.push((message.id, fate));
    }

    /// Keeps later messages of a plugin behind the one that failed.
    fn hold(&mut self, plugin: &str, until_ms: u64) {
        self.waiting.insert(plugin.to_owned(), until_ms);
        let is_held = |message: &Outgoing| message.plugin == plugin;
        let held = self.taken.iter().filter(|message| is_held(message));
        self.settled.extend(held.map(|message| (message.id, Fate::Untried)));
        self.taken.retain(|message| !is_held(message));
    }

    fn backoff_ms(&self, attempts: u32) -> u64 {
        let doublings = attempts.saturating_sub(1).min(32);
        let wait = self.policy.backoff_first_ms.saturating_mul(1 << doublings);
        wait.min(self.policy.backoff_most_ms)
    }
}
