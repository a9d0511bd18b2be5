//! What an audit found: one struct, as JSON for programs, as JUnit XML and annotations for CI, and as
//! lines for people.

mod build;
mod github;
mod human;
mod junit;
mod labels;

pub(crate) use build::Audited;

use crate::{
    command_error::{CommandError, ErrorKind},
    exit_codes::ExitCode,
    summary::{RangeSummary, UndecodedSummary, blocks},
    terminal::lines,
};
use alloy_primitives::Address;
use event::BlockNumHash;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Write},
};

/// Version of the JSON form, whose schema is docs/audit.schema.json. Fields may be added under it.
const VERSION: u32 = 1;

/// Form of the report on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum AuditFormat {
    /// A few lines
    #[default]
    Human,
    /// One JSON object (docs/audit.schema.json)
    Json,
    /// JUnit XML: one test case for each filter, node and expectation
    Junit,
    /// Annotations of a GitHub workflow
    Github,
}

/// Result of one audit.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AuditReport {
    version: u32,
    status: Status,
    exit_code: u8,
    sentence: String,
    require: String,
    /// Whether every block was shown at the level `prove`; at weaker ones `complete` is as far as that
    /// level can see.
    proved: bool,
    /// `None` where no node answered and nothing else says it.
    chain: Option<u64>,
    chain_name: String,
    /// `None` where no node answered and its end is one that nodes tell.
    range: Option<RangeSummary>,
    first_block: Option<BlockReport>,
    last_block: Option<BlockReport>,
    anchor: AnchorReport,
    filters: Vec<FilterReport>,
    events: Vec<EventReport>,
    /// Events of which logs are there and none decodes as it was declared.
    undecoded: Vec<UndecodedSummary>,
    findings: Vec<FindingReport>,
    /// All findings, with those that are not listed.
    findings_by: Vec<FindingCount>,
    ledger: LedgerReport,
    code: Vec<CodeReport>,
    expectations: Vec<ExpectationReport>,
    nodes: Vec<NodeReport>,
    /// Nodes that did not answer at all.
    absent: Vec<AbsentReport>,
    pub(crate) warnings: Vec<String>,
    elapsed_ms: u64,
}

/// What it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Complete,
    Missing,
    Forged,
    /// Nothing is missing, but an expectation does not hold.
    Failed,
    Undecided,
    Interrupted,
}

#[derive(Clone, Debug, Serialize)]
struct BlockReport {
    number: u64,
    hash: String,
}

#[derive(Clone, Debug, Serialize)]
struct AnchorReport {
    policy: String,
    block: Option<BlockReport>,
    met: bool,
    /// Nodes that have that block.
    nodes: Vec<String>,
    /// What the others say.
    others: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct FilterReport {
    name: String,
    id: String,
    status: &'static str,
    events: u64,
    blocks: BlockCounts,
    /// Blocks by what was shown of them.
    shown: BTreeMap<String, u64>,
    spans: Vec<SpanReport>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct BlockCounts {
    complete: u64,
    missing: u64,
    forged: u64,
    undecided: u64,
}

#[derive(Clone, Debug, Serialize)]
struct SpanReport {
    #[serde(flatten)]
    range: RangeSummary,
    status: &'static str,
    reason: String,
}

#[derive(Clone, Debug, Serialize)]
struct EventReport {
    name: String,
    signature: String,
    count: u64,
}

#[derive(Clone, Debug, Serialize)]
struct FindingReport {
    filter: String,
    kind: String,
    /// A node's name, or `ledger`.
    who: String,
    /// Whether that is a node or the ledger.
    source: &'static str,
    block: BlockReport,
    log: Option<LogReport>,
    count: u64,
    detail: String,
}

#[derive(Clone, Debug, Serialize)]
struct LogReport {
    tx_hash: String,
    log_index: u32,
    address: String,
    topic0: Option<String>,
    /// Digest of address, topics and data.
    digest: String,
    /// The event, where it is one that was declared.
    event: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct FindingCount {
    who: String,
    kind: String,
    count: u64,
}

/// Whether the ledger was compared.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LedgerReport {
    /// File; empty where none is meant.
    pub(crate) path: String,
    /// Whether it was.
    pub(crate) compared: bool,
    /// Why not.
    pub(crate) reason: String,
    /// Whether somebody who runs this here may have expected that it is.
    #[serde(skip)]
    pub(crate) is_unexpected: bool,
}

/// Whether an address has code.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CodeReport {
    /// Whose.
    pub(crate) address: Address,
    /// `None` where nobody could say.
    pub(crate) has_code: Option<bool>,
    /// When, and who says so; or why nobody does.
    pub(crate) detail: String,
}

/// Whether an expectation holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Held {
    /// It does.
    Passed,
    /// It does not.
    Failed,
    /// Not all of it is known.
    Undecided,
}

