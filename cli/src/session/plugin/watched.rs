//! A plugin that is watched while it is handed batches: what it logged, and whether the same batch
//! gives the same a second time.

use super::handing::Handing;
use event::{Batch, Descriptor, Effects, LogLine, Phase, Plugin, PluginFault, PluginState};
use host::LoadedPlugin;
use std::{sync::Arc, time::Duration};

/// Lines kept, at most.
const LINES_MAX: usize = 10_000;

/// What of a batch is told otherwise than it is: none of it may change what a plugin writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Attempt,
    Phase,
    Finalized,
}

/// The plugin.
pub(super) struct Watched<'a> {
    plugin: &'a mut LoadedPlugin,
    change: Change,
    /// Whether each batch is handed over twice.
    pub(super) twice: bool,
    /// The first batch that gave something else the second time.
    pub(super) unlike: Option<String>,
    /// What it logged.
    pub(super) log: Vec<LogLine>,
    /// Who is told what it is handed.
    pub(super) handing: Option<Handing>,
}

impl<'a> Watched<'a> {
    pub(super) const fn new(plugin: &'a mut LoadedPlugin, change: Change) -> Self {
        Self { plugin, change, twice: false, unlike: None, log: Vec::new(), handing: None }
    }

    /// Time that it has for a batch.
    pub(super) fn deadline(&self) -> Duration {
        Duration::from_millis(self.plugin.limits().deadline_ms)
    }

    fn hand(&mut self, batch: &Batch, state: &Arc<PluginState>) -> Result<Effects, PluginFault> {
        let plugin = &mut *self.plugin;
        match &mut self.handing {
            Some(handing) => handing.during(batch, || plugin.handle(batch, state)),
            None => plugin.handle(batch, state),
        }
    }
}

impl Plugin for Watched<'_> {
    fn descriptor(&self) -> &Descriptor {
        self.plugin.descriptor()
    }

    fn handle(&mut self, batch: &Batch, state: &Arc<PluginState>) -> Result<Effects, PluginFault> {
        let batch = &changed(batch, self.change);
        let handled = self.hand(batch, state);
        let is_overdue = matches!(handled, Err(PluginFault::Deadline { .. }));
        if self.twice && self.unlike.is_none() && !is_overdue {
            let again = self.hand(batch, state);
            if !is_same(&handled, &again) {
                self.unlike = Some(format!("the batch of {} gave two results", batch.words()));
            }
        }
        if let Ok(effects) = &handled {
            let room = LINES_MAX.saturating_sub(self.log.len());
            self.log.extend(effects.log.iter().take(room).cloned());
        }
        handled
    }
}

fn changed(batch: &Batch, change: Change) -> Batch {
    let mut batch = batch.clone();
    match change {
        Change::None => {}
        Change::Attempt => batch.attempt += 6,
        Change::Phase => {
            batch.phase = match batch.phase {
                Phase::Backfill => Phase::Live,
                Phase::Live => Phase::Backfill,
            };
        }
        Change::Finalized => batch.finalized = 0,
    }
    batch
}

/// Whether two runs of a batch do the same. What is logged may differ, and a machine may be slow.
fn is_same(one: &Result<Effects, PluginFault>, two: &Result<Effects, PluginFault>) -> bool {
    match (one, two) {
        (_, Err(PluginFault::Deadline { .. })) => true,
        (Ok(one), Ok(two)) => {
            (&one.rows, &one.state, &one.messages, &one.rejected)
                == (&two.rows, &two.state, &two.messages, &two.rejected)
        }
        (one, two) => one == two,
    }
}
