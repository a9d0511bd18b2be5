//! One window of a second look: each range goes to another node than those that saw it, and what that
//! one cannot give to one more.

use super::{SecondLook, SecondLookRequest, differing::Differing};
use crate::{
    OwnerHandle, ReplayError, ReplayOutcome, ReplayRequest, Timer, Watcher,
    owner::{Claiming, Holder, LookClaim},
    replay,
};
use event::{BlockNumHash, BlockRange, BlockRanges, Filter, NodeId, Prover, Seen, ToLook, Verify};
use futures_util::future::FusedFuture;
use std::{collections::BTreeMap, pin::Pin, sync::Arc};
use tracker::{NodeStatus, Planned};

/// Ranges in which nodes differ that are decided in one window; those of one more stay open.
const DIFFERENCES_MAX: usize = 256;

/// Blocks in a row that are proved because one node gave them in a way that does not hold up, at most: a
/// few headers or logs are wrong, and a node that is wrong all along is left to whoever runs it.
const UNSOUND_BLOCKS_MAX: u64 = 1_000;

pub(super) type Stop<'a, F> = Pin<&'a mut F>;

/// A second look under way.
pub(crate) struct Looking<'a> {
    pub(super) request: &'a SecondLookRequest,
    pub(super) statuses: Vec<NodeStatus>,
    pub(super) owner: &'a OwnerHandle,
    prover: Arc<dyn Prover>,
    pub(super) timer: &'a dyn Timer,
    watcher: &'a dyn Watcher,
    claiming: Claiming,
    /// Hashes that nodes gave, by node and height.
    pub(super) hashes: BTreeMap<(usize, u64), BlockNumHash>,
    pub(crate) outcome: SecondLook,
}

/// What became of the blocks of a window so far.
#[derive(Default)]
pub(super) struct Window {
    /// Told by a second node, and known who is right.
    looked: BlockRanges,
    /// To be asked of one more node.
    again: Vec<Seen>,
    /// Could not be had, with why.
    failed: Vec<(BlockRange, String)>,
    /// A node that was asked has no history of it: it is none that there is for these.
    pruned: BlockRanges,
    /// Told otherwise than before.
    differing: Vec<Differing>,
    /// Told in a way that does not hold up, whatever it says.
    unsound: Vec<Differing>,
}

impl Window {
    /// Takes what a node gave of the parts of a range that it was asked for. Of what it was not come to
    /// before the end nothing is known: it is still to be looked at.
    fn take(&mut self, parts: Vec<Seen>, node: (usize, &NodeId), read: &ReplayOutcome) {
        let (node, name) = node;
        let differs: BlockRanges = read.differs.iter().copied().collect();
        // What differs is settled as such, whatever else there is to say of it.
        let doubts = read.doubts.iter().filter(|(range, _)| !differs.outside(*range).is_empty());
        let mut apart = differs.clone();
        for (doubt, why) in doubts {
            apart.add(*doubt);
            for part in &parts {
                let Some(range) = part.range.intersection(doubt) else { continue };
                if read.pruned.outside(range).is_empty() {
                    self.pruned.add(range);
                    self.ask_another(Seen { range, ..part.clone() }, name);
                    continue;
                }
                let heard = read.heard.within(range);
                let unsound = heard.map(|range| Differing {
                    range,
                    node,
                    seen: part.nodes.clone(),
                    flaw: Some(why.clone()),
                });
                self.unsound.extend(unsound);
                self.fail(Seen { range, ..part.clone() }, name, why);
            }
        }
        for Seen { range, nodes, .. } in parts {
            for differing in differs.within(range) {
                let seen = nodes.clone();
                self.differing.push(Differing { range: differing, node, seen, flaw: None });
            }
            let heard = read.heard.within(range);
            let told = heard.flat_map(|heard| apart.outside(heard));
            told.for_each(|told| self.looked.add(told));
        }
    }

    /// A node could not give it: one more is asked.
    pub(super) fn fail(&mut self, part: Seen, name: &NodeId, why: &str) {
        self.failed.push((part.range, format!("{name}: {why}")));
        self.ask_another(part, name);
    }

    fn ask_another(&mut self, mut part: Seen, name: &NodeId) {
        part.nodes.push(name.clone());
        self.again.push(part);
    }

    /// Takes what there is no other node for: where one gave what does not hold up, those before it are to
    /// prove theirs; where one has failed it is open, else left for one that comes.
    fn leave(&mut self, parts: Vec<Seen>, outcome: &mut SecondLook) {
        for Seen { range, nodes, .. } in parts {
            let is_here = |unsound: &&Differing| {
                unsound.range.covers(&range) && range.count() <= UNSOUND_BLOCKS_MAX
            };
            if let Some(Differing { node, seen, flaw, .. }) = self.unsound.iter().find(is_here) {
                let (node, seen, flaw) = (*node, seen.clone(), flaw.clone());
                self.differing.push(Differing { range, node, seen, flaw });
                continue;
            }
            match self.failed.iter().find(|(failed, _)| failed.intersection(&range).is_some()) {
                Some((_, why)) => outcome.open.push((range, why.clone())),
                None => {
                    let has_none = nodes.len() < 2 || self.pruned.outside(range).is_empty();
                    outcome.without_other.extend(has_none.then_some(range));
                }
            }
        }
    }
}

