//! From what an audit found to its report: what it comes to, in a word, a sentence and an exit code.

use super::{
    AbsentReport, AnchorReport, AuditReport, BlockCounts, CodeReport, EventReport,
    ExpectationReport, FilterReport, FindingCount, FindingReport, Held, LedgerReport, LogReport,
    NodeReport, SpanReport, Status, UnheardReport, VERSION, labels,
};
use crate::{
    complaint::undecodable,
    exit_codes::ExitCode,
    plan::AuditPlan,
    secret::redacted,
    summary::{UndecodedSummary, blocks as counted},
    terminal::one_line,
};
use ::audit::{Finding, Status as BlockStatus, Unheard, Verdict, Who};
use event::{
    AnchorPolicy, BlockRange, ChainId, ChainProfile, EventSchema, Fault, Filter, Node, NodeId,
    Verify,
};
use pipeline::{AnchorFound, AuditOutcome, Greeting};

/// Everything there is to tell.
pub(crate) struct Audited<'a> {
    pub(crate) plan: &'a AuditPlan,
    pub(crate) profile: ChainProfile,
    pub(crate) nodes: Vec<(&'a dyn Node, &'a Greeting)>,
    /// Why others did not answer.
    pub(crate) absent: &'a [Fault],
    /// `None` where no node tells its end.
    pub(crate) range: Option<BlockRange>,
    pub(crate) filters: &'a [Filter],
    pub(crate) schemas: &'a [EventSchema],
    /// Events by schema.
    pub(crate) counts: Vec<u64>,
    /// Events of which logs are there and none decodes.
    pub(crate) undecoded: Vec<UndecodedSummary>,
    pub(crate) outcome: AuditOutcome,
    pub(crate) ledger: LedgerReport,
    pub(crate) code: Vec<CodeReport>,
    pub(crate) expected: Vec<ExpectationReport>,
    pub(crate) interrupted: Option<ExitCode>,
    pub(crate) elapsed_ms: u64,
}

impl AuditReport {
    /// Puts what was found into the form it is told in.
    pub(crate) fn new(audited: Audited<'_>) -> Self {
        let warnings = warnings(&audited);
        let (status, sentence) = outcome(&audited);
        let Audited {
            plan, profile, nodes, absent, range, filters, schemas, counts, outcome, ..
        } = audited;
        let chain = (profile.chain != ChainId::default()).then_some(profile.chain.0);
        let names = labels::filters(filters, schemas, &plan.chain.contracts);
        let AuditOutcome { verdict, anchor, .. } = outcome;
        let is_proved = !nodes.is_empty() && verdict.blocks(BlockStatus::Undecided) == 0;
        let findings =
            verdict.findings.iter().map(|finding| finding_report(finding, &names, schemas));
        let mut report = Self {
            version: VERSION,
            status,
            exit_code: 0,
            sentence: one_line(&redacted(&sentence)),
            require: plan.require.to_string(),
            proved: plan.require == Verify::Prove && is_proved,
            chain,
            chain_name: match (chain, &plan.chain.chain_name) {
                (None, None) => "unknown".to_owned(),
                _ => profile.name,
            },
            range: range.map(Into::into),
            first_block: verdict.first.map(Into::into),
            last_block: verdict.last.or(anchor.block).map(Into::into),
            anchor: anchor_report(&anchor, plan.require),
            filters: filter_reports(&verdict, filters, &names),
            events: schemas
                .iter()
                .zip(counts)
                .map(|(schema, count)| EventReport {
                    name: labels::event(schema),
                    signature: schema.signature.clone(),
                    count,
                })
                .collect(),
            undecoded: audited.undecoded,
            findings: findings.collect(),
            findings_by: verdict
                .counts
                .iter()
                .map(|((who, kind), count)| FindingCount {
                    who: who.to_string(),
                    kind: kind.to_string(),
                    count: *count,
                })
                .collect(),
            ledger: audited.ledger,
            code: audited.code,
            expectations: audited.expected,
            nodes: nodes
                .iter()
                .map(|(node, greeting)| NodeReport {
                    name: node.id().to_string(),
                    client: greeting.status.client.as_deref().map(str::to_owned),
                    head: greeting.status.head.number,
                    calls: node.calls(),
                    unheard: unheard(node.id(), &verdict, &anchor, range),
                })
                .collect(),
            absent: absent
                .iter()
                .map(|fault| AbsentReport {
                    name: fault.node.to_string(),
                    reason: redacted(&format!("{}: {}", fault.method, fault.text)),
                })
                .collect(),
            warnings,
            elapsed_ms: audited.elapsed_ms,
        };
        let code = match (report.status, audited.interrupted) {
            (Status::Interrupted, Some(code)) => code,
            (status, _) => status.exit_code(),
        };
        report.exit_code = code as u8;
        report
    }
}

