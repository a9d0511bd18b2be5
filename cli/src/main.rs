//! The binary: parse, run, tell the exit code. The engines are built in `session`, what the flags
//! mean is in `plan`, and nothing here knows an event.

mod audit_report;
mod author;
mod bar;
mod command_error;
mod commands;
mod compiling;
mod complaint;
mod config_file;
mod contract_spec;
mod coverage_report;
mod drill_report;
mod duration;
mod environment;
mod event_spec;
mod exit_codes;
mod expectations;
mod health_report;
mod interrupt;
mod ledger_path;
mod logging;
mod node_spec;
mod output_file;
mod plan;
mod plugin_name;
mod progress;
mod proof_level;
mod range;
mod record_path;
mod second_look;
mod secret;
mod session;
mod sink_spec;
mod suggest;
mod summary;
mod terminal;

use clap::Parser;
use command_error::CommandError;
use commands::Headcount;
use environment::Environment;
use exit_codes::ExitCode;
use std::process;

fn main() -> process::ExitCode {
    // First of all: a signal that comes while this program still starts is one like any other.
    let taken_over = interrupt::take_over(std::env::args_os().nth(1));
    logging::install_panic_hook();
    // The panic hook has told it already.
    let run = || taken_over.and_then(|()| run());
    let Ok(ended) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) else {
        return ExitCode::Bug.into();
    };
    match ended {
        Ok(code) => code.into(),
        Err(failed) => {
            failed.tell();
            failed.kind.exit_code().into()
        }
    }
}

fn run() -> Result<ExitCode, CommandError> {
    let headcount = match Headcount::try_parse() {
        Ok(headcount) => headcount,
        // `--help` and `--version` are answers, not mistakes: they go to stdout.
        Err(asked) if !asked.use_stderr() => return Ok(asked.print().map(|()| ExitCode::Done)?),
        Err(wrong) => {
            let command = commands::called(std::env::args_os().skip(1));
            return Err(CommandError::of_command_line(&wrong, &command));
        }
    };
    let environment = Environment::of_process();
    logging::start(&environment)?;
    commands::run(&headcount.command, &environment)
}
