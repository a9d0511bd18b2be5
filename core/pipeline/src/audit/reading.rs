//! One window: asks the nodes, first what they have, then for what is not shown yet.

use super::{AuditRequest, Sink};
use crate::{ReplayNode, Timer};
use ::audit::{Settings, Window};
use event::{BlockNumHash, BlockRange, EventPage, Filter, Prover, Report, Verify};
use futures_util::{
    FutureExt, StreamExt,
    future::{FusedFuture, join_all},
    select_biased,
    stream::FuturesUnordered,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};
use tracker::{Action, Backfill, BackfillConfig};

/// Times that all nodes are gone through for blocks that are not shown, at most: what one of them
/// adds can contradict another once, and receipts end it.
const ROUNDS_MAX: usize = 3;

/// What all windows share.
pub(super) struct Reading<'a> {
    pub(super) request: &'a AuditRequest,
    /// Those that are trusted, in order.
    pub(super) nodes: Vec<&'a ReplayNode>,
    pub(super) prover: Arc<dyn Prover>,
    pub(super) timer: &'a dyn Timer,
    pub(super) sink: Sink<'a>,
    pub(super) settings: Settings,
}

type Stop<'a, F> = Pin<&'a mut F>;

/// Blocks that a node was asked to show, by node and level.
type Tried = BTreeMap<(usize, bool), BTreeSet<u64>>;

impl Reading<'_> {
    /// Reads one filter over some blocks; `None` when it was stopped.
    pub(super) async fn window(
        &self,
        index: usize,
        filter: Arc<Filter>,
        blocks: BlockRange,
        page: Option<EventPage>,
        mut stop: Stop<'_, impl FusedFuture<Output = ()>>,
    ) -> Option<Window> {
        let mut window = Window::new(index, filter, blocks, self.settings.clone());
        if let Some(page) = page {
            let ids = page.blocks.iter().map(|b| BlockNumHash { number: b.number, hash: b.hash });
            window.hear_ledger(&ids.collect::<Vec<_>>(), &page.logs);
        }
        let window = Mutex::new(window);
        let mut tried = Tried::new();
        let require = self.request.require;
        tried.insert((0, require == Verify::Prove), (blocks.first()..=blocks.last()).collect());
        // The first shows what is there, the others say what they have: comparing costs them one
        // question a range.
        let whole = [blocks];
        let all = self.nodes.iter().enumerate().map(|(i, node)| {
            let verify = if i == 0 { require } else { Verify::Off };
            self.drive(node, verify, &whole, &window)
        });
        stopped_or(join_all(all), stop.as_mut()).await?;
        for _ in 0..ROUNDS_MAX {
            let mut has_read = false;
            for (i, node) in self.nodes.iter().enumerate() {
                for verify in [require, Verify::Prove] {
                    let due = locked(&window).due();
                    // Where proof is demanded, what is not proved is not shown.
                    let due = if verify == require { due.unshown } else { due.unproven };
                    let done = tried.entry((i, verify == Verify::Prove)).or_default();
                    let work = untried(&due, done);
                    if work.is_empty() {
                        continue;
                    }
                    has_read = true;
                    let read = self.drive(node, verify, &work, &window);
                    stopped_or(read, stop.as_mut()).await?;
                }
            }
            if !has_read {
                break;
            }
        }
        Some(window.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads ranges through one node, as far as it has them, and lets the window hear it.
    async fn drive(
        &self,
        node: &ReplayNode,
        verify: Verify,
        ranges: &[BlockRange],
        window: &Mutex<Window>,
    ) {
        let head = node.status.head.number;
        let filter = locked(window).filter().clone();
        let mut work = Vec::new();
        for range in ranges {
            if range.last() > head {
                let reason = format!("it is at block {head} only");
                locked(window).refuse(&node.status.node, *range, &reason);
            }
            let within = BlockRange::new(range.first(), range.last().min(head));
            work.extend(within.map(|range| (filter.clone(), range)));
        }
        let config = BackfillConfig {
            status: node.status.clone(),
            verify,
            profile: self.request.profile.clone(),
            concurrency: self.request.concurrency,
            width_max: None,
            keeps_chain: node.node.keeps_chain(),
            reporter: Arc::from("audit"),
        };
        let is_shown = verify == self.request.require || verify == Verify::Prove;
        let mut backfill = Backfill::new(config, self.prover.clone(), work);
        let mut answers = FuturesUnordered::new();
        let mut acks = FuturesUnordered::new();
        loop {
            let mut wake = std::pin::pin!(futures_util::future::Fuse::terminated());
            match backfill.next(self.timer.now_ms()) {
                Action::Ask(ticket, ask) => {
                    let answer = node.node.ask(ask);
                    answers.push(answer.map(move |answer| (ticket, answer)));
                    continue;
                }
                Action::Submit(report) => {
                    self.hear(&report, window);
                    if let Some(owner) = self.sink.filter(|_| is_shown) {
                        acks.push(owner.submit(report));
                        owner.flush();
                    }
                    continue;
                }
                Action::Surrender(given_up) => {
                    locked(window).give_up(given_up.range, &given_up.fault);
                    continue;
                }
                Action::WaitUntil(at_ms) => wake.set(self.timer.sleep_until(at_ms).fuse()),
                Action::WaitForAnswer => {}
                Action::Done => break,
            }
            select_biased! {
                (ticket, answer) = answers.select_next_some() => {
                    backfill.on_answer(ticket, answer, self.timer.now_ms());
                }
                // Read no faster than is written.
                _ = acks.select_next_some() => {}
                () = wake => {}
                complete => break,
            }
        }
        while acks.next().await.is_some() {}
    }

    fn hear(&self, report: &Report, window: &Mutex<Window>) {
        match &report.judged {
            Some(judged) => locked(window).hear(report, judged),
            None => {
                let judged = self.prover.judge(report, &self.request.profile);
                locked(window).hear(report, &judged);
            }
        }
    }
}

fn locked(window: &Mutex<Window>) -> std::sync::MutexGuard<'_, Window> {
    window.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs to the end unless it is stopped.
async fn stopped_or<T>(
    work: impl Future<Output = T>,
    mut stop: Stop<'_, impl FusedFuture<Output = ()>>,
) -> Option<T> {
    let mut work = std::pin::pin!(work.fuse());
    select_biased! {
        () = stop => None,
        done = work => Some(done),
    }
}

/// Returns what of these ranges was not tried, and notes it.
fn untried(due: &[BlockRange], tried: &mut BTreeSet<u64>) -> Vec<BlockRange> {
    let mut ranges: Vec<BlockRange> = Vec::new();
    for number in due.iter().flat_map(|range| range.first()..=range.last()) {
        if !tried.insert(number) {
            continue;
        }
        match ranges.last_mut() {
            Some(last) if last.last().checked_add(1) == Some(number) => {
                *last = BlockRange::new(last.first(), number).unwrap_or(*last);
            }
            _ => ranges.push(BlockRange::one(number)),
        }
    }
    ranges
}
