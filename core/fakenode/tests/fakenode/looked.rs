//! The second look of the built program: a running watch that is given a second node finds by itself
//! what the first one dropped while it was alone, and a replay has nothing left to look at.

use fakenode::{Dialect, Drive, FakeNode, FakeSettings};
use headcount_tests::{Program, Watching, skip};
use serde_json::Value;
use sim::{
    Methods, Rule, Trouble, World, WorldSettings,
    chain::{Traffic, token, transfer_topic},
};
use std::{fmt::Write as _, path::PathBuf, time::Duration};

const BLOCKS_AT_START: u64 = 90;
/// SIGTERM ends within this.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// A chain that grows, a node that drops one log of a block whichever way it is asked, a good one.
struct Scene {
    world: World,
    fakes: Vec<FakeNode>,
    program: Program,
    folder: tempfile::TempDir,
    _drive: Drive,
    _runtime: tokio::runtime::Runtime,
}

impl Scene {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::in_folder(folder.path())?;
        let world = World::new(WorldSettings {
            traffic: Traffic { tokens: 1, transactions_max: 3, logs_max: 3, ..Traffic::default() },
            blocks_at_start: BLOCKS_AT_START,
            block_time_ms: 2_000,
            propagation_ms_max: 50,
            latency_ms: (1, 5),
            ..WorldSettings::of_seed(31)
        });
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let drops = vec![Rule::on(Methods::LOGS, Trouble::LostLog)];
        let nodes = [("liar", Dialect::Geth, drops), ("good", Dialect::Reth, Vec::new())];
        let (fakes, drive) = runtime.block_on(async {
            let mut fakes = Vec::new();
            for (name, dialect, rules) in nodes {
                let node = world.add_node_of(name, &format!("{dialect:?}/v1"), rules);
                let settings = FakeSettings { dialect, ..FakeSettings::default() };
                fakes.push(FakeNode::serve(node, settings).await.unwrap());
            }
            (fakes, Drive::start(world.clone()))
        });
        Some(Self { world, fakes, program, folder, _drive: drive, _runtime: runtime })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a configuration with the first so many nodes.
    fn configure(&self, nodes: usize) {
        let mut text = "ledger = \"l.duckdb\"\n[chain.made]\nsecond_look = \"finalized\"\n\
            second_look_requests_per_second = 200\n"
            .to_owned();
        for (fake, name) in self.fakes.iter().zip(["liar", "good"]).take(nodes) {
            let url = fake.http_url();
            writeln!(text, "[[chain.made.node]]\nname = \"{name}\"\nurl = \"{url}\"").unwrap();
        }
        let event = "Transfer(address indexed from, address indexed to, uint256 value)";
        let address = token(0);
        writeln!(
            text,
            "[[contract]]\nname = \"gold\"\naddress = \"{address}\"\nevents = [\"{event}\"]"
        )
        .unwrap();
        std::fs::write(self.at("headcount.toml"), text).unwrap();
    }

    fn watch(&self) -> Watching {
        let pace = ["--poll-interval", "200ms", "--agree-wait", "500ms"];
        let all = ["watch", "--from-block", "1"].into_iter().chain(pace);
        Watching::start(&self.program, all)
    }

    /// Transfers of the chain up to a block.
    fn truth(&self, through: u64) -> usize {
        self.world.tree(|tree| {
            let blocks = (1..=through).filter_map(|number| tree.at(number));
            let is_gold = |log: &&event::Log| {
                log.address == token(0) && log.topics.first() == Some(&transfer_topic())
            };
            blocks.map(|block| block.logs().filter(is_gold).count()).sum()
        })
    }

    fn query(&self, sql: &str) -> Vec<Value> {
        self.program.query(&self.at("l.duckdb"), sql)
    }

    fn replay(&self) -> Value {
        let told = self.program.run(["replay", "--format", "json"]).expect_code(0).stdout;
        serde_json::from_str(&told).unwrap()
    }
}

/// Events that were told of blocks up to this one.
fn told(lines: &[Value], through: u64, op: Option<&str>) -> usize {
    let events = lines.iter().filter(|line| line["type"] == "event");
    let wanted = events.filter(|line| line["block"].as_u64().unwrap() <= through);
    wanted.filter(|line| op.is_none_or(|op| line["op"] == op)).count()
}

