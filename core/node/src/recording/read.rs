//! Answers questions from a recording: what was recorded, or unknown, never empty by guess.
//!
//! A range is answered when recorded answers cover it all, each for the same filter or a wider
//! one; a wider answer is filtered here. A block's logs by hash come from an answer by hash, else
//! from its receipts, else from a range answer that shows this block under this hash.

use super::{
    FORMAT_VERSION, RecordingError,
    facts::{End, Line, Opening},
};
use crate::wire::request::{METHODS, method_index};
use alloy_primitives::{Address, B256, Bytes, Keccak256};
use event::{
    Answer, AnswerFuture, AnyOf, Ask, BlockAnswer, BlockNumHash, BlockRange, ChainId, Fault,
    FaultClass, Filter, Head, LogRef, Logs, LogsAnswer, Node, NodeId, Receipt, Tag,
};
use flate2::read::MultiGzDecoder;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// A line is one answer, and answers are capped far below.
const MAX_LINE_BYTES: u64 = 1024 * 1024 * 1024;

/// A file that answers like the node it was recorded from.
pub struct Recording {
    id: NodeId,
    chain: ChainId,
    client: Option<String>,
    heads: [Option<Head>; 3],
    headers: Vec<BlockAnswer>,
    /// The hash recorded last for a height.
    by_number: HashMap<u64, usize>,
    by_hash: HashMap<B256, usize>,
    /// In the order of the filters' first appearance.
    ranges: Vec<FilterTape>,
    by_block: HashMap<B256, Vec<(Arc<Filter>, LogsAnswer)>>,
    receipts: HashMap<B256, Vec<Receipt>>,
    code: HashMap<(Address, B256), Bytes>,
    /// What calls returned, by contract, block and call data.
    returned: HashMap<(Address, B256, Bytes), Bytes>,
    calls: [AtomicU64; METHODS.len()],
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("id", &self.id)
            .field("chain", &self.chain)
            .field("headers", &self.headers.len())
            .field("receipts", &self.receipts.len())
            .finish_non_exhaustive()
    }
}

/// All range answers for one filter.
struct FilterTape {
    filter: Arc<Filter>,
    /// Sorted by first block, then by last.
    answers: Vec<(BlockRange, LogsAnswer)>,
    /// For each position, which answer up to it reaches furthest.
    furthest: Vec<usize>,
}

impl FilterTape {
    fn sort(&mut self) {
        self.answers.sort_by_key(|(range, _)| (range.first(), range.last()));
        let mut best = 0;
        self.furthest = (0..self.answers.len())
            .map(|i| {
                if self.answers[i].0.last() >= self.answers[best].0.last() {
                    best = i;
                }
                best
            })
            .collect();
    }

    /// Returns the answer that holds `number` and reaches furthest from there.
    fn reaching(&self, number: u64) -> Option<&(BlockRange, LogsAnswer)> {
        let before = self.answers.partition_point(|(range, _)| range.first() <= number);
        let answer = &self.answers[*self.furthest.get(before.checked_sub(1)?)?];
        answer.0.contains(number).then_some(answer)
    }
}

