//! A replay that is asked to stop: what was read is kept, the program says how to go on, and the
//! same command finishes the work.

use headcount_tests::{
    BlockServer, EMITTER, Program, ServedBlock, line_of, made_chain, skip, stored_lines,
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
};

/// Length of the made chain.
const BLOCKS: u64 = 3_000;
/// Where the silent node falls silent.
const SILENT_FROM: u64 = 2_000;

#[test]
fn ctrl_c_keeps_what_was_read_and_the_same_command_finishes() {
    const NAME: &str = "ctrl_c_keeps_what_was_read";
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = Program::in_folder(folder.path()) else {
        skip!("{NAME}: headcount is not built (make build)");
    };
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let ledger = format!("{signal}.duckdb");
        let server = BlockServer::start_silent_from(SILENT_FROM, 1, made_chain(BLOCKS));
        let mut replay = start(folder.path(), &server, &ledger, &[]);
        server.wait_for_silence();
        send(&replay, signal);
        let (stdout, stderr) = said(&mut replay);
        assert_eq!(replay.wait().unwrap().code(), Some(code), "{stdout}{stderr}");
        assert!(stderr.contains("stopping: committing what is done"), "{stderr}");
        let told: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(told["status"], "interrupted");
        assert_eq!(told["more"], true);
        let read = told["blocks"]["fetched"].as_u64().unwrap();
        assert!(0 < read && read <= SILENT_FROM, "{told}");
        assert_eq!(told["events"]["new"], read, "one event in each block");
        let open = told["blocks"]["open"][0]["range"].clone();
        assert_eq!(open["first"], read, "{told}");

        let server = BlockServer::start(1, made_chain(BLOCKS));
        let mut replay = start(folder.path(), &server, &ledger, &[]);
        let (stdout, stderr) = said(&mut replay);
        assert_eq!(replay.wait().unwrap().code(), Some(0), "{stdout}{stderr}");
        let told: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(told["blocks"]["already_covered"], read, "{told}");
        assert_eq!(told["blocks"]["fetched"], BLOCKS - read, "{told}");
        let expected: Vec<String> = made_chain(BLOCKS)
            .iter()
            .flat_map(ServedBlock::logs)
            .map(|log| line_of(&log))
            .collect();
        assert_eq!(stored_lines(&program, &folder.path().join(&ledger)), expected);
    }
}

#[test]
fn a_person_who_stops_it_is_told_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    if Program::built().is_none() {
        skip!("a_person_who_stops_it: headcount is not built (make build)");
    }
    let server = BlockServer::start_silent_from(SILENT_FROM, 1, made_chain(BLOCKS));
    let mut replay = start(folder.path(), &server, "l.duckdb", &["--format", "human"]);
    server.wait_for_silence();
    send(&replay, "INT");
    let (stdout, stderr) = said(&mut replay);
    assert_eq!(replay.wait().unwrap().code(), Some(130), "{stdout}{stderr}");
    assert!(format!("{stdout}{stderr}").contains("run the same command again"), "{stdout}{stderr}");
}

#[test]
fn a_replay_out_of_time_ends_well_and_says_that_there_is_more() {
    let folder = tempfile::tempdir().unwrap();
    if Program::built().is_none() {
        skip!("a_replay_out_of_time: headcount is not built (make build)");
    }
    let server = BlockServer::start_silent_from(SILENT_FROM, 1, made_chain(BLOCKS));
    let mut replay = start(folder.path(), &server, "l.duckdb", &["--max-time", "1s"]);
    let (stdout, stderr) = said(&mut replay);
    assert_eq!(replay.wait().unwrap().code(), Some(0), "{stdout}{stderr}");
    let told: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(told["status"], "stopped", "{told}");
    assert_eq!(told["more"], true);
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_a_plugin() {
    const NAME: &str = "a_second_ctrl_c";
    let folder = tempfile::tempdir().unwrap();
    let (Some(program), Some(plugin)) =
        (Program::in_folder(folder.path()), Program::plugin("unruly"))
    else {
        skip!("{NAME}: headcount or the plugins are not built (make build plugins)");
    };
    // A plugin that never returns, and ten minutes for it.
    let config = format!(
        "[[plugin]]\nwasm = {:?}\nconfig = {{ misdeed = \"loop\" }}\nlimits = {{ deadline_ms = 600000 }}\n",
        plugin.display().to_string()
    );
    std::fs::write(folder.path().join("headcount.toml"), config).unwrap();
    let server = BlockServer::start_silent_from(SILENT_FROM, 1, made_chain(BLOCKS));
    let mut replay = start(folder.path(), &server, "l.duckdb", &["--config", "headcount.toml"]);
    server.wait_for_silence();
    send(&replay, "INT");
    let mut stderr = BufReader::new(replay.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("once more to end at once") {
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended: {line}");
    }
    send(&replay, "INT");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(replay.wait().unwrap().code(), Some(130), "{line}{rest}");
    assert!(rest.contains("run the same command again"), "{rest}");
    // It ended without closing the ledger, which is whole all the same.
    let ledger = folder.path().join("l.duckdb");
    program.run(["ledger", "check", "--ledger", ledger.to_str().unwrap()]).expect_success();
}

/// Starts a replay of the made chain, one question at a time so that what is read before the
/// silence is known to be read.
fn start(folder: &Path, server: &BlockServer, ledger: &str, more: &[&str]) -> Child {
    let range = format!("0:{}", BLOCKS - 1);
    let url = server.url();
    let format = ["--format", "json"];
    let format = if more.contains(&"--format") { &[][..] } else { &format[..] };
    Command::new(Program::built().unwrap())
        .args(["replay", "-r", &url, "-b", &range, "-c", EMITTER, "--ledger", ledger])
        .args(["--verify", "off", "--concurrency", "1"])
        .args(format)
        .args(more)
        .current_dir(folder)
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn send(child: &Child, signal: &str) {
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

fn said(child: &mut Child) -> (String, String) {
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (stdout, stderr)
}
