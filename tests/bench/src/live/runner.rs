//! Runs the followers in turn, several rounds, at each latency, and collects how long each block
//! took.

use super::{
    contender::{Files, Follower, Following, Told},
    node::LiveNode,
    summary::{Sample, Summary},
};
use crate::{
    chain::{Chain, FIRST_BLOCK, Receipts},
    contender::{Expected, contents},
    error::BenchError,
    runner::say,
    transfer::{Economy, TRANSFERS_PER_BLOCK},
};
use duckdb::{AccessMode, Config, Connection};
use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Blocks below the first head.
const BLOCKS_BELOW: u64 = 100;

/// Blocks announced before those that count: files grow, caches fill.
const WARM_UP_BLOCKS: u64 = 10;

/// Time a follower has to start, and to come to the last block.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Blocks that count, in each run.
    pub block_count: u64,
    /// Rounds.
    pub run_count: usize,
    /// Time between two heads.
    pub interval: Duration,
    /// Waits before each answer and announcement, in milliseconds.
    pub latencies_ms: Vec<u64>,
    /// Programs and files.
    pub files: Files,
    /// Folder on a real disk where ledgers are written.
    pub scratch: PathBuf,
}

/// Runs the plan and tells `talk` what happens.
pub fn run(plan: &Plan, talk: &mut dyn Write) -> Result<Summary, BenchError> {
    let mut summary = Summary::new(plan);
    let mut followers = Follower::ALL.to_vec();
    if !plan.files.plugin.exists() {
        followers.retain(|follower| *follower != Follower::Watch);
        summary.notes.push(format!("SKIP (f): {} is not built", plan.files.plugin.display()));
    } else if !plan.files.headcount.exists() {
        return Err(BenchError::NotBuilt(plan.files.headcount.clone()));
    }
    let live = Live {
        plan,
        chain: Arc::new(Chain::build(
            BLOCKS_BELOW + 1 + WARM_UP_BLOCKS + plan.block_count,
            Receipts::OnTheSpot,
        )),
        head: FIRST_BLOCK + BLOCKS_BELOW,
    };
    for round in 0..plan.run_count {
        for latency_ms in &plan.latencies_ms {
            // Whoever runs first in a round is another one each time.
            for turn in 0..followers.len() {
                let follower = followers[(turn + round) % followers.len()];
                let samples = live.follow(follower, Duration::from_millis(*latency_ms))?;
                let row = summary.add(follower, *latency_ms, samples);
                say(talk, &format!("round {}: {row}", round + 1));
            }
        }
    }
    Ok(summary)
}

struct Live<'a> {
    plan: &'a Plan,
    chain: Arc<Chain>,
    /// Head before the first announcement.
    head: u64,
}

impl Live<'_> {
    fn follow(&self, follower: Follower, latency: Duration) -> Result<Vec<Sample>, BenchError> {
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(&self.plan.scratch)
            .map_err(BenchError::io("making a folder for a ledger"))?;
        let ledger = folder.path().join("ledger.duckdb");
        let node = LiveNode::start(Arc::clone(&self.chain), self.head, latency)?;
        let following = follower.start(&self.plan.files, node.url(), self.head, &ledger)?;
        self.await_ready(&following)?;
        let announced = self.announce_all(&node);
        let samples = self.samples(follower, &following, &announced)?;
        following.end()?;
        drop(node);
        self.check(follower, &ledger)?;
        Ok(samples)
    }

    /// A watch is ready once its plugin has the head.
    fn await_ready(&self, following: &Following) -> Result<(), BenchError> {
        let until = Instant::now() + PATIENCE;
        loop {
            match following.hear(until) {
                Some((_, Told::Ready)) => return Ok(()),
                Some((_, Told::Committed(number))) if number >= self.head => return Ok(()),
                Some(_) => {}
                None => return Err(following.silent(self.head)),
            }
        }
    }

    fn announce_all(&self, node: &LiveNode) -> Vec<Instant> {
        let mut due = Instant::now() + self.plan.interval;
        let mut announce = |number| {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            due += self.plan.interval;
            node.announce(number)
        };
        (self.head + 1..=self.chain.last()).map(&mut announce).collect()
    }

    fn samples(
        &self,
        follower: Follower,
        following: &Following,
        announced: &[Instant],
    ) -> Result<Vec<Sample>, BenchError> {
        let until = Instant::now() + PATIENCE;
        let len = announced.len();
        let (mut committed, mut printed) = (vec![None; len], vec![None; len]);
        let is_watch = follower == Follower::Watch;
        let mut through = 0;
        while through < len || (is_watch && printed.last().is_none_or(Option::is_none)) {
            let Some((at, told)) = following.hear(until) else {
                return Err(following.silent(self.head + 1 + through as u64));
            };
            match told {
                Told::Committed(number) => {
                    let end = (number.saturating_sub(self.head) as usize).min(len);
                    if end > through {
                        committed[through..end].fill(Some(at));
                        through = end;
                    }
                }
                Told::Printed(number) => {
                    let index = number.checked_sub(self.head + 1).map(|index| index as usize);
                    if let Some(first) = index.and_then(|index| printed.get_mut(index)) {
                        first.get_or_insert(at);
                    }
                }
                Told::Ready => {}
            }
        }
        let ms = |from: &Instant, to: Instant| to.duration_since(*from).as_secs_f64() * 1e3;
        let all = announced.iter().zip(committed.into_iter().zip(printed));
        Ok(all
            .skip(WARM_UP_BLOCKS as usize)
            .filter_map(|(announced, (committed, printed))| {
                Some(Sample {
                    commit_ms: ms(announced, committed?),
                    print_ms: printed.map(|printed| ms(announced, printed)),
                })
            })
            .collect())
    }

    /// A figure of a run that left something else than what was announced is worthless.
    fn check(&self, follower: Follower, ledger: &Path) -> Result<(), BenchError> {
        let announced = self.chain.last() - self.head;
        let (found, expected) = match follower {
            Follower::Watch => {
                let expected = Expected::from(&Economy::default(), self.head, announced + 1);
                (contents(&self.plan.files.headcount, ledger)?, expected.in_a_ledger())
            }
            Follower::HeadsLoop | Follower::LogsLoop => {
                let config = Config::default().access_mode(AccessMode::ReadWrite)?;
                let file = Connection::open_with_flags(ledger, config)?;
                let sql = "SELECT count(DISTINCT (block_number, log_index)) FROM events";
                let count: u64 = file.query_row(sql, [], |row| row.get(0))?;
                let expected = announced * TRANSFERS_PER_BLOCK as u64;
                (count.to_string(), expected.to_string())
            }
        };
        if found == expected {
            return Ok(());
        }
        Err(BenchError::Unequal { contender: follower.to_string(), found, expected })
    }
}
