//! The report as JUnit XML (docs/audit.junit.xsd), which CI systems read: a test case for each filter, each that was
//! compared, and each expectation. What could not be decided is an error, not a failure.

use super::{AuditReport, Held, Status};
use crate::{command_error::CommandError, terminal::lines};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::{io::Write, time::Duration};

/// Findings that a case spells out.
const FINDINGS_SHOWN: usize = 100;

/// Writes the report.
pub(super) fn write(report: &AuditReport, out: &mut impl Write) -> Result<(), CommandError> {
    let mut junit = Report::new("headcount audit");
    junit.set_time(Duration::from_millis(report.elapsed_ms));
    junit.add_test_suites([filters(report), sources(report), expectations(report), whole(report)]);
    // Into memory first: a reader that leaves is no bug of the library.
    let text = junit.to_string().map_err(CommandError::bug)?;
    // Not every consumer's schema has it, and nothing here is disabled.
    let text = text.replace(" disabled=\"0\" ", " ");
    out.write_all(lines(&text).as_bytes())?;
    Ok(())
}

fn status(kind: Option<NonSuccessKind>, message: &str, text: String) -> TestCaseStatus {
    let Some(kind) = kind else { return TestCaseStatus::success() };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message).set_type("audit").set_description(text);
    status
}

fn case(suite: &mut TestSuite, name: String, status: TestCaseStatus) {
    let mut case = TestCase::new(name, status);
    case.set_classname(format!("headcount.audit.{}", suite.name.as_str()));
    suite.add_test_case(case);
}

fn filters(report: &AuditReport) -> TestSuite {
    let mut suite = TestSuite::new("blocks");
    for filter in &report.filters {
        let blocks = filter.blocks;
        let kind = match (blocks.missing + blocks.forged, blocks.undecided) {
            (0, 0) => None,
            (0, _) => Some(NonSuccessKind::Error),
            _ => Some(NonSuccessKind::Failure),
        };
        let spans = filter.spans.iter().filter(|span| span.status != "complete");
        let spans: Vec<String> =
            spans.map(|s| format!("{} {}: {}", s.status, s.range, s.reason)).collect();
        let message = format!(
            "{} blocks missing, {} forged, {} undecided",
            blocks.missing, blocks.forged, blocks.undecided
        );
        // Where no node told the range, no block of it is known.
        let kind = kind.or(report.range.is_none().then_some(NonSuccessKind::Error));
        let name = format!("{} in {}", filter.name, report.blocks());
        case(&mut suite, name, status(kind, &message, spans.join("\n")));
    }
    suite
}

fn sources(report: &AuditReport) -> TestSuite {
    let mut suite = TestSuite::new("sources");
    let nodes = report.nodes.iter().map(|node| (node.name.as_str(), "node"));
    let ledger = report.ledger.compared.then_some(("ledger", "ledger"));
    for (name, source) in nodes.chain(ledger) {
        let own = report.findings.iter().filter(|f| f.who == name && f.source == source);
        let mut listed: Vec<String> =
            own.clone().take(FINDINGS_SHOWN).map(ToString::to_string).collect();
        let kind = (!listed.is_empty()).then_some(NonSuccessKind::Failure);
        let message = format!("{} findings", own.count());
        let unheard = report.nodes.iter().filter(|node| source == "node" && node.name == name);
        let unheard = unheard.filter_map(|node| node.unheard.as_ref()).next();
        let status = match (kind, unheard) {
            (None, Some(unheard)) => skipped(unheard.to_string()),
            (_, unheard) => {
                listed.extend(unheard.map(ToString::to_string));
                status(kind, &message, listed.join("\n"))
            }
        };
        case(&mut suite, format!("{source} {name}"), status);
    }
    for absent in &report.absent {
        let status = skipped(format!("no answer: {}", absent.reason));
        case(&mut suite, format!("node {}", absent.name), status);
    }
    // Its readers count what was skipped by themselves; the word for it is another one to each.
    suite.disabled = 0;
    suite
}

/// Of a node that was not compared.
fn skipped(why: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(why).set_type("audit");
    status
}

fn expectations(report: &AuditReport) -> TestSuite {
    let mut suite = TestSuite::new("expectations");
    for expectation in &report.expectations {
        let kind = match expectation.status {
            Held::Passed => None,
            Held::Failed => Some(NonSuccessKind::Failure),
            Held::Undecided => Some(NonSuccessKind::Error),
        };
        let (expected, found) = (&expectation.expected, &expectation.found);
        let message = format!("expected {expected}, found {found}");
        let name = format!("{} {}", expectation.kind, expectation.name);
        case(&mut suite, name, status(kind, &message, expectation.detail.clone()));
    }
    suite
}

/// What no other case stands for: too few events, an anchor that is not met, an interruption.
fn whole(report: &AuditReport) -> TestSuite {
    let mut suite = TestSuite::new("audit");
    let kind = match report.status {
        Status::Complete => None,
        Status::Undecided | Status::Interrupted => Some(NonSuccessKind::Error),
        _ => Some(NonSuccessKind::Failure),
    };
    let name = format!("{} at {}", report.blocks(), report.require);
    case(&mut suite, name, status(kind, &report.sentence, report.sentence.clone()));
    suite
}
