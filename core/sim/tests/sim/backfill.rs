//! A ledger in memory with its owner and a lane, read into by backfills over virtual time.

use aggregator::{Admission, Policy};
use dispatcher::{LanePolicy, Ready, subscription_filters};
use event::{
    AnchorPolicy, AnyOf, BlockRange, ChainId, ChainProfile, DecodeStats, Decoder, EventSchema,
    Fault, Filter, Finality, LedgerError, LogRef, Logs, Node, Plugin, TypedRows, Verify,
    Visibility,
};
use futures_util::{FutureExt, StreamExt, select_biased, stream::FuturesUnordered};
use pipeline::{ChainSetup, Owner, Timer, greet};
use sim::{
    Agreement, Balances, LaneStepper, MemoryStore, Oracle, SimNode, World,
    chain::{NFTS, nft, nft_topics, token, transfer_topic},
    rng::Rng,
};
use std::sync::{Arc, Mutex};
use tracker::{Action, Backfill, BackfillConfig, NodeStatus};

/// Passes through one node until nothing more is to be had from it, at most.
const PASSES_MAX: usize = 16;

/// Messages of a plugin that are sent at once.
const SENT_AT_ONCE: usize = 3;

/// Decodes nothing.
pub(crate) struct Raw;

impl Decoder for Raw {
    fn schemas(&self) -> &[EventSchema] {
        &[]
    }

    fn decode(&self, _: ChainId, _: &Logs) -> (Vec<TypedRows>, DecodeStats) {
        (vec![], DecodeStats::default())
    }

    fn json(&self, _: ChainId, _: LogRef<'_>) -> Option<(&str, String)> {
        None
    }
}

/// What is followed: transfers of the first `tokens` tokens.
pub(crate) fn followed(tokens: u64) -> Filter {
    let tokens = AnyOf::of((0..tokens).map(token)).unwrap();
    Filter::new(tokens, AnyOf::one(transfer_topic()))
}

/// The same, and what contracts of tokens with numbers log.
pub(crate) fn followed_with_nfts(tokens: u64) -> Filter {
    let addresses = (0..tokens).map(token).chain((0..NFTS).map(nft));
    let topics = nft_topics().into_iter().chain([transfer_topic()]);
    Filter::new(AnyOf::of(addresses).unwrap(), AnyOf::of(topics).unwrap())
}

/// Makes a plugin whenever a process starts.
pub(crate) type Guest = Box<dyn Fn() -> Box<dyn Plugin>>;

/// A process over a ledger.
pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) store: MemoryStore,
    pub(crate) oracle: Arc<Mutex<Oracle>>,
    pub(crate) filter: Filter,
    pub(crate) verify: Verify,
    pub(crate) range: BlockRange,
    /// A node of this world misnumbers logs.
    pub(crate) has_wrong_indexes: bool,
    owner: Option<Owner>,
    lane: Option<LaneStepper>,
    hesitates: u64,
    /// Plugins beside the one of the simulation.
    guests: Vec<Guest>,
    guest_lanes: Vec<LaneStepper>,
    /// Sends some of what they enqueue, now and then.
    post: Option<Rng>,
}

impl Bench {
    pub(crate) fn new(world: &World, verify: Verify, range: BlockRange, hesitates: u64) -> Self {
        let chain = world.tree(|tree| tree.chain());
        let oracle = Arc::new(Mutex::new(Oracle::new(chain, Agreement::HoldsHonest)));
        let store = MemoryStore::new();
        let (watching, watched) = (oracle.clone(), world.clone());
        store.on_apply(Box::new(move |commits, image| {
            watched.tree(|tree| watching.lock().unwrap().on_apply(commits, image, tree));
        }));
        let (world, filter) = (world.clone(), followed(2));
        let (owner, lane) = (None, None);
        let has_wrong_indexes = false;
        let mut bench = Self {
            world,
            store,
            oracle,
            filter,
            verify,
            range,
            has_wrong_indexes,
            owner,
            lane,
            hesitates,
            guests: Vec::new(),
            guest_lanes: Vec::new(),
            post: None,
        };
        bench.start();
        bench
    }

    /// Runs these plugins, too, over more events; sends some of what they enqueue.
    pub(crate) fn host(&mut self, guests: Vec<Guest>, post: Rng) {
        self.guests = guests;
        self.filter = followed_with_nfts(2);
        self.post = Some(post);
        self.start();
    }

    /// Returns a lane for a plugin, over what is followed.
    pub(crate) fn lane_of(&self, plugin: Box<dyn Plugin>) -> LaneStepper {
        let policy = LanePolicy { batch_events: 7, group_events: 20, ..LanePolicy::default() };
        let filters = vec![self.filter.clone()];
        LaneStepper::open(self.store.clone(), plugin, self.chain(), filters, policy).unwrap()
    }

    fn chain(&self) -> ChainId {
        self.world.tree(|tree| tree.chain())
    }

    /// Starts a process.
    fn start(&mut self) {
        let policy = Policy {
            verify: self.verify,
            anchor: AnchorPolicy::OneNode,
            admission: Admission::OneNode,
        };
        let setup = ChainSetup { profile: ChainProfile::ethereum(self.chain()), policy };
        let store = Box::new(self.store.clone());
        let owner = Owner::new(store, Arc::new(proof::Proof), Arc::new(Raw), vec![setup]);
        self.owner = Some(owner.unwrap());
        let AnyOf::Of(tokens) = &self.filter.addresses else { panic!("tokens are followed") };
        let plugin = Balances::of(tokens, Visibility::Latest).hesitating(self.hesitates);
        let wanted = subscription_filters(plugin.descriptor(), self.chain()).unwrap();
        let policy = LanePolicy { batch_events: 7, group_events: 20, ..LanePolicy::default() };
        let store = self.store.clone();
        self.lane =
            Some(LaneStepper::open(store, Box::new(plugin), self.chain(), wanted, policy).unwrap());
        self.guest_lanes = self.guests.iter().map(|guest| self.lane_of(guest())).collect();
    }

