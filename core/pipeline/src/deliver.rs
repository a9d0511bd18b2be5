//! Sends what plugins enqueued to one sink, in a task of its own: neither events nor plugins wait for it.

use crate::{OutboxHandle, Timer};
use dispatcher::{Courier, CourierPolicy, Errand};
use event::{Delivery, Outgoing, Sink};
use futures_util::{
    FutureExt, StreamExt,
    future::{Either, select},
    stream::FusedStream,
};
use std::collections::BTreeSet;

/// How long an attempt that is under way may still take when sending is to end.
const LAST_ATTEMPT_MS: u64 = 1_000;

/// Messages that are known to be dead, at most: of more only the number.
const DEAD_KNOWN_MAX: usize = 100_000;

/// What was sent to a sink in one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// The sink.
    pub sink: String,
    /// Messages that it took.
    pub sent: u64,
    /// Messages that are dead since; not those that an operator has had tried again.
    pub dead: u64,
    /// Which ones, so that one that is tried again is not counted.
    dead_ids: BTreeSet<u64>,
}

/// Sends until `stop`, or until the owner has ended. What was being sent then is written where it is
/// known, and sent again by the next run where it is not.
pub async fn deliver(
    sink: &dyn Sink,
    owner: &OutboxHandle,
    timer: &dyn Timer,
    policy: CourierPolicy,
    stop: impl Future<Output = ()> + Send,
) -> Delivered {
    let mut told = Delivered { sink: sink.name().to_owned(), ..Delivered::default() };
    let mut courier = Courier::new(told.sink.clone(), policy);
    let mut news = owner.watch();
    let mut stop = std::pin::pin!(stop.fuse());
    let mut is_stopped = false;
    loop {
        if !is_stopped && (&mut stop).now_or_never().is_some() {
            is_stopped = true;
            courier.end();
        }
        match courier.next(timer.now_ms()) {
            Errand::Step(step) => {
                let (limit, settled) = (step.limit, step.settled.clone());
                match owner.step(step).await {
                    Ok(Ok(messages)) => {
                        told.count(&settled);
                        told.taken(&messages);
                        courier.on_taken(messages, limit);
                    }
                    Ok(Err(error)) => {
                        // The owner meets the same and ends; nothing is lost.
                        tracing::warn!(sink = %told.sink, %error, "the outbox cannot be written");
                        return told;
                    }
                    Err(_) => return told,
                }
            }
            Errand::Send(message) => {
                let sending = sink.send(&message);
                let delivery = match select(sending, &mut stop).await {
                    Either::Left((delivery, _)) => delivery,
                    Either::Right(((), sending)) => {
                        is_stopped = true;
                        let end = timer.sleep_until(timer.now_ms() + LAST_ATTEMPT_MS);
                        match select(sending, end).await {
                            Either::Left((delivery, _)) => delivery,
                            Either::Right(_) => Delivery::Failed {
                                reason: "sending was stopped".to_owned(),
                                after_ms: None,
                            },
                        }
                    }
                };
                if let Delivery::Failed { reason, .. } | Delivery::Refused(reason) = &delivery {
                    let (plugin, attempts) = (&message.plugin, message.attempts);
                    tracing::warn!(sink = %told.sink, plugin, attempts, reason, "not delivered");
                }
                courier.on_delivery(delivery, timer.now_ms());
                if is_stopped {
                    courier.end();
                }
            }
            Errand::Wait { until_ms } => {
                let wake = select(news.next(), timer.sleep_until(until_ms));
                match select(wake, &mut stop).await {
                    Either::Left((Either::Left((None, _)), _)) => return told,
                    Either::Left((Either::Left((Some(()), _)), _)) => courier.on_news(),
                    Either::Left((Either::Right(_), _)) => {}
                    Either::Right(_) => {
                        is_stopped = true;
                        courier.end();
                    }
                }
            }
            Errand::Idle => match select(news.next(), &mut stop).await {
                Either::Left((None, _)) => return told,
                Either::Left((Some(()), _)) => courier.on_news(),
                Either::Right(_) => {
                    is_stopped = true;
                    courier.end();
                }
            },
            Errand::Done => return told,
        }
        if news.is_terminated() {
            return told;
        }
    }
}

impl Delivered {
    fn count(&mut self, settled: &[(u64, event::Fate)]) {
        for (id, fate) in settled {
            match fate {
                event::Fate::Sent => self.sent += 1,
                event::Fate::Dead(_) => {
                    self.dead += 1;
                    if self.dead_ids.len() < DEAD_KNOWN_MAX {
                        self.dead_ids.insert(*id);
                    }
                }
                event::Fate::Again(_) | event::Fate::Untried => {}
            }
        }
    }

    /// What was dead and is tried again is not dead.
    fn taken(&mut self, messages: &[Outgoing]) {
        for message in messages {
            if self.dead_ids.remove(&message.id) {
                self.dead = self.dead.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::Fate;

    #[test]
    fn a_dead_message_that_is_tried_again_is_not_told_as_dead() {
        let mut told = Delivered::default();
        let dead = |id| (id, Fate::Dead("no".into()));
        told.count(&[dead(1), dead(2), (3, Fate::Sent)]);
        // An operator had the first one tried again.
        told.taken(&[outgoing(1), outgoing(4)]);
        told.count(&[(1, Fate::Sent), (4, Fate::Again("later".into()))]);
        assert_eq!((told.sent, told.dead), (2, 1));
        told.taken(&[outgoing(2)]);
        told.count(&[dead(2)]);
        assert_eq!((told.sent, told.dead), (2, 1));
    }

    fn outgoing(id: u64) -> Outgoing {
        Outgoing {
            id,
            plugin: "p".into(),
            key: id.to_string(),
            idempotency_key: id.to_string(),
            content_type: "text/plain".into(),
            body: Vec::new(),
            attempts: 1,
        }
    }
}
