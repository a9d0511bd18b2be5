//! A watch with real engines: opens what the plan names, runs the pipeline, tells what came of it.

mod live;
mod nodes;
mod stream;

use super::{
    clock::{WallTimer, stop},
    inputs,
    lanes::{LaneSetup, join_lanes, start_lanes},
    ledger,
};
use crate::{
    command_error::CommandError,
    environment::Environment,
    exit_codes::ExitCode,
    interrupt::Interrupt,
    plan::{ChainPlan, Emit, WatchPlan, merged_contracts},
};
use aggregator::{Admission, Policy};
use event::{
    AnchorPolicy, BlockNumHash, ChainProfile, ChainState, Commit, Decoder, Filter, LedgerError,
    Node, Prover, Reader, Report, Store,
};
use futures_util::future::join_all;
use live::Live;
use pipeline::{ChainSetup, ChainView, Owner, WatchOutcome, WatchRequest, WatchWatcher, watch};
use serde::Serialize;
use std::{
    io::{Write, stderr},
    sync::Arc,
    time::{Duration, Instant},
};
use stream::Stream;

/// Longest time between two looks at a node's head where the user says nothing.
const POLL_MAX: Duration = Duration::from_secs(2);

/// Runs a plan on a runtime of its own.
pub(crate) fn watch_plan(
    plan: &WatchPlan,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(plan, environment))
}

/// One chain, ready to be watched.
struct Chain {
    profile: ChainProfile,
    policy: Policy,
    nodes: Vec<Arc<dyn Node>>,
    filters: Vec<Filter>,
    plan: ChainPlan,
}

