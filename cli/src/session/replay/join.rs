//! As a client: reports go to the process that owns the ledger, and its word is what is told.

use super::{Joined, Miss, Part, Run};
use crate::{
    author::LaneLine,
    command_error::CommandError,
    session::{
        Look,
        access::{Away, as_contracts},
        clock::stop,
        inputs,
        lanes::Hosted,
        list_plugins,
    },
};
use event::{Evidence, LedgerError};
use pipeline::{LaneReport, OwnerHandle, ReplayError, ReplayOutcome, Waits};
use relay::{AskError, Joining, Refusal, Reply};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

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
    let mut lane_reports = handed(run, joined, &running).await?;
    lane_reports.extend(not_run);
    Ok(Read { outcome, evidence, lane_reports })
}

/// How long a plugin that gets on no further is waited for, and one that fails: as long as at the end of a run
/// of the owner.
const PATIENCE: Duration = Duration::from_secs(30);
const FAILING_PATIENCE: Duration = Duration::from_secs(10);
/// How often the owner is asked whether its plugins are done.
const LOOK: Duration = Duration::from_millis(200);

/// Waits until the plugins that the owner runs have handled what was read; returns those that did not, and why.
async fn handed(
    run: &Run<'_>,
    joined: &Joined,
    running: &[String],
) -> Result<Vec<LaneReport>, Miss> {
    if running.is_empty() {
        return Ok(Vec::new());
    }
    let left = run.plan.max_time.map(|max| max.saturating_sub(run.begun.elapsed()));
    let mut stop = std::pin::pin!(stop(run.interrupt.clone(), left));
    let (mut was_at, mut since) = (Vec::new(), Instant::now());
    loop {
        let busy = joined.busy(run.profile.chain).await?;
        let lanes = lanes(run, running).await?;
        let at: Vec<u64> = lanes.iter().map(|lane| lane.next_block).collect();
        if at != was_at {
            (was_at, since) = (at, Instant::now());
        }
        let is_awaited = |lane: &LaneReport| {
            let patience = if lane.waits.is_some() { FAILING_PATIENCE } else { PATIENCE };
            let stands = lane.halted.is_some() || lane.held.is_some();
            busy.contains(&lane.plugin) && !stands && since.elapsed() < patience
        };
        if lanes.iter().any(is_awaited) && tokio::time::timeout(LOOK, stop.as_mut()).await.is_err()
        {
            continue;
        }
        let pid = joined.owner().pid;
        let told = lanes.into_iter().map(|mut lane| {
            let is_busy = busy.contains(&lane.plugin) && lane.halted.is_none();
            if is_busy && lane.held.is_none() && lane.waits.is_none() {
                lane.waits = Some(Waits::Turn(pid));
            }
            lane
        });
        let stands = |lane: &LaneReport| {
            lane.halted.is_some() || lane.held.is_some() || lane.waits.is_some()
        };
        return Ok(told.filter(stands).collect());
    }
}

/// Returns how far the plugins that the owner runs are.
async fn lanes(run: &Run<'_>, running: &[String]) -> Result<Vec<LaneReport>, Miss> {
    let (path, environment) = (run.plan.ledger.path.clone(), run.environment.clone());
    let look = move || list_plugins(&mut Look::open(&path, &environment)?, None);
    let listed = tokio::task::spawn_blocking(look).await.map_err(CommandError::bug)??;
    let chain = run.profile.chain;
    let report = |plugin: &String| {
        let is_it =
            |lane: &&LaneLine| lane.plugin == *plugin && lane.chain.is_none_or(|on| on == chain.0);
        let lane = listed.plugins.iter().find(is_it).cloned().unwrap_or_default();
        LaneReport {
            plugin: plugin.clone(),
            chain,
            next_block: lane.next_block.unwrap_or_default(),
            halted: lane.halted,
            held: lane.held,
            waits: lane.failing.map(Waits::Again),
            ..LaneReport::default()
        }
    };
    Ok(running.iter().map(report).collect())
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
