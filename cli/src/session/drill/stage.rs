//! The made-up chain of a drill, its three bad nodes, and how the program reaches them.

use crate::{
    command_error::CommandError,
    node_spec::{Endpoint, NodeSpec},
    plan::DrillPlan,
    secret::Secret,
};
use event::{AnyOf, BlockRange, ChainId, Filter};
use fakenode::{Dialect, Drive, FakeNode, FakeSettings};
use sim::{
    Happening, Methods, Rule, Trouble, World, WorldSettings,
    chain::{Traffic, token, transfer_topic},
};
use std::{path::Path, time::Duration};
use tokio::task::JoinHandle;

/// Chain id of drills.
pub(super) const CHAIN: ChainId = ChainId(1_337);
/// Tokens of the chain, all of which are followed.
const TOKENS: u64 = 3;
/// Blocks that are there before it starts.
const BLOCKS_AT_START: u64 = 8;
/// The reorg in the middle: blocks left, and blocks that the new branch is longer by.
pub(super) const REORG_DEPTH: u64 = 3;
const REORG_EXTRA: u64 = 1;
/// Blocks that the laggard is behind.
const LAG_BLOCKS: u64 = 2;
/// In units of block time: how often the dropper hangs up, and for how long.
const DROP_EVERY_BLOCKS: u64 = 15;
const DROP_FOR_BLOCKS: u64 = 3;
/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The chain stands still at the end for longer than any drill takes.
const FOR_EVER_MS: u64 = u64::MAX / 4;

/// One bad node.
pub(super) struct Actor {
    pub(super) name: &'static str,
    /// How it is reached.
    pub(super) over: &'static str,
    /// What is wrong with it, in words.
    pub(super) trouble: String,
    pub(super) fake: FakeNode,
    pub(super) spec: NodeSpec,
}

/// Everything that is made up. What runs ends when it is dropped.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) actors: Vec<Actor>,
    dropping: JoinHandle<()>,
    _drive: Drive,
}

impl Stage {
    /// Starts the chain and its nodes; the Unix socket is made in `folder`.
    pub(super) async fn start(plan: &DrillPlan, folder: &Path) -> Result<Self, CommandError> {
        let world = World::new(settings(plan));
        let block_ms = plan.block_time_ms;
        let half = block_ms / 2;
        let reorg = Happening::Reorg { depth: REORG_DEPTH, extra: REORG_EXTRA };
        world.schedule(block_ms * (plan.blocks / 2) + half, reorg);
        world.schedule(block_ms * plan.blocks + half, Happening::Stall { for_ms: FOR_EVER_MS });

        let socket = folder.join("liar.ipc");
        let liar = actor(&world, "liar", Dialect::Geth, liar_rules(), Some(&socket)).await?;
        let laggard_rules = laggard_rules(plan);
        let laggard = actor(&world, "laggard", Dialect::Nethermind, laggard_rules, None).await?;
        let dropper = actor(&world, "dropper", Dialect::Reth, Vec::new(), None).await?;
        let spec = |name: &str, endpoint| NodeSpec {
            name: name.to_owned(),
            endpoint,
            headers: Vec::new(),
            timeout: Some(TIMEOUT),
        };
        let laggard_url = Secret::new(laggard.http_url());
        let dropper_url = Secret::new(dropper.web_url());
        let actors = vec![
            Actor {
                name: "liar",
                over: "IPC",
                trouble: "drops and adds logs".to_owned(),
                spec: spec("liar", Endpoint::Ipc(socket)),
                fake: liar,
            },
            Actor {
                name: "laggard",
                over: "HTTP",
                trouble: format!("{LAG_BLOCKS} blocks behind, late"),
                spec: spec("laggard", Endpoint::Http(laggard_url)),
                fake: laggard,
            },
            Actor {
                name: "dropper",
                over: "WebSocket",
                trouble: "hangs up".to_owned(),
                spec: spec("dropper", Endpoint::Ws(dropper_url)),
                fake: dropper,
            },
        ];
        let drive = Drive::start(world.clone());
        let dropping = tokio::spawn(std::future::ready(()));
        let mut stage = Self { world, actors, dropping, _drive: drive };
        stage.drop_now_and_then(plan);
        Ok(stage)
    }

    /// Returns the last block that there will be.
    pub(super) const fn last_block(plan: &DrillPlan) -> u64 {
        BLOCKS_AT_START + plan.blocks + REORG_EXTRA
    }

    /// Has the dropper hang up until the chain stands still.
    fn drop_now_and_then(&mut self, plan: &DrillPlan) {
        let Some(dropper) = self.actors.iter().find(|actor| actor.name == "dropper") else {
            return;
        };
        let hang_up = dropper.fake.hanging_up();
        let every = Duration::from_millis(plan.block_time_ms * DROP_EVERY_BLOCKS);
        let away = Duration::from_millis(plan.block_time_ms * DROP_FOR_BLOCKS);
        let times = plan.blocks / DROP_EVERY_BLOCKS;
        self.dropping = tokio::spawn(async move {
            for _ in 0..times {
                tokio::time::sleep(every).await;
                hang_up(away);
            }
        });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.dropping.abort();
    }
}

/// Returns what is followed: transfers of every token of the chain.
pub(super) fn wanted() -> Filter {
    let tokens = (0..TOKENS).map(token);
    Filter::new(AnyOf::of(tokens).unwrap_or(AnyOf::Any), AnyOf::one(transfer_topic()))
}

/// Returns the blocks that are compared: all but the first, which is empty.
pub(super) fn compared(plan: &DrillPlan) -> BlockRange {
    BlockRange::of_width(1, Stage::last_block(plan))
}

fn settings(plan: &DrillPlan) -> WorldSettings {
    let traffic =
        Traffic { tokens: TOKENS, transfer_per_mille: 700, logs_max: 4, ..Traffic::default() };
    WorldSettings {
        chain: CHAIN,
        traffic,
        blocks_at_start: BLOCKS_AT_START,
        block_time_ms: plan.block_time_ms,
        propagation_ms_max: plan.block_time_ms / 10,
        latency_ms: (1, 10),
        finality_depth: 8,
        epoch_blocks: 4,
        ..WorldSettings::of_seed(plan.seed)
    }
}

/// Over ranges and by hash alike; its receipts are honest, as those of real nodes with a broken
/// log index are.
fn liar_rules() -> Vec<Rule> {
    let lie = |trouble, per_mille| Rule::on(Methods::LOGS, trouble).for_some_blocks(per_mille);
    vec![lie(Trouble::LostLog, 250), lie(Trouble::NoLogs, 80), lie(Trouble::AddedLog, 120)]
}

/// Until the chain stands still.
fn laggard_rules(plan: &DrillPlan) -> Vec<Rule> {
    let until_ms = plan.block_time_ms * plan.blocks;
    let slow = Trouble::Slow { by_ms: plan.block_time_ms / 2 };
    vec![
        Rule::on(Methods::ASKS, Trouble::HeadLags { blocks: LAG_BLOCKS }).during(0, until_ms),
        Rule::on(Methods::ASKS, slow).sometimes(300).during(0, until_ms),
    ]
}

async fn actor(
    world: &World,
    name: &str,
    dialect: Dialect,
    rules: Vec<Rule>,
    ipc: Option<&Path>,
) -> Result<FakeNode, CommandError> {
    let node = world.add_node(name, rules);
    let settings =
        FakeSettings { dialect, ipc: ipc.map(Path::to_owned), ..FakeSettings::default() };
    let served = FakeNode::serve(node, settings).await;
    served.map_err(|error| CommandError::local_io(format!("starting the node {name}"), error))
}
