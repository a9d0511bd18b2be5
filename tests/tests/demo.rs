//! The README's first command, after the build.

use headcount_tests::{Program, skip, workspace};
use std::process::Command;

#[test]
fn the_demo_ends_with_holders_and_balances() {
    let Some(path) = Program::built() else {
        skip!("demo: headcount is not built (make build)");
    };
    let Some(plugin) = Program::plugin("erc20_balances") else {
        skip!("demo: the plugins are not built (make plugins)");
    };
    let folder = tempfile::tempdir().unwrap();
    let demo = Command::new(workspace().join("tools/demo.sh"))
        .env("HEADCOUNT_BIN", path)
        .env("HEADCOUNT_PLUGIN", plugin)
        .env("HEADCOUNT_DEMO", folder.path().join("demo"))
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&demo.stdout);
    assert!(demo.status.success(), "{shown}{}", String::from_utf8_lossy(&demo.stderr));

    let (_, answer) = shown.split_once("$ headcount query").expect("the query is shown");
    assert!(answer.contains("holder") && answer.contains("balance"), "{answer}");
    assert!(answer.matches("0x").count() >= 10, "too few holders:\n{answer}");
}
