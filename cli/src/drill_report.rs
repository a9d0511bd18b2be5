//! What came of a drill: one struct, as JSON for programs and as a table for people.

use crate::{
    exit_codes::ExitCode,
    summary::{SummaryFormat, grouped},
};
use serde::Serialize;
use std::{
    fmt,
    io::{self, Write},
};

/// Result of one drill.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DrillReport {
    /// Version of the JSON form. Fields may be added under the same one.
    pub(crate) version: u32,
    pub(crate) seed: u64,
    /// Last block of the chain.
    pub(crate) head: u64,
    /// Blocks that the reorg in the middle left.
    pub(crate) reorg_depth: u64,
    /// Events that the chain has.
    pub(crate) events: u64,
    pub(crate) nodes: Vec<NodeReport>,
    pub(crate) ledger: LedgerReport,
    pub(crate) elapsed_ms: u64,
}

/// One node.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NodeReport {
    pub(crate) name: &'static str,
    /// Transport.
    pub(crate) over: &'static str,
    /// What is wrong with it.
    pub(crate) trouble: String,
    /// Events that some answer of it lacked although it had them.
    pub(crate) missed: u64,
    /// Events of its answers that never were.
    pub(crate) made_up: u64,
    /// How long it was away.
    pub(crate) away_ms: u64,
    /// Incidents in the ledger that name it.
    pub(crate) incidents: u64,
    /// What a last-block cursor over it alone came to; `null` where it came to no end.
    pub(crate) cursor: Option<CursorReport>,
}

/// What a last-block cursor has at the end, against the chain.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CursorReport {
    /// Events of the chain that it lacks.
    pub(crate) lost: u64,
    /// Events that it has and the chain has not, forged or of blocks that were left.
    pub(crate) made_up: u64,
}

/// The ledger, against the chain.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LedgerReport {
    /// Where it was kept.
    pub(crate) path: Option<String>,
    /// Canonical events.
    pub(crate) events: u64,
    pub(crate) lost: u64,
    pub(crate) made_up: u64,
    /// Rows beyond the first of an event.
    pub(crate) doubled: u64,
    /// Rows of the typed table.
    pub(crate) decoded: u64,
    pub(crate) incidents: u64,
    /// What `ledger check` would say.
    pub(crate) problems: Vec<String>,
}

impl LedgerReport {
    /// Whether it has exactly the events of the chain, each once and decoded.
    fn is_exact(&self) -> bool {
        self.lost == 0
            && self.made_up == 0
            && self.doubled == 0
            && self.decoded == self.events
            && self.problems.is_empty()
    }
}

impl DrillReport {
    /// Returns what the process tells its caller.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.ledger.is_exact() {
            true => ExitCode::Done,
            false => ExitCode::CheckFailed,
        }
    }

    /// Writes it.
    pub(crate) fn write(&self, format: SummaryFormat, out: &mut impl Write) -> io::Result<()> {
        match format {
            SummaryFormat::Json => {
                serde_json::to_writer(&mut *out, self).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            SummaryFormat::Human => write!(out, "{self}")?,
        }
        out.flush()
    }

    fn rows(&self) -> Vec<[String; 8]> {
        let title = ["node", "over", "what it does", "missed", "made up", "away", "incidents"];
        let mut rows = vec![title.map(str::to_owned).to_vec()];
        rows[0].push("a cursor on it alone".to_owned());
        rows.extend(self.nodes.iter().map(NodeReport::cells));
        rows.into_iter().filter_map(|row| row.try_into().ok()).collect()
    }

    fn blamed(&self) -> String {
        let blamed = self.nodes.iter().filter(|node| node.incidents > 0);
        let names: Vec<&str> = blamed.map(|node| node.name).collect();
        match names.as_slice() {
            [] => "no incidents".to_owned(),
            [one] => format!("{} incidents, all name {one}", grouped(self.ledger.incidents)),
            all => format!("{} incidents, of {}", grouped(self.ledger.incidents), all.join(", ")),
        }
    }
}

impl NodeReport {
    fn cells(&self) -> Vec<String> {
        let away = match self.away_ms {
            0 => "-".to_owned(),
            away_ms => format!("{}.{} s", away_ms / 1_000, away_ms % 1_000 / 100),
        };
        let cursor = match &self.cursor {
            Some(CursorReport { lost, made_up }) => {
                format!("lost {}, made up {}", grouped(*lost), grouped(*made_up))
            }
            None => "never came to the end".to_owned(),
        };
        vec![
            self.name.to_owned(),
            self.over.to_owned(),
            self.trouble.clone(),
            grouped(self.missed),
            grouped(self.made_up),
            away,
            grouped(self.incidents),
            cursor,
        ]
    }
}

/// The table and what it comes to.
impl fmt::Display for DrillReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let width =
            |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        for row in &rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                line.push_str(&format!("{cell:width$}  ", width = width(column)));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        let (events, head) = (grouped(self.events), grouped(self.head));
        let depth = self.reorg_depth;
        writeln!(
            f,
            "chain    {events} Transfer events up to block {head}, {depth} blocks left in a reorg"
        )?;
        let LedgerReport { lost, made_up, doubled, decoded, .. } = &self.ledger;
        let numbers = [lost, made_up, doubled, decoded].map(|number| grouped(*number));
        let [lost, made_up, doubled, decoded] = numbers;
        let stored = grouped(self.ledger.events);
        writeln!(
            f,
            "ledger   {stored} events, {decoded} decoded: lost {lost}, made up {made_up}, doubled {doubled}; {}",
            self.blamed()
        )?;
        for problem in &self.ledger.problems {
            writeln!(f, "problem  {problem}")?;
        }
        match &self.ledger.path {
            Some(path) => writeln!(f, "kept     {path}"),
            None => Ok(()),
        }
    }
}
