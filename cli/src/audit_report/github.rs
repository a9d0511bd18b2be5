//! The report as annotations of a GitHub workflow: one line each, shown beside the run.

use super::{AuditReport, Held, Status};
use crate::terminal::lines;
use std::io::{self, Write};

/// Annotations of one kind that GitHub shows of a step are 10; more are only in its log.
const FINDINGS_SHOWN: usize = 50;

/// Writes the annotations.
pub(super) fn write(report: &AuditReport, out: &mut impl Write) -> io::Result<()> {
    for finding in report.findings.iter().take(FINDINGS_SHOWN) {
        let title = format!("{} at {}", finding.kind, finding.who);
        annotate(out, "error", &title, &finding.to_string())?;
    }
    for expectation in &report.expectations {
        let level = match expectation.status {
            Held::Passed => continue,
            Held::Failed => "error",
            Held::Undecided => "warning",
        };
        let text = format!(
            "expected {}, found {}\n{}",
            expectation.expected, expectation.found, expectation.detail
        );
        annotate(out, level, &format!("expectation {}", expectation.name), &text)?;
    }
    for filter in &report.filters {
        let open = filter.spans.iter().filter(|span| span.status == "undecided");
        for span in open.take(FINDINGS_SHOWN) {
            let text = format!("{}: {}", span.range, span.reason);
            annotate(out, "warning", &format!("undecided: {}", filter.name), &text)?;
        }
    }
    for warning in &report.warnings {
        annotate(out, "warning", "headcount audit", warning)?;
    }
    let level = match report.status {
        Status::Complete => "notice",
        _ => "error",
    };
    let text = format!("{}: {} ({})", report.status.name(), report.sentence, report.blocks());
    annotate(out, level, "headcount audit", &text)
}

fn annotate(out: &mut impl Write, level: &str, title: &str, text: &str) -> io::Result<()> {
    writeln!(out, "::{level} title={}::{}", property(title), escaped(text))
}

/// As GitHub's own toolkit escapes data.
fn escaped(text: &str) -> String {
    lines(text).replace('%', "%25").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    escaped(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_ends_an_annotation_early() {
        let mut out = Vec::new();
        let written = annotate(&mut out, "error", "a:b,c", "50% of\n::error::x");
        assert!(written.is_ok());
        let text = String::from_utf8_lossy(&out).into_owned();
        assert_eq!(text, "::error title=a%3Ab%2Cc::50%25 of%0A::error::x\n");
        let mut out = Vec::new();
        assert!(annotate(&mut out, "error", "a\u{1b}[2Jb", "c\u{9b}d\re\tf\u{7f}").is_ok());
        let text = String::from_utf8_lossy(&out).into_owned();
        assert_eq!(text, "::error title=a [2Jb::c d e f \n");
    }
}
