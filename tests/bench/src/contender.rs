//! Who runs: the built program with different flags, and the two yardsticks. Each knows its command
//! line and what it must leave behind; a figure of a run that left something else is worthless.

use crate::{
    append::{Appended, TABLES},
    chain::FIRST_BLOCK,
    error::BenchError,
    measure::{Measured, Usage, command_line},
    transfer::{Economy, SILENT, TOKEN, TRANSFERS_PER_BLOCK},
};
use alloy_primitives::U256;
use duckdb::Connection;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

/// The event that replay decodes.
pub const EVENT: &str = "Transfer(address indexed from, address indexed to, uint256 value)";

/// Name of the contract in the ledger.
pub(crate) const CONTRACT: &str = "bench";

/// One way to read the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contender {
    /// (a) `replay --verify off`.
    ReplayOff,
    /// (b) `replay --verify bloom`.
    ReplayBloom,
    /// (c) `replay --verify off` with the plugin `erc20-balances`.
    ReplayPlugin,
    /// (d) The bare alloy loop with so many requests at once.
    AlloyLoop(usize),
    /// (e) `append_record_batch` alone.
    AppendLoop,
    /// (p) `replay --verify prove`: every log is asked for, so all receipts are read.
    ReplayProve,
    /// (s) `replay` of a contract that logs nothing, at this level.
    Silent(Level),
    /// (n) `replay --verify off` through so many nodes that take a few requests a second each.
    LimitedNodes(usize),
}

/// What `--verify` demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// A node's word.
    Off,
    /// Headers.
    Bloom,
    /// Receipts too.
    Prove,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Bloom => "bloom",
            Self::Prove => "prove",
        }
    }
}

impl Contender {
    /// Everyone, in the order of the table.
    pub const ALL: [Self; 14] = [
        Self::ReplayOff,
        Self::ReplayBloom,
        Self::ReplayPlugin,
        Self::AlloyLoop(1),
        Self::AlloyLoop(2),
        Self::AlloyLoop(4),
        Self::AlloyLoop(8),
        Self::AppendLoop,
        Self::ReplayProve,
        Self::Silent(Level::Off),
        Self::Silent(Level::Bloom),
        Self::Silent(Level::Prove),
        Self::LimitedNodes(1),
        Self::LimitedNodes(2),
    ];

    /// Returns the letter that issue and table use.
    pub const fn letter(self) -> char {
        match self {
            Self::ReplayOff => 'a',
            Self::ReplayBloom => 'b',
            Self::ReplayPlugin => 'c',
            Self::AlloyLoop(_) => 'd',
            Self::AppendLoop => 'e',
            Self::ReplayProve => 'p',
            Self::Silent(_) => 's',
            Self::LimitedNodes(_) => 'n',
        }
    }

    /// Whether it is the program to measure and not a yardstick.
    pub const fn is_replay(self) -> bool {
        !matches!(self, Self::AlloyLoop(_) | Self::AppendLoop)
    }

    /// Whether it also runs over a fifth of the blocks, to see whether its memory grows with them.
    pub const fn is_held_to_memory(self) -> bool {
        self.is_replay() && !matches!(self, Self::Silent(_) | Self::LimitedNodes(_))
    }

    const fn level(self) -> Level {
        match self {
            Self::ReplayBloom => Level::Bloom,
            Self::ReplayProve => Level::Prove,
            Self::Silent(level) => level,
            _ => Level::Off,
        }
    }

    /// Which nodes it reads through.
    fn urls(self, stage: &Stage) -> &[String] {
        match self {
            Self::LimitedNodes(count) => &stage.limited[..count.min(stage.limited.len())],
            _ => std::slice::from_ref(&stage.url),
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}) ", self.letter())?;
        match self {
            Self::ReplayOff => f.write_str("replay --verify off"),
            Self::ReplayBloom => f.write_str("replay --verify bloom"),
            Self::ReplayPlugin => f.write_str("replay --verify off --plugin erc20-balances"),
            Self::AlloyLoop(concurrency) => write!(f, "bare alloy loop, {concurrency} at once"),
            Self::AppendLoop => f.write_str("append_record_batch alone"),
            Self::ReplayProve => f.write_str("replay --verify prove"),
            Self::Silent(level) => write!(f, "the same of a silent contract, {}", level.word()),
            Self::LimitedNodes(1) => f.write_str("replay through a node with a limit"),
            Self::LimitedNodes(count) => write!(f, "replay through {count} nodes with a limit"),
        }
    }
}

