//! A drill: three bad nodes of a made-up chain, the real watch over them, and the comparison.
//!
//! Nothing of the watch knows that it is a drill: it gets nodes by their addresses, as from a user.

mod audit;
mod cursor;
mod stage;

use super::{nodes::open_node, watch};
use crate::{
    command_error::CommandError,
    compiling::Compiling,
    drill_report::{CursorReport, DrillReport, LedgerReport, NodeReport},
    environment::Environment,
    event_spec::EventSpec,
    exit_codes::ExitCode,
    ledger_path::LedgerPath,
    plan::{ChainPlan, ContractPlan, DEFAULT_CONCURRENCY, DrillPlan, Emit, WatchPlan},
    second_look::{SecondLook, SecondLookPlan},
};
use audit::Audit;
use event::{EventId, Verify};
use sim::chain::expected;
use stage::{Stage, compared, wanted};
use std::{
    collections::BTreeSet,
    io::{Write, stderr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::timeout};

/// Time that a drill may take beyond its blocks before it is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(120);
/// The same for the cursors, which run beside it.
const CURSORS_GIVE_UP_AFTER: Duration = Duration::from_secs(10);
/// SQL schema of the followed tokens.
const SCHEMA: &str = "token";

/// Runs a drill on a runtime of its own. `None` when it was interrupted.
pub(crate) fn drill(
    plan: &DrillPlan,
    environment: &Environment,
) -> Result<Option<DrillReport>, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(plan, environment))
}

async fn run(
    plan: &DrillPlan,
    environment: &Environment,
) -> Result<Option<DrillReport>, CommandError> {
    let began = Instant::now();
    // Unix sockets have short paths, so not where the user works.
    let folder = tempfile::Builder::new().prefix("headcount-drill-").tempdir()?;
    let ledger = plan.keep.clone().unwrap_or_else(|| folder.path().join("drill.duckdb"));
    let stage = Stage::start(plan, folder.path()).await?;
    let (blocks, block_ms) = (plan.blocks, plan.block_time_ms);
    writeln!(
        stderr(),
        "drill: seed {}, {blocks} blocks of {block_ms} ms, three nodes, one reorg in the middle",
        plan.seed
    )?;
    let watch_plan = watch_plan(plan, &stage, &ledger);
    let cursors = start_cursors(plan, &stage)?;
    // There is no configuration to read again.
    let again = || Ok(watch_plan.clone());
    let code = watch::run(&watch_plan, &again, environment).await?;
    if code == ExitCode::Interrupted || code == ExitCode::Terminated {
        return Ok(None);
    }
    let cursors = cursors_end(cursors, stage.actors.len()).await;
    let audit = Audit::read(&ledger, stage::CHAIN, &format!("{SCHEMA}.Transfer"))?;
    Ok(Some(report(plan, &stage, &audit, cursors, began.elapsed())))
}

fn watch_plan(plan: &DrillPlan, stage: &Stage, ledger: &std::path::Path) -> WatchPlan {
    let wanted = wanted();
    let signature = "Transfer(address indexed from, address indexed to, uint256 value)";
    let contract = ContractPlan {
        schema: SCHEMA.to_owned(),
        addresses: wanted.addresses,
        events: vec![EventSpec::Signature(signature.to_owned())],
        start: None,
        is_of_chain: false,
        chains: Default::default(),
    };
    let chain = ChainPlan {
        chain_name: Some("drill".to_owned()),
        expected_chain: Some(stage::CHAIN.0),
        nodes: stage.actors.iter().map(|actor| actor.spec.clone()).collect(),
        contracts: vec![contract],
        start_block: None,
        verify: Verify::Bloom,
        finality: None,
        // Nothing of it becomes old.
        second_look: SecondLookPlan::of(Some(SecondLook::Off), None),
        block_time_ms: Some(plan.block_time_ms),
        observe: Vec::new(),
    };
    let block_time = Duration::from_millis(plan.block_time_ms);
    WatchPlan {
        chains: vec![chain],
        from_block: Some(compared(plan).first()),
        until_block: Some(compared(plan).last()),
        ledger: LedgerPath { path: ledger.to_owned(), is_explicit: true },
        plugins: Vec::new(),
        compiling: Compiling::default(),
        sinks: Vec::new(),
        config: None,
        agree_wait: block_time * 5,
        poll_interval: Some(block_time / 2),
        concurrency: DEFAULT_CONCURRENCY,
        max_time: Some(blocks_take(plan) + GIVE_UP_AFTER),
        emit: Emit::Nothing,
        is_json: false,
        quiet: false,
    }
}