impl Recording {
    /// Reads a recording whole and checks that it is.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, RecordingError> {
        let mut lines = Lines::open(path.as_ref())?;
        if !lines.next()? {
            return Err(lines.truncated());
        }
        let opening: Opening = lines.parse()?;
        if opening.headcount_recording != FORMAT_VERSION {
            return Err(RecordingError::Version {
                path: lines.path,
                found: opening.headcount_recording,
            });
        }
        let mut recording = Self {
            id: NodeId::new(opening.node),
            chain: ChainId(opening.chain),
            client: opening.client,
            heads: [None; 3],
            headers: Vec::new(),
            by_number: HashMap::new(),
            by_hash: HashMap::new(),
            ranges: Vec::new(),
            by_block: HashMap::new(),
            receipts: HashMap::new(),
            code: HashMap::new(),
            returned: HashMap::new(),
            calls: std::array::from_fn(|_| AtomicU64::new(0)),
        };
        let mut filters = HashMap::new();
        loop {
            let (before, digest) = (lines.count, lines.digest.clone());
            if !lines.next()? {
                return Err(lines.truncated());
            }
            match lines.parse()? {
                Line::End(end) => {
                    lines.check(end, before, digest.finalize())?;
                    break;
                }
                fact => recording.take(fact, &mut filters).map_err(|cause| lines.wrong(cause))?,
            }
        }
        recording.ranges.iter_mut().for_each(FilterTape::sort);
        Ok(recording)
    }

    /// Returns it under another name.
    pub fn named(mut self, name: NodeId) -> Self {
        self.id = name;
        self
    }

    fn take(
        &mut self,
        fact: Line<'_>,
        filters: &mut HashMap<Arc<Filter>, usize>,
    ) -> Result<(), String> {
        match fact {
            Line::Head(fact) => {
                let slot = match &*fact.tag {
                    "latest" => 0,
                    "safe" => 1,
                    "finalized" => 2,
                    other => return Err(format!("unknown tag `{other}`")),
                };
                self.heads[slot] = Some(Head { block: fact.block, timestamp: fact.timestamp });
            }
            Line::Header(fact) => {
                let block = BlockAnswer::from(*fact);
                self.by_number.insert(block.header.number, self.headers.len());
                self.by_hash.insert(block.hash, self.headers.len());
                self.headers.push(block);
            }
            Line::Logs(fact) => {
                let answer = answer_of(fact.logs.0.into_owned(), fact.removed, fact.bytes);
                let at = *filters.entry(fact.filter.clone()).or_insert_with(|| {
                    let (filter, answers, furthest) = (fact.filter, Vec::new(), Vec::new());
                    self.ranges.push(FilterTape { filter, answers, furthest });
                    self.ranges.len() - 1
                });
                self.ranges[at].answers.push((fact.range, answer));
            }
            Line::LogsByHash(fact) => {
                let answer = answer_of(fact.logs.0.into_owned(), fact.removed, fact.bytes);
                self.by_block.entry(fact.block.hash).or_default().push((fact.filter, answer));
            }
            Line::Receipts(fact) => {
                self.receipts.insert(fact.block.hash, fact.receipts.into_owned());
            }
            Line::Code(fact) => {
                self.code.insert((fact.address, fact.block.hash), fact.code.into_owned());
            }
            Line::Call(fact) => {
                let key = (fact.to, fact.block.hash, fact.data.into_owned());
                self.returned.insert(key, fact.returned.into_owned());
            }
            Line::End(_) => return Err("the end in the middle".to_owned()),
        }
        Ok(())
    }

    fn answer(&self, ask: &Ask) -> Result<Answer, Fault> {
        match ask {
            Ask::ChainId => Ok(Answer::ChainId(self.chain)),
            Ask::ClientVersion => match &self.client {
                Some(client) => Ok(Answer::ClientVersion(client.clone())),
                None => Err(self.not_recorded(ask, "the client's version")),
            },
            Ask::Head(tag) => {
                let slot = match tag {
                    Tag::Latest => 0,
                    Tag::Safe => 1,
                    Tag::Finalized => 2,
                };
                let head = self.heads[slot].map(Answer::Head);
                head.ok_or_else(|| self.not_recorded(ask, "this tag"))
            }
            Ask::Logs { filter, range } => {
                self.logs(filter, *range).map(Answer::Logs).map_err(|number| {
                    self.not_recorded(ask, &format!("logs of block {number} for this filter"))
                })
            }
            Ask::LogsByHash { filter, block } => {
                self.logs_by_hash(filter, *block).map(Answer::Logs).ok_or_else(|| {
                    self.not_recorded(ask, &format!("logs of block {block} for this filter"))
                })
            }
            Ask::Headers { range } => {
                // Cut before collecting: the range may be far wider than the recording.
                let mut found = Vec::new();
                for number in range.first()..=range.last() {
                    match self.by_number.get(&number) {
                        Some(at) => found.push(self.headers[*at].clone()),
                        None => return Err(self.not_recorded(ask, &format!("header {number}"))),
                    }
                }
                Ok(Answer::Headers(found))
            }
            Ask::HeaderByHash { hash } => match self.by_hash.get(hash) {
                Some(at) => Ok(Answer::Headers(vec![self.headers[*at].clone()])),
                None => Err(self.not_recorded(ask, &format!("header {hash}"))),
            },
            Ask::Receipts { block } => match self.receipts.get(&block.hash) {
                Some(receipts) => Ok(Answer::Receipts(receipts.clone())),
                None => Err(self.not_recorded(ask, &format!("receipts of block {block}"))),
            },
            Ask::ReceiptsOf { blocks } => {
                let of = |block: &BlockNumHash| match self.receipts.get(&block.hash) {
                    Some(receipts) => Ok(receipts.clone()),
                    None => Err(self.not_recorded(ask, &format!("receipts of block {block}"))),
                };
                Ok(Answer::ReceiptsOf(blocks.iter().map(of).collect()))
            }
            Ask::Syncing => Err(self.not_recorded(ask, "whether the node was syncing")),
            Ask::PeerCount => Err(self.not_recorded(ask, "the number of peers")),
            Ask::Code { address, block } => match self.code.get(&(*address, block.hash)) {
                Some(code) => Ok(Answer::Bytes(code.clone())),
                None => Err(self.not_recorded(ask, &format!("the code of {address}"))),
            },
            Ask::Call { to, data, block } => {
                match self.returned.get(&(*to, block.hash, data.clone())) {
                    Some(returned) => Ok(Answer::Bytes(returned.clone())),
                    None => Err(self.not_recorded(ask, &format!("this call to {to}"))),
                }
            }
        }
    }

    /// Joins recorded answers to one; the error is the first block that none of them covers.
    fn logs(&self, filter: &Filter, range: BlockRange) -> Result<LogsAnswer, u64> {
        let mut joined = Joined::default();
        let mut next = range.first();
        loop {
            let covering = self.ranges.iter().filter(|tape| covers(&tape.filter, filter));
            let reaching = covering.filter_map(|tape| Some((tape, tape.reaching(next)?)));
            // The furthest; of those the one for this very filter, which needs no filtering.
            let best = reaching.max_by_key(|(tape, (recorded, _))| {
                (recorded.last().min(range.last()), *tape.filter == *filter)
            });
            let Some((tape, (recorded, answer))) = best else {
                return Err(next);
            };
            let is_same = *tape.filter == *filter;
            if is_same && *recorded == range {
                return Ok(answer.clone());
            }
            let last = recorded.last().min(range.last());
            joined.add(answer, |number, _, log| {
                next <= number && number <= last && (is_same || filter.matches(log))
            });
            if last == range.last() {
                return Ok(joined.answer);
            }
            next = last + 1;
        }
    }

    fn logs_by_hash(&self, filter: &Filter, block: BlockNumHash) -> Option<LogsAnswer> {
        let mut recorded = self.by_block.get(&block.hash).into_iter().flatten();
        if let Some((asked, answer)) = recorded.rfind(|(asked, _)| covers(asked, filter)) {
            return Some(joined(answer, |_, _, log| filter.matches(log) || **asked == *filter));
        }
        if let Some(receipts) = self.receipts.get(&block.hash) {
            return Some(logs_of(receipts, filter, block));
        }
        self.ranges.iter().filter(|tape| covers(&tape.filter, filter)).find_map(|tape| {
            let (_, answer) = tape.reaching(block.number)?;
            let mut hashes = answer.blocks.iter().filter(|known| known.0 == block.number);
            let is_this_block = match hashes.next() {
                Some(first) => first.1 == block.hash && hashes.next().is_none(),
                // No log shows the hash, but the header recorded at this height may.
                None => {
                    let at = self.by_number.get(&block.number);
                    at.is_some_and(|at| self.headers[*at].hash == block.hash)
                }
            };
            is_this_block
                .then(|| joined(answer, |_, hash, log| hash == block.hash && filter.matches(log)))
        })
    }

    fn not_recorded(&self, ask: &Ask, what: &str) -> Fault {
        Fault {
            node: self.id.clone(),
            method: method_of(ask).to_owned(),
            class: FaultClass::NotRecorded,
            text: format!("the recording does not hold {what}"),
        }
    }
}

