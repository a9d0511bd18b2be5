//! Writes a recording while passing every question on to the node behind it.
//!
//! Only answers are recorded, never faults; a fact that is in the file already is not written
//! again. The file gets its name when it is whole: until then it has a temporary one beside it.

use super::{
    FORMAT_VERSION, RecordingError,
    facts::{
        CallFact, CodeFact, End, HeadFact, HeaderFact, Line, LogsByHashFact, LogsFact, Opening,
        ReceiptsFact, Rows,
    },
};
use crate::wire::request;
use alloy_primitives::{B256, Keccak256, keccak256};
use event::{Answer, AnswerFuture, Ask, Fault, FaultClass, HintFuture, Node, NodeId};
use flate2::{Compression, write::GzEncoder};
use serde::Serialize;
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    fmt,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Level 4 writes twice as fast as the default and 10 % larger.
const COMPRESSION: u32 = 4;

/// A node that records what the node behind it answers.
pub struct Recorder<N> {
    node: N,
    path: PathBuf,
    tape: Mutex<Option<Tape>>,
}

impl<N: Node> fmt::Debug for Recorder<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("node", self.node.id()).finish_non_exhaustive()
    }
}

/// What a finished recording holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingSummary {
    /// The file.
    pub path: PathBuf,
    /// Its lines, with the last.
    pub lines: u64,
    /// Uncompressed bytes before the last line.
    pub bytes: u64,
    /// keccak256 of those bytes: the same facts in the same order give the same digest.
    pub digest: B256,
}

impl<N: Node> Recorder<N> {
    /// Asks the node for its chain and client and begins a file beside `path`.
    pub async fn create(node: N, path: impl Into<PathBuf>) -> Result<Self, RecordingError> {
        let path = path.into();
        let chain = match node.ask(Ask::ChainId).await? {
            Answer::ChainId(chain) => chain.0,
            _ => return Err(no_chain(&node).into()),
        };
        let client = match node.ask(Ask::ClientVersion).await {
            Ok(Answer::ClientVersion(version)) => Some(version),
            _ => None,
        };
        let opening = Opening {
            headcount_recording: FORMAT_VERSION,
            chain,
            client,
            node: node.id().to_string(),
        };
        let tape = Tape::begin(&path, &opening)
            .map_err(|source| RecordingError::Io { path: path.clone(), source })?;
        Ok(Self { node, path, tape: Mutex::new(Some(tape)) })
    }

    /// Returns the node behind it.
    pub const fn inner(&self) -> &N {
        &self.node
    }

    /// Writes the last line and gives the file its name. Without it there is no file.
    pub fn finish(&self) -> Result<RecordingSummary, RecordingError> {
        let tape = self.tape.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(tape) = tape else {
            return Err(RecordingError::Finished { path: self.path.clone() });
        };
        tape.finish(&self.path)
            .map_err(|source| RecordingError::Io { path: self.path.clone(), source })
    }

    /// A write error waits for [`Self::finish`]: the answer itself is good.
    fn record(&self, ask: &Ask, answer: &Answer) {
        let mut tape = self.tape.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tape) = tape.as_mut() {
            tape.record(ask, answer);
        }
    }
}

fn no_chain<N: Node>(node: &N) -> Fault {
    Fault {
        node: node.id().clone(),
        method: "eth_chainId".to_owned(),
        class: FaultClass::Malformed,
        text: "an answer to another question".to_owned(),
    }
}

impl<N: Node> Node for Recorder<N> {
    fn id(&self) -> &NodeId {
        self.node.id()
    }

    fn hint(&self) -> HintFuture<'_> {
        self.node.hint()
    }

    fn keeps_chain(&self) -> bool {
        self.node.keeps_chain()
    }

    fn ask(&self, ask: Ask) -> AnswerFuture<'_> {
        Box::pin(async move {
            let answer = self.node.ask(ask.clone()).await?;
            self.record(&ask, &answer);
            Ok(answer)
        })
    }

    fn calls(&self) -> BTreeMap<String, u64> {
        self.node.calls()
    }
}

/// The file while it is written.
struct Tape {
    partial: PathBuf,
    file: Option<GzEncoder<BufWriter<File>>>,
    digest: Keccak256,
    lines: u64,
    bytes: u64,
    /// Digests of the lines written: only asked, never iterated.
    seen: HashSet<B256>,
    line: Vec<u8>,
    error: Option<io::Error>,
}

impl Drop for Tape {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Not finished: half a recording is of no use to anyone.
            let _gone_or_not = fs::remove_file(&self.partial);
        }
    }
}

