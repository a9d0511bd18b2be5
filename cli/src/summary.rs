//! What a replay did: one struct, as JSON for programs and as a few lines for people.

use crate::terminal::one_line;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Write},
};

/// Form of the summary on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SummaryFormat {
    /// A few lines
    #[default]
    Human,
    /// One JSON object
    Json,
}

/// Form of the summary of a replay on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ReplayFormat {
    /// A few lines
    #[default]
    Human,
    /// One line, for a log
    Line,
    /// One JSON object
    Json,
}

/// Result of one replay.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Summary {
    /// How it ended.
    pub(crate) status: Status,
    /// Why the check failed, if it did.
    pub(crate) failure: Option<String>,
    /// Ledger file.
    pub(crate) ledger: String,
    /// Chain id.
    pub(crate) chain: u64,
    /// Blocks asked for; `None` where everything was covered up to the end already.
    pub(crate) range: Option<RangeSummary>,
    /// Policy: `off`, `bloom`, `agree:N`, `prove`.
    pub(crate) verify: String,
    /// What the whole range is shown to be; `None` while parts are open.
    pub(crate) evidence: Option<EvidenceSummary>,
    /// Blocks.
    pub(crate) blocks: BlocksSummary,
    /// What was read again through other nodes than those that saw it first; `None` where a range was
    /// given, or nothing could be called final.
    pub(crate) second_look: Option<SecondLookSummary>,
    /// Missing blocks that another process reads just now: they were left to it.
    pub(crate) held: Vec<HeldSummary>,
    /// The process that uses the ledger, where `--if-busy skip` left it to it.
    pub(crate) in_use_by: Option<u32>,
    /// Events.
    pub(crate) events: EventsSummary,
    /// Events that were found and never decoded: declared otherwise than they are logged.
    pub(crate) undecoded: Vec<UndecodedSummary>,
    /// Wrong answers.
    pub(crate) incidents: Vec<IncidentSummary>,
    /// Nodes.
    pub(crate) nodes: Vec<NodeSummary>,
    /// Plugins.
    pub(crate) plugins: Vec<PluginSummary>,
    /// Sinks that messages of plugins went to, or wait for.
    pub(crate) sinks: Vec<SinkSummary>,
    /// Whether the same command has more to do: parts are open, or it was stopped before the end.
    pub(crate) more: bool,
    /// Why the ledger's log was not folded into its file, where it was not; nothing is lost by it.
    pub(crate) not_folded: Option<String>,
    /// Wall time.
    pub(crate) elapsed_ms: u64,
}

/// How a replay ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    /// Every block is covered as the policy demands.
    #[default]
    Done,
    /// Parts are not, or a plugin was not handed all of it: run again.
    Open,
    /// Stopped by `--max-time`.
    Stopped,
    /// Stopped by a signal.
    Interrupted,
    /// What was left to do another process does just now.
    Skipped,
    /// `--fail-on-incident`, and there was one; or a header that contradicts `--anchor`.
    Failed,
}

impl Status {
    /// Whether a ledger that could not be closed well decides the exit code.
    pub(crate) const fn is_left_to_the_disk(self) -> bool {
        matches!(self, Self::Done | Self::Stopped | Self::Open | Self::Skipped)
    }
}

/// A range, with both ends and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RangeSummary {
    /// First block.
    pub(crate) first: u64,
    /// Last block.
    pub(crate) last: u64,
    /// Number of blocks.
    pub(crate) count: u64,
}

/// What was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct EvidenceSummary {
    /// `claimed`, `bloom`, `agreed:N`, `receipts`.
    pub(crate) content: String,
    /// `one-node`, `agreed:N`, `checkpoint`.
    pub(crate) anchor: String,
    /// Whose headers, where the anchor is one node.
    pub(crate) anchor_node: Option<String>,
    /// Height of the anchor.
    pub(crate) anchor_block: Option<u64>,
    /// What more is shown of a sample of the blocks, where one was demanded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sample: Option<SampleSummary>,
}

/// A part of the blocks that is proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SampleSummary {
    /// The share that was demanded, `5%`.
    pub(crate) share: String,
    /// Blocks of it that are proved.
    pub(crate) proved: u64,
}

/// What became of the blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct BlocksSummary {
    /// Read in this run.
    pub(crate) fetched: u64,
    /// Not read: covered before.
    pub(crate) already_covered: u64,
    /// Not covered as the policy demands.
    pub(crate) open: Vec<OpenSummary>,
}

