//! A watch over virtual time: the production loop, a ledger in memory, and a lane, which die and
//! are started again.

use crate::{
    backfill::{Raw, followed},
    slow::Slowness,
};
use aggregator::{Admission, Policy};
use dispatcher::{LanePolicy, Ready, subscription_filters};
use event::{
    AnchorPolicy, AnyOf, BlockNumHash, BlockRange, ChainId, ChainProfile, Filter, Node, Plugin,
    Report, Store, Verify, Visibility,
};
use pipeline::{
    ChainSetup, ChainView, News, Owner, OwnerHandle, Timer, WatchOutcome, WatchRequest,
    WatchWatcher, watch,
};
use sim::{
    Agreement, Balances, LaneStepper, MemoryStore, Oracle, SimNode, Stepped, World, run_stepped,
};
use std::{
    cell::RefCell,
    num::NonZeroU32,
    sync::{Arc, Mutex, mpsc},
};

/// What a watch is to do.
pub(crate) struct Plan {
    pub(crate) verify: Verify,
    pub(crate) agreement: Agreement,
    /// First block to have.
    pub(crate) start: u64,
    /// The plugin asks to be called again this often.
    pub(crate) hesitates: u64,
    pub(crate) visibility: Visibility,
    /// Calls a second of the second look; 0 does not look.
    pub(crate) looks_per_second: u32,
    /// Ends at this time, in milliseconds.
    pub(crate) ends_at_ms: u64,
}

impl Plan {
    /// Returns what most watches do: all of the chain, at bloom, until that time in milliseconds.
    pub(crate) const fn until(ends_at_ms: u64) -> Self {
        Self {
            verify: Verify::Bloom,
            agreement: Agreement::HoldsHonest,
            start: 1,
            hesitates: 0,
            visibility: Visibility::Latest,
            looks_per_second: 10,
            ends_at_ms,
        }
    }
}

/// A watch and everything around it.
pub(crate) struct Watch {
    pub(crate) world: World,
    pub(crate) store: MemoryStore,
    pub(crate) oracle: Arc<Mutex<Oracle>>,
    pub(crate) filter: Filter,
    pub(crate) plan: Plan,
    pub(crate) nodes: Vec<Arc<SimNode>>,
    /// Highest block that a plugin has handled, each time it rose, with the head of that moment.
    pub(crate) handled: RefCell<Vec<(u64, u64)>>,
    pub(crate) outcome: Option<WatchOutcome>,
    /// A node of this world misnumbers logs.
    pub(crate) has_wrong_indexes: bool,
    /// Called before the clock moves.
    pub(crate) on_step: Option<OnStep>,
    pub(crate) watcher: Box<dyn WatchWatcher>,
    /// Its plugin's calls take time.
    pub(crate) slowness: Option<Slowness>,
}

/// Looks at a process that runs.
pub(crate) type OnStep = Box<dyn Fn(&OwnerHandle, &LaneStepper)>;

pub(crate) struct Silent;

impl WatchWatcher for Silent {
    fn on_view(&self, _: &ChainView) {}
    fn on_report(&self, _: &Report) {}
}

impl Watch {
    pub(crate) fn new(world: &World, nodes: Vec<Arc<SimNode>>, plan: Plan) -> Self {
        let chain = world.tree(|tree| tree.chain());
        let oracle = Arc::new(Mutex::new(Oracle::new(chain, plan.agreement)));
        let store = MemoryStore::new();
        let (watching, watched) = (oracle.clone(), world.clone());
        store.on_apply(Box::new(move |commits, image| {
            watched.tree(|tree| watching.lock().unwrap().on_apply(commits, image, tree));
        }));
        Self {
            world: world.clone(),
            store,
            oracle,
            filter: followed(2),
            plan,
            nodes,
            handled: RefCell::default(),
            outcome: None,
            has_wrong_indexes: false,
            on_step: None,
            watcher: Box::new(Silent),
            slowness: None,
        }
    }

    pub(crate) fn chain(&self) -> ChainId {
        self.world.tree(|tree| tree.chain())
    }

    fn profile(&self) -> ChainProfile {
        ChainProfile::ethereum(self.chain())
    }

    fn policy(&self) -> Policy {
        let (admission, anchor) = match self.nodes.len() {
            1 => (Admission::OneNode, AnchorPolicy::OneNode),
            _ => (Admission::Agree(2), AnchorPolicy::Agreed(2)),
        };
        Policy { verify: self.plan.verify, anchor, admission }
    }

    /// Lives until the end of the plan; a process that dies is followed by another one.
    pub(crate) fn live(&mut self) {
        while self.world.clock().now_ms() < self.plan.ends_at_ms {
            let (owner, news, lane) = self.start();
            let died = self.one_process(&owner, &news, lane);
            if died {
                self.world.sometimes().happened("process died");
                drop((owner, news));
                self.store.reopen();
            } else {
                owner.close().unwrap();
            }
        }
    }

