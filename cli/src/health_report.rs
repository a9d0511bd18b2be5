//! What a health check found: one struct, as JSON for programs and as a few lines for people.

use crate::{
    command_error::{CommandError, ErrorKind},
    exit_codes::ExitCode,
    plan::HealthPlan,
    secret::redacted,
    summary::{RangeSummary, SummaryFormat, grouped},
};
use health::{ChainSample, Health, LedgerVerdict, NodeVerdict, OpenRange, OutcomeKind};
use serde::Serialize;
use std::{
    fmt,
    io::{self, Write},
};

/// Version of the JSON form. Fields may be added under the same one.
const VERSION: u32 = 1;

/// Result of one check. What is not known is `null`, never 0.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HealthReport {
    /// [`VERSION`].
    version: u32,
    /// What it comes to.
    status: Status,
    /// Why, as a code; `ok` where nothing is wrong.
    reason: &'static str,
    /// Why, in words.
    sentence: String,
    chain: ChainReport,
    nodes: Vec<NodeReport>,
    ledger: LedgerReport,
    warnings: Vec<WarningReport>,
}

/// What it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Ok,
    Failed,
    Undecided,
}

#[derive(Clone, Debug, Serialize)]
struct ChainReport {
    id: Option<u64>,
    name: Option<String>,
    /// `ok`, `chain-stall`, `finality-stall`, `halted`, `down`.
    verdict: &'static str,
    sentence: String,
    /// Newest block of the median node.
    head: Option<u64>,
    head_age_ms: Option<u64>,
    /// Newest block of any node.
    best: Option<u64>,
    finalized: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
struct NodeReport {
    name: String,
    client: Option<String>,
    /// `ok`, `throttled`, `degraded`, `out`, `quarantined`, `wrong-chain`.
    state: String,
    /// `reachability`, `freshness`, `capability`, `integrity`.
    axis: Option<String>,
    reason: &'static str,
    sentence: String,
    also: Vec<FindingReport>,
    notes: Vec<String>,
    head: Option<u64>,
    head_hash: Option<String>,
    head_age_ms: Option<u64>,
    lag_blocks: Option<u64>,
    finalized: Option<u64>,
    syncing: Option<bool>,
    peers: Option<u64>,
    latency_ms: Option<u64>,
    /// Recent wrong answers; `null` where the ledger was not read.
    incidents: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
struct FindingReport {
    axis: String,
    reason: &'static str,
    sentence: String,
}

#[derive(Clone, Debug, Serialize)]
struct LedgerReport {
    path: String,
    /// `absent`, `unread`, `ok`, `coverage-late`, `coverage-old`, `undecided`.
    verdict: &'static str,
    sentence: String,
    deadline_ms: u64,
    /// Every filter is covered from its start through this block.
    covered_through: Option<u64>,
    open: Vec<OpenReport>,
}

#[derive(Clone, Debug, Serialize)]
struct OpenReport {
    filter: String,
    range: RangeSummary,
    open_ms: u64,
    late: bool,
}

#[derive(Clone, Debug, Serialize)]
struct WarningReport {
    code: &'static str,
    sentence: String,
}

impl HealthReport {
    /// Puts the verdicts into the form they are told in.
    pub(crate) fn new(plan: &HealthPlan, sample: &ChainSample, health: Health) -> Self {
        let view = health.view;
        let is_read = matches!(sample.ledger, health::LedgerState::Read(_));
        let chain = ChainReport {
            id: Some(sample.profile.chain.0).filter(|id| *id > 0),
            name: plan.chain_name.clone(),
            verdict: health.chain.code(),
            sentence: redacted(&health.chain.to_string()),
            head: view.head.map(|head| head.block.number),
            head_age_ms: view.head_age_ms,
            best: view.best,
            finalized: view.finalized,
        };
        let warnings = health.warnings.into_iter().map(|warning| WarningReport {
            code: warning.code,
            sentence: redacted(&warning.sentence),
        });
        Self {
            version: VERSION,
            status: match health.outcome.kind {
                OutcomeKind::Fine => Status::Ok,
                OutcomeKind::Failed => Status::Failed,
                OutcomeKind::Undecided => Status::Undecided,
            },
            reason: health.outcome.reason,
            sentence: redacted(&health.outcome.sentence),
            chain,
            nodes: health.nodes.into_iter().map(|node| NodeReport::new(node, is_read)).collect(),
            ledger: LedgerReport::new(plan, sample, &health.ledger),
            warnings: warnings.collect(),
        }
    }

    /// Returns the exit code that it stands for.
    pub(crate) const fn exit_code(&self) -> ExitCode {
        match self.status {
            Status::Ok => ExitCode::Done,
            Status::Failed => ExitCode::CheckFailed,
            Status::Undecided => ExitCode::Undecided,
        }
    }

    /// Whether there is nothing to complain of.
    pub(crate) fn is_ok(&self) -> bool {
        self.status == Status::Ok
    }

