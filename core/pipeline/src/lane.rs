//! Drives one lane on a thread of its own: between the ledger and a plugin.
//!
//! A plugin that is slow or bad delays nobody: recording has another thread, and so has every
//! other plugin. Nor does a plugin wait for the ledger more than it has to: the next events are read
//! (`ahead.rs`) and the last effects written while it handles what comes between, one commit at a time.
//! Where that cannot be written the lane ends, and what was handled meanwhile is thrown away with it.
//! At the head a transaction gives lanes a moment to join it (`owner/joined.rs`).

use crate::{
    LaneHandle, Timer,
    ahead::ReadAhead,
    getting_on::GettingOn,
    owner::{Committing, News},
};
use dispatcher::{Action, Lane, LanePolicy, SubscriptionError, subscription_filters};
use event::{
    BlockRange, ChainId, Content, DeadLetter, Decoder, Filter, LaneCommit, LaneId, LaneState,
    LedgerError, Plugin, PluginFault, Reader, Visibility, Writer,
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

/// How long a lane that asked to wait sleeps at once, so that it notices news and the end.
const WAIT_STEP: Duration = Duration::from_millis(50);
/// How long, over all waits since it last handled something, the end of a run waits for a plugin that is to be
/// called again. Without that a run that comes by a clock would hand over the same first batch for ever.
const END_WAITS: Duration = Duration::from_secs(10);

/// Why a lane ended early.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The plugin asks for what does not exist.
    #[error("subscription of plugin {plugin}")]
    Subscription {
        /// Its name.
        plugin: String,
        /// What is wrong.
        source: SubscriptionError,
    },
    /// The ledger failed.
    #[error("lane of plugin {plugin}")]
    Ledger {
        /// Its name.
        plugin: String,
        /// What failed.
        source: LedgerError,
    },
}

/// What a lane did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneReport {
    /// Plugin.
    pub plugin: String,
    /// Chain.
    pub chain: ChainId,
    /// Every block below this one was handled.
    pub next_block: u64,
    /// Events delivered.
    pub events: u64,
    /// Batches handled.
    pub batches: u64,
    /// Rows written.
    pub rows: u64,
    /// Events set aside, with why.
    pub dead_letters: Vec<DeadLetter>,
    /// Why the plugin is halted, if it is.
    pub halted: Option<String>,
    /// Why it was handed nothing, where another component wrote its rows and nobody decided.
    pub held: Option<String>,
    /// Why it has not handled everything, where it is neither halted nor held.
    pub waits: Option<Waits>,
}

/// What a lane waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waits {
    /// To call the plugin again, which failed with this; the run ended before.
    Again(String),
    /// Events: nothing that the ledger follows matches the subscription.
    Subscription,
    /// This block, which is covered, to be as final as the plugin wants it.
    Finality(u64),
    /// This process, which owns the ledger, to run the plugin.
    Owner(u32),
    /// This process, which owns the ledger and runs the plugin, to be done with it.
    Turn(u32),
}

impl std::fmt::Display for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Again(reason) => f.write_str(reason),
            Self::Subscription => {
                f.write_str("nothing that the ledger follows matches its subscription")
            }
            Self::Finality(block) => write!(f, "block {block} is not as final as it wants it"),
            Self::Turn(pid) => {
                write!(f, "process {pid}, which owns the ledger, has not handed it everything yet")
            }
            Self::Owner(pid) => write!(f, "process {pid} owns the ledger and does not run it"),
        }
    }
}

/// Everything a lane runs with.
pub struct LaneRun {
    /// The plugin.
    pub plugin: Box<dyn Plugin>,
    /// The chain.
    pub chain: ChainId,
    /// The owner.
    pub owner: LaneHandle,
    /// Reads beside the owner.
    pub reader: Box<dyn Reader>,
    /// Decodes, where the plugin asks for it.
    pub decoder: Arc<dyn Decoder>,
    /// Bounds.
    pub policy: LanePolicy,
    /// What coverage must show before the lane advances.
    pub content: Content,
    /// First block of a lane that never ran, for a plugin that names none.
    pub start_block: u64,
    /// Ranges that are covered, or are being read: a lane begins where they do.
    pub covered: Vec<BlockRange>,
    /// What the ledger follows on this chain. A plugin that asks for more, for every contract
    /// say, is handed what of it is followed: nothing else could ever be covered.
    pub tracked: Vec<Filter>,
    /// Set when the lane is to end after the batch in hand, whatever else there is: its cursor stays
    /// in the ledger, and the next run goes on there.
    pub stop: Arc<AtomicBool>,
}

