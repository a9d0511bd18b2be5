//! What a plugin is handed just now, for whoever waits: live on a terminal, and in a line of its own once a
//! batch comes near its deadline.

use crate::progress::{Progress, ProgressLines};
use event::{Batch, BlockRange};
use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

/// One run over a range.
pub(super) struct Handing {
    what: &'static str,
    range: BlockRange,
    events: u64,
    lines: Arc<Mutex<ProgressLines>>,
    tasks: Option<mpsc::Sender<Task>>,
    teller: Option<JoinHandle<()>>,
}

/// What the plugin does.
enum Task {
    Begins(String),
    Ends,
}

impl Handing {
    /// Begins to tell of a run, which is called `what`, of a plugin with this deadline.
    pub(super) fn begin(
        what: &'static str,
        range: BlockRange,
        deadline: Duration,
        is_shown: bool,
    ) -> Self {
        let lines = Arc::new(Mutex::new(ProgressLines::shown(is_shown)));
        let (tasks, asked) = mpsc::channel();
        let shown = lines.clone();
        let say = move |line: &str| shown.lock().unwrap_or_else(PoisonError::into_inner).say(line);
        let teller = thread::spawn(move || tell(&asked, what, deadline, say));
        Self { what, range, events: 0, lines, tasks: Some(tasks), teller: Some(teller) }
    }

    /// Does what hands over this batch.
    pub(super) fn during<T>(&mut self, batch: &Batch, work: impl FnOnce() -> T) -> T {
        let words = batch.words();
        let first = batch.blocks.first().map_or(0, |block| block.number);
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).show(&Progress {
            blocks_done: first.saturating_sub(self.range.first()),
            blocks_total: self.range.count(),
            events: self.events,
            open: 0,
            per_node: vec![(self.what.to_owned(), words.clone())],
        });
        self.tell(Task::Begins(words));
        let done = work();
        self.tell(Task::Ends);
        self.events += batch.seq.len() as u64;
        done
    }

    fn tell(&self, task: Task) {
        // Without its thread nothing is said, and nothing else is amiss.
        if let Some(tasks) = &self.tasks {
            drop(tasks.send(task));
        }
    }
}

impl Drop for Handing {
    fn drop(&mut self) {
        drop(self.tasks.take());
        if let Some(teller) = self.teller.take() {
            drop(teller.join());
        }
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Says of each batch that takes more than half of its time that it does.
fn tell(tasks: &mpsc::Receiver<Task>, what: &str, deadline: Duration, say: impl Fn(&str)) {
    let half = deadline / 2;
    while let Ok(task) = tasks.recv() {
        let Task::Begins(batch) = task else { continue };
        if matches!(tasks.recv_timeout(half), Err(mpsc::RecvTimeoutError::Timeout)) {
            say(&format!(
                "{what}: {batch}: has run for {} ms, and is ended at `deadline_ms` of {}",
                half.as_millis(),
                deadline.as_millis()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn said(deadline: Duration, ends: bool) -> Vec<String> {
        let (tasks, asked) = mpsc::channel();
        drop(tasks.send(Task::Begins("blocks 5:9 (2 events)".to_owned())));
        if ends {
            drop(tasks.send(Task::Ends));
        }
        let (tasks, said) = (Mutex::new(Some(tasks)), Mutex::new(Vec::new()));
        if ends {
            drop(tasks.lock().unwrap().take());
        }
        tell(&asked, "p", deadline, |line| {
            said.lock().unwrap().push(line.to_owned());
            drop(tasks.lock().unwrap().take());
        });
        said.into_inner().unwrap()
    }

    #[test]
    fn of_a_batch_that_comes_near_its_deadline_one_line_is_said_and_of_others_none() {
        let line = "p: blocks 5:9 (2 events): has run for 1 ms, and is ended at `deadline_ms` of 2";
        assert_eq!(said(Duration::from_millis(2), false), [line]);
        assert!(said(Duration::from_secs(3_600), true).is_empty());
    }
}
