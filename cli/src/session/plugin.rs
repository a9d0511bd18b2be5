//! A plugin before it runs for good: loaded, run over what a ledger has, and nothing stored. And which
//! plugins a ledger knows.

mod check;
mod dead;
mod list;
mod manage;
mod recorded;
mod watched;

pub(crate) use self::{
    check::check_plugin,
    dead::{dead, fill_in},
    list::{configured_names, list_plugins},
    manage::{OwnerTold, check_component, load_all, other_table, place_of, reload_owner},
};

use self::{
    recorded::Recorded,
    watched::{Change, Watched},
};
use super::{Look, inputs};
use crate::{
    author::{Line, lines},
    command_error::CommandError,
    compiling::Compiling,
    config_file::PluginConfig,
    range::RangeSpec,
    terminal::one_line,
};
use event::{LogLevel, LogLine};
use host::Grants;
use pipeline::Rehearsed;
use std::path::Path;

/// Which events, and how they are cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PluginRun {
    /// Blocks.
    pub(crate) range: RangeSpec,
    /// Chain, where the ledger has several.
    pub(crate) chain_id: Option<u64>,
    /// Whether every batch is one block.
    pub(crate) one_block: bool,
    /// Whether hosts are asked that the configuration grants the plugin.
    pub(crate) allow_http: bool,
}

/// What a plugin wrote over events of a ledger.
#[derive(Debug)]
pub(crate) struct Tested {
    /// Its rows, its messages, and what it set aside.
    pub(crate) lines: Vec<Line>,
    /// What it logged.
    pub(crate) log: Vec<String>,
    /// One sentence on what was run.
    pub(crate) summary: String,
    /// Why it did not come to the end of the range, if it did not.
    pub(crate) stopped: Option<String>,
}

/// Runs a plugin over events of a ledger.
pub(crate) fn test_plugin(
    config: &PluginConfig,
    ledger: &mut Look,
    run: PluginRun,
    compiling: &Compiling,
) -> Result<Tested, CommandError> {
    let host = compiling.host().map_err(CommandError::bug)?;
    // No message is sent.
    let grants = match run.allow_http {
        true => Grants::any().with_hosts(config.hosts.clone()),
        false => Grants::any(),
    };
    let mut plugin = inputs::load_one(&host, config, (compiling, grants))?;
    let mut recorded = Recorded::find(event::Plugin::descriptor(&plugin), ledger, run)?;
    let mut watched = Watched::new(&mut plugin, Change::None);
    let told = recorded.rehearse(&mut watched, run.one_block)?;
    let log = watched.log.iter().map(told_line).collect();
    let tables = event::Plugin::descriptor(&plugin).tables.clone();
    let lines = lines(&tables, &told.rows, &told.messages, &told.dead_letters);
    let (first, last) = (recorded.range().first(), recorded.range().last());
    let summary = format!(
        "blocks {first}:{last}: {} events, {} batches, {} rows, {}{} set aside; nothing stored",
        told.events,
        told.batches,
        lines.len() - told.dead_letters.len() - told.messages.len(),
        match told.messages.len() {
            0 => String::new(),
            messages => format!("{messages} messages, "),
        },
        told.dead_letters.len()
    );
    Ok(Tested { lines, log, summary, stopped: stopped(&told) })
}

/// Compiles a component, so that its first run need not.
pub(crate) fn compile_plugin(component: &Path, compiling: &Compiling) -> Result<(), CommandError> {
    let config = PluginConfig { wasm: component.to_owned(), ..PluginConfig::default() };
    let bytes = inputs::read_component(&config)?;
    let host = compiling.host().map_err(CommandError::bug)?;
    let compiled = compiling.during(&host, (component, &bytes), || host.compile(&bytes));
    compiled.map_err(|error| inputs::refused(component, error))
}

/// Why a run came to no end, if it did not.
fn stopped(told: &Rehearsed) -> Option<String> {
    match &told.halted {
        Some(reason) => Some(format!("it was halted: {reason}")),
        None if told.waiting => Some("it asked to be called later again and again".to_owned()),
        None if told.is_full => {
            Some("it wrote more rows than are held: take fewer blocks".to_owned())
        }
        None => None,
    }
}

fn told_line(line: &LogLine) -> String {
    let level = match line.level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    let fields = line.fields.iter().map(|(name, value)| format!(" {name}={value}"));
    let text = format!("{level}: {}{}", line.message, fields.collect::<String>());
    // A plugin does not write to the terminal of whoever runs it.
    one_line(&text)
}
