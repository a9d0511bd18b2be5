//! A real Ethereum node for one test: started on a free port, gone when dropped.

use crate::{Rpc, tool};
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
};
use tempfile::TempDir;

/// A running anvil.
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    address: SocketAddr,
    /// Where it puts the states of old blocks, gigabytes of a long chain: in the home folder they
    /// would stay for ever, as it is ended without a chance to remove them.
    _states: TempDir,
}

impl Anvil {
    /// Returns the installed program, or `None` where `make tools` has not been run.
    pub fn program() -> Option<PathBuf> {
        ["linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64"]
            .iter()
            .find_map(|platform| tool(&format!("@foundry-rs/anvil-{platform}/bin/anvil")))
    }

    /// Starts one that mines only when told to, and returns when it listens.
    /// `None` where anvil is not installed.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// Like [`Self::start`], with more arguments.
    pub fn start_with(arguments: &[&str]) -> Option<Self> {
        let program = Self::program()?;
        let states = TempDir::new().expect("a temporary folder");
        let mut child = Command::new(program)
            .args(["--host", "127.0.0.1", "--no-mining", "--cache-path"])
            .arg(states.path())
            .args(if arguments.contains(&"--port") { &[][..] } else { &["--port", "0"] })
            .args(["--timestamp", "1700000000"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("an installed anvil starts");

        // It says which port it got; no polling, no race for a free one.
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("Listening on ")?.trim().parse().ok());
        let Some(address) = address else {
            let status = child.wait();
            panic!("anvil ended before it listened: {status:?}");
        };
        // A full pipe would stop it, so its talk is read to the end.
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Some(Self { child, address, _states: states })
    }

    /// Ends it as Ctrl-C does: it writes what `--state` names, and its port is free again.
    pub fn end(mut self) {
        let interrupt = ["-s", "INT", &self.child.id().to_string()];
        let sent = Command::new("kill").args(interrupt).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal is sent");
        self.child.wait().expect("it was started");
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns its WebSocket URL.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns a client of it.
    pub fn rpc(&self) -> Rpc {
        Rpc::new(self.address)
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
