//! A JSON-RPC client of a hundred lines, independent of the one under test.

use serde_json::{Value, json};
use std::{
    fmt,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A local node answers within seconds, on a machine that does much else in a minute, or is broken.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// Talks to a node on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Rpc {
    address: SocketAddr,
}

/// Why a call gave no result.
#[derive(thiserror::Error)]
pub enum RpcError {
    /// The line broke.
    #[error("no answer to {method}: {source}")]
    Line {
        /// The call.
        method: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The node answered no, or nothing that makes sense.
    #[error("{method} was answered with {answer:?}")]
    Refused {
        /// The call.
        method: String,
        /// The answer.
        answer: String,
    },
}

/// In words: this is what a test that unwraps it shows.
impl fmt::Debug for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Rpc {
    /// Returns a client of the node at `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Calls a method and returns its result.
    pub fn call(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let ask = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = self
            .post(&ask.to_string())
            .map_err(|source| RpcError::Line { method: method.to_owned(), source })?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        match serde_json::from_str::<Value>(body) {
            Ok(mut answer) if answer.get("result").is_some() => Ok(answer["result"].take()),
            // All of it: the head says more where there is no body.
            _ => Err(RpcError::Refused { method: method.to_owned(), answer }),
        }
    }

    /// Sends one request on a line of its own, so that the answer ends where the line does.
    fn post(&self, body: &str) -> io::Result<String> {
        let mut line = TcpStream::connect(self.address)?;
        line.set_read_timeout(Some(ANSWER_LIMIT))?;
        write!(
            line,
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            body.len(),
        )?;
        let mut answer = String::new();
        line.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_failure_says_the_method_and_the_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let rpc = Rpc::new(listener.local_addr().unwrap());
        let node = std::thread::spawn(move || {
            let (mut line, _) = listener.accept().unwrap();
            line.write_all(b"HTTP/1.1 503 Busy\r\n\r\n").unwrap();
            // Read what was sent, else closing resets the line.
            line.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = line.read_to_end(&mut Vec::new());
        });
        let told = format!("{:?}", rpc.call("eth_call", json!([])).unwrap_err());
        assert!(told.contains("eth_call") && told.contains("503 Busy"), "{told}");
        node.join().unwrap();
        // Nobody listens there any more.
        let told = format!("{:?}", rpc.call("eth_call", json!([])).unwrap_err());
        assert!(told.contains("no answer to eth_call: "), "{told}");
    }
}