/// Blocks that were read before, read again through other nodes; counted once per filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct SecondLookSummary {
    /// First to last; `None` where nothing was new since the last look.
    pub(crate) range: Option<RangeSummary>,
    /// Through whom.
    pub(crate) nodes: Vec<LookedThroughSummary>,
    /// Blocks of which one more node said the same.
    pub(crate) agreed: u64,
    /// Events that the nodes before had missed.
    pub(crate) recovered: u64,
    /// Whether some blocks on one node's word were not looked at: no other node is there.
    pub(crate) lacks_other_node: bool,
    /// How many these are.
    pub(crate) without_other_node: u64,
    /// Blocks that another process looks at just now, from the first to the last: left to it.
    pub(crate) held: Vec<HeldSummary>,
}

/// What one node read again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct LookedThroughSummary {
    /// Node.
    pub(crate) name: String,
    /// Client, where it says.
    pub(crate) client: Option<String>,
    /// Blocks.
    pub(crate) blocks: u64,
    /// Those that only nodes of other clients had seen.
    pub(crate) of_other_client: u64,
}

/// A range that stays open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct OpenSummary {
    /// Blocks.
    pub(crate) range: RangeSummary,
    /// Why.
    pub(crate) reason: String,
}

/// A range that another process reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct HeldSummary {
    /// Blocks.
    pub(crate) range: RangeSummary,
    /// Process.
    pub(crate) process: u32,
}

/// What became of the logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct EventsSummary {
    /// Stored in this run.
    pub(crate) new: u64,
    /// In the ledger before.
    pub(crate) known: u64,
    /// New ones that were decoded into a typed table.
    pub(crate) decoded: u64,
    /// New ones of a known event that did not decode; kept raw.
    pub(crate) undecodable: u64,
    /// New ones that no event was named for; kept raw.
    pub(crate) raw: u64,
}

/// An event of which no log decoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct UndecodedSummary {
    /// Contract, as the SQL schema names it.
    pub(crate) contract: String,
    /// Signature.
    pub(crate) signature: String,
    /// Logs of it.
    pub(crate) count: u64,
    /// Indexed arguments as declared.
    pub(crate) indexed_declared: usize,
    /// Indexed arguments as logged.
    pub(crate) indexed_found: usize,
}

/// A wrong answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct IncidentSummary {
    /// Who.
    pub(crate) node: String,
    /// What, in one word.
    pub(crate) flaw: String,
    /// Where.
    pub(crate) range: RangeSummary,
    /// How many logs, receipts or headers.
    pub(crate) count: u64,
    /// What, in a sentence.
    pub(crate) detail: String,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct NodeSummary {
    /// Name.
    pub(crate) name: String,
    /// `web3_clientVersion`.
    pub(crate) client: Option<String>,
    /// JSON-RPC calls by method.
    pub(crate) calls: BTreeMap<String, u64>,
}

/// A plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct PluginSummary {
    /// Name.
    pub(crate) name: String,
    /// Every block below this one was handled.
    pub(crate) cursor: Option<u64>,
    /// Rows written in this run.
    pub(crate) rows: u64,
    /// Events set aside in this run.
    pub(crate) dead_letters: u64,
    /// Why it is halted, if it is.
    pub(crate) halted: Option<String>,
    /// Why it was handed nothing, where another component wrote its rows and nobody decided.
    pub(crate) held: Option<String>,
    /// Why it has not handled everything although it is not halted.
    pub(crate) waiting: Option<String>,
    /// Whether events that are stored were not handed to it, and should have been.
    pub(crate) behind: bool,
    /// Whether it waits for what comes by itself, so that nobody has to hear of it.
    #[serde(skip)]
    pub(crate) is_patient: bool,
}

/// A sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct SinkSummary {
    /// Name.
    pub(crate) name: String,
    /// Messages that it took in this run.
    pub(crate) sent: u64,
    /// Messages that are not sent yet.
    pub(crate) waiting: u64,
    /// Why the oldest of them is not.
    pub(crate) reason: Option<String>,
    /// Messages of this run that it refused for good, or failed to take too often.
    pub(crate) dead: u64,
}

impl From<pipeline::Undecoded> for UndecodedSummary {
    fn from(event: pipeline::Undecoded) -> Self {
        let pipeline::Undecoded { contract, signature, count, indexed_declared, indexed_found } =
            event;
        Self { contract, signature, count, indexed_declared, indexed_found }
    }
}