/// Where things are.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The server.
    pub url: String,
    /// The same chain under a limit of requests a second, for (n).
    pub limited: Vec<String>,
    /// This program.
    pub bench: PathBuf,
    /// The program to measure.
    pub headcount: PathBuf,
    /// The plugin of (c).
    pub plugin: PathBuf,
}

/// What a run must leave, known without asking the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// First block.
    pub first: u64,
    /// Blocks from there on.
    pub block_count: u64,
    /// Logs in them.
    pub log_count: u64,
    /// Sum of the values transferred.
    pub value_sum: U256,
}

impl Expected {
    /// Returns what the first `block_count` blocks hold.
    pub fn of(economy: &Economy, block_count: u64) -> Self {
        Self::from(economy, FIRST_BLOCK, block_count)
    }

    /// Returns what `block_count` blocks hold from `first` on.
    pub fn from(economy: &Economy, first: u64, block_count: u64) -> Self {
        let value_sum = (first..first + block_count)
            .flat_map(|number| economy.transfers(number))
            .map(|transfer| transfer.value)
            .sum();
        let log_count = block_count * TRANSFERS_PER_BLOCK as u64;
        Self { first, block_count, log_count, value_sum }
    }

    /// Returns what [`contents`] says of a ledger that has it.
    pub(crate) fn in_a_ledger(&self) -> String {
        let Self { log_count, value_sum, .. } = self;
        format!("{log_count} events, {log_count} decoded, sum {value_sum}")
    }

    fn last(&self) -> u64 {
        self.first + self.block_count - 1
    }
}

impl Contender {
    /// Runs once with a fresh file at `ledger`, and returns what it took once its result is checked.
    pub fn run(
        self,
        stage: &Stage,
        expected: &Expected,
        ledger: &Path,
    ) -> Result<Usage, BenchError> {
        let measured = measured_child(stage, self.command(stage, expected, ledger))?;
        let (usage, found) = match self {
            Self::AlloyLoop(_) => (measured.usage, measured.stdout.trim().to_owned()),
            Self::AppendLoop => {
                let appended: Appended = parse("what append-loop printed", &measured.stdout)?;
                let Usage { peak_bytes, .. } = measured.usage;
                let usage = Usage { wall_s: appended.wall_s, cpu_s: appended.cpu_s, peak_bytes };
                (usage, format!("{} events, sum {}", appended.events, appended.value_sum))
            }
            _ => (measured.usage, contents(&stage.headcount, ledger)?),
        };
        let expected = self.expected_text(expected);
        if found == expected {
            return Ok(usage);
        }
        Err(BenchError::Unequal { contender: self.to_string(), found, expected })
    }

    fn expected_text(self, expected: &Expected) -> String {
        let Expected { log_count, value_sum, .. } = &expected;
        match self {
            Self::AlloyLoop(_) => log_count.to_string(),
            Self::AppendLoop => format!("{log_count} events, sum {value_sum}"),
            Self::Silent(_) => "0 events, 0 decoded, sum 0".to_owned(),
            _ => expected.in_a_ledger(),
        }
    }

    fn command(self, stage: &Stage, expected: &Expected, ledger: &Path) -> Vec<OsString> {
        let (first, last) = (expected.first.to_string(), expected.last().to_string());
        let mut words = Words::default();
        match self {
            Self::AlloyLoop(concurrency) => words
                .push(&stage.bench)
                .push("alloy-loop")
                .flag("--url", &stage.url)
                .flag("--first", first)
                .flag("--last", last)
                .flag("--concurrency", concurrency.to_string()),
            Self::AppendLoop => words
                .push(&stage.bench)
                .push("append-loop")
                .flag("--blocks", expected.block_count.to_string())
                .flag("--file", ledger),
            _ => {
                let address = if matches!(self, Self::Silent(_)) { SILENT } else { TOKEN };
                words.push(&stage.headcount).push("replay");
                for url in self.urls(stage) {
                    words.flag("-r", url);
                }
                words
                    .flag("-c", format!("{CONTRACT}={address}"))
                    .flag("-e", EVENT)
                    .flag("-b", format!("{first}:{last}"))
                    .flag("--ledger", ledger)
                    .flag("--verify", self.level().word())
                    .push("--quiet");
                if self == Self::ReplayPlugin {
                    words.flag("--plugin", &stage.plugin);
                }
                &mut words
            }
        };
        words.0
    }
}