impl<'a> Looking<'a> {
    pub(crate) fn new(
        request: &'a SecondLookRequest,
        owner: &'a OwnerHandle,
        prover: Arc<dyn Prover>,
        timer: &'a dyn Timer,
        watcher: &'a dyn Watcher,
    ) -> Self {
        Self {
            request,
            statuses: request.nodes.iter().map(|node| node.status.clone()).collect(),
            owner,
            prover,
            timer,
            watcher,
            claiming: owner.claiming(),
            hashes: BTreeMap::new(),
            outcome: SecondLook::default(),
        }
    }

    /// Looks at the first blocks that are due of a filter, from `first` on; returns where the next
    /// ones may be, if there can be any.
    pub(crate) async fn next_window<F: FusedFuture<Output = ()> + Send>(
        &mut self,
        filter: &Filter,
        first: u64,
        stop: Stop<'_, F>,
    ) -> Result<Option<u64>, ReplayError> {
        let (chain, end) = (self.request.profile.chain, self.request.through);
        let Some(range) = BlockRange::new(first, end) else { return Ok(None) };
        let claim = LookClaim {
            // As the claiming says.
            holder: Holder { process: 0, run: 0 },
            chain,
            filter: filter.clone(),
            range,
            verify: self.request.verify,
            nodes: self.statuses.iter().map(|status| status.node.clone()).collect(),
            blocks_max: self.request.window_blocks,
        };
        let to_look = self.claiming.claim_look(claim).await;
        let ToLook { seen, without_other, held, through } =
            to_look.map_err(|_| ReplayError::OwnerGone)?;
        self.outcome.without_other.extend(without_other);
        self.outcome.held.extend(held);
        if !seen.is_empty() {
            for looked in self.window(filter, seen, stop).await?.iter() {
                self.owner.looked(chain, filter.id(), looked);
                let before = self.outcome.range;
                self.outcome.range = before.into_iter().chain([looked]).reduce(BlockRange::hull);
            }
            self.owner.flush();
        }
        Ok(through.checked_add(1).filter(|next| *next <= end))
    }

    /// Looks at one window; returns the blocks of which another node told, and who is right is known.
    async fn window<F: FusedFuture<Output = ()> + Send>(
        &mut self,
        filter: &Filter,
        due: Vec<Seen>,
        mut stop: Stop<'_, F>,
    ) -> Result<BlockRanges, ReplayError> {
        let mut window = Window { again: due, ..Window::default() };
        // Each round leaves what a node could not give to one more.
        for _ in 0..=self.statuses.len() {
            let left = std::mem::take(&mut window.again);
            for Planned { range, node, is_other_client } in
                tracker::second_look(&left, &self.statuses)
            {
                let parts = parts(&left, range);
                let Some(node) = node else {
                    window.leave(parts, &mut self.outcome);
                    continue;
                };
                let name = self.statuses[node].node.clone();
                for (range, parts) in self.on_one_chain(range, parts, node, &mut window).await {
                    let verify = self.request.verify;
                    let read = self.read(filter, range, node, verify, stop.as_mut()).await?;
                    self.count(&name, read.heard.count(), is_other_client);
                    window.take(parts, (node, &name), &read);
                    if read.stopped {
                        return Ok(window.looked);
                    }
                }
            }
            window.again.sort_by_key(|seen| (seen.range.first(), seen.range.last()));
        }
        for (index, differing) in window.differing.iter().enumerate() {
            let is_decided =
                index < DIFFERENCES_MAX && self.decide(filter, differing, stop.as_mut()).await?;
            if !is_decided && self.outcome.stopped {
                break;
            }
            if is_decided || self.leave_open(filter, differing).await? {
                window.looked.add(differing.range);
            }
        }
        Ok(window.looked)
    }

    fn count(&mut self, node: &NodeId, blocks: u64, is_other_client: bool) {
        let through = self.outcome.nodes.entry(node.clone()).or_default();
        through.blocks += blocks;
        if is_other_client {
            through.of_other_client += blocks;
        }
    }

    /// Reads a range through one node, to be compared with what is stored.
    pub(super) async fn read<F: FusedFuture<Output = ()> + Send>(
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
            needed: verify,
            refetch: true,
            is_second_look: true,
            nodes: vec![self.request.nodes[node].clone()],
            concurrency: self.request.concurrency,
            width_max: self.request.width_max,
            pace: self.request.pace.clone(),
            reporter: self.request.reporter.clone(),
        };
        let prover = self.prover.clone();
        let read = replay(request, self.owner, prover, self.timer, stop, self.watcher).await?;
        self.outcome.take(&read);
        Ok(read)
    }
}

/// Returns what of `seen` lies in a range.
fn parts(seen: &[Seen], within: BlockRange) -> Vec<Seen> {
    let part = |seen: &Seen| {
        let range = seen.range.intersection(&within)?;
        Some(Seen { range, ..seen.clone() })
    };
    seen.iter().filter_map(part).collect()
}
