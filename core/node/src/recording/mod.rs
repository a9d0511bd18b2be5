//! Recordings: real headers, logs and receipts in a file that answers the questions of a node.
//!
//! Compressed NDJSON (gzip). The first line says format version, chain, client and node; then one
//! line per fact; the last line counts them and carries a digest of everything before it, so that
//! a cut or changed file is refused whole. No URL and no key is ever in it.
//! [`Recorder`] writes one while it passes questions on; [`Recording`] answers from one.

mod facts;
mod read;
mod recorder;

pub use read::Recording;
pub use recorder::{Recorder, RecordingSummary};

use event::Fault;
use std::{io, path::PathBuf};

/// Version of the format; another one is refused.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// Why a recording cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file system, or a disk that is full.
    #[error("recording {path}: {source}")]
    Io {
        /// File.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// Not gzip, or the compressed bytes were changed.
    #[error("recording {path} is not a recording or is damaged: {source}")]
    Damaged {
        /// File.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The end is missing.
    #[error("recording {path} is cut off after line {lines}{}", doubt(.lines))]
    Truncated {
        /// File.
        path: PathBuf,
        /// Lines that are there.
        lines: u64,
    },
    /// Number of lines or digest differ from what the last line says.
    #[error("recording {path} was changed: its {what} is not what its last line says")]
    Changed {
        /// File.
        path: PathBuf,
        /// `digest` or `number of lines`.
        what: &'static str,
    },
    /// Written by a newer version of the format.
    #[error("recording {path} has format version {found}, this build reads {FORMAT_VERSION}")]
    Version {
        /// File.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A line that is no fact of this format.
    #[error("recording {path}, line {line}: {cause}")]
    Line {
        /// File.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        cause: String,
    },
    /// The node did not say on which chain it is.
    #[error("recording a node that does not answer: {0}")]
    Node(#[from] Fault),
    /// [`Recorder::finish`] was called before.
    #[error("recording {path} is finished already")]
    Finished {
        /// File.
        path: PathBuf,
    },
}

impl RecordingError {
    /// Returns what to do next, where that is known.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Damaged { .. }
            | Self::Truncated { .. }
            | Self::Changed { .. }
            | Self::Line { .. } => {
                Some("record it again with `headcount replay --record FILE`, or fetch a whole copy")
            }
            Self::Version { .. } => {
                Some("use the version of headcount that wrote it, or a newer one")
            }
            _ => None,
        }
    }
}

/// What a file without one whole line may be.
const fn doubt(lines: &u64) -> &'static str {
    if *lines == 0 { ": it may be no recording at all" } else { "" }
}
