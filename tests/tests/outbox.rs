//! Messages of plugins on their way to a sink: each one arrives, with the same key on every attempt,
//! whatever dies or is down, and nothing else waits for it.

use crate::{
    bad_input::Scene,
    watch::{chain_lines, check},
};
use headcount_tests::{
    Anvil, Contracts, Outcome, Program, Received, Receiver, Traffic, Watching, is_long, skip,
    workspace,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

const SECRETS: [&str; 5] = [
    "CanaryUser1a2b3c",
    "CanaryPath7a8b9c",
    "CanaryQueryd0e1f2",
    "CanaryHeadera3b4c5",
    "CanaryKey9f8e7d",
];

/// The recorded chain, a receiver, and a configuration that sends every event there.
struct Sending {
    scene: Scene,
    receiver: Receiver,
    recording: String,
}

impl Sending {
    fn new() -> Result<Self, &'static str> {
        let scene = Scene::set_up()?;
        let plugin =
            Program::plugin("webhook").ok_or("the plugins are not built (make plugins)")?;
        let receiver = Receiver::start();
        let url = receiver.url().replace("http://", "http://${USER_PART}:x@");
        let config = format!(
            "[sink.hook]\nurl = \"{url}/hook/${{PATH_KEY}}?k=${{QUERY_KEY}}\"\n\
             headers = {{ x-token = \"${{HEADER_KEY}}\" }}\nsecret = \"${{SIGN_KEY}}\"\ntimeout = \"2s\"\n\
             [[plugin]]\nwasm = {:?}\nsinks = [\"hook\"]\nconfig = {{ sink = \"hook\" }}\n",
            plugin.display().to_string()
        );
        scene.write("headcount.toml", config);
        let recording = workspace().join("fixtures/erc20.ndjson.gz").display().to_string();
        Ok(Self { scene, receiver, recording })
    }

    fn program(&self) -> Program {
        let names = ["USER_PART", "PATH_KEY", "QUERY_KEY", "HEADER_KEY", "SIGN_KEY"];
        let with =
            |program: Program, (name, value): (&str, &str)| program.with_variable(name, value);
        names.into_iter().zip(SECRETS).fold(self.scene.program.clone(), with)
    }

    fn replay(&self, more: &[&str]) -> Outcome {
        self.program().run(self.scene.arguments(&self.recording, more))
    }

    /// Block hash, transaction and log index of every canonical event.
    fn events(&self) -> BTreeSet<String> {
        let sql = "select concat_ws(':', hex0x(block_hash), hex0x(tx_hash), log_index) as v
            from events_canonical";
        let rows = self.scene.program.query(&self.scene.ledger(), sql);
        rows.iter().map(|row| row["v"].as_str().unwrap().to_owned()).collect()
    }

    /// How many messages are in each state.
    fn states(&self) -> BTreeMap<String, u64> {
        let sql = "select status, count(*)::integer as n from outbox group by all";
        let rows = self.scene.program.query(&self.scene.ledger(), sql);
        let state =
            |row: &Value| (row["status"].as_str().unwrap().to_owned(), row["n"].as_u64().unwrap());
        rows.iter().map(state).collect()
    }
}

/// The event that a message tells of.
fn told(message: &Received) -> String {
    let body: Value = serde_json::from_str(&message.body).unwrap();
    let word = |name: &str| body[name].as_str().unwrap().to_owned();
    format!("{}:{}:{}", word("block_hash"), word("tx_hash"), body["log_index"])
}

/// The events that were taken; an attempt of one message says the same each time, under the same key.
#[track_caller]
fn taken(received: &[Received]) -> BTreeSet<String> {
    let mut bodies: BTreeMap<&str, &str> = BTreeMap::new();
    let mut keys: BTreeMap<String, &str> = BTreeMap::new();
    for message in received {
        let known = bodies.entry(message.key()).or_insert(&message.body);
        assert_eq!(*known, message.body, "one key for two messages");
        let known = keys.entry(told(message)).or_insert(message.key());
        assert_eq!(*known, message.key(), "two keys for one event");
    }
    received.iter().filter(|message| message.status < 300).map(told).collect()
}

