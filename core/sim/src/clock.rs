//! Virtual time: nothing sleeps, the clock jumps to the next moment that somebody waits for.

use pipeline::{SleepFuture, Timer};
use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// A clock that only [`Clock::advance_to`] moves. A clone is the same clock.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<Mutex<Moments>>);

#[derive(Debug, Default)]
struct Moments {
    now_ms: u64,
    /// Who is woken when, in the order in which they asked.
    waiting: BTreeMap<(u64, u64), Waker>,
    asked: u64,
}

impl Clock {
    /// Returns the next moment that somebody waits for.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.moments().waiting.first_key_value().map(|((due_ms, _), _)| *due_ms)
    }

    /// Moves the clock forward, never back, and wakes everyone whose moment has come.
    pub fn advance_to(&self, at_ms: u64) {
        let due: Vec<Waker> = {
            let mut moments = self.moments();
            moments.now_ms = moments.now_ms.max(at_ms);
            let after_ms = moments.now_ms.saturating_add(1);
            let later = moments.waiting.split_off(&(after_ms, 0));
            std::mem::replace(&mut moments.waiting, later).into_values().collect()
        };
        due.into_iter().for_each(Waker::wake);
    }

    fn moments(&self) -> MutexGuard<'_, Moments> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `waker` woken at this time; returns a name under which that can be taken back.
    pub(crate) fn wake_at(&self, at_ms: u64, waker: Waker) -> (u64, u64) {
        let mut moments = self.moments();
        moments.asked += 1;
        let key = (at_ms, moments.asked);
        moments.waiting.insert(key, waker);
        key
    }

    fn forget(&self, key: (u64, u64)) {
        self.moments().waiting.remove(&key);
    }
}

impl Timer for Clock {
    fn now_ms(&self) -> u64 {
        self.moments().now_ms
    }

    fn sleep_until(&self, at_ms: u64) -> SleepFuture {
        Box::pin(Sleep { clock: self.clone(), at_ms, waiting: None })
    }
}

/// Ready once the clock has come to a moment. Dropped, it holds no moment any more, so that the
/// clock does not stop at what nobody waits for.
struct Sleep {
    clock: Clock,
    at_ms: u64,
    waiting: Option<(u64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(key) = self.waiting.take() {
            self.clock.forget(key);
        }
        if self.clock.now_ms() >= self.at_ms {
            return Poll::Ready(());
        }
        let key = self.clock.wake_at(self.at_ms, context.waker().clone());
        self.waiting = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.waiting.take() {
            self.clock.forget(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_that_nobody_waits_for_any_more_does_not_stop_the_clock() {
        let clock = Clock::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut early = clock.sleep_until(10);
        let mut late = clock.sleep_until(20);
        assert!(early.as_mut().poll(&mut context).is_pending());
        assert!(late.as_mut().poll(&mut context).is_pending());
        assert_eq!(clock.next_due_ms(), Some(10));
        drop(early);
        assert_eq!(clock.next_due_ms(), Some(20));
        clock.advance_to(20);
        assert!(late.as_mut().poll(&mut context).is_ready());
        assert_eq!(clock.next_due_ms(), None);
    }
}
