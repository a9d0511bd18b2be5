//! What the ledger says of a chain: coverage, what is final, and who was caught with what.

use crate::{
    command_error::{CommandError, ErrorKind},
    environment::Environment,
    plan::HealthPlan,
    session::{Look, ledger::known_of},
};
use event::{
    AnyOf, BlockNumHash, BlockRange, BlockRanges, ChainId, ChainState, Filter, Flaw, NodeId, Value,
    Verify,
};
use health::{FilterCoverage, IncidentCount, LedgerSample, LedgerState};
use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

/// The ledger, read and closed.
pub(super) struct FoundLedger {
    pub(super) state: LedgerState,
    /// The chain that is meant, where anybody said one.
    pub(super) chain: Option<ChainId>,
    incidents: BTreeMap<NodeId, Vec<IncidentCount>>,
}

impl FoundLedger {
    /// Reads it, where it is there: through its owner where another process has it. `chain` says which chain is meant, given those of
    /// the ledger; `wanted` is what should be covered, where the configuration says so.
    pub(super) fn read(
        plan: &HealthPlan,
        environment: &Environment,
        wanted: &[Filter],
        chain: impl Fn(&[ChainId]) -> Option<ChainId>,
    ) -> Result<Self, CommandError> {
        let unread = |state| Self { state, chain: chain(&[]), incidents: BTreeMap::new() };
        let path = &plan.ledger.path;
        if !path.exists() {
            return Ok(unread(LedgerState::Absent));
        }
        let mut ledger = match Look::open(path, environment) {
            Ok(ledger) => ledger,
            // The nodes can be judged without it.
            Err(why) if matches!(why.kind, ErrorKind::LeftOpen | ErrorKind::Usage) => {
                return Ok(unread(LedgerState::Unread(why.error.to_string())));
            }
            Err(error) => return Err(error),
        };
        let Some(chain) = chain(&ledger.chains()?) else {
            return Ok(unread(LedgerState::Read(LedgerSample::default())));
        };
        let incidents = incidents(&mut ledger, chain)?;
        let state = ledger.load(chain)?;
        let mut sample = sample(plan, chain, wanted, state);
        sample.stopped_plugins = stopped_plugins(&mut ledger, chain, plan)?;
        sample.plugins = plugins(&mut ledger, chain, plan)?;
        Ok(Self { state: LedgerState::Read(sample), chain: Some(chain), incidents })
    }

    /// Returns what a node was caught with.
    pub(super) fn incidents_of(&self, node: &NodeId) -> Vec<IncidentCount> {
        self.incidents.get(node).cloned().unwrap_or_default()
    }
}

fn sample(plan: &HealthPlan, chain: ChainId, wanted: &[Filter], state: ChainState) -> LedgerSample {
    let finalized = state.finalized;
    let final_block = state
        .blocks
        .iter()
        .filter(|block| block.canonical && finalized.is_some_and(|last| block.number <= last))
        .max_by_key(|block| block.number)
        .map(|block| BlockNumHash { number: block.number, hash: block.hash });
    let dated = state
        .blocks
        .iter()
        .filter(|block| block.canonical)
        .filter_map(|block| Some((block.number, block.timestamp.filter(|at| *at > 0)?)))
        .max();
    let (coverage, lacks_other_node) = coverage(plan, chain, wanted, state);
    LedgerSample {
        coverage,
        final_block,
        dated,
        finalized,
        lacks_other_node,
        ..LedgerSample::default()
    }
}

