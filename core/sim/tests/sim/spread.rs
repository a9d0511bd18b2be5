//! `replay` over several nodes in virtual time: a large backfill goes through all of them at once, and
//! what is covered is read again through another one.

use crate::backfill::{Raw, followed};
use aggregator::{Admission, Policy};
use event::{AnchorPolicy, BlockRange, ChainProfile, Finality, Node, Verify};
use pipeline::{
    ChainSetup, Holder, LookClaim, Owner, OwnerHandle, Progress, ReplayNode, ReplayOutcome,
    ReplayRequest, SecondLook, SecondLookRequest, Timer, Watcher, greet, replay, second_look,
};
use sim::{
    MemoryStore, Methods, Rule, SimNode, Trouble, World, WorldSettings,
    chain::{Traffic, expected},
    run,
};
use std::sync::Arc;

const LIMIT_MS: u64 = 3_600_000;
/// Blocks of a backfill that is spread.
const MANY: u64 = 5_200;

struct Unheard;

impl Watcher for Unheard {
    fn on_progress(&self, _: &Progress) {}
}

/// A chain that stands still, with nodes that answer after a tenth of a second each time.
pub(crate) fn world(blocks: u64) -> World {
    World::new(WorldSettings {
        traffic: Traffic { empty_per_mille: 950, ..Traffic::default() },
        blocks_at_start: blocks + 40,
        block_time_ms: LIMIT_MS * 2,
        latency_ms: (100, 100),
        ..WorldSettings::of_seed(5)
    })
}

/// A ledger, and what is read into it.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) store: MemoryStore,
    pub(crate) range: BlockRange,
    pub(crate) verify: Verify,
}

impl Scene {
    pub(crate) fn new(world: World, blocks: u64) -> Self {
        let range = BlockRange::new(1, blocks).unwrap();
        Self { world, store: MemoryStore::new(), range, verify: Verify::Bloom }
    }

    pub(crate) fn profile(&self) -> ChainProfile {
        ChainProfile::ethereum(self.world.tree(|tree| tree.chain()))
    }

    fn owner(&self) -> OwnerHandle {
        let admission = match self.verify {
            Verify::Agree(nodes) => Admission::Agree(nodes),
            _ => Admission::OneOfSeveral,
        };
        let policy = Policy { verify: self.verify, anchor: AnchorPolicy::OneNode, admission };
        let setup = ChainSetup { profile: self.profile(), policy };
        let store = Box::new(self.store.clone());
        Owner::new(store, Arc::new(proof::Proof), Arc::new(Raw), vec![setup]).unwrap().inline()
    }

    async fn greeted(&self, nodes: &[Arc<SimNode>]) -> Vec<ReplayNode> {
        let mut greeted = Vec::new();
        for node in nodes {
            let node: Arc<dyn Node> = node.clone();
            let clock = self.world.clock();
            let status = greet(&*node, None, Finality::Tag, clock).await.unwrap().status;
            greeted.push(ReplayNode { node, status });
        }
        greeted
    }

    /// Reads what is missing; returns what came of it, and the milliseconds that it took.
    pub(crate) fn replay(&self, nodes: &[Arc<SimNode>]) -> (ReplayOutcome, u64) {
        let clock = self.world.clock();
        let replayed = async {
            let request = ReplayRequest {
                profile: self.profile(),
                filters: vec![followed(2)],
                range: self.range,
                verify: self.verify,
                needed: self.verify,
                refetch: false,
                is_second_look: false,
                nodes: self.greeted(nodes).await,
                concurrency: 2,
                width_max: Some(25),
                pace: None,
                reporter: Arc::from("test"),
            };
            let begun = clock.now_ms();
            let (owner, never) = (self.owner(), std::future::pending());
            let prover = Arc::new(proof::Proof);
            let outcome = replay(request, &owner, prover, clock, never, &Unheard).await.unwrap();
            (outcome, clock.now_ms() - begun)
        };
        run(&self.world, LIMIT_MS, replayed).unwrap()
    }