impl From<event::BlockRange> for RangeSummary {
    fn from(range: event::BlockRange) -> Self {
        Self { first: range.first(), last: range.last(), count: range.count() }
    }
}

impl fmt::Display for RangeSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} ({})", self.first, self.last, blocks(self.count))
    }
}

impl Summary {
    /// Whether somebody should look at it, `--quiet` or not.
    pub(crate) fn is_worth_telling(&self) -> bool {
        !matches!(self.status, Status::Done | Status::Skipped)
            || !self.incidents.is_empty()
            || self.events.undecodable > 0
            || self.plugins.iter().any(PluginSummary::is_worth_telling)
            || self.sinks.iter().any(|sink| sink.waiting > 0 || sink.dead > 0)
    }

    /// Returns the names of plugins that were not handed everything that is stored, and should have been.
    pub(crate) fn plugins_behind(&self) -> Vec<&str> {
        let behind = self.plugins.iter().filter(|plugin| plugin.behind);
        behind.map(|plugin| plugin.name.as_str()).collect()
    }

    /// Returns the incidents but for those that say that one was none.
    pub(crate) fn wrong_answers(&self) -> impl Iterator<Item = &IncidentSummary> {
        let withdrawn = event::Flaw::Withdrawn.to_string();
        self.incidents.iter().filter(move |incident| incident.flaw != withdrawn)
    }

    /// Writes it: it is the data of `replay`, so it belongs on stdout.
    pub(crate) fn write(
        &self,
        format: ReplayFormat,
        is_quiet: bool,
        out: &mut impl Write,
    ) -> io::Result<()> {
        match format {
            _ if is_quiet && !self.is_worth_telling() => {}
            ReplayFormat::Json => {
                serde_json::to_writer(&mut *out, self).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            ReplayFormat::Human if self.is_only_skipped() => writeln!(out, "{}", self.line())?,
            ReplayFormat::Human => write!(out, "{self}")?,
            ReplayFormat::Line => writeln!(out, "{}", self.line())?,
        }
        out.flush()
    }

    /// Whether nothing was done because another process does it.
    fn is_only_skipped(&self) -> bool {
        self.status == Status::Skipped && self.blocks.fetched == 0
    }

    /// Returns all of it in one line, for a log.
    pub(crate) fn line(&self) -> String {
        let mut words = Vec::new();
        if let Some(process) = self.in_use_by {
            words.push(format!("process {process} uses the ledger"));
        }
        let read = grouped(self.blocks.fetched);
        match (&self.range, self.is_only_skipped()) {
            (Some(range), true) => words.push(format!("blocks {range}")),
            (Some(range), false) => words.push(format!("blocks {range}: {read} read")),
            (None, true) => {}
            (None, false) => words.push("no new blocks".to_owned()),
        }
        let held = self.held.iter().map(|held| {
            let HeldSummary { range, process } = held;
            format!("{}:{} is being read by process {process}", range.first, range.last)
        });
        words.extend(held);
        let looks = self.second_look.iter().flat_map(|look| &look.held).map(|held| {
            let HeldSummary { range, process } = held;
            format!("{}:{} is being looked at by process {process}", range.first, range.last)
        });
        words.extend(looks);
        if let Some(look) = self.second_look.as_ref().filter(|look| look.lacks_other_node) {
            words.push(format!("{} wait for another node", blocks(look.without_other_node)));
        }
        if !self.is_only_skipped() {
            let (new, known) = (grouped(self.events.new), grouped(self.events.known));
            words.push(format!("{new} new events, {known} known"));
            let open: u64 = self.blocks.open.iter().map(|open| open.range.count).sum();
            let calls: u64 = self.nodes.iter().flat_map(|node| node.calls.values()).sum();
            words.push(format!("{} open", blocks(open)));
            words.push(format!("{} incidents", grouped(self.incidents.len() as u64)));
            words.push(format!("{} calls", grouped(calls)));
            words.push(format!("{:.1} s", self.elapsed_ms as f64 / 1000.0));
        }
        let behind = self.plugins_behind();
        if !behind.is_empty() {
            words.push(format!("not handed everything: {}", behind.join(", ")));
        }
        let status = match self.status {
            Status::Done => "done",
            Status::Open => "open",
            Status::Stopped => "stopped",
            Status::Interrupted => "interrupted",
            Status::Skipped => "skipped",
            Status::Failed => "failed",
        };
        format!("{status}: {}", words.join(", "))
    }
}

impl PluginSummary {
    /// Whether somebody should hear of it.
    pub(crate) const fn is_worth_telling(&self) -> bool {
        let waits = self.waiting.is_some() && !self.is_patient;
        self.behind || self.dead_letters > 0 || waits
    }
}

impl fmt::Display for SinkSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, sent, waiting, reason, dead } = self;
        write!(f, "{name}: {} sent", grouped(*sent))?;
        if *waiting > 0 {
            write!(f, ", {} waiting", grouped(*waiting))?;
            if let Some(reason) = reason {
                write!(f, " ({})", one_line(reason))?;
            }
        }
        if *dead > 0 {
            write!(f, ", {} dead", grouped(*dead))?;
        }
        Ok(())
    }
}

