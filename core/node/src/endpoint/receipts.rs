//! Receipts of several blocks in JSON-RPC batches: as many at once as stay small and as the node takes.
//!
//! It learns how many those are and asks for what a batch left out; an answer that a block did not get
//! stays a fault of that block. Whether that block is asked for again is the tracker's business.

use super::{
    BUSY_IN_A_ROW_MAX, Endpoint, Exchange, ends_it, is_of_the_node, is_too_much, on_a_worker,
};
use event::{BlockNumHash, Fault, FaultClass, Receipt};
use std::{collections::VecDeque, sync::Arc};

/// Blocks in the first batch, before it is known what their receipts weigh.
pub(super) const FIRST_BATCH: usize = 8;
/// Blocks in one batch, at most.
pub(super) const LARGEST_BATCH: usize = 64;
/// What a batch is meant to weigh, in bytes: some ten dense blocks of mainnet. A node's questions under
/// way hold as much each until they are parsed.
const BATCH_BYTES: u64 = 2 << 20;

/// Asks for the receipts of every block; the answers are in their order.
pub(super) async fn in_batches<E: Exchange>(
    endpoint: &Arc<Endpoint<E>>,
    blocks: Vec<BlockNumHash>,
) -> Vec<Result<Vec<Receipt>, Fault>> {
    let mut told: Vec<Option<Result<Vec<Receipt>, Fault>>> = vec![None; blocks.len()];
    let mut left: VecDeque<usize> = (0..blocks.len()).collect();
    let mut busy = 0;
    // Ends: each round tells of a block, or fewer are asked for at once.
    while !left.is_empty() {
        let is_by_transaction = endpoint.single_receipts.get() == Some(&true);
        let most = if is_by_transaction { 1 } else { endpoint.receipt_batch.size() };
        let size = most.min(left.len());
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
                        endpoint.receipt_batch.on_refusal(1);
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
                busy = 0;
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
                    endpoint.receipt_batch.on_refusal(size);
                    again.into_iter().rev().for_each(|place| left.push_front(place));
                } else {
                    endpoint.receipt_batch.on_answer(size, fitting(size, bytes));
                }
                if let Some(fault) = pause {
                    left.drain(..).for_each(|place| told[place] = Some(Err(fault.clone())));
                }
            }
            Err(fault) => {
                if endpoint.is_asked_smaller(&endpoint.receipt_batch, size, &fault) {
                    places.into_iter().rev().for_each(|place| left.push_front(place));
                    continue;
                }
                // What one block did not get says nothing of the next.
                busy += u32::from(fault.class == FaultClass::Busy);
                let is_over = size > 1 || ends_it(&fault) || busy >= BUSY_IN_A_ROW_MAX;
                let rest = if is_over { left.len() } else { 0 };
                let places = places.into_iter().chain(left.drain(..rest));
                places.for_each(|place| told[place] = Some(Err(fault.clone())));
            }
        }
    }
    let unread = || Err(endpoint.origin.malformed("eth_getBlockReceipts", "no answer"));
    told.into_iter().map(|told| told.unwrap_or_else(unread)).collect()
}

/// Returns how many blocks weigh what a batch is meant to, by what so many weighed.
fn fitting(blocks: usize, bytes: u64) -> usize {
    let fitting = BATCH_BYTES.saturating_mul(blocks as u64) / bytes.max(1);
    usize::try_from(fitting).unwrap_or(LARGEST_BATCH)
}

/// Whether a block of a batch got no answer, for a reason that is not the node's state nor the batch's size.
fn is_unanswered(answer: &Result<Vec<Receipt>, Fault>) -> bool {
    answer.as_ref().is_err_and(|fault| !is_of_the_node(fault) && !is_too_much(fault))
}
