//! Runs a plugin over stored events as a lane would, and stores nothing.
//!
//! The lane is the real one, so batches, retries, halving down to a bad event and the breaker are as
//! they will be; only its commits go to whoever asked. Time does not pass: a plugin that asks to be
//! called later is called at once. One that misses its deadline is not called again: a lane would, in halves
//! and later, for minutes, and whoever waits here wants to know at once.

use crate::lane::narrowed;
use dispatcher::{Action, Lane, LanePolicy, Ready, SubscriptionError, subscription_filters};
use event::{
    BlockRange, ChainId, DeadLetter, Decoder, Descriptor, EventPage, EventQuery, Filter, LaneId,
    LaneRows, LaneState, Message, Plugin, PluginFault, PluginState, Visibility,
};
use std::{collections::BTreeSet, sync::Arc};

/// Times that a plugin may ask to be called again before the run is given up.
const WAITS_MAX: u32 = 20;
/// Rows and messages that are held, at most; a run that writes more is given up.
const ROWS_MAX: usize = 5_000_000;

/// What is to be run.
#[derive(Clone)]
pub struct RehearsalRequest {
    /// The chain.
    pub chain: ChainId,
    /// Blocks, all of which the ledger covers.
    pub range: BlockRange,
    /// What of the subscription the ledger follows: see [`rehearsal_filters`].
    pub filters: Vec<Filter>,
    /// Decodes, where the plugin asks for it.
    pub decoder: Arc<dyn Decoder>,
    /// Whether every batch is one block.
    pub one_block: bool,
}

impl std::fmt::Debug for RehearsalRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RehearsalRequest").field("range", &self.range).finish_non_exhaustive()
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Rehearsed {
    /// Batches handed to the plugin, with those that came again.
    pub batches: u64,
    /// Events handed to it.
    pub events: u64,
    /// Rows, in the order in which they would have been written.
    pub rows: Vec<LaneRows>,
    /// Messages, in the order in which they would have been sent; one that came again is not told.
    pub messages: Vec<Message>,
    /// Its state afterwards.
    pub state: PluginState,
    /// Events set aside.
    pub dead_letters: Vec<DeadLetter>,
    /// Why it was halted.
    pub halted: Option<String>,
    /// It asked to be called again too often.
    pub waiting: bool,
    /// It wrote more rows than are held.
    pub is_full: bool,
    /// It missed its deadline: on which batch, and with what.
    pub overdue: Option<String>,
}

/// Returns what of a plugin's subscription the ledger follows; nothing where it follows nothing of it.
pub fn rehearsal_filters(
    descriptor: &Descriptor,
    chain: ChainId,
    tracked: &[Filter],
) -> Result<Vec<Filter>, SubscriptionError> {
    Ok(narrowed(&subscription_filters(descriptor, chain)?, tracked))
}

