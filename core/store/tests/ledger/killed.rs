//! Processes that die in the middle, and disks that are full. The dying process is this test
//! binary, told by the environment to run one of the `child_` tests for real.

use crate::given::{self, CHAIN, Place, closed, commit};
use event::{LedgerError, Store};
use std::{path::PathBuf, process::Command};
use store::{DuckLedger, FAILPOINTS, Failpoints, OpenMode, OpenOptions};

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
    let Some(path) = std::env::var_os(LEDGER) else { return };
    let Ok(failpoint) = std::env::var(FAILPOINT) else { return };
    let failpoints = Failpoints::parse(&failpoint).unwrap();
    let options = OpenOptions { failpoints, ..OpenOptions::default() };
    let mut ledger = DuckLedger::open_with(path, OpenMode::Create, &options).unwrap();
    run(&mut ledger).unwrap();
    panic!("{failpoint} was not passed");
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
            let status = child("killed::child_that_runs_until_its_failpoint")
                .env(LEDGER, place.path())
                .env(FAILPOINT, format!("{name}:{hit}"))
                .output()
                .unwrap()
                .status;
            assert_eq!(status.code(), None, "{name}: killed by a signal");
            let ledger = place.open(OpenMode::Existing);
            assert_eq!(ledger.check().unwrap(), Vec::<String>::new(), "{name}");
            if ledger.digest().unwrap() == digest {
                break;
            }
        }
        let mut ledger = place.open(OpenMode::Existing);
        run(&mut ledger).unwrap();
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
