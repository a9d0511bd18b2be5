//! A plugin before it runs for good: loaded, run over what a ledger has, and nothing stored. And which
//! plugins a ledger knows.

mod check;
mod dead;
mod handing;
mod list;
mod manage;
mod recorded;
mod watched;

pub(crate) use self::{
    check::check_plugin,
    dead::{dead, fill_in},
    list::{configured_names, list_plugins},
    manage::{
        OwnerTold, check_component, component_digest, load_all, other_table, place_of, reload_owner,
    },
};

use self::{
    recorded::Recorded,
    watched::{Change, Watched},
};
use super::{Look, inputs};
use crate::secret::redacted;
use crate::{
    author::{Line, lines},
    command_error::CommandError,
    compiling::Compiling,
    config_file::PluginConfig,
    range::RangeSpec,
    terminal::one_line,
};
use event::{LogLevel, LogLine};
use host::{Answers, Grants};
use pipeline::Rehearsed;
use std::{path::Path, sync::Arc};

/// Which events, and how they are cut.
#[derive(Clone, Debug)]
pub(crate) struct PluginRun {
    /// Blocks.
    pub(crate) range: RangeSpec,
    /// Chain, where the ledger has several.
    pub(crate) chain_id: Option<u64>,
    /// Whether every batch is one block.
    pub(crate) one_block: bool,
    /// Who answers what the plugin fetches.
    pub(crate) asking: Asking,
    /// Whether a person watches how far it is.
    pub(crate) is_shown: bool,
}

/// Who answers what a plugin fetches.
#[derive(Clone, Debug)]
pub(crate) enum Asking {
    /// Nobody: it is told so.
    Nobody,
    /// The hosts that the configuration grants it.
    Hosts,
    /// These answers, and nobody is asked.
    Recorded(Arc<Answers>),
}

impl Asking {
    /// What a run grants that sends no message.
    fn grants(&self, config: &PluginConfig) -> Result<Grants, CommandError> {
        match self {
            Self::Nobody => Ok(Grants::any()),
            Self::Hosts => inputs::with_hosts(Grants::any(), config),
            Self::Recorded(answers) => Ok(Grants::any().with_answers(answers.clone())),
        }
    }

    /// Returns what the plugin asked for and nobody had recorded.
    fn unanswered(&self, config: &PluginConfig) -> Vec<String> {
        let Self::Recorded(answers) = self else { return Vec::new() };
        answers.unanswered().iter().map(|asked| told_request(asked, config)).collect()
    }
}

/// Tells a request without what may be a key: for settings of the plugin stand their names, and where one
/// was filled in nothing but the host is told.
fn told_request(asked: &str, config: &PluginConfig) -> String {
    if config.is_filled_in {
        return redacted(asked);
    }
    let mut settings: Vec<(&String, &str)> =
        config.config.iter().map(|(name, text)| (name, text.expose())).collect();
    settings.retain(|(_, text)| text.len() >= SETTING_BYTES);
    settings.sort_by_key(|(_, text)| std::cmp::Reverse(text.len()));
    let told = settings
        .into_iter()
        .fold(asked.to_owned(), |told, (name, text)| told.replace(text, &format!("{{{name}}}")));
    // Whatever looks like a URL is cut to its host on its way out.
    one_line(&told.replacen("https://", "", 1).replacen("http://", "http:", 1))
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
    /// What it fetched that has no answer in the file of answers.
    pub(crate) unanswered: Vec<String>,
    /// Why it did not come to the end of the range, if it did not.
    pub(crate) stopped: Option<String>,
}

/// A setting that is shorter stands in URLs by chance.
const SETTING_BYTES: usize = 4;

/// Runs a plugin over events of a ledger.
pub(crate) fn test_plugin(
    config: &PluginConfig,
    ledger: &mut Look,
    run: PluginRun,
    compiling: &Compiling,
) -> Result<Tested, CommandError> {
    let host = compiling.host().map_err(CommandError::bug)?;
    let (one_block, asking) = (run.one_block, run.asking.clone());
    let grants = asking.grants(config)?;
    let mut plugin = inputs::load_one(&host, config, (compiling, grants))?;
    let mut recorded = Recorded::find(event::Plugin::descriptor(&plugin), ledger, run)?;
    let mut watched = Watched::new(&mut plugin, Change::None);
    let told = recorded.rehearse(&mut watched, "test", one_block)?;
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
    let unanswered = asking.unanswered(config);
    Ok(Tested { lines, log, summary, unanswered, stopped: stopped(&told) })
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
    if let Some(overdue) = &told.overdue {
        return Some(format!(
            "{overdue}; a run would try it again, in halves and later, and this ends at the first time: hand it \
             less at once, or give it more time with `limits = {{ deadline_ms = N }}` under its [[plugin]]"
        ));
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn a_request_is_told_without_the_settings_that_it_was_made_of() {
        let setting = |name: &str, text: &str| (name.to_owned(), Secret::new(text));
        let config = |is_filled_in| PluginConfig {
            config: [
                setting("url", "https://a.example/v1"),
                setting("key", "KEYKEY"),
                setting("n", "1"),
            ]
            .into(),
            is_filled_in,
            ..PluginConfig::default()
        };
        for (asked, told) in [
            ("GET https://a.example/v1/x?key=KEYKEY", "GET {url}/x?key={key}"),
            ("GET https://b.example/v1?n=1", "GET b.example/v1?n=1"),
            ("POST http://127.0.0.1:80/x", "POST http:127.0.0.1:80/x"),
        ] {
            assert_eq!(redacted(&told_request(asked, &config(false))), told);
            let hidden = told_request(asked, &config(true));
            assert!(hidden.ends_with("/***"), "{hidden}");
        }
    }
}
