//! `headcount plugin dead`: what plugins set aside and what sinks refused, and what becomes of it.

use crate::{
    author::DeadReport,
    command_error::CommandError,
    commands::{PlaceArgs, ledger::open_to_read},
    environment::Environment,
    exit_codes::ExitCode,
    session::{amend, dead, fill_in},
    summary::{SummaryFormat, grouped},
};
use clap::Subcommand;
use event::{ChainId, LaneId, Remedy};
use std::{
    collections::BTreeMap,
    io::{Write, stdout},
};

/// Look at events that plugins set aside and messages that sinks refused, try them again or drop them
///
/// Where another process uses the ledger it is asked, and a change takes effect in it at once.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = AFTER_HELP)]
pub(crate) enum DeadCommand {
    List(ListArgs),
    Show(ShowArgs),
    Retry(RetryArgs),
    Drop(DropArgs),
}

/// List what is set aside, with its id and why
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,

    /// Only of this plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,

    /// Form of the list on stdout
    #[arg(long, value_enum, default_value_t)]
    format: SummaryFormat,
}

/// Show all that is known of an event or a message
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Its id, as `list` shows it
    id: String,

    #[command(flatten)]
    place: PlaceArgs,

    /// Form of what is shown on stdout
    #[arg(long, value_enum, default_value_t)]
    format: SummaryFormat,
}

/// Hand events to their plugin again, send messages again
///
/// An event is not handed over out of its turn: everything from its block on is undone and handled again, so that the plugin's tables end as if it had never been set aside. For a block that is final by now the plugin is rebuilt from the ledger, and its tables stay as they are until that is done. No node is asked.
/// It happens at once in a process that runs the plugin, else in the next run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RetryArgs {
    #[command(flatten)]
    which: Which,
}

/// Forget events that were set aside, never send messages
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DropArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Clone, Debug, clap::Args)]
struct Which {
    /// Ids, as `list` shows them
    #[arg(value_name = "ID", required_unless_present = "all")]
    ids: Vec<String>,

    /// All of them
    #[arg(long, conflicts_with = "ids")]
    all: bool,

    /// Only of this plugin
    #[arg(long, value_name = "NAME", requires = "all")]
    plugin: Option<String>,

    #[command(flatten)]
    place: PlaceArgs,
}

/// Runs one of them.
pub(crate) fn cmd_plugin_dead(
    command: &DeadCommand,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    match command {
        DeadCommand::List(args) => {
            let mut ledger = open_to_read(&args.place, environment)?;
            let report = dead(&mut ledger, args.plugin.as_deref())?;
            report.write(args.format, &mut stdout().lock())?;
        }
        DeadCommand::Show(args) => show(args, environment)?,
        DeadCommand::Retry(RetryArgs { which }) => {
            change(which, environment, "tried again", Remedy::RetryEvents, Remedy::RetryMessages)?;
        }
        DeadCommand::Drop(DropArgs { which }) => {
            change(which, environment, "dropped", Remedy::DropEvents, Remedy::DropMessages)?;
        }
    }
    Ok(ExitCode::Done)
}

fn show(args: &ShowArgs, environment: &Environment) -> Result<(), CommandError> {
    let mut ledger = open_to_read(&args.place, environment)?;
    let report = dead(&mut ledger, None)?;
    let mut out = stdout().lock();
    if let Some(message) = report.messages.iter().find(|message| message.id == args.id) {
        return Ok(message.write(args.format, &mut out)?);
    }
    let event = report.events.into_iter().find(|event| event.id == args.id);
    let mut event = event.ok_or_else(|| unknown(&args.id))?;
    fill_in(&mut ledger, &mut event)?;
    Ok(event.write(args.format, &mut out)?)
}

fn change(
    which: &Which,
    environment: &Environment,
    what: &str,
    events: impl Fn(LaneId, Vec<u64>) -> Remedy,
    messages: impl Fn(Vec<u64>) -> Remedy,
) -> Result<(), CommandError> {
    let mut ledger = open_to_read(&which.place, environment)?;
    let mut report = dead(&mut ledger, which.plugin.as_deref())?;
    let path = ledger.path().to_owned();
    // It is opened to write, or its owner is asked.
    drop(ledger);
    if !which.all {
        check_all_there(&report, &which.ids)?;
        report.events.retain(|event| which.ids.contains(&event.id));
        report.messages.retain(|message| which.ids.contains(&message.id));
    }
    let mut lanes: BTreeMap<LaneId, Vec<u64>> = BTreeMap::new();
    for event in &report.events {
        let lane = LaneId { plugin: event.plugin.clone(), chain: ChainId(event.chain) };
        lanes.entry(lane).or_default().push(event.seq);
    }
    let (mut event_count, mut message_count) = (0, 0);
    for (lane, seqs) in lanes {
        event_count += amend(&path, environment, &events(lane, seqs))?;
    }
    let ids: Vec<u64> = report.messages.iter().map(|message| message.number).collect();
    if !ids.is_empty() {
        message_count = amend(&path, environment, &messages(ids))?;
    }
    let (event_count, message_count) = (grouped(event_count), grouped(message_count));
    writeln!(stdout(), "{event_count} events and {message_count} messages are {what}")?;
    Ok(())
}

fn check_all_there(report: &DeadReport, ids: &[String]) -> Result<(), CommandError> {
    let is_there = |id: &&String| {
        report.events.iter().any(|event| event.id == **id)
            || report.messages.iter().any(|message| message.id == **id)
    };
    match ids.iter().find(|id| !is_there(id)) {
        Some(id) => Err(unknown(id)),
        None => Ok(()),
    }
}

fn unknown(id: &str) -> CommandError {
    CommandError::usage(format!("nothing that is set aside has the id `{id}`"))
        .hint("`headcount plugin dead list` shows what is, with its ids")
}

const AFTER_HELP: &str = "\
A plugin or an id that the ledger does not know is exit code 2.

Examples:
  headcount plugin dead list --ledger headcount.duckdb
  headcount plugin dead show balances:1:17
  headcount plugin dead retry --all --plugin balances
  headcount plugin dead drop m12 m13";
