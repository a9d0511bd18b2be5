//! What was set aside: as JSON for programs, as a table for people.

use super::{list_report::write_columns, write_json};
use crate::{
    summary::{SummaryFormat, grouped},
    terminal::{cut, one_line},
};
use event::EventId;
use serde::Serialize;
use std::io::{self, Write};

/// Version of the JSON form. Fields may be added under the same one.
const VERSION: u32 = 1;
/// Characters of a reason in the table; JSON has all.
const REASON_MAX_CHARS: usize = 100;

/// Everything that is dead.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DeadReport {
    version: u32,
    pub(crate) events: Vec<DeadEvent>,
    pub(crate) messages: Vec<DeadMessage>,
}

/// An event that a plugin could not take.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DeadEvent {
    /// What it is called in commands.
    pub(crate) id: String,
    pub(crate) plugin: String,
    pub(crate) chain: u64,
    pub(crate) seq: u64,
    pub(crate) block: u64,
    pub(crate) block_hash: String,
    pub(crate) tx_hash: String,
    /// `reject`, `trap`, `deadline`, `limit`.
    pub(crate) class: String,
    pub(crate) reason: String,
    pub(crate) attempts: u64,
    /// The log itself, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) topics: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<String>,
    #[serde(skip)]
    pub(crate) identity: Option<EventId>,
}

/// A message that will not be sent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DeadMessage {
    /// What it is called in commands.
    pub(crate) id: String,
    #[serde(skip)]
    pub(crate) number: u64,
    pub(crate) plugin: String,
    pub(crate) chain: u64,
    pub(crate) sink: String,
    pub(crate) key: String,
    pub(crate) content_type: String,
    pub(crate) body: String,
    pub(crate) reason: String,
    pub(crate) attempts: u64,
}

impl DeadReport {
    pub(crate) const fn new(events: Vec<DeadEvent>, messages: Vec<DeadMessage>) -> Self {
        Self { version: VERSION, events, messages }
    }

    /// Writes all of it, a line each.
    pub(crate) fn write(&self, format: SummaryFormat, out: &mut dyn Write) -> io::Result<()> {
        match format {
            SummaryFormat::Json => write_json(self, out),
            SummaryFormat::Human if self.events.is_empty() && self.messages.is_empty() => {
                writeln!(out, "nothing is set aside")
            }
            SummaryFormat::Human => self.write_table(out),
        }
    }

    fn write_table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut rows = vec![["id", "plugin", "where", "tries", "why"].map(str::to_owned)];
        rows.extend(self.events.iter().map(|event| {
            [
                one_line(&event.id),
                one_line(&event.plugin),
                format!("chain {}, block {}", event.chain, grouped(event.block)),
                grouped(event.attempts),
                cut(&format!("{}: {}", event.class, event.reason), REASON_MAX_CHARS),
            ]
        }));
        rows.extend(self.messages.iter().map(|message| {
            [
                message.id.clone(),
                one_line(&message.plugin),
                format!("to sink {}", one_line(&message.sink)),
                grouped(message.attempts),
                cut(&message.reason, REASON_MAX_CHARS),
            ]
        }));
        write_columns(&rows, &[3], out)
    }
}

impl DeadEvent {
    /// Writes all that is known of it.
    pub(crate) fn write(&self, format: SummaryFormat, out: &mut dyn Write) -> io::Result<()> {
        if format == SummaryFormat::Json {
            return write_json(self, out);
        }
        writeln!(out, "event    {} of chain {}, block {}", self.seq, self.chain, self.block)?;
        writeln!(out, "block    {}", self.block_hash)?;
        writeln!(out, "tx       {}", self.tx_hash)?;
        if let Some(address) = &self.address {
            writeln!(out, "address  {address}")?;
        }
        for topic in &self.topics {
            writeln!(out, "topic    {topic}")?;
        }
        if let Some(data) = &self.data {
            writeln!(out, "data     {data}")?;
        }
        writeln!(out, "plugin   {}, tried {} times", one_line(&self.plugin), self.attempts)?;
        writeln!(out, "why      {}: {}", self.class, one_line(&self.reason))
    }
}

impl DeadMessage {
    /// Writes all that is known of it.
    pub(crate) fn write(&self, format: SummaryFormat, out: &mut dyn Write) -> io::Result<()> {
        if format == SummaryFormat::Json {
            return write_json(self, out);
        }
        writeln!(out, "sink     {}", one_line(&self.sink))?;
        writeln!(out, "plugin   {}, chain {}", one_line(&self.plugin), self.chain)?;
        writeln!(out, "key      {}", one_line(&self.key))?;
        writeln!(out, "why      {}, tried {} times", one_line(&self.reason), self.attempts)?;
        writeln!(out, "type     {}", one_line(&self.content_type))?;
        writeln!(out, "body     {}", one_line(&self.body))
    }
}
