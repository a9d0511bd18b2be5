//! Which component wrote a lane, and whether another one may go on with it.
//!
//! Rows that two components wrote are of neither: the later one may count what the earlier one did not
//! keep. So a lane remembers its component, and another one is let in by an operator's word only.

use crate::{
    error::{Result, statement_failed},
    failing, lane_rows,
    lanes::{Lanes, of_lane},
    outbox,
    sql::{run, text},
};
use alloy_primitives::{B256, hex};
use duckdb::{Connection, OptionalExt};
use event::{LaneId, OnChange, Writer};

/// Hex digits of a digest that are told: as many as a person compares.
const TOLD_DIGITS: usize = 12;

/// What is known of who wrote a lane.
struct Wrote {
    generation: u32,
    start_block: u64,
    retry_from: Option<u64>,
    component: Option<String>,
    version: Option<String>,
    held: Option<String>,
    decided: Option<String>,
}

/// Lets a writer in, or returns why the lane is held. What it was let in as is noted, in the transaction
/// at hand.
pub(crate) fn admit(conn: &Connection, lane: &LaneId, writer: &Writer) -> Result<Option<String>> {
    let Some(wrote) = wrote(conn, lane)? else { return Ok(None) };
    let own = of_lane(lane, wrote.generation);
    let component = writer.component.as_ref().map(hex::encode);
    let is_other = match (&wrote.component, &component) {
        (Some(old), Some(new)) => old != new,
        // Of a lane that an older program wrote, or that an operator had begin anew, it is not known.
        _ => false,
    };
    let decided = component.as_deref().and_then(|new| decision(&wrote, new));
    let on_change = match (decided, is_other) {
        (Some(decided), _) => decided,
        (None, true) => writer.on_change,
        (None, false) => OnChange::Continue,
    };
    if on_change == OnChange::Hold {
        return hold(conn, &own, other_component(&wrote, writer)).map(Some);
    }
    let changed = lane_rows::changed_table(conn, &lane.plugin, &writer.descriptor)?;
    let begins_anew = on_change == OnChange::Rebuild
        || wrote.retry_from.is_some_and(|block| block <= wrote.start_block);
    match changed {
        Some(what) if !begins_anew => {
            let why = format!("{what}: it cannot go on, only begin anew");
            return hold(conn, &own, why).map(Some);
        }
        Some(_) => {
            // The rows of every chain are in these tables.
            lane_rows::drop_changed(conn, &lane.plugin, &writer.descriptor)?;
            begin_anew(conn, &format!("plugin = {}", text(&lane.plugin)))?;
        }
        None if on_change == OnChange::Rebuild => begin_anew(conn, &own)?,
        None => {}
    }
    if wrote.component != component || wrote.held.is_some() || decided.is_some() {
        // Whoever decided on a halted plugin wants it to go on.
        let goes_on = if decided.is_some() { ", halted = NULL" } else { "" };
        let sql = format!(
            "UPDATE lane_records SET component = {}, version = {}, logic_version = {}, held = NULL,
                decided = NULL{goes_on} WHERE {own}",
            component.as_deref().map_or_else(|| "NULL".to_owned(), text),
            text(&writer.descriptor.version),
            writer.descriptor.logic_version,
        );
        run(conn, &sql)?;
    }
    Ok(None)
}

/// Has lanes handle everything again. A lane that has handled nothing has nothing to do again.
pub(crate) fn begin_anew(conn: &Connection, which: &str) -> Result<()> {
    let sql = format!(
        "UPDATE lane_records SET retry_from = start_block, halted = NULL
            WHERE {which} AND {NEWEST} AND EXISTS (FROM lanes l
                WHERE l.plugin = lane_records.plugin AND l.chain = lane_records.chain
                AND l.generation = lane_records.generation AND l.next_block > l.start_block)"
    );
    run(conn, &sql)
}

/// SQL that picks the generation that is written, of each lane.
pub(crate) const NEWEST: &str = "generation = (SELECT max(o.generation) FROM lane_records o
    WHERE o.plugin = lane_records.plugin AND o.chain = lane_records.chain)";

/// The word by which a decision is stored.
pub(crate) fn decision_text(component: &B256, on_change: OnChange) -> String {
    format!("{} {}", on_change.word(), hex::encode(component))
}

/// What was decided of this component, if anything was.
fn decision(wrote: &Wrote, component: &str) -> Option<OnChange> {
    let (word, of) = wrote.decided.as_deref()?.split_once(' ')?;
    OnChange::of_word(word).filter(|_| of == component)
}

/// Drops everything of a plugin that nobody runs; returns how many lanes it had.
pub(crate) fn remove(conn: &Connection, lanes: &mut Lanes, plugin: &str) -> Result<u64> {
    let own = format!("plugin = {}", text(plugin));
    let chains: Vec<u64> = {
        let sql = format!("SELECT DISTINCT chain FROM lanes WHERE {own} ORDER BY chain");
        let mut statement = conn.prepare(&sql).map_err(statement_failed)?;
        let rows = statement.query_map([], |row| row.get(0));
        rows.and_then(Iterator::collect).map_err(statement_failed)?
    };
    for chain in &chains {
        let lane = LaneId { plugin: plugin.to_owned(), chain: event::ChainId(*chain) };
        outbox::cancel(conn, &lane, "true")?;
    }
    lane_rows::drop_all(conn, plugin)?;
    for table in ["lane_records", "lane_batches", "plugin_state", "dead_letters", "plugins"] {
        run(conn, &format!("DELETE FROM {table} WHERE {own}"))?;
    }
    failing::forget(conn, plugin)?;
    lanes.close_plugin(plugin);
    Ok(chains.len() as u64)
}

fn wrote(conn: &Connection, lane: &LaneId) -> Result<Option<Wrote>> {
    let sql = format!(
        "SELECT generation, start_block, retry_from, component, version, held, decided FROM lanes
            WHERE plugin = {} AND chain = {} ORDER BY generation DESC LIMIT 1",
        text(&lane.plugin),
        lane.chain
    );
    conn.query_row(&sql, [], |row| {
        Ok(Wrote {
            generation: row.get(0)?,
            start_block: row.get(1)?,
            retry_from: row.get(2)?,
            component: row.get(3)?,
            version: row.get(4)?,
            held: row.get(5)?,
            decided: row.get(6)?,
        })
    })
    .optional()
    .map_err(statement_failed)
}

fn hold(conn: &Connection, own: &str, why: String) -> Result<String> {
    run(conn, &format!("UPDATE lane_records SET held = {} WHERE {own}", text(&why)))?;
    Ok(why)
}

fn other_component(wrote: &Wrote, writer: &Writer) -> String {
    let told = |version: &str, digest: &str| {
        format!("{version} ({})", digest.get(..TOLD_DIGITS).unwrap_or(digest))
    };
    let new = writer.component.as_ref().map(hex::encode).unwrap_or_default();
    format!(
        "it is another component, {}, than the one that wrote its rows, {}",
        told(&writer.descriptor.version, &new),
        told(
            wrote.version.as_deref().unwrap_or("?"),
            wrote.component.as_deref().unwrap_or_default()
        ),
    )
}
