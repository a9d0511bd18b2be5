//! The lines for people.

use super::{AuditReport, FindingReport, Held};
use crate::{
    bar::bar,
    summary::{RangeSummary, grouped},
};
use event::BlockRange;
use std::fmt;

/// Findings that are spelt out; JSON has more.
const FINDINGS_SHOWN: usize = 20;
/// Spans that are spelt out.
const SPANS_SHOWN: usize = 10;

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proved = match (self.proved, self.anchor.nodes.as_slice()) {
            (false, _) => format!("not proved ({})", self.require),
            (true, [one]) => format!("proved on {one}'s headers"),
            (true, _) => "proved".to_owned(),
        };
        let word = self.status.name();
        match word {
            "complete" => writeln!(f, "audit    complete, {proved}")?,
            _ => writeln!(f, "audit    {word}: {}", self.sentence)?,
        }
        write!(f, "blocks   {}", self.blocks())?;
        for (name, block) in [("first", &self.first_block), ("last", &self.last_block)] {
            if let Some(block) = block {
                write!(f, "\n{name:8} {} {}", block.number, block.hash)?;
            }
        }
        writeln!(f)?;
        self.fmt_anchor(f)?;
        self.fmt_filters(f)?;
        self.fmt_findings(f)?;
        for expectation in &self.expectations {
            let (name, expected, found) =
                (&expectation.name, &expectation.expected, &expectation.found);
            match expectation.status {
                Held::Passed => writeln!(f, "expect   passed: {name}: {}", indented(expected))?,
                held => {
                    let held = if held == Held::Failed { "FAILED" } else { "undecided" };
                    writeln!(f, "expect   {held}: {name}")?;
                    writeln!(f, "         - expected {}", indented(expected))?;
                    writeln!(f, "         + found    {}", indented(found))?;
                    if !expectation.detail.is_empty() {
                        writeln!(f, "           {}", indented(&expectation.detail))?;
                    }
                }
            }
        }
        let ledger = &self.ledger;
        write!(f, "ledger   ")?;
        match (ledger.compared, ledger.path.is_empty()) {
            (true, _) => writeln!(f, "compared: {}", ledger.path)?,
            (false, true) => writeln!(f, "{}", ledger.reason)?,
            (false, false) => writeln!(f, "{} ({})", ledger.reason, ledger.path)?,
        }
        for node in &self.nodes {
            let calls = node.calls.iter().map(|(m, n)| format!("{m} {}", grouped(*n)));
            let calls = calls.collect::<Vec<_>>().join(", ");
            let client = node.client.as_deref().unwrap_or("client unknown");
            write!(f, "node     {} ({client}): {calls}", node.name)?;
            match &node.unheard {
                Some(unheard) => writeln!(f, "; {unheard}")?,
                None => writeln!(f)?,
            }
        }
        for absent in &self.absent {
            writeln!(f, "node     {}: no answer: {}", absent.name, absent.reason)?;
        }
        Ok(())
    }
}

impl AuditReport {
    fn fmt_anchor(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let anchor = &self.anchor;
        write!(f, "anchor   {}", anchor.policy)?;
        if let Some(block) = &anchor.block {
            write!(f, ": block {} of {}", block.number, anchor.nodes.join(", "))?;
        }
        for other in &anchor.others {
            write!(f, "; {other}")?;
        }
        writeln!(f)
    }

    fn fmt_filters(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.range.and_then(span);
        for filter in &self.filters {
            let blocks = filter.blocks;
            let counts = [
                (blocks.complete, "complete"),
                (blocks.missing, "missing"),
                (blocks.forged, "forged"),
                (blocks.undecided, "undecided"),
            ];
            let counts = counts.iter().filter(|(n, _)| *n > 0);
            let counts: Vec<String> =
                counts.map(|(n, what)| format!("{} {what}", grouped(*n))).collect();
            let (name, events) = (&filter.name, grouped(filter.events));
            writeln!(f, "filter   {name}: {events} events; blocks: {}", counts.join(", "))?;
            let spans: Vec<(BlockRange, u8, char)> = filter
                .spans
                .iter()
                .filter_map(|part| {
                    let (rank, shown) = match part.status {
                        "missing" => (0, '!'),
                        "forged" => (1, '+'),
                        "undecided" => (2, '?'),
                        _ => (3, '#'),
                    };
                    Some((span(part.range)?, rank, shown))
                })
                .collect();
            if let Some(whole) = whole {
                let drawn = bar(whole, &spans);
                writeln!(f, "         [{drawn}]  # complete, ! missing, + forged, ? undecided")?;
            }
            let open = filter.spans.iter().filter(|part| part.status == "undecided");
            for part in open.clone().take(SPANS_SHOWN) {
                writeln!(f, "open     {}: {}", part.range, part.reason)?;
            }
            let more = open.count().saturating_sub(SPANS_SHOWN);
            if more > 0 {
                writeln!(f, "open     {more} more ranges")?;
            }
        }
        for event in &self.events {
            writeln!(f, "event    {}: {}", event.name, grouped(event.count))?;
        }
        Ok(())
    }

    fn fmt_findings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in self.findings.iter().take(FINDINGS_SHOWN) {
            writeln!(f, "finding  {finding}")?;
        }
        let all: u64 = self.findings_by.iter().map(|by| by.count).sum();
        let shown = self.findings.len().min(FINDINGS_SHOWN) as u64;
        if all > shown {
            writeln!(f, "finding  {} more", grouped(all - shown))?;
        }
        Ok(())
    }
}

/// What has lines of its own begins none of the report.
fn indented(text: &str) -> String {
    text.replace('\n', "\n           ")
}

fn span(range: RangeSummary) -> Option<BlockRange> {
    BlockRange::new(range.first, range.last)
}

/// One finding: what, who, where, which log.
impl fmt::Display for FindingReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.kind.as_str() {
            "missing" => "lacks",
            "altered" => "altered",
            "moved" => "moved",
            "forged" => "made up",
            "foreign" => "gave what was not asked for",
            "evidence" => "gave evidence that does not hold",
            _ => "is on another branch",
        };
        write!(f, "{}: {} {verb}", self.kind, self.who)?;
        if let Some(log) = &self.log {
            write!(f, " log {} of transaction {}", log.log_index, log.tx_hash)?;
            match &log.event {
                Some(event) => write!(f, " ({event} of {})", log.address)?,
                None => write!(f, " (of {})", log.address)?,
            }
        }
        write!(f, " in block {} ({})", self.block.number, self.block.hash)?;
        match self.detail.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.detail),
        }
    }
}