/// A filter may be covered by others together: a wider one that came after it, or parts of it.
fn coverage(
    plan: &HealthPlan,
    chain: ChainId,
    wanted: &[Filter],
    state: ChainState,
) -> (Vec<FilterCoverage>, u64) {
    let finalized = state.finalized;
    let stored: Vec<(Arc<Filter>, Option<BlockRange>)> = state
        .coverage
        .iter()
        .map(|(filter, intervals)| {
            let first = intervals.first().map(|interval| interval.range.first());
            let last = intervals.last().map(|interval| interval.range.last());
            (filter.clone(), first.zip(last).and_then(|(first, last)| BlockRange::new(first, last)))
        })
        .collect();
    let verify = plan.verify.unwrap_or(Verify::Off);
    let known = known_of(chain, verify, state);
    let of_ledger = || stored.iter().map(|(filter, _)| (**filter).clone()).collect();
    let mut judged: Vec<Filter> = if wanted.is_empty() { of_ledger() } else { wanted.to_vec() };
    // What somebody demanded of others is owed, too; what is configured is not changed by it.
    let demands = known.owed();
    for demand in &demands {
        if !judged.contains(&demand.filter) {
            judged.push(demand.filter.clone());
        }
    }
    let starts: Option<Vec<u64>> = plan.contracts.iter().map(|contract| contract.start).collect();
    let start = starts.and_then(|starts| starts.into_iter().min());
    let nodes: Vec<NodeId> = plan.nodes.iter().map(|node| NodeId::new(&*node.name)).collect();
    let lacking = finalized.and_then(|last| BlockRange::new(0, last)).map_or(0, |range| {
        let due = judged.iter().flat_map(|filter| known.to_look(filter, range, verify));
        // As a second look has it: nobody at hand could be asked.
        let alone = due.filter(|seen| {
            seen.nodes.len() < 2 && nodes.iter().all(|node| seen.nodes.contains(node))
        });
        alone.map(|seen| seen.range.count()).sum()
    });
    let coverage = judged
        .into_iter()
        .map(|filter| {
            let meeting = stored.iter().filter(|(other, _)| filter.meets(other));
            let spans = meeting.filter_map(|(_, span)| *span);
            let hull = spans.reduce(|a, b| {
                let (first, last) = (a.first().min(b.first()), a.last().max(b.last()));
                BlockRange::new(first, last).unwrap_or(a)
            });
            let covered = hull.map_or_else(Vec::new, |hull| {
                let missing = known.missing(&filter, hull, verify);
                let mut open: BlockRanges = missing.into_iter().map(|(range, _)| range).collect();
                // Where nodes differ and nothing decides nobody knows what is there.
                known.undecided(&filter, hull).iter().for_each(|range| open.add(range));
                without(hull, open.iter())
            });
            let of_filter = demands.iter().filter(|demand| demand.filter == filter);
            let owed = of_filter.flat_map(|demand| {
                demand.blocks.iter().map(|range| (range, demand.since_s)).collect::<Vec<_>>()
            });
            let wanted_since_s = plan.wanted_since_s.filter(|_| wanted.contains(&filter));
            let owed = owed.collect();
            FilterCoverage { filter: told(&filter), start, wanted_since_s, covered, owed }
        })
        .collect();
    (coverage, lacking)
}

/// Returns the parts of `range` outside of `holes`, which are sorted and disjoint.
fn without(range: BlockRange, holes: impl Iterator<Item = BlockRange>) -> Vec<BlockRange> {
    let mut parts = Vec::new();
    let mut next = Some(range.first());
    for hole in holes {
        let before = hole.first().checked_sub(1);
        parts.extend(next.zip(before).and_then(|(next, last)| BlockRange::new(next, last)));
        next = hole.last().checked_add(1);
    }
    parts.extend(next.and_then(|next| BlockRange::new(next, range.last())));
    parts
}

/// Names a filter for people.
pub(in crate::session) fn told(filter: &Filter) -> String {
    let contracts = match &filter.addresses {
        AnyOf::Any => "any contract".to_owned(),
        AnyOf::Of(addresses) => match addresses.as_slice() {
            [one] => format!("contract {one}"),
            all => format!("{} contracts", all.len()),
        },
    };
    match &filter.topics[0] {
        AnyOf::Any => contracts,
        AnyOf::Of(topics) if topics.len() == 1 => format!("{contracts}, 1 event"),
        AnyOf::Of(topics) => format!("{contracts}, {} events", topics.len()),
    }
}

fn is_counted(plan: &HealthPlan, plugin: &str) -> bool {
    plan.plugins.as_ref().is_none_or(|names| names.contains(plugin))
}

