//! A replay with real engines: opens what the plan names, runs the pipeline, tells what came of it.
//!
//! The only place that knows every engine. It decides nothing about events.

use crate::{
    command_error::CommandError,
    config_file::PluginConfig,
    environment::Environment,
    event_spec::EventSpec,
    exit_codes::ExitCode,
    interrupt::Interrupt,
    node_spec::{Endpoint, NodeSpec},
    plan::{ContractPlan, ReplayPlan},
    progress::{Progress, ProgressLines},
    range::Bounds,
    secret::redacted,
    summary::{
        BlocksSummary, EventsSummary, EvidenceSummary, IncidentSummary, NodeSummary, OpenSummary,
        PluginSummary, Status, Summary,
    },
};
use abi::Schemas;
use aggregator::{Admission, Aggregator, Policy};
use dispatcher::LanePolicy;
use event::{
    Anchor, AnchorPolicy, AnyOf, BlockRange, ChainId, ChainProfile, Decoder, Fault, Filter,
    Finality, Flaw, Node, Plugin, Prover, Store,
};
use host::{Host, HostConfig, Limits};
use node::Recorder;
use pipeline::{
    ChainSetup, Greeting, LaneError, LaneReport, LaneRun, Owner, OwnerHandle, OwnerReport,
    ReplayError, ReplayNode, ReplayOutcome, ReplayRequest, SleepFuture, Timer, Watcher, greet,
};
use sha2::Digest;
use std::{
    collections::BTreeMap,
    io::{Write as _, stderr},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use store::{DuckLedger, Failpoints, OpenMode, OpenOptions};

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
    let schemas = Arc::new(schemas(&plan.contracts)?);
    let filters = filters(&plan.contracts, &schemas);
    let plugins = load_plugins(plan)?;
    let nodes = open_nodes(plan, &*timer).await?;
    let profile = profile(plan, &nodes);

    // A new ledger is made only when it is clear that there is something to put in.
    let is_new = !plan.ledger.path.exists();
    let mut ledger = if is_new { None } else { Some(open_ledger(plan, environment)?) };
    if let Some(ledger) = &ledger {
        check_chain(ledger, plan, &profile, &nodes)?;
    }
    let bounds = bounds(ledger.as_mut(), &profile, &filters, plan, &nodes)?;
    let range = plan.range.resolve(&bounds).map_err(|error| {
        let hint = error.hint();
        CommandError::usage(error).hint(hint)
    })?;
    let Some(range) = range else {
        let summary =
            Summary { elapsed_ms: timer.now_ms(), ..empty_summary(plan, &profile, &nodes) };
        return Ok((summary, ExitCode::Done));
    };

    let anchored = check_anchor(plan, range)?;
    let mut ledger = match ledger {
        Some(ledger) => ledger,
        None => open_ledger(plan, environment)?,
    };

    let prover: Arc<dyn Prover> = Arc::new(proof::Proof);
    let covered = ledger.load(profile.chain)?.coverage;
    let tracked = covered.iter().map(|(filter, _)| (**filter).clone()).chain(filters.clone());
    let tracked: Vec<Filter> = tracked.collect();
    ledger.prepare_schemas(schemas.schemas())?;
    ledger.backfill_typed(&*schemas)?;
    let readers = plugins
        .iter()
        .map(|_| ledger.reader().map(|reader| Box::new(reader) as Box<dyn event::Reader>))
        .collect::<Result<Vec<_>, _>>()?;
    let setup = ChainSetup { profile: profile.clone(), policy: policy(plan) };
    let owner = Owner::new(Box::new(ledger), prover.clone(), schemas.clone(), vec![setup])?;
    let owner = owner.spawn()?;
    let lanes =
        start_lanes(plugins, readers, &owner, &profile, &schemas, plan, range, &tracked, &timer)?;

    // Coverage of an earlier run may rest on other headers than the ones demanded now.
    let is_anchored = async |owner: &OwnerHandle| match anchored {
        None => true,
        Some(anchored) => {
            let evidence = owner.evidence(profile.chain, filters.clone(), anchored).await;
            !matches!(evidence, Ok(Some(evidence)) if evidence.anchor < Anchor::Checkpoint)
        }
    };
    let request = ReplayRequest {
        profile: profile.clone(),
        filters: filters.clone(),
        range,
        verify: plan.verify,
        refetch: plan.refetch || !is_anchored(&owner).await,
        nodes: nodes.iter().map(OpenNode::for_replay).collect(),
        concurrency: usize::from(plan.concurrency.get()),
        width_max: None,
        reporter: Arc::from("headcount"),
    };
    let lines = Lines::new(environment, plan.quiet);
    let stop = stop(interrupt.clone(), plan.max_time);
    let replayed = pipeline::replay(request, &owner, prover, &*timer, stop, &lines).await;
    lines.clear();
    let is_anchored = is_anchored(&owner).await;
    let evidence = owner.evidence(profile.chain, filters, range).await.ok().flatten();
    owner.end_lanes();
    let lane_reports = join_lanes(lanes).await;
    let owner_report = tokio::task::spawn_blocking(move || owner.close())
        .await
        .map_err(|_| CommandError::bug("the ledger's closing was cancelled"))??;
    let recorded = finish_recordings(&nodes);
    let mut outcome = match replayed {
        Ok(outcome) => outcome,
        // The owner's own error, which `close` returns, comes first.
        Err(error @ (ReplayError::Ledger(_) | ReplayError::OwnerGone)) => {
            return Err(CommandError::bug(error));
        }
    };
    if let Some(anchored) = anchored.filter(|_| !is_anchored && outcome.open.is_empty()) {
        let reason =
            "covered, but its headers were not led to the --anchor: read it with --refetch";
        outcome.open.push((anchored, reason.to_owned()));
    }
    let lane_reports = lane_reports?;
    recorded?;
    let ended =
        Ended { plan, profile, nodes, range, outcome, evidence, owner_report, lane_reports };
    Ok(ended.summary(&interrupt, timer.now_ms()))
}

