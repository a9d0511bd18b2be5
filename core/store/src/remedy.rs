//! What an operator decides about events and messages that were set aside, and about halted plugins.

use crate::{
    components::{self, NEWEST, decision_text},
    error::{Result, statement_failed},
    lanes::{Lanes, of_lane},
    sql::{atomically, text},
};
use duckdb::{Connection, OptionalExt};
use event::{LaneId, Remedy};

/// Does it in one transaction, and returns how many events, messages or lanes it concerned.
pub(crate) fn apply(conn: &Connection, lanes: &mut Lanes, remedy: &Remedy) -> Result<u64> {
    let count = atomically(conn, || match remedy {
        Remedy::RetryEvents(lane, seqs) => retry_events(conn, lane, seqs),
        Remedy::DropEvents(lane, seqs) => match newest(conn, lane)? {
            Some(generation) => changed(
                conn,
                &format!(
                    "DELETE FROM dead_letters WHERE {} AND seq IN ({})",
                    of_lane(lane, generation),
                    list(seqs)
                ),
            ),
            None => Ok(0),
        },
        Remedy::RetryMessages(ids) => changed(
            conn,
            &format!(
                "UPDATE outbox SET status = 'pending', attempts = 0, reason = NULL
                    WHERE status = 'dead' AND id IN ({})",
                list(ids)
            ),
        ),
        // Its key stays known, so that a rebuild does not send it either.
        Remedy::DropMessages(ids) => changed(
            conn,
            &format!(
                "UPDATE outbox SET status = 'dropped', body = ''::BLOB
                    WHERE status = 'dead' AND id IN ({})",
                list(ids)
            ),
        ),
        Remedy::Rebuild(plugin) => {
            let own = format!("plugin = {}", text(plugin));
            components::begin_anew(conn, &own)?;
            // Whatever component comes next writes all of it.
            let sql = format!(
                "UPDATE lane_records SET component = NULL, held = NULL, decided = NULL WHERE {own} AND {NEWEST}"
            );
            let lanes = changed(conn, &sql)?;
            // What halted an older generation is no news.
            changed(conn, &format!("UPDATE lane_records SET halted = NULL WHERE {own}"))?;
            Ok(lanes)
        }
        Remedy::Resume(plugin) => changed(
            conn,
            &format!(
                "UPDATE lane_records SET component = CASE WHEN held IS NULL THEN component END,
                    halted = NULL, held = NULL
                    WHERE plugin = {} AND coalesce(halted, held) IS NOT NULL",
                text(plugin)
            ),
        ),
        Remedy::Decide(plugin, component, on_change) => changed(
            conn,
            &format!(
                "UPDATE lane_records SET decided = {} WHERE plugin = {} AND {NEWEST}",
                text(&decision_text(component, *on_change)),
                text(plugin)
            ),
        ),
        Remedy::Remove(plugin) => components::remove(conn, lanes, plugin),
    })?;
    match remedy {
        Remedy::Resume(plugin) | Remedy::Rebuild(plugin) | Remedy::Decide(plugin, ..) => {
            lanes.forget_plugin(plugin);
        }
        Remedy::RetryEvents(lane, _) => lanes.forget_plugin(&lane.plugin),
        Remedy::DropEvents(..)
        | Remedy::RetryMessages(_)
        | Remedy::DropMessages(_)
        | Remedy::Remove(_) => {}
    }
    Ok(count)
}

fn retry_events(conn: &Connection, lane: &LaneId, seqs: &[u64]) -> Result<u64> {
    let Some(generation) = newest(conn, lane)? else { return Ok(0) };
    let own = of_lane(lane, generation);
    let sql = format!(
        "SELECT count(*)::UBIGINT, min(block_number) FROM dead_letters
            WHERE {own} AND seq IN ({})",
        list(seqs)
    );
    let (count, first): (u64, Option<u64>) =
        conn.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).map_err(statement_failed)?;
    if let Some(first) = first {
        let sql = format!(
            "UPDATE lane_records SET retry_from = least(coalesce(retry_from, {first}), {first}) WHERE {own}"
        );
        changed(conn, &sql)?;
    }
    Ok(count)
}

/// Returns the generation that is written.
fn newest(conn: &Connection, lane: &LaneId) -> Result<Option<u32>> {
    let sql = "SELECT max(generation) FROM lanes WHERE plugin = ? AND chain = ?";
    let newest = conn.query_row(sql, duckdb::params![lane.plugin, lane.chain.0], |row| row.get(0));
    newest.optional().map(Option::flatten).map_err(statement_failed)
}

fn changed(conn: &Connection, sql: &str) -> Result<u64> {
    conn.execute(sql, []).map(|count| count as u64).map_err(statement_failed)
}

/// A list for SQL that is never empty: nothing has the number 0.
fn list(numbers: &[u64]) -> String {
    let numbers: Vec<String> = numbers.iter().chain([&0]).map(u64::to_string).collect();
    numbers.join(", ")
}
