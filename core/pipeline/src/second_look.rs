//! The daisy chain: what is covered and final is read again through other nodes than those that saw
//! it first, from where the last run stopped. Which node reads what says `tracker`, what differs the
//! aggregator; this drives, and asks for receipts where nodes differ.

use crate::{
    OwnerHandle, ReplayError, ReplayNode, ReplayOutcome, ReplayRequest, Timer, Watcher, replay,
    replay::INCIDENTS_TOLD_MAX,
};
use event::{
    BlockRange, ChainProfile, ChainState, DecodeStats, Filter, Incident, NodeId, Prover, Verify,
};
use futures_util::{FutureExt, future::FusedFuture};
use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};
use tracker::{NodeStatus, Seen};

/// Blocks between two moments at which it is noted how far a filter has come: what is read once more
/// after a kill, at most.
const WINDOW_BLOCKS: u64 = 50_000;
/// Ranges in which nodes differ that are decided in one window; with more of them the run stops there.
const DIFFERENCES_MAX: usize = 256;

/// What to look at again.
#[derive(Clone, Debug)]
pub struct SecondLookRequest {
    /// Chain and what holds there.
    pub profile: ChainProfile,
    /// What is followed.
    pub filters: Vec<Filter>,
    /// The newest final block.
    pub through: u64,
    /// What must be shown.
    pub verify: Verify,
    /// Nodes, in order of preference.
    pub nodes: Vec<ReplayNode>,
    /// Chunks under way at once.
    pub concurrency: usize,
    /// This process in reports.
    pub reporter: Arc<str>,
}

/// What a node read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookedThrough {
    /// Blocks, each counted once per filter.
    pub blocks: u64,
    /// Those that only nodes of other clients had covered.
    pub of_other_client: u64,
}

/// What a second look came to. Blocks are counted once per filter.
#[derive(Clone, Debug, Default)]
pub struct SecondLook {
    /// From the first to the last block that was looked at, over all filters; `None`: nothing was new.
    pub range: Option<BlockRange>,
    /// What each node read.
    pub nodes: BTreeMap<NodeId, LookedThrough>,
    /// Blocks of which another node said the same.
    pub agreed: u64,
    /// Events that the nodes before had missed.
    pub recovered: u64,
    /// Blocks that no other node than those that saw them first could be asked for.
    pub without_other: Vec<BlockRange>,
    /// What was not decided, with why: the next run begins there.
    pub open: Vec<(BlockRange, String)>,
    /// Flaws recorded.
    pub incidents: u64,
    /// The first of them.
    pub told: Vec<Incident>,
    /// What decoding left raw.
    pub decoded: DecodeStats,
    /// Stopped before the end.
    pub stopped: bool,
}

impl SecondLook {
    fn take(&mut self, outcome: &ReplayOutcome) {
        self.agreed += outcome.agreed;
        self.recovered += outcome.new_events;
        self.incidents += outcome.incidents;
        let room = INCIDENTS_TOLD_MAX.saturating_sub(self.told.len());
        self.told.extend(outcome.told.iter().take(room).cloned());
        self.decoded += outcome.decoded;
        self.stopped |= outcome.stopped;
    }
}

/// Reads again what is covered and final, for each filter from where the last run stopped.
pub async fn second_look(
    request: SecondLookRequest,
    owner: &OwnerHandle,
    prover: Arc<dyn Prover>,
    timer: &dyn Timer,
    stop: impl Future<Output = ()> + Send,
    watcher: &dyn Watcher,
) -> Result<SecondLook, ReplayError> {
    let mut stop = std::pin::pin!(stop.fuse());
    let chain = request.profile.chain;
    let state = owner.state(chain).await.map_err(|_| ReplayError::OwnerGone)?;
    let statuses = request.nodes.iter().map(|node| node.status.clone()).collect();
    let mut looking = Looking {
        request: &request,
        statuses,
        owner,
        prover,
        timer,
        watcher,
        outcome: SecondLook::default(),
    };
    for filter in &request.filters {
        let mut seen = covered(&state, filter, &request);
        while !seen.is_empty() && !looking.outcome.stopped {
            let window = cut(&mut seen, WINDOW_BLOCKS);
            let (Some(first), Some(last)) = (window.first(), window.last()) else { break };
            let (first, last) = (first.range.first(), last.range.last());
            let undone = looking.window(filter, window, stop.as_mut()).await?;
            let next_block = undone.unwrap_or(last.saturating_add(1));
            if next_block > first {
                owner.looked(chain, filter.id(), next_block);
            }
            let looked = BlockRange::new(first, last);
            let before = looking.outcome.range;
            looking.outcome.range = before.into_iter().chain(looked).reduce(BlockRange::hull);
            if undone.is_some() {
                break;
            }
        }
    }
    owner.flush();
    Ok(looking.outcome)
}

