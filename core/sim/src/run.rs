//! Runs a future on virtual time: polled when woken, and when everything waits the clock jumps to
//! the next moment at which something happens.

use crate::World;
use pipeline::Timer;
use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Polls of one moment, at most: a future that wakes itself for ever is stuck, not busy.
const POLLS_OF_A_MOMENT_MAX: u64 = 1_000_000;

/// The future did not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// It was still waiting when the time allowed was over, in milliseconds.
    OutOfTime(u64),
    /// It woke itself without end at this moment, in milliseconds.
    Spinning(u64),
}

impl std::fmt::Display for Stuck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OutOfTime(at_ms) => write!(f, "still waiting at {at_ms} ms"),
            Self::Spinning(at_ms) => write!(f, "wakes itself without end at {at_ms} ms"),
        }
    }
}

impl std::error::Error for Stuck {}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Runs the future until it is ready, or until the clock would pass `limit_ms`.
pub fn run<T>(world: &World, limit_ms: u64, future: impl Future<Output = T>) -> Result<T, Stuck> {
    run_stepped(world, limit_ms, future, || false)
}

/// Like [`run`], with something beside the future that has to be stepped by hand, such as lanes.
/// Before the clock moves `step` is called until it returns that it did nothing.
pub fn run_stepped<T>(
    world: &World,
    limit_ms: u64,
    future: impl Future<Output = T>,
    mut step: impl FnMut() -> bool,
) -> Result<T, Stuck> {
    let mut future = pin!(future);
    let flag = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(flag.clone());
    let mut context = Context::from_waker(&waker);
    let mut polls = 0;
    loop {
        while flag.0.swap(false, Ordering::AcqRel) {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Ok(output);
            }
            polls += 1;
            if polls > POLLS_OF_A_MOMENT_MAX {
                return Err(Stuck::Spinning(world.clock().now_ms()));
            }
        }
        if step() {
            continue;
        }
        let before_ms = world.clock().now_ms();
        match world.advance(limit_ms) {
            Some(at_ms) if at_ms > before_ms => polls = 0,
            Some(_) => {}
            None => return Err(Stuck::OutOfTime(before_ms)),
        }
    }
}
