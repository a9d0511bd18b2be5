//! Processes that die in the middle, and disks that are full. The dying process is this test
//! binary, told by the environment to run one of the `child_` tests for real.

use crate::{
    given::{self, CHAIN, Place, closed, commit},
    lanes,
};
use event::{BlockRange, CoverageChange, Interval, LedgerError, Links, Store};
use std::{path::PathBuf, process::Command};
use store::{DuckLedger, FAILPOINTS, Failpoints, OpenMode, OpenOptions, Value};

const LEDGER: &str = "HEADCOUNT_TEST_LEDGER";
const FAILPOINT: &str = "HEADCOUNT_TEST_FAILPOINT";

/// Blocks of each commit of a run.
const STEP: u64 = 10;
const COMMITS: u64 = 3;

fn child(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name]);
    command
}

/// What a child does that is told its ledger and its failpoint.
fn die_in(run: impl Fn(&mut DuckLedger) -> Result<(), LedgerError>) {
    let Some(path) = std::env::var_os(LEDGER) else { return };
    let Ok(failpoint) = std::env::var(FAILPOINT) else { return };
    let failpoints = Failpoints::parse(&failpoint).unwrap();
    let options = OpenOptions { failpoints, ..OpenOptions::default() };
    let mut ledger = DuckLedger::open_with(path, OpenMode::Create, &options).unwrap();
    run(&mut ledger).unwrap();
    panic!("{failpoint} was not passed");
}

/// Has a child die at a failpoint; what it leaves must be sound.
fn kill(child_name: &str, place: &Place, name: &str, hit: u32) -> DuckLedger {
    let died = child(child_name)
        .env(LEDGER, place.path())
        .env(FAILPOINT, format!("{name}:{hit}"))
        .output()
        .unwrap();
    assert_eq!(died.status.code(), None, "{name}: killed by a signal");
    let ledger = place.open(OpenMode::Existing);
    assert_eq!(ledger.check().unwrap(), Vec::<String>::new(), "{name}");
    ledger
}

/// Goes on where the journal ends, as a rerun does.
fn run(ledger: &mut DuckLedger) -> Result<(), LedgerError> {
    ledger.prepare_schemas(&given::Transfers::default().0)?;
    for i in ledger.load(CHAIN)?.journal_seq..COMMITS {
        let mut commits = [commit(i * STEP..(i + 1) * STEP, 5, i + 1)];
        ledger.stage(&mut commits)?;
        ledger.apply(&commits)?;
    }
    Ok(())
}

#[test]
fn child_that_runs_until_its_failpoint() {
    die_in(run);
}

#[test]
fn a_run_killed_at_any_failpoint_and_repeated_gives_the_digest_of_an_undisturbed_one() {
    let undisturbed = Place::new();
    let mut ledger = undisturbed.open(OpenMode::Create);
    run(&mut ledger).unwrap();
    let digest = ledger.digest().unwrap();
    for name in FAILPOINTS.iter().filter(|name| name.starts_with("store.apply")) {
        let place = Place::new();
        for hit in [1, 2] {
            let ledger = kill("killed::child_that_runs_until_its_failpoint", &place, name, hit);
            if ledger.digest().unwrap() == digest {
                break;
            }
        }
        let mut ledger = place.open(OpenMode::Existing);
        run(&mut ledger).unwrap();
        assert_eq!(ledger.digest().unwrap(), digest, "{name}");
    }
}

/// First head, and how many follow one another in the run.
const HEAD: u64 = 100;
const HEADS: u64 = 6;

