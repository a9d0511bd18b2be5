//! One chain: steps its nodes, asks the council, hands reports over, fills gaps, looks again.

use super::{
    ChainView, Change, LookedAgain, NodeLine, WatchOutcome, WatchRequest, WatchWatcher,
    gaps::{Fill, FillSetup, Filled, Rhythm, decide_waiting, fill, first_missing, levels},
    looks::{Look, Looked, Looks},
    nodes::{Arrival, Common, NodeRun, Nodes},
    route::Router,
    standing::Standing,
};
use crate::{OwnerHandle, ReplayError, ReplayNode, Timer};
use event::{
    Ack, BlockNumHash, BlockRange, BlockRow, Fault, Filter, Held, LedgerError, NodeId, Prover,
    Verify,
};
use futures_channel::mpsc;
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Fuse, FusedFuture},
    select_biased,
    stream::FuturesUnordered,
};
use std::{pin::Pin, sync::Arc};
use tracker::{Conflict, Council, Decision, FollowAction, NodeState, Ruling};

/// Blocks below the head that count as recent where nothing is final: what the nodes' trackers
/// read by themselves after a short outage.
const RECENT_BLOCKS: u64 = 64;
/// Longest time between two looks at what is missing, in milliseconds.
const LOOK_MS_MAX: u64 = 12_000;
/// How long the end waits for logs that are not decided yet, in times of what a decision takes: the
/// wait for other nodes and one look.
const END_PATIENCE: u64 = 10;

type Answered = Result<Result<Ack, Arc<LedgerError>>, futures_channel::oneshot::Canceled>;

pub(super) struct ChainRun<'a> {
    request: WatchRequest,
    filters: Vec<Arc<Filter>>,
    owner: &'a OwnerHandle,
    timer: &'a dyn Timer,
    watcher: &'a dyn WatchWatcher,
    nodes: Nodes<'a>,
    council: Council,
    router: Router,
    setup: FillSetup,
    acks: FuturesUnordered<BoxFuture<'a, Answered>>,
    recent: Rhythm,
    old: Rhythm,
    /// What the fill of recent blocks reads just now: some of it may become final meanwhile.
    recent_reads: Option<BlockRange>,
    standing: Standing,
    looks: Looks,
    look_ms: u64,
    fills: u64,
    /// Whether a fill had a node and a head to go by when it was last looked.
    can_fill: bool,
    /// Something was committed since it was last asked whether the end is reached.
    has_news: bool,
    start: Option<u64>,
    /// What is wanted was noted as owed, as far as it is missing.
    is_demanded: bool,
    /// What nodes call safe, as the owner was told.
    safe: Option<u64>,
    /// Since when only logs that wait for a decision keep it from its end.
    ending_since_ms: Option<u64>,
    view: ChainView,
    shown: Option<ChainView>,
    changes: Option<mpsc::Receiver<Change>>,
}

impl<'a> ChainRun<'a> {
    pub(super) fn new(
        mut request: WatchRequest,
        owner: &'a OwnerHandle,
        prover: Arc<dyn Prover>,
        timer: &'a dyn Timer,
        watcher: &'a dyn WatchWatcher,
    ) -> Self {
        let common = Common {
            profile: request.profile.clone(),
            verify: request.verify,
            poll_interval_ms: request.poll_interval_ms,
            seed: request.seed,
            reporter: request.reporter.clone(),
            prover: prover.clone(),
        };
        let setup = FillSetup {
            profile: request.profile.clone(),
            verify: request.verify,
            concurrency: request.concurrency,
            reporter: request.reporter.clone(),
            prover,
        };
        let look_ms = request.profile.block_time_ms.clamp(1, LOOK_MS_MAX);
        let view = ChainView {
            chain: request.profile.chain,
            head: None,
            finalized: request.finalized,
            events: 0,
            open: Vec::new(),
            gap_blocks: 0,
            second_look: LookedAgain::default(),
            halted: None,
            standing: None,
            nodes: Vec::new(),
        };
        Self {
            filters: request.filters.iter().cloned().map(Arc::new).collect(),
            nodes: Nodes::new(request.nodes.clone(), common, timer),
            council: Council::new(
                &request.profile,
                request.nodes.len(),
                request.window.clone(),
                request.finalized,
            ),
            router: Router::new(request.profile.clone()),
            acks: FuturesUnordered::new(),
            recent: Rhythm::new(look_ms),
            old: Rhythm::new(look_ms),
            recent_reads: None,
            standing: Standing::default(),
            looks: Looks::new(request.second_look, look_ms),
            look_ms,
            fills: 0,
            can_fill: false,
            has_news: true,
            start: request.start_block,
            is_demanded: false,
            safe: None,
            ending_since_ms: None,
            shown: None,
            changes: request.changes.take(),
            setup,
            view,
            owner,
            timer,
            watcher,
            request,
        }
    }

