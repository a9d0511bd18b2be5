//! A task for each sink, beside everything else: what plugins enqueue is sent while events go on.

use super::clock::WallTimer;
use crate::{
    command_error::CommandError, secret::Secret, sink_spec::SinkSpec, summary::SinkSummary,
};
use dispatcher::CourierPolicy;
use event::OutboxLine;
use pipeline::{Delivered, OutboxHandle, OwnerHandle, deliver};
use sink::{HttpSink, SinkConfig};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle};

/// How long a run that has nothing else to do waits for sinks to take what is left.
const DELIVERY_WAIT: Duration = Duration::from_secs(30);
/// Time between two looks at what is left.
const DELIVERY_LOOK: Duration = Duration::from_millis(50);

/// A sink, ready to be sent to.
pub(super) type OpenSink = (HttpSink, CourierPolicy);

/// Sets up the sinks; nothing is sent yet.
pub(super) fn open(specs: &[SinkSpec]) -> Result<Vec<OpenSink>, CommandError> {
    let open = |spec: &SinkSpec| {
        let exposed = |(name, value): &(String, Secret)| (name.clone(), value.expose().to_owned());
        let config = SinkConfig {
            name: spec.name.clone(),
            url: spec.url.expose().to_owned(),
            headers: spec.headers.iter().map(exposed).collect(),
            secret: spec.secret.as_ref().map(|secret| secret.expose().to_owned()),
            timeout_ms: u64::try_from(spec.timeout.as_millis()).unwrap_or(u64::MAX),
        };
        let sink = HttpSink::new(config).map_err(|error| {
            CommandError::usage(error)
                .context("a sink cannot be used")
                .hint("look at [sink.NAME] in the configuration")
        })?;
        let policy =
            CourierPolicy { attempts_max: spec.attempts_max.max(1), ..CourierPolicy::default() };
        Ok((sink, policy))
    };
    specs.iter().map(open).collect()
}

/// The tasks that send.
pub(super) struct Deliveries {
    names: Vec<String>,
    tasks: Vec<JoinHandle<Delivered>>,
    stop: watch::Sender<bool>,
    outbox: OutboxHandle,
}

impl Deliveries {
    /// Starts to send what is there and what comes.
    pub(super) fn start(sinks: Vec<OpenSink>, owner: &OwnerHandle, timer: &Arc<WallTimer>) -> Self {
        let (stop, _) = watch::channel(false);
        let outbox = owner.outbox();
        let mut started = Self { names: Vec::new(), tasks: Vec::new(), stop, outbox };
        for (sink, policy) in sinks {
            started.names.push(event::Sink::name(&sink).to_owned());
            let (timer, outbox) = (timer.clone(), started.outbox.clone());
            let mut stopped = started.stop.subscribe();
            started.tasks.push(tokio::spawn(async move {
                let stop = async move {
                    // Without whoever stops it there is nothing left to send for.
                    let _ = stopped.wait_for(|stop| *stop).await;
                };
                deliver(&sink, &outbox, &*timer, policy, stop).await
            }));
        }
        started
    }

    /// Waits until every sink has taken what there is for it, or for the bound, or until `enough`.
    pub(super) async fn drained(&self, enough: impl Future<Output = ()>) {
        let waits = |line: &OutboxLine| line.pending > 0 && self.names.contains(&line.sink);
        let drained = async {
            while !self.names.is_empty() && self.left().await.iter().any(waits) {
                tokio::time::sleep(DELIVERY_LOOK).await;
            }
        };
        tokio::select! {
            () = drained => {}
            () = tokio::time::sleep(DELIVERY_WAIT) => {}
            () = enough => {}
        }
    }

    /// Ends sending, and tells what was sent and what is left.
    pub(super) async fn end(self) -> Vec<SinkSummary> {
        self.stop.send_replace(true);
        let mut told: Vec<SinkSummary> = Vec::new();
        for (name, task) in self.names.iter().zip(self.tasks) {
            let delivered = task.await.unwrap_or_default();
            let Delivered { sent, dead, .. } = delivered;
            told.push(SinkSummary { name: name.clone(), sent, dead, ..SinkSummary::default() });
        }
        let lines = self.outbox.left().await.ok().and_then(Result::ok).unwrap_or_default();
        for line in lines.into_iter().filter(|line| line.pending > 0) {
            let reason = match self.names.contains(&line.sink) {
                true => line.reason,
                false => Some("the configuration has no sink of this name".to_owned()),
            };
            match told.iter_mut().find(|summary| summary.name == line.sink) {
                Some(summary) => (summary.waiting, summary.reason) = (line.pending, reason),
                None => told.push(SinkSummary {
                    name: line.sink,
                    waiting: line.pending,
                    reason,
                    ..SinkSummary::default()
                }),
            }
        }
        told
    }

    async fn left(&self) -> Vec<OutboxLine> {
        // An owner that has ended sends nothing any more.
        self.outbox.left().await.ok().and_then(Result::ok).unwrap_or_default()
    }
}
