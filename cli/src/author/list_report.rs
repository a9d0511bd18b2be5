//! The plugins of a ledger: as JSON for programs, as a table for people.

use super::write_json;
use crate::{
    summary::{SummaryFormat, grouped},
    terminal::one_line,
};
use serde::Serialize;
use std::io::{self, Write};

/// Version of the JSON form. Fields may be added under the same one.
const VERSION: u32 = 1;

/// Every lane, and every sink that messages wait for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ListReport {
    version: u32,
    pub(crate) plugins: Vec<LaneLine>,
    sinks: Vec<SinkLine>,
}

/// What is left to send to one sink.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SinkLine {
    pub(crate) sink: String,
    /// Messages that are not sent yet.
    pub(crate) waiting: u64,
    /// Messages that will not be sent.
    pub(crate) dead: u64,
    /// Why the oldest one that waits was not taken, if it was tried.
    pub(crate) reason: Option<String>,
}

/// One plugin on one chain.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct LaneLine {
    pub(crate) plugin: String,
    /// `null` where it has not begun on any.
    pub(crate) chain: Option<u64>,
    /// As the plugin gave it.
    pub(crate) version: Option<String>,
    pub(crate) logic_version: Option<u64>,
    /// Counts rebuilds, from 1.
    pub(crate) generation: u64,
    /// Whether an older generation is still shown, because this one has not caught up.
    pub(crate) is_rebuilding: bool,
    /// `null` where it has not begun.
    pub(crate) start_block: Option<u64>,
    /// Every block below this one was handled; `null` where it has not begun.
    pub(crate) next_block: Option<u64>,
    /// Last block to which coverage leads from there.
    pub(crate) covered_through: Option<u64>,
    pub(crate) lag_blocks: u64,
    /// Events handed to this generation; those of a block that was undone are counted again.
    pub(crate) events: u64,
    pub(crate) dead_letters: u64,
    /// Why it is halted, if it is.
    pub(crate) halted: Option<String>,
    /// What it fails with, where it is called again and again and does not get on.
    pub(crate) failing: Option<String>,
    /// Why it is handed nothing, where its component is another one and nobody has decided.
    pub(crate) held: Option<String>,
    /// Block from which an operator wants everything handled again, where that was not begun.
    pub(crate) retry_from: Option<u64>,
    /// SHA-256 of the component that wrote it, where that is known.
    pub(crate) component: Option<String>,
    /// Whether the process that owns the ledger runs it; `null` where nobody owns it.
    pub(crate) runs: Option<bool>,
    /// Whether the configuration does not have it any more.
    pub(crate) removed: bool,
}

impl ListReport {
    pub(crate) const fn new(plugins: Vec<LaneLine>, sinks: Vec<SinkLine>) -> Self {
        Self { version: VERSION, plugins, sinks }
    }

    /// Writes it.
    pub(crate) fn write(&self, format: SummaryFormat, out: &mut dyn Write) -> io::Result<()> {
        match format {
            SummaryFormat::Json => write_json(self, out),
            SummaryFormat::Human => self.write_table(out),
        }
    }

    fn write_table(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.plugins.is_empty() {
            return writeln!(out, "no plugin has run on this ledger");
        }
        let or_none = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
        let head = ["plugin", "chain", "version", "next block", "lag", "events", "dead", "state"];
        let mut rows = vec![head.map(str::to_owned)];
        for lane in &self.plugins {
            let logic = lane.logic_version.map(|logic| format!(" (logic {logic})"));
            rows.push([
                one_line(&lane.plugin),
                or_none(lane.chain.map(|chain| chain.to_string())),
                format!(
                    "{}{}",
                    one_line(lane.version.as_deref().unwrap_or("?")),
                    logic.unwrap_or_default()
                ),
                or_none(lane.next_block.map(grouped)),
                grouped(lane.lag_blocks),
                grouped(lane.events),
                grouped(lane.dead_letters),
                lane.state(),
            ]);
        }
        write_columns(&rows, &[1, 3, 4, 5, 6], out)?;
        for SinkLine { sink, waiting, dead, reason } in &self.sinks {
            write!(out, "sink {}: {} messages wait", one_line(sink), grouped(*waiting))?;
            if let Some(reason) = reason {
                write!(out, " ({})", one_line(reason))?;
            }
            writeln!(out, ", {} are dead", grouped(*dead))?;
        }
        if let Some(held) = self.plugins.iter().find(|lane| lane.held.is_some() && !lane.removed) {
            let name = one_line(&held.plugin);
            writeln!(
                out,
                "\na plugin that is held waits for a word: `headcount plugin upgrade {name} --continue` has it \
                 go on where it is, `headcount plugin rebuild {name}` has it begin anew"
            )?;
        }
        Ok(())
    }
}

