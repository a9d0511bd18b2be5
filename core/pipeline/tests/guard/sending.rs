//! What plugins enqueue, sent while the chain turns there and back: what should be sent, once, and no
//! more.

use crate::{
    ONE, TEN, chain::Chain, chain_one, chain_ten, everything, ledger::Bench, script::Step,
};
use dispatcher::CourierPolicy;
use event::{Delivery, DeliveryFuture, EventId, Outgoing, Sink};
use pipeline::{OutboxHandle, SleepFuture, Timer, deliver};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// The sink that the plugin sends to.
pub(crate) const OPS: &str = "ops";

/// The key of an event's message.
pub(crate) fn key(event: &EventId) -> String {
    let EventId { chain, block_hash, tx_hash, digest, occurrence } = event;
    format!("{chain}:{block_hash:x}:{tx_hash:x}:{digest:x}:{occurrence}")
}

struct Clock(Instant);

impl Timer for Clock {
    fn now_ms(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    fn sleep_until(&self, at_ms: u64) -> SleepFuture {
        Box::pin(tokio::time::sleep_until((self.0 + Duration::from_millis(at_ms)).into()))
    }
}

/// Takes everything, or nothing.
#[derive(Default)]
struct Receiver {
    is_down: AtomicBool,
    tried: AtomicBool,
    taken: Mutex<Vec<(String, String)>>,
}

impl Sink for Receiver {
    fn name(&self) -> &str {
        OPS
    }

    fn send<'a>(&'a self, message: &'a Outgoing) -> DeliveryFuture<'a> {
        self.tried.store(true, Ordering::Release);
        let delivery = match self.is_down.load(Ordering::Acquire) {
            true => Delivery::Failed { reason: "down".into(), after_ms: None },
            false => {
                let message = (message.key.clone(), message.idempotency_key.clone());
                self.taken.lock().unwrap().push(message);
                Delivery::Taken
            }
        };
        Box::pin(std::future::ready(delivery))
    }
}

impl Receiver {
    /// Sends what there is; while the sink is down, until it was tried.
    fn drain(&self, outbox: &OutboxHandle) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        self.tried.store(false, Ordering::Release);
        let is_done = async {
            loop {
                let lines = outbox.left().await.unwrap().unwrap();
                let is_left = lines.iter().any(|line| line.pending > 0);
                let is_down = self.is_down.load(Ordering::Acquire);
                if !is_left || (is_down && self.tried.load(Ordering::Acquire)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let clock = Clock(Instant::now());
        runtime.block_on(deliver(self, outbox, &clock, CourierPolicy::default(), is_done));
    }

    fn keys(&self) -> Vec<String> {
        self.taken.lock().unwrap().iter().map(|(key, _)| key.clone()).collect()
    }
}

fn keys_of(chains: &[&Chain]) -> BTreeSet<String> {
    let events = chains.iter().flat_map(|chain| chain.expected());
    events.map(|(_, _, id)| key(&id)).collect()
}

/// Runs everything that happens, and sends after each step for which `sends` holds, and at the end.
fn run(sink: &Receiver, mut at_step: impl FnMut(&Step)) -> Bench {
    let mut bench = Bench::new();
    for step in everything() {
        bench.take(&step);
        bench.run_lanes();
        at_step(&step);
        sink.drain(&bench.outbox());
    }
    bench
}

/// No message is sent twice, and those of a block come in the order of its events.
#[track_caller]
fn sent_once(sink: &Receiver, expected: &BTreeSet<String>) {
    let keys = sink.keys();
    let once: BTreeSet<String> = keys.iter().cloned().collect();
    assert_eq!(once.len(), keys.len(), "a message was sent twice");
    assert_eq!(&once, expected);
    let ids: BTreeMap<String, String> = sink.taken.lock().unwrap().iter().cloned().collect();
    assert_eq!(ids.values().collect::<BTreeSet<_>>().len(), ids.len(), "a key stands for two");
}

#[test]
fn a_chain_that_turns_there_and_back_sends_each_event_of_either_branch_once() {
    let sink = Receiver::default();
    let bench = run(&sink, |_| {});
    let ((a1, b1), (a10, b10)) = (chain_one(), chain_ten());
    sent_once(&sink, &keys_of(&[&a1, &b1, &a10, &b10]));
    bench.is_sound();
}

#[test]
fn what_was_not_sent_while_its_branch_held_is_never_sent() {
    let sink = Receiver::default();
    // Down while a node speaks of the other branch: on chain ten it still holds when that is over.
    let bench = run(&sink, |step| sink.is_down.store(step.is_on(b'B'), Ordering::Release));
    let ((a1, _), (a10, b10)) = (chain_one(), chain_ten());
    sent_once(&sink, &keys_of(&[&a1, &a10, &b10]));
    bench.is_sound();
}

#[test]
fn a_sink_that_comes_up_at_the_end_is_sent_the_last_chain_in_order() {
    let sink = Receiver::default();
    sink.is_down.store(true, Ordering::Release);
    let bench = run(&sink, |_| {});
    sink.is_down.store(false, Ordering::Release);
    sink.drain(&bench.outbox());
    let ((a1, _), (a10, _)) = (chain_one(), chain_ten());
    sent_once(&sink, &keys_of(&[&a1, &a10]));
    for (id, chain) in [(ONE, &a1), (TEN, &a10)] {
        let of_chain = format!("{id}:");
        let sent: Vec<String> =
            sink.keys().into_iter().filter(|key| key.starts_with(&of_chain)).collect();
        let expected: Vec<String> = chain.expected().iter().map(|(_, _, id)| key(id)).collect();
        assert_eq!(sent, expected);
    }
}

#[test]
fn a_process_per_step_sends_nothing_twice_either() {
    let sink = Receiver::default();
    let mut bench = Bench::new();
    for step in everything() {
        bench.take(&step);
        bench.run_lanes();
        sink.drain(&bench.outbox());
        bench = bench.restarted();
    }
    let ((a1, b1), (a10, b10)) = (chain_one(), chain_ten());
    sent_once(&sink, &keys_of(&[&a1, &b1, &a10, &b10]));
}
