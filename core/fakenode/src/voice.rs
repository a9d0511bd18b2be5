//! What a node says to one request: asks the simulated node, and puts its answers and faults into
//! the words and shapes of a real one. How bytes travel is the transports' business.

use crate::{
    Asked, Dialect, Tally, Words,
    call::{Call, Place, Request, Span, logs_wanted, quantity, wrong},
    json,
    trouble::{Rules, WireTrouble},
};
use alloy_primitives::B256;
use event::{Answer, Ask, BlockNumHash, BlockRange, Fault, FaultClass, Filter, Head, Tag};
use futures_util::future::join_all;
use serde_json::{Value, json};
use sim::{SimNode, Told};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is added to an id that is wrong on purpose.
const WRONG_ID_OFFSET: u64 = 1_000_000;

/// What comes back to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// JSON.
    Text { status: u16, retry_after_s: Option<u64>, text: String },
    /// Something that is no JSON-RPC answer; the text is what a socket sends.
    Garbage(String),
    /// A part of this, and then the end of the connection.
    Cut(String),
    /// The end of the connection.
    HangUp,
    /// Nothing, ever.
    Silence,
}

/// What came of one call.
enum Said {
    Result(Value),
    Error(Words, Option<u64>),
    /// The connection is the answer.
    Wire(Reply),
}

impl From<Words> for Said {
    fn from(words: Words) -> Self {
        Self::Error(words, None)
    }
}