    /// Starts the next process where the last one died. Returns whether it had.
    pub(crate) fn restart_if_dead(&mut self) -> bool {
        let is_dead = self.store.is_down();
        if is_dead {
            (self.owner, self.lane) = (None, None);
            self.guest_lanes.clear();
            self.store.reopen();
            self.start();
            self.world.sometimes().happened("process died");
        }
        is_dead
    }

    pub(crate) fn missing(&self) -> Vec<(Arc<Filter>, BlockRange)> {
        let owner = self.owner.as_ref().unwrap();
        let missing = owner.missing(self.chain(), &self.filter, self.range, self.verify);
        let of_range = |(range, filters): (BlockRange, Vec<Filter>)| {
            filters.into_iter().map(move |filter| (Arc::new(filter), range))
        };
        missing.into_iter().flat_map(of_range).collect()
    }

    /// Reads through one node until nothing more comes of it; all of it with `refetch`.
    pub(crate) async fn replay(&mut self, node: &Arc<SimNode>, refetch: bool) -> Result<(), Died> {
        let mut work = match refetch {
            true => vec![(Arc::new(self.filter.clone()), self.range)],
            false => self.missing(),
        };
        for _ in 0..PASSES_MAX {
            if work.is_empty() {
                break;
            }
            // A node that does not answer is left for the next one.
            let Ok(status) = self.greet(node).await else { return Ok(()) };
            let head = status.head.number;
            let within = work.iter().filter_map(|(filter, range)| {
                let range = BlockRange::new(range.first(), range.last().min(head))?;
                Some((filter.clone(), range))
            });
            self.pass(node, status, within.collect()).await?;
            let left = self.missing();
            if left == work {
                break;
            }
            work = left;
        }
        Ok(())
    }

    async fn greet(&self, node: &Arc<SimNode>) -> Result<NodeStatus, Fault> {
        let node: &dyn Node = &**node;
        let chain = Some(self.chain());
        Ok(greet(node, chain, Finality::Tag, self.world.clock()).await?.status)
    }

    async fn pass(
        &mut self,
        node: &Arc<SimNode>,
        status: NodeStatus,
        work: Vec<(Arc<Filter>, BlockRange)>,
    ) -> Result<(), Died> {
        let clock = self.world.clock().clone();
        let config = BackfillConfig {
            status,
            verify: self.verify,
            profile: ChainProfile::ethereum(self.chain()),
            concurrency: 3,
            width_max: Some(25),
            keeps_chain: false,
            reporter: "sim".into(),
        };
        let mut backfill = Backfill::new(config, Arc::new(proof::Proof), work);
        let mut answers = FuturesUnordered::new();
        loop {
            let mut wake = futures_util::future::Fuse::terminated();
            match backfill.next(clock.now_ms()) {
                Action::Ask(ticket, ask) => {
                    answers.push(node.ask(ask).map(move |answer| (ticket, answer)));
                    continue;
                }
                Action::Submit(report) => {
                    let owner = self.owner.as_mut().unwrap();
                    owner.take(*report).and_then(|_| owner.flush()).map_err(Died::of)?;
                    self.step_lane()?;
                    continue;
                }
                Action::Surrender(_) => continue,
                Action::WaitUntil(at_ms) => wake = clock.sleep_until(at_ms).fuse(),
                Action::WaitForAnswer => {}
                Action::Done => return Ok(()),
            }
            select_biased! {
                (ticket, answer) = answers.select_next_some() => {
                    backfill.on_answer(ticket, answer, clock.now_ms());
                }
                () = wake => {}
                complete => panic!("a backfill waits for nothing"),
            }
        }
    }

    /// Leads the lane as far as coverage goes.
    pub(crate) fn step_lane(&mut self) -> Result<(), Died> {
        let now_ms = self.world.clock().now_ms();
        let ready = self.ready();
        let lanes = self.lane.iter_mut().chain(&mut self.guest_lanes);
        for lane in lanes {
            lane.step(ready, now_ms).map_err(Died::of)?;
            let problems = lane.take_violations();
            assert!(problems.is_empty(), "{problems:?}");
        }
        if let Some(post) = &mut self.post {
            for lane in &self.guest_lanes {
                if post.chance(300) {
                    self.store.send(lane.lane().id(), SENT_AT_ONCE);
                }
            }
        }
        Ok(())
    }

    /// What lanes can be told of the ledger.
    pub(crate) fn ready(&self) -> Ready {
        let chain = self.chain();
        let open = self.missing().iter().map(|(_, range)| range.first()).min();
        let through = open.map_or(Some(self.range.last()), |open| open.checked_sub(1));
        let through = through.filter(|through| *through >= self.range.first());
        let (finalized, journal_seq) = self.store.look(|image| {
            let finalized = image.finalized.get(&chain).copied().unwrap_or(0);
            (finalized, image.journal.last().map_or(0, |row| row.seq))
        });
        Ready { through, finalized, safe: 0, journal_seq }
    }
}

/// The process died at a transaction.
#[derive(Debug)]
pub(crate) struct Died;

impl Died {
    fn of(error: LedgerError) -> Self {
        assert!(matches!(&error, LedgerError::Io(_)), "{error}");
        Self
    }
}
