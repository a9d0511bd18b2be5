//! A golden file: what a plugin wrote once, which it has to write again.

use super::rows::Line;
use crate::command_error::CommandError;
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Lines that differ and are shown, at most.
const SHOWN_MAX: usize = 40;
/// Largest golden file that is read, in bytes.
const FILE_MAX_BYTES: u64 = 256 << 20;

/// The file.
#[derive(Debug)]
pub(crate) struct Golden {
    path: PathBuf,
}

/// One line that only one side has.
#[derive(Debug, PartialEq, Eq)]
enum Change<'a> {
    /// The file has it at this line, from 1.
    Gone(usize, &'a str),
    /// The run gave it as this line, from 1.
    New(usize, &'a str),
}

impl Golden {
    pub(crate) const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what the run gave as what is right from now on.
    pub(crate) fn bless(&self, lines: &[Line]) -> Result<(), CommandError> {
        let text: String = lines.iter().flat_map(|line| [line.0.as_str(), "\n"]).collect();
        fs::write(&self.path, text).map_err(|error| {
            CommandError::unread(format!("writing the golden file {}", self.path.display()), error)
        })
    }

    /// Writes to `out` which lines differ. Returns how many.
    pub(crate) fn compare(
        &self,
        lines: &[Line],
        out: &mut dyn Write,
    ) -> Result<usize, CommandError> {
        let unread = |error| {
            let doing = format!("reading the golden file {}", self.path.display());
            CommandError::unread(doing, error).hint("--bless makes it from what the run gives")
        };
        if fs::metadata(&self.path).map_err(unread)?.len() > FILE_MAX_BYTES {
            return Err(unread(io::Error::other("it is larger than 256 MiB")));
        }
        let text = fs::read_to_string(&self.path).map_err(unread)?;
        let expected: Vec<&str> = text.lines().collect();
        let found: Vec<&str> = lines.iter().map(|line| line.0.as_str()).collect();
        let changes = changes(&expected, &found);
        for change in changes.iter().take(SHOWN_MAX) {
            match change {
                Change::Gone(at, line) => writeln!(out, "-{at}: {line}")?,
                Change::New(at, line) => writeln!(out, "+{at}: {line}")?,
            }
        }
        if changes.len() > SHOWN_MAX {
            writeln!(out, "... and {} more", changes.len() - SHOWN_MAX)?;
        }
        Ok(changes.len())
    }
}

/// Returns what differs, in order. Lines are sorted on both sides, so what both have keeps its order.
fn changes<'a>(expected: &[&'a str], found: &[&'a str]) -> Vec<Change<'a>> {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    expected.iter().for_each(|line| counts.entry(line).or_default().0 += 1);
    found.iter().for_each(|line| counts.entry(line).or_default().1 += 1);
    // How many of a line both have: so many of each side are passed over.
    let common = |line: &str| counts.get(line).map_or(0, |(a, b)| *a.min(b));
    let (mut passed_gone, mut passed_new) = (BTreeMap::new(), BTreeMap::new());
    let is_common = |passed: &mut BTreeMap<&'a str, usize>, line: &'a str| {
        let passed = passed.entry(line).or_default();
        *passed += 1;
        *passed <= common(line)
    };
    let mut changes = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < expected.len() || j < found.len() {
        while let Some(line) = expected.get(i).filter(|line| !is_common(&mut passed_gone, line)) {
            i += 1;
            changes.push(Change::Gone(i, line));
        }
        while let Some(line) = found.get(j).filter(|line| !is_common(&mut passed_new, line)) {
            j += 1;
            changes.push(Change::New(j, line));
        }
        (i, j) = (i + 1, j + 1);
    }
    changes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_only_one_side_has_is_told_with_its_place() {
        let (expected, found) = (["a", "b", "b", "d"], ["a", "b", "c", "d", "d"]);
        assert_eq!(
            changes(&expected, &found),
            [Change::Gone(3, "b"), Change::New(3, "c"), Change::New(5, "d")]
        );
        assert!(changes(&expected, &expected).is_empty());
        assert_eq!(changes(&[], &["a"]), [Change::New(1, "a")]);
    }

    #[test]
    fn a_blessed_file_is_what_the_next_run_is_compared_with() {
        let folder = tempfile::tempdir().unwrap();
        let golden = Golden::at(folder.path().join("g.ndjson"));
        let (one, two) = (Line("{\"n\":1}".into()), Line("{\"n\":2}".into()));
        let error = golden.compare(&[], &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("--bless"), "{error}");
        golden.bless(std::slice::from_ref(&one)).unwrap();
        let mut shown = Vec::new();
        assert_eq!(golden.compare(std::slice::from_ref(&one), &mut shown).unwrap(), 0);
        assert_eq!(golden.compare(&[two], &mut shown).unwrap(), 2);
        assert_eq!(String::from_utf8(shown).unwrap(), "-1: {\"n\":1}\n+1: {\"n\":2}\n");
    }
}