fn blocks_take(plan: &DrillPlan) -> Duration {
    Duration::from_millis(plan.block_time_ms.saturating_mul(plan.blocks))
}

/// Each cursor has a connection of its own, and its place in the order of nodes.
type Cursors = JoinSet<(usize, BTreeSet<EventId>)>;

fn start_cursors(plan: &DrillPlan, stage: &Stage) -> Result<Cursors, CommandError> {
    let filter = Arc::new(wanted());
    let (last, poll) = (compared(plan).last(), Duration::from_millis(plan.block_time_ms / 2));
    let mut cursors = JoinSet::new();
    for (place, actor) in stage.actors.iter().enumerate() {
        let (node, filter) = (open_node(&actor.spec)?, filter.clone());
        cursors.spawn(async move { (place, cursor::follow(node, filter, last, poll).await) });
    }
    Ok(cursors)
}

/// Returns what each cursor has; `None` for one that did not come to the end.
async fn cursors_end(mut cursors: Cursors, count: usize) -> Vec<Option<BTreeSet<EventId>>> {
    let mut ends = vec![None; count];
    let all = async {
        while let Some(end) = cursors.join_next().await {
            if let Ok((place, kept)) = end
                && let Some(end) = ends.get_mut(place)
            {
                *end = Some(kept);
            }
        }
    };
    if timeout(CURSORS_GIVE_UP_AFTER, all).await.is_err() {
        tracing::warn!("a cursor did not come to the end");
    }
    ends
}

fn report(
    plan: &DrillPlan,
    stage: &Stage,
    audit: &Audit,
    cursors: Vec<Option<BTreeSet<EventId>>>,
    elapsed: Duration,
) -> DrillReport {
    let (filter, range) = (wanted(), compared(plan));
    let (truth, head) = stage.world.tree(|tree| {
        let truth: BTreeSet<EventId> =
            expected(tree, &filter, range).into_iter().map(|(_, id)| id).collect();
        (truth, tree.head().number)
    });
    let count = |n: usize| n as u64;
    let nodes = stage.actors.iter().zip(cursors).map(|(actor, cursor)| {
        let tally = actor.fake.tally();
        NodeReport {
            name: actor.name,
            over: actor.over,
            trouble: actor.trouble.clone(),
            missed: count(tally.missed.len()),
            made_up: count(tally.made_up.len()),
            away_ms: u64::try_from(actor.fake.away().as_millis()).unwrap_or(u64::MAX),
            incidents: audit.incidents.get(actor.name).copied().unwrap_or(0),
            cursor: cursor.map(|kept| CursorReport {
                lost: count(truth.difference(&kept).count()),
                made_up: count(kept.difference(&truth).count()),
            }),
        }
    });
    let stored: BTreeSet<EventId> = audit.events.keys().copied().collect();
    DrillReport {
        version: 1,
        seed: plan.seed,
        head,
        reorg_depth: stage::REORG_DEPTH,
        events: count(truth.len()),
        nodes: nodes.collect(),
        ledger: LedgerReport {
            path: plan.keep.as_ref().map(|path: &PathBuf| path.display().to_string()),
            events: count(stored.len()),
            lost: count(truth.difference(&stored).count()),
            made_up: count(stored.difference(&truth).count()),
            doubled: audit.events.values().map(|rows| rows.saturating_sub(1)).sum(),
            decoded: audit.decoded,
            incidents: audit.incidents.values().sum(),
            problems: audit.problems.clone(),
        },
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    }
}