/// A commit that is under way, and what it is told to have done once it took effect.
struct Writing {
    committing: Committing,
    next_block: u64,
    rows: u64,
    dead_letters: Vec<DeadLetter>,
}

/// A lane that was opened, or why it never was.
enum Admitted {
    Lane(Box<LaneState>),
    Held { next_block: u64, held: String },
}

impl std::fmt::Debug for LaneRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaneRun").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl LaneRun {
    /// Runs until the owner was closed and the plugin has handled everything, or is halted.
    pub fn run(mut self, timer: &dyn Timer) -> Result<LaneReport, LaneError> {
        let descriptor = self.plugin.descriptor().clone();
        let (name, chain) = (descriptor.name.clone(), self.chain);
        let in_ledger = |source| LaneError::Ledger { plugin: name.clone(), source };
        let wanted = subscription_filters(&descriptor, self.chain)
            .map_err(|source| LaneError::Subscription { plugin: name.clone(), source })?;
        let filters = narrowed(&wanted, &self.tracked);
        if filters.is_empty() {
            let waits = Some(Waits::Subscription);
            return Ok(LaneReport { plugin: name, chain, waits, ..LaneReport::default() });
        }
        let id = LaneId { plugin: name.clone(), chain };
        let changed = self.owner.heed(&id);
        let writer = Writer {
            descriptor: descriptor.clone(),
            component: self.plugin.component(),
            on_change: self.policy.on_change,
        };
        let stored = match self.admitted(&id, &writer, &filters, &changed) {
            Ok(Admitted::Lane(stored)) => *stored,
            Ok(Admitted::Held { next_block, held }) => {
                let held = Some(held);
                let report =
                    LaneReport { plugin: name, chain, next_block, held, ..LaneReport::default() };
                return Ok(report);
            }
            Err(error) => return Err(in_ledger(error)),
        };
        let mut getting_on = GettingOn::new(stored.failing.clone());
        let asked = descriptor.subscriptions.iter().filter_map(|s| s.start_block).min();
        // A lane that ran before keeps its start, unless blocks right below it were read since.
        let start_block = match (asked, &stored.cursor) {
            (Some(asked), _) => asked,
            (None, Some(_)) => beginning(stored.start_block, &self.covered),
            (None, None) => beginning(self.start_block, &self.covered),
        };
        let mut lane = Lane::new(
            id.clone(),
            descriptor.clone(),
            stored,
            self.policy.clone(),
            filters,
            start_block,
        )
        .with_decoder(self.decoder.clone());
        let filters = lane.filters().to_vec();
        if descriptor.visibility == Visibility::Safe {
            self.owner.want_safe();
        }
        let news = self.owner.watch(id.clone(), filters, lane.start_block(), self.content);
        let mut heard = 0;
        let mut report = LaneReport { plugin: name.clone(), chain, ..LaneReport::default() };
        let (mut is_closing, mut end_waited) = (false, Duration::ZERO);
        let mut learnt = BTreeSet::new();
        let mut told_halted = None;
        let mut reader = ReadAhead::new(self.owner.reader(self.reader));
        let mut writing: Option<Writing> = None;
        tracing::debug!(plugin = %name, next_block = lane.cursor().next_block, "lane started");
        loop {
            if changed.swap(false, Ordering::AcqRel) {
                report.halted = None;
                lane.reload();
            }
            let action = lane.next(timer.now_ms());
            // Only what is committed counts: a batch that is not is handled again another time.
            if self.stop.load(Ordering::Acquire) && !matches!(action, Action::Commit(_)) {
                break;
            }
            let goes_on = matches!(
                action,
                Action::ReadJournal { .. } | Action::ReadEvents(_) | Action::Handle(_)
            );
            if !goes_on {
                finish(&mut writing, &mut report).map_err(in_ledger)?;
            }
            if matches!(action, Action::Idle | Action::Halted(_)) {
                getting_on.has_nothing_in_hand();
            }
            note(&self.owner, &lane, &mut getting_on, (timer.now_ms(), false));
            match action {
                Action::ReadJournal { after, limit } => {
                    let ledger = reader.reader().map_err(in_ledger)?;
                    let rows = ledger.journal(self.chain, after, limit).map_err(in_ledger)?;
                    for id in rows.iter().filter_map(|row| row.filter) {
                        if learnt.insert(id)
                            && let Some(filter) = ledger.filter(id).map_err(in_ledger)?
                        {
                            lane.learn_filter(&filter);
                        }
                    }
                    reader.on_journal(&rows);
                    lane.on_journal(&rows);
                }
                Action::ReadEvents(query) => {
                    lane.on_events(reader.events(&query).map_err(in_ledger)?);
                }
                Action::Handle(batch) => {
                    let begun_ms = timer.now_ms();
                    let handled = self.plugin.handle(&batch, lane.state());
                    report.batches += 1;
                    match &handled {
                        Ok(_) => {
                            report.events += batch.logs.len() as u64;
                            getting_on.is_well();
                            end_waited = Duration::ZERO;
                        }
                        Err(fault) => {
                            tracing::warn!(plugin = %name, %fault, "batch failed");
                            if let PluginFault::Retry { .. } | PluginFault::Deadline { .. } = fault
                            {
                                getting_on.fails(fault.to_string(), begun_ms);
                            }
                        }
                    }
                    lane.on_handled(handled, timer.now_ms());
                }
                Action::Commit(commit) => {
                    writing = Some(Writing {
                        rows: rows_of(&commit),
                        dead_letters: commit.dead_letters.clone(),
                        next_block: commit.after.next_block,
                        committing: self.owner.begin_commit(*commit),
                    });
                    // As far as the lane goes on it is: whatever depends on the ledger waits for its end.
                    lane.on_committed();
                }
                Action::Reload => {
                    lane.on_reloaded(self.owner.open(&id, &writer).map_err(in_ledger)?);
                }
                Action::Wait { until_ms } => {
                    let left = Duration::from_millis(until_ms.saturating_sub(timer.now_ms()));
                    let step = left.min(WAIT_STEP);
                    if !is_closing {
                        is_closing = hear(&news, Some(step), &mut heard, &mut lane);
                        continue;
                    }
                    // Its cursor stays, and the next run goes on there.
                    if end_waited + left > END_WAITS {
                        break;
                    }
                    end_waited += step;
                    std::thread::sleep(step);
                }
                Action::Idle if is_closing => break,
                Action::Idle => {
                    self.owner.idle(&id, heard);
                    is_closing = hear(&news, None, &mut heard, &mut lane);
                }
                Action::Halted(reason) => {
                    // An operator may let it go on.
                    if told_halted.as_ref() != Some(&reason) {
                        tracing::warn!(plugin = %name, reason, "halted");
                        told_halted = Some(reason.clone());
                    }
                    report.halted = Some(reason);
                    if is_closing {
                        break;
                    }
                    is_closing = hear(&news, None, &mut heard, &mut lane);
                }
            }
        }
        finish(&mut writing, &mut report).map_err(in_ledger)?;
        note(&self.owner, &lane, &mut getting_on, (timer.now_ms(), true));
        report.next_block = lane.cursor().next_block;
        report.waits = match getting_on.reason() {
            _ if report.halted.is_some() => None,
            Some(reason) => Some(Waits::Again(reason.to_owned())),
            None => lane.waits_for_finality().then_some(Waits::Finality(report.next_block)),
        };
        Ok(report)
    }

    /// Opens the lane; where it is held, once an operator has decided what becomes of it, or at the end.
    fn admitted(
        &self,
        id: &LaneId,
        writer: &Writer,
        filters: &[Filter],
        changed: &AtomicBool,
    ) -> Result<Admitted, LedgerError> {
        let mut news = None;
        loop {
            changed.store(false, Ordering::Release);
            let stored = self.owner.open(id, writer)?;
            let Some(held) = stored.held.clone() else {
                return Ok(Admitted::Lane(Box::new(stored)));
            };
            let news = news.get_or_insert_with(|| {
                tracing::warn!(
                    plugin = id.plugin,
                    reason = held,
                    "held until it is upgraded, rebuilt or resumed"
                );
                // Only to hear of a change, and of the end.
                let filters = filters.iter().cloned().map(Arc::new).collect();
                self.owner.watch(id.clone(), filters, stored.start_block, self.content)
            });
            while !changed.load(Ordering::Acquire) {
                if news.recv().is_err() {
                    let next_block = stored.cursor.map_or(0, |cursor| cursor.next_block);
                    return Ok(Admitted::Held { next_block, held });
                }
            }
        }
    }
}

