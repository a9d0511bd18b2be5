//! A running watch owns the ledger; replays, queries and health checks beside it are its clients.

use crate::watch::{chain_lines, check};
use headcount_tests::{
    Anvil, Bent, Contracts, Program, RecordedChain, ScriptedNode, Traffic, Watching, is_long,
    next_random, skip, stored_lines,
};
use serde_json::{Value, json};
use std::{
    path::Path,
    process::Child,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

const GOLD: &str = "0x5FbDB2315678afecb367f032d93F642f64180aa3";
const SILVER: &str = "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512";
const PACE: [&str; 6] = ["--from-block", "0", "--poll-interval", "50ms", "--agree-wait", "50ms"];

/// A node that notes which logs it was asked for by range: contract, first and last block.
struct Noting {
    node: ScriptedNode,
    asked: Arc<Mutex<Vec<(String, u64, u64)>>>,
}

impl Noting {
    /// Each range takes so long, so that others come in between.
    fn new(chain: &Arc<RecordedChain>, delay: Duration) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let of_node = asked.clone();
        let node = ScriptedNode::start(chain, move |call, truth| {
            let filter = &call.params[0];
            if call.method == "eth_getLogs"
                && let (Some(first), Some(last)) =
                    (filter["fromBlock"].as_str(), filter["toBlock"].as_str())
            {
                let number = |text: &str| u64::from_str_radix(&text[2..], 16).unwrap();
                let address = filter["address"].to_string().to_lowercase();
                of_node.lock().unwrap().push((address, number(first), number(last)));
                std::thread::sleep(delay);
            }
            Bent::Result(truth)
        });
        Self { node, asked }
    }

    fn asked(&self) -> Vec<(String, u64, u64)> {
        self.asked.lock().unwrap().clone()
    }
}

fn config(node: &str, contracts: &[(&str, &str)]) -> String {
    let mut text = format!(
        "ledger = \"l.duckdb\"\n[chain.local]\nid = 31337\n\
         [[chain.local.node]]\nname = \"one\"\nurl = \"{node}\"\n"
    );
    for (name, address) in contracts {
        text += &format!(
            "[[contract]]\nname = \"{name}\"\naddress = \"{address}\"\nstart = 0\n\
             events = [\"Transfer(address indexed from, address indexed to, uint256 value)\"]\n"
        );
    }
    text
}

/// Runs commands again and again until it is told to stop; each must succeed, and speak of no lock.
fn looping(
    program: &Program,
    commands: &[Vec<&str>],
    runs: &AtomicUsize,
    stop: &AtomicBool,
) -> usize {
    while !stop.load(Ordering::Acquire) {
        for command in commands {
            let outcome = program.run(command).expect_success();
            for word in ["error", "lock", "in use", "warning"] {
                assert!(!outcome.stderr.contains(word), "{command:?}: {}", outcome.stderr);
            }
            runs.fetch_add(1, Ordering::AcqRel);
        }
    }
    runs.load(Ordering::Acquire)
}

fn events_of(lines: &[Value], contract: &str) -> usize {
    let is_one = |line: &&Value| {
        line["type"] == "event"
            && line["address"].as_str().is_some_and(|a| a.eq_ignore_ascii_case(contract))
    };
    lines.iter().filter(is_one).count()
}

/// Logs of a contract that are transfers.
fn transfers(chain: &RecordedChain, contract: &str) -> usize {
    let topic = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
    let filter = json!({
        "fromBlock": "0x0", "toBlock": "0x3c", "address": contract.to_lowercase(),
        "topics": [topic]
    });
    let count = chain.answer("eth_getLogs", &json!([filter])).as_array().unwrap().len();
    assert!(count > 0, "{contract} has transfers");
    count
}