/// Hands the events of the range to the plugin, as stored history. `events` reads them.
pub fn rehearse<E>(
    request: &RehearsalRequest,
    plugin: &mut dyn Plugin,
    events: &mut dyn FnMut(&EventQuery) -> Result<EventPage, E>,
) -> Result<Rehearsed, E> {
    // All of it is handled, whatever finality the plugin waits for elsewhere.
    let descriptor = Descriptor { visibility: Visibility::Latest, ..plugin.descriptor().clone() };
    let id = LaneId { plugin: descriptor.name.clone(), chain: request.chain };
    let stored = LaneState { generation: 1, ..LaneState::default() };
    let mut policy = LanePolicy::default();
    if request.one_block {
        policy.batch_events = 1;
    }
    let (range, filters) = (request.range, request.filters.clone());
    let mut lane = Lane::new(id, descriptor, stored, policy, filters, range.first())
        .with_decoder(request.decoder.clone());
    // Final, so that batches may hold more than one block.
    let last = range.last();
    lane.on_ready(Ready { through: Some(last), finalized: last, safe: last, journal_seq: 0 });
    let mut told = Rehearsed::default();
    let (mut now_ms, mut waits, mut keys) = (0, 0, BTreeSet::new());
    loop {
        match lane.next(now_ms) {
            Action::ReadEvents(query) => lane.on_events(events(&query)?),
            Action::Handle(batch) => {
                told.batches += 1;
                let handled = plugin.handle(&batch, lane.state());
                match &handled {
                    Ok(_) => told.events += batch.logs.len() as u64,
                    Err(fault @ PluginFault::Deadline { .. }) => {
                        told.overdue = Some(format!("{}: {fault}", batch.words()));
                        break;
                    }
                    Err(_) => {}
                }
                lane.on_handled(handled, now_ms);
            }
            Action::Commit(commit) => {
                told.rows.extend(commit.rows);
                told.dead_letters.extend(commit.dead_letters);
                let messages = commit.messages.into_iter().flat_map(|(_, messages)| messages);
                told.messages
                    .extend(messages.filter(|m| keys.insert((m.sink.clone(), m.key.clone()))));
                lane.on_committed();
                let held = told.rows.iter().map(|rows| rows.rows.seq.len()).sum::<usize>();
                if held + told.messages.len() > ROWS_MAX {
                    told.is_full = true;
                    break;
                }
            }
            Action::Wait { until_ms } => {
                waits += 1;
                now_ms = now_ms.max(until_ms);
                if waits > WAITS_MAX {
                    told.waiting = true;
                    break;
                }
            }
            Action::Halted(reason) => {
                told.halted = Some(reason);
                break;
            }
            // Nothing was stored before, so there is no journal and nothing to go back to.
            Action::ReadJournal { .. } => lane.on_journal(&[]),
            Action::Reload => lane.on_reloaded(LaneState::default()),
            Action::Idle => break,
        }
    }
    told.state = PluginState::clone(lane.state());
    Ok(told)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use event::{Batch, BatchBlock, Effects, LogRef, Logs, Rejection, Subscription};
    use std::convert::Infallible;

    struct NoDecoder;

    impl Decoder for NoDecoder {
        fn schemas(&self) -> &[event::EventSchema] {
            &[]
        }

        fn decode(&self, _: ChainId, _: &Logs) -> (Vec<event::TypedRows>, event::DecodeStats) {
            (Vec::new(), event::DecodeStats::default())
        }

        fn json(&self, _: ChainId, _: LogRef<'_>) -> Option<(&str, String)> {
            None
        }
    }

    /// Counts events in its state and may fail at one.
    struct Counter {
        descriptor: Descriptor,
        batches: Vec<usize>,
        fault: Option<PluginFault>,
    }

    impl Counter {
        fn new(fault: Option<PluginFault>) -> Self {
            let descriptor = Descriptor {
                name: "counter".to_owned(),
                version: String::new(),
                logic_version: 1,
                visibility: Visibility::Finalized,
                subscriptions: vec![Subscription::default()],
                tables: Vec::new(),
            };
            Self { descriptor, batches: Vec::new(), fault }
        }
    }

    impl Plugin for Counter {
        fn descriptor(&self) -> &Descriptor {
            &self.descriptor
        }

        fn handle(
            &mut self,
            batch: &Batch,
            state: &Arc<PluginState>,
        ) -> Result<Effects, PluginFault> {
            self.batches.push(batch.logs.len());
            if let (Some(fault), true) = (&self.fault, batch.seq.contains(&2)) {
                return Err(fault.clone());
            }
            let before = state.get(b"n").map_or(0, |value| value[0]);
            let after = before + batch.logs.len() as u8;
            let rejected = Vec::<Rejection>::new();
            Ok(Effects {
                state: vec![(b"n".to_vec(), Some(vec![after]))],
                rejected,
                ..Effects::default()
            })
        }
    }

    /// Blocks 1 to 3 with one event each.
    fn page(query: &EventQuery) -> Result<EventPage, Infallible> {
        let mut page = EventPage { through: query.range.last(), ..EventPage::default() };
        for number in 1..=3_u64 {
            let hash = alloy_primitives::B256::repeat_byte(number as u8);
            page.blocks.push(BatchBlock { number, hash, parent: None, timestamp: None });
            page.logs.push(LogRef {
                block: number as u32 - 1,
                tx_hash: &hash,
                tx_index: 0,
                log_index: 0,
                address: &alloy_primitives::Address::ZERO,
                topics: &[],
                data: &[],
            });
            page.occurrence.push(0);
        }
        Ok(page)
    }

    fn run(plugin: &mut Counter, one_block: bool) -> Rehearsed {
        let request = RehearsalRequest {
            chain: ChainId(1),
            range: BlockRange::new(1, 3).unwrap(),
            filters: rehearsal_filters(&plugin.descriptor, ChainId(1), &[Filter::any()]).unwrap(),
            decoder: Arc::new(NoDecoder),
            one_block,
        };
        rehearse(&request, plugin, &mut page).unwrap()
    }

    #[test]
    fn all_of_the_range_is_handled_in_one_batch_or_block_by_block() {
        let mut plugin = Counter::new(None);
        let told = run(&mut plugin, false);
        assert_eq!((plugin.batches.as_slice(), told.events), (&[3][..], 3));
        assert_eq!(told.state.get(b"n"), Some(&vec![3]));
        let mut plugin = Counter::new(None);
        let told = run(&mut plugin, true);
        assert_eq!((plugin.batches.as_slice(), told.batches), (&[1, 1, 1][..], 3));
        assert_eq!(told.state.get(b"n"), Some(&vec![3]));
    }

    #[test]
    fn a_bad_event_is_found_as_a_lane_finds_it() {
        let mut plugin = Counter::new(Some(PluginFault::Reject("no".to_owned())));
        let told = run(&mut plugin, false);
        assert_eq!((told.dead_letters.len(), told.dead_letters[0].block), (1, 2));
        assert_eq!(told.state.get(b"n"), Some(&vec![2]));
    }

    #[test]
    fn a_deadline_that_is_missed_ends_the_run_at_once_and_says_on_which_batch() {
        let fault = PluginFault::Deadline { limit_ms: 10, said: String::new() };
        let mut plugin = Counter::new(Some(fault));
        let told = run(&mut plugin, false);
        assert_eq!((plugin.batches.as_slice(), told.batches, told.events), (&[3][..], 1, 0));
        let why = "blocks 1:3 (3 events): ran longer than `deadline_ms` of 10";
        assert_eq!(told.overdue.as_deref(), Some(why));
    }

    #[test]
    fn a_plugin_that_always_wants_to_be_called_later_ends_the_run() {
        let fault = PluginFault::Retry { after_ms: 0, reason: "later".to_owned() };
        assert!(run(&mut Counter::new(Some(fault)), false).waiting);
        let fault = PluginFault::Halt("enough".to_owned());
        let told = run(&mut Counter::new(Some(fault)), false);
        assert_eq!(told.halted.as_deref(), Some("enough"));
    }
}
