//! `headcount snapshot`: a copy of the ledger, while it is used.

use crate::{
    command_error::CommandError,
    commands::{PlaceArgs, ledger::ledger_to_read},
    environment::Environment,
    exit_codes::ExitCode,
    output_file::OutputFile,
    session::{self, Look},
};
use std::{
    io::{Write, stderr},
    path::PathBuf,
};

/// Copy the ledger to another file, as it is at one moment
///
/// Also while another process owns and writes it, which goes on meanwhile. The copy is a ledger, and a
/// DuckDB file for any other program; it is whole or not there.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct SnapshotArgs {
    /// File to write
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Compare the digest of the copy with that of the ledger at that moment: reads both once more
    #[arg(long)]
    check: bool,

    /// Replace the file where it is a ledger that nobody uses
    #[arg(long)]
    force: bool,

    /// Say nothing on stderr
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    place: PlaceArgs,
}

/// Copies, looks at the copy, gives it its name.
pub(crate) fn cmd_snapshot(
    args: &SnapshotArgs,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let ledger = ledger_to_read(&args.place, environment)?;
    let file = environment.resolve(&args.file);
    let output = OutputFile::ledger(file, &ledger, args.force)?;
    let look = Look::open_to_write(&ledger.path, environment, output.part())?;
    let digest = session::snapshot(look, output.part(), args.check)?;
    output.finish()?;
    if !args.quiet {
        let (from, to) = (ledger.path.display(), args.file.display());
        let checked = digest.map_or_else(String::new, |digest| format!(", digest {digest}"));
        writeln!(stderr(), "copied {from} to {to}{checked}")?;
    }
    Ok(ExitCode::Done)
}

const AFTER_HELP: &str = "\
Beside a process that owns the ledger that process copies, to `<ledger>.copy` first: there must be room
for it. Take a copy for analysis, or before an upgrade; a ledger in use is not to be copied by cp.

Exit codes:
  0    copied
  1    --check: the copy has another digest, and is not kept
  2    wrong usage; the file is there already
  74   the file could not be written
  75   the ledger, or the one to replace, is in use

Examples:
  headcount snapshot backup.duckdb
  headcount snapshot --check --force backup.duckdb
  headcount snapshot now.duckdb && duckdb now.duckdb \"select count(*) from usdc.Transfer\"";