/// Watches the recorded chain, with a filter widened in the middle; beside it run what `beside` says.
/// Returns the digest.
fn widened(chain: &Arc<RecordedChain>, beside: bool) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::in_folder(folder.path())?;
    let own = Noting::new(chain, Duration::from_millis(20));
    let other = Noting::new(chain, Duration::from_millis(20));
    let watched = folder.path().join("headcount.toml");
    let replayed = folder.path().join("replay.toml");
    let (gold, silver) = (("gold", GOLD), ("silver", SILVER));
    std::fs::write(&watched, config(&own.node.url(), &[gold])).unwrap();
    std::fs::write(&replayed, config(&other.node.url(), &[gold])).unwrap();
    let mut watching = Watching::start(&program, ["watch"].iter().chain(&PACE));
    let has_gold = |lines: &[Value]| events_of(lines, GOLD) == transfers(chain, GOLD);
    watching.wait_until("gold", has_gold);

    let stop = AtomicBool::new(!beside);
    let replay = vec!["replay", "--config", "replay.toml", "-b", "0:60"];
    let query = vec!["query", "select count(*) from gold.Transfer"];
    let health = vec!["health", "--stall", "900000h", "--deadline", "900000h"];
    let runs = [const { AtomicUsize::new(0) }; 3];
    std::thread::scope(|scope| {
        let (program, stop) = (&program, &stop);
        let loops = [vec![replay], vec![query, vec!["ledger", "digest"]], vec![health]];
        for (commands, runs) in loops.into_iter().zip(&runs) {
            scope.spawn(move || looping(program, &commands, runs, stop));
        }
        std::fs::write(&replayed, config(&other.node.url(), &[gold, silver])).unwrap();
        std::fs::write(&watched, config(&own.node.url(), &[gold, silver])).unwrap();
        watching.signal("HUP");
        watching.wait_until_said("other contracts or events");
        watching.wait_until("gold and silver", |lines| {
            has_gold(lines) && events_of(lines, SILVER) == transfers(chain, SILVER)
        });
        // Two more of each, when everything is covered.
        let covered = runs.each_ref().map(|runs| runs.load(Ordering::Acquire));
        let is_short = |(runs, before): (&AtomicUsize, usize)| {
            beside && runs.load(Ordering::Acquire) < before + 2
        };
        let deadline = Instant::now() + Duration::from_secs(120);
        while runs.iter().zip(covered).any(is_short) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.store(true, Ordering::Release);
        assert!(!runs.iter().zip(covered).any(is_short), "{runs:?} commands were run");
    });
    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);

    // Gold was covered before: nobody asks for it again. Silver is asked for by one of them.
    let others = other.asked();
    let is_gold_alone = |address: &str| !address.contains(&SILVER.to_lowercase()[2..]);
    assert!(!others.iter().any(|(address, ..)| is_gold_alone(address)), "{others:?}");
    let mut all: Vec<_> = own.asked().into_iter().chain(others).collect();
    all.sort();
    let twice = all.windows(2).find(|pair| pair[0].0 == pair[1].0 && pair[1].1 <= pair[0].2);
    assert!(twice.is_none(), "fetched twice: {twice:?} of {all:?}");
    check(&program, &folder.path().join("l.duckdb"));
    Some(program.run(["ledger", "digest", "--ledger", "l.duckdb"]).expect_success().stdout)
}

#[test]
fn replay_query_and_health_beside_a_watch_whose_filter_is_widened_disturb_nothing() {
    let chain = Arc::new(RecordedChain::load().expect("the recording is part of the project"));
    let Some(undisturbed) = widened(&chain, false) else {
        skip!("shared, watch: headcount is not built (make build)")
    };
    assert_eq!(widened(&chain, true).unwrap(), undisturbed);
}

#[test]
fn a_second_watch_is_told_who_watches() {
    let chain = Arc::new(RecordedChain::load().expect("the recording is part of the project"));
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = Program::in_folder(folder.path()) else {
        skip!("shared, two watches: headcount is not built (make build)")
    };
    let node = Noting::new(&chain, Duration::ZERO);
    std::fs::write(
        folder.path().join("headcount.toml"),
        config(&node.node.url(), &[("gold", GOLD)]),
    )
    .unwrap();
    let mut watching = Watching::start(&program, ["watch"].iter().chain(&PACE));
    watching.wait_until("something", |lines| !lines.is_empty());
    let refused = program.run(["watch"]).expect_code(75);
    assert!(refused.stderr.contains("watches into this ledger already"), "{}", refused.stderr);
    assert_eq!(refused.stderr.matches("error: ").count(), 1, "{}", refused.stderr);
}

