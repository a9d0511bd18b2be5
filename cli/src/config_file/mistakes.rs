//! What is wrong in the file, all of it, each with its place.

use crate::command_error::CommandError;
use std::{fmt, ops::Range};

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Line, from 1.
    pub(crate) line: usize,
    /// Character of the line, from 1.
    pub(crate) column: usize,
    /// What is wrong.
    pub(crate) message: String,
    /// What to write instead.
    pub(crate) hint: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// All mistakes of a file, at least one, in order of place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistakes {
    /// File, as shown.
    pub(crate) file: String,
    /// The mistakes.
    pub(crate) list: Vec<Mistake>,
}

impl Mistakes {
    /// Sorts by place what reading noted.
    pub(super) fn sorted(file: String, mut list: Vec<Mistake>) -> Self {
        list.sort_by_key(|mistake| (mistake.line, mistake.column));
        Self { file, list }
    }
}

impl std::error::Error for Mistakes {}

/// One per line, each with `file:line:column` so that an editor can jump there.
impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.list.iter().enumerate() {
            let line_break = if i == 0 { "" } else { "\n" };
            write!(f, "{line_break}{}:{mistake}", self.file)?;
        }
        Ok(())
    }
}

impl From<Mistakes> for CommandError {
    fn from(mistakes: Mistakes) -> Self {
        let count = match mistakes.list.len() {
            1 => "a mistake".to_owned(),
            count => format!("{count} mistakes"),
        };
        let message = format!("the configuration has {count}");
        Self::usage(mistakes)
            .context(message)
            .hint("`headcount config check` tells whether all are mended")
    }
}

/// Returns line and column, both from 1, of a byte of `text`.
pub(super) fn place(text: &str, span: &Range<usize>) -> (usize, usize) {
    let before = text.get(..span.start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
