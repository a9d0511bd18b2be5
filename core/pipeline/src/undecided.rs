//! Final blocks of which only some nodes told a log, and nothing showed who is right: asks for their
//! receipts, node after node, and says what stays undecided. Also of blocks that are covered.

use crate::{OwnerHandle, ReplayError, ReplayOutcome, ReplayRequest, Timer, Watcher, replay};
use event::{BlockRange, BlockRanges, Filter, Prover, Verify};
use futures_util::FutureExt;
use std::{future::Future, sync::Arc};

/// Ranges that are asked for again in one run; more of them stay undecided.
const RANGES_MAX: usize = 64;

/// Has blocks of the request's range decided by receipts of its nodes; returns what the reading came to
/// and what is undecided after it.
pub async fn settle_undecided(
    request: ReplayRequest,
    owner: &OwnerHandle,
    prover: Arc<dyn Prover>,
    timer: &dyn Timer,
    stop: impl Future<Output = ()> + Send,
    watcher: &dyn Watcher,
) -> Result<(ReplayOutcome, BlockRanges), ReplayError> {
    let mut stop = std::pin::pin!(stop.fuse());
    let mut sum = ReplayOutcome::default();
    let mut undecided = ask(&request, owner, request.range).await?;
    for node in &request.nodes {
        for (range, filters) in undecided.drain(..).take(RANGES_MAX) {
            if sum.stopped || node.status.head.number < range.last() {
                continue;
            }
            let request = ReplayRequest {
                filters,
                range,
                verify: Verify::Prove,
                needed: Verify::Prove,
                refetch: true,
                is_second_look: false,
                nodes: vec![node.clone()],
                ..request.clone()
            };
            let (prover, stop) = (prover.clone(), stop.as_mut());
            sum.add_part(&replay(request, owner, prover, timer, stop, watcher).await?);
        }
        undecided = ask(&request, owner, request.range).await?;
        if undecided.is_empty() {
            break;
        }
    }
    Ok((sum, undecided.into_iter().map(|(range, _)| range).collect()))
}

async fn ask(
    request: &ReplayRequest,
    owner: &OwnerHandle,
    range: BlockRange,
) -> Result<Vec<(BlockRange, Vec<Filter>)>, ReplayError> {
    let undecided = owner.undecided(request.profile.chain, request.filters.clone(), range);
    undecided.await.map_err(|_| ReplayError::OwnerGone)
}
