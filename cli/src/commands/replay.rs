//! `headcount replay`: its flags, and from them to a plan.

use crate::{
    command_error::CommandError,
    commands::{PlaceArgs, SourceArgs},
    complaint,
    environment::Environment,
    exit_codes::ExitCode,
    plan::{DEFAULT_CONCURRENCY, IfBusy, ReplayPlan},
    proof_level::parse_anchor,
    secret::redacted,
    session,
    summary::ReplayFormat,
};
use event::AnchorPolicy;
use std::{
    io::{Write, stderr, stdout},
    num::NonZeroU16,
    path::PathBuf,
};

/// Read a range of blocks into the ledger, prove it, and hand what is new to plugins
///
/// What the ledger covers already is not read again, so a command that was interrupted or left
/// open is simply run again. Where another process uses the ledger it reads for that process; what
/// that one or a third is reading just now is left to it.
///
/// Without --blocks every final block is also read again through another node than those that saw it
/// first, of another client where there is one, once: what was missed is recovered, and an incident
/// names who kept it back. A watch does the same by itself.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// Blocks to read, both ends included: FIRST:LAST, FIRST:+COUNT, BLOCK, -COUNT: (the last
    /// ones), FIRST:, :LAST, FIRST:finalized, FIRST:latest; 18_000_000, 18M and 18.1M are numbers.
    /// Without FIRST it continues where the ledger stops; without LAST it ends at the finalized
    /// block. [default: :finalized]
    #[arg(short = 'b', long = "blocks", value_name = "RANGE", allow_hyphen_values = true)]
    pub(crate) blocks: Option<String>,

    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// Plugin component to hand events to, repeatable [default: those of the configuration file]
    #[arg(long = "plugin", value_name = "[NAME=]FILE")]
    pub(crate) plugins: Vec<String>,

    /// Why the headers are believed: one-node (and the output says so), or the NUMBER:HASH of a
    /// block of the range that you know, to which they must lead [default: one-node]
    #[arg(long, value_name = "one-node|NUMBER:HASH", value_parser = parse_anchor)]
    pub(crate) anchor: Option<AnchorPolicy>,

    /// Write every answer, without keys, to this file; it can be given to -r later
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// Read again what is covered already
    #[arg(long)]
    pub(crate) refetch: bool,

    /// End with exit code 1 when a node was caught with a wrong answer
    #[arg(long)]
    pub(crate) fail_on_incident: bool,

    /// Requests in flight per node, at most
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CONCURRENCY)]
    pub(crate) concurrency: NonZeroU16,

    /// Stop cleanly after this time, for example 90s, 10m or 1h30m; what is done is kept, the exit
    /// code is 0, and the summary says that there is more
    #[arg(long, value_name = "TIME")]
    pub(crate) max_time: Option<String>,

    /// What to do where another process uses the ledger, a running `watch` for example. With `wait` a
    /// --max-time that is over before the ledger is free ends it with exit code 75
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub(crate) if_busy: IfBusy,

    /// Form of the summary on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ReplayFormat,

    /// No progress, and no summary where nothing is wrong
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Resolves the flags to a plan and runs it.
pub(crate) fn cmd_replay(
    args: &ReplayArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let plan = ReplayPlan::resolve(args, environment)?;
    plan.ledger.check_may_create(environment)?;
    if !plan.quiet {
        writeln!(stderr(), "ledger: {}", plan.ledger.path.display())?;
    }
    let (summary, code) = session::replay(&plan, environment)?;
    summary.write(plan.format, plan.quiet, &mut stdout().lock())?;
    for warning in complaint::warnings(&summary) {
        writeln!(stderr(), "warning: {}", redacted(&warning))?;
    }
    if let Some(complaint) = complaint::complaint(&summary) {
        complaint.tell();
    }
    Ok(code)
}

const AFTER_HELP: &str = "\
Exit codes:
  0    done, or stopped by --max-time: the summary says whether there is more
  1    --fail-on-incident and there was one, or a header that contradicts --anchor
  2    wrong usage, configuration or plugin
  74   disk full, unreadable file
  75   left open: blocks that no node gives, a ledger that is in use, or a plugin of --plugin or the
       configuration that was not handed everything, because it is halted, held, fails, waits for blocks
       that are not covered, or is not run by the process that owns the ledger. Events are stored all the
       same, and the next run hands them on
  130  interrupted, and 143 terminated; what was committed is kept

Examples:
  One contract, one event, ten thousand blocks, then SQL:
    headcount replay -r https://node.example -c usdc=0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48 \\
      -e \"Transfer(address indexed from, address indexed to, uint256 value)\" -b 18M:+10k
    headcount query \"select sum(value) from usdc.Transfer\"

  What is new since the last time, from what headcount.toml names:
    headcount replay

  From cron, beside a running `headcount watch` or not; silent unless something is wrong:
    headcount replay --quiet --max-time 9m --ledger /var/lib/headcount/events.duckdb

  Without a network, from a recording:
    headcount replay -r recording.ndjson.gz -e abi.json -b 17173049:17173050 --ledger new.duckdb

Ctrl-C commits what is done; the same command goes on from there.";