impl Node for Recording {
    fn id(&self) -> &NodeId {
        &self.id
    }

    fn ask(&self, ask: Ask) -> AnswerFuture<'_> {
        Box::pin(async move {
            let outcome = self.answer(&ask);
            let calls = match &outcome {
                Ok(Answer::Headers(blocks)) => blocks.len() as u64,
                Ok(Answer::ReceiptsOf(told)) => told.len() as u64,
                _ => 1,
            };
            if let Some(index) = method_index(method_of(&ask)) {
                self.calls[index].fetch_add(calls, Relaxed);
            }
            outcome
        })
    }

    /// Counts the calls that a node would have been sent for the same questions.
    fn keeps_chain(&self) -> bool {
        true
    }

    fn calls(&self) -> BTreeMap<String, u64> {
        METHODS
            .iter()
            .zip(&self.calls)
            .map(|(method, count)| ((*method).to_owned(), count.load(Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

const fn method_of(ask: &Ask) -> &'static str {
    match ask {
        Ask::ChainId => "eth_chainId",
        Ask::ClientVersion => "web3_clientVersion",
        Ask::Logs { .. } | Ask::LogsByHash { .. } => "eth_getLogs",
        Ask::Head(_) | Ask::Headers { .. } => "eth_getBlockByNumber",
        Ask::HeaderByHash { .. } => "eth_getBlockByHash",
        Ask::Receipts { .. } | Ask::ReceiptsOf { .. } => "eth_getBlockReceipts",
        Ask::Syncing => "eth_syncing",
        Ask::PeerCount => "net_peerCount",
        Ask::Code { .. } => "eth_getCode",
        Ask::Call { .. } => "eth_call",
    }
}

fn answer_of(mut answer: LogsAnswer, removed: u64, bytes: u64) -> LogsAnswer {
    answer.removed = removed;
    answer.bytes = bytes;
    answer
}

/// Whether every log that `inner` matches is matched by `outer`.
fn covers(outer: &Filter, inner: &Filter) -> bool {
    fn side<T: Ord>(outer: &AnyOf<T>, inner: &AnyOf<T>) -> bool {
        match (outer, inner) {
            (AnyOf::Any, _) => true,
            (AnyOf::Of(_), AnyOf::Any) => false,
            (AnyOf::Of(_), AnyOf::Of(inner)) => inner.iter().all(|value| outer.allows(value)),
        }
    }
    side(&outer.addresses, &inner.addresses)
        && outer.topics.iter().zip(&inner.topics).all(|(outer, inner)| side(outer, inner))
}

/// Parts of several answers as one.
#[derive(Default)]
struct Joined {
    answer: LogsAnswer,
    index: HashMap<(u64, B256), u32>,
}

impl Joined {
    /// Adds the logs for which `keep(block number, block hash, log)` holds, and a like part of the
    /// bytes. Removed logs are counted whole: nobody knows where they were.
    fn add(&mut self, part: &LogsAnswer, keep: impl Fn(u64, B256, LogRef<'_>) -> bool) {
        let before = self.answer.logs.len() as u64;
        for row in part.logs.rows() {
            let (number, hash, timestamp) = part.blocks[row.block as usize];
            if !keep(number, hash, row) {
                continue;
            }
            let next = self.answer.blocks.len() as u32;
            let block = *self.index.entry((number, hash)).or_insert(next);
            if block == next {
                self.answer.blocks.push((number, hash, timestamp));
            }
            self.answer.logs.push(LogRef { block, ..row });
        }
        let (kept, all) = (self.answer.logs.len() as u64 - before, part.logs.len() as u64);
        self.answer.removed += part.removed;
        self.answer.bytes += part.bytes.checked_mul(kept).map_or(0, |bytes| bytes / all.max(1));
    }
}

fn joined(part: &LogsAnswer, keep: impl Fn(u64, B256, LogRef<'_>) -> bool) -> LogsAnswer {
    let mut joined = Joined::default();
    joined.add(part, keep);
    joined.answer
}

fn logs_of(receipts: &[Receipt], filter: &Filter, block: BlockNumHash) -> LogsAnswer {
    let mut logs = Logs::default();
    for log in receipts.iter().flat_map(|receipt| &receipt.logs) {
        if filter.matches(LogRef::from(log)) {
            logs.push_log(0, log);
        }
    }
    let blocks = if logs.is_empty() { vec![] } else { vec![(block.number, block.hash, None)] };
    LogsAnswer { blocks, logs, removed: 0, bytes: 0 }
}

/// The uncompressed lines of a recording, counted and digested as they pass.
struct Lines {
    path: PathBuf,
    reader: BufReader<MultiGzDecoder<BufReader<File>>>,
    line: Vec<u8>,
    count: u64,
    digest: Keccak256,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, RecordingError> {
        let path = path.to_owned();
        let file = File::open(&path)
            .map_err(|source| RecordingError::Io { path: path.clone(), source })?;
        let reader = BufReader::with_capacity(1 << 18, MultiGzDecoder::new(BufReader::new(file)));
        Ok(Self { path, reader, line: Vec::new(), count: 0, digest: Keccak256::new() })
    }

    /// Reads the next line; false at the end.
    fn next(&mut self) -> Result<bool, RecordingError> {
        self.line.clear();
        let mut limited = (&mut self.reader).take(MAX_LINE_BYTES);
        match limited.read_until(b'\n', &mut self.line) {
            Ok(0) => Ok(false),
            Ok(_) if self.line.last() != Some(&b'\n') => Err(self.truncated()),
            Ok(_) => {
                self.count += 1;
                self.digest.update(&self.line);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.truncated()),
            Err(source)
                if matches!(
                    source.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
                ) =>
            {
                Err(RecordingError::Damaged { path: self.path.clone(), source })
            }
            Err(source) => Err(RecordingError::Io { path: self.path.clone(), source }),
        }
    }

    fn parse<'de, T: serde::Deserialize<'de>>(&'de self) -> Result<T, RecordingError> {
        serde_json::from_slice(&self.line).map_err(|error| self.wrong(error.to_string()))
    }

    fn check(&mut self, end: End, lines: u64, digest: B256) -> Result<(), RecordingError> {
        let what = if end.lines != lines {
            "number of lines"
        } else if end.keccak256 != digest {
            "digest"
        } else if self.next()? {
            // Reading on also makes the decoder check its own sum, and that nothing is behind it.
            "end"
        } else {
            return Ok(());
        };
        Err(RecordingError::Changed { path: self.path.clone(), what })
    }

    fn truncated(&self) -> RecordingError {
        RecordingError::Truncated { path: self.path.clone(), lines: self.count }
    }

    fn wrong(&self, cause: String) -> RecordingError {
        RecordingError::Line { path: self.path.clone(), line: self.count, cause }
    }
}
