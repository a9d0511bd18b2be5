//! `headcount plugin test`: what would a plugin write?

use super::plugin_of;
use crate::{
    author::{Golden, read_answers},
    command_error::{CommandError, ErrorKind},
    commands::{PlaceArgs, ledger::open_to_read},
    compiling::Compiling,
    environment::Environment,
    exit_codes::ExitCode,
    plan::block_range,
    session::{Asking, PluginRun, test_plugin},
};
use std::{
    io::{BufWriter, Write, stderr, stdout},
    path::PathBuf,
};

/// Run a component over a ledger's events, store nothing, print its rows
///
/// Rows are one JSON object a line: table, columns and the block of the event; of a row with a key the
/// last one. Events that were set aside follow. They come in the same order however the events are cut
/// into batches. What the plugin logs goes to stderr. No node is asked. A batch that takes longer than its
/// deadline ends it.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct TestArgs {
    /// Component, or the name of a plugin of the configuration file
    #[arg(value_name = "[NAME=]FILE")]
    plugin: String,

    /// Write the lines to the golden file: they are right
    #[arg(long, requires = "golden")]
    bless: bool,

    #[command(flatten)]
    run: RunArgs,
}

/// Over which events, and what its rows are compared with.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Blocks of the ledger, as for `replay`; all of them have to be covered [default: all that is
    /// covered, from the first block on]
    #[arg(short = 'b', long = "blocks", value_name = "RANGE", allow_hyphen_values = true)]
    blocks: Option<String>,

    /// Hand over every block by itself, as at the head of the chain
    #[arg(long)]
    one_block: bool,

    /// Compare with the lines of this file and print what differs instead; exit code 1 where
    /// something does
    #[arg(long, value_name = "FILE")]
    golden: Option<PathBuf>,

    /// What hosts answer it, out of this file: JSON objects with method, url, status and body or json.
    /// A request that has none there fails the run. No host is asked
    #[arg(long, value_name = "FILE", conflicts_with = "allow_http")]
    answers: Option<PathBuf>,

    /// Let it ask the hosts that its [[plugin]] grants (`http`): its rows are then no function of the
    /// events. Without this a plugin that fetches is told that nothing is sent
    #[arg(long)]
    allow_http: bool,

    /// Chain id, where the ledger has several
    #[arg(long, value_name = "ID")]
    chain_id: Option<u64>,

    #[command(flatten)]
    pub(super) place: PlaceArgs,
}

/// Runs it and prints.
pub(crate) fn cmd_plugin_test(
    args: &TestArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    test(&args.plugin, &args.run, args.bless, environment)
}

/// Runs a component and prints what it gives, or what of it differs from the golden file.
pub(super) fn test(
    plugin: &str,
    args: &RunArgs,
    bless: bool,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let plugin = plugin_of(plugin, &args.place, environment)?;
    let range = block_range(Some(args.blocks.as_deref().unwrap_or(":latest")))?;
    let answers = args.answers.as_deref().map(|path| environment.resolve(path));
    let asking = match &answers {
        Some(path) => Asking::Recorded(read_answers(path)?),
        None if args.allow_http => Asking::Hosts,
        None => Asking::Nobody,
    };
    let is_shown = environment.stderr_is_terminal;
    let run =
        PluginRun { range, chain_id: args.chain_id, one_block: args.one_block, asking, is_shown };
    let golden = args.golden.as_deref().map(|path| Golden::at(environment.resolve(path)));
    let mut ledger = open_to_read(&args.place, environment)?;
    let tested = test_plugin(&plugin, &mut ledger, run, &Compiling::of(environment, false))?;
    let mut talk = stderr().lock();
    for line in &tested.log {
        writeln!(talk, "{line}")?;
    }
    writeln!(talk, "{}", tested.summary)?;
    if let (Some(path), [_, ..]) = (&answers, &tested.unanswered[..]) {
        let asked = tested.unanswered.join(", ");
        return Err(CommandError::new(
            ErrorKind::CheckFailed,
            format!("{} has no answer for {asked}", path.display()),
        )
        .context("the plugin asked for what nobody recorded")
        .hint(
            "add {\"method\": ..., \"url\": ..., \"status\": 200, \"body\": ...} for it; {NAME} is a setting \
             of the plugin",
        ));
    }
    if let Some(why) = tested.stopped {
        return Err(CommandError::new(ErrorKind::CheckFailed, why)
            .context("the plugin did not handle all of the range")
            .hint("what it logged is above"));
    }
    let mut out = BufWriter::new(stdout().lock());
    let differ = match &golden {
        None => {
            for line in &tested.lines {
                writeln!(out, "{}", line.0)?;
            }
            0
        }
        Some(golden) if bless => {
            golden.bless(&tested.lines)?;
            writeln!(talk, "wrote {}", golden.path().display())?;
            0
        }
        Some(golden) => golden.compare(&tested.lines, &mut out)?,
    };
    out.flush()?;
    match (&golden, differ) {
        (Some(golden), 1..) => Err(CommandError::new(
            ErrorKind::CheckFailed,
            format!(
                "{differ} lines differ from {}: - is the file, + this run",
                golden.path().display()
            ),
        )
        .hint("where the new lines are right: the same command with --bless")),
        _ => Ok(ExitCode::Done),
    }
}

const AFTER_HELP: &str = "\
Exit codes:
  0  it ran, and nothing differs from the golden file
  1  something differs, the plugin was halted or took too long, or it asked for what has no answer in
     --answers
  2  wrong usage, no component, blocks that the ledger does not have

Examples:
  headcount plugin test payments.wasm --ledger headcount.duckdb -b 18M:+100
  headcount plugin test payments.wasm -b 18M:+100 --golden rows.ndjson --bless
  headcount plugin test payments.wasm -b 18M:+100 --golden rows.ndjson --one-block
  headcount plugin test labels.wasm -b 18M:+100 --answers answers.ndjson --golden rows.ndjson";
