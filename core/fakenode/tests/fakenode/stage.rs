//! One world, one node of it, and every way to it.

use alloy_primitives::{Bytes, keccak256};
use event::{Answer, AnyOf, Ask, BlockNumHash, BlockRange, Fault, Filter, Node, NodeId, Tag};
use fakenode::{Dialect, Drive, FakeNode, FakeSettings, WireRule};
use node::{HttpConfig, HttpNode, SocketConfig, SocketNode};
use sim::{
    Rule, SimNode, World, WorldSettings,
    chain::{holder, token, transfer_topic},
};
use std::sync::Arc;

/// Deadline of a question, in milliseconds.
pub(crate) const TIMEOUT_MS: u64 = 800;

/// A node behind its server, in a world in which nothing happens by itself.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) fake: FakeNode,
    folder: tempfile::TempDir,
    _drive: Drive,
}

pub(crate) fn settings() -> WorldSettings {
    WorldSettings { block_time_ms: u64::MAX / 4, latency_ms: (0, 3), ..WorldSettings::of_seed(11) }
}

/// The same node in process, in a world of its own.
pub(crate) fn in_process(rules: Vec<Rule>) -> (World, Arc<SimNode>) {
    let world = World::new(settings());
    let node = world.add_node("one", rules);
    (world, node)
}

impl Stage {
    pub(crate) async fn new(rules: Vec<Rule>) -> Self {
        Self::with(rules, Vec::new(), Dialect::Reth, settings()).await
    }

    pub(crate) async fn with(
        rules: Vec<Rule>,
        wire: Vec<WireRule>,
        dialect: Dialect,
        settings: WorldSettings,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(settings);
        let node = world.add_node("one", rules);
        let ipc = Some(folder.path().join("one.ipc"));
        let fake = FakeNode::serve(node, FakeSettings { dialect, rules: wire, ipc }).await.unwrap();
        let drive = Drive::start(world.clone());
        Self { world, fake, folder, _drive: drive }
    }

    pub(crate) fn http(&self) -> Arc<dyn Node> {
        let config = HttpConfig {
            name: Some(NodeId::new("one")),
            timeout_ms: TIMEOUT_MS,
            ..HttpConfig::new(self.fake.http_url())
        };
        Arc::new(HttpNode::new(config).unwrap())
    }

    fn socket(place: String) -> Arc<dyn Node> {
        let config = SocketConfig {
            name: Some(NodeId::new("one")),
            timeout_ms: TIMEOUT_MS,
            first_wait_ms: 1,
            longest_wait_ms: 5,
            ..SocketConfig::new(place)
        };
        Arc::new(SocketNode::new(config).unwrap())
    }

    pub(crate) fn web(&self) -> Arc<dyn Node> {
        Self::socket(self.fake.web_url())
    }

    pub(crate) fn ipc(&self) -> Arc<dyn Node> {
        Self::socket(self.folder.path().join("one.ipc").display().to_string())
    }

    /// Returns the node over each transport, with the transport's name.
    pub(crate) fn all(&self) -> [(&'static str, Arc<dyn Node>); 3] {
        [("http", self.http()), ("web", self.web()), ("ipc", self.ipc())]
    }
}

pub(crate) fn filter() -> Arc<Filter> {
    let tokens = AnyOf::of([token(0), token(1)]).unwrap();
    Arc::new(Filter::new(tokens, AnyOf::one(transfer_topic())))
}

pub(crate) fn logs(first: u64, last: u64) -> Ask {
    Ask::Logs { filter: filter(), range: BlockRange::new(first, last).unwrap() }
}

pub(crate) fn id(world: &World, number: u64) -> BlockNumHash {
    world.tree(|tree| tree.at(number).unwrap().id())
}

/// One question of every kind about what the node has, and some about what it has not.
pub(crate) fn questions(world: &World) -> Vec<Ask> {
    let (some, nowhere) = (id(world, 20), BlockNumHash { number: 3, hash: [7; 32].into() });
    let any = Arc::new(Filter::any());
    let moved = Bytes::copy_from_slice(&keccak256("moved()")[..4]);
    vec![
        Ask::ChainId,
        Ask::ClientVersion,
        Ask::Head(Tag::Latest),
        Ask::Head(Tag::Safe),
        Ask::Head(Tag::Finalized),
        logs(1, 64),
        logs(5, 5),
        Ask::Logs { filter: any.clone(), range: BlockRange::new(0, 64).unwrap() },
        logs(60, 70),
        Ask::LogsByHash { filter: filter(), block: some },
        Ask::LogsByHash { filter: any, block: some },
        Ask::LogsByHash { filter: filter(), block: nowhere },
        Ask::Headers { range: BlockRange::new(0, 64).unwrap() },
        Ask::Headers { range: BlockRange::one(64) },
        Ask::Headers { range: BlockRange::new(60, 70).unwrap() },
        Ask::HeaderByHash { hash: some.hash },
        Ask::HeaderByHash { hash: nowhere.hash },
        Ask::Receipts { block: some },
        Ask::Receipts { block: nowhere },
        Ask::Syncing,
        Ask::PeerCount,
        Ask::Code { address: token(0), block: some },
        Ask::Code { address: holder(0), block: some },
        Ask::Code { address: token(0), block: nowhere },
        Ask::Call { to: token(0), data: moved, block: some },
    ]
}

/// What can be compared of an outcome: sizes on the wire and texts differ.
pub(crate) fn comparable(outcome: Result<Answer, Fault>) -> Result<Answer, event::FaultClass> {
    match whole(outcome) {
        Ok(Answer::Logs(mut logs)) => {
            logs.bytes = 0;
            Ok(Answer::Logs(logs))
        }
        Ok(answer) => Ok(answer),
        Err(fault) => Err(fault.class),
    }
}

/// In process one header that is not given spoils the whole question; over the wire it is told beside the others.
pub(crate) fn whole(outcome: Result<Answer, Fault>) -> Result<Answer, Fault> {
    match outcome {
        Ok(Answer::SomeHeaders(told)) => {
            told.into_iter().collect::<Result<Vec<_>, _>>().map(Answer::Headers)
        }
        outcome => outcome,
    }
}
