//! The built program, started on a ledger with a plugin that is new to it, and heard from the start of
//! the plugin's lane to its last commit.

use crate::{
    chain::FIRST_BLOCK,
    contender::{CONTRACT, EVENT, Words},
    error::BenchError,
    transfer::TOKEN,
};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Events whose effects share one commit, in the program.
pub(super) const GROUP_EVENTS: usize = 50_000;

/// Deadline of a batch: a machine that stands still for a moment is no fault of a guest's.
const DEADLINE_MS: u64 = 60_000;

/// The program, and the node that it greets.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) headcount: PathBuf,
    pub(super) url: String,
    pub(super) block_count: u64,
}

impl Program {
    /// Fills a ledger.
    pub(super) fn fill(&self, ledger: &Path) -> Result<(), BenchError> {
        self.run(&self.words(ledger)).map(|_| ())
    }

    /// Starts it with a plugin on a ledger that has everything; returns the time from the start of the
    /// lane to its last commit.
    pub(super) fn catch_up(
        &self,
        ledger: &Path,
        plugin: &Path,
        batch_events: usize,
    ) -> Result<Duration, BenchError> {
        let config = ledger.with_extension("toml");
        let text = format!(
            "[[plugin]]\nname = \"measured\"\nwasm = {:?}\nbatch_events = {batch_events}\n\
             limits = {{ deadline_ms = {DEADLINE_MS} }}\n",
            plugin.display().to_string()
        );
        fs::write(&config, text).map_err(BenchError::io("writing a configuration"))?;
        let mut words = self.words(ledger);
        words.flag("--config", &config).flag("--plugin", "measured");
        let (started, committed) = self.run(&words)?;
        let next = FIRST_BLOCK + self.block_count;
        match (started, committed) {
            (Some(started), Some((committed, next_block))) if next_block == next => {
                Ok(committed.duration_since(started))
            }
            (_, committed) => Err(BenchError::Unequal {
                contender: format!("headcount with {}", plugin.display()),
                found: format!("next block {:?}", committed.map(|(_, next_block)| next_block)),
                expected: format!("next block {next}"),
            }),
        }
    }

    fn words(&self, ledger: &Path) -> Words {
        let last = FIRST_BLOCK + self.block_count - 1;
        let mut words = Words::default();
        words
            .push("replay")
            .flag("-r", &self.url)
            .flag("-c", format!("{CONTRACT}={TOKEN}"))
            .flag("-e", EVENT)
            .flag("-b", format!("{FIRST_BLOCK}:{last}"))
            .flag("--ledger", ledger)
            .flag("--verify", "bloom")
            .push("--quiet");
        words
    }

    /// Runs it; returns when the lane started, and when and where it committed last.
    fn run(&self, words: &Words) -> Result<(Option<Instant>, Option<(Instant, u64)>), BenchError> {
        let mut child = Command::new(&self.headcount)
            .args(&words.0)
            .env("HEADCOUNT_LOG", "warn,pipeline::lane=debug")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(BenchError::io("starting headcount"))?;
        let (mut started, mut committed, mut said) = (None, None, String::new());
        let lines = child.stderr.take().map(|pipe| BufReader::new(pipe).lines());
        for line in lines.into_iter().flatten().map_while(Result::ok) {
            let now = Instant::now();
            if line.contains("lane started") {
                started.get_or_insert(now);
            } else if let Some((_, next)) = line.split_once("next_block=") {
                let digits = next.split(|c: char| !c.is_ascii_digit()).next();
                committed = digits.and_then(|digits| Some((now, digits.parse().ok()?)));
            } else {
                said.push_str(&line);
                said.push('\n');
            }
        }
        let status = child.wait().map_err(BenchError::io("waiting for headcount"))?;
        if !status.success() || said.contains("batch failed") {
            let command = "headcount replay".to_owned();
            return Err(BenchError::Child { command, status: status.to_string(), stderr: said });
        }
        Ok((started, committed))
    }
}
