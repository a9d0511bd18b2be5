//! `headcount export`: events as a file for other programs.

use crate::{
    command_error::CommandError,
    commands::{PlaceArgs, ledger::ledger_to_read},
    complaint::undecoded,
    environment::Environment,
    exit_codes::ExitCode,
    output_file::OutputFile,
    proof_level::parse_require,
    range::RangeSpec,
    session::{self, Look, Wanted},
    summary::grouped,
};
use alloy_primitives::Address;
use event::{ChainId, FileForm, Verify};
use std::{
    io::{Write, stderr},
    path::{Path, PathBuf},
};

/// Write events of the ledger to a Parquet, CSV or NDJSON file
///
/// Only canonical events, in the order of the chain; the file is whole or not there. Says on stderr
/// whether every block of the range is covered.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ExportArgs {
    /// Table of decoded events, as usdc.Transfer, or `events` for raw logs
    #[arg(value_name = "CONTRACT.EVENT|events")]
    table: String,

    /// File to write, or - for stdout
    #[arg(short, long, value_name = "FILE|-")]
    output: PathBuf,

    /// Form of the file [default: by its name, .parquet, .csv, .ndjson or .jsonl; ndjson on stdout]
    #[arg(long, value_enum)]
    format: Option<ExportFormat>,

    /// Blocks, both ends included: FIRST:LAST, FIRST:+COUNT, -COUNT:, FIRST:, :finalized
    /// [default: all that the ledger covers]
    #[arg(short = 'b', long = "blocks", value_name = "RANGE", allow_hyphen_values = true)]
    blocks: Option<String>,

    /// Only events of this contract, repeatable
    #[arg(short = 'c', long = "contract", value_name = "ADDRESS")]
    contracts: Vec<Address>,

    /// Only events that meet this SQL condition on the table's columns
    #[arg(long = "where", value_name = "SQL")]
    condition: Option<String>,

    /// Chain, where the ledger has several
    #[arg(long, value_name = "ID")]
    chain_id: Option<u64>,

    /// Refuse, with exit code 1, unless every block of the range is covered at this level
    #[arg(long, value_name = "off|bloom|agree:N|prove", value_parser = parse_require)]
    require: Option<Verify>,

    /// Add a column that says how well each event's block is known: claimed, bloom, agreed:N, receipts
    #[arg(long)]
    evidence: bool,

    /// Replace the file where it is there
    #[arg(long)]
    force: bool,

    /// Say nothing on stderr
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    place: PlaceArgs,
}

/// Form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ExportFormat {
    /// Apache Parquet
    Parquet,
    /// Comma-separated, with a header
    Csv,
    /// One JSON object a line
    Ndjson,
}

impl From<ExportFormat> for FileForm {
    fn from(format: ExportFormat) -> Self {
        match format {
            ExportFormat::Parquet => Self::Parquet,
            ExportFormat::Csv => Self::Csv,
            ExportFormat::Ndjson => Self::Ndjson,
        }
    }
}

/// Looks whether the range is complete, writes, says what was written.
pub(crate) fn cmd_export(
    args: &ExportArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let is_stdout = args.output == Path::new("-");
    let form = form(args, is_stdout)?;
    let range = args.blocks.as_deref().map(RangeSpec::parse).transpose().map_err(|error| {
        let hint = error.hint();
        CommandError::usage(error).context("wrong range at -b").hint(hint)
    })?;
    let ledger = ledger_to_read(&args.place, environment)?;
    let output = match is_stdout {
        true => OutputFile::stdout(&environment.path("TMPDIR").unwrap_or_else(|| "/tmp".into())),
        false => OutputFile::file(environment.resolve(&args.output), &ledger, args.force)?,
    };
    let wanted = Wanted {
        table: args.table.clone(),
        chain: args.chain_id.map(ChainId),
        range,
        addresses: args.contracts.clone(),
        condition: args.condition.clone(),
        with_evidence: args.evidence,
        form,
        require: args.require,
    };
    let mut look = Look::open_to_write(&ledger.path, environment, output.part())?;
    let export = session::prepare(&mut look, &wanted)?;
    let rows = look.export(&export.select, form)?;
    drop(look);
    output.finish()?;
    if let Some(event) = &export.undecoded {
        writeln!(stderr(), "warning: {}", undecoded(event))?;
    }
    if !args.quiet {
        let events = if rows == 1 { "event" } else { "events" };
        let mut err = stderr().lock();
        if let Some(shortened) = &export.shortened {
            writeln!(err, "note: {shortened}")?;
        }
        let known = &export.completeness;
        writeln!(err, "{} {events} of {}, {known}", grouped(rows), args.table)?;
        if let Some(range) = known.not_final() {
            writeln!(err, "not final yet, a reorg may change them: blocks {range}")?;
        }
    }
    Ok(ExitCode::Done)
}

fn form(args: &ExportArgs, is_stdout: bool) -> Result<FileForm, CommandError> {
    let named = || {
        let extension = args.output.extension()?.to_str()?.to_lowercase();
        match extension.as_str() {
            "parquet" | "pq" => Some(ExportFormat::Parquet),
            "csv" => Some(ExportFormat::Csv),
            "ndjson" | "jsonl" => Some(ExportFormat::Ndjson),
            _ => None,
        }
    };
    let format = match (args.format, is_stdout) {
        (Some(ExportFormat::Parquet), true) => {
            return Err(CommandError::usage("Parquet is no text: it does not go to stdout")
                .hint("name a file with -o, or say --format csv or ndjson"));
        }
        (Some(format), _) => Some(format),
        (None, true) => Some(ExportFormat::Ndjson),
        (None, false) => named(),
    };
    format.map(Into::into).ok_or_else(|| {
        CommandError::usage(format!("the name {} tells no form of file", args.output.display()))
            .hint("say --format parquet, csv or ndjson")
    })
}

const AFTER_HELP: &str = "\
Binary values are as they are in Parquet, and 0x and hex in text. Integers wider than 64 bit are
decimal text in every form (in NDJSON those wider than 48 bit), so that no digit is lost: DuckDB reads
them back with CAST(value AS BIGNUM). Beside a process that owns the ledger that process writes, to
`<ledger>.copy` first; what goes to stdout is written to $TMPDIR (/tmp) first.

Exit codes:
  0    written
  1    --require is not met, nothing is written
  2    wrong usage: no such table, condition or chain; the file is there already
  74   the file could not be written
  75   the ledger is in use by another program

Examples:
  headcount export usdc.Transfer -o transfers.parquet -b 18M:+10k
  headcount export usdc.Transfer -o - --format csv --where \"value > 1000000000000\" | gzip > big.csv.gz
  headcount export events -o logs.ndjson -c 0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48

  Nightly, only what is proved:
    headcount replay --verify prove && \\
    headcount export usdc.Transfer -o transfers.parquet -b :finalized --require prove --force";