/// Returns a note when the yardstick (e) writes other columns than the ledger has.
pub fn drift(stage: &Stage, ledger: &Path) -> Result<Option<String>, BenchError> {
    let sql = "SELECT string_agg(column_name || ' ' || data_type, ', ' ORDER BY table_name DESC, \
               column_index) AS columns FROM duckdb_columns() WHERE NOT internal \
               AND (schema_name = 'headcount_typed' OR table_name = 'events')";
    let memory = Connection::open_in_memory()?;
    memory.execute_batch(TABLES)?;
    let ours: String = memory.query_row(sql, [], |row| row.get(0))?;
    let theirs = cell(&query(&stage.headcount, ledger, sql)?, "columns").unwrap_or_default();
    Ok((ours != theirs).then(|| {
        format!(
            "(e) appends other columns than the ledger has\n  (e):    {ours}\n  ledger: {theirs}"
        )
    }))
}

/// Asks the built program what is in the ledger.
pub(crate) fn contents(headcount: &Path, ledger: &Path) -> Result<String, BenchError> {
    let sql = format!(
        "SELECT (SELECT count(*) FROM events) AS events, count(*) AS decoded, \
         CAST(coalesce(sum(\"value\"), 0) AS VARCHAR) AS total FROM {CONTRACT}.\"Transfer\""
    );
    let answer = query(headcount, ledger, &sql)?;
    let unreadable =
        || BenchError::Unreadable { what: "a query's answer", text: answer.to_string() };
    let cell = |name| cell(&answer, name).ok_or_else(unreadable);
    Ok(format!("{} events, {} decoded, sum {}", cell("events")?, cell("decoded")?, cell("total")?))
}

fn query(headcount: &Path, ledger: &Path, sql: &str) -> Result<Value, BenchError> {
    let mut words = Words::default();
    words.push("query").flag("--ledger", ledger).flag("--format", "json").push(sql);
    let output = Command::new(headcount)
        .args(&words.0)
        .output()
        .map_err(BenchError::io("starting headcount query"))?;
    if !output.status.success() {
        return Err(BenchError::Child {
            command: format!("headcount {}", command_line(&words.0)),
            status: output.status.to_string(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    parse("a query's answer", &String::from_utf8_lossy(&output.stdout))
}

/// Finds a named cell of a one-row answer, be the row bare, in a list, or wrapped.
fn cell(answer: &Value, name: &str) -> Option<String> {
    match answer {
        Value::Array(items) => items.iter().find_map(|item| cell(item, name)),
        Value::Object(fields) => match fields.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => fields.values().find_map(|field| cell(field, name)),
        },
        _ => None,
    }
}

/// Runs a command under `headcount-bench measure`.
fn measured_child(stage: &Stage, command: Vec<OsString>) -> Result<Measured, BenchError> {
    let output = Command::new(&stage.bench)
        .args(["measure", "--"])
        .args(&command)
        .output()
        .map_err(BenchError::io("starting headcount-bench measure"))?;
    if !output.status.success() {
        return Err(BenchError::Child {
            command: command_line(&command),
            status: output.status.to_string(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    parse("what measure printed", &String::from_utf8_lossy(&output.stdout))
}

fn parse<T: for<'de> Deserialize<'de>>(what: &'static str, text: &str) -> Result<T, BenchError> {
    serde_json::from_str(text).map_err(|_| BenchError::Unreadable { what, text: text.to_owned() })
}

/// A command line being written.
#[derive(Default)]
pub(crate) struct Words(pub(crate) Vec<OsString>);

impl Words {
    pub(crate) fn push(&mut self, word: impl Into<OsString>) -> &mut Self {
        self.0.push(word.into());
        self
    }

    pub(crate) fn flag(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.push(name).push(value)
    }
}
