//! What can go wrong in the bench.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why the bench has no figure.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file, socket or child process failed.
    #[error("{doing}")]
    Io {
        /// What we were doing.
        doing: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// DuckDB refused.
    #[error("duckdb")]
    Duckdb(#[from] duckdb::Error),
    /// Rows that Arrow does not take.
    #[error("arrow")]
    Arrow(#[from] duckdb::arrow::error::ArrowError),
    /// The alloy loop got no answer.
    #[error("fetching blocks {first} to {last}: {reason}")]
    Fetch {
        /// First block.
        first: u64,
        /// Last block.
        last: u64,
        /// Why.
        reason: String,
    },
    /// A WebSocket of a bare loop failed.
    #[error("{url}: {reason}")]
    Socket {
        /// Node or method.
        url: String,
        /// Why.
        reason: String,
    },
    /// A guest that was called alone failed.
    #[error("the guest failed: {reason}")]
    Guest {
        /// Why.
        reason: String,
    },
    /// A contender was not heard of in time.
    #[error("{contender} did not come to block {block} in time\n{stderr}")]
    Silent {
        /// Who.
        contender: String,
        /// What was waited for.
        block: u64,
        /// What it said.
        stderr: String,
    },
    /// A contender ended badly.
    #[error("`{command}` ended with {status}\n{stderr}")]
    Child {
        /// Its command line.
        command: String,
        /// How it ended.
        status: String,
        /// What it said.
        stderr: String,
    },
    /// A contender left something else than what the server has.
    #[error("{contender} left {found}, the server has {expected}")]
    Unequal {
        /// Who.
        contender: String,
        /// What it left.
        found: String,
        /// What it should have left.
        expected: String,
    },
    /// An answer of our own child that we cannot read.
    #[error("cannot read {what}: {text}")]
    Unreadable {
        /// What it should have been.
        what: &'static str,
        /// What it was.
        text: String,
    },
    /// The program to measure is not built.
    #[error("{} is missing: build it with `cargo build --release -p headcount`", .0.display())]
    NotBuilt(PathBuf),
}

impl BenchError {
    /// Returns a function that says what we were doing when I/O failed.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Io { doing: doing.into(), source }
    }

    /// Returns the error of a guest that cannot be made.
    pub(crate) fn guest(path: &Path, error: &wasmtime::Error) -> Self {
        Self::Guest { reason: format!("{}: {error:#}", path.display()) }
    }
}