    /// Runs until `stop`, or until the last block wanted is covered; returns whether it was stopped.
    pub(super) async fn run(
        &mut self,
        mut stop: Pin<&mut (impl FusedFuture<Output = ()> + Send)>,
    ) -> Result<bool, ReplayError> {
        let mut recent: Fuse<Fill<'a>> = Fuse::terminated();
        let mut old: Fuse<Fill<'a>> = Fuse::terminated();
        let mut look: Fuse<Look<'a>> = Fuse::terminated();
        loop {
            let wake_ms = self.step();
            let now_ms = self.timer.now_ms();
            self.look_at_finality(now_ms);
            self.show();
            self.look_when_possible(now_ms);
            self.demand_at_first();
            if self.may_be_at_the_end() && self.is_at_the_end().await? {
                return Ok(false);
            }
            if recent.is_terminated() && self.recent.at_ms <= now_ms {
                self.watcher.on_held(&self.held());
                recent = self.recent_fill(now_ms).fuse();
            }
            if old.is_terminated() && self.old.at_ms <= now_ms {
                old = self.old_fill().fuse();
            }
            let look_ms = self.looks.due_ms();
            if look.is_terminated() && look_ms.is_some_and(|at_ms| at_ms <= now_ms) {
                look = self.look().fuse();
            }
            self.note_urgent();
            let idle = [
                recent.is_terminated().then_some(self.recent.at_ms),
                old.is_terminated().then_some(self.old.at_ms),
                look_ms.filter(|_| look.is_terminated()),
                self.standing.due_ms(),
            ];
            let wake_ms = idle.into_iter().flatten().chain(wake_ms).min();
            let mut wake = match wake_ms {
                Some(at_ms) => self.timer.sleep_until(at_ms).fuse(),
                None => Fuse::terminated(),
            };
            select_biased! {
                () = stop => return Ok(true),
                ack = self.acks.select_next_some() => self.on_ack(ack)?,
                arrival = self.nodes.next().fuse() => self.on_arrival(arrival),
                change = next_change(&mut self.changes).fuse() => {
                    self.on_change(change);
                    // It may be asking a node that is gone now; what it has read is handed over.
                    look = Fuse::terminated();
                }
                filled = recent => {
                    let filled = filled?;
                    self.recent_reads = None;
                    self.has_news = true;
                    self.recent.after(&filled, None, self.timer.now_ms());
                    self.view.events += filled.new_events;
                    self.demand_left(&filled);
                    self.view.open = filled.open;
                }
                filled = old => {
                    let filled = filled?;
                    let end = self.old_range().map(|range| range.last());
                    self.old.after(&filled, end, self.timer.now_ms());
                    self.view.events += filled.new_events;
                    self.demand_left(&filled);
                    let read = filled.window.map_or(0, |window| window.last());
                    self.view.gap_blocks = match (filled.window, self.old_range()) {
                        (Some(_), Some(range)) => range.last().saturating_sub(read),
                        _ => 0,
                    };
                    self.has_news |= filled.window.is_none();
                }
                looked = look => self.on_look(&looked?),
                () = wake => {}
            }
        }
    }