/// Waits for the commit that is under way, if there is one.
fn finish(writing: &mut Option<Writing>, report: &mut LaneReport) -> Result<(), LedgerError> {
    let Some(Writing { committing, next_block, rows, dead_letters }) = writing.take() else {
        return Ok(());
    };
    committing.wait()?;
    tracing::debug!(plugin = %report.plugin, next_block, "lane committed");
    report.rows += rows;
    report.dead_letters.extend(dead_letters);
    Ok(())
}

/// Has the ledger say whether the plugin gets on, where that is news.
fn note(
    owner: &LaneHandle,
    lane: &Lane,
    getting_on: &mut GettingOn,
    (now_ms, is_end): (u64, bool),
) {
    if let Some(news) = getting_on.news(lane.cursor().next_block, now_ms, is_end) {
        owner.note_failing(lane.id(), news);
    }
}

/// Returns the first block from which the ranges lead to `block` without a gap.
fn beginning(mut block: u64, ranges: &[BlockRange]) -> u64 {
    while let Some(range) =
        ranges.iter().find(|range| range.first() < block && range.last().saturating_add(1) >= block)
    {
        block = range.first();
    }
    block
}

/// Returns what of the wanted boxes is tracked.
pub(crate) fn narrowed(wanted: &[Filter], tracked: &[Filter]) -> Vec<Filter> {
    let mut narrowed: Vec<Filter> = wanted
        .iter()
        .flat_map(|wanted| tracked.iter().filter_map(|tracked| wanted.intersection(tracked)))
        .collect();
    narrowed.sort_unstable();
    narrowed.dedup();
    narrowed
}

