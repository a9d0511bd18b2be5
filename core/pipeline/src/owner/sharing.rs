//! What lets several processes read for one ledger: claims, and chains that a client brings.

use super::{
    ChainSetup, Claim, Holder, LookClaim, Owner, OwnerHandle, Reply, handle::Line, handle::Message,
};
use aggregator::Aggregator;
use event::{BlockRange, ChainId, Claimed, Filter, LedgerError, ToLook, Verify};
use futures_channel::oneshot;

impl Owner {
    /// Gives to the claim what is missing and nobody else reads.
    pub(super) fn claim(&mut self, claim: &Claim) -> Claimed {
        let missing: Vec<_> = (claim.filters.iter())
            .flat_map(|filter| self.missing(claim.chain, filter, claim.range, claim.verify))
            .collect();
        self.claims.take(claim, missing.into_iter())
    }

    /// Takes up a chain, as it stands in the ledger. One that is there stays as it is.
    pub(super) fn add_chain(&mut self, setup: ChainSetup) -> Result<(), LedgerError> {
        let ChainSetup { profile, policy } = setup;
        if !self.chains.contains_key(&profile.chain) {
            // Nothing is asked of a store in the middle of a transaction.
            self.write()?;
            let state = self.store.load(profile.chain)?;
            let aggregator = Aggregator::new(profile.clone(), policy, state);
            self.chains.insert(profile.chain, (profile, aggregator));
        }
        Ok(())
    }
}

/// What one run has claimed; it lets go of it when it is dropped.
#[derive(Debug)]
pub(crate) struct Claiming {
    line: Line,
    holder: Holder,
}

impl Claiming {
    /// Claims what is missing, in place of what the run has claimed before.
    pub(crate) fn claim(
        &self,
        chain: ChainId,
        filters: Vec<Filter>,
        range: BlockRange,
        verify: Verify,
    ) -> Reply<Claimed> {
        let (reply, receiver) = oneshot::channel();
        let claim = Claim { holder: self.holder, chain, filters, range, verify };
        self.line.send(Message::Claim(claim, reply));
        receiver
    }
}

impl Claiming {
    /// Claims what is to be read through a second node, in place of what the run has claimed before.
    pub(crate) fn claim_look(&self, what: LookClaim) -> Reply<ToLook> {
        let (reply, receiver) = oneshot::channel();
        let claim = LookClaim { holder: self.holder, ..what };
        self.line.send(Message::ClaimLook(claim, reply));
        receiver
    }
}

impl Drop for Claiming {
    fn drop(&mut self) {
        self.line.send(Message::Release(self.holder));
    }
}

impl OwnerHandle {
    /// Returns another handle to the same owner, for whoever speaks for other processes.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self {
            line: self.line.clone(),
            recent: self.recent.clone(),
            thread: None,
            next_run: self.next_run.clone(),
            wants_safe: self.wants_safe.clone(),
        }
    }

    /// Begins a run that claims.
    pub(crate) fn claiming(&self) -> Claiming {
        let run = self.next_run.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Claiming { line: self.line.clone(), holder: Holder { process: 0, run } }
    }

    /// Claims for another process.
    pub fn claim_for(&self, claim: Claim) -> Reply<Claimed> {
        let (reply, receiver) = oneshot::channel();
        self.line.send(Message::Claim(claim, reply));
        receiver
    }

    /// Claims for another process what is to be read through a second node.
    pub fn claim_look_for(&self, claim: LookClaim) -> Reply<ToLook> {
        let (reply, receiver) = oneshot::channel();
        self.line.send(Message::ClaimLook(claim, reply));
        receiver
    }

    /// Lets go of what a run of another process claimed.
    pub fn release(&self, holder: Holder) {
        self.line.send(Message::Release(holder));
    }

    /// Lets go of everything that another process claimed.
    pub fn release_all(&self, process: u32) {
        self.line.send(Message::ReleaseAll(process));
    }

    /// Asks to let nobody claim any more, if no other process reads or `at_once` says so; returns
    /// whether it is so now.
    pub fn close_claims(&self, at_once: bool) -> Reply<bool> {
        let (reply, receiver) = oneshot::channel();
        self.line.send(Message::CloseClaims { at_once, reply });
        receiver
    }

    /// Takes up a chain that a client reports of. One that is there stays as it is.
    pub fn add_chain(&self, setup: ChainSetup) -> Reply<Result<(), LedgerError>> {
        let (reply, receiver) = oneshot::channel();
        self.line.send(Message::AddChain(Box::new(setup), reply));
        receiver
    }
}
