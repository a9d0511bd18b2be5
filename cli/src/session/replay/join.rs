//! As a client: reports go to the process that owns the ledger, and its word is what is told.

use super::{Joined, Miss, Part, Run};
use crate::session::{
    access::{Away, as_contracts},
    inputs,
    lanes::Hosted,
};
use event::{Evidence, LedgerError};
use pipeline::{OwnerHandle, ReplayError, ReplayOutcome};
use relay::{AskError, Joining, Refusal, Reply};
use std::{
    io::{Write, stderr},
    sync::Arc,
};

/// Reads the range for the owner.
pub(super) async fn run(
    run: &Run<'_>,
    joined: &Joined,
    part: Part<'_>,
    plugins: &[Hosted],
) -> Result<(ReplayOutcome, Option<Evidence>), Miss> {
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
    let names = plugins.iter().map(|(plugin, _)| &plugin.descriptor().name);
    for name in names.filter(|name| !taken.plugins.contains(name)) {
        // Whoever closed stderr does not want to hear it.
        let _ = writeln!(
            stderr(),
            "warning: plugin {name} is handed nothing: process {pid} owns the ledger and does not run it"
        );
    }
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
    Ok((outcome, evidence))
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
