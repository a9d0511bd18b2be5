//! How a command fails: what happened, why, what to type next, and with which exit code.
//!
//! Every error of a library becomes one of these through a `From` that chooses the kind and adds
//! the hint. Nothing else in this program prints an error.

use crate::{exit_codes::ExitCode, secret::redacted};
use clap::error::ErrorKind as ErrorKindOfClap;
use event::{Fault, FaultClass, LedgerError};
use node::RecordingError;
use pipeline::LaneError;
use std::{
    error, fmt,
    io::{self, Write as _},
};

/// An error on its way to the user.
#[derive(Debug)]
pub(crate) struct CommandError {
    /// Decides the exit code.
    pub(crate) kind: ErrorKind,
    /// What happened, with its chain of causes.
    pub(crate) error: Box<dyn error::Error + Send + Sync>,
    /// What to do next, each a sentence or a command.
    pub(crate) hints: Vec<String>,
}

/// Who can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// The user: wrong flags, configuration, SQL, plugin or ledger version.
    Usage,
    /// The user's machine: disk full, unreadable file.
    LocalIo,
    /// Time: nodes are down, the ledger is in use.
    LeftOpen,
    /// We: a bug.
    Bug,
    /// Nobody: the reader of our output has left.
    BrokenPipe,
    /// A node: it was caught with a wrong answer.
    CheckFailed,
}

impl ErrorKind {
    /// Returns the exit code of this kind.
    pub(crate) const fn exit_code(self) -> ExitCode {
        match self {
            Self::Usage => ExitCode::Usage,
            Self::LocalIo => ExitCode::LocalIo,
            Self::LeftOpen => ExitCode::LeftOpen,
            Self::Bug => ExitCode::Bug,
            Self::BrokenPipe => ExitCode::Done,
            Self::CheckFailed => ExitCode::CheckFailed,
        }
    }
}

impl CommandError {
    /// Returns an error of this kind.
    pub(crate) fn new(
        kind: ErrorKind,
        error: impl Into<Box<dyn error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, error: error.into(), hints: Vec::new() }
    }

    /// Returns an error that the user can mend.
    pub(crate) fn usage(error: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Usage, error)
    }

    /// Puts `message` on top; what happened before becomes its cause.
    pub(crate) fn context(self, message: impl Into<String>) -> Self {
        let error = Box::new(Context { message: message.into(), cause: self.error });
        Self { kind: self.kind, error, hints: self.hints }
    }

    /// Adds a hint.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Returns an error of ours: a state that no input explains.
    pub(crate) fn bug(error: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Bug, error).hint(REPORT_A_BUG)
    }

    /// Prints it. A stderr that is closed is not worth another error.
    pub(crate) fn tell(&self) {
        if self.kind != ErrorKind::BrokenPipe {
            let _ = writeln!(io::stderr(), "{self}");
        }
    }

    /// Returns an error about a local file that could not be used, which names the file.
    pub(crate) fn local_io(doing: impl Into<String>, error: io::Error) -> Self {
        Self::from(error).context(doing)
    }

    /// Returns an error about a file that the user named and that could not be read: a wrong path
    /// is wrong usage, a failing disk is not.
    pub(crate) fn unread(doing: impl Into<String>, error: io::Error) -> Self {
        let is_wrong_path = matches!(
            error.kind(),
            io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::IsADirectory
                | io::ErrorKind::InvalidData
        );
        let failed = Self::local_io(doing, error);
        match is_wrong_path {
            true => Self { kind: ErrorKind::Usage, ..failed },
            false => failed,
        }
    }
}