    /// Returns what to say on stderr, for people who look there and at the exit code only. With the chain's
    /// name where it is not the only one.
    pub(crate) fn complaint(&self, is_only: bool) -> Option<CommandError> {
        let (what, hint) = match self.status {
            Status::Ok => return None,
            Status::Failed => ("the check failed", "the report on stdout says what of, and why"),
            Status::Undecided => {
                ("it could not be decided", "check the nodes, or add another one with -r")
            }
        };
        // Only told: the exit code is that of the report.
        let error = CommandError::new(ErrorKind::CheckFailed, self.sentence.clone());
        Some(match self.chain.name.as_ref().filter(|_| !is_only) {
            Some(name) => error.context(format!("chain {name}: {what}")).hint(hint),
            None => error.context(what).hint(hint),
        })
    }

    /// Writes it: it is the data of `health`, so it belongs on stdout.
    pub(crate) fn write(
        &self,
        format: SummaryFormat,
        is_quiet: bool,
        out: &mut impl Write,
    ) -> io::Result<()> {
        match format {
            SummaryFormat::Json => {
                serde_json::to_writer(&mut *out, self).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            SummaryFormat::Human if is_quiet && self.status == Status::Ok => {}
            SummaryFormat::Human => write!(out, "{self}")?,
        }
        out.flush()
    }
}

impl NodeReport {
    fn new(node: NodeVerdict, is_ledger_read: bool) -> Self {
        let also = node.also.into_iter().map(|finding| FindingReport {
            axis: finding.axis.to_string(),
            reason: finding.reason.code(),
            sentence: redacted(&finding.sentence),
        });
        Self {
            name: node.node.to_string(),
            client: node.client.map(|client| client.to_string()),
            state: node.state.to_string(),
            axis: node.axis.map(|axis| axis.to_string()),
            reason: node.reason.code(),
            sentence: redacted(&node.sentence),
            also: also.collect(),
            notes: node.notes.iter().map(|note| redacted(note)).collect(),
            head: node.head.map(|head| head.number),
            head_hash: node.head.map(|head| head.hash.to_string()),
            head_age_ms: node.head_age_ms,
            lag_blocks: node.lag_blocks,
            finalized: node.finalized,
            syncing: node.syncing,
            peers: node.peers,
            latency_ms: node.latency_ms,
            incidents: is_ledger_read.then_some(node.incidents),
        }
    }
}

impl LedgerReport {
    fn new(plan: &HealthPlan, sample: &ChainSample, verdict: &LedgerVerdict) -> Self {
        let (covered_through, open): (Option<u64>, &[OpenRange]) = match verdict {
            LedgerVerdict::Ok { through, open, .. } => (*through, open),
            LedgerVerdict::Late { open, .. } => (None, open),
            _ => (None, &[]),
        };
        let open = open.iter().map(|open| OpenReport {
            filter: open.filter.clone(),
            range: open.range.into(),
            open_ms: open.open_ms,
            late: open.is_late,
        });
        Self {
            path: plan.ledger.path.display().to_string(),
            verdict: verdict.code(),
            sentence: verdict.to_string(),
            deadline_ms: sample.deadline_ms,
            covered_through,
            open: open.collect(),
        }
    }
}

/// The few lines for people: the chain first, since what all nodes share is no node's fault.
impl fmt::Display for HealthReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chain    {}: {}", self.chain.verdict, self.chain.sentence)?;
        if let Some(head) = self.chain.head {
            write!(f, "; block {head}")?;
        }
        if let Some(finalized) = self.chain.finalized {
            write!(f, ", final through {finalized}")?;
        }
        match (&self.chain.name, self.chain.id) {
            (Some(name), Some(id)) => writeln!(f, " ({name}, chain {id})")?,
            (None, Some(id)) => writeln!(f, " (chain {id})")?,
            _ => writeln!(f)?,
        }
        let width = self.nodes.iter().map(|node| node.name.chars().count()).max().unwrap_or(0);
        for node in &self.nodes {
            write!(f, "node     {:width$}  {}: {}", node.name, node.state, node.sentence)?;
            for more in node.also.iter().map(|also| &also.sentence).chain(&node.notes) {
                write!(f, "; {more}")?;
            }
            match &node.client {
                Some(client) => writeln!(f, " ({client})")?,
                None => writeln!(f)?,
            }
        }
        let ledger = &self.ledger;
        writeln!(f, "ledger   {}: {} ({})", ledger.verdict, ledger.sentence, ledger.path)?;
        if let [first, more @ ..] = ledger.open.as_slice()
            && !more.is_empty()
        {
            for open in [first].into_iter().chain(more).filter(|open| open.late) {
                let (range, minutes) = (open.range, grouped(open.open_ms / 60_000));
                writeln!(f, "open     {range} for {minutes} min: {}", open.filter)?;
            }
        }
        for warning in &self.warnings {
            writeln!(f, "warning  {}", warning.sentence)?;
        }
        Ok(())
    }
}
