//! As a client: reports go to the process that owns the ledger, and its word is what is told.

use super::{Joined, Miss, Part, Run};
use crate::session::{
    access::{Away, as_contracts},
    inputs,
    lanes::Hosted,
};
use event::{Evidence, LedgerError};
use pipeline::{LaneReport, OwnerHandle, ReplayError, ReplayOutcome, Waits};
use relay::{AskError, Joining, Refusal, Reply};
use std::sync::Arc;

/// What came of it.
pub(super) struct Read {
    pub(super) outcome: ReplayOutcome,
    pub(super) evidence: Option<Evidence>,
    /// Of plugins that the owner does not run: no other is this process's to tell of.
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
    let not_run = names.filter(|name| !taken.plugins.contains(name));
    let lane_reports = not_run.map(|plugin| LaneReport {
        plugin,
        chain: run.profile.chain,
        waits: Some(Waits::Owner(pid)),
        ..LaneReport::default()
    });
    let lane_reports: Vec<LaneReport> = lane_reports.collect();
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
    Ok(Read { outcome, evidence, lane_reports })
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
