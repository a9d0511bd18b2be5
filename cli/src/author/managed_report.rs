//! What came of adding, upgrading or removing a plugin: as JSON for programs, as a few lines for people.

use super::write_json;
use crate::summary::SummaryFormat;
use serde::Serialize;
use std::{
    io::{self, Write},
    path::PathBuf,
};

/// Version of the JSON form. Fields may be added under the same one.
const VERSION: u32 = 1;

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ManagedReport {
    version: u32,
    /// `added`, `upgraded`, `removed`.
    pub(crate) action: &'static str,
    pub(crate) plugin: String,
    /// The configuration file; `null` where none was changed.
    pub(crate) config: Option<PathBuf>,
    /// Its component, where it has one now.
    pub(crate) component: Option<PathBuf>,
    pub(crate) sha256: Option<String>,
    /// What becomes of its rows, where that was to be said.
    pub(crate) rows: Option<&'static str>,
    /// Chains on which the ledger has rows of it.
    pub(crate) lanes: u64,
    /// The process that owns the ledger, if any does.
    pub(crate) owner: Option<u32>,
    /// Whether that process has taken it over.
    pub(crate) taken: bool,
    /// What it says of that, or why it has not.
    pub(crate) told: Vec<String>,
}

impl ManagedReport {
    pub(crate) const fn new(action: &'static str, plugin: String) -> Self {
        Self {
            version: VERSION,
            action,
            plugin,
            config: None,
            component: None,
            sha256: None,
            rows: None,
            lanes: 0,
            owner: None,
            taken: false,
            told: Vec::new(),
        }
    }

    /// Writes it.
    pub(crate) fn write(&self, format: SummaryFormat, out: &mut dyn Write) -> io::Result<()> {
        match format {
            SummaryFormat::Json => write_json(self, out),
            SummaryFormat::Human => self.write_human(out),
        }
    }

    fn write_human(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "plugin {} {}", self.plugin, self.action)?;
        if let Some(config) = &self.config {
            write!(out, " in {}", config.display())?;
        }
        if let (Some(rows), true) = (self.rows, self.lanes > 0) {
            write!(out, "; {rows}")?;
        }
        writeln!(out)?;
        match (self.owner, self.taken) {
            (Some(pid), true) => {
                writeln!(out, "process {pid} has taken it over")?;
                self.told.iter().try_for_each(|line| writeln!(out, "  {line}"))
            }
            (Some(pid), false) => {
                let why = self.told.join("; ");
                writeln!(out, "process {pid} owns the ledger and goes on as before: {why}")
            }
            (None, _) => writeln!(out, "it takes effect in the next run"),
        }
    }
}
