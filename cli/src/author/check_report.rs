//! What a check of a component found: as JSON for programs, as a few blocks of lines for people.

use super::{list_report::write_columns, write_json};
use crate::{
    exit_codes::ExitCode,
    summary::{SummaryFormat, grouped},
    terminal::cut,
};
use event::{BlockRange, Descriptor, PluginColumn, Visibility};
use serde::Serialize;
use std::{
    io::{self, Write},
    path::Path,
};

/// Version of the JSON form. Fields may be added under the same one.
const VERSION: u32 = 1;
/// Characters of a reason that lines for people show, at most; JSON has all.
const REASON_MAX_CHARS: usize = 300;
/// What is in front of the names of our own interface.
const OWN: &str = "headcount:plugin/";

/// Everything known of a component.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CheckReport {
    version: u32,
    file: String,
    bytes: usize,
    /// `headcount:plugin@0.1.0`; none where it does not load.
    interface: Option<String>,
    /// What it asks for: each import is a capability.
    capabilities: Vec<String>,
    /// Imports of the standard library, behind which there are no files, no network and no clock.
    wasi: Vec<String>,
    plugin: Option<PluginReport>,
    run: Option<RunReport>,
    checks: Vec<Finding>,
    /// The most that one batch used of each limit.
    pub(crate) limits: Vec<LimitShare>,
    passed: bool,
    /// Whether it fetched, and was told that nothing is sent.
    #[serde(skip)]
    pub(crate) asks: bool,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    name: &'static str,
    #[serde(flatten)]
    outcome: Outcome,
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "result", content = "reason", rename_all = "kebab-case")]
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    NotRun(String),
}

impl Outcome {
    /// Passed, or failed for this reason.
    pub(crate) fn of<E: std::fmt::Display>(result: Result<(), E>) -> Self {
        result.map_or_else(|error| Self::Failed(error.to_string()), |()| Self::Passed)
    }
}

/// The most that one batch used of a limit.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LimitShare {
    /// Name of the limit.
    pub(crate) limit: &'static str,
    pub(crate) used: u64,
    pub(crate) allowed: u64,
}

#[derive(Clone, Debug, Serialize)]
struct PluginReport {
    name: String,
    version: String,
    logic_version: u32,
    visibility: &'static str,
    subscriptions: Vec<String>,
    tables: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct RunReport {
    first_block: u64,
    last_block: u64,
    batches: u64,
    events: u64,
}

impl CheckReport {
    pub(crate) fn new(file: &Path, bytes: &[u8]) -> Self {
        Self {
            version: VERSION,
            file: file.display().to_string(),
            bytes: bytes.len(),
            interface: None,
            capabilities: Vec::new(),
            wasi: Vec::new(),
            plugin: None,
            run: None,
            checks: Vec::new(),
            limits: Vec::new(),
            passed: true,
            asks: false,
        }
    }

    /// Takes what the component asks for and says of itself.
    pub(crate) fn describe(
        &mut self,
        interface: &str,
        imports: &[String],
        descriptor: &Descriptor,
    ) {
        self.interface = Some(format!("headcount:plugin@{interface}"));
        let plain = |import: &str| import.split('@').next().unwrap_or_default().to_owned();
        let (own, other): (Vec<&String>, Vec<&String>) =
            imports.iter().partition(|import| import.starts_with(OWN));
        let own = own.into_iter().map(|import| plain(&import[OWN.len()..]));
        // Types only: nothing can be called there.
        self.capabilities = own.filter(|name| name != "types").collect();
        self.wasi = other.into_iter().map(|import| plain(import)).collect();
        self.plugin = Some(PluginReport {
            name: descriptor.name.clone(),
            version: descriptor.version.clone(),
            logic_version: descriptor.logic_version,
            visibility: match descriptor.visibility {
                Visibility::Latest | Visibility::Depth(_) => "latest",
                Visibility::Safe => "safe",
                Visibility::Finalized => "finalized",
            },
            subscriptions: descriptor.subscriptions.iter().map(subscription).collect(),
            tables: descriptor.tables.iter().map(table).collect(),
        });
    }

    /// Adds a check.
    pub(crate) fn finding(&mut self, name: &'static str, outcome: Outcome) {
        let outcome = match outcome {
            // What it would have made of an answer nobody knows, and it is no function of the events.
            Outcome::Failed(why) if self.asks => {
                Outcome::NotRun(format!("it fetches over HTTP, and no host is asked here: {why}"))
            }
            outcome => outcome,
        };
        self.checks.push(Finding { name, outcome });
    }

    /// Says over which blocks it was run.
    pub(crate) fn events(&mut self, range: BlockRange) {
        let (first_block, last_block) = (range.first(), range.last());
        self.run = Some(RunReport { first_block, last_block, batches: 0, events: 0 });
    }

    /// Says how much that was.
    pub(crate) fn counts(&mut self, batches: u64, events: u64) {
        if let Some(run) = &mut self.run {
            (run.batches, run.events) = (batches, events);
        }
    }

    /// Returns the first check that failed, and why.
    pub(crate) fn failure(&self) -> Option<(&'static str, &str)> {
        self.checks.iter().find_map(|check| match &check.outcome {
            Outcome::Failed(why) => Some((check.name, why.as_str())),
            _ => None,
        })
    }

    fn has_failed(&self) -> bool {
        self.checks.iter().any(|check| matches!(check.outcome, Outcome::Failed(_)))
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.has_failed() { ExitCode::CheckFailed } else { ExitCode::Done }
    }

