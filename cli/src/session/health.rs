//! A health check with real nodes and a real ledger: asks, and lets `health` judge.

mod ledger;
mod probe;

use super::{clock::unix_now_s, inputs, nodes::open_node};
use crate::{
    command_error::CommandError, environment::Environment, health_report::HealthReport,
    plan::HealthPlan,
};
use event::{ChainId, ChainProfile, Filter, Node};
use futures_util::future::join_all;
use health::{ChainSample, heights_to_compare, judge};
use ledger::FoundLedger;
pub(super) use ledger::told;
use probe::{Probed, ask_hashes, probe_all};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// A chain, ready to be asked.
struct Opened<'a> {
    plan: &'a HealthPlan,
    wanted: Vec<Filter>,
    nodes: Vec<Arc<dyn Node>>,
}

impl<'a> Opened<'a> {
    fn new(plan: &'a HealthPlan) -> Result<Self, CommandError> {
        let schemas = inputs::schemas(&plan.contracts)?;
        let wanted = inputs::filters(&plan.contracts, &schemas);
        let nodes = plan.nodes.iter().map(open_node).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { plan, wanted, nodes })
    }
}

/// Runs a check of each chain on a runtime of its own; the nodes of all of them are asked at once.
pub(crate) fn health(
    plans: &[HealthPlan],
    environment: &Environment,
) -> Result<Vec<HealthReport>, CommandError> {
    // What the configuration names is looked at before anything is asked.
    let opened = plans.iter().map(Opened::new).collect::<Result<Vec<_>, _>>()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let asked = runtime.block_on(join_all(opened.into_iter().map(Asked::ask)));
    // Opened after the nodes were waited for, and closed before they are again: while it is
    // open no other process can own it.
    let read = asked.into_iter().map(|chain| chain.read(environment));
    let read = read.collect::<Result<Vec<_>, _>>()?;
    Ok(runtime.block_on(join_all(read.into_iter().map(Read::judged))))
}

/// A chain whose nodes have answered, or will not.
struct Asked<'a> {
    plan: &'a HealthPlan,
    wanted: Vec<Filter>,
    probed: Vec<Probed>,
    /// By the clock when they had answered: others and the ledger may be waited for, and a head does not age
    /// by that.
    asked_s: u64,
}

impl<'a> Asked<'a> {
    async fn ask(Opened { plan, wanted, nodes }: Opened<'a>) -> Self {
        let probed = probe_all(nodes).await;
        Self { plan, wanted, probed, asked_s: unix_now_s() }
    }

    /// Looks at the ledger. Not on a runtime: it may have to ask its owner.
    fn read(self, environment: &Environment) -> Result<Read<'a>, CommandError> {
        let Self { plan, wanted, mut probed, asked_s } = self;
        let ledger =
            FoundLedger::read(plan, environment, &wanted, |chains| chain(plan, chains, &probed))?;
        for node in &mut probed {
            node.sample.incidents = ledger.incidents_of(&node.sample.node);
        }
        let profile = profile(plan, ledger.chain);
        let sample = ChainSample {
            stall_ms: plan.stall.map(milliseconds),
            deadline_ms: milliseconds(plan.deadline),
            ledger: ledger.state,
            ..ChainSample::new(profile, asked_s, samples(&probed))
        };
        Ok(Read { plan, probed, sample })
    }
}

/// A chain of which it is known, too, what the ledger holds.
struct Read<'a> {
    plan: &'a HealthPlan,
    probed: Vec<Probed>,
    sample: ChainSample,
}

impl Read<'_> {
    async fn judged(mut self) -> HealthReport {
        ask_hashes(&mut self.probed, &heights_to_compare(&self.sample)).await;
        self.sample.nodes = samples(&self.probed);
        HealthReport::new(self.plan, &self.sample, judge(&self.sample))
    }
}

fn samples(probed: &[Probed]) -> Vec<health::NodeSample> {
    probed.iter().map(|node| node.sample.clone()).collect()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The chain that is meant: said, or the only one of the ledger, or that of most nodes (of equally
/// many that of the first).
fn chain(plan: &HealthPlan, in_ledger: &[ChainId], probed: &[Probed]) -> Option<ChainId> {
    if let Some(said) = plan.expected_chain {
        return Some(ChainId(said));
    }
    if let [only] = in_ledger {
        return Some(*only);
    }
    let mut counts: BTreeMap<ChainId, usize> = BTreeMap::new();
    let told: Vec<ChainId> =
        probed.iter().filter_map(|node| node.sample.chain.value().copied()).collect();
    told.iter().for_each(|chain| *counts.entry(*chain).or_default() += 1);
    let most = counts.values().max().copied()?;
    told.into_iter().find(|chain| counts.get(chain) == Some(&most))
}

fn profile(plan: &HealthPlan, chain: Option<ChainId>) -> ChainProfile {
    let mut profile = ChainProfile::of(chain.unwrap_or_default());
    plan.observe.iter().for_each(|check| profile.observe(*check));
    if let Some(name) = &plan.chain_name {
        profile.name.clone_from(name);
    }
    if let Some(finality) = plan.finality {
        profile.finality = finality;
    }
    profile
}