/// The monotonic clock.
struct WallTimer(Instant);

impl Timer for WallTimer {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn sleep_until(&self, at_ms: u64) -> SleepFuture {
        let at = self.0 + Duration::from_millis(at_ms);
        Box::pin(tokio::time::sleep_until(at.into()))
    }
}

async fn stop(interrupt: Interrupt, max_time: Option<Duration>) {
    let timed_out = async {
        match max_time {
            Some(max_time) => tokio::time::sleep(max_time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = interrupt.stopped() => {}
        () = timed_out => {}
    }
}

/// Turns contracts into typed tables. A contract without events stays raw.
fn schemas(contracts: &[ContractPlan]) -> Result<Schemas, CommandError> {
    let mut specs = Vec::new();
    for contract in contracts.iter().filter(|contract| !contract.events.is_empty()) {
        let mut events = Vec::new();
        for spec in &contract.events {
            events.push(match spec {
                EventSpec::Signature(signature) => abi::EventSource::Signature(signature.clone()),
                EventSpec::Abi { path, event } => abi::EventSource::Abi {
                    json: std::fs::read_to_string(path).map_err(|error| {
                        CommandError::from(error)
                            .context(format!("reading the ABI file {}", path.display()))
                    })?,
                    wanted: event.iter().cloned().collect(),
                },
            });
        }
        specs.push(abi::ContractSpec {
            name: Some(contract.schema.clone()),
            addresses: contract.addresses.clone(),
            events,
        });
    }
    Schemas::parse(&specs).map_err(|error| {
        let hint = error.hint();
        CommandError::usage(error).hint(hint)
    })
}

/// What to ask nodes for: the decoded events, and every log of contracts without events.
fn filters(contracts: &[ContractPlan], schemas: &Schemas) -> Vec<Filter> {
    let mut filters = schemas.filters();
    for contract in contracts.iter().filter(|contract| contract.events.is_empty()) {
        filters.push(Filter::new(contract.addresses.clone(), AnyOf::Any));
    }
    filters
}

fn load_plugins(plan: &ReplayPlan) -> Result<Vec<Box<dyn Plugin>>, CommandError> {
    if plan.plugins.is_empty() {
        return Ok(Vec::new());
    }
    let host = Host::new(HostConfig::default()).map_err(CommandError::bug)?;
    plan.plugins.iter().map(|config| load_plugin(&host, config)).collect()
}

fn load_plugin(host: &Host, config: &PluginConfig) -> Result<Box<dyn Plugin>, CommandError> {
    let path = &config.wasm;
    let bytes = std::fs::read(path).map_err(|error| {
        CommandError::from(error).context(format!("reading the plugin {}", path.display()))
    })?;
    if let Some(expected) = &config.sha256 {
        let found = alloy_primitives::hex::encode(sha2::Sha256::digest(&bytes));
        if !found.eq_ignore_ascii_case(expected.trim_start_matches("0x")) {
            return Err(CommandError::usage(format!("its sha256 is {found}, not {expected}"))
                .context(format!("plugin {} is not the one you pinned", path.display()))
                .hint("get the pinned file, or look at the change and write the new sha256"));
        }
    }
    let defaults = Limits::default();
    let limits = Limits {
        memory_bytes: config.memory_mib.map_or(defaults.memory_bytes, |mib| (mib as usize) << 20),
        deadline_ms: config.deadline_ms.unwrap_or(defaults.deadline_ms),
        ..defaults
    };
    let loaded = host.load(&bytes, &config_json(config)?, limits).map_err(|error| {
        CommandError::usage(error)
            .context(format!("plugin {} cannot be used", path.display()))
            .hint("build it for wasm32-wasip2 against the interface in wit/ of this version")
    })?;
    Ok(Box::new(loaded))
}

/// What the operator wrote under `[plugin.config]`, as the JSON object that the plugin is given.
fn config_json(config: &PluginConfig) -> Result<String, CommandError> {
    let entries: BTreeMap<&str, &str> =
        config.config.iter().map(|(key, value)| (key.as_str(), value.expose())).collect();
    serde_json::to_string(&entries).map_err(CommandError::bug)
}

/// A node that answered.
struct OpenNode {
    node: Arc<dyn Node>,
    recorder: Option<Arc<Recorder<Arc<dyn Node>>>>,
    greeting: Greeting,
}

impl OpenNode {
    fn for_replay(&self) -> ReplayNode {
        ReplayNode { node: self.node.clone(), status: self.greeting.status.clone() }
    }
}

/// Opens and greets every node. One that is down is named and left out, the last one is not.
async fn open_nodes(plan: &ReplayPlan, timer: &dyn Timer) -> Result<Vec<OpenNode>, CommandError> {
    let mut open = Vec::new();
    let mut failed: Vec<Fault> = Vec::new();
    let mut expected = plan.expected_chain.map(ChainId);
    for spec in &plan.nodes {
        let node = open_node(spec)?;
        let finality = plan.finality.unwrap_or(Finality::Tag);
        match greet(&*node, expected, finality, timer).await {
            Ok(greeting) => {
                expected = Some(greeting.chain);
                let (node, recorder) = record(plan, node, open.is_empty()).await?;
                open.push(OpenNode { node, recorder, greeting });
            }
            Err(fault) if matches!(fault.class, event::FaultClass::WrongChain { .. }) => {
                let context = format!("node {} cannot be used", spec.name);
                return Err(CommandError::from(fault).context(context));
            }
            Err(fault) => failed.push(fault),
        }
    }
    // Each is told once: the last one by the error, where no node is left.
    let error = match open.is_empty() {
        true => failed.pop().map(CommandError::from),
        false => None,
    };
    for fault in failed {
        writeln!(stderr(), "warning: node left out: {}", redacted(&fault.to_string()))?;
    }
    match error {
        Some(error) => Err(error.context(match plan.nodes.as_slice() {
            [one] => format!("node {} cannot be used", one.name),
            all => format!("none of {} nodes can be used", all.len()),
        })),
        None => Ok(open),
    }
}

fn open_node(spec: &NodeSpec) -> Result<Arc<dyn Node>, CommandError> {
    let text = match &spec.endpoint {
        Endpoint::Http(url) | Endpoint::Ws(url) => url.expose().to_owned(),
        Endpoint::Ipc(path) | Endpoint::Recording(path) => path.display().to_string(),
    };
    let defaults = node::OpenOptions::default();
    let options = node::OpenOptions {
        name: Some(event::NodeId::new(spec.name.as_str())),
        headers: spec
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().to_owned()))
            .collect(),
        timeout_ms: spec.timeout.map_or(defaults.timeout_ms, |timeout| {
            u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)
        }),
        ..defaults
    };
    node::open(&text, options).map_err(|error| {
        let hint = error.hint();
        let failed = CommandError::usage(error).context(format!("node {}", spec.name));
        match hint {
            Some(hint) => failed.hint(hint),
            None => failed,
        }
    })
}

