//! A node that serves given blocks over HTTP on this machine, and can be told to fall silent.
//!
//! Plain threads and HTTP/1.1. It never lies; what lies is another server's business.

use crate::ServedBlock;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

/// No request of the program under test is larger.
const BODY_BYTES_MAX: usize = 1 << 20;

/// What a server answers from.
#[derive(Debug)]
struct Served {
    chain: u64,
    blocks: BTreeMap<u64, (ServedBlock, Vec<Value>)>,
    /// Questions that reach this block wait until the server ends.
    silent_from: u64,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    count: usize,
    is_over: bool,
}

/// A running server; gone when dropped.
#[derive(Debug)]
pub struct BlockServer {
    address: SocketAddr,
    served: Arc<Served>,
}

impl BlockServer {
    /// Serves blocks of a chain; the highest is the head, and final.
    pub fn start(chain: u64, blocks: impl IntoIterator<Item = ServedBlock>) -> Self {
        Self::start_silent_from(u64::MAX, chain, blocks)
    }

    /// Like [`Self::start`], but the logs of each block go through `bend`; receipts stay honest.
    pub fn start_bent(
        chain: u64,
        blocks: impl IntoIterator<Item = ServedBlock>,
        bend: impl Fn(u64, &mut Vec<Value>),
    ) -> Self {
        Self::start_with(u64::MAX, chain, blocks, bend)
    }

    /// Like [`Self::start`], but never answers a question that reaches block `silent_from`.
    pub fn start_silent_from(
        silent_from: u64,
        chain: u64,
        blocks: impl IntoIterator<Item = ServedBlock>,
    ) -> Self {
        Self::start_with(silent_from, chain, blocks, |_, _| {})
    }

    fn start_with(
        silent_from: u64,
        chain: u64,
        blocks: impl IntoIterator<Item = ServedBlock>,
        bend: impl Fn(u64, &mut Vec<Value>),
    ) -> Self {
        let blocks = blocks.into_iter().map(|block| {
            let mut logs = block.logs();
            let height = number(&block.block["number"]);
            bend(height, &mut logs);
            (height, (block, logs))
        });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on this machine");
        let address = listener.local_addr().expect("a bound socket has an address");
        let served = Arc::new(Served {
            chain,
            blocks: blocks.collect(),
            silent_from,
            waiting: Mutex::default(),
            changed: Condvar::new(),
        });
        let of_thread = served.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if of_thread.is_over() {
                    return;
                }
                let served = of_thread.clone();
                // A client that left early is no concern of ours.
                thread::spawn(move || served.serve(stream).ok());
            }
        });
        Self { address, served }
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns once a question waits in vain: everything before it has been asked.
    pub fn wait_for_silence(&self) {
        let waiting = self.served.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let _waited = self.served.changed.wait_while(waiting, |waiting| waiting.count == 0);
    }
}

impl Drop for BlockServer {
    fn drop(&mut self) {
        self.served.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        self.served.changed.notify_all();
        // Wakes the listener, so that it sees the end.
        let _ = TcpStream::connect(self.address);
    }
}

impl Served {
    fn is_over(&self) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_over
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut writer = stream.try_clone()?;
        let mut reader = BufReader::new(stream);
        while let Some(body) = request(&mut reader)? {
            let asked: Value = serde_json::from_slice(&body)?;
            let answer = match &asked {
                Value::Array(calls) => calls.iter().map(|call| self.answer(call)).collect(),
                call => self.answer(call),
            };
            let Some(answer) = (!self.is_over()).then(|| answer.to_string()) else { return Ok(()) };
            write!(
                writer,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                answer.len()
            )?;
            writer.write_all(answer.as_bytes())?;
        }
        Ok(())
    }

    fn answer(&self, call: &Value) -> Value {
        let params = &call["params"];
        let result = match call["method"].as_str().unwrap_or_default() {
            "eth_chainId" => json!(format!("{:#x}", self.chain)),
            "web3_clientVersion" => json!("blocks/v1"),
            "eth_getBlockByNumber" => {
                let height = match params[0].as_str().unwrap_or_default() {
                    "latest" | "safe" | "finalized" => {
                        self.blocks.last_key_value().map_or(0, |(height, _)| *height)
                    }
                    _ => self.heard(number(&params[0])),
                };
                self.blocks.get(&height).map_or(Value::Null, |(block, _)| block.block.clone())
            }
            "eth_getBlockByHash" => {
                self.by_hash(&params[0]).map_or(Value::Null, |block| block.block.clone())
            }
            "eth_getBlockReceipts" => {
                let place = &params[0];
                let by_number = || self.blocks.get(&number(place)).map(|(block, _)| block);
                let block = self.by_hash(place).or_else(by_number);
                block.map_or(Value::Null, |block| block.receipts.clone())
            }
            "eth_getLogs" => self.logs(&params[0]),
            _ => {
                let error = json!({"code": -32601, "message": "the method does not exist"});
                return json!({"jsonrpc": "2.0", "id": call["id"], "error": error});
            }
        };
        json!({"jsonrpc": "2.0", "id": call["id"], "result": result})
    }

    fn by_hash(&self, hash: &Value) -> Option<&ServedBlock> {
        self.blocks.values().map(|(block, _)| block).find(|block| block.block["hash"] == *hash)
    }

    fn logs(&self, filter: &Value) -> Value {
        let range = match filter.get("blockHash") {
            Some(hash) => match self.by_hash(hash) {
                Some(block) => number(&block.block["number"])..=number(&block.block["number"]),
                None => return Value::Null,
            },
            None => number(&filter["fromBlock"])..=self.heard(number(&filter["toBlock"])),
        };
        let topics = filter["topics"].as_array();
        self.blocks
            .range(range)
            .flat_map(|(_, (_, logs))| logs)
            .filter(|log| {
                let mut topics = topics.into_iter().flatten().enumerate();
                allows(&filter["address"], &log["address"])
                    && topics.all(|(i, side)| allows(side, &log["topics"][i]))
            })
            .cloned()
            .collect()
    }

    /// Returns `height`, unless this server is silent from there on.
    fn heard(&self, height: u64) -> u64 {
        if height >= self.silent_from {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.count += 1;
            self.changed.notify_all();
            let _waited = self.changed.wait_while(waiting, |waiting| !waiting.is_over);
        }
        height
    }
}

/// Reads the body of one request; `None` where the client has closed the connection.
fn request(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
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
    Ok(Some(body))
}

fn allows(side: &Value, value: &Value) -> bool {
    match side {
        Value::Null => true,
        Value::Array(values) => values.is_empty() || values.contains(value),
        one => one == value,
    }
}

fn number(hex: &Value) -> u64 {
    let digits = hex.as_str().unwrap_or_default().trim_start_matches("0x");
    u64::from_str_radix(digits, 16).unwrap_or(u64::MAX)
}
