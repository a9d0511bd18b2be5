//! The plugins of a ledger: every lane with how far it is, and how far it could be.

use crate::{
    author::{LaneLine, ListReport, SinkLine},
    command_error::CommandError,
    session::Look,
};
use event::{ChainId, ChainState, Value};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::ControlFlow,
};

/// Lanes, the newest generation of each last.
const LANES: &str = "SELECT l.plugin, l.chain, p.version, p.logic_version, l.generation, \
    l.start_block, l.next_block, l.next_seq, \
    (SELECT count(*) FROM main.dead_letters d WHERE d.plugin = l.plugin AND d.chain = l.chain \
        AND d.generation = l.generation), \
    l.halted, \
    l.generation > min(l.generation) OVER (PARTITION BY l.plugin, l.chain) \
    FROM main.lanes l LEFT JOIN main.plugins p ON p.plugin = l.plugin \
    ORDER BY l.plugin, l.chain, l.generation";

/// What the outbox holds for each sink.
const SINKS: &str = "SELECT sink, count(*) FILTER (status <> 'dead'), count(*) FILTER (status = 'dead'), \
    arg_min(reason, id) FILTER (status <> 'dead') FROM main.outbox \
    WHERE status IN ('pending', 'sending', 'dead') GROUP BY sink ORDER BY sink";

/// Reads every lane.
pub(crate) fn list_plugins(ledger: &mut Look) -> Result<ListReport, CommandError> {
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
    let mut chains: BTreeMap<u64, ChainState> = BTreeMap::new();
    for lane in &mut lanes {
        let state = match chains.entry(lane.chain) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(ledger.load(ChainId(lane.chain))?),
        };
        let through = covered_through(state, lane.next_block);
        lane.covered_through = through;
        lane.lag_blocks =
            through.map_or(0, |through| (through + 1).saturating_sub(lane.next_block));
    }
    let mut sinks = Vec::new();
    ledger.query(SINKS, &mut |_, row| {
        sinks.extend(sink(&row));
        ControlFlow::Continue(())
    })?;
    Ok(ListReport::new(lanes, sinks))
}

fn lane(row: &[Value]) -> Option<LaneLine> {
    let [plugin, chain, version, logic, generation, start, next, seq, dead, halted, rebuilding] =
        row
    else {
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
        chain: number(chain)?,
        version: text(version),
        logic_version: number(logic),
        generation: number(generation)?,
        is_rebuilding: matches!(rebuilding, Value::Bool(true)),
        start_block: number(start)?,
        next_block: number(next)?,
        events: number(seq)?.saturating_sub(1),
        dead_letters: number(dead)?,
        halted: text(halted),
        covered_through: None,
        lag_blocks: 0,
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
