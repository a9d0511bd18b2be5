//! A node that answers honestly from a recorded chain, except where a test bends an answer.
//!
//! Plain threads and HTTP/1.1 on 127.0.0.1: what Headcount hears is what a socket can carry, a
//! torn body, a page of HTML or silence included.

use crate::RecordedChain;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// No request of the program under test is larger.
const BODY_BYTES_MAX: usize = 1 << 20;

/// A call as it arrived.
#[derive(Clone, Debug)]
pub struct ScriptedCall {
    /// Request line and headers, as sent.
    pub head: String,
    /// Method.
    pub method: String,
    /// Parameters.
    pub params: Value,
    /// Position in its batch; `None` for a call of its own.
    pub member: Option<usize>,
    /// Calls of this method before this one.
    pub earlier: usize,
}

/// What to answer instead of the truth.
#[derive(Clone, Debug)]
pub enum Bent {
    /// This result.
    Result(Value),
    /// An error object with this code and message.
    Error(i64, String),
    /// This result, under the id of another call.
    OtherId(Value),
    /// The whole exchange is answered with this status and body.
    Body(u16, String),
    /// The whole answer is cut in the middle, under a length that says it is whole.
    Truncated,
    /// The connection closes without a word.
    Closed,
    /// Nothing is ever said.
    Silence,
}

type Hook = dyn Fn(&ScriptedCall, Value) -> Bent + Send + Sync;

struct Shared {
    chain: Arc<RecordedChain>,
    hook: Box<Hook>,
    calls: Mutex<BTreeMap<String, usize>>,
    is_over: Mutex<bool>,
    over: Condvar,
}

/// A running node; gone when dropped.
pub struct ScriptedNode {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for ScriptedNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptedNode").field("address", &self.address).finish_non_exhaustive()
    }
}

impl ScriptedNode {
    /// Starts a node that only tells the truth.
    pub fn honest(chain: &Arc<RecordedChain>) -> Self {
        Self::start(chain, |_, truth| Bent::Result(truth))
    }

    /// Starts a node whose every answer goes through `hook`.
    pub fn start(
        chain: &Arc<RecordedChain>,
        hook: impl Fn(&ScriptedCall, Value) -> Bent + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on this machine");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            chain: chain.clone(),
            hook: Box::new(hook),
            calls: Mutex::default(),
            is_over: Mutex::default(),
            over: Condvar::new(),
        });
        let of_thread = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if *locked(&of_thread.is_over) {
                    return;
                }
                let shared = of_thread.clone();
                // A client that left early is no concern of ours.
                thread::spawn(move || shared.serve(stream).ok());
            }
        });
        Self { address, shared }
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns its host and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Returns how often each method was called.
    pub fn calls(&self) -> BTreeMap<String, usize> {
        locked(&self.shared.calls).clone()
    }
}

impl Drop for ScriptedNode {
    fn drop(&mut self) {
        *locked(&self.shared.is_over) = true;
        self.shared.over.notify_all();
        // Wakes the listener, so that it sees the end.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut writer = stream.try_clone()?;
        let mut reader = BufReader::new(stream);
        while let Some((head, body)) = request(&mut reader)? {
            let Ok(asked) = serde_json::from_slice::<Value>(&body) else { return Ok(()) };
            match self.reply(&head, &asked) {
                Reply::Whole(status, body) => write(&mut writer, status, body.len(), &body)?,
                Reply::Cut(body) => {
                    let half = &body[..body.floor_char_boundary(body.len() / 2)];
                    write(&mut writer, 200, half.len(), half)?;
                }
                Reply::Closed => return Ok(()),
                Reply::Silence => {
                    let over = locked(&self.is_over);
                    let waited = self.over.wait_while(over, |is_over| !*is_over);
                    drop(waited);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn reply(&self, head: &str, asked: &Value) -> Reply {
        let (calls, is_batch) = match asked {
            Value::Array(calls) => (calls.as_slice(), true),
            one => (std::slice::from_ref(one), false),
        };
        let mut members = Vec::new();
        let mut is_cut = false;
        for (i, call) in calls.iter().enumerate() {
            let id = &call["id"];
            let bent = self.bend(head, call, is_batch.then_some(i));
            members.push(match bent {
                Bent::Result(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
                Bent::Error(code, message) => {
                    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
                }
                Bent::OtherId(result) => {
                    let other = id.as_u64().unwrap_or_default() + 7_000;
                    json!({"jsonrpc": "2.0", "id": other, "result": result})
                }
                Bent::Truncated => {
                    is_cut = true;
                    json!({"jsonrpc": "2.0", "id": id, "result": []})
                }
                Bent::Body(status, body) => return Reply::Whole(status, body),
                Bent::Closed => return Reply::Closed,
                Bent::Silence => return Reply::Silence,
            });
        }
        let body = if is_batch { Value::Array(members) } else { members.remove(0) }.to_string();
        if is_cut { Reply::Cut(body) } else { Reply::Whole(200, body) }
    }

    fn bend(&self, head: &str, call: &Value, member: Option<usize>) -> Bent {
        let method = call["method"].as_str().unwrap_or_default().to_owned();
        let earlier = {
            let mut calls = locked(&self.calls);
            let count = calls.entry(method.clone()).or_default();
            *count += 1;
            *count - 1
        };
        let params = call["params"].clone();
        let truth = self.chain.answer(&method, &params);
        let call = ScriptedCall { head: head.to_owned(), method, params, member, earlier };
        (self.hook)(&call, truth)
    }
}

enum Reply {
    Whole(u16, String),
    Cut(String),
    Closed,
    Silence,
}

/// Reads one request; `None` where the client has closed the connection.
fn request(reader: &mut impl BufRead) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut head = String::new();
    let mut length = 0;
    loop {
        let start = head.len();
        if reader.read_line(&mut head)? == 0 {
            return Ok(None);
        }
        let line = head[start..].trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0).min(BODY_BYTES_MAX);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some((head, body)))
}

fn write(writer: &mut impl Write, status: u16, length: usize, body: &str) -> io::Result<()> {
    write!(
        writer,
        "HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    writer.flush()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
