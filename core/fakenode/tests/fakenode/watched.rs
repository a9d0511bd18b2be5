//! The built program on chains that are long already when it starts: it tells the head while it
//! fills the gap, a plugin waits for its turn, and it ends when it is told to.

use fakenode::{Drive, FakeNode, FakeSettings};
use headcount_tests::{Program, Watching, skip};
use serde_json::Value;
use sim::{
    World, WorldSettings,
    chain::{Traffic, token, transfer_topic},
};
use std::{collections::BTreeMap, sync::Mutex, time::Duration};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// SIGTERM drains and ends within this.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Blocks that the head may be ahead of an event when its line is read.
const BEHIND_MAX: u64 = 2;
/// Blocks with events of the head that are waited for.
const HEADS_WANTED: usize = 3;

/// A long chain and its nodes, in real time.
struct Scene {
    world: World,
    fakes: Vec<FakeNode>,
    program: Program,
    folder: TempDir,
    _drive: Drive,
    _runtime: Runtime,
}

impl Scene {
    /// Returns a chain of so many blocks that grows by one in two seconds; `None` without the program.
    fn new(blocks: u64, nodes: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::in_folder(folder.path())?;
        // Few blocks have events, so that the chain is light; those have the token's.
        let traffic =
            Traffic { tokens: 1, empty_per_mille: 500, decoy_per_mille: 0, ..Traffic::default() };
        let world = World::new(WorldSettings {
            traffic,
            blocks_at_start: blocks,
            block_time_ms: 2_000,
            propagation_ms_max: 50,
            latency_ms: (1, 5),
            ..WorldSettings::of_seed(23)
        });
        let runtime = Runtime::new().unwrap();
        let (fakes, drive) = runtime.block_on(async {
            let mut fakes = Vec::new();
            for name in nodes {
                let node = world.add_node(name, Vec::new());
                fakes.push(FakeNode::serve(node, FakeSettings::default()).await.unwrap());
            }
            (fakes, Drive::start(world.clone()))
        });
        Some(Self { world, fakes, program, folder, _drive: drive, _runtime: runtime })
    }

    fn watch(&self, more: &[&str]) -> Watching {
        let contract = format!("gold={}", token(0));
        let event = "Transfer(address indexed from, address indexed to, uint256 value)";
        let mut all = vec!["watch", "-c", &contract, "-e", event, "--from-block", "1"];
        let urls: Vec<String> =
            self.fakes.iter().flat_map(|f| [f.web_url(), f.http_url()]).collect();
        // Each node by another way.
        let ways = urls.chunks(2).enumerate().map(|(n, both)| both[n % 2].as_str());
        all.extend(ways.flat_map(|url| ["-r", url]));
        all.extend(["--ledger", "ledger.duckdb", "--poll-interval", "200ms"]);
        all.extend(["--agree-wait", "500ms"]);
        all.extend(more);
        Watching::start(&self.program, all)
    }

    fn head(&self) -> u64 {
        self.world.tree(|tree| tree.head().number)
    }

    fn query(&self, sql: &str) -> u64 {
        let ledger = self.folder.path().join("ledger.duckdb");
        self.program.query(&ledger, sql)[0]["n"].as_u64().unwrap()
    }

    fn check(&self) {
        let ledger = self.folder.path().join("ledger.duckdb");
        let check = ["ledger", "check", "--ledger", ledger.to_str().unwrap()];
        assert_eq!(self.program.run(check).expect_success().stdout.trim(), "ok");
    }
}

fn block_of(line: &Value) -> Option<u64> {
    (line["type"] == "event").then(|| line["block"].as_u64()).flatten()
}

/// Whether it said at the end that something is open.
fn is_open(said: &str) -> bool {
    said.contains("open: ")
}

#[test]
fn a_start_100_000_blocks_behind_tells_the_head_while_it_fills_the_gap_and_a_plugin_waits() {
    const GAP_BLOCKS: u64 = 100_000;
    let Some(scene) = Scene::new(GAP_BLOCKS, &["one", "two", "three"]) else {
        skip!("watch_far_behind: headcount is not built (make build)")
    };
    let Some(plugin) = Program::plugin("erc20_balances") else {
        skip!("watch_far_behind: no plugin is built (make plugins)")
    };
    let mut watching = scene.watch(&["--plugin", plugin.to_str().unwrap()]);
    // The head when each block was first heard of.
    let heard: Mutex<BTreeMap<u64, u64>> = Mutex::default();
    let started_at = scene.head();
    watching.wait_until("events of the head", |lines| {
        let (mut heard, head) = (heard.lock().unwrap(), scene.head());
        for block in lines.iter().rev().take(200).filter_map(block_of) {
            heard.entry(block).or_insert(head);
        }
        heard.range(started_at + 1..).count() >= HEADS_WANTED
    });
    let heard = heard.into_inner().unwrap();
    let late = |(block, head): &(&u64, &u64)| **block + BEHIND_MAX < **head;
    let late: Vec<_> = heard.range(started_at + 1..).filter(late).collect();
    assert!(late.is_empty(), "told too late, each with the head of that moment: {late:?}");
    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(end.took < DRAIN_MAX, "it took {:?}", end.took);
    assert!(is_open(&end.stderr), "the gap was filled already: {}", end.stderr);
    assert!(end.lines.iter().filter_map(block_of).any(|block| block < GAP_BLOCKS), "of the gap");
    // Blocks of the head are in the ledger, and the plugin has been shown none of them.
    let head = scene.query("select max(block_number)::bigint as n from events");
    assert!(head > GAP_BLOCKS, "{head}");
    let shown = scene.query("select coalesce(max(next_block), 0)::bigint as n from lanes");
    assert!(shown <= GAP_BLOCKS, "the plugin came to {shown} over the gap");
    scene.check();
}

#[test]
fn a_watch_in_the_middle_of_a_gap_of_20_000_blocks_ends_within_5_seconds() {
    const GAP_BLOCKS: u64 = 20_000;
    // One node: no window bounds what is under way.
    let Some(scene) = Scene::new(GAP_BLOCKS, &["one"]) else {
        skip!("watch_gap_20000: headcount is not built (make build)")
    };
    let mut watching = scene.watch(&[]);
    watching.wait_until("a part of the gap", |lines| {
        lines.iter().filter_map(block_of).any(|block| block < GAP_BLOCKS / 2)
    });
    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(end.took < DRAIN_MAX, "it took {:?}", end.took);
    assert!(is_open(&end.stderr), "the gap was filled already: {}", end.stderr);
    scene.check();
    let before = scene.query("select count(*)::bigint as n from events");
    assert!(before > 0);

    // The next run goes on there.
    let until = GAP_BLOCKS.to_string();
    let end = scene.watch(&["--until-block", &until]).join();
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    scene.check();
    let truth = scene.world.tree(|tree| {
        let blocks = (1..=GAP_BLOCKS).filter_map(|number| tree.at(number));
        let is_gold = |log: &&event::Log| {
            log.address == token(0) && log.topics.first() == Some(&transfer_topic())
        };
        blocks.map(|block| block.logs().filter(is_gold).count() as u64).sum::<u64>()
    });
    let sql = format!("select count(*)::bigint as n from gold.Transfer where _block <= {until}");
    assert_eq!(scene.query(&sql), truth);
}