    /// Steps every node until none has anything to do; returns when the next one has.
    fn step(&mut self) -> Option<u64> {
        let now_ms = self.timer.now_ms();
        let decisions = self.council.on_time(now_ms);
        self.decide(decisions, now_ms);
        let mut wake_ms = self.nodes.greet_due(now_ms);
        loop {
            let mut decided = false;
            for index in 0..self.nodes.all.len() {
                let (due_ms, has_decided) = self.step_node(index, now_ms);
                wake_ms = wake_ms.into_iter().chain(due_ms).min();
                decided |= has_decided;
            }
            // A ruling on one node may release another that was stepped before it.
            if !decided {
                return wake_ms;
            }
        }
    }

    fn step_node(&mut self, index: usize, now_ms: u64) -> (Option<u64>, bool) {
        let mut has_decided = false;
        loop {
            let Some(follow) = &mut self.nodes.all[index].follow else {
                return (self.nodes.all[index].greet_at_ms, has_decided);
            };
            if self.owner.wants_safe() {
                follow.ask_safe();
            }
            match follow.next(now_ms) {
                FollowAction::Ask(ticket, ask) => self.nodes.ask(index, ticket, ask),
                FollowAction::Branch(branch) => {
                    let decisions = self.council.on_branch(&branch, now_ms);
                    self.start = self.start.or_else(|| self.council.head().map(|b| b.number));
                    self.decide(decisions, now_ms);
                    self.look_at_safe();
                    has_decided = true;
                }
                FollowAction::Submit(report) => {
                    self.watcher.on_report(&report);
                    let ack = self.owner.submit(report);
                    // A head is shown, and handed to plugins, when it is there.
                    self.owner.flush();
                    self.acks.push(ack.boxed());
                }
                FollowAction::View(view) => {
                    let elsewhere = follow.wrong_chain().cloned();
                    let decisions = match (&view.state, view.head) {
                        (NodeState::Following, Some(head)) => {
                            let (node, head) = (&view.node, head.block);
                            self.council.on_head(node, head, view.finalized, now_ms);
                            Vec::new()
                        }
                        (NodeState::Following, None) => Vec::new(),
                        _ => self.council.leave(&view.node, now_ms),
                    };
                    self.nodes.all[index].view = view;
                    if let Some(fault) = elsewhere {
                        let new = self.nodes.on_wrong_chain(index, fault, now_ms);
                        self.tell_elsewhere(new);
                    }
                    self.router.on_view(&self.nodes.all[index], now_ms);
                    self.look_at_safe();
                    has_decided |= !decisions.is_empty();
                    self.decide(decisions, now_ms);
                }
                FollowAction::WaitUntil(at_ms) => return (Some(at_ms), has_decided),
                FollowAction::WaitForAnswer => return (None, has_decided),
            }
        }
    }

    fn decide(&mut self, decisions: Vec<Decision>, now_ms: u64) {
        for decision in decisions {
            match decision {
                Decision::Rule { node, ruling } => {
                    if matches!(ruling, Ruling::Hold) {
                        tracing::info!(%node, "stands on another branch than most");
                    }
                    if let Some(follow) = self.nodes.follow_of(&node) {
                        follow.on_ruling(ruling, now_ms);
                    }
                }
                Decision::Release { node, from } => {
                    if let Some(follow) = self.nodes.follow_of(&node) {
                        follow.release(from, now_ms);
                    }
                }
                Decision::Name(conflict) => {
                    let Conflict { at, found, nodes, .. } = &conflict;
                    let node = named(nodes);
                    tracing::warn!(%node, %at, %found, "a node has another block where one is final");
                    self.owner.name_conflict(self.request.profile.chain, conflict);
                }
                Decision::Halt(conflict) => self.halt(&conflict),
                Decision::GoOn => {
                    tracing::warn!(
                        "most nodes stand on the finalized chain again, promotion goes on"
                    );
                    self.view.halted = None;
                    self.owner.go_on(self.request.profile.chain);
                    // What was held meanwhile is read now.
                    self.recent.at_ms = now_ms;
                    self.old.at_ms = now_ms;
                }
            }
        }
    }

