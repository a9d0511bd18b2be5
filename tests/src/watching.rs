//! A `headcount watch` that runs beside a test, with every line that it wrote.

use crate::Program;
use serde_json::Value;
use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A condition that is not met by then never will be.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Debug, Default)]
struct Heard {
    lines: Mutex<Vec<Value>>,
    said: Mutex<String>,
    changed: Condvar,
}

/// A running watch; killed when dropped.
#[derive(Debug)]
pub struct Watching {
    child: Child,
    heard: Arc<Heard>,
    /// Not read yet.
    stdout: Option<ChildStdout>,
    stderr: Option<JoinHandle<()>>,
}

/// How it ended.
#[derive(Debug)]
pub struct WatchEnd {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Time between the signal and the end.
    pub took: Duration,
    /// Every line of stdout.
    pub lines: Vec<Value>,
    /// All of stderr.
    pub stderr: String,
}

impl Watching {
    /// Starts `program` with these arguments.
    pub fn start<I: AsRef<OsStr>>(
        program: &Program,
        arguments: impl IntoIterator<Item = I>,
    ) -> Self {
        let mut watching = Self::start_unread(program, arguments);
        watching.read();
        watching
    }

    /// Starts `program` with these arguments; nobody reads its stdout until [`Self::read`].
    pub fn start_unread<I: AsRef<OsStr>>(
        program: &Program,
        arguments: impl IntoIterator<Item = I>,
    ) -> Self {
        let mut child = program.start_heard(arguments);
        let heard = Arc::new(Heard::default());
        let stdout = child.stdout.take();
        let stderr = child.stderr.take().expect("stderr is piped");
        let hearing = heard.clone();
        let stderr = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut said = hearing.said.lock().unwrap_or_else(PoisonError::into_inner);
                said.push_str(&line);
                said.push('\n');
                hearing.changed.notify_all();
            }
        });
        Self { child, heard, stdout, stderr: Some(stderr) }
    }

    /// Begins to read its stdout.
    pub fn read(&mut self) {
        let Some(stdout) = self.stdout.take() else { return };
        let hearing = self.heard.clone();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("every line is one JSON value");
                hearing.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                hearing.changed.notify_all();
            }
        });
    }

    /// Waits until the lines so far are as wanted.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, is_so: impl Fn(&[Value]) -> bool) {
        let begun = Instant::now();
        let mut lines = self.heard.lines.lock().unwrap_or_else(PoisonError::into_inner);
        while !is_so(&lines) {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let is_gone = self.child.try_wait().is_ok_and(|ended| ended.is_some());
            if left.is_zero() || is_gone {
                let (last, count) = (lines.last().cloned(), lines.len());
                drop(lines);
                let _ = self.child.kill();
                let said = self.said();
                panic!("never {what}; {count} lines, the last {last:?}; stderr {said}");
            }
            let step = left.min(Duration::from_millis(500));
            let waited = self.heard.changed.wait_timeout(lines, step);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until it has said this on stderr.
    #[track_caller]
    pub fn wait_until_said(&mut self, words: &str) {
        let heard = self.heard.clone();
        let has_said = move |_: &[Value]| {
            heard.said.lock().unwrap_or_else(PoisonError::into_inner).contains(words)
        };
        self.wait_until(&format!("said `{words}`"), has_said);
    }

    /// Returns what it has said on stderr so far.
    pub fn said(&self) -> String {
        self.heard.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal is sent");
    }

    /// Sends a signal and waits for the end.
    pub fn end(mut self, signal: &str) -> WatchEnd {
        let begun = Instant::now();
        self.signal(signal);
        self.wait(begun)
    }

    /// Waits for it to end by itself.
    pub fn join(mut self) -> WatchEnd {
        self.wait(Instant::now())
    }

    fn wait(&mut self, begun: Instant) -> WatchEnd {
        let code = self.child.wait().expect("it was started").code();
        let took = begun.elapsed();
        let _ = self.stderr.take().map(JoinHandle::join);
        let stderr = self.said();
        let lines = self.heard.lines.lock().unwrap_or_else(PoisonError::into_inner).clone();
        WatchEnd { code, took, lines, stderr }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