impl LaneLine {
    /// A plugin that was never handed anything, as far as the ledger knows.
    pub(crate) fn not_begun(plugin: String) -> Self {
        Self { plugin, generation: 1, ..Self::default() }
    }

    fn state(&self) -> String {
        match (&self.held, &self.halted, self.retry_from, &self.failing) {
            _ if self.removed => "removed".to_owned(),
            (Some(reason), ..) => format!("held: {}", one_line(reason)),
            (None, Some(reason), ..) => format!("halted: {}", one_line(reason)),
            (None, None, Some(block), _)
                if self.start_block.is_some_and(|start| block <= start) =>
            {
                "begins anew".to_owned()
            }
            (None, None, Some(block), _) => format!("goes back to block {}", grouped(block)),
            (None, None, None, Some(reason)) => format!("failing: {}", one_line(reason)),
            _ if self.next_block.is_none() => "has not begun".to_owned(),
            _ if self.is_rebuilding => format!("rebuilding, generation {}", self.generation),
            _ if self.lag_blocks > 0 && self.runs == Some(false) => {
                "behind, does not run".to_owned()
            }
            _ if self.lag_blocks > 0 => "behind".to_owned(),
            _ => "up to date".to_owned(),
        }
    }
}

/// Writes rows as aligned columns, those of `right` to the right.
pub(super) fn write_columns<const N: usize>(
    rows: &[[String; N]],
    right: &[usize],
    out: &mut dyn Write,
) -> io::Result<()> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match right
            .contains(&column)
        {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn line(halted: Option<&str>, lag_blocks: u64) -> LaneLine {
        LaneLine {
            plugin: "balances".into(),
            chain: Some(1),
            version: Some("0.1.0".into()),
            logic_version: Some(1),
            generation: 1,
            is_rebuilding: false,
            start_block: Some(0),
            next_block: Some(1_061),
            covered_through: Some(1_060 + lag_blocks),
            lag_blocks,
            events: 57,
            dead_letters: 2,
            halted: halted.map(str::to_owned),
            ..LaneLine::default()
        }
    }

    #[test]
    fn a_halted_plugin_says_why_and_one_behind_how_far() {
        let reason = Some("answered 503".to_owned());
        let sink = SinkLine { sink: "ops".into(), waiting: 1_200, dead: 1, reason };
        let lanes = vec![line(None, 12), line(Some("bad\nconfig"), 0)];
        let report = ListReport::new(lanes, vec![sink]);
        let mut out = Vec::new();
        report.write(SummaryFormat::Human, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "plugin    chain  version          next block  lag  events  dead  state\n\
             balances      1  0.1.0 (logic 1)       1_061   12      57     2  behind\n\
             balances      1  0.1.0 (logic 1)       1_061    0      57     2  halted: bad config\n\
             sink ops: 1_200 messages wait (answered 503), 1 are dead\n"
        );
    }

    #[test]
    fn what_is_to_be_done_and_what_is_gone_is_told_before_how_far_it_is() {
        let state = |change: &dyn Fn(&mut LaneLine)| {
            let mut line = line(None, 12);
            change(&mut line);
            line.state()
        };
        assert_eq!(state(&|line| line.retry_from = Some(0)), "begins anew");
        assert_eq!(state(&|line| line.retry_from = Some(1_000)), "goes back to block 1_000");
        assert_eq!(state(&|line| line.is_rebuilding = true), "rebuilding, generation 1");
        assert_eq!(state(&|line| line.held = Some("another".into())), "held: another");
        assert_eq!(state(&|line| line.failing = Some("no\nluck".into())), "failing: no luck");
        assert_eq!(LaneLine::not_begun("p".into()).state(), "has not begun");
        assert_eq!(state(&|line| line.runs = Some(false)), "behind, does not run");
        assert_eq!(state(&|line| line.removed = true), "removed");
    }
}
