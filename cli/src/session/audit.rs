//! An audit with real nodes and a real ledger: opens what the plan names, lets the pipeline ask and
//! `audit` judge, and holds expectations against what came of it. Writes nothing.

mod code;
mod expect;
mod ledger;
mod scratch;
#[cfg(test)]
mod tests;
mod unanswered;

use super::{
    clock::{WallTimer, stop},
    inputs,
    ledger::profile_of,
    nodes::{OpenNode, finish_recordings, try_nodes},
    telling::Lines,
};
use crate::{
    audit_report::{AuditReport, Audited},
    command_error::CommandError,
    environment::Environment,
    interrupt::Interrupt,
    plan::AuditPlan,
    range::{Bounds, RangeError},
    summary::UndecodedSummary,
};
use ::audit::EventKey;
use event::{AnchorPolicy, BlockRange, Decoder, EventSchema, Prover};
use pipeline::{AuditRequest, Timer};
use std::{
    collections::BTreeMap,
    io::{Write, stderr},
    sync::Arc,
    time::Instant,
};

/// Arguments that a log can have indexed, and none.
const INDEXED_MAX: u8 = 4;

/// Nodes that must agree on the last block where several are named.
const AGREED_DEFAULT: u8 = 2;

/// Runs a plan on a runtime of its own.
pub(crate) fn audit(
    plan: &AuditPlan,
    environment: &Environment,
) -> Result<AuditReport, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let interrupt = Interrupt::listen()?;
        run(plan, environment, &interrupt).await
    })
}

/// Runs a plan on the runtime of whoever calls.
pub(super) async fn run(
    plan: &AuditPlan,
    environment: &Environment,
    interrupt: &Interrupt,
) -> Result<AuditReport, CommandError> {
    let timer = Arc::new(WallTimer(Instant::now()));
    // Everything the user can have got wrong is looked at before a node is asked.
    let contracts = &plan.chain.contracts;
    let schemas = Arc::new(inputs::schemas(contracts)?);
    let filters = inputs::filters(contracts, &schemas);
    let checks = match &plan.expectations {
        Some(expectations) => expectations.resolve(schemas.schemas(), contracts)?,
        None => crate::expectations::Checks::default(),
    };
    let (nodes, absent) = try_nodes(&plan.chain, plan.record.as_deref(), &*timer).await?;
    if nodes.is_empty() {
        let schemas = schemas.schemas();
        let known = unanswered::Known { plan, filters: &filters, schemas, checks: &checks };
        return known.report(&absent, timer.now_ms());
    }
    let chain = nodes.first().map(|node| node.greeting.chain).unwrap_or_default();
    let profile = profile_of(&plan.chain, chain);
    let range = range(plan, &nodes)?;
    let mut ledger = ledger::Compared::find(plan, chain, environment)?;
    let code = code::check(plan, &nodes, range, &*timer).await?;

    let prover: Arc<dyn Prover> = Arc::new(proof::Proof);
    let needs_scratch = checks.need_sql() && !ledger.is_compared();
    let scratch = match needs_scratch {
        true => Some(scratch::Scratch::start(&profile, plan.require, &schemas, prover.clone())?),
        false => None,
    };
    let order = counting_order(schemas.schemas());
    let misfits = misfits(schemas.schemas());
    let events = order.iter().map(|at| key_of(&schemas.schemas()[*at]));
    let events = events.chain(misfits.iter().map(|misfit| misfit.key(schemas.schemas())));
    let request = AuditRequest {
        profile: profile.clone(),
        filters: filters.clone(),
        range,
        require: plan.require,
        anchor: anchor(plan),
        nodes: nodes.iter().map(OpenNode::for_replay).collect(),
        concurrency: usize::from(plan.concurrency.get()),
        events: events.collect(),
    };
    let lines = Lines::new(environment, plan.quiet);
    let stop = stop(interrupt.clone(), plan.max_time);
    let outcome = {
        let mut pages = ledger.pages();
        let pages: Option<&mut pipeline::LedgerPages<'_>> = match &mut pages {
            Some(pages) => Some(&mut **pages),
            None => None,
        };
        let sink = scratch.as_ref().map(scratch::Scratch::owner);
        pipeline::audit(request, prover, pages, sink, &*timer, stop, &lines).await
    };
    lines.clear();
    let mut outcome = outcome.map_err(|told| ledger.failure(told))?;
    outcome.anchor.seats.extend(absent.iter().map(unanswered::seat));
    let mut counts = vec![0; schemas.schemas().len()];
    for (at, count) in order.iter().zip(&outcome.verdict.events) {
        counts[*at] = *count;
    }
    let found = outcome.verdict.events.get(order.len()..).unwrap_or_default();
    let undecoded = undecoded(schemas.schemas(), &counts, &misfits, found);
    let scratch = scratch.map(scratch::Scratch::close).transpose()?;
    let sql_on = scratch.as_ref().map(|closed| closed.path.clone()).or(ledger.path());
    let mut expected = {
        let sql = sql_on.as_deref().map(|path| expect::Sql { path, environment });
        expect::check(&checks, &outcome, &counts, sql, &nodes, &*timer).await?
    };
    if plan.expectations.is_some() || plan.min_events.is_some() {
        expected.extend(undecoded.iter().map(expect::undecoded));
    }
    finish_recordings(&nodes)?;
    Ok(AuditReport::new(Audited {
        plan,
        profile,
        nodes: nodes.iter().map(|node| (node.node.as_ref(), &node.greeting)).collect(),
        absent: &absent,
        range: Some(range),
        filters: &filters,
        schemas: schemas.schemas(),
        counts,
        undecoded,
        outcome,
        ledger: ledger.told(),
        code,
        expected,
        interrupted: interrupt.code(),
        elapsed_ms: timer.now_ms(),
    }))
}