/// `error:`, `caused by:` for each cause, `hint:` for each hint; no URL keeps more than its host.
impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = redacted(&self.error.to_string());
        write!(f, "error: {told}")?;
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let text = redacted(&error.to_string());
            // Some libraries repeat their cause in their own words, or behind them.
            if !told.ends_with(&text) {
                write!(f, "\ncaused by: {text}")?;
                told = text;
            }
            cause = error.source();
        }
        for hint in &self.hints {
            write!(f, "\nhint: {}", redacted(hint))?;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Context {
    message: String,
    cause: Box<dyn error::Error + Send + Sync>,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for Context {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(self.cause.as_ref())
    }
}

/// Also for writes to stdout, where a reader that left early is not an error.
impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::BrokenPipe => ErrorKind::BrokenPipe,
            _ => ErrorKind::LocalIo,
        };
        let hint = io_hint(&error);
        let failed = Self::new(kind, error);
        match hint {
            Some(hint) => failed.hint(hint),
            None => failed,
        }
    }
}

/// Returns what to do about an error of the file system, where that is known.
fn io_hint(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Some("free some space and run the same command again")
        }
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Some("check the path"),
        io::ErrorKind::IsADirectory => Some("that is a folder: name a file"),
        io::ErrorKind::InvalidData => Some("check the path: the file must be text in UTF-8"),
        io::ErrorKind::PermissionDenied => Some("check who may read and write that path"),
        _ => None,
    }
}

impl From<LedgerError> for CommandError {
    fn from(error: LedgerError) -> Self {
        let (kind, hint) = match &error {
            LedgerError::Busy { .. } => (
                ErrorKind::LeftOpen,
                "wait for that process to end, or name another file with --ledger",
            ),
            LedgerError::Newer { .. } => {
                (ErrorKind::Usage, "use a newer headcount; the ledger was left as it is")
            }
            LedgerError::Older { .. } => (
                ErrorKind::Usage,
                "run the same command once as a user who may write the ledger and its folder: it \
                 brings the tables forward, and keeps every row",
            ),
            LedgerError::Unreadable { .. } => (
                ErrorKind::LocalIo,
                "name a ledger that headcount wrote, with --ledger; the file was left as it is",
            ),
            LedgerError::Io(_) => (
                ErrorKind::LocalIo,
                "nothing of the last step took effect: make room and run the same command again",
            ),
            LedgerError::NotFolded(_) => (
                ErrorKind::LocalIo,
                "make room; the next start takes the log in, so keep it beside the ledger",
            ),
            LedgerError::Running(_) => (
                ErrorKind::Usage,
                "take it out of the configuration that process reads, or end the process",
            ),
            LedgerError::Sql(_) => (
                ErrorKind::Usage,
                "`select table_schema, table_name from information_schema.tables` lists what is there",
            ),
            LedgerError::Internal(_) => (ErrorKind::Bug, REPORT_A_BUG),
        };
        Self::new(kind, error).hint(hint)
    }
}

impl From<RecordingError> for CommandError {
    fn from(error: RecordingError) -> Self {
        let (kind, hint) = match &error {
            RecordingError::Io { source, .. } => (
                ErrorKind::LocalIo,
                io_hint(source).or(Some("check that the file can be written, and the disk")),
            ),
            _ => (ErrorKind::Usage, error.hint()),
        };
        let failed = Self::new(kind, error);
        match hint {
            Some(hint) => failed.hint(hint),
            None => failed,
        }
    }
}

impl From<LaneError> for CommandError {
    fn from(error: LaneError) -> Self {
        match error {
            LaneError::Ledger { plugin, source } => {
                Self::from(source).context(format!("handing events to plugin {plugin}"))
            }
            LaneError::Subscription { .. } => {
                Self::usage(error).hint("the plugin's own description is wrong: ask its author")
            }
        }
    }
}

/// What to do about exit code 70.
pub(crate) const REPORT_A_BUG: &str =
    "please report it with the command you ran; what is committed is safe";

