//! Processes that die at any moment: run again, they leave the ledger of an undisturbed run.

use headcount_tests::{Outcome, Program, is_long, next_random, skip, workspace};
use std::{
    process::Child,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";
const GOLD: &str = "gold=0x5FbDB2315678afecb367f032d93F642f64180aa3";
const SILVER: &str = "silver=0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512";

/// Random moments at which a process is killed: a few each time, many in `make long`.
const KILLS: u64 = 5;
const KILLS_LONG: u64 = 50;

/// The program, a ledger of its own, and what is asked of it: growing ranges, then all again.
struct Scene {
    folder: TempDir,
    plugin: String,
}

impl Scene {
    fn new() -> Option<Self> {
        Program::built()?;
        let plugin = Program::plugin("erc20_balances")?.display().to_string();
        Some(Self { folder: tempfile::tempdir().unwrap(), plugin })
    }

    fn program(&self) -> Program {
        Program::in_folder(self.folder.path()).unwrap()
    }

    /// The runs of a whole life, each with a transaction of events and one of the plugin. The last
    /// one reads two filters again and so writes twice.
    fn runs(&self) -> Vec<Vec<String>> {
        let recording = workspace().join("fixtures/erc20.ndjson.gz").display().to_string();
        let run = |blocks: &str, more: &[&str]| {
            let fixed = ["replay", "-r", &recording, "-c", GOLD, "-c", SILVER, "-e", TRANSFER];
            let place = ["--ledger", "l.duckdb", "--plugin", &self.plugin, "--concurrency", "1"];
            let range = ["-b", blocks, "--quiet"];
            let all = fixed.iter().chain(&place).chain(&range).chain(more);
            all.map(|argument| (*argument).to_owned()).collect()
        };
        vec![run("0:20", &[]), run("0:40", &[]), run("0:60", &[]), run("0:60", &["--refetch"])]
    }

    /// Returns every place where the ledger's writer can be killed, as the program names them.
    fn failpoints(&self) -> Vec<String> {
        let program = self.program().with_variable("HEADCOUNT_FAILPOINT", "none");
        let refused = program.run(&self.runs()[0]).expect_code(2).stderr;
        let names = refused.split([' ', ',', '\n']).filter(|word| word.starts_with("store."));
        // Only a transaction of ten thousand events is staged: the store's own kill test has that. This
        // plugin sends nothing: `outbox.rs` has one that does.
        let is_passed = |name: &&str| !name.ends_with("after_stage") && !name.contains(".outbox.");
        names.filter(is_passed).map(str::to_owned).collect()
    }

    fn finish(&self, run: &[String]) {
        self.program().run(run).expect_success();
    }

    /// Returns the digest of a ledger that must be sound.
    fn digest(&self) -> String {
        let ledger = |what| ["ledger", what, "--ledger", "l.duckdb"];
        let checked: Outcome = self.program().run(ledger("check")).expect_success();
        assert_eq!(checked.stdout.trim(), "ok");
        self.program().run(ledger("digest")).expect_success().stdout
    }
}

/// Returns the digest after each run of an undisturbed life, and how long the shortest run took.
fn undisturbed() -> (Vec<String>, Duration) {
    let scene = Scene::new().unwrap();
    let runs = scene.runs();
    let mut shortest = Duration::MAX;
    let digests = runs.iter().map(|run| {
        let start = Instant::now();
        scene.finish(run);
        shortest = shortest.min(start.elapsed());
        scene.digest()
    });
    (digests.collect(), shortest)
}

#[test]
fn a_replay_killed_at_every_failpoint_and_run_again_leaves_the_ledger_of_an_undisturbed_one() {
    let Some(scene) = Scene::new() else {
        skip!("kill: the program or its plugin is not built (make build plugins)");
    };
    let failpoints = scene.failpoints();
    assert!(failpoints.len() >= 6, "{failpoints:?}");
    let (expected, _) = undisturbed();
    std::thread::scope(|scope| {
        for names in failpoints.chunks(3) {
            let expected = &expected;
            scope.spawn(move || names.iter().for_each(|name| killed_in_every_run(name, expected)));
        }
    });
}

fn killed_in_every_run(name: &str, expected: &[String]) {
    let scene = Scene::new().unwrap();
    let (runs, mut deaths) = (scene.runs(), 0);
    for (i, run) in runs.iter().enumerate() {
        // Only the last run writes events twice.
        let hits = if i + 1 == runs.len() { 2 } else { 1 };
        for hit in 1..=hits {
            let failpoint = format!("{name}:{hit}");
            let outcome = scene.program().with_variable("HEADCOUNT_FAILPOINT", &failpoint).run(run);
            match outcome.code {
                None => deaths += 1,
                Some(_) => drop(outcome.expect_success()),
            }
        }
        scene.finish(run);
        assert_eq!(scene.digest(), expected[i], "{name}, run {i}");
    }
    assert!(deaths >= 3, "{name} killed only {deaths} processes");
}

#[test]
fn a_replay_killed_at_random_moments_and_run_again_leaves_the_ledger_of_an_undisturbed_one() {
    if Scene::new().is_none() {
        skip!("kill -9: the program or its plugin is not built (make build plugins)");
    }
    let (expected, shortest) = undisturbed();
    let shortest_ms = u64::try_from(shortest.as_millis()).unwrap().max(1);
    let kills = if is_long() { KILLS_LONG } else { KILLS };
    let mut random = 2019;
    let (mut scene, mut at, mut dead) = (Scene::new().unwrap(), 0, 0);
    for kill in 0..kills {
        let runs = scene.runs();
        // By turns surely in a run, and perhaps after it, so that the later runs are reached too.
        let latest_ms = shortest_ms * (1 + kill % 2 * 2);
        let moment = Duration::from_millis(next_random(&mut random) % latest_ms);
        let child = scene.program().start(&runs[at]);
        if was_killed_after(child, moment) {
            dead += 1;
        } else {
            at += 1;
        }
        if scene.folder.path().join("l.duckdb").exists() {
            let ledger = ["ledger", "check", "--ledger", "l.duckdb"];
            let checked = scene.program().run(ledger);
            assert_eq!(checked.code, Some(0), "kill {kill} at {moment:?}: {}", checked.stdout);
        }
        // Each life is finished and compared after a few deaths, or when it is over.
        if kill % 5 == 4 || at == runs.len() {
            runs[at.min(runs.len() - 1)..].iter().for_each(|run| scene.finish(run));
            assert_eq!(&scene.digest(), expected.last().unwrap(), "kill {kill}");
            (scene, at) = (Scene::new().unwrap(), 0);
        }
    }
    println!("{dead} of {kills} processes were killed before their end");
    assert!(dead >= kills / 5, "only {dead} of {kills} processes were killed before their end");
}

/// Waits (the moment is what is tested), kills, and returns whether the process was still there.
fn was_killed_after(mut child: Child, moment: Duration) -> bool {
    std::thread::sleep(moment);
    child.kill().unwrap();
    !child.wait().unwrap().success()
}
