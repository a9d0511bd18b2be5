//! What the end-to-end tests stand on: the built program, a real node, a Solidity compiler.
//!
//! Nothing of Headcount is linked here; the tests see what a user sees. A tool that is not
//! installed is a [`skip!`], one line, and a failure under `HEADCOUNT_NO_SKIP`.

mod anvil;
mod block_server;
mod contracts;
mod fault_proxy;
mod ganache;
mod log_lines;
mod made_chain;
mod mainnet;
mod places;
mod program;
mod random;
mod receiver;
mod recorded_chain;
mod rpc;
mod scripted_node;
mod secure_host;
mod traffic;
mod watching;

pub use anvil::Anvil;
pub use block_server::BlockServer;
pub use contracts::{Contracts, call_data};
pub use fault_proxy::FaultProxy;
pub use ganache::Ganache;
pub use log_lines::{line_of, stored_lines};
pub use made_chain::{EMITTER, made_chain};
pub use mainnet::{OracleTransfer, PORTAL_BLOCKS, ServedBlock, etl_blocks, provable_blocks};
pub use places::{shared_fixtures, tool, workspace};
pub use program::{Outcome, Program};
pub use random::next_random;
pub use receiver::{Received, Receiver};
pub use recorded_chain::{RECORDED_CHAIN_ID, RecordedChain};
pub use rpc::{Rpc, RpcError};
pub use scripted_node::{Bent, ScriptedCall, ScriptedNode};
pub use secure_host::SecureHost;
pub use traffic::Traffic;
pub use watching::{WatchEnd, Watching};

/// Whether a missing tool is a failure (`make test-all`).
pub fn skips_are_failures() -> bool {
    std::env::var_os("HEADCOUNT_NO_SKIP").is_some_and(|value| !value.is_empty())
}

/// Whether the long tier was asked for (`make long`).
pub fn is_long() -> bool {
    std::env::var_os("HEADCOUNT_LONG").is_some_and(|value| !value.is_empty())
}

/// Says in one line what a test lacks, and returns from it; panics under `HEADCOUNT_NO_SKIP`.
///
/// `skip!("name: reason")`
#[macro_export]
macro_rules! skip {
    ($($line:tt)*) => {{
        let line = format!($($line)*);
        assert!(!$crate::skips_are_failures(), "SKIP {line}");
        println!("SKIP {line}");
        return;
    }};
}