/// Why the headers are believed: what was demanded, or by the number of nodes that were named.
fn anchor(plan: &AuditPlan) -> Option<AnchorPolicy> {
    let agreed = AnchorPolicy::Agreed(AGREED_DEFAULT);
    plan.anchor.or((plan.chain.nodes.len() > 1).then_some(agreed))
}

/// Returns the blocks meant. A range always has a first block here: an audit continues nothing.
fn range(plan: &AuditPlan, nodes: &[OpenNode]) -> Result<BlockRange, CommandError> {
    let status = nodes.iter().map(|node| &node.greeting.status);
    let bounds = Bounds {
        start: plan.chain.start_block,
        finalized: status.clone().filter_map(|status| status.finalized).max(),
        latest: status.map(|status| status.head.number).max(),
    };
    let resolved = plan.range.resolve(&bounds).map_err(no_blocks)?;
    if let Some(shortened) = resolved.and_then(|range| plan.range.shortened(range))
        && !plan.quiet
    {
        // Whoever closed stderr does not want to hear it.
        let _ = writeln!(stderr(), "note: {shortened}");
    }
    resolved.ok_or_else(|| {
        CommandError::usage("it would start beyond its end")
            .context("the block range means no blocks")
            .hint("name the first block, as in -b 18M:+10k")
    })
}

fn no_blocks(error: RangeError) -> CommandError {
    let hint = error.hint();
    CommandError::usage(error).context("the block range means no blocks").hint(hint)
}

/// The order in which a log is looked for an event: as decoding does, those that name a contract
/// first, and anonymous events last.
fn counting_order(schemas: &[EventSchema]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..schemas.len()).collect();
    order.sort_by_key(|at| (schemas[*at].topic0.is_none(), schemas[*at].addresses.is_any()));
    order
}

fn key_of(schema: &EventSchema) -> EventKey {
    let indexed = schema.columns.iter().filter(|column| column.indexed).count();
    let topics = indexed + usize::from(schema.topic0.is_some());
    EventKey {
        addresses: schema.addresses.clone(),
        topic0: schema.topic0,
        topics: u8::try_from(topics).unwrap_or(u8::MAX),
    }
}

/// Logs of a declared event with another number of indexed arguments than declared: they do not decode.
struct Misfit {
    schema: usize,
    indexed: u8,
}

impl Misfit {
    fn key(&self, schemas: &[EventSchema]) -> EventKey {
        let EventSchema { addresses, topic0, .. } = &schemas[self.schema];
        EventKey { addresses: addresses.clone(), topic0: *topic0, topics: self.indexed + 1 }
    }
}

fn misfits(schemas: &[EventSchema]) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    for (schema, declared) in schemas.iter().enumerate().filter(|(_, s)| s.topic0.is_some()) {
        let indexed = declared.columns.iter().filter(|column| column.indexed).count();
        let others = (0..INDEXED_MAX).filter(|other| usize::from(*other) != indexed);
        misfits.extend(others.map(|indexed| Misfit { schema, indexed }));
    }
    misfits
}

/// Returns the events of which logs were found and none decoded.
fn undecoded(
    schemas: &[EventSchema],
    counts: &[u64],
    misfits: &[Misfit],
    found: &[u64],
) -> Vec<UndecodedSummary> {
    let mut undecoded: BTreeMap<usize, UndecodedSummary> = BTreeMap::new();
    for (misfit, count) in misfits.iter().zip(found).filter(|(_, count)| **count > 0) {
        let schema = &schemas[misfit.schema];
        if counts[misfit.schema] > 0 {
            continue;
        }
        let told = undecoded.entry(misfit.schema).or_insert_with(|| UndecodedSummary {
            contract: schema.contract.clone(),
            signature: schema.signature.clone(),
            count: 0,
            indexed_declared: schema.columns.iter().filter(|column| column.indexed).count(),
            indexed_found: usize::from(misfit.indexed),
        });
        told.count += count;
    }
    undecoded.into_values().collect()
}
