//! Reports on their way through the owner: how many more it may be given, and what it says of each.
//! Reads nothing and counts nothing of what they came to.

use crate::{
    OwnerHandle,
    replay::{About, Acked},
};
use event::Report;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};

/// Logs that the owner of this process has in memory of one run, at most: those being appended and
/// those that come meanwhile, about 20 MB.
const LOGS_HELD_MAX: u64 = 40_000;
/// Logs sent to an owner elsewhere and not acknowledged, at most.
const LOGS_SENT_MAX: u64 = 300_000;
/// Logs sent to an owner elsewhere after which it is asked to write them: it cannot tell when it has
/// let go of one before that, and room must come before there is none.
const LOGS_SENT_FLUSH: u64 = LOGS_SENT_MAX / 2;

/// What the owner says of a report; `Key` is whose it is.
pub(crate) enum Told<Key> {
    /// So many logs are no longer in memory.
    Freed(u64),
    /// Its transaction took effect, or could not.
    Acked(Box<(Key, About, Acked)>),
}

/// Reports that are not acknowledged yet.
pub(crate) struct Handed<'a, Key> {
    owner: &'a OwnerHandle,
    /// What is going to be told.
    pub(crate) told: FuturesUnordered<BoxFuture<'static, Told<Key>>>,
    logs_held: u64,
    logs_unflushed: u64,
    unacked: usize,
}

impl<'a, Key: Send + 'static> Handed<'a, Key> {
    pub(crate) fn new(owner: &'a OwnerHandle) -> Self {
        let told = FuturesUnordered::new();
        Self { owner, told, logs_held: 0, logs_unflushed: 0, unacked: 0 }
    }

    /// Whether another report may be handed over.
    pub(crate) fn has_room(&self) -> bool {
        self.logs_held < if self.owner.is_away() { LOGS_SENT_MAX } else { LOGS_HELD_MAX }
    }

    /// Whether all of them are acknowledged.
    pub(crate) fn is_empty(&self) -> bool {
        self.unacked == 0
    }

    pub(crate) fn submit(&mut self, key: Key, report: Box<Report>) {
        let logs = report.logs.len() as u64;
        let about = (report.range, report.faults.last().map(ToString::to_string));
        let (held, ack) = self.owner.hand_over(report);
        self.told.push(held.map(move |_| Told::Freed(logs)).boxed());
        self.told.push(ack.map(move |ack| Told::Acked(Box::new((key, about, ack)))).boxed());
        self.unacked += 1;
        self.logs_held += logs;
        self.logs_unflushed += logs;
        if self.owner.is_away() && self.logs_unflushed >= LOGS_SENT_FLUSH {
            self.flush();
        }
    }

    /// Asks the owner to write what it has.
    pub(crate) fn flush(&mut self) {
        self.logs_unflushed = 0;
        self.owner.flush();
    }

    /// Takes what was told; returns an ack.
    pub(crate) fn hear(&mut self, told: Told<Key>) -> Option<(Key, About, Acked)> {
        match told {
            Told::Freed(logs) => {
                self.logs_held -= logs;
                None
            }
            Told::Acked(acked) => {
                self.unacked -= 1;
                Some(*acked)
            }
        }
    }

    /// Returns the next ack, after the last one `None`.
    pub(crate) async fn rest(&mut self) -> Option<(Key, About, Acked)> {
        loop {
            let told = self.told.next().await?;
            if let Some(ack) = self.hear(told) {
                return Some(ack);
            }
        }
    }
}
