//! The plugins of a ledger: every lane with how far it is, and how far it could be.

use crate::{
    author::{LaneLine, ListReport, SinkLine},
    command_error::CommandError,
    compiling::Compiling,
    config_file::PluginConfig,
    session::{Look, inputs},
};
use event::{ChainId, ChainState, Failing, Value};
use host::Grants;
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    ops::ControlFlow,
};

/// Every lane by the generation that is written, and whether an older one is shown meanwhile. Events are
/// those of this generation: delivery numbers go on over all of them.
const LANES: &str = "SELECT l.plugin, l.chain, coalesce(l.version, p.version), \
    coalesce(l.logic_version, p.logic_version), l.generation, l.start_block, l.next_block, \
    l.next_seq - coalesce(l.first_seq, 1), \
    (SELECT count(*) FROM main.dead_letters d WHERE d.plugin = l.plugin AND d.chain = l.chain \
        AND d.generation = l.generation), \
    l.halted, \
    l.generation > min(l.generation) OVER (PARTITION BY l.plugin, l.chain), \
    CASE WHEN l.decided IS NULL THEN l.held END, \
    CASE WHEN l.decided LIKE 'rebuild %' THEN l.start_block ELSE l.retry_from END, l.component \
    FROM main.lanes l LEFT JOIN main.plugins p ON p.plugin = l.plugin \
    QUALIFY l.generation = max(l.generation) OVER (PARTITION BY l.plugin, l.chain) \
    ORDER BY l.plugin, l.chain";

/// What lanes fail with that are called again and again, and the plugins that were opened: of one that has not
/// come to its first commit there is no more.
const FAILING: &str = "SELECT split_part(key, ':', 3), split_part(key, ':', 2)::UBIGINT, value FROM main.meta \
    WHERE split_part(key, ':', 1) = 'failing' ORDER BY ALL";
const OPENED: &str = "SELECT plugin, version, logic_version FROM main.plugins ORDER BY plugin";

/// What the outbox holds for each sink, and why the oldest message that waits was not taken.
const SINKS: &str = "SELECT sink, count(*) FILTER (status <> 'dead'), count(*) FILTER (status = 'dead'), \
    first(reason ORDER BY id) FILTER (status <> 'dead') FROM main.outbox \
    WHERE status IN ('pending', 'sending', 'dead') GROUP BY sink ORDER BY sink";

/// Names of the plugins of a configuration, with those that only their component says. `None` where one
/// cannot be had: then nothing is said to be missing.
pub(crate) fn configured_names(
    plugins: &[PluginConfig],
    compiling: &Compiling,
) -> Option<BTreeSet<String>> {
    plugins.iter().map(|plugin| name_of(plugin, compiling)).collect()
}

/// The name under which a plugin of the configuration runs, where it can be had.
pub(crate) fn name_of(plugin: &PluginConfig, compiling: &Compiling) -> Option<String> {
    if let Some(name) = &plugin.name {
        return Some(name.clone());
    }
    let host = compiling.host().ok()?;
    // Whichever component is there now.
    let plugin = PluginConfig { sha256: None, ..plugin.clone() };
    let loaded = inputs::load_one(&host, &plugin, (compiling, Grants::any())).ok()?;
    Some(event::Plugin::descriptor(&loaded).name.clone())
}

/// Reads every lane. `configured` are the plugins that the ledger's configuration has, where it has one.
pub(crate) fn list_plugins(
    ledger: &mut Look,
    configured: Option<&BTreeSet<String>>,
) -> Result<ListReport, CommandError> {
    let running = ledger.plugins()?;
    let runs = |name: &String| running.as_ref().map(|running| running.contains(name));
    let mut lanes = Vec::new();
    let mut unread = false;
    ledger.query(LANES, &mut |_, row| {
        match lane(&row) {
            Some(lane) => lanes.push(lane),
            None => unread = true,
        }
        ControlFlow::Continue(())
    })?;
    if unread {
        return Err(CommandError::bug("a lane of the ledger has values of other types"));
    }
    add_failing(ledger, &mut lanes)?;
    add_not_begun(ledger, configured, &mut lanes)?;
    lanes.sort_by(|one, other| (&one.plugin, one.chain).cmp(&(&other.plugin, other.chain)));
    let mut chains: BTreeMap<u64, ChainState> = BTreeMap::new();
    for lane in &mut lanes {
        lane.runs = runs(&lane.plugin);
        lane.removed = lane.runs != Some(true)
            && configured.is_some_and(|configured| !configured.contains(&lane.plugin));
        let (Some(chain), Some(next)) = (lane.chain, lane.next_block) else { continue };
        let state = match chains.entry(chain) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(ledger.load(ChainId(chain))?),
        };
        let through = covered_through(state, next);
        lane.covered_through = through;
        lane.lag_blocks = through.map_or(0, |through| (through + 1).saturating_sub(next));
    }
    let mut sinks = Vec::new();
    ledger.query(SINKS, &mut |_, row| {
        sinks.extend(sink(&row));
        ControlFlow::Continue(())
    })?;
    Ok(ListReport::new(lanes, sinks))
}