/// Blocks of which a node did not say what logs there are: it did not answer that, or it did not give the
/// anchor's block and was not asked.
fn unheard(
    node: &NodeId,
    verdict: &Verdict,
    anchor: &AnchorFound,
    range: Option<BlockRange>,
) -> Option<UnheardReport> {
    let silent = verdict.unheard.get(node).map(|silent| (silent.blocks, &silent.reason));
    let unread = || {
        let seat = anchor.seats.iter().find(|seat| seat.node == *node && seat.block.is_none())?;
        let blocks = range?.count().saturating_mul(verdict.filters.len() as u64);
        Some((blocks, &seat.reason))
    };
    let (blocks, reason) = silent.or_else(unread)?;
    Some(UnheardReport { blocks, reason: redacted(reason) })
}

/// What it comes to, in a word and in a sentence. What is missing counts for more than what is not
/// known.
fn outcome(audited: &Audited<'_>) -> (Status, String) {
    let verdict = &audited.outcome.verdict;
    if audited.nodes.is_empty() {
        let reasons = audited.absent.iter().map(ToString::to_string).collect::<Vec<_>>();
        return (Status::Undecided, format!("no node answered: {}", reasons.join("; ")));
    }
    if audited.interrupted.is_some() {
        return (Status::Interrupted, "stopped before everything was read".to_owned());
    }
    let counts = verdict.counts.iter().map(|((who, kind), count)| format!("{who}: {count} {kind}"));
    let counts = counts.collect::<Vec<_>>().join(", ");
    match verdict.status() {
        BlockStatus::Missing => return (Status::Missing, counts),
        BlockStatus::Forged => return (Status::Forged, counts),
        BlockStatus::Undecided | BlockStatus::Complete => {}
    }
    let failed: Vec<&str> = audited
        .expected
        .iter()
        .filter(|expectation| expectation.status == Held::Failed)
        .map(|expectation| expectation.name.as_str())
        .collect();
    if !failed.is_empty() {
        return (Status::Failed, format!("expectations that do not hold: {}", failed.join(", ")));
    }
    let undecided = verdict.blocks(BlockStatus::Undecided);
    let events: u64 = verdict.filters.iter().map(|filter| filter.events).sum();
    if let Some(least) = audited.plan.min_events.filter(|least| events < *least)
        && undecided == 0
    {
        return (Status::Failed, format!("{events} events, fewer than --min-events {least}"));
    }
    if undecided > 0 {
        let span = verdict.filters.iter().flat_map(|filter| &filter.spans);
        let open = span.clone().find(|span| span.status == BlockStatus::Undecided);
        let first =
            open.map_or_else(String::new, |span| format!(", {}: {}", span.range, span.reason));
        let blocks = match undecided {
            1 => "1 block is".to_owned(),
            blocks => format!("{blocks} blocks are"),
        };
        return (Status::Undecided, format!("{blocks} undecided{first}"));
    }
    if let Some(open) = audited.expected.iter().find(|e| e.status == Held::Undecided) {
        return (Status::Undecided, format!("expectation {}: {}", open.name, open.detail));
    }
    let unknown = audited.code.iter().find(|code| code.has_code.is_none());
    if let Some(code) = unknown.filter(|_| events == 0 && !audited.plan.allow_no_code) {
        let address = code.address;
        let sentence =
            format!("no event, and nobody says whether {address} has code: {}", code.detail);
        return (Status::Undecided, sentence);
    }
    let sentence = match audited.plan.require {
        Verify::Prove => "nothing is missing".to_owned(),
        level => format!("nothing is missing that `{level}` could see: not proved ({level})"),
    };
    (Status::Complete, sentence)
}

