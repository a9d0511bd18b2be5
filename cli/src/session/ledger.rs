//! The ledger of a replay: opened or joined, and asked what it knows of the chain.

use super::{
    access::{Joined, Miss, Owned, Reached, Seeker},
    nodes::OpenNode,
};
use crate::{
    command_error::CommandError,
    environment::Environment,
    plan::{ChainPlan, ReplayPlan},
    range::Bounds,
};
use aggregator::{Admission, Aggregator, Policy};
use event::{
    Anchor, AnchorPolicy, BlockRange, ChainId, ChainProfile, ChainState, Filter, Interval, Node,
    Store, Verify,
};
use std::{
    io::{Write, stderr},
    sync::Arc,
};
use store::{DuckLedger, Failpoints, OpenOptions};

/// Returns what a ledger knows of a chain, to be asked what is missing at a level. Nothing is reported to it.
pub(in crate::session) fn known_of(
    chain: ChainId,
    verify: Verify,
    state: ChainState,
) -> Aggregator {
    let policy = Policy { verify, anchor: AnchorPolicy::OneNode, admission: Admission::OneNode };
    Aggregator::new(ChainProfile::ethereum(chain), policy, state)
}

pub(super) fn profile(plan: &ReplayPlan, nodes: &[OpenNode]) -> ChainProfile {
    let chain = nodes.first().map_or(ChainId(0), |node| node.greeting.chain);
    profile_of(&plan.chain, chain)
}

/// Returns what holds on the chain, as the plan and its id have it.
pub(super) fn profile_of(plan: &ChainPlan, chain: ChainId) -> ChainProfile {
    let mut profile = ChainProfile::of(chain);
    plan.observe.iter().for_each(|check| profile.observe(*check));
    if let Some(name) = &plan.chain_name {
        profile.name.clone_from(name);
    }
    if let Some(finality) = plan.finality {
        profile.finality = finality;
    }
    if let Some(block_time_ms) = plan.block_time_ms {
        profile.block_time_ms = block_time_ms;
    }
    profile
}

/// Memory that DuckDB may use while it is written: without a limit its cache grows with the file,
/// with this one a backfill of a million events is as fast (measured).
pub(super) const LEDGER_MEMORY: &str = "80MB";

/// A ledger, opened as it can be.
pub(super) enum Access {
    /// Owned by this process.
    Own(Box<DuckLedger>, Owned),
    /// Owned by another one.
    Joined(Joined),
}

/// The ledger, and what is to be read into it.
pub(super) struct Resolved {
    pub(super) access: Access,
    /// Coverage of the chain before it begins.
    pub(super) covered: Vec<(Arc<Filter>, Vec<Interval>)>,
    /// Which blocks; `None` where the ledger covers all of them.
    pub(super) range: Option<BlockRange>,
    /// Blocks whose headers must lead to the block that the operator knows.
    pub(super) anchored: Option<BlockRange>,
}

/// Opens the ledger, or joins its owner, and says which blocks are meant: those that were `decided`
/// before, where an owner has ended meanwhile. A new ledger is made only when it is clear that there
/// is something to put in.
pub(super) async fn resolve(
    plan: &ReplayPlan,
    environment: &Environment,
    seeker: &Seeker,
    profile: &ChainProfile,
    filters: &[Filter],
    nodes: &[OpenNode],
    decided: Option<Option<BlockRange>>,
) -> Result<Resolved, Miss> {
    let mut reached = match seeker.is_there() {
        true => Some(seeker.reach().await?),
        false => None,
    };
    let all_nodes: Vec<_> = nodes.iter().map(|node| node.node.clone()).collect();
    loop {
        let mut state = ChainState::default();
        let access = match reached.take() {
            Some(Reached::Own(owned)) if plan.ledger.path.exists() => {
                let mut ledger = open(&owned, environment)?;
                check_chain(&ledger.chains()?, &plan.chain, profile, &all_nodes)?;
                state = ledger.load(profile.chain)?;
                Ok(Access::Own(Box::new(ledger), owned))
            }
            Some(Reached::Joined(joined)) => {
                check_chain(&joined.chains().await?, &plan.chain, profile, &all_nodes)?;
                state = joined.load(profile.chain).await?;
                Ok(Access::Joined(joined))
            }
            new => Err(new),
        };
        let covered = state.coverage.clone();
        let range = match decided {
            Some(range) => range,
            None => range_of(plan, state, profile, filters, nodes)?,
        };
        let anchored = range.map(|range| anchored(plan, range)).transpose()?.flatten();
        let access = match access {
            Ok(access) => access,
            Err(Some(Reached::Own(owned))) => {
                Access::Own(Box::new(open(&owned, environment)?), owned)
            }
            // Somebody else may be making it at the same time.
            Err(_) => {
                reached = Some(seeker.reach().await?);
                continue;
            }
        };
        return Ok(Resolved { access, covered, range, anchored });
    }
}

