//! One seed's world: the chain, the nodes and the calendar, over one virtual clock. Everything that
//! happens does so at a moment of that clock and in an order that the seed decides.

use crate::{
    Clock, Happening, Rule, SimNode, Sometimes,
    chain::{Traffic, Tree},
    faults::{Question, announcements},
    node::{NodeState, Side},
    rng::{hash, key_of},
    script::Entry,
};
use alloy_primitives::B256;
use event::{ChainId, Hint, NodeId};
use pipeline::Timer;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

/// How a world behaves while nothing goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldSettings {
    /// Everything random depends on it.
    pub seed: u64,
    /// Which chain.
    pub chain: ChainId,
    /// What happens in its blocks.
    pub traffic: Traffic,
    /// Blocks that are there, above the first one, when the clock starts.
    pub blocks_at_start: u64,
    /// Time between blocks, in milliseconds.
    pub block_time_ms: u64,
    /// Longest time until a node has a new block, in milliseconds.
    pub propagation_ms_max: u64,
    /// Shortest and longest time that an answer takes, in milliseconds.
    pub latency_ms: (u64, u64),
    /// Blocks that finality is behind the head, at least.
    pub finality_depth: u64,
    /// Finality moves by so many blocks at once.
    pub epoch_blocks: u64,
}

impl WorldSettings {
    /// Returns the settings of a chain like Ethereum, with short epochs.
    pub fn of_seed(seed: u64) -> Self {
        Self {
            seed,
            chain: ChainId(1337),
            traffic: Traffic::default(),
            blocks_at_start: 64,
            block_time_ms: 12_000,
            propagation_ms_max: 600,
            latency_ms: (20, 180),
            finality_depth: 16,
            epoch_blocks: 8,
        }
    }
}

/// A world. A clone is the same world.
#[derive(Clone, Debug)]
pub struct World {
    state: Arc<Mutex<State>>,
    clock: Clock,
    sometimes: Sometimes,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) settings: WorldSettings,
    pub(crate) tree: Tree,
    /// Other chains that a node may turn out to be on.
    pub(crate) others: BTreeMap<ChainId, Tree>,
    pub(crate) nodes: BTreeMap<NodeId, NodeState>,
    calendar: BTreeMap<(u64, u64), Entry>,
    entries: u64,
    stalled_until_ms: u64,
    finality_stalled_until_ms: u64,
    left_tip: Option<B256>,
    pub(crate) trace: u64,
}

impl World {
    /// Returns a world at time 0, with a chain and without nodes.
    pub fn new(settings: WorldSettings) -> Self {
        let mut tree = Tree::new(settings.chain, settings.seed, settings.traffic.clone());
        tree.mine(settings.blocks_at_start);
        let block_time_ms = settings.block_time_ms;
        let mut state = State {
            settings,
            tree,
            others: BTreeMap::new(),
            nodes: BTreeMap::new(),
            calendar: BTreeMap::new(),
            entries: 0,
            stalled_until_ms: 0,
            finality_stalled_until_ms: 0,
            left_tip: None,
            trace: 0,
        };
        state.finalize(0);
        state.note(block_time_ms, Entry::Mine);
        let state = Arc::new(Mutex::new(state));
        Self { state, clock: Clock::default(), sometimes: Sometimes::default() }
    }

    /// Adds a node that is connected and sees the chain's head, with its rules in order.
    pub fn add_node(&self, name: &str, rules: Vec<Rule>) -> Arc<SimNode> {
        self.add_node_of(name, &format!("sim/{name}/v1"), rules)
    }

    /// Adds a node that calls itself a certain client.
    pub fn add_node_of(&self, name: &str, client: &str, rules: Vec<Rule>) -> Arc<SimNode> {
        let id = NodeId::new(name);
        let mut state = self.lock();
        let mut node = NodeState::new(state.tree.head().hash);
        node.hints.push_back((self.clock.now_ms(), Hint::Connected));
        node.set_rules(rules);
        state.nodes.insert(id.clone(), node);
        Arc::new(SimNode::new(id, client.to_owned(), self.clone()))
    }

    /// Replaces the rules of a node.
    pub fn set_rules(&self, node: &NodeId, rules: Vec<Rule>) {
        if let Some(node) = self.lock().nodes.get_mut(node) {
            node.set_rules(rules);
        }
    }

    /// Has something happen at this time, in milliseconds.
    pub fn schedule(&self, at_ms: u64, happening: Happening) {
        self.lock().note(at_ms, Entry::Happening(happening));
    }