impl From<Fault> for CommandError {
    fn from(fault: Fault) -> Self {
        let (kind, hint) = match &fault.class {
            FaultClass::WrongChain { .. } => {
                (ErrorKind::Usage, "use a node of that chain, or another ledger and --chain-id")
            }
            FaultClass::Auth | FaultClass::Quota => {
                (ErrorKind::Usage, "check the key and the plan of that endpoint")
            }
            FaultClass::Off => (
                ErrorKind::Usage,
                "the node does not offer this method: use another node, or --verify off",
            ),
            FaultClass::Pruned { .. } => {
                (ErrorKind::Usage, "use an archive node for blocks as old as these")
            }
            FaultClass::Filter => {
                (ErrorKind::Usage, "the node refuses this filter: name fewer contracts with -c")
            }
            FaultClass::Tag => (
                ErrorKind::Usage,
                "name the last block in -b, as in `-b 100:200`, or set finality = \"depth:64\"",
            ),
            FaultClass::NotRecorded => (
                ErrorKind::Usage,
                "a recording answers only what was asked when it was made: use its range, \
                 contracts and --verify, or a real node",
            ),
            FaultClass::Unreachable => {
                (ErrorKind::LeftOpen, "check the host name and that the node is running")
            }
            FaultClass::Malformed => {
                (ErrorKind::LeftOpen, "check that the URL is that of a JSON-RPC endpoint")
            }
            FaultClass::Unknown => (
                ErrorKind::LeftOpen,
                "it says nothing where a node has to know: check that the URL is that of a JSON-RPC \
                 endpoint of a node in sync, or use another node (-r)",
            ),
            _ => {
                (ErrorKind::LeftOpen, "run the same command again, perhaps with another node (-r)")
            }
        };
        Self::new(kind, fault).hint(hint)
    }
}

impl CommandError {
    /// Clap's own words, in our form; `command` is what was called, as in `headcount replay`.
    pub(crate) fn of_command_line(error: &clap::Error, command: &str) -> Self {
        let text = error.to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let mut paragraphs = text.split("\n\n");
        let message = match error.kind() {
            ErrorKindOfClap::DisplayHelpOnMissingArgumentOrSubcommand => missing_command(text),
            _ => paragraphs.next().unwrap_or_default().trim_end().to_owned(),
        };
        let tips = text.lines().filter_map(|line| line.trim_start().strip_prefix("tip: "));
        let mut usage = text.lines().filter_map(|line| line.strip_prefix("Usage: "));
        let mut failed = Self::usage(message);
        for tip in tips {
            failed = failed.hint(tip);
        }
        match usage.next_back() {
            // `headcount replay [OPTIONS]`: the words before the first option are the command.
            Some(usage) => {
                let command: Vec<&str> = usage
                    .split(' ')
                    .take_while(|word| !word.starts_with(['[', '<', '-']))
                    .collect();
                failed.hint(format!("`{} --help` explains it", command.join(" ")))
            }
            None => failed.hint(format!("`{command} --help` explains it")),
        }
    }
}

/// Returns a sentence with the commands that the help in `help` lists.
fn missing_command(help: &str) -> String {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    // A long description goes on below, further to the right.
    let name = |line: &'_ str| line.strip_prefix("  ")?.split(' ').next().map(str::to_owned);
    let names: Vec<String> = lines
        .take_while(|line| !line.is_empty())
        .filter_map(name)
        .filter(|name| !name.is_empty())
        .filter(|name| name != "help")
        .collect();
    format!("a command is missing: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_command_names_the_commands_and_not_the_words_of_their_help() {
        let help = "Words\n\nCommands:\n  watch  Follow the head\n           much\n  help   Print\n\nOptions:";
        assert_eq!(missing_command(help), "a command is missing: watch");
    }

    #[test]
    fn an_error_prints_its_causes_and_hints_and_no_key() {
        let error = CommandError::usage("https://user:pw@node.example/v3/KEY is down")
            .context("reading blocks")
            .hint("try again");
        assert_eq!(
            error.to_string(),
            "error: reading blocks\ncaused by: https://node.example/*** is down\nhint: try again"
        );
    }

    #[test]
    fn a_cause_that_was_told_is_not_told_again() {
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        let told = CommandError::from(RecordingError::Io { path: "r.gz".into(), source });
        let text = told.to_string();
        assert_eq!(text.matches("permission denied").count(), 1, "{text}");
        assert!(text.contains("\nhint: "), "{text}");
    }

    #[test]
    fn a_reader_that_left_is_success() {
        let error = CommandError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error.kind.exit_code(), ExitCode::Done);
    }
}
