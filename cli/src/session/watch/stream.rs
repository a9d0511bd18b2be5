//! Lines on stdout: every change of the ledger, or every report, one JSON object each.
//!
//! Recording never waits for whoever reads them. What a reader is too slow for is left out and
//! named in one `gap` line: the ledger has it. The format is described in docs/events.md.

use super::live::Live;
use event::{Commit, Decoder, JournalRow, Op, Report};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};
use tokio::sync::watch;

/// Version of the lines.
const VERSION: u32 = 1;
/// Transactions that a slow reader may lie behind, at most.
const QUEUE_MAX: usize = 1_024;
/// Bytes of lines that wait for a slow reader, at most, unless one transaction alone has more.
const QUEUE_BYTES_MAX: usize = 8 << 20;

/// One line.
#[derive(Serialize)]
struct Line<'a, T: Serialize> {
    v: u32,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct EventLine<'a> {
    /// `chain:journal:row`, the same on every delivery.
    id: String,
    /// `apply`, or `late` where the block was thought to be complete.
    op: &'a str,
    chain: u64,
    block: u64,
    block_hash: String,
    tx_hash: String,
    tx_index: u32,
    log_index: u32,
    address: String,
    topics: Vec<String>,
    data: String,
    event: Option<&'a str>,
    args: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct BlockLine {
    id: String,
    chain: u64,
    block: u64,
    block_hash: Option<String>,
    events: u64,
}

#[derive(Serialize)]
struct IncidentLine<'a> {
    chain: u64,
    node: &'a str,
    flaw: String,
    first: u64,
    last: u64,
    count: u64,
    detail: &'a str,
}

#[derive(Serialize)]
struct GapLine {
    /// Journal rows that were left out; the ledger has them.
    first_journal: u64,
    last_journal: u64,
}

/// Journal rows of the transactions that a reader was too slow for.
type Missed = Option<(u64, u64)>;

/// The way to stdout. Clones write to the same place.
#[derive(Clone)]
pub(super) struct Stream {
    is_json: bool,
    sender: SyncSender<Vec<u8>>,
    queued_bytes: Arc<AtomicUsize>,
    missed: Arc<Mutex<Missed>>,
    /// The last lines, for which there is always room.
    last: Arc<Mutex<Vec<u8>>>,
    closed: Arc<watch::Sender<bool>>,
}

impl Stream {
    /// Starts the thread that writes; it ends when every clone is gone. On a terminal the lines go
    /// above the live ones.
    pub(super) fn start(
        live: &Arc<Live>,
        is_json: bool,
        is_terminal: bool,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (sender, receiver) = sync_channel::<Vec<u8>>(QUEUE_MAX);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let closed = Arc::new(watch::Sender::new(false));
        let (told, live, queued) = (closed.clone(), live.clone(), queued_bytes.clone());
        let last: Arc<Mutex<Vec<u8>>> = Arc::default();
        let ending = last.clone();
        let thread = std::thread::Builder::new().name("stdout".into()).spawn(move || {
            let write = |lines: &[u8]| {
                let write = || {
                    let mut out = io::stdout().lock();
                    out.write_all(lines).and_then(|()| out.flush())
                };
                // A pipe that nobody empties must not hold the live lines.
                if is_terminal { live.above(write) } else { write() }
            };
            for lines in receiver {
                if write(&lines).is_err() {
                    // Nobody reads any more: with a pipe to `head` that is how it ends.
                    told.send_replace(true);
                    return;
                }
                queued.fetch_sub(lines.len(), Ordering::AcqRel);
            }
            let lines = std::mem::take(&mut *ending.lock().unwrap_or_else(PoisonError::into_inner));
            if write(&lines).is_err() {
                told.send_replace(true);
            }
        })?;
        Ok((Self { is_json, sender, queued_bytes, missed: Arc::default(), last, closed }, thread))
    }

    /// Returns when nobody reads any more.
    pub(super) async fn closed(&self) {
        // The sender lives as long as this does.
        let _ = self.closed.subscribe().wait_for(|is_closed| *is_closed).await;
    }