/// Waits for news, then takes all that is there. Returns whether the owner has closed.
fn hear(
    news: &mpsc::Receiver<News>,
    wait: Option<Duration>,
    heard: &mut u64,
    lane: &mut Lane,
) -> bool {
    let first = match wait {
        None => news.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
        Some(wait) => news.recv_timeout(wait),
    };
    match first {
        Ok(first) => {
            // Only the newest word counts.
            let News { number, ready } = news.try_iter().last().unwrap_or(first);
            *heard = number;
            lane.on_ready(ready);
            false
        }
        Err(mpsc::RecvTimeoutError::Timeout) => false,
        Err(mpsc::RecvTimeoutError::Disconnected) => true,
    }
}

fn rows_of(commit: &LaneCommit) -> u64 {
    commit.rows.iter().map(|rows| rows.rows.seq.len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_begins_where_the_ranges_that_lead_to_it_begin() {
        let range = |first, last| BlockRange::new(first, last).expect("first is not above last");
        let ranges = [range(0, 9), range(10, 29), range(40, 60)];
        assert_eq!(beginning(30, &ranges), 0);
        assert_eq!(beginning(40, &ranges), 40);
        assert_eq!(beginning(50, &ranges), 40);
        assert_eq!(beginning(5, &[]), 5);
    }
}