/// Returns what is covered of a filter without a gap, from where the last look stopped, with who
/// covered it.
fn covered(state: &ChainState, filter: &Filter, request: &SecondLookRequest) -> Vec<Seen> {
    let required = request.verify.required();
    let id = filter.id();
    let mut seen: Vec<Seen> = state
        .coverage
        .iter()
        .filter(|(covered, _)| covered.intersection(filter).as_ref() == Some(filter))
        .flat_map(|(_, intervals)| intervals)
        .filter(|interval| interval.evidence.content >= required)
        .map(|interval| Seen { range: interval.range, nodes: interval.nodes.clone() })
        .collect();
    seen.sort_by_key(|seen| (seen.range.first(), seen.range.last()));
    let looked = state.looked.iter().find(|(looked, _)| *looked == id).map(|(_, next)| *next);
    let Some(first) = looked.or_else(|| seen.first().map(|seen| seen.range.first())) else {
        return Vec::new();
    };
    let mut next = first;
    let mut chain: Vec<Seen> = Vec::new();
    for Seen { range, nodes } in seen {
        if range.first() > next {
            break;
        }
        let Some(range) = BlockRange::new(next, range.last().min(request.through)) else {
            continue;
        };
        next = range.last().saturating_add(1);
        chain.push(Seen { range, nodes });
    }
    chain
}

fn lowest(undone: Option<u64>, range: BlockRange) -> Option<u64> {
    Some(undone.map_or(range.first(), |undone| undone.min(range.first())))
}

/// Takes so many blocks off the front.
fn cut(seen: &mut Vec<Seen>, blocks: u64) -> Vec<Seen> {
    let Some(first) = seen.first().map(|seen| seen.range.first()) else { return Vec::new() };
    let end = BlockRange::of_width(first, blocks).last();
    let mut window = Vec::new();
    let mut rest = Vec::new();
    for Seen { range, nodes } in seen.drain(..) {
        if let Some(range) = BlockRange::new(range.first(), range.last().min(end)) {
            window.push(Seen { range, nodes: nodes.clone() });
        }
        let first = range.first().max(end.saturating_add(1));
        if let Some(range) = BlockRange::new(first, range.last()).filter(|_| end < u64::MAX) {
            rest.push(Seen { range, nodes });
        }
    }
    *seen = rest;
    window
}

type Stop<'a, F> = Pin<&'a mut F>;

struct Looking<'a> {
    request: &'a SecondLookRequest,
    statuses: Vec<NodeStatus>,
    owner: &'a OwnerHandle,
    prover: Arc<dyn Prover>,
    timer: &'a dyn Timer,
    watcher: &'a dyn Watcher,
    outcome: SecondLook,
}

/// Blocks that one node and those before it differ in.
struct Differing {
    range: BlockRange,
    node: usize,
    seen: Vec<NodeId>,
}

