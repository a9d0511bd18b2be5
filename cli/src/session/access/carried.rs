//! What a client carries over the end of an owner: reports that were not acknowledged, and what those
//! that were came to.

use event::{Ack, DecodeStats, Incident};
use pipeline::ReplayOutcome;
use relay::Encoded;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Incidents remembered of runs that an owner's end cut short.
const INCIDENTS_TOLD_MAX: usize = 100;

/// What acknowledged reports came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    new_events: u64,
    known_events: u64,
    incidents: u64,
    told: Vec<Incident>,
    decoded: DecodeStats,
}

impl Counted {
    fn add(&mut self, ack: &Ack) {
        self.new_events += ack.new_events;
        self.known_events += ack.known_events;
        self.incidents += ack.incidents;
        let room = INCIDENTS_TOLD_MAX.saturating_sub(self.told.len());
        self.told.extend(ack.told.iter().take(room).cloned());
        self.decoded += ack.decoded;
    }

    /// Adds to what the last run came to what the runs before it did.
    pub(crate) fn complete(self, outcome: &mut ReplayOutcome) {
        outcome.new_events += self.new_events;
        outcome.known_events += self.known_events;
        outcome.incidents += self.incidents;
        outcome.told.extend(self.told);
        outcome.decoded += self.decoded;
    }
}

/// Bounded by what a replay hands over before it waits for acks.
#[derive(Debug, Default)]
pub(crate) struct Carried(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    kept: BTreeMap<u64, Encoded>,
    /// Of the run under way.
    run: Counted,
    /// Of the runs before it, and of what was sent again.
    before: Counted,
}

impl Carried {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a report until it is acknowledged; returns under which key.
    pub(crate) fn keep(&self, report: Encoded) -> u64 {
        let mut inner = self.inner();
        inner.next += 1;
        let key = inner.next;
        inner.kept.insert(key, report);
        key
    }

    /// A report of the run under way was committed.
    pub(crate) fn acknowledged(&self, key: u64, ack: &Ack) {
        let mut inner = self.inner();
        inner.kept.remove(&key);
        inner.run.add(ack);
    }

    /// A report that was sent again was committed.
    pub(crate) fn acknowledged_again(&self, key: u64, ack: &Ack) {
        let mut inner = self.inner();
        inner.kept.remove(&key);
        inner.before.add(ack);
    }

    /// A report was refused: it would be again.
    pub(crate) fn forget(&self, key: u64) {
        self.inner().kept.remove(&key);
    }

    /// Returns what is to be sent again, in order.
    pub(crate) fn kept(&self) -> Vec<(u64, Encoded)> {
        self.inner().kept.iter().map(|(key, report)| (*key, report.clone())).collect()
    }

    /// The run under way was cut short: what it came to counts to those before.
    pub(crate) fn cut_short(&self) {
        let mut inner = self.inner();
        let Counted { new_events, known_events, incidents, told, decoded } =
            std::mem::take(&mut inner.run);
        inner.before.add(&Ack {
            new_events,
            known_events,
            incidents,
            told,
            decoded,
            ..Ack::default()
        });
    }

    /// Returns what the runs before the last one came to.
    pub(crate) fn before(&self) -> Counted {
        std::mem::take(&mut self.inner().before)
    }
}
