//! Flags over configuration over defaults, by example.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::{
    commands::{Command, Headcount},
    config_file::Config,
    environment::Environment,
    range::RangeSpec,
};
use clap::Parser;
use event::{AnchorPolicy, Verify};
use std::path::Path;

const USDC: &str = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";
const DAI: &str = "0x6B175474E89094C44Da98b954EedeAC495271d0F";
const TRANSFER: &str = "Transfer(address indexed from, address indexed to, uint256 value)";

const CONFIG: &str = r#"
ledger = "data/events.duckdb"
[chain.mainnet]
id = 1
verify = "prove"
[[chain.mainnet.node]]
url = "https://configured.example/KEY"
[[contract]]
name = "usdc"
address = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
events = ["Approval(address owner, address spender, uint256 value)"]
start = 6_082_465
[[contract]]
name = "dai"
address = "0x6B175474E89094C44Da98b954EedeAC495271d0F"
start = 8_928_158
"#;

fn resolve_in(
    config: &str,
    flags: &[&str],
    variables: &[(&str, &str)],
) -> Result<ReplayPlan, String> {
    let environment = Environment::for_test(Path::new("/work"), variables);
    let config = match config {
        "" => Config::default(),
        text => Config::parse(Path::new("/conf/headcount.toml"), text, &environment).unwrap(),
    };
    let words = ["headcount", "replay"].iter().chain(flags);
    let parsed = Headcount::try_parse_from(words)
        .map_err(|e| CommandError::of_command_line(&e, "headcount").to_string())?;
    let Command::Replay(args) = parsed.command else { unreachable!("the words say replay") };
    ReplayPlan::resolve_with(&args, &config, &environment).map_err(|error| error.to_string())
}

fn resolve(flags: &[&str]) -> Result<ReplayPlan, String> {
    resolve_in("", flags, &[])
}

#[test]
fn the_first_run_is_one_line() {
    let usdc = format!("usdc={USDC}");
    let flags = ["-r", "https://node.example", "-c", &usdc, "-e", TRANSFER, "-b", "18M:+10k"];
    let plan = resolve(&flags).unwrap();
    assert_eq!(plan.chain.nodes[0].name, "node.example");
    assert_eq!(plan.chain.contracts.len(), 1);
    assert_eq!(plan.chain.contracts[0].schema, "usdc");
    assert_eq!(plan.chain.contracts[0].addresses, AnyOf::one(USDC.parse().unwrap()));
    assert_eq!(plan.range.to_string(), "18000000:+10000");
    assert_eq!((plan.chain.verify, plan.anchor), (Verify::Bloom, AnchorPolicy::OneNode));
    assert_eq!(plan.ledger.path, Path::new("/work/headcount.duckdb"));
    assert!(!plan.ledger.is_explicit);
}

#[test]
fn a_range_may_start_with_a_minus() {
    let plan = resolve(&["-r", "http://a", "-c", USDC, "-b", "-1000:"]).unwrap();
    assert_eq!(plan.range.to_string(), "-1000:finalized");
}

#[test]
fn without_flags_the_configuration_says_everything() {
    let plan = resolve_in(CONFIG, &[], &[("ETH_RPC_URL", "http://variable.example")]).unwrap();
    assert_eq!(plan.chain.nodes[0].name, "configured.example");
    assert_eq!((plan.chain.expected_chain, plan.chain.verify), (Some(1), Verify::Prove));
    assert_eq!(plan.chain.contracts.len(), 2);
    assert_eq!(plan.chain.start_block, Some(6_082_465));
    assert_eq!(plan.range, RangeSpec::NEW);
    assert_eq!(plan.ledger.path, Path::new("/conf/data/events.duckdb"));
}

#[test]
fn flags_override_the_configuration() {
    let flags = ["-r", "x=http://flag.example", "-c", "usdc", "-e", TRANSFER, "--verify", "off"];
    let plan = resolve_in(CONFIG, &flags, &[]).unwrap();
    assert_eq!(plan.chain.nodes[0].name, "x");
    assert_eq!(plan.chain.verify, Verify::Off);
    assert_eq!(plan.chain.contracts.len(), 1);
    assert_eq!(plan.chain.contracts[0].events, [EventSpec::Signature(TRANSFER.into())]);
    let error = resolve_in(CONFIG, &["--chain-id", "5"], &[]).unwrap_err();
    assert!(error.contains("not the id of chain mainnet"), "{error}");
}

#[test]
fn a_command_may_have_a_level_of_its_own_in_the_configuration() {
    let own =
        CONFIG.replace("verify = \"prove\"", "verify = \"prove\"\nreplay_verify = \"prove:5%\"");
    assert_ne!(own, CONFIG);
    let verify = |flags: &[&str]| resolve_in(&own, flags, &[]).unwrap().chain.verify.to_string();
    assert_eq!(verify(&[]), "prove:5%");
    assert_eq!(verify(&["--verify", "bloom"]), "bloom");
}

