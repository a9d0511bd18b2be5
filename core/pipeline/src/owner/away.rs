//! An owner in another process: what [`crate::replay`] asks of an owner, sent somewhere else.

use super::{Claim, LookClaim, OnAck, OwnerHandle, Receipt, handle::Line, handle::Message};
use event::{BlockRange, ChainId, Claimed, Evidence, Filter, FilterId, Report, ToLook, Verify};
use futures_channel::oneshot;
use std::sync::Arc;

/// Sends to the owner of a ledger what is asked of it. Nothing here waits. A reply that is dropped
/// says that the owner is gone.
pub trait AwayOwner: Send + Sync {
    /// Hands over a report; the ack comes after its transaction.
    fn submit(&self, report: Box<Report>, on_ack: OnAck);

    /// Asks to write what was gathered.
    fn flush(&self);

    /// Asks what is still to be fetched.
    fn missing(
        &self,
        chain: ChainId,
        filter: Filter,
        range: BlockRange,
        verify: Verify,
        reply: oneshot::Sender<Vec<(BlockRange, Vec<Filter>)>>,
    );

    /// Claims what is missing.
    fn claim(&self, claim: Claim, reply: oneshot::Sender<Claimed>);

    /// Claims what is to be read through a second node.
    fn claim_look(&self, claim: LookClaim, reply: oneshot::Sender<ToLook>);

    /// Lets go of what a run claimed.
    fn release(&self, run: u64);

    /// Asks what is shown of a range.
    fn evidence(
        &self,
        chain: ChainId,
        filters: Vec<Filter>,
        range: BlockRange,
        reply: oneshot::Sender<Option<Evidence>>,
    );

    /// Asks which blocks have logs that only some nodes told.
    fn undecided(
        &self,
        chain: ChainId,
        filters: Vec<Filter>,
        range: BlockRange,
        reply: oneshot::Sender<Vec<(BlockRange, Vec<Filter>)>>,
    );

    /// Notes what was demanded of blocks.
    fn demand(
        &self,
        chain: ChainId,
        filters: Vec<Filter>,
        range: BlockRange,
        verify: Verify,
        now_s: u64,
    );

    /// Notes that blocks of a filter were read through a second node.
    fn looked(&self, chain: ChainId, filter: FilterId, range: BlockRange);
}

impl OwnerHandle {
    /// Returns a handle to an owner elsewhere. Lanes, changes and the end are that owner's business:
    /// asked for here they come to nothing.
    pub fn away(owner: Arc<dyn AwayOwner>) -> Self {
        Self::over(Line::Away(owner))
    }
}

/// Sends a message on. What only the owner's own process can ask is dropped.
pub(super) fn send(owner: &dyn AwayOwner, message: Message) {
    match message {
        Message::Submit(report, Receipt { on_ack, held }) => {
            let on_ack = Box::new(move |ack| {
                drop(held);
                on_ack(ack);
            });
            owner.submit(report, on_ack);
        }
        Message::Flush => owner.flush(),
        Message::Missing { chain, filter, range, verify, reply } => {
            owner.missing(chain, filter, range, verify, reply);
        }
        Message::Claim(claim, reply) => owner.claim(claim, reply),
        Message::ClaimLook(claim, reply) => owner.claim_look(claim, reply),
        Message::Release(holder) => owner.release(holder.run),
        Message::Evidence { chain, filters, range, reply } => {
            owner.evidence(chain, filters, range, reply);
        }
        Message::Undecided { chain, filters, range, reply } => {
            owner.undecided(chain, filters, range, reply);
        }
        Message::Demand { chain, filters, range, verify, now_s } => {
            owner.demand(chain, filters, range, verify, now_s);
        }
        Message::Looked { chain, filter, range } => owner.looked(chain, filter, range),
        Message::ReleaseAll(_)
        | Message::CloseClaims { .. }
        | Message::AddChain(..)
        | Message::Held { .. }
        | Message::Waiting { .. }
        | Message::Conflict { .. }
        | Message::Halt { .. }
        | Message::GoOn { .. }
        | Message::Elsewhere(..)
        | Message::Lane(..)
        | Message::LaneIdle(..)
        | Message::StepOutbox(..)
        | Message::WatchOutbox(_)
        | Message::Outbox(_)
        | Message::Remedy(..)
        | Message::NoteFailing(..)
        | Message::Safe(..)
        | Message::BusyLanes(..)
        | Message::HeedLane(..)
        | Message::OpenLane { .. }
        | Message::WatchLane(_)
        | Message::Change { .. }
        | Message::EndLanesOf(_)
        | Message::EndLanes
        | Message::Close => {}
    }
}
