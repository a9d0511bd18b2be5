//! The owner's part in sending: it writes what became of messages, says which are next, and that there
//! are new ones. It sends nothing and waits for no sink.

use super::{Owner, OwnerHandle, Reply, handle::Line, handle::Message};
use event::{LedgerError, OutboxLine, OutboxStep, Outgoing};
use futures_channel::{mpsc, oneshot};

type StepReply = oneshot::Sender<Result<Vec<Outgoing>, LedgerError>>;

/// Who sends.
#[derive(Default)]
pub(super) struct Outbox {
    /// Told that something was enqueued; one word waits for each at most.
    pub(super) watchers: Vec<mpsc::Sender<()>>,
    /// Steps that wait for the end of a staged transaction: each sender has one at a time.
    pub(super) steps: Vec<(OutboxStep, StepReply)>,
}

impl Outbox {
    pub(super) fn tell(&mut self) {
        // One that is full has a word to hear already.
        self.watchers
            .retain_mut(|news| !matches!(news.try_send(()), Err(e) if e.is_disconnected()));
    }
}

impl Owner {
    pub(super) fn step_outbox(&mut self, step: &OutboxStep, reply: StepReply) {
        // A sender that is gone would leave what it was given as being sent.
        if !(reply.is_canceled() && step.settled.is_empty()) {
            let _ = reply.send(self.store.step_outbox(step));
        }
    }
}

/// What a sender needs of the owner.
#[derive(Clone, Debug)]
pub struct OutboxHandle {
    line: Line,
}

impl OutboxHandle {
    /// Writes what became of messages and takes the next ones. Errs when the owner has ended.
    pub(crate) fn step(&self, step: OutboxStep) -> Reply<Result<Vec<Outgoing>, LedgerError>> {
        let (reply, receiver) = oneshot::channel();
        self.line.send(Message::StepOutbox(step, reply));
        receiver
    }

    /// Asks to be told when something was enqueued.
    pub(crate) fn watch(&self) -> mpsc::Receiver<()> {
        let (news, receiver) = mpsc::channel(0);
        self.line.send(Message::WatchOutbox(news));
        receiver
    }

    /// Asks what is left, by sink.
    pub fn left(&self) -> Reply<Result<Vec<OutboxLine>, LedgerError>> {
        let (reply, receiver) = oneshot::channel();
        self.line.send(Message::Outbox(reply));
        receiver
    }
}

impl OwnerHandle {
    /// Returns a handle for whoever sends.
    pub fn outbox(&self) -> OutboxHandle {
        OutboxHandle { line: self.line.clone() }
    }
}
