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
pub(super) struct OpenSink {
    spec: SinkSpec,
    sink: HttpSink,
    policy: CourierPolicy,
}

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
        Ok(OpenSink { spec: spec.clone(), sink, policy })
    };
    specs.iter().map(open).collect()
}

/// A task that sends to one sink.
struct Sending {
    spec: SinkSpec,
    task: JoinHandle<Delivered>,
    stop: watch::Sender<bool>,
}

impl Sending {
    /// Ends it, and returns what it has sent.
    async fn end(self) -> SinkSummary {
        self.stop.send_replace(true);
        let Delivered { sent, dead, .. } = self.task.await.unwrap_or_default();
        SinkSummary { name: self.spec.name, sent, dead, ..SinkSummary::default() }
    }
}

/// The tasks that send.
pub(super) struct Deliveries {
    sending: Vec<Sending>,
    /// What those came to that have ended.
    ended: Vec<SinkSummary>,
    outbox: OutboxHandle,
    timer: Arc<WallTimer>,
}

impl Deliveries {
    /// Starts to send what is there and what comes.
    pub(super) fn start(sinks: Vec<OpenSink>, owner: &OwnerHandle, timer: &Arc<WallTimer>) -> Self {
        let (sending, ended) = (Vec::new(), Vec::new());
        let mut started = Self { sending, ended, outbox: owner.outbox(), timer: timer.clone() };
        sinks.into_iter().for_each(|sink| started.begin(sink));
        started
    }

    fn begin(&mut self, OpenSink { spec, sink, policy }: OpenSink) {
        let (stop, mut stopped) = watch::channel(false);
        let (timer, outbox) = (self.timer.clone(), self.outbox.clone());
        let task = tokio::spawn(async move {
            let stop = async move {
                // Without whoever stops it there is nothing left to send for.
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            deliver(&sink, &outbox, &*timer, policy, stop).await
        });
        self.sending.push(Sending { spec, task, stop });
    }

    /// Sends to these sinks from now on: those that stay as they are are not touched, of the others what is
    /// under way is ended first. Returns whether anything changed.
    pub(super) async fn change(&mut self, sinks: Vec<OpenSink>) -> bool {
        let is_wanted = |sending: &Sending| sinks.iter().any(|sink| sink.spec == sending.spec);
        let (stay, go): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.sending).into_iter().partition(is_wanted);
        self.sending = stay;
        let mut is_changed = !go.is_empty();
        for sending in go {
            let ended = sending.end().await;
            self.note(ended);
        }
        for sink in sinks {
            if !self.sending.iter().any(|sending| sending.spec == sink.spec) {
                is_changed = true;
                self.begin(sink);
            }
        }
        is_changed
    }

    fn note(&mut self, ended: SinkSummary) {
        match self.ended.iter_mut().find(|known| known.name == ended.name) {
            Some(known) => {
                known.sent += ended.sent;
                known.dead += ended.dead;
            }
            None => self.ended.push(ended),
        }
    }

    fn sends_to(&self, sink: &str) -> bool {
        self.sending.iter().any(|sending| sending.spec.name == sink)
    }

    /// Waits until every sink has taken what there is for it, or for the bound, or until `enough`.
    pub(super) async fn drained(&self, enough: impl Future<Output = ()>) {
        let waits = |line: &OutboxLine| line.pending > 0 && self.sends_to(&line.sink);
        let drained = async {
            while !self.sending.is_empty() && self.left().await.iter().any(waits) {
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
    pub(super) async fn end(mut self) -> Vec<SinkSummary> {
        let sending = std::mem::take(&mut self.sending);
        let names: Vec<String> = sending.iter().map(|sending| sending.spec.name.clone()).collect();
        // All of them at once: each may have something under way.
        for sending in &sending {
            sending.stop.send_replace(true);
        }
        for sending in sending {
            let ended = sending.end().await;
            self.note(ended);
        }
        let mut told = self.ended;
        let lines = self.outbox.left().await.ok().and_then(Result::ok);
        if let Some(lines) = &lines {
            for summary in &mut told {
                // What an operator has dropped, or wants tried again, is not dead any more.
                let line = lines.iter().find(|line| line.sink == summary.name);
                summary.dead = summary.dead.min(line.map_or(0, |line| line.dead));
            }
        }
        for line in lines.unwrap_or_default().into_iter().filter(|line| line.pending > 0) {
            let reason = match names.contains(&line.sink) {
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
