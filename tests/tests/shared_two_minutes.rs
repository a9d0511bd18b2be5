//! One machine, two minutes: a watch owns the ledger of a chain that grows; cron replays, queries, health
//! checks, exports and snapshots go on beside it, and a filter is widened in the middle. Nobody fails or
//! hears of a lock, and no node is asked twice for a block of a contract.
//!
//! What counts as twice is one node, one contract, one block, by whichever question for logs. An empty answer
//! for a block whose bloom says otherwise is no evidence and is asked for once more, so it does not count; what
//! a second look reads through *another* node would not either. Seconds in `make test-all`, two minutes in
//! `make long`.

use crate::watch::check;
use headcount_tests::{
    Bent, Program, RecordedChain, ScriptedNode, Watching, is_long, next_random, skip,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const GOLD: &str = "0x5FbDB2315678afecb367f032d93F642f64180aa3";
const SILVER: &str = "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512";
const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";
/// Blocks that are there at the start, and at the end.
const HEADS: (u64, u64) = (20, 60);
/// Blocks of the head that are not final.
const NOT_FINAL: u64 = 6;
const PACE: [&str; 6] = ["--from-block", "0", "--poll-interval", "50ms", "--agree-wait", "500ms"];

/// Who was asked for the logs of a contract in a block: node, contract, block.
type Asked = Arc<Mutex<BTreeMap<(usize, String, u64), Vec<Value>>>>;

/// A recorded chain of which more and more is there, with everything that its nodes were asked for.
struct Growing {
    chain: Arc<RecordedChain>,
    head: Arc<AtomicU64>,
    asked: Asked,
    nodes: Vec<ScriptedNode>,
}

impl Growing {
    fn new(nodes: usize) -> Self {
        let chain = Arc::new(RecordedChain::load().expect("the recording is part of the project"));
        let head = Arc::new(AtomicU64::new(HEADS.0));
        let asked = Asked::default();
        let start = |index| {
            let (of_node, head, asked) = (chain.clone(), head.clone(), asked.clone());
            ScriptedNode::start(&chain, move |call, truth| {
                let head = head.load(Ordering::Acquire);
                answer(&of_node, head, &call.method, &call.params, truth, |address, block| {
                    let mut asked = asked.lock().unwrap();
                    asked.entry((index, address, block)).or_default().push(call.params.clone());
                })
            })
        };
        let nodes = (0..nodes).map(start).collect();
        Self { chain, head, asked, nodes }
    }

    fn config(&self, contracts: &[(&str, &str)]) -> String {
        let mut text = "ledger = \"l.duckdb\"\n[chain.local]\nid = 31337\n".to_owned();
        for (node, name) in self.nodes.iter().zip(["one", "two"]) {
            text += &format!("[[chain.local.node]]\nname = \"{name}\"\nurl = \"{}\"\n", node.url());
        }
        for (name, address) in contracts {
            text += &format!(
                "[[contract]]\nname = \"{name}\"\naddress = \"{address}\"\nstart = 0\n\
                 events = [\"{TRANSFER}\"]\n"
            );
        }
        text
    }

    /// Transfers of a contract, as a query tells them.
    fn transfers(&self, contract: &str) -> usize {
        let topic = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
        let filter = json!({
            "fromBlock": "0x0", "toBlock": format!("{:#x}", HEADS.1),
            "address": contract.to_lowercase(), "topics": [topic]
        });
        self.chain.answer("eth_getLogs", &json!([filter])).as_array().unwrap().len()
    }

    fn asked_twice(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let twice = asked.iter().filter(|(_, calls)| calls.len() > 1);
        twice
            .map(|((node, address, block), calls)| {
                format!("node {node}, block {block}, {address}: {calls:?}")
            })
            .collect()
    }
}

fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// Answers from the part of the chain that is there, and tells of each contract and block of a question
/// for logs.
fn answer(
    chain: &RecordedChain,
    head: u64,
    method: &str,
    params: &Value,
    truth: Value,
    mut told: impl FnMut(String, u64),
) -> Bent {
    let hex = |number: u64| format!("{number:#x}");
    match (method, params[0].as_str()) {
        ("eth_blockNumber", _) => Bent::Result(json!(hex(head))),
        ("eth_getBlockByNumber", Some(place)) => {
            let wanted = match place {
                "latest" => head,
                "finalized" | "safe" => head.saturating_sub(NOT_FINAL),
                place => number(place).unwrap_or(u64::MAX),
            };
            match wanted <= head {
                true => {
                    let params = json!([hex(wanted), params[1]]);
                    Bent::Result(chain.answer("eth_getBlockByNumber", &params))
                }
                false => Bent::Result(Value::Null),
            }
        }
        ("eth_getLogs", _) => {
            let filter = &params[0];
            let place = |name: &str| filter[name].as_str().and_then(number);
            let blocks = match (place("fromBlock"), place("toBlock")) {
                (Some(first), Some(last)) => first..=last,
                _ => {
                    let hash = filter["blockHash"].as_str().unwrap_or_default();
                    let block = (0..=HEADS.1).find(|block| chain.hash(*block) == hash);
                    block.map_or(u64::MAX..=u64::MAX, |block| block..=block)
                }
            };
            if *blocks.end() > head {
                return Bent::Error(-32602, "block range extends beyond current head block".into());
            }
            let addresses = match &filter["address"] {
                Value::Array(all) => all.clone(),
                one => vec![one.clone()],
            };
            let is_doubt = |address: &str| {
                let logs = truth.as_array().into_iter().flatten();
                filter["blockHash"].is_string()
                    && !logs.into_iter().any(|log| {
                        log["address"].as_str().is_some_and(|a| a.eq_ignore_ascii_case(address))
                    })
            };
            for address in addresses {
                let address = address.as_str().unwrap_or("any").to_lowercase();
                if !is_doubt(&address) {
                    blocks.clone().for_each(|block| told(address.clone(), block));
                }
            }
            Bent::Result(truth)
        }
        _ => Bent::Result(truth),
    }
}

/// Puts a file where another one may be read just now.
fn put(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// Runs commands again and again until it is told to stop. Each must succeed, and speak of no lock; one that
/// was killed has not failed. Counts those that succeeded.
fn looping(program: &Program, commands: &[Vec<&str>], stop: &AtomicBool, runs: &AtomicU64) {
    while !stop.load(Ordering::Acquire) {
        for command in commands {
            let outcome = program.run(command);
            if outcome.code.is_none() {
                continue;
            }
            let outcome = outcome.expect_success();
            for word in ["error", " lock", "in use", "warning"] {
                assert!(!outcome.stderr.contains(word), "{command:?}: {}", outcome.stderr);
            }
            runs.fetch_add(1, Ordering::Release);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn counts(runs: &[AtomicU64]) -> Vec<u64> {
    runs.iter().map(|runs| runs.load(Ordering::Acquire)).collect()
}

/// Waits until a condition on what succeeded is met.
fn until(runs: &[AtomicU64], is_so: impl Fn(&[u64]) -> bool) {
    let begun = Instant::now();
    while !is_so(&counts(runs)) {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody carries on: {:?}", counts(runs));
        thread::sleep(Duration::from_millis(10));
    }
}

fn loops() -> Vec<Vec<Vec<&'static str>>> {
    let health = "health --stall 900000h --deadline 900000h";
    let words = |text: &'static str| text.split(' ').collect::<Vec<_>>();
    vec![
        vec![words("replay --quiet --max-time 9m")],
        vec![vec!["query", "select count(*) from gold.Transfer"], words("ledger check")],
        vec![words(health), words("coverage")],
        vec![
            words("export gold.Transfer -o gold.parquet --force"),
            words("snapshot copy.duckdb --force"),
        ],
    ]
}

fn events_of(lines: &[Value], contract: &str) -> usize {
    let is_one = |line: &&Value| {
        line["type"] == "event"
            && line["address"].as_str().is_some_and(|a| a.eq_ignore_ascii_case(contract))
    };
    lines.iter().filter(is_one).count()
}

#[test]
fn one_machine_two_minutes() {
    let growing = Growing::new(1);
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = Program::in_folder(folder.path()) else {
        skip!("one machine, two minutes: headcount is not built (make build)")
    };
    let config = folder.path().join("headcount.toml");
    let (gold, silver) = (("gold", GOLD), ("silver", SILVER));
    put(&config, &growing.config(&[gold]));
    let mut watching = Watching::start(&program, ["watch"].iter().chain(&PACE));
    watching.wait_until("something", |lines| !lines.is_empty());

    let whole = Duration::from_secs(if is_long() { 120 } else { 15 });
    let (stop, begun) = (AtomicBool::new(false), Instant::now());
    let runs: Vec<AtomicU64> = loops().iter().map(|_| AtomicU64::new(0)).collect();
    thread::scope(|scope| {
        let (program, stop) = (&program, &stop);
        for (commands, runs) in loops().into_iter().zip(&runs) {
            scope.spawn(move || looping(program, &commands, stop, runs));
        }
        let mut is_widened = false;
        while begun.elapsed() < whole {
            let done = begun.elapsed().as_secs_f64() / whole.as_secs_f64();
            let grown = (HEADS.1 - HEADS.0) as f64 * (done * 1.2).min(1.0);
            growing.head.store(HEADS.0 + grown as u64, Ordering::Release);
            if done > 0.5 && !is_widened {
                is_widened = true;
                put(&config, &growing.config(&[gold, silver]));
                watching.signal("HUP");
                watching.wait_until_said("other contracts or events");
            }
            thread::sleep(Duration::from_millis(20));
        }
        growing.head.store(HEADS.1, Ordering::Release);
        let (all_gold, all_silver) = (growing.transfers(GOLD), growing.transfers(SILVER));
        watching.wait_until("gold and silver", |lines| {
            events_of(lines, GOLD) == all_gold && events_of(lines, SILVER) == all_silver
        });
        until(&runs, |runs| runs.iter().all(|runs| *runs > 1));
        stop.store(true, Ordering::Release);
    });
    println!("runs beside the watch: {:?}", counts(&runs));
    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let twice = growing.asked_twice();
    assert!(twice.is_empty(), "{} fetched twice: {:#?}", twice.len(), &twice[..twice.len().min(9)]);
    is_exact(&growing, &program, &["gold", "silver"]);
    assert!(folder.path().join("gold.parquet").exists());
    check(&program, &folder.path().join("copy.duckdb"));
}

/// The ledger has every transfer of these contracts once.
fn is_exact(growing: &Growing, program: &Program, contracts: &[&str]) {
    let ledger = program.folder().join("l.duckdb");
    check(program, &ledger);
    for contract in contracts {
        let address = if *contract == "gold" { GOLD } else { SILVER };
        let sql = format!("select count(*) as n from {contract}.Transfer");
        let stored = program.query(&ledger, &sql)[0]["n"].as_u64().unwrap();
        assert_eq!(stored as usize, growing.transfers(address), "{contract}");
    }
}

/// Ends what was started, also when the test fails.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Kills whoever owns the ledger just now, if anybody does; returns whether.
fn kill_owner(folder: &Path) -> bool {
    let lock = fs::read_to_string(folder.join("l.duckdb.lock")).unwrap_or_default();
    let Some(pid) = lock.lines().next().and_then(|line| line.parse::<u32>().ok()) else {
        return false;
    };
    let sent = std::process::Command::new("kill").args(["-9", &pid.to_string()]).output();
    sent.is_ok_and(|sent| sent.status.success())
}

#[test]
fn whoever_owns_one_ledger_is_killed_again_and_again_and_another_process_carries_on() {
    let growing = Growing::new(1);
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = Program::in_folder(folder.path()) else {
        skip!("one machine, killed owners: headcount is not built (make build)")
    };
    let contracts = [("gold", GOLD), ("silver", SILVER)];
    put(&folder.path().join("headcount.toml"), &growing.config(&contracts));
    let kills = if is_long() { 20 } else { 4 };
    let (stop, mut random) = (AtomicBool::new(false), 11);
    let watch: Vec<&str> = ["watch"].iter().chain(&PACE).copied().collect();
    let finish = ["watch", "--until-block", "60"];
    let runs: Vec<AtomicU64> = loops().iter().map(|_| AtomicU64::new(0)).collect();
    // One transaction at least, so that there is a table to ask for.
    program.run(["replay", "-b", "0:5", "--quiet", "--ledger", "l.duckdb"]).expect_success();
    thread::scope(|scope| {
        let (program, stop) = (&program, &stop);
        for (commands, runs) in loops().into_iter().zip(&runs) {
            scope.spawn(move || looping(program, &commands, stop, runs));
        }
        let (mut killed, begun) = (0, Instant::now());
        let mut watching = Ended(program.start(&watch));
        while killed < kills {
            assert!(begun.elapsed() < Duration::from_secs(300), "only {killed} owners were killed");
            thread::sleep(Duration::from_millis(next_random(&mut random) % 1_500));
            if kill_owner(folder.path()) {
                let before: u64 = counts(&runs).iter().sum();
                until(&runs, |runs| runs.iter().sum::<u64>() > before);
                killed += 1;
                let grown = (HEADS.1 - HEADS.0) * killed / kills;
                growing.head.store(HEADS.0 + grown, Ordering::Release);
            }
            if watching.0.try_wait().unwrap().is_some() {
                watching = Ended(program.start(&watch));
            }
        }
        // Each goes on when nobody is killed any more.
        let before = counts(&runs);
        until(&runs, |runs| runs.iter().zip(&before).all(|(now, before)| now > before));
        drop(watching);
        stop.store(true, Ordering::Release);
    });
    println!("runs between {kills} kills: {:?}", counts(&runs));
    program.run(finish.iter().chain(&PACE)).expect_success();
    is_exact(&growing, &program, &["gold", "silver"]);
}
