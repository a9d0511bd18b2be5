//! A watch with real engines: opens what the plan names, runs the pipeline, tells what came of it.

mod live;
mod nodes;
mod reload;
mod running;
mod stream;
mod tell;

use super::{
    access::{Owned, OwnerDesk, Reached, ReloadAsked, Seeker},
    clock::{WallTimer, stop},
    inputs,
    lanes::LaneSetup,
    ledger,
    sinks::{self, Deliveries},
    telling::plugin_summary,
};
use crate::{
    command_error::{CommandError, ErrorKind},
    complaint,
    environment::Environment,
    exit_codes::ExitCode,
    interrupt::{Hangup, Interrupt},
    plan::{ChainPlan, Emit, WatchPlan, merged_contracts},
    secret::redacted,
    summary::PluginSummary,
};
use aggregator::{Admission, Policy};
use event::{
    AnchorPolicy, BlockNumHash, BlockRange, ChainId, ChainProfile, ChainState, Commit, Decoder,
    Filter, LedgerError, Node, Prover, Report, Store,
};
use futures_channel::mpsc;
use futures_util::{
    StreamExt,
    future::{Either, join_all, select},
};
use live::Live;
use pipeline::{
    ChainSetup, ChainView, Owner, OwnerHandle, Timer, WatchRequest, WatchWatcher, watch,
};
use relay::{Hello, Role};
use reload::{CHANGES_MAX, reload};
use running::{Running, RunningChain, running_plugins};
use std::{
    collections::BTreeMap,
    io::{Write, stderr},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use stream::Stream;
use tell::{EndLine, FinalityLine, Told, Written, tell};

/// Longest time between two looks at a node's head where the user says nothing.
const POLL_MAX: Duration = Duration::from_secs(2);

/// How long a reader of stdout may still take what was written for it, when the watch was asked to
/// end.
const WRITING_DRAIN: Duration = Duration::from_secs(1);

/// Makes the plan of the configuration as it is now.
type Again<'a> = &'a (dyn Fn() -> Result<WatchPlan, CommandError> + Sync);

/// Runs a plan on a runtime of its own, and what `again` makes of it whenever SIGHUP asks for it.
pub(crate) fn watch_plan(
    plan: &WatchPlan,
    again: Again<'_>,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(run(plan, again, environment));
    // A thread that waits for a reader of stdout is not waited for.
    runtime.shutdown_background();
    ended
}

/// One chain, ready to be watched.
struct Chain {
    profile: ChainProfile,
    policy: Policy,
    nodes: Vec<Arc<dyn Node>>,
    /// Where its head was first.
    head: Option<u64>,
    filters: Vec<Filter>,
    plan: ChainPlan,
}

/// Runs a plan on the runtime at hand.
pub(super) async fn run(
    plan: &WatchPlan,
    again: Again<'_>,
    environment: &Environment,
) -> Result<ExitCode, CommandError> {
    let timer = Arc::new(WallTimer(Instant::now()));
    let interrupt = Interrupt::listen()?;
    let mut hangup = Hangup::listen()?;
    // Whoever reads this may send signals from now on.
    if !plan.quiet {
        writeln!(stderr(), "ledger: {}", plan.ledger.path.display())?;
    }
    // Everything the user can have got wrong is looked at before the ledger is touched.
    let contracts = merged_contracts(&plan.chains)?;
    inputs::schemas(&contracts)?;
    let plugins = inputs::load_plugins(&plan.plugins, &contracts, &plan.ledger, &plan.compiling)?;
    let plugins = running_plugins(&plan.plugins, &plugins);
    let names = plugins.iter().map(|plugin| plugin.name.clone()).collect();
    let sinks = sinks::open(&plan.sinks)?;
    let mut chains = Vec::new();
    for chain_plan in &plan.chains {
        let opened = tokio::select! {
            opened = nodes::open(plan, chain_plan, environment, &*timer) => opened?,
            () = interrupt.stopped() => return Ok(code_of(&interrupt)),
        };
        let own = inputs::schemas(&chain_plan.contracts)?;
        chains.push(Chain {
            profile: ledger::profile_of(chain_plan, opened.chain),
            policy: policy(chain_plan),
            filters: inputs::filters(&chain_plan.contracts, &own),
            nodes: opened.nodes,
            head: opened.head,
            plan: chain_plan.clone().bound_to(opened.chain),
        });
    }
    let contracts = merged_contracts(chains.iter().map(|chain| &chain.plan))?;
    let schemas = Arc::new(inputs::schemas(&contracts)?);
    let owned = tokio::select! {
        owned = own(plan, environment) => owned?,
        () = stop(interrupt.clone(), plan.max_time) => return Ok(code_of(&interrupt)),
    };
    let mut ledger = ledger::open(&owned, environment)?;
    let mut states = Vec::new();
    let known = ledger.chains()?;
    for chain in &chains {
        ledger::check_chain(&known, &chain.plan, &chain.profile, &chain.nodes)?;
        states.push(ledger.load(chain.profile.chain)?);
    }
    ledger.prepare_decoder(&*schemas)?;
    let reader = ledger.reader()?;
    let for_clients = ledger.reader()?;
    let prover: Arc<dyn Prover> = Arc::new(proof::Proof);
    let setups = chains
        .iter()
        .map(|chain| ChainSetup { profile: chain.profile.clone(), policy: chain.policy });
    let owner = Owner::new(Box::new(ledger), prover.clone(), schemas.clone(), setups.collect())?;
    let live = Arc::new(Live::new(environment, plan.quiet));
    let is_json = plan.is_json || !environment.stdout_is_terminal || plan.emit == Emit::Reports;
    let (stream, writing) = Stream::start(&live, is_json, environment.stdout_is_terminal)?;
    let written = Written::default();
    let owner = owner.showing(show(plan, &live, &stream, &written)).spawn()?;

    let policies = chains.iter().map(|chain| (chain.profile.chain, chain.policy));
    let specs = inputs::specs(&contracts)?;
    let desk = OwnerDesk::new(&owner, for_clients, policies, names, specs);
    let reloads = desk.reloads();
    let mut requests = Vec::new();
    let mut running = Running {
        plan: plan.clone(),
        plugins,
        deliveries: Deliveries::start(sinks, &owner, &timer),
        chains: Vec::new(),
        owner: &owner,
        timer: &timer,
        reader,
        desk: desk.clone(),
    };
    for (index, (chain, state)) in chains.into_iter().zip(&states).enumerate() {
        let (changes, receiver) = mpsc::channel(CHANGES_MAX);
        let mut request = request(plan, &chain, state);
        request.changes = Some(receiver);
        demand_at_first(plan, &chain, &owner, &timer);
        requests.push(request);
        running.chains.push(RunningChain {
            setup: lane_setup(plan, &chain, state, schemas.clone()),
            nodes: chain.plan.nodes.iter().cloned().zip(chain.nodes).collect(),
            filters: chain.filters,
            profile: chain.profile,
            changes,
            lanes: Vec::new(),
        });
        // Each chain has lanes of its own, and a lane has its own guest.
        running.start_lanes(index).await?;
    }

    if let Some(server) = &owned.server {
        server.serve(desk.clone());
    }
    let watcher = Watching {
        live: live.clone(),
        stream: stream.clone(),
        emit: plan.emit,
        told: Mutex::default(),
    };
    let watching = requests.into_iter().map(|request| {
        let (owner, prover, timer) = (&owner, prover.clone(), &*timer);
        let stop = until_stopped(&interrupt, plan.max_time, &stream);
        let watcher = &watcher;
        async move { watch(request, owner, prover, timer, stop, watcher).await }
    });
    let outcomes = drive(join_all(watching), &mut running, (&mut hangup, reloads), again).await;

    let profiles: Vec<ChainProfile> =
        running.chains.iter().map(|chain| chain.profile.clone()).collect();
    let was_stopped =
        outcomes.iter().any(|outcome| outcome.as_ref().map_or(true, |ended| ended.stopped));
    let stopped = async {
        if !was_stopped {
            interrupt.stopped().await;
        }
    };
    let (lane_reports, deliveries) = running.join_lanes(stopped).await;
    if !was_stopped {
        deliveries.drained(interrupt.stopped()).await;
    }
    let sinks = deliveries.end().await;
    let owner_report = owned.close(desk, owner).await?;
    let lane_reports = lane_reports?;
    live.clear();
    // What a lane waits for that is as far as the head is no news: only what failed is.
    let plugins: Vec<(ChainId, PluginSummary)> = (lane_reports.into_iter())
        .map(|report| (report.chain, plugin_summary(report, None, false)))
        .collect();
    let mut open = 0;
    for (profile, outcome) in profiles.iter().zip(outcomes) {
        let outcome = outcome.map_err(CommandError::bug)?;
        open += outcome.open.len();
        // The owner has ended: nothing is written any more.
        let rows = written.of(profile.chain);
        if plan.emit == Emit::Events {
            let own = plugins.iter().filter(|(chain, _)| *chain == profile.chain);
            let own = own.map(|(_, plugin)| plugin.clone()).collect();
            stream.end(EndLine::new(profile, &outcome, rows, own));
        }
        tell(plan, profile, &outcome, rows);
    }
    let is_closed = stream.is_closed();
    drop((watcher, stream));
    finish_writing(writing, was_stopped, &interrupt).await?;
    let told = plugins.iter().map(|(_, plugin)| plugin);
    // On one chain of several a plugin may well have nothing to do.
    let told = told.filter(|plugin| plugin.behind || plugin.dead_letters > 0);
    for words in told.flat_map(complaint::plugin_warnings) {
        writeln!(stderr(), "warning: {}", redacted(&words))?;
    }
    let is_behind = plugins.iter().any(|(_, plugin)| plugin.behind);
    for sink in sinks.iter().filter(|sink| sink.waiting > 0 || sink.dead > 0) {
        writeln!(stderr(), "warning: sink {sink}")?;
    }
    for event in owner_report.undecoded {
        writeln!(stderr(), "warning: {}", complaint::undecoded(&event.into()))?;
    }
    if let Some(why) = owner_report.not_folded {
        return Err(LedgerError::NotFolded(why).into());
    }
    let is_by_itself = interrupt.code().is_none() && !was_stopped && !is_closed;
    match plan.until_block.is_some() && (open > 0 || is_behind) && is_by_itself {
        true => Ok(ExitCode::LeftOpen),
        false => Ok(code_of(&interrupt)),
    }
}

/// Takes the ledger. A process that only reads a range is waited for, another watch is not.
async fn own(plan: &WatchPlan, environment: &Environment) -> Result<Owned, CommandError> {
    let seeker = Seeker::new(&plan.ledger.path, environment, Role::Watch);
    let mut told = None;
    loop {
        let joined = match seeker.reach().await? {
            Reached::Own(owned) => return Ok(owned),
            Reached::Joined(joined) => joined,
        };
        let Hello { role, pid, .. } = joined.owner().clone();
        if role == Role::Watch {
            let hint = "end that process, or name another file with --ledger; `headcount replay` can \
                        read for it";
            return Err(CommandError::new(ErrorKind::LeftOpen, seeker.busy(Some(pid)))
                .context(format!("process {pid} watches into this ledger already"))
                .hint(hint));
        }
        if !plan.quiet && told != Some(pid) {
            writeln!(stderr(), "waiting for process {pid} ({role}), which uses the ledger")?;
            told = Some(pid);
        }
        joined.client.lost().await;
    }
}

/// A long-running command that was asked to end has done what it was asked; Ctrl-C is told apart,
/// as shells expect.
fn code_of(interrupt: &Interrupt) -> ExitCode {
    match interrupt.code() {
        Some(ExitCode::Interrupted) => ExitCode::Interrupted,
        _ => ExitCode::Done,
    }
}

/// Runs to the end, with another configuration whenever SIGHUP or another process asks for it.
async fn drive<W: Future + Unpin>(
    mut watching: W,
    running: &mut Running<'_>,
    (hangup, mut reloads): (&mut Hangup, mpsc::Receiver<ReloadAsked>),
    again: Again<'_>,
) -> W::Output {
    loop {
        let asked = tokio::select! {
            outcomes = &mut watching => return outcomes,
            () = hangup.next() => None,
            Some(asked) = reloads.next() => Some(asked),
        };
        // Recording goes on meanwhile; a change that was begun is made.
        let change = std::pin::pin!(reload(running, again, asked));
        match select(watching, change).await {
            Either::Left((outcomes, change)) => {
                change.await;
                return outcomes;
            }
            Either::Right(((), still)) => watching = still,
        }
    }
}

/// Waits until whoever reads stdout has everything, but not for ever when it was asked to end.
async fn finish_writing(
    writing: JoinHandle<()>,
    was_stopped: bool,
    interrupt: &Interrupt,
) -> Result<(), CommandError> {
    let written = tokio::task::spawn_blocking(move || writing.join());
    let patience = async {
        if !was_stopped {
            interrupt.stopped().await;
        }
        tokio::time::sleep(WRITING_DRAIN).await;
    };
    tokio::select! {
        written = written => written
            .map_err(|_| CommandError::bug("writing to stdout was cancelled"))?
            .map_err(|_| CommandError::bug("the thread that writes to stdout panicked")),
        () = patience => Ok(()),
    }
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
    WatchRequest {
        profile: chain.profile.clone(),
        filters: chain.filters.clone(),
        verify: chain.plan.verify,
        nodes: chain.nodes.clone(),
        start_block: start_block(plan, chain, state).or(chain.head),
        window,
        finalized: state.finalized,
        final_nodes: chain.policy.final_nodes(),
        agree_wait_ms: millis(plan.agree_wait),
        poll_interval_ms: millis(poll_interval).max(1),
        until_block: plan.until_block,
        concurrency: usize::from(plan.concurrency.get()),
        second_look: chain.plan.second_look.budget(),
        seed: u64::from(std::process::id()),
        reporter: Arc::from("watch"),
        changes: None,
    }
}

/// What is wanted is owed once a node says where the head is. Where none does yet, the block that the
/// user asked to begin with is all that is known of it, and whoever goes on has to know it, too.
fn demand_at_first(plan: &WatchPlan, chain: &Chain, owner: &OwnerHandle, timer: &WallTimer) {
    if let Some(from) = plan.from_block.filter(|_| chain.head.is_none()) {
        let (id, filters) = (chain.profile.chain, chain.filters.clone());
        let begin = BlockRange::one(from);
        owner.demand(id, filters, begin, chain.plan.verify, timer.unix_s());
    }
}

/// It goes on from what is covered or owed, not from now.
fn start_block(plan: &WatchPlan, chain: &Chain, state: &ChainState) -> Option<u64> {
    let covered = state.coverage.iter().flat_map(|(_, intervals)| intervals);
    let covered = covered.map(|interval| interval.range);
    let owed = state.demands.iter().filter(|demand| chain.filters.contains(&demand.filter));
    let owed = owed.flat_map(|demand| demand.blocks.iter());
    let known = covered.chain(owed).map(|range| range.first()).min();
    plan.from_block.or(known).or(chain.plan.start_block)
}

fn lane_setup(
    plan: &WatchPlan,
    chain: &Chain,
    state: &ChainState,
    decoder: Arc<dyn Decoder>,
) -> LaneSetup {
    let intervals = || state.coverage.iter().flat_map(|(_, intervals)| intervals);
    LaneSetup {
        chain: chain.profile.chain,
        decoder,
        content: chain.plan.verify.required(),
        tracked: (state.coverage.iter().map(|(filter, _)| (**filter).clone()))
            .chain(chain.filters.clone())
            .collect(),
        covered: intervals().map(|interval| interval.range).collect(),
        start_block: start_block(plan, chain, state).unwrap_or(0),
        stop: Arc::default(),
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
    written: &Written,
) -> pipeline::OnCommit {
    let (live, stream, emit) = (live.clone(), stream.clone(), plan.emit);
    let written = written.clone();
    Box::new(move |commits: &[Commit], decoder: &dyn Decoder| {
        live.count_missed(commits);
        written.count(commits);
        if emit == Emit::Events {
            stream.commits(commits, decoder);
        }
    })
}

struct Watching {
    live: Arc<Live>,
    stream: Stream,
    emit: Emit,
    /// Why nothing becomes final, as it was said last of each chain.
    told: Mutex<BTreeMap<ChainId, Told>>,
}

impl WatchWatcher for Watching {
    fn on_view(&self, view: &ChainView) {
        self.live.show(view);
        if self.emit != Emit::Events {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = told.entry(view.chain).or_default().take(view);
        if is_new {
            self.stream.finality(FinalityLine::new(view));
        }
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
