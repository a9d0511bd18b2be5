//! Compiles the Solidity files of tests/contracts with the pinned compiler.

use crate::{tool, workspace};
use alloy_primitives::{hex, keccak256};
use serde_json::Value;
use std::process::Command;

/// The compiled contracts, by name.
#[derive(Clone, Debug)]
pub struct Contracts(Value);

impl Contracts {
    /// Compiles all of tests/contracts. `None` where the compiler is not installed.
    pub fn compile() -> Option<Self> {
        tool("solc")?;
        let tests = workspace().join("tests");
        let output = Command::new("node")
            .arg(tests.join("tools/compile.js"))
            .args(
                ["Token.sol", "Oddities.sol", "Nfts.sol"]
                    .map(|file| tests.join("contracts").join(file)),
            )
            .output()
            .expect("node runs where npm installed solc");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the contracts do not compile: {errors}");
        Some(Self(serde_json::from_slice(&output.stdout).expect("the script prints JSON")))
    }

    /// Returns the creation code of a contract as hex.
    pub fn bytecode(&self, name: &str) -> &str {
        self.0[name]["bytecode"].as_str().expect("the contract is one of ours")
    }

    /// Returns the ABI of a contract as JSON.
    pub fn abi(&self, name: &str) -> &Value {
        &self.0[name]["abi"]
    }
}

/// Returns the input of a call: the selector of `signature`, then the words as they are.
pub fn call_data(signature: &str, words: &[[u8; 32]]) -> String {
    let selector = &keccak256(signature)[..4];
    format!("0x{}{}", hex::encode(selector), hex::encode(words.concat()))
}
