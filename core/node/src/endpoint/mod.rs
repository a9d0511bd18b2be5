//! A node behind some transport: what HTTP and sockets have in common.
//!
//! It does not wait, narrow ranges or choose between nodes: that is the tracker's business.
//! The one thing it adapts is its own doing, the size of batches. Each exchange is a task
//! of its own, so that several answers are parsed at once even when one task polls all questions.

mod answer;
mod batch;
mod counters;
mod headers;
mod receipts;

use batch::BatchSize;
pub(crate) use counters::Counters;

use crate::origin::{Origin, Reply};
use event::{Answer, AnswerFuture, Ask, Fault, FaultClass};
use std::{
    future::Future,
    sync::{Arc, OnceLock},
};

/// From the first byte sent to the last one read.
pub const DEFAULT_TIMEOUT_MS: u64 = 30_000;

/// Bytes of one answer after decompression: about 100,000 logs, or 1,000 dense blocks.
pub const DEFAULT_MAX_BODY_BYTES: u64 = 64 * 1024 * 1024;

/// Offsets into log data have 32 bits, so no cap may be wider.
pub(crate) const LARGEST_MAX_BODY_BYTES: u64 = u32::MAX as u64;

/// Headers in one JSON-RPC batch, at most and at first; fewer for a node that refuses so many.
pub const DEFAULT_HEADER_BATCH: usize = 100;

/// No known node takes more calls in a batch.
const LARGEST_HEADER_BATCH: usize = 1_000;

/// Batches of one question under way at once: hides the latency between them.
const HEADER_BATCHES_IN_FLIGHT: usize = 4;

/// Single calls in a row that a node is too busy for, before the rest of a question is left for later:
/// one alone may say so of its block.
const BUSY_IN_A_ROW_MAX: u32 = 3;

/// A connection that is not there by then is not coming.
pub(crate) const CONNECT_TIMEOUT_MS: u64 = 10_000;

/// What is sent: one call, or a batch of calls with ids in a row.
#[derive(Debug)]
pub(crate) struct Question {
    /// For faults.
    pub(crate) method: &'static str,
    /// Id of the first call.
    pub(crate) first_id: u64,
    /// Calls in the body, at least 1.
    pub(crate) calls: u64,
    /// JSON.
    pub(crate) body: String,
}

/// A transport: bytes there, bytes back.
pub(crate) trait Exchange: Send + Sync + 'static {
    /// How many batches in a row have to be dropped before it is laid to their size.
    const DROPS_BEFORE_SMALLER: usize;

    /// Sends a question and returns what came back, under the byte cap and within the timeout.
    fn exchange(&self, question: Question) -> impl Future<Output = Result<Reply, Fault>> + Send;
}

/// One endpoint.
pub(crate) struct Endpoint<E> {
    pub(crate) origin: Arc<Origin>,
    pub(crate) exchange: E,
    pub(crate) counters: Arc<Counters>,
    header_batch: BatchSize,
    receipt_batch: BatchSize,
    /// Whether receipts are got by transaction, where the node does not know those of a block.
    single_receipts: OnceLock<bool>,
}

impl<E: Exchange> Endpoint<E> {
    pub(crate) fn new(
        origin: Arc<Origin>,
        exchange: E,
        counters: Arc<Counters>,
        header_batch: usize,
    ) -> Self {
        let headers = header_batch.clamp(1, LARGEST_HEADER_BATCH);
        Self {
            origin,
            exchange,
            counters,
            header_batch: BatchSize::new(headers, headers),
            receipt_batch: BatchSize::new(receipts::FIRST_BATCH, receipts::LARGEST_BATCH),
            single_receipts: OnceLock::new(),
        }
    }

    /// Returns the number of headers asked for in one batch at present.
    pub(crate) fn batch_size(&self) -> usize {
        self.header_batch.size()
    }

    pub(crate) fn ask(self: &Arc<Self>, ask: Ask) -> AnswerFuture<'static> {
        let endpoint = Arc::clone(self);
        Box::pin(async move {
            match ask {
                Ask::Headers { range } => headers::in_batches(&endpoint, range).await,
                Ask::ReceiptsOf { blocks } => {
                    Ok(Answer::ReceiptsOf(receipts::in_batches(&endpoint, blocks).await))
                }
                other => {
                    let own = Arc::clone(&endpoint);
                    on_a_worker(&endpoint.origin, async move { own.answer(other).await }).await
                }
            }
        })
    }
}

/// Runs an exchange as a task of its own, which ends with the question's future.
async fn on_a_worker<T: Send + 'static>(
    origin: &Origin,
    exchange: impl Future<Output = Result<T, Fault>> + Send + 'static,
) -> Result<T, Fault> {
    struct AbortOnDrop(tokio::task::AbortHandle);
    impl Drop for AbortOnDrop {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let task = tokio::spawn(exchange);
    let _guard = AbortOnDrop(task.abort_handle());
    match task.await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(origin.fault("connect", FaultClass::Dropped, "the runtime is stopping")),
        },
    }
}

/// Whether the node says that less at once would do.
fn is_too_much(fault: &Fault) -> bool {
    fault.class == FaultClass::Batch || fault.class.is_splittable()
}

/// Whether nothing else is asked just now.
fn ends_it(fault: &Fault) -> bool {
    is_of_the_node(fault) || matches!(fault.class, FaultClass::Dropped | FaultClass::TimedOut)
}

/// Whether the fault would have met any question.
fn is_of_the_node(fault: &Fault) -> bool {
    matches!(
        fault.class,
        FaultClass::Rate { .. }
            | FaultClass::Quota
            | FaultClass::Auth
            | FaultClass::Unreachable
            | FaultClass::WrongChain { .. }
    )
}

impl<E: Exchange> Endpoint<E> {
    /// Learns from a batch of so many calls that was refused as a whole; returns whether the same is asked
    /// at once in smaller ones.
    fn is_asked_smaller(&self, size: &BatchSize, calls: usize, fault: &Fault) -> bool {
        if calls < 2 {
            return false;
        }
        let is_asked_again = match &fault.class {
            _ if is_too_much(fault) => {
                size.on_refusal(calls);
                true
            }
            // Erigon drops the connection when a batch is over its limit; others do it for other reasons.
            FaultClass::Dropped => {
                if size.is_dropped(E::DROPS_BEFORE_SMALLER) {
                    size.on_setback(calls);
                }
                false
            }
            // One of its calls may have been too many, and it will have the others; but not now.
            FaultClass::Rate { .. } => {
                size.on_setback(calls);
                false
            }
            // It may say so of one call, or not know what a batch is.
            FaultClass::TimedOut => false,
            _ if is_of_the_node(fault) => false,
            _ => {
                size.on_setback(calls);
                true
            }
        };
        tracing::debug!(node = %self.origin.id, size = size.size(), "a batch was refused: {fault}");
        is_asked_again
    }
}
