//! One block and one filter near the head: which way of asking is due next.
//!
//! By block hash first, once more after a moment, then the receipts, which decide. A node that
//! announces a block before it can serve it is given two block times before its silence counts.
//! Under `prove` the receipts come first. Holds no report and judges nothing.

use event::{Content, Fault, LogsAnswer, Verify};

/// First wait before a block is asked for again, in milliseconds; doubles each time.
const RECHECK_MS: u64 = 250;

/// What came of one way of asking.
#[derive(Clone, Debug)]
pub(crate) enum Way<T> {
    Unasked,
    /// The node does not know the block yet, or not on every of its machines.
    NotReady,
    /// The node will not answer this.
    Refused,
    Given(T),
}

impl<T> Way<T> {
    pub(crate) const fn is_given(&self) -> bool {
        matches!(self, Self::Given(_))
    }

    pub(crate) const fn given(&self) -> Option<&T> {
        match self {
            Self::Given(answer) => Some(answer),
            Self::Unasked | Self::NotReady | Self::Refused => None,
        }
    }

    /// Takes a loss; an earlier answer stays.
    pub(crate) fn lose(&mut self, is_ready_later: bool) {
        if !self.is_given() {
            *self = if is_ready_later { Self::NotReady } else { Self::Refused };
        }
    }
}

/// What the prover makes of the block as far as it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finding {
    pub(crate) content: Content,
    pub(crate) doubt: bool,
    /// The receipts have logs that the answer by hash lacks.
    pub(crate) is_missing: bool,
    /// The header does not hash to its hash: nothing more can be shown of the block.
    pub(crate) is_bad: bool,
}

/// What is demanded, and how long the node has for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    pub(crate) verify: Verify,
    pub(crate) deadline_ms: u64,
}

/// What is due next for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Nothing,
    /// Judge again: receipts that are there already were taken.
    Judgement,
    /// Ask at this time.
    Ask {
        due_ms: u64,
        logs: bool,
        receipts: bool,
    },
}

#[derive(Debug)]
pub(crate) struct LiveBlock {
    pub(crate) logs: Way<LogsAnswer>,
    /// The block's receipts are part of the evidence, where they are given.
    pub(crate) takes_receipts: bool,
    /// The header alone decides: there is nothing, or nothing that can be shown.
    pub(crate) is_excluded: bool,
    /// Receipts come first and decide.
    proves: bool,
    rechecks: u32,
}

impl LiveBlock {
    pub(crate) const fn new(proves: bool) -> Self {
        Self { logs: Way::Unasked, takes_receipts: proves, is_excluded: false, proves, rechecks: 0 }
    }

    /// Whether the node gave the block's logs in any way.
    pub(crate) const fn is_read<R>(&self, receipts: &Way<R>) -> bool {
        self.logs.is_given() || (self.takes_receipts && receipts.is_given())
    }

    pub(crate) fn next<R>(
        &mut self,
        receipts: &Way<R>,
        finding: Finding,
        demand: &Demand,
        now_ms: u64,
    ) -> Want {
        if self.is_settled(receipts, finding, demand) {
            return Want::Nothing;
        }
        let at_once = |logs| Want::Ask { due_ms: now_ms, logs, receipts: !logs };
        if self.proves && matches!(receipts, Way::Unasked) {
            return at_once(false);
        }
        if matches!(self.logs, Way::Unasked) {
            return at_once(true);
        }
        let is_late = now_ms >= demand.deadline_ms;
        let logs = !matches!(self.logs, Way::Refused);
        if !self.proves && logs && self.rechecks == 0 && !is_late {
            return self.recheck(logs, false, demand, now_ms);
        }
        if !self.takes_receipts {
            self.takes_receipts = true;
            match receipts {
                Way::Unasked => return at_once(false),
                Way::Given(_) => return Want::Judgement,
                Way::NotReady | Way::Refused => {}
            }
        }
        let receipts = match receipts {
            Way::Unasked | Way::NotReady => true,
            Way::Refused => false,
            Way::Given(_) => finding.doubt,
        };
        if is_late || !(logs || receipts) {
            return Want::Nothing;
        }
        self.recheck(logs, receipts, demand, now_ms)
    }

    fn is_settled<R>(&mut self, receipts: &Way<R>, finding: Finding, demand: &Demand) -> bool {
        let is_read = self.is_read(receipts);
        if demand.verify == Verify::Off {
            return is_read;
        }
        if matches!(self.logs, Way::Unasked) && !receipts.is_given() {
            self.is_excluded = finding.content == Content::Receipts || finding.is_bad;
        }
        let is_shown = finding.content == Content::Receipts
            || (is_read && !finding.doubt && (!self.proves || receipts.is_given()));
        self.is_excluded || finding.is_bad || (is_shown && !finding.is_missing)
    }

    fn recheck(&mut self, logs: bool, receipts: bool, demand: &Demand, now_ms: u64) -> Want {
        let wait_ms = RECHECK_MS << self.rechecks.min(16);
        self.rechecks += 1;
        let due_ms = now_ms.saturating_add(wait_ms).min(demand.deadline_ms);
        Want::Ask { due_ms, logs, receipts }
    }
}

/// Whether the fault says that the node does not have the block yet.
pub(crate) const fn is_not_ready(fault: &Fault) -> bool {
    use event::FaultClass::{Indexing, NotYet, Unknown};
    matches!(fault.class, Unknown | NotYet { .. } | Indexing)
}