/// Follows heads with a lane that joins their transactions, from where it stopped.
fn follow(ledger: &mut DuckLedger) -> Result<(), LedgerError> {
    ledger.prepare_schemas(&given::Transfers::default().0)?;
    let mut cursor = ledger.open_lane(&lanes::lane(), &lanes::descriptor())?.cursor;
    for i in ledger.load(CHAIN)?.journal_seq..HEADS {
        let head = HEAD + i;
        let mut commit = commit(head..head + 1, 3, i + 1);
        let range = BlockRange::new(HEAD, head).unwrap();
        let links =
            Links { first_parent: given::hash(HEAD - 1, 0), last_hash: given::hash(head, 0) };
        let interval = Interval { links: Some(links), ..given::interval(range) };
        let filter = given::filter();
        commit.coverage = vec![CoverageChange { filter, range, intervals: vec![interval] }];
        ledger.begin(&[commit])?;
        let made = lanes::commit(cursor, head, "alice", &head.to_string());
        cursor = Some(made.after);
        ledger.finish(&[made])?;
    }
    Ok(())
}

#[test]
fn child_that_follows_until_its_failpoint() {
    die_in(follow);
}

#[test]
fn a_head_that_a_kill_interrupts_is_there_with_its_coverage_and_its_lane_or_not_at_all() {
    let undisturbed = Place::new();
    let mut ledger = undisturbed.open(OpenMode::Create);
    follow(&mut ledger).unwrap();
    let digest = ledger.digest().unwrap();
    let of_heads = |name: &&&str| {
        name.starts_with("store.lane")
            || name.starts_with("store.apply") && !name.ends_with("stage")
    };
    for name in FAILPOINTS.iter().filter(of_heads) {
        let place = Place::new();
        for hit in [2, 1, 2] {
            drop(kill("killed::child_that_follows_until_its_failpoint", &place, name, hit));
            let far = "SELECT (SELECT coalesce(max(last_block) + 1, 0) FROM coverage),
                (SELECT coalesce(max(next_block), 0) FROM lanes),
                (SELECT coalesce(max(block_number) + 1, 0) FROM events),
                (SELECT coalesce(max(_block_number) + 1, 0) FROM erc20_balances.balances)";
            let far = place.rows(far).remove(0);
            assert!(far.iter().all(|value| *value == far[0]), "{name}: {far:?}");
            assert_ne!(far[0], Value::Int((HEAD + HEADS).into()), "{name} killed a whole run");
        }
        let mut ledger = place.open(OpenMode::Existing);
        follow(&mut ledger).unwrap();
        assert_eq!(ledger.digest().unwrap(), digest, "{name}");
    }
}

#[test]
#[allow(clippy::exit, reason = "the parent reads the code")]
fn child_that_fills_its_disk() {
    let Some(path) = std::env::var_os(LEDGER).map(PathBuf::from) else { return };
    if std::env::var_os(FAILPOINT).is_some() {
        return;
    }
    let mut ledger = DuckLedger::open(path, OpenMode::Existing).unwrap();
    ledger.prepare_schemas(&given::Transfers::default().0).unwrap();
    for i in 1..200 {
        match ledger.apply(&[commit(i * 1000..(i + 1) * 1000, 5, i + 1)]) {
            Ok(()) => {}
            Err(LedgerError::Io(_)) => std::process::exit(74),
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("the disk was never full");
}

#[test]
fn f77_a_full_disk_is_said_and_nothing_of_the_commit_takes_effect() {
    let place = Place::new();
    let mut ledger = place.open(OpenMode::Create);
    ledger.prepare_schemas(&given::Transfers::default().0).unwrap();
    ledger.apply(&[commit(0..1000, 5, 1)]).unwrap();
    closed(ledger);
    // `ulimit -f` counts blocks of 512 bytes; the ignored signal is inherited.
    let output = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 16000; exec \"$0\" --exact killed::child_that_fills_its_disk",
        ])
        .arg(std::env::current_exe().unwrap())
        .env(LEDGER, place.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(74), "{}", String::from_utf8_lossy(&output.stdout));
    let mut ledger = place.open(OpenMode::Existing);
    assert_eq!(ledger.check().unwrap(), Vec::<String>::new());
    ledger.prepare_schemas(&given::Transfers::default().0).unwrap();
    let state = ledger.load(CHAIN).unwrap();
    assert_eq!(state.blocks.len() as u64, state.journal_seq * 1000, "whole commits only");
    ledger.apply(&[commit(900_000..900_001, 5, state.journal_seq + 1)]).unwrap();
}