/// Runs a plan on the runtime at hand.
pub(super) async fn run(
    plan: &WatchPlan,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let timer = Arc::new(WallTimer(Instant::now()));
    let interrupt = Interrupt::listen()?;
    // Everything the user can have got wrong is looked at before the ledger is touched.
    let contracts = merged_contracts(&plan.chains)?;
    let schemas = Arc::new(inputs::schemas(&contracts)?);
    let plugins = inputs::load_plugins(&plan.plugins, &contracts, &plan.ledger)?.len();
    let mut chains = Vec::new();
    for chain_plan in &plan.chains {
        let opened = tokio::select! {
            opened = nodes::open(chain_plan, &*timer) => opened?,
            () = interrupt.stopped() => return Ok(ExitCode::Done),
        };
        let own = inputs::schemas(&chain_plan.contracts)?;
        chains.push(Chain {
            profile: ledger::profile_of(chain_plan, opened.chain),
            policy: policy(chain_plan),
            filters: inputs::filters(&chain_plan.contracts, &own),
            nodes: opened.nodes,
            plan: chain_plan.clone(),
        });
    }
    let mut ledger = ledger::open(&plan.ledger, environment)?;
    let mut states = Vec::new();
    for chain in &chains {
        ledger::check_chain(&ledger, &chain.plan, &chain.profile, &chain.nodes)?;
        states.push(ledger.load(chain.profile.chain)?);
    }
    ledger.prepare_schemas(schemas.schemas())?;
    ledger.backfill_typed(&*schemas)?;
    let lane_readers = chains
        .iter()
        .map(|_| {
            let readers = (0..plugins).map(|_| ledger.reader());
            readers
                .map(|r| r.map(|r| Box::new(r) as Box<dyn Reader>))
                .collect::<Result<Vec<_>, _>>()
        })
        .collect::<Result<Vec<_>, _>>()?;
    let prover: Arc<dyn Prover> = Arc::new(proof::Proof);
    let setups = chains
        .iter()
        .map(|chain| ChainSetup { profile: chain.profile.clone(), policy: chain.policy });
    let owner = Owner::new(Box::new(ledger), prover.clone(), schemas.clone(), setups.collect())?;
    let live = Arc::new(Live::new(environment, plan.quiet));
    let is_json = plan.is_json || !environment.stdout_is_terminal || plan.emit == Emit::Reports;
    let (stream, writing) = Stream::start(&live, is_json)?;
    let owner = owner.showing(show(plan, &live, &stream, schemas.clone())).spawn()?;

    let mut lanes = Vec::new();
    for ((chain, state), readers) in chains.iter().zip(&states).zip(lane_readers) {
        // Each chain has lanes of its own, and a lane has its own guest.
        let plugins = inputs::load_plugins(&plan.plugins, &contracts, &plan.ledger)?;
        let setup = lane_setup(plan, chain, state, schemas.clone());
        lanes.extend(start_lanes(plugins, readers, &owner, &setup, &timer)?);
    }

    let watcher = Watching { live: live.clone(), stream: stream.clone(), emit: plan.emit };
    let watching = chains.iter().zip(&states).map(|(chain, state)| {
        let request = request(plan, chain, state);
        let (owner, prover, timer) = (&owner, prover.clone(), &*timer);
        let stop = until_stopped(&interrupt, plan.max_time, &stream);
        let watcher = &watcher;
        async move { watch(request, owner, prover, timer, stop, watcher).await }
    });
    let outcomes = join_all(watching).await;

    owner.end_lanes();
    let lane_reports = join_lanes(lanes).await;
    let owner_report = tokio::task::spawn_blocking(move || owner.close())
        .await
        .map_err(|_| CommandError::bug("the ledger's closing was cancelled"))??;
    lane_reports?;
    live.clear();
    let mut open = 0;
    for (chain, outcome) in chains.iter().zip(outcomes) {
        let outcome = outcome.map_err(CommandError::bug)?;
        open += outcome.open.len();
        if plan.emit == Emit::Events {
            stream.end(EndLine::new(&chain.profile, &outcome));
        }
        tell(plan, &chain.profile, &outcome)?;
    }
    drop((watcher, stream));
    tokio::task::spawn_blocking(move || writing.join())
        .await
        .map_err(|_| CommandError::bug("writing to stdout was cancelled"))?
        .map_err(|_| CommandError::bug("the thread that writes to stdout panicked"))?;
    if let Some(why) = owner_report.not_folded {
        return Err(LedgerError::NotFolded(why).into());
    }
    Ok(match interrupt.code() {
        Some(ExitCode::Interrupted) => ExitCode::Interrupted,
        // A long-running command that was asked to end has done what it was asked.
        Some(_) => ExitCode::Done,
        None if plan.until_block.is_some() && open > 0 && plan.max_time.is_none() => {
            ExitCode::LeftOpen
        }
        None => ExitCode::Done,
    })
}

/// With several nodes a log enters when two agree or receipts prove it; one node's word is enough
/// where there is one, and is labelled so.
fn policy(plan: &ChainPlan) -> Policy {
    let (admission, anchor) = match plan.nodes.len() {
        1 => (Admission::OneNode, AnchorPolicy::OneNode),
        _ => (Admission::Agree(2), AnchorPolicy::Agreed(2)),
    };
    Policy { verify: plan.verify, anchor, admission }
}

fn request(plan: &WatchPlan, chain: &Chain, state: &ChainState) -> WatchRequest {
    let block_time = Duration::from_millis(chain.profile.block_time_ms);
    let poll_interval = plan.poll_interval.unwrap_or_else(|| POLL_MAX.min(block_time / 2));
    let window: Vec<BlockNumHash> = (state.blocks.iter())
        .filter(|block| block.canonical)
        .filter(|block| state.finalized.is_none_or(|finalized| block.number >= finalized))
        .map(|block| BlockNumHash { number: block.number, hash: block.hash })
        .collect();
    let covered_from = (state.coverage.iter())
        .flat_map(|(_, intervals)| intervals)
        .map(|interval| interval.range.first())
        .min();
    WatchRequest {
        profile: chain.profile.clone(),
        filters: chain.filters.clone(),
        verify: chain.plan.verify,
        nodes: chain.nodes.clone(),
        // It goes on from coverage, not from now.
        start_block: plan.from_block.or(covered_from).or(chain.plan.start_block),
        window,
        finalized: state.finalized,
        agree_wait_ms: millis(plan.agree_wait),
        poll_interval_ms: millis(poll_interval).max(1),
        until_block: plan.until_block,
        concurrency: usize::from(plan.concurrency.get()),
        seed: u64::from(std::process::id()),
        reporter: Arc::from("headcount"),
    }
}

