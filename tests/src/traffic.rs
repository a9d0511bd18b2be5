//! Sends seeded transactions to a node, so that there are blocks to replay.

use crate::{Rpc, RpcError, call_data, random::next_random};
use alloy_primitives::{Address, B256, U256, hex};
use serde_json::{Value, json};

/// Generous for every call of the test contracts, far below a block's limit.
const GAS: &str = "0x200000";
const FIRST_BLOCK_AT: u64 = 1_700_000_012;
const SECONDS_PER_BLOCK: u64 = 12;

/// One node, its unlocked accounts, and the next random number.
#[derive(Debug)]
pub struct Traffic {
    rpc: Rpc,
    accounts: Vec<Address>,
    mined: u64,
    random: u64,
}

impl Traffic {
    /// Returns traffic for a fresh node that mines only when told to.
    pub fn new(rpc: Rpc, seed: u64) -> Result<Self, RpcError> {
        let accounts = rpc.call("eth_accounts", json!([]))?;
        let accounts = serde_json::from_value(accounts).expect("a node knows its accounts");
        Ok(Self { rpc, accounts, mined: 0, random: seed })
    }

    /// The node's unlocked accounts.
    pub fn accounts(&self) -> &[Address] {
        &self.accounts
    }

    /// Returns the number of the last block.
    pub fn head(&self) -> u64 {
        self.mined
    }

    /// Deploys a contract in a block of its own. `arguments` are the constructor's, ABI-encoded.
    pub fn deploy(&mut self, bytecode: &str, arguments: &[u8]) -> Result<Address, RpcError> {
        let code = format!("{bytecode}{}", hex::encode(arguments));
        let ask = json!([{"from": self.accounts[0], "data": code, "gas": "0x400000"}]);
        let transaction = self.rpc.call("eth_sendTransaction", ask)?;
        self.mine()?;
        let receipt = self.rpc.call("eth_getTransactionReceipt", json!([transaction]))?;
        assert_eq!(receipt["status"], "0x1", "the contract was not deployed: {receipt}");
        Ok(serde_json::from_value(receipt["contractAddress"].clone()).expect("it has an address"))
    }

    /// Deploys a token of that name.
    pub fn deploy_token(&mut self, bytecode: &str, name: &str) -> Result<Address, RpcError> {
        let mut arguments = [[0; 32]; 3];
        arguments[0] = word(0x20);
        arguments[1] = word(name.len() as u64);
        arguments[2][..name.len()].copy_from_slice(name.as_bytes());
        self.deploy(bytecode, &arguments.concat())
    }

    /// Sends a call, to be in the next block.
    pub fn send(&self, from: Address, to: Address, data: &str) -> Result<Value, RpcError> {
        let ask = json!([{"from": from, "to": to, "data": data, "gas": GAS}]);
        self.rpc.call("eth_sendTransaction", ask)
    }

    /// Sends the same call as a transaction of each type that Ethereum has, 0 to 4, and mines them.
    /// A blob transaction and a delegation carry the least that is valid.
    pub fn send_each_type(&mut self, to: Address, data: &str) -> Result<(), RpcError> {
        // The commitment to a blob of zeros, and its proof, is the point at infinity.
        let infinity = format!("0xc0{}", "00".repeat(47));
        let blob = format!("0x{}", "00".repeat(131_072));
        let legacy = json!({"type": "0x0", "gasPrice": "0x77359400"});
        let with_access_list = json!({
            "type": "0x1", "gasPrice": "0x77359400",
            "accessList": [{"address": to, "storageKeys": [B256::ZERO]}],
        });
        let with_fees = json!({"type": "0x2", "maxFeePerGas": "0x77359400"});
        let with_blob = json!({
            "type": "0x3", "maxFeePerBlobGas": "0x10000000",
            "blobVersionedHashes":
                ["0x010657f37554c781402a22917dee2f75def7ab966d7b770905398eba3c444014"],
            "blobs": [blob], "commitments": [infinity], "proofs": [infinity],
        });
        // A signature of nobody known: the delegation is void, the transaction is not.
        let delegating = json!({
            "type": "0x4",
            "authorizationList": [{
                "chainId": "0x7a69", "address": to, "nonce": "0x0",
                "yParity": "0x0", "r": "0x1", "s": "0x1",
            }],
        });
        for mut ask in [legacy, with_access_list, with_fees, with_blob, delegating] {
            ask["from"] = json!(self.accounts[3]);
            ask["to"] = json!(to);
            ask["data"] = json!(data);
            ask["gas"] = json!(GAS);
            self.rpc.call("eth_sendTransaction", json!([ask]))?;
            self.mine()?;
        }
        Ok(())
    }

    /// Mines one block of everything sent.
    pub fn mine(&mut self) -> Result<(), RpcError> {
        let at = FIRST_BLOCK_AT + self.mined * SECONDS_PER_BLOCK;
        self.rpc.call("evm_setNextBlockTimestamp", json!([at]))?;
        self.rpc.call("evm_mine", json!([]))?;
        self.mined += 1;
        Ok(())
    }

    /// Mines `blocks` blocks of zero to four token calls each: mints, transfers, approvals, burns.
    /// Some of them revert for want of balance, as on any chain.
    pub fn trade(&mut self, tokens: &[Address], blocks: u64) -> Result<(), RpcError> {
        for block in 0..blocks {
            for _ in 0..self.pick(5) {
                let token = tokens[self.pick(tokens.len())];
                let from = self.account();
                let to = self.account().into_word().0;
                let value = word(1 + next_random(&mut self.random) % 1_000_000);
                // Nobody can spend before somebody was given something.
                let kind = if block < blocks / 4 { 0 } else { self.pick(8) };
                let data = match kind {
                    0 | 1 => call_data("mint(address,uint256)", &[to, value]),
                    2 => call_data("approve(address,uint256)", &[to, value]),
                    3 => call_data(
                        "burn(uint256)",
                        &[word(1 + next_random(&mut self.random) % 1_000)],
                    ),
                    _ => call_data("transfer(address,uint256)", &[to, value]),
                };
                self.send(from, token, &data)?;
            }
            self.mine()?;
        }
        Ok(())
    }

    fn account(&mut self) -> Address {
        let i = self.pick(self.accounts.len());
        self.accounts[i]
    }

    /// Returns a number below `bound`.
    fn pick(&mut self, bound: usize) -> usize {
        (next_random(&mut self.random) % bound as u64) as usize
    }
}

/// Returns a number as an ABI word.
fn word(value: u64) -> [u8; 32] {
    U256::from(value).to_be_bytes()
}