/// One node and how it speaks.
pub(crate) struct Voice {
    pub(crate) node: Arc<SimNode>,
    dialect: Dialect,
    rules: Mutex<Rules>,
    tally: Mutex<Tally>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Voice {
    pub(crate) fn new(node: Arc<SimNode>, dialect: Dialect, rules: Rules) -> Self {
        Self { node, dialect, rules: Mutex::new(rules), tally: Mutex::default() }
    }

    pub(crate) fn set_rules(&self, rules: Rules) {
        *locked(&self.rules) = rules;
    }

    pub(crate) fn tally(&self) -> Tally {
        locked(&self.tally).clone()
    }

    /// Returns what is said to a message. `is_socket` tells that there are no HTTP headers.
    pub(crate) async fn reply(&self, message: &[u8], is_socket: bool) -> Reply {
        let request = match Request::parse(message) {
            Ok(request) => request,
            Err(words) => return text(error_object(&Value::Null, &words).to_string()),
        };
        let Some(first) = request.first().cloned() else { return Reply::Silence };
        let struck = locked(&self.rules).strike(&first.method);
        match struck {
            None => self.answer(request, is_socket).await,
            Some(WireTrouble::HalfOpen) => Reply::Silence,
            Some(WireTrouble::Closed) => Reply::HangUp,
            Some(WireTrouble::Html) => garbage(&first),
            Some(WireTrouble::RateLimited { retry_after_s }) => {
                let class = FaultClass::Rate { retry_after_ms: Some(retry_after_s * 1_000) };
                let words = self.words(&class, &Asked::default(), is_socket);
                let Some(words) = words else { return Reply::HangUp };
                whole(&request, &words, Some(retry_after_s), is_socket)
            }
            Some(WireTrouble::SomeRefused { per_mille, class }) => {
                let calls = match &request {
                    Request::One(_) => 1,
                    Request::Batch(calls) => calls.len(),
                };
                if !locked(&self.rules).draw(calls, per_mille) {
                    return self.answer(request, is_socket).await;
                }
                let asked = Asked { method: first.method, ..Asked::default() };
                match self.words(&class, &asked, is_socket) {
                    Some(words) => whole(&request, &words, None, is_socket),
                    None => Reply::HangUp,
                }
            }
            Some(WireTrouble::Cut) => match self.answer(request, is_socket).await {
                Reply::Text { text, .. } => Reply::Cut(text),
                other => other,
            },
            Some(WireTrouble::TruncatedJson) => match self.answer(request, is_socket).await {
                Reply::Text { status, retry_after_s, mut text } => {
                    text.truncate(text.floor_char_boundary(text.len() / 2));
                    Reply::Text { status, retry_after_s, text }
                }
                other => other,
            },
            Some(WireTrouble::WrongId) => {
                self.answered(request, is_socket, |answers| {
                    for answer in answers {
                        let id = answer["id"].as_u64().unwrap_or(0);
                        answer["id"] = json!(id.saturating_add(WRONG_ID_OFFSET));
                    }
                })
                .await
            }
            Some(WireTrouble::DuplicateIds) => {
                self.answered(request, is_socket, |answers| {
                    if let Some(first) = answers.first().cloned() {
                        answers.insert(0, first);
                    }
                })
                .await
            }
        }
    }

    async fn answer(&self, request: Request, is_socket: bool) -> Reply {
        self.answered(request, is_socket, |_| {}).await
    }

    /// Answers, with the answer objects given to `tamper` before they are written.
    async fn answered(
        &self,
        request: Request,
        is_socket: bool,
        tamper: impl FnOnce(&mut Vec<Value>) + Send,
    ) -> Reply {
        let (calls, is_batch) = match &request {
            Request::One(call) => (std::slice::from_ref(call), false),
            Request::Batch(calls) => (&calls[..], true),
        };
        let mut answers = Vec::with_capacity(calls.len());
        let (mut status, mut retry_after_s) = (200, None);
        let mut rest = calls;
        while !rest.is_empty() {
            let (run, receipts) = (headers_in_a_row(rest), receipts_in_a_row(rest));
            let said = match (run, receipts) {
                (0 | 1, 0 | 1) => vec![self.one(&rest[0], is_socket).await],
                // Each has its own answer, and all are there after the time that one takes.
                (_, 2..) => {
                    join_all(rest[..receipts].iter().map(|call| self.one(call, is_socket))).await
                }
                (_, _) => self.headers(&rest[..run], is_socket).await,
            };
            let taken = run.max(receipts).max(1);
            for (call, said) in rest[..taken].iter().zip(said) {
                match said {
                    Said::Result(result) => {
                        answers.push(json!({"jsonrpc": "2.0", "id": call.id, "result": result}));
                    }
                    Said::Error(words, wait_s) => {
                        // A gateway that will not have one call will not have the batch.
                        if is_batch && words.status != 200 && !is_socket {
                            return whole(&request, &words, wait_s, is_socket);
                        }
                        (status, retry_after_s) = (words.status, wait_s);
                        answers.push(error_object(&call.id, &words));
                    }
                    Said::Wire(reply) => return reply,
                }
            }
            rest = &rest[taken..];
        }
        tamper(&mut answers);
        let is_list = is_batch || answers.len() > 1;
        let body = match answers.pop() {
            Some(one) if !is_list => one.to_string(),
            last => Value::Array(answers.into_iter().chain(last).collect()).to_string(),
        };
        Reply::Text { status, retry_after_s, text: body }
    }

    /// Headers of a batch are one question, as the node's client asked it; what is wrong with one of them is
    /// that one's.
    async fn headers(&self, calls: &[Call], is_socket: bool) -> Vec<Said> {
        let first = calls.first().and_then(Call::header_number).unwrap_or(0);
        let range = BlockRange::of_width(first, calls.len() as u64);
        let asked = asked("eth_getBlockByNumber", range);
        match self.ask(Ask::Headers { range }).await {
            Ok(Told { answer: Answer::Headers(headers), .. }) => {
                headers.iter().map(|block| Said::Result(json::block(block))).collect()
            }
            Ok(_) => vec![Said::Wire(Reply::HangUp)],
            Err(Fault { class: FaultClass::Unknown, .. }) => {
                join_all(calls.iter().map(|call| self.one(call, is_socket))).await
            }
            Err(fault) => {
                let said = |call: &Call| self.refused(call, &fault, &asked, is_socket);
                calls.iter().map(said).collect()
            }
        }
    }

    async fn ask(&self, ask: Ask) -> Result<Told, Fault> {
        let told = self.node.tell(ask).await;
        let mut tally = locked(&self.tally);
        tally.answers += 1;
        if let Ok(told) = &told {
            let chain = self.node.world().tree(sim::chain::Tree::chain);
            tally.count(chain, told);
        }
        told
    }

    async fn one(&self, call: &Call, is_socket: bool) -> Said {
        let (ask, asked) = match self.ask_of(call, is_socket).await {
            Ok(ask) => ask,
            Err(said) => return said,
        };
        match self.ask(ask).await {
            Ok(told) => self.result(&call.method, &told),
            Err(fault) => self.refused(call, &fault, &asked, is_socket),
        }
    }

    fn result(&self, method: &str, told: &Told) -> Said {
        Said::Result(match &told.answer {
            Answer::ChainId(chain) => quantity(chain.0),
            Answer::ClientVersion(version) => json!(version),
            Answer::Head(head) if method == "eth_blockNumber" => quantity(head.block.number),
            Answer::Head(head) => {
                let hash = head.block.hash;
                let found = self.node.world().tree(|tree| tree.block(&hash).cloned());
                json::head(head, found.as_deref())
            }
            Answer::Logs(logs) => json::logs(logs, &told.removed),
            Answer::Headers(headers) => headers.first().map_or(Value::Null, json::block),
            Answer::Receipts(receipts) => receipts.iter().map(json::receipt).collect(),
            // Never asked of the node: a batch is as many calls.
            Answer::ReceiptsOf(_) | Answer::SomeHeaders(_) => Value::Null,
            Answer::Syncing(false) => json!(false),
            Answer::Syncing(true) => {
                json!({"startingBlock": "0x0", "currentBlock": "0x1", "highestBlock": "0x2"})
            }
            Answer::PeerCount(count) => quantity(*count),
            Answer::Bytes(bytes) => json!(bytes),
        })
    }

    /// Returns the question that a call is.
    async fn ask_of(&self, call: &Call, is_socket: bool) -> Result<(Ask, Asked), Said> {
        let method = call.method.as_str();
        let plain = |ask| Ok((ask, Asked { method: method.to_owned(), ..Asked::default() }));
        match method {
            "eth_chainId" => plain(Ask::ChainId),
            "web3_clientVersion" => plain(Ask::ClientVersion),
            "eth_blockNumber" => plain(Ask::Head(Tag::Latest)),
            "eth_syncing" => plain(Ask::Syncing),
            "net_peerCount" => plain(Ask::PeerCount),
            "eth_getBlockByNumber" => match call.place()? {
                Place::Tag(tag) => plain(Ask::Head(tag)),
                Place::Number(number) => {
                    let range = BlockRange::one(number);
                    Ok((Ask::Headers { range }, asked(method, range)))
                }
                Place::Hash(_) => Err(wrong("invalid argument 0: not a number").into()),
            },
            "eth_getBlockByHash" => match call.place()? {
                Place::Hash(hash) => plain(Ask::HeaderByHash { hash }),
                _ => Err(wrong("invalid argument 0: not a hash").into()),
            },
            "eth_getBlockReceipts" => {
                let block = self.block_of(call, call.place()?, is_socket).await?;
                Ok((Ask::Receipts { block }, asked(method, BlockRange::one(block.number))))
            }
            "eth_getCode" => {
                let address = call.address(call.param(0))?;
                let block = self.block_of(call, call.place_at(1)?, is_socket).await?;
                Ok((Ask::Code { address, block }, asked(method, BlockRange::one(block.number))))
            }
            "eth_call" => {
                let (to, data) = call.target()?;
                let block = self.block_of(call, call.place_at(1)?, is_socket).await?;
                Ok((Ask::Call { to, data, block }, asked(method, BlockRange::one(block.number))))
            }
            "eth_getLogs" => {
                let (filter, span) = logs_wanted(call.param(0))?;
                self.logs_ask(call, filter, span, is_socket).await
            }
            _ => {
                let asked = Asked { method: method.to_owned(), ..Asked::default() };
                let words = self.words(&FaultClass::Off, &asked, is_socket);
                Err(words.map_or(Said::Wire(Reply::HangUp), Said::from))
            }
        }
    }

    async fn logs_ask(
        &self,
        call: &Call,
        filter: Arc<Filter>,
        span: Span,
        is_socket: bool,
    ) -> Result<(Ask, Asked), Said> {
        let (from, to) = match span {
            Span::Hash(hash) => {
                let block = self.known(hash);
                let asked = asked(&call.method, BlockRange::one(block.number));
                return Ok((Ask::LogsByHash { filter, block }, asked));
            }
            Span::Between(from, to) => (from, to),
        };
        let first = self.number_of(call, from, is_socket).await?;
        let last = self.number_of(call, to, is_socket).await?;
        let range =
            BlockRange::new(first, last).ok_or_else(|| wrong("invalid block range params"))?;
        Ok((Ask::Logs { filter, range }, asked(&call.method, range)))
    }

    async fn number_of(&self, call: &Call, place: Place, is_socket: bool) -> Result<u64, Said> {
        match place {
            Place::Number(number) => Ok(number),
            Place::Hash(_) => Err(wrong("invalid argument 0: not a number").into()),
            Place::Tag(tag) => match self.ask(Ask::Head(tag)).await {
                Ok(Told { answer: Answer::Head(Head { block, .. }), .. }) => Ok(block.number),
                Ok(_) => Err(Said::Wire(Reply::HangUp)),
                Err(fault) => Err(self.refused(call, &fault, &Asked::default(), is_socket)),
            },
        }
    }

    async fn block_of(
        &self,
        call: &Call,
        place: Place,
        is_socket: bool,
    ) -> Result<BlockNumHash, Said> {
        if let Place::Hash(hash) = place {
            return Ok(self.known(hash));
        }
        let number = self.number_of(call, place, is_socket).await?;
        let range = BlockRange::one(number);
        match self.ask(Ask::Headers { range }).await {
            Ok(Told { answer: Answer::Headers(headers), .. }) => {
                let hash = headers.first().map_or(B256::ZERO, |block| block.hash);
                Ok(BlockNumHash { number, hash })
            }
            Ok(_) => Err(Said::Wire(Reply::HangUp)),
            Err(fault) => Err(self.refused(call, &fault, &asked(&call.method, range), is_socket)),
        }
    }

    /// Rules look at heights; a hash that nobody ever mined has none.
    fn known(&self, hash: B256) -> BlockNumHash {
        let number = self.node.world().tree(|tree| tree.block(&hash).map(|block| block.number));
        BlockNumHash { number: number.unwrap_or(u64::MAX), hash }
    }

    fn refused(&self, call: &Call, fault: &Fault, asked: &Asked, is_socket: bool) -> Said {
        match &fault.class {
            // What is not there is `null`, except for logs.
            FaultClass::Unknown if call.method != "eth_getLogs" => Said::Result(Value::Null),
            FaultClass::TimedOut => Said::Wire(Reply::Silence),
            FaultClass::Malformed => Said::Wire(garbage(call)),
            FaultClass::Dropped => Said::Wire(Reply::Cut(r#"{"jsonrpc":"2.0","id":"#.to_owned())),
            FaultClass::Rate { retry_after_ms } => {
                let wait_s = retry_after_ms.map(|wait_ms| wait_ms.div_ceil(1_000));
                match self.words(&fault.class, asked, is_socket) {
                    Some(words) => Said::Error(words, wait_s),
                    None => Said::Wire(Reply::HangUp),
                }
            }
            class => match self.words(class, asked, is_socket) {
                Some(words) => Said::Error(words, None),
                None => Said::Wire(Reply::HangUp),
            },
        }
    }

    /// Over a socket there is no `Retry-After`: the text names the wait.
    fn words(&self, class: &FaultClass, asked: &Asked, is_socket: bool) -> Option<Words> {
        let mut words = self.dialect.words(class, asked)?;
        if let FaultClass::Rate { retry_after_ms: Some(wait_ms) } = class
            && is_socket
            && words.data.is_none()
        {
            words.message.push_str(&format!(", try again in {wait_ms}ms"));
        }
        Some(words)
    }
}

fn asked(method: &str, range: BlockRange) -> Asked {
    Asked { method: method.to_owned(), first: range.first(), last: range.last() }
}

/// Returns how many calls from the first on ask for the headers of heights in a row.
fn headers_in_a_row(calls: &[Call]) -> usize {
    let Some(first) = calls.first().and_then(Call::header_number) else { return 0 };
    calls.iter().zip(first..).take_while(|(call, n)| call.header_number() == Some(*n)).count()
}

fn receipts_in_a_row(calls: &[Call]) -> usize {
    calls.iter().take_while(|call| call.method == "eth_getBlockReceipts").count()
}

fn error_object(id: &Value, words: &Words) -> Value {
    let mut error = json!({"code": words.code, "message": words.message});
    if let Some(data) = &words.data {
        error["data"] = data.clone();
    }
    json!({"jsonrpc": "2.0", "id": id, "error": error})
}

/// One error for everything that was asked. Over a socket each call has its own, because nothing
/// else says whose it is.
fn whole(request: &Request, words: &Words, retry_after_s: Option<u64>, is_socket: bool) -> Reply {
    let body = match request {
        Request::One(call) => error_object(&call.id, words),
        Request::Batch(calls) if is_socket => {
            calls.iter().map(|call| error_object(&call.id, words)).collect()
        }
        Request::Batch(_) => error_object(&Value::Null, words),
    };
    Reply::Text { status: words.status, retry_after_s, text: body.to_string() }
}

fn garbage(call: &Call) -> Reply {
    Reply::Garbage(json!({"jsonrpc": "2.0", "id": call.id}).to_string())
}

const fn text(text: String) -> Reply {
    Reply::Text { status: 200, retry_after_s: None, text }
}