fn lane_setup(
    plan: &WatchPlan,
    chain: &Chain,
    state: &ChainState,
    decoder: Arc<dyn Decoder>,
) -> LaneSetup {
    let intervals = || state.coverage.iter().flat_map(|(_, intervals)| intervals);
    let known = intervals().map(|interval| interval.range.first()).min();
    LaneSetup {
        chain: chain.profile.chain,
        decoder,
        content: chain.plan.verify.required(),
        tracked: (state.coverage.iter().map(|(filter, _)| (**filter).clone()))
            .chain(chain.filters.clone())
            .collect(),
        covered: intervals().map(|interval| interval.range).collect(),
        start_block: plan.from_block.or(known).or(chain.plan.start_block).unwrap_or(0),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Shows every transaction on the terminal or writes it to stdout.
fn show(
    plan: &WatchPlan,
    live: &Arc<Live>,
    stream: &Stream,
    decoder: Arc<dyn Decoder>,
) -> pipeline::OnCommit {
    let (live, stream, emit) = (live.clone(), stream.clone(), plan.emit);
    Box::new(move |commits: &[Commit]| {
        live.count_missed(commits);
        if emit == Emit::Events {
            stream.commits(commits, &*decoder);
        }
    })
}

struct Watching {
    live: Arc<Live>,
    stream: Stream,
    emit: Emit,
}

impl WatchWatcher for Watching {
    fn on_view(&self, view: &ChainView) {
        self.live.show(view);
    }

    fn on_report(&self, report: &Report) {
        if self.emit == Emit::Reports {
            self.stream.report(report);
        }
    }
}

async fn until_stopped(interrupt: &Interrupt, max_time: Option<Duration>, stream: &Stream) {
    tokio::select! {
        () = stop(interrupt.clone(), max_time) => {}
        () = stream.closed() => {}
    }
}

#[derive(Serialize)]
struct EndLine {
    chain: u64,
    head: Option<u64>,
    new_events: u64,
    incidents: u64,
    open: Vec<(u64, u64, String)>,
    halted: Option<String>,
    more: bool,
}

impl EndLine {
    fn new(profile: &ChainProfile, outcome: &WatchOutcome) -> Self {
        let open = outcome.open.iter();
        Self {
            chain: profile.chain.0,
            head: outcome.head.map(|head| head.number),
            new_events: outcome.new_events,
            incidents: outcome.incidents,
            open: open.map(|(range, why)| (range.first(), range.last(), why.clone())).collect(),
            halted: outcome.halted.clone(),
            more: outcome.stopped,
        }
    }
}

fn tell(
    plan: &WatchPlan,
    profile: &ChainProfile,
    outcome: &WatchOutcome,
) -> Result<(), CommandError> {
    if let Some(halted) = &outcome.halted {
        writeln!(stderr(), "error: chain {} is halted: {halted}", profile.name)?;
        writeln!(stderr(), "hint: look at the nodes; both branches are in the ledger's blocks")?;
    }
    if plan.quiet {
        return Ok(());
    }
    let head = outcome.head.map_or_else(|| "unknown".to_owned(), |head| head.number.to_string());
    let (name, events, incidents) = (&profile.name, outcome.new_events, outcome.incidents);
    writeln!(stderr(), "chain {name}: head {head}, {events} new events, {incidents} incidents")?;
    for (range, why) in &outcome.open {
        writeln!(stderr(), "open: {range} ({why})")?;
    }
    Ok(())
}
