//! Receipts of several blocks in JSON-RPC batches: as many at once as stay small and as the node takes.
//!
//! It learns how many those are and asks for what a batch left out; an answer that a block did not get
//! stays a fault of that block. Whether that block is asked for again is the tracker's business.

use super::{Endpoint, Exchange, on_a_worker};
use event::{BlockNumHash, Fault, FaultClass, Receipt};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Blocks in the first batch, before it is known what their receipts weigh.
const FIRST_BATCH: usize = 8;
/// Blocks in one batch, at most.
const LARGEST_BATCH: usize = 64;
/// What a batch is meant to weigh, in bytes: some ten dense blocks of mainnet. A node's questions under
/// way hold as much each until they are parsed.
const BATCH_BYTES: u64 = 2 << 20;

/// How many blocks are asked for at once.
#[derive(Debug)]
pub(super) struct ReceiptBatch {
    /// Next batch, in blocks, at least 1.
    now: AtomicUsize,
    /// Largest that the node is known not to refuse, in blocks, at least 1.
    largest: AtomicUsize,
    /// Batches dropped in a row.
    drops: AtomicUsize,
}

impl ReceiptBatch {
    pub(super) const fn new() -> Self {
        Self {
            now: AtomicUsize::new(FIRST_BATCH),
            largest: AtomicUsize::new(LARGEST_BATCH),
            drops: AtomicUsize::new(0),
        }
    }

    pub(super) fn size(&self) -> usize {
        self.now.load(Relaxed).clamp(1, self.largest.load(Relaxed).max(1))
    }

    /// Learns from a batch of so many blocks what they weigh.
    fn on_answer(&self, blocks: usize, bytes: u64) {
        self.drops.store(0, Relaxed);
        let fitting = BATCH_BYTES.saturating_mul(blocks as u64) / bytes.max(1);
        let fitting = usize::try_from(fitting).unwrap_or(LARGEST_BATCH).clamp(1, LARGEST_BATCH);
        if blocks >= self.size() {
            self.now.store(fitting.min(blocks.saturating_mul(2)), Relaxed);
        } else {
            self.now.fetch_min(fitting, Relaxed);
        }
    }

    /// Never asks for so many at once again.
    fn on_refusal(&self, blocks: usize) {
        self.drops.store(0, Relaxed);
        self.largest.fetch_min((blocks / 2).max(1), Relaxed);
    }
}

/// Asks for the receipts of every block; the answers are in their order.
pub(super) async fn in_batches<E: Exchange>(
    endpoint: &Arc<Endpoint<E>>,
    blocks: Vec<BlockNumHash>,
) -> Vec<Result<Vec<Receipt>, Fault>> {
    let mut told: Vec<Option<Result<Vec<Receipt>, Fault>>> = vec![None; blocks.len()];
    let mut left: VecDeque<usize> = (0..blocks.len()).collect();
    // Ends: each round answers a block, or halves what is asked for at once for good.
    while !left.is_empty() {
        let size = endpoint.receipt_batch.size().min(left.len());
        let places: Vec<usize> = left.drain(..size).collect();
        let batch: Vec<BlockNumHash> = places.iter().map(|place| blocks[*place]).collect();
        let own = Arc::clone(endpoint);
        let reply = on_a_worker(&endpoint.origin, async move {
            match batch.as_slice() {
                [one] => own.receipts(*one).await.map(|(told, bytes)| (vec![Ok(told)], bytes)),
                batch => own.receipt_batch(batch).await,
            }
        });
        match reply.await {
            Ok((answers, _)) if size > 1 && answers.iter().all(is_unanswered) => {
                // Some nodes refuse a batch in each of its members. One block by itself tells whether that is it.
                let (own, one) = (Arc::clone(endpoint), blocks[places[0]]);
                let alone = on_a_worker(&endpoint.origin, async move { own.receipts(one).await });
                match alone.await {
                    Ok((receipts, _)) => {
                        endpoint.shrink(1);
                        told[places[0]] = Some(Ok(receipts));
                        places[1..].iter().rev().for_each(|place| left.push_front(*place));
                    }
                    Err(_) => {
                        places.into_iter().zip(answers).for_each(|(place, answer)| {
                            told[place] = Some(answer);
                        });
                    }
                }
            }
            Ok((answers, bytes)) => {
                let mut again = Vec::new();
                let mut pause = None;
                for (place, answer) in places.into_iter().zip(answers) {
                    match &answer {
                        Err(fault) if size > 1 && is_too_much(fault) => again.push(place),
                        Err(fault) if ends_it(fault) => pause = Some(fault.clone()),
                        _ => {}
                    }
                    told[place] = Some(answer);
                }
                if !again.is_empty() {
                    endpoint.shrink(size);
                    again.into_iter().rev().for_each(|place| left.push_front(place));
                } else {
                    endpoint.receipt_batch.on_answer(size, bytes);
                }
                if let Some(fault) = pause {
                    left.drain(..).for_each(|place| told[place] = Some(Err(fault.clone())));
                }
            }
            Err(fault) => {
                if size > 1 && endpoint.is_for_its_size(&fault) {
                    endpoint.shrink(size);
                }
                if size > 1 && is_too_much(&fault) {
                    places.into_iter().rev().for_each(|place| left.push_front(place));
                    continue;
                }
                // What one block did not get says nothing of the next.
                let rest = if size > 1 || ends_it(&fault) { left.len() } else { 0 };
                let places = places.into_iter().chain(left.drain(..rest));
                places.for_each(|place| told[place] = Some(Err(fault.clone())));
            }
        }
    }
    let unread = || Err(endpoint.origin.malformed("eth_getBlockReceipts", "no answer"));
    told.into_iter().map(|told| told.unwrap_or_else(unread)).collect()
}

impl<E: Exchange> Endpoint<E> {
    fn shrink(&self, blocks: usize) {
        self.receipt_batch.on_refusal(blocks);
        let size = self.receipt_batch.size();
        tracing::info!(node = %self.origin.id, size, "smaller batches of receipts");
    }

    /// Whether a batch failed in a way that one half as large might not. A node that knows no batches
    /// says so in many words, so what is not about the node itself counts.
    fn is_for_its_size(&self, fault: &Fault) -> bool {
        match fault.class {
            FaultClass::Dropped => {
                self.receipt_batch.drops.fetch_add(1, Relaxed) + 1 >= E::DROPS_BEFORE_SMALLER
            }
            _ => !is_of_the_node(fault),
        }
    }
}

/// Whether a block of a batch got no answer, for a reason that is not the node's state nor the batch's size.
fn is_unanswered(answer: &Result<Vec<Receipt>, Fault>) -> bool {
    answer.as_ref().is_err_and(|fault| !is_of_the_node(fault) && !is_too_much(fault))
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
