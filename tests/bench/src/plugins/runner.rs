//! Runs every plugin at every batch size, several rounds, each next to its yardsticks at once: a machine
//! that is slow for a while is slow for all of them.

use super::{
    batches::batches,
    events::scan,
    guest::{Calls, Guest, types::Batch},
    program::{GROUP_EVENTS, Program},
    rows::append,
    summary::{Language, Sample, Summary},
};
use crate::{
    chain::{Chain, Receipts},
    error::BenchError,
    runner::say,
    server,
    transfer::{Economy, TRANSFERS_PER_BLOCK},
};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Batch sizes, with what of the events each runs on: small batches take long. For batches of one event
/// the blocks have one, as batches are whole blocks.
const SIZES: [Size; 3] = [
    Size { batch_events: 1_000, part: 1, events_per_block: TRANSFERS_PER_BLOCK },
    Size { batch_events: 100, part: 5, events_per_block: TRANSFERS_PER_BLOCK },
    Size { batch_events: 1, part: 50, events_per_block: 1 },
];

/// The size that goals are held to.
pub const GOAL_EVENTS: usize = 1_000;

#[derive(Clone, Copy, Debug)]
struct Size {
    batch_events: usize,
    part: usize,
    events_per_block: usize,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Events at the largest batch size.
    pub event_count: usize,
    /// Rounds.
    pub run_count: usize,
    /// The program to measure.
    pub headcount: PathBuf,
    /// Component of each language.
    pub plugins: Vec<(Language, PathBuf)>,
    /// Folder on a real disk where ledgers are written.
    pub scratch: PathBuf,
}

/// A ledger that has everything, and its events as batches.
struct Filled {
    size: Size,
    ledger: PathBuf,
    program: Program,
    batches: Vec<Batch>,
}

/// Runs the plan and tells `talk` what happens.
pub fn run(plan: &Plan, talk: &mut dyn Write) -> Result<Summary, BenchError> {
    let mut summary = Summary::new(plan.run_count);
    if !plan.headcount.exists() {
        return Err(BenchError::NotBuilt(plan.headcount.clone()));
    }
    let compiled = plan.scratch.join("bench-guests");
    let mut guests = Vec::new();
    for (language, path) in &plan.plugins {
        if !path.exists() {
            let path = path.display();
            let hint = language.hint();
            summary.notes.push(format!("SKIP {language}: {path} is not built ({hint})"));
            continue;
        }
        say(talk, &format!("compiling {language}, once"));
        guests.push((*language, path, Guest::load(path, &compiled)?));
    }
    let folder = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&plan.scratch)
        .map_err(BenchError::io("making a folder for ledgers"))?;
    let mut filled = Vec::new();
    for size in SIZES {
        say(talk, &format!("filling a ledger for batches of {}", size.batch_events));
        filled.push(Filled::new(plan, size, folder.path())?);
    }
    for round in 0..plan.run_count {
        for (language, path, guest) in &guests {
            for filled in &filled {
                let sample = filled.measure(path, guest, folder.path())?;
                let size = filled.size.batch_events;
                say(talk, &format!("round {}: {language}, batches of {size}: {sample}", round + 1));
                summary.add(*language, size, sample);
            }
        }
    }
    Ok(summary)
}

impl Filled {
    fn new(plan: &Plan, size: Size, folder: &Path) -> Result<Self, BenchError> {
        let block_count = (plan.event_count / size.part / size.events_per_block).max(1) as u64;
        let economy = Economy::with_transfers_per_block(size.events_per_block);
        let chain = Arc::new(Chain::of(economy, block_count, Receipts::OnTheSpot));
        let event_count = chain.log_count() as usize;
        let address = server::serve(chain, Duration::ZERO, None);
        let url = format!("http://{}", address.map_err(BenchError::io("listening"))?);
        let program = Program { headcount: plan.headcount.clone(), url, block_count };
        let ledger = folder.join(format!("filled-{}.duckdb", size.batch_events));
        program.fill(&ledger)?;
        let batches = batches(&ledger, size.batch_events)?;
        let filled = Self { size, ledger, program, batches };
        filled.expect("the ledger", filled.event_count(), event_count)?;
        Ok(filled)
    }

    fn event_count(&self) -> usize {
        self.batches.iter().map(|batch| batch.len as usize).sum()
    }

    fn measure(&self, plugin: &Path, guest: &Guest, folder: &Path) -> Result<Sample, BenchError> {
        let (ledger, fresh) = (folder.join("ledger.duckdb"), folder.join("fresh.duckdb"));
        fs::copy(&self.ledger, &ledger).map_err(BenchError::io("copying a ledger"))?;
        let whole = self.program.catch_up(&ledger, plugin, self.size.batch_events)?;
        let Calls { call, fresh_us, beside_us } = guest.calls(&self.batches)?;
        let (scan, scanned) = scan(&self.ledger)?;
        self.expect("the scan", scanned, self.event_count())?;
        let commits = self.event_count().div_ceil(GROUP_EVENTS);
        let (append, rows) = append(&ledger, &fresh, commits)?;
        let empty = |path: &Path| fs::remove_file(path).map_err(BenchError::io("removing a file"));
        empty(&ledger)?;
        empty(&fresh)?;
        Ok(Sample {
            events: self.event_count(),
            batches: self.batches.len(),
            rows,
            whole_s: whole.as_secs_f64(),
            call_s: call.as_secs_f64(),
            fresh_us,
            beside_us,
            scan_s: scan.as_secs_f64(),
            append_s: append.as_secs_f64(),
        })
    }

    fn expect(&self, who: &str, found: usize, expected: usize) -> Result<(), BenchError> {
        if found == expected {
            return Ok(());
        }
        let (found, expected) = (format!("{found} events"), format!("{expected} events"));
        Err(BenchError::Unequal { contender: who.to_owned(), found, expected })
    }
}
