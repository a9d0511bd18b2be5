//! A lane without a thread of its own: stepped by whoever runs the world, until it has nothing to do.

use crate::{MemoryStore, Violation};
use dispatcher::{Action, Lane, LanePolicy, Ready};
use event::{ChainId, Filter, LaneId, LedgerError, Plugin, Reader, Store};
use std::collections::BTreeSet;

/// One plugin on one chain over a ledger in memory.
#[allow(missing_debug_implementations, reason = "a lane may hold a decoder, which is not Debug")]
pub struct LaneStepper {
    lane: Lane,
    plugin: Box<dyn Plugin>,
    store: MemoryStore,
    /// What the owner keeps of the store for its lanes, where the lane has an owner.
    reader: Option<Box<dyn Reader>>,
    learnt: BTreeSet<event::FilterId>,
    /// Highest delivery number that took effect.
    delivered: u64,
    /// Highest delivery number of the batches that wait for their commit.
    handled: u64,
    violations: Vec<Violation>,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// Everything that is there was handled.
    Idle,
    /// The plugin asked to be called again at this time, in milliseconds.
    Waits(u64),
    /// The plugin is halted.
    Halted,
}

impl LaneStepper {
    /// Returns the lane as the ledger has it.
    pub fn open(
        mut store: MemoryStore,
        plugin: Box<dyn Plugin>,
        chain: ChainId,
        filters: Vec<Filter>,
        policy: LanePolicy,
    ) -> Result<Self, LedgerError> {
        let descriptor = plugin.descriptor().clone();
        let id = LaneId { plugin: descriptor.name.clone(), chain };
        let stored = store.open_lane(&id, &descriptor)?;
        let start = descriptor.subscriptions.iter().filter_map(|s| s.start_block).min();
        let delivered = stored.cursor.map_or(0, |cursor| cursor.next_seq.saturating_sub(1));
        let lane = Lane::new(id, descriptor, stored, policy, filters, start.unwrap_or(0));
        let (learnt, violations) = (BTreeSet::new(), Vec::new());
        Ok(Self {
            lane,
            plugin,
            store,
            reader: None,
            learnt,
            delivered,
            handled: delivered,
            violations,
        })
    }

    /// Reads through `reader`, which must never say anything else than the store.
    #[must_use]
    pub fn reading(self, reader: Box<dyn Reader>) -> Self {
        Self { reader: Some(reader), ..self }
    }

    /// Returns the lane.
    pub const fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Takes what was done wrong so far.
    pub fn take_violations(&mut self) -> Vec<Violation> {
        std::mem::take(&mut self.violations)
    }

    /// Leads the lane as far as it goes.
    pub fn step(&mut self, ready: Ready, now_ms: u64) -> Result<Stepped, LedgerError> {
        self.step_calls(ready, now_ms, u64::MAX)
    }

    /// The same, but waits at once before the plugin is called more often than this: for a plugin whose
    /// calls take time.
    pub fn step_calls(
        &mut self,
        ready: Ready,
        now_ms: u64,
        mut calls: u64,
    ) -> Result<Stepped, LedgerError> {
        self.lane.on_ready(ready);
        let chain = self.lane.id().chain;
        loop {
            if calls == 0 {
                return Ok(Stepped::Waits(now_ms));
            }
            match self.lane.next(now_ms) {
                Action::ReadJournal { after, limit } => {
                    let rows = self.read(|reader| reader.journal(chain, after, limit))?;
                    for id in rows.iter().filter_map(|row| row.filter) {
                        if self.learnt.insert(id)
                            && let Some(filter) = self.store.filter(id)?
                        {
                            self.lane.learn_filter(&filter);
                        }
                    }
                    self.lane.on_journal(&rows);
                }
                Action::ReadEvents(query) => {
                    let page = self.read(|reader| reader.events(&query))?;
                    self.lane.on_events(page);
                }
                Action::Handle(batch) => {
                    calls -= 1;
                    self.check_numbers(&batch.seq);
                    let handled = self.plugin.handle(&batch, self.lane.state());
                    if let (Ok(_), Some(last)) = (&handled, batch.seq.last()) {
                        self.handled = self.handled.max(*last);
                    }
                    self.lane.on_handled(handled, now_ms);
                }
                Action::Commit(commit) => {
                    self.store.apply_lanes(std::slice::from_ref(&commit))?;
                    self.delivered = self.delivered.max(self.handled);
                    self.lane.on_committed();
                }
                Action::Reload => {
                    let stored = self.store.open_lane(self.lane.id(), self.plugin.descriptor())?;
                    self.handled = self.delivered;
                    self.lane.on_reloaded(stored);
                }
                Action::Wait { until_ms } => return Ok(Stepped::Waits(until_ms)),
                Action::Idle => return Ok(Stepped::Idle),
                Action::Halted(_) => return Ok(Stepped::Halted),
            }
        }
    }

    /// Reads, and compares what the owner's memory says with the store.
    fn read<T: PartialEq + std::fmt::Debug>(
        &mut self,
        mut ask: impl FnMut(&mut dyn Reader) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let stored = ask(&mut self.store)?;
        if let Some(reader) = &mut self.reader {
            let answer = ask(&mut **reader)?;
            if answer != stored {
                let text = format!("{answer:?} is read, {stored:?} is stored");
                self.violations.push(Violation { invariant: "I4 dispatch", text });
            }
            return Ok(answer);
        }
        Ok(stored)
    }

    /// Delivery numbers rise, and none that took effect is used again (I4).
    fn check_numbers(&mut self, seq: &[u64]) {
        let rises = seq.windows(2).all(|pair| pair[0] < pair[1]);
        if !rises || seq.first().is_some_and(|first| *first <= self.delivered) {
            let text = format!("{seq:?} delivered after {} took effect", self.delivered);
            self.violations.push(Violation { invariant: "I4 dispatch", text });
        }
    }
}
