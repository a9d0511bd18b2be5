//! As a client: reports go to the process that owns the ledger, and its word is what is told.

use super::{Joined, Miss, Part, Run};
use crate::{
    command_error::CommandError,
    session::{
        Look,
        access::{Away, as_contracts},
        inputs,
        lanes::Hosted,
        list_plugins,
    },
};
use event::{Evidence, LedgerError};
use pipeline::{LaneReport, OwnerHandle, ReplayError, ReplayOutcome, Waits};
use relay::{AskError, Joining, Refusal, Reply};
use std::sync::Arc;

/// What came of it.
pub(super) struct Read {
    pub(super) outcome: ReplayOutcome,
    pub(super) evidence: Option<Evidence>,
    /// Of plugins that the owner does not run, or that stand there.
    pub(super) lane_reports: Vec<LaneReport>,
}

/// Reads the range for the owner.
pub(super) async fn run(
    run: &Run<'_>,
    joined: &Joined,
    part: Part<'_>,
    plugins: &[Hosted],
) -> Result<Read, Miss> {
    let plan = run.plan;
    let pid = joined.owner().pid;
    let joining = Joining {
        profile: run.profile.clone(),
        verify: plan.chain.verify,
        anchor: plan.anchor,
        nodes: plan.chain.nodes.len() as u64,
        contracts: as_contracts(inputs::specs(&run.contracts)?),
    };
    let taken = joined.join(joining).await?;
    tracing::info!(pid, "the ledger is in use: what is read goes through its owner");
    let names = plugins.iter().map(|(plugin, _)| plugin.descriptor().name.clone());
    let (running, not_run): (Vec<String>, Vec<String>) =
        names.partition(|name| taken.plugins.contains(name));
    hand_over_again(run, joined).await?;
    // What the owner would not count as covered need not be read.
    let verify = match plan.chain.verify.is_as_strict_as(&taken.verify) {
        true => plan.chain.verify,
        false => taken.verify,
    };
    let owner = OwnerHandle::away(Arc::new(Away::new(joined, &run.carried)));
    let missed = |error| match error {
        ReplayError::OwnerGone => Miss::Lost,
        ReplayError::Ledger(error) => Miss::from(LedgerError::clone(&error)),
    };
    let (mut outcome, evidence) = match part.range {
        Some(range) => run.read(&owner, &part, range, verify).await.map_err(missed)?,
        None => (ReplayOutcome::default(), None),
    };
    run.look_again(&owner, verify, &mut outcome).await.map_err(missed)?;
    run.settle(&owner, part.range, verify, &mut outcome).await.map_err(missed)?;
    let not_run = not_run.into_iter().map(|plugin| LaneReport {
        plugin,
        chain: run.profile.chain,
        waits: Some(Waits::Owner(pid)),
        ..LaneReport::default()
    });
    let mut lane_reports = standing(run, running).await?;
    lane_reports.extend(not_run);
    Ok(Read { outcome, evidence, lane_reports })
}

/// Returns which of the plugins that the owner runs are handed nothing there just now, and why.
async fn standing(run: &Run<'_>, running: Vec<String>) -> Result<Vec<LaneReport>, Miss> {
    if running.is_empty() {
        return Ok(Vec::new());
    }
    let (path, environment) = (run.plan.ledger.path.clone(), run.environment.clone());
    let look = move || list_plugins(&mut Look::open(&path, &environment)?, None);
    let listed = tokio::task::spawn_blocking(look).await.map_err(CommandError::bug)??;
    let chain = run.profile.chain;
    let lanes = listed.plugins.into_iter();
    let lanes = lanes.filter(|lane| lane.chain == Some(chain.0) && running.contains(&lane.plugin));
    let reports = lanes.map(|lane| LaneReport {
        plugin: lane.plugin,
        chain,
        next_block: lane.next_block.unwrap_or_default(),
        halted: lane.halted,
        held: lane.held,
        waits: lane.failing.map(Waits::Again),
        ..LaneReport::default()
    });
    let stands = |report: &LaneReport| {
        report.halted.is_some() || report.held.is_some() || report.waits.is_some()
    };
    Ok(reports.filter(stands).collect())
}

/// Hands over what the owner before this one has not acknowledged.
async fn hand_over_again(run: &Run<'_>, joined: &Joined) -> Result<(), Miss> {
    let kept = run.carried.kept();
    let answers: Vec<_> =
        (kept.iter()).map(|(key, report)| (*key, joined.client.ask_encoded(report))).collect();
    drop(joined.client.ask(&relay::Request::Flush));
    for (key, answer) in answers {
        match answer.await {
            Ok(Reply::Ack(ack)) => run.carried.acknowledged_again(key, &ack),
            // It is read again.
            Ok(_) | Err(AskError::Refused(Refusal::Unsound(_))) => run.carried.forget(key),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