/// What became final since is new to it, where the first node was caught.
fn looks_at_nothing_up_to(summary: &Value, through: u64) -> bool {
    let range = &summary["second_look"]["range"];
    range.is_null() || range["first"].as_u64().unwrap() > through
}

#[test]
fn f28_a_watch_finds_what_its_only_node_dropped_once_it_has_another_and_a_replay_reads_nothing() {
    let Some(scene) = Scene::new() else {
        skip!("watch_second_look: headcount is not built (make build)")
    };
    scene.configure(1);
    let mut watching = scene.watch();
    watching.wait_until("the head", |lines| told(lines, u64::MAX, None) > told(lines, 90, None));
    let is_final = "select coalesce(max(finalized), 0)::bigint as n from chains";
    let through = scene.query(is_final)[0]["n"].as_u64().unwrap();
    assert!(through > 40, "the last final block is {through}");
    let everything = scene.truth(through);
    let alone = scene.query(&format!(
        "select count(*)::bigint as n from gold.Transfer where _block <= {through}"
    ))[0]["n"]
        .as_u64()
        .unwrap();
    assert!(alone < everything as u64, "nothing was dropped of {everything}");

    scene.configure(2);
    watching.signal("HUP");
    watching.wait_until_said("1 nodes added");
    watching.wait_until("what was dropped", |lines| told(lines, through, None) == everything);
    watching.wait_until("who had dropped it", |lines| {
        lines.iter().any(|line| line["type"] == "incident" && line["node"] == "liar")
    });
    // It is noted after the window.
    let noted = "select value as v from meta where starts_with(key, 'looked_at:')";
    watching.wait_until("the end of the look", |_| {
        let last = |row: &Value| row["v"].as_str()?.rsplit(':').next()?.parse::<u64>().ok();
        scene.query(noted).first().and_then(last).is_some_and(|last| last >= through)
    });

    // Beside the watch, and after it: nothing of it is looked at once more.
    let beside = scene.replay();
    assert!(looks_at_nothing_up_to(&beside, through), "{beside:#}");
    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(end.took < DRAIN_MAX, "it took {:?}", end.took);
    let last = &end.lines.iter().rfind(|line| line["type"] == "end").unwrap()["second_look"];
    assert!(last["recovered"].as_u64().unwrap() > 0 && last["lacks_other_node"] == false, "{last}");
    assert!(told(&end.lines, through, Some("late")) > 0, "found events are told as such");
    let named = end.lines.iter().filter(|line| line["type"] == "incident");
    assert!(named.into_iter().all(|line| line["node"] == "liar"), "nobody else is named");
    let after = scene.replay();
    assert!(looks_at_nothing_up_to(&after, through), "{after:#}");
    assert_eq!(after["second_look"]["recovered"], 0);
}

#[test]
fn what_a_watch_looks_at_again_is_said_in_words_that_are_right_or_refused_with_their_line() {
    let Some(scene) = Scene::new() else {
        skip!("watch_second_look_words: headcount is not built (make build)")
    };
    scene.configure(2);
    let path = scene.at("headcount.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let wrong = text.replace("\"finalized\"", "\"latest\"").replace("= 200", "= 0");
    std::fs::write(&path, wrong).unwrap();
    let said = scene.program.run(["config", "check"]).expect_code(2).stderr;
    for words in ["`latest` is none of finalized, off", "must be at least 1"] {
        assert!(said.contains(words), "{said}");
    }
    std::fs::write(&path, text).unwrap();
    let shown = scene.program.run(["config", "show"]).expect_code(0).stdout;
    assert!(shown.contains("second_look_requests_per_second"), "{shown}");

    // The flag is stronger than the file.
    let off = ["watch", "--from-block", "1", "--until-block", "60", "--second-look", "off"];
    let end = Watching::start(&scene.program, off).join();
    assert!(matches!(end.code, Some(0 | 75)), "{}", end.stderr);
    assert_eq!(end.lines.last().unwrap()["second_look"]["blocks"], 0);
}
