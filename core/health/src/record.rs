//! What has to be remembered of a node between probes: a counter that decays, and a hold.
//!
//! One failure is noise, three are a node that is out. It comes back after good probes and a wait
//! that doubles, so that a node that flaps is used less and less. Being asked to wait counts as
//! neither.

use crate::{
    limits::{
        FAILURES_OUT, GOOD_PROBES_BACK, HEAD_BACK_BLOCKS, HOLD_MAX_MS, HOLD_MIN_MS, SYNCING_PROBES,
    },
    sample::{Answered, NodeSample},
};
use event::{ChainId, Fault, FaultClass};

/// What the record says of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Judged by what it says now.
    In {
        /// It said that it is catching up often enough to be believed.
        is_syncing: bool,
    },
    /// Out, whatever it says now.
    Out {
        /// Milliseconds until it may come back.
        wait_ms: u64,
        /// Good probes in a row that it still lacks.
        good_probes_missing: u32,
    },
    /// Caught, until it has held for as long and has shown good probes.
    Quarantined(Quarantine),
    /// It was on another chain. For good: what it says now is another machine's word.
    WrongChain,
}

/// What a node was caught at between probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quarantine {
    /// A final block is not final any more.
    FinalizedWentBack {
        /// Height before.
        from: u64,
        /// Height now.
        to: u64,
    },
    /// The head went back by more than a reorg does.
    HeadWentBack {
        /// Height before.
        from: u64,
        /// Height now.
        to: u64,
    },
}

/// The record of one node on one chain. Stepped with each probe.
#[derive(Clone, Debug)]
pub struct Record {
    chain: ChainId,
    failures: u32,
    good_probes: u32,
    syncing_probes: u32,
    throttles: u64,
    /// Set while it is out or quarantined.
    held_until_ms: Option<u64>,
    next_hold_ms: u64,
    in_since_ms: u64,
    quarantine: Option<Quarantine>,
    was_on_wrong_chain: bool,
    highest_head: u64,
    highest_finalized: u64,
}

/// What one probe says for the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    Good,
    Failed,
    Throttled,
}

impl Record {
    /// Returns the record of a node that nothing is known of; it is in.
    pub const fn new(chain: ChainId) -> Self {
        Self {
            chain,
            failures: 0,
            good_probes: 0,
            syncing_probes: 0,
            throttles: 0,
            held_until_ms: None,
            next_hold_ms: HOLD_MIN_MS,
            in_since_ms: 0,
            quarantine: None,
            was_on_wrong_chain: false,
            highest_head: 0,
            highest_finalized: 0,
        }
    }

    /// Times that the node asked to wait.
    pub const fn throttles(&self) -> u64 {
        self.throttles
    }

    /// Takes a probe and returns what to put into [`NodeSample::standing`] before judging it.
    /// `now_ms` is a monotonic clock.
    pub fn on_probe(&mut self, sample: &NodeSample, now_ms: u64) -> Standing {
        self.was_on_wrong_chain |= self.is_wrong_chain(sample);
        if self.was_on_wrong_chain {
            return Standing::WrongChain;
        }
        self.take_syncing(sample);
        let caught = self.catch(sample);
        match probe(sample) {
            Probe::Throttled => self.throttles = self.throttles.saturating_add(1),
            Probe::Failed => {
                self.failures = (self.failures + 1).min(FAILURES_OUT);
                self.good_probes = 0;
            }
            Probe::Good => {
                self.failures = self.failures.saturating_sub(1);
                self.good_probes = self.good_probes.saturating_add(1);
            }
        }
        if let Some(caught) = caught {
            self.quarantine = Some(caught);
            self.good_probes = 0;
            self.hold(now_ms);
        } else if self.failures >= FAILURES_OUT && self.held_until_ms.is_none() {
            self.hold(now_ms);
        }
        self.release(now_ms);
        self.standing(now_ms)
    }

    fn is_wrong_chain(&self, sample: &NodeSample) -> bool {
        match &sample.chain {
            Answered::Unasked => false,
            Answered::Value(chain) => *chain != self.chain,
            Answered::Fault(fault) => matches!(fault.class, FaultClass::WrongChain { .. }),
        }
    }

    fn take_syncing(&mut self, sample: &NodeSample) {
        match sample.syncing.value() {
            Some(true) => self.syncing_probes = self.syncing_probes.saturating_add(1),
            Some(false) => self.syncing_probes = 0,
            None => {}
        }
    }

    /// Whether the node takes back what it said. The highest that it said is kept, so that it has
    /// to come back to it.
    fn catch(&mut self, sample: &NodeSample) -> Option<Quarantine> {
        let mut caught = None;
        if let Some(to) = sample.known_head().map(|head| head.block.number) {
            let from = self.highest_head;
            if to.saturating_add(HEAD_BACK_BLOCKS) < from {
                caught = Some(Quarantine::HeadWentBack { from, to });
            }
            self.highest_head = from.max(to);
        }
        if let Some(to) = sample.known_finalized().map(|finalized| finalized.block.number) {
            let from = self.highest_finalized;
            if to < from {
                caught = Some(Quarantine::FinalizedWentBack { from, to });
            }
            self.highest_finalized = from.max(to);
        }
        caught
    }

    fn hold(&mut self, now_ms: u64) {
        let is_new = self.held_until_ms.is_none();
        if is_new && now_ms.saturating_sub(self.in_since_ms) >= HOLD_MAX_MS {
            self.next_hold_ms = HOLD_MIN_MS;
        }
        if is_new || self.held_until_ms.is_some_and(|until| now_ms >= until) {
            self.held_until_ms = Some(now_ms.saturating_add(self.next_hold_ms));
            self.next_hold_ms = self.next_hold_ms.saturating_mul(2).min(HOLD_MAX_MS);
        }
    }

    fn release(&mut self, now_ms: u64) {
        let is_over = self.held_until_ms.is_some_and(|until| now_ms >= until);
        if is_over && self.good_probes >= GOOD_PROBES_BACK {
            self.held_until_ms = None;
            self.quarantine = None;
            self.failures = 0;
            self.in_since_ms = now_ms;
        }
    }

    fn standing(&self, now_ms: u64) -> Standing {
        match (self.held_until_ms, self.quarantine) {
            (_, Some(quarantine)) => Standing::Quarantined(quarantine),
            (Some(until), None) => Standing::Out {
                wait_ms: until.saturating_sub(now_ms),
                good_probes_missing: GOOD_PROBES_BACK.saturating_sub(self.good_probes),
            },
            (None, None) => Standing::In { is_syncing: self.syncing_probes >= SYNCING_PROBES },
        }
    }
}

fn probe(sample: &NodeSample) -> Probe {
    let faults = [sample.chain.fault(), sample.head.fault()];
    let mut faults = faults.into_iter().flatten();
    match faults.next() {
        Some(Fault { class: FaultClass::Rate { .. }, .. }) => Probe::Throttled,
        Some(_) => Probe::Failed,
        None if sample.known_head().is_some() && sample.peers.value() != Some(&0) => Probe::Good,
        None => Probe::Failed,
    }
}