/// Adds what lanes fail with to their lines, and a line for those that have none yet.
fn add_failing(ledger: &mut Look, lanes: &mut Vec<LaneLine>) -> Result<(), CommandError> {
    ledger.query(FAILING, &mut |_, row| {
        if let [Value::Text(plugin), Value::Int(chain), Value::Text(failing)] = row.as_slice()
            && let Ok(Failing { next_block, reason }) = serde_json::from_str(failing)
        {
            let chain = u64::try_from(*chain).ok();
            let known = lanes.iter_mut().find(|lane| (&lane.plugin, lane.chain) == (plugin, chain));
            match known {
                Some(lane) => lane.failing = Some(reason),
                None => lanes.push(LaneLine {
                    chain,
                    start_block: Some(next_block),
                    next_block: Some(next_block),
                    failing: Some(reason),
                    ..LaneLine::not_begun(plugin.clone())
                }),
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(())
}

/// Adds a line for each plugin without one that the ledger or the configuration knows, and what the ledger
/// knows of it.
fn add_not_begun(
    ledger: &mut Look,
    configured: Option<&BTreeSet<String>>,
    lanes: &mut Vec<LaneLine>,
) -> Result<(), CommandError> {
    let mut opened = BTreeMap::new();
    ledger.query(OPENED, &mut |_, row| {
        if let [Value::Text(plugin), Value::Text(version), Value::Int(logic)] = row.as_slice() {
            opened.insert(plugin.clone(), (version.clone(), u64::try_from(*logic).ok()));
        }
        ControlFlow::Continue(())
    })?;
    let has_line: BTreeSet<String> = lanes.iter().map(|lane| lane.plugin.clone()).collect();
    let known: BTreeSet<&String> = opened.keys().chain(configured.into_iter().flatten()).collect();
    let new = known.into_iter().filter(|plugin| !has_line.contains(*plugin));
    lanes.extend(new.map(|plugin| LaneLine::not_begun(plugin.clone())));
    for lane in lanes.iter_mut().filter(|lane| lane.version.is_none()) {
        if let Some((version, logic)) = opened.get(&lane.plugin) {
            (lane.version, lane.logic_version) = (Some(version.clone()), *logic);
        }
    }
    Ok(())
}

fn lane(row: &[Value]) -> Option<LaneLine> {
    let [plugin, chain, version, logic, generation, start, next, rest @ ..] = row else {
        return None;
    };
    let [events, dead, halted, rebuilding, held, retry_from, component] = rest else {
        return None;
    };
    let text = |value: &Value| match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    let number = |value: &Value| match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    };
    Some(LaneLine {
        plugin: text(plugin)?,
        chain: Some(number(chain)?),
        version: text(version),
        logic_version: number(logic),
        generation: number(generation)?,
        is_rebuilding: matches!(rebuilding, Value::Bool(true)),
        start_block: Some(number(start)?),
        next_block: Some(number(next)?),
        events: number(events)?,
        dead_letters: number(dead)?,
        halted: text(halted),
        held: text(held),
        retry_from: number(retry_from),
        component: text(component),
        ..LaneLine::default()
    })
}

fn sink(row: &[Value]) -> Option<SinkLine> {
    let [Value::Text(sink), Value::Int(waiting), Value::Int(dead), reason] = row else {
        return None;
    };
    let reason = match reason {
        Value::Text(reason) => Some(reason.clone()),
        _ => None,
    };
    let count = |number: &i128| u64::try_from(*number).unwrap_or_default();
    Some(SinkLine { sink: sink.clone(), waiting: count(waiting), dead: count(dead), reason })
}

/// Returns the last block to which coverage leads from `next` without a gap, for any filter; `next - 1`
/// where nothing at `next` is covered.
fn covered_through(state: &ChainState, next: u64) -> Option<u64> {
    let ends = state.coverage.iter().map(|(_, intervals)| {
        let mut reached = next;
        // Sorted, so one pass goes as far as they lead.
        for interval in intervals {
            if interval.range.first() <= reached && interval.range.last() >= reached {
                reached = interval.range.last().saturating_add(1);
            }
        }
        reached
    });
    ends.max().and_then(|reached| reached.checked_sub(1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use event::{Anchor, BlockRange, Content, Evidence, Filter, Interval};
    use std::sync::Arc;

    #[test]
    fn the_lag_ends_where_coverage_has_a_gap() {
        let interval = |first, last| Interval {
            range: BlockRange::new(first, last).unwrap(),
            evidence: Evidence { content: Content::Bloom, anchor: Anchor::OneNode },
            nodes: Vec::new(),
            links: None,
        };
        let intervals = vec![interval(10, 19), interval(20, 29), interval(40, 49)];
        let coverage = vec![(Arc::new(Filter::any()), intervals)];
        let state = ChainState { coverage, ..ChainState::default() };
        assert_eq!(covered_through(&state, 15), Some(29));
        assert_eq!(covered_through(&state, 30), Some(29));
        assert_eq!(covered_through(&state, 40), Some(49));
        assert_eq!(covered_through(&ChainState::default(), 5), None);
    }
}
