//! A replay with real engines: as owner of the ledger, or as a client of the process that owns it.
//!
//! When that process ends in the middle, the replay goes on with the next owner, or as the owner: what
//! was not acknowledged is handed over again, and nothing that was is read again.

mod join;
mod own;

use super::{
    access::{Carried, Counted, Joined, Miss, Seeker},
    clock::{WallTimer, stop},
    inputs, ledger,
    ledger::{Access, Resolved},
    nodes::{self, OpenNode},
    telling::{Ended, Lines},
};
use crate::{
    command_error::{CommandError, ErrorKind},
    environment::Environment,
    exit_codes::ExitCode,
    interrupt::Interrupt,
    plan::{ContractPlan, IfBusy, ReplayPlan},
    summary::{Status, Summary},
};
use abi::Schemas;
use event::{Anchor, BlockRange, BlockRanges, ChainProfile, Filter, Interval, Prover};
use pipeline::{
    OwnerHandle, ReplayError, ReplayOutcome, ReplayRequest, SecondLookRequest, Timer, Watcher,
};
use relay::Role;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// This command in reports.
const REPORTER: &str = "replay";

/// Why blocks are open that are covered.
const UNDECIDED: &str = "nodes differ, and no receipts show who is right";

/// Owners that end while one replay is their client, at most.
const OWNERS_MAX: u32 = 1_000;

/// Time before the next owner is looked for: the one that ends is a moment longer there.
const NEXT_OWNER: Duration = Duration::from_millis(25);

/// Runs a plan on a runtime of its own.
pub(crate) fn replay(
    plan: &ReplayPlan,
    environment: &Environment,
) -> Result<(Summary, ExitCode), CommandError> {
    // One core is the ledger's: it is what a large replay waits for.
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let readers = (cores - 1).max(1);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(readers).enable_all().build()?;
    runtime.block_on(run(plan, environment))
}

/// What a replay runs with, whoever owns the ledger.
struct Run<'a> {
    plan: &'a ReplayPlan,
    environment: &'a Environment,
    timer: Arc<WallTimer>,
    interrupt: Interrupt,
    /// What it decodes, bound to its chain.
    contracts: Vec<ContractPlan>,
    schemas: Arc<Schemas>,
    filters: Vec<Filter>,
    nodes: Vec<OpenNode>,
    profile: ChainProfile,
    carried: Arc<Carried>,
    begun: Instant,
}

/// What there is to read, and why headers are believed.
struct Part<'a> {
    covered: &'a [(Arc<Filter>, Vec<Interval>)],
    range: Option<BlockRange>,
    anchored: Option<BlockRange>,
}

async fn run(
    plan: &ReplayPlan,
    environment: &Environment,
) -> Result<(Summary, ExitCode), CommandError> {
    let begun = Instant::now();
    let timer = Arc::new(WallTimer(begun));
    let interrupt = Interrupt::listen()?;
    // Everything the user can have got wrong is looked at before the ledger is touched.
    let schemas = inputs::schemas(&plan.chain.contracts)?;
    let filters = inputs::filters(&plan.chain.contracts, &schemas);
    let contracts = &plan.chain.contracts;
    let plugins = inputs::load_plugins(&plan.plugins, contracts, &plan.ledger, &plan.compiling)?;
    let mut inputs = Some((plugins, super::sinks::open(&plan.sinks)?));
    let seeker = Seeker::new(&plan.ledger.path, environment, Role::Replay);
    if let Some(ended) = wait_or_skip(plan, &seeker, &interrupt).await? {
        return Ok(ended);
    }
    let nodes = nodes::open_nodes(&plan.chain, plan.record.as_deref(), &*timer).await?;
    let profile = ledger::profile(plan, &nodes);
    let contracts = plan.chain.clone().bound_to(profile.chain).contracts;
    let schemas = Arc::new(inputs::schemas(&contracts)?);
    let carried = Arc::new(Carried::default());
    let run = Run {
        plan,
        environment,
        timer,
        interrupt,
        contracts,
        schemas,
        filters,
        nodes,
        profile,
        carried,
        begun,
    };

    let mut decided = None;
    for _ in 0..OWNERS_MAX {
        let resolved = run.resolve(&seeker, decided).await;
        let Resolved { access, covered, range, anchored } = match resolved {
            Ok(resolved) => resolved,
            Err(Miss::Lost) => {
                tokio::time::sleep(NEXT_OWNER).await;
                continue;
            }
            Err(Miss::Failed(error)) => return Err(error),
        };
        decided = Some(range);
        let part = Part { covered: &covered, range, anchored };
        match access {
            Access::Own(ledger, owned) => {
                let inputs = inputs.take().unwrap_or_default();
                return own::run(run, *ledger, owned, inputs, part).await;
            }
            Access::Joined(joined) if plan.if_busy == IfBusy::Join => {
                let plugins = inputs.as_ref().map_or(&[][..], |(plugins, _)| plugins);
                match join::run(&run, &joined, part, plugins).await {
                    Ok(read) => return Ok(run.ended(range, read)),
                    Err(Miss::Lost) => {
                        run.carried.cut_short();
                        tokio::time::sleep(NEXT_OWNER).await;
                    }
                    Err(Miss::Failed(error)) => return Err(error),
                }
            }
            // It was taken while the nodes were greeted.
            Access::Joined(joined) => {
                let pid = joined.owner().pid;
                drop(joined);
                decided = None;
                if let Some(ended) = wait_or_skip(plan, &seeker, &run.interrupt).await? {
                    return Ok(ended);
                }
                tracing::debug!(pid, "the ledger was in use for a moment");
            }
        }
    }
    Err(CommandError::new(
        ErrorKind::LeftOpen,
        "no process that owned the ledger lived long enough",
    )
    .hint("run the same command again; what is committed is kept"))
}

