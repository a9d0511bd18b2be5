//! A large backfill through all nodes at once: they take ranges from one queue, each as wide and as fast
//! as it stands, so that nothing waits for the slow. A node that fails gives its range back.
//!
//! What nobody gives, and everything that is not final, is left to the passes that follow.

use crate::{
    OwnerHandle, Progress, ReplayError, ReplayOutcome, ReplayRequest, Timer, Watcher,
    given_up::{self, GivenUp},
    handed::Handed,
    replay::{STOP_GRACE_MS, Work, blocks_of, split_at_head, take_ack, tell_elsewhere},
};
use event::{BlockRange, FaultClass, Filter, Prover, Verify};
use futures_util::{
    FutureExt, StreamExt, future::FusedFuture, select_biased, stream::FuturesUnordered,
};
use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::Arc,
};
use tracker::{Action, Backfill, Surrender};

/// Blocks below which one node after the other is asked: a few answers, and they are in order.
const SPREAD_BLOCKS_MIN: u64 = 5_000;
/// Ranges in a row that a node could not give; after so many it is given no more.
const LOST_IN_A_ROW_MAX: u32 = 3;
/// Ranges that a node could not give at all; after so many it is given no more.
const LOST_MAX: usize = 64;

/// Returns what is spread over the nodes: what all of them call final, where that is much.
pub(crate) fn share(request: &ReplayRequest, work: &Work) -> Work {
    // Where nodes must agree each of them reads everything.
    let is_one_enough = !matches!(request.verify, Verify::Agree(_)) && !request.is_second_look;
    let nodes = &request.nodes;
    let last = nodes.iter().map(|n| n.status.finalized.map(|f| f.min(n.status.head.number)));
    let Some(last) = last.min().flatten().filter(|_| nodes.len() > 1 && is_one_enough) else {
        return Work::new();
    };
    let (within, _) = split_at_head(work.clone(), last);
    if blocks_of(&within) < SPREAD_BLOCKS_MIN { Work::new() } else { within }
}

/// One node of several.
struct Seat {
    backfill: Backfill,
    lost_in_a_row: u32,
    lost: Vec<BlockRange>,
    given_up: GivenUp,
}

impl Seat {
    /// Takes from the queue what the node is good for just now.
    fn take_from(&mut self, queue: &mut VecDeque<(Arc<Filter>, BlockRange)>, now_ms: u64) {
        let is_out = self.lost_in_a_row >= LOST_IN_A_ROW_MAX || self.lost.len() >= LOST_MAX;
        if is_out || !self.backfill.is_hungry(now_ms) {
            return;
        }
        let pruned = self.backfill.pruned_through();
        let can = |(_, range): &(Arc<Filter>, BlockRange)| {
            pruned.is_none_or(|through| through < range.last())
                && self.lost.iter().all(|lost| lost.intersection(range).is_none())
        };
        let Some(at) = queue.iter().position(can) else { return };
        let Some((filter, range)) = queue.remove(at) else { return };
        let width = self.backfill.width_of(&filter);
        let taken = BlockRange::of_width(range.first(), width).intersection(&range);
        let taken = taken.unwrap_or(range);
        if let Some(rest) = BlockRange::new(taken.last().saturating_add(1), range.last()) {
            queue.insert(at, (filter.clone(), rest));
        }
        self.backfill.add(filter, taken);
    }
}

/// A backfill under way through all nodes.
pub(crate) struct Spread<'a> {
    pub(crate) owner: &'a OwnerHandle,
    pub(crate) timer: &'a dyn Timer,
    pub(crate) watcher: &'a dyn Watcher,
    pub(crate) progress: &'a mut Progress,
    pub(crate) outcome: &'a mut ReplayOutcome,
    pub(crate) reasons: &'a mut BTreeMap<u64, (BlockRange, String)>,
}