/// The few lines for people.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_blocks(f)?;
        let events = &self.events;
        write!(f, "events   {} new, {} known", grouped(events.new), grouped(events.known))?;
        write!(f, "; of the new {} decoded, {} raw", grouped(events.decoded), grouped(events.raw))?;
        if events.undecodable > 0 {
            write!(f, ", {} did not decode and were kept raw", grouped(events.undecodable))?;
        }
        writeln!(f)?;
        if let Some(look) = &self.second_look {
            write!(f, "{look}")?;
        }
        if let Some(evidence) = &self.evidence {
            writeln!(f, "evidence {evidence}")?;
        }
        if let Some(failure) = &self.failure {
            writeln!(f, "failed   {failure}")?;
        }
        self.fmt_incidents(f)?;
        for node in &self.nodes {
            self.fmt_node(node, f)?;
        }
        for plugin in &self.plugins {
            fmt_plugin(plugin, f)?;
        }
        let behind = self.plugins_behind();
        if !behind.is_empty() {
            writeln!(f, "behind   not handed everything that is stored: {}", behind.join(", "))?;
        }
        for sink in &self.sinks {
            writeln!(f, "sink     {sink}")?;
        }
        let seconds = self.elapsed_ms as f64 / 1_000.0;
        writeln!(f, "ledger   {} (chain {}, {seconds:.1} s)", self.ledger, self.chain)?;
        if self.more || self.status == Status::Open {
            writeln!(f, "more     {}", crate::interrupt::HOW_TO_GO_ON)?;
        }
        Ok(())
    }
}

impl Summary {
    fn fmt_blocks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(range) = &self.range else {
            return writeln!(f, "blocks   nothing new: the ledger covers everything up to the end");
        };
        let (read, before) = (self.blocks.fetched, self.blocks.already_covered);
        writeln!(
            f,
            "blocks   {range}: {} read, {} covered before",
            grouped(read),
            grouped(before)
        )?;
        for held in &self.held {
            writeln!(f, "held     {}: process {} reads it just now", held.range, held.process)?;
        }
        for open in &self.blocks.open {
            writeln!(f, "open     {}: {}", open.range, open.reason)?;
        }
        Ok(())
    }

    /// One line per node and flaw: a node that is wrong is wrong in many blocks.
    fn fmt_incidents(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups: Vec<Vec<&IncidentSummary>> = Vec::new();
        for incident in &self.incidents {
            let of = |group: &&mut Vec<&IncidentSummary>| {
                group[0].node == incident.node && group[0].flaw == incident.flaw
            };
            match groups.iter_mut().find(of) {
                Some(group) => group.push(incident),
                None => groups.push(vec![incident]),
            }
        }
        for mut group in groups {
            group.sort_by_key(|incident| incident.range.first);
            let IncidentSummary { node, flaw, range, detail, .. } = group[0];
            let count: u64 = group.iter().map(|incident| incident.count).sum();
            write!(f, "incident {node}: {flaw} ({}) in ", grouped(count))?;
            let last = group.iter().map(|incident| incident.range.last).max();
            let last = last.unwrap_or(range.last);
            match blocks_of(&group) {
                1 => write!(f, "block {last}")?,
                blocks => {
                    write!(f, "{} blocks, first {}, last {last}", grouped(blocks), range.first)?;
                }
            }
            writeln!(f, ": {detail}")?;
        }
        Ok(())
    }

    fn fmt_node(&self, node: &NodeSummary, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node     {}", node.name)?;
        if let Some(client) = &node.client {
            write!(f, " ({client})")?;
        }
        for (i, (method, calls)) in node.calls.iter().enumerate() {
            write!(f, "{} {method} {}", if i == 0 { ":" } else { "," }, grouped(*calls))?;
        }
        writeln!(f)
    }
}