    /// Has something happen now.
    pub fn happen(&self, happening: Happening) {
        let now_ms = self.clock.now_ms();
        let wakers = {
            let mut state = self.lock();
            state.apply(now_ms, Entry::Happening(happening), &self.sometimes);
            state.take_wakers()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Looks at the chain.
    pub fn tree<T>(&self, look: impl FnOnce(&Tree) -> T) -> T {
        look(&self.lock().tree)
    }

    /// Returns the clock.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns the counters of this world.
    pub const fn sometimes(&self) -> &Sometimes {
        &self.sometimes
    }

    /// Returns a digest of everything that was asked and answered, and when: equal for two runs of
    /// one seed.
    pub fn trace(&self) -> u64 {
        self.lock().trace
    }

    /// Returns how often the node was asked the question that it was asked most often, heads apart:
    /// what is asked again and again without end shows here (I9).
    pub fn most_repeated(&self, node: &NodeId) -> u64 {
        let state = self.lock();
        let asks = state.nodes.get(node).map(|node| &node.asks);
        asks.and_then(|asks| asks.values().max().copied()).unwrap_or(0)
    }

    /// Forgets the blocks below a height, and what was asked so far: for runs so long that the world
    /// itself would be most of the memory.
    pub fn forget_below(&self, number: u64) {
        let mut state = self.lock();
        state.tree.forget_below(number);
        state.nodes.values_mut().for_each(|node| node.asks.clear());
    }

    /// Moves on to the next moment at which something happens or somebody is woken, and lets it
    /// happen. Returns that moment; `None`, with nothing moved, when it lies behind `limit_ms`.
    pub fn advance(&self, limit_ms: u64) -> Option<u64> {
        let noted = self.lock().calendar.first_key_value().map(|((at_ms, _), _)| *at_ms);
        let next = [noted, self.clock.next_due_ms()].into_iter().flatten().min()?;
        if next > limit_ms {
            return None;
        }
        let wakers = {
            let mut state = self.lock();
            while let Some(entry) = state.calendar.first_entry().filter(|e| e.key().0 <= next) {
                let entry = entry.remove();
                state.apply(next, entry, &self.sometimes);
            }
            state.take_wakers()
        };
        self.clock.advance_to(next);
        wakers.into_iter().for_each(Waker::wake);
        Some(next)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, at_ms: u64, entry: Entry) {
        self.entries += 1;
        self.calendar.insert((at_ms, self.entries), entry);
    }

    fn take_wakers(&mut self) -> Vec<Waker> {
        self.nodes.values_mut().flat_map(|node| node.wakers.drain(..)).collect()
    }

    fn apply(&mut self, now_ms: u64, entry: Entry, sometimes: &Sometimes) {
        self.tree.set_now(now_ms);
        self.others.values_mut().for_each(|tree| tree.set_now(now_ms));
        match entry {
            Entry::Mine => {
                let next = (now_ms + self.settings.block_time_ms).max(self.stalled_until_ms);
                self.note(next, Entry::Mine);
                if now_ms >= self.stalled_until_ms {
                    self.grow(now_ms, 1);
                }
            }
            Entry::Arrival(node, tip) => self.arrive(now_ms, &node, tip),
            Entry::Rejoin(nodes) => self.rejoin(now_ms, &nodes),
            Entry::Happening(happening) => self.happen(now_ms, happening, sometimes),
        }
    }

    fn happen(&mut self, now_ms: u64, happening: Happening, sometimes: &Sometimes) {
        match happening {
            Happening::Burst(count) => self.grow(now_ms, count),
            Happening::Reorg { depth, extra } => {
                let head = self.tree.head();
                let depth = depth.min(head.number);
                sometimes.happened("reorg");
                if head.number - depth < self.tree.finalized() {
                    sometimes.happened("reorg across finalized");
                }
                self.left_tip = Some(head.hash);
                self.tree.fork(depth, extra);
                self.spread(now_ms);
            }
            Happening::Return { extra } => {
                let Some(tip) = self.left_tip.filter(|tip| !self.tree.path(*tip).is_empty()) else {
                    return;
                };
                sometimes.happened("a left branch came back");
                let head = self.tree.head();
                let height = self.tree.block(&tip).map_or(0, |block| block.number);
                let tip = self.tree.branch(tip, (head.number + extra).saturating_sub(height), None);
                self.tree.switch(tip);
                self.left_tip = Some(head.hash);
                self.spread(now_ms);
            }
            Happening::Part { nodes, depth, is_secret, finalizes, for_ms } => {
                sometimes.happened("nodes on another branch");
                self.part(now_ms, &nodes, depth, is_secret, finalizes);
                self.note(now_ms + for_ms, Entry::Rejoin(nodes));
            }
            Happening::Stall { for_ms } => {
                sometimes.happened("chain stalled");
                self.stalled_until_ms = self.stalled_until_ms.max(now_ms + for_ms);
            }
            Happening::FinalityStall { for_ms } => {
                sometimes.happened("finality stalled");
                self.finality_stalled_until_ms =
                    self.finality_stalled_until_ms.max(now_ms + for_ms);
            }
            Happening::Heal => {
                let nodes: Vec<NodeId> = self.nodes.keys().cloned().collect();
                self.nodes.values_mut().for_each(|node| node.set_rules(Vec::new()));
                self.rejoin(now_ms, &nodes);
            }
        }
    }

    fn grow(&mut self, now_ms: u64, count: u64) {
        self.tree.mine(count);
        for tree in self.others.values_mut() {
            tree.mine(count);
        }
        self.finalize(now_ms);
        // Who is on a branch of its own goes on there, as those who share it do together.
        let mut grown: BTreeMap<B256, B256> = BTreeMap::new();
        for (id, node) in &mut self.nodes {
            let Some(side) = &mut node.side else { continue };
            let owner = side.is_secret.then_some(id);
            let tip =
                *grown.entry(side.tip).or_insert_with(|| self.tree.branch(side.tip, count, owner));
            side.tip = tip;
        }
        self.spread(now_ms);
    }

    fn finalize(&mut self, now_ms: u64) {
        if now_ms < self.finality_stalled_until_ms {
            return;
        }
        let behind = self.tree.head().number.saturating_sub(self.settings.finality_depth);
        let epoch = self.settings.epoch_blocks.max(1);
        let target = behind - behind % epoch;
        if target > self.tree.finalized() {
            self.tree.finalize(target);
        }
    }

    /// Has every node hear of its newest block, each after a while of its own.
    fn spread(&mut self, now_ms: u64) {
        let head = self.tree.head().hash;
        let most = self.settings.propagation_ms_max.saturating_add(1);
        let arrivals: Vec<(u64, NodeId, B256)> = self
            .nodes
            .iter()
            .map(|(id, node)| {
                let tip = node.side.as_ref().map_or(head, |side| side.tip);
                let key = [key_of(id.0.as_bytes()), key_of(tip.as_slice())];
                (now_ms + hash(self.settings.seed, &key) % most, id.clone(), tip)
            })
            .collect();
        for (at_ms, id, tip) in arrivals {
            self.note(at_ms, Entry::Arrival(id, tip));
        }
    }

    fn part(
        &mut self,
        now_ms: u64,
        nodes: &[NodeId],
        depth: u64,
        is_secret: bool,
        finalizes: bool,
    ) {
        let head = self.tree.head();
        let parent = self.tree.at(head.number - depth.min(head.number)).map(|block| block.hash);
        let parent = parent.unwrap_or(head.hash);
        let shared = (!is_secret).then(|| self.tree.branch(parent, depth, None));
        for id in nodes {
            let tip = shared.unwrap_or_else(|| self.tree.branch(parent, depth, Some(id)));
            if let Some(node) = self.nodes.get_mut(id) {
                node.side = Some(Side { tip, is_secret, finalizes });
            }
        }
        self.spread(now_ms);
    }

    fn rejoin(&mut self, now_ms: u64, nodes: &[NodeId]) {
        for id in nodes {
            if let Some(node) = self.nodes.get_mut(id) {
                node.side = None;
            }
        }
        self.spread(now_ms);
    }

    fn arrive(&mut self, now_ms: u64, id: &NodeId, tip: B256) {
        let seed = self.settings.seed;
        let Some(node) = self.nodes.get_mut(id) else { return };
        let Some(block) = self.tree.block(&tip) else { return };
        // What is below the node's head already is no news, and neither is a branch it has left.
        let mut below = self.tree.block(&node.tip);
        while let Some(lower) = below.filter(|lower| lower.number > block.number) {
            below = self.tree.block(&lower.header.parent_hash);
        }
        if below.is_some_and(|below| below.hash == tip) {
            return;
        }
        let wanted = node.side.as_ref().map_or(self.tree.head().hash, |side| side.tip);
        if !is_ancestor(&self.tree, tip, wanted) {
            return;
        }
        node.tip = tip;
        let question = Question::announcement(key_of(tip.as_slice()), now_ms);
        let active = node.active(id, seed, &question);
        node.announce(announcements(id, block.id(), now_ms, &active));
    }
}

fn is_ancestor(tree: &Tree, ancestor: B256, tip: B256) -> bool {
    let Some(lowest) = tree.block(&ancestor).map(|block| block.number) else { return false };
    let mut at = tree.block(&tip);
    while let Some(block) = at.filter(|block| block.number > lowest) {
        at = tree.block(&block.header.parent_hash);
    }
    at.is_some_and(|block| block.hash == ancestor)
}