    /// Nothing becomes final until most nodes are back, and both branches are kept for whoever looks
    /// at it. What stands on the chain is recorded meanwhile.
    fn halt(&mut self, conflict: &Conflict) {
        let Conflict { at, nodes, .. } = conflict;
        let why = halt_in_words(conflict, self.nodes.all.len());
        tracing::error!("nothing becomes final: {why}");
        self.view.halted = Some(why);
        let blocks = nodes.first().map(|node| self.council.branch_of(node)).unwrap_or_default();
        let row = |block: &BlockNumHash| BlockRow {
            number: block.number,
            hash: block.hash,
            parent: None,
            timestamp: None,
            canonical: false,
        };
        let branch = blocks.iter().filter(|block| block.number >= at.number).map(row).collect();
        self.owner.halt(self.request.profile.chain, branch);
    }

    /// What so many nodes call safe as must agree on what is final, plugins may see that wait for it. A block
    /// that has left is not safe any more.
    fn look_at_safe(&mut self) {
        let runs = self.nodes.all.iter().filter(|run| run.view.state == NodeState::Following);
        let runs = runs.filter(|run| !self.council.is_held(&run.view.node));
        let claims = runs.filter_map(|run| run.view.safe);
        let claims = claims.filter(|safe| !self.council.has_left(*safe));
        let mut claims: Vec<u64> = claims.map(|safe| safe.number).collect();
        claims.sort_unstable_by(|a, b| b.cmp(a));
        let safe = claims.get(self.request.final_nodes.saturating_sub(1)).copied();
        if safe != self.safe {
            self.safe = safe;
            self.owner.note_safe(self.request.profile.chain, safe.unwrap_or(0));
        }
    }

    /// A halt says why by itself.
    fn look_at_finality(&mut self, now_ms: u64) {
        let (council, is_halted) = (&self.council, self.view.halted.is_some());
        let finalized = if is_halted { Some(u64::MAX) } else { self.view.finalized };
        let (runs, needed) = (&self.nodes.all, self.request.final_nodes);
        let is_held = |node: &NodeId| council.is_held(node);
        self.view.standing = self.standing.look(runs, needed, finalized, is_held, now_ms);
    }

    fn on_arrival(&mut self, arrival: Arrival) {
        let council = &self.council;
        let window = || council.window();
        let now_ms = self.timer.now_ms();
        let elsewhere = self.nodes.take(arrival, &self.filters, window, now_ms);
        self.tell_elsewhere(elsewhere);
    }

    /// Has it noted where the chain stands that a node is on another one.
    fn tell_elsewhere(&self, fault: Option<Fault>) {
        let Some(fault) = fault else { return };
        let head = self.council.head().map(|head| head.number).or(self.view.finalized);
        let at = BlockRange::one(head.unwrap_or_default());
        self.owner.elsewhere(self.request.profile.chain, at, fault);
    }

    /// Goes on with other nodes and filters. What is new of the filters is missing everywhere, so the
    /// fills find it; what is under way ends as it was begun.
    fn on_change(&mut self, change: Change) {
        let Change { nodes, final_nodes, filters, second_look } = change;
        let now_ms = self.timer.now_ms();
        self.filters = filters.iter().cloned().map(Arc::new).collect();
        self.request.filters = filters;
        self.request.final_nodes = final_nodes;
        for follow in self.nodes.all.iter_mut().filter_map(|run| run.follow.as_mut()) {
            follow.set_filters(self.filters.clone());
        }
        for gone in self.nodes.replace(nodes) {
            self.council.remove(&gone);
        }
        let decisions = self.council.set_nodes(self.nodes.all.len(), now_ms);
        self.decide(decisions, now_ms);
        self.recent.at_ms = now_ms;
        self.old.at_ms = now_ms;
        self.looks.restart(second_look, now_ms);
        self.is_demanded = false;
        self.has_news = true;
    }

