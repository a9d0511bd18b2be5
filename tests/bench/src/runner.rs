//! Runs the contenders in turn, several rounds, against one server, and collects what they took.

use crate::{
    chain::FIRST_BLOCK,
    contender::{self, Contender, Expected, Stage},
    error::BenchError,
    measure::Usage,
    summary::Summary,
    transfer::Economy,
};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A fifth of the blocks shows whether memory grows with the range.
pub const SMALL_PART: u64 = 5;

/// Nodes of (n).
const LIMITED_NODES: usize = 2;

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Blocks to replay.
    pub block_count: u64,
    /// Rounds.
    pub run_count: usize,
    /// Wait before each answer, in milliseconds.
    pub latency_ms: u64,
    /// Letters of the contenders to run.
    pub letters: String,
    /// The program to measure.
    pub headcount: PathBuf,
    /// The plugin of (c).
    pub plugin: PathBuf,
    /// Folder on a real disk where ledgers are written.
    pub scratch: PathBuf,
}

/// Runs the plan and tells `talk` what happens.
pub fn run(plan: &Plan, talk: &mut dyn Write) -> Result<Summary, BenchError> {
    let mut summary = Summary::new(plan.block_count, plan.run_count, plan.latency_ms);
    let contenders = chosen(plan, &mut summary)?;
    let bench = std::env::current_exe().map_err(BenchError::io("finding this program"))?;
    say(talk, &format!("building a chain of {} blocks", plan.block_count));
    let server = Server::start(&bench, plan)?;
    let (headcount, plugin) = (plan.headcount.clone(), plan.plugin.clone());
    let Some((url, limited)) = server.urls.split_first() else {
        return Err(BenchError::Unreadable { what: "the server's addresses", text: String::new() });
    };
    let (url, limited) = (url.clone(), limited.to_vec());
    let stage = Stage { url, limited, bench, headcount, plugin };
    let economy = Economy::default();
    let whole = Expected::of(&economy, plan.block_count);
    let small = Expected::of(&economy, (plan.block_count / SMALL_PART).max(1));

    let mut runs: BTreeMap<(Contender, bool), Vec<Usage>> = BTreeMap::new();
    for round in 0..plan.run_count {
        // Whoever runs first in a round is another one each time.
        for turn in 0..contenders.len() {
            let contender = contenders[(turn + round) % contenders.len()];
            for (is_whole, expected) in [(true, &whole), (false, &small)] {
                if !is_whole && !contender.is_held_to_memory() {
                    continue;
                }
                let folder = tempfile::Builder::new()
                    .prefix("bench-")
                    .tempdir_in(&plan.scratch)
                    .map_err(BenchError::io("making a folder for a ledger"))?;
                let ledger = folder.path().join("ledger.duckdb");
                let usage = contender.run(&stage, expected, &ledger)?;
                say(talk, &progress(round, contender, expected, &usage));
                if round == 0 && is_whole && contender == Contender::ReplayOff {
                    summary.notes.extend(contender::drift(&stage, &ledger)?);
                }
                runs.entry((contender, is_whole)).or_default().push(usage);
            }
        }
    }
    for ((contender, is_whole), usages) in runs {
        summary.add(contender, is_whole, &usages);
    }
    Ok(summary)
}

/// Returns who takes part. A plugin that was not built is named and left out.
fn chosen(plan: &Plan, summary: &mut Summary) -> Result<Vec<Contender>, BenchError> {
    let mut contenders = Contender::ALL.to_vec();
    contenders.retain(|contender| plan.letters.contains(contender.letter()));
    if contenders.contains(&Contender::ReplayPlugin) && !plan.plugin.exists() {
        contenders.retain(|contender| *contender != Contender::ReplayPlugin);
        summary.notes.push(format!("SKIP (c): {} is not built", plan.plugin.display()));
    }
    if contenders.iter().any(|contender| contender.is_replay()) && !plan.headcount.exists() {
        return Err(BenchError::NotBuilt(plan.headcount.clone()));
    }
    Ok(contenders)
}

fn progress(round: usize, contender: Contender, expected: &Expected, usage: &Usage) -> String {
    let Usage { wall_s, cpu_s, peak_bytes } = usage;
    let (logs, peak_mb) = (expected.log_count, peak_bytes / 1_000_000);
    format!(
        "round {}: {contender}, {logs} logs: {wall_s:.2} s, {cpu_s:.2} CPU s, {peak_mb} MB",
        round + 1
    )
}

/// A closed stderr is no reason to stop.
pub(crate) fn say(talk: &mut dyn Write, line: &str) {
    let _ = writeln!(talk, "{line}");
}

/// The server as a child of its own, ended with this value.
struct Server {
    child: Child,
    urls: Vec<String>,
}

impl Server {
    fn start(bench: &Path, plan: &Plan) -> Result<Self, BenchError> {
        let mut command = Command::new(bench);
        command.arg("serve");
        if plan.letters.contains(Contender::ReplayProve.letter()) {
            command.arg("--receipts-beforehand");
        }
        let is_limited = plan.letters.contains(Contender::LimitedNodes(1).letter());
        let limited_nodes = if is_limited { LIMITED_NODES } else { 0 };
        let mut child = command
            .args(["--limited-nodes", &limited_nodes.to_string()])
            .args(["--blocks", &plan.block_count.to_string()])
            .args(["--latency-ms", &plan.latency_ms.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(BenchError::io("starting the server"))?;
        let stdout = child.stdout.take();
        let mut server = Self { child, urls: Vec::new() };
        let Some(stdout) = stdout else { return Ok(server) };
        for line in BufReader::new(stdout).lines().take(1 + limited_nodes) {
            server.urls.push(line.map_err(BenchError::io("waiting for the server"))?);
        }
        if server.urls.len() != 1 + limited_nodes {
            let text = server.urls.join(" ");
            return Err(BenchError::Unreadable { what: "the server's addresses", text });
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the range that a hand-typed replay takes.
pub fn range_text(block_count: u64) -> String {
    format!("{FIRST_BLOCK}:{}", FIRST_BLOCK + block_count - 1)
}
