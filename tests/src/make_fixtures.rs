//! Records fixtures/erc20.ndjson.gz: a real node mines two tokens' lives, the built program
//! replays them and records what the node said. Run by `make fixtures`.

use headcount_tests::{Anvil, Contracts, Program, Traffic, workspace};
use std::{error::Error, fs};

const SEED: u64 = 20_190_401;
const LAST_BLOCK: u64 = 60;

fn main() -> Result<(), Box<dyn Error>> {
    let anvil = Anvil::start().ok_or("anvil is not installed: make tools")?;
    let contracts = Contracts::compile().ok_or("solc is not installed: make tools")?;
    let folder = tempfile::tempdir()?;
    let program = Program::in_folder(folder.path()).ok_or("headcount is not built: make build")?;

    let mut traffic = Traffic::new(anvil.rpc(), SEED)?;
    let gold = traffic.deploy_token(contracts.bytecode("Token"), "Gold")?;
    let silver = traffic.deploy_token(contracts.bytecode("Token"), "Silver")?;
    traffic.trade(&[gold, silver], LAST_BLOCK - traffic.head())?;

    let recording = workspace().join("fixtures/erc20.ndjson.gz");
    if recording.exists() {
        fs::remove_file(&recording)?;
    }
    // `prove` asks for everything that the lighter levels ask for, and for receipts.
    program
        .run([
            "replay",
            "-r",
            &anvil.url(),
            "-c",
            &format!("gold={gold}"),
            "-c",
            &format!("silver={silver}"),
            "-e",
            "Transfer(address indexed from, address indexed to, uint256 value)",
            "-b",
            &format!("0:{LAST_BLOCK}"),
            "--verify",
            "prove",
            "--ledger",
            "recorded.duckdb",
            "--record",
            &recording.display().to_string(),
        ])
        .expect_success();
    Ok(())
}
