//! `headcount audit`: its flags, and from them to a plan.

use crate::{
    audit_report::AuditFormat,
    command_error::CommandError,
    commands::{PlaceArgs, SourceArgs},
    environment::Environment,
    exit_codes::ExitCode,
    plan::{AuditPlan, DEFAULT_CONCURRENCY},
    proof_level::parse_require,
    secret::redacted,
    session,
    terminal::one_line,
};
use event::{AnchorPolicy, Verify};
use std::{
    io::{Write, stderr, stdout},
    num::NonZeroU16,
    path::PathBuf,
};

/// Prove a range of blocks, and name what each node and the ledger lack of it or have too much
///
/// Reads the range through every node, proves it from headers and receipts, and compares. Nothing
/// is written but a --record file. At the default level exit code 0 means that nothing is missing.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct AuditArgs {
    /// Blocks to audit, both ends included: FIRST:LAST, FIRST:+COUNT, BLOCK, -COUNT: (the last
    /// ones), FIRST:finalized, FIRST:latest; 18_000_000, 18M and 18.1M are numbers
    #[arg(short = 'b', long = "blocks", value_name = "RANGE", allow_hyphen_values = true)]
    pub(crate) blocks: String,

    /// Node to read from, repeatable: an http(s):// or ws(s):// URL, an IPC socket, a recording
    /// file, or @FILE with one of these per line; NAME=URL names it in the output
    /// [env: ETH_RPC_URL]
    #[arg(short = 'r', long = "rpc-url", value_name = "[NAME=]URL|FILE")]
    pub(crate) nodes: Vec<String>,

    /// Contract to audit, repeatable, or the bare NAME of one of the configuration file [default:
    /// with -e any contract; else the contracts of the configuration file]
    #[arg(short = 'c', long = "contract", value_name = "[NAME=]ADDRESS")]
    pub(crate) contracts: Vec<String>,

    /// Event to audit, repeatable: a signature with argument names, or an ABI file [default: those
    /// that the configuration file names for the contract; for an ADDRESS every event]
    #[arg(short = 'e', long = "event", value_name = "SIGNATURE|ABI[:EVENT]")]
    pub(crate) events: Vec<String>,

    /// Chain of the configuration file to audit, where it has several
    #[arg(long, value_name = "NAME")]
    pub(crate) chain: Option<String>,

    /// Chain id that every node must have (1 is mainnet) [default: that of the first node]
    #[arg(long, value_name = "ID")]
    pub(crate) chain_id: Option<u64>,

    /// What must be shown of a block before it counts as complete: prove (receipts, or a bloom that
    /// excludes the filter), agree:N (N nodes say the same), bloom, off (a node's word). Where
    /// nodes or the ledger differ, receipts decide at every level. docs/audit.md lists the losses
    /// that each level cannot see [default: prove]
    #[arg(long, value_name = "off|bloom|agree:N|prove", value_parser = parse_require)]
    pub(crate) require: Option<Verify>,

    /// Why the headers are believed: one-node, agreed:N (N nodes have the same last block), or the
    /// NUMBER:HASH of a block of the range that you know [default: agreed:2 with several nodes,
    /// else one-node]
    #[arg(long, value_name = "one-node|agreed:N|NUMBER:HASH", value_parser = parse_anchor)]
    pub(crate) anchor: Option<AnchorPolicy>,

    /// File of expectations: counts of events, SQL assertions, state invariants (docs/audit.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) expect: Option<PathBuf>,

    /// End with exit code 1 when fewer events match
    #[arg(long, value_name = "N")]
    pub(crate) min_events: Option<u64>,

    /// Accept a contract address that has no code at the end of the range
    #[arg(long)]
    pub(crate) allow_no_code: bool,

    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// Compare nodes only, also where there is a ledger
    #[arg(long, conflicts_with = "ledger")]
    pub(crate) no_ledger: bool,

    /// Write every answer of the first node, without keys, to this file; it can be given to -r later
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// Requests in flight per node, at most
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CONCURRENCY)]
    pub(crate) concurrency: NonZeroU16,

    /// Stop after this time; what was not read by then is undecided
    #[arg(long, value_name = "TIME")]
    pub(crate) max_time: Option<String>,

    /// Form of the report on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: AuditFormat,

    /// No progress, and no report where nothing is wrong
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

impl AuditArgs {
    /// The part that all commands that read nodes have.
    pub(crate) fn source(&self) -> SourceArgs {
        SourceArgs {
            nodes: self.nodes.clone(),
            contracts: self.contracts.clone(),
            events: self.events.clone(),
            chain: self.chain.clone(),
            chain_id: self.chain_id,
            verify: None,
        }
    }
}

fn parse_anchor(text: &str) -> Result<AnchorPolicy, String> {
    text.parse()
}

/// Resolves the flags to a plan, runs it, tells.
pub(crate) fn cmd_audit(
    args: &AuditArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let plan = AuditPlan::resolve(args, environment)?;
    let report = session::audit(&plan, environment)?;
    report.write(plan.format, plan.quiet, &mut stdout().lock())?;
    for warning in &report.warnings {
        writeln!(stderr(), "warning: {}", one_line(&redacted(warning)))?;
    }
    if let Some(complaint) = report.complaint() {
        complaint.tell();
    }
    Ok(report.exit_code())
}

const AFTER_HELP: &str = "\
Exit codes:
  0    nothing is missing (below --require prove: as far as that level can see)
  1    something is missing, altered or made up, or an expectation failed
  2    wrong usage; no blocks; an address without code at the end of the range
  3    could not be decided: no honest evidence was had, or the range goes beyond the head
  75   the ledger is held by a process that cannot be asked (--no-ledger leaves it out)

Examples:
  What three nodes and the ledger have of ten thousand blocks:
    headcount audit -r https://a.example -r https://b.example -r https://c.example \\
      -c usdc=0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48 \\
      -e \"Transfer(address indexed from, address indexed to, uint256 value)\" -b 18M:+10k

  In CI, after integration tests against a local chain:
    headcount audit -r http://127.0.0.1:8545 -c token=0x5FbDB2315678afecb367f032d93F642f64180aa3 \\
      -e token.json -b 0:latest --expect expectations.toml --format junit > audit.xml

  What headcount.toml names, nightly, with annotations in a GitHub workflow:
    headcount audit -b -7200: --format github";
