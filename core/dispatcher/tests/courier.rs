//! Sending in order, again, and never for ever: a courier against an outbox in memory.

#![allow(clippy::unwrap_used, reason = "tests")]

use event::{Delivery, Fate, OutboxStep, Outgoing};
use headcount_dispatcher::{Courier, CourierPolicy, Errand};

/// Messages that are not sent, in order, with whether they are being sent.
#[derive(Default)]
struct Outbox {
    queue: Vec<(Outgoing, bool)>,
    written: Vec<(u64, Fate)>,
    steps: usize,
}

impl Outbox {
    fn of(messages: &[(u64, &str)]) -> Self {
        let queue = messages.iter().map(|(id, plugin)| (outgoing(*id, plugin), false));
        Self { queue: queue.collect(), ..Self::default() }
    }

    fn step(&mut self, step: &OutboxStep) -> Vec<Outgoing> {
        self.steps += 1;
        for (id, fate) in &step.settled {
            let at = self.queue.iter().position(|(message, _)| message.id == *id).unwrap();
            assert!(self.queue[at].1, "message {id} was not being sent");
            match fate {
                Fate::Sent | Fate::Dead(_) => drop(self.queue.remove(at)),
                Fate::Again(_) => self.queue[at].1 = false,
                Fate::Untried => {
                    self.queue[at].1 = false;
                    self.queue[at].0.attempts -= 1;
                }
            }
            self.written.push((*id, fate.clone()));
        }
        let free = self
            .queue
            .iter_mut()
            .filter(|(message, is_sending)| !is_sending && !step.not_of.contains(&message.plugin));
        let taken = free.take(step.limit).map(|(message, is_sending)| {
            *is_sending = true;
            message.attempts += 1;
            message.clone()
        });
        taken.collect()
    }
}

fn outgoing(id: u64, plugin: &str) -> Outgoing {
    Outgoing {
        id,
        plugin: plugin.to_owned(),
        key: id.to_string(),
        idempotency_key: format!("k{id}"),
        content_type: "text/plain".to_owned(),
        body: Vec::new(),
        attempts: 0,
    }
}

fn courier() -> Courier {
    Courier::new("ops".to_owned(), CourierPolicy::default())
}

fn failed(after_ms: Option<u64>) -> Delivery {
    Delivery::Failed { reason: "answered 503".to_owned(), after_ms }
}

/// Runs until there is nothing to do before `end_ms`; an attempt takes `attempt_ms`. Returns what was
/// tried, and when.
fn run(
    courier: &mut Courier,
    outbox: &mut Outbox,
    attempt_ms: u64,
    end_ms: u64,
    mut answer: impl FnMut(&Outgoing) -> Delivery,
) -> Vec<(u64, u64)> {
    let (mut now_ms, mut tried) = (0, Vec::new());
    loop {
        match courier.next(now_ms) {
            Errand::Step(step) => courier.on_taken(outbox.step(&step), step.limit),
            Errand::Send(message) => {
                tried.push((message.id, now_ms));
                now_ms += attempt_ms;
                courier.on_delivery(answer(&message), now_ms);
            }
            Errand::Wait { until_ms } if until_ms < end_ms => now_ms = until_ms,
            Errand::Wait { .. } | Errand::Idle | Errand::Done => return tried,
        }
    }
}

#[test]
fn messages_are_sent_in_order_and_a_quick_sink_is_written_to_in_groups() {
    let ids: Vec<(u64, &str)> = (1..=100).map(|id| (id, "p")).collect();
    let mut outbox = Outbox::of(&ids);
    let tried = run(&mut courier(), &mut outbox, 1, 1_000, |_| Delivery::Taken);
    assert!(tried.iter().map(|(id, _)| *id).eq(1..=100));
    assert!(outbox.queue.is_empty());
    assert!(outbox.steps < 15, "{} transactions", outbox.steps);
}

#[test]
fn a_slow_sink_holds_one_message_at_a_time_and_each_is_written_at_once() {
    let mut outbox = Outbox::of(&[(1, "p"), (2, "p"), (3, "p"), (4, "p")]);
    let mut courier = courier();
    let mut now_ms = 0;
    loop {
        match courier.next(now_ms) {
            Errand::Step(step) => {
                courier.on_taken(outbox.step(&step), step.limit);
                let sending = outbox.queue.iter().filter(|(_, is_sending)| *is_sending).count();
                assert!(sending <= 1, "{sending} can no longer be cancelled");
            }
            Errand::Send(_) => {
                now_ms += 2_000;
                courier.on_delivery(Delivery::Taken, now_ms);
            }
            _ => break,
        }
    }
    assert!(outbox.queue.is_empty());
}