type Recorded = (Arc<dyn Node>, Option<Arc<Recorder<Arc<dyn Node>>>>);

/// Puts a recorder before the first node, where one is asked for.
async fn record(
    plan: &ReplayPlan,
    node: Arc<dyn Node>,
    is_first: bool,
) -> Result<Recorded, CommandError> {
    let Some(path) = plan.record.as_ref().filter(|_| is_first) else { return Ok((node, None)) };
    let recorder = Recorder::create(node, path).await.map_err(CommandError::from)?;
    let recorder = Arc::new(recorder);
    // Asked again through the recorder, so that the recording can be greeted too.
    let finality = plan.finality.unwrap_or(Finality::Tag);
    let timer = WallTimer(Instant::now());
    greet(&recorder, plan.expected_chain.map(ChainId), finality, &timer).await?;
    Ok((recorder.clone(), Some(recorder)))
}

fn finish_recordings(nodes: &[OpenNode]) -> Result<(), CommandError> {
    for recorder in nodes.iter().filter_map(|node| node.recorder.as_ref()) {
        recorder.finish().map_err(CommandError::from)?;
    }
    Ok(())
}

fn profile(plan: &ReplayPlan, nodes: &[OpenNode]) -> ChainProfile {
    let chain = nodes.first().map_or(ChainId(0), |node| node.greeting.chain);
    let mut profile = ChainProfile::ethereum(chain);
    if let Some(name) = &plan.chain_name {
        profile.name.clone_from(name);
    }
    if let Some(finality) = plan.finality {
        profile.finality = finality;
    }
    profile
}