    /// Whether nobody reads any more.
    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Writes lines of these journal rows, unless the reader is too far behind.
    fn send(&self, lines: Vec<u8>, rows: Missed) {
        if lines.is_empty() {
            return;
        }
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::new();
        if let Some((first_journal, last_journal)) = *missed {
            push(&mut all, "gap", GapLine { first_journal, last_journal });
        }
        all.extend(lines);
        // One transaction always finds room in an empty queue, however large it is.
        let bytes = all.len();
        let before = self.queued_bytes.fetch_add(bytes, Ordering::AcqRel);
        let sent = match before > 0 && before.saturating_add(bytes) > QUEUE_BYTES_MAX {
            true => Err(TrySendError::Full(all)),
            false => self.sender.try_send(all),
        };
        match sent {
            Ok(()) => *missed = None,
            Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                self.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
                let first = missed.or(rows).map(|rows| rows.0);
                let last = rows.or(*missed).map(|rows| rows.1);
                *missed = first.zip(last).or(*missed);
            }
        }
    }

    /// Writes what a transaction changed.
    pub(super) fn commits(&self, commits: &[Commit], decoder: &dyn Decoder) {
        let mut lines = Vec::new();
        for commit in commits {
            if self.is_json {
                push_commit(&mut lines, commit, decoder);
            } else {
                push_text(&mut lines, commit, decoder);
            }
        }
        let rows = || commits.iter().flat_map(|commit| &commit.journal).map(|row| row.seq);
        self.send(lines, rows().min().zip(rows().max()));
    }

    /// Writes a report as it came.
    pub(super) fn report(&self, report: &Report) {
        let mut lines = Vec::new();
        push(&mut lines, "report", report);
        self.send(lines, None);
    }

    /// Writes why nothing becomes final, or that it does again.
    pub(super) fn finality(&self, body: impl Serialize) {
        if !self.is_json {
            return;
        }
        let mut lines = Vec::new();
        push(&mut lines, "finality", body);
        self.send(lines, None);
    }

    /// Writes a last line, behind all others and behind what was left out.
    pub(super) fn end(&self, body: impl Serialize) {
        if !self.is_json {
            return;
        }
        let missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut lines = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((first_journal, last_journal)) = missed {
            push(&mut lines, "gap", GapLine { first_journal, last_journal });
        }
        push(&mut lines, "end", body);
    }
}

fn push<T: Serialize>(lines: &mut Vec<u8>, kind: &str, body: T) {
    let before = lines.len();
    match serde_json::to_writer(&mut *lines, &Line { v: VERSION, kind, body }) {
        Ok(()) => lines.push(b'\n'),
        Err(error) => {
            lines.truncate(before);
            tracing::error!(%error, kind, "a line could not be written");
        }
    }
}

fn push_commit(lines: &mut Vec<u8>, commit: &Commit, decoder: &dyn Decoder) {
    let chain = commit.chain.0;
    for row in &commit.journal {
        let kind = match row.op {
            Op::Extend | Op::Late => {
                push_events(lines, commit, row, decoder);
                continue;
            }
            Op::Revert => "retract",
            Op::Reinstate => "reinstate",
            Op::Refute => "refute",
        };
        push(
            lines,
            kind,
            BlockLine {
                id: format!("{chain}:{}:0", row.seq),
                chain,
                block: row.range.first(),
                block_hash: row.block_hash.map(|hash| hash.to_string()),
                events: row.events,
            },
        );
    }
    for incident in &commit.incidents {
        push(
            lines,
            "incident",
            IncidentLine {
                chain,
                node: &incident.node.0,
                flaw: incident.flaw.to_string(),
                first: incident.range.first(),
                last: incident.range.last(),
                count: incident.count,
                detail: &incident.detail,
            },
        );
    }
}

fn push_events(lines: &mut Vec<u8>, commit: &Commit, row: &JournalRow, decoder: &dyn Decoder) {
    let op = if row.op == Op::Late { "late" } else { "apply" };
    for batch in commit.events.iter().filter(|batch| batch.journal_seq == row.seq) {
        for (i, log) in batch.logs.rows().enumerate() {
            let Some((block, block_hash)) = batch.blocks.get(log.block as usize) else { continue };
            let decoded = decoder.json(commit.chain, log);
            let (event, args) =
                decoded.map_or((None, None), |(event, args)| (Some(event), Some(args)));
            push(
                lines,
                "event",
                EventLine {
                    id: format!("{}:{}:{i}", commit.chain, row.seq),
                    op,
                    chain: commit.chain.0,
                    block: *block,
                    block_hash: block_hash.to_string(),
                    tx_hash: log.tx_hash.to_string(),
                    tx_index: log.tx_index,
                    log_index: log.log_index,
                    address: log.address.to_string(),
                    topics: log.topics.iter().map(ToString::to_string).collect(),
                    data: alloy_primitives::hex::encode_prefixed(log.data),
                    event,
                    args: args.and_then(|args| RawValue::from_string(args).ok()),
                },
            );
        }
    }
}

/// The same for a person: one line for each event and for each block that left.
fn push_text(lines: &mut Vec<u8>, commit: &Commit, decoder: &dyn Decoder) {
    for row in &commit.journal {
        match row.op {
            Op::Revert => push_words(lines, &format!("{}  left the chain", row.range.first())),
            Op::Reinstate => push_words(lines, &format!("{}  came back", row.range.first())),
            Op::Extend | Op::Late | Op::Refute => {}
        }
    }
    for batch in &commit.events {
        for log in batch.logs.rows() {
            let Some((block, _)) = batch.blocks.get(log.block as usize) else { continue };
            let words = match decoder.json(commit.chain, log) {
                Some((event, args)) => {
                    let name = event.split('(').next().unwrap_or(event);
                    format!("{block}  {}  {name}  {args}", log.address)
                }
                None => format!("{block}  {}  {} bytes of data", log.address, log.data.len()),
            };
            push_words(lines, &words);
        }
    }
}

fn push_words(lines: &mut Vec<u8>, words: &str) {
    lines.extend_from_slice(words.as_bytes());
    lines.push(b'\n');
}
