//! Messages that plugins enqueued, as the real outbox keeps them, but for sinks that fail: whoever sends
//! has its messages taken at once.

use event::{LaneCommit, LedgerError, Message};
use std::collections::{BTreeMap, BTreeSet};

/// Messages of one lane, over its generations, by sink and key: a key is known for good.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    messages: BTreeMap<(String, String), Enqueued>,
    enqueued: u64,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// To be sent.
    Pending,
    /// A sink has it.
    Sent,
    /// Its event left the chain before that.
    Cancelled,
}

/// A message, and what became of it.
#[derive(Clone, Debug)]
pub struct Enqueued {
    /// The message.
    pub message: Message,
    /// What became of it.
    pub posted: Posted,
    number: u64,
    generation: u32,
    batch: u64,
}

impl Outbox {
    /// Returns the messages of this fate.
    pub fn with(&self, posted: Posted) -> impl Iterator<Item = &Message> {
        self.messages.values().filter(move |one| one.posted == posted).map(|one| &one.message)
    }

    /// Sends the oldest messages, `count` at most.
    pub(super) fn send(&mut self, count: usize) {
        let pending = self.messages.values_mut().filter(|one| one.posted == Posted::Pending);
        let mut pending: Vec<_> = pending.collect();
        pending.sort_by_key(|one| one.number);
        pending.into_iter().take(count).for_each(|one| one.posted = Posted::Sent);
    }

    /// Enqueues the messages of a commit, whose first batch gets the number after `before`.
    pub(super) fn write(&mut self, commit: &LaneCommit, before: u64) -> Result<(), LedgerError> {
        let mut seen = BTreeSet::new();
        for (batch, messages) in &commit.messages {
            if *batch as usize >= commit.batches.len() {
                let what = format!("{} sends for a batch that is not there", commit.lane.plugin);
                return Err(LedgerError::Internal(what));
            }
            for message in messages {
                let key = (message.sink.clone(), message.key.clone());
                let known = self.messages.get(&key).map(|one| one.posted);
                if !seen.insert(key.clone()) || known.is_some_and(|at| at != Posted::Cancelled) {
                    continue;
                }
                self.enqueued += 1;
                let enqueued = Enqueued {
                    message: message.clone(),
                    posted: Posted::Pending,
                    number: self.enqueued,
                    generation: commit.generation,
                    batch: before + 1 + u64::from(*batch),
                };
                self.messages.insert(key, enqueued);
            }
        }
        Ok(())
    }

    /// Cancels what is pending of batches from `batch` on, of one generation.
    pub(super) fn undo(&mut self, generation: u32, batch: u64) {
        self.cancel(|one| one.generation == generation && one.batch >= batch);
    }

    /// Cancels what is pending of generations before this one.
    pub(super) fn rebuild(&mut self, generation: u32) {
        self.cancel(|one| one.generation < generation);
    }

    fn cancel(&mut self, is_gone: impl Fn(&Enqueued) -> bool) {
        let pending = self.messages.values_mut().filter(|one| one.posted == Posted::Pending);
        pending.filter(|one| is_gone(one)).for_each(|one| one.posted = Posted::Cancelled);
    }
}