fn warnings(audited: &Audited<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    // Then the sentence says it all.
    if audited.nodes.is_empty() {
        return warnings;
    }
    let verdict = &audited.outcome.verdict;
    for (filter, name) in verdict.filters.iter().zip(labels::filters(
        audited.filters,
        audited.schemas,
        &audited.plan.chain.contracts,
    )) {
        if filter.events == 0 && !filter.blocks.contains_key(&BlockStatus::Undecided) {
            warnings.push(format!("{name}: no event matched; check addresses and signatures"));
        }
    }
    warnings.extend(audited.undecoded.iter().map(undecodable));
    for code in audited.code.iter().filter(|code| code.has_code.is_none()) {
        let address = code.address;
        warnings.push(format!("whether {address} has code is not known: {}", code.detail));
    }
    for seat in audited.outcome.anchor.seats.iter().filter(|seat| seat.block.is_none()) {
        warnings.push(format!("node {} was not read: {}", seat.node, seat.reason));
    }
    for (node, Unheard { blocks, reason }) in &verdict.unheard {
        warnings.push(format!("node {node} was not heard of {}: {reason}", counted(*blocks)));
    }
    if audited.ledger.is_unexpected {
        warnings.push(format!("ledger {}: {}", audited.ledger.path, audited.ledger.reason));
    }
    if audited.outcome.anchor.policy == Some(AnchorPolicy::OneNode)
        && let Some(cut) = &verdict.broken
        && audited.plan.require != Verify::Off
        && verdict.blocks(BlockStatus::Undecided) == 0
    {
        warnings.push(format!("the headers do not hang together: {}", cut.reason));
    }
    if audited.outcome.stopped && audited.interrupted.is_none() {
        warnings.push("stopped by --max-time: the rest is undecided".to_owned());
    }
    warnings.iter().map(|warning| redacted(warning)).collect()
}

fn anchor_report(anchor: &AnchorFound, require: Verify) -> AnchorReport {
    let trusted = anchor.trusted();
    let others = anchor.seats.iter().filter(|seat| !trusted.contains(&seat.node));
    let others = others.map(|seat| match seat.block {
        Some(block) => format!("{} has {}", seat.node, block.hash),
        None => redacted(&format!("{}: {}", seat.node, seat.reason)),
    });
    AnchorReport {
        policy: match (anchor.policy, require) {
            (_, Verify::Off) => "none: no header is read".to_owned(),
            (Some(AnchorPolicy::Agreed(nodes)), _) => format!("agreed:{nodes}"),
            (Some(AnchorPolicy::Checkpoint(block)), _) => {
                format!("{}:{}", block.number, block.hash)
            }
            _ => "one-node".to_owned(),
        },
        block: anchor.block.map(Into::into),
        met: anchor.is_met,
        nodes: trusted.iter().map(ToString::to_string).collect(),
        others: others.collect(),
    }
}

fn filter_reports(verdict: &Verdict, filters: &[Filter], names: &[String]) -> Vec<FilterReport> {
    let reports = verdict.filters.iter().zip(filters).zip(names);
    let reports = reports.map(|((known, filter), name)| {
        let of = |status| known.blocks.get(&status).copied().unwrap_or(0);
        let worst = known.blocks.keys().min().copied().unwrap_or(BlockStatus::Undecided);
        let spans = known.spans.iter().map(|span| SpanReport {
            range: span.range.into(),
            status: word(span.status),
            reason: redacted(&span.reason),
        });
        FilterReport {
            name: name.clone(),
            id: filter.id().to_string(),
            status: word(worst),
            events: known.events,
            blocks: BlockCounts {
                complete: of(BlockStatus::Complete),
                missing: of(BlockStatus::Missing),
                forged: of(BlockStatus::Forged),
                undecided: of(BlockStatus::Undecided),
            },
            shown: known.shown.iter().map(|(what, n)| (what.to_string(), *n)).collect(),
            spans: spans.collect(),
        }
    });
    reports.collect()
}

const fn word(status: BlockStatus) -> &'static str {
    match status {
        BlockStatus::Missing => "missing",
        BlockStatus::Forged => "forged",
        BlockStatus::Undecided => "undecided",
        BlockStatus::Complete => "complete",
    }
}

fn finding_report(finding: &Finding, names: &[String], schemas: &[EventSchema]) -> FindingReport {
    let log = finding.log.as_ref().map(|log| LogReport {
        tx_hash: log.tx_hash.to_string(),
        log_index: log.log_index,
        address: log.address.to_string(),
        topic0: log.topic0.map(|topic| topic.to_string()),
        digest: log.digest.to_string(),
        event: labels::event_of(log, schemas),
    });
    FindingReport {
        filter: names.get(finding.filter).cloned().unwrap_or_default(),
        kind: finding.kind.to_string(),
        who: finding.who.to_string(),
        source: if finding.who == Who::Ledger { "ledger" } else { "node" },
        block: finding.block.into(),
        log,
        count: finding.count,
        detail: redacted(&finding.detail),
    }
}