macro_rules! sending {
    ($test:literal) => {
        match Sending::new() {
            Ok(sending) => sending,
            Err(missing) => skip!("{}: {missing}", $test),
        }
    };
}

#[test]
fn every_event_of_a_replay_is_sent_once_and_a_second_replay_sends_nothing() {
    let sending = sending!("outbox_replay");
    let ended = sending.replay(&["--format", "json"]).expect_success();
    let received = sending.receiver.received();
    let events = sending.events();
    assert!(events.len() > 50, "{}", events.len());
    assert_eq!(taken(&received), events);
    assert_eq!(received.len(), events.len(), "each once");
    let summary: Value = serde_json::from_str(&ended.stdout).unwrap();
    let sink =
        json!([{"name": "hook", "sent": events.len(), "waiting": 0, "reason": null, "dead": 0}]);
    assert_eq!(summary["sinks"], sink);
    // In the order of the chain.
    let places: Vec<(u64, u64)> = (received.iter())
        .map(|message| serde_json::from_str::<Value>(&message.body).unwrap())
        .map(|body| (body["block_number"].as_u64().unwrap(), body["log_index"].as_u64().unwrap()))
        .collect();
    assert!(places.is_sorted(), "{places:?}");
    let first = &received[0];
    assert!(first.head.starts_with(&format!("POST /hook/{}?k={}", SECRETS[1], SECRETS[2])));
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(first.header("headcount-plugin"), Some("webhook"));
    assert_eq!(first.header("x-token"), Some(SECRETS[3]));
    assert!(first.header("headcount-signature").unwrap().starts_with("sha256="));
    assert!(
        first.body.contains("\"event\":\"Transfer(address,address,uint256)\""),
        "{}",
        first.body
    );
    assert!(first.body.contains("\"args\":{"), "{}", first.body);

    sending.replay(&["--refetch"]).expect_success();
    assert_eq!(sending.receiver.received().len(), events.len());
    assert_eq!(sending.states(), BTreeMap::from([("sent".to_owned(), events.len() as u64)]));
}

#[test]
fn a_run_killed_at_every_failpoint_of_its_lane_and_outbox_loses_no_message() {
    let names = [
        "store.lane.before_commit",
        "store.lane.after_commit",
        "store.outbox.before_commit",
        "store.outbox.after_commit",
    ];
    let mut deaths = 0;
    let hits: &[u64] = if is_long() { &[1, 2, 3, 4, 5, 6, 7, 8, 9] } else { &[1, 2, 5] };
    for name in names {
        let sending = sending!("outbox_kill");
        let mut reports = 0;
        for hit in hits {
            let failpoint = format!("{name}:{hit}");
            let program = sending.program().with_variable("HEADCOUNT_FAILPOINT", &failpoint);
            let ended = program.run(sending.scene.arguments(&sending.recording, &["--quiet"]));
            match ended.code {
                None => deaths += 1,
                Some(_) => drop(ended.expect_success()),
            }
            reports += 1;
        }
        sending.replay(&["--quiet"]).expect_success();
        let received = sending.receiver.received();
        let events = sending.events();
        assert_eq!(taken(&received), events, "{name}");
        // A kill repeats what was taken and not written, and no more than that.
        let repeated = received.len() - events.len();
        assert!(repeated <= 32 * reports, "{name}: {repeated} came twice");
        assert_eq!(sending.states(), BTreeMap::from([("sent".to_owned(), events.len() as u64)]));
        let ledger = sending.scene.ledger().display().to_string();
        let checked = sending.program().run(["ledger", "check", "--ledger", &ledger]);
        assert_eq!(checked.expect_success().stdout.trim(), "ok");
    }
    assert!(deaths >= 8, "only {deaths} processes died");
}