    fn on_ack(&mut self, ack: Answered) -> Result<(), ReplayError> {
        let ack = ack.map_err(|_| ReplayError::OwnerGone)?.map_err(ReplayError::Ledger)?;
        self.has_news = true;
        self.view.events += ack.new_events;
        // The ledger's word: what nodes call final may be on another branch than what is held here.
        if let Some(finalized) = ack.finalized.filter(|_| self.view.halted.is_none()) {
            self.view.finalized = self.view.finalized.max(Some(finalized));
            self.council.finalize(finalized, ack.final_block);
        }
        if !ack.open.is_empty() {
            // Seen again once the others had their time.
            let at_ms = self.timer.now_ms() + self.request.agree_wait_ms;
            self.recent.at_ms = self.recent.at_ms.min(at_ms);
        }
        Ok(())
    }

    fn settled(&self, now_ms: u64) -> Option<u64> {
        self.council.settled(now_ms, self.request.agree_wait_ms)
    }

    /// Where recent blocks begin.
    fn recent_from(&self) -> Option<u64> {
        let head = self.council.head()?.number;
        let below = head.saturating_sub(RECENT_BLOCKS);
        Some(self.view.finalized.map_or(below, |finalized| (finalized + 1).max(below)))
    }

    fn old_range(&self) -> Option<BlockRange> {
        BlockRange::new(self.start?, self.recent_from()?.checked_sub(1)?)
    }