impl Tape {
    fn begin(path: &Path, opening: &Opening) -> io::Result<Self> {
        let name = path.file_name().ok_or_else(|| io::Error::other("the path names no file"))?;
        let mut partial_name = std::ffi::OsString::from(".");
        partial_name.push(name);
        partial_name.push(format!(".partial-{}", std::process::id()));
        let partial = path.with_file_name(partial_name);
        let file = BufWriter::new(File::create(&partial)?);
        let mut tape = Self {
            partial,
            file: Some(GzEncoder::new(file, Compression::new(COMPRESSION))),
            digest: Keccak256::new(),
            lines: 0,
            bytes: 0,
            seen: HashSet::new(),
            line: Vec::new(),
            error: None,
        };
        tape.write(opening)?;
        Ok(tape)
    }

    fn record(&mut self, ask: &Ask, answer: &Answer) {
        if self.error.is_none() {
            self.error = self.record_or_fail(ask, answer).err();
        }
    }

    fn record_or_fail(&mut self, ask: &Ask, answer: &Answer) -> io::Result<()> {
        match (ask, answer) {
            (Ask::Head(tag), Answer::Head(head)) => self.write(&Line::Head(HeadFact {
                tag: request::tag(*tag).into(),
                block: head.block,
                timestamp: head.timestamp,
            })),
            (_, Answer::Headers(blocks)) => blocks
                .iter()
                .try_for_each(|block| self.write(&Line::Header(Box::new(HeaderFact::from(block))))),
            (_, Answer::SomeHeaders(blocks)) => blocks
                .iter()
                .flatten()
                .try_for_each(|block| self.write(&Line::Header(Box::new(HeaderFact::from(block))))),
            (Ask::Logs { filter, range }, Answer::Logs(logs)) => {
                self.write(&Line::Logs(LogsFact {
                    filter: filter.clone(),
                    range: *range,
                    removed: logs.removed,
                    bytes: logs.bytes,
                    logs: Rows(Cow::Borrowed(logs)),
                }))
            }
            (Ask::LogsByHash { filter, block }, Answer::Logs(logs)) => {
                self.write(&Line::LogsByHash(LogsByHashFact {
                    filter: filter.clone(),
                    block: *block,
                    removed: logs.removed,
                    bytes: logs.bytes,
                    logs: Rows(Cow::Borrowed(logs)),
                }))
            }
            (Ask::Receipts { block }, Answer::Receipts(receipts)) => {
                self.write(&Line::Receipts(ReceiptsFact {
                    block: *block,
                    receipts: Cow::Borrowed(receipts.as_slice()),
                }))
            }
            (Ask::ReceiptsOf { blocks }, Answer::ReceiptsOf(told)) => {
                blocks.iter().zip(told).try_for_each(|(block, told)| match told {
                    Ok(receipts) => self.write(&Line::Receipts(ReceiptsFact {
                        block: *block,
                        receipts: Cow::Borrowed(receipts.as_slice()),
                    })),
                    Err(_) => Ok(()),
                })
            }
            (Ask::Code { address, block }, Answer::Bytes(code)) => {
                self.write(&Line::Code(CodeFact {
                    address: *address,
                    block: *block,
                    code: Cow::Borrowed(code),
                }))
            }
            (Ask::Call { to, data, block }, Answer::Bytes(returned)) => {
                self.write(&Line::Call(CallFact {
                    to: *to,
                    data: Cow::Borrowed(data),
                    block: *block,
                    returned: Cow::Borrowed(returned),
                }))
            }
            _ => Ok(()),
        }
    }

    fn write(&mut self, fact: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, fact)?;
        self.line.push(b'\n');
        if !self.seen.insert(keccak256(&self.line)) {
            return Ok(());
        }
        self.digest.update(&self.line);
        self.lines += 1;
        self.bytes += self.line.len() as u64;
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(&self.line))
    }

    fn finish(mut self, path: &Path) -> io::Result<RecordingSummary> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let digest = self.digest.clone().finalize();
        let (lines, bytes) = (self.lines, self.bytes);
        self.write(&Line::End(End { lines, keccak256: digest }))?;
        let Some(encoder) = self.file.take() else {
            return Err(io::Error::other("the recording has no file"));
        };
        let renamed = encoder
            .finish()
            .and_then(|mut file| file.flush().map(|()| file))
            .and_then(|file| file.get_ref().sync_all())
            .and_then(|()| fs::rename(&self.partial, path));
        if renamed.is_err() {
            let _gone_or_not = fs::remove_file(&self.partial);
        }
        renamed?;
        Ok(RecordingSummary { path: path.to_owned(), lines: lines + 1, bytes, digest })
    }
}