/// What is stored of every message: its key, and the batch that enqueued it.
fn enqueued(sending: &Sending) -> Vec<Value> {
    let sql = "select key, idempotency_key, batch::integer as batch from outbox order by all";
    sending.scene.program.query(&sending.scene.ledger(), sql)
}

#[test]
fn f75_a_run_killed_around_the_commit_of_a_batch_hands_it_over_again_under_the_same_keys() {
    let calm = sending!("f75");
    calm.replay(&["--quiet"]).expect_success();
    let (expected, events) = (enqueued(&calm), calm.events());
    assert!(expected.len() > 50, "{}", expected.len());
    // Killed before the batch and its word are in the ledger, and after, before the lane knows of it.
    for (failpoint, is_there) in
        [("store.lane.before_commit:1", false), ("store.lane.after_commit:1", true)]
    {
        let sending = sending!("f75");
        let program = sending.program().with_variable("HEADCOUNT_FAILPOINT", failpoint);
        let killed = program.run(sending.scene.arguments(&sending.recording, &["--quiet"]));
        assert_eq!(killed.code, None, "{failpoint}: {}", killed.stderr);
        assert_eq!(!enqueued(&sending).is_empty(), is_there, "{failpoint}");
        sending.replay(&["--quiet"]).expect_success();
        // As if nothing had happened: no message twice, none under another key or of another batch.
        assert_eq!(enqueued(&sending), expected, "{failpoint}");
        assert_eq!(taken(&sending.receiver.received()), events, "{failpoint}");
    }
}

#[test]
fn f76_what_a_killed_run_had_sent_and_not_noted_comes_again_flagged_and_under_the_same_key() {
    let sending = sending!("f76");
    // The second time that the outbox is written is the first that notes what a sink took.
    let failpoint = "store.outbox.before_commit:2";
    let program = sending.program().with_variable("HEADCOUNT_FAILPOINT", failpoint);
    let killed = program.run(sending.scene.arguments(&sending.recording, &["--quiet"]));
    assert_eq!(killed.code, None, "{}", killed.stderr);
    let before = sending.receiver.received();
    assert!(!before.is_empty());
    assert_eq!(sending.states().get("sent"), None, "nobody noted it");
    sending.replay(&["--quiet"]).expect_success();
    let received = sending.receiver.received();
    let events = sending.events();
    assert_eq!(taken(&received), events);
    let attempts = |message: &Received| -> u32 {
        message.header("headcount-attempt").unwrap().trim().parse().unwrap()
    };
    let (first, again) = received.split_at(before.len());
    assert!(first.iter().all(|message| attempts(message) == 1));
    let keys: BTreeSet<&str> = first.iter().map(|message| message.key()).collect();
    assert_eq!(keys.len(), first.len(), "once each until then");
    for message in again {
        let is_again = keys.contains(message.key());
        assert_eq!(attempts(message) > 1, is_again, "{}", message.head);
    }
    let repeated = again.iter().filter(|message| keys.contains(message.key())).count();
    assert_eq!(repeated, first.len(), "what nobody noted was sent again");
    assert_eq!(received.len(), events.len() + repeated);
}

#[test]
fn a_sink_that_is_down_delays_no_event_and_gets_everything_in_order_later() {
    let sending = sending!("outbox_down");
    sending.receiver.answers(|_, _| (503, "retry-after: 3600\r\n".to_owned()));
    let begun = Instant::now();
    let ended = sending.replay(&["--max-time", "4s"]).expect_success();
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    assert!(ended.stderr.contains("warning: sink hook: 0 sent, "), "{}", ended.stderr);
    assert!(ended.stderr.contains("waiting (answered 503)"), "{}", ended.stderr);
    let events = sending.events();
    // It said when to come back, and was believed.
    assert_eq!(sending.receiver.received().len(), 1);
    assert_eq!(sending.states(), BTreeMap::from([("pending".to_owned(), events.len() as u64)]));
    let list = ["plugin", "list", "--ledger", "events.duckdb"];
    let list = sending.program().run(list).expect_success().stdout;
    assert!(list.contains("sink hook") && list.contains("answered 503"), "{list}");

    // Up again, but for a moment now and then.
    sending.receiver.answers(|before, _| match before % 40 == 5 {
        true => (500, String::new()),
        false => (200, String::new()),
    });
    sending.replay(&["--quiet"]).expect_success();
    let received = sending.receiver.received();
    assert_eq!(taken(&received), events);
    let order: Vec<String> =
        received.iter().filter(|message| message.status == 200).map(told).collect();
    assert_eq!(order.len(), events.len());
    let tried: Vec<String> = received[1..].iter().map(told).collect();
    for (at, message) in received.iter().enumerate().skip(1).filter(|(_, m)| m.status == 500) {
        assert_eq!(tried[at], told(message), "the one that failed comes next");
    }
}