/// Returns how many blocks these are about, each counted once. They are in order of first block.
fn blocks_of(incidents: &[&IncidentSummary]) -> u64 {
    let mut next = 0;
    let mut blocks = 0;
    for range in incidents.iter().map(|incident| incident.range) {
        let first = range.first.max(next);
        if first <= range.last {
            blocks += range.last - first + 1;
            next = range.last.saturating_add(1);
        }
    }
    blocks
}

fn fmt_plugin(plugin: &PluginSummary, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "plugin   {}: {} rows", plugin.name, grouped(plugin.rows))?;
    if let Some(cursor) = plugin.cursor {
        write!(f, ", next block {cursor}")?;
    }
    if plugin.dead_letters > 0 {
        write!(f, ", {} events set aside", grouped(plugin.dead_letters))?;
    }
    if let Some(reason) = &plugin.halted {
        write!(f, ", halted: {reason}")?;
    }
    if let Some(reason) = &plugin.held {
        write!(f, ", held: {reason}")?;
    }
    if let Some(reason) = &plugin.waiting {
        write!(f, ", waits: {reason}")?;
    }
    writeln!(f)
}

impl fmt::Display for SecondLookSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for LookedThroughSummary { name, client, blocks, of_other_client } in &self.nodes {
            write!(f, "second   {}", self::blocks(*blocks))?;
            if let Some(range) = &self.range {
                write!(f, " of {range}")?;
            }
            write!(f, " through {name}")?;
            match (client, *of_other_client == *blocks) {
                (Some(client), true) => write!(f, ", another client ({client})")?,
                (_, true) => f.write_str(", another client")?,
                (_, false) if *of_other_client == 0 => {
                    f.write_str(", not known as another client")?;
                }
                (_, false) => write!(f, ", {} of another client", grouped(*of_other_client))?,
            }
            writeln!(f)?;
        }
        if !self.nodes.is_empty() {
            let (agreed, found) = (blocks(self.agreed), grouped(self.recovered));
            writeln!(f, "second   {agreed} agreed, {found} events recovered")?;
        }
        if self.lacks_other_node {
            let blocks = blocks(self.without_other_node);
            writeln!(f, "second   {blocks} not looked at: no node but those that saw them first")?;
        }
        for HeldSummary { range, process } in &self.held {
            writeln!(
                f,
                "second   {range} left to process {process}, which looks at them just now"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for EvidenceSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = match self.content.as_str() {
            "claimed" => "taken on the node's word".to_owned(),
            "bloom" => "checked against blooms".to_owned(),
            "receipts" => "proved".to_owned(),
            other => other.to_owned(),
        };
        f.write_str(&content)?;
        if let Some(SampleSummary { share, proved }) = &self.sample {
            write!(f, ", {} blocks proved (a sample of {share})", grouped(*proved))?;
        }
        match (&self.anchor_node, self.anchor.as_str()) {
            (Some(node), "one-node") => write!(f, " on {node}'s headers")?,
            (None, "one-node") => f.write_str(" on one node's headers")?,
            (_, "checkpoint") => f.write_str(" up to the block you named")?,
            (_, anchor) => write!(f, ", last block {anchor}")?,
        }
        match self.anchor_block {
            Some(block) => write!(f, " (block {block})"),
            None => Ok(()),
        }
    }
}

/// Writes a number of blocks.
pub(crate) fn blocks(count: u64) -> String {
    match count {
        1 => "1 block".to_owned(),
        _ => format!("{} blocks", grouped(count)),
    }
}

