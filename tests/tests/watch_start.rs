//! How a watch starts: with nodes that say nothing or are on another chain, and where another one ended.

use crate::{
    watch::{chain_lines, check, head_of},
    watch_end::{Scene, is_whole, scene},
};
use headcount_tests::{Anvil, FaultProxy, Watching, skip, stored_lines};
use std::time::{Duration, Instant};

/// A condition that is not met by then never will be.
const PATIENCE: Duration = Duration::from_secs(90);

/// Tries until it is so.
#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "never {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Without `--from-block 0` and its value.
fn from_anywhere(mut arguments: Vec<String>) -> Vec<String> {
    let at = arguments.iter().position(|argument| argument == "--from-block").unwrap();
    arguments.drain(at..at + 2);
    arguments
}

#[test]
fn a_node_that_is_frozen_at_the_start_delays_nobody_and_the_head_known_first_is_the_first_block() {
    let mut scene = scene!(71, "watch_frozen_start");
    let proxy = FaultProxy::start(scene.anvil.address(), 7);
    proxy.freeze(true);
    let (frozen, good) = (format!("frozen={}", proxy.url()), format!("good={}", scene.anvil.url()));
    let (head, before) = (head_of(&scene.rpc()), scene.events());
    let arguments = from_anywhere(scene.watch(&[&frozen, &good], &[]));
    let mut watching = Watching::start(&scene.program, arguments);
    watching.wait_until_said("a node has not answered yet");
    assert!(watching.said().contains("frozen"), "{}", watching.said());
    scene.mint(3);
    let of_head = chain_lines(&scene.rpc());
    assert!(of_head.len() >= before + 3);
    watching.wait_until("blocks since the start", |lines| {
        let last = lines.iter().rfind(|line| line["type"] == "event");
        last.is_some_and(|line| line["block"] == head + 3)
    });
    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let first = "select min(first_block) as n from coverage";
    assert_eq!(scene.program.query(&scene.ledger(), first)[0]["n"], head, "{}", end.stderr);
}

#[test]
fn what_a_watch_was_asked_for_is_owed_after_a_kill_whoever_goes_on_and_whatever_its_flags() {
    let mut scene = scene!(73, "watch_owed");
    let proxy = FaultProxy::start(scene.anvil.address(), 7);
    proxy.go_away(true);
    let (away, good) = (format!("away={}", proxy.url()), format!("good={}", scene.anvil.url()));
    let arguments = scene.watch(&[&away, &good], &["--verify", "agree:2"]);
    let watching = Watching::start(&scene.program, arguments);
    let ledger = scene.ledger();
    let owed = "select key from meta where key like 'demanded:%'";
    until("noted what is owed", || {
        ledger.exists()
            && scene
                .program
                .run(["query", "--ledger", "ledger.duckdb", owed])
                .stdout
                .contains("demanded:")
    });
    assert_eq!(watching.end("KILL").code, None);

    let health = ["health", "-r", &good, "--ledger", "ledger.duckdb", "--deadline", "1s"];
    until("late", || scene.program.run(health).code == Some(1));
    let coverage = ["coverage", "--ledger", "ledger.duckdb", "--format", "json"];
    let coverage = scene.program.run(coverage).stdout;
    assert!(coverage.contains("\"open\""), "{coverage}");

    scene.mint(2);
    let arguments = from_anywhere(scene.watch(&[&good], &[]));
    let again = Watching::start(&scene.program, arguments);
    // Receipts may have let some of it in before the kill: what both wrote together is all.
    until("got all of it", || stored_lines(&scene.program, &ledger) == chain_lines(&scene.rpc()));
    let end = again.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    check(&scene.program, &ledger);
}

#[test]
fn where_a_watch_was_asked_to_begin_is_owed_also_if_no_node_ever_answered_it() {
    let mut scene = scene!(74, "watch_owed_unanswered");
    let proxy = FaultProxy::start(scene.anvil.address(), 7);
    let url = proxy.url();
    let from_now = |scene: &Scene| from_anywhere(scene.watch(&[&url], &[]));
    let mut first = Watching::start(&scene.program, from_now(&scene));
    scene.mint(1);
    first.wait_until("the head", |lines| lines.iter().any(|line| line["type"] == "event"));
    assert_eq!(first.end("TERM").code, Some(0));

    proxy.go_away(true);
    let asked = Watching::start(&scene.program, scene.watch(&[&url], &[]));
    let ledger = scene.ledger();
    let owed = "select count(*) as n from meta where key like 'demanded:%'";
    until("noted what is owed", || scene.program.query(&ledger, owed)[0]["n"] == 1);
    assert_eq!(asked.end("KILL").code, None);

    proxy.go_away(false);
    let again = Watching::start(&scene.program, from_now(&scene));
    until("got what was asked for", || {
        stored_lines(&scene.program, &ledger) == chain_lines(&scene.rpc())
    });
    assert_eq!(again.end("TERM").code, Some(0));
    check(&scene.program, &ledger);
}

#[test]
fn f12_a_node_of_another_chain_is_said_and_used_for_nothing_unless_it_is_the_only_one() {
    let scene = scene!(79, "watch_other_chain");
    let Some(other) = Anvil::start_with(&["--chain-id", "777"]) else {
        skip!("watch_other_chain: anvil is not installed (make tools)")
    };
    let (other, good) = (format!("other={}", other.url()), format!("good={}", scene.anvil.url()));
    let chain = ["--chain-id", "31337"];
    let alone = scene.program.run(scene.watch(&[&other], &chain));
    assert_eq!(alone.code, Some(2), "{}", alone.stderr);
    assert!(alone.stderr.contains("this node is on chain 777, not 31337"), "{}", alone.stderr);

    let mut watching = Watching::start(&scene.program, scene.watch(&[&other, &good], &chain));
    watching.wait_until("all of it", is_whole(scene.events()));
    let said = "this node is on chain 777, not 31337";
    watching.wait_until_said(said);
    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let incidents = "select node, flaw, count(*) n from incidents group by all";
    let incidents = scene.program.query(&scene.ledger(), incidents);
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    let told = (&incidents[0]["node"], &incidents[0]["flaw"], &incidents[0]["n"]);
    assert_eq!(told, (&"other".into(), &"wrong-chain".into(), &1.into()));
}
