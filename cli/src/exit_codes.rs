//! What the process tells its caller when it ends. One enum, so that the README can quote it.

use std::process;

/// How a command ended. The numbers are part of the interface: scripts branch on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitCode {
    /// Done.
    Done = 0,
    /// The check failed; the reason is in the output. Missing beats undecided.
    CheckFailed = 1,
    /// Wrong usage, configuration, SQL, plugin or ledger version. Running again will not help.
    Usage = 2,
    /// Could not be decided.
    Undecided = 3,
    /// A bug in Headcount.
    Bug = 70,
    /// Local I/O: disk full, unreadable file.
    LocalIo = 74,
    /// Left open: all nodes down, ledger in use, a plugin not handed everything. Running again may help.
    LeftOpen = 75,
    /// Ctrl-C. What was committed is kept.
    Interrupted = 130,
    /// SIGTERM on a command that was to end by itself. What was committed is kept.
    Terminated = 143,
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