/// Does what `--if-busy` says where the ledger is in use; returns how it ends, if it does.
async fn wait_or_skip(
    plan: &ReplayPlan,
    seeker: &Seeker,
    interrupt: &Interrupt,
) -> Result<Option<(Summary, ExitCode)>, CommandError> {
    if plan.if_busy == IfBusy::Join || !seeker.is_there() {
        return Ok(None);
    }
    let pid = match seeker.holder()? {
        // Readers look and end: that is no reason to skip.
        None | Some(None) => return Ok(None),
        Some(pid) => pid,
    };
    let ledger = plan.ledger.path.display().to_string();
    if plan.if_busy == IfBusy::Skip {
        let skipped = Summary {
            status: Status::Skipped,
            in_use_by: pid,
            more: true,
            ledger,
            ..Summary::default()
        };
        return Ok(Some((skipped, ExitCode::Done)));
    }
    tokio::select! {
        free = seeker.until_free() => free.map(|()| None),
        () = stop(interrupt.clone(), plan.max_time) => match interrupt.code() {
            Some(code) => {
                let status = Status::Interrupted;
                Ok(Some((Summary { status, more: true, ledger, ..Summary::default() }, code)))
            }
            None => {
                let waited = plan.max_time.map_or(0, |max| max.as_secs());
                let error = CommandError::from(seeker.busy(pid));
                Err(error.context(format!(
                    "nothing was read: --if-busy wait has waited for as long as --max-time allows, \
                     {waited} s"
                )))
            }
        }
    }
}

