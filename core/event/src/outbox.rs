//! Messages of plugins to the outside: as a guest leaves them, as a sink takes them, and what became
//! of them.
//!
//! A message is `pending` from the commit of its batch on, `sending` while a sink is asked to take it,
//! then `sent` or `dead`, or `pending` again. A revert of its block makes it `cancelled` while it is
//! pending, and touches it no more afterwards.

use serde::{Deserialize, Serialize};
use std::{future::Future, pin::Pin};

/// What a plugin wants sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Name of the sink.
    pub sink: String,
    /// Unique for the effect within (plugin, chain, sink): a key that comes again is the same message.
    pub key: String,
    /// Type of the body.
    pub content_type: String,
    /// Body.
    pub body: Vec<u8>,
}

/// A message that is to be sent now. Its state in the ledger is `sending`.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Place in the order of enqueueing.
    pub id: u64,
    /// Who wants it sent.
    pub plugin: String,
    /// The plugin's key.
    pub key: String,
    /// The same on every attempt, and different for every message: a digest of plugin, chain, sink and
    /// key, in hex.
    pub idempotency_key: String,
    /// Type of the body.
    pub content_type: String,
    /// Body.
    pub body: Vec<u8>,
    /// Attempts so far, with this one.
    pub attempts: u32,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").field("id", &self.id).field("key", &self.key).finish()
    }
}

/// How one attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The sink has it.
    Taken,
    /// The sink does not want it, and will not want it the next time: why.
    Refused(String),
    /// It may be taken later.
    Failed {
        /// Why not now.
        reason: String,
        /// When the sink wants to be asked again, in milliseconds from now, if it says.
        after_ms: Option<u64>,
    },
}

/// An attempt under way. Dropped, nobody knows whether the sink has the message.
pub type DeliveryFuture<'a> = Pin<Box<dyn Future<Output = Delivery> + Send + 'a>>;

/// Where messages go. One attempt a call: when to try again is the caller's business.
pub trait Sink: Send + Sync {
    /// Returns the name that plugins use.
    fn name(&self) -> &str;

    /// Tries to hand a message over.
    fn send<'a>(&'a self, message: &'a Outgoing) -> DeliveryFuture<'a>;
}

/// What an attempt means for the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Sent.
    Sent,
    /// Pending again, for this reason.
    Again(String),
    /// Dead, for this reason, until an operator says otherwise.
    Dead(String),
    /// It was not tried: pending as before.
    Untried,
}

/// One transaction of whoever sends: what became of some messages, and which ones are next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxStep {
    /// The sink.
    pub sink: String,
    /// What became of messages that are `sending`.
    pub settled: Vec<(u64, Fate)>,
    /// Plugins whose messages have to wait.
    pub not_of: Vec<String>,
    /// Messages to make `sending` and to return, at most; those of a plugin in order.
    pub limit: usize,
}

/// What the outbox holds for one sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxLine {
    /// The sink.
    pub sink: String,
    /// Messages not sent yet.
    pub pending: u64,
    /// Messages that will not be sent.
    pub dead: u64,
    /// Why the oldest one that is pending was not taken, if it was tried.
    pub reason: Option<String>,
}
