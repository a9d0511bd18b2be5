//! An owner in another process: what [`crate::replay`] asks of an owner, sent somewhere else.

use super::{Claim, OnAck, OwnerHandle, Receipt, handle::Line, handle::Message};
use event::{BlockRange, ChainId, ChainState, Claimed, Evidence, Filter, FilterId, Report, Verify};
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

    /// Asks for a chain as it stands in the ledger.
    fn state(&self, chain: ChainId, reply: oneshot::Sender<ChainState>);

    /// Notes how far a filter was read through a second node.
    fn looked(&self, chain: ChainId, filter: FilterId, next_block: u64);
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
        Message::Release(holder) => owner.release(holder.run),
        Message::Evidence { chain, filters, range, reply } => {
            owner.evidence(chain, filters, range, reply);
        }
        Message::State { chain, reply } => owner.state(chain, reply),
        Message::Looked { chain, filter, next_block } => owner.looked(chain, filter, next_block),
        Message::ReleaseAll(_)
        | Message::CloseClaims { .. }
        | Message::AddChain(..)
        | Message::Held { .. }
        | Message::Waiting { .. }
        | Message::Halt { .. }
        | Message::Lanes(..)
        | Message::OpenLane { .. }
        | Message::WatchLane(_)
        | Message::Change { .. }
        | Message::EndLanesOf(_)
        | Message::EndLanes
        | Message::Close => {}
    }
}
