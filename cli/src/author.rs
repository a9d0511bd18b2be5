//! The author's side of plugins: the folder a new one begins with, building it, and what a run of one
//! says. Loads no component and reads no ledger: `session` does.

mod answers;
mod build;
mod check_report;
mod dead_report;
mod folder;
mod golden;
mod language;
mod list_report;
mod managed_report;
mod rows;
mod saved;

pub(crate) use self::{
    answers::read_answers,
    build::build,
    check_report::{CheckReport, LimitShare, Outcome},
    dead_report::{DeadEvent, DeadMessage, DeadReport},
    folder::{check_name, write_folder},
    golden::Golden,
    language::Language,
    list_report::{LaneLine, ListReport, SinkLine},
    managed_report::ManagedReport,
    rows::{Line, lines},
    saved::Saved,
};
use serde::Serialize;
use std::io::{self, Write};

/// Writes a report for programs.
fn write_json(report: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}