/// One expectation.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ExpectationReport {
    /// As the file has it.
    pub(crate) name: String,
    /// `count`, `sql`, `state`, or `decode`, which no file has to ask for.
    pub(crate) kind: &'static str,
    /// Whether it holds.
    pub(crate) status: Held,
    /// What was expected.
    pub(crate) expected: String,
    /// What there is.
    pub(crate) found: String,
    /// By how much it fails, the statement, or who says so.
    pub(crate) detail: String,
}

#[derive(Clone, Debug, Serialize)]
struct NodeReport {
    name: String,
    client: Option<String>,
    head: u64,
    calls: BTreeMap<String, u64>,
    /// Blocks of which it did not say what logs there are.
    unheard: Option<UnheardReport>,
}

#[derive(Clone, Debug, Serialize)]
struct UnheardReport {
    /// How many, summed over filters.
    blocks: u64,
    reason: String,
}

#[derive(Clone, Debug, Serialize)]
struct AbsentReport {
    name: String,
    reason: String,
}

impl fmt::Display for UnheardReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not heard of {}: {}", blocks(self.blocks), self.reason)
    }
}

impl From<BlockNumHash> for BlockReport {
    fn from(block: BlockNumHash) -> Self {
        Self { number: block.number, hash: block.hash.to_string() }
    }
}

impl AuditReport {
    /// Returns the exit code that it stands for.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.status {
            Status::Interrupted if self.exit_code == ExitCode::Terminated as u8 => {
                ExitCode::Terminated
            }
            status => status.exit_code(),
        }
    }

    /// Returns what to say on stderr, for people who look there and at the exit code only.
    pub(crate) fn complaint(&self) -> Option<CommandError> {
        let (what, hint) = match self.status {
            Status::Complete | Status::Interrupted => return None,
            Status::Undecided if self.nodes.is_empty() => {
                ("it could not be decided", "check the URLs at -r, and that the nodes are running")
            }
            Status::Undecided => (
                "it could not be decided",
                "add a node that has these blocks with -r; the report on stdout says what is open",
            ),
            _ => ("the audit failed", "the report on stdout names block, log and who said it"),
        };
        // Only told: the exit code is that of the report.
        let error = CommandError::new(ErrorKind::CheckFailed, self.sentence.clone());
        Some(error.context(what).hint(hint))
    }

    /// Writes it: it is the data of `audit`, so it belongs on stdout.
    pub(crate) fn write(
        &self,
        format: AuditFormat,
        is_quiet: bool,
        out: &mut impl Write,
    ) -> Result<(), CommandError> {
        match format {
            AuditFormat::Json => {
                serde_json::to_writer(&mut *out, self).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            AuditFormat::Junit => junit::write(self, out)?,
            AuditFormat::Github => github::write(self, out)?,
            AuditFormat::Human if is_quiet && self.status == Status::Complete => {}
            // A contract's words are in it, and what nodes made of them.
            AuditFormat::Human => out.write_all(lines(&self.to_string()).as_bytes())?,
        }
        out.flush()?;
        Ok(())
    }

    /// Which blocks, for people.
    fn blocks(&self) -> String {
        self.range.map_or_else(|| "a range that no node told".to_owned(), |r| r.to_string())
    }
}

impl Status {
    const fn exit_code(self) -> ExitCode {
        match self {
            Self::Complete => ExitCode::Done,
            Self::Missing | Self::Forged | Self::Failed => ExitCode::CheckFailed,
            Self::Undecided => ExitCode::Undecided,
            Self::Interrupted => ExitCode::Interrupted,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Missing => "missing",
            Self::Forged => "forged",
            Self::Failed => "failed",
            Self::Undecided => "undecided",
            Self::Interrupted => "interrupted",
        }
    }
}