    fn look(&self, nodes: &[Arc<SimNode>]) -> SecondLook {
        self.look_through(&self.owner(), nodes)
    }

    fn look_through(&self, owner: &OwnerHandle, nodes: &[Arc<SimNode>]) -> SecondLook {
        self.look_for(LIMIT_MS * 2, owner, nodes)
    }

    /// Looks for so long.
    fn look_for(&self, time_ms: u64, owner: &OwnerHandle, nodes: &[Arc<SimNode>]) -> SecondLook {
        let clock = self.world.clock();
        let looked = async {
            let request = SecondLookRequest {
                profile: self.profile(),
                filters: vec![followed(2)],
                through: self.range.last(),
                verify: Verify::Bloom,
                nodes: self.greeted(nodes).await,
                concurrency: 2,
                window_blocks: SecondLookRequest::WINDOW_BLOCKS,
                width_max: None,
                pace: None,
                reporter: Arc::from("test"),
            };
            let stop = clock.sleep_until(clock.now_ms() + time_ms);
            let prover = Arc::new(proof::Proof);
            second_look(request, owner, prover, clock, stop, &Unheard).await.unwrap()
        };
        run(&self.world, LIMIT_MS, looked).unwrap()
    }

    /// Whether the ledger has the events of the chain, each once, and none that waits.
    pub(crate) fn is_exact(&self) -> bool {
        let expected = self.world.tree(|tree| expected(tree, &followed(2), self.range).len());
        self.store.look(|image| {
            let canonical = image.events.iter().filter(|event| image.is_canonical(event)).count();
            canonical == expected && image.candidates.is_empty()
        })
    }
}

pub(crate) fn honest(world: &World, names: &[&str]) -> Vec<Arc<SimNode>> {
    names.iter().map(|name| world.add_node(name, Vec::new())).collect()
}

#[test]
fn two_equal_nodes_backfill_nearly_twice_as_fast_as_one() {
    let one = Scene::new(world(MANY), MANY);
    let (alone, alone_ms) = one.replay(&honest(&one.world, &["a"]));
    let two = Scene::new(world(MANY), MANY);
    let (together, together_ms) = two.replay(&honest(&two.world, &["a", "b"]));
    assert!(alone.open.is_empty() && together.open.is_empty());
    assert!(one.is_exact() && two.is_exact());
    assert_eq!(together.new_events, alone.new_events);
    assert!(together_ms * 17 <= alone_ms * 10, "{together_ms} ms against {alone_ms} ms");
}

#[test]
fn work_is_stolen_from_a_slow_node_and_taken_back_from_one_that_fails() {
    let scene = Scene::new(world(MANY), MANY);
    let mut nodes = honest(&scene.world, &["a"]);
    let slow = Rule::on(Methods::RANGE_LOGS, Trouble::Slow { by_ms: 1_500 });
    nodes.push(scene.world.add_node("slow", vec![slow]));
    let gone = Rule::on(Methods::LOGS, Trouble::Unreachable);
    nodes.push(scene.world.add_node("gone", vec![gone]));
    let (outcome, took_ms) = scene.replay(&nodes);
    assert!(outcome.open.is_empty(), "{:?}", outcome.open);
    assert!(scene.is_exact());
    let alone = Scene::new(world(MANY), MANY);
    let (_, alone_ms) = alone.replay(&honest(&alone.world, &["a"]));
    assert!(took_ms <= alone_ms + 20_000, "{took_ms} ms against {alone_ms} ms");
}

#[test]
fn the_chain_recovers_and_names_in_virtual_time_and_goes_on_where_it_stopped() {
    let scene = Scene::new(world(200), 200);
    let loses = Rule::on(Methods::RANGE_LOGS, Trouble::LostLog);
    let liar = scene.world.add_node_of("liar", "Geth/v1", vec![loses]);
    let good = scene.world.add_node_of("good", "reth/v1", Vec::new());
    scene.replay(std::slice::from_ref(&liar));
    assert!(!scene.is_exact());
    let look = scene.look(&[liar.clone(), good.clone()]);
    assert!(look.recovered > 0 && look.open.is_empty(), "{look:?}");
    assert!(scene.is_exact());
    assert!(look.told.iter().all(|incident| &*incident.node.0 == "liar"), "{:?}", look.told);
    assert_eq!(look.nodes.values().map(|node| node.of_other_client).sum::<u64>(), 200);
    let again = scene.look(&[liar, good]);
    assert_eq!((again.range, again.agreed, again.recovered), (None, 0, 0));
}

