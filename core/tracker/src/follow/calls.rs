//! The calls of one follower: which are to be sent, on their way, or due later.

use crate::{Ticket, follow::round::Part};
use alloy_primitives::B256;
use event::Ask;
use std::collections::{BTreeMap, VecDeque};

/// Calls on their way at once, for walking and reading. The small ones that are asked over and
/// over (chain, head, finalized, safe) come on top, one of each.
pub(crate) const ASKS_MAX: usize = 8;

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    ChainId,
    Latest,
    Finalized,
    Safe,
    /// A header that was announced, read while the head is asked for.
    Announced(B256),
    /// Logs of a block that was announced.
    Early(B256),
    Walk,
    /// The header of a block that is to be read anew.
    Header(B256),
    /// A part of the round with this number.
    Round(u64, Part),
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) purpose: Purpose,
    pub(crate) ask: Ask,
    pub(crate) attempts: u32,
    /// When it was wanted first.
    pub(crate) since_ms: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Calls {
    ready: VecDeque<Call>,
    waiting: BTreeMap<Ticket, Call>,
    /// The small questions that are on their way.
    polls: BTreeMap<Ticket, Call>,
    retries: BTreeMap<(u64, u64), Call>,
    serial: u64,
}

impl Calls {
    pub(crate) fn enqueue(&mut self, purpose: Purpose, ask: Ask, now_ms: u64) {
        self.ready.push_back(Call { purpose, ask, attempts: 0, since_ms: now_ms });
    }

    pub(crate) fn enqueue_at(&mut self, due_ms: u64, call: Call) {
        self.serial += 1;
        self.retries.insert((due_ms, self.serial), call);
    }

    /// Returns the next call to send, if one is due and there is room for it.
    pub(crate) fn take(&mut self, now_ms: u64) -> Option<Call> {
        if self.waiting.len() >= ASKS_MAX {
            return None;
        }
        let retry = self.retries.first_entry().filter(|entry| entry.key().0 <= now_ms);
        retry.map(|entry| entry.remove()).or_else(|| self.ready.pop_front())
    }

    /// When the next call is due that waits for its time.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        (self.waiting.len() < ASKS_MAX)
            .then(|| self.retries.first_key_value().map(|((due_ms, _), _)| *due_ms))
            .flatten()
    }

    pub(crate) fn send(&mut self, call: Call) -> (Ticket, Ask) {
        self.serial += 1;
        let ticket = Ticket(self.serial);
        let ask = call.ask.clone();
        self.waiting.insert(ticket, call);
        (ticket, ask)
    }

    /// Sends one of the small questions, for which there is always room.
    pub(crate) fn send_poll(&mut self, call: Call) -> (Ticket, Ask) {
        self.serial += 1;
        let ticket = Ticket(self.serial);
        let ask = call.ask.clone();
        self.polls.insert(ticket, call);
        (ticket, ask)
    }

    /// Whether a small question is on its way.
    pub(crate) fn is_polling(&self, purpose: Purpose) -> bool {
        self.polls.values().any(|call| call.purpose == purpose)
    }

    /// Takes a call whose answer came; `None` when nobody waits for it any more.
    pub(crate) fn answered(&mut self, ticket: Ticket) -> Option<Call> {
        self.waiting.remove(&ticket).or_else(|| self.polls.remove(&ticket))
    }

    /// Number of calls for walking and reading that are wanted or on their way.
    pub(crate) fn count(&self, wanted: impl Fn(Purpose) -> bool) -> usize {
        let all = self.ready.iter().chain(self.waiting.values()).chain(self.retries.values());
        all.filter(|call| wanted(call.purpose)).count()
    }

    /// Gives a call that was made early to the round that asks the same. Returns whether there is one.
    pub(crate) fn adopt(&mut self, ask: &Ask, purpose: Purpose) -> bool {
        let mut all = self.ready.iter_mut().chain(self.waiting.values_mut());
        let is_it =
            |call: &&mut Call| matches!(call.purpose, Purpose::Early(_)) && call.ask == *ask;
        let Some(call) = all.find(is_it) else { return false };
        call.purpose = purpose;
        true
    }

    /// Drops calls; answers that still come for them are not looked at.
    pub(crate) fn forget(&mut self, unwanted: impl Fn(Purpose) -> bool) {
        self.ready.retain(|call| !unwanted(call.purpose));
        self.waiting.retain(|_, call| !unwanted(call.purpose));
        self.polls.retain(|_, call| !unwanted(call.purpose));
        self.retries.retain(|_, call| !unwanted(call.purpose));
    }
}