/// Ends what was started, also when the test fails.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_watch_killed_at_any_moment_is_carried_on_from_by_whoever_is_there() {
    let chain = Arc::new(RecordedChain::load().expect("the recording is part of the project"));
    let finish = ["watch", "--until-block", "60"];
    let undisturbed = {
        let folder = tempfile::tempdir().unwrap();
        let Some(program) = Program::in_folder(folder.path()) else {
            skip!("shared, killed watch: headcount is not built (make build)")
        };
        let node = Noting::new(&chain, Duration::ZERO);
        let text = config(&node.node.url(), &[("gold", GOLD), ("silver", SILVER)]);
        std::fs::write(folder.path().join("headcount.toml"), text).unwrap();
        program.run(finish.iter().chain(&PACE)).expect_success();
        program.run(["ledger", "digest", "--ledger", "l.duckdb"]).expect_success().stdout
    };
    let mut random = 7;
    for kill in 0..if is_long() { 20 } else { 4 } {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::in_folder(folder.path()).unwrap();
        let node = Noting::new(&chain, Duration::from_millis(30));
        let text = config(&node.node.url(), &[("gold", GOLD), ("silver", SILVER)]);
        std::fs::write(folder.path().join("headcount.toml"), text).unwrap();
        let mut watch = Ended(program.start(["watch"].iter().chain(&PACE)));
        let ledger = folder.path().join("l.duckdb");
        let begun = std::time::Instant::now();
        while !ledger.exists() {
            assert!(begun.elapsed() < Duration::from_secs(60), "no ledger is made");
            std::thread::sleep(Duration::from_millis(5));
        }
        let stop = AtomicBool::new(false);
        let moment = Duration::from_millis(next_random(&mut random) % 600);
        std::thread::scope(|scope| {
            let (program, stop) = (&program, &stop);
            let replays = vec![vec!["replay", "-b", "0:30"], vec!["replay", "-b", "20:60"]];
            let queries = vec![vec!["query", "select count(*) from main.events"]];
            let loops = [replays, queries].map(|commands| {
                scope.spawn(move || looping(program, &commands, &AtomicUsize::new(0), stop))
            });
            // The moment is what is tested.
            std::thread::sleep(moment);
            watch.0.kill().unwrap();
            watch.0.wait().unwrap();
            std::thread::sleep(Duration::from_millis(300));
            stop.store(true, Ordering::Release);
            let runs = loops.map(|handle| handle.join().expect("no command failed"));
            assert!(runs.iter().all(|runs| *runs > 0), "{runs:?}");
        });
        program.run(finish.iter().chain(&PACE)).expect_success();
        check(&program, &ledger);
        let digest = program.run(["ledger", "digest", "--ledger", "l.duckdb"]).expect_success();
        assert_eq!(digest.stdout, undisturbed, "kill {kill} after {moment:?}");
    }
}

#[test]
fn cron_beside_a_watch_is_exact_and_its_last_run_asks_little() {
    const NAME: &str = "shared, cron";
    let Some(anvil) = Anvil::start() else { skip!("{NAME}: anvil is not installed (make tools)") };
    let Some(contracts) = Contracts::compile() else {
        skip!("{NAME}: solc is not installed (make tools)")
    };
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = Program::in_folder(folder.path()) else {
        skip!("{NAME}: headcount is not built (make build)")
    };
    // As cron has it: no environment, no terminal, and the root for a working directory.
    let cron = Program::in_folder(Path::new("/")).unwrap();
    let mut traffic = Traffic::new(anvil.rpc(), 61).unwrap();
    let gold = traffic.deploy_token(contracts.bytecode("Token"), "Gold").unwrap();
    traffic.trade(&[gold], 90).unwrap();
    let file = folder.path().join("headcount.toml");
    let text = config(&anvil.url(), &[("gold", &gold.to_string())]);
    // Every log of the contract, to compare with the chain.
    let text =
        text.lines().filter(|line| !line.starts_with("events")).collect::<Vec<_>>().join("\n");
    std::fs::write(&file, text).unwrap();
    let rpc = anvil.rpc();
    let is_whole = |lines: &[Value]| {
        let events = lines.iter().filter(|line| line["type"] == "event").count();
        events == chain_lines(&rpc).len()
    };
    let mut watching = Watching::start(&program, ["watch"].iter().chain(&PACE));
    watching.wait_until("the first blocks", is_whole);
    let config = file.display().to_string();
    for run in 1..=3 {
        traffic.trade(&[gold], 20).unwrap();
        let words = ["replay", "--config", &config, "--max-time", "9m", "--format", "json"];
        let outcome = cron.run(words).expect_success();
        let json: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert!(["done", "skipped"].contains(&json["status"].as_str().unwrap()), "{json}");
        let calls = json["nodes"][0]["calls"].as_object().unwrap();
        let calls: u64 = calls.values().map(|count| count.as_u64().unwrap()).sum();
        if run == 3 {
            println!("the third run made {calls} calls");
            assert!(calls <= 60, "{json}");
        }
    }
    watching.wait_until("all blocks", is_whole);
    let quiet = cron.run(["replay", "--config", &config, "-b", "0:50", "--quiet"]).expect_success();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let ledger = folder.path().join("l.duckdb");
    assert_eq!(stored_lines(&program, &ledger), chain_lines(&rpc), "{}", end.stderr);
    check(&program, &ledger);
}
