//! `headcount query`: read-only SQL, with exact numbers.

mod output;

use crate::{
    command_error::CommandError,
    commands::{PlaceArgs, ledger::open_to_read},
    environment::Environment,
    exit_codes::ExitCode,
};
use output::{QueryFormat, Writer};
use std::{
    io::{self, BufWriter, Read, stdout},
    ops::ControlFlow,
};

/// Longest statement read from stdin, in bytes.
const STATEMENT_MAX_BYTES: u64 = 16 << 20;

/// Run one SQL statement on the ledger, read-only
///
/// Integers wider than 64 bit stay exact. Addresses, hashes and other binary values are BLOBs and
/// print as 0x and hex in lower case: compare them through hex0x(column), as in the examples. Columns
/// that are words of SQL, as from and to, want double quotes.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct QueryArgs {
    /// Statement, or - to read it from stdin
    #[arg(value_name = "SQL")]
    sql: String,

    #[command(flatten)]
    place: PlaceArgs,

    /// Form of the rows [default: table on a terminal, else ndjson]
    #[arg(long, value_enum)]
    format: Option<QueryFormat>,
}

/// Writes the rows to stdout as they come.
pub(crate) fn cmd_query(
    args: &QueryArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let sql = statement(&args.sql)?;
    let mut ledger = open_to_read(&args.place, environment)?;
    let format = args.format.unwrap_or(match environment.stdout_is_terminal {
        true => QueryFormat::Table,
        false => QueryFormat::Ndjson,
    });
    let mut writer = Writer::new(format, BufWriter::new(stdout().lock()));
    let mut written = Ok(());
    let columns = ledger.query(&sql, &mut |columns, row| {
        written = writer.row(columns, &row);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written.and_then(|()| writer.finish(&columns))?;
    Ok(ExitCode::Done)
}

fn statement(sql: &str) -> Result<String, CommandError> {
    let mut text = sql.to_owned();
    if sql == "-" {
        text.clear();
        let read = io::stdin().lock().take(STATEMENT_MAX_BYTES).read_to_string(&mut text);
        read.map_err(|error| CommandError::local_io("reading the statement from stdin", error))?;
    }
    if text.trim().is_empty() {
        return Err(CommandError::usage("the statement is empty")
            .hint("example: headcount query \"select count(*) from events\""));
    }
    Ok(text)
}

const AFTER_HELP: &str = "\
Examples:
  headcount query \"select sum(value) from usdc.Transfer\"
  headcount query \"select sum(value) from usdc.Transfer where hex0x(\\\"from\\\") = lower('0xA0b8...')\"
  headcount query --format csv \"select * from usdc.Transfer limit 10\" > transfers.csv
  headcount query \"select table_schema, table_name from information_schema.tables\"
  headcount query - < report.sql";