fn open_ledger(plan: &ReplayPlan, environment: &Environment) -> Result<DuckLedger, CommandError> {
    let path = &plan.ledger.path;
    let failpoints = match environment.variable("HEADCOUNT_FAILPOINT") {
        Some(text) => Failpoints::parse(text).map_err(|error| {
            CommandError::usage(error).hint("HEADCOUNT_FAILPOINT is for kill tests: NAME:COUNT")
        })?,
        None => Failpoints::default(),
    };
    let options = OpenOptions { failpoints, ..OpenOptions::default() };
    Ok(DuckLedger::open_with(path, OpenMode::Create, &options)?)
}

/// What is demanded. With one word a log is admitted and labelled so; agreement of several nodes
/// comes with `watch`.
fn policy(plan: &ReplayPlan) -> Policy {
    Policy { verify: plan.verify, anchor: plan.anchor, admission: Admission::OneNode }
}

/// A ledger may hold several chains, but a second one is more often a node given by mistake.
fn check_chain(
    ledger: &DuckLedger,
    plan: &ReplayPlan,
    profile: &ChainProfile,
    nodes: &[OpenNode],
) -> Result<(), CommandError> {
    let known = ledger.chains()?;
    if plan.expected_chain.is_some() || known.is_empty() || known.contains(&profile.chain) {
        return Ok(());
    }
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    let node = nodes.first().map(|node| node.node.id().to_string()).unwrap_or_default();
    let (chain, known) = (profile.chain, known.join(", "));
    Err(CommandError::usage(format!("it holds events of chain {known}, the node is on {chain}"))
        .context(format!("node {node} is not on the chain of this ledger"))
        .hint(format!("use a node of chain {known}, or another ledger"))
        .hint(format!("`--chain-id {chain}` adds that chain to this ledger")))
}

/// Returns the blocks whose headers must lead to the block that the operator knows.
fn check_anchor(plan: &ReplayPlan, range: BlockRange) -> Result<Option<BlockRange>, CommandError> {
    let AnchorPolicy::Checkpoint(block) = plan.anchor else { return Ok(None) };
    let (first, last) = (range.first(), range.last());
    match BlockRange::new(first, block.number).filter(|_| range.contains(block.number)) {
        Some(anchored) => Ok(Some(anchored)),
        None => Err(CommandError::usage(format!(
            "block {} of --anchor is not one of the blocks {first}:{last}",
            block.number
        ))
        .hint(format!("read up to it: -b {}:{}", first.min(block.number), block.number))),
    }
}

