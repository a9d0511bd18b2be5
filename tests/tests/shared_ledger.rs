//! Several processes with one ledger: one owns it, the others are its clients, and nobody says so.
//!
//! Replays of a recorded chain through nodes that wait where a test tells them to. What happens when
//! a watch is the owner is in `shared_watch.rs`.

use headcount_tests::{Bent, Outcome, Program, RecordedChain, ScriptedNode, Watching, skip};
use serde_json::{Value, json};
use std::{
    fs::File,
    io::{Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    process::Child,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";
const GOLD: &str = "gold=0x5FbDB2315678afecb367f032d93F642f64180aa3";
const SILVER: &str = "silver=0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512";
/// A condition that is not met by then never will be.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends what was started, also when the test fails.
struct Ended(Child);

impl Ended {
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A node whose logs can be held back, with the ranges that it was asked for.
struct Held {
    node: ScriptedNode,
    shared: Arc<(Mutex<HeldState>, Condvar)>,
}

#[derive(Default)]
struct HeldState {
    is_open: bool,
    ranges: Vec<(u64, u64)>,
}

impl Held {
    fn new(chain: &Arc<RecordedChain>, is_open: bool) -> Self {
        let state = HeldState { is_open, ..HeldState::default() };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let of_node = shared.clone();
        let node = ScriptedNode::start(chain, move |call, truth| {
            // By block hash a node is asked again about what is in doubt: that is another question.
            if call.method == "eth_getLogs" && call.params[0].get("fromBlock").is_some() {
                let (state, changed) = &*of_node;
                let number = |name: &str| {
                    let text = call.params[0][name].as_str().unwrap_or("0x0");
                    u64::from_str_radix(&text[2..], 16).unwrap()
                };
                let mut state = state.lock().unwrap();
                state.ranges.push((number("fromBlock"), number("toBlock")));
                changed.notify_all();
                drop(changed.wait_while(state, |state| !state.is_open).unwrap());
            }
            Bent::Result(truth)
        });
        Self { node, shared }
    }

    fn name(&self) -> String {
        format!("one={}", self.node.url())
    }

    /// Waits until it was asked for logs: by then who asks has the ledger.
    fn until_asked(&self) {
        let (state, changed) = &*self.shared;
        let state = state.lock().unwrap();
        let waited = changed.wait_timeout_while(state, PATIENCE, |state| state.ranges.is_empty());
        assert!(!waited.unwrap().1.timed_out(), "never asked for logs");
    }

    fn open(&self) {
        self.shared.0.lock().unwrap().is_open = true;
        self.shared.1.notify_all();
    }

    fn ranges(&self) -> Vec<(u64, u64)> {
        self.shared.0.lock().unwrap().ranges.clone()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.open();
    }
}

struct Scene {
    folder: TempDir,
    program: Program,
    chain: Arc<RecordedChain>,
}

impl Scene {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::in_folder(folder.path())?;
        let chain = Arc::new(RecordedChain::load().expect("the recording is part of the project"));
        Some(Self { folder, program, chain })
    }

    fn held(&self) -> Held {
        Held::new(&self.chain, false)
    }

    fn free(&self) -> Held {
        Held::new(&self.chain, true)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a replay that waits for logs, and so owns the ledger.
    fn owner(&self, held: &Held, range: &str) -> Ended {
        let owner = Ended(self.program.start(replay(&held.name(), range)));
        held.until_asked();
        owner
    }

    fn replay(&self, node: &Held, range: &str, more: &[&str]) -> Outcome {
        self.program
            .run(replay(&node.name(), range).iter().map(String::as_str).chain(more.iter().copied()))
    }

    fn look(&self, what: &[&str]) -> Outcome {
        self.program.run(what.iter().chain(&["--ledger", "l.duckdb"]))
    }

    /// The digest of an undisturbed replay of the whole chain.
    fn undisturbed(&self) -> String {
        let other = Self::new().unwrap();
        other.replay(&other.free(), "0:60", &[]).expect_success();
        other.digest()
    }

    fn digest(&self) -> String {
        assert_eq!(self.look(&["ledger", "check"]).expect_success().stdout.trim(), "ok");
        self.look(&["ledger", "digest"]).expect_success().stdout
    }
}

macro_rules! scene {
    ($name:literal) => {
        match Scene::new() {
            Some(scene) => scene,
            None => skip!("{}: headcount is not built (make build)", $name),
        }
    };
}

fn replay(node: &str, range: &str) -> Vec<String> {
    let words = ["replay", "-r", node, "-c", GOLD, "-e", TRANSFER, "-b", range];
    words.iter().chain(&["--ledger", "l.duckdb"]).map(|word| (*word).to_owned()).collect()
}

fn no_lock_is_spoken_of(outcome: &Outcome) {
    for word in ["in use", "lock", "error", "warning"] {
        assert!(!outcome.stderr.contains(word), "{}", outcome.stderr);
    }
}

#[test]
fn a_second_replay_of_the_same_range_leaves_it_to_the_first_and_others_read_meanwhile() {
    let scene = scene!("shared, same range");
    let held = scene.held();
    let owner = scene.owner(&held, "0:60");
    let mode = std::fs::metadata(scene.path("l.duckdb.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let node = scene.free();
    let second = scene.replay(&node, "0:60", &[]).expect_success();
    let pid = owner.0.id();
    let told = format!("skipped: blocks 0:60 (61 blocks), 0:60 is being read by process {pid}\n");
    assert_eq!(second.stdout, told);
    no_lock_is_spoken_of(&second);
    let quiet = scene.replay(&node, "0:60", &["--quiet"]).expect_success();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    let json = scene.replay(&node, "0:60", &["--format", "json"]).expect_success();
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["status"], &json["more"]), (&json!("skipped"), &json!(true)));
    assert_eq!(node.ranges(), [], "what is being read is not asked for");

    for looked in [
        scene.look(&["query", "select count(*) as n from gold.Transfer"]),
        scene.look(&["ledger", "check"]),
        scene.look(&["ledger", "digest"]),
    ] {
        no_lock_is_spoken_of(&looked.expect_success());
    }
    let health = ["health", "-r", &node.name(), "--format", "json"];
    let health: Value = serde_json::from_str(&scene.look(&health).stdout).unwrap();
    assert_ne!(health["ledger"]["verdict"], "unread", "{health}");
    let wrong = scene.look(&["query", "select nothing from nowhere"]).expect_code(2);
    assert!(wrong.stderr.contains("nowhere"), "{}", wrong.stderr);
    scene.look(&["query", "drop table main.events"]).expect_code(2);

    held.open();
    let mut owner = owner;
    assert!(owner.0.wait().unwrap().success());
    assert!(!scene.path("l.duckdb.sock").exists());
    assert_eq!(scene.digest(), scene.undisturbed());
    // Nothing new to do: 0 bytes on both streams.
    let quiet = scene.replay(&node, "0:60", &["--quiet"]).expect_success();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

#[test]
fn a_replay_reads_for_the_owner_what_is_covered_is_not_read_again_and_the_whole_is_exact() {
    let scene = scene!("shared, joined");
    scene.replay(&scene.free(), "0:20", &[]).expect_success();
    let (held, node) = (scene.held(), scene.free());
    let owner = scene.owner(&held, "21:40");
    // 0:20 is covered, 21:40 is being read: the rest is this one's.
    let joined = scene.replay(&node, "0:60", &["--format", "json"]).expect_success();
    no_lock_is_spoken_of(&joined);
    let json: Value = serde_json::from_str(&joined.stdout).unwrap();
    assert_eq!(json["blocks"]["fetched"], 20, "{json}");
    assert_eq!(json["blocks"]["already_covered"], 21, "{json}");
    assert_eq!(json["held"][0]["range"]["first"], 21, "{json}");
    assert_eq!(json["held"][0]["process"], owner.0.id(), "{json}");
    assert!(json["events"]["new"].as_u64().unwrap() > 0, "{json}");
    assert_eq!(json["events"]["new"], json["events"]["decoded"], "{json}");
    assert!(node.ranges().iter().all(|(first, _)| *first > 40), "{:?}", node.ranges());
    let line = scene.replay(&node, "41:60", &["--format", "line"]).expect_success();
    assert!(line.stdout.starts_with("done: blocks 41:60 (20 blocks): 0 read"), "{}", line.stdout);
    held.open();
    let mut owner = owner;
    assert!(owner.0.wait().unwrap().success());
    assert_eq!(scene.digest(), scene.undisturbed());
}

#[test]
fn a_contract_that_only_the_client_names_is_decoded_by_the_owner() {
    let scene = scene!("shared, contracts");
    let held = scene.held();
    let owner = scene.owner(&held, "0:60");
    let node = scene.free();
    let (name, silver) = (node.name(), SILVER);
    let words = ["replay", "-r", &name, "-c", silver, "-e", TRANSFER, "-b", "0:60", "--ledger"];
    scene.program.run(words.iter().chain(&["l.duckdb"])).expect_success();
    let query = ["query", "select count(*) > 0 as has from silver.Transfer"];
    assert_eq!(scene.look(&query).expect_success().stdout, "{\"has\":true}\n");
    // The same name with other events cannot be both.
    let other = ["-c", GOLD, "-e", "Approval(address indexed a, address indexed b, uint256 c)"];
    let words = ["replay", "-r", &name, "-b", "0:60", "--ledger", "l.duckdb"];
    let refused = scene.program.run(words.iter().chain(&other)).expect_code(75);
    assert!(refused.stderr.contains("`gold`"), "{}", refused.stderr);
    drop(owner);
}

#[test]
fn readers_that_want_much_or_never_read_delay_no_commit_and_not_the_end_of_the_owner() {
    let scene = scene!("shared, slow readers");
    let held = scene.held();
    let mut owner = scene.owner(&held, "0:9");
    // More than the owner's memory, sorted; it may fail for want of it, and nothing else may.
    let much = "select max(a), max(b) from (select r as a, repeat(r::varchar, 9) as b from
        range(4000000) t(r) order by hash(r), b limit 3000000)";
    let much = ["query", much, "--ledger", "l.duckdb"];
    let endless =
        ["query", "select r, r + 1 from range(1000000000000) t(r)", "--ledger", "l.duckdb"];
    let mut sorting = Ended(scene.program.start(much));
    // Nobody reads what these say.
    let unread: Vec<_> = (0..2).map(|_| Ended(scene.program.start_heard(endless))).collect();
    let node = scene.free();
    for range in ["10:20", "21:40", "41:60"] {
        let begun = Instant::now();
        let joined = scene.replay(&node, range, &["--format", "json"]).expect_success();
        let json: Value = serde_json::from_str(&joined.stdout).unwrap();
        assert_eq!(json["status"], "done", "{json}");
        assert!(begun.elapsed() < PATIENCE / 2, "{range} took {:?}", begun.elapsed());
    }
    assert!(matches!(sorting.0.wait().unwrap().code(), Some(0 | 74 | 2)));
    held.open();
    let begun = Instant::now();
    assert!(owner.0.wait().unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    for mut reader in unread {
        // It asks anew, of nobody; or it is told that the answer is not whole.
        reader.0.kill().unwrap();
        reader.0.wait().unwrap();
    }
    assert_eq!(scene.digest(), scene.undisturbed());
}

#[test]
fn if_busy_says_whether_to_skip_or_to_wait() {
    let scene = scene!("shared, if busy");
    let held = scene.held();
    let mut owner = scene.owner(&held, "0:30");
    let node = scene.free();
    let skipped = scene.replay(&node, "31:60", &["--if-busy", "skip"]).expect_success();
    let told = format!("skipped: process {} uses the ledger\n", owner.0.id());
    assert_eq!(skipped.stdout, told);
    let late = scene.replay(&node, "31:60", &["--if-busy", "wait", "--max-time", "1s"]);
    let late = late.expect_code(75);
    assert!(late.stderr.contains("in use"), "{}", late.stderr);
    assert!(late.stderr.contains("--if-busy wait has waited"), "{}", late.stderr);
    let wait = replay(&node.name(), "31:60").into_iter().chain(["--if-busy".into(), "wait".into()]);
    let mut waiting = Ended(scene.program.start(wait));
    held.open();
    assert!(owner.0.wait().unwrap().success());
    assert!(waiting.0.wait().unwrap().success());
    assert_eq!(scene.digest(), scene.undisturbed());
}

#[test]
fn when_the_owner_is_killed_its_client_takes_its_place_and_hands_over_what_was_not_committed() {
    let scene = scene!("shared, takeover");
    let points = ["before_begin", "after_append", "before_commit", "after_commit"];
    let expected = scene.undisturbed();
    for (point, hit) in points.iter().flat_map(|point| [(point, 1), (point, 2)]) {
        let scene = Scene::new().unwrap();
        let (held, node) = (scene.held(), scene.free());
        // It dies when it writes what its client reports, for it reads nothing itself.
        let failpoint = format!("store.apply.{point}:{hit}");
        let deadly = scene.program.clone().with_variable("HEADCOUNT_FAILPOINT", &failpoint);
        let mut owner = Ended(deadly.start(replay(&held.name(), "0:9")));
        held.until_asked();
        let first = scene.replay(&node, "10:40", &["--format", "json"]).expect_success();
        no_lock_is_spoken_of(&first);
        let second = scene.replay(&node, "41:60", &["--format", "json"]).expect_success();
        no_lock_is_spoken_of(&second);
        assert!(!owner.0.wait().unwrap().success(), "{failpoint}: it was to die");
        let events = |outcome: &Outcome| {
            let json: Value = serde_json::from_str(&outcome.stdout).unwrap();
            let (new, known) = (&json["events"]["new"], &json["events"]["known"]);
            new.as_u64().unwrap() + known.as_u64().unwrap()
        };
        assert!(events(&first) > 0 && events(&second) > 0, "{failpoint}");
        let mut asked = node.ranges();
        asked.sort_unstable();
        let apart = asked.windows(2).all(|pair| pair[0].1 < pair[1].0);
        assert!(apart, "{failpoint}: blocks were fetched twice: {asked:?}");
        scene.replay(&node, "0:60", &[]).expect_success();
        assert_eq!(scene.digest(), expected, "{failpoint}");
    }
}

#[test]
fn what_another_process_looks_at_again_is_left_to_it_and_told_in_one_line() {
    let scene = scene!("shared, looks");
    let (one, held, two) = (scene.free(), scene.held(), scene.free());
    scene.replay(&one, "0:60", &[]).expect_success();
    let chain = |other: &Held| {
        let (one, other) = (one.name(), format!("two={}", other.node.url()));
        let words = [
            "replay", "-r", &one, "-r", &other, "-c", GOLD, "-e", TRANSFER, "--ledger", "l.duckdb",
        ];
        words.map(str::to_owned).to_vec()
    };
    let mut owner = Ended(scene.program.start(chain(&held)));
    held.until_asked();
    let pid = owner.0.id();
    let second = scene.program.run(chain(&two)).expect_success();
    let told = format!("left to process {pid}, which looks at them just now\n");
    assert_eq!(second.stdout.matches(&told).count(), 1, "{}", second.stdout);
    no_lock_is_spoken_of(&second);
    let line = chain(&two).into_iter().chain(["--format".into(), "line".into()]);
    let line = scene.program.run(line).expect_success();
    let told = format!("is being looked at by process {pid}");
    assert!(line.stdout.contains(&told), "{}", line.stdout);
    assert_eq!(two.ranges(), [], "what another process looks at is not asked for");
    held.open();
    assert!(owner.0.wait().unwrap().success());
}

#[test]
fn an_owner_that_is_killed_at_any_moment_leaves_its_clients_to_finish_exactly() {
    let scene = scene!("shared, kill -9");
    let expected = scene.undisturbed();
    for moment_ms in [0, 40, 90, 150, 250] {
        let scene = Scene::new().unwrap();
        let (held, nodes) = (scene.held(), [scene.free(), scene.free()]);
        let owner = scene.owner(&held, "0:9");
        let clients: Vec<_> = ["10:35", "36:60"]
            .iter()
            .zip(&nodes)
            .map(|(range, node)| Ended(scene.program.start(replay(&node.name(), range))))
            .collect();
        // The moment is what is tested.
        std::thread::sleep(Duration::from_millis(moment_ms));
        owner.kill();
        for mut client in clients {
            assert!(client.0.wait().unwrap().success(), "after {moment_ms} ms");
        }
        scene.replay(&nodes[0], "0:60", &[]).expect_success();
        assert_eq!(scene.digest(), expected, "after {moment_ms} ms");
    }
}

#[test]
fn processes_that_start_at_once_on_a_ledger_that_is_not_there_share_it() {
    let scene = scene!("shared, start");
    let expected = scene.undisturbed();
    for _ in 0..3 {
        let scene = Scene::new().unwrap();
        let node = scene.free();
        let ranges = ["0:60", "0:60", "0:30", "31:60"];
        let started: Vec<_> = ranges
            .iter()
            .map(|range| Ended(scene.program.start(replay(&node.name(), range))))
            .collect();
        for mut process in started {
            assert!(process.0.wait().unwrap().success());
        }
        assert_eq!(scene.digest(), expected);
        let mut asked = node.ranges();
        asked.sort_unstable();
        let apart = asked.windows(2).all(|pair| pair[0].1 < pair[1].0);
        assert!(apart, "blocks were fetched twice: {asked:?}");
    }
}

#[test]
fn a_socket_path_of_150_bytes_leads_elsewhere_and_a_stale_socket_is_replaced() {
    let scene = scene!("shared, long path");
    let folder = scene.path(&"x".repeat(150));
    std::fs::create_dir(&folder).unwrap();
    let ledger = folder.join("l.duckdb");
    let (held, node) = (scene.held(), scene.free());
    let run = scene.path("run");
    std::fs::create_dir(&run).unwrap();
    let with_folder = scene.program.clone().with_variable("XDG_RUNTIME_DIR", run.to_str().unwrap());
    let place = ["--ledger".to_owned(), ledger.display().to_string()];
    let words = |node: &Held, range| {
        let words =
            replay(&node.name(), range).into_iter().filter(|w| w != "--ledger" && w != "l.duckdb");
        words.chain(place.clone()).collect::<Vec<_>>()
    };
    let owner = Ended(with_folder.start(words(&held, "0:30")));
    held.until_asked();
    let sockets = || std::fs::read_dir(&run).unwrap().count();
    assert_eq!(sockets(), 1);
    // The client has another environment, as in cron.
    let joined = scene.program.run(words(&node, "31:60")).expect_success();
    no_lock_is_spoken_of(&joined);
    owner.kill();
    assert_eq!(sockets(), 1, "a killed process leaves its socket");
    // What is left is nobody's: the next owner takes its place, here and beside the ledger.
    drop(UnixListener::bind(scene.path("l.duckdb.sock")).unwrap());
    scene.replay(&node, "0:30", &[]).expect_success();
    assert!(!scene.path("l.duckdb.sock").exists());
    with_folder.run(words(&node, "0:60")).expect_success();
    assert_eq!(sockets(), 0);
    let query = ["query", "select count(*) as n from gold.Transfer"].map(str::to_owned);
    let all = scene.program.run(query.iter().chain(&place)).expect_success();
    assert_eq!(all.stdout, "{\"n\":52}\n");
}

/// Stands for an owner of another version: holds the lock, listens, and says hello.
fn other_version(ledger: &Path) -> File {
    let beside = |suffix: &str| format!("{}{suffix}", ledger.display());
    let mut lock = File::create(beside(".lock")).unwrap();
    lock.lock().unwrap();
    write!(lock, "4711\n{}\n", beside(".sock")).unwrap();
    let listener = UnixListener::bind(beside(".sock")).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = read_frame(&mut stream);
            let hello = json!({
                "protocol": 99, "schema": 9, "role": "watch", "version": "9.9.9", "pid": 4711
            });
            let hello = hello.to_string();
            let _ = stream.write_all(&(hello.len() as u32).to_le_bytes());
            let _ = stream.write_all(hello.as_bytes());
            // Whatever comes then is not understood; it waits to be hung up on.
            let _ = stream.read(&mut [0]);
        }
    });
    lock
}

fn read_frame(stream: &mut UnixStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

#[test]
fn an_owner_of_another_version_is_a_plain_error_within_seconds_and_the_ledger_is_untouched() {
    let scene = scene!("shared, versions");
    let node = scene.free();
    scene.replay(&node, "0:30", &[]).expect_success();
    let before = std::fs::read(scene.path("l.duckdb")).unwrap();
    let lock = other_version(&scene.path("l.duckdb"));
    let begun = Instant::now();
    for outcome in [
        scene.replay(&node, "0:60", &[]),
        scene.look(&["query", "select 1"]),
        scene.look(&["ledger", "digest"]),
    ] {
        let outcome = outcome.expect_code(75);
        assert!(outcome.stderr.contains("speaks protocol 99"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("headcount 9.9.9"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("hint: "), "{}", outcome.stderr);
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(std::fs::read(scene.path("l.duckdb")).unwrap(), before);
    drop(lock);
    scene.replay(&node, "0:60", &[]).expect_success();

    // And one that holds the lock and never listens, as one from before there were sockets.
    let lock = File::options().write(true).open(scene.path("l.duckdb.lock")).unwrap();
    lock.lock().unwrap();
    (&lock).write_all(b"4711\n").unwrap();
    let outcome = scene.look(&["query", "select 1"]).expect_code(75);
    assert!(outcome.stderr.contains("in use by process 4711"), "{}", outcome.stderr);
}

#[test]
fn a_replay_that_owns_the_ledger_ends_and_a_watch_that_waited_takes_over() {
    let scene = scene!("shared, watch waits");
    let held = scene.held();
    let mut owner = scene.owner(&held, "0:30");
    let node = scene.free();
    let name = node.name();
    let words = ["watch", "-r", &name, "-c", GOLD, "-e", TRANSFER, "--ledger", "l.duckdb"];
    let end = ["--from-block", "0", "--until-block", "60", "--poll-interval", "50ms"];
    let mut watching = Watching::start(&scene.program, words.iter().chain(&end));
    watching.wait_until_said(&format!("waiting for process {} (replay)", owner.0.id()));
    held.open();
    assert!(owner.0.wait().unwrap().success());
    let ended = watching.join();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("waiting for").count(), 1, "{}", ended.stderr);
    let query = ["query", "select count(*) as n from gold.Transfer"];
    assert_eq!(scene.look(&query).expect_success().stdout, "{\"n\":52}\n");
}

#[test]
fn a_replay_that_runs_out_of_time_as_a_client_ends_cleanly_and_the_next_one_goes_on() {
    let scene = scene!("shared, max time");
    let (held, slow, node) = (scene.held(), scene.held(), scene.free());
    let mut owner = scene.owner(&held, "0:9");
    let stopped = scene.replay(&slow, "10:60", &["--max-time", "1s", "--format", "json"]);
    let stopped = stopped.expect_success();
    let json: Value = serde_json::from_str(&stopped.stdout).unwrap();
    assert_eq!((&json["status"], &json["more"]), (&json!("stopped"), &json!(true)), "{json}");
    // What it had claimed is free again.
    let json = scene.replay(&node, "10:60", &["--format", "json"]).expect_success();
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["status"], &json["blocks"]["fetched"]), (&json!("done"), &json!(51)));
    held.open();
    assert!(owner.0.wait().unwrap().success());
    assert_eq!(scene.digest(), scene.undisturbed());
}
