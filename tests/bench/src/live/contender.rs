//! Who follows the node: the built program and the two bare loops, each as a child that says on a
//! pipe when a block is done. The instant at which its word is read counts, for all of them alike.

use crate::{
    contender::{CONTRACT, EVENT, Words},
    error::BenchError,
    transfer::TOKEN,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

/// Bytes of a child's stderr that are kept to be shown with an error.
const STDERR_BYTES_MAX: usize = 16 << 10;

/// Time a child has to end when asked to.
const END_WAIT: Duration = Duration::from_secs(10);

/// One way to follow a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Follower {
    /// (f) `watch --verify bloom` with the plugin `erc20-balances`.
    Watch,
    /// (g) The bare loop over `newHeads`.
    HeadsLoop,
    /// (h) The bare loop over `logs`.
    LogsLoop,
}

impl Follower {
    /// Everyone, in the order of the table.
    pub const ALL: [Self; 3] = [Self::Watch, Self::HeadsLoop, Self::LogsLoop];
}

impl fmt::Display for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Watch => "(f) watch --verify bloom --plugin erc20-balances",
            Self::HeadsLoop => "(g) bare loop: newHeads, header, logs, commit",
            Self::LogsLoop => "(h) bare loop: logs, commit",
        })
    }
}

/// What a child said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It listens.
    Ready,
    /// Every block up to this one is committed, by the plugin where there is one.
    Committed(u64),
    /// A line about this block was printed.
    Printed(u64),
}

/// Programs and files of a run.
#[derive(Clone, Debug)]
pub struct Files {
    /// This program.
    pub bench: PathBuf,
    /// The program to measure.
    pub headcount: PathBuf,
    /// The plugin of (f).
    pub plugin: PathBuf,
}

/// A child under way. Dropping it ends it.
#[derive(Debug)]
pub struct Following {
    follower: Follower,
    child: Child,
    told: Receiver<(Instant, Told)>,
    stderr: Arc<Mutex<String>>,
}

impl Follower {
    /// Starts it with a fresh file at `ledger`; (f) begins with block `first`.
    pub fn start(
        self,
        files: &Files,
        url: &str,
        first: u64,
        ledger: &Path,
    ) -> Result<Following, BenchError> {
        let mut words = Words::default();
        match self {
            Self::Watch => words
                .push("watch")
                .flag("-r", url)
                .flag("-c", format!("{CONTRACT}={TOKEN}"))
                .flag("-e", EVENT)
                .flag("--from-block", first.to_string())
                .flag("--verify", "bloom")
                .flag("--plugin", &files.plugin)
                .flag("--ledger", ledger)
                .push("--quiet"),
            Self::HeadsLoop | Self::LogsLoop => words
                .push("bare-loop")
                .flag("--url", url)
                .flag("--on", if self == Self::HeadsLoop { "heads" } else { "logs" })
                .flag("--file", ledger),
        };
        let program = if self == Self::Watch { &files.headcount } else { &files.bench };
        let mut child = Command::new(program)
            .args(&words.0)
            .env("HEADCOUNT_LOG", "warn,pipeline::lane=debug")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(BenchError::io(format!("starting {self}")))?;
        let (sender, told) = mpsc::channel();
        let stderr = Arc::default();
        if let Some(out) = child.stdout.take() {
            listen(out, self, sender.clone(), None);
        }
        if let Some(err) = child.stderr.take() {
            listen(err, self, sender, Some(Arc::clone(&stderr)));
        }
        Ok(Following { follower: self, child, told, stderr })
    }

    fn read(self, line: &str) -> Option<Told> {
        match self {
            Self::HeadsLoop | Self::LogsLoop => match line.strip_prefix("committed ") {
                Some(number) => number.parse().ok().map(Told::Committed),
                None => (line == "ready").then_some(Told::Ready),
            },
            Self::Watch => match line.split_once("next_block=") {
                Some((_, number)) => {
                    let digits = number.split(|c: char| !c.is_ascii_digit()).next();
                    let next: u64 = digits?.parse().ok()?;
                    Some(Told::Committed(next.checked_sub(1)?))
                }
                None => {
                    let event: EventLine = serde_json::from_str(line).ok()?;
                    (event.kind == "event").then_some(Told::Printed(event.block?))
                }
            },
        }
    }
}

/// Of a line of `watch`, what is looked at.
#[derive(Deserialize)]
struct EventLine {
    #[serde(rename = "type")]
    kind: String,
    block: Option<u64>,
}

/// Reads a pipe to its end on a thread of its own.
fn listen(
    pipe: impl Read + Send + 'static,
    follower: Follower,
    told: Sender<(Instant, Told)>,
    keep: Option<Arc<Mutex<String>>>,
) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let now = Instant::now();
            match follower.read(&line) {
                // Nobody listens any more once enough was heard.
                Some(word) => drop(told.send((now, word))),
                None => {
                    if let Some(keep) = &keep {
                        let mut text = keep.lock().unwrap_or_else(PoisonError::into_inner);
                        if text.len() < STDERR_BYTES_MAX {
                            text.push_str(&line);
                            text.push('\n');
                        }
                    }
                }
            }
        }
    });
}

impl Following {
    /// Returns its next word, or `None` when there is none before `until`.
    pub fn hear(&self, until: Instant) -> Option<(Instant, Told)> {
        self.told.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
    }

    /// Returns the error of one that did not come to `block`.
    pub fn silent(&self, block: u64) -> BenchError {
        let stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone();
        BenchError::Silent { contender: self.follower.to_string(), block, stderr }
    }

    /// Asks it to end and waits until it has.
    pub fn end(mut self) -> Result<(), BenchError> {
        if let Ok(id) = i32::try_from(self.child.id()) {
            kill(Pid::from_raw(id), Signal::SIGTERM)
                .map_err(|errno| BenchError::io("ending a child")(errno.into()))?;
        }
        let until = Instant::now() + END_WAIT;
        let mut status: Option<ExitStatus> = None;
        while status.is_none() && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
            status = self.child.try_wait().map_err(BenchError::io("waiting for a child"))?;
        }
        // A bare loop knows no signals.
        let is_well = status.is_some_and(|status| status.success())
            || (status.is_some() && self.follower != Follower::Watch);
        if is_well {
            return Ok(());
        }
        Err(BenchError::Child {
            command: self.follower.to_string(),
            status: status.map_or_else(|| "no end".to_owned(), |status| status.to_string()),
            stderr: self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        })
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_every_child_are_understood() {
        let log = "DEBUG pipeline::lane: lane committed plugin=erc20-balances next_block=8";
        assert_eq!(Follower::Watch.read(log), Some(Told::Committed(7)));
        let line = r#"{"v":1,"type":"event","id":"1:2:3","block":7}"#;
        assert_eq!(Follower::Watch.read(line), Some(Told::Printed(7)));
        assert_eq!(Follower::Watch.read(r#"{"v":1,"type":"end","chain":1}"#), None);
        assert_eq!(Follower::LogsLoop.read("committed 7"), Some(Told::Committed(7)));
        assert_eq!(Follower::HeadsLoop.read("ready"), Some(Told::Ready));
    }
}
