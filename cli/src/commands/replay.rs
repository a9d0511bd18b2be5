//! `headcount replay`: its flags, and from them to a plan.

use crate::{
    command_error::CommandError,
    commands::PlaceArgs,
    complaint,
    environment::Environment,
    exit_codes::ExitCode,
    plan::{DEFAULT_CONCURRENCY, ReplayPlan},
    proof_level::{parse_anchor, parse_verify},
    secret::redacted,
    session,
    summary::SummaryFormat,
};
use event::{AnchorPolicy, Verify};
use std::{
    io::{Write, stderr, stdout},
    num::NonZeroU16,
    path::PathBuf,
};

/// Read a range of blocks into the ledger, prove it, and hand what is new to plugins
///
/// What the ledger covers already is not read again, so a command that was interrupted or left
/// open is simply run again.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ReplayArgs {
    /// Node to read from, repeatable: an http(s):// or ws(s):// URL, an IPC socket, a recording
    /// file, or @FILE with one of these per line; NAME=URL names it in the output
    /// [env: ETH_RPC_URL]
    #[arg(short = 'r', long = "rpc-url", value_name = "[NAME=]URL|FILE")]
    pub(crate) nodes: Vec<String>,

    /// Contract to read, repeatable; NAME becomes the SQL schema of its tables (without it:
    /// c_ and the first 8 hex digits). A bare NAME is a contract of the configuration file.
    /// The same NAME twice is one contract with two addresses. [default: with -e any contract,
    /// tables in the schema `logs`; else the contracts of the configuration file]
    #[arg(short = 'c', long = "contract", value_name = "[NAME=]ADDRESS")]
    pub(crate) contracts: Vec<String>,

    /// Event to read and decode, repeatable: a signature with argument names, or an ABI file
    /// (abi.json for all its events, abi.json:Transfer for one) [default: those that the
    /// configuration file names for the contract; for an ADDRESS every event, raw]
    #[arg(short = 'e', long = "event", value_name = "SIGNATURE|ABI[:EVENT]")]
    pub(crate) events: Vec<String>,

    /// Blocks to read, both ends included: FIRST:LAST, FIRST:+COUNT, BLOCK, -COUNT: (the last
    /// ones), FIRST:, :LAST, FIRST:finalized, FIRST:latest; 18_000_000, 18M and 18.1M are numbers.
    /// Without FIRST it continues where the ledger stops; without LAST it ends at the finalized
    /// block. [default: :finalized]
    #[arg(short = 'b', long = "blocks", value_name = "RANGE", allow_hyphen_values = true)]
    pub(crate) blocks: Option<String>,

    /// Chain of the configuration file to read, where it has several
    #[arg(long, value_name = "NAME")]
    pub(crate) chain: Option<String>,

    /// Chain id that every node must have (1 is mainnet) [default: that of the first node]
    #[arg(long, value_name = "ID")]
    pub(crate) chain_id: Option<u64>,

    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// Plugin component to hand events to, repeatable [default: those of the configuration file]
    #[arg(long = "plugin", value_name = "[NAME=]FILE")]
    pub(crate) plugins: Vec<String>,

    /// What must be shown before a block counts as read: off (the node's word), bloom (headers and
    /// blooms; receipts where they disagree with the logs), prove (receipts for every block whose bloom admits the filter) [default: bloom]
    #[arg(long, value_name = "off|bloom|prove", value_parser = parse_verify)]
    pub(crate) verify: Option<Verify>,

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

    /// Form of the summary on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: SummaryFormat,

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
Examples:
  One contract, one event, ten thousand blocks, then SQL:
    headcount replay -r https://node.example -c usdc=0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48 \\
      -e \"Transfer(address indexed from, address indexed to, uint256 value)\" -b 18M:+10k
    headcount query \"select sum(value) from usdc.Transfer\"

  What is new since the last time, from what headcount.toml names:
    headcount replay

  Without a network, from a recording:
    headcount replay -r recording.ndjson.gz -e abi.json -b 17173049:17173050 --ledger new.duckdb

Ctrl-C commits what is done; the same command goes on from there.";