fn range_of(
    plan: &ReplayPlan,
    state: ChainState,
    profile: &ChainProfile,
    filters: &[Filter],
    nodes: &[OpenNode],
) -> Result<Option<BlockRange>, CommandError> {
    let bounds = bounds(state, profile, filters, plan, nodes);
    let range = plan.range.resolve(&bounds).map_err(|error| {
        let hint = error.hint();
        CommandError::usage(error).context("the block range means no blocks").hint(hint)
    })?;
    let shortened = range.and_then(|range| plan.range.shortened(range));
    if let Some(shortened) = shortened.filter(|_| !plan.quiet) {
        // Whoever closed stderr does not want to hear it.
        let _ = writeln!(stderr(), "note: {shortened}");
    }
    Ok(range)
}

/// Opens a ledger that is owned, or makes it.
pub(super) fn open(owned: &Owned, environment: &Environment) -> Result<DuckLedger, CommandError> {
    let failpoints = match environment.variable("HEADCOUNT_FAILPOINT") {
        Some(text) => Failpoints::parse(text).map_err(|error| {
            CommandError::usage(error).hint("HEADCOUNT_FAILPOINT is for kill tests: NAME:COUNT")
        })?,
        None => Failpoints::default(),
    };
    let memory_limit = Some(LEDGER_MEMORY.to_owned());
    let options = OpenOptions { failpoints, memory_limit, ..OpenOptions::default() };
    Ok(DuckLedger::open_owned(&owned.ownership, &options)?)
}

/// What is demanded of what a plan reads.
pub(super) fn policy(plan: &ReplayPlan) -> Policy {
    policy_of(plan.chain.verify, plan.anchor, plan.chain.nodes.len() as u64)
}

/// What is demanded of what is read through so many nodes. With one node's word a log is admitted and labelled
/// so, unless nodes must agree, or others are asked for its block because less is shown than is demanded.
pub(super) fn policy_of(verify: Verify, anchor: AnchorPolicy, nodes: u64) -> Policy {
    let admission = match verify {
        Verify::Agree(nodes) => Admission::Agree(nodes),
        _ if nodes > 1 => Admission::OneOfSeveral,
        _ => Admission::OneNode,
    };
    Policy { verify, anchor, admission }
}

/// A ledger may hold several chains, but a second one is more often a node given by mistake.
pub(super) fn check_chain(
    known: &[ChainId],
    plan: &ChainPlan,
    profile: &ChainProfile,
    nodes: &[Arc<dyn Node>],
) -> Result<(), CommandError> {
    if plan.expected_chain.is_some() || known.is_empty() || known.contains(&profile.chain) {
        return Ok(());
    }
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    let node = nodes.first().map(|node| node.id().to_string()).unwrap_or_default();
    let (chain, known) = (profile.chain, known.join(", "));
    Err(CommandError::usage(format!("it holds events of chain {known}, the node is on {chain}"))
        .context(format!("node {node} is not on the chain of this ledger"))
        .hint(format!("use a node of chain {known}, or another ledger"))
        .hint(format!("`--chain-id {chain}` adds that chain to this ledger")))
}

/// Returns the blocks whose headers must lead to the block that the operator knows.
fn anchored(plan: &ReplayPlan, range: BlockRange) -> Result<Option<BlockRange>, CommandError> {
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

/// Whether the block that the operator knows is covered, but not known to be that block: what was
/// read on other headers is read again.
pub(super) fn rests_on_other_headers(
    plan: &ReplayPlan,
    covered: &[(Arc<Filter>, Vec<Interval>)],
) -> bool {
    let AnchorPolicy::Checkpoint(block) = plan.anchor else { return false };
    let intervals = covered.iter().flat_map(|(_, intervals)| intervals);
    intervals.filter(|interval| interval.range.contains(block.number)).any(|interval| {
        let ends_there = interval.range.last() == block.number;
        let is_that = interval.links.is_some_and(|links| links.last_hash == block.hash);
        interval.evidence.anchor < Anchor::Checkpoint || !ends_there || !is_that
    })
}

/// What open ends of the range mean here.
fn bounds(
    state: ChainState,
    profile: &ChainProfile,
    filters: &[Filter],
    plan: &ReplayPlan,
    nodes: &[OpenNode],
) -> Bounds {
    let status = nodes.iter().map(|node| &node.greeting.status);
    let finalized = status.clone().filter_map(|status| status.finalized).max();
    let latest = status.map(|status| status.head.number).max();
    let start = if plan.range.needs_start() {
        let known = Aggregator::new(profile.clone(), policy(plan), state);
        let filters: Vec<_> = filters.iter().cloned().map(Arc::new).collect();
        known.first_uncovered(&filters, plan.chain.verify).or(plan.chain.start_block)
    } else {
        plan.chain.start_block
    };
    Bounds { start, finalized, latest }
}
