//! Calls that were sent and not answered yet, by id.

use event::Fault;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// Entries kept of callers that are gone, so that their late answers are known as theirs.
const MAX_REMEMBERED: usize = 1_000;

/// Where an answer goes.
pub(super) type ReplySender = oneshot::Sender<Result<Vec<u8>, Fault>>;

/// A call or batch under way.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: &'static str,
    /// Calls in it, with ids in a row.
    pub(super) count: u64,
    pub(super) reply: ReplySender,
}

/// All calls under way on one connection.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeMap<u64, Call>);

impl Waiting {
    pub(super) fn add(&mut self, first_id: u64, call: Call) {
        if self.0.len() >= MAX_REMEMBERED {
            self.0.retain(|_, call| !call.reply.is_closed());
        }
        self.0.insert(first_id, call);
    }

    /// Takes the call that `id` is one of.
    pub(super) fn take(&mut self, id: u64) -> Option<Call> {
        let (first_id, call) = self.0.range(..=id).next_back()?;
        let first_id = *first_id;
        if id - first_id >= call.count {
            return None;
        }
        self.0.remove(&first_id)
    }

    /// Takes the call that an error without id is most likely about: servers refuse whole batches
    /// so, and answer in order. Callers that are gone are in that order too. It is never taken for
    /// an answer.
    pub(super) fn take_oldest(&mut self) -> Option<Call> {
        let batch = self.0.iter().find(|(_, call)| call.count > 1);
        let (id, _) = batch.or_else(|| self.0.iter().next())?;
        let id = *id;
        self.0.remove(&id)
    }

    /// Whether somebody waits for an answer.
    pub(super) fn is_live(&self) -> bool {
        self.0.values().any(|call| !call.reply.is_closed())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn into_calls(self) -> impl Iterator<Item = Call> {
        self.0.into_values()
    }
}
