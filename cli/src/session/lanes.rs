//! One thread for each plugin.

use super::clock::WallTimer;
use crate::command_error::CommandError;
use dispatcher::LanePolicy;
use event::{BlockRange, ChainId, Content, Decoder, Filter, Plugin, Reader};
use pipeline::{LaneError, LaneReport, LaneRun, OwnerHandle};
use std::{
    sync::{Arc, atomic::AtomicBool},
    thread::JoinHandle,
};

/// A plugin, and how the operator wants it run.
pub(super) type Hosted = (Box<dyn Plugin>, LanePolicy);

/// A plugin's thread.
pub(super) type Lane = JoinHandle<Result<LaneReport, LaneError>>;

/// What all lanes of a run share.
#[derive(Clone)]
pub(super) struct LaneSetup {
    pub(super) chain: ChainId,
    pub(super) decoder: Arc<dyn Decoder>,
    /// What must be shown of a block before plugins see it.
    pub(super) content: Content,
    /// What the ledger follows.
    pub(super) tracked: Vec<Filter>,
    /// What is covered, and what this run reads.
    pub(super) covered: Vec<BlockRange>,
    /// Where a plugin that never ran begins, if nothing is covered below.
    pub(super) start_block: u64,
    /// Ends all of them after the batch in hand.
    pub(super) stop: Arc<AtomicBool>,
}

/// Starts a lane for each plugin, with a reader of its own.
pub(super) fn start_lanes(
    plugins: Vec<Hosted>,
    readers: Vec<Box<dyn Reader>>,
    owner: &OwnerHandle,
    setup: &LaneSetup,
    timer: &Arc<WallTimer>,
) -> Result<Vec<Lane>, CommandError> {
    let mut lanes = Vec::new();
    for ((plugin, policy), reader) in plugins.into_iter().zip(readers) {
        let name = plugin.descriptor().name.clone();
        let lane = LaneRun {
            plugin,
            chain: setup.chain,
            owner: owner.lane(),
            reader,
            decoder: setup.decoder.clone(),
            policy,
            content: setup.content,
            start_block: setup.start_block,
            covered: setup.covered.clone(),
            tracked: setup.tracked.clone(),
            stop: setup.stop.clone(),
        };
        let timer = timer.clone();
        let thread = std::thread::Builder::new().name(format!("lane-{name}"));
        lanes.push(thread.spawn(move || lane.run(&*timer))?);
    }
    Ok(lanes)
}

/// Waits until every lane has handled what there is.
pub(super) async fn join_lanes(lanes: Vec<Lane>) -> Result<Vec<LaneReport>, CommandError> {
    let mut reports = Vec::new();
    for lane in lanes {
        let joined = tokio::task::spawn_blocking(move || lane.join())
            .await
            .map_err(|_| CommandError::bug("a lane's end was cancelled"))?;
        let report = joined.map_err(|_| CommandError::bug("a lane's thread panicked"))?;
        reports.push(report.map_err(CommandError::from)?);
    }
    Ok(reports)
}