/// Plugins, with the next block that each is to be handed.
fn plugins(
    ledger: &mut Look,
    chain: ChainId,
    plan: &HealthPlan,
) -> Result<Vec<(String, u64)>, CommandError> {
    let sql = format!(
        "SELECT plugin, max(next_block) FROM main.lanes WHERE chain = {chain} GROUP BY plugin
            ORDER BY plugin"
    );
    let mut plugins = Vec::new();
    ledger.query(&sql, &mut |_, row| {
        if let [Value::Text(plugin), Value::Int(next)] = row.as_slice()
            && let Ok(next) = u64::try_from(*next)
            && is_counted(plan, plugin)
        {
            plugins.push((plugin.clone(), next));
        }
        ControlFlow::Continue(())
    })?;
    Ok(plugins)
}

/// Plugins that are halted, or held for another component.
fn stopped_plugins(
    ledger: &mut Look,
    chain: ChainId,
    plan: &HealthPlan,
) -> Result<Vec<(String, String)>, CommandError> {
    let sql = format!(
        "SELECT plugin, coalesce(held, halted) FROM main.lanes l
            WHERE chain = {chain} AND coalesce(held, halted) IS NOT NULL
            AND generation = (SELECT max(o.generation) FROM main.lanes o
                WHERE o.plugin = l.plugin AND o.chain = l.chain) ORDER BY plugin"
    );
    let mut stopped = Vec::new();
    ledger.query(&sql, &mut |_, row| {
        if let [Value::Text(plugin), Value::Text(why)] = row.as_slice()
            && is_counted(plan, plugin)
        {
            stopped.push((plugin.clone(), why.clone()));
        }
        ControlFlow::Continue(())
    })?;
    Ok(stopped)
}

fn incidents(
    ledger: &mut Look,
    chain: ChainId,
) -> Result<BTreeMap<NodeId, Vec<IncidentCount>>, CommandError> {
    let sql = format!(
        "SELECT node, flaw, sum(count)::UBIGINT, max(last_block)::UBIGINT FROM main.incidents i
        WHERE chain = {chain} AND flaw <> '{withdrawn}' AND NOT EXISTS (
            SELECT 1 FROM main.incidents w WHERE w.flaw = '{withdrawn}' AND i.flaw = '{missing}'
            AND w.chain = i.chain AND w.node = i.node AND w.first_block = i.first_block
            AND w.last_block = i.last_block AND w.count = i.count)
        GROUP BY node, flaw ORDER BY node, flaw",
        withdrawn = Flaw::Withdrawn,
        missing = Flaw::Missing,
    );
    let mut found: BTreeMap<NodeId, Vec<IncidentCount>> = BTreeMap::new();
    ledger.query(&sql, &mut |_, row| {
        if let [Value::Text(node), Value::Text(flaw), Value::Int(count), Value::Int(last)] =
            row.as_slice()
            // A flaw of a newer program is not known here.
            && let Ok(flaw) = serde_json::from_value::<Flaw>(flaw.clone().into())
        {
            let number = |value: i128| u64::try_from(value).unwrap_or(u64::MAX);
            let incident = IncidentCount { flaw, count: number(*count), last_block: number(*last) };
            found.entry(NodeId::new(node.as_str())).or_default().push(incident);
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn parts_and_holes_make_up_the_range() {
        let range = |first, last| BlockRange::new(first, last).unwrap();
        let parts = |holes: &[BlockRange]| without(range(0, 9), holes.iter().copied());
        assert_eq!(parts(&[]), [range(0, 9)]);
        assert_eq!(parts(&[range(0, 9)]), []);
        assert_eq!(parts(&[range(0, 2), range(5, 5)]), [range(3, 4), range(6, 9)]);
        assert_eq!(parts(&[range(3, 9)]), [range(0, 2)]);
        let end = range(u64::MAX - 1, u64::MAX);
        assert_eq!(
            without(end, [BlockRange::one(u64::MAX)].into_iter()),
            [BlockRange::one(u64::MAX - 1)]
        );
    }
}