#[test]
fn two_processes_never_look_at_the_same_blocks_and_what_one_leaves_the_other_takes() {
    let scene = Scene::new(world(200), 200);
    let nodes = honest(&scene.world, &["a", "b"]);
    scene.replay(&nodes[..1]);
    let owner = scene.owner();
    let claim = LookClaim {
        holder: Holder { process: 7, run: 1 },
        chain: scene.profile().chain,
        filter: followed(2),
        range: scene.range,
        verify: Verify::Bloom,
        nodes: vec![nodes[1].id().clone()],
        blocks_max: 50,
    };
    let mut reply = owner.claim_look_for(claim);
    let given = reply.try_recv().unwrap().unwrap();
    assert_eq!((given.seen.len(), given.seen[0].range.count(), given.through), (1, 50, 50));
    let look = scene.look_through(&owner, &nodes);
    let read = |look: &SecondLook| look.nodes.values().map(|node| node.blocks).sum::<u64>();
    assert_eq!((read(&look), look.range), (150, BlockRange::new(51, 200)));
    // The other one is gone and has not said that it looked.
    owner.release_all(7);
    let look = scene.look_through(&owner, &nodes);
    assert_eq!((read(&look), look.range), (50, BlockRange::new(1, 50)));
    owner.close().unwrap();
    assert_eq!(read(&scene.look(&nodes)), 0);
}

#[test]
fn blocks_that_no_other_node_could_look_at_wait_for_one() {
    let scene = Scene::new(world(200), 200);
    let nodes = honest(&scene.world, &["a", "b"]);
    scene.replay(&nodes[..1]);
    let alone = scene.look(&nodes[..1]);
    assert_eq!((alone.without_other.clone(), alone.range), (vec![scene.range], None));
    let look = scene.look(&nodes);
    assert_eq!((look.range, look.agreed), (Some(scene.range), 200));
    assert!(look.without_other.is_empty());
    // Two nodes have said it now: with one of them there is nothing to complain of.
    assert!(scene.look(&nodes[..1]).without_other.is_empty());
}

#[test]
fn what_a_second_look_compared_before_it_was_stopped_is_not_read_again() {
    let scene = Scene::new(world(MANY), MANY);
    let nodes = honest(&scene.world, &["a", "b"]);
    scene.replay(&nodes[..1]);
    let read = |look: &SecondLook| look.nodes.values().map(|node| node.blocks).sum::<u64>();
    let first = scene.look_for(800, &scene.owner(), &nodes);
    assert!(first.stopped && (1..MANY).contains(&read(&first)), "{first:?}");
    let second = scene.look(&nodes);
    assert_eq!(read(&first) + read(&second), MANY, "{second:?}");
    assert_eq!((first.agreed + second.agreed, second.stopped), (MANY, false));
}

#[test]
fn f41_a_wrong_header_names_its_node_and_holds_nothing_up_once_receipts_show_the_block() {
    let scene = Scene::new(world(200), 200);
    let with_events = scene.world.tree(|tree| expected(tree, &followed(2), scene.range));
    let number = with_events[0].0;
    let bad = Rule::on(Methods::HEADERS, Trouble::ZeroBloom).in_blocks(BlockRange::one(number));
    let nodes = [scene.world.add_node("a", Vec::new()), scene.world.add_node("b", vec![bad])];
    scene.replay(&nodes[..1]);
    let look = scene.look(&nodes);
    assert!(look.open.is_empty(), "{:?}", look.open);
    assert!(look.told.iter().all(|told| &*told.node.0 == "b") && !look.told.is_empty());
    assert_eq!(scene.look(&nodes).range, None, "it was looked at");
}