impl Spread<'_> {
    pub(crate) async fn run<F: Future<Output = ()> + FusedFuture>(
        &mut self,
        request: &ReplayRequest,
        prover: &Arc<dyn Prover>,
        work: Work,
        mut stop: Pin<&mut F>,
    ) -> Result<(), ReplayError> {
        let mut seats: Vec<Seat> =
            (0..request.nodes.len()).map(|index| seat(request, index, prover)).collect();
        let mut queue: VecDeque<_> = work.into();
        let mut answers = FuturesUnordered::new();
        let mut handed = Handed::new(self.owner);
        let mut grace = std::pin::pin!(futures_util::future::Fuse::terminated());
        loop {
            let (mut wake_at, mut has_acted, mut is_done) = (None::<u64>, false, false);
            if handed.has_room() {
                is_done = true;
                let now_ms = self.timer.now_ms();
                for (index, seat) in seats.iter_mut().enumerate() {
                    seat.take_from(&mut queue, now_ms);
                    match seat.backfill.next(now_ms) {
                        Action::Ask(ticket, ask) => {
                            let answer = request.nodes[index].node.ask(ask);
                            answers.push(answer.map(move |answer| (index, ticket, answer)));
                            has_acted = true;
                        }
                        Action::Submit(report) => {
                            seat.lost_in_a_row = 0;
                            handed.submit(index, report);
                            has_acted = true;
                        }
                        Action::Surrender(Surrender { filter, range, fault }) => {
                            seat.given_up.add(range, &fault);
                            tell_elsewhere(request, range, &fault, self.owner);
                            // What it has no history of says nothing of the rest.
                            if !matches!(fault.class, FaultClass::Pruned { .. }) {
                                seat.lost_in_a_row += 1;
                                seat.lost.push(range);
                            }
                            self.outcome.on_given_up(range, &fault);
                            self.reasons.insert(range.first(), (range, given_up::reason(&fault)));
                            queue.push_front((filter, range));
                            has_acted = true;
                        }
                        Action::WaitUntil(at_ms) => {
                            wake_at = Some(wake_at.map_or(at_ms, |wake| wake.min(at_ms)));
                            is_done = false;
                        }
                        Action::WaitForAnswer => is_done = false,
                        Action::Done => {}
                    }
                }
                if has_acted {
                    continue;
                }
            }
            if is_done {
                break;
            }
            let mut wake = std::pin::pin!(futures_util::future::Fuse::terminated());
            if let Some(at_ms) = wake_at {
                wake.set(self.timer.sleep_until(at_ms).fuse());
            }
            select_biased! {
                () = stop => {
                    self.outcome.stopped = true;
                    queue.clear();
                    seats.iter_mut().for_each(|seat| seat.backfill.stop());
                    answers.clear();
                    grace.set(self.timer.sleep_until(self.timer.now_ms() + STOP_GRACE_MS).fuse());
                }
                () = grace => break,
                told = handed.told.select_next_some() => {
                    if let Some((index, about, ack)) = handed.hear(told) {
                        take_ack(about, ack, self.progress, self.outcome, self.reasons)?;
                        self.tell(request, index, "reading");
                    }
                }
                (index, ticket, answer) = answers.select_next_some() => {
                    if let Err(fault) = &answer {
                        self.tell(request, index, &fault.text);
                        tracing::debug!(%fault, "no answer");
                    }
                    seats[index].backfill.on_answer(ticket, answer, self.timer.now_ms());
                }
                () = wake => {}
                complete => break,
            }
        }
        // What was read is committed; what is on its way is let go.
        handed.flush();
        while let Some((_, about, ack)) = handed.rest().await {
            take_ack(about, ack, self.progress, self.outcome, self.reasons)?;
        }
        seats.iter().for_each(|seat| seat.given_up.tell());
        Ok(())
    }

    fn tell(&mut self, request: &ReplayRequest, index: usize, doing: &str) {
        let node = request.nodes[index].status.node.clone();
        self.progress.node = Some((node, doing.to_owned()));
        self.watcher.on_progress(self.progress);
    }
}

fn seat(request: &ReplayRequest, index: usize, prover: &Arc<dyn Prover>) -> Seat {
    let config = request.through(&request.nodes[index]);
    let backfill = Backfill::new(config, prover.clone(), Vec::new());
    Seat { backfill, lost_in_a_row: 0, lost: Vec::new(), given_up: GivenUp::default() }
}
