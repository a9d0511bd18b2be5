//! The live lines: on a terminal they say how far it is, in a pipe there are none.

use headcount_tests::{BlockServer, EMITTER, Outcome, Program, made_chain, skip};
use std::{path::Path, process::Command};

/// Runs a replay of the made chain on a terminal that `script` makes; `None` where it is missing.
fn on_a_terminal(folder: &Path, replay: &str) -> Option<String> {
    let shown = folder.join("shown");
    let command = format!("stty cols 100 rows 30; {replay}");
    let script = Command::new("script")
        .args(["-qec", &command])
        .arg(&shown)
        .current_dir(folder)
        .stdin(std::process::Stdio::null())
        .output()
        .ok()?;
    let shown = std::fs::read_to_string(shown).unwrap();
    assert!(script.status.success(), "{shown}");
    Some(shown)
}

#[test]
fn a_terminal_shows_blocks_rate_events_time_left_and_the_node() {
    const NAME: &str = "a_terminal_shows_progress";
    let Some(program) = Program::built() else {
        skip!("{NAME}: headcount is not built (make build)");
    };
    let folder = tempfile::tempdir().unwrap();
    let chain = made_chain(3_000);
    let server = BlockServer::start(1, chain);
    let replay = |ledger: &str| {
        let url = server.url();
        format!(
            "replay -r near={url} -b 0:2999 -c {EMITTER} --verify off --concurrency 1 --ledger {ledger}"
        )
    };
    let line = format!("{} {}", program.display(), replay("seen.duckdb"));
    let Some(shown) = on_a_terminal(folder.path(), &line) else {
        skip!("{NAME}: there is no `script` (util-linux)");
    };
    for part in ["0 of 3_000 blocks", "0 events", "/s", "left", "near", "reading", "\u{2588}"] {
        assert!(shown.contains(part), "no {part:?} in {shown:?}");
    }
    assert!(!shown.contains("0s left  0"), "{shown:?}");
    // The summary comes in the place of the lines.
    let end = shown.rsplit("\x1b[2K").next().unwrap();
    assert!(end.starts_with("blocks   0:2999 (3_000 blocks): 3_000 read"), "{end:?}");

    // What is covered already is no way of zero blocks.
    let line = format!("{} {}", program.display(), replay("seen.duckdb"));
    let shown = on_a_terminal(folder.path(), &line).unwrap();
    assert!(shown.contains("3_000 covered before"), "{shown:?}");
    for part in ["of 0", "left", "\u{2588}"] {
        assert!(!shown.contains(part), "{part:?} in {shown:?}");
    }

    let in_a_pipe: Outcome = Program::in_folder(folder.path())
        .unwrap()
        .run(replay("piped.duckdb").split(' '))
        .expect_success();
    for text in [&in_a_pipe.stdout, &in_a_pipe.stderr] {
        assert!(!text.contains('\x1b') && !text.contains('\r'), "{text:?}");
        assert!(!text.contains("left"), "{text:?}");
    }
}
