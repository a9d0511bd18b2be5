//! `headcount watch`: its flags, and from them to a plan.

use crate::{
    command_error::CommandError,
    commands::{PlaceArgs, SourceArgs},
    environment::Environment,
    exit_codes::ExitCode,
    plan::{DEFAULT_CONCURRENCY, Emit, WatchPlan},
    second_look::SecondLook,
    session,
};
use std::num::{NonZeroU16, NonZeroU32};

/// Follow the head of a chain through every node at once, and lose nothing
///
/// Each node is followed by itself. What any of them reports is stored once two of them agree on
/// it or receipts prove it; where they differ, most of them decide which branch is the chain, and
/// what one of them missed is written down. A gap left by a downtime is filled meanwhile.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// First block to have, where the ledger covers nothing yet [default: the head]
    #[arg(long, value_name = "BLOCK")]
    pub(crate) from_block: Option<String>,

    /// End once everything up to this block is covered
    #[arg(long, value_name = "BLOCK")]
    pub(crate) until_block: Option<String>,

    /// Plugin component to hand events to, repeatable [default: those of the configuration file]
    #[arg(long = "plugin", value_name = "[NAME=]FILE")]
    pub(crate) plugins: Vec<String>,

    /// How long the other nodes are waited for before a block on which they do not agree is read
    /// again and proved from receipts [default: 6s]
    #[arg(long, value_name = "TIME")]
    pub(crate) agree_wait: Option<String>,

    /// How often each node is asked for its head; a node that announces its blocks (ws://, wss://,
    /// .ipc) is asked at once besides [default: half a block time, at most 2s]
    #[arg(long, value_name = "TIME")]
    pub(crate) poll_interval: Option<String>,

    /// Requests in flight per node while a gap is filled, at most
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CONCURRENCY)]
    pub(crate) concurrency: NonZeroU16,

    /// What is read again through another node than those that saw it first, in the background: what
    /// that node has more is recovered, and who kept it back is named. Takes two nodes or more
    /// [default: finalized, or that of the configuration file]
    #[arg(long, value_name = "finalized|off", value_enum, hide_possible_values = true)]
    pub(crate) second_look: Option<SecondLook>,

    /// Calls a second for that, at most, over all nodes of a chain; each call of a batch counts
    /// [default: 10, or that of the configuration file]
    #[arg(long, value_name = "N")]
    pub(crate) second_look_requests_per_second: Option<NonZeroU32>,

    /// Stop cleanly after this time, for example 10m; the exit code is 0
    #[arg(long, value_name = "TIME")]
    pub(crate) max_time: Option<String>,

    /// What to write to stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) emit: Emit,

    /// Write one JSON object a line also to a terminal (to a pipe it always is)
    #[arg(long)]
    pub(crate) json: bool,

    /// No live lines and no word on stderr where nothing is wrong
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Resolves the flags to a plan and runs it.
pub(crate) fn cmd_watch(
    args: &WatchArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let plan = WatchPlan::resolve(args, environment)?;
    plan.ledger.check_may_create(environment)?;
    let again = || WatchPlan::resolve(args, environment);
    session::watch(&plan, &again, environment)
}

const AFTER_HELP: &str = "\
Examples:
  One contract through three nodes:
    headcount watch -r wss://a.example -r https://b.example -r /var/run/geth.ipc \\
      -c usdc=0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48 \\
      -e \"Transfer(address indexed from, address indexed to, uint256 value)\"

  Everything that headcount.toml names, on all its chains, as JSON lines for another program:
    headcount watch | my-consumer

Lines on stdout are described in docs/events.md. The ledger is the record: a program that was not
there finds in it what it missed. SIGTERM commits what is done and ends with exit code 0; --until-block ends
with 75 where blocks stay open, or a plugin is halted, held or fails. SIGHUP
reads headcount.toml again: nodes, contracts, plugins and sinks change while it runs; of a file with
mistakes nothing is taken over. `headcount plugin add|upgrade|remove` have it do so, too.";
