//! As owner: this process is the one writer, runs the plugins, and answers the others.

use super::{Counted, Part, Run};
use crate::{
    command_error::CommandError,
    exit_codes::ExitCode,
    session::{
        access::{Owned, OwnerDesk},
        clock::stop,
        inputs,
        lanes::{Hosted, LaneSetup, join_lanes, start_lanes},
        ledger, nodes,
        sinks::{Deliveries, OpenSink},
        telling::Ended,
    },
    summary::Summary,
};
use event::{Prover, Reader, Store};
use pipeline::{ChainSetup, Owner, OwnerHandle, ReplayError, ReplayOutcome, Timer};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use store::DuckLedger;

/// How long clients that read are waited for at the end.
const LINGER_MAX: Duration = Duration::from_secs(3);
/// Time between two looks at whether they still do.
const LINGER_LOOK: Duration = Duration::from_millis(20);

/// Reads the range into the ledger.
pub(super) async fn run(
    run: Run<'_>,
    mut ledger: DuckLedger,
    owned: Owned,
    (plugins, sinks): (Vec<Hosted>, Vec<OpenSink>),
    part: Part<'_>,
) -> Result<(Summary, ExitCode), CommandError> {
    let (plan, range) = (run.plan, part.range);
    let intervals = part.covered.iter().flat_map(|(_, intervals)| intervals);
    let setup = LaneSetup {
        chain: run.profile.chain,
        decoder: run.schemas.clone(),
        content: plan.chain.verify.required(),
        tracked: (part.covered.iter().map(|(f, _)| (**f).clone()))
            .chain(run.filters.clone())
            .collect(),
        covered: intervals.map(|interval| interval.range).chain(range).collect(),
        start_block: range.map_or(0, |range| range.first()),
        stop: Arc::default(),
    };
    ledger.prepare_decoder(&*run.schemas)?;
    let readers = plugins
        .iter()
        .map(|_| ledger.reader().map(|reader| Box::new(reader) as Box<dyn Reader>))
        .collect::<Result<Vec<_>, _>>()?;
    let reader = ledger.reader()?;
    let policy = ledger::policy(plan);
    let chain = ChainSetup { profile: run.profile.clone(), policy };
    let prover: Arc<dyn Prover> = Arc::new(proof::Proof);
    let owner = Owner::new(Box::new(ledger), prover, run.schemas.clone(), vec![chain])?.spawn()?;
    let names = plugins.iter().map(|(plugin, _)| plugin.descriptor().name.clone()).collect();
    let desk = OwnerDesk::new(
        &owner,
        reader,
        [(run.profile.chain, policy)],
        names,
        inputs::specs(&run.contracts)?,
    );
    let deliveries = Deliveries::start(sinks, &owner, &run.timer);
    let lanes = start_lanes(plugins, readers, &owner, &setup, &run.timer)?;
    if let Some(server) = &owned.server {
        server.serve(desk.clone());
    }

    let mut evidence = None;
    let before = hand_over_again(&run, &owner).await;
    let mut replayed = before.map(|before| (before, ReplayOutcome::default()));
    if let (Some(range), Ok((_, outcome))) = (range, &mut replayed) {
        match run.read(&owner, &part, range, plan.chain.verify).await {
            Ok((read, shown)) => (*outcome, evidence) = (read, shown),
            Err(error) => replayed = Err(error),
        }
    }
    if let Ok((_, outcome)) = &mut replayed
        && let Err(error) = run.look_again(&owner, plan.chain.verify, outcome).await
    {
        replayed = Err(error);
    }
    if let Ok((_, outcome)) = &mut replayed
        && let Err(error) = run.settle(&owner, range, plan.chain.verify, outcome).await
    {
        replayed = Err(error);
    }

    owner.end_lanes();
    let lane_reports = join_lanes(lanes).await;
    let left = plan.max_time.map(|max| max.saturating_sub(run.begun.elapsed()));
    deliveries.drained(stop(run.interrupt.clone(), left)).await;
    let sinks = deliveries.end().await;
    linger(&run, &owner).await;
    let owner_report = owned.close(desk, owner).await?;
    let recorded = nodes::finish_recordings(&run.nodes);
    // The owner's own error, which `close` returned above, comes before its shadow here.
    let (before, mut outcome) = replayed.map_err(|error: ReplayError| CommandError::bug(error))?;
    before.complete(&mut outcome);
    let lane_reports = lane_reports?;
    recorded?;
    let elapsed_ms = run.timer.now_ms();
    let ended = Ended {
        plan,
        profile: run.profile,
        nodes: run.nodes,
        range,
        outcome,
        evidence,
        owner_report,
        lane_reports,
        sinks,
    };
    Ok(ended.summary(&run.interrupt, elapsed_ms))
}

/// Waits a little while clients read: what is on its way to them from their nodes would be lost with
/// this owner, and asked for again.
async fn linger(run: &Run<'_>, owner: &OwnerHandle) {
    let begun = Instant::now();
    loop {
        let at_once = begun.elapsed() > LINGER_MAX || run.interrupt.code().is_some();
        // An owner that has failed has nothing to wait for.
        if owner.close_claims(at_once).await.unwrap_or(true) {
            return;
        }
        tokio::time::sleep(LINGER_LOOK).await;
    }
}

/// Takes what the owner before this one has not acknowledged; returns what the runs so far came to.
async fn hand_over_again(run: &Run<'_>, owner: &OwnerHandle) -> Result<Counted, ReplayError> {
    let mut acks = Vec::new();
    for (key, report) in run.carried.kept() {
        match report.report() {
            Some(report) => acks.push((key, owner.submit(report))),
            None => run.carried.forget(key),
        }
    }
    owner.flush();
    for (key, ack) in acks {
        let ack = ack.await.map_err(|_| ReplayError::OwnerGone)?.map_err(ReplayError::Ledger)?;
        run.carried.acknowledged_again(key, &ack);
    }
    Ok(run.carried.before())
}