impl Looking<'_> {
    /// Looks at one window; returns the lowest block that is not decided, if any.
    async fn window<F: FusedFuture<Output = ()> + Send>(
        &mut self,
        filter: &Filter,
        window: Vec<Seen>,
        mut stop: Stop<'_, F>,
    ) -> Result<Option<u64>, ReplayError> {
        let mut undone: Option<u64> = None;
        let mut left = window;
        let mut failed: Vec<(BlockRange, String)> = Vec::new();
        let mut differing: Vec<Differing> = Vec::new();
        // Each round leaves what a node could not give to one more.
        for _ in 0..=self.statuses.len() {
            let mut again = Vec::new();
            for planned in tracker::second_look(&left, &self.statuses) {
                let parts = || {
                    left.iter().filter_map(|seen| {
                        let range = seen.range.intersection(&planned.range)?;
                        Some(Seen { range, nodes: seen.nodes.clone() })
                    })
                };
                let Some(node) = planned.node else {
                    for Seen { range, .. } in parts() {
                        let is_about = |(failed, _): &&(BlockRange, String)| {
                            failed.intersection(&range).is_some()
                        };
                        match failed.iter().find(is_about) {
                            Some((_, why)) => {
                                self.outcome.open.push((range, why.clone()));
                                undone = lowest(undone, range);
                            }
                            None => self.outcome.without_other.push(range),
                        }
                    }
                    continue;
                };
                let verify = self.request.verify;
                let read = self.read(filter, planned.range, node, verify, stop.as_mut()).await?;
                if read.stopped {
                    // Ranges are in order, but for what was left by a node.
                    let left = left.iter().map(|seen| seen.range);
                    let left = left.filter(|range| range.last() >= planned.range.first());
                    return Ok(left
                        .chain(again.iter().map(|s: &Seen| s.range))
                        .fold(undone, lowest));
                }
                let name = self.statuses[node].node.clone();
                let through = self.outcome.nodes.entry(name.clone()).or_default();
                through.blocks += planned.range.count();
                if planned.is_other_client {
                    through.of_other_client += planned.range.count();
                }
                for (doubt, why) in &read.doubts {
                    if read.differs.iter().any(|differs| differs.covers(doubt)) {
                        continue;
                    }
                    for Seen { range, mut nodes } in parts() {
                        let Some(range) = range.intersection(doubt) else { continue };
                        failed.push((range, format!("{name}: {why}")));
                        nodes.push(name.clone());
                        again.push(Seen { range, nodes });
                    }
                }
                for differs in &read.differs {
                    let in_part = |Seen { range, nodes }: Seen| {
                        Some(Differing { range: range.intersection(differs)?, node, seen: nodes })
                    };
                    differing.extend(parts().filter_map(in_part));
                }
            }
            again.sort_by_key(|seen| (seen.range.first(), seen.range.last()));
            left = again;
            if left.is_empty() {
                break;
            }
        }
        for (index, differing) in differing.iter().enumerate() {
            let is_decided =
                index < DIFFERENCES_MAX && self.decide(filter, differing, stop.as_mut()).await?;
            if !is_decided {
                let name = &self.statuses[differing.node].node;
                let why = format!(
                    "{name} and the nodes before it differ, and nothing shows who is right"
                );
                self.outcome.open.push((differing.range, why));
                undone = lowest(undone, differing.range);
            }
        }
        Ok(undone)
    }

    /// Asks for the receipts of blocks in which nodes differ, and the other nodes; returns whether it
    /// is known now who is right.
    async fn decide<F: FusedFuture<Output = ()> + Send>(
        &mut self,
        filter: &Filter,
        differing: &Differing,
        mut stop: Stop<'_, F>,
    ) -> Result<bool, ReplayError> {
        let Differing { range, node, seen } = differing;
        let is_new = |index: &usize| !seen.contains(&self.statuses[*index].node);
        let (others, before): (Vec<usize>, Vec<usize>) =
            (0..self.statuses.len()).filter(|index| index != node).partition(is_new);
        // The one that differs is heard once more at the end: what the others have shown by then
        // tells of it.
        let order = std::iter::once(*node).chain(others).chain(before).chain([*node]);
        for (asked, index) in order.enumerate() {
            let is_before = seen.contains(&self.statuses[index].node);
            if self.statuses[index].head.number < range.last() {
                continue;
            }
            let read = self.read(filter, *range, index, Verify::Prove, stop.as_mut()).await?;
            if read.stopped {
                return Ok(false);
            }
            let is_settled = read.differs.is_empty() && read.doubts.is_empty() && !is_before;
            if is_settled && (asked == 0 || index == *node) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn read<F: FusedFuture<Output = ()> + Send>(
        &mut self,
        filter: &Filter,
        range: BlockRange,
        node: usize,
        verify: Verify,
        stop: Stop<'_, F>,
    ) -> Result<ReplayOutcome, ReplayError> {
        let request = ReplayRequest {
            profile: self.request.profile.clone(),
            filters: vec![filter.clone()],
            range,
            verify,
            refetch: true,
            is_second_look: true,
            nodes: vec![self.request.nodes[node].clone()],
            concurrency: self.request.concurrency,
            width_max: None,
            reporter: self.request.reporter.clone(),
        };
        let prover = self.prover.clone();
        let read = replay(request, self.owner, prover, self.timer, stop, self.watcher).await?;
        self.outcome.take(&read);
        Ok(read)
    }
}
