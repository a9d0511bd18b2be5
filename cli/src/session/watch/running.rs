//! What runs beside the loop of a watch: nodes by their description, and the lanes of each chain.

use super::super::{
    access::OwnerDesk,
    clock::WallTimer,
    inputs,
    lanes::{Hosted, Lane, LaneSetup, join_lanes, start_lanes},
    sinks::Deliveries,
};
use crate::{
    command_error::CommandError,
    config_file::PluginConfig,
    node_spec::NodeSpec,
    plan::{WatchPlan, merged_contracts},
};
use alloy_primitives::B256;
use event::{ChainProfile, Filter, Node, Reader};
use futures_channel::mpsc;
use pipeline::{Change, LaneReport, OwnerHandle};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use store::LedgerReader;

/// How long lanes may still handle what there is when the watch was asked to end; then each ends
/// after its batch, and goes on there the next time.
const LANE_DRAIN: Duration = Duration::from_secs(2);

/// A node, and how it was described.
pub(super) type NamedNode = (NodeSpec, Arc<dyn Node>);

/// One chain.
pub(super) struct RunningChain {
    pub(super) profile: ChainProfile,
    pub(super) filters: Vec<Filter>,
    /// Every node as it was described, in the operator's order.
    pub(super) nodes: Vec<NamedNode>,
    pub(super) changes: mpsc::Sender<Change>,
    pub(super) setup: LaneSetup,
    pub(super) lanes: Vec<Lane>,
}

/// A plugin as it runs.
#[derive(PartialEq)]
pub(super) struct RunningPlugin {
    pub(super) name: String,
    config: PluginConfig,
    /// Its component: another one may be in the same file.
    component: Option<B256>,
}

/// Returns what runs, given what was loaded of these.
pub(super) fn running_plugins(configs: &[PluginConfig], loaded: &[Hosted]) -> Vec<RunningPlugin> {
    let running = |(config, (plugin, _)): (&PluginConfig, &Hosted)| RunningPlugin {
        name: plugin.descriptor().name.clone(),
        config: config.clone(),
        component: plugin.component(),
    };
    configs.iter().zip(loaded).map(running).collect()
}

/// Everything that a change of configuration can touch.
pub(super) struct Running<'a> {
    pub(super) plan: WatchPlan,
    pub(super) plugins: Vec<RunningPlugin>,
    /// What sends to sinks.
    pub(super) deliveries: Deliveries,
    pub(super) chains: Vec<RunningChain>,
    pub(super) owner: &'a OwnerHandle,
    pub(super) timer: &'a Arc<WallTimer>,
    /// To make readers for new lanes from.
    pub(super) reader: LedgerReader,
    /// What answers other processes.
    pub(super) desk: Arc<OwnerDesk>,
}

impl Running<'_> {
    /// Starts the lanes of a chain, as its setup says.
    pub(super) async fn start_lanes(&mut self, index: usize) -> Result<(), CommandError> {
        let plugins = load_plugins(&self.plan).await?;
        let readers = (plugins.iter())
            .map(|_| self.reader.another().map(|reader| Box::new(reader) as Box<dyn Reader>))
            .collect::<Result<Vec<_>, _>>()?;
        let chain = &mut self.chains[index];
        chain.lanes = start_lanes(plugins, readers, self.owner, &chain.setup, self.timer)?;
        Ok(())
    }

    /// Ends the lanes of a chain where they are.
    pub(super) async fn stop_lanes(&mut self, index: usize) -> Result<(), CommandError> {
        let chain = &mut self.chains[index];
        chain.setup.stop.store(true, Ordering::Release);
        self.owner.end_lanes_of(chain.profile.chain);
        join_lanes(std::mem::take(&mut chain.lanes)).await?;
        chain.setup.stop = Arc::default();
        Ok(())
    }

    /// Waits until all lanes have handled what there is, or a while after `stopped`. Returns also what still
    /// sends; everything else is let go of.
    pub(super) async fn join_lanes(
        mut self,
        stopped: impl Future<Output = ()>,
    ) -> (Result<Vec<LaneReport>, CommandError>, Deliveries) {
        self.owner.end_lanes();
        let lanes = self.chains.iter_mut().flat_map(|chain| std::mem::take(&mut chain.lanes));
        let mut joined = std::pin::pin!(join_lanes(lanes.collect()));
        let patience = async {
            stopped.await;
            tokio::time::sleep(LANE_DRAIN).await;
        };
        tokio::select! {
            reports = &mut joined => return (reports, self.deliveries),
            () = patience => {}
        }
        for chain in &self.chains {
            chain.setup.stop.store(true, Ordering::Release);
        }
        (joined.await, self.deliveries)
    }
}

/// Loads the plugins of a plan, on a thread that may take its time: they are compiled.
pub(super) async fn load_plugins(plan: &WatchPlan) -> Result<Vec<Hosted>, CommandError> {
    let (plugins, ledger) = (plan.plugins.clone(), plan.ledger.clone());
    let contracts = merged_contracts(&plan.chains)?;
    let compiling = plan.compiling.clone();
    let load = move || inputs::load_plugins(&plugins, &contracts, &ledger, &compiling);
    tokio::task::spawn_blocking(load)
        .await
        .map_err(|_| CommandError::bug("loading the plugins was cancelled"))?
}
