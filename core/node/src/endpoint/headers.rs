//! Headers of a range in JSON-RPC batches. A header that one call did not get is a fault beside the others,
//! so that a block that a node cannot give, or a refusal on the way, costs no more than itself.
//!
//! It asks again only where fewer at once may help; whether a block is asked for again is the tracker's
//! business.

use super::{
    BUSY_IN_A_ROW_MAX, Endpoint, Exchange, HEADER_BATCHES_IN_FLIGHT, ends_it, is_of_the_node,
    is_too_much, on_a_worker,
};
use event::{Answer, BlockAnswer, BlockRange, BlockRanges, Fault, FaultClass};
use futures_util::{StreamExt, stream};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

type Told = BTreeMap<u64, Result<BlockAnswer, Fault>>;

/// Asks for the headers of a range: all of them, some and why not the others, or a fault.
pub(super) async fn in_batches<E: Exchange>(
    endpoint: &Arc<Endpoint<E>>,
    range: BlockRange,
) -> Result<Answer, Fault> {
    let mut told = Told::new();
    let mut left = BlockRanges::default();
    left.add(range);
    // Ends: each round tells of a block, or fewer are asked for at once.
    while !left.is_empty() {
        left = round(endpoint, &left, &mut told).await;
    }
    let given = told.values().filter(|told| told.is_ok()).count();
    if given == 0 {
        return Err(most_telling(endpoint, told));
    }
    match given == told.len() {
        true => Ok(Answer::Headers(told.into_values().flatten().collect())),
        false => Ok(Answer::SomeHeaders(told.into_values().collect())),
    }
}

/// Asks once for what is left; returns what is to be asked for in smaller batches.
async fn round<E: Exchange>(
    endpoint: &Arc<Endpoint<E>>,
    left: &BlockRanges,
    told: &mut Told,
) -> BlockRanges {
    let size = endpoint.header_batch.size();
    let mut batches = left.iter().flat_map(|range| batches(range, size));
    let is_over = AtomicBool::new(false);
    let (mut again, mut ended) = (BlockRanges::default(), None);
    let mut busy = 0;
    {
        let next = std::iter::from_fn(|| if is_over.load(Relaxed) { None } else { batches.next() });
        let asks =
            next.map(|batch| {
                let own = Arc::clone(endpoint);
                async move {
                    let count = batch.count() as usize;
                    let first = batch.first();
                    let reply = on_a_worker(&endpoint.origin, async move {
                        own.header_batch(first, count).await
                    });
                    (batch, reply.await)
                }
            });
        let mut replies = std::pin::pin!(stream::iter(asks).buffered(HEADER_BATCHES_IN_FLIGHT));
        while let Some((batch, reply)) = replies.next().await {
            let calls = batch.count() as usize;
            let fault = match reply {
                Ok(answers) => {
                    busy = 0;
                    endpoint.header_batch.on_answer(calls, usize::MAX);
                    for (number, answer) in (batch.first()..=batch.last()).zip(answers) {
                        match answer {
                            Err(fault) if calls > 1 && is_too_much(&fault) => {
                                endpoint.header_batch.on_refusal(calls);
                                again.add(BlockRange::one(number));
                            }
                            answer => drop(told.insert(number, answer)),
                        }
                    }
                    continue;
                }
                Err(fault) => fault,
            };
            if endpoint.is_asked_smaller(&endpoint.header_batch, calls, &fault) {
                // No more of this size.
                is_over.store(true, Relaxed);
                again.add(batch);
                continue;
            }
            tell(told, batch, &fault);
            busy += u32::from(fault.class == FaultClass::Busy);
            if ends_it(&fault) || busy >= BUSY_IN_A_ROW_MAX {
                is_over.store(true, Relaxed);
                ended.get_or_insert(fault);
            }
        }
    }
    for batch in batches {
        match &ended {
            Some(fault) => tell(told, batch, fault),
            None => again.add(batch),
        }
    }
    if let Some(fault) = ended {
        again.iter().for_each(|range| tell(told, range, &fault));
        return BlockRanges::default();
    }
    again
}

/// Tells a fault of every block of a range.
fn tell(told: &mut Told, range: BlockRange, fault: &Fault) {
    told.extend((range.first()..=range.last()).map(|number| (number, Err(fault.clone()))));
}

fn batches(range: BlockRange, size: usize) -> impl Iterator<Item = BlockRange> {
    let starts = (range.first()..=range.last()).step_by(size.max(1));
    starts.filter_map(move |first| {
        BlockRange::of_width(first, size.max(1) as u64).intersection(&range)
    })
}

/// Returns the fault that stands for all: what is wrong with the node says more than what is with a block.
fn most_telling<E: Exchange>(endpoint: &Endpoint<E>, told: Told) -> Fault {
    let mut faults: Vec<Fault> = told.into_values().filter_map(Result::err).collect();
    let is_telling = |fault: &Fault| {
        is_of_the_node(fault) || !matches!(fault.class, FaultClass::Unknown | FaultClass::Malformed)
    };
    let at = faults.iter().position(is_telling).unwrap_or(0);
    match at < faults.len() {
        true => faults.swap_remove(at),
        false => endpoint.origin.malformed("eth_getBlockByNumber", "no answer"),
    }
}