#[test]
fn what_a_sink_refuses_is_dead_and_the_next_ones_are_sent() {
    let sending = sending!("outbox_dead");
    let other = Receiver::start();
    let location = format!("location: {}/\r\n", other.url());
    sending.receiver.answers(move |before, _| match before {
        2 => (404, String::new()),
        4 => (307, location.clone()),
        _ => (200, String::new()),
    });
    let ended = sending.replay(&[]).expect_success();
    assert!(ended.stderr.contains("warning: sink hook: ") && ended.stderr.contains(", 2 dead"));
    assert_eq!(other.received(), [], "a redirect was followed");
    let events = sending.events();
    assert_eq!(taken(&sending.receiver.received()).len(), events.len() - 2);
    assert_eq!(sending.states()["dead"], 2);
    let sql = "select reason from outbox where status = 'dead' order by id";
    let reasons = sending.scene.program.query(&sending.scene.ledger(), sql);
    assert_eq!(
        json!(reasons),
        json!([
            {"reason": "answered 404"},
            {"reason": "answered 307; redirects are not followed"}
        ])
    );

    // Shown, dropped, and sent after all.
    let run = |arguments: &[&str]| {
        let place = ["--ledger", "events.duckdb"];
        let ran = sending.program().run(arguments.iter().chain(&place));
        ran.expect_success().stdout
    };
    let dead = || -> Vec<Value> {
        let listed: Value =
            serde_json::from_str(&run(&["plugin", "dead", "list", "--format", "json"])).unwrap();
        listed["messages"].as_array().unwrap().clone()
    };
    let (first, second) = (dead()[0].clone(), dead()[1].clone());
    let id = |message: &Value| message["id"].as_str().unwrap().to_owned();
    let shown = run(&["plugin", "dead", "show", &id(&first)]);
    assert!(shown.contains("answered 404") && shown.contains("block_hash"), "{shown}");
    let told = run(&["plugin", "dead", "drop", &id(&first)]);
    assert_eq!(told, "0 events and 1 messages are dropped\n");
    let told = run(&["plugin", "dead", "retry", &id(&second)]);
    assert_eq!(told, "0 events and 1 messages are tried again\n");
    assert_eq!(dead(), [] as [Value; 0]);
    sending.receiver.answers(|_, _| (200, String::new()));
    sending.replay(&["--refetch"]).expect_success();
    assert_eq!(taken(&sending.receiver.received()).len(), events.len() - 1);
    let sent = events.len() as u64 - 1;
    let states = [("dropped".to_owned(), 1), ("sent".to_owned(), sent)];
    assert_eq!(sending.states(), BTreeMap::from(states));
}

