//! A replay with real engines: opens what the plan names, runs the pipeline, tells what came of it.
//!
//! The only place that knows every engine. It decides nothing about events.

mod audit;
mod clock;
mod coverage;
mod drill;
mod health;
mod inputs;
mod lanes;
mod ledger;
mod nodes;
mod telling;
mod watch;

pub(crate) use watch::watch_plan as watch;

pub(crate) use self::{audit::audit, coverage::coverage, drill::drill, health::health};

use crate::{
    command_error::CommandError, environment::Environment, exit_codes::ExitCode,
    interrupt::Interrupt, plan::ReplayPlan, summary::Summary,
};
use clock::{WallTimer, stop};
use event::{Anchor, BlockRange, Decoder, Filter, Prover, Reader, Store};
use lanes::{LaneSetup, join_lanes, start_lanes};
use ledger::Resolved;
use nodes::OpenNode;
use pipeline::{ChainSetup, Owner, OwnerHandle, ReplayError, ReplayOutcome, ReplayRequest, Timer};
use std::{sync::Arc, time::Instant};
use telling::{Ended, Lines};

/// Runs a plan on a runtime of its own.
pub(crate) fn replay(
    plan: &ReplayPlan,
    environment: &Environment,
) -> Result<(Summary, ExitCode), CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(plan, environment))
}

async fn run(
    plan: &ReplayPlan,
    environment: &Environment,
) -> Result<(Summary, ExitCode), CommandError> {
    let timer = Arc::new(WallTimer(Instant::now()));
    let interrupt = Interrupt::listen()?;
    // Everything the user can have got wrong is looked at before the ledger is touched.
    let schemas = Arc::new(inputs::schemas(&plan.chain.contracts)?);
    let filters = inputs::filters(&plan.chain.contracts, &schemas);
    let plugins = inputs::load_plugins(&plan.plugins, &plan.chain.contracts, &plan.ledger)?;
    let nodes = nodes::open_nodes(&plan.chain, plan.record.as_deref(), &*timer).await?;
    let profile = ledger::profile(plan, &nodes);
    let Resolved { mut ledger, range, anchored } =
        ledger::resolve(plan, environment, &profile, &filters, &nodes)?;

    let covered = ledger.load(profile.chain)?.coverage;
    let intervals = covered.iter().flat_map(|(_, intervals)| intervals);
    let setup = LaneSetup {
        chain: profile.chain,
        decoder: schemas.clone(),
        content: plan.chain.verify.required(),
        tracked: covered.iter().map(|(f, _)| (**f).clone()).chain(filters.clone()).collect(),
        covered: intervals.map(|interval| interval.range).chain(range).collect(),
        start_block: range.map_or(0, |range| range.first()),
        stop: Arc::default(),
    };
    ledger.prepare_schemas(schemas.schemas())?;
    ledger.backfill_typed(&*schemas)?;
    let readers = plugins
        .iter()
        .map(|_| ledger.reader().map(|reader| Box::new(reader) as Box<dyn Reader>))
        .collect::<Result<Vec<_>, _>>()?;
    let chain = ChainSetup { profile: profile.clone(), policy: ledger::policy(plan) };
    let prover: Arc<dyn Prover> = Arc::new(proof::Proof);
    let owner = Owner::new(Box::new(ledger), prover.clone(), schemas, vec![chain])?.spawn()?;
    let lanes = start_lanes(plugins, readers, &owner, &setup, &timer)?;

    let mut replayed = Ok(ReplayOutcome::default());
    let mut evidence = None;
    if let Some(range) = range {
        let request = ReplayRequest {
            profile: profile.clone(),
            filters: filters.clone(),
            range,
            verify: plan.chain.verify,
            refetch: plan.refetch || ledger::rests_on_other_headers(plan, &covered),
            nodes: nodes.iter().map(OpenNode::for_replay).collect(),
            concurrency: usize::from(plan.concurrency.get()),
            width_max: None,
            reporter: Arc::from("headcount"),
        };
        let lines = Lines::new(environment, plan.quiet);
        let stop = stop(interrupt.clone(), plan.max_time);
        replayed = pipeline::replay(request, &owner, prover, &*timer, stop, &lines).await;
        lines.clear();
        let is_led = is_led_to_anchor(&owner, &setup, &filters, anchored).await;
        if let (Ok(outcome), Some(anchored), false) = (&mut replayed, anchored, is_led)
            && outcome.open.is_empty()
        {
            let reason = "covered, but its headers do not lead to the --anchor";
            outcome.open.push((anchored, reason.to_owned()));
        }
        evidence = owner.evidence(profile.chain, filters, range).await.ok().flatten();
    }

    owner.end_lanes();
    let lane_reports = join_lanes(lanes).await;
    let owner_report = tokio::task::spawn_blocking(move || owner.close())
        .await
        .map_err(|_| CommandError::bug("the ledger's closing was cancelled"))??;
    let recorded = nodes::finish_recordings(&nodes);
    // The owner's own error, which `close` returned above, comes before its shadow here.
    let outcome = replayed.map_err(|error: ReplayError| CommandError::bug(error))?;
    let lane_reports = lane_reports?;
    recorded?;
    let ended =
        Ended { plan, profile, nodes, range, outcome, evidence, owner_report, lane_reports };
    Ok(ended.summary(&interrupt, timer.now_ms()))
}

/// Whether no coverage of these blocks rests on other headers than those the operator demands.
/// That of an earlier run may.
async fn is_led_to_anchor(
    owner: &OwnerHandle,
    setup: &LaneSetup,
    filters: &[Filter],
    anchored: Option<BlockRange>,
) -> bool {
    let Some(anchored) = anchored else { return true };
    let evidence = owner.evidence(setup.chain, filters.to_vec(), anchored).await;
    !matches!(evidence, Ok(Some(evidence)) if evidence.anchor < Anchor::Checkpoint)
}
