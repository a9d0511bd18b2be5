//! A plugin that is watched while it is handed batches: what it logged, and whether the same batch
//! gives the same a second time.

use event::{Batch, Descriptor, Effects, LogLine, Phase, Plugin, PluginFault, PluginState};
use host::LoadedPlugin;
use std::sync::Arc;

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
}

impl<'a> Watched<'a> {
    pub(super) const fn new(plugin: &'a mut LoadedPlugin, change: Change) -> Self {
        Self { plugin, change, twice: false, unlike: None, log: Vec::new() }
    }
}

impl Plugin for Watched<'_> {
    fn descriptor(&self) -> &Descriptor {
        self.plugin.descriptor()
    }

    fn handle(&mut self, batch: &Batch, state: &Arc<PluginState>) -> Result<Effects, PluginFault> {
        let batch = &changed(batch, self.change);
        let handled = self.plugin.handle(batch, state);
        if self.twice && self.unlike.is_none() {
            let again = self.plugin.handle(batch, state);
            if !is_same(&handled, &again) {
                let ends = (batch.blocks.first(), batch.blocks.last());
                let (first, last) = (ends.0.map(|b| b.number), ends.1.map(|b| b.number));
                let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
                self.unlike = Some(format!("the batch of blocks {first}:{last} gave two results"));
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
        (Err(PluginFault::Deadline { .. }), _) | (_, Err(PluginFault::Deadline { .. })) => true,
        (Ok(one), Ok(two)) => {
            (&one.rows, &one.state, &one.messages, &one.rejected)
                == (&two.rows, &two.state, &two.messages, &two.rejected)
        }
        (one, two) => one == two,
    }
}