/// What open ends of the range mean here.
fn bounds(
    ledger: Option<&mut DuckLedger>,
    profile: &ChainProfile,
    filters: &[Filter],
    plan: &ReplayPlan,
    nodes: &[OpenNode],
) -> Result<Bounds, CommandError> {
    let status = nodes.iter().map(|node| &node.greeting.status);
    let finalized = status.clone().filter_map(|status| status.finalized).max();
    let latest = status.map(|status| status.head.number).max();
    let start = if let Some(ledger) = ledger.filter(|_| plan.range.needs_start()) {
        let known = Aggregator::new(profile.clone(), policy(plan), ledger.load(profile.chain)?);
        let filters: Vec<_> = filters.iter().cloned().map(Arc::new).collect();
        known.first_uncovered(&filters, plan.verify).or(plan.start_block)
    } else {
        plan.start_block
    };
    Ok(Bounds { start, finalized, latest })
}

type Lane = JoinHandle<Result<LaneReport, LaneError>>;

#[allow(clippy::too_many_arguments, reason = "each is an engine of its own")]
fn start_lanes(
    plugins: Vec<Box<dyn Plugin>>,
    readers: Vec<Box<dyn event::Reader>>,
    owner: &OwnerHandle,
    profile: &ChainProfile,
    schemas: &Arc<Schemas>,
    plan: &ReplayPlan,
    range: BlockRange,
    tracked: &[Filter],
    timer: &Arc<WallTimer>,
) -> Result<Vec<Lane>, CommandError> {
    let mut lanes = Vec::new();
    for (plugin, reader) in plugins.into_iter().zip(readers) {
        let name = plugin.descriptor().name.clone();
        let decoder: Arc<dyn Decoder> = schemas.clone();
        let lane = LaneRun {
            plugin,
            chain: profile.chain,
            owner: owner.lane(),
            reader,
            decoder,
            policy: LanePolicy::default(),
            content: plan.verify.required(),
            start_block: plan.start_block.unwrap_or(range.first()).min(range.first()),
            tracked: tracked.to_vec(),
        };
        let timer = timer.clone();
        let thread = std::thread::Builder::new().name(format!("lane-{name}"));
        lanes.push(thread.spawn(move || lane.run(&*timer))?);
    }
    Ok(lanes)
}

async fn join_lanes(lanes: Vec<Lane>) -> Result<Vec<LaneReport>, CommandError> {
    let mut reports = Vec::new();
    for lane in lanes {
        let joined = tokio::task::spawn_blocking(move || lane.join())
            .await
            .map_err(|_| CommandError::bug("a lane's end was cancelled"))?;
        let report = joined.map_err(|_| CommandError::bug("a lane's thread panicked"))?;
        reports.push(report.map_err(CommandError::from)?);
    }
    Ok(reports)
}

/// Feeds the live lines.
struct Lines(Mutex<ProgressLines>);

