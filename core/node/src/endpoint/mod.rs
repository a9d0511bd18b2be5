//! A node behind some transport: what HTTP and sockets have in common.
//!
//! It does not retry, wait, narrow ranges or choose between nodes: that is the tracker's business.
//! The one thing it adapts is its own doing, the size of batches. Each exchange is a task
//! of its own, so that several answers are parsed at once even when one task polls all questions.

mod answer;
mod counters;
mod receipts;

pub(crate) use counters::Counters;
use receipts::ReceiptBatch;

use crate::origin::{Origin, Reply};
use event::{Answer, AnswerFuture, Ask, BlockAnswer, BlockRange, Fault, FaultClass};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// From the first byte sent to the last one read.
pub const DEFAULT_TIMEOUT_MS: u64 = 30_000;

/// Bytes of one answer after decompression: about 100,000 logs, or 1,000 dense blocks.
pub const DEFAULT_MAX_BODY_BYTES: u64 = 64 * 1024 * 1024;

/// Offsets into log data have 32 bits, so no cap may be wider.
pub(crate) const LARGEST_MAX_BODY_BYTES: u64 = u32::MAX as u64;

/// Headers in one JSON-RPC batch; halved for a node that refuses so many.
pub const DEFAULT_HEADER_BATCH: usize = 100;

/// No known node takes more calls in a batch.
const LARGEST_HEADER_BATCH: usize = 1_000;

/// Batches of one question under way at once: hides the latency between them.
const HEADER_BATCHES_IN_FLIGHT: usize = 4;

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
    /// How many questions for headers in a row have to be dropped before it is laid to the size
    /// of their batches.
    const DROPS_BEFORE_SMALLER: usize;

    /// Sends a question and returns what came back, under the byte cap and within the timeout.
    fn exchange(&self, question: Question) -> impl Future<Output = Result<Reply, Fault>> + Send;
}

/// One endpoint.
pub(crate) struct Endpoint<E> {
    pub(crate) origin: Arc<Origin>,
    pub(crate) exchange: E,
    pub(crate) counters: Arc<Counters>,
    header_batch: AtomicUsize,
    /// Questions for headers dropped in a row.
    drops: AtomicUsize,
    receipt_batch: ReceiptBatch,
}

impl<E: Exchange> Endpoint<E> {
    pub(crate) fn new(
        origin: Arc<Origin>,
        exchange: E,
        counters: Arc<Counters>,
        header_batch: usize,
    ) -> Self {
        let header_batch = AtomicUsize::new(header_batch.clamp(1, LARGEST_HEADER_BATCH));
        Self {
            origin,
            exchange,
            counters,
            header_batch,
            drops: AtomicUsize::new(0),
            receipt_batch: ReceiptBatch::new(),
        }
    }

    /// Returns the number of headers asked for in one batch at present.
    pub(crate) fn batch_size(&self) -> usize {
        self.header_batch.load(Relaxed)
    }

    pub(crate) fn ask(self: &Arc<Self>, ask: Ask) -> AnswerFuture<'static> {
        let endpoint = Arc::clone(self);
        Box::pin(async move {
            match ask {
                Ask::Headers { range } => headers(&endpoint, range).await.map(Answer::Headers),
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

/// Asks for a range in batches; when the node refuses the size, it is halved for good and the
/// range asked again, at most ten times (1,000 to 1).
async fn headers<E: Exchange>(
    endpoint: &Arc<Endpoint<E>>,
    range: BlockRange,
) -> Result<Vec<BlockAnswer>, Fault> {
    loop {
        let size = endpoint.batch_size().max(1);
        let fault = match headers_in_batches(endpoint, range, size).await {
            Ok(blocks) => {
                endpoint.drops.store(0, Relaxed);
                return Ok(blocks);
            }
            Err(fault) => fault,
        };
        if size == 1 || range.count() == 1 {
            return Err(fault);
        }
        let refused = matches!(fault.class, FaultClass::Batch | FaultClass::Size);
        // Erigon drops the connection when a batch is over its limit.
        let dropped = fault.class == FaultClass::Dropped
            && endpoint.drops.fetch_add(1, Relaxed) + 1 >= E::DROPS_BEFORE_SMALLER;
        if refused || dropped {
            let smaller = size.min(usize::try_from(range.count()).unwrap_or(size)) / 2;
            endpoint.header_batch.fetch_min(smaller.max(1), Relaxed);
            endpoint.drops.store(0, Relaxed);
            tracing::info!(node = %endpoint.origin.id, size = smaller.max(1), "smaller header batches");
        }
        if !refused {
            return Err(fault);
        }
    }
}

async fn headers_in_batches<E: Exchange>(
    endpoint: &Arc<Endpoint<E>>,
    range: BlockRange,
    size: usize,
) -> Result<Vec<BlockAnswer>, Fault> {
    let batches = (range.first()..=range.last()).step_by(size).map(|first| {
        let count = (range.last() - first).min(size as u64 - 1) as usize + 1;
        let own = Arc::clone(endpoint);
        on_a_worker(&endpoint.origin, async move { own.header_batch(first, count).await })
    });
    stream::iter(batches).buffered(HEADER_BATCHES_IN_FLIGHT).try_concat().await
}