#[test]
fn a_failure_holds_back_the_plugin_and_no_other_and_waits_longer_each_time() {
    let mut outbox = Outbox::of(&[(1, "a"), (2, "a"), (3, "b"), (4, "a"), (5, "b")]);
    let tried = run(&mut courier(), &mut outbox, 0, 20_000, |message| {
        match message.id == 1 && message.attempts < 4 {
            true => failed(None),
            false => Delivery::Taken,
        }
    });
    let of = |ids: &[u64]| -> Vec<(u64, u64)> {
        tried.iter().filter(|(id, _)| ids.contains(id)).copied().collect()
    };
    assert_eq!(of(&[3, 5]), [(3, 0), (5, 0)]);
    assert_eq!(
        of(&[1, 2, 4]),
        [(1, 0), (1, 1_000), (1, 3_000), (1, 7_000), (2, 7_000), (4, 7_000)]
    );
}

#[test]
fn a_sink_that_says_when_is_asked_then_but_not_made_to_wait_for_days() {
    let mut outbox = Outbox::of(&[(1, "a")]);
    let mut waits = vec![Some(u64::MAX), Some(30_000)];
    let tried = run(&mut courier(), &mut outbox, 0, u64::MAX, |_| match waits.pop() {
        Some(after_ms) => failed(after_ms),
        None => Delivery::Taken,
    });
    assert_eq!(tried, [(1, 0), (1, 30_000), (1, 30_000 + 3_600_000)]);
}

#[test]
fn a_sink_that_says_at_once_is_waited_for_all_the_same() {
    let mut outbox = Outbox::of(&[(1, "a")]);
    let mut waits = vec![Some(0), Some(0), Some(1_500)];
    let tried = run(&mut courier(), &mut outbox, 0, u64::MAX, |_| match waits.pop() {
        Some(after_ms) => failed(after_ms),
        None => Delivery::Taken,
    });
    assert_eq!(tried, [(1, 0), (1, 1_500), (1, 3_500), (1, 7_500)]);
}

#[test]
fn what_is_refused_or_fails_too_often_is_dead_and_the_next_one_goes() {
    let mut outbox = Outbox::of(&[(1, "a"), (2, "a"), (3, "a")]);
    let policy = CourierPolicy { attempts_max: 3, ..CourierPolicy::default() };
    let mut courier = Courier::new("ops".to_owned(), policy);
    run(&mut courier, &mut outbox, 0, 60_000, |message| match message.id {
        1 => Delivery::Refused("answered 404".to_owned()),
        2 => failed(None),
        _ => Delivery::Taken,
    });
    let dead: Vec<(u64, String)> = (outbox.written.iter())
        .filter_map(|(id, fate)| match fate {
            Fate::Dead(reason) => Some((*id, reason.clone())),
            _ => None,
        })
        .collect();
    let enough = "answered 503; 3 attempts are enough".to_owned();
    assert_eq!(dead, [(1, "answered 404".to_owned()), (2, enough)]);
    assert_eq!(outbox.written.last(), Some(&(3, Fate::Sent)));
}

#[test]
fn at_the_end_what_was_not_tried_is_given_back_and_what_was_is_written() {
    let mut outbox = Outbox::of(&[(1, "a"), (2, "a"), (3, "a"), (4, "a")]);
    let mut courier = courier();
    let mut sent = 0;
    loop {
        match courier.next(0) {
            Errand::Step(step) => courier.on_taken(outbox.step(&step), step.limit),
            Errand::Send(_) => {
                sent += 1;
                courier.on_delivery(Delivery::Taken, 0);
                if sent == 2 {
                    courier.end();
                }
            }
            Errand::Done => break,
            other => panic!("{other:?}"),
        }
    }
    let left: Vec<(u64, bool, u32)> =
        outbox.queue.iter().map(|(m, is_sending)| (m.id, *is_sending, m.attempts)).collect();
    assert_eq!(left, [(3, false, 0), (4, false, 0)]);
}
