//! A real node that lies: after `evm_revert` it answers for blocks that it took back with the logs
//! of those that came instead. Started for one test, gone when dropped.

use crate::{Rpc, tool};
use serde_json::json;
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// It listens by then or never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running ganache.
#[derive(Debug)]
pub struct Ganache {
    child: Child,
    address: SocketAddr,
}

impl Ganache {
    /// Starts one that mines only when told to, and returns when it answers.
    /// `None` where ganache is not installed.
    pub fn start() -> Option<Self> {
        let program = tool("ganache/dist/node/cli.js")?;
        // It does not say which port it got, so it is given one that was free.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("a free port on this machine")
            .port();
        let mut child = Command::new("node")
            .arg(program)
            .args(["--server.host", "127.0.0.1", "--server.port", &port.to_string()])
            // No block by itself within the time of a test.
            .args(["--wallet.deterministic", "--miner.blockTime", "100000"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("node runs where npm installed ganache");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let begun = Instant::now();
        while Rpc::new(address).call("eth_chainId", json!([])).is_err() {
            let is_gone = child.try_wait().is_ok_and(|ended| ended.is_some());
            assert!(!is_gone && begun.elapsed() < PATIENCE, "ganache does not answer");
            thread::sleep(Duration::from_millis(100));
        }
        Some(Self { child, address })
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns its WebSocket URL.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Returns a client of it.
    pub fn rpc(&self) -> Rpc {
        Rpc::new(self.address)
    }
}

impl Drop for Ganache {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