impl Lines {
    fn new(environment: &Environment, is_quiet: bool) -> Self {
        Self(Mutex::new(ProgressLines::new(environment, is_quiet)))
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Watcher for Lines {
    fn on_progress(&self, progress: &pipeline::Progress) {
        let per_node = progress.node.iter().map(|(node, doing)| (node.to_string(), doing.clone()));
        let shown = Progress {
            blocks_done: progress.blocks_done,
            blocks_total: progress.blocks_total,
            events: progress.events,
            open: 0,
            per_node: per_node.collect(),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).show(&shown);
    }
}

/// Everything there is to tell.
struct Ended<'a> {
    plan: &'a ReplayPlan,
    profile: ChainProfile,
    nodes: Vec<OpenNode>,
    range: BlockRange,
    outcome: ReplayOutcome,
    evidence: Option<event::Evidence>,
    owner_report: OwnerReport,
    lane_reports: Vec<LaneReport>,
}

impl Ended<'_> {
    fn summary(self, interrupt: &Interrupt, elapsed_ms: u64) -> (Summary, ExitCode) {
        let (status, code) = self.status(interrupt);
        let failure = self.failure().filter(|_| status == Status::Failed);
        let Self { plan, profile, nodes, range, outcome, evidence, owner_report, lane_reports } =
            self;
        let raw = owner_report.decoded.unknown;
        let undecodable = owner_report.decoded.undecodable;
        let summary = Summary {
            status,
            failure,
            range: Some(range.into()),
            evidence: evidence.map(|evidence| EvidenceSummary {
                content: evidence.content.to_string(),
                anchor: evidence.anchor.to_string(),
                anchor_node: (nodes.len() == 1).then(|| nodes[0].node.id().to_string()),
                anchor_block: match plan.anchor {
                    AnchorPolicy::Checkpoint(block) => Some(block.number),
                    _ => Some(range.last()),
                },
            }),
            blocks: BlocksSummary {
                fetched: outcome.blocks_read,
                already_covered: outcome.blocks_covered_before,
                open: outcome
                    .open
                    .into_iter()
                    .map(|(range, reason)| OpenSummary { range: range.into(), reason })
                    .collect(),
            },
            events: EventsSummary {
                new: outcome.new_events,
                known: outcome.known_events,
                decoded: outcome.new_events.saturating_sub(raw + undecodable),
                undecodable,
                raw,
            },
            incidents: owner_report
                .incidents
                .into_iter()
                .map(|incident| IncidentSummary {
                    node: incident.node.to_string(),
                    flaw: incident.flaw.to_string(),
                    range: incident.range.into(),
                    count: incident.count,
                    detail: incident.detail,
                })
                .collect(),
            plugins: lane_reports.into_iter().map(plugin_summary).collect(),
            more: matches!(status, Status::Stopped | Status::Interrupted),
            elapsed_ms,
            ..empty_summary(plan, &profile, &nodes)
        };
        (summary, code)
    }

    /// Why the check that was asked for has failed, if it has.
    fn failure(&self) -> Option<String> {
        let incidents = &self.owner_report.incidents;
        if let AnchorPolicy::Checkpoint(block) = self.plan.anchor
            && let Some(other) = incidents.iter().find(|incident| {
                incident.flaw == Flaw::AnchorMismatch && incident.range.contains(block.number)
            })
        {
            return Some(format!("{} contradicts --anchor: {}", other.node, other.detail));
        }
        let first = incidents.first().filter(|_| self.plan.fail_on_incident)?;
        Some(format!("{} was caught with a wrong answer: {}", first.node, first.detail))
    }

    fn status(&self, interrupt: &Interrupt) -> (Status, ExitCode) {
        if let Some(code) = interrupt.code() {
            return (Status::Interrupted, code);
        }
        if self.failure().is_some() {
            return (Status::Failed, ExitCode::CheckFailed);
        }
        if self.outcome.stopped {
            return (Status::Stopped, ExitCode::Done);
        }
        match self.outcome.open.is_empty() {
            true => (Status::Done, ExitCode::Done),
            false => (Status::Open, ExitCode::LeftOpen),
        }
    }
}

fn plugin_summary(report: LaneReport) -> PluginSummary {
    PluginSummary {
        name: report.plugin,
        cursor: Some(report.next_block),
        rows: report.rows,
        dead_letters: report.dead_letters.len() as u64,
        halted: report.halted,
        waiting: report.waiting,
    }
}

/// A summary of nothing done.
fn empty_summary(plan: &ReplayPlan, profile: &ChainProfile, nodes: &[OpenNode]) -> Summary {
    Summary {
        status: Status::Done,
        failure: None,
        ledger: plan.ledger.path.display().to_string(),
        chain: profile.chain.0,
        range: None,
        verify: plan.verify.to_string(),
        evidence: None,
        blocks: BlocksSummary::default(),
        events: EventsSummary::default(),
        incidents: Vec::new(),
        nodes: nodes
            .iter()
            .map(|node| NodeSummary {
                name: node.node.id().to_string(),
                client: node.greeting.status.client.as_deref().map(str::to_owned),
                calls: node.node.calls(),
            })
            .collect(),
        plugins: Vec::new(),
        more: false,
        elapsed_ms: 0,
    }
}