#[test]
fn no_secret_of_a_sink_is_found_anywhere() {
    let sending = sending!("outbox_secrets");
    let echo = |status: u16| {
        move |_: usize, _: &str| (status, format!("x-echo: {}\r\n", SECRETS.join(" ")))
    };
    for status in [503, 404, 200] {
        sending.receiver.answers(echo(status));
        let program = sending.program().with_variable("HEADCOUNT_LOG", "trace");
        let arguments =
            sending.scene.arguments(&sending.recording, &["--max-time", "3s", "--refetch"]);
        let ended = program.run(arguments);
        let shown = sending.program().run(["config", "show"]).expect_success();
        for text in [&ended.stdout, &ended.stderr, &shown.stdout] {
            for secret in SECRETS {
                assert!(!text.contains(secret), "{status}: {secret} is in {text}");
            }
        }
    }
    let rows = sending
        .scene
        .program
        .query(&sending.scene.ledger(), "select o::varchar as v from outbox o");
    let mut texts: Vec<String> = rows.iter().map(Value::to_string).collect();
    for entry in fs::read_dir(sending.scene.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            texts.push(String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned());
        }
    }
    for secret in SECRETS {
        assert!(!texts.iter().any(|text| text.contains(secret)), "{secret} was written down");
    }
}

#[test]
fn a_sink_that_is_not_granted_is_refused_before_anything_is_read() {
    let sending = sending!("outbox_grant");
    let config = fs::read_to_string(sending.scene.folder.path().join("headcount.toml")).unwrap();
    sending.scene.write("headcount.toml", config.replace("sinks = [\"hook\"]\n", ""));
    let refused = sending.replay(&[]).expect_code(2);
    assert!(refused.stderr.contains("sink `hook` is not granted"), "{}", refused.stderr);
    assert!(refused.stderr.contains("\nhint: "), "{}", refused.stderr);
    assert!(!sending.scene.ledger().exists());
}

#[test]
fn a_watch_sends_as_blocks_come_and_go_and_a_killed_one_loses_no_message() {
    const NAME: &str = "outbox_watch";
    let Some(anvil) = Anvil::start() else { skip!("{NAME}: anvil is not installed (make tools)") };
    let Some(contracts) = Contracts::compile() else {
        skip!("{NAME}: solc is not installed (make tools)")
    };
    let sending = sending!("outbox_watch");
    let mut traffic = Traffic::new(anvil.rpc(), 91).unwrap();
    let gold = traffic.deploy_token(contracts.bytecode("Token"), "Gold").unwrap();
    traffic.trade(&[gold], 10).unwrap();
    let rpc = anvil.rpc();
    let contract = format!("gold={gold}");
    let (url, pace) = (anvil.url(), ["--poll-interval", "100ms", "--from-block", "0"]);
    let fixed = ["watch", "-r", &url, "-c", &contract, "--ledger", "events.duckdb"];
    let arguments: Vec<&str> = fixed.iter().chain(&pace).copied().collect();
    // What stands on the chain, as messages tell it.
    let standing_now = || -> BTreeSet<String> {
        chain_lines(&rpc)
            .iter()
            .map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                format!("{}:{}:{}", words[1], words[2], words[4])
            })
            .collect()
    };
    let is_told = |expected: BTreeSet<String>| {
        move |received: &[Received]| expected.is_subset(&taken(received))
    };
    let watching = Watching::start(&sending.program(), &arguments);
    sending.receiver.wait_until("the blocks from before", is_told(standing_now()));
    traffic.trade(&[gold], 5).unwrap();
    sending.receiver.wait_until("new blocks", is_told(standing_now()));
    // A slow sink, and a kill while it is sent to.
    sending.receiver.answers(|_, _| {
        std::thread::sleep(Duration::from_millis(30));
        (200, String::new())
    });
    let before = sending.receiver.received().len();
    traffic.trade(&[gold], 8).unwrap();
    sending.receiver.wait_until("some of them", |received| received.len() > before + 3);
    watching.end("KILL");
    rpc.call("anvil_rollback", json!([3])).unwrap();
    traffic.trade(&[gold], 4).unwrap();
    let watching = Watching::start(&sending.program(), &arguments);
    sending.receiver.wait_until("everything that stands", is_told(standing_now()));
    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(end.took < Duration::from_secs(5), "{:?}", end.took);
    check(&sending.scene.program, &sending.scene.ledger());
}
