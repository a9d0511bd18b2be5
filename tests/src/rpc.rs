//! A JSON-RPC client of a hundred lines, independent of the one under test.

use serde_json::{Value, json};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A local node answers within seconds or is broken.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Talks to a node on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Rpc {
    address: SocketAddr,
}

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The line broke.
    #[error("no answer to {method}")]
    Line {
        /// The call.
        method: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The node answered no, or nothing that makes sense.
    #[error("{method} was answered with {answer}")]
    Refused {
        /// The call.
        method: String,
        /// The answer.
        answer: String,
    },
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
            _ => Err(RpcError::Refused { method: method.to_owned(), answer: body.to_owned() }),
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
