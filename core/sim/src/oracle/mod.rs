//! Checks the ledger against the chain itself: at every transaction what must never be wrong, and
//! at the end what must have come about. The invariants are those of `docs/faults.md`, I1 to I13.

mod account;
mod claims;
mod transitions;

pub use account::{Account, ORDER_INSIDE_A_BLOCK, account, lane_problems};

use crate::{Image, chain::Tree};
use alloy_primitives::{B256, map::HashSet};
use event::{ChainId, Commit, EventId, FilterId};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Violations kept; a run that breaks one invariant breaks it again and again.
const VIOLATIONS_MAX: usize = 20;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// How.
    pub text: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.invariant, self.text)
    }
}

/// What agreement of nodes may be believed to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Agreement {
    /// Among so many nodes there is an honest one: nothing is lost.
    #[default]
    HoldsHonest,
    /// All nodes may have lost the same (F43): it shows no more than one node's word.
    MayBeBlind,
}

/// Watches one chain of a ledger.
#[derive(Debug)]
pub struct Oracle {
    chain: ChainId,
    agreement: Agreement,
    /// Everything stored, as the commits said.
    stored: HashSet<EventId>,
    last_seq: u64,
    /// Heights that were ever covered by receipts.
    proved: BTreeSet<u64>,
    finalized: Option<u64>,
    is_canonical: BTreeMap<(u64, B256), bool>,
    /// What a block has for a filter.
    truth: BTreeMap<(B256, FilterId), Arc<[EventId]>>,
    violations: Vec<Violation>,
    applied: u64,
}

impl Oracle {
    /// Returns an oracle over an empty ledger.
    pub fn new(chain: ChainId, agreement: Agreement) -> Self {
        Self {
            chain,
            agreement,
            stored: HashSet::default(),
            last_seq: 0,
            proved: BTreeSet::new(),
            finalized: None,
            is_canonical: BTreeMap::new(),
            truth: BTreeMap::new(),
            violations: Vec::new(),
            applied: 0,
        }
    }

    /// Takes a transaction that took effect.
    pub fn on_apply(&mut self, commits: &[Commit], image: &Image, tree: &Tree) {
        self.applied += 1;
        let chain = self.chain;
        for commit in commits.iter().filter(|commit| commit.chain == chain) {
            self.check_transitions(commit, tree);
        }
        self.check_claims(image, tree);
    }

    /// Returns how many transactions were seen.
    pub const fn applied(&self) -> u64 {
        self.applied
    }

    /// Returns what was violated so far.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    fn violated(&mut self, invariant: &'static str, text: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { invariant, text });
        }
    }
}