    fn recent_fill(&mut self, now_ms: u64) -> Fill<'a> {
        let range = self.recent_from().zip(self.start).zip(self.settled(now_ms));
        let range = range.and_then(|((from, start), to)| BlockRange::new(from.max(start), to));
        self.recent_reads = range;
        self.fill(range, true)
    }

    fn old_fill(&mut self) -> Fill<'a> {
        let range = self.old_range().and_then(|range| match self.recent_reads {
            Some(read) if read.first() <= range.last() => {
                BlockRange::new(range.first(), read.first().checked_sub(1)?)
            }
            _ => Some(range),
        });
        let range = range.and_then(|range| match self.old.past {
            Some(past) => BlockRange::new(range.first().max(past.saturating_add(1)), range.last()),
            None => Some(range),
        });
        self.fill(range, false)
    }

    fn fill(&mut self, range: Option<BlockRange>, is_recent: bool) -> Fill<'a> {
        let nodes = self.nodes_for_fill();
        let Some(range) = range.filter(|_| !nodes.is_empty()) else {
            return async { Ok(Filled::default()) }.boxed();
        };
        let (setup, filters) = (self.setup.clone(), self.request.filters.clone());
        let levels: Vec<Verify> = levels(self.request.verify, &self.request.profile, is_recent);
        let (owner, timer) = (self.owner, self.timer);
        let can_decide = is_recent && self.request.profile.check_receipts_root.is_made();
        async move {
            let (own, all) = (setup.clone(), filters.clone());
            let mut filled = fill(own, all, range, nodes.clone(), levels, owner, timer).await?;
            if can_decide {
                let through = range.last();
                let more = decide_waiting(setup, filters, through, nodes, owner, timer).await?;
                filled.new_events += more.new_events;
            }
            Ok(filled)
        }
        .boxed()
    }

    /// Looks again at the next window of what is final, through whoever is there. Only the ledger's
    /// word counts for what is final, and none where that is contradicted.
    fn look(&mut self) -> Look<'a> {
        let nodes = self.nodes_for_fill();
        let had_all_nodes = nodes.len() == self.nodes.all.len();
        let has_others = self.nodes.all.len() > 1 && !nodes.is_empty();
        let may_look = has_others && self.view.halted.is_none();
        let through = self.view.finalized.filter(|_| may_look);
        let (setup, filters) = (self.setup.clone(), &self.request.filters);
        self.looks.next(setup, filters, through, (nodes, had_all_nodes), self.owner, self.timer)
    }

    fn on_look(&mut self, looked: &Looked) {
        let (filters, now_ms) = (self.request.filters.len(), self.timer.now_ms());
        self.looks.take(looked, &mut self.view.second_look, filters, now_ms);
        self.view.events += looked.new_events();
        self.has_news |= looked.range().is_some();
    }

    /// The second look waits while followers wait for answers.
    fn note_urgent(&self) {
        if let Some(pace) = &self.looks.pace {
            pace.note_urgent(self.nodes.under_way());
        }
    }

    /// The nodes that answer and stand on the chain, best first; good ones take turns.
    fn nodes_for_fill(&mut self) -> Vec<ReplayNode> {
        let order = self.router.order(&self.nodes.all, self.fills);
        self.fills += 1;
        let all = &self.nodes.all;
        let runs = order.iter().filter_map(|node| all.iter().find(|run| run.view.node == *node));
        runs.filter(|run| !self.council.is_held(run.node.id()))
            .filter_map(|run| Some(ReplayNode { node: run.node.clone(), status: run.status()? }))
            .collect()
    }

    /// Returns everything that is wanted and there: from the start to the head, or to where it ends. Where
    /// nodes are held because they left the chain, it may have come as far as they have.
    fn wanted(&self) -> Option<BlockRange> {
        let is_halted = self.view.halted.is_some();
        let held = self.nodes.all.iter().filter(|_| is_halted).filter_map(|run| run.view.head);
        let heads = held.map(|head| head.block.number);
        let highest = heads.chain(self.council.head().map(|head| head.number)).max()?;
        BlockRange::new(self.start?, highest.min(self.request.until_block.unwrap_or(u64::MAX)))
    }

    /// Notes in the ledger that what is missing of these blocks is owed, whoever goes on.
    fn demand(&self, range: BlockRange) {
        let WatchRequest { profile, filters, verify, .. } = &self.request;
        let now_s = self.timer.unix_s();
        self.owner.demand(profile.chain, filters.clone(), range, *verify, now_s);
    }

    /// What is wanted is owed from the moment it is known how much that is.
    fn demand_at_first(&mut self) {
        if !self.is_demanded
            && let Some(wanted) = self.wanted()
        {
            self.is_demanded = true;
            self.demand(wanted);
        }
    }

    /// What a fill left open is owed, too: it may be newer than that.
    fn demand_left(&self, filled: &Filled) {
        if let Some(window) = filled.window.filter(|_| !filled.open.is_empty()) {
            self.demand(window);
        }
    }

    /// Looks for gaps at once when the first node says where the head is, not a block time later.
    fn look_when_possible(&mut self, now_ms: u64) {
        let has_nodes = self.nodes.all.iter().any(|run| run.status().is_some());
        let can_fill = has_nodes && self.council.head().is_some();
        if can_fill && !self.can_fill {
            self.old.at_ms = now_ms;
            self.recent.at_ms = now_ms + self.request.agree_wait_ms;
        }
        self.can_fill = can_fill;
    }

    /// Whether it is worth asking: only what was committed can have brought the end.
    fn may_be_at_the_end(&mut self) -> bool {
        let is_up_there = (self.request.until_block.zip(self.council.head()))
            .is_some_and(|(until, head)| head.number >= until);
        is_up_there && self.acks.is_empty() && std::mem::take(&mut self.has_news)
    }

    async fn is_at_the_end(&mut self) -> Result<bool, ReplayError> {
        let (Some(until), Some(head), Some(start)) =
            (self.request.until_block, self.council.head(), self.start)
        else {
            return Ok(false);
        };
        let Some(range) = BlockRange::new(start, until) else { return Ok(head.number >= until) };
        if head.number < until {
            return Ok(false);
        }
        let missing = first_missing(&self.setup, &self.request.filters, range, self.owner).await?;
        if missing.is_some() {
            return Ok(false);
        }
        // Where some nodes agreed a block is covered, and what another one gave of it still waits
        // for receipts: with them it may be an event that these nodes have lost.
        let is_decided = self.undecided(range).await?.is_empty();
        let now_ms = self.timer.now_ms();
        let since_ms = *self.ending_since_ms.get_or_insert(now_ms);
        let patience_ms = END_PATIENCE.saturating_mul(self.request.agree_wait_ms + self.look_ms);
        Ok(is_decided || now_ms >= since_ms.saturating_add(patience_ms))
    }

    /// Returns the blocks with logs that receipts could decide on and have not.
    async fn undecided(&self, range: BlockRange) -> Result<Vec<u64>, ReplayError> {
        if !self.request.profile.check_receipts_root.is_made() {
            return Ok(Vec::new());
        }
        let reply = self.owner.waiting(self.request.profile.chain);
        let waiting = reply.await.map_err(|_| ReplayError::OwnerGone)?;
        Ok(waiting.iter().map(|block| block.number).filter(|n| range.contains(*n)).collect())
    }

    /// How much is held: over all nodes, where each holds some.
    fn held(&self) -> Held {
        let mut held = self.council.held();
        held.extend(self.nodes.held());
        held.push(("acks to come", self.acks.len()));
        held.push(("open ranges", self.view.open.len()));
        held
    }

    fn show(&mut self) {
        let head = self.council.head();
        self.view.head = head;
        let line = |run: &NodeRun| NodeLine {
            node: run.view.node.clone(),
            client: run.view.client.clone(),
            state: run.view.state.clone(),
            head: run.view.head,
            left_at: self.council.left_at(run.node.id()),
            lag_blocks: head
                .zip(run.view.head)
                .map(|(best, own)| best.number.saturating_sub(own.block.number)),
            finalized: run.view.finalized,
            blocks: run.view.blocks_reported,
            logs: run.view.logs_reported,
        };
        self.view.nodes = self.nodes.all.iter().map(line).collect();
        if self.shown.as_ref() != Some(&self.view) {
            self.watcher.on_view(&self.view);
            self.shown = Some(self.view.clone());
        }
    }

    /// Writes what was handed over, and tells what is open.
    pub(super) async fn finish(mut self, stopped: bool) -> Result<WatchOutcome, ReplayError> {
        self.owner.flush();
        while let Some(ack) = self.acks.next().await {
            self.on_ack(ack)?;
        }
        let head = self.council.head();
        let mut open = Vec::new();
        if let Some(range) = self.wanted() {
            self.demand(range);
            for filter in &self.request.filters {
                let chain = self.request.profile.chain;
                let reply = self.owner.missing(chain, filter.clone(), range, self.request.verify);
                for (range, _) in reply.await.map_err(|_| ReplayError::OwnerGone)? {
                    open.push((range, "not settled yet".to_owned()));
                }
            }
            for number in self.undecided(range).await? {
                let text = "logs that only some nodes gave wait for receipts";
                open.push((BlockRange::one(number), text.to_owned()));
            }
        }
        open.sort();
        open.dedup();
        self.view.second_look.lacks_other_node |= self.nodes.all.len() < 2;
        Ok(WatchOutcome {
            head,
            open,
            halted: self.view.halted,
            standing: self.view.standing,
            second_look: self.view.second_look,
            stopped,
        })
    }
}

/// Names of nodes in a row.
fn named(nodes: &[NodeId]) -> String {
    nodes.iter().map(|node| &*node.0).collect::<Vec<_>>().join(", ")
}

fn halt_in_words(conflict: &Conflict, all: usize) -> String {
    let Conflict { at, found, nodes, kept } = conflict;
    let (left, stay) =
        (named(nodes), if kept.is_empty() { "none".to_owned() } else { named(kept) });
    format!(
        "block {at} is final here, and {} of {all} nodes have another one there: {found} by {left}; \
         on the chain: {stay}",
        nodes.len()
    )
}

/// Waits for the next change; for ever where none can come.
async fn next_change(changes: &mut Option<mpsc::Receiver<Change>>) -> Change {
    if let Some(receiver) = changes {
        if let Some(change) = receiver.next().await {
            return change;
        }
        *changes = None;
    }
    std::future::pending().await
}
