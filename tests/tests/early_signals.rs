//! Signals that come while the program still starts: before it has read its configuration.

use headcount_tests::{Program, Watching, skip};
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Child, Command},
};

const CONFIG: &str = "ledger = \"ledger.duckdb\"\n[chain.local]\nid = 31337\n\
    [[chain.local.node]]\nname = \"away\"\nurl = \"http://127.0.0.1:9\"\n\
    [[contract]]\nname = \"gold\"\naddress = \"0x00000000000000000000000000000000000000aa\"\n";

fn kill(child: &Child, signal: &str) {
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// Returns once the program reads the pipe that its configuration comes through.
fn until_read(pipe: &Path) -> fs::File {
    fs::File::options().write(true).open(pipe).unwrap()
}

#[test]
fn a_signal_before_the_configuration_is_read_is_one_like_any_other() {
    const NAME: &str = "early_signals";
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = Program::in_folder(folder.path()) else {
        skip!("{NAME}: headcount is not built (make build)")
    };
    let pipe = folder.path().join("pipe.toml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let watch = || Watching::start(&program, ["watch", "--config", "pipe.toml"]);
    let tell = |mut file: fs::File| file.write_all(CONFIG.as_bytes()).unwrap();

    let watching = watch();
    let file = until_read(&pipe);
    watching.signal("TERM");
    tell(file);
    let end = watching.join();
    assert_eq!(end.code, Some(0), "{}", end.stderr);

    let mut watching = watch();
    let file = until_read(&pipe);
    watching.signal("HUP");
    tell(file);
    watching.wait_until_said("ledger: ");
    // It reads the file once more: the pipe has a reader again.
    tell(until_read(&pipe));
    let end = watching.end("TERM");
    assert_eq!(end.code, Some(0), "{}", end.stderr);

    // What commits nothing is ended as ever.
    let mut child = program.start_heard(["health", "--config", "pipe.toml"]);
    let file = until_read(&pipe);
    kill(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), None);
    drop(file);
}
