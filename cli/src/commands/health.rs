//! `headcount health`: are the nodes, the chain and the ledger well?

use crate::{
    command_error::CommandError, commands::PlaceArgs, environment::Environment,
    exit_codes::ExitCode, health_report::HealthReport, plan::HealthPlan, session,
    summary::SummaryFormat,
};
use std::io::{Write as _, stdout};

/// Say whether nodes, chain and ledger are well, with the reason; exit code 1 when something is not
///
/// Asks every node at once, compares what they say, and looks whether the ledger covers what is
/// final, and whether a plugin is halted or held. Of several chains of the configuration each has a report of
/// its own, with --format json a line each. Nothing is written.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct HealthArgs {
    /// Node to ask, repeatable: an http(s):// URL, a recording file, or @FILE with one of these
    /// per line; NAME=URL names it in the output [default: those of the configuration file, else
    /// ETH_RPC_URL]
    #[arg(short = 'r', long = "rpc-url", value_name = "[NAME=]URL|FILE")]
    pub(crate) nodes: Vec<String>,

    /// Chain of the configuration file to look at [default: all of them]
    #[arg(long, value_name = "NAME")]
    pub(crate) chain: Option<String>,

    /// Chain id that every node must have (1 is mainnet) [default: that of the ledger, else that
    /// of most nodes]
    #[arg(long, value_name = "ID")]
    pub(crate) chain_id: Option<u64>,

    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// How long a final block may stay uncovered in the ledger [default: 30m]
    #[arg(long, value_name = "TIME")]
    pub(crate) deadline: Option<String>,

    /// Age of the newest block from which the chain counts as standing still; for a chain that
    /// makes a block only now and then, say how seldom [default: 1m, five slots]
    #[arg(long, value_name = "TIME")]
    pub(crate) stall: Option<String>,

    /// Longest wait for one answer of a node [default: 10s]
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<String>,

    /// Form of the report on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: SummaryFormat,

    /// Print nothing where nothing is wrong
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Probes, judges, tells.
pub(crate) fn cmd_health(
    args: &HealthArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let plans = HealthPlan::resolve(args, environment)?;
    let reports = session::health(&plans, environment)?;
    let is_one = reports.len() == 1;
    let mut told = 0;
    for report in &reports {
        let mut out = stdout().lock();
        let is_shown = !(args.quiet && report.is_ok());
        if args.format == SummaryFormat::Human && is_shown && told > 0 {
            writeln!(out)?;
        }
        told += usize::from(is_shown);
        report.write(args.format, args.quiet, &mut out)?;
    }
    for report in &reports {
        if let Some(complaint) = report.complaint(is_one) {
            complaint.tell();
        }
    }
    Ok(worst(reports.iter().map(HealthReport::exit_code)))
}

/// What is wrong beats what could not be decided.
fn worst(codes: impl Iterator<Item = ExitCode>) -> ExitCode {
    let badness = |code: &ExitCode| match code {
        ExitCode::Done => 0,
        ExitCode::Undecided => 1,
        _ => 2,
    };
    codes.max_by_key(badness).unwrap_or(ExitCode::Done)
}

const AFTER_HELP: &str = "\
Exit codes:
  0  nothing to complain of
  1  something is wrong: a node (also that none says what is final), the chain, or coverage past the
     deadline
  3  could not be decided: no node answered, or the ledger is there and cannot be read
Of several chains the worst counts: 1 before 3.

Examples:
  What headcount.toml names:
    headcount health

  Two nodes, without a ledger:
    headcount health -r https://a.example -r https://b.example

  For a monitor, every five minutes from cron; it is silent while all is well:
    headcount health --quiet --deadline 1h

  Why, for a program:
    headcount health --format json | jq -r '.chain.name, .reason, .nodes[].reason'

A ledger that another headcount is using is read through that one. One that another program holds cannot be
read: the nodes are judged, and what is covered is not known (3).";