    fn start(&self) -> (OwnerHandle, mpsc::Receiver<News>, LaneStepper) {
        let setup = ChainSetup { profile: self.profile(), policy: self.policy() };
        let store = Box::new(self.store.clone());
        let owner = Owner::new(store, Arc::new(proof::Proof), Arc::new(Raw), vec![setup]);
        let owner = owner.unwrap().inline();
        let AnyOf::Of(tokens) = &self.filter.addresses else { panic!("tokens are followed") };
        let plugin = Balances::of(tokens, self.plan.visibility)
            .hesitating(self.plan.hesitates)
            .from_block(self.plan.start);
        let wanted = subscription_filters(plugin.descriptor(), self.chain()).unwrap();
        let plugin: Box<dyn Plugin> = match &self.slowness {
            Some(slowness) => slowness.slowed(plugin),
            None => Box::new(plugin),
        };
        let policy = LanePolicy { batch_events: 7, group_events: 20, ..LanePolicy::default() };
        let policy = match &self.slowness {
            Some(slowness) => LanePolicy { page_events: slowness.page_events, ..policy },
            None => policy,
        };
        let store = self.store.clone();
        let filters: Vec<Arc<Filter>> = wanted.iter().cloned().map(Arc::new).collect();
        let lane = LaneStepper::open(store, plugin, self.chain(), wanted, policy).unwrap();
        let lane = lane.reading(owner.lane().reader(Box::new(self.store.clone())));
        let content = self.plan.verify.required();
        let id = lane.lane().id().clone();
        let news = owner.lane().watch(id, filters, self.plan.start, content);
        (owner, news, lane)
    }

    /// Runs one process; returns whether it died.
    fn one_process(
        &mut self,
        owner: &OwnerHandle,
        news: &mpsc::Receiver<News>,
        lane: LaneStepper,
    ) -> bool {
        let state = self.store.clone().load(self.chain()).unwrap();
        let window: Vec<BlockNumHash> = (state.blocks.iter())
            .filter(|block| block.canonical)
            .filter(|block| state.finalized.is_none_or(|finalized| block.number >= finalized))
            .map(|block| BlockNumHash { number: block.number, hash: block.hash })
            .collect();
        let request = WatchRequest {
            profile: self.profile(),
            filters: vec![self.filter.clone()],
            verify: self.plan.verify,
            nodes: self.nodes.iter().map(|node| node.clone() as Arc<dyn Node>).collect(),
            start_block: Some(self.plan.start),
            window,
            finalized: state.finalized,
            final_nodes: self.nodes.len().min(2),
            agree_wait_ms: 6_000,
            poll_interval_ms: 2_000,
            until_block: None,
            concurrency: 2,
            second_look: NonZeroU32::new(self.plan.looks_per_second),
            seed: self.world.trace(),
            changes: None,
            reporter: "sim".into(),
        };
        let clock = self.world.clock().clone();
        let stop = clock.sleep_until(self.plan.ends_at_ms);
        let prover = Arc::new(proof::Proof);
        let watching = watch(request, owner, prover, &clock, stop, &*self.watcher);
        let limit_ms = self.plan.ends_at_ms + 3_600_000;
        let lane = RefCell::new((lane, None, None));
        let step = || {
            let has_done = self.step_lane(news, &mut lane.borrow_mut());
            if let Some(on_step) = &self.on_step {
                on_step(owner, &lane.borrow().0);
            }
            has_done
        };
        let ended = run_stepped(&self.world, limit_ms, watching, step);
        let ended = ended.unwrap_or_else(|stuck| panic!("{stuck}"));
        match ended {
            Ok(outcome) if !self.store.is_down() => {
                while self.step_lane(news, &mut lane.borrow_mut()) {}
                self.outcome = Some(outcome);
                false
            }
            _ => {
                assert!(self.store.is_down(), "the ledger failed without dying: {ended:?}");
                true
            }
        }
    }

    /// Leads the lane as far as coverage goes; returns whether it did anything.
    fn step_lane(
        &self,
        news: &mpsc::Receiver<News>,
        lane: &mut (LaneStepper, Option<Ready>, Option<u64>),
    ) -> bool {
        let (lane, ready, due_ms) = lane;
        let fresh = news.try_iter().last().map(|news| news.ready);
        let now_ms = self.world.clock().now_ms();
        let is_due = due_ms.is_some_and(|due_ms| due_ms <= now_ms);
        if fresh.is_none() && !is_due {
            return false;
        }
        *ready = fresh.or(*ready);
        let Some(ready) = *ready else { return false };
        let before = lane.lane().cursor().next_block;
        let calls = self.slowness.as_ref().map_or(Some(u64::MAX), Slowness::calls);
        let Some(calls) = calls else { return false };
        match lane.step_calls(ready, now_ms, calls) {
            Ok(Stepped::Waits(until_ms)) => *due_ms = Some(until_ms),
            Ok(_) => *due_ms = None,
            // The process is dead; the loop will see it too.
            Err(_) => *due_ms = None,
        }
        let problems = lane.take_violations();
        assert!(problems.is_empty(), "{problems:?}");
        let after = lane.lane().cursor().next_block;
        if after > before {
            let head = self.world.tree(|tree| tree.head().number);
            self.handled.borrow_mut().push((after - 1, head));
        }
        true
    }

    /// Returns what is not covered up to this block.
    pub(crate) fn missing(&self, through: u64) -> Vec<BlockRange> {
        let Some(range) = BlockRange::new(self.plan.start, through) else { return Vec::new() };
        let setup = ChainSetup { profile: self.profile(), policy: self.policy() };
        let store = Box::new(self.store.clone());
        let owner = Owner::new(store, Arc::new(proof::Proof), Arc::new(Raw), vec![setup]).unwrap();
        let missing = owner.missing(self.chain(), &self.filter, range, self.plan.verify);
        missing.into_iter().map(|(range, _)| range).collect()
    }
}