    /// Writes it.
    pub(crate) fn write(&mut self, format: SummaryFormat, out: &mut dyn Write) -> io::Result<()> {
        self.passed = !self.has_failed();
        match format {
            SummaryFormat::Json => write_json(self, out),
            SummaryFormat::Human => self.write_human(out),
        }
    }

    fn write_human(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut line =
            |name: &str, text: &str| writeln!(out, "{name:<13} {}", cut(text, REASON_MAX_CHARS));
        line("component", &format!("{} ({} bytes)", self.file, grouped(self.bytes as u64)))?;
        if let (Some(interface), Some(plugin)) = (&self.interface, &self.plugin) {
            line("interface", interface)?;
            line("capabilities", &or_none(&self.capabilities))?;
            line("wasi", &packages(&self.wasi))?;
            let PluginReport { name, version, logic_version, visibility, .. } = plugin;
            line(
                "plugin",
                &format!("{name} {version}, logic {logic_version}, sees {visibility} blocks"),
            )?;
            for subscription in &plugin.subscriptions {
                line("subscribes", subscription)?;
            }
            for table in &plugin.tables {
                line("table", table)?;
            }
        }
        if let Some(RunReport { first_block, last_block, batches, events }) = &self.run {
            line(
                "run over",
                &format!("blocks {first_block}:{last_block}: {events} events, {batches} batches"),
            )?;
        }
        writeln!(out)?;
        let rows: Vec<[String; 3]> = self.checks.iter().map(Finding::cells).collect();
        write_columns(&rows, &[], out)?;
        if self.limits.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let head = ["limit", "most used", "allowed", "share"].map(str::to_owned);
        let shares = self.limits.iter().map(|share| {
            let LimitShare { limit, used, allowed } = share;
            [(*limit).to_owned(), grouped(*used), grouped(*allowed), share.percent()]
        });
        let rows: Vec<[String; 4]> = [head].into_iter().chain(shares).collect();
        write_columns(&rows, &[1, 2, 3], out)
    }
}

impl Finding {
    fn cells(&self) -> [String; 3] {
        let (result, reason) = match &self.outcome {
            Outcome::Passed => ("ok", ""),
            Outcome::Failed(reason) => ("FAILED", reason.as_str()),
            Outcome::NotRun(reason) => ("not run", reason.as_str()),
        };
        [self.name.to_owned(), result.to_owned(), cut(reason, REASON_MAX_CHARS)]
    }
}

impl LimitShare {
    /// Tenths of a percent, so that little is told from nothing.
    fn percent(&self) -> String {
        let tenths = u128::from(self.used) * 1_000 / u128::from(self.allowed.max(1));
        match tenths {
            0 if self.used > 0 => "<0.1 %".to_owned(),
            _ => format!("{}.{} %", tenths / 10, tenths % 10),
        }
    }
}

/// The packages of these imports: each of their interfaces would fill a page.
fn packages(imports: &[String]) -> String {
    let package = |import: &String| import.split('/').next().unwrap_or_default().to_owned();
    let mut names: Vec<String> = imports.iter().map(package).collect();
    names.dedup();
    match names.is_empty() {
        true => "none".to_owned(),
        false => format!("{} (no files, network, clock or environment)", names.join(", ")),
    }
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn subscription(subscription: &event::Subscription) -> String {
    let any = |values: &[String], what: &str| match values {
        [] => format!("any {what}"),
        values => values.join(", "),
    };
    let mut text = any(&subscription.events, "event");
    text += &format!(" of {}", any(&subscription.addresses, "contract"));
    if !subscription.chains.is_empty() {
        let chains = subscription.chains.iter().map(u64::to_string).collect::<Vec<_>>();
        text += &format!(" on chain {}", chains.join(", "));
    }
    if let Some(block) = subscription.start_block {
        text += &format!(" from block {block}");
    }
    if subscription.decode {
        text += ", decoded";
    }
    text
}

fn table(table: &event::PluginTable) -> String {
    let column = |column: &PluginColumn| {
        let null = if column.nullable { " or null" } else { "" };
        format!("{} {}{null}", column.name, column.kind.word())
    };
    let columns: Vec<String> = table.columns.iter().map(column).collect();
    let key = match table.key.as_slice() {
        [] => "append only".to_owned(),
        key => format!("key {}", key.join(", ")),
    };
    format!("{} ({}), {key}", table.name, columns.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_failed_check_is_told_and_decides_the_exit_code() {
        let mut report = CheckReport::new(Path::new("p.wasm"), &[0; 12_345]);
        report.finding("loads", Outcome::Passed);
        assert_eq!(report.exit_code(), ExitCode::Done);
        let outcome = Outcome::Failed("wrote\u{7}more".into());
        report.finding("same again", outcome);
        report.limits.push(LimitShare { limit: "output_rows", used: 1, allowed: 100_000 });
        assert_eq!(report.exit_code(), ExitCode::CheckFailed);
        let mut out = Vec::new();
        report.write(SummaryFormat::Human, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "component     p.wasm (12_345 bytes)\n\n\
             loads       ok\nsame again  FAILED  wrote more\n\n\
             limit        most used  allowed   share\noutput_rows          1  100_000  <0.1 %\n"
        );
        let mut out = Vec::new();
        report.write(SummaryFormat::Json, &mut out).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["passed"], false);
        assert_eq!(json["checks"][0]["result"], "passed");
        assert_eq!(json["checks"][1]["reason"], "wrote\u{7}more");
    }
}