impl Run<'_> {
    async fn resolve(
        &self,
        seeker: &Seeker,
        decided: Option<Option<BlockRange>>,
    ) -> Result<Resolved, Miss> {
        let Self { plan, environment, profile, filters, nodes, .. } = self;
        ledger::resolve(plan, environment, seeker, profile, filters, nodes, decided).await
    }

    /// Reads what is missing of a range through whatever owner there is.
    async fn read(
        &self,
        owner: &OwnerHandle,
        part: &Part<'_>,
        range: BlockRange,
        verify: event::Verify,
    ) -> Result<(ReplayOutcome, Option<event::Evidence>), ReplayError> {
        let Self { plan, profile, filters, .. } = self;
        let refetch = plan.refetch || ledger::rests_on_other_headers(plan, part.covered);
        let request = ReplayRequest { refetch, ..self.request(range, verify) };
        let prover: Arc<dyn Prover> = Arc::new(proof::Proof);
        let lines = Lines::new(self.environment, plan.quiet);
        let stop = self.stop();
        let watcher: &dyn Watcher = &lines;
        let replayed = pipeline::replay(request, owner, prover, &*self.timer, stop, watcher).await;
        lines.clear();
        let mut outcome = replayed?;
        let is_led = self.is_led_to_anchor(owner, part.anchored).await;
        if let (Some(anchored), false) = (part.anchored, is_led)
            && outcome.open.is_empty()
        {
            let reason = "covered, but its headers do not lead to the --anchor";
            outcome.open.push((anchored, reason.to_owned()));
        }
        let evidence = owner.evidence(profile.chain, filters.clone(), range).await.ok().flatten();
        Ok((outcome, evidence))
    }

    /// What is asked of the nodes about a range of which only what is missing is read.
    fn request(&self, range: BlockRange, verify: event::Verify) -> ReplayRequest {
        ReplayRequest {
            profile: self.profile.clone(),
            filters: self.filters.clone(),
            range,
            verify,
            needed: verify,
            is_second_look: false,
            refetch: false,
            nodes: self.nodes.iter().map(OpenNode::for_replay).collect(),
            concurrency: usize::from(self.plan.concurrency.get()),
            width_max: None,
            pace: None,
            reporter: Arc::from(REPORTER),
        }
    }

    /// Is ready when reading is to stop: the operator says so, or the time is over.
    fn stop(&self) -> impl Future<Output = ()> + Send + use<> {
        let left = self.plan.max_time.map(|max| max.saturating_sub(self.begun.elapsed()));
        stop(self.interrupt.clone(), left)
    }

    /// Reads again through other nodes what is covered, final and was not looked at before, and adds to
    /// `outcome` what comes of it.
    async fn look_again(
        &self,
        owner: &OwnerHandle,
        verify: event::Verify,
        outcome: &mut ReplayOutcome,
    ) -> Result<(), ReplayError> {
        let Self { plan, profile, filters, .. } = self;
        let finalized = self.nodes.iter().filter_map(|node| node.greeting.status.finalized).max();
        let Some(through) = finalized.filter(|_| plan.second_look && !outcome.stopped) else {
            return Ok(());
        };
        let request = SecondLookRequest {
            profile: profile.clone(),
            filters: filters.clone(),
            through,
            verify,
            nodes: self.nodes.iter().map(OpenNode::for_replay).collect(),
            concurrency: usize::from(plan.concurrency.get()),
            window_blocks: SecondLookRequest::WINDOW_BLOCKS,
            width_max: None,
            pace: None,
            reporter: Arc::from(REPORTER),
        };
        let prover: Arc<dyn Prover> = Arc::new(proof::Proof);
        let lines = Lines::new(self.environment, plan.quiet);
        let stop = self.stop();
        let looked = pipeline::second_look(request, owner, prover, &*self.timer, stop, &lines);
        let looked = looked.await;
        lines.clear();
        outcome.add(looked?);
        Ok(())
    }

    /// Has what nodes differ in decided by receipts, notes what is owed, and adds to `outcome` what stays
    /// open although it is covered: this time, and as long as it is so.
    async fn settle(
        &self,
        owner: &OwnerHandle,
        range: Option<BlockRange>,
        verify: event::Verify,
        outcome: &mut ReplayOutcome,
    ) -> Result<(), ReplayError> {
        let Self { plan, profile, filters, .. } = self;
        let head = self.nodes.iter().map(|node| node.greeting.status.head.number).max();
        // Without a range all that is covered is meant.
        let meant = match plan.second_look {
            true => head.and_then(|head| BlockRange::new(0, head)),
            false => range,
        };
        if let Some(meant) = meant.filter(|_| !outcome.stopped) {
            let request = self.request(meant, verify);
            let prover: Arc<dyn Prover> = Arc::new(proof::Proof);
            let lines = Lines::new(self.environment, plan.quiet);
            let stop = self.stop();
            let timer = &*self.timer;
            let settled =
                pipeline::settle_undecided(request, owner, prover, timer, stop, &lines).await;
            lines.clear();
            let (part, undecided) = settled?;
            outcome.add_part(&part);
            let told: BlockRanges = outcome.open.iter().map(|(range, _)| *range).collect();
            let untold = undecided.iter().flat_map(|range| told.outside(range));
            outcome.open.extend(untold.map(|range| (range, UNDECIDED.to_owned())));
        }
        if let Some(range) = range {
            let now_s = self.timer.unix_s();
            owner.demand(profile.chain, filters.clone(), range, verify, now_s);
        }
        Ok(())
    }

    /// Whether no coverage of these blocks rests on other headers than those the operator demands.
    /// That of an earlier run may.
    async fn is_led_to_anchor(&self, owner: &OwnerHandle, anchored: Option<BlockRange>) -> bool {
        let Some(anchored) = anchored else { return true };
        let evidence = owner.evidence(self.profile.chain, self.filters.clone(), anchored).await;
        !matches!(evidence, Ok(Some(evidence)) if evidence.anchor < Anchor::Checkpoint)
    }

    /// Tells how it ended as a client. What only the owner can tell is not told.
    fn ended(self, range: Option<BlockRange>, read: join::Read) -> (Summary, ExitCode) {
        let join::Read { mut outcome, evidence, lane_reports } = read;
        self.carried.before().complete(&mut outcome);
        let elapsed_ms = self.timer.now_ms();
        let ended = Ended {
            plan: self.plan,
            profile: self.profile,
            nodes: self.nodes,
            range,
            outcome,
            evidence,
            owner_report: pipeline::OwnerReport::default(),
            lane_reports,
            sinks: Vec::new(),
        };
        ended.summary(&self.interrupt, elapsed_ms)
    }
}