#[test]
fn an_event_without_a_contract_is_read_from_every_contract() {
    let plan = resolve(&["-r", "http://a", "-e", TRANSFER]).unwrap();
    assert_eq!(plan.chain.contracts[0].schema, "logs");
    assert!(plan.chain.contracts[0].addresses.is_any());
}

#[test]
fn the_same_name_twice_is_one_contract_and_the_same_address_twice_is_wrong() {
    let (a, b) = (format!("t={USDC}"), format!("t={DAI}"));
    let plan = resolve(&["-r", "http://a", "-c", &a, "-c", &b]).unwrap();
    assert!(matches!(&plan.chain.contracts[0].addresses, AnyOf::Of(list) if list.len() == 2));
    let other = format!("other={USDC}");
    let error = resolve(&["-r", "http://a", "-c", &a, "-c", &other]).unwrap_err();
    assert!(error.contains("named twice"), "{error}");
}

#[test]
fn headers_are_one_nodes_word_unless_told_otherwise() {
    let nodes = ["-r", "http://a", "-r", "http://b", "-c", USDC];
    let with = |more: &[&str]| resolve(&[&nodes[..], more].concat());
    assert_eq!(with(&[]).unwrap().anchor, AnchorPolicy::OneNode);
    let block = format!("9:0x{}", "ab".repeat(32));
    assert!(matches!(with(&["--anchor", &block]).unwrap().anchor, AnchorPolicy::Checkpoint(_)));
    for (flags, expected) in [
        (&["--verify", "agree:3"][..], "2 nodes can never agree as 3"),
        (&["--anchor", "agreed:2"], "`agreed:2`: headers are not compared between nodes here"),
        (&["--anchor", &block, "--verify", "off"], "no header is read under --verify off"),
    ] {
        let error = with(flags).unwrap_err();
        assert!(error.contains(expected) && error.contains("\nhint: "), "{error}");
    }
    assert_eq!(with(&["--verify", "agree:2"]).unwrap().chain.verify, Verify::Agree(2));
    let sample = with(&["--verify", "prove:2.5%"]).unwrap().chain.verify;
    assert_eq!(sample.to_string(), "prove:2.5%");
}

#[test]
fn each_mistake_has_its_error_cause_and_hint() {
    let ledger = format!("events={USDC}");
    for (flags, expected) in [
        (&["-c", USDC][..], "no node to read from"),
        (&["-r", "http://a"], "nothing to look for"),
        (&["-r", "http://a", "-c", USDC, "-b", "9:7"], "caused by: the range starts at block 9"),
        (&["-r", "http://a", "-c", "0x12"], "caused by: `0x12` is not an address"),
        (&["-r", "http://a", "-c", "usdd"], "no contract is named `usdd`"),
        (&["-r", "http://a", "-e", "Transfer"], "caused by: `Transfer` is not an event"),
        (&["-r", "ftp://a", "-c", USDC], "caused by: `ftp://` is not a way"),
        (&["-r", "http://a", "-c", USDC, "--max-time", "10"], "caused by: `10` is not a time"),
        (&["-r", "http://a", "-c", USDC, "--plugin", "gone.wasm"], "there is no plugin file"),
        (&["-r", "http://a", "-c", USDC, "--verify", "some"], "none of off, bloom, agree:N, prove"),
        (&["-r", "http://a", "-c", USDC, "--anchor", "some"], "none of one-node, NUMBER:HASH"),
        (&["-r", "http://a", "-c", &ledger, "--ledger", "events.duckdb"], "would be ambiguous"),
        (&["-r", "http://a", "-c", USDC, "--chain", "x"], "has no chain `x`"),
        (&["--blokcs", "1"], "hint: a similar argument exists: '--blocks'"),
    ] {
        let error = resolve(flags).unwrap_err();
        assert!(error.starts_with("error: "), "{error}");
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(error.contains("\nhint: "), "{error}");
    }
}

#[test]
fn a_url_in_the_wrong_place_does_not_show_its_key() {
    for flags in [
        &["https://node.example/v3/KEY"][..],
        &["-c", "https://node.example/v3/KEY"],
        &["-e", "https://node.example/v3/KEY"],
        &["-b", "https://node.example/v3/KEY"],
        &["--verify", "https://node.example/v3/KEY"],
        &["--chain-id=https://node.example/v3/KEY"],
    ] {
        let error = resolve(flags).unwrap_err();
        assert!(!error.contains("KEY"), "{error}");
    }
}