/// Writes a number with `_` between groups of three, the way ranges accept it.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('_');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn summary() -> Summary {
        let range = RangeSummary { first: 18_000_000, last: 18_009_999, count: 10_000 };
        Summary {
            status: Status::Done,
            failure: None,
            ledger: "headcount.duckdb".into(),
            chain: 1,
            range: Some(range),
            verify: "bloom".into(),
            evidence: Some(EvidenceSummary {
                content: "bloom".into(),
                anchor: "one-node".into(),
                anchor_node: Some("node.example".into()),
                anchor_block: Some(18_009_999),
                sample: None,
            }),
            blocks: BlocksSummary { fetched: 9_000, already_covered: 1_000, open: vec![] },
            events: EventsSummary { new: 1_234_567, decoded: 1_234_567, ..Default::default() },
            nodes: vec![NodeSummary {
                name: "node.example".into(),
                client: Some("Geth/v1.16".into()),
                calls: BTreeMap::from([("eth_chainId".into(), 1), ("eth_getLogs".into(), 12)]),
            }],
            elapsed_ms: 12_340,
            ..Summary::default()
        }
    }

    #[test]
    fn people_read_a_few_lines() {
        assert_eq!(
            summary().to_string(),
            "blocks   18000000:18009999 (10_000 blocks): 9_000 read, 1_000 covered before\n\
             events   1_234_567 new, 0 known; of the new 1_234_567 decoded, 0 raw\n\
             evidence checked against blooms on node.example's headers (block 18009999)\n\
             node     node.example (Geth/v1.16): eth_chainId 1, eth_getLogs 12\n\
             ledger   headcount.duckdb (chain 1, 12.3 s)\n"
        );
    }

    #[test]
    fn of_a_sample_it_says_how_many_blocks_are_proved() {
        let mut sampled = summary();
        let sample = SampleSummary { share: "5%".into(), proved: 1_024 };
        sampled.evidence.as_mut().unwrap().sample = Some(sample);
        assert!(sampled.to_string().contains(
            "evidence checked against blooms, 1_024 blocks proved (a sample of 5%) on \
             node.example's headers"
        ));
        assert!(!serde_json::to_string(&summary()).unwrap().contains("sample"));
    }

    #[test]
    fn people_read_one_line_per_node_and_flaw_and_programs_all_of_them() {
        let incident = |node: &str, flaw: &str, first: u64, last: u64| IncidentSummary {
            node: node.into(),
            flaw: flaw.into(),
            range: RangeSummary { first, last, count: last - first + 1 },
            count: 2,
            detail: format!("of {first}"),
        };
        let incidents = vec![
            incident("a", "forged", 9, 9),
            incident("a", "missing", 7, 7),
            incident("a", "forged", 3, 5),
            incident("b", "forged", 4, 4),
            incident("a", "forged", 5, 6),
        ];
        let summary = Summary { incidents, ..summary() };
        let told = summary.to_string();
        let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("incident")).collect();
        assert_eq!(
            lines,
            [
                "incident a: forged (6) in 5 blocks, first 3, last 9: of 3",
                "incident a: missing (2) in block 7: of 7",
                "incident b: forged (2) in block 4: of 4",
            ]
        );
        let mut out = Vec::new();
        summary.write(ReplayFormat::Json, true, &mut out).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["incidents"].as_array().unwrap().len(), 5);
    }

    #[test]
    fn quiet_says_nothing_unless_something_is_wrong() {
        let mut out = Vec::new();
        for format in [ReplayFormat::Human, ReplayFormat::Line, ReplayFormat::Json] {
            summary().write(format, true, &mut out).unwrap();
            assert!(out.is_empty(), "{format:?}");
        }
        let open = Summary { status: Status::Open, ..summary() };
        open.write(ReplayFormat::Human, true, &mut out).unwrap();
        assert!(!out.is_empty());
    }

    #[test]
    fn a_log_has_one_line_and_what_was_skipped_is_one() {
        assert_eq!(
            summary().line(),
            "done: blocks 18000000:18009999 (10_000 blocks): 9_000 read, 1_234_567 new events, \
             0 known, 0 blocks open, 0 incidents, 13 calls, 12.3 s"
        );
        let look = SecondLookSummary {
            lacks_other_node: true,
            without_other_node: 1_200,
            ..SecondLookSummary::default()
        };
        let alone = Summary { second_look: Some(look), ..summary() };
        let told = ": 9_000 read, 1_200 blocks wait for another node, 1_234_567 new events,";
        assert!(alone.line().contains(told), "{}", alone.line());
        let range = RangeSummary { first: 5, last: 9, count: 5 };
        let skipped = Summary {
            status: Status::Skipped,
            range: Some(range),
            held: vec![HeldSummary { range, process: 7 }],
            ..Summary::default()
        };
        let told = "skipped: blocks 5:9 (5 blocks), 5:9 is being read by process 7";
        assert_eq!(skipped.line(), told);
        let mut out = Vec::new();
        skipped.write(ReplayFormat::Human, false, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("{told}\n"));
        let mut out = Vec::new();
        skipped.write(ReplayFormat::Human, true, &mut out).unwrap();
        assert!(out.is_empty());
    }

    #[test]
    fn programs_read_one_object() {
        let mut out = Vec::new();
        summary().write(ReplayFormat::Json, false, &mut out).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["status"], "done");
        assert_eq!(json["range"]["count"], 10_000);
        assert_eq!(json["nodes"][0]["calls"]["eth_getLogs"], 12);
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
    }
}
