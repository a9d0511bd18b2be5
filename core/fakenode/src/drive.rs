//! Lets a world's virtual time pass as real time does.

use pipeline::Timer;
use sim::World;
use std::time::Duration;
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};

/// How often the world is moved on: what happens in it is late by so much, at most.
const TICK: Duration = Duration::from_millis(2);

/// Moves a world on until it is dropped.
#[derive(Debug)]
pub struct Drive(JoinHandle<()>);

impl Drive {
    /// Starts where the world's clock stands. Needs a tokio runtime.
    pub fn start(world: World) -> Self {
        Self(tokio::spawn(async move {
            let (began, from_ms) = (Instant::now(), world.clock().now_ms());
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let passed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                let now_ms = from_ms.saturating_add(passed_ms);
                while world.advance(now_ms).is_some() {}
                world.clock().advance_to(now_ms);
            }
        }))
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        self.0.abort();
    }
}
